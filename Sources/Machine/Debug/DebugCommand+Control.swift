extension DebugCommand {
    /// The run loop lets the machine go when the request's answers are complete.
    static let control: [DebugCommand] = [
        DebugCommand(
            "continue", ["c", "g", "cont", "run"], shortest: 4, .control, "[PLACE | if EXPRESSION]",
            "Go on; to a place; only if the expression is not 0. DOSBox's 'C SEG:OFF' shows code there", repeats: true
        ) { debugger, words throws(ExpressionError) in
            if let condition = debugger.condition(in: words.rest) {
                guard try debugger.value(condition) != 0 else { return ["The expression is 0: the machine stays where it is."] }
            } else if !words.rest.isEmpty {
                if words.name == "C" || words.name == "c" { return try debugger.code(at: words.rest, count: 10) }
                debugger.wanted = .to(.text(words.rest))
                return []
            }
            debugger.wanted = .resume
            return []
        },
        DebugCommand(
            "step", ["s", "t", "si", "stepi"], shortest: 2, .control, "[N]", "Carry out N instructions, 1 when not given", repeats: true
        ) { debugger, words throws(ExpressionError) in
            let count = words.rest.isEmpty ? 1 : try debugger.value(words.rest)
            guard count > 0 else { throw ExpressionError(sentence: "At least one instruction is stepped.") }
            debugger.wanted = .step(count: count)
            return []
        },
        DebugCommand(
            "next", ["n", "p", "ni", "nexti", "over"], shortest: 2, .control, "",
            "Step over calls, interrupts, repeated instructions and loops", repeats: true
        ) { debugger, _ in
            debugger.wanted = .over
            return []
        },
        DebugCommand(
            "finish", ["gu", "pt", "fin"], shortest: 3, .control, "", "Go on until the present function has returned", repeats: true
        ) { debugger, _ in
            debugger.wanted = .out
            return []
        },
        DebugCommand(
            "until", ["rla", "advance", "to"], shortest: 3, .control, "PLACE", "Go on to a place", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            guard !words.rest.isEmpty else { throw ExpressionError(sentence: "To which place?") }
            _ = try debugger.value(words.rest, radix: 16)
            debugger.wanted = .to(.text(words.rest))
            return []
        },
        DebugCommand("until-branch", ["ph", "tb"], .control, "", "Go on until a branch has been taken", repeats: true) { debugger, _ in
            debugger.wanted = .untilBranch
            return []
        },
        DebugCommand("until-ring", [], .control, "", "Go on until the privilege level changes", repeats: true) { debugger, _ in
            debugger.wanted = .untilRing
            return []
        },
        DebugCommand(
            "until-mode", [], .control, "", "Go on until the mode changes: real, protected, 64-bit …", repeats: true
        ) { debugger, _ in
            debugger.wanted = .untilMode
            return []
        },
        DebugCommand("sb", [], .control, "N", "Go on for N instructions") { debugger, words throws(ExpressionError) in
            debugger.wanted = .step(count: max(1, try debugger.value(words.rest)))
            return []
        },
        DebugCommand(
            "sba", [], .control, "N", "Go on until the machine has retired N instructions since power-on"
        ) { debugger, words throws(ExpressionError) in
            let goal = try debugger.value(words.rest)
            guard goal > debugger.pc.retired else { throw ExpressionError(sentence: "The machine has retired \(debugger.pc.retired) instructions already.") }
            debugger.wanted = .step(count: goal - debugger.pc.retired)
            return []
        },
        DebugCommand("pause", ["stop", "break-in"], shortest: 3, .control, "", "Stop the machine") { debugger, _ in
            debugger.wanted = .pause
            return []
        },
        DebugCommand(
            "int", ["intt"], .control, "N", "Real mode: call interrupt N as if INT N were here; INTT stops at its first instruction"
        ) { debugger, words throws(ExpressionError) in
            try debugger.callInterrupt(try debugger.byte(words.rest, "An interrupt"))
            debugger.wanted = words.name.lowercased() == "intt" ? .pause : .out
            return []
        },
    ]
}

extension Debugger {
    /// What stands behind `if`, without quotes.
    func condition(in text: String) -> String? {
        guard let rest = text.withoutPrefix("if ") else { return nil }
        return rest.trimmingBlanks.trimmingQuotes
    }

    /// A hexadecimal number of one byte.
    func byte(_ text: String, _ what: String) throws(ExpressionError) -> UInt8 {
        guard !text.isEmpty else { throw ExpressionError(sentence: "\(what) is a number from 0 to FF.") }
        let value = try value(text, radix: 16)
        guard value <= 0xFF else { throw ExpressionError(sentence: "\(what) is a number from 0 to FF.") }
        return UInt8(value)
    }

    /// Pushes flags and CS:IP and goes to the vector, as INT does.
    func callInterrupt(_ vector: UInt8) throws(ExpressionError) {
        guard let processor = processor(nil), processor.executionMode == .real else {
            throw ExpressionError(sentence: "Interrupts are called from here in real mode only.")
        }
        let state = processor.state
        let entry = processor.peek(state.idtrBase &+ UInt64(vector) * 4, count: 4)
        guard entry.isWhole else { throw ExpressionError(sentence: "The interrupt table is no memory.") }
        let flags = UInt16(truncatingIfNeeded: processor.eflags), selector = state.seg[1].selector
        let sp = UInt16(truncatingIfNeeded: state.gpr[4]) &- 6
        let words = [UInt16(truncatingIfNeeded: state.rip), selector, flags]
        let bytes = words.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        guard processor.poke(state.seg[2].base &+ UInt64(sp), bytes) == 6 else { throw ExpressionError(sentence: "The stack is no memory.") }
        let target = UInt16(entry.bytes[2]) | UInt16(entry.bytes[3]) << 8
        processor.edit {
            $0.gpr[4] = $0.gpr[4] & ~0xFFFF | UInt64(sp)
            $0.rip = UInt64(entry.bytes[0]) | UInt64(entry.bytes[1]) << 8
            $0.systemFlags &= ~0x300
        }
        _ = processor.setSegment(1, selector: target)
        touched = true
    }
}

extension String {
    var trimmingQuotes: String {
        guard count >= 2, let first, first == last, first == "\"" || first == "'" else { return self }
        return String(dropFirst().dropLast())
    }
}
