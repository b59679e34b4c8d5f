import ArgumentParser
import Machine

/// `vitrine path NAME`: where the machine is.
struct PathVerb: Verb {
    static let configuration = CommandConfiguration(commandName: "path", abstract: "Print a machine's folder.")

    @Argument(help: "The machine.") var name: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.say(PathReport(path: try host.store.entry(name).folder), output)
        return 0
    }

    private struct PathReport: Report {
        var path: String
        var text: String { path }
    }
}
