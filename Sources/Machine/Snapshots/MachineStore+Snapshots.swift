import Foundation

extension MachineStore {
    /// The snapshots of a machine.
    /// - Throws: `.wrongPlace` when there is no such machine, `.badInput` when the tree is damaged.
    public func snapshots(_ name: String) throws(MachineError) -> SnapshotTree { try SnapshotTree.read(try existing(name)) }

    /// Settings and screen of a snapshot.
    public func snapshotDetails(_ name: String, _ id: String) throws(MachineError) -> SnapshotTree.Details {
        try SnapshotTree.details(of: id, try existing(name))
    }

    /// Takes a snapshot of a machine that nobody runs.
    public func takeSnapshot(_ name: String, _ snapshot: String, description: String) throws(MachineError) {
        try work(name) { work throws(MachineError) in try work.take(snapshot, description: description) }
    }

    /// A machine that nobody runs becomes what it was; it is off then, or saved where the snapshot has its memory.
    public func restoreSnapshot(_ name: String, _ snapshot: String, keepingAs kept: String?) throws(MachineError) {
        try work(name) { work throws(MachineError) in
            try work.restore(snapshot, keepingAs: kept)
            // Of a machine that died; it is what the snapshot was now.
            RunRecord.remove(from: work.folder)
        }
    }

    /// Deletes a snapshot of a machine that nobody runs; disks are merged.
    /// - Parameter canUndo: it is only hidden, until it is committed; so is one of a machine that runs.
    public func deleteSnapshot(_ name: String, _ snapshot: String, canUndo: Bool = false, progress: @escaping Progress) throws(MachineError) {
        let folder = try existing(name)
        if canUndo, MachineLock.isHeld(.run, of: folder) { return try hideOfLive(name, snapshot, folder) }
        try work(name) { work throws(MachineError) in
            let id = try work.tree.find(snapshot, of: name).id
            if canUndo { return try work.hide(id, progress: progress) }
            try work.commitUndo(progress)
            try work.delete(id, progress: progress)
        }
    }

    /// Nothing but the tree changes; what was hidden before has to be committed by the machine's own process.
    private func hideOfLive(_ name: String, _ snapshot: String, _ folder: String) throws(MachineError) {
        let writing = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime(writing) {} }
        let tree = try SnapshotTree.read(folder)
        guard tree.pending == nil else { throw MachineError(.wrongPlace, "The snapshots of '\(name)' are just being worked on; try again.") }
        if let undo = tree.undo {
            throw MachineError(.wrongPlace, "The \(undo.words) can still be undone; 'vitrine snapshot commit \(name)' comes first.")
        }
        var work = SnapshotWork(reading: tree, folder, name: name)
        try work.hide(try tree.find(snapshot, of: name).id) { _, _ in true }
    }

    /// Takes the last restore or deletion back, of a machine that nobody runs.
    /// - Returns: what was undone: `restore of 'a'`.
    public func undoSnapshots(_ name: String, progress: @escaping Progress) throws(MachineError) -> String {
        var words = ""
        try work(name) { work throws(MachineError) in words = try work.undo(progress: progress) }
        return words
    }

    /// The last restore or deletion cannot be undone any more; the machine must not run.
    /// - Returns: false: there was none.
    public func commitSnapshots(_ name: String, progress: @escaping Progress) throws(MachineError) -> Bool {
        var had = false
        try work(name) { work throws(MachineError) in
            had = work.tree.undo != nil
            try work.commitUndo(progress)
        }
        return had
    }

    private func work(_ name: String, _ body: (inout SnapshotWork) throws(MachineError) -> Void) throws(MachineError) {
        let folder = try existing(name)
        let lock = try MachineLock.take(.run, of: folder, name: name)
        let writing = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime((lock, writing)) {} }
        var work = try SnapshotWork(folder, name: name)
        MachineStore.log(work.notes, folder)
        try body(&work)
    }

    /// What an interrupted work on snapshots has decided comes before anything else is changed. The caller has the lock on the settings.
    func settleSnapshots(_ name: String, _ folder: String) throws(MachineError) {
        let tree = try SnapshotTree.read(folder)
        guard tree.pending != nil || tree.nodes.contains(where: { !$0.isComplete }) else { return }
        // Somebody who runs it has done it.
        guard let lock = try MachineLock.attempt(.run, of: folder, name: name) else { return }
        defer { withExtendedLifetime(lock) {} }
        MachineStore.log(try SnapshotWork(folder, name: name).notes, folder)
    }

    /// What was put right goes to the end of the last run's log.
    static func log(_ notes: [String], _ folder: String) {
        guard !notes.isEmpty else { return }
        let path = folder + "/" + MachineLog.folderName + "/" + MachineLog.fileName
        _ = mkdir(folder + "/" + MachineLog.folderName, 0o700)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        for note in notes { _ = WholeFile.writeAll(descriptor, Array((LogLine(.info, "Snapshots", note, guestTime: nil).formatted + "\n").utf8)) }
    }
}
