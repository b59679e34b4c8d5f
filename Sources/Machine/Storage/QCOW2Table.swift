import Hardware

/// The two tables of a qcow2 image: one for the disk, in memory, and one for each part of it, read when they are needed.
///
/// Version 3 is marked dirty before anything is written, and the reference counts are written when the image is closed; after a crash they are
/// made anew when it is opened for writing. Version 2 has no such mark: there the counts are on the host's medium before the entries.
struct QCOW2Table: BlockTable {
    static let format = ImageFormat.qcow2

    /// One table of the second level.
    final class Part {
        let offset: UInt64
        var entries: [UInt64]
        /// Indices whose entries wait.
        var waiting: ClosedRange<Int>?
        init(offset: UInt64, entries: [UInt64]) { (self.offset, self.entries) = (offset, entries) }
    }

    enum Entry {
        static let offset: UInt64 = 0x00FF_FFFF_FFFF_FE00
        static let copied: UInt64 = 1 << 63, packed: UInt64 = 1 << 62, zero: UInt64 = 1
    }

    private(set) var header: QCOW2Header
    private(set) var l1: [UInt64]
    private var parts: [Int: Part] = [:]
    private var recent: (index: Int, part: Part)?
    private var waitingL1: Set<Int> = []
    private var waitingParts: Set<Int> = []
    var refcounts: QCOW2Refcounts
    var end: GrowingEnd
    /// Clusters taken since the counts were written: first and number.
    private var taken: [(first: UInt64, count: UInt64)] = []
    /// Entries that have gone.
    private var freed: [UInt64] = []

    init(_ file: HostFile) throws(ImageProblem) { try self.init(file, snapshot: nil) }

    /// - Parameter snapshot: name or id of one inside; then it is only for reading.
    init(_ file: HostFile, snapshot: String?) throws(ImageProblem) {
        header = try QCOW2Header(file)
        if let snapshot {
            let all = try QCOW2Snapshot.all(file, header)
            guard let found = all.first(where: { $0.name == snapshot }) ?? all.first(where: { $0.id == snapshot }) else {
                throw .noSnapshot(snapshot, all.map(\.name))
            }
            try header.turn(to: found, file.bytes)
        }
        let bytes = file.peek(header.l1Offset, count: Int(header.l1Size) * 8)
        guard bytes.count == Int(header.l1Size) * 8 else { throw .damaged("its first table cannot be read") }
        l1 = bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 8).map { UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        refcounts = QCOW2Refcounts(header)
        let cluster = header.clusterBytes
        end = GrowingEnd(next: (file.bytes + cluster - 1) / cluster * cluster, length: file.bytes)
    }

    var variant: String { "version \(header.version)" }
    var identity: ImageIdentity? { nil }
    var diskBytes: UInt64 { header.diskBytes / 512 * 512 }
    var blockShift: UInt64 { header.clusterBits }
    var hasZeroBlocks: Bool { header.version >= 3 }
    var needsOrder: Bool { header.version < 3 }
    var isDirty: Bool { !waitingL1.isEmpty || !waitingParts.isEmpty }
    var partBits: UInt64 { header.clusterBits - 3 }

    static func bigEndian(_ words: [UInt64]) -> [UInt8] {
        words.map(\.bigEndian).withUnsafeBytes { Array($0) }
    }

    // MARK: Looking

    /// Whether a cluster of the file can be there.
    func isPlace(_ offset: UInt64) -> Bool { offset != 0 && offset & (header.clusterBytes - 1) == 0 && offset < end.length }

    /// - Returns: nil when it cannot be read; a part with offset 0: there is none.
    mutating func part(_ index: Int, _ file: HostFile) -> Part? {
        if let recent, recent.index == index { return recent.part }
        if let part = parts[index] {
            recent = (index, part)
            return part
        }
        guard index < l1.count else { return nil }
        let offset = l1[index] & Entry.offset
        guard isPlace(offset) else { return nil }
        var bytes = [UInt8].zeros(Int(header.clusterBytes))
        guard bytes.withUnsafeMutableBytes({ file.read(offset, into: $0, padded: true) }) else { return nil }
        let entries = bytes.withUnsafeBytes { $0.bindMemory(to: UInt64.self).map(UInt64.init(bigEndian:)) }
        if parts.count * Int(header.clusterBytes) > 32 << 20 { parts = parts.filter { $0.value.waiting != nil } }
        let part = Part(offset: offset, entries: entries)
        parts[index] = part
        recent = (index, part)
        return part
    }

    mutating func look(_ block: UInt64, _ file: HostFile) -> BlockPlace? {
        let index = Int(truncatingIfNeeded: block >> partBits)
        guard index < l1.count else { return nil }
        if l1[index] & Entry.offset == 0 { return .absent }
        guard let part = part(index, file) else { return nil }
        let entry = part.entries[Int(block & (1 << partBits - 1))]
        if entry & Entry.packed != 0 { return .packed }
        if entry & Entry.zero != 0, header.version >= 3 { return .zero }
        let offset = entry & Entry.offset
        if offset == 0 { return .absent }
        return isPlace(offset) ? .at(offset) : nil
    }

    func gap(_ block: UInt64) -> UInt64 {
        let index = Int(truncatingIfNeeded: block >> partBits)
        guard index < l1.count, l1[index] & Entry.offset == 0 else { return 1 }
        return 1 << partBits - block & (1 << partBits - 1)
    }

    mutating func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ file: HostFile) -> Bool {
        guard let part = part(Int(truncatingIfNeeded: block >> partBits), file) else { return false }
        let (offset, count) = packedPlace(part.entries[Int(block & (1 << partBits - 1))])
        guard offset < end.length else { return false }
        let packed = file.peek(offset, count: Int(count))
        return header.usesZstandard ? Unpacking.zstandard(packed, into: buffer) : Unpacking.deflate(packed, into: buffer)
    }

    /// Where the bytes of a compressed cluster lie, at most.
    func packedPlace(_ entry: UInt64) -> (offset: UInt64, count: UInt64) {
        let bits = 62 - (header.clusterBits - 8)
        let offset = entry & (1 << bits - 1)
        let sectors = entry >> bits & (1 << (62 - bits) - 1) + 1
        return (offset, sectors * 512 - offset & 511)
    }

    // MARK: Writing

    mutating func begin(_ file: HostFile) -> Bool {
        guard header.version >= 3 else { return true }
        header.incompatible |= QCOW2Header.Bit.dirty
        // Whoever keeps something in step with the image learns that it is not any more.
        return file.write(UInt64(QCOW2Header.Offset.autoclear), .zeros(8)) && putFeatures(file) && file.flush()
    }

    private func putFeatures(_ file: HostFile) -> Bool {
        file.write(UInt64(QCOW2Header.Offset.incompatible), QCOW2Table.bigEndian([header.incompatible]))
    }

    mutating func reserve(_ block: UInt64, _ file: HostFile) -> UInt64? {
        guard let offset = end.take(header.clusterBytes, file) else { return nil }
        let cluster = offset >> header.clusterBits
        if let last = taken.last, last.first + last.count == cluster {
            taken[taken.count - 1].count += 1
        } else {
            taken.append((cluster, 1))
        }
        return offset
    }

    mutating func enter(_ block: UInt64, _ place: BlockPlace, deferred: Bool, _ file: HostFile) -> Bool {
        let index = Int(truncatingIfNeeded: block >> partBits), at = Int(block & (1 << partBits - 1))
        guard index < l1.count else { return false }
        let isNew = l1[index] & Entry.offset == 0
        if isNew {
            guard let offset = reserve(block, file) else { return false }
            let part = Part(offset: offset, entries: [UInt64](repeating: 0, count: 1 << Int(partBits)))
            parts[index] = part
            recent = (index, part)
            l1[index] = offset | Entry.copied
        }
        guard let part = part(index, file) else { return false }
        let old = part.entries[at]
        if old & (Entry.offset | Entry.packed) != 0 { freed.append(old) }
        switch place {
        case .at(let offset): part.entries[at] = offset | Entry.copied
        case .zero where header.version >= 3: part.entries[at] = Entry.zero
        default: return false
        }
        if deferred {
            part.waiting = min(part.waiting?.lowerBound ?? at, at)...max(part.waiting?.upperBound ?? at, at)
            waitingParts.insert(index)
            if isNew { waitingL1.insert(index) }
            return true
        }
        let entry = withUnsafeBytes(of: part.entries[at].bigEndian) { file.write(part.offset + UInt64(at) * 8, from: $0) }
        return entry && (!isNew || putL1(index, file))
    }

    private func putL1(_ index: Int, _ file: HostFile) -> Bool {
        withUnsafeBytes(of: l1[index].bigEndian) { file.write(header.l1Offset + UInt64(index) * 8, from: $0) }
    }

    mutating func writeGround(_ file: HostFile) -> Bool { header.version >= 3 || writeTaken(file) }

    private mutating func writeTaken(_ file: HostFile) -> Bool {
        for (first, count) in taken {
            for cluster in first..<first + count { guard refcounts.add(cluster, 1, &end, file) else { return false } }
        }
        taken = []
        return refcounts.write(file)
    }

    mutating func writeEntries(_ file: HostFile) -> Bool {
        for index in waitingParts {
            guard let part = parts[index], let range = part.waiting else { continue }
            guard file.write(part.offset + UInt64(range.lowerBound) * 8, QCOW2Table.bigEndian(Array(part.entries[range]))) else { return false }
            part.waiting = nil
        }
        waitingParts = []
        for index in waitingL1 { guard putL1(index, file) else { return false } }
        waitingL1 = []
        return true
    }

    mutating func close(_ file: HostFile) {
        for entry in freed {
            for cluster in clusters(of: entry) { guard refcounts.add(cluster, -1, &end, file) else { return } }
        }
        freed = []
        guard writeTaken(file) else { return }
        end.trim(to: end.next, file)
        guard header.version >= 3, file.flush() else { return }
        _ = clearDirty(file)
    }

    mutating func clearDirty(_ file: HostFile) -> Bool {
        guard header.isDirty else { return true }
        header.incompatible &= ~QCOW2Header.Bit.dirty
        return putFeatures(file)
    }

    /// Neither dirty nor corrupt.
    mutating func clearMarks(_ file: HostFile) -> Bool {
        header.incompatible &= ~(QCOW2Header.Bit.dirty | QCOW2Header.Bit.corrupt)
        return header.version < 3 || putFeatures(file)
    }

    /// The clusters of the file that an entry of the second level uses.
    func clusters(of entry: UInt64) -> Range<UInt64> {
        if entry & Entry.packed != 0 {
            let (offset, count) = packedPlace(entry)
            return offset >> header.clusterBits..<(offset + count - 1) >> header.clusterBits + 1
        }
        let cluster = (entry & Entry.offset) >> header.clusterBits
        return cluster == 0 ? 0..<0 : cluster..<cluster + 1
    }
}

/// A qcow2 image, of version 2 or 3.
typealias QCOW2Image = MappedImage<QCOW2Table>
