import ArgumentParser
import Machine

/// `vitrine` without a verb: the manager of stored machines.
struct Manager: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Show the manager of your machines (also without a verb).", discussion: "F1 lists its keys. Machines that run go on when it ends.")

    @OptionGroup(title: "Screen") var options: ScreenOptions
    @Option(help: .hidden) var screen: String?
    @Option(help: .hidden) var keys: String?
    @Flag(help: .hidden) var dump = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        if dump || screen != nil || keys != nil {
            // The screen as text after some keys, without a terminal: for tests and reports.
            host.standardOutput(try host.screenHook().screenText(screen ?? "80x24", keys ?? "", options.settings).get())
            return 0
        }
        guard host.isTerminal() else {
            throw MachineError(.wrongPlace, "The machine manager needs a terminal; see 'vitrine --help' for what works without one.")
        }
        return try host.screenHook().manager(options.settings).status()
    }
}
