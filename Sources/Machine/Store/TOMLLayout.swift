/// Where keys, values and tables lie in a TOML text that is known to be valid, so that one value can be changed and the rest stays.
///
/// Source: TOML v1.0.0, sections "Key/Value Pair", "Keys", "String", "Array", "Inline Table".
struct TOMLLayout {
    struct Entry {
        var path: [String]
        /// Bytes of the value, without blanks around it.
        var value: Range<Int>
        /// Start of the line that the key is in.
        var lineStart: Int
        /// Stands between braces.
        var isInline: Bool
        /// Written as `a.b = …` under this table's header.
        var table: [String]
    }
    struct Table {
        var path: [String]
        /// Behind the header's line.
        var end: Int
    }
    /// Braces of an inline table.
    struct Braces {
        var path: [String]
        /// Of the closing one.
        var close: Int
        var isEmpty: Bool
    }

    private let bytes: [UInt8]
    private(set) var entries: [Entry] = []
    private(set) var tables: [Table] = []
    private(set) var braces: [Braces] = []
    private var at = 0
    private var lineStart = 0

    /// nil: not understood.
    init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
        var prefix: [String] = []
        while true {
            lineStart = at
            skipBlanks()
            guard let byte = peek else { return }
            switch byte {
            case UInt8(ascii: "#"), 0x0A, 0x0D: skipLine()
            case UInt8(ascii: "["):
                while peek == UInt8(ascii: "[") { at += 1 }
                guard let path = key() else { return nil }
                prefix = path
                skipLine()
                tables.append(Table(path: path, end: at))
            default:
                guard pair(prefix, table: prefix, inline: false, depth: 0) else { return nil }
                skipLine()
            }
        }
    }

    func entry(_ path: [String]) -> Entry? { entries.first { $0.path == path } }

    /// Behind the line in which a byte lies.
    func lineEnd(_ position: Int) -> Int {
        var i = position
        while i < bytes.count, bytes[i] != 0x0A { i += 1 }
        return min(i + 1, bytes.count)
    }

    // MARK: Grammar

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipBlanks() { while peek == 0x20 || peek == 0x09 { at += 1 } }

    private mutating func skipLine() { at = lineEnd(at) }

    /// Blanks, line ends and comments: what may stand between the elements of an array.
    private mutating func skipSpace() {
        while let byte = peek {
            if byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
                at += 1
            } else if byte == UInt8(ascii: "#") {
                skipLine()
            } else {
                return
            }
        }
    }

    private mutating func pair(_ prefix: [String], table: [String], inline: Bool, depth: Int) -> Bool {
        let start = lineStart
        guard let parts = key() else { return false }
        guard peek == UInt8(ascii: "=") else { return false }
        at += 1
        skipBlanks()
        let from = at
        guard value(prefix + parts, depth: depth) else { return false }
        entries.append(Entry(path: prefix + parts, value: from..<at, lineStart: start, isInline: inline, table: table))
        return true
    }

    /// A dotted key and the blanks behind it.
    private mutating func key() -> [String]? {
        var parts: [String] = []
        while true {
            skipBlanks()
            guard let first = peek else { return nil }
            let start = at
            if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
                guard string() else { return nil }
                parts.append(String(decoding: bytes[(start + 1)..<(at - 1)], as: UTF8.self))
            } else {
                while let byte = peek, TOMLLayout.isBare(byte) { at += 1 }
                guard at > start else { return nil }
                parts.append(String(decoding: bytes[start..<at], as: UTF8.self))
            }
            skipBlanks()
            guard peek == UInt8(ascii: ".") else { return parts }
            at += 1
        }
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: byte >= 0x80
        }
    }

    /// - Parameter path: of what is in an inline table; nil inside of arrays.
    private mutating func value(_ path: [String]?, depth: Int) -> Bool {
        guard depth < 64, let first = peek else { return false }
        switch first {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return string()
        case UInt8(ascii: "["):
            at += 1
            while true {
                skipSpace()
                guard let byte = peek else { return false }
                if byte == UInt8(ascii: "]") {
                    at += 1
                    return true
                }
                if byte == UInt8(ascii: ",") {
                    at += 1
                } else {
                    guard value(nil, depth: depth + 1) else { return false }
                }
            }
        case UInt8(ascii: "{"):
            at += 1
            var isEmpty = true
            while true {
                skipSpace()
                guard let byte = peek else { return false }
                if byte == UInt8(ascii: "}") {
                    if let path { braces.append(Braces(path: path, close: at, isEmpty: isEmpty)) }
                    at += 1
                    return true
                }
                if byte == UInt8(ascii: ",") {
                    at += 1
                    continue
                }
                isEmpty = false
                let known = entries.count
                guard pair(path ?? [], table: path ?? [], inline: true, depth: depth + 1) else { return false }
                // What lies in arrays has no path of its own.
                if path == nil { entries.removeSubrange(known...) }
            }
        default:
            let start = at
            while let byte = peek, ![0x0A, 0x0D, UInt8(ascii: "#"), UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}")].contains(byte) {
                at += 1
            }
            // Blanks before a comment are not the value's.
            while at > start, bytes[at - 1] == 0x20 || bytes[at - 1] == 0x09 { at -= 1 }
            return at > start
        }
    }

    private mutating func string() -> Bool {
        guard let quote = peek else { return false }
        let isLong = at + 2 < bytes.count && bytes[at + 1] == quote && bytes[at + 2] == quote
        at += isLong ? 3 : 1
        while let byte = peek {
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                at += 2
                continue
            }
            guard byte == quote else {
                at += 1
                continue
            }
            if !isLong {
                at += 1
                return true
            }
            var count = 0
            while at + count < bytes.count, bytes[at + count] == quote { count += 1 }
            // Up to two quotes may be the text's last characters.
            at += min(count, 5)
            if count >= 3 { return true }
        }
        return false
    }
}
