import Glibc
import Hardware

/// A VDI image, dynamic or fixed: blocks of usually 1 MiB, in the file where a map says.
///
/// A block that is written first goes to the end of the file: its data, then the count in the header, then its place in the map, so that an
/// end of the process at any moment leaves a whole image. The file grows by many blocks at once, and is long enough on the host's medium
/// before the map speaks of them: after a power cut no entry points behind its end.
public final class VDIImage: Medium {
    public let sectorBytes = 512
    public let sectorCount: UInt64
    public let readOnly: Bool
    public var isFixed: Bool { header.isFixed }
    public var blockBytes: UInt64 { header.blockBytes }
    public private(set) var allocatedBlocks: UInt64
    public var blocks: UInt64 { header.blocks }
    private let header: VDIHeader
    private let file: HostFile
    private var map: [UInt32]
    /// Where the next new block goes, counted in blocks.
    private var next: UInt64
    /// The file holds so many bytes; beyond the end of the data they are zeros.
    private var fileBytes: UInt64

    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public convenience init(path: String, readOnly: Bool) throws(MediaError) {
        try self.init(HostFile(path: path, writable: !readOnly))
    }

    init(_ file: HostFile) throws(MediaError) {
        self.file = file
        readOnly = !file.writable
        do {
            header = try VDIHeader(file.peek(0, count: VDIHeader.bytes), fileBytes: file.bytes)
            (map, next, allocatedBlocks) = try VDIImage.map(header, file)
        } catch {
            switch error {
            case .notSupported(let format): throw .formatNotSupported(path: file.path, format: format)
            case .damaged(let reason): throw .damaged(path: file.path, format: "VDI", reason: reason)
            }
        }
        sectorCount = header.diskBytes / 512
        fileBytes = file.bytes
    }

    deinit {
        // What the file was grown by in advance.
        if !readOnly, fileBytes > max(dataEnd, file.bytes) { _ = file.truncate(max(dataEnd, file.bytes)) }
    }

    private var dataEnd: UInt64 { header.dataOffset + next * header.stride }

    private static func map(_ header: VDIHeader, _ file: HostFile) throws(VDIProblem) -> ([UInt32], UInt64, UInt64) {
        let bytes = file.peek(header.mapOffset, count: Int(header.blocks) * 4)
        guard bytes.count == Int(header.blocks) * 4 else { throw .damaged("its block map cannot be read") }
        let map = bytes.withUnsafeBytes { bytes in
            (0..<Int(header.blocks)).map { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        }
        var used = [UInt64](repeating: 0, count: Int(header.blocks) / 64 + 1)
        var next = header.allocated
        var count: UInt64 = 0
        for (block, entry) in map.enumerated() where entry != VDIHeader.unallocated && entry != VDIHeader.zero {
            let place = UInt64(entry)
            guard place < header.blocks, header.dataOffset + place * header.stride < file.bytes else {
                throw .damaged("its block \(block) would lie behind the end of the file")
            }
            guard used[Int(place >> 6)] >> (place & 63) & 1 == 0 else {
                throw .damaged("two of its blocks lie at the same place, one is block \(block)")
            }
            used[Int(place >> 6)] |= 1 << (place & 63)
            next = max(next, place + 1)
            count += 1
        }
        return (map, next, count)
    }

    /// Offset in the file of a block's data; nil: it reads as zeros.
    private func place(_ block: Int) -> UInt64? {
        let entry = map[block]
        guard entry != VDIHeader.unallocated, entry != VDIHeader.zero else { return nil }
        return header.dataOffset + UInt64(entry) * header.stride + header.extraBytes
    }

    /// Splits a range of the disk at the blocks' ends.
    private func pieces(
        _ offset: UInt64, _ count: UInt64, _ body: (_ block: Int, _ within: UInt64, _ done: UInt64, _ length: UInt64) -> Bool
    ) -> Bool {
        var done: UInt64 = 0
        while done < count {
            let (block, within) = (offset + done).quotientAndRemainder(dividingBy: header.blockBytes)
            let length = min(count - done, header.blockBytes - within)
            guard body(Int(block), within, done, length) else { return false }
            done += length
        }
        return true
    }

    // MARK: Medium

    public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        return pieces(sector * 512, UInt64(buffer.count)) { block, within, done, length in
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(done)..<Int(done + length)])
            guard let place = place(block) else {
                part.initializeMemory(as: UInt8.self, repeating: 0)
                return true
            }
            // The last block of an image may be cut short.
            return file.read(place + within, into: part, padded: true)
        }
    }

    public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard !readOnly, holds(sector, buffer.count) else { return false }
        return pieces(sector * 512, UInt64(buffer.count)) { block, within, done, length in
            let part = UnsafeRawBufferPointer(rebasing: buffer[Int(done)..<Int(done + length)])
            if let place = place(block) { return file.write(place + within, from: part) }
            // Zeros where zeros are read need no room.
            return isZero(part) || allocate(block, within, part)
        }
    }

    public func flush() -> Bool { readOnly || file.flush() }

    public func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard !readOnly, sector <= sectorCount, count <= sectorCount - sector else { return false }
        return pieces(sector * 512, count * 512) { block, within, _, length in
            guard let place = place(block) else { return true }
            // The place in the file is kept: moving other blocks into it could lose them in a crash. A hole takes no room.
            return file.zero(place + within, bytes: length, discard: discard)
        }
    }

    private func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let words = bytes.count / 8
        return (0..<words).allSatisfy { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) == 0 }
            && bytes[(words * 8)...].allSatisfy { $0 == 0 }
    }

    // MARK: Growing

    private func allocate(_ block: Int, _ within: UInt64, _ data: UnsafeRawBufferPointer) -> Bool {
        guard next < header.blocks else { return false }
        let start = header.dataOffset + next * header.stride
        guard grow(to: start + header.stride) else { return false }
        // What a process left here that ended before the map knew of it.
        if start < file.bytes, !file.zero(start, bytes: header.stride, discard: true) { return false }
        guard file.write(start + header.extraBytes + within, from: data), put(VDIHeader.allocatedOffset, UInt32(next + 1)),
            put(header.mapOffset + UInt64(block) * 4, UInt32(next))
        else { return false }
        map[block] = UInt32(next)
        next += 1
        allocatedBlocks += 1
        return true
    }

    private func put(_ offset: UInt64, _ value: UInt32) -> Bool { withUnsafeBytes(of: value.littleEndian) { file.write(offset, from: $0) } }

    /// Makes the file long enough, with holes, and waits until the host's medium knows.
    private func grow(to bytes: UInt64) -> Bool {
        guard bytes > fileBytes else { return true }
        let blocksAtOnce: UInt64 = 64
        let most = header.dataOffset + header.blocks * header.stride
        let target = max(bytes, min(most, fileBytes + blocksAtOnce * header.stride))
        guard file.truncate(target), file.flush() else { return false }
        fileBytes = target
        return true
    }
}
