// Dispatch of SIMD instructions. Source: SDM Vol. 2A, "Exception Specifications" (classes 1–13, legacy SIMD and MMX); Vol. 1, chapters on SSE to AVX2
// and FMA, "SIMD Floating-Point Exception Conditions"; Vol. 3A, "System Programming for Instruction Set Extensions".
//
// Not implemented: with an unmasked underflow exception, DPPS and DPPD look for tiny results in the sum only, not in its terms. When an unmasked overflow
// or underflow raises #XM, PE is that of the masked response, not of the result with an unbounded exponent.

/// A resolved SIMD operation, kept in `Op.wide`: the action in bits 57–63, the check before it in 54–56, "aligned operand" in 53, "general register
/// of 64 bits" in 52, "uses MXCSR" in 51, log2 of the bytes of the memory operand in 47–49, the routine's address in 0–46.
struct VectorWord {
    var raw: UInt64

    init(_ action: VectorAction, _ check: VectorCheck, aligned: Bool, wide: Bool, float: Bool, bytes: Int, routine: UInt) {
        raw = UInt64(action.rawValue) << 57 | UInt64(check.rawValue) << 54 | (aligned ? 1 << 53 : 0) | (wide ? 1 << 52 : 0) | (float ? 1 << 51 : 0)
        raw |= UInt64(max(bytes, 1).trailingZeroBitCount) << 47 | UInt64(routine)
    }

    @inline(__always) init(raw: UInt64) { self.raw = raw }

    /// Only ever made of cases, whose tags are the raw values.
    @inline(__always) var action: VectorAction { unsafeBitCast(UInt8(truncatingIfNeeded: raw &>> 57), to: VectorAction.self) }
    @inline(__always) var check: UInt64 { (raw &>> 54) & 7 }
    @inline(__always) var isAligned: Bool { raw & (1 &<< 53) != 0 }
    @inline(__always) var isWide: Bool { raw & (1 &<< 52) != 0 }
    @inline(__always) var isFloat: Bool { raw & (1 &<< 51) != 0 }
    @inline(__always) var bytes: Int { 1 &<< (Int(truncatingIfNeeded: raw &>> 47) & 7) }
    @inline(__always) var routine: HostVector.Routine {
        unsafeBitCast(UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: raw & (1 &<< 47 &- 1))).unsafelyUnwrapped, to: HostVector.Routine.self)
    }
}

/// What must hold before the instruction does anything.
enum VectorCheck: UInt8 {
    case none, sse, avx, mmx, mmxAndVector, vexGeneral
}

/// Executes a SIMD instruction: `sub` is the form, `a` and `b` are register numbers 0–15 (reg, and r/m in the register form); `imm` holds the
/// immediate byte in bits 0–7, vvvv in 8–11, VEX.L in 12, W in 13, VEX in 14.
@inline(never)
func executeVector(_ c: Core, _ o: OpPointer) throws(Fault) {
    var word = VectorWord(raw: o.pointee.wide)
    if word.raw == 0 { word = try resolveVector(c, o) }
    switch word.check {
    case 1: if c.cr0 & (CR0.em | CR0.ts) != 0 || c.cr4 & CR4.osfxsr == 0 { throw c.sseFault }
    case 2: if c.cr0 & CR0.ts != 0 || c.cr4 & CR4.osxsave == 0 || c.v.pointee.xcr0 & 6 != 6 || c.isRealOrV86 { throw c.avxFault }
    case 3, 4: if try c.enterMMXForm(vector: word.check == 4) { return }
    case 5: if c.isRealOrV86 { throw .invalidOpcode }
    default: break
    }
    switch word.action {
    case .compute:
        let source = o.pointee.isRegisterForm ? c.vectorSlot(o.pointee.b) : try c.vectorSource(o, word)
        _ = word.routine(c.vectorSlot(o.pointee.a), c.vectorSecond(o), source, c.vectorFourth(o))
    case .computeFloat:
        let source = o.pointee.isRegisterForm ? c.vectorSlot(o.pointee.b) : try c.vectorSource(o, word)
        _ = try c.runFloat(o, word, c.vectorSlot(o.pointee.a), c.vectorSecond(o), source)
    case .load: try c.vectorLoad(o, word)
    case .store: try c.storeVector(try c.vectorAddress(o, word, write: true), c.vectorSlot(o.pointee.a), word.bytes)
    case .xor: try c.vectorLogic(o, word) { $0 ^ $1 }
    case .and: try c.vectorLogic(o, word) { $0 & $1 }
    case .or: try c.vectorLogic(o, word) { $0 | $1 }
    case .andn: try c.vectorLogic(o, word) { ~$0 & $1 }
    case .loadGeneral:
        let value = word.bytes == 8 ? try c.vectorGeneral(o, UInt64.self) : UInt64(try c.vectorGeneral(o, UInt32.self))
        c.setVector(o, SIMD2(value, 0))
    case .storeGeneral:
        let value = c.vectorLow(o.pointee.a)[0]
        if word.bytes == 8 { try c.setVectorGeneral(o, value) } else { try c.setVectorGeneral(o, UInt32(truncatingIfNeeded: value)) }
    case .storeQuad, .storeHigh, .merge4, .merge8, .loadLow, .loadHigh, .highToLow, .lowToHigh, .insert, .extract, .extractWord, .extract128,
        .broadcast128, .zeroUpper, .zeroAll:
        try c.vectorMove(o, word)
    case .flags, .toGeneral, .fromGeneral, .stringMask, .stringIndex, .halfStore: try c.vectorSpecial(o, word)
    case .maskLoad4, .maskLoad8, .maskStore4, .maskStore8, .byteMaskStore, .gather44, .gather48, .gather84, .gather88: try c.vectorMasked(o, word)
    case .mmx, .mmxPairs, .mmxShuffle, .mmxAlign, .mmxInsert, .mmxExtract, .mmxMask, .mmxMaskStore, .movntq, .movq2dq, .movdq2q, .mmxToSingle, .mmxToDouble,
        .vectorToMMX:
        try c.vectorMMX(o, word)
    case .popcnt, .tzcnt, .lzcnt, .crc32, .movbeLoad, .movbeStore, .movnti, .rdrand, .andNot, .blsr, .blsmsk, .blsi, .bzhi, .pext, .pdep, .mulx, .bextr,
        .shlx, .sarx, .shrx, .rorx:
        try generalExtension(c, o, word)
    case .ldmxcsr, .stmxcsr, .xgetbv, .xsetbv, .xsave, .xrstor, .fence, .clflush: try vectorState(c, o, word)
    case .none: throw .lacking
    }
}

/// First execution of a decoded operation: what never changes for it is put into the operation.
@inline(never)
func resolveVector(_ c: Core, _ o: OpPointer) throws(Fault) -> VectorWord {
    let form = Int(o.pointee.sub)
    guard form < VectorMap.rows.count else { throw .lacking }
    let row = VectorMap.rows[form]
    let p = UnsafeMutablePointer(mutating: o)
    if row.ignoresLength { p.pointee.imm &= ~0x1000 }
    let vex = p.pointee.imm & 0x4000 != 0
    let long = p.pointee.imm & 0x1000 != 0
    let wide = p.pointee.flags & 3 == 3
    let register = p.pointee.isRegisterForm
    var action = row.action
    // What works on registers alone becomes the form that moves the other way.
    if row.reversed || (register && (action == .store || action == .storeQuad)) {
        (p.pointee.a, p.pointee.b) = (p.pointee.b, p.pointee.a)
        if action == .store || action == .storeQuad { action = .load }
    }
    if row.isShiftGroup { p.pointee.a = vex ? p.pointee.vvvv : p.pointee.b }
    // Outside of 64-bit mode bit 7 does not count.
    if row.has("L") && !c.is64 { p.pointee.imm &= ~0x80 }
    if row.isGather {
        let (destination, index, mask) = (p.pointee.a, p.pointee.index, p.pointee.vvvv)
        if destination == index || destination == mask || index == mask { throw .invalidOpcode }
    }
    let bytes = row.memoryBytes(long: long, wide: wide, operandBytes: p.pointee.operandBytes)
    var routine: UInt = 0
    if action.usesRoutine {
        guard CPUFeatures.host.contains((vex ? long ? row.vex256 : row.vex128 : row.legacy) ?? []) else { throw .lacking }
        var variant = HostVector.Variant(row: row, vex: vex, long: long, memoryBytes: bytes)
        variant.wide = row.wide == 1 || (wide && row.widthMatters)
        variant.immediate = UInt8(truncatingIfNeeded: p.pointee.imm)
        // INSERTPS from memory: the source is one element, its number does not count.
        if row.opcode == 0x21 && row.map == 3 && !register { variant.immediate &= 0x3F }
        routine =
            switch action {
            case .crc32, .pdep, .pext: HostVector.scalar(action, row.memoryOperand?.size == "b" ? 1 : p.pointee.operandBytes)
            default: HostVector.routine(form: form, variant)
            }
        guard routine != 0 else { throw .lacking }
    }
    let word = VectorWord(
        action, row.check(vex: vex), aligned: row.isAligned(vex: vex, bytes: bytes), wide: wide && row.widthMatters, float: row.isFloat, bytes: bytes,
        routine: routine)
    p.pointee.wide = word.raw
    return word
}

extension Op {
    /// VEX.vvvv of a SIMD operation.
    @inline(__always) var vvvv: UInt8 { UInt8(truncatingIfNeeded: imm &>> 8) & 15 }
    @inline(__always) var isVEX: Bool { imm & 0x4000 != 0 }
    @inline(__always) var isLong: Bool { imm & 0x1000 != 0 }
}

extension VectorAction {
    var usesRoutine: Bool {
        switch self {
        case .mmx, .mmxPairs, .mmxShuffle, .mmxToSingle, .mmxToDouble, .vectorToMMX, .crc32, .pdep, .pext: true
        case .compute, .computeFloat, .flags, .toGeneral, .fromGeneral, .stringMask, .stringIndex, .halfStore: true
        default: false
        }
    }
}

extension VectorRow {
    var isGather: Bool { exceptions == "G" }

    /// REX.W or VEX.W makes another instruction: general registers of 64 bits, explicit lengths of PCMPESTRx.
    var widthMatters: Bool { operands.contains { $0.size == "y" } || action == .stringMask || action == .stringIndex }

    func check(vex: Bool) -> VectorCheck {
        switch exceptions {
        case "R": vex ? .vexGeneral : .none
        case "S": .none
        case "M":
            switch action {
            case .mmxToSingle, .mmxToDouble, .vectorToMMX, .movq2dq, .movdq2q: .mmxAndVector
            default: .mmx
            }
        default: vex ? .avx : .sse
        }
    }
}

// MARK: Operands

extension Core {
    /// #UD before #NM.
    var sseFault: Fault { cr0 & CR0.em != 0 || cr4 & CR4.osfxsr == 0 ? .invalidOpcode : .deviceNotAvailable }
    var avxFault: Fault {
        cr4 & CR4.osxsave == 0 || v.pointee.xcr0 & 6 != 6 || isRealOrV86 ? .invalidOpcode : .deviceNotAvailable
    }

    @inline(__always) var vectorBase: UnsafeMutableRawPointer { withUnsafeMutablePointer(to: &v.pointee.vector) { UnsafeMutableRawPointer($0) } }
    /// Where register `number` lies: 32 bytes.
    @inline(__always) func vectorSlot(_ number: UInt8) -> UnsafeMutableRawPointer { vectorBase + Int(number) &* 32 }

    /// 256 bytes beside `Transient`: a staged memory operand at 0, a second one at 64, MXCSR or general registers for a routine at 128.
    @inline(__always) var vectorScratch: UnsafeMutableRawPointer { base + Core.vectorScratchOffset }
    static let vectorScratchOffset = 0x2600

    /// vvvv with VEX, else XMM0 (the implied mask of the blends; no other legacy form looks at it).
    @inline(__always)
    func vectorSecond(_ o: OpPointer) -> UnsafeMutableRawPointer { o.pointee.isVEX ? vectorSlot(o.pointee.vvvv) : vectorBase }

    /// The register in immediate bits 7–4, for the few that have one.
    @inline(__always)
    func vectorFourth(_ o: OpPointer) -> UnsafeMutableRawPointer { vectorSlot(UInt8(truncatingIfNeeded: o.pointee.imm) &>> 4) }

    @inline(__always)
    func vectorLow(_ number: UInt8) -> SIMD2<UInt64> { vectorSlot(number).loadUnaligned(as: SIMD2<UInt64>.self) }
    @inline(__always)
    func vectorHigh(_ number: UInt8) -> SIMD2<UInt64> { vectorSlot(number).loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self) }

    /// Writes the destination's low 128 bits; with VEX the upper half becomes 0.
    @inline(__always)
    func setVector(_ o: OpPointer, _ value: SIMD2<UInt64>) { setVector(o, o.pointee.a, value) }
    @inline(__always)
    func setVector(_ o: OpPointer, _ number: UInt8, _ value: SIMD2<UInt64>) {
        vectorSlot(number).storeBytes(of: value, as: SIMD2<UInt64>.self)
        if o.pointee.isVEX { vectorSlot(number).storeBytes(of: SIMD2<UInt64>(), toByteOffset: 16, as: SIMD2<UInt64>.self) }
    }
    @inline(__always)
    func setVector(_ o: OpPointer, low: SIMD2<UInt64>, high: SIMD2<UInt64>) {
        vectorSlot(o.pointee.a).storeBytes(of: low, as: SIMD2<UInt64>.self)
        vectorSlot(o.pointee.a).storeBytes(of: high, toByteOffset: 16, as: SIMD2<UInt64>.self)
    }

    /// The r/m operand in a general register or memory.
    @inline(__always)
    func vectorGeneral<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _: T.Type) throws(Fault) -> T {
        o.pointee.isRegisterForm ? gpr(Int(o.pointee.b), T.self) : try load(effectiveLinear(o, T.bitWidth / 8, write: false), T.self)
    }
    @inline(__always)
    func setVectorGeneral<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ value: T) throws(Fault) {
        if o.pointee.isRegisterForm { setGPR(Int(o.pointee.b), value) } else { try store(effectiveLinear(o, T.bitWidth / 8, write: true), value) }
    }

    // MARK: Memory

    /// Linear address of the memory operand, aligned where the class wants it (#GP(0), for SS too).
    @inline(__always)
    func vectorAddress(_ o: OpPointer, _ word: VectorWord, write: Bool) throws(Fault) -> UInt64 {
        let linear = try effectiveLinear(o, word.bytes, write: write)
        if word.isAligned && linear & UInt64(word.bytes &- 1) != 0 { throw .generalProtection }
        return linear
    }

    /// The memory operand for a routine: where it lies on the host if that is whole, else a copy.
    @inline(__always)
    func vectorSource(_ o: OpPointer, _ word: VectorWord) throws(Fault) -> UnsafeMutableRawPointer {
        let linear = try vectorAddress(o, word, write: false)
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        let bytes = word.bytes
        if _fastPath(entry.pointee.read == (linear &+ UInt64(bytes &- 1)) & ~0xFFF) {
            let p = UnsafeMutableRawPointer(bitPattern: entry.pointee.addend &+ UInt(truncatingIfNeeded: linear)).unsafelyUnwrapped
            if bytes >= 16 { return p }
            if bytes >= 4 {
                // A scalar, zero-extended in one store so that the routine's load of 16 bytes is forwarded.
                let value = bytes == 8 ? p.loadUnaligned(as: UInt64.self) : UInt64(p.loadUnaligned(as: UInt32.self))
                vectorScratch.storeBytes(of: SIMD2(value, 0), as: SIMD2<UInt64>.self)
                return vectorScratch
            }
        }
        return try stageVector(linear, bytes)
    }

    /// Copies a memory operand into the scratch area, zero-extended to 16 bytes.
    @inline(never)
    func stageVector(_ linear: UInt64, _ bytes: Int) throws(Fault) -> UnsafeMutableRawPointer {
        let place = vectorScratch
        switch bytes {
        case 1: place.storeBytes(of: SIMD2(UInt64(try load(linear, UInt8.self)), 0), as: SIMD2<UInt64>.self)
        case 2: place.storeBytes(of: SIMD2(UInt64(try load(linear, UInt16.self)), 0), as: SIMD2<UInt64>.self)
        case 4: place.storeBytes(of: SIMD2(UInt64(try load(linear, UInt32.self)), 0), as: SIMD2<UInt64>.self)
        case 8: place.storeBytes(of: SIMD2(try load(linear, UInt64.self), 0), as: SIMD2<UInt64>.self)
        default:
            try proveRead(linear, bytes)
            for n in 0..<(bytes &>> 4) {
                let at = linear &+ UInt64(16 &* n)
                let low = try load(at & t.pointee.addressMask, UInt64.self)
                let high = try load((at &+ 8) & t.pointee.addressMask, UInt64.self)
                place.storeBytes(of: SIMD2(low, high), toByteOffset: 16 &* n, as: SIMD2<UInt64>.self)
            }
        }
        return place
    }

    /// An operand over a page end: both pages are proved before a device register may be read.
    private func proveRead(_ linear: UInt64, _ bytes: Int) throws(Fault) {
        let first = linear & t.pointee.addressMask
        _ = try entry(for: first, .read)
        let last = (first &+ UInt64(bytes &- 1)) & t.pointee.addressMask
        if last & ~0xFFF != first & ~0xFFF { _ = try entry(for: last & ~0xFFF, .read) }
    }

    /// Stores 1 to 32 bytes; a fault leaves memory as it is.
    @inline(__always)
    func storeVector(_ linear: UInt64, _ source: UnsafeMutableRawPointer, _ bytes: Int) throws(Fault) {
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        if _fastPath(entry.pointee.write == (linear &+ UInt64(bytes &- 1)) & ~0xFFF) {
            let p = UnsafeMutableRawPointer(bitPattern: entry.pointee.addend &+ UInt(truncatingIfNeeded: linear)).unsafelyUnwrapped
            switch bytes {
            case 16: p.storeBytes(of: source.loadUnaligned(as: SIMD2<UInt64>.self), as: SIMD2<UInt64>.self)
            case 8: p.storeBytes(of: source.loadUnaligned(as: UInt64.self), as: UInt64.self)
            case 4: p.storeBytes(of: source.loadUnaligned(as: UInt32.self), as: UInt32.self)
            default:
                p.storeBytes(of: source.loadUnaligned(as: SIMD2<UInt64>.self), as: SIMD2<UInt64>.self)
                p.storeBytes(of: source.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self), toByteOffset: 16, as: SIMD2<UInt64>.self)
            }
            return
        }
        try storeVectorSlow(linear, source, bytes)
    }

    @inline(never)
    private func storeVectorSlow(_ linear: UInt64, _ source: UnsafeMutableRawPointer, _ bytes: Int) throws(Fault) {
        switch bytes {
        case 8: try store(linear, source.loadUnaligned(as: UInt64.self))
        case 4: try store(linear, source.loadUnaligned(as: UInt32.self))
        default:
            try probeWrite(linear, bytes)
            for n in 0..<(bytes &>> 3) {
                try store((linear &+ UInt64(8 &* n)) & t.pointee.addressMask, source.loadUnaligned(fromByteOffset: 8 &* n, as: UInt64.self))
            }
        }
    }
}
