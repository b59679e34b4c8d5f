// Loads and stores under a mask, and gathers: elements whose mask bit is clear are neither read nor written, and fault not.
// Source: SDM Vol. 2, VMASKMOV, VPMASKMOV, MASKMOVDQU, VPGATHERDD/VPGATHERQD and their relatives; Vol. 2A, "VSIB Memory Addressing".

extension Core {
    func vectorMasked(_ o: OpPointer, _ word: VectorWord) throws(Fault) {
        switch word.action {
        case .maskLoad4: try maskLoad(o, word, UInt32.self)
        case .maskLoad8: try maskLoad(o, word, UInt64.self)
        case .maskStore4: try maskStore(o, word, UInt32.self)
        case .maskStore8: try maskStore(o, word, UInt64.self)
        case .byteMaskStore: try byteMaskStore(o, vectorSlot(o.pointee.a), mask: vectorSlot(o.pointee.b), bytes: 16)
        case .gather44: try gather(o, indexBytes: 4, UInt32.self)
        case .gather48: try gather(o, indexBytes: 4, UInt64.self)
        case .gather84: try gather(o, indexBytes: 8, UInt32.self)
        default: try gather(o, indexBytes: 8, UInt64.self)
        }
    }

    private func element<T: FixedWidthInteger & UnsignedInteger>(_ register: UInt8, _ n: Int, _: T.Type) -> T {
        vectorSlot(register).loadUnaligned(fromByteOffset: n &* (T.bitWidth / 8), as: T.self)
    }

    private func isSelected<T: FixedWidthInteger & UnsignedInteger>(_ register: UInt8, _ n: Int, _: T.Type) -> Bool {
        element(register, n, T.self).leadingZeroBitCount == 0
    }

    private func maskLoad<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ word: VectorWord, _: T.Type) throws(Fault) {
        let step = T.bitWidth / 8
        let offset = effectiveOffset(o)
        let result = vectorScratch + 64
        result.storeBytes(of: SIMD4<UInt64>(), as: SIMD4<UInt64>.self)
        for n in 0..<(word.bytes / step) where isSelected(o.pointee.vvvv, n, T.self) {
            let value = try load(Int(o.pointee.seg), (offset &+ UInt64(n &* step)) & o.pointee.addressMask, T.self)
            result.storeBytes(of: value, toByteOffset: n &* step, as: T.self)
        }
        vectorSlot(o.pointee.a).copyMemory(from: result, byteCount: 32)
    }

    /// All elements are proved writable before the first one is stored.
    private func maskStore<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ word: VectorWord, _: T.Type) throws(Fault) {
        let step = T.bitWidth / 8
        let offset = effectiveOffset(o)
        for n in 0..<(word.bytes / step) where isSelected(o.pointee.vvvv, n, T.self) {
            try probeWrite(linear(Int(o.pointee.seg), (offset &+ UInt64(n &* step)) & o.pointee.addressMask, step, write: true), step)
        }
        for n in 0..<(word.bytes / step) where isSelected(o.pointee.vvvv, n, T.self) {
            try store(Int(o.pointee.seg), (offset &+ UInt64(n &* step)) & o.pointee.addressMask, element(o.pointee.a, n, T.self))
        }
    }

    /// MASKMOVQ and MASKMOVDQU: to DS:rDI (or another segment), bytes whose mask byte has bit 7 set.
    func byteMaskStore(_ o: OpPointer, _ source: UnsafeMutableRawPointer, mask: UnsafeMutableRawPointer, bytes: Int) throws(Fault) {
        let offset = gpr(7, UInt64.self) & o.pointee.addressMask
        for storing in [false, true] {
            for n in 0..<bytes where mask.load(fromByteOffset: n, as: UInt8.self) & 0x80 != 0 {
                let place = try linear(Int(o.pointee.seg), (offset &+ UInt64(n)) & o.pointee.addressMask, 1, write: true)
                if storing { try store(place, source.load(fromByteOffset: n, as: UInt8.self)) } else { try probeWrite(place, 1) }
            }
        }
    }

    /// Elements are loaded from the lowest; each one that has arrived clears its mask element, so that a fault can be resumed. In the end the whole
    /// mask register is 0.
    private func gather<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, indexBytes: Int, _: T.Type) throws(Fault) {
        let step = T.bitWidth / 8
        let count = (o.pointee.isLong ? 32 : 16) / max(step, indexBytes)
        let (destination, mask) = (o.pointee.a, o.pointee.vvvv)
        let base = reg(o.pointee.base, UInt64.self) &+ UInt64(bitPattern: Int64(o.pointee.disp))
        // The mask as it stands is whole elements of ones or zeros: what a fault leaves behind is so too.
        for n in 0..<count {
            vectorSlot(mask).storeBytes(of: isSelected(mask, n, T.self) ? T.max : 0, toByteOffset: n &* step, as: T.self)
        }
        clear(mask, from: count &* step)
        for n in 0..<count where isSelected(mask, n, T.self) {
            let index =
                indexBytes == 4
                ? UInt64(bitPattern: Int64(Int32(bitPattern: element(o.pointee.index, n, UInt32.self)))) : element(o.pointee.index, n, UInt64.self)
            let value = try load(Int(o.pointee.seg), (base &+ index &<< UInt64(o.pointee.scale)) & o.pointee.addressMask, T.self)
            vectorSlot(destination).storeBytes(of: value, toByteOffset: n &* step, as: T.self)
            vectorSlot(mask).storeBytes(of: 0, toByteOffset: n &* step, as: T.self)
        }
        clear(destination, from: count &* step)
    }

    private func clear(_ register: UInt8, from start: Int) {
        (vectorSlot(register) + start).initializeMemory(as: UInt8.self, repeating: 0, count: 32 - start)
    }
}
