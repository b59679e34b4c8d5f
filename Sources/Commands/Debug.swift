import ArgumentParser
import Foundation
import Machine
import Synchronization

/// `vitrine debug NAME`: the debugger's command line on a machine that runs. `--report FILE`: what one was like, from a file.
struct Debug: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Debug a running machine, or look at a report of one.",
        discussion: """
            Without -c and --script: a prompt; 'help' lists the commands, an empty line repeats a step, Ctrl-C stops the machine, Ctrl-D leaves it as \
            it is. With them: their commands, then the end. A command that lets the machine go ends when it stands again. Ends with 1 when a \
            command fails, with 4 when the machine did not stop in time.
            """)

    @Argument(help: "The machine; none with --report.") var name: String?
    @Option(help: ArgumentHelp("Show a report that was saved after a Guru Meditation.", valueName: "file")) var report: String?
    @Option(help: ArgumentHelp("One of the report's files, such as log.txt.", valueName: "name")) var part: String?
    @Option(
        name: [.customShort("c"), .customLong("command")], parsing: .unconditionalSingleValue,
        help: ArgumentHelp("A command; repeatable.", valueName: "command"))
    var commands: [String] = []
    @Option(help: ArgumentHelp("Commands from a file; - is standard input.", valueName: "file")) var script: String?
    @Option(help: ArgumentHelp("How long a command may take before the machine stands again.", valueName: "seconds")) var timeout: Double?

    func run(in host: Host) throws(MachineError) -> Int32 {
        if let report {
            guard name == nil, commands.isEmpty, script == nil else { throw .usage("--report shows a file; it takes neither a machine nor commands.") }
            try ReportView(host: host).show(report, part: part)
            return 0
        }
        guard part == nil else { throw .usage("--part needs --report.") }
        guard let name else { throw .usage("Which machine? 'vitrine list --running' lists them; --report FILE looks at a report.") }
        if let timeout { guard (0...1e6).contains(timeout) else { throw .usage("The time to wait is a number of seconds from 0 on.") } }
        let session = DebugSession(
            client: try host.client(name), socket: try host.live(name).socket, name: name, milliseconds: timeout.map { Int32($0 * 1000) }, host: host)
        var lines: [(place: String, text: String)] = commands.map { ("", $0) }
        if let script {
            let text = try Script.read(script)
            let file = script == "-" ? "standard input" : script
            for (n, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                lines.append(("\(file), line \(n + 1): ", String(line)))
            }
        }
        try session.begin()
        guard commands.isEmpty, script == nil else {
            for (place, line) in lines where session.status == nil { session.carryOut(line, place: place) }
            return session.status ?? 0
        }
        return try session.prompt()
    }
}

/// One conversation with a debugger.
private final class DebugSession {
    private let client: ControlClient
    private let socket: String
    private let name: String
    private let milliseconds: Int32?
    private let host: Host
    private var last = ""
    private var isRunning = true
    /// Why there is no going on.
    var status: Int32?

    init(client: ControlClient, socket: String, name: String, milliseconds: Int32?, host: Host) {
        (self.client, self.socket, self.name, self.milliseconds, self.host) = (client, socket, name, milliseconds, host)
    }

    private func say(_ lines: [String]) { if !lines.isEmpty { host.standardOutput(lines.joined(separator: "\n") + "\n") } }

    /// Where it stands now.
    func begin() throws(MachineError) {
        let state = try client.debug(DebugRequest([]))
        (isRunning, lastSerial) = (state.stop == nil, state.stop?.serial)
    }

    /// Lines from standard input, with a prompt on a terminal.
    func prompt() throws(MachineError) -> Int32 {
        let isTerminal = host.isTerminal()
        let (socket, name) = (socket, name)
        let signals = host.handlesSignals ? SignalWatch([SIGINT]) { DebugSession.pause(socket, name) } : nil
        defer { withExtendedLifetime(signals) {} }
        let state = try client.debug(DebugRequest([.command("here")]))
        if isTerminal { say(DebugSession.lines(state)) }
        while status == nil || status == 1 || status == 4 {
            if isTerminal { host.standardOutput(isRunning ? "(running) " : "(debug) ") }
            guard let line = host.standardInputLine() else { break }
            let word = line.trimmingCharacters(in: .whitespaces)
            if ["q", "quit", "exit"].contains(word) { return 0 }
            if word == "detach" {
                _ = try client.debug(DebugRequest([.go(.resume)]))
                return 0
            }
            status = nil
            carryOut(word.isEmpty ? DebugCommandNames.repeats(last) ? last : "" : word, place: "")
            if !word.isEmpty { last = word }
        }
        if isTerminal { host.standardOutput("\n") }
        // On a terminal a mistake has been seen; from a file it is the outcome.
        return isTerminal ? 0 : status ?? 0
    }

    /// Called on another thread: over a connection of its own.
    private static func pause(_ socket: String, _ name: String) {
        guard let client = try? ControlClient(path: socket, name: name) else { return }
        _ = try? client.debug(DebugRequest([.go(.pause)]))
    }

    func carryOut(_ line: String, place: String) {
        let text = line.trimmingCharacters(in: .whitespaces)
        guard !text.isEmpty, !text.hasPrefix("#") else { return }
        do throws(MachineError) {
            let wasSerial = lastSerial
            let reply = try client.debug(DebugRequest([.command(text)], waits: true, folder: host.currentFolder), within: milliseconds)
            say(DebugSession.lines(reply))
            if case .failure(let sentence)? = reply.answers.first {
                host.standardError("vitrine: \(place)\(sentence)")
                status = 1
            }
            isRunning = reply.stop == nil
            guard let stop = reply.stop else { return }
            lastSerial = stop.serial
            if wasSerial != stop.serial, !DebugCommandNames.isQuiet(text) { say(DebugSession.lines(try client.debug(DebugRequest([.command("here")])))) }
        } catch {
            host.standardError("vitrine: \(place)\(error.description)")
            status = error.kind == .wrongPlace ? 2 : milliseconds != nil ? 4 : error.kind.rawValue
        }
    }
    private var lastSerial: UInt64?

    private static func lines(_ reply: DebugReply) -> [String] {
        reply.answers.flatMap { answer -> [String] in
            if case .lines(let lines) = answer { return lines }
            return []
        }
    }
}

/// What the prompt itself knows of commands.
private enum DebugCommandNames {
    /// An empty line does it again.
    static func repeats(_ line: String) -> Bool { DebugCommandTable.repeats(line) }
    /// It shows the place itself.
    static func isQuiet(_ line: String) -> Bool { line == "here" }
}
