import ArgumentParser
import Foundation
import Machine

/// `vitrine script NAME FILE`: a script on a running machine.
struct RunningScript: Verb {
    static let configuration = CommandConfiguration(
        commandName: "script", abstract: "Carry a script out on a running machine.",
        discussion: "The same commands as for 'run --script'; 'stop' powers the machine off. A wait that fails prints the screen and ends with 4.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The script; - is standard input.") var file: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        let text = try Script.read(file)
        let shown = file == "-" ? "standard input" : file
        _ = try Script(text, name: shown)
        let arguments: [String: JSONValue] = [
            "text": .string(text), "name": .string(shown), "folder": .string(FileManager.default.currentDirectoryPath),
        ]
        return try RunningScript.status(try host.client(name).ask("x-vitrine-script", arguments, within: nil), host)
    }

    /// 0, or 4 after a wait that failed.
    static func status(_ reply: JSONValue, _ host: Host) throws(MachineError) -> Int32 {
        if reply["done"] == true { return 0 }
        host.standardError("vitrine: \(reply["text"]?.string ?? "The script failed.")")
        return 4
    }
}
