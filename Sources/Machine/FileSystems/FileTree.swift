/// A run of bytes of a disk.
struct DiskPiece: Equatable, Sendable {
    /// On the disk, not in the partition.
    var start: UInt64
    var bytes: UInt64
}

/// A file as a file system has it.
struct FileRecord: Equatable, Sendable {
    enum Kind: String, Sendable { case file, folder, link, other }
    var kind: Kind
    var bytes: UInt64 = 0
    /// As the file system counts it: only for comparing.
    var modified: UInt64 = 0
    /// Attributes or mode, and owner.
    var attributes: UInt64 = 0
    /// Where its contents lie, in order; holes are left out.
    var pieces: [DiskPiece] = []
    /// What lies beside them: the target of a link, contents that are kept in the inode.
    var inline: [UInt8] = []
}

/// All files of a file system by path, `etc/fstab`. Nothing that a disk says makes it larger than its limits.
struct FileTree: Sendable {
    static let mostFiles = 300_000, mostPieces = 1_000_000, mostPathBytes = 48 << 20, deepest = 64

    /// `FAT16`, `ext4`.
    let kind: String
    private(set) var files: [String: FileRecord] = [:]
    /// What a reader should know, a clause each.
    var notes: [String] = []
    private var pieceCount = 0, pathBytes = 0

    init(kind: String) { self.kind = kind }

    /// - Throws: when there are too many.
    mutating func add(_ path: String, _ record: FileRecord) throws(FileSystemProblem) {
        pieceCount += record.pieces.count
        pathBytes += path.utf8.count + record.inline.count
        guard files.count < FileTree.mostFiles else { throw FileSystemProblem("it has more than \(FileTree.mostFiles) files") }
        guard pieceCount <= FileTree.mostPieces, pathBytes <= FileTree.mostPathBytes else {
            throw FileSystemProblem("its files lie in too many pieces, or have too long names")
        }
        files[path] = record
    }

    /// A name as it is shown: what cannot be written in a line is replaced.
    static func name(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(decoding: Array(bytes), as: UTF8.self)
        guard text.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 || $0 == "/" }) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 || $0 == "/" ? "\u{FFFD}" : $0 }))
    }

    /// Reads the file system in a part of a disk.
    /// - Returns: nil: there is none that is known.
    /// - Throws: it is known and cannot be read.
    static func read(_ view: DiskView) throws(FileSystemProblem) -> FileTree? {
        if let fat = FATReader(view) { return try fat.tree() }
        if let ext = try ExtReader(view) { return try ext.tree() }
        return nil
    }
}
