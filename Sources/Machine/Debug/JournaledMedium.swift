import Hardware

/// A medium of a machine that can go back: what a write is about to change is told of first, in blocks of 4 KiB.
final class JournaledMedium: Medium {
    let inner: any Medium
    /// Tells the media of a recording apart.
    let number: UInt64
    private let willWrite: (JournaledMedium, ClosedRange<UInt64>) -> Void

    init(_ inner: any Medium, number: UInt64, willWrite: @escaping (JournaledMedium, ClosedRange<UInt64>) -> Void) {
        (self.inner, self.number, self.willWrite) = (inner, number, willWrite)
    }

    var sectorBytes: Int { inner.sectorBytes }
    var sectorCount: UInt64 { inner.sectorCount }
    var readOnly: Bool { inner.readOnly }
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool { inner.read(sector: sector, into: buffer) }
    func flush() -> Bool { inner.flush() }
    func settle() { inner.settle() }

    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        tell(sector, UInt64(buffer.count / sectorBytes))
        return inner.write(sector: sector, from: buffer)
    }

    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        tell(sector, count)
        return inner.zero(sector: sector, count: count, discard: discard)
    }

    private func tell(_ sector: UInt64, _ count: UInt64) {
        guard count > 0, sector < sectorCount, count <= sectorCount - sector, !readOnly else { return }
        willWrite(self, sector / sectorsInBlock...(sector + count - 1) / sectorsInBlock)
    }

    // MARK: Blocks

    private var sectorsInBlock: UInt64 { UInt64(max(1, PagePool.pageBytes / sectorBytes)) }

    private func sectors(ofBlock block: UInt64) -> (first: UInt64, count: Int)? {
        let first = block.multipliedReportingOverflow(by: sectorsInBlock)
        guard !first.overflow, first.partialValue < sectorCount else { return nil }
        return (first.partialValue, Int(min(sectorsInBlock, sectorCount - first.partialValue)))
    }

    /// A block as it is. False: it cannot be read.
    func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard let (first, count) = sectors(ofBlock: block) else { return false }
        return inner.read(sector: first, into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count * sectorBytes]))
    }

    /// Makes a block what `bytes` holds (nil: zeros). False: it cannot be written.
    func put(block: UInt64, _ bytes: UnsafeRawPointer?) -> Bool {
        guard let (first, count) = sectors(ofBlock: block) else { return false }
        guard let bytes else { return inner.zero(sector: first, count: UInt64(count), discard: false) }
        return inner.write(sector: first, from: UnsafeRawBufferPointer(start: bytes, count: count * sectorBytes))
    }
}
