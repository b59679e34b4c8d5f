/// Where keys, values and tables lie in a TOML text, so that one value can be changed and the rest stays. It finds its way in valid text; in
/// other text it stops at the first thing that it does not understand.
///
/// Source: TOML v1.0.0, sections "Key/Value Pair", "Keys", "String", "Array", "Inline Table".
public struct TOMLLayout {
    public struct Entry {
        public var path: [String]
        /// Offset of the key.
        public var key: Int
        /// Bytes of the value, without blanks around it.
        public var value: Range<Int>
        /// Start of the line that the key is in.
        public var lineStart: Int
        /// Stands between braces.
        public var isInline: Bool
        /// Written as `a.b = …` under this table's header.
        public var table: [String]
    }
    public struct Table {
        public var path: [String]
        /// Of the header's bracket.
        public var start: Int
        /// Behind the header's line.
        public var end: Int
    }
    /// Braces of an inline table.
    public struct Braces {
        public var path: [String]
        /// Of the closing one.
        public var close: Int
        public var isEmpty: Bool
    }

    private let bytes: [UInt8]
    public private(set) var entries: [Entry] = []
    public private(set) var tables: [Table] = []
    public private(set) var braces: [Braces] = []
    /// All of the text has been understood.
    public private(set) var isWhole = false
    /// What `TOMLSource` must not give to the library, which takes for granted that it is not there: an offset and a sentence.
    public private(set) var trap: (offset: Int, message: String)?
    private var at = 0
    private var lineStart = 0

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
        isWhole = scan()
        // The library reads texts of C: what stands behind a zero would be lost without a word.
        if let zero = bytes.firstIndex(of: 0), zero < trap?.offset ?? .max { trap = (zero, TOMLLayout.zeroByte) }
    }

    private static let zeroByte = "a zero character cannot stand in this file"

    private mutating func scan() -> Bool {
        var prefix: [String] = []
        while true {
            lineStart = at
            skipBlanks()
            guard let byte = peek else { return true }
            switch byte {
            case UInt8(ascii: "#"), 0x0A, 0x0D: skipLine()
            case UInt8(ascii: "["):
                let start = at
                guard let path = header() else { return false }
                prefix = path
                skipLine()
                tables.append(Table(path: path, start: start, end: at))
            default:
                guard pair(prefix, table: prefix, inline: false, depth: 0) else { return false }
                skipLine()
            }
        }
    }

    private mutating func header() -> [String]? {
        at += 1
        skipBlanks()
        if peek == UInt8(ascii: "[") {
            at += 1
            skipBlanks()
        }
        guard let first = peek else { return nil }
        let quotes = [UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "]")]
        if first >= 0x80 || !(TOMLLayout.isBare(first) || quotes.contains(first)) {
            trap = (at, "a table's name must begin here, for example [name]")
        }
        return key()
    }

    public func entry(_ path: [String]) -> Entry? { entries.first { $0.path == path } }

    /// Behind the line in which a byte lies.
    public func lineEnd(_ position: Int) -> Int {
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
        let start = lineStart, keyStart = at
        guard let parts = key() else { return false }
        guard peek == UInt8(ascii: "=") else { return false }
        at += 1
        skipBlanks()
        let from = at
        guard value(prefix + parts, depth: depth) else { return false }
        entries.append(Entry(path: prefix + parts, key: keyStart, value: from..<at, lineStart: start, isInline: inline, table: table))
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
            return scalar()
        }
    }

    /// A number, `true` or `false`. Dates and times are none of ours.
    private mutating func scalar() -> Bool {
        let start = at
        while let byte = peek, ![0x0A, 0x0D, UInt8(ascii: "#"), UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}")].contains(byte) {
            at += 1
        }
        // Blanks before a comment are not the value's.
        while at > start, bytes[at - 1] == 0x20 || bytes[at - 1] == 0x09 { at -= 1 }
        let text = bytes[start..<at]
        let isPlain = text.allSatisfy { $0 < 0x80 && (TOMLLayout.isBare($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "+")) }
        let isDate = text.indices.dropFirst().contains { text[$0] == UInt8(ascii: "-") && text[$0 - 1] | 0x20 != UInt8(ascii: "e") }
        guard !text.isEmpty, isPlain, !isDate else {
            trap = (start, "a value is text in quotes, a number, true, false, or a list in [ ]")
            return false
        }
        return true
    }

    /// `\u0000` or `\U00000000` begins here.
    private var isZeroEscape: Bool {
        let rest = bytes[min(at + 1, bytes.count)...]
        return rest.starts(with: "u0000".utf8) || rest.starts(with: "U00000000".utf8)
    }

    private mutating func string() -> Bool {
        guard let quote = peek else { return false }
        let isLong = at + 2 < bytes.count && bytes[at + 1] == quote && bytes[at + 2] == quote
        at += isLong ? 3 : 1
        while let byte = peek {
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                if trap == nil, isZeroEscape { trap = (at, TOMLLayout.zeroByte) }
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
