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
    /// Rows of the text screen.
    let screen: [String]
    let sentence: String?

    /// Trace events and entries of a table at most.
    private static let eventLimit = 200, entryLimit = 256

    func facts() -> MachineFacts {
        var facts = MachineFacts(sentence: sentence)
        let processors = pc.engines.compactMap { $0 as? Processor }
        for (number, processor) in processors.enumerated() {
            let name = processors.count == 1 ? "" : " of processor \(number)"
            facts.sections.append(.init("Registers" + name, RegisterText(processor).lines))
        }
        if let processor = pc.processor {
            facts.sections.append(.init("Code", code(processor)))
            facts.sections.append(.init("Stack", stack(processor)))
            facts.sections += tables(processor)
        }
        facts.sections.append(.init("Screen", screen))
        facts.sections.append(.init("Census", CensusReport.text(pc.census).split(separator: "\n").map(String.init)))
        facts.sections.append(.init("Events", FactsTaker.events(pc, count: FactsTaker.eventLimit)))
        facts.sections += devices
        return facts
    }

    /// 32 bytes from CS:IP on.
    private func code(_ processor: Processor) -> [String] {
        HexText.lines(processor.linearRIP, processor.peek(processor.linearRIP, count: 32))
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
    func facts(sentence: String?, screen: [String]) -> MachineFacts {
        guard let board = self as? PC else { return MachineFacts(sentence: sentence, sections: [.init("Screen", screen)]) }
        return FactsTaker(pc: board, screen: screen, sentence: sentence).facts()
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
