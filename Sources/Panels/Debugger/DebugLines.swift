import CPU
import Hardware
import Machine
import Terminal

/// Panels that are lists of lines, made from answers.
enum DebugLines {
    static func make(_ answer: DebugAnswer, _ kind: DebugPanelKind, _ model: DebugModel) -> [DebugLine] {
        switch answer {
        case .lines(let lines): return lines.map { DebugLine($0) }
        case .branches(let branches): return branches.reversed().map(branch)
        case .instructions(let instructions): return instructions.map(instruction)
        case .table(let table): return self.table(table)
        case .walk(let walk): return self.walk(walk)
        case .translations(let held): return translations(held)
        case .pci(let functions): return functions.flatMap(pci)
        case .devices(let chips):
            let controllers = ["pic", "lapic", "ioapic"]
            return chips.filter { chip in kind != .interrupts || controllers.contains { chip.name.hasPrefix($0) } }.flatMap(chip)
        case .timeline(let timeline): return self.timeline(timeline)
        case .done, .failure, .registers, .memory, .value, .breakpoints: return []
        }
    }

    private static func heading(_ text: String) -> DebugLine { DebugLine(text, .listKey) }

    private static func branch(_ branch: DebugBranch) -> DebugLine {
        var line = DebugLine([])
        line.add(DebugText.left(branch.kind, 10), .listKey)
        line.add("\(DebugText.address(branch.from)) → \(DebugText.address(branch.to))")
        if let label = branch.label { line.add("  " + label, .debugSymbol) }
        return line
    }

    private static func instruction(_ instruction: DebugInstruction) -> DebugLine {
        var line = DebugLine([])
        line.add(DebugText.address(instruction.linear) + "  ", .listKey)
        if let label = instruction.label { line.add(label + ": ", .debugSymbol) }
        line.add(instruction.text)
        return line
    }

    /// What is known of the past: a bar, then what happened in it, the newest first.
    private static func timeline(_ timeline: Timeline) -> [DebugLine] {
        let first = timeline.first.instruction, last = timeline.last.instruction, here = timeline.position.instruction
        var lines = [DebugLine("instruction \(here) of \(first) to \(last)\(timeline.isInPast ? ", in the past" : "")", .listKey)]
        let columns = 60, length = max(1, last - min(first, last))
        func column(_ at: UInt64) -> Int { Int(Double(at - min(at, first)) / Double(length) * Double(columns - 1)) }
        var bar = [Character](repeating: "─", count: columns)
        for at in timeline.checkpoints where at >= first && at <= last { bar[min(columns - 1, column(at))] = "┬" }
        if here >= first, here <= last { bar[min(columns - 1, column(here))] = "●" }
        lines.append(DebugLine(String(bar), .debugSymbol))
        let memory = "\(Amount.bytes(timeline.bytes)) of \(Amount.bytes(timeline.limit))"
        lines.append(DebugLine("\(Amount.count(timeline.checkpoints.count, "checkpoint", "checkpoints")), \(memory)"))
        let events = timeline.inputs.map { ($0.instruction, $0.text, false) } + timeline.stops.map { ($0.instruction, $0.text, true) }
        for (instruction, text, isStop) in events.sorted(by: { $0.0 > $1.0 }) {
            var line = DebugLine([])
            line.add(DebugText.right(String(instruction), 14) + "  ", .listKey)
            line.add(text, isStop ? .debugBreakpoint : .list)
            lines.append(line)
        }
        return lines
    }

    private static func table(_ table: DebugTable) -> [DebugLine] {
        var lines = [heading("base \(DebugText.address(table.base))  limit \(DebugText.hex(UInt64(table.limit), 4))")]
        var left = 0
        for row in table.rows {
            guard row.raw != 0 || row.high ?? 0 != 0 || table.kind == .tss else {
                left += 1
                continue
            }
            var line = DebugLine([])
            line.add(DebugText.hex(UInt64(row.index), 2), .listKey)
            if table.kind == .gdt || table.kind == .ldt {
                line.add(" " + DebugText.hex(UInt64(row.index) * 8 + (table.kind == .ldt ? 4 : 0), 4), .listKey)
            }
            line.add("  " + row.text)
            lines.append(line)
        }
        if left > 0 { lines.append(DebugLine("\(left) empty entries are left out", .panelBorder)) }
        if !table.note.isEmpty { lines.append(DebugLine(table.note, .logWarn)) }
        return lines
    }

    private static func walk(_ walk: PageWalk) -> [DebugLine] {
        var lines = [heading("linear \(DebugText.address(walk.linear))")]
        for level in walk.levels {
            var line = DebugLine([])
            line.add(DebugText.left(level.name, 6), .listKey)
            line.add(level.address.map { DebugText.address($0) + "  " } ?? "")
            line.add(DebugText.hex(level.entry, 16))
            line.add("  " + entryFlags(level.entry))
            lines.append(line)
        }
        if let physical = walk.physical {
            let rights = [
                walk.writable ? "writable" : "read-only", walk.user ? "user" : "supervisor", walk.executable ? "" : "no-execute",
                walk.global ? "global" : "",
            ]
            lines.append(DebugLine("physical \(DebugText.address(physical))"))
            lines.append(DebugLine("page of \(Amount.bytes(Int(clamping: walk.pageBytes))), \(rights.filter { !$0.isEmpty }.joined(separator: ", "))"))
        }
        if !walk.note.isEmpty { lines.append(DebugLine(walk.note, .logWarn)) }
        return lines
    }

    private static func entryFlags(_ entry: UInt64) -> String {
        let names: [(UInt64, String)] = [(0, "P"), (1, "W"), (2, "U"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS"), (8, "G"), (63, "NX")]
        return names.filter { entry >> $0.0 & 1 != 0 }.map(\.1).joined(separator: " ")
    }

    private static func translations(_ held: [HeldTranslation]) -> [DebugLine] {
        guard !held.isEmpty else { return [DebugLine("No translation is held.")] }
        return [heading("linear            physical          rights")] + held.sorted { $0.linear < $1.linear }.map { entry in
            let rights = (entry.reads ? "r" : "-") + (entry.writes ? "w" : "-") + (entry.executes ? "x" : "-")
            let physical = entry.physical.map { DebugText.hex($0, 16) } ?? "not mapped now   "
            return DebugLine("\(DebugText.hex(entry.linear, 16))  \(physical)  \(rights)\(entry.isUser ? " user" : "")\(entry.isGlobal ? " global" : "")")
        }
    }

    private static func pci(_ function: PCIReport) -> [DebugLine] {
        func word(_ at: Int) -> UInt64 {
            guard at + 1 < function.bytes.count else { return 0xFFFF }
            return UInt64(function.bytes[at]) | UInt64(function.bytes[at + 1]) << 8
        }
        func long(_ at: Int) -> UInt64 { word(at) | word(at + 2) << 16 }
        var head = DebugLine([])
        head.add("00:\(DebugText.hex(UInt64(function.device), 2)).\(function.function)  \(function.name)", .listKey)
        head.add("  \(DebugText.hex(word(0), 4)):\(DebugText.hex(word(2), 4)) class \(DebugText.hex(long(8) >> 8, 6)) command \(DebugText.hex(word(4), 4))")
        head.add(" status \(DebugText.hex(word(6), 4))")
        var lines = [head]
        for bar in 0..<6 {
            let value = long(0x10 + 4 * bar)
            guard value != 0, value != 0xFFFF_FFFF else { continue }
            let text = value & 1 != 0 ? "ports \(DebugText.hex(value & ~3, 4))" : "memory \(DebugText.hex(value & ~0xF, 8))"
            lines.append(DebugLine("   BAR\(bar) \(text)"))
        }
        if function.bytes.count > 0x3D, function.bytes[0x3D] != 0 {
            lines.append(DebugLine("   INT\(String(UnicodeScalar(0x40 + min(function.bytes[0x3D], 4)))) line \(function.bytes[0x3C])"))
        }
        return lines
    }

    private static func chip(_ chip: ChipReport) -> [DebugLine] {
        var head = DebugLine([])
        head.add(chip.name, .listKey)
        for ports in chip.ports { head.add("  \(DebugText.hex(UInt64(ports.lowerBound), 3))-\(DebugText.hex(UInt64(ports.upperBound), 3))") }
        for window in chip.windows { head.add("  \(DebugText.address(window.lowerBound))") }
        return [head] + chip.fields.map { field in
            var line = DebugLine([])
            line.add("   \(field.name) ", .list)
            line.add(field.value, .debugSymbol)
            return line
        }
    }
}
