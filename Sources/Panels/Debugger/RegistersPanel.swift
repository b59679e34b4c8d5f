import CPU
import Machine
import Terminal

/// Registers and what they mean; what has changed since the last stop is marked.
struct RegistersPanel {
    let now: DebugRegisters
    /// At the stop before.
    let before: DebugRegisters?
    /// The register that the keyboard is at, as `set` names it.
    var cursor: String?

    private var is64: Bool { now.mode == .long }
    private var digits: Int { is64 ? 16 : 8 }

    private func role(_ changed: Bool) -> Role { changed ? .debugChanged : .list }

    /// One word of a register with its name.
    private func word(_ name: String, _ value: UInt64, _ old: UInt64?, _ digits: Int, register: String? = nil, into line: inout DebugLine) {
        line.add(name + " ", .listKey)
        add(DebugText.hex(value, digits), old.map { $0 != value } ?? false, register, to: &line)
    }

    private func add(_ text: String, _ changed: Bool, _ register: String?, to line: inout DebugLine) {
        line.add(text, register != nil && register == cursor ? .listSelected : role(changed), register: register)
    }

    /// General registers, segments with their hidden parts, tables, control and debug registers.
    func lines(width: Int) -> [DebugLine] { [modeLine] + general(width) + [flags] + segments(width) + tables(width) + control(width) }

    private var modeLine: DebugLine {
        let words = [
            now.mode.words, "CPL \(now.cpl)", now.isPaging ? "paging" : "no paging", now.a20 ? "A20 on" : "A20 off", now.isHalted ? "halted" : "",
        ].filter { !$0.isEmpty }
        let old = before.map { ($0.mode, $0.cpl, $0.isPaging, $0.a20) }
        let changed = old.map { $0 != (now.mode, now.cpl, now.isPaging, now.a20) } ?? false
        return DebugLine(words.joined(separator: ", "), role(changed))
    }

    private func general(_ width: Int) -> [DebugLine] {
        let count = is64 ? 16 : 8, cell = digits + 6
        let columns = max(1, min(4, (width + 2) / cell))
        var lines: [DebugLine] = []
        for n in 0..<min(count, now.general.count) {
            if n % columns == 0 { lines.append(DebugLine([])) } else { lines[lines.count - 1].add("  ") }
            let name = DebugRegisters.names64[n]
            let mask: UInt64 = is64 ? .max : 0xFFFF_FFFF
            let shown = is64 ? name : "E" + name.dropFirst()
            word(
                DebugText.left(shown, 3), now.general[n] & mask, before.map { $0.general[n] & mask }, digits, register: shown,
                into: &lines[lines.count - 1])
        }
        var last = DebugLine([])
        let pointer = is64 ? "RIP" : "EIP"
        word(pointer, now.rip, before?.rip, digits, register: pointer, into: &last)
        return lines + [last]
    }

    private var flags: DebugLine {
        var line = DebugLine([])
        word("FLG", UInt64(now.eflags), before.map { UInt64($0.eflags) }, 8, register: "EFLAGS", into: &line)
        // Those that are set in capitals; marked when they have changed.
        for (bit, name) in DebugRegisters.flagNames.enumerated() where !name.isEmpty && bit != 13 {
            let isSet = now.eflags >> UInt32(bit) & 1 != 0
            let wasSet = before.map { $0.eflags >> UInt32(bit) & 1 != 0 } ?? isSet
            guard isSet || isSet != wasSet || bit < 12 else { continue }
            line.add(" " + (isSet ? name : name.lowercased()), role(isSet != wasSet))
        }
        line.add(" IOPL\(now.eflags >> 12 & 3)", role(before.map { $0.eflags >> 12 & 3 != now.eflags >> 12 & 3 } ?? false))
        return line
    }

    private func segments(_ width: Int) -> [DebugLine] {
        now.segments.enumerated().map { n, segment in
            let old = before.flatMap { $0.segments.indices.contains(n) ? $0.segments[n] : nil }
            var line = DebugLine([])
            line.add(DebugText.left(segment.name, 5), .listKey)
            add(
                DebugText.hex(UInt64(segment.selector), 4), old.map { $0.selector != segment.selector } ?? false,
                RegistersPanel.settable.contains(segment.name.uppercased()) ? segment.name.uppercased() : nil, to: &line)
            let hidden = old.map { $0.base != segment.base || $0.limit != segment.limit || $0.attributes != segment.attributes } ?? false
            line.add(" \(DebugText.hex(segment.base, digits)) \(DebugText.hex(UInt64(segment.limit), 8))", role(hidden))
            line.add(" " + SegmentWords.text(segment.attributes), role(hidden))
            return line
        }
    }

    private func tables(_ width: Int) -> [DebugLine] {
        [(now.gdtr, before?.gdtr, "GDTR"), (now.idtr, before?.idtr, "IDTR")].map { table, old, name in
            var line = DebugLine([])
            line.add(DebugText.left(name, 5), .listKey)
            let changed = old.map { $0.base != table.base || $0.limit != table.limit } ?? false
            line.add("     \(DebugText.hex(table.base, digits)) \(DebugText.hex(UInt64(table.limit), 8))", role(changed))
            return line
        }
    }

    private func control(_ width: Int) -> [DebugLine] {
        RegistersPanel.named(now.control + now.debug, before.map { $0.control + $0.debug }, width, digits, cursor: cursor)
    }

    /// What `set` takes of the segments, control and debug registers.
    static let settable: Set<String> = [
        "ES", "CS", "SS", "DS", "FS", "GS", "CR0", "CR2", "CR3", "CR4", "CR8", "EFER", "DR0", "DR1", "DR2", "DR3", "DR6", "DR7",
    ]

    /// Named registers in as many columns as the width has.
    static func named(
        _ values: [DebugRegisters.Named], _ before: [DebugRegisters.Named]?, _ width: Int, _ digits: Int, cursor: String? = nil
    ) -> [DebugLine] {
        let name = values.map(\.name.count).max() ?? 0
        let columns = max(1, (width + 2) / (name + digits + 3))
        var lines: [DebugLine] = []
        for (n, value) in values.enumerated() {
            if n % columns == 0 { lines.append(DebugLine([])) } else { lines[lines.count - 1].add("  ") }
            let old = before?.first { $0.name == value.name }?.value
            lines[lines.count - 1].add(DebugText.left(value.name, name) + " ", .listKey)
            let register = settable.contains(value.name.uppercased()) ? value.name.uppercased() : nil
            let role: Role = register != nil && register == cursor ? .listSelected : old.map { $0 != value.value } ?? false ? .debugChanged : .list
            lines[lines.count - 1].add(DebugText.hex(value.value, digits), role, register: register)
        }
        return lines
    }

    func msrs(width: Int) -> [DebugLine] { RegistersPanel.named(now.msrs, before?.msrs, width, 16) }

    /// The x87 as a stack, with MMX on its significands.
    func fpu(width: Int) -> [DebugLine] {
        let fpu = now.fpu, old = before?.fpu
        var head = DebugLine([])
        word("CW", UInt64(fpu.control), old.map { UInt64($0.control) }, 4, into: &head)
        head.add("  ")
        word("SW", UInt64(fpu.status), old.map { UInt64($0.status) }, 4, into: &head)
        head.add("  ")
        word("TW", UInt64(fpu.tag), old.map { UInt64($0.tag) }, 4, into: &head)
        head.add("  TOP \(fpu.status >> 11 & 7)")
        var place = DebugLine([])
        place.add("IP ", .listKey)
        place.add("\(DebugText.hex(UInt64(fpu.instructionSelector), 4)):\(DebugText.address(fpu.instructionPointer))")
        place.add("  DP ", .listKey)
        place.add("\(DebugText.hex(UInt64(fpu.dataSelector), 4)):\(DebugText.address(fpu.dataPointer))")
        place.add("  OP ", .listKey)
        place.add(DebugText.hex(UInt64(fpu.opcode), 3))
        var lines = [head, place]
        for (n, register) in fpu.registers.enumerated() {
            let was = old.flatMap { $0.registers.indices.contains(n) ? $0.registers[n] : nil }
            let changed = was.map { $0.significand != register.significand || $0.signExponent != register.signExponent || $0.isEmpty != register.isEmpty }
            var line = DebugLine([])
            line.add("ST\(n) ", .listKey)
            let raw = "\(DebugText.hex(UInt64(register.signExponent), 4)) \(DebugText.hex(register.significand, 16))"
            line.add(raw + (register.isEmpty ? "  empty" : "  \(register.value)"), role(changed ?? false))
            lines.append(line)
        }
        for (n, value) in now.mmx.enumerated() {
            var line = DebugLine([])
            word("MM\(n)", value, before.flatMap { $0.mmx.indices.contains(n) ? $0.mmx[n] : nil }, 16, into: &line)
            lines.append(line)
        }
        return lines
    }

    func vectors(width: Int) -> [DebugLine] {
        var head = DebugLine([])
        word("MXCSR", UInt64(now.mxcsr), before.map { UInt64($0.mxcsr) }, 8, into: &head)
        return [head] + now.vectors.enumerated().map { n, words in
            let old = before.flatMap { $0.vectors.indices.contains(n) ? $0.vectors[n] : nil }
            var line = DebugLine([])
            line.add(DebugText.left("YMM\(n)", 6), .listKey)
            for (part, value) in words.enumerated().reversed() {
                line.add(DebugText.hex(value, 16), role(old.map { $0.indices.contains(part) && $0[part] != value } ?? false))
                line.add(part == 0 ? "" : part == 2 ? "  " : " ")
            }
            return line
        }
    }
}

/// What the attributes of a segment say, short.
enum SegmentWords {
    private static let systemTypes = [
        "-", "TSS16", "LDT", "TSS16 busy", "call16", "task", "int16", "trap16", "-", "TSS", "-", "TSS busy", "call", "-", "int", "trap",
    ]

    static func text(_ attributes: UInt16) -> String {
        let type = Int(attributes & 0xF)
        guard attributes & 0x80 != 0 else { return "absent" }
        let ring = " \(attributes >> 5 & 3)"
        guard attributes & 0x10 != 0 else { return systemTypes[type] + ring }
        if type & 8 != 0 {
            return "code" + (attributes & 0x2000 != 0 ? "64" : attributes & 0x4000 != 0 ? "32" : "16") + (type & 4 != 0 ? "c" : "")
                + (type & 2 != 0 ? "r" : "") + ring
        }
        return "data" + (type & 4 != 0 ? "d" : "") + (type & 2 != 0 ? "w" : "") + (attributes & 0x4000 != 0 ? " big" : "") + ring
    }
}
