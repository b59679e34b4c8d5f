import CPU
import Primitives

extension DebugTable {
    private static let rowLimit = 512

    init(_ kind: DebugTableKind, _ processor: Processor) {
        let state = processor.state
        self.kind = kind
        rows = []
        note = ""
        switch kind {
        case .gdt: (base, limit) = (state.gdtrBase, state.gdtrLimit)
        case .ldt: (base, limit) = (state.seg[Seg.ldtr].base, state.seg[Seg.ldtr].isPresent ? state.seg[Seg.ldtr].limit : 0)
        case .idt: (base, limit) = (state.idtrBase, state.idtrLimit)
        case .ivt: (base, limit) = (processor.executionMode == .real ? state.idtrBase : 0, 0x3FF)
        case .tss: (base, limit) = (state.seg[Seg.tr].base, state.seg[Seg.tr].limit)
        }
        let long = state.efer & 0x400 != 0
        switch kind {
        case .ivt: readVectors(processor)
        case .tss: readTask(processor, long: long)
        case .gdt, .ldt, .idt:
            if kind == .idt, processor.executionMode == .real {
                limit = min(limit, 0x3FF)
                readVectors(processor)
            } else if kind == .ldt, limit == 0 {
                note = "there is no LDT"
            } else {
                readDescriptors(processor, long: long)
            }
        }
    }

    private static func word(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
        guard at >= 0, at + count <= bytes.count else { return 0 }
        return bytes[at..<(at + count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func readVectors(_ processor: Processor) {
        let count = min(256, (Int(limit) + 1) / 4)
        let found = processor.peek(base, count: 4 * count)
        for n in 0..<count {
            let raw = DebugTable.word(found.bytes, 4 * n, 4)
            rows.append(Row(index: n, raw: raw, text: "\(UInt16(truncatingIfNeeded: raw >> 16).hex):\(UInt16(truncatingIfNeeded: raw).hex)"))
        }
        if !found.isWhole { note = "parts of it are no memory" }
    }

    private mutating func readDescriptors(_ processor: Processor, long: Bool) {
        let wideEntries = kind == .idt && long
        let step = wideEntries ? 16 : 8
        let count = (Int(limit) + 1) / step
        let found = processor.peek(base, count: min(count, DebugTable.rowLimit) * step)
        var n = 0
        while n < min(count, DebugTable.rowLimit) {
            let raw = DebugTable.word(found.bytes, n * step, 8)
            var high: UInt64?
            let isSystem = raw >> 44 & 1 == 0
            if wideEntries { high = DebugTable.word(found.bytes, n * step + 8, 8) }
            if kind != .idt, long, isSystem, [2, 9, 11, 12].contains(raw >> 40 & 15) { high = DebugTable.word(found.bytes, n * 8 + 8, 8) }
            if raw != 0 || kind == .idt || n == 0 { rows.append(Row(index: n, raw: raw, high: high, text: DescriptorText.text(raw, high))) }
            n += kind != .idt && high != nil ? 2 : 1
        }
        if count > DebugTable.rowLimit { note = "\(count - DebugTable.rowLimit) more entries" }
        if !found.isWhole { note = "parts of it are no memory" }
    }

    private mutating func readTask(_ processor: Processor, long: Bool) {
        let type = processor.state.seg[Seg.tr].type
        guard processor.state.seg[Seg.tr].isPresent, processor.executionMode != .real else { return note = "there is no task" }
        let narrow: [(String, Int, Int)] = [
            ("link", 0, 2), ("SP0", 2, 2), ("SS0", 4, 2), ("SP1", 6, 2), ("SS1", 8, 2), ("SP2", 10, 2), ("SS2", 12, 2), ("IP", 14, 2), ("FLAGS", 16, 2),
            ("AX", 18, 2), ("CX", 20, 2), ("DX", 22, 2), ("BX", 24, 2), ("SP", 26, 2), ("BP", 28, 2), ("SI", 30, 2), ("DI", 32, 2), ("ES", 34, 2),
            ("CS", 36, 2), ("SS", 38, 2), ("DS", 40, 2), ("LDT", 42, 2),
        ]
        let wide: [(String, Int, Int)] = [
            ("link", 0, 2), ("ESP0", 4, 4), ("SS0", 8, 2), ("ESP1", 12, 4), ("SS1", 16, 2), ("ESP2", 20, 4), ("SS2", 24, 2), ("CR3", 28, 4),
            ("EIP", 32, 4), ("EFLAGS", 36, 4), ("EAX", 40, 4), ("ECX", 44, 4), ("EDX", 48, 4), ("EBX", 52, 4), ("ESP", 56, 4), ("EBP", 60, 4),
            ("ESI", 64, 4), ("EDI", 68, 4), ("ES", 72, 2), ("CS", 76, 2), ("SS", 80, 2), ("DS", 84, 2), ("FS", 88, 2), ("GS", 92, 2), ("LDT", 96, 2),
            ("T", 100, 2), ("I/O map", 102, 2),
        ]
        let pointers: [(String, Int, Int)] =
            [("RSP0", 4, 8), ("RSP1", 12, 8), ("RSP2", 20, 8)] + (1...7).map { ("IST\($0)", 28 + 8 * $0, 8) } + [("I/O map", 102, 2)]
        let fields = long ? pointers : type & 8 != 0 ? wide : narrow
        let found = processor.peek(base, count: 104)
        for (n, field) in fields.enumerated() {
            let value = DebugTable.word(found.bytes, field.1, field.2)
            let digits = field.2 == 8 ? value.hex : field.2 == 4 ? UInt32(truncatingIfNeeded: value).hex : UInt16(truncatingIfNeeded: value).hex
            rows.append(Row(index: n, raw: value, text: "\(field.0) \(digits)"))
        }
        if !found.isWhole { note = "parts of it are no memory" }
    }
}

/// A descriptor in words.
///
/// Source: SDM Vol. 3A, "Segment Descriptors", "System Descriptor Types", "Gate Descriptors".
enum DescriptorText {
    static func text(_ raw: UInt64, _ high: UInt64?) -> String {
        guard raw != 0 else { return "null" }
        let type = Int(raw >> 40 & 15), isSystem = raw >> 44 & 1 == 0
        let present = raw >> 47 & 1 != 0 ? "" : " not present"
        let level = " DPL \(raw >> 45 & 3)"
        if !isSystem || [1, 2, 3, 9, 11].contains(type) {
            var base = raw >> 16 & 0xFF_FFFF | raw >> 32 & 0xFF00_0000
            if let high { base |= (high & 0xFFFF_FFFF) << 32 }
            let short = raw & 0xFFFF | raw >> 32 & 0xF_0000
            let limit = raw >> 55 & 1 != 0 ? short << 12 | 0xFFF : short
            let place = "base \(high == nil ? UInt32(truncatingIfNeeded: base).hex : base.hex) limit \(UInt32(truncatingIfNeeded: limit).hex)"
            return "\(isSystem ? system[type] : segment(raw, type)) \(place)\(level)\(present)"
        }
        var offset = raw & 0xFFFF | raw >> 32 & 0xFFFF_0000
        if let high { offset |= (high & 0xFFFF_FFFF) << 32 }
        let selector = UInt16(truncatingIfNeeded: raw >> 16)
        let target = type == 5 ? selector.hex : "\(selector.hex):\(high == nil ? UInt32(truncatingIfNeeded: offset).hex : offset.hex)"
        let stack = high != nil && raw >> 32 & 7 != 0 ? " IST\(raw >> 32 & 7)" : ""
        return "\(system[type]) \(target)\(level)\(stack)\(present)"
    }

    private static let system = [
        "reserved", "16-bit TSS", "LDT", "16-bit TSS (busy)", "16-bit call gate", "task gate", "16-bit interrupt gate", "16-bit trap gate", "reserved",
        "TSS", "reserved", "TSS (busy)", "call gate", "reserved", "interrupt gate", "trap gate",
    ]

    private static func segment(_ raw: UInt64, _ type: Int) -> String {
        let big = raw >> 54 & 1 != 0, long = raw >> 53 & 1 != 0
        let accessed = type & 1 != 0 ? ", accessed" : ""
        if type & 8 != 0 {
            return "code \(long ? 64 : big ? 32 : 16)-bit\(type & 2 != 0 ? ", readable" : "")\(type & 4 != 0 ? ", conforming" : "")\(accessed)"
        }
        return "data \(big ? 32 : 16)-bit\(type & 2 != 0 ? ", writable" : "")\(type & 4 != 0 ? ", expand-down" : "")\(accessed)"
    }
}
