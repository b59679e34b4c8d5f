import ArgumentParser
import Foundation
import Machine

/// `vitrine delete NAME`: removes a machine with its disks, when the user means it.
struct Delete: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Remove a machine with the disks in its folder.",
        discussion: "On a terminal the name must be typed again; elsewhere --yes is needed. Images outside of its folder stay.")

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Do not ask.") var yes = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let entry = try host.store.entry(name)
        if !yes {
            guard host.isTerminal() else {
                throw MachineError(.wrongPlace, "'delete' asks on a terminal before it removes anything; where there is none, say --yes.")
            }
            host.standardOutput(question(entry))
            guard host.standardInputLine() == name else {
                host.standardError("vitrine: That is not the name; nothing is deleted.")
                return 1
            }
        }
        try host.store.delete(name)
        try host.say(DoneReport(name: name, folder: nil, sentence: "The machine '\(name)' is deleted."), output)
        return 0
    }

    private func question(_ entry: MachineEntry) -> String {
        var text = "'\(entry.folder)' and all in it will be deleted for good, \(ByteSize.text(entry.diskBytes)):\n"
        for file in entry.files.prefix(20) { text += "  \(file)\n" }
        return text + "Type the machine's name to delete it: "
    }
}
