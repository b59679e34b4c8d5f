extension DebugCommand {
    /// The run loop lets the machine go when the request's answers are complete.
    static let control: [DebugCommand] = [
        DebugCommand("continue", ["c", "g", "cont", "run"], shortest: 4, .control, "[if EXPRESSION]", "Go on", repeats: true) { debugger, words throws(ExpressionError) in
            debugger.wanted = .resume
            return []
        },
        DebugCommand("step", ["s", "t", "si", "stepi"], shortest: 2, .control, "[N]", "Carry out N instructions (1)", repeats: true) { debugger, words throws(ExpressionError) in
            let count = words.rest.isEmpty ? 1 : try debugger.value(words.rest)
            guard count > 0 else { throw ExpressionError(sentence: "At least one instruction is stepped.") }
            debugger.wanted = .step(count: count)
            return []
        },
        DebugCommand("next", ["n", "p", "ni", "nexti", "over"], shortest: 2, .control, "", "Step over calls, interrupts, repeated instructions and loops", repeats: true) { debugger, _ in
            debugger.wanted = .over
            return []
        },
        DebugCommand("finish", ["out", "gu", "pt", "fin"], shortest: 3, .control, "", "Go on until the present function has returned", repeats: true) { debugger, _ in
            debugger.wanted = .out
            return []
        },
        DebugCommand("pause", ["stop", "break-in"], shortest: 3, .control, "", "Stop the machine") { debugger, _ in
            debugger.wanted = .pause
            return []
        },
    ]
}
