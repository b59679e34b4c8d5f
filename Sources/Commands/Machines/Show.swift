import ArgumentParser
import Machine

/// `vitrine show NAME`: everything about one machine.
struct Show: Verb {
    static let configuration = CommandConfiguration(abstract: "Show a machine's state and settings.")

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Print the command that would make it, and nothing else.") var command = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let entry = try host.store.entry(name)
        if command {
            let settings = try entry.checkedSettings().mappingPaths { HostPath.absolute($0, from: entry.folder) }
            try host.say(CommandReport(command: CommandText.create(name, settings)), output)
        } else {
            try host.say(MachineReport(entry, whole: true), output)
        }
        return 0
    }

    private struct CommandReport: Report {
        var command: String
        var text: String { command }
    }
}
