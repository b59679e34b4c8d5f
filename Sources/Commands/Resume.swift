import ArgumentParser
import Machine

/// `vitrine resume NAME`: lets a paused machine go on.
struct Resume: Verb {
    static let configuration = CommandConfiguration(abstract: "Let a paused machine go on.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.client(name).ask("cont")
        return 0
    }
}
