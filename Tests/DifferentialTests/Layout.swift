/// Where the code and the data of a test lie: the same linear addresses on the host and in the guest.
///
/// Data and code have two windows each, one above 512 MiB and one below 64 KiB with the same low 16 bits. So 16-bit addresses,
/// 16-bit jumps and a 16-bit code segment reach the same bytes.
enum Layout {
    static let high: UInt32 = 0x2000_0000
    /// Offset of the data within a window, and its length: operands, strings and the stack.
    static let data: UInt32 = 0x2000
    static let dataBytes = 0x4000
    static let dataEnd = data + UInt32(dataBytes)
    static let code: UInt32 = 0x8000
    static let codeBytes = 0x1000
    /// Code is written in pieces of this length; a branch opens a new piece.
    static let pieceBytes = 128
    static let pieces = codeBytes / pieceBytes

    /// The way between 64-bit and 32-bit code, below 4 GiB. The registers lie above 4 GiB, where test code cannot reach.
    static let thunk: UInt = 0xF5C3_0000
    static let registers: UInt = thunk + 0x2000_0000

    /// Selectors as Linux has them: 32-bit code, data, 64-bit code; and two entries of the LDT: 16-bit code and data based at `high`.
    static let code32: UInt16 = 0x23, flat: UInt16 = 0x2B, code64: UInt16 = 0x33
    static let code16: UInt16 = 0x07, data16: UInt16 = 0x0F
    /// IF is set, IOPL is 0, bit 1 reads as 1.
    static let fixedFlags: UInt32 = 0x202
}

/// splitmix64: the only randomness here.
struct Chance {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: next() >> 16) }
    mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
    /// True in `percent` of 100 cases.
    mutating func percent(_ percent: Int) -> Bool { below(100) < percent }

    /// A number with a liking for edges.
    mutating func value() -> UInt32 {
        switch below(10) {
        case 0: 0
        case 1: UInt32(truncatingIfNeeded: below(4))
        case 2: UInt32(bitPattern: Int32(-1 - below(3)))
        case 3: UInt32(1) << UInt32(below(32))
        case 4: (UInt32(1) << UInt32(below(32))) &- 1
        case 5: [0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000][below(10)]
        case 6: UInt32(below(256))
        default: u32()
        }
    }
}

/// What is set before a test and compared after it.
struct MachineState: Equatable {
    /// EAX ECX EDX EBX ESP EBP ESI EDI.
    var gpr = InlineArray<8, UInt32>(repeating: 0)
    var eip: UInt32 = 0
    var eflags: UInt32 = Layout.fixedFlags
    /// ES CS SS DS.
    var segments = InlineArray<4, UInt16>(repeating: 0)
    /// FNSAVE image, 32-bit protected-mode layout: FCW FSW FTW FIP FCS+FOP FDP FDS, then ST(0)–ST(7).
    var x87 = InlineArray<27, UInt32>(repeating: 0)
    /// Vector of the exception that ended the test; nil: it reached its end.
    var vector: Int?
    var errorCode: UInt32 = 0
    var cr2: UInt32 = 0

    static func == (a: MachineState, b: MachineState) -> Bool {
        for n in 0..<8 where a.gpr[n] != b.gpr[n] { return false }
        for n in 0..<4 where a.segments[n] != b.segments[n] { return false }
        for n in 0..<27 where a.x87[n] != b.x87[n] { return false }
        return a.eip == b.eip && a.eflags == b.eflags && a.vector == b.vector && a.errorCode == b.errorCode && a.cr2 == b.cr2
    }

    /// ST(i) as significand and sign-exponent.
    func st(_ i: Int) -> (UInt64, UInt16) {
        var bytes = [UInt8](repeating: 0, count: 10)
        for n in 0..<10 {
            let at = 28 + 10 * i + n
            bytes[n] = UInt8(truncatingIfNeeded: x87[at / 4] >> UInt32(at % 4 * 8))
        }
        var significand: UInt64 = 0
        for n in 0..<8 { significand |= UInt64(bytes[n]) << UInt64(8 * n) }
        return (significand, UInt16(bytes[8]) | UInt16(bytes[9]) << 8)
    }

    mutating func setST(_ i: Int, _ significand: UInt64, _ signExponent: UInt16) {
        for n in 0..<10 {
            let byte = n < 8 ? UInt8(truncatingIfNeeded: significand >> UInt64(8 * n)) : UInt8(truncatingIfNeeded: signExponent >> UInt16(8 * (n - 8)))
            let at = 28 + 10 * i + n
            let shift = UInt32(at % 4 * 8)
            x87[at / 4] = x87[at / 4] & ~(0xFF << shift) | UInt32(byte) << shift
        }
    }
}
