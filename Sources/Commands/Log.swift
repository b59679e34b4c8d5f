import ArgumentParser
import Foundation
import Hardware
import Machine

/// `vitrine log NAME`: what a machine's log says.
struct Log: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Print a machine's log.",
        discussion: "Levels are error, warn, info, debug and trace. --trace switches events of the running machine on; '--trace none' off.")

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Go on as the log grows, until Ctrl-C.") var follow = false
    @Option(help: ArgumentHelp("This level and what matters more.", valueName: "level")) var level: String?
    @Option(help: ArgumentHelp("Lines of one component only.", valueName: "word")) var component: String?
    @Option(help: ArgumentHelp("An earlier run: 1 is the last but one.", valueName: "n")) var run = 0
    @Option(help: ArgumentHelp("Events that go to the log of the running machine, with commas between.", valueName: "categories"))
    var trace: String?
    @Flag(help: "A JSON object for each line.") var json = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard (0...MachineLog.kept).contains(run) else { throw .usage("--run takes 0 to \(MachineLog.kept).") }
        var least = LogLevel.trace
        if let level {
            guard let named = LogLevel(rawValue: level) else {
                throw .usage("'\(level)' is not a level; there are \(LogLevel.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            least = named
        }
        let folder = try host.store.entry(name).folder
        if let trace {
            let words = trace == "none" ? [] : trace.split(separator: ",").map(String.init)
            _ = try TraceCategories(words: words)
            try host.client(name).ask("x-vitrine-trace", ["categories": .array(words.map { .string($0) })])
            guard follow else { return 0 }
        }
        let path = "\(folder)/\(MachineLog.folderName)/\(MachineLog.fileName)" + (run == 0 ? "" : ".\(run)")
        guard let reader = LogReader(path) else { throw MachineError(.wrongPlace, "There is no log of that run of '\(name)'.") }
        repeat {
            for line in reader.lines() where shows(line, least) { host.standardOutput(json ? LogLine.json(line) + "\n" : line + "\n") }
        } while follow && reader.waitForMore()
        return 0
    }

    private func shows(_ line: String, _ least: LogLevel) -> Bool {
        guard level != nil || component != nil else { return true }
        guard let parsed = LogLine(line[...]) else { return false }
        return parsed.level <= least && (component == nil || parsed.component.lowercased() == component?.lowercased())
    }
}
