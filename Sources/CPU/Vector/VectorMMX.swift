// What SSE, SSE2 and SSSE3 added on the MMX registers. The work is done on XMM registers of the host, whose own MMX registers are never touched: an
// operation by elements gives the same in the low 64 bits, the others get their operands arranged so that it does.
// Source: SDM Vol. 2, each instruction's page; Vol. 2A, "Exceptions Conditions of Legacy SIMD Instructions Operating on MMX Registers".

extension Core {
    /// The checks of instructions on MMX registers. True: the instruction is backed out, an interrupt (FERR#) comes first.
    func enterMMXForm(vector: Bool) throws(Fault) -> Bool {
        if cr0 & CR0.em != 0 || (vector && cr4 & CR4.osfxsr == 0) { throw .invalidOpcode }
        if cr0 & CR0.ts != 0 { throw .deviceNotAvailable }
        if v.pointee.fpu.status & FSW.es != 0 { return try reportPendingException() }
        return false
    }

    func vectorMMX(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        // MMX registers have no REX bits.
        let reg = o.pointee.regField
        let rm = o.pointee.rmField
        let immediate = Int(o.pointee.imm & 0xFF)
        switch word.action {
        case .mmx, .mmxPairs, .mmxShuffle:
            var (first, second) = (SIMD2(mm(reg), 0), SIMD2(try mmxOperand(o), 0))
            // Horizontal sums take the first half of the result from the destination, the second from the source.
            if word.action == .mmxPairs { first[1] = second[0] }
            // Bit 3 of a selector counts on XMM registers only.
            if word.action == .mmxShuffle { second[0] &= 0x8787_8787_8787_8787 }
            setMM(reg, run(word, first, second)[0])
        case .mmxAlign:
            let (low, high) = (try mmxOperand(o), mm(reg))
            let shift = UInt64(8 * immediate)
            setMM(reg, immediate >= 16 ? 0 : immediate >= 8 ? high >> (shift - 64) : immediate == 0 ? low : low >> shift | high << (64 - shift))
        case .mmxInsert:
            let value = UInt64(try vectorGeneral(o, UInt16.self))
            let shift = UInt64(16 * (immediate & 3))
            setMM(reg, mm(reg) & ~(0xFFFF << shift) | value << shift)
        case .mmxExtract:
            setGPR(Int(o.pointee.a), UInt32((mm(rm) >> UInt64(16 * (immediate & 3))) & 0xFFFF))
            enterMMX()
        case .mmxMask:
            var mask: UInt32 = 0
            for n in 0..<8 where mm(rm) & (0x80 << UInt64(8 * n)) != 0 { mask |= 1 << UInt32(n) }
            setGPR(Int(o.pointee.a), mask)
            enterMMX()
        case .mmxMaskStore:
            vectorScratch.storeBytes(of: mm(reg), as: UInt64.self)
            (vectorScratch + 64).storeBytes(of: mm(rm), as: UInt64.self)
            try byteMaskStore(o, vectorScratch, mask: vectorScratch + 64, bytes: 8)
            enterMMX()
        case .movntq:
            try store(effectiveLinear(o, 8, write: true), mm(reg))
            enterMMX()
        case .movq2dq:
            setVector(o, SIMD2(mm(rm), 0))
            enterMMX()
        case .movdq2q: setMM(reg, vectorLow(o.pointee.b)[0])
        case .mmxToSingle, .mmxToDouble: try mmxToVector(o, word)
        case .vectorToMMX: try vectorToMMX(o, word, reg)
        default: throw .lacking
        }
    }

    private func run(_ word: VectorWord, _ first: SIMD2<UInt64>, _ second: SIMD2<UInt64>) -> SIMD2<UInt64> {
        let (destination, source) = (vectorScratch + 64, vectorScratch)
        destination.storeBytes(of: first, as: SIMD2<UInt64>.self)
        source.storeBytes(of: second, as: SIMD2<UInt64>.self)
        _ = word.routine(destination, vectorBase, source, vectorScratch + 128)
        return destination.loadUnaligned(as: SIMD2<UInt64>.self)
    }

    /// CVTPI2PS, CVTPI2PD: two integers. The two elements above are zeros, which convert without an exception.
    private func mmxToVector(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        let source = try mmxOperand(o)
        let place = vectorScratch
        place.storeBytes(of: SIMD2(source, 0), as: SIMD2<UInt64>.self)
        let result = vectorScratch + 192
        _ = try runFloat(o, word, result, vectorBase, place)
        let value = result.loadUnaligned(as: SIMD2<UInt64>.self)
        // Only the PS form leaves the upper half alone. The PD form does not enter MMX state when the operand is memory.
        let isSingle = word.action == .mmxToSingle
        setVector(o, isSingle ? SIMD2(value[0], vectorLow(o.pointee.a)[1]) : value)
        if isSingle || o.pointee.isRegisterForm { enterMMX() }
    }

    /// CVTPS2PI, CVTPD2PI and the truncating ones.
    private func vectorToMMX(_ o: OpPointer, _ word: VectorWord, _ reg: Int) throws(Fault) {
        var source = (o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)).loadUnaligned(as: SIMD2<UInt64>.self)
        // Of four single elements two are converted.
        if word.bytes == 8 { source[1] = 0 }
        let place = vectorScratch
        place.storeBytes(of: source, as: SIMD2<UInt64>.self)
        let result = vectorScratch + 192
        _ = try runFloat(o, word, result, vectorBase, place)
        setMM(reg, result.loadUnaligned(as: UInt64.self))
    }
}
