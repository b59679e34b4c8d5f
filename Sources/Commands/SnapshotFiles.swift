import ArgumentParser
import Machine

/// `vitrine snapshot export NAME SNAP FILE`
struct SnapshotExportVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write a snapshot into one file.",
        discussion: "Settings, description, memory and the disks as the guest sees them, packed, with checksums. Ctrl-C leaves nothing.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The snapshot.") var snapshot: String
    @Argument(help: "The new file; it must not be there yet.") var file: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        try DiskWork.run(in: host) { progress throws(MachineError) in
            try host.store.exportSnapshot(name, snapshot, to: file, progress: progress)
            return 0
        }
    }
}

/// `vitrine snapshot import NAME FILE`
struct SnapshotImportVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take a snapshot from a file into a machine, or make a machine of it.",
        discussion: """
            The snapshot stands on nothing; restoring it brings its settings along. Floppies and CDs are not in the file; where they are not \
            there either, the drives are empty.
            """)

    @Argument(help: "The machine; with --new the one that is made.") var name: String
    @Argument(help: "The file.") var file: String
    @Option(name: .customLong("as"), help: ArgumentHelp("What the snapshot is called; when not given, as it was.", valueName: "snap"))
    var snapshot: String?
    @Flag(name: .customLong("new"), help: "A new machine, which is as it was at the snapshot.") var makesMachine = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard !makesMachine || snapshot == nil else { throw .usage("--as and --new exclude each other: a new machine has no snapshots.") }
        return try DiskWork.run(in: host) { progress throws(MachineError) in
            if makesMachine {
                _ = try host.store.importMachine(name, from: file, progress: progress)
            } else {
                try host.store.importSnapshot(name, from: file, as: snapshot, progress: progress)
            }
            return 0
        }
    }
}
