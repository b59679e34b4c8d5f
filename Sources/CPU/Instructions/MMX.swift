import Primitives

// MMX: eight 64-bit registers that are the significands of R0–R7. Sources: SDM Vol. 1, chapter "Programming with Intel MMX Technology";
// Vol. 3A, chapter "Intel MMX Technology System Programming"; Vol. 2, the instructions' pages.
//
// Not implemented here: the integer SSE and SSE2 additions to the same opcode range (they raise #UD).

/// Executes one MMX instruction, opcode 0F `sub`.
/// - Throws: #UD with CR0.EM, #NM with CR0.TS, #MF for a pending x87 exception, memory faults.
func executeMMX(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr0 & (CR0.em | CR0.ts) != 0 { throw c.cr0 & CR0.em != 0 ? .invalidOpcode : .deviceNotAvailable }
    if c.v.pointee.fpu.status & FSW.es != 0, try c.reportPendingException() { return }
    let reg = o.pointee.regField
    let opcode = UInt8(truncatingIfNeeded: o.pointee.sub)
    switch opcode {
    case 0x6E:  // MOVD mm, r/m32
        let value: UInt64
        if o.pointee.operandBytes == 8 {
            value = try c.loadRM(o, UInt64.self)
        } else {
            value = UInt64(try c.loadRM(o, UInt32.self))
        }
        c.setMM(reg, value)
    case 0x6F:  // MOVQ mm, mm/m64
        c.setMM(reg, try c.mmxOperand(o))
    case 0x7E:  // MOVD r/m32, mm
        if o.pointee.operandBytes == 8 {
            try c.storeRM(o, c.mm(reg))
        } else {
            try c.storeRM(o, UInt32(truncatingIfNeeded: c.mm(reg)))
        }
        c.enterMMX()
    case 0x7F:  // MOVQ mm/m64, mm
        if o.pointee.isRegisterForm {
            c.setMM(o.pointee.rmField, c.mm(reg))
        } else {
            try c.store(c.effectiveLinear(o, 8, write: true), c.mm(reg))
            c.enterMMX()
        }
    case 0x71, 0x72, 0x73:  // Shift groups 12, 13, 14: immediate count
        let shift: UInt8
        switch (opcode, reg) {
        case (0x71, 2): shift = 0xD1
        case (0x71, 4): shift = 0xE1
        case (0x71, 6): shift = 0xF1
        case (0x72, 2): shift = 0xD2
        case (0x72, 4): shift = 0xE2
        case (0x72, 6): shift = 0xF2
        case (0x73, 2): shift = 0xD3
        case (0x73, 6): shift = 0xF3
        default: throw .invalidOpcode
        }
        guard o.pointee.isRegisterForm else { throw .invalidOpcode }
        let rm = o.pointee.rmField
        c.setMM(rm, MMX.result(shift, c.mm(rm), UInt64(UInt8(truncatingIfNeeded: o.pointee.imm))) ?? 0)
    case 0x77:  // EMMS
        c.v.pointee.fpu.empty = 0xFF
        c.v.pointee.fpu.top = 0
    case 0x60, 0x61, 0x62:  // PUNPCKL reads 32 bits of memory
        let source: UInt64
        if o.pointee.isRegisterForm {
            source = c.mm(o.pointee.rmField)
        } else {
            source = UInt64(try c.load(c.effectiveLinear(o, 4, write: false), UInt32.self))
        }
        c.setMM(reg, MMX.result(opcode, c.mm(reg), source) ?? 0)
    default:
        guard MMX.isDefined(opcode) else { throw .invalidOpcode }
        let source = try c.mmxOperand(o)
        c.setMM(reg, MMX.result(opcode, c.mm(reg), source) ?? 0)
    }
}

extension Core {
    /// MMn: the significand of Rn, whatever TOP is.
    @inline(__always)
    func mm(_ n: Int) -> UInt64 { v.pointee.fpu.significand[unchecked: n & 7] }

    /// Writes MMn: the exponent field becomes all ones; all tags valid, TOP 0.
    @inline(__always)
    func setMM(_ n: Int, _ value: UInt64) {
        v.pointee.fpu.significand[unchecked: n & 7] = value
        v.pointee.fpu.signExponent[unchecked: n & 7] = 0xFFFF
        enterMMX()
    }

    /// Every MMX instruction but EMMS marks all registers valid and clears TOP.
    @inline(__always)
    func enterMMX() {
        v.pointee.fpu.empty = 0
        v.pointee.fpu.top = 0
    }

    /// mm/m64.
    @inline(__always)
    func mmxOperand(_ o: OpPointer) throws(Fault) -> UInt64 {
        o.pointee.isRegisterForm ? mm(o.pointee.rmField) : try load(effectiveLinear(o, 8, write: false), UInt64.self)
    }
}

/// The packed arithmetic on 64-bit values; the host's vector unit does it by lanes.
enum MMX {
    typealias B = SIMD8<UInt8>
    typealias SB = SIMD8<Int8>
    typealias W = SIMD4<UInt16>
    typealias SW = SIMD4<Int16>
    typealias D = SIMD2<UInt32>
    typealias SD = SIMD2<Int32>

    @inline(__always) static func lanes<V: SIMD>(_ value: UInt64, _: V.Type) -> V { unsafeBitCast(value, to: V.self) }
    @inline(__always) static func packed<V: SIMD>(_ vector: V) -> UInt64 { unsafeBitCast(vector, to: UInt64.self) }

    /// Opcodes of `result` that read a mm/m64 operand.
    static func isDefined(_ opcode: UInt8) -> Bool {
        switch opcode {
        case 0x60...0x6B, 0x74...0x76, 0xD1...0xD3, 0xD5, 0xD8, 0xD9, 0xDB...0xDD, 0xDF, 0xE1, 0xE2, 0xE5, 0xE8, 0xE9, 0xEB...0xED,
            0xEF, 0xF1...0xF3, 0xF5, 0xF8...0xFA, 0xFC...0xFE:
            true
        default: false
        }
    }

    /// destination := destination op source; nil for opcodes that are not MMX.
    static func result(_ opcode: UInt8, _ a: UInt64, _ b: UInt64) -> UInt64? {
        switch opcode {
        case 0x60: punpcklbw(a, b)
        case 0x61: punpcklwd(a, b)
        case 0x62: a & 0xFFFF_FFFF | b &<< 32
        case 0x63: packsswb(a, b)
        case 0x64: mask(lanes(a, SB.self) .> lanes(b, SB.self), SB.self)
        case 0x65: mask(lanes(a, SW.self) .> lanes(b, SW.self), SW.self)
        case 0x66: mask(lanes(a, SD.self) .> lanes(b, SD.self), SD.self)
        case 0x67: packuswb(a, b)
        case 0x68: punpcklbw(a &>> 32, b &>> 32)
        case 0x69: punpcklwd(a &>> 32, b &>> 32)
        case 0x6A: a &>> 32 | b & 0xFFFF_FFFF_0000_0000
        case 0x6B: packssdw(a, b)
        case 0x74: mask(lanes(a, SB.self) .== lanes(b, SB.self), SB.self)
        case 0x75: mask(lanes(a, SW.self) .== lanes(b, SW.self), SW.self)
        case 0x76: mask(lanes(a, SD.self) .== lanes(b, SD.self), SD.self)
        // Logical shifts by more than the lane's width give 0, arithmetic ones fill with the sign; the count is all 64 bits.
        case 0xD1: b > 15 ? 0 : packed(lanes(a, W.self) &>> W(repeating: UInt16(truncatingIfNeeded: b)))
        case 0xD2: b > 31 ? 0 : packed(lanes(a, D.self) &>> D(repeating: UInt32(truncatingIfNeeded: b)))
        case 0xD3: b > 63 ? 0 : a &>> b
        case 0xE1: packed(lanes(a, SW.self) &>> SW(repeating: Int16(truncatingIfNeeded: min(b, 15))))
        case 0xE2: packed(lanes(a, SD.self) &>> SD(repeating: Int32(truncatingIfNeeded: min(b, 31))))
        case 0xF1: b > 15 ? 0 : packed(lanes(a, W.self) &<< W(repeating: UInt16(truncatingIfNeeded: b)))
        case 0xF2: b > 31 ? 0 : packed(lanes(a, D.self) &<< D(repeating: UInt32(truncatingIfNeeded: b)))
        case 0xF3: b > 63 ? 0 : a &<< b
        case 0xD5: packed(lanes(a, W.self) &* lanes(b, W.self))
        case 0xE5: pmulhw(a, b)
        case 0xF5: pmaddwd(a, b)
        case 0xD8: psubus(lanes(a, B.self), lanes(b, B.self))
        case 0xD9: psubus(lanes(a, W.self), lanes(b, W.self))
        case 0xDC: paddus(lanes(a, B.self), lanes(b, B.self))
        case 0xDD: paddus(lanes(a, W.self), lanes(b, W.self))
        case 0xE8: narrowSigned(wide(a, SB.self) &- wide(b, SB.self))
        case 0xE9: narrowSigned(wide(a, SW.self) &- wide(b, SW.self))
        case 0xEC: narrowSigned(wide(a, SB.self) &+ wide(b, SB.self))
        case 0xED: narrowSigned(wide(a, SW.self) &+ wide(b, SW.self))
        case 0xDB: a & b
        case 0xDF: ~a & b
        case 0xEB: a | b
        case 0xEF: a ^ b
        case 0xF8: packed(lanes(a, B.self) &- lanes(b, B.self))
        case 0xF9: packed(lanes(a, W.self) &- lanes(b, W.self))
        case 0xFA: packed(lanes(a, D.self) &- lanes(b, D.self))
        case 0xFC: packed(lanes(a, B.self) &+ lanes(b, B.self))
        case 0xFD: packed(lanes(a, W.self) &+ lanes(b, W.self))
        case 0xFE: packed(lanes(a, D.self) &+ lanes(b, D.self))
        default: nil
        }
    }

    // MARK: Lane helpers

    @inline(__always)
    private static func mask<V: SIMD>(_ m: SIMDMask<V.MaskStorage>, _: V.Type) -> UInt64
    where V.MaskStorage == V, V.Scalar: FixedWidthInteger {
        packed(V(repeating: 0).replacing(with: V(repeating: -1 as V.Scalar), where: m))
    }

    @inline(__always)
    private static func paddus<V: SIMD>(_ a: V, _ b: V) -> UInt64 where V.Scalar: FixedWidthInteger {
        let sum = a &+ b
        return packed(sum.replacing(with: V(repeating: V.Scalar.max), where: sum .< a))
    }

    @inline(__always)
    private static func psubus<V: SIMD>(_ a: V, _ b: V) -> UInt64 where V.Scalar: FixedWidthInteger {
        packed((a &- b).replacing(with: V(repeating: 0), where: a .< b))
    }

    @inline(__always)
    private static func wide(_ x: UInt64, _: SB.Type) -> SIMD8<Int16> { SIMD8<Int16>(truncatingIfNeeded: lanes(x, SB.self)) }

    @inline(__always)
    private static func wide(_ x: UInt64, _: SW.Type) -> SIMD4<Int32> { SIMD4<Int32>(truncatingIfNeeded: lanes(x, SW.self)) }

    @inline(__always)
    private static func narrowSigned(_ x: SIMD8<Int16>) -> UInt64 {
        packed(SB(truncatingIfNeeded: x.clamped(lowerBound: SIMD8(repeating: -128), upperBound: SIMD8(repeating: 127))))
    }

    @inline(__always)
    private static func narrowSigned(_ x: SIMD4<Int32>) -> UInt64 {
        packed(SW(truncatingIfNeeded: x.clamped(lowerBound: SIMD4(repeating: -32768), upperBound: SIMD4(repeating: 32767))))
    }

    private static func packsswb(_ a: UInt64, _ b: UInt64) -> UInt64 {
        narrowSigned(SIMD8<Int16>(lowHalf: lanes(a, SW.self), highHalf: lanes(b, SW.self)))
    }

    private static func packuswb(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let x = SIMD8<Int16>(lowHalf: lanes(a, SW.self), highHalf: lanes(b, SW.self))
        return packed(B(truncatingIfNeeded: x.clamped(lowerBound: SIMD8(repeating: 0), upperBound: SIMD8(repeating: 255))))
    }

    private static func packssdw(_ a: UInt64, _ b: UInt64) -> UInt64 {
        narrowSigned(SIMD4<Int32>(lowHalf: lanes(a, SD.self), highHalf: lanes(b, SD.self)))
    }

    private static func pmulhw(_ a: UInt64, _ b: UInt64) -> UInt64 {
        packed(SW(truncatingIfNeeded: (wide(a, SW.self) &* wide(b, SW.self)) &>> SIMD4(repeating: 16)))
    }

    /// The one overflow, 8000 × 8000 twice, wraps to 8000_0000 (SDM Vol. 2B, "PMADDWD").
    private static func pmaddwd(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let products = wide(a, SW.self) &* wide(b, SW.self)
        return packed(products.evenHalf &+ products.oddHalf)
    }

    /// Interleaves the low halves.
    private static func punpcklbw(_ a: UInt64, _ b: UInt64) -> UInt64 { spreadBytes(a) | spreadBytes(b) &<< 8 }
    private static func punpcklwd(_ a: UInt64, _ b: UInt64) -> UInt64 { spreadWords(a) | spreadWords(b) &<< 16 }

    /// Four low bytes to the even bytes.
    private static func spreadBytes(_ x: UInt64) -> UInt64 {
        let words = spreadWords(x)
        return (words | words &<< 8) & 0x00FF_00FF_00FF_00FF
    }

    /// Two low words to the even words.
    private static func spreadWords(_ x: UInt64) -> UInt64 {
        let low = x & 0xFFFF_FFFF
        return (low | low &<< 16) & 0x0000_FFFF_0000_FFFF
    }
}
