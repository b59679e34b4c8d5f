import ArgumentParser
import Machine

/// `vitrine vbox …`: takes the words of VBoxManage, for fingers and scripts that know them.
struct VBox: Verb {
    static let configuration = CommandConfiguration(
        commandName: "vbox", abstract: "Take a command as VBoxManage spells it.",
        discussion: """
            It is translated to verbs of Vitrine and carried out: createvm, modifyvm, clonevm, unregistervm, startvm, controlvm, snapshot, \
            list, showvminfo, createmedium, showmediuminfo, storagectl, storageattach, discardstate. What Vitrine does not have is said.
            """)

    @Flag(help: "Print the commands of Vitrine, and carry out nothing.") var translate = false
    @Argument(parsing: .captureForPassthrough, help: "The command, for example: list vms") var words: [String] = []

    func run(in host: Host) throws(MachineError) -> Int32 {
        var words = words
        // The parser leaves everything from the first word on as it is, also an option that stands behind the verb.
        let translate = translate || words.first == "--translate"
        if words.first == "--translate" { words.removeFirst() }
        let commands = try VBoxTranslation(store: host.store).commands(for: words)
        for command in commands {
            if translate {
                host.standardOutput(CommandText.line(["vitrine"] + command) + "\n")
                continue
            }
            guard let verb = command.first, Vitrine.has(verb) else {
                throw MachineError(.wrongPlace, "'\(CommandText.line(["vitrine"] + command))' is not there in this version.")
            }
            let status = Vitrine.execute(command, in: host)
            if status != 0 { return status }
        }
        return 0
    }
}
