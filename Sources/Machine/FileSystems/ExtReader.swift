/// Reads the names and places of all files of an ext2, ext3 or ext4 file system.
///
/// Source: the Linux kernel's documentation *ext4 Data Structures and Algorithms*.
///
/// Not implemented: replaying the journal, checksums, the contents of extended attributes, encrypted names, long
/// folders that are kept in inodes; file systems whose journal is another device.
struct ExtReader {
    private enum Feature {
        static let compression: UInt64 = 1, recover: UInt64 = 4, journalDevice: UInt64 = 8, metaGroups: UInt64 = 0x10, wide: UInt64 = 0x80
        static let known: UInt64 = 0x0002 | 0x0004 | 0x0010 | 0x0040 | 0x0080 | 0x0100 | 0x0200 | 0x0400 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000
    }
    private static let mostFolderBytes: UInt64 = 64 << 20

    private let view: DiskView
    private let kind: String
    private let blockBytes: UInt64
    private let firstBlock: UInt64
    private let inodesPerGroup: UInt64
    private let inodes: UInt64
    private let inodeBytes: UInt64
    private let descriptorBytes: UInt64
    private let groups: UInt64
    private let blocksPerGroup: UInt64
    /// Groups from this on have their descriptors with them; `.max`: none.
    private let firstMetaGroup: UInt64
    private let isSparse: Bool
    private let isDirty: Bool

    /// nil: there is no such file system.
    /// - Throws: there is one that cannot be read.
    init?(_ view: DiskView) throws(FileSystemProblem) {
        guard let head = view.read(1024, 1024), head.little(56, 2) == 0xEF53 else { return nil }
        let log = head.little(24), incompatible = head.little(96), compatible = head.little(92), readOnly = head.little(100)
        guard log <= 6 else { throw FileSystemProblem("its blocks have 2^\(10 + log) bytes") }
        let revision = head.little(76)
        guard incompatible & ~Feature.known == 0, incompatible & Feature.journalDevice == 0, incompatible & Feature.compression == 0 else {
            throw FileSystemProblem("it has features that are not known (\(String(incompatible, radix: 16)))")
        }
        self.view = view
        kind = incompatible & 0x02C0 != 0 || readOnly & 0x0078 != 0 ? "ext4" : compatible & 4 != 0 ? "ext3" : "ext2"
        blockBytes = 1024 << log
        firstBlock = head.little(20)
        inodes = head.little(0)
        blocksPerGroup = head.little(32)
        inodesPerGroup = head.little(40)
        inodeBytes = revision == 0 ? 128 : head.little(88, 2)
        descriptorBytes = incompatible & Feature.wide != 0 ? max(32, head.little(254, 2)) : 32
        let blocks = head.little(4) | (incompatible & Feature.wide != 0 ? head.little(336) << 32 : 0)
        guard blocksPerGroup > 0, inodesPerGroup > 0, (128...blockBytes).contains(inodeBytes), inodeBytes % 4 == 0, descriptorBytes <= blockBytes,
            firstBlock <= 1, blocks > firstBlock, blocks <= 1 << 48
        else { throw FileSystemProblem("its head contradicts itself") }
        groups = (blocks - firstBlock + blocksPerGroup - 1) / blocksPerGroup
        firstMetaGroup = incompatible & Feature.metaGroups != 0 ? head.little(260) : .max
        isSparse = readOnly & 1 != 0
        isDirty = incompatible & Feature.recover != 0
    }

    /// - Throws: what is wrong with it.
    func tree() throws(FileSystemProblem) -> FileTree {
        var walk = Walk(reader: self, tree: FileTree(kind: kind))
        if isDirty { walk.tree.notes.append("its journal has not been played back, so what was written last may be missing") }
        guard let root = inode(2), root.mode & 0xF000 == 0x4000 else { throw FileSystemProblem("it has no root folder") }
        try walk.folder(2, root, "", 0)
        return walk.tree
    }

    struct Inode {
        var bytes: [UInt8]
        var mode: UInt64 { bytes.little(0, 2) }
        var flags: UInt64 { bytes.little(32) }
        var size: UInt64 { bytes.little(4) | (mode & 0xF000 == 0x8000 || mode & 0xF000 == 0x4000 ? bytes.little(108) << 32 : 0) }
        var map: [UInt8] { bytes.part(40, 60) }
        var hasExtents: Bool { flags & 0x8_0000 != 0 }
        var isInline: Bool { flags & 0x1000_0000 != 0 }
    }

    private func inode(_ number: UInt64) -> Inode? {
        guard number > 0, number <= inodes else { return nil }
        let group = (number - 1) / inodesPerGroup, index = (number - 1) % inodesPerGroup
        guard group < groups, let table = inodeTable(group), table < view.bytes / blockBytes else { return nil }
        return view.read(table * blockBytes + index * inodeBytes, Int(inodeBytes)).map(Inode.init)
    }

    /// The block in which a group's inodes begin.
    private func inodeTable(_ group: UInt64) -> UInt64? {
        let perBlock = blockBytes / descriptorBytes
        let index = group / perBlock
        var block = firstBlock + 1 + index
        if index >= firstMetaGroup {
            // In the first group of those that it describes, behind a copy of the head where there is one.
            let first = index * perBlock
            block = firstBlock + first * blocksPerGroup + (hasHead(first) ? 1 : 0)
        }
        guard block < view.bytes / blockBytes,
            let entry = view.read(block * blockBytes + group % perBlock * descriptorBytes, Int(descriptorBytes))
        else { return nil }
        return entry.little(8) | (descriptorBytes >= 64 ? entry.little(40) << 32 : 0)
    }

    private func hasHead(_ group: UInt64) -> Bool {
        if !isSparse || group <= 1 { return true }
        return [3, 5, 7].contains { (base: UInt64) in
            var power = base
            while power < group { power *= base }
            return power == group
        }
    }

    // MARK: Walking

    private struct Walk {
        let reader: ExtReader
        var tree: FileTree
        /// Blocks of maps that may still be read, and bytes of folders.
        private var blocks: UInt64
        private var folderBytes: UInt64 = 512 << 20
        private var seen: Set<UInt64> = []

        init(reader: ExtReader, tree: FileTree) { (self.reader, self.tree, blocks) = (reader, tree, (512 << 20) / reader.blockBytes) }

        private mutating func block(_ number: UInt64) throws(FileSystemProblem) -> [UInt8] {
            guard blocks > 0 else { throw FileSystemProblem("its maps and folders have more blocks than are read") }
            blocks -= 1
            guard number < reader.view.bytes / reader.blockBytes, let bytes = reader.view.read(number * reader.blockBytes, Int(reader.blockBytes))
            else { throw FileSystemProblem("block \(number) is not on the disk") }
            return bytes
        }

        /// Runs of a file's blocks: number in the file, place on the disk, how many.
        private struct Runs {
            var list: [(block: UInt64, place: UInt64, count: UInt64)] = []
            mutating func add(_ block: UInt64, _ place: UInt64, _ count: UInt64) {
                if let last = list.last, last.block + last.count == block, last.place + last.count == place {
                    list[list.count - 1].count += count
                } else {
                    list.append((block, place, count))
                }
            }
        }

        private mutating func runs(_ inode: Inode, _ limit: UInt64) throws(FileSystemProblem) -> Runs {
            var runs = Runs()
            let wanted = limit == 0 ? 0 : (limit - 1) / reader.blockBytes + 1
            if inode.hasExtents {
                try extents(inode.map, 5, wanted, &runs)
            } else {
                var at: UInt64 = 0
                for n in 0..<12 {
                    let place = inode.map.little(n * 4)
                    if place != 0, at < wanted { runs.add(at, place, 1) }
                    at += 1
                }
                for level in 1...3 where at < wanted {
                    try indirect(inode.map.little((11 + level) * 4), level, &at, wanted, &runs)
                }
            }
            return runs
        }

        private mutating func extents(_ node: [UInt8], _ depth: Int, _ wanted: UInt64, _ runs: inout Runs) throws(FileSystemProblem) {
            guard node.little(0, 2) == 0xF30A, depth >= 0 else { throw FileSystemProblem("a map of a file is damaged") }
            let count = Int(node.little(2, 2)), level = node.little(6, 2)
            guard count * 12 + 12 <= node.count, level <= UInt64(depth) else { throw FileSystemProblem("a map of a file is damaged") }
            for n in 0..<count {
                let at = 12 + 12 * n, first = node.little(at)
                guard first < wanted else { continue }
                if level > 0 {
                    try extents(try block(node.little(at + 4) | node.little(at + 8, 2) << 32), Int(level) - 1, wanted, &runs)
                    continue
                }
                let length = node.little(at + 4, 2), place = node.little(at + 8) | node.little(at + 6, 2) << 32
                // Longer ones are reserved and not written: they read as zeros.
                guard length <= 32768 else { continue }
                guard runs.list.count < FileTree.mostPieces else { throw FileSystemProblem("a file lies in too many pieces") }
                runs.add(first, place, min(length, wanted - first))
            }
        }

        private mutating func indirect(
            _ place: UInt64, _ level: Int, _ at: inout UInt64, _ wanted: UInt64, _ runs: inout Runs
        ) throws(FileSystemProblem) {
            let perBlock = reader.blockBytes / 4
            if place == 0 {
                at += (0..<level).reduce(1) { count, _ in count * perBlock }
                return
            }
            let entries = try block(place)
            for n in 0..<Int(perBlock) where at < wanted {
                let next = entries.little(n * 4)
                if level > 1 {
                    try indirect(next, level - 1, &at, wanted, &runs)
                } else {
                    if next != 0 { runs.add(at, next, 1) }
                    at += 1
                    guard runs.list.count < FileTree.mostPieces else { throw FileSystemProblem("a file lies in too many pieces") }
                }
            }
        }

        private func pieces(_ runs: Runs, _ size: UInt64) -> [DiskPiece] {
            runs.list.compactMap { run in
                let from = run.block * reader.blockBytes
                guard from < size, run.place <= reader.view.bytes / reader.blockBytes else { return nil }
                return DiskPiece(start: reader.view.start + run.place * reader.blockBytes, bytes: min(run.count * reader.blockBytes, size - from))
            }
        }

        mutating func folder(_ number: UInt64, _ inode: Inode, _ path: String, _ depth: Int) throws(FileSystemProblem) {
            guard depth < FileTree.deepest else { throw FileSystemProblem("its folders are more than \(FileTree.deepest) deep") }
            guard seen.insert(number).inserted else { throw FileSystemProblem("the folder '\(path)' lies in another one too") }
            if inode.isInline {
                // The number of the folder above, then entries.
                return try entries(inode.map.part(4, 56), path, depth)
            }
            guard inode.size <= ExtReader.mostFolderBytes, inode.size <= folderBytes else {
                throw FileSystemProblem("the folder '\(path)' has \(inode.size) bytes")
            }
            folderBytes -= inode.size
            for run in try runs(inode, inode.size).list {
                for n in 0..<run.count { try entries(try block(run.place &+ n), path, depth) }
            }
        }

        private mutating func entries(_ bytes: [UInt8], _ path: String, _ depth: Int) throws(FileSystemProblem) {
            var at = 0
            while at + 8 <= bytes.count {
                let number = bytes.little(at), length = Int(bytes.little(at + 4, 2)), nameBytes = Int(bytes[at + 6])
                // 64 KiB do not fit the field.
                let step = length == 0 || length == 0xFFFF ? bytes.count - at : length
                guard step >= 8, step % 4 == 0, at + step <= bytes.count else {
                    throw FileSystemProblem("the folder '\(path)' is damaged")
                }
                defer { at += step }
                guard number != 0, nameBytes > 0, nameBytes + 8 <= step else { continue }
                let name = bytes.part(at + 8, nameBytes)
                if name == [0x2E] || name == [0x2E, 0x2E] { continue }
                try file(number, path.isEmpty ? FileTree.name(name) : path + "/" + FileTree.name(name), depth)
            }
        }

        private mutating func file(_ number: UInt64, _ path: String, _ depth: Int) throws(FileSystemProblem) {
            guard let inode = reader.inode(number) else { throw FileSystemProblem("'\(path)' has an inode that is not there") }
            let kind: FileRecord.Kind =
                switch inode.mode & 0xF000 {
                case 0x8000: .file
                case 0x4000: .folder
                case 0xA000: .link
                default: .other
                }
            var record = FileRecord(kind: kind)
            record.modified = inode.bytes.little(16) | (reader.inodeBytes >= 140 ? inode.bytes.little(136) << 32 : 0)
            record.attributes = inode.mode | inode.bytes.little(2, 2) << 16 | inode.bytes.little(24, 2) << 32 | inode.bytes.little(120, 4) << 48
            record.bytes = kind == .folder ? 0 : inode.size
            switch kind {
            case .link where inode.size < 60 && !inode.hasExtents: record.inline = inode.map.part(0, Int(inode.size))
            case .other: record.inline = inode.map.part(0, 8)
            case .file where inode.isInline, .link where inode.isInline: record.inline = Array(inode.bytes[40...])
            case .file, .link: record.pieces = pieces(try runs(inode, inode.size), inode.size)
            case .folder: break
            }
            try tree.add(path, record)
            if kind == .folder { try folder(number, inode, path, depth + 1) }
        }
    }
}
