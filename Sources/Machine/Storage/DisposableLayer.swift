import Hardware

/// A medium over another one: what the guest writes goes to a nameless scratch file, the medium below is only read.
///
/// The scratch file has the size of the medium below and holes where nothing was written; it is gone when the layer is.
public final class DisposableLayer: Medium {
    public let sectorBytes: Int
    public let sectorCount: UInt64
    public let readOnly = false
    private let base: any Medium
    let scratch: HostFile
    /// Which sectors are in the scratch file: bit n of word w of chunk c stands for sector c × 4096 + w × 64 + n.
    var written: [UInt64: [UInt64]] = [:]

    /// - Throws: `MediaError.noScratchFile`.
    public init(over base: any Medium) throws(MediaError) {
        self.base = base
        sectorBytes = base.sectorBytes
        sectorCount = base.sectorCount
        scratch = try HostFile(scratchBytes: base.sectorCount * UInt64(base.sectorBytes))
    }

    public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        let count = buffer.count / sectorBytes
        var done = 0
        while done < count {
            let own = isWritten(sector + UInt64(done))
            var end = done + 1
            while end < count, isWritten(sector + UInt64(end)) == own { end += 1 }
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done * sectorBytes..<end * sectorBytes])
            let first = sector + UInt64(done)
            guard own ? scratch.read(first * UInt64(sectorBytes), into: piece) : base.read(sector: first, into: piece) else { return false }
            done = end
        }
        return true
    }

    public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count), scratch.write(sector * UInt64(sectorBytes), from: buffer) else { return false }
        for i in 0..<UInt64(buffer.count / sectorBytes) { mark(sector + i) }
        return true
    }

    public func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard sector <= sectorCount, count <= sectorCount - sector else { return false }
        // Holes in the scratch file, whoever asks: what lies below must not show through.
        guard scratch.zero(sector * UInt64(sectorBytes), bytes: count * UInt64(sectorBytes), discard: true) else { return false }
        for i in 0..<count { mark(sector + i) }
        return true
    }

    /// Nothing here outlives the run.
    public func flush() -> Bool { true }

    private func isWritten(_ sector: UInt64) -> Bool {
        guard let chunk = written[sector >> 12] else { return false }
        return chunk[Int(sector >> 6 & 63)] >> (sector & 63) & 1 != 0
    }

    private func mark(_ sector: UInt64) {
        written[sector >> 12, default: [UInt64](repeating: 0, count: 64)][Int(sector >> 6 & 63)] |= 1 << (sector & 63)
    }
}
