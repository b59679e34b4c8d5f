/// CF PF AF ZF SF OF kept as the last result and one word of carries, so that an instruction writes two words and no bits.
///
/// `lazyResult`: the result sign-extended to 64 bits.
/// `lazyAux`: bit 63 the carry out of the operand's top bit, bit 62 the carry into it, bit 3 the carry out of bit 3;
/// bits 8–15 are XORed into the low result byte for PF, bit 0 into the sign for SF (only where flags were set as bits).
///
///     ZF = result == 0      SF = result < 0 ^ aux.0      CF = aux.63
///     OF = aux.63 ^ aux.62  AF = aux.3                   PF = even parity of (result ^ aux >> 8) & 0xFF
extension Core {
    @inline(__always) var zf: Bool { v.pointee.lazyResult == 0 }
    @inline(__always) var cf: Bool { Int64(bitPattern: v.pointee.lazyAux) < 0 }
    @inline(__always) var sf: Bool { Int64(bitPattern: v.pointee.lazyResult ^ (v.pointee.lazyAux &<< 63)) < 0 }
    @inline(__always) var of: Bool { Int64(bitPattern: v.pointee.lazyAux ^ (v.pointee.lazyAux &<< 1)) < 0 }
    @inline(__always) var af: Bool { v.pointee.lazyAux & 8 != 0 }
    @inline(__always) var pf: Bool { ((v.pointee.lazyResult ^ (v.pointee.lazyAux &>> 8)) & 0xFF).nonzeroBitCount & 1 == 0 }

    /// CF as 0 or 1.
    @inline(__always) var carry: UInt64 { v.pointee.lazyAux &>> 63 }

    /// The condition of Jcc/SETcc/CMOVcc by its number 0–15 (SDM Vol. 1, appendix B).
    @inline(__always)
    func condition(_ code: Int) -> Bool {
        let base =
            switch (code &>> 1) & 7 {
            case 0: of
            case 1: cf
            case 2: zf
            case 3: cf || zf
            case 4: sf
            case 5: pf
            case 6: sf != of
            default: zf || sf != of
            }
        return base != (code & 1 != 0)
    }

    /// EFLAGS in full.
    var eflags: UInt32 {
        var value = v.pointee.systemFlags | 2
        if cf { value |= EFlags.cf }
        if pf { value |= EFlags.pf }
        if af { value |= EFlags.af }
        if zf { value |= EFlags.zf }
        if sf { value |= EFlags.sf }
        if of { value |= EFlags.of }
        return value
    }

    /// Sets CF PF AF ZF SF OF from their EFLAGS positions; other bits of `bits` are ignored.
    func setArithmeticFlags(_ bits: UInt32) {
        let result: UInt64 = bits & EFlags.zf != 0 ? 0 : 1
        var aux: UInt64 = 0
        if bits & EFlags.cf != 0 { aux |= 1 &<< 63 }
        if (bits & EFlags.cf != 0) != (bits & EFlags.of != 0) { aux |= 1 &<< 62 }
        if bits & EFlags.af != 0 { aux |= 8 }
        if bits & EFlags.sf != 0 { aux |= 1 }
        if (result == 1) != (bits & EFlags.pf == 0) { aux |= 1 &<< 8 }
        v.pointee.lazyResult = result
        v.pointee.lazyAux = aux
    }

    /// Changes CF alone.
    @inline(__always)
    func setCarry(_ carry: Bool) {
        let aux = v.pointee.lazyAux
        let overflow = (aux ^ (aux &<< 1)) &>> 63
        let c: UInt64 = carry ? 1 : 0
        v.pointee.lazyAux = (aux & 0x3FFF_FFFF_FFFF_FFFF) | (c &<< 63) | ((c ^ overflow) &<< 62)
    }

    /// Changes CF and OF, leaves the others: rotates.
    @inline(__always)
    func setCarryOverflow(_ carry: Bool, _ overflow: Bool) {
        let c: UInt64 = carry ? 1 : 0
        let p: UInt64 = carry != overflow ? 1 : 0
        v.pointee.lazyAux = (v.pointee.lazyAux & 0x3FFF_FFFF_FFFF_FFFF) | (c &<< 63) | (p &<< 62)
    }

    /// Changes ZF alone (rare: materialises).
    func setZero(_ zero: Bool) {
        let flags = eflags & ~EFlags.zf
        setArithmeticFlags(zero ? flags | EFlags.zf : flags)
    }

    // MARK: Writers

    /// Carry vector `carries` (bit i: carry out of bit i) of an operation of width T.
    @inline(__always)
    func setFlags<T: FixedWidthInteger & UnsignedInteger>(_ result: T, carries: T) {
        v.pointee.lazyResult = signExtended(result)
        v.pointee.lazyAux =
            T.bitWidth == 64
            ? UInt64(truncatingIfNeeded: carries) & 0xC000_0000_0000_0008
            : (UInt64(truncatingIfNeeded: carries) &<< UInt64(64 - T.bitWidth)) | UInt64(truncatingIfNeeded: carries & 8)
    }

    /// AND OR XOR TEST: CF = OF = 0; AF is undefined, 0 here.
    @inline(__always)
    func setLogicFlags<T: FixedWidthInteger & UnsignedInteger>(_ result: T) {
        v.pointee.lazyResult = signExtended(result)
        v.pointee.lazyAux = 0
    }

    @inline(__always)
    func add<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x &+ y
        setFlags(r, carries: (x & y) | ((x | y) & ~r))
        return r
    }

    @inline(__always)
    func adc<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x &+ y &+ T(truncatingIfNeeded: carry)
        setFlags(r, carries: (x & y) | ((x | y) & ~r))
        return r
    }

    @inline(__always)
    func sub<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x &- y
        setFlags(r, carries: (~x & y) | ((~x | y) & r))
        return r
    }

    @inline(__always)
    func sbb<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x &- y &- T(truncatingIfNeeded: carry)
        setFlags(r, carries: (~x & y) | ((~x | y) & r))
        return r
    }

    @inline(__always)
    func and<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x & y
        setLogicFlags(r)
        return r
    }

    @inline(__always)
    func or<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x | y
        setLogicFlags(r)
        return r
    }

    @inline(__always)
    func xor<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ y: T) -> T {
        let r = x ^ y
        setLogicFlags(r)
        return r
    }

    /// INC: like ADD 1, CF kept.
    @inline(__always)
    func inc<T: FixedWidthInteger & UnsignedInteger>(_ x: T) -> T {
        let r = x &+ 1
        keepCarry(r, carries: x & ~r, overflows: ~x & r)
        return r
    }

    /// DEC: like SUB 1, CF kept.
    @inline(__always)
    func dec<T: FixedWidthInteger & UnsignedInteger>(_ x: T) -> T {
        let r = x &- 1
        keepCarry(r, carries: ~x & r, overflows: x & ~r)
        return r
    }

    @inline(__always)
    private func keepCarry<T: FixedWidthInteger & UnsignedInteger>(_ result: T, carries: T, overflows: T) {
        // The arithmetic shift copies CF to bit 62, so that CF and OF = 0 stand there; OF then flips it.
        let kept = UInt64(bitPattern: Int64(bitPattern: v.pointee.lazyAux) &>> 1) & 0xC000_0000_0000_0000
        let top = UInt64(truncatingIfNeeded: overflows)
        let overflow = (T.bitWidth == 64 ? top &>> 1 : top &<< UInt64(63 &- T.bitWidth)) & 0x4000_0000_0000_0000
        v.pointee.lazyResult = signExtended(result)
        v.pointee.lazyAux = (kept ^ overflow) | UInt64(truncatingIfNeeded: carries & 8)
    }

    @inline(__always)
    func signExtended<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> UInt64 {
        let shift = UInt64(64 - T.bitWidth)
        return UInt64(bitPattern: Int64(bitPattern: UInt64(truncatingIfNeeded: value) &<< shift) &>> Int64(shift))
    }
}
