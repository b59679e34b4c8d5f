import ArgumentParser
import Machine

/// `vitrine keys NAME CHORD...`: keys pressed together. Without a name: the keys of the screens.
struct Keys: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Press keys on a running machine's keyboard; list or test your own.",
        discussion: """
            Chords are such as ctrl-alt-del, F2 or alt-F1. Without a machine the keys of the console and the manager are listed, as the keymap \
            has them; --test shows what this terminal makes of each key.
            """)

    @Argument(help: "The machine.") var name: String?
    @Argument(help: "What to press, one after another.") var chords: [String] = []
    @Option(help: ArgumentHelp("List the keys of this keymap.", valueName: "name")) var keymap: String?
    @Flag(help: "Show every key, paste and click as the terminal tells it.") var test = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard let name else {
            let hook = try host.screenHook()
            guard test else {
                host.standardOutput(try hook.keys(keymap).get())
                return 0
            }
            return try hook.testKeys(ConsoleSettings()).status()
        }
        guard !test, keymap == nil else { throw .usage("--test and --keymap are for 'keys' without a machine.") }
        guard !chords.isEmpty else { throw .usage("Which keys? An example is: vitrine keys '\(name)' ctrl-alt-del.") }
        for chord in chords { _ = try KeyChord(chord) }
        let reply = try host.client(name).ask("x-vitrine-keys", ["keys": .array(chords.map { .string($0) })], within: nil)
        return try RunningScript.status(reply, host)
    }
}
