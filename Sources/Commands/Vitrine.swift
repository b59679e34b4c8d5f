import ArgumentParser
import Machine

/// What every verb is: arguments that the parser fills in, and something to do in a host.
protocol Verb: ParsableCommand {
    /// - Returns: the exit status.
    /// - Throws: `MachineError`, whose kind is the exit status.
    @MainActor func run(in host: Host) throws(MachineError) -> Int32
}

/// `vitrine`: without a verb the manager of stored machines.
public struct Vitrine: Verb {
    public static let version = "0.1.0"
    public static let configuration = CommandConfiguration(
        commandName: "vitrine", abstract: "A PC in your terminal.",
        discussion: """
            Without a verb: the manager of your machines. Start with 'vitrine demo', or with 'vitrine run' and an image of a floppy, a disk or \
            a CD.
            """, version: version,
        subcommands: [Run.self, Demo.self] + machineVerbs + runningVerbs + screenVerbs)

    /// Verbs on stored machines.
    private static let machineVerbs: [any ParsableCommand.Type] = [
        Create.self, List.self, Show.self, SetVerb.self, Clone.self, Rename.self, Delete.self, PathVerb.self, OSTypes.self, Disk.self,
        VBox.self,
    ]
    /// Verbs about screens and words.
    private static let screenVerbs: [any ParsableCommand.Type] = [Manager.self, Theme.self, Man.self]
    static let themeVerbs: [any ParsableCommand.Type] = [ThemeList.self, ThemeCheck.self]
    static let diskVerbs: [any ParsableCommand.Type] = [
        DiskCreate.self, DiskInfo.self, DiskConvert.self, DiskResizeVerb.self, DiskCompact.self, DiskCheckVerb.self, DiskCompare.self,
        DiskMap.self, DiskMergeVerb.self,
    ]
    static let snapshotVerbs: [any ParsableCommand.Type] = [
        SnapshotTake.self, SnapshotList.self, SnapshotShow.self, SnapshotRestore.self, SnapshotDelete.self, SnapshotDiff.self,
        SnapshotExportVerb.self, SnapshotImportVerb.self, SnapshotUndo.self, SnapshotCommit.self,
    ]
    /// Verbs on machines that run.
    private static let runningVerbs: [any ParsableCommand.Type] = [
        Start.self, Attach.self, Debug.self, Stop.self, Pause.self, Resume.self, Reset.self, TypeText.self, Keys.self, WaitFor.self, Screen.self,
        Screenshot.self, RunningScript.self, Log.self, SaveState.self, DiscardState.self, Snapshot.self,
    ]

    public init() {}

    static func has(_ verb: String) -> Bool { configuration.subcommands.contains { $0._commandName == verb } }

    func run(in host: Host) throws(MachineError) -> Int32 { throw .usage("Which verb?") }

    /// Names of all verbs, `disk create` for those in another; what menus can do must be among them.
    public static var verbNames: [String] {
        func names(_ command: any ParsableCommand.Type, _ prefix: String) -> [String] {
            let name = prefix + command._commandName, inner = command.configuration.subcommands
            return inner.isEmpty ? [name] : inner.flatMap { names($0, name + " ") }
        }
        return configuration.subcommands.flatMap { names($0, "") }
    }

    /// Parses and carries out a command line.
    /// - Returns: the exit status.
    @MainActor
    public static func execute(_ arguments: [String], in host: Host) -> Int32 {
        do {
            let command = try parseAsRoot(withVerb(arguments))
            guard let verb = command as? any Verb else {
                // The parser's own: help, version, completion scripts.
                var command = command
                try command.run()
                return 0
            }
            return try verb.run(in: host)
        } catch let error as MachineError {
            host.standardError("vitrine: \(error.description)")
            return error.kind.rawValue
        } catch {
            let status = exitCode(for: error).rawValue
            if status == 0 {
                host.standardOutput(fullMessage(for: error) + "\n")
            } else {
                host.standardError("vitrine: \(sentence(message(for: error))) See 'vitrine --help'.")
            }
            return status
        }
    }

    /// Without a verb it is the manager's; options that the parser has for all of us stay.
    private static func withVerb(_ arguments: [String]) -> [String] {
        let common = ["-h", "--help", "-help", "--version", "--generate-completion-script", "--experimental-dump-help"]
        guard let first = arguments.first else { return ["manager"] }
        return first.hasPrefix("-") && !common.contains(first) && !first.hasPrefix("--generate-completion-script=") ? ["manager"] + arguments : arguments
    }

    /// The parser's message as one sentence on one line.
    private static func sentence(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.hasSuffix(".") || line.hasSuffix("?") ? line : line + "."
    }
}
