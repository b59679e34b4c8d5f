import ArgumentParser
import Machine

/// `vitrine reset NAME`: resets a running machine.
struct Reset: Verb {
    static let configuration = CommandConfiguration(abstract: "Reset a running machine; unsaved guest data is lost.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.client(name).ask("system_reset")
        return 0
    }
}
