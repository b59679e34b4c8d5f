/// Bit tests, scans, exchanges. SDM Vol. 2A, "BT", "BTS", "BSF", "BSWAP", "CMPXCHG", "CMPXCHG8B", "XADD".
///
/// Undefined flags, as this processor sets them: BT… leave all but CF; BSF/BSR set ZF and leave the others; BSF/BSR of 0 leave
/// the destination.

/// What BT, BTS, BTR, BTC write back.
private func changed<T: FixedWidthInteger>(_ value: T, _ bit: T, _ mnemonic: Mnemonic) -> T {
    switch mnemonic {
    case .bts: value | bit
    case .btr: value & ~bit
    case .btc: value ^ bit
    default: value
    }
}

/// BT, BTS, BTR, BTC. A register bit offset reaches beyond the memory operand: it moves the address by whole operands.
func bitTest(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 1: try bitTest(c, o, mnemonic, UInt16.self)
    case 2: try bitTest(c, o, mnemonic, UInt32.self)
    default: try bitTest(c, o, mnemonic, UInt64.self)
    }
}

@inline(__always)
private func bitTest<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic, _: T.Type) throws(Fault) {
    // 0F BA takes an immediate; the others a register.
    let immediate = o.pointee.wide == 1
    let offset = immediate ? Int64(o.pointee.imm & Int32(T.bitWidth - 1)) : Int64(bitPattern: c.signExtended(c.reg(o.pointee.a, T.self)))
    let bit = T(1) &<< T(truncatingIfNeeded: offset & Int64(T.bitWidth - 1))
    if o.pointee.isRegisterForm {
        let value = c.reg(o.pointee.b, T.self)
        if mnemonic != .bt { c.setReg(o.pointee.b, changed(value, bit, mnemonic)) }
        c.setCarry(value & bit != 0)
        return
    }
    let shift: Int64 = T.bitWidth == 16 ? 4 : T.bitWidth == 32 ? 5 : 6
    let distance = immediate ? 0 : (offset &>> shift) &* Int64(T.bitWidth / 8)
    let place = (c.effectiveOffset(o) &+ UInt64(bitPattern: distance)) & o.pointee.addressMask
    let linear = try c.linear(Int(o.pointee.seg), place, T.bitWidth / 8, write: mnemonic != .bt)
    var value: T = 0
    if mnemonic == .bt {
        value = try c.load(linear, T.self)
    } else {
        try c.modify(linear, T.self) { value = $0; return changed($0, bit, mnemonic) }
    }
    c.setCarry(value & bit != 0)
}

/// BSF, BSR. A source of 0 leaves the destination alone, all 64 bits of it.
func bitScan(_ c: Core, _ o: OpPointer, reverse: Bool) throws(Fault) {
    let value: UInt64
    switch o.pointee.flags & 3 {
    case 1: value = UInt64(try c.loadRM(o, UInt16.self))
    case 2: value = UInt64(try c.loadRM(o, UInt32.self))
    default: value = try c.loadRM(o, UInt64.self)
    }
    c.setZero(value == 0)
    guard value != 0 else { return }
    let position = reverse ? 63 - value.leadingZeroBitCount : value.trailingZeroBitCount
    if o.pointee.flags & 3 == 1 { c.setReg(o.pointee.a, UInt16(position)) } else { c.setReg(o.pointee.a, UInt64(position)) }
}

/// BSWAP r32, r64. The 16-bit form is undefined; processors clear the register's low half.
func bswap(_ c: Core, _ o: OpPointer) {
    switch o.pointee.flags & 3 {
    case 1: c.setReg(o.pointee.a, 0 as UInt16)
    case 2: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self).byteSwapped)
    default: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self).byteSwapped)
    }
}

/// CMPXCHG r/m, r: compares the accumulator; the destination is written back in both cases.
func cmpxchg(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0: try compareExchange(c, o, UInt8.self)
    case 1: try compareExchange(c, o, UInt16.self)
    case 2: try compareExchange(c, o, UInt32.self)
    default: try compareExchange(c, o, UInt64.self)
    }
}

@inline(__always)
private func compareExchange<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _: T.Type) throws(Fault) {
    let accumulator = c.reg(0, T.self)
    let source = c.reg(o.pointee.a, T.self)
    if o.pointee.isRegisterForm {
        let old = c.reg(o.pointee.b, T.self)
        _ = c.sub(accumulator, old)
        if old == accumulator { c.setReg(o.pointee.b, source) } else { c.setReg(0, old) }
        return
    }
    var old: T = 0
    try c.modify(c.effectiveLinear(o, T.bitWidth / 8, write: true), T.self) {
        old = $0
        return $0 == accumulator ? source : $0
    }
    _ = c.sub(accumulator, old)
    if old != accumulator { c.setReg(0, old) }
}

/// CMPXCHG8B m64: EDX:EAX against memory, ECX:EBX in. Only ZF changes.
func cmpxchg8b(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.operandBytes == 8 { return try cmpxchg16b(c, o) }
    let expected = UInt64(c.edx) << 32 | UInt64(c.eax)
    let replacement = UInt64(c.ecx) << 32 | UInt64(c.ebx)
    var old: UInt64 = 0
    try c.modify(c.effectiveLinear(o, 8, write: true), UInt64.self) {
        old = $0
        return $0 == expected ? replacement : $0
    }
    c.setZero(old == expected)
    if old != expected {
        c.eax = UInt32(truncatingIfNeeded: old)
        c.edx = UInt32(truncatingIfNeeded: old >> 32)
    }
}

/// CMPXCHG16B m128: RDX:RAX against memory, RCX:RBX in.
/// - Throws: #GP(0) for a misaligned operand.
private func cmpxchg16b(_ c: Core, _ o: OpPointer) throws(Fault) {
    let linear = try c.effectiveLinear(o, 16, write: true)
    if linear & 15 != 0 { throw .generalProtection }
    // Aligned: one page. It is proved writable before anything is compared; the operand is written back in both cases.
    try c.probeWrite(linear, 8)
    let low = try c.load(linear, UInt64.self), high = try c.load(linear &+ 8, UInt64.self)
    let equal = low == c.reg(0, UInt64.self) && high == c.reg(16, UInt64.self)
    try c.store(linear, equal ? c.reg(24, UInt64.self) : low)
    try c.store(linear &+ 8, equal ? c.reg(8, UInt64.self) : high)
    c.setZero(equal)
    if !equal {
        c.setReg(0, low)
        c.setReg(16, high)
    }
}

/// XADD r/m, r.
func xadd(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0: try exchangeAdd(c, o, UInt8.self)
    case 1: try exchangeAdd(c, o, UInt16.self)
    case 2: try exchangeAdd(c, o, UInt32.self)
    default: try exchangeAdd(c, o, UInt64.self)
    }
}

@inline(__always)
private func exchangeAdd<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _: T.Type) throws(Fault) {
    let source = c.reg(o.pointee.a, T.self)
    var old: T = 0
    if o.pointee.isRegisterForm {
        old = c.reg(o.pointee.b, T.self)
        let sum = c.add(old, source)
        // Same register twice: the sum wins.
        c.setReg(o.pointee.a, old)
        c.setReg(o.pointee.b, sum)
        return
    }
    try c.modify(c.effectiveLinear(o, T.bitWidth / 8, write: true), T.self) { old = $0; return $0 &+ source }
    _ = c.add(old, source)
    c.setReg(o.pointee.a, old)
}
