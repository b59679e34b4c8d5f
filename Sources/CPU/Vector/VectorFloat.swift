// Instructions that run by a routine but are no plain "register := operation": MXCSR and #XM, flags, general registers, strings.
// Source: SDM Vol. 1, "SIMD Floating-Point Exception Conditions", "Masked and Unmasked Responses"; Vol. 2, PCMPESTRI … PCMPISTRM.

enum MXCSR {
    /// Flags: IE DE ZE are found before the operation, OE UE PE after it.
    static let flags: UInt32 = 0x3F, before: UInt32 = 7
    static let ue: UInt32 = 0x10
    static let daz: UInt32 = 0x40, masks: UInt32 = 0x1F80, underflowMask: UInt32 = 0x800, rounding: UInt32 = 0x6000, fz: UInt32 = 0x8000
    static let initial: UInt32 = 0x1F80
}

extension Core {
    /// Runs a floating-point routine on the guest's MXCSR. Throws #XM for an unmasked exception; the destination is unchanged then.
    @inline(__always)
    func runFloat(
        _ o: OpPointer, _ word: VectorWord, _ destination: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer
    ) throws(Fault) -> UInt64 {
        if _fastPath(v.pointee.mxcsr & MXCSR.masks == MXCSR.masks) {
            return withUnsafeMutablePointer(to: &v.pointee.mxcsr) { word.routine(destination, second, source, UnsafeMutableRawPointer($0)) }
        }
        return try runGuarded(o, word, destination, second, source)
    }

    /// With an exception unmasked: the routine runs with all of them masked, then its flags are compared with the masks.
    @inline(never)
    func runGuarded(
        _ o: OpPointer, _ word: VectorWord, _ destination: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer
    ) throws(Fault) -> UInt64 {
        let mxcsr = v.pointee.mxcsr
        let context = vectorScratch + 128
        let copy = vectorScratch + 64
        copy.copyMemory(from: destination, byteCount: 32)
        // Results are flushed to zero only while underflow is masked.
        let flush = mxcsr & MXCSR.underflowMask != 0 ? mxcsr & MXCSR.fz : 0
        context.storeBytes(of: mxcsr & (MXCSR.rounding | MXCSR.daz) | flush | MXCSR.masks, as: UInt32.self)
        let answer = word.routine(copy, second, source, context)
        var flags = context.loadUnaligned(as: UInt32.self) & MXCSR.flags
        // Unmasked, a tiny result is an underflow even if it is exact.
        if mxcsr & MXCSR.underflowMask == 0 && hasTinyResult(o, word.action == .halfStore ? source : copy) { flags |= MXCSR.ue }
        let raised = flags & ~(mxcsr &>> 7)
        if raised & MXCSR.before != 0 {
            v.pointee.mxcsr = mxcsr | flags & MXCSR.before
        } else {
            v.pointee.mxcsr = mxcsr | flags
        }
        if raised != 0 { throw cr4 & CR4.osxmmexcpt != 0 ? .simdFloat : .invalidOpcode }
        destination.copyMemory(from: copy, byteCount: 32)
        return answer
    }

    /// A subnormal element in the result of an operation that can underflow.
    private func hasTinyResult(_ o: OpPointer, _ result: UnsafeMutableRawPointer) -> Bool {
        let row = VectorMap.rows[Int(o.pointee.sub)]
        let size = row.underflow
        guard size != 0 else { return false }
        var bytes = o.pointee.isLong ? 32 : 16
        if row.exceptions == "3" { bytes = size }
        if size == 2 { bytes /= 2 }
        for at in stride(from: 0, to: bytes, by: size) {
            switch size {
            case 2:
                let x = result.loadUnaligned(fromByteOffset: at, as: UInt16.self) & 0x7FFF
                if x != 0 && x < 0x0400 { return true }
            case 4:
                let x = result.loadUnaligned(fromByteOffset: at, as: UInt32.self) & 0x7FFF_FFFF
                if x != 0 && x < 0x0080_0000 { return true }
            default:
                let x = result.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x7FFF_FFFF_FFFF_FFFF
                if x != 0 && x < 0x0010_0000_0000_0000 { return true }
            }
        }
        return false
    }

    /// EFLAGS from the answer of a routine: AH as LAHF, AL the overflow flag.
    private func setFlags(answer: UInt64) {
        setArithmeticFlags(UInt32(truncatingIfNeeded: answer &>> 8) & 0xD5 | (answer & 1 != 0 ? EFlags.of : 0))
    }

    func vectorSpecial(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        switch word.action {
        case .flags:
            let source = o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)
            let first = vectorSlot(o.pointee.a)
            setFlags(answer: word.isFloat ? try runFloat(o, word, first, vectorBase, source) : word.routine(first, vectorBase, source, vectorScratch))
        case .toGeneral:
            let source = o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)
            let copy = vectorScratch + 192
            let answer = word.isFloat ? try runFloat(o, word, copy, vectorBase, source) : word.routine(copy, vectorBase, source, vectorScratch)
            if word.isWide {
                setGPR(Int(o.pointee.a), answer)
            } else {
                setGPR(Int(o.pointee.a), UInt32(truncatingIfNeeded: answer))
            }
        case .fromGeneral:
            let value = word.bytes == 8 ? try vectorGeneral(o, UInt64.self) : UInt64(try vectorGeneral(o, UInt32.self))
            vectorScratch.storeBytes(of: value, as: UInt64.self)
            _ = try runFloat(o, word, vectorSlot(o.pointee.a), vectorSecond(o), vectorScratch)
        case .halfStore:
            let linear = o.pointee.isRegisterForm ? 0 : try vectorAddress(o, word, write: true)
            // The store is proved first: a page fault comes before #XM.
            if !o.pointee.isRegisterForm { try probeWrite(linear, word.bytes) }
            _ = try runFloat(o, word, vectorSlot(o.pointee.a), vectorBase, vectorScratch)
            if o.pointee.isRegisterForm {
                // 64 bits of result leave zeros above.
                setVector(o, o.pointee.b, vectorScratch.loadUnaligned(as: SIMD2<UInt64>.self))
            } else {
                try storeVector(linear, vectorScratch, word.bytes)
            }
        case .stringMask, .stringIndex:
            let source = o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)
            let context = vectorScratch + 128
            let wide = word.isWide
            context.storeBytes(of: wide ? gpr(0, UInt64.self) : UInt64(eax), toByteOffset: 16, as: UInt64.self)
            context.storeBytes(of: wide ? gpr(2, UInt64.self) : UInt64(edx), toByteOffset: 24, as: UInt64.self)
            let answer = word.routine(vectorSlot(o.pointee.a), vectorBase, source, context)
            if word.action == .stringIndex {
                ecx = context.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
            } else {
                setVector(o, 0, context.loadUnaligned(fromByteOffset: 32, as: SIMD2<UInt64>.self))
            }
            setFlags(answer: answer)
        default: throw .lacking
        }
    }
}

extension Fault {
    /// #XM: an unmasked SIMD floating-point exception.
    static let simdFloat = Fault(19)
}
