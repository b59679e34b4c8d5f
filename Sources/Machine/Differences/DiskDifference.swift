import Glibc
import Hardware

/// Where two disks differ, and which files that is.
public struct DiskDifference: Encodable, Sendable {
    public struct Range: Encodable, Equatable, Sendable {
        public var sector: UInt64
        public var count: UInt64
    }

    /// A file system, or the place where one would be.
    public struct Volume: Encodable, Sendable {
        /// 0: the whole disk.
        public var partition: Int
        /// `ext4`; where the two disks have another one: `FAT16, ext4`.
        public var kind: String
        public var added: [File] = []
        public var removed: [File] = []
        public var changed: [File] = []
        /// Clauses.
        public var notes: [String] = []
    }

    public struct File: Encodable, Equatable, Sendable {
        public var path: String
        /// Before, unless it was added.
        public var bytes: UInt64
        public var bytesAfter: UInt64?
        /// What is not the same, in words.
        public var what: [String] = []
    }

    /// 1 is the first disk.
    public var number: Int
    public var before: String?
    public var after: String?
    public var sectorsDiffering: UInt64 = 0
    /// In order. Where there are very many, neighbours have become one.
    public var ranges: [Range] = []
    public var volumes: [Volume] = []
    public var notes: [String] = []

    public var isEmpty: Bool { sectorsDiffering == 0 && notes.isEmpty && before != nil && after != nil }
    private static let mostRanges = 1 << 17

    init(number: Int, before: String?, after: String?) { (self.number, self.before, self.after) = (number, before, after) }

    /// - Parameter progress: bytes looked at, and in all; false cancels.
    /// - Throws: `.failed` when an image cannot be read, or somebody says stop.
    mutating func compare(_ a: any ImageLayer, _ b: any ImageLayer, progress: DiskCopy.Progress) throws(MachineError) {
        try compareSectors(a, b, progress)
        guard sectorsDiffering > 0 else { return }
        try compareFiles(a, b, progress)
    }

    // MARK: Sectors

    private mutating func compareSectors(_ a: any ImageLayer, _ b: any ImageLayer, _ progress: DiskCopy.Progress) throws(MachineError) {
        let pieceBytes = 1 << 20
        let first = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 4096)
        let second = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 4096)
        defer {
            first.deallocate()
            second.deallocate()
        }
        let common = min(a.sectorCount, b.sectorCount)
        if a.sectorCount != b.sectorCount {
            notes.append("it had \(a.sectorCount) sectors and has \(b.sectorCount)")
            add(common, max(a.sectorCount, b.sectorCount) - common)
        }
        let (below, above) = (a.chain, b.chain)
        var sector: UInt64 = 0
        while sector < common {
            guard let left = a.visibleExtent(sector, limit: common - sector), left.extent.sectors > 0 else { throw DiskDifference.unreadable(a) }
            guard let right = b.visibleExtent(sector, limit: left.extent.sectors), right.extent.sectors > 0 else {
                throw DiskDifference.unreadable(b)
            }
            var count = right.extent.sectors
            let bothZero = left.extent.kind != .data && right.extent.kind != .data
            // The same place in the same file.
            let isShared =
                left.extent.fileOffset != nil && left.extent.fileOffset == right.extent.fileOffset
                && below[left.depth].path == above[right.depth].path
            if !bothZero, !isShared {
                count = min(count, UInt64(pieceBytes) / 512)
                let bytes = Int(count) * 512
                let (x, y) = (UnsafeMutableRawBufferPointer(rebasing: first[0..<bytes]), UnsafeMutableRawBufferPointer(rebasing: second[0..<bytes]))
                guard a.read(sector: sector, into: x) else { throw DiskDifference.unreadable(a) }
                guard b.read(sector: sector, into: y) else { throw DiskDifference.unreadable(b) }
                note(sector, UnsafeRawBufferPointer(x), UnsafeRawBufferPointer(y))
            }
            sector += count
            guard progress(sector * 512, common * 512) else { throw DiskDifference.cancelled }
        }
        // Those behind the shorter disk's end were added first.
        ranges.sort { $0.sector < $1.sector }
    }

    static let cancelled = MachineError.failed("Cancelled.")
    private static func unreadable(_ layer: any ImageLayer) -> MachineError {
        .failed("'\(layer.path)' cannot be read; 'vitrine disk check' says what is wrong with it.")
    }

    private mutating func note(_ sector: UInt64, _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) {
        guard let x = a.baseAddress, let y = b.baseAddress, memcmp(x, y, a.count) != 0 else { return }
        for at in stride(from: 0, to: a.count, by: 512) where memcmp(x + at, y + at, 512) != 0 { add(sector + UInt64(at / 512), 1) }
    }

    private mutating func add(_ sector: UInt64, _ count: UInt64) {
        sectorsDiffering += count
        if let last = ranges.last, last.sector + last.count == sector {
            ranges[ranges.count - 1].count += count
            return
        }
        if ranges.count >= DiskDifference.mostRanges {
            ranges.sort { $0.sector < $1.sector }
            ranges = stride(from: 0, to: ranges.count, by: 2).map { n in
                let last = ranges[min(n + 1, ranges.count - 1)]
                return Range(sector: ranges[n].sector, count: last.sector + last.count - ranges[n].sector)
            }
        }
        ranges.append(Range(sector: sector, count: count))
    }

    /// Whether some of it may differ.
    private func touches(_ piece: DiskPiece) -> Bool {
        guard piece.bytes > 0 else { return false }
        let first = piece.start / 512, last = (piece.start &+ piece.bytes &- 1) / 512
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].sector + ranges[middle].count <= first { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].sector <= last
    }

    // MARK: Files

    private mutating func compareFiles(_ a: any ImageLayer, _ b: any ImageLayer, _ progress: DiskCopy.Progress) throws(MachineError) {
        let (before, after) = (DiskView(a), DiskView(b))
        var places: [PartitionTable.Partition] = [.init(number: 0, start: 0, bytes: before.bytes)]
        // A disk without partitions is one file system.
        if !DiskDifference.isFileSystem(before) && !DiskDifference.isFileSystem(after) {
            let (old, new) = (PartitionTable(before).partitions, PartitionTable(after).partitions)
            places = old
            for place in new where !old.contains(place) { places.append(place) }
            if old != new { notes.append("its partitions are others") }
        }
        for place in places {
            let piece = DiskPiece(start: place.start, bytes: place.bytes)
            guard place.number == 0 || touches(piece) else { continue }
            if let volume = try volume(place, a, b, progress) { volumes.append(volume) }
        }
    }

    private static func isFileSystem(_ view: DiskView) -> Bool {
        if FATReader(view) != nil { return true }
        do throws(FileSystemProblem) {
            return try ExtReader(view) != nil
        } catch {
            return true
        }
    }

    private func volume(
        _ place: PartitionTable.Partition, _ a: any ImageLayer, _ b: any ImageLayer, _ progress: DiskCopy.Progress
    ) throws(MachineError) -> Volume? {
        var notes: [String] = []
        func tree(_ layer: any ImageLayer) -> FileTree? {
            do throws(FileSystemProblem) {
                return try FileTree.read(DiskView(layer, start: place.start, bytes: place.bytes))
            } catch {
                notes.append("its files cannot be listed: \(error.reason)")
                return nil
            }
        }
        guard progress(0, 0) else { throw DiskDifference.cancelled }
        let (before, after) = (tree(a), tree(b))
        guard before != nil || after != nil || !notes.isEmpty else { return nil }
        var kinds: [String] = []
        for kind in [before?.kind, after?.kind] { if let kind, !kinds.contains(kind) { kinds.append(kind) } }
        var volume = Volume(partition: place.number, kind: kinds.joined(separator: ", "))
        for note in notes + (before?.notes ?? []) + (after?.notes ?? []) where !volume.notes.contains(note) { volume.notes.append(note) }
        // One that cannot be read would look as if all its files had gone.
        guard let before, let after else {
            if notes.isEmpty { volume.notes.append(before == nil ? "it was no file system before" : "it is no file system any more") }
            return volume
        }
        var reader = ContentReader(a, b)
        for (path, old) in before.files {
            guard let new = after.files[path] else {
                volume.removed.append(File(path: path, bytes: old.bytes))
                continue
            }
            guard progress(0, 0) else { throw DiskDifference.cancelled }
            let what = differences(old, new, &reader)
            if !what.isEmpty { volume.changed.append(File(path: path, bytes: old.bytes, bytesAfter: new.bytes, what: what)) }
        }
        for (path, new) in after.files where before.files[path] == nil { volume.added.append(File(path: path, bytes: new.bytes)) }
        volume.added.sort { $0.path < $1.path }
        volume.removed.sort { $0.path < $1.path }
        volume.changed.sort { $0.path < $1.path }
        return volume
    }

    private func differences(_ old: FileRecord, _ new: FileRecord, _ reader: inout ContentReader) -> [String] {
        guard old.kind == new.kind else { return ["\(old.kind.rawValue) became \(new.kind.rawValue)"] }
        var what: [String] = []
        if old.attributes != new.attributes { what.append("attributes") }
        guard old.kind != .folder else { return what }
        if old.bytes != new.bytes {
            what.append("size")
        } else if old.inline != new.inline {
            what.append(old.kind == .link ? "target" : "contents")
        } else if old.pieces != new.pieces || old.pieces.contains(where: touches) {
            if !reader.areEqual(old.pieces, new.pieces) { what.append("contents") }
        }
        if what.isEmpty, old.modified != new.modified { what.append("date") }
        return what
    }

    /// Compares what lies in pieces, as long as its budget lasts.
    private struct ContentReader {
        let a: DiskView, b: DiskView
        private var left: UInt64

        init(_ a: any ImageLayer, _ b: any ImageLayer) {
            (self.a, self.b) = (DiskView(a), DiskView(b))
            // No two files share a place in a sound file system.
            left = 2 &* self.a.bytes &+ (64 << 20)
        }

        /// Holes count as places: a file that got one is another one only if it is read.
        mutating func areEqual(_ old: [DiskPiece], _ new: [DiskPiece]) -> Bool {
            let total = old.reduce(UInt64(0)) { $0 &+ $1.bytes }
            guard total == new.reduce(UInt64(0), { $0 &+ $1.bytes }), total <= left else { return false }
            left -= total
            var (i, j) = (0, 0), (x, y) = (UInt64(0), UInt64(0))
            while i < old.count, j < new.count {
                let count = min(old[i].bytes - x, new[j].bytes - y, 64 << 10)
                if count > 0 {
                    guard let one = a.read(old[i].start &+ x, Int(count)), let other = b.read(new[j].start &+ y, Int(count)), one == other else {
                        return false
                    }
                }
                (x, y) = (x + count, y + count)
                if x == old[i].bytes { (i, x) = (i + 1, 0) }
                if y == new[j].bytes { (j, y) = (j + 1, 0) }
            }
            return true
        }
    }
}
