@testable import CPU

/// The bytes of one instruction, at most 15.
struct Encoding {
    private(set) var bytes = InlineArray<16, UInt8>(repeating: 0)
    private(set) var count = 0

    init() {}
    init(_ list: [UInt8]) { for byte in list { append(byte) } }

    mutating func append(_ byte: UInt8) {
        guard count < 16 else { return }
        bytes[count] = byte
        count += 1
    }

    /// `size` low bytes.
    mutating func append(_ value: UInt32, _ size: Int) {
        for n in 0..<size { append(UInt8(truncatingIfNeeded: value >> UInt32(8 * n))) }
    }

    mutating func append(_ other: Encoding) { for n in 0..<other.count { append(other.bytes[n]) } }

    var array: [UInt8] { (0..<count).map { bytes[$0] } }
}

/// One encodable line of the opcode map.
struct Form {
    let opcode: UInt8
    let twoByte: Bool
    /// The reg field of ModR/M when it belongs to the opcode.
    let digit: Int
    let row: OpcodeRow

    var text: String {
        (twoByte ? "0F" : "") + hex(opcode) + (digit >= 0 ? "/\(digit)" : "") + " " + row.mnemonic.text
    }

    /// Everything that user code may run on any x86-64 host in compatibility mode with the effect that the Pentium Pro gives it.
    /// Left out: what reads the host itself (CPUID, RDTSC, SGDT …; Linux emulates SMSW, STR, SLDT under UMIP), SYSENTER, loads of FS
    /// and GS (they hold the test program's thread pointer), FXSAVE (not a Pentium Pro's),
    /// INT1 (under a hypervisor its #DB may be reported before the instruction).
    static func all() -> [Form] {
        let map = OpcodeMap.shared
        let banned: Set<Mnemonic> = [
            .undefined, .fpu, .cpuid, .rdtsc, .rdpmc, .sgdt, .sidt, .smsw, .str, .sldt, .sysenter, .sysexit, .syscall, .sysret, .rsm,
            .fxsave, .fxrstor, .lfs, .lgs, .wbinvd, .invd, .int1,
        ]
        var forms: [Form] = []
        for slot in 0..<512 {
            let row = map.rows[slot]
            let rows = row.group < 0 ? [(-1, row)] : (0..<8).map { ($0, map.rows[row.group + $0]) }
            for (digit, row) in rows where !banned.contains(row.mnemonic) {
                if row.mnemonic == .popSeg && (row.operands.0 == .fs || row.operands.0 == .gs) { continue }
                forms.append(Form(opcode: UInt8(slot & 0xFF), twoByte: slot >= 256, digit: digit, row: row))
            }
        }
        return forms
    }

    /// Faults whenever ring 3 runs it with IOPL 0.
    var alwaysFaults: Bool {
        switch row.mnemonic {
        case .in, .out, .ins, .outs, .hlt, .cli, .sti, .int, .int3, .ud2, .lgdt, .lidt, .lldt, .ltr, .lmsw, .clts, .invlpg,
            .movToCR, .movFromCR, .movToDR, .movFromDR, .rdmsr, .wrmsr:
            true
        default: false
        }
    }
}

func hex(_ value: some BinaryInteger, _ digits: Int = 2) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// An instruction about to be emitted, with what the rules want to know about it.
struct Item {
    var code = Encoding()
    /// Index of the form; -1: x87, -2: a helper that brings a register into range.
    var form = -2
    var mnemonic = Mnemonic.mov
    var condition: UInt8 = 0
    var bits = 32
    /// Raw count of shifts, iterations of REP (1 without it).
    var count = 1
    /// `count` is CL at the time, or (E)CX under a REP prefix.
    var usesCL = false
    var repeats = false
    var x87Opcode: UInt8 = 0
    var modrm: UInt8 = 0
    /// A near branch, encoded for the place where it was made.
    var isRelative = false
    /// FNSTENV FLDENV FNSAVE FRSTOR.
    var isImage = false
    /// Nothing may follow: it stores what is not compared.
    var isLast = false
    /// Bytes of the data window that are not compared, because of `isLast`.
    var unknown: [Range<Int>] = []
}
