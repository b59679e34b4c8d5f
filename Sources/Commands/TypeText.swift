import ArgumentParser
import Machine

/// `vitrine type NAME TEXT`: keystrokes for a running machine.
struct TypeText: Verb {
    static let configuration = CommandConfiguration(
        commandName: "type", abstract: "Type text on a running machine's keyboard.",
        discussion: "Returns when the guest has taken it. \\n is Enter, \\t Tab, \\e Esc, \\xHH a character by its number.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "What to type.") var text: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        let reply = try host.client(name).ask("x-vitrine-type", ["text": .string(Script.typed(text))], within: nil)
        return try RunningScript.status(reply, host)
    }
}
