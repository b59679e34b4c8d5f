import ArgumentParser
import Machine

/// `vitrine pause NAME`: holds a running machine.
struct Pause: Verb {
    static let configuration = CommandConfiguration(abstract: "Pause a running machine.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.client(name).ask("stop")
        return 0
    }
}
