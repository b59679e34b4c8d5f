import Hardware

/// A sparse extent of a VMDK: grains of usually 64 KiB, in the file where tables say that a directory names.
///
/// Source: VMware *Virtual Disk Format 1.1* (2007), "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents": little-endian
/// fields, offsets in sectors, a second copy of directory and tables.
///
/// Not implemented: writing to compressed extents, COWD and SESparse extents.
struct VMDKTable: BlockTable {
    static let format = ImageFormat.vmdk
    static let magic = Array("KDMV".utf8)
    static let headerBytes = 512
    enum Flag {
        static let redundant: UInt64 = 2, zeroGrains: UInt64 = 4, compressed: UInt64 = 1 << 16, markers: UInt64 = 1 << 17
    }
    private static let footerFollows = UInt64.max

    let flags: UInt64
    let capacity: UInt64
    let grainSectors: UInt64
    let perTable: UInt64
    /// Where the description is, in bytes; 0 bytes: elsewhere.
    let description: (offset: UInt64, bytes: UInt64)
    private let directoryOffsets: [UInt64]
    /// The directory and its copy, if there is one.
    private(set) var directories: [[UInt32]] = []
    private var tables: [UInt64: [UInt32]] = [:]
    private var end: GrowingEnd
    private let oldLength: UInt64
    private var waiting: [UInt64] = []

    init(_ file: HostFile) throws(ImageProblem) {
        var head = file.peek(0, count: VMDKTable.headerBytes)
        guard head.count == VMDKTable.headerBytes, head.starts(with: VMDKTable.magic) else { throw .damaged("the file ends in its header") }
        if head.little(56, 8) == VMDKTable.footerFollows {
            // Written as a stream: the header that counts stands before the last sector.
            head = file.bytes >= 1536 ? file.peek(file.bytes - 1024, count: VMDKTable.headerBytes) : []
            guard head.starts(with: VMDKTable.magic), head.little(56, 8) != VMDKTable.footerFollows else { throw .damaged("its end is missing") }
        }
        guard (1...3).contains(head.little(4)) else { throw .notSupported("VMDK \(head.little(4))") }
        flags = head.little(8)
        capacity = head.little(12, 8)
        grainSectors = head.little(20, 8)
        perTable = head.little(44)
        guard head.little(77, 2) <= 1, flags & Flag.compressed == 0 || head.little(77, 2) == 1 else { throw .notSupported("VMDK with unknown compression") }
        guard grainSectors.nonzeroBitCount == 1, (8...16384).contains(grainSectors) else {
            throw .damaged("its grains have \(grainSectors) sectors, which is no power of two from 8 to 16384")
        }
        guard perTable.nonzeroBitCount == 1, perTable <= 4096 else { throw .damaged("its tables have \(perTable) entries") }
        guard capacity > 0, capacity <= 1 << 38 else { throw .damaged("its disk has \(capacity) sectors") }
        let place = (head.little(28, 8), head.little(36, 8))
        guard place.0 <= 1 << 38, place.1 <= UInt64(VMDKDescription.mostBytes) / 512 else { throw .damaged("its description lies at sector \(place.0)") }
        description = (place.0 * 512, place.1 * 512)
        let entries = (capacity - 1) / (grainSectors * perTable) + 1
        guard entries <= 4 << 20 else { throw .damaged("it has \(entries) tables") }
        var offsets = [head.little(56, 8)]
        if flags & Flag.redundant != 0 { offsets.append(head.little(48, 8)) }
        for offset in offsets {
            guard offset > 0, offset <= file.bytes / 512, entries * 4 <= file.bytes - offset * 512 else {
                throw .damaged("its directory lies at sector \(offset), where it has no room")
            }
            let bytes = file.peek(offset * 512, count: Int(entries) * 4)
            guard bytes.count == Int(entries) * 4 else { throw .damaged("its directory cannot be read") }
            directories.append((0..<Int(entries)).map { UInt32(truncatingIfNeeded: bytes.little($0 * 4)) })
        }
        directoryOffsets = offsets
        oldLength = file.bytes
        end = GrowingEnd(next: (file.bytes + 511) / 512 * 512, length: file.bytes)
    }

    /// Of the file.
    var length: UInt64 { end.length }
    var isCompressed: Bool { flags & Flag.compressed != 0 }
    var variant: String { isCompressed ? "compressed" : "sparse" }
    var identity: ImageIdentity? { nil }
    var diskBytes: UInt64 { capacity * 512 }
    var blockShift: UInt64 { UInt64(grainSectors.trailingZeroBitCount) + 9 }
    var hasZeroBlocks: Bool { flags & Flag.zeroGrains != 0 }
    var isDirty: Bool { !waiting.isEmpty }

    private mutating func table(_ index: UInt64, _ file: HostFile) -> [UInt32]? {
        if let table = tables[index] { return table }
        let place = UInt64(directories[0][Int(index)]) * 512
        guard place > 0, place < end.length else { return nil }
        var bytes = [UInt8].zeros(Int(perTable) * 4)
        guard bytes.withUnsafeMutableBytes({ file.read(place, into: $0, padded: true) }) else { return nil }
        // None with waiting entries goes.
        if tables.count >= 4096, waiting.isEmpty { tables = [:] }
        let entries = bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        }
        tables[index] = entries
        return entries
    }

    private mutating func entry(_ block: UInt64, _ file: HostFile) -> UInt32? {
        let index = block / perTable
        guard index < UInt64(directories[0].count) else { return nil }
        if directories[0][Int(index)] == 0 { return 0 }
        return table(index, file).map { $0[Int(block & (perTable - 1))] }
    }

    mutating func look(_ block: UInt64, _ file: HostFile) -> BlockPlace? {
        guard let entry = entry(block, file) else { return nil }
        if entry == 0 { return .absent }
        if entry == 1, hasZeroBlocks { return .zero }
        guard UInt64(entry) * 512 < end.length else { return nil }
        return isCompressed ? .packed : .at(UInt64(entry) * 512)
    }

    func gap(_ block: UInt64) -> UInt64 {
        let index = block / perTable
        guard index < UInt64(directories[0].count), directories[0][Int(index)] == 0 else { return 1 }
        return perTable - block & (perTable - 1)
    }

    mutating func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ file: HostFile) -> Bool {
        guard let entry = entry(block, file) else { return false }
        var offset = UInt64(entry) * 512, count = buffer.count * 2
        if flags & Flag.markers != 0 {
            let marker = file.peek(offset, count: 12)
            guard marker.count == 12, marker.little(8) <= UInt64(count) else { return false }
            (offset, count) = (offset + 12, Int(marker.little(8)))
        }
        return Unpacking.deflate(file.peek(offset, count: count), head: true, mayEndEarly: true, into: buffer)
    }

    mutating func begin(_ file: HostFile) -> Bool { !isCompressed }

    mutating func reserve(_ block: UInt64, _ file: HostFile) -> UInt64? {
        guard let place = end.take(grainSectors * 512, file), place / 512 <= UInt64(UInt32.max) else { return nil }
        return place
    }

    mutating func enter(_ block: UInt64, _ place: BlockPlace, deferred: Bool, _ file: HostFile) -> Bool {
        let index = block / perTable
        guard index < UInt64(directories[0].count) else { return false }
        if directories[0][Int(index)] == 0 { guard makeTables(Int(index), file) else { return false } }
        guard table(index, file) != nil else { return false }
        switch place {
        case .at(let offset): tables[index]?[Int(block & (perTable - 1))] = UInt32(truncatingIfNeeded: offset / 512)
        case .zero where hasZeroBlocks: tables[index]?[Int(block & (perTable - 1))] = 1
        default: return false
        }
        waiting.append(block)
        return deferred || writeEntries(file)
    }

    /// Directories that others leave empty. The new tables read as zeros: nothing shows before it is there.
    private mutating func makeTables(_ index: Int, _ file: HostFile) -> Bool {
        for copy in directories.indices {
            guard let place = end.take(max(512, perTable * 4), file), file.flush() else { return false }
            directories[copy][index] = UInt32(truncatingIfNeeded: place / 512)
            var entry = [UInt8].zeros(4)
            entry.putLittle(0, place / 512)
            guard file.write(directoryOffsets[copy] * 512 + UInt64(index) * 4, entry) else { return false }
        }
        return true
    }

    mutating func writeEntries(_ file: HostFile) -> Bool {
        for block in waiting {
            let index = Int(block / perTable), at = Int(block & (perTable - 1))
            guard let entry: UInt32 = tables[UInt64(index)]?[at] else { return false }
            for directory in directories where directory[index] != 0 {
                let place = UInt64(directory[index]) * 512 + UInt64(at) * 4
                guard place < end.length, withUnsafeBytes(of: entry.littleEndian, { file.write(place, from: $0) }) else { return false }
            }
        }
        waiting = []
        return true
    }

    mutating func close(_ file: HostFile) { end.trim(to: max(end.next, oldLength), file) }
}
