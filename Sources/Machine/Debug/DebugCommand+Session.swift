import Primitives

extension DebugCommand {
    static let trace: [DebugCommand] = [
        DebugCommand(
            "trace-ring", [], .trace, "on|off",
            "Record the last 10,000 instructions and 64 branches all the time: slow; single steps record anyway"
        ) { debugger, words throws(ExpressionError) in
            debugger.recorder.keepsRing = try debugger.isOn(words.rest)
            debugger.attachRecorders()
            return []
        },
        DebugCommand(
            "history", ["last"], shortest: 4, .trace, "[N]", "The last instructions that were recorded, 20 when not given"
        ) { debugger, words throws(ExpressionError) in
            let count = words.rest.isEmpty ? 20 : try debugger.value(words.rest)
            let found = debugger.lines(debugger.history(Int(clamping: min(count, UInt64(TraceRecorder.ringLimit)))))
            return found.isEmpty ? ["Nothing has been recorded; 'trace-ring on' or a step records."] : found
        },
        DebugCommand("branches", ["calls"], shortest: 4, .trace, "", "The last 64 branches that were recorded") { debugger, _ in
            let found = debugger.branches().map { (branch: DebugBranch) -> String in
                let way = "\(String(branch.from, radix: 16)) → \(String(branch.to, radix: 16))"
                return "\(branch.retired)  \(branch.kind.filled(9)) \(way)" + (branch.label.map { "  \($0)" } ?? "")
            }
            return found.isEmpty ? ["Nothing has been recorded; 'trace-ring on' or a step records."] : found
        },
        DebugCommand(
            "trace", [], .trace, "on|off [FILE]", "Write every instruction into a file (trace.txt)", completion: .file
        ) { debugger, words throws(ExpressionError) in
            try debugger.traceCommand(words) { $0.instructions = $1 }
        },
        DebugCommand(
            "trace-reg", [], .trace, "on|off [FILE]", "With the registers before each", completion: .file
        ) { debugger, words throws(ExpressionError) in
            try debugger.traceCommand(words) { $0.registers = $1 }
        },
        DebugCommand(
            "trace-mem", [], .trace, "on|off [FILE]", "With the memory operand of each", completion: .file
        ) { debugger, words throws(ExpressionError) in
            try debugger.traceCommand(words) { $0.memory = $1 }
        },
        DebugCommand(
            "show", [], .trace, "int|softint|extint|exc|call|iret|io|all|off [FILE]",
            "Write events of these kinds into the trace file", completion: .file
        ) { debugger, words throws(ExpressionError) in
            try debugger.showCommand(words)
        },
        DebugCommand(
            "trace-filter", [], .trace, "[FIRST LAST] [ring 0123]",
            "Only instructions of a range of addresses, of privilege levels; everything when nothing is given"
        ) { debugger, words throws(ExpressionError) in
            try debugger.filterCommand(words)
        },
        DebugCommand(
            "log", ["logs", "logl"], .trace, "N [FILE]",
            "Write the next N instructions into a file (logcpu.txt); LOGS short, LOGL with registers; hexadecimal as in DOSBox", completion: .file
        ) { debugger, words throws(ExpressionError) in
            guard let first = words[0] else { throw ExpressionError(sentence: "How many instructions?") }
            let count = try debugger.value(first, radix: 16)
            try debugger.openTrace(words[1] ?? "logcpu.txt")
            debugger.recorder.left = max(1, count)
            debugger.recorder.wishes.instructions = true
            debugger.recorder.wishes.registers = words.name.lowercased() == "logl"
            debugger.attachRecorders()
            debugger.wanted = .step(count: max(1, count))
            return []
        },
    ]

    static let session: [DebugCommand] = [
        DebugCommand(
            "help", ["h"], shortest: 3, .session, "[COMMAND]", "The commands, or one of them", completion: .command
        ) { _, words throws(ExpressionError) in
            guard words.rest.isEmpty else {
                guard let command = DebugCommand.find(words.rest) else {
                    throw ExpressionError(sentence: "There is no command '\(words.rest)'; 'help' lists them.")
                }
                let names = command.aliases.isEmpty ? "" : "  (also \(command.aliases.joined(separator: ", ")))"
                return ["\(command.name) \(command.arguments)\(names)", "  \(command.help)."]
            }
            var lines: [String] = []
            for group in DebugCommand.Group.allCases {
                lines.append("\(group.rawValue):")
                for command in DebugCommand.all where command.group == group {
                    let names = ([command.name] + command.aliases).joined(separator: ", ")
                    lines.append("  \(names.filled(36)) \(command.help)")
                }
            }
            return lines
        },
        DebugCommand("here", [], .session, "", "Why the machine stands, and the next instruction") { debugger, _ throws(ExpressionError) in
            guard let stop = debugger.stop else { return ["The machine runs."] }
            let why = stop.reason == .step && stop.text == "Step." ? [] : [stop.text]
            return why + debugger.lines(debugger.disassemble(try debugger.present(), at: stop.linear, before: 0, count: 1, bits: debugger.codeBits))
        },
        DebugCommand(
            "source", [], .session, "FILE",
            "Carry out the commands of a file; after one that lets the machine go, when it stands again", completion: .file
        ) { debugger, words throws(ExpressionError) in
            debugger.queue = try debugger.script(words.rest) + debugger.queue
            return debugger.runQueue()
        },
        DebugCommand(
            "addlyt", ["display"], .session, "[FILE]", "Commands of a file at every stop; none when nothing is given", completion: .file
        ) { debugger, words throws(ExpressionError) in
            debugger.layout = words.rest.isEmpty ? [] : try debugger.script(words.rest)
            return []
        },
        DebugCommand("timerirq", [], .session, "", "DOSBox's; here the timer runs by itself") { _, _ throws(ExpressionError) in
            throw ExpressionError(sentence: "The timer cannot be made to run by hand: it runs with guest time.")
        },
    ]
}

extension Debugger {
    func isOn(_ word: String) throws(ExpressionError) -> Bool {
        guard word == "on" || word == "off" else { throw ExpressionError(sentence: "'on' or 'off'?") }
        return word == "on"
    }

    // MARK: Trace

    func openTrace(_ name: String) throws(ExpressionError) {
        do throws(MachineError) { try recorder.open(path(name)) } catch { throw ExpressionError(sentence: error.description) }
    }

    /// Where the trace goes, and when it ends.
    private func traceChanged(_ file: String?) throws(ExpressionError) -> [String] {
        if recorder.wishes.isEmpty {
            let old = recorder.path
            recorder.close()
            attachRecorders()
            return old.map { ["The trace is in '\($0)'."] } ?? []
        }
        recorder.left = nil
        if recorder.path == nil || file != nil { try openTrace(file ?? "trace.txt") }
        attachRecorders()
        return recorder.path.map { ["The trace goes to '\($0)', 1 GiB at most."] } ?? []
    }

    func traceCommand(_ words: DebugWords, _ set: (inout TraceWishes, Bool) -> Void) throws(ExpressionError) -> [String] {
        set(&recorder.wishes, try isOn(words[0] ?? ""))
        return try traceChanged(words[1])
    }

    func showCommand(_ words: DebugWords) throws(ExpressionError) -> [String] {
        let kinds = ["int", "softint", "extint", "exc", "call", "iret", "io", "all", "off", "mode"]
        guard let first = words[0] else { throw ExpressionError(sentence: "'show' is \(kinds.joined(separator: ", ")).") }
        let all = first == "all"
        switch first {
        case "off":
            let (range, rings) = ((recorder.wishes.first, recorder.wishes.last), recorder.wishes.rings)
            recorder.wishes = TraceWishes()
            (recorder.wishes.first, recorder.wishes.last) = range
            recorder.wishes.rings = rings
        case "int", "softint", "extint", "exc", "call", "iret", "io", "all", "mode":
            if all || first == "softint" || first == "int" { recorder.wishes.software = true }
            if all || first == "extint" || first == "int" { recorder.wishes.external = true }
            if all || first == "exc" || first == "int" { recorder.wishes.exceptions = true }
            if all || first == "call" { recorder.wishes.calls = true }
            if all || first == "iret" { recorder.wishes.returns = true }
            if all || first == "io" { recorder.wishes.ports = true }
            if first == "mode" { return ["'modebp' stops when the mode changes; 'bpgo' lets it only tell."] }
        default: throw ExpressionError(sentence: "'show' is \(kinds.joined(separator: ", ")).")
        }
        return try traceChanged(words[1])
    }

    func filterCommand(_ words: DebugWords) throws(ExpressionError) -> [String] {
        var parts = words.words
        (recorder.wishes.first, recorder.wishes.last, recorder.wishes.rings) = (0, .max, 0xF)
        if let at = parts.firstIndex(of: "ring") {
            guard at + 1 < parts.count, !parts[at + 1].isEmpty, parts[at + 1].allSatisfy({ "0123".contains($0) }) else {
                throw ExpressionError(sentence: "Rings are digits from 0 to 3, as in 'ring 03'.")
            }
            recorder.wishes.rings = parts[at + 1].reduce(0) { $0 | 1 << UInt8($1.wholeNumberValue ?? 0) }
            parts.removeSubrange(at...(at + 1))
        }
        guard parts.isEmpty || parts.count == 2 else { throw ExpressionError(sentence: "A range is its first and its last address.") }
        if parts.count == 2 { (recorder.wishes.first, recorder.wishes.last) = (try value(parts[0], radix: 16), try value(parts[1], radix: 16)) }
        return []
    }

    // MARK: Scripts

    func script(_ file: String) throws(ExpressionError) -> [String] {
        guard !file.isEmpty else { throw ExpressionError(sentence: "Which file?") }
        do throws(MachineError) {
            let bytes = try WholeFile.read(path(file), what: "script", limit: 1 << 20)
            guard let text = String(validating: bytes, as: UTF8.self) else { throw .badInput("'\(file)' is no text.") }
            return text.split(whereSeparator: \.isNewline).map(String.init)
        } catch { throw ExpressionError(sentence: error.description) }
    }

    /// Commands that wait, up to one that lets the machine go.
    func runQueue() -> [String] {
        var lines: [String] = []
        while wanted == nil, !queue.isEmpty, lines.count < 10_000 {
            let line = queue.removeFirst()
            guard queue.count < 100_000 else {
                queue = []
                return lines + ["The scripts call each other without end."]
            }
            lines += carryOut(line)
        }
        return lines
    }
}
