import CPU
import Primitives

extension DebugCommand {
    static let registers: [DebugCommand] = [
        DebugCommand(
            "registers", ["r", "reg", "regs", "rg"], shortest: 4, .registers, "[NAME [= EXPRESSION] | all]",
            "General and segment registers, flags, the next instruction", completion: .register
        ) { debugger, words throws(ExpressionError) in
            if words.rest == "all" { return try debugger.registerLines() + debugger.controlLines() + debugger.debugLines() }
            return words.rest.isEmpty ? try debugger.registerLines() : try debugger.registerCommand(words.rest)
        },
        DebugCommand(
            "set", ["sr"], .registers, "REGISTER = EXPRESSION", "Change a register; DOSBox's 'SR REGISTER VALUE' too", completion: .register
        ) { debugger, words throws(ExpressionError) in
            try debugger.registerCommand(words.rest, radix: words.name.lowercased() == "sr" ? 16 : 10, mustSet: true)
        },
        DebugCommand(
            "sreg", [], .registers, "", "Segment registers with their hidden parts, descriptor tables"
        ) { debugger, _ throws(ExpressionError) in try debugger.segmentLines() },
        DebugCommand(
            "creg", [], .registers, "", "Control registers, EFER and other MSRs"
        ) { debugger, _ throws(ExpressionError) in try debugger.controlLines() },
        DebugCommand("dreg", [], .registers, "", "Debug registers") { debugger, _ throws(ExpressionError) in try debugger.debugLines() },
        DebugCommand("fpu", ["fp"], .registers, "", "x87 registers") { debugger, _ throws(ExpressionError) in try debugger.fpuLines() },
        DebugCommand("mmx", [], .registers, "", "MMX registers") { debugger, _ throws(ExpressionError) in
            try debugger.now().mmx.enumerated().map { "MM\($0): \($1.hex)" }
        },
        DebugCommand(
            "xmm", ["sse"], .registers, "", "XMM registers"
        ) { debugger, _ throws(ExpressionError) in try debugger.vectorLines(2) },
        DebugCommand(
            "ymm", ["avx"], .registers, "", "YMM registers"
        ) { debugger, _ throws(ExpressionError) in try debugger.vectorLines(4) },
        DebugCommand(
            "eflags", ["flags"], .registers, "", "The flags by name, those that are set in capitals"
        ) { debugger, _ throws(ExpressionError) in [Debugger.flagText(try debugger.now().eflags)] },
        DebugCommand(
            "cpu", [], .registers, "[N]", "What each processor does; take processor N for what follows"
        ) { debugger, words throws(ExpressionError) in
            if !words.rest.isEmpty {
                let number = try debugger.value(words.rest)
                guard number < UInt64(debugger.processors.count) else { throw ExpressionError(sentence: "There is no processor \(number).") }
                debugger.selected = Int(number)
            }
            return debugger.processorLines()
        },
    ]
}

extension Debugger {
    func now() throws(ExpressionError) -> DebugRegisters { registers(try present(), selected) }

    // MARK: Lines

    func registerLines() throws(ExpressionError) -> [String] {
        let r = try now()
        var lines: [String] = []
        if r.mode == .long {
            for row in stride(from: 0, to: 16, by: 4) {
                lines.append((row..<(row + 4)).map { "\(DebugRegisters.names64[$0].padded(3))=\(r.general[$0].hex)" }.joined(separator: " "))
            }
            lines.append("RIP=\(r.rip.hex) " + Debugger.flagText(r.eflags))
        } else {
            let names = DebugRegisters.names64.prefix(8).map { "E" + $0.dropFirst() }
            for row in [[0, 3, 1, 2], [6, 7, 5, 4]] {
                lines.append(row.map { "\(names[$0])=\(UInt32(truncatingIfNeeded: r.general[$0]).hex)" }.joined(separator: " "))
            }
            lines.append("EIP=\(UInt32(truncatingIfNeeded: r.rip).hex) " + Debugger.flagText(r.eflags))
        }
        lines.append(r.segments.prefix(6).map { "\($0.name)=\($0.selector.hex)" }.joined(separator: " ") + "  " + Debugger.modeText(r))
        return lines + self.lines(disassemble(try present(), at: r.linear, before: 0, count: 1))
    }

    static func modeText(_ r: DebugRegisters) -> String {
        let paging = r.isPaging ? ", paging" : ""
        return "CPL \(r.cpl), \(r.mode.rawValue)\(paging)\(r.a20 ? "" : ", A20 off")\(r.isHalted ? ", halted" : "")"
    }

    /// Set flags in capitals.
    static func flagText(_ flags: UInt32) -> String {
        let order = [21, 20, 19, 18, 17, 16, 14, 11, 10, 9, 8, 7, 6, 4, 2, 0]
        var words = order.map { bit in
            let name = DebugRegisters.flagNames[bit]
            return flags >> UInt32(bit) & 1 != 0 ? name : name.lowercased()
        }
        words.insert("iopl\(flags >> 12 & 3)", at: 7)
        return words.joined(separator: " ")
    }

    func segmentLines() throws(ExpressionError) -> [String] {
        let r = try now()
        func wide(_ value: UInt64) -> String { value > 0xFFFF_FFFF || r.mode == .long ? value.hex : UInt32(truncatingIfNeeded: value).hex }
        let lines = r.segments.map { segment in
            let text = segment.attributes & 0x80 == 0 ? "not usable" : Debugger.segmentText(segment)
            let hidden = "base \(wide(segment.base)) limit \(segment.limit.hex) attributes \(segment.attributes.hex)"
            return "\(segment.name.filled(4)) \(segment.selector.hex)  \(hidden)  \(text)"
        }
        return lines + [r.gdtr, r.idtr].map { "\($0.name)       base \(wide($0.base)) limit \(UInt16(truncatingIfNeeded: $0.limit).hex)" }
    }

    private static func segmentText(_ segment: DebugRegisters.Segment) -> String {
        // Bytes 5 and 6 where a descriptor has them.
        let raw = UInt64(segment.attributes) << 40
        let text = DescriptorText.text(raw | 1, nil).replacing(" base 00000000", with: "")
        return text.replacing(" limit 00000001", with: "").replacing(" limit 00001FFF", with: "")
    }

    private static let cr0Names = [
        (31, "PG"), (30, "CD"), (29, "NW"), (18, "AM"), (16, "WP"), (5, "NE"), (4, "ET"), (3, "TS"), (2, "EM"), (1, "MP"), (0, "PE"),
    ]
    private static let cr4Names = [
        (18, "OSXSAVE"), (10, "OSXMMEXCPT"), (9, "OSFXSR"), (8, "PCE"), (7, "PGE"), (6, "MCE"), (5, "PAE"), (4, "PSE"), (3, "DE"), (2, "TSD"), (1, "PVI"),
        (0, "VME"),
    ]

    func controlLines() throws(ExpressionError) -> [String] {
        let r = try now()
        func bits(_ name: String, _ value: UInt64, _ names: [(Int, String)]) -> String {
            let words = names.map { value >> UInt64($0.0) & 1 != 0 ? $0.1 : $0.1.lowercased() }
            return "\(name)=\(UInt32(truncatingIfNeeded: value).hex)  \(words.joined(separator: " "))"
        }
        let value = Dictionary(uniqueKeysWithValues: r.control.map { ($0.name, $0.value) })
        var lines = [
            bits("CR0", value["CR0"] ?? 0, Debugger.cr0Names),
            "CR2=\((value["CR2"] ?? 0).hex)  CR3=\((value["CR3"] ?? 0).hex)  CR8=\(value["CR8"] ?? 0)  XCR0=\(String(value["XCR0"] ?? 0, radix: 16))",
            bits("CR4", value["CR4"] ?? 0, Debugger.cr4Names),
        ]
        for row in stride(from: 0, to: r.msrs.count, by: 3) {
            lines.append(r.msrs[row..<min(row + 3, r.msrs.count)].map { "\($0.name)=\($0.value.hex)" }.joined(separator: "  "))
        }
        return lines
    }

    func debugLines() throws(ExpressionError) -> [String] {
        let r = try now()
        func shown(_ one: DebugRegisters.Named) -> String { "\(one.name)=\(one.value > 0xFFFF_FFFF ? one.value.hex : UInt32(one.value).hex)" }
        return [r.debug.prefix(4), r.debug.suffix(2)].map { $0.map(shown).joined(separator: " ") }
    }

    func fpuLines() throws(ExpressionError) -> [String] {
        let f = try now().fpu
        let head = "control \(f.control.hex)  status \(f.status.hex)  tag \(f.tag.hex)  top \(f.status >> 11 & 7)  opcode \(f.opcode.hex)"
        return [head] + f.registers.enumerated().map { n, register in
            "ST(\(n)) \(register.isEmpty ? "empty" : "     ") \(register.signExponent.hex):\(register.significand.hex)  \(register.value)"
        }
    }

    func vectorLines(_ words: Int) throws(ExpressionError) -> [String] {
        let r = try now()
        let names = words == 2 ? "XMM" : "YMM"
        return ["MXCSR=\(r.mxcsr.hex)"] + r.vectors.enumerated().map { n, value in
            "\(names)\(n): ".filled(7) + value.prefix(words).reversed().map(\.hex).joined(separator: "_")
        }
    }

    func processorLines() -> [String] {
        processors.enumerated().map { number, processor in
            let r = registers(processor, number)
            let mark = number == selected ? "*" : " "
            return "\(mark)\(number) \(r.segments[1].selector.hex):\(address(r.rip, processor)) \(Debugger.modeText(r)), \(r.retired) instructions"
        }
    }

    /// `NAME`, `NAME = EXPRESSION`, `NAME EXPRESSION`.
    func registerCommand(_ text: String, radix: Int = 10, mustSet: Bool = false) throws(ExpressionError) -> [String] {
        let parts = text.split(maxSplits: 1, whereSeparator: { $0 == "=" || $0 == " " }).map { String($0).trimmingBlanks }
        guard var name = parts.first, !name.isEmpty else { throw ExpressionError(sentence: "Which register?") }
        if name.hasPrefix("$") { name.removeFirst() }
        let processor = try present()
        if parts.count < 2 {
            if mustSet { throw ExpressionError(sentence: "Which value?") }
            guard let value = RegisterNames.value(name, of: processor, marked: true) else { throw ExpressionError(sentence: "There is no register '\(name)'.") }
            return ["\(name.uppercased())=\(String(value, radix: 16, uppercase: true))  \(value)"]
        }
        var right = parts[1]
        if right.hasPrefix("=") { right = String(right.dropFirst()).trimmingBlanks }
        if name.lowercased() == "cpu" {
            let number = try value(right)
            guard number < UInt64(processors.count) else { throw ExpressionError(sentence: "There is no processor \(number).") }
            selected = Int(number)
            return []
        }
        if let sentence = RegisterNames.set(name, try value(right, radix: radix), of: processor) { throw ExpressionError(sentence: sentence) }
        touched = true
        return []
    }
}
