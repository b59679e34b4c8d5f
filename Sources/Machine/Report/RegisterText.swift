import CPU
import Primitives

/// The registers of one processor as lines, as wide as its mode has them.
public struct RegisterText {
    let state: VCPU
    let flags: UInt32
    let mode: ExecutionMode

    init(_ processor: Processor) {
        (state, flags, mode) = (processor.state, processor.eflags, processor.executionMode)
    }

    static let names64 = ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"]
    static let segmentNames = ["ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"]

    var lines: [String] { general + [modeLine] + segments + tables + control }

    private var is64: Bool { mode == .long }

    private var general: [String] {
        let count = is64 ? 16 : 8
        let words = (0..<count).map { n -> String in
            let name = is64 ? RegisterText.names64[n] : "E" + RegisterText.names64[n].dropFirst()
            let value = is64 ? HexText.hex(state.gpr[n], 16) : HexText.hex(state.gpr[n] & 0xFFFF_FFFF, 8)
            return name.padding(3) + " " + value
        }
        let rows = stride(from: 0, to: count, by: is64 ? 2 : 4).map { words[$0..<($0 + (is64 ? 2 : 4))].joined(separator: "  ") }
        let ip = is64 ? "RIP \(HexText.hex(state.rip, 16))" : "EIP \(HexText.hex(state.rip, 8))"
        return rows + ["\(ip)  EFL \(HexText.hex(UInt64(flags), 8)) \(RegisterText.flagNames(flags))"]
    }

    /// Those that are set, IOPL when it is not 0.
    static func flagNames(_ flags: UInt32) -> String {
        let names: [(UInt32, String)] = [
            (EFlags.cf, "CF"), (EFlags.pf, "PF"), (EFlags.af, "AF"), (EFlags.zf, "ZF"), (EFlags.sf, "SF"), (EFlags.tf, "TF"), (EFlags.if, "IF"),
            (EFlags.df, "DF"), (EFlags.of, "OF"), (EFlags.nt, "NT"), (EFlags.rf, "RF"), (EFlags.vm, "VM"), (EFlags.ac, "AC"), (EFlags.id, "ID"),
        ]
        var words = names.filter { flags & $0.0 != 0 }.map(\.1)
        let iopl = flags >> 12 & 3
        if iopl != 0 { words.append("IOPL=\(iopl)") }
        return words.isEmpty ? "none" : words.joined(separator: " ")
    }

    /// "protected mode, 32-bit code, CPL 0, paging".
    private var modeLine: String {
        var parts = [mode.words, "CPL \(state.cpl)", state.cr0 & CR0.pg != 0 ? "paging" : "no paging"]
        if state.halted { parts.append("halted") }
        return parts.joined(separator: ", ")
    }

    private var segments: [String] {
        (0..<8).map { n in
            let s = state.seg[n]
            let base = HexText.hex(s.base, is64 ? 16 : 8)
            return "\(RegisterText.segmentNames[n].padding(4)) \(HexText.hex(UInt64(s.selector), 4)) base \(base) limit \(HexText.hex(UInt64(s.limit), 8)) "
                + SegmentText.words(s.attributes)
        }
    }

    private var tables: [String] {
        let digits = is64 ? 16 : 8
        return [
            "GDTR \(HexText.hex(state.gdtrBase, digits)) limit \(HexText.hex(UInt64(state.gdtrLimit), 4))",
            "IDTR \(HexText.hex(state.idtrBase, digits)) limit \(HexText.hex(UInt64(state.idtrLimit), 4))",
        ]
    }

    private var control: [String] {
        let digits = is64 ? 16 : 8
        let cr0: [(UInt32, String)] = [
            (CR0.pe, "PE"), (CR0.mp, "MP"), (CR0.em, "EM"), (CR0.ts, "TS"), (CR0.et, "ET"), (CR0.ne, "NE"), (CR0.wp, "WP"), (CR0.am, "AM"), (CR0.nw, "NW"),
            (CR0.cd, "CD"), (CR0.pg, "PG"),
        ]
        let cr4: [(UInt32, String)] = [
            (CR4.vme, "VME"), (CR4.pvi, "PVI"), (CR4.tsd, "TSD"), (CR4.de, "DE"), (CR4.pse, "PSE"), (CR4.pae, "PAE"), (CR4.mce, "MCE"), (CR4.pge, "PGE"),
            (CR4.pce, "PCE"), (CR4.osfxsr, "OSFXSR"), (CR4.osxmmexcpt, "OSXMMEXCPT"), (CR4.osxsave, "OSXSAVE"),
        ]
        func bits(_ value: UInt32, _ names: [(UInt32, String)]) -> String {
            let words = names.filter { value & $0.0 != 0 }.map(\.1)
            return words.isEmpty ? "none" : words.joined(separator: " ")
        }
        return [
            "CR0 \(HexText.hex(UInt64(state.cr0), 8)) \(bits(state.cr0, cr0))",
            "CR2 \(HexText.hex(state.cr2, digits))  CR3 \(HexText.hex(state.cr3, digits))",
            "CR4 \(HexText.hex(UInt64(state.cr4), 8)) \(bits(state.cr4, cr4))",
            "EFER \(HexText.hex(state.efer, 4))  DR6 \(HexText.hex(state.dr[6], 8))  DR7 \(HexText.hex(state.dr[7], 8))",
            "DR0 \(HexText.hex(state.dr[0], digits))  DR1 \(HexText.hex(state.dr[1], digits))",
            "DR2 \(HexText.hex(state.dr[2], digits))  DR3 \(HexText.hex(state.dr[3], digits))",
        ]
    }
}

extension ExecutionMode {
    /// "protected mode, 32-bit code".
    public var words: String {
        switch self {
        case .real: "real mode"
        case .virtual8086: "virtual-8086 mode"
        case .protected16: "protected mode, 16-bit code"
        case .protected32: "protected mode, 32-bit code"
        case .compatibility16: "compatibility mode, 16-bit code"
        case .compatibility32: "compatibility mode, 32-bit code"
        case .long: "64-bit mode"
        }
    }
}

extension StringProtocol {
    /// Blanks to the right.
    func padding(_ width: Int) -> String { String(self) + String(repeating: " ", count: Swift.max(0, width - count)) }
}

/// What the attributes of a segment or a descriptor say. `Segment.attributes` has their layout.
enum SegmentText {
    private static let systemTypes = [
        "reserved", "TSS 16-bit", "LDT", "TSS 16-bit busy", "call gate 16-bit", "task gate", "interrupt gate 16-bit", "trap gate 16-bit", "reserved",
        "TSS 32-bit", "reserved", "TSS 32-bit busy", "call gate 32-bit", "reserved", "interrupt gate 32-bit", "trap gate 32-bit",
    ]

    static func words(_ attributes: UInt16, long: Bool = false) -> String {
        let type = Int(attributes & 0xF), dpl = attributes >> 5 & 3
        guard attributes & 0x80 != 0 else { return "not present" }
        guard attributes & 0x10 != 0 else {
            let name = systemTypes[type]
            return "\(long ? name.replacing("32-bit", with: "64-bit") : name) DPL \(dpl)"
        }
        var parts: [String]
        if type & 8 != 0 {
            parts = ["code", attributes & 0x2000 != 0 ? "64-bit" : attributes & 0x4000 != 0 ? "32-bit" : "16-bit"]
            if type & 4 != 0 { parts.append("conforming") }
            parts.append(type & 2 != 0 ? "readable" : "execute-only")
        } else {
            parts = ["data", type & 2 != 0 ? "writable" : "read-only"]
            if type & 4 != 0 { parts.append("expand-down") }
            if attributes & 0x4000 != 0 { parts.append("big") }
        }
        if type & 1 != 0 { parts.append("accessed") }
        return parts.joined(separator: " ") + " DPL \(dpl)"
    }
}
