import CPU
import Hardware
import Primitives

extension DebugCommand {
    static let machine: [DebugCommand] = [
        DebugCommand(
            "info", ["i"], .machine, "cpu|registers|eflags|break|tab|idt|ivt|gdt|ldt|tss|device [NAME]|symbols|pic|apic|pci|time",
            "What there is to know", completion: .table
        ) { debugger, words throws(ExpressionError) in
            try debugger.info(words)
        },
        DebugCommand(
            "gdt", [], .machine, "", "The global descriptor table, decoded"
        ) { debugger, _ throws(ExpressionError) in try debugger.tableLines(.gdt) },
        DebugCommand("ldt", [], .machine, "", "The local one") { debugger, _ throws(ExpressionError) in try debugger.tableLines(.ldt) },
        DebugCommand(
            "idt", [], .machine, "", "The interrupt descriptor table"
        ) { debugger, _ throws(ExpressionError) in try debugger.tableLines(.idt) },
        DebugCommand("ivt", ["intvec"], .machine, "[N]", "The interrupt vectors of real mode") { debugger, words throws(ExpressionError) in
            let lines = try debugger.tableLines(.ivt)
            guard !words.rest.isEmpty else { return lines }
            let number = Int(try debugger.byte(words.rest, "An interrupt"))
            return lines.count > number + 1 ? [lines[number + 1]] : []
        },
        DebugCommand("inthand", [], .machine, "N", "Code of the handler of interrupt N") { debugger, words throws(ExpressionError) in
            try debugger.handler(try debugger.byte(words.rest, "An interrupt"))
        },
        DebugCommand("tss", [], .machine, "", "The present task") { debugger, _ throws(ExpressionError) in try debugger.tableLines(.tss) },
        DebugCommand("dg", [], .machine, "SELECTOR", "One descriptor") { debugger, words throws(ExpressionError) in
            let selector = try debugger.value(words.rest, radix: 16)
            let kind: DebugTableKind = selector & 4 != 0 ? .ldt : .gdt
            let table = DebugTable(kind, try debugger.present())
            guard let row = table.rows.first(where: { $0.index == Int(selector >> 3) }) else { throw ExpressionError(sentence: "There is no such descriptor.") }
            return [debugger.text(row)]
        },
        DebugCommand(
            "page", ["paging", "pte"], .machine, "[PLACE]", "The page walk of an address, every level's entry", completion: .symbol
        ) { debugger, words throws(ExpressionError) in
            let address = words.rest.isEmpty ? try debugger.present().linearRIP : try debugger.value(words.rest, radix: 16)
            return debugger.walkLines(try debugger.present().peekWalk(address))
        },
        DebugCommand("tlb", [], .machine, "", "The translations that are held") { debugger, _ throws(ExpressionError) in
            let held = try debugger.present().heldTranslations
            let lines = held.prefix(500).map { one in
                let rights = "\(one.reads ? "r" : "-")\(one.writes ? "w" : "-")\(one.executes ? "x" : "-")\(one.isGlobal ? "g" : "-")\(one.isUser ? "u" : "s")"
                return "\(one.linear.hex) → \(one.physical?.hex ?? "not in the page tables now") \(rights)"
            }
            return lines + (held.count > 500 ? ["… \(held.count - 500) more"] : [])
        },
        DebugCommand(
            "tab", [], .machine, "", "What the page tables map, in ranges"
        ) { debugger, _ throws(ExpressionError) in try debugger.mapLines() },
        DebugCommand(
            "device", ["devices", "dev"], shortest: 3, .machine, "[NAME]", "The chips, or the fields of one"
        ) { debugger, words throws(ExpressionError) in
            try debugger.deviceLines(words.rest)
        },
        DebugCommand("pic", [], .machine, "", "The 8259 pair") { debugger, _ throws(ExpressionError) in try debugger.deviceLines("pic") },
        DebugCommand("apic", ["lapic", "ioapic"], .machine, "", "Local and I/O APICs") { debugger, words throws(ExpressionError) in
            debugger.pc.chipReports.filter { $0.name.contains("apic") }.flatMap { ["\($0.name):"] + $0.fields.map { "  \($0.name) \($0.value)" } }
        },
        DebugCommand("pci", [], .machine, "", "The functions on the PCI bus") { debugger, _ in debugger.pciLines() },
        DebugCommand(
            "in", [], .machine, "PORT [1|2|4]", "Read a port as the guest would: it may have effects"
        ) { debugger, words throws(ExpressionError) in
            let (port, size) = try debugger.port(words)
            debugger.touched = true
            return [String(debugger.pc.readPort(port, size: size), radix: 16)]
        },
        DebugCommand(
            "out", ["outp"], shortest: 9, .machine, "PORT VALUE [1|2|4]", "Write a port; 'out' alone goes on until the function returns"
        ) { debugger, words throws(ExpressionError) in
            guard words.words.count >= 2 else {
                debugger.wanted = .out
                return []
            }
            var others = words
            others.words.remove(at: 1)
            let (port, size) = try debugger.port(others)
            debugger.pc.writePort(port, size: size, UInt32(truncatingIfNeeded: try debugger.value(words.words[1], radix: 16)))
            debugger.touched = true
            return []
        },
        DebugCommand(
            "peek", [], .machine, "PORT", "What a port would read, without reading it"
        ) { debugger, words throws(ExpressionError) in
            let (port, _) = try debugger.port(words)
            return [debugger.pc.peekPort(port).map { $0.hex } ?? "No chip decodes port \(port.hex)."]
        },
        DebugCommand("ptime", ["icount", "time"], .machine, "", "Instructions and guest time since power-on") { debugger, _ in
            ["\(debugger.pc.retired) instructions, \(debugger.pc.now()) ns"]
        },
        DebugCommand("digest", [], .machine, "", "The digest of the whole machine's state") { debugger, _ in [debugger.pc.digest()] },
    ]
}

extension Debugger {
    func info(_ words: DebugWords) throws(ExpressionError) -> [String] {
        let rest = words.from(1)
        switch (words[0] ?? "").lowercased() {
        case "cpu", "cpus": return processorLines() + (try registerLines())
        case "registers", "reg", "r": return try registerLines()
        case "eflags", "flags": return [Debugger.flagText(try now().eflags)]
        case "break", "b", "breakpoints": return breakpointLines { _ in true }
        case "tab": return try mapLines()
        case "idt": return try tableLines(.idt)
        case "ivt": return try tableLines(.ivt)
        case "gdt": return try tableLines(.gdt)
        case "ldt": return try tableLines(.ldt)
        case "tss": return try tableLines(.tss)
        case "device", "devices": return try deviceLines(rest)
        case "symbols": return try DebugCommand.find("slist")?.run(self, DebugWords("slist \(rest)")) ?? []
        case "pic": return try deviceLines("pic")
        case "apic": return try DebugCommand.find("apic")?.run(self, DebugWords("apic")) ?? []
        case "pci": return pciLines()
        case "time": return ["\(pc.retired) instructions, \(pc.now()) ns"]
        case "fp", "fpu": return try fpuLines()
        case "sse", "xmm": return try vectorLines(2)
        case let other: throw ExpressionError(sentence: "'info' does not know '\(other)'; 'help info' says what it knows.")
        }
    }

    func text(_ row: DebugTable.Row) -> String { "\(String(row.index, radix: 16, uppercase: true).padded(4))  \(row.text)" }

    func tableLines(_ kind: DebugTableKind) throws(ExpressionError) -> [String] {
        let table = DebugTable(kind, try present())
        let head = "\(kind.rawValue.uppercased()) base \(table.base > 0xFFFF_FFFF ? table.base.hex : UInt32(table.base).hex) limit \(UInt32(table.limit).hex)"
        return [head] + table.rows.map(text) + (table.note.isEmpty ? [] : [table.note])
    }

    func handler(_ vector: UInt8) throws(ExpressionError) -> [String] {
        let processor = try present()
        let table = DebugTable(processor.executionMode == .real ? .ivt : .idt, processor)
        guard let row = table.rows.first(where: { $0.index == Int(vector) }) else { throw ExpressionError(sentence: "There is no vector \(vector.hex).") }
        if table.kind == .ivt {
            let (selector, offset) = (String(row.raw >> 16 & 0xFFFF, radix: 16), String(row.raw & 0xFFFF, radix: 16))
            return try [text(row)] + code(at: "\(selector):\(offset)", count: 10)
        }
        var offset = row.raw & 0xFFFF | row.raw >> 32 & 0xFFFF_0000
        if let high = row.high { offset |= (high & 0xFFFF_FFFF) << 32 }
        let base = processor.peekSegment(UInt16(truncatingIfNeeded: row.raw >> 16))?.base ?? 0
        return [text(row)] + lines(disassemble(processor, at: base &+ offset, before: 0, count: 10))
    }

    func walkLines(_ walk: PageWalk) -> [String] {
        func rights(_ entry: UInt64) -> String {
            let names = [(0, "P"), (1, "W"), (2, "U"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS"), (8, "G"), (63, "NX")]
            return names.map { entry >> UInt64($0.0) & 1 != 0 ? $0.1 : $0.1.lowercased() }.joined(separator: " ")
        }
        var lines = walk.levels.map { level in
            "\(level.name.filled(5)) \(level.address.map { "at \($0.hex)" } ?? "in the processor    ") \(level.entry.hex)  \(rights(level.entry))"
        }
        if let physical = walk.physical {
            let size = walk.pageBytes >= 1 << 30 ? "1 GiB" : walk.pageBytes >= 1 << 20 ? "\(walk.pageBytes >> 20) MiB" : "4 KiB"
            let rights = "\(walk.user ? "user" : "supervisor"), \(walk.writable ? "writable" : "read-only")\(walk.executable ? "" : ", not executable")"
            let note = walk.note.isEmpty ? "" : "; \(walk.note)"
            lines.append("linear \(walk.linear.hex) → physical \(physical.hex), \(size), \(rights)\(note)")
        } else {
            lines.append("linear \(walk.linear.hex) is not mapped: \(walk.note)")
        }
        return lines
    }

    /// Ranges that the page tables map, found page by page over what is present.
    func mapLines() throws(ExpressionError) -> [String] {
        let processor = try present()
        guard processor.state.cr0 & CR0.pg != 0 else { return ["Paging is off."] }
        var lines: [String] = [], at: UInt64 = 0, looked = 0
        var range: (first: UInt64, last: UInt64, physical: UInt64)?
        let long = processor.state.efer & 0x400 != 0, isWide = long || processor.state.cr4 & CR4.pae != 0
        func close() {
            guard let open = range else { return }
            lines.append("\(open.first.hex)-\(open.last.hex) → \(open.physical.hex)")
            range = nil
        }
        while looked < 2_000_000, lines.count < 500 {
            looked += 1
            let walk = processor.peekWalk(at)
            // An entry that is missing higher up covers more.
            let depth = walk.levels.last?.name ?? "PTE"
            let span: UInt64 =
                switch depth {
                case _ where walk.physical != nil: walk.pageBytes
                case "PML4E": 1 << 39
                case "PDPTE": 1 << 30
                case "PDE": isWide ? 1 << 21 : 1 << 22
                default: 4096
                }
            if let physical = walk.physical {
                if let open = range, open.last &+ 1 == at, open.physical &+ (at &- open.first) == physical {
                    range = (open.first, at &+ (span - 1), open.physical)
                } else {
                    close()
                    range = (at, at &+ (span - 1), physical)
                }
            } else {
                close()
            }
            let next = at &+ span
            if next <= at || (!long && next > 0xFFFF_FFFF) { break }
            // The hole between the halves.
            at = long && next >= 1 << 47 && next < 0xFFFF_8000_0000_0000 ? 0xFFFF_8000_0000_0000 : next
        }
        close()
        return lines.isEmpty ? ["Nothing is mapped."] : lines
    }

    func deviceLines(_ name: String) throws(ExpressionError) -> [String] {
        let reports = pc.chipReports
        if name.isEmpty {
            return reports.map { report in
                let ports = report.ports.map { $0.count == 1 ? $0.lowerBound.hex : "\($0.lowerBound.hex)-\($0.upperBound.hex)" }.joined(separator: " ")
                return "\(report.name.filled(16)) \(ports)"
            }
        }
        guard let report = reports.first(where: { $0.name == name }) else {
            throw ExpressionError(sentence: "There is no chip '\(name)'; 'device' lists them.")
        }
        return report.fields.map { "\($0.name) \($0.value)" }
    }

    func pciLines() -> [String] {
        pc.pciReports.map { function in
            func word(_ at: Int) -> UInt16 { UInt16(function.bytes[at]) | UInt16(function.bytes[at + 1]) << 8 }
            let bars = (0..<6).map { n in UInt32(word(16 + 4 * n)) | UInt32(word(18 + 4 * n)) << 16 }
            let shown = bars.enumerated().filter { $0.element != 0 }.map { "BAR\($0.offset) \($0.element.hex)" }.joined(separator: " ")
            let place = "00:\(UInt8(function.device).hex).\(function.function)"
            let kind = "class \(function.bytes[11].hex)\(function.bytes[10].hex) command \(word(4).hex)"
            return "\(place) \(word(0).hex):\(word(2).hex) \(kind) \(function.name)  \(shown)"
        }
    }

    func port(_ words: DebugWords) throws(ExpressionError) -> (Port, Int) {
        guard let first = words[0] else { throw ExpressionError(sentence: "Which port?") }
        let port = try value(first, radix: 16), size = words[1].flatMap { Int($0) } ?? 1
        guard port <= 0xFFFF, [1, 2, 4].contains(size) else { throw ExpressionError(sentence: "Ports are 0 to FFFF, sizes 1, 2 and 4.") }
        return (Port(port), size)
    }
}
