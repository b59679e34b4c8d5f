import CPU
import Foundation
import Hardware
import Primitives

/// What a machine is like at one moment, in words: for the Guru Meditation's screen, for reports, and for whoever debugs.
public struct MachineFacts: Codable, Equatable, Sendable {
    public struct Section: Codable, Equatable, Sendable {
        public var title: String
        public var lines: [String]
        public init(_ title: String, _ lines: [String]) { (self.title, self.lines) = (title, lines) }
    }

    /// Why it cannot go on; nil: it can.
    public var sentence: String?
    public var sections: [Section] = []

    public init(sentence: String? = nil, sections: [Section] = []) { (self.sentence, self.sections) = (sentence, sections) }

    public subscript(_ title: String) -> [String]? { sections.first { $0.title == title }?.lines }

    /// Everything, each section under its title.
    public var text: String {
        var text = sentence.map { "Guru Meditation: \($0).\n\n" } ?? ""
        for section in sections where !section.lines.isEmpty {
            text += "--- \(section.title) ---\n" + section.lines.map { $0 + "\n" }.joined() + "\n"
        }
        return text
    }
}

/// Makes the facts, between two slices, on the machine's thread. Nothing of the machine changes.
struct FactsTaker {
    let pc: PC
    /// The machine's own, with its symbols and what it has written down, or one for this moment.
    let debugger: Debugger
    /// Rows of the text screen.
    let screen: [String]
    let sentence: String?

    /// Trace events and entries of a table at most.
    private static let eventLimit = 200, entryLimit = 256
    /// Of what was recorded, for a screen; instructions before and after the present one; frames.
    private static let historyLimit = 256, above = 8, below = 9, frameLimit: UInt64 = 16

    func facts() -> MachineFacts {
        var facts = MachineFacts(sentence: sentence)
        let processors = pc.processors, present = debugger.processor(pc.runningProcessor)
        facts.sections += past
        if let present { facts.sections.append(.init("Code", code(present))) }
        for (number, processor) in processors.enumerated() {
            let name = processors.count == 1 ? "" : " of processor \(number)"
            facts.sections.append(.init("Registers" + name, RegisterText(processor).lines))
        }
        if let present {
            facts.sections.append(.init("Stack", stack(present)))
            if let lines = try? debugger.frames(FactsTaker.frameLimit, of: present) { facts.sections.append(.init("Callers, guessed", lines)) }
            facts.sections += tables(present)
        }
        facts.sections.append(.init("Screen", screen))
        facts.sections.append(.init("Census", CensusReport.text(pc.census).split(separator: "\n").map(String.init)))
        facts.sections.append(.init("Events", FactsTaker.events(pc, count: FactsTaker.eventLimit)))
        facts.sections += devices
        return facts
    }

    /// What was carried out last, as far as somebody had it written down: the newest first.
    private var past: [MachineFacts.Section] {
        let number = pc.runningProcessor, bits = debugger.processor(number)?.executionMode.bits ?? 32
        let instructions = debugger.history(FactsTaker.historyLimit, vcpu: number).reversed()
        let branches = debugger.branches(vcpu: number).reversed()
        let digits = bits == 64 ? 16 : 8
        return [
            .init("Last instructions, the newest first", instructions.map { CodeText.line($0, digits: digits) }),
            .init(
                "Last branches, the newest first",
                branches.map { branch in
                    let way = "\(HexText.hex(branch.from, digits)) → \(HexText.hex(branch.to, digits))"
                    return branch.kind.padding(toLength: 10, withPad: " ", startingAt: 0) + way + (branch.label.map { "  <\($0)>" } ?? "")
                }),
        ]
    }

    /// Around CS:IP, which is marked.
    private func code(_ processor: Processor) -> [String] {
        let digits = processor.executionMode.bits == 64 ? 16 : 8
        return debugger.disassemble(processor, at: processor.linearRIP, before: FactsTaker.above, count: FactsTaker.below).flatMap { line in
            (line.label.map { ["  \($0):"] } ?? []) + [(line.isCurrent ? "> " : "  ") + CodeText.line(line, digits: digits)]
        }
    }

    /// 16 words of the stack's width.
    private func stack(_ processor: Processor) -> [String] {
        let state = processor.state, ss = state.seg[Seg.ss], bits = processor.executionMode.bits
        let pointer = bits == 64 ? state.gpr[4] : ss.isBig ? state.gpr[4] & 0xFFFF_FFFF : state.gpr[4] & 0xFFFF
        let bytes = bits / 8
        let base = bits == 64 ? 0 : ss.base
        return (0..<16).map { n in
            let offset = pointer &+ UInt64(n * bytes)
            let peeked = processor.peek(base &+ offset, count: bytes)
            let place = bits == 64 ? HexText.hex(offset, 16) : "\(HexText.hex(UInt64(ss.selector), 4)):\(HexText.hex(offset, bits / 4))"
            guard peeked.isWhole else { return "\(place)  \(String(repeating: "?", count: bytes * 2))" }
            return "\(place)  \(HexText.hex(peeked.bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }, bytes * 2))"
        }
    }

    /// The last trace events, the newest at the end.
    static func events(_ pc: PC, count: Int) -> [String] {
        guard let ring = pc.tap?.ring else { return [] }
        return ring.events(from: ring.count - min(ring.count, UInt64(count))).map { event in
            "\(String(format: "%12.6f", Double(event.time) / 1e9)) \(event.component.padding(5))\(event.line)"
        }
    }

    private var devices: [MachineFacts.Section] {
        pc.chipReports.map { chip in .init("Device \(chip.name)", chip.fields.map { "\($0.name) \($0.value)" }) }
    }

    /// One entry a line; entries that are zero are left out.
    private func tables(_ processor: Processor) -> [MachineFacts.Section] {
        let kinds: [DebugTableKind] = processor.executionMode == .real ? [.gdt, .ivt] : [.gdt, .ldt, .idt, .tss]
        return kinds.map { kind in
            let table = DebugTable(kind, processor)
            var lines = ["base \(HexText.hex(table.base, 8)) limit \(HexText.hex(UInt64(table.limit), 4))"]
            let rows = table.rows.filter { $0.raw != 0 || $0.high ?? 0 != 0 }
            lines += rows.prefix(FactsTaker.entryLimit).map { "\(HexText.hex(UInt64($0.index), 2)) \($0.text)" }
            if !table.note.isEmpty { lines.append(table.note) }
            return .init(kind.rawValue.uppercased(), lines)
        }
    }
}

extension GuestPC {
    /// What it is like now; nil: there is no such board behind it.
    /// - Parameter debugger: of the machine, when it has one.
    func facts(sentence: String?, screen: [String], debugger: Debugger? = nil) -> MachineFacts {
        guard let board = self as? PC else { return MachineFacts(sentence: sentence, sections: [.init("Screen", screen)]) }
        return FactsTaker(pc: board, debugger: debugger ?? Debugger(pc: board), screen: screen, sentence: sentence).facts()
    }
}

/// An instruction for people.
enum CodeText {
    /// "00101234  8b 04 25 00 10 00 00     mov eax, dword ptr ds:[0x1000]".
    static func line(_ line: DebugInstruction, digits: Int) -> String {
        let bytes = line.bytes.map { HexText.hex(UInt64($0), 2) }.joined(separator: " ")
        let value = line.operand.flatMap(\.value).map { "  [\(HexText.hex($0, 1))]" } ?? ""
        return HexText.hex(line.linear, digits) + "  " + bytes.padding(toLength: max(24, bytes.count + 1), withPad: " ", startingAt: 0) + line.text + value
    }
}

/// Numbers and bytes for people.
enum HexText {
    static func hex(_ value: UInt64, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// 16 bytes a line: address, bytes, characters; `??` where there is no memory.
    static func lines(_ start: UInt64, _ peeked: PeekedBytes, digits: Int = 8) -> [String] {
        stride(from: 0, to: peeked.bytes.count, by: 16).map { row in
            let end = min(row + 16, peeked.bytes.count)
            var bytes = "", characters = ""
            for n in row..<end {
                let there = !peeked.missing.contains { $0.contains(n) }, byte = peeked.bytes[n]
                bytes += (there ? hex(UInt64(byte), 2) : "??") + (n - row == 7 ? "  " : " ")
                characters.append(there && (0x20..<0x7F).contains(byte) ? Character(UnicodeScalar(byte)) : ".")
            }
            let address = start &+ UInt64(row)
            return "\(hex(address, address >> 32 != 0 ? 16 : digits))  \(bytes.padding(toLength: 50, withPad: " ", startingAt: 0))\(characters)"
        }
    }
}
