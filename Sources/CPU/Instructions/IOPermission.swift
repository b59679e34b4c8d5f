import Primitives

/// The right to IN, OUT, INS and OUTS.
///
/// Source: SDM Vol. 1, "Protected-Mode I/O", "I/O Permission Bit Map".
extension Core {
    /// Throws #GP(0) when neither IOPL nor the TSS's bitmap allows `bytes` at `port`. In virtual-8086 mode only the bitmap counts.
    /// Notes I/O breakpoints.
    func checkIO(_ port: UInt16, _ bytes: Int) throws(Fault) {
        if isProtected && (cpl > iopl || isV86) { try checkBitmap(port, bytes) }
        if v.pointee.dr[7] & 0xFF != 0 && cr4 & CR4.de != 0 { noteIOBreakpoints(port, bytes) }
    }

    private func checkBitmap(_ port: UInt16, _ bytes: Int) throws(Fault) {
        let tss = segment(Seg.tr)
        // A 16-bit TSS has no bitmap.
        guard tss.isPresent, tss.type & 8 != 0, tss.limit >= 0x67 else { throw .generalProtection }
        let map = UInt64(try loadSystem(tss.base &+ 0x66, UInt16.self))
        let at = map + UInt64(port >> 3)
        // Two bytes are always read; the bitmap ends with a byte of ones for that.
        guard at + 1 <= UInt64(tss.limit) else { throw .generalProtection }
        let bits = try loadSystem(tss.base &+ at, UInt16.self)
        let mask = (UInt16(1) << UInt16(bytes & 7)) &- 1
        if bits >> (port & 7) & mask != 0 { throw .generalProtection }
    }
}
