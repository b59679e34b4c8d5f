extension DebugCommand {
    /// Back and forth in time.
    static let travel: [DebugCommand] = [
        DebugCommand("reverse-step", ["rs", "rsi", "reverse-stepi", "backstep"], .control, "[N]", "Go back by N instructions (1)", repeats: true) {
            debugger, words throws(ExpressionError) in
            let count = words.rest.isEmpty ? 1 : try debugger.value(words.rest)
            guard count > 0 else { throw ExpressionError(sentence: "At least one instruction is stepped.") }
            debugger.wanted = .back(count: count)
            return []
        },
        DebugCommand("reverse-continue", ["rc"], .control, "", "Go back to the last breakpoint", repeats: true) { debugger, _ in
            debugger.wanted = .backResume
            return []
        },
        DebugCommand("who-wrote", ["ww"], .control, "ADDRESS [LENGTH]", "Go back to the instruction that was the last to write there") {
            debugger, words throws(ExpressionError) in
            guard let place = words[0] else { throw ExpressionError(sentence: "'who-wrote' needs an address.") }
            let length = words.words.count > 1 ? try debugger.value(words.from(1)) : 1
            guard (1...1 << 16).contains(length) else { throw ExpressionError(sentence: "'who-wrote' looks at 1 to 65536 bytes.") }
            if place.lowercased().hasPrefix("phys:") {
                debugger.wanted = .lastWrite(.physical(try debugger.value(String(place.dropFirst(5)), radix: 16)), length: length)
            } else {
                debugger.wanted = .lastWrite(.text(place), length: length)
            }
            return []
        },
        DebugCommand("goto-instruction", ["gi"], .control, "N", "Go to the moment at which N instructions have retired") {
            debugger, words throws(ExpressionError) in
            guard !words.rest.isEmpty else { throw ExpressionError(sentence: "'goto-instruction' needs a number of instructions.") }
            debugger.wanted = .instruction(try debugger.value(words.rest))
            return []
        },
        DebugCommand("present", [], .control, "", "Go to the end of what is known") { debugger, _ in
            debugger.wanted = .present
            return []
        },
        DebugCommand("timeline", [], .machine, "", "How far back the machine can go, and what happened when") { debugger, _ in
            guard let timeline = debugger.timeline() else { return ["Nothing is recorded."] }
            return timeline.lines
        },
        DebugCommand("record", [], .machine, "[on|off]", "Begin to record, so that the machine can go back; end it") {
            debugger, words throws(ExpressionError) in
            switch words.rest.lowercased() {
            case "", "on": return debugger.record(true).map { [$0] } ?? ["The machine can go back to here."]
            case "off": return debugger.record(false).map { [$0] } ?? ["Nothing is recorded any more."]
            default: throw ExpressionError(sentence: "'record' is on or off.")
            }
        },
    ]
}

extension Timeline {
    /// For people.
    var lines: [String] {
        var lines = [
            "recorded from instruction \(first.instruction) to \(last.instruction)",
            isInPast ? "now at \(position.instruction), in the past" : "now at \(position.instruction), the present",
            "\(checkpoints.count) checkpoints, \(bytes >> 20) of \(limit >> 20) MiB",
        ]
        for stop in stops.suffix(10) { lines.append("\(stop.instruction)  stop: \(stop.text)") }
        for input in inputs.suffix(10) { lines.append("\(input.instruction)  input: \(input.text)") }
        return lines
    }
}
