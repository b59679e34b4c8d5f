import ArgumentParser
import Machine

/// `vitrine snapshot undo NAME`
struct SnapshotUndo: Verb {
    static let configuration = CommandConfiguration(
        commandName: "undo", abstract: "Take the last restore or deletion back.",
        discussion: """
            What the machine has become since a restore is lost. A machine that runs is switched off and started again, in the background.
            """)

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard let undo = try host.store.snapshots(name).undo else {
            throw MachineError(.wrongPlace, "There is nothing to undo: no restore or deletion of '\(name)' that has not been committed.")
        }
        var words = ""
        try LiveSnapshots.whileOff(name, keeps: undo.work == "delete", in: host) { () throws(MachineError) in
            words = try host.store.undoSnapshots(name) { _, _ in true }
        }
        host.standardOutput("Undone: \(words).\n")
        return 0
    }
}

/// `vitrine snapshot commit NAME`
struct SnapshotCommit: Verb {
    static let configuration = CommandConfiguration(
        commandName: "commit", abstract: "Give up what could be undone.",
        discussion: "The room that it takes is free then. The next restore or deletion does the same.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        if try host.store.entry(name).state.isLive {
            try host.client(name).ask("x-vitrine-snapshot-commit", within: nil)
            return 0
        }
        return try DiskWork.run(in: host) { progress throws(MachineError) in
            _ = try host.store.commitSnapshots(name, progress: progress)
            return 0
        }
    }
}
