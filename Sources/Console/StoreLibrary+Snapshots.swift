import Foundation
import Machine
import Panels

// Saved state and snapshots of stored machines, whether they run or not.
extension StoreLibrary {
    private func client(_ name: String) throws(MachineError) -> ControlClient {
        try ControlClient(path: try store.entry(name).run?.socket ?? "", name: name)
    }

    func saveState(_ name: String) throws(MachineError) {
        let client = try client(name)
        // A large guest on a slow disk takes its time.
        try client.ask("x-vitrine-save-state", within: nil)
        guard try client.waitForEnd(within: 60) else { throw .failed("The state of '\(name)' is saved, but its process does not end.") }
    }

    /// How far the work is; false: it is to stop.
    private func progress() -> MachineStore.Progress {
        var told = Date.distantPast
        return { [self] done, total in
            if total > 0, Date().timeIntervalSince(told) > 0.1 {
                told = Date()
                tell(.snapshotProgress(done: Int(clamping: done), total: Int(clamping: total)))
            }
            return !state.withLock { $0.snapshotStops }
        }
    }

    func workOnSnapshots(_ request: LibraryRequest) throws(MachineError) {
        switch request {
        case .takeSnapshot(let name, let snapshot, let description):
            guard try store.entry(name).state.isLive else { return try store.takeSnapshot(name, snapshot, description: description) }
            _ = try client(name).work(
                "x-vitrine-snapshot-take", ["name": .string(snapshot), "description": .string(description)], progress: progress())
        case .deleteSnapshot(let name, let snapshot, let canUndo):
            guard !canUndo, try store.entry(name).state.isLive else {
                return try store.deleteSnapshot(name, snapshot, canUndo: canUndo, progress: progress())
            }
            _ = try client(name).work("x-vitrine-snapshot-delete", ["name": .string(snapshot)], progress: progress())
        case .restoreSnapshot(let name, let snapshot, let kept):
            _ = try store.snapshots(name).find(snapshot, of: name)
            try whileOff(name) { () throws(MachineError) in try store.restoreSnapshot(name, snapshot, keepingAs: kept) }
        case .undoSnapshot(let name):
            let isDeletion = try store.snapshots(name).undo?.work == "delete"
            try whileOff(name, keeps: isDeletion) { () throws(MachineError) in _ = try store.undoSnapshots(name, progress: progress()) }
        case .commitSnapshots(let name):
            guard try store.entry(name).state.isLive else { return _ = try store.commitSnapshots(name, progress: progress()) }
            _ = try client(name).work("x-vitrine-snapshot-commit", [:], progress: progress())
        case .diffSnapshots(let name, let from, let to):
            let lines = DifferenceText.lines(try store.difference(name, from: from, to: to, progress: progress()), limit: 1000)
            tell(.difference(name, lines))
        case .exportSnapshot(let name, let snapshot, let path):
            try store.exportSnapshot(name, snapshot, to: hostPath(path), progress: progress())
        case .importSnapshot(let name, let path): try store.importSnapshot(name, from: hostPath(path), as: nil, progress: progress())
        case .linkedClone(let name, let snapshot, let new): _ = try store.linkedClone(name, as: new, of: snapshot)
        default: break
        }
    }

    private func hostPath(_ path: String) -> String {
        path.hasPrefix("~/") ? NSHomeDirectory() + path.dropFirst() : path
    }

    /// A machine that runs is switched off and started again.
    /// - Parameter keeps: the present state matters.
    private func whileOff(_ name: String, keeps: Bool = true, _ body: () throws(MachineError) -> Void) throws(MachineError) {
        let isLive = try store.entry(name).state.isLive
        try DetachedStart.whileOff(
            name, client: isLive ? try client(name) : nil, keeps: keeps, body,
            start: { () throws(MachineError) in try startMachine(name) })
    }

    // MARK: Looking

    /// Tells the tree that is looked at when it is another one than before.
    func readSnapshots() {
        guard let name = state.withLock({ $0.tree }) else { return }
        do throws(MachineError) {
            let list = try snapshotList(name)
            let isNew = state.withLock { state in
                guard state.tree == name, state.toldTree != list else { return false }
                (state.toldTree, state.treeProblem) = (list, "")
                return true
            }
            if isNew { tell(.snapshots(name, list)) }
        } catch {
            let sentence = error.description
            let isNew = state.withLock { state in
                defer { state.treeProblem = sentence }
                return state.tree == name && state.treeProblem != sentence
            }
            if isNew { tell(.failed(.snapshots(name), sentence)) }
        }
    }

    func readScreens() {
        let wanted = state.withLock { state in
            defer { state.screens = [] }
            return state.screens
        }
        for (name, id) in wanted {
            let screen = (try? store.snapshotDetails(name, id))?.screen ?? []
            tell(.snapshotScreen(name, id: id, screen))
        }
    }

    private func snapshotList(_ name: String) throws(MachineError) -> SnapshotList {
        let whole = try store.snapshots(name), tree = whole.visible, folder = store.folder(of: name)
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyy-MM-dd HH:mm"
        var counted: Set<String> = []
        /// Of the images in the machine's own folder that have not been counted yet.
        func bytes(_ disks: [String]) -> Int {
            disks.reduce(0) { sum, disk in
                var facts = stat()
                guard !disk.hasPrefix("/"), counted.insert(disk).inserted, lstat(folder + "/" + disk, &facts) == 0 else { return sum }
                return sum &+ Int(clamping: facts.st_blocks) &* 512
            }
        }
        let nodes = tree.nodes.filter(\.isComplete).sorted { $0.taken < $1.taken }
        let rows = nodes.map { node in
            SnapshotRow(
                id: node.id, name: node.name, description: node.description, parent: node.parent,
                taken: formatter.string(from: Date(timeIntervalSince1970: node.taken)), state: node.state, hasMemory: node.hasMemory,
                bytes: bytes(node.disks) &+ Int(clamping: node.bytes))
        }
        let present = tree.current == nil ? [] : (try? store.entry(name).settings.get())?.run.disks ?? []
        let changed = bytes(present), hidden = whole.undo.flatMap { whole.node($0.id) }
        return SnapshotList(
            rows, current: tree.current, changedBytes: changed, undoable: whole.undo?.words,
            undoBytes: hidden.map { bytes($0.disks) &+ Int(clamping: $0.bytes) } ?? 0)
    }
}
