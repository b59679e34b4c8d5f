import ArgumentParser
import Foundation
import Machine

/// `vitrine screen NAME [FILE]`: the text screen of a running machine.
struct Screen: Verb {
    static let configuration = CommandConfiguration(abstract: "Print a running machine's text screen.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "Where to write it; standard output when not given.") var file: String?
    @Option(help: ArgumentHelp("So many lines that scrolled off before, too.", valueName: "lines")) var scrollback = 0
    @Flag(help: "A JSON object instead.") var json = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard scrollback >= 0 else { throw .usage("--scrollback takes a number of lines from 0 on.") }
        let client = try host.client(name)
        var above: [String] = []
        if scrollback > 0 {
            let end = try client.ask("x-vitrine-scrollback", ["count": 0])["end"]?.integer ?? 0
            let first = max(0, end - Int64(scrollback))
            let lines = try client.ask("x-vitrine-scrollback", ["from": .integer(first), "count": .integer(Int64(scrollback))])
            above = (lines["lines"]?.array ?? []).compactMap(\.string)
        }
        let view = try client.ask("x-vitrine-view", ["text": true])
        let rows = (view["text"]?.array ?? []).compactMap(\.string)
        let text: String
        if json {
            var object: [String: JSONValue] = [:]
            for key in ["name", "state", "screen", "columns", "rows", "text", "scrolled", "guest-seconds"] {
                object[key.replacing("-", with: "_")] = view[key]
            }
            if scrollback > 0 { object["scrollback"] = .array(above.map { .string($0) }) }
            text = JSONValue.object(object).text + "\n"
        } else {
            guard view["screen"] == "text" || !above.isEmpty else {
                let shown = view["screen"]?.string ?? "nothing"
                throw MachineError(.wrongPlace, "The machine '\(name)' shows no text but \(shown); 'vitrine screenshot' takes pictures.")
            }
            text = (above + rows).map { $0 + "\n" }.joined()
        }
        guard let file else {
            host.standardOutput(text)
            return 0
        }
        try WholeFile.write(Array(text.utf8), to: file, what: "screen text")
        return 0
    }
}
