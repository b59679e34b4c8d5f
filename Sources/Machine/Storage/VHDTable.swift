import Glibc
import Hardware

/// The block table of a VHD that grows: all of it in memory, and the bitmaps of differencing ones as they are needed.
///
/// Blocks that are written here are whole: all bits of their bitmaps are set.
struct VHDTable: BlockTable {
    static let format = ImageFormat.vhd
    let header: VHDHeader
    private(set) var map: [UInt32]
    private var end: GrowingEnd
    private var waiting: [UInt64] = []
    /// Of blocks that are not whole, by block.
    private var bitmaps: [UInt64: [Bool]] = [:]
    /// Blocks that are.
    private var whole: Set<UInt64> = []

    init(_ file: HostFile) throws(ImageProblem) { try self.init(VHDHeader(file), file) }

    init(_ header: VHDHeader, _ file: HostFile) throws(ImageProblem) {
        self.header = header
        let bytes = file.peek(header.tableOffset, count: Int(header.entries) * 4)
        guard bytes.count == Int(header.entries) * 4 else { throw .damaged("its block table cannot be read") }
        map = bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        }
        var next = max(header.sparseOffset + UInt64(VHDHeader.sparseBytes), header.tableOffset + header.entries * 4)
        if header.kind == .differencing, let locator = VHDHeader.locator(file.peek(header.sparseOffset, count: VHDHeader.sparseBytes)) {
            if locator.place <= file.bytes, locator.room <= 1 << 20 { next = max(next, locator.place + locator.room) }
        }
        for (block, entry) in map.enumerated() where entry != VHDHeader.unused {
            let place = UInt64(entry) * 512
            guard place + header.bitmapBytes < file.bytes, place >= 512 else {
                throw .damaged("its block \(block) would lie behind the end of the file")
            }
            next = max(next, place + header.bitmapBytes + header.blockBytes)
        }
        end = GrowingEnd(next: (next + 511) / 512 * 512, length: file.bytes)
    }

    var variant: String { header.kind == .differencing ? "differencing" : "dynamic" }
    var identity: ImageIdentity? { ImageIdentity(id: header.id, modification: .zeros(16)) }
    var diskBytes: UInt64 { header.diskBytes / 512 * 512 }
    var blockShift: UInt64 { UInt64(header.blockBytes.trailingZeroBitCount) }
    var hasZeroBlocks: Bool { false }
    var isDirty: Bool { !waiting.isEmpty }

    mutating func look(_ block: UInt64, _ file: HostFile) -> BlockPlace? {
        guard block < UInt64(map.count) else { return nil }
        let entry = map[Int(block)]
        guard entry != VHDHeader.unused else { return .absent }
        let place = UInt64(entry) * 512 + header.bitmapBytes
        // Without a layer below, a sector whose bit is not set holds zeros.
        guard header.kind == .differencing, !whole.contains(block) else { return .at(place) }
        guard let bits = present(block, file) else { return nil }
        if bits.isEmpty { return .at(place) }
        return .mixed(place)
    }

    /// - Returns: empty: all.
    mutating func present(_ block: UInt64, _ file: HostFile) -> [Bool]? {
        if let known = bitmaps[block] { return known }
        var bytes = [UInt8].zeros(Int(header.bitmapBytes))
        guard bytes.withUnsafeMutableBytes({ file.read(UInt64(map[Int(block)]) * 512, into: $0, padded: true) }) else { return nil }
        let sectors = Int(header.blockBytes / 512)
        let bits = (0..<sectors).map { bytes[$0 >> 3] & (0x80 >> UInt8($0 & 7)) != 0 }
        if bits.allSatisfy({ $0 }) {
            whole.insert(block)
            return []
        }
        if bitmaps.count >= 1024 { bitmaps = [:] }
        bitmaps[block] = bits
        return bits
    }

    mutating func begin(_ file: HostFile) -> Bool { true }

    mutating func reserve(_ block: UInt64, _ file: HostFile) -> UInt64? {
        let most = end.next + UInt64(map.count) * (header.bitmapBytes + header.blockBytes)
        guard let place = end.take(header.bitmapBytes + header.blockBytes, most: most, tail: header.footer, file), place / 512 < VHDHeader.unused
        else { return nil }
        let bits = Int(header.blockBytes / 4096)
        let bitmap = [UInt8](repeating: 0xFF, count: bits) + .zeros(Int(header.bitmapBytes) - bits)
        return file.write(place, bitmap) ? place + header.bitmapBytes : nil
    }

    mutating func enter(_ block: UInt64, _ place: BlockPlace, deferred: Bool, _ file: HostFile) -> Bool {
        guard block < UInt64(map.count), case .at(let offset) = place else { return false }
        map[Int(block)] = UInt32(truncatingIfNeeded: (offset - header.bitmapBytes) / 512)
        bitmaps[block] = nil
        whole.insert(block)
        waiting.append(block)
        return deferred || writeEntries(file)
    }

    mutating func writeEntries(_ file: HostFile) -> Bool {
        for block in waiting {
            let entry = withUnsafeBytes(of: map[Int(block)].bigEndian) { file.write(header.tableOffset + block * 4, from: $0) }
            guard entry else { return false }
        }
        waiting = []
        return true
    }

    mutating func close(_ file: HostFile) {
        let size = end.next + UInt64(VHDHeader.footerBytes)
        guard end.length > size, file.write(end.next, header.footer), file.flush() else { return }
        end.trim(to: size, file)
    }
}

/// New VHD images.
enum VHDCreation {
    static let blockBytes: UInt64 = 2 << 20

    static func fill(_ file: HostFile, _ bytes: UInt64, _ kind: VHDHeader.Kind, parent: (id: [UInt8], path: String)? = nil) -> Bool {
        let footer = VHDHeader.footer(kind, diskBytes: bytes)
        if kind == .fixed { return file.fill(bytes + 512) && file.write(bytes, footer) }
        let entries = (bytes + blockBytes - 1) / blockBytes
        let tableOffset: UInt64 = 1536
        var end = (tableOffset + entries * 4 + 511) / 512 * 512
        var sparse = VHDHeader.sparse(tableOffset: tableOffset, entries: entries, blockBytes: blockBytes)
        sparse.putBig(VHDHeader.Offset.sparseChecksum, VHDHeader.sum(sparse, VHDHeader.Offset.sparseChecksum))
        if let parent {
            guard let locator = VHDHeader.setParent(&sparse, id: parent.id, path: parent.path, place: end) else {
                errno = ENAMETOOLONG
                return false
            }
            guard file.write(end, locator) else { return false }
            end += UInt64(locator.count)
        }
        let table = [UInt8](repeating: 0xFF, count: Int(entries) * 4)
        return file.write(0, footer) && file.write(512, sparse) && file.write(tableOffset, table) && file.write(end, footer)
    }
}
