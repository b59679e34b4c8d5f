/// Reads the names and places of all files of a FAT file system.
///
/// Source: Microsoft *FAT: General Overview of On-Disk Format* 1.03; long names as VFAT has them.
///
/// Not implemented: exFAT; file systems with sectors other than 512 to 4096 bytes, or a table of more than 64 MiB.
struct FATReader {
    private static let mostTableBytes: UInt64 = 64 << 20
    private static let mostFolderBytes = 2 << 20

    private let view: DiskView
    private let sectorBytes: UInt64
    private let clusterBytes: UInt64
    private let tableStart: UInt64
    private let tableBytes: UInt64
    private let rootStart: UInt64
    private let rootBytes: UInt64
    private let dataStart: UInt64
    private let clusters: UInt64
    private let rootCluster: UInt64
    /// Bits of an entry of the table.
    private let width: Int

    /// nil: the first sector is not that of a FAT file system.
    init?(_ view: DiskView) {
        guard let head = view.read(0, 512), head[0] == 0xEB || head[0] == 0xE9 else { return nil }
        let sectorBytes = head.little(11, 2), perCluster = UInt64(head[13]), reserved = head.little(14, 2), tables = UInt64(head[16])
        guard [512, 1024, 2048, 4096].contains(sectorBytes), perCluster.nonzeroBitCount == 1, reserved > 0, (1...4).contains(tables) else {
            return nil
        }
        let rootEntries = head.little(17, 2)
        let sectors = head.little(19, 2) != 0 ? head.little(19, 2) : head.little(32)
        let tableSectors = head.little(22, 2) != 0 ? head.little(22, 2) : head.little(36)
        guard sectors > 0, tableSectors > 0 else { return nil }
        let rootSectors = (rootEntries * 32 + sectorBytes - 1) / sectorBytes
        let before = reserved + tables * tableSectors + rootSectors
        guard before < sectors, view.bytes >= sectorBytes else { return nil }
        clusters = (sectors - before) / perCluster
        width = clusters < 4085 ? 12 : clusters < 65525 ? 16 : 32
        guard clusters > 0, (width == 32) == (rootEntries == 0) else { return nil }
        self.view = view
        self.sectorBytes = sectorBytes
        clusterBytes = perCluster * sectorBytes
        tableStart = reserved * sectorBytes
        tableBytes = tableSectors * sectorBytes
        rootStart = (reserved + tables * tableSectors) * sectorBytes
        rootBytes = rootEntries * 32
        dataStart = before * sectorBytes
        rootCluster = width == 32 ? head.little(44) : 0
    }

    /// - Throws: what is wrong with it.
    func tree() throws(FileSystemProblem) -> FileTree {
        guard tableBytes <= FATReader.mostTableBytes else { throw FileSystemProblem("its table has \(tableBytes) bytes") }
        let needed = min(tableBytes, ((clusters + 2) * UInt64(width) + 7) / 8)
        guard let table = view.read(tableStart, Int(needed)) else { throw FileSystemProblem("its table is not on the disk") }
        var walk = Walk(reader: self, table: table, tree: FileTree(kind: "FAT\(width)"), steps: 8 * clusters + (1 << 20))
        if width == 32 {
            try walk.folder(try walk.chain(rootCluster, FATReader.mostFolderBytes), "", 0)
        } else {
            try walk.folder([DiskPiece(start: rootStart, bytes: rootBytes)], "", 0)
        }
        return walk.tree
    }

    private struct Walk {
        let reader: FATReader
        let table: [UInt8]
        var tree: FileTree
        /// Entries of the table that may still be looked at: more than any sound file system needs.
        var steps: UInt64
        private var folderBytes: UInt64 = 512 << 20
        private var seen: Set<UInt64> = []

        init(reader: FATReader, table: [UInt8], tree: FileTree, steps: UInt64) {
            (self.reader, self.table, self.tree, self.steps) = (reader, table, tree, steps)
        }

        private func next(_ cluster: UInt64) -> UInt64 {
            switch reader.width {
            case 12:
                let pair = table.little(Int(cluster * 3 / 2), 2)
                return cluster & 1 == 0 ? pair & 0xFFF : pair >> 4
            case 16: return table.little(Int(cluster * 2), 2)
            default: return table.little(Int(cluster * 4)) & 0x0FFF_FFFF
            }
        }

        /// The places of a chain of clusters, at most so many bytes; relative to the view.
        mutating func chain(_ first: UInt64, _ limit: Int) throws(FileSystemProblem) -> [DiskPiece] {
            var pieces: [DiskPiece] = []
            var cluster = first, left = UInt64(limit)
            while cluster >= 2, cluster < reader.clusters + 2, left > 0 {
                guard steps > 0, pieces.count < FileTree.mostPieces else {
                    throw FileSystemProblem("its chains of clusters run into each other")
                }
                steps -= 1
                let start = reader.dataStart + (cluster - 2) * reader.clusterBytes, count = min(left, reader.clusterBytes)
                if let last = pieces.last, last.start + last.bytes == start {
                    pieces[pieces.count - 1].bytes += count
                } else {
                    pieces.append(DiskPiece(start: start, bytes: count))
                }
                left -= count
                cluster = next(cluster)
            }
            return pieces
        }

        mutating func folder(_ pieces: [DiskPiece], _ path: String, _ depth: Int) throws(FileSystemProblem) {
            guard depth < FileTree.deepest else { throw FileSystemProblem("its folders are more than \(FileTree.deepest) deep") }
            var long = LongName()
            for piece in pieces {
                guard piece.bytes <= folderBytes else { throw FileSystemProblem("its folders have too many bytes") }
                folderBytes -= piece.bytes
                guard let bytes = reader.view.read(piece.start, Int(piece.bytes)) else {
                    throw FileSystemProblem("the folder '\(path)' is not on the disk")
                }
                for at in stride(from: 0, to: bytes.count - 31, by: 32) {
                    let entry = bytes.part(at, 32)
                    if entry[0] == 0 { return }
                    if entry[0] == 0xE5 {
                        long = LongName()
                        continue
                    }
                    if entry[11] & 0x3F == 0x0F {
                        long.add(entry)
                        continue
                    }
                    let name = long.name(of: entry) ?? shortName(entry)
                    long = LongName()
                    // A label of the volume, the folder itself and the one above.
                    guard entry[11] & 0x08 == 0, entry[0] != 0x2E, !name.isEmpty else { continue }
                    try file(entry, path.isEmpty ? name : path + "/" + name, depth)
                }
            }
        }

        private mutating func file(_ entry: [UInt8], _ path: String, _ depth: Int) throws(FileSystemProblem) {
            let first = entry.little(26, 2) | (reader.width == 32 ? entry.little(20, 2) << 16 : 0)
            let isFolder = entry[11] & 0x10 != 0
            var record = FileRecord(kind: isFolder ? .folder : .file)
            record.bytes = isFolder ? 0 : entry.little(28)
            record.modified = entry.little(24, 2) << 16 | entry.little(22, 2)
            record.attributes = UInt64(entry[11] & 0x27)
            let pieces = try chain(first, isFolder ? FATReader.mostFolderBytes : Int(record.bytes))
            record.pieces = pieces.map { DiskPiece(start: reader.view.start + $0.start, bytes: $0.bytes) }
            try tree.add(path, record)
            guard isFolder, first >= 2 else { return }
            guard seen.insert(first).inserted else { throw FileSystemProblem("the folder '\(path)' lies in another one too") }
            try folder(pieces, path, depth + 1)
        }

        private func shortName(_ entry: [UInt8]) -> String {
            func part(_ range: Range<Int>, lower: Bool) -> String {
                var bytes = Array(entry[range])
                if range.lowerBound == 0, bytes[0] == 0x05 { bytes[0] = 0xE5 }
                while bytes.last == 0x20 { bytes.removeLast() }
                // In a code page that nobody knows: what is not ASCII is shown as one sign.
                let text = FileTree.name(bytes.map { $0 < 0x80 ? $0 : 0x3F })
                return lower ? text.lowercased() : text
            }
            let name = part(0..<8, lower: entry[12] & 0x08 != 0), ending = part(8..<11, lower: entry[12] & 0x10 != 0)
            return ending.isEmpty ? name : name + "." + ending
        }
    }

    /// The parts of a long name, which come before the entry, last part first.
    private struct LongName {
        private var units: [Int: [UInt16]] = [:]
        private var count = 0
        private var sum: UInt8 = 0

        mutating func add(_ entry: [UInt8]) {
            let order = Int(entry[0] & 0x3F)
            if entry[0] & 0x40 != 0 { (units, count, sum) = ([:], order, entry[13]) }
            guard (1...20).contains(order), order <= count, entry[13] == sum else { return }
            units[order] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].map { UInt16(truncatingIfNeeded: entry.little($0, 2)) }
        }

        /// nil: it has none, or that of another one.
        func name(of entry: [UInt8]) -> String? {
            guard count > 0, units.count == count, entry[0..<11].reduce(0, { ($0 >> 1 | $0 << 7) &+ $1 }) == sum else { return nil }
            let all = (1...count).flatMap { units[$0] ?? [] }.prefix { $0 != 0 }
            return FileTree.name(Array(String(decoding: all, as: UTF16.self).utf8))
        }
    }
}
