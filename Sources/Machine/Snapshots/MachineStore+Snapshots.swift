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
        try work(name) { work throws(MachineError) in try work.restore(snapshot, keepingAs: kept) }
    }

    /// Deletes a snapshot of a machine that nobody runs; disks are merged.
    public func deleteSnapshot(_ name: String, _ snapshot: String, progress: @escaping Progress) throws(MachineError) {
        try work(name) { work throws(MachineError) in
            try work.delete(try work.tree.find(snapshot, of: name).id, progress: progress)
        }
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
