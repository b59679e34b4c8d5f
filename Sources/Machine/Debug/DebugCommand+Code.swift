import CPU
import Primitives

extension DebugCommand {
    static let code: [DebugCommand] = [
        DebugCommand(
            "u", ["disasm", "disassemble", "l"], .code, "[/COUNT] [PLACE [END]] | size = 16|32|64|auto",
            "Instructions", completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in
            try debugger.disassembleCommand(words)
        },
        DebugCommand(
            "bt", ["k", "where", "backtrace"], .code, "[N]", "Guessed frames: the chain of (E)BP, and words of the stack that follow a call"
        ) { debugger, words throws(ExpressionError) in
            try debugger.frames(words.rest.isEmpty ? 16 : try debugger.value(words.rest))
        },
        DebugCommand(
            "calc", ["?", "ev", "print"], .code, "EXPRESSION", "The value of an expression", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let value = try debugger.value(words.rest)
            let name = debugger.symbols.text(value).map { "  \($0)" } ?? ""
            return ["0x\(String(value, radix: 16))  \(value)\(Int64(bitPattern: value) < 0 ? "  \(Int64(bitPattern: value))" : "")\(name)"]
        },
        DebugCommand(
            "ldsym", ["loadsym"], .code, "[global] FILE [OFFSET]",
            "Symbols of an ELF file, System.map, nasm's map or lines 'ADDRESS NAME'; they are loaded again at the next start", completion: .file
        ) { debugger, words throws(ExpressionError) in
            var parts = words.words
            if parts.first == "global" { parts.removeFirst() }
            guard let file = parts.first, parts.count <= 2 else { throw ExpressionError(sentence: "Which file?") }
            return [try debugger.loadSymbols(debugger.path(file), offset: parts.count > 1 ? try debugger.value(parts[1], radix: 16) : 0)]
        },
        DebugCommand("unldsym", ["nosym"], .code, "", "Forget all symbols") { debugger, _ in
            debugger.symbols.removeAll()
            debugger.symbolFiles = []
            debugger.breakpointsChanged()
            return []
        },
        DebugCommand(
            "slist", ["symbols"], .code, "[PREFIX]", "Symbols that begin so, at most 200", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let names = debugger.symbols.names(words.rest, limit: 200)
            if names.isEmpty { return ["There are no such symbols; \(debugger.symbols.count) are loaded."] }
            return names.map { "\((debugger.symbols.address($0) ?? 0).hex) \($0)" }
        },
        DebugCommand(
            "ln", ["sym"], .code, "PLACE", "The symbol nearest before a place, or a symbol's address", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let address = try debugger.value(words.rest, radix: 16)
            return ["\(address.hex)  \(debugger.symbols.text(address) ?? "no symbol is near")"]
        },
    ]
}

extension Debugger {
    /// One line for each instruction.
    func lines(_ instructions: [DebugInstruction]) -> [String] {
        let processor = processor(nil)
        let real = processor?.executionMode.isRealLike ?? true
        let selector = processor?.state.seg[Seg.cs].selector ?? 0
        return instructions.flatMap { one -> [String] in
            var lines = one.label.map { ["\($0):"] } ?? []
            let place: String
            if real, one.offset <= 0xFFFF {
                place = "\(selector.hex):\(UInt16(one.offset).hex)"
            } else {
                place = one.linear > 0xFFFF_FFFF ? one.linear.hex : UInt32(one.linear).hex
            }
            let mark = one.isCurrent ? ">" : " ", stop = one.breakpoint.map { $0 > 0 ? "*" : "o" } ?? " "
            var text = "\(mark)\(stop)\(place)  \(one.bytes.map { $0.hex.lowercased() }.joined().filled(20)) \(one.text)"
            if let target = one.target { text += target < one.linear ? " ↑" : " ↓" }
            if let taken = one.isTaken { text += taken ? "  ; taken" : "  ; not taken" }
            if let operand = one.operand, let processor {
                text += "  ; [\(address(operand.linear, processor))]"
                if operand.bytes > 0 { text += operand.value.map { "=\(String($0, radix: 16))" } ?? "=?" }
            }
            lines.append(text)
            return lines
        }
    }

    func code(at text: String, count: Int) throws(ExpressionError) -> [String] {
        let processor = try present()
        guard case .success(let address) = linear(place(text), processor) else { return [try String(value(text, radix: 16))] }
        return lines(disassemble(processor, at: address, before: 0, count: count, bits: codeBits))
    }

    func disassembleCommand(_ words: DebugWords) throws(ExpressionError) -> [String] {
        var parts = words.words
        let text = words.rest.lowercased()
        if text.hasPrefix("size") || text == "switch-mode" {
            let value = text.filter(\.isNumber)
            codeBits = text == "switch-mode" ? (codeBits == nil ? 16 : codeBits == 16 ? 32 : codeBits == 32 ? 64 : nil) : Int(value)
            guard codeBits.map({ [16, 32, 64].contains($0) }) ?? true else { throw ExpressionError(sentence: "Code is of 16, 32 or 64 bits, or 'auto'.") }
            return [codeBits.map { "Code is shown as \($0)-bit." } ?? "Code is shown as the processor reads it."]
        }
        var count = 10
        if let first = parts.first, first.hasPrefix("/") {
            guard let number = Int(first.dropFirst()), (1...2000).contains(number) else {
                throw ExpressionError(sentence: "'\(first)' is not a count from 1 to 2000.")
            }
            count = number
            parts.removeFirst()
        }
        let processor = try present()
        var start = codeNext ?? processor.linearRIP
        if let first = parts.first {
            switch linear(place(first), processor) {
            case .success(let address): start = address
            case .failure(let error): throw error
            }
        } else if stop != nil, codeNextSerial != stop?.serial {
            start = processor.linearRIP
        }
        var found = disassemble(processor, at: start, before: 0, count: count, bits: codeBits)
        if parts.count > 1 {
            let end: UInt64
            if parts[1].lowercased().hasPrefix("l"), let number = Int(parts[1].dropFirst()) {
                found = Array(disassemble(processor, at: start, before: 0, count: max(1, min(number, 2000)), bits: codeBits))
                end = .max
            } else {
                end = try value(parts[1], radix: 16)
                found = disassemble(processor, at: start, before: 0, count: 2000, bits: codeBits)
            }
            found = found.filter { $0.linear < end }
        }
        if let last = found.last { codeNext = last.linear &+ UInt64(max(last.bytes.count, 1)) }
        codeNextSerial = stop?.serial
        return lines(found)
    }

    // MARK: Frames

    func frames(_ count: UInt64, of one: Processor? = nil) throws(ExpressionError) -> [String] {
        guard (1...1000).contains(count) else { throw ExpressionError(sentence: "1 to 1000 frames are shown.") }
        let processor: Processor
        if let one { processor = one } else { processor = try present() }
        let state = processor.state, size = processor.executionMode.bits / 8
        let base = processor.executionMode == .long ? 0 : state.seg[Seg.ss].base
        let code = processor.executionMode == .long ? 0 : state.seg[Seg.cs].base
        let mask = RegisterNames.mask(processor.executionMode.bits)
        let context = context(processor)
        func shown(_ offset: UInt64) -> String { address(offset, processor) + (symbols.text(code &+ offset).map { "  \($0)" } ?? "") }
        var lines = ["0  \(shown(state.rip))"]
        var frame = state.gpr[5] & mask
        let top = stackPointer(processor)
        while lines.count < count, frame >= top, let next = context.load(base &+ frame, bytes: size, physical: false),
            let back = context.load(base &+ frame &+ UInt64(size), bytes: size, physical: false), followsCall(back, code, processor)
        {
            lines.append("\(lines.count)  \(shown(back))")
            guard next > frame else { break }
            frame = next
        }
        if lines.count == 1 {
            // No chain: words of the stack that a call may have left.
            for n in 0..<UInt64(256) where lines.count < count {
                guard let word = context.load(base &+ top &+ n &* UInt64(size), bytes: size, physical: false) else { break }
                if followsCall(word, code, processor) { lines.append("\(lines.count)  \(shown(word))  ?") }
            }
        }
        return lines
    }

    /// The instruction before an offset in CS is a call.
    private func followsCall(_ offset: UInt64, _ base: UInt64, _ processor: Processor) -> Bool {
        guard offset > 7 else { return false }
        let found = processor.peek(base &+ offset &- 7, count: 7)
        guard found.isWhole else { return false }
        let disassembler = disassembler(processor.executionMode.bits)
        return (2...7).contains { length in
            guard let decoded = disassembler.decode(found.bytes, at: 7 - length, offset: offset &- UInt64(length), withText: false) else { return false }
            return decoded.length == length && decoded.flow == .call
        }
    }

    // MARK: Symbols

    func loadSymbols(_ path: String, offset: UInt64) throws(ExpressionError) -> String {
        do throws(MachineError) {
            let found = try SymbolFile.load(path, offset: offset)
            symbols.add(found)
            let entry = DebuggerFile.Symbols(path: path, offset: offset)
            if !symbolFiles.contains(entry) { symbolFiles.append(entry) }
            replaceStops()
            breakpointsChanged()
            return "\(found.count) symbols of '\(path)'."
        } catch { throw ExpressionError(sentence: error.description) }
    }
}
