import ArgumentParser
import Machine

/// `vitrine save-state NAME`: a running machine's state goes into its folder, and its process ends.
struct SaveState: Verb {
    static let configuration = CommandConfiguration(
        commandName: "save-state", abstract: "Save the state of a running machine and end it.",
        discussion: "The next start goes on at the next instruction.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        let client = try host.client(name)
        // A large guest on a slow disk takes its time.
        try client.ask("x-vitrine-save-state", within: nil)
        guard try client.waitForEnd(within: 60) else { throw .failed("The state of '\(name)' is saved, but its process does not end.") }
        return 0
    }
}

/// `vitrine discard-state NAME`: gives a saved state up.
struct DiscardState: Verb {
    static let configuration = CommandConfiguration(
        commandName: "discard-state", abstract: "Give a machine's saved state up.",
        discussion: "It is as if the power had been cut when the state was saved: what the guest had not written to its disks is lost.")

    @Argument(help: "The machine.") var name: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.store.discardState(name)
        return 0
    }
}
