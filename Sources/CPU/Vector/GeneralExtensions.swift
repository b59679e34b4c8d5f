// Instructions on general registers that came with the SIMD sets: POPCNT, CRC32, LZCNT, TZCNT, MOVBE, MOVNTI, BMI1, BMI2, RDRAND.
// Source: SDM Vol. 2, each instruction's page.
//
// Undefined flags: POPCNT leaves none; LZCNT, TZCNT and BEXTR clear OF, SF, AF, PF; the others clear AF and set PF by the low byte of the result.

func generalExtension(_ c: Core, _ o: OpPointer, _ word: VectorWord) throws(Fault) {
    switch (word.action, o.pointee.flags & 3) {
    case (.movnti, 3): try c.store(c.effectiveLinear(o, 8, write: true), c.gpr(Int(o.pointee.a), UInt64.self))
    case (.movnti, _): try c.store(c.effectiveLinear(o, 4, write: true), c.gpr(Int(o.pointee.a), UInt32.self))
    case (.crc32, _): try crc32(c, o, word)
    case (_, 1): try generalExtension(c, o, word, UInt16.self)
    case (_, 3): try generalExtension(c, o, word, UInt64.self)
    default: try generalExtension(c, o, word, UInt32.self)
    }
}

private func generalExtension<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ word: VectorWord, _: T.Type) throws(Fault) {
    let destination = Int(o.pointee.a)
    let other = o.pointee.vvvv
    let width = UInt32(T.bitWidth)
    switch word.action {
    case .movbeLoad: c.setGPR(destination, try c.load(c.effectiveLinear(o, T.bitWidth / 8, write: false), T.self).byteSwapped)
    case .movbeStore: try c.store(c.effectiveLinear(o, T.bitWidth / 8, write: true), c.gpr(destination, T.self).byteSwapped)
    case .rdrand:
        c.setGPR(Int(o.pointee.b), T(truncatingIfNeeded: c.nextRandom()))
        c.setArithmeticFlags(EFlags.cf)
    default:
        let x = try c.vectorGeneral(o, T.self)
        switch word.action {
        case .popcnt:
            c.setGPR(destination, T(x.nonzeroBitCount))
            c.setArithmeticFlags(x == 0 ? EFlags.zf : 0)
        case .tzcnt, .lzcnt:
            let count = word.action == .tzcnt ? x.trailingZeroBitCount : x.leadingZeroBitCount
            c.setGPR(destination, T(count))
            c.setArithmeticFlags((x == 0 ? EFlags.cf : 0) | (count == 0 ? EFlags.zf : 0))
        case .andNot: finish(c, destination, ~c.gpr(Int(other), T.self) & x, carry: false)
        case .blsr: finish(c, Int(other), x & (x &- 1), carry: x == 0)
        case .blsmsk: finish(c, Int(other), x ^ (x &- 1), carry: x == 0)
        case .blsi: finish(c, Int(other), x & (0 &- x), carry: x != 0)
        case .bzhi:
            let n = UInt32(c.gpr(Int(other), UInt8.self))
            finish(c, destination, n < width ? x & ((1 &<< T(n)) &- 1) : x, carry: n >= width)
        case .bextr:
            let control = c.gpr(Int(other), UInt16.self)
            let (start, length) = (UInt32(control & 0xFF), UInt32(control >> 8))
            let shifted = start < width ? x >> T(start) : 0
            let result = length < width ? shifted & ((1 &<< T(length)) &- 1) : shifted
            c.setGPR(destination, result)
            c.setArithmeticFlags(result == 0 ? EFlags.zf : 0)
        case .pext, .pdep:
            let run = unsafeBitCast(word.routine, to: HostVector.Scalar.self)
            c.setGPR(destination, T(truncatingIfNeeded: run(UInt64(c.gpr(Int(other), T.self)), UInt64(x))))
        case .mulx:
            // When both destinations are one register it gets the high half.
            let product = c.gpr(2, T.self).multipliedFullWidth(by: x)
            c.setGPR(Int(other), T(truncatingIfNeeded: product.low))
            c.setGPR(destination, product.high)
        case .shlx: c.setGPR(destination, x &<< c.gpr(Int(other), T.self))
        case .shrx: c.setGPR(destination, x &>> c.gpr(Int(other), T.self))
        case .sarx:
            let count = c.gpr(Int(other), T.self) & T(width - 1)
            let fill: T = x.leadingZeroBitCount == 0 && count != 0 ? T.max &<< (T(width) &- count) : 0
            c.setGPR(destination, x &>> count | fill)
        case .rorx:
            let count = T(truncatingIfNeeded: o.pointee.imm) & T(width - 1)
            c.setGPR(destination, count == 0 ? x : x &>> count | x &<< (T(width) &- count))
        default: throw .lacking
        }
    }
}

/// Writes a result and the flags that follow from it.
@inline(__always)
private func finish<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ register: Int, _ result: T, carry: Bool) {
    c.setGPR(register, result)
    c.setLogicFlags(result)
    c.setCarry(carry)
}

/// CRC-32C of the low 32 bits of the register; the upper half becomes 0.
private func crc32(_ c: Core, _ o: OpPointer, _ word: VectorWord) throws(Fault) {
    let value: UInt64
    switch word.bytes {
    // Without a REX prefix numbers 4–7 are AH, CH, DH, BH.
    case 1:
        let high = o.pointee.imm & Op.noREX != 0 && o.pointee.b >= 4
        value =
            o.pointee.isRegisterForm && high
            ? UInt64(c.reg(UInt8((o.pointee.b - 4) * 8 + 1), UInt8.self)) : UInt64(try c.vectorGeneral(o, UInt8.self))
    case 2: value = UInt64(try c.vectorGeneral(o, UInt16.self))
    case 4: value = UInt64(try c.vectorGeneral(o, UInt32.self))
    default: value = try c.vectorGeneral(o, UInt64.self)
    }
    let run = unsafeBitCast(word.routine, to: HostVector.Scalar.self)
    c.setGPR(Int(o.pointee.a), UInt32(truncatingIfNeeded: run(UInt64(c.gpr(Int(o.pointee.a), UInt32.self)), value)))
}

extension Op {
    /// In `imm` of a SIMD operation: there was no REX prefix.
    static let noREX: Int32 = 0x8000
}

extension Core {
    /// RDRAND: the next number of the vCPU's own generator, which a reset starts anew. Always the same sequence, so that runs can be repeated; it is no
    /// secret. Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014): SplitMix64.
    func nextRandom() -> UInt64 {
        v.pointee.random &+= 0x9E37_79B9_7F4A_7C15
        var z = v.pointee.random
        z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z &>> 31)
    }
}
