// Moves, logic and lane shuffles that need no routine. Source: SDM Vol. 2, each instruction's page.

extension Core {
    @inline(__always)
    func vectorLoad(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        let source = o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)
        switch word.bytes {
        case 32:
            setVector(
                o, low: source.loadUnaligned(as: SIMD2<UInt64>.self), high: source.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self))
        // MOVQ; from memory a scalar is staged with zeros above it.
        case 8: setVector(o, SIMD2(source.loadUnaligned(as: UInt64.self), 0))
        default: setVector(o, source.loadUnaligned(as: SIMD2<UInt64>.self))
        }
    }

    /// destination := operation(first, second) on all bits.
    @inline(__always)
    func vectorLogic(_ o: OpPointer, _ word: VectorWord, _ operation: (SIMD2<UInt64>, SIMD2<UInt64>) -> SIMD2<UInt64>) throws(Fault) {
        let source = o.pointee.isRegisterForm ? vectorSlot(o.pointee.b) : try vectorSource(o, word)
        let first = vectorSlot(o.pointee.isVEX ? o.pointee.vvvv : o.pointee.a)
        let low = operation(first.loadUnaligned(as: SIMD2<UInt64>.self), source.loadUnaligned(as: SIMD2<UInt64>.self))
        if o.pointee.isLong {
            let high = operation(
                first.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self), source.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self))
            setVector(o, low: low, high: high)
        } else {
            setVector(o, low)
        }
    }

    /// First source: vvvv, or without VEX the destination.
    @inline(__always)
    private func firstVector(_ o: OpPointer) -> SIMD2<UInt64> { vectorLow(o.pointee.isVEX ? o.pointee.vvvv : o.pointee.a) }

    func vectorMove(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        let immediate = Int(o.pointee.imm & 0xFF)
        switch word.action {
        case .storeQuad: try storeVector(try vectorAddress(o, word, write: true), vectorSlot(o.pointee.a), 8)
        case .storeHigh: try storeVector(try vectorAddress(o, word, write: true), vectorSlot(o.pointee.a) + 8, 8)
        case .merge4:
            let first = firstVector(o)
            let mask: UInt64 = 0xFFFF_FFFF
            setVector(o, SIMD2(first[0] & ~mask | vectorLow(o.pointee.b)[0] & mask, first[1]))
        case .merge8: setVector(o, SIMD2(vectorLow(o.pointee.b)[0], firstVector(o)[1]))
        case .loadLow:
            let value = try load(vectorAddress(o, word, write: false), UInt64.self)
            setVector(o, SIMD2(value, firstVector(o)[1]))
        case .loadHigh:
            let value = try load(vectorAddress(o, word, write: false), UInt64.self)
            setVector(o, SIMD2(firstVector(o)[0], value))
        case .highToLow: setVector(o, SIMD2(vectorLow(o.pointee.b)[1], firstVector(o)[1]))
        case .lowToHigh: setVector(o, SIMD2(firstVector(o)[0], vectorLow(o.pointee.b)[0]))
        case .insert: try vectorInsert(o, word, immediate)
        case .extract: try vectorExtract(o, word, immediate)
        case .extractWord:
            let value = vectorSlot(o.pointee.b).loadUnaligned(fromByteOffset: 2 * (immediate & 7), as: UInt16.self)
            setGPR(Int(o.pointee.a), UInt32(value))
        case .extract128:
            let half = vectorSlot(o.pointee.a) + 16 * (immediate & 1)
            if o.pointee.isRegisterForm {
                setVector(o, o.pointee.b, half.loadUnaligned(as: SIMD2<UInt64>.self))
            } else {
                try storeVector(try vectorAddress(o, word, write: true), half, 16)
            }
        case .broadcast128:
            let value = try vectorSource(o, word).loadUnaligned(as: SIMD2<UInt64>.self)
            setVector(o, low: value, high: value)
        case .zeroUpper:
            for n in 0..<vectorCount { vectorSlot(UInt8(n)).storeBytes(of: SIMD2<UInt64>(), toByteOffset: 16, as: SIMD2<UInt64>.self) }
        case .zeroAll: vectorBase.initializeMemory(as: UInt64.self, repeating: 0, count: 4 * vectorCount)
        default: throw .lacking
        }
    }

    /// XMM or YMM registers that the mode has.
    var vectorCount: Int { is64 ? 16 : 8 }

    private func vectorInsert(_ o: OpPointer, _ word: VectorWord, _ immediate: Int) throws(Fault) {
        let value: UInt64
        switch word.bytes {
        case 1: value = o.pointee.isRegisterForm ? gpr(Int(o.pointee.b), UInt64.self) : UInt64(try vectorGeneral(o, UInt8.self))
        case 2: value = UInt64(try vectorGeneral(o, UInt16.self))
        case 4: value = UInt64(try vectorGeneral(o, UInt32.self))
        default: value = try vectorGeneral(o, UInt64.self)
        }
        var result = firstVector(o)
        let position = (immediate & (16 / word.bytes - 1)) * word.bytes
        let (lane, shift) = (position >> 3, UInt64(8 * (position & 7)))
        let mask: UInt64 = (UInt64.max >> UInt64(64 - 8 * word.bytes)) << shift
        result[lane] = (result[lane] & ~mask) | ((value << shift) & mask)
        setVector(o, result)
    }

    private func vectorExtract(_ o: OpPointer, _ word: VectorWord, _ immediate: Int) throws(Fault) {
        let position = (immediate & (16 / word.bytes - 1)) * word.bytes
        let value = vectorLow(o.pointee.a)[position >> 3] >> UInt64(8 * (position & 7))
        let register = o.pointee.isRegisterForm
        switch word.bytes {
        // General registers take 32 bits at least.
        case 1: if register { setGPR(Int(o.pointee.b), UInt32(value & 0xFF)) } else { try setVectorGeneral(o, UInt8(truncatingIfNeeded: value)) }
        case 2: if register { setGPR(Int(o.pointee.b), UInt32(value & 0xFFFF)) } else { try setVectorGeneral(o, UInt16(truncatingIfNeeded: value)) }
        case 4: try setVectorGeneral(o, UInt32(truncatingIfNeeded: value))
        default: try setVectorGeneral(o, value)
        }
    }
}
