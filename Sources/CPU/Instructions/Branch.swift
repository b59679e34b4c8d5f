/// Near transfers that need the CS limit checked, or whose operand size is not the code's. SDM Vol. 2A, "Jcc", "JMP", "CALL", "RET", "LOOP".
extension Core {
    /// Throws #GP(0) for a target beyond the CS limit, or a non-canonical one in 64-bit mode.
    @inline(__always)
    fileprivate func checkTarget(_ target: UInt64) throws(Fault) {
        guard is64 ? isCanonical(target) : target <= UInt64(v.pointee.seg[Seg.cs].limit) else { throw .generalProtection }
    }

    /// Sets (E)IP.
    @inline(__always)
    fileprivate func jumpNear(_ target: UInt64) throws(Fault) {
        try checkTarget(target)
        rip = target
    }

    /// The r/m operand of a near JMP or CALL.
    fileprivate func targetRM(_ o: OpPointer) throws(Fault) -> UInt64 {
        switch o.pointee.flags & 3 {
        case 1: UInt64(try loadRM(o, UInt16.self))
        case 2: UInt64(try loadRM(o, UInt32.self))
        default: try loadRM(o, UInt64.self)
        }
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
    if taken { try c.checkTarget(o.pointee.wide) }
    if mask == 0xFFFF { c.setReg(8, UInt16(truncatingIfNeeded: count)) } else { c.setReg(8, count) }
    if taken { c.rip = o.pointee.wide }
}

func jmpNear(_ c: Core, _ o: OpPointer, relative: Bool) throws(Fault) {
    if relative { return try c.jumpNear(o.pointee.wide) }
    try c.jumpNear(c.targetRM(o))
}

func callNear(_ c: Core, _ o: OpPointer, relative: Bool) throws(Fault) {
    let target = relative ? o.pointee.wide : try c.targetRM(o)
    try c.checkTarget(target)
    switch o.pointee.flags & 3 {
    case 1: try c.push(UInt16(truncatingIfNeeded: c.rip))
    case 2: try c.push(UInt32(truncatingIfNeeded: c.rip))
    default: try c.push(c.rip)
    }
    c.rip = target
}

/// RET, RET imm16.
func retNear(_ c: Core, _ o: OpPointer) throws(Fault) {
    let target: UInt64
    switch o.pointee.flags & 3 {
    case 1: target = UInt64(try c.peekStack(0, UInt16.self))
    case 2: target = UInt64(try c.peekStack(0, UInt32.self))
    default: target = try c.peekStack(0, UInt64.self)
    }
    try c.jumpNear(target)
    c.setStackPointer(c.rsp &+ UInt64(o.pointee.operandBytes) &+ UInt64(o.pointee.imm))
}
