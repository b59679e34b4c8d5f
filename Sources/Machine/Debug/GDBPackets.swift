import Primitives

/// What a gdb sends, out of bytes that come in pieces.
///
/// Source: *Debugging with GDB*, appendix "GDB Remote Serial Protocol", "Overview".
struct GDBPacketReader {
    enum Event: Equatable {
        /// Contents with escapes undone.
        case packet([UInt8])
        /// The checksum is wrong, or the packet longer than we said that we take.
        case damaged
        case acknowledged(Bool)
        /// Ctrl-C.
        case interrupt
    }

    private enum Phase {
        case idle, body
        case escape
        case checksum(first: UInt8?)
    }
    private var phase = Phase.idle
    private var body: [UInt8] = []
    private var sum: UInt8 = 0
    private var isOverlong = false
    /// Bytes of a packet's contents.
    let limit: Int

    init(limit: Int) { self.limit = limit }

    mutating func read(_ bytes: some Sequence<UInt8>) -> [Event] { bytes.compactMap { next($0) } }

    private mutating func next(_ byte: UInt8) -> Event? {
        switch phase {
        case .idle:
            switch byte {
            case UInt8(ascii: "$"): (phase, body, sum, isOverlong) = (.body, [], 0, false)
            case UInt8(ascii: "+"): return .acknowledged(true)
            case UInt8(ascii: "-"): return .acknowledged(false)
            case 0x03: return .interrupt
            default: break
            }
        case .body:
            switch byte {
            case UInt8(ascii: "#"): phase = .checksum(first: nil)
            case UInt8(ascii: "$"): (body, sum, isOverlong) = ([], 0, false)  // the one before was cut off
            case UInt8(ascii: "}"):
                sum &+= byte
                phase = .escape
            default:
                sum &+= byte
                append(byte)
            }
        case .escape:
            sum &+= byte
            append(byte ^ 0x20)
            phase = .body
        case .checksum(nil): phase = .checksum(first: byte)
        case .checksum(let first?):
            phase = .idle
            guard let high = GDBHex.digit(first), let low = GDBHex.digit(byte), high << 4 | low == sum, !isOverlong else { return .damaged }
            defer { body = [] }
            return .packet(body)
        }
        return nil
    }

    private mutating func append(_ byte: UInt8) { if body.count < limit { body.append(byte) } else { isOverlong = true } }

    /// A packet around contents; escapes what must not stand in one.
    static func frame(_ contents: [UInt8]) -> [UInt8] {
        var result: [UInt8] = [UInt8(ascii: "$")]
        result.reserveCapacity(contents.count + 8)
        var sum: UInt8 = 0
        func put(_ byte: UInt8) {
            sum &+= byte
            result.append(byte)
        }
        for byte in contents {
            switch byte {
            case UInt8(ascii: "$"), UInt8(ascii: "#"), UInt8(ascii: "}"), UInt8(ascii: "*"):
                put(UInt8(ascii: "}"))
                put(byte ^ 0x20)
            default: put(byte)
            }
        }
        return result + [UInt8(ascii: "#"), GDBHex.character(sum >> 4), GDBHex.character(sum & 15)]
    }
}

/// Hexadecimal digits as gdb writes them.
enum GDBHex {
    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    static func character(_ nibble: UInt8) -> UInt8 { nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10 }

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.flatMap { [character($0 >> 4), character($0 & 15)] }, as: UTF8.self)
    }

    /// nil: a digit is none, or one is left over.
    static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digit(digits[index]), let low = digit(digits[index + 1]) else { return nil }
            result.append(high << 4 | low)
        }
        return result
    }

    /// A number without `0x`; nil: it is none, or has more than 64 bits.
    static func number(_ text: Substring) -> UInt64? {
        guard !text.isEmpty, text.utf8.count <= 16, text.utf8.allSatisfy({ digit($0) != nil }) else { return nil }
        return UInt64(text, radix: 16)
    }
}

/// `ADDRESS,LENGTH` and the like.
struct GDBFields {
    let parts: [Substring]
    init(_ text: Substring, separator: Character = ",") { parts = text.split(separator: separator, omittingEmptySubsequences: false) }
    subscript(_ n: Int) -> UInt64? { parts.indices.contains(n) ? GDBHex.number(parts[n]) : nil }
}
