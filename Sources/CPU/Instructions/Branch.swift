/// Near transfers that need the CS limit checked, or whose operand size is not the code's. SDM Vol. 2A, "Jcc", "JMP", "CALL", "RET", "LOOP".
extension Core {
    /// Sets (E)IP. Throws #GP(0) beyond the CS limit.
    @inline(__always)
    fileprivate func jumpNear(_ target: UInt64) throws(Fault) {
        guard target <= UInt64(v.pointee.seg[Seg.cs].limit) else { throw .generalProtection }
        rip = target
    }
}

/// `wide` is the absolute target.
func jccSlow(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.condition(Int(o.pointee.imm)) { try c.jumpNear(o.pointee.wide) }
}

func loopSlow(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic) throws(Fault) {
    let mask = o.pointee.addressMask
    if mnemonic == .jcxz {
        if c.reg(8, UInt64.self) & mask == 0 { try c.jumpNear(o.pointee.wide) }
        return
    }
    let count = (c.reg(8, UInt64.self) &- 1) & mask
    let taken = count != 0 && (mnemonic == .loop || c.zf == (mnemonic == .loope))
    if taken && o.pointee.wide > UInt64(c.v.pointee.seg[Seg.cs].limit) { throw .generalProtection }
    if mask == 0xFFFF { c.setReg(8, UInt16(truncatingIfNeeded: count)) } else { c.setReg(8, count) }
    if taken { c.rip = o.pointee.wide }
}

func jmpNear(_ c: Core, _ o: OpPointer, relative: Bool) throws(Fault) {
    if relative { return try c.jumpNear(o.pointee.wide) }
    try c.jumpNear(o.pointee.flags & 3 == 1 ? UInt64(c.loadRM(o, UInt16.self)) : UInt64(c.loadRM(o, UInt32.self)))
}

func callNear(_ c: Core, _ o: OpPointer, relative: Bool) throws(Fault) {
    let small = o.pointee.flags & 3 == 1
    let target = relative ? o.pointee.wide : small ? UInt64(try c.loadRM(o, UInt16.self)) : UInt64(try c.loadRM(o, UInt32.self))
    guard target <= UInt64(c.v.pointee.seg[Seg.cs].limit) else { throw .generalProtection }
    if small { try c.push(UInt16(truncatingIfNeeded: c.rip)) } else { try c.push(UInt32(truncatingIfNeeded: c.rip)) }
    c.rip = target
}

/// RET, RET imm16.
func retNear(_ c: Core, _ o: OpPointer) throws(Fault) {
    let small = o.pointee.flags & 3 == 1
    let target = small ? UInt64(try c.peekStack(0, UInt16.self)) : UInt64(try c.peekStack(0, UInt32.self))
    try c.jumpNear(target)
    c.setStackPointer(c.rsp &+ (small ? 2 : 4) &+ UInt64(o.pointee.imm))
}
