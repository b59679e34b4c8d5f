import CPU

extension DebugCommand {
    static let memory: [DebugCommand] = [
        DebugCommand(
            "x", [], .memory, "[/NUF] PLACE",
            "Examine memory: N units of size b h w g, as x d u o t c s i", completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in
            try debugger.examine(words.rest, physical: false)
        },
        DebugCommand("xp", [], .memory, "[/NUF] ADDRESS", "The same at a physical address") { debugger, words throws(ExpressionError) in
            try debugger.examine(words.rest, physical: true)
        },
        DebugCommand(
            "d", ["db", "dump", "mem"], .memory, "[PLACE [LENGTH]]",
            "Bytes and characters at SEG:OFF, a linear address, phys:ADDRESS; 'd N' deletes breakpoint N as in Bochs",
            completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in
            if words.name == "d", words.words.count == 1, let number = Int(words.rest), debugger.breakpoints.contains(where: { $0.number == number }) {
                _ = debugger.delete(number)
                return ["Breakpoint \(number) is deleted."]
            }
            return try debugger.bytesShown(words, unit: 1)
        },
        DebugCommand(
            "dw", [], .memory, "[PLACE [LENGTH]]", "The same as words", completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in try debugger.bytesShown(words, unit: 2) },
        DebugCommand(
            "dd", [], .memory, "[PLACE [LENGTH]]", "The same as doublewords", completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in try debugger.bytesShown(words, unit: 4) },
        DebugCommand(
            "dq", [], .memory, "[PLACE [LENGTH]]", "The same as quadwords", completion: .symbol, repeats: true
        ) { debugger, words throws(ExpressionError) in try debugger.bytesShown(words, unit: 8) },
        DebugCommand(
            "memdump", [], .memory, "PLACE LENGTH", "Bytes at a place, both hexadecimal", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.bytesShown(words, unit: 1) },
        DebugCommand(
            "sm", ["eb"], .memory, "PLACE BYTE…", "Set bytes, hexadecimal; \"text\" too", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.enter(words, unit: 1) },
        DebugCommand(
            "ew", [], .memory, "PLACE WORD…", "Set words", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.enter(words, unit: 2) },
        DebugCommand(
            "ed", [], .memory, "PLACE DWORD…", "Set doublewords", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.enter(words, unit: 4) },
        DebugCommand(
            "eq", [], .memory, "PLACE QWORD…", "Set quadwords", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.enter(words, unit: 8) },
        DebugCommand(
            "setpmem", [], .memory, "ADDRESS SIZE VALUE", "Set 1, 2, 4 or 8 bytes at a physical address"
        ) { debugger, words throws(ExpressionError) in
            guard words.words.count == 3, let size = Int(words.words[1]), [1, 2, 4, 8].contains(size) else {
                throw ExpressionError(sentence: "'setpmem' is an address, a size of 1, 2, 4 or 8, and a value.")
            }
            return try debugger.write(.physical(try debugger.value(words.words[0], radix: 16)), Debugger.bytes(try debugger.value(words.words[2]), size))
        },
        DebugCommand(
            "fill", ["f"], .memory, "PLACE LENGTH BYTE", "Fill memory, hexadecimal", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            guard words.words.count == 3 else { throw ExpressionError(sentence: "'fill' is a place, a length and a byte.") }
            let length = try debugger.value(words.words[1], radix: 16)
            guard length <= UInt64(DebugRequest.memoryLimit) else { throw ExpressionError(sentence: "At most 10000h bytes are filled at once.") }
            return try debugger.write(debugger.place(words.words[0]), [UInt8](repeating: try debugger.byte(words.words[2], "The byte"), count: Int(length)))
        },
        DebugCommand(
            "find", ["search"], .memory, "PLACE LENGTH BYTE…|\"TEXT\"", "Search memory, hexadecimal", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            try debugger.find(words)
        },
        DebugCommand(
            "writemem", [], .memory, "FILE PLACE LENGTH", "Memory into a file", completion: .file
        ) { debugger, words throws(ExpressionError) in try debugger.writeFile(words) },
        DebugCommand(
            "loadmem", [], .memory, "FILE PLACE", "A file into memory", completion: .file
        ) { debugger, words throws(ExpressionError) in try debugger.loadFile(words) },
        DebugCommand(
            "deref", [], .memory, "PLACE DEPTH", "Follow pointers", completion: .symbol
        ) { debugger, words throws(ExpressionError) in try debugger.dereference(words) },
        DebugCommand("crc", [], .memory, "FIRST LAST", "CRC-32 of physical memory") { debugger, words throws(ExpressionError) in
            guard words.words.count == 2, let processor = debugger.processor(nil) else { throw ExpressionError(sentence: "'crc' is two addresses.") }
            let first = try debugger.value(words.words[0], radix: 16), last = try debugger.value(words.words[1], radix: 16)
            guard last >= first, last - first < 64 << 20 else {
                throw ExpressionError(sentence: "At most 64 MiB are summed, from the first to the last address.")
            }
            return ["CRC-32 of \(first.hex)-\(last.hex): \(Debugger.crc32(processor.peek(physical: first, count: Int(last - first) + 1).bytes).hex)"]
        },
        DebugCommand(
            "print-stack", ["stack", "ps"], .memory, "[N]", "The top N words of the stack"
        ) { debugger, words throws(ExpressionError) in
            try debugger.stackLines(words.rest.isEmpty ? 16 : try debugger.value(words.rest))
        },
        DebugCommand(
            "print-string", [], .memory, "PLACE", "Text up to a zero byte", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            [LogFormat.line("{\(words.rest):s}", debugger.context(try debugger.present()))]
        },
    ]
}

extension Debugger {
    func present() throws(ExpressionError) -> Processor {
        guard let processor = processor(nil) else { throw ExpressionError(sentence: "There is no processor.") }
        return processor
    }

    static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }

    func read(_ place: DebugPlace, _ count: Int) throws(ExpressionError) -> DebugMemory {
        switch memory(place, count, try present()) {
        case .success(let memory): return memory
        case .failure(let error): throw error
        }
    }

    func write(_ place: DebugPlace, _ bytes: [UInt8]) throws(ExpressionError) -> [String] {
        if let sentence = poke(place, bytes, try present()) { throw ExpressionError(sentence: sentence) }
        touched = true
        return []
    }

    // MARK: Looking

    /// `[PLACE [LENGTH]]`; goes on where the last one ended.
    func bytesShown(_ words: DebugWords, unit: Int) throws(ExpressionError) -> [String] {
        var place = dumpNext ?? .text("ds:0")
        var count = 128
        if let first = words[0] { place = self.place(first) }
        if let second = words[1] {
            let text = second.lowercased().hasPrefix("l") ? String(second.dropFirst()) : second
            count = Int(clamping: try value(text, radix: 16))
        }
        guard (1...DebugRequest.memoryLimit).contains(count) else { throw ExpressionError(sentence: "At most 10000h bytes are shown at once.") }
        let memory = try read(place, count)
        dumpNext = memory.isPhysical ? .physical(memory.address &+ UInt64(count)) : .linear(memory.address &+ UInt64(count))
        if case .far(let selector, let offset) = place { dumpNext = .far(selector: selector, offset: offset &+ UInt64(count)) }
        return Debugger.dumpLines(memory, place, unit: unit)
    }

    static func dumpLines(_ memory: DebugMemory, _ place: DebugPlace, unit: Int) -> [String] {
        stride(from: 0, to: memory.bytes.count, by: 16).map { start in
            let row = Array(memory.bytes[start..<min(start + 16, memory.bytes.count)])
            let gaps = (0..<row.count).map { n in memory.missing.contains { $0.contains(start + n) } }
            var cells: [String] = []
            for n in stride(from: 0, to: row.count, by: unit) {
                let part = row[n..<min(n + unit, row.count)].reversed().map(\.hex).joined()
                cells.append(gaps[n] ? String(repeating: "?", count: 2 * unit) : part)
            }
            let text = row.enumerated().map { gaps[$0] ? " " : (0x20...0x7E).contains($1) ? String(UnicodeScalar($1)) : "." }.joined()
            let address = memory.address &+ UInt64(start)
            var head = memory.isPhysical ? "phys:" : ""
            if case .far(let selector, let offset) = place {
                let at = offset &+ UInt64(start)
                head += "\(selector.hex):\(at > 0xFFFF ? UInt32(truncatingIfNeeded: at).hex : UInt16(at).hex)"
            } else {
                head += address > 0xFFFF_FFFF ? address.hex : UInt32(address).hex
            }
            return "\(head)  \(cells.joined(separator: " ").filled(16 * 2 + 16 / unit - 1))  \(text)"
        }
    }

    /// Bochs's `x /nuf`: count, format x d u o t c s i, unit b h w g.
    func examine(_ text: String, physical: Bool) throws(ExpressionError) -> [String] {
        var rest = text[...]
        var count = 1, unit = examineUnit, format = examineFormat
        if rest.first == "/" {
            let word = rest.dropFirst().prefix { !$0.isWhitespace }
            rest = rest.dropFirst(word.count + 1)
            let digits = word.prefix { $0.isNumber }
            if !digits.isEmpty { count = Int(digits) ?? 0 }
            for letter in word.dropFirst(digits.count).lowercased() {
                switch letter {
                case "b": unit = 1
                case "h": unit = 2
                case "w": unit = 4
                case "g": unit = 8
                case "x", "d", "u", "o", "t", "c", "s", "i", "m": format = letter
                default: throw ExpressionError(sentence: "'/\(word)' is a count, one of x d u o t c s i, and one of b h w g.")
                }
            }
        }
        (examineUnit, examineFormat) = (unit, format)
        guard (1...4096).contains(count) else { throw ExpressionError(sentence: "1 to 4096 units are shown.") }
        let given = String(rest).trimmingBlanks
        let place: DebugPlace = given.isEmpty ? examineNext ?? .text("ds:0") : physical ? .physical(try value(given, radix: 16)) : self.place(given)
        if format == "i" {
            guard case .success(let address) = linear(place, try present()) else { throw ExpressionError(sentence: "There is no code there.") }
            return lines(disassemble(try present(), at: address, before: 0, count: count))
        }
        if format == "s" { return [LogFormat.line("{\(given.isEmpty ? "ds:0" : given):s}", context(try present()))] }
        let memory = try read(place, count * unit)
        let end = memory.address &+ UInt64(count * unit)
        examineNext = memory.isPhysical ? .physical(end) : .linear(end)
        if format == "m" { return Debugger.dumpLines(memory, memory.isPhysical ? .physical(memory.address) : .linear(memory.address), unit: 1) }
        let perLine = format == "c" || unit == 1 ? 8 : 16 / unit
        return stride(from: 0, to: count, by: perLine).map { start in
            let cells = (start..<min(start + perLine, count)).map { n -> String in
                if memory.missing.contains(where: { $0.contains(n * unit) }) { return "??" }
                let value = memory.bytes[(n * unit)..<((n + 1) * unit)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                return Debugger.shown(value, unit, format)
            }
            let address = memory.address &+ UInt64(start * unit)
            let name = symbols.text(address).map { " <\($0)>" } ?? ""
            return "\(memory.isPhysical ? "phys:" : "")\(address > 0xFFFF_FFFF ? address.hex : UInt32(address).hex)\(name): \(cells.joined(separator: " "))"
        }
    }

    private static func shown(_ value: UInt64, _ unit: Int, _ format: Character) -> String {
        switch format {
        case "d": return String(Int64(truncatingIfNeeded: value << UInt64(64 - 8 * unit)) >> Int64(64 - 8 * unit))
        case "u": return String(value)
        case "o": return "0" + String(value, radix: 8)
        case "t": return String(value, radix: 2).leftPadded("0", 8 * unit)
        case "c": return (0x20...0x7E).contains(value) ? "'\(UnicodeScalar(UInt8(value)))'" : "\\x" + String(value, radix: 16)
        default: return "0x" + String(value, radix: 16).leftPadded("0", 2 * unit)
        }
    }

    func stackLines(_ count: UInt64) throws(ExpressionError) -> [String] {
        guard (1...1000).contains(count) else { throw ExpressionError(sentence: "1 to 1000 words of the stack are shown.") }
        let processor = try present()
        let size = processor.executionMode.bits / 8
        let base = processor.executionMode == .long ? 0 : processor.state.seg[Seg.ss].base
        let top = stackPointer(processor)
        let found = processor.peek(base &+ top, count: Int(count) * size)
        return (0..<Int(count)).map { n in
            let address = top &+ UInt64(n * size)
            guard !found.missing.contains(where: { $0.contains(n * size) }) else { return "\(self.address(address, processor))  ?" }
            let value = found.bytes[(n * size)..<((n + 1) * size)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return "\(self.address(address, processor))  \(self.address(value, processor))" + (symbols.text(value).map { "  \($0)" } ?? "")
        }
    }

    func dereference(_ words: DebugWords) throws(ExpressionError) -> [String] {
        guard let first = words[0], let depth = words[1].flatMap({ Int($0) }), (1...64).contains(depth) else {
            throw ExpressionError(sentence: "'deref' is a place and a depth of 1 to 64.")
        }
        let context = context(try present())
        var at = try value(first, radix: 16)
        var lines = [String(at, radix: 16)]
        for _ in 0..<depth {
            guard let next = context.load(at, bytes: context.wordBytes, physical: false) else { return lines + ["no memory"] }
            at = next
            lines.append("→ " + String(at, radix: 16) + (symbols.text(at).map { "  \($0)" } ?? ""))
        }
        return lines
    }

    // MARK: Changing and searching

    /// Values, and text in double quotes, as bytes.
    private func values(_ words: ArraySlice<String>, unit: Int) throws(ExpressionError) -> [UInt8] {
        var bytes: [UInt8] = []
        let line = words.joined(separator: " ")
        for (n, part) in line.split(separator: "\"", omittingEmptySubsequences: false).enumerated() {
            if n % 2 == 1 {
                bytes += Array(part.utf8)
                continue
            }
            for word in part.split(separator: " ") {
                let value = try value(String(word), radix: 16)
                guard unit == 8 || value >> UInt64(8 * unit) == 0 else {
                    throw ExpressionError(sentence: "'\(word)' has more than \(unit) byte\(unit == 1 ? "" : "s").")
                }
                bytes += Debugger.bytes(value, unit)
            }
        }
        guard !bytes.isEmpty else { throw ExpressionError(sentence: "Which values?") }
        return bytes
    }

    func enter(_ words: DebugWords, unit: Int) throws(ExpressionError) -> [String] {
        guard let first = words[0] else { throw ExpressionError(sentence: "Which place, and which values?") }
        return try write(place(first), try values(words.words.dropFirst(), unit: unit))
    }

    func find(_ words: DebugWords) throws(ExpressionError) -> [String] {
        guard words.words.count >= 3 else { throw ExpressionError(sentence: "'find' is a place, a length and what is searched.") }
        let length = try value(words.words[1], radix: 16)
        guard length <= 64 << 20 else { throw ExpressionError(sentence: "At most 64 MiB are searched at once.") }
        let wanted = try values(words.words.dropFirst(2), unit: 1)
        let memory = try read(place(words.words[0]), Int(length))
        var lines: [String] = []
        var at = 0
        while at + wanted.count <= memory.bytes.count, lines.count < 100 {
            if memory.bytes[at] == wanted[0], memory.bytes[at..<(at + wanted.count)].elementsEqual(wanted),
                !memory.missing.contains(where: { $0.overlaps(at..<(at + wanted.count)) })
            {
                lines.append((memory.isPhysical ? "phys:" : "") + (memory.address &+ UInt64(at)).hex)
            }
            at += 1
        }
        return lines.isEmpty ? ["It is not there."] : lines
    }

    func writeFile(_ words: DebugWords) throws(ExpressionError) -> [String] {
        guard words.words.count == 3 else { throw ExpressionError(sentence: "'writemem' is a file, a place and a length.") }
        let length = try value(words.words[2])
        guard length <= 1 << 30 else { throw ExpressionError(sentence: "At most 1 GiB is written at once.") }
        let memory = try read(place(words.words[1]), Int(length))
        do throws(MachineError) { try WholeFile.write(memory.bytes, to: path(words.words[0]), what: "memory") } catch {
            throw ExpressionError(sentence: error.description)
        }
        return ["\(length) bytes are in '\(path(words.words[0]))'."]
    }

    func loadFile(_ words: DebugWords) throws(ExpressionError) -> [String] {
        guard words.words.count == 2 else { throw ExpressionError(sentence: "'loadmem' is a file and a place.") }
        do throws(MachineError) {
            let bytes = try WholeFile.read(path(words.words[0]), what: "memory", limit: 1 << 30)
            if let sentence = poke(place(words.words[1]), bytes, try presentOrFail()) { throw .failed(sentence) }
            touched = true
            return ["\(bytes.count) bytes are loaded."]
        } catch { throw ExpressionError(sentence: error.description) }
    }

    private func presentOrFail() throws(MachineError) -> Processor {
        guard let processor = processor(nil) else { throw .failed("There is no processor.") }
        return processor
    }

    /// Relative to where the command comes from.
    func path(_ text: String) -> String { text.hasPrefix("/") || folder.isEmpty ? text : folder + "/" + text }

    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        let table = (0..<256).map { n -> UInt32 in (0..<8).reduce(UInt32(n)) { value, _ in value & 1 != 0 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 } }
        return ~bytes.reduce(~UInt32(0)) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }
}

extension String {
    func leftPadded(_ with: Character, _ width: Int) -> String { String(repeating: with, count: max(0, width - count)) + self }
}
