import Foundation

/// A value of saved state that says what it is: what stands in a state file for a chip, a processor or a list of them.
///
/// One tag byte, then, with every count and unsigned number as LEB128 and everything else little-endian:
///
///     00 nothing   01 false   02 true
///     03 number n ≥ 0         04 number -1-n
///     05 Double, 8 bytes      06 text: count, UTF-8     07 bytes: count, bytes
///     08 list: count, values  09 map: count, pairs of text (count, UTF-8) and value, in order
///     0A 16-bit words: count, words     0B 32-bit words     0C 64-bit words
public enum StateValue: Equatable, Sendable {
    case null
    case flag(Bool)
    case unsigned(UInt64)
    /// Below 0 only.
    case negative(Int64)
    case double(Double)
    case text(String)
    case bytes([UInt8])
    case list([StateValue])
    case map([Pair])
    case words16([UInt16])
    case words32([UInt32])
    case words64([UInt64])

    public struct Pair: Equatable, Sendable {
        public var key: String
        public var value: StateValue
        public init(_ key: String, _ value: StateValue) { (self.key, self.value) = (key, value) }
    }

    /// Values within values at most, and values in all.
    static let depthLimit = 32, countLimit = 400_000

    public static func number(_ value: Int64) -> StateValue { value < 0 ? .negative(value) : .unsigned(UInt64(value)) }

    public subscript(_ key: String) -> StateValue? {
        guard case .map(let pairs) = self else { return nil }
        return pairs.first { $0.key == key }?.value
    }

    public var string: String? { if case .text(let text) = self { text } else { nil } }
    public var unsigned: UInt64? { if case .unsigned(let value) = self { value } else { nil } }
    public var list: [StateValue]? { if case .list(let values) = self { values } else { nil } }
    public var flag: Bool? { if case .flag(let flag) = self { flag } else { nil } }
    public var pairs: [Pair]? { if case .map(let pairs) = self { pairs } else { nil } }
}

// MARK: Writing

extension StateValue {
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes
    }

    private func write(to out: inout [UInt8]) {
        switch self {
        case .null: out.append(0)
        case .flag(let flag): out.append(flag ? 2 : 1)
        case .unsigned(let value):
            out.append(3)
            StateValue.put(value, &out)
        case .negative(let value):
            out.append(4)
            StateValue.put(UInt64(bitPattern: -1 - value), &out)
        case .double(let value):
            out.append(5)
            StateValue.put(words: [value.bitPattern], &out)
        case .text(let text):
            out.append(6)
            StateValue.put(text, &out)
        case .bytes(let bytes):
            out.append(7)
            StateValue.put(UInt64(bytes.count), &out)
            out += bytes
        case .list(let values):
            out.append(8)
            StateValue.put(UInt64(values.count), &out)
            for value in values { value.write(to: &out) }
        case .map(let pairs):
            out.append(9)
            StateValue.put(UInt64(pairs.count), &out)
            for pair in pairs {
                StateValue.put(pair.key, &out)
                pair.value.write(to: &out)
            }
        case .words16(let words):
            out.append(10)
            StateValue.put(UInt64(words.count), &out)
            StateValue.put(words: words, &out)
        case .words32(let words):
            out.append(11)
            StateValue.put(UInt64(words.count), &out)
            StateValue.put(words: words, &out)
        case .words64(let words):
            out.append(12)
            StateValue.put(UInt64(words.count), &out)
            StateValue.put(words: words, &out)
        }
    }

    private static func put(_ number: UInt64, _ out: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        out.append(UInt8(rest))
    }

    private static func put(_ text: String, _ out: inout [UInt8]) {
        put(UInt64(text.utf8.count), &out)
        out += text.utf8
    }

    private static func put<W: FixedWidthInteger>(words: [W], _ out: inout [UInt8]) {
        for word in words { withUnsafeBytes(of: word.littleEndian) { out += $0 } }
    }
}

// MARK: Reading

extension StateValue {
    /// Why bytes are no value, and where.
    struct Malformed: Error, Equatable { var at: Int }

    /// - Throws: at the first byte that cannot be; lengths, counts and depth are looked at before anything is allocated.
    init(parsing bytes: [UInt8]) throws(Malformed) {
        var reader = Reader(bytes: bytes)
        self = try reader.value(depth: 0)
        guard reader.at == bytes.count else { throw Malformed(at: reader.at) }
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0
        var values = 0

        mutating func value(depth: Int) throws(Malformed) -> StateValue {
            values += 1
            guard depth < StateValue.depthLimit, values <= StateValue.countLimit, at < bytes.count else { throw Malformed(at: at) }
            let tag = bytes[at]
            at += 1
            switch tag {
            case 0: return .null
            case 1: return .flag(false)
            case 2: return .flag(true)
            case 3: return .unsigned(try number())
            case 4:
                let value = try number()
                guard value <= UInt64(Int64.max) else { throw Malformed(at: at) }
                return .negative(-1 - Int64(value))
            case 5: return .double(Double(bitPattern: try words(1, UInt64.self)[0]))
            case 6: return .text(try text())
            case 7:
                let count = try count(of: 1)
                defer { at += count }
                return .bytes(Array(bytes[at..<at + count]))
            case 8:
                let count = try count(of: 1)
                guard count <= StateValue.countLimit - values else { throw Malformed(at: at) }
                var list: [StateValue] = []
                for _ in 0..<count { list.append(try value(depth: depth + 1)) }
                return .list(list)
            case 9:
                let count = try count(of: 2)
                guard count <= StateValue.countLimit - values else { throw Malformed(at: at) }
                var pairs: [Pair] = []
                for _ in 0..<count { pairs.append(Pair(try text(), try value(depth: depth + 1))) }
                return .map(pairs)
            case 10: return .words16(try words(try count(of: 2), UInt16.self))
            case 11: return .words32(try words(try count(of: 4), UInt32.self))
            case 12: return .words64(try words(try count(of: 8), UInt64.self))
            default: throw Malformed(at: at - 1)
            }
        }

        private mutating func number() throws(Malformed) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 7) {
                guard at < bytes.count else { throw Malformed(at: at) }
                let byte = bytes[at]
                at += 1
                guard shift < 63 || byte <= 1 else { throw Malformed(at: at) }
                value |= UInt64(byte & 0x7F) << shift
                if byte & 0x80 == 0 { return value }
            }
            throw Malformed(at: at)
        }

        /// A count of things that take `size` bytes each at least, all of which must be there.
        private mutating func count(of size: Int) throws(Malformed) -> Int {
            let count = try number()
            guard count <= UInt64((bytes.count - at) / size) else { throw Malformed(at: at) }
            return Int(count)
        }

        private mutating func text() throws(Malformed) -> String {
            let count = try count(of: 1)
            guard let text = String(validating: bytes[at..<at + count], as: UTF8.self) else { throw Malformed(at: at) }
            at += count
            return text
        }

        private mutating func words<W: FixedWidthInteger>(_ count: Int, _: W.Type) throws(Malformed) -> [W] {
            let size = W.bitWidth / 8
            guard count <= (bytes.count - at) / size else { throw Malformed(at: at) }
            let start = at
            at += count * size
            return bytes.withUnsafeBytes { raw in
                (0..<count).map { W(littleEndian: raw.loadUnaligned(fromByteOffset: start + $0 * size, as: W.self)) }
            }
        }
    }
}
