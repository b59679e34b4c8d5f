import CPU

extension DebugCommand {
    static let breakpoints: [DebugCommand] = [
        DebugCommand(
            "break", ["b", "lb", "lbreak", "vb", "vbreak", "bp", "bu"], shortest: 3, .breakpoints, "PLACE [if EXPRESSION]",
            "Stop before the instruction at a place: SEG:OFF, a linear address, phys:ADDRESS or a symbol", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.add(.execution(debugger.place(debugger.beforeIf(words.rest))), words.rest) },
        DebugCommand(
            "pb", ["pbreak"], .breakpoints, "ADDRESS [if EXPRESSION]", "Stop before the instruction at a physical address"
        ) { debugger, words throws(ExpressionError) in
            try debugger.add(.execution(.physical(try debugger.value(debugger.beforeIf(words.rest), radix: 16))), words.rest)
        },
        DebugCommand(
            "tbreak", ["tb1"], .breakpoints, "PLACE [if EXPRESSION]", "The same, once", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            try debugger.add(.execution(debugger.place(debugger.beforeIf(words.rest))), words.rest, isTemporary: true)
        },
        DebugCommand("watch", [], .breakpoints, "[r|w|rw] PLACE [LENGTH] [if EXPRESSION] | stop | continue",
            "Stop after an instruction that reads or writes there; w when not said. Without anything: the list. 'continue': watches only tell",
            completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let text = debugger.beforeIf(words.rest)
            if text.isEmpty { return debugger.breakpointLines { if case .memory = $0.kind { true } else { false } } }
            if text == "stop" || text == "continue" {
                debugger.setWatchesStop(text == "stop")
                return ["Watches \(text == "stop" ? "stop the machine" : "only tell")."]
            }
            var parts = text.split(separator: " ").map(String.init)
            var (reads, writes) = (false, true)
            if let kind = parts.first?.lowercased(), ["r", "w", "rw", "a", "read", "write"].contains(kind), parts.count > 1 {
                reads = kind != "w" && kind != "write"
                writes = kind != "r" && kind != "read"
                parts.removeFirst()
            }
            let (place, length) = try debugger.placeAndLength(parts)
            return try debugger.add(.memory(place, length: length, reads: reads, writes: writes), words.rest)
        },
        DebugCommand(
            "ba", [], .breakpoints, "e|r|w LENGTH PLACE",
            "As WinDbg has it: stop at an access; r is reading or writing", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let text = debugger.beforeIf(words.rest)
            var parts = text.split(separator: " ").map(String.init)
            guard let first = parts.first?.lowercased(), let kind = first.first, "erw".contains(kind) else {
                throw ExpressionError(sentence: "'ba' is e, r or w, a length and a place.")
            }
            parts.removeFirst()
            if first.count > 1 { parts.insert(String(first.dropFirst()), at: 0) }
            guard parts.count >= 2 else { throw ExpressionError(sentence: "'ba' is e, r or w, a length and a place.") }
            let place = debugger.place(parts[1...].joined(separator: " "))
            if kind == "e" { return try debugger.add(.execution(place), words.rest) }
            return try debugger.add(.memory(place, length: try debugger.value(parts[0]), reads: kind == "r", writes: true), words.rest)
        },
        DebugCommand(
            "bpm", ["bppm"], .breakpoints, "SEG:OFF [if EXPRESSION]", "Stop after a write of the byte there", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            try debugger.add(.memory(debugger.place(debugger.beforeIf(words.rest)), length: 1, reads: false, writes: true), words.rest)
        },
        DebugCommand(
            "bplm", [], .breakpoints, "ADDRESS [if EXPRESSION]", "The same at a linear address"
        ) { debugger, words throws(ExpressionError) in
            let address = try debugger.value(debugger.beforeIf(words.rest), radix: 16)
            return try debugger.add(.memory(.linear(address), length: 1, reads: false, writes: true), words.rest)
        },
        DebugCommand(
            "unwatch", [], .breakpoints, "[PLACE]", "Delete watches: all, or those of a place"
        ) { debugger, words throws(ExpressionError) in
            let address = words.rest.isEmpty ? nil : try debugger.value(words.from(["r", "w", "read", "write"].contains(words[0] ?? "") ? 1 : 0), radix: 16)
            return debugger.unwatch(address)
        },
        DebugCommand(
            "bpint", [], .breakpoints, "NR [AH [AL]] [if EXPRESSION]", "Stop in the handler of INT NR, hexadecimal; * for any AH"
        ) { debugger, words throws(ExpressionError) in
            let parts = debugger.beforeIf(words.rest).split(separator: " ").map(String.init)
            guard let first = parts.first else { throw ExpressionError(sentence: "Which interrupt?") }
            func optional(_ n: Int) throws(ExpressionError) -> UInt8? {
                parts.count > n && parts[n] != "*" ? try debugger.byte(parts[n], n == 1 ? "AH" : "AL") : nil
            }
            let kind = Breakpoint.Kind.software(vector: try debugger.byte(first, "An interrupt"), ah: try optional(1), al: try optional(2))
            return try debugger.add(kind, words.rest)
        },
        DebugCommand(
            "bpexc", [], .breakpoints, "NR [if EXPRESSION]", "Stop in the handler of exception NR, hexadecimal: D is #GP, E #PF"
        ) { debugger, words throws(ExpressionError) in
            try debugger.add(.exception(vector: try debugger.byte(debugger.beforeIf(words.rest), "An exception")), words.rest)
        },
        DebugCommand(
            "bpirq", ["bpext"], .breakpoints, "VECTOR [if EXPRESSION]", "Stop in the handler of an external interrupt"
        ) { debugger, words throws(ExpressionError) in
            try debugger.add(.external(vector: try debugger.byte(debugger.beforeIf(words.rest), "A vector")), words.rest)
        },
        DebugCommand(
            "bpio", ["iobp", "bpport"], .breakpoints, "PORT[-PORT] [r|w] [if EXPRESSION]", "Stop after IN or OUT at ports, hexadecimal"
        ) { debugger, words throws(ExpressionError) in
            let parts = debugger.beforeIf(words.rest).split(separator: " ").map(String.init)
            let range = (parts.first ?? "").split(separator: "-").map(String.init)
            guard let low = range.first, range.count <= 2 else { throw ExpressionError(sentence: "Which port?") }
            let first = try debugger.value(low, radix: 16), last = range.count > 1 ? try debugger.value(range[1], radix: 16) : first
            guard first <= last, last <= 0xFFFF else { throw ExpressionError(sentence: "Ports are 0 to FFFF.") }
            let how = parts.count > 1 ? parts[1] : "rw"
            return try debugger.add(
                .port(first: UInt16(first), last: UInt16(last), reads: how.contains("r"), writes: how.contains("w")), words.rest)
        },
        DebugCommand(
            "bpsens", ["sensbp"], .breakpoints, "[NAME] [if EXPRESSION]",
            "Stop after an instruction of the census, such as sgdt, popf, mov-sreg; after any of them without a name"
        ) { debugger, words throws(ExpressionError) in
            let word = debugger.beforeIf(words.rest).trimmingBlanks.lowercased()
            guard word.isEmpty || SensitiveInstruction(word: word) != nil else {
                let known = SensitiveInstruction.allCases.map(\.word).joined(separator: ", ")
                throw ExpressionError(sentence: "'\(word)' is none of the sensitive instructions; there are \(known).")
            }
            return try debugger.add(.sensitive(word.isEmpty ? nil : word), words.rest)
        },
        DebugCommand(
            "bptask", [], .breakpoints, "[if EXPRESSION]", "Stop after a task switch"
        ) { debugger, words throws(ExpressionError) in try debugger.add(.taskSwitch, words.rest) },
        DebugCommand(
            "modebp", [], .breakpoints, "[if EXPRESSION]", "Stop, or no longer stop, when the mode changes"
        ) { debugger, words throws(ExpressionError) in
            try debugger.toggle(.modeSwitch, words.rest)
        },
        DebugCommand(
            "ringbp", [], .breakpoints, "[if EXPRESSION]", "Stop, or no longer stop, when the privilege level changes"
        ) { debugger, words throws(ExpressionError) in
            try debugger.toggle(.ringSwitch, words.rest)
        },
        DebugCommand(
            "magic", ["setmagicbps"], .breakpoints, "[on|off]", "Stop, or no longer stop, after 'xchg bx, bx'"
        ) { debugger, words throws(ExpressionError) in
            if words.rest == "off" || words.rest == "on" || words.rest == "bx" {
                let present = debugger.breakpoints.contains { $0.kind == .magic }
                if present == (words.rest != "off") { return [present ? "It stops there already." : "It does not stop there."] }
            }
            return try debugger.toggle(.magic, "")
        },
        DebugCommand("vmexitbp", [], .breakpoints, "", "Bochs's; there is no VMX here") { _, _ throws(ExpressionError) in
            throw ExpressionError(sentence: "The guest's processor has no VMX: there is no VM exit to stop at.")
        },
        DebugCommand(
            "blist", ["bl", "bplist", "breakpoints"], .breakpoints, "", "The breakpoints"
        ) { debugger, _ in debugger.breakpointLines { _ in true } },
        DebugCommand(
            "delete", ["del", "bpdel", "bc"], shortest: 3, .breakpoints, "N|*", "Delete a breakpoint, or all", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            try debugger.eachNumber(words) { debugger.delete($0) }
        },
        DebugCommand(
            "bpe", ["be", "enable"], .breakpoints, "N|*", "Switch a breakpoint on", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            try debugger.eachNumber(words) { debugger.enable($0, true) }
        },
        DebugCommand(
            "bpd", ["bd", "disable"], .breakpoints, "N|*", "Switch a breakpoint off", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            try debugger.eachNumber(words) { debugger.enable($0, false) }
        },
        DebugCommand(
            "condition", ["cond"], shortest: 4, .breakpoints, "N [EXPRESSION]",
            "When breakpoint N counts; always when nothing is given", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            let text = words.from(1).trimmingQuotes
            return try debugger.change(words) { $0.condition = text.isEmpty ? nil : text }
        },
        DebugCommand(
            "ignore", [], .breakpoints, "N COUNT", "Pass over so many hits of breakpoint N", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            let count = try debugger.value(words.from(1))
            return try debugger.change(words) { $0.ignore = $0.hits &+ count }
        },
        DebugCommand(
            "bplog", [], .breakpoints, "N [TEXT]",
            "Breakpoint N writes a line with {expression}, {e:d}, {e:c}, {e:s} in it, and the machine goes on", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            let text = words.from(1).trimmingQuotes
            return try debugger.change(words) {
                $0.log = text.isEmpty ? nil : text
                $0.stops = text.isEmpty
            }
        },
        DebugCommand(
            "bpdo", ["commands"], .breakpoints, "N [COMMAND; COMMAND …]", "What breakpoint N does when it stops", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            let list = words.from(1).trimmingQuotes.split(separator: ";").map { String($0).trimmingBlanks }.filter { !$0.isEmpty }
            guard list.count <= 32 else { throw ExpressionError(sentence: "A breakpoint does at most 32 things.") }
            return try debugger.change(words) { $0.commands = list }
        },
        DebugCommand(
            "bpsnap", [], .breakpoints, "N [NAME]", "Breakpoint N takes a snapshot NAME-HITS", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            let name = words.from(1)
            return try debugger.change(words) { $0.snapshot = name.isEmpty ? nil : name }
        },
        DebugCommand(
            "bpgo", [], .breakpoints, "N [on|off]", "Breakpoint N does what it does and the machine goes on", completion: .breakpoint
        ) { debugger, words throws(ExpressionError) in
            try debugger.change(words) { $0.stops = words[1] == "off" }
        },
    ]
}

extension Debugger {
    /// The text before `if`.
    func beforeIf(_ text: String) -> String {
        if text.lowercased().hasPrefix("if ") { return "" }
        guard let range = Debugger.ifRange(text) else { return text }
        return String(text[..<range.lowerBound]).trimmingBlanks
    }

    private static func ifRange(_ text: String) -> Range<String.Index>? {
        var at = text.startIndex
        while let space = text[at...].firstIndex(of: " ") {
            let next = text.index(after: space)
            if text[next...].lowercased().hasPrefix("if ") { return space..<text.index(next, offsetBy: 3) }
            at = next
        }
        return nil
    }

    private func conditionText(_ text: String) -> String? {
        if let rest = condition(in: text) { return rest }
        guard let range = Debugger.ifRange(text) else { return nil }
        return String(text[range.upperBound...]).trimmingBlanks.trimmingQuotes
    }

    func place(_ text: String) -> DebugPlace {
        let plain = text.trimmingBlanks
        // gdb's star is welcome.
        let rest = plain.hasPrefix("*") ? String(plain.dropFirst()) : plain
        if let physical = rest.withoutPrefix("phys:"), !physical.hasPrefix("["), let address = try? value(physical, radix: 16) { return .physical(address) }
        if let expression = try? Expression(rest, radix: 16), let processor = processor(nil) {
            switch expression {
            // What is written with numbers stays what it is in another mode.
            case .far(.number, .number), .far(.name, .number), .far(.number, .name), .far(.name, .name):
                if case .far(.name(let name, _), _) = expression, RegisterNames.value(name, of: processor, marked: false) != nil { break }
                if let parts = try? expression.farParts(context(processor)), parts.selector <= 0xFFFF {
                    return .far(selector: UInt16(parts.selector), offset: parts.offset)
                }
            case .number(let address): return .linear(address)
            case .name(let name, let hex):
                // A symbol is looked up again when its file is loaded again; a register is what it is now.
                if RegisterNames.value(name, of: processor, marked: false) == nil, symbols.address(name) == nil, let hex { return .linear(hex) }
                if symbols.address(name) != nil { return .text(rest) }
                if let now = try? expression.value(context(processor)) { return .linear(now) }
            default:
                if !expression.hasSymbols(symbols), let now = try? expression.value(context(processor)) { return .linear(now) }
            }
        }
        return .text(rest)
    }

    func placeAndLength(_ parts: [String]) throws(ExpressionError) -> (DebugPlace, UInt64) {
        guard !parts.isEmpty else { throw ExpressionError(sentence: "Which place?") }
        if parts.count > 1, let last = parts.last, let length = try? value(last), length > 0 { return (place(parts.dropLast().joined(separator: " ")), length) }
        return (place(parts.joined(separator: " ")), 1)
    }

    /// A new breakpoint with the condition of a command line.
    func add(_ kind: Breakpoint.Kind, _ line: String, isTemporary: Bool = false) throws(ExpressionError) -> [String] {
        var new = Breakpoint(kind)
        new.condition = conditionText(line)
        new.isTemporary = isTemporary
        if case .memory = kind { new.stops = watchesStop }
        let set = try set(new)
        return ["Breakpoint \(set.number) is set: \(text(set))"]
    }

    func toggle(_ kind: Breakpoint.Kind, _ line: String) throws(ExpressionError) -> [String] {
        guard let old = breakpoints.first(where: { $0.kind == kind }) else { return try add(kind, line) }
        _ = delete(old.number)
        return ["Breakpoint \(old.number) is deleted."]
    }

    func change(_ words: DebugWords, _ body: (inout Breakpoint) -> Void) throws(ExpressionError) -> [String] {
        guard let text = words[0], let number = Int(text), var breakpoint = breakpoints.first(where: { $0.number == number }) else {
            throw ExpressionError(sentence: "There is no breakpoint '\(words[0] ?? "")'.")
        }
        body(&breakpoint)
        return ["Breakpoint \(number) is now: \(self.text(try set(breakpoint)))"]
    }

    func eachNumber(_ words: DebugWords, _ body: (Int) -> Bool) throws(ExpressionError) -> [String] {
        guard !words.words.isEmpty else { throw ExpressionError(sentence: "Which breakpoint? '*' is all of them.") }
        for word in words.words {
            guard let number = word == "*" || word == "all" ? 0 : Int(word), number >= 0, word != "0" else {
                throw ExpressionError(sentence: "'\(word)' is not the number of a breakpoint.")
            }
            guard body(number) || number == 0 else { throw ExpressionError(sentence: "There is no breakpoint \(number).") }
        }
        return []
    }

    func setWatchesStop(_ stops: Bool) {
        watchesStop = stops
        for index in breakpoints.indices { if case .memory = breakpoints[index].kind { breakpoints[index].stops = stops } }
    }

    func unwatch(_ address: UInt64?) -> [String] {
        let numbers = breakpoints.filter { breakpoint in
            guard case .memory(let place, _, _, _) = breakpoint.kind else { return false }
            return address == nil || linear(place, processor(nil)) == .success(address ?? 0)
        }.map(\.number)
        for number in numbers { _ = delete(number) }
        return [numbers.isEmpty ? "There is no such watch." : "Deleted: \(numbers.map(String.init).joined(separator: ", "))."]
    }

    // MARK: Text

    func breakpointLines(_ isShown: (Breakpoint) -> Bool) -> [String] {
        let shown = breakpoints.filter(isShown)
        if shown.isEmpty { return ["There are no breakpoints."] }
        return shown.map { String($0.number).padded(3) + " " + ($0.isEnabled ? "on  " : "off ") + text($0) }
    }

    func text(_ breakpoint: Breakpoint) -> String {
        var text = Debugger.text(breakpoint.kind)
        if let condition = breakpoint.condition { text += " if \(condition)" }
        if breakpoint.hits > 0 { text += ", hit \(breakpoint.hits) time\(breakpoint.hits == 1 ? "" : "s")" }
        if breakpoint.ignore > breakpoint.hits { text += ", passes over \(breakpoint.ignore - breakpoint.hits)" }
        if let log = breakpoint.log { text += ", logs \"\(log)\"" }
        if let snapshot = breakpoint.snapshot { text += ", snapshot \(snapshot)" }
        if !breakpoint.commands.isEmpty { text += ", does \(breakpoint.commands.joined(separator: "; "))" }
        if breakpoint.isTemporary { text += ", once" }
        if !breakpoint.stops { text += ", goes on" }
        return text
    }

    static func text(_ place: DebugPlace) -> String {
        switch place {
        case .linear(let address): "linear \(address > 0xFFFF_FFFF ? address.hex : UInt32(address).hex)"
        case .physical(let address): "physical \(address > 0xFFFF_FFFF ? address.hex : UInt32(address).hex)"
        case .far(let selector, let offset): "\(selector.hex):\(offset > 0xFFFF ? UInt32(truncatingIfNeeded: offset).hex : UInt16(offset).hex)"
        case .text(let text): text
        }
    }

    static func text(_ kind: Breakpoint.Kind) -> String {
        func access(_ reads: Bool, _ writes: Bool) -> String { reads && writes ? "access" : reads ? "read" : "write" }
        switch kind {
        case .execution(let place): return "at \(text(place))"
        case .memory(let place, let length, let reads, let writes):
            return "\(access(reads, writes)) of \(text(place))" + (length > 1 ? ", \(length) bytes" : "")
        case .port(let first, let last, let reads, let writes):
            return "\(reads && writes ? "IN or OUT" : reads ? "IN" : "OUT") \(first.hex)" + (last > first ? "-\(last.hex)" : "")
        case .software(let vector, let ah, let al):
            return "INT \(vector.hex)" + (ah.map { " AH=\($0.hex)" } ?? "") + (al.map { " AL=\($0.hex)" } ?? "")
        case .external(let vector): return "external interrupt \(vector.hex)"
        case .exception(let vector): return "exception \(vector.hex)"
        case .taskSwitch: return "task switch"
        case .modeSwitch: return "mode switch"
        case .ringSwitch: return "ring switch"
        case .sensitive(let word): return word.map { "sensitive instruction \($0)" } ?? "any sensitive instruction"
        case .magic: return "xchg bx, bx"
        }
    }
}

extension Expression {
    /// It names something of the table: its value may change when another file is loaded.
    func hasSymbols(_ table: SymbolTable) -> Bool {
        switch self {
        case .number, .register: false
        case .symbol: true
        case .name(let name, _): table.address(name) != nil
        case .memory(let inner, _, _), .unary(_, let inner): inner.hasSymbols(table)
        case .far(let left, let right), .binary(_, let left, let right): left.hasSymbols(table) || right.hasSymbols(table)
        }
    }
}

extension String {
    /// On the left, up to a width.
    func padded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
    /// On the right.
    func filled(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
