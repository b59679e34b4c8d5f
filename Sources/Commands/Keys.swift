import ArgumentParser
import Machine

/// `vitrine keys NAME CHORD...`: keys pressed together.
struct Keys: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Press keys on a running machine's keyboard.", discussion: "Chords are such as ctrl-alt-del, F2 or alt-F1.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "What to press, one after another.") var chords: [String]

    func run(in host: Host) throws(MachineError) -> Int32 {
        for chord in chords { _ = try KeyChord(chord) }
        let reply = try host.client(name).ask("x-vitrine-keys", ["keys": .array(chords.map { .string($0) })], within: nil)
        return try RunningScript.status(reply, host)
    }
}
