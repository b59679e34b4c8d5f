import Hardware

/// The block map of a VDI image: all of it in memory.
struct VDITable: BlockTable {
    static let format = ImageFormat.vdi
    private(set) var header: VDIHeader
    private var map: [UInt32]
    private(set) var allocatedBlocks: UInt64
    private var end: GrowingEnd
    /// Length when it was opened: never less afterwards.
    private let oldLength: UInt64
    /// Places before `end` that no entry names: what was written there has been lost in a crash.
    private var unused: [UInt64] = []
    /// Blocks whose entries wait.
    private var waiting: [UInt64] = []

    /// - Throws: what is wrong with the image; nothing is changed.
    init(_ file: HostFile) throws(ImageProblem) {
        header = try VDIHeader(file.peek(0, count: VDIHeader.bytes), fileBytes: file.bytes)
        oldLength = file.bytes
        let bytes = file.peek(header.mapOffset, count: Int(header.blocks) * 4)
        guard bytes.count == Int(header.blocks) * 4 else { throw .damaged("its block map cannot be read") }
        map = bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        }
        var used = [UInt64](repeating: 0, count: Int(header.blocks) / 64 + 1)
        var next = header.allocated
        allocatedBlocks = 0
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
            allocatedBlocks += 1
        }
        end = GrowingEnd(next: header.dataOffset + next * header.stride, length: file.bytes)
        if next > allocatedBlocks { unused = (0..<next).filter { used[Int($0 >> 6)] >> ($0 & 63) & 1 == 0 } }
    }

    var variant: String {
        switch header.kind {
        case .dynamic: "dynamic"
        case .fixed: "fixed"
        case .undo, .differencing: "differencing"
        }
    }
    var identity: ImageIdentity? { header.identity }
    var diskBytes: UInt64 { header.diskBytes / 512 * 512 }
    var blockShift: UInt64 { UInt64(header.blockBytes.trailingZeroBitCount) }
    /// Without a parent an unallocated block is as good, and every program knows it.
    var hasZeroBlocks: Bool { header.parent != nil }
    var isDirty: Bool { !waiting.isEmpty }

    mutating func look(_ block: UInt64, _ file: HostFile) -> BlockPlace? {
        guard block < UInt64(map.count) else { return nil }
        switch map[Int(block)] {
        case VDIHeader.unallocated: return .absent
        case VDIHeader.zero: return .zero
        case let entry: return .at(header.dataOffset + UInt64(entry) * header.stride + header.extraBytes)
        }
    }

    mutating func renew(_ file: HostFile) -> Bool {
        header.identity.modification = .randomUUID()
        return file.write(UInt64(VDIHeader.Offset.modification), header.identity.modification)
    }

    mutating func begin(_ file: HostFile) -> Bool { true }

    mutating func reserve(_ block: UInt64, _ file: HostFile) -> UInt64? {
        guard (end.next - header.dataOffset) / header.stride < header.blocks else {
            guard let place = unused.popLast().map({ header.dataOffset + $0 * header.stride }),
                file.zero(place, bytes: header.stride, discard: true)
            else { return nil }
            return place + header.extraBytes
        }
        return end.take(header.stride, most: header.dataOffset + header.blocks * header.stride, file).map { $0 + header.extraBytes }
    }

    mutating func enter(_ block: UInt64, _ place: BlockPlace, deferred: Bool, _ file: HostFile) -> Bool {
        guard block < UInt64(map.count) else { return false }
        switch place {
        case .at(let offset):
            guard let number = UInt32(exactly: (offset - header.extraBytes - header.dataOffset) / header.stride) else { return false }
            map[Int(block)] = number
            allocatedBlocks += 1
            header.allocated = max(header.allocated, UInt64(number) + 1)
        case .zero: map[Int(block)] = VDIHeader.zero
        default: return false
        }
        waiting.append(block)
        return deferred || writeEntries(file)
    }

    mutating func writeEntries(_ file: HostFile) -> Bool {
        // A count that is too small would let others write over a block that the map does not name yet.
        guard put(VDIHeader.allocatedOffset, UInt32(truncatingIfNeeded: header.allocated), file) else { return false }
        for block in waiting { guard put(header.mapOffset + block * 4, map[Int(block)], file) else { return false } }
        waiting = []
        return true
    }

    private func put(_ offset: UInt64, _ value: UInt32, _ file: HostFile) -> Bool {
        withUnsafeBytes(of: value.littleEndian) { file.write(offset, from: $0) }
    }

    mutating func close(_ file: HostFile) { end.trim(to: max(end.next, oldLength), file) }
}

/// A VDI image, dynamic, fixed or differencing.
typealias VDIImage = MappedImage<VDITable>

extension MappedImage where Table == VDITable {
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    convenience init(path: String, readOnly: Bool) throws(MediaError) {
        let file = try HostFile(path: path, writable: !readOnly)
        do {
            self.init(file, try VDITable(file), parent: nil)
        } catch {
            throw error.error(path, .vdi)
        }
    }
    var isFixed: Bool { table.header.isFixed }
    var blocks: UInt64 { table.header.blocks }
    var allocatedBlocks: UInt64 { table.allocatedBlocks }
}
