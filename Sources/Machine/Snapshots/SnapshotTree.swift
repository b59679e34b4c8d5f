import DataFiles
import Foundation

/// The snapshots of a machine: `snapshots/tree.json` in its folder. What it says is the truth; `pending` in it is what has been decided and
/// may not be done yet, and can be done any number of times.
public struct SnapshotTree: Codable, Equatable, Sendable {
    public static let folderName = "snapshots", fileName = "tree.json"
    static let maximumBytes = 16 << 20
    /// Of a tree whose snapshots share files: who knows nothing of that would remove them.
    static let sharingVersion = 2

    public struct Node: Codable, Equatable, Sendable {
        public var id: String
        public var name: String
        public var description: String
        /// Seconds since 1970.
        public var taken: Double
        public var parent: String?
        /// What the machine did: `off`, `saved`, `running`, `paused`.
        public var state: String
        /// It has the machine's memory: restoring it goes on where it was.
        public var hasMemory: Bool
        /// Whole and on the host's medium; what is not was never reported as taken.
        public var isComplete: Bool
        /// The images as they were, from the machine's folder; nobody writes them any more, but disks that the guest may not write.
        public var disks: [String]
        /// Of its memory, in the file.
        public var bytes: UInt64
        /// Files that pages of its memory lie in, from the machine's folder: those of older snapshots, which may have gone themselves.
        var shares: [String]?
        /// A copy of the floppy that was in the drive, from the machine's folder.
        var floppy: String?
        /// Nobody sees it any more; it is there for `undo`.
        var hidden: Bool?
        public var isHidden: Bool { hidden == true }
    }

    /// What can be undone.
    public struct Undo: Codable, Equatable, Sendable {
        /// `restore`, `delete`.
        public var work: String
        /// The hidden snapshot: what the machine was before, or what was deleted.
        public var id: String
        /// The snapshot that was restored or deleted.
        public var name: String
        /// `restore of 'a'`
        public var words: String { "\(work == "delete" ? "deletion" : "restore") of '\(name)'" }
    }

    /// What is to be done whatever happens.
    public struct Pending: Codable, Equatable, Sendable {
        /// For the log: `take`, `restore`, `delete`.
        public var work: String
        /// The text of `machine.toml`.
        public var settings: String?
        /// The snapshot whose memory becomes the machine's saved state; "": it has none any more; nil: as it is.
        public var memoryOf: String?
        /// Files to be removed, from the machine's folder.
        public var removes: [String] = []
        /// The snapshot that is being merged with what stands on it.
        public var merging: String?
    }

    public var version = 1
    public var nodes: [Node] = []
    /// The snapshot that the machine's present state comes from.
    public var current: String?
    public var pending: Pending?
    public var undo: Undo?

    public init() {}

    /// What a snapshot has beside its place in the tree, in a file of its own.
    public struct Details: Codable, Sendable {
        public var settings: String
        /// Rows of the text screen.
        public var screen: [String]
    }

    // MARK: Files

    static func folder(_ machine: String) -> String { machine + "/" + folderName }
    static func memoryPath(_ id: String) -> String { "\(folderName)/\(id).state" }
    static func detailsPath(_ id: String) -> String { "\(folderName)/\(id).json" }

    /// - Throws: `.badInput` when it cannot be read; a machine without the file has an empty tree.
    public static func read(_ machine: String) throws(MachineError) -> SnapshotTree {
        let path = folder(machine) + "/" + fileName
        guard access(path, F_OK) == 0 else { return SnapshotTree() }
        let bytes = try WholeFile.read(path, what: "tree of snapshots", limit: maximumBytes)
        guard let tree = try? JSONDecoder().decode(SnapshotTree.self, from: Data(bytes)) else {
            throw .badInput("'\(path)' is not a tree of snapshots.")
        }
        guard (1...sharingVersion).contains(tree.version) else {
            throw .badInput("'\(path)' has version \(tree.version), which a newer Vitrine wrote; this one reads up to \(sharingVersion).")
        }
        let ids = Set(tree.nodes.map(\.id))
        let sound = ids.count == tree.nodes.count && tree.nodes.allSatisfy { isID($0.id) && ($0.parent.map(ids.contains) ?? true) } && !tree.hasLoop
        guard sound, tree.current.map(ids.contains) ?? true else { throw .badInput("'\(path)' contradicts itself.") }
        return tree
    }

    private static func isID(_ id: String) -> Bool { !id.isEmpty && id.utf8.count <= 64 && id.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" } }

    private var hasLoop: Bool {
        let parents = Dictionary(nodes.map { ($0.id, $0.parent) }) { first, _ in first }
        for node in nodes {
            var at: String? = node.id, steps = 0
            while let id = at {
                at = parents[id] ?? nil
                steps += 1
                if steps > nodes.count { return true }
            }
        }
        return false
    }

    /// Nothing is in it before it is on the host's medium.
    static func makeFolder(_ machine: String) throws(MachineError) {
        if mkdir(folder(machine), 0o700) == 0 { return FolderWork.sync(machine) }
        guard errno == EEXIST else { throw .failed("The folder '\(folder(machine))' cannot be made: \(WholeFile.reason()).") }
    }

    func write(_ machine: String) throws(MachineError) {
        let folder = SnapshotTree.folder(machine)
        try SnapshotTree.makeFolder(machine)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var tree = self
        tree.version = nodes.contains { $0.shares != nil } ? SnapshotTree.sharingVersion : 1
        guard let data = try? encoder.encode(tree) else { throw .failed("The tree of snapshots cannot be written.") }
        FolderWork.removeTemporaries(of: folder + "/" + SnapshotTree.fileName)
        try WholeFile.write([UInt8](data), to: folder + "/" + SnapshotTree.fileName, what: "tree of snapshots")
        FolderWork.sync(folder)
    }

    static func write(_ details: Details, of id: String, _ machine: String) throws(MachineError) {
        guard let data = try? JSONEncoder().encode(details) else { throw .failed("The snapshot's settings cannot be written.") }
        try WholeFile.write([UInt8](data), to: machine + "/" + detailsPath(id), what: "snapshot")
    }

    /// - Throws: `.badInput`.
    public static func details(of id: String, _ machine: String) throws(MachineError) -> Details {
        let bytes = try WholeFile.read(machine + "/" + detailsPath(id), what: "snapshot", limit: 4 << 20)
        guard let details = try? JSONDecoder().decode(Details.self, from: Data(bytes)) else {
            throw .badInput("'\(machine)/\(detailsPath(id))' is not a snapshot.")
        }
        return details
    }

    static func freshID() -> String { String(UInt64.random(in: 1 << 40...(.max)), radix: 36) }

    // MARK: Looking

    public func node(_ id: String?) -> Node? { id.flatMap { id in nodes.first { $0.id == id } } }
    public func children(of id: String?) -> [Node] { nodes.filter { $0.parent == id } }

    /// By name or id.
    /// - Throws: `.wrongPlace` when there is none.
    public func find(_ name: String, of machine: String) throws(MachineError) -> Node {
        let all = visible.nodes
        if let found = all.first(where: { $0.name == name }) ?? all.first(where: { $0.id == name }), let node = node(found.id) { return node }
        throw MachineError(
            .wrongPlace,
            "'\(machine)' has no snapshot '\(name)'\(Nearest.suggestion(name, in: all.map(\.name))); "
                + "'vitrine snapshot list \(machine)' shows all.")
    }

    func checkName(_ name: String) throws(MachineError) {
        guard !name.isEmpty, name.utf8.count <= 200, name.allSatisfy({ !$0.isNewline }), !name.unicodeScalars.contains(where: { $0.value < 32 }) else {
            throw .usage("The name of a snapshot is a line of up to 200 bytes.")
        }
        if nodes.contains(where: { $0.name == name && $0.isComplete && !$0.isHidden }) {
            throw MachineError(.wrongPlace, "There is already a snapshot '\(name)'; choose another name, or delete that one.")
        }
    }

    /// The tree without what is hidden: what stands on that, stands on the next one below.
    public var visible: SnapshotTree {
        guard nodes.contains(where: \.isHidden) else { return self }
        var tree = self
        func below(_ id: String?) -> String? {
            var at = id
            while let node = node(at), node.isHidden { at = node.parent }
            return at
        }
        tree.nodes = nodes.filter { !$0.isHidden }
        for index in tree.nodes.indices { tree.nodes[index].parent = below(tree.nodes[index].parent) }
        tree.current = below(current)
        return tree
    }

    mutating func change(_ id: String, _ body: (inout Node) -> Void) {
        if let index = nodes.firstIndex(where: { $0.id == id }) { body(&nodes[index]) }
    }

    /// Every file that the tree names, from the machine's folder.
    var files: Set<String> {
        var files = Set(
            nodes.flatMap { $0.disks + ($0.shares ?? []) + [$0.floppy ?? "", SnapshotTree.memoryPath($0.id), SnapshotTree.detailsPath($0.id)] })
        files.insert(SnapshotTree.folderName + "/" + SnapshotTree.fileName)
        return files
    }
}
