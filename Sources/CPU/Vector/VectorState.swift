// MXCSR, XCR0, XSAVE and XRSTOR, fences, CLFLUSH. Source: SDM Vol. 1, "Managing State Using the XSAVE Feature Set"; Vol. 2, each instruction's page.
//
// Not implemented: XSAVEOPT, XSAVEC, XSAVES and the compacted format (CPUID does not show them; the format raises #GP).

/// State components that XCR0 knows, and where the AVX one lies in the standard format.
enum XState {
    static let x87: UInt64 = 1, sse: UInt64 = 2, avx: UInt64 = 4
    static let headerOffset = 512, avxOffset = 576
    static let bytes = 576, bytesWithAVX = 832
}

func vectorState(_ c: Core, _ o: OpPointer, _ word: VectorWord) throws(Fault) {
    switch word.action {
    case .ldmxcsr:
        let value = try c.load(c.effectiveLinear(o, 4, write: false), UInt32.self)
        if value & ~Core.mxcsrMask != 0 { throw .generalProtection }
        c.v.pointee.mxcsr = value
    case .stmxcsr: try c.store(c.effectiveLinear(o, 4, write: true), c.v.pointee.mxcsr)
    case .xgetbv:
        if c.cr4 & CR4.osxsave == 0 { throw .invalidOpcode }
        if c.ecx != 0 { throw .generalProtection }
        c.eax = UInt32(truncatingIfNeeded: c.v.pointee.xcr0)
        c.edx = UInt32(truncatingIfNeeded: c.v.pointee.xcr0 >> 32)
    case .xsetbv:
        if c.cr4 & CR4.osxsave == 0 { throw .invalidOpcode }
        try c.requireCPL0()
        let value = UInt64(c.edx) << 32 | UInt64(c.eax)
        let mask = c.t.pointee.processor.model.xcr0Mask
        guard c.ecx == 0, value & ~mask == 0, value & XState.x87 != 0, value & (XState.sse | XState.avx) != XState.avx else { throw .generalProtection }
        c.v.pointee.xcr0 = value
    case .xsave: try c.xsave(o)
    case .xrstor: try c.xrstor(o)
    // Memory is always in order here.
    case .fence: break
    case .clflush:
        // Checked like a load of one byte, without reading device registers.
        let linear = try c.effectiveLinear(o, 1, write: false)
        _ = try c.entry(for: linear & c.t.pointee.addressMask, .read)
    default: throw .lacking
    }
}

extension Core {
    /// The checks that XSAVE and XRSTOR share; the operand's address. The image may cross one page end.
    private func xstateOperand(_ o: OpPointer, _ components: UInt64, write: Bool) throws(Fault) -> UInt64 {
        if cr4 & CR4.osxsave == 0 { throw .invalidOpcode }
        if cr0 & CR0.ts != 0 { throw .deviceNotAvailable }
        let bytes = components & XState.avx != 0 ? XState.bytesWithAVX : XState.bytes
        let start = try effectiveLinear(o, bytes, write: write)
        if start & 63 != 0 { throw .generalProtection }
        if write {
            try probeWrite(start, 1)
            try probeWrite((start &+ UInt64(bytes - 1)) & t.pointee.addressMask, 1)
        }
        return start
    }

    private var requestedComponents: UInt64 { (UInt64(edx) << 32 | UInt64(eax)) & v.pointee.xcr0 }

    /// Components that are not in their initial configuration.
    private var componentsInUse: UInt64 {
        var used: UInt64 = 0
        let f = v.pointee.fpu
        var plain = f.control == 0x037F && f.status == 0 && f.top == 0 && f.empty == 0xFF
        plain = plain && f.opcode == 0 && f.instructionPointer == 0 && f.dataPointer == 0 && f.instructionSelector == 0 && f.dataSelector == 0
        for n in 0..<8 where f.significand[n] != 0 || f.signExponent[n] != 0 { plain = false }
        if !plain { used |= XState.x87 }
        for n in 0..<vectorCount {
            if vectorLow(UInt8(n)) != SIMD2() { used |= XState.sse }
            if vectorHigh(UInt8(n)) != SIMD2() { used |= XState.avx }
        }
        return used
    }

    /// XSAVE: the components that EDX:EAX and XCR0 name, whether in use or not; the header says which are. MXCSR goes with SSE and AVX.
    func xsave(_ o: OpPointer) throws(Fault) {
        let components = requestedComponents
        let start = try xstateOperand(o, components, write: true)
        let old = try load(within(start, XState.headerOffset), UInt64.self)
        if components & XState.x87 != 0 { try storeX87Image(start, wide: o.pointee.operandBytes == 8) }
        if components & (XState.sse | XState.avx) != 0 { try storeMXCSRImage(start) }
        if components & XState.sse != 0 { try storeXMMImage(start) }
        if components & XState.avx != 0 {
            for n in 0..<vectorCount {
                let high = vectorHigh(UInt8(n))
                try store(within(start, XState.avxOffset + 16 * n), high[0])
                try store(within(start, XState.avxOffset + 16 * n + 8), high[1])
            }
        }
        try store(within(start, XState.headerOffset), old & ~components | componentsInUse & components)
    }

    /// XRSTOR of the standard format: named components are loaded, or set to their initial configuration when the header says that they are not there.
    func xrstor(_ o: OpPointer) throws(Fault) {
        let components = requestedComponents
        let start = try xstateOperand(o, components, write: false)
        let present = try load(within(start, XState.headerOffset), UInt64.self)
        // XCOMP_BV and the 8 bytes after it are 0.
        let compact = try load(within(start, XState.headerOffset + 8), UInt64.self)
        let reserved = try load(within(start, XState.headerOffset + 16), UInt64.self)
        if present & ~v.pointee.xcr0 != 0 || compact != 0 || reserved != 0 { throw .generalProtection }
        // All that is wanted is read before anything changes.
        let loading = components & present
        var image = InlineArray<52, UInt64>(repeating: 0)
        var high = InlineArray<32, UInt64>(repeating: 0)
        if loading & XState.x87 != 0 { for n in [0, 1, 2] + Array(4..<20) { image[n] = try load(within(start, 8 * n), UInt64.self) } }
        if components & (XState.sse | XState.avx) != 0 { image[3] = try load(within(start, 24), UInt64.self) }
        if loading & XState.sse != 0 { for n in 20..<(20 + 2 * vectorCount) { image[n] = try load(within(start, 8 * n), UInt64.self) } }
        if loading & XState.avx != 0 { for n in 0..<(2 * vectorCount) { high[n] = try load(within(start, XState.avxOffset + 8 * n), UInt64.self) } }
        let mxcsr = UInt32(truncatingIfNeeded: image[3])
        if components & (XState.sse | XState.avx) != 0 {
            if mxcsr & ~Core.mxcsrMask != 0 { throw .generalProtection }
            v.pointee.mxcsr = mxcsr
        }
        if components & XState.x87 != 0 {
            if loading & XState.x87 != 0 {
                setX87Image(image, wide: o.pointee.operandBytes == 8)
            } else {
                fninit()
                for n in 0..<8 {
                    v.pointee.fpu.significand[n] = 0
                    v.pointee.fpu.signExponent[n] = 0
                }
            }
        }
        for n in 0..<vectorCount {
            let slot = vectorSlot(UInt8(n))
            if components & XState.sse != 0 { slot.storeBytes(of: SIMD2(image[20 + 2 * n], image[21 + 2 * n]), as: SIMD2<UInt64>.self) }
            if components & XState.avx != 0 { slot.storeBytes(of: SIMD2(high[2 * n], high[2 * n + 1]), toByteOffset: 16, as: SIMD2<UInt64>.self) }
        }
    }
}
