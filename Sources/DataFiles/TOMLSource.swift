import TOMLKit

/// A TOML file read with TOMLKit, plus the places of its keys, which the library does not keep.
public struct TOMLSource {
    /// From 1.
    public struct Place: Equatable, Sendable { public var line: Int, column: Int }

    public let file: String
    public let root: TOMLTable
    /// Place of each key by its full path, parts joined with U+0000.
    private let places: [String: Place]
    /// Full paths in the order of the file.
    public let order: [[String]]

    /// - Throws: the first thing that is not TOML, with its place.
    public init(file: String, text: String) throws(DataError) {
        self.file = file
        // The library asserts what it has not checked; in a release build it goes on without knowing.
        let layout = TOMLLayout(Array(text.utf8))
        if let trap = layout.trap {
            let place = TOMLSource.place(trap.offset, text)
            throw DataError(file: file, line: place.line, column: place.column, message: trap.message)
        }
        do {
            root = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw DataError(
                file: file, line: Int(error.source.begin.line), column: Int(error.source.begin.column),
                message: TOMLSource.sentence(error.description))
        } catch {
            throw DataError(file: file, message: "is not TOML: \(error)")
        }
        var (places, order) = TOMLSource.scan(text)
        for entry in layout.entries where entry.isInline {
            for count in 1...entry.path.count {
                let part = Array(entry.path.prefix(count)), name = part.joined(separator: "\0")
                guard places[name] == nil else { continue }
                places[name] = TOMLSource.place(entry.key, text)
                order.append(part)
            }
        }
        (self.places, self.order) = (places, order)
    }

    /// Of a byte.
    private static func place(_ offset: Int, _ text: String) -> Place {
        let before = text.utf8.prefix(offset)
        let line = before.reversed().prefix { $0 != 0x0A }.reversed()
        return Place(line: before.count { $0 == 0x0A } + 1, column: String(decoding: Array(line), as: UTF8.self).count + 1)
    }

    /// An error at a key.
    public func error(_ path: [String], _ message: String) -> DataError {
        let place = places[path.joined(separator: "\0")] ?? Place(line: 0, column: 0)
        return DataError(file: file, line: place.line, column: place.column, message: message)
    }

    /// - Throws: at the key, when it is no text.
    public func string(_ value: any TOMLValueConvertible, _ path: [String]) throws(DataError) -> String {
        guard let text = value.string else { throw error(path, "'\(path.last ?? "")' must be text in quotes") }
        return text
    }

    /// - Throws: at the key, when it is no table.
    public func table(_ value: any TOMLValueConvertible, _ path: [String]) throws(DataError) -> TOMLTable {
        guard let table = value.table else { throw error(path, "'\(path.last ?? "")' must be a table") }
        return table
    }

    /// Keys of a table in the order of the file.
    public func keys(of table: TOMLTable, at path: [String]) -> [String] {
        let listed = order.filter { $0.count == path.count + 1 && $0.starts(with: path) }.map { $0[path.count] }
        let known = Set(listed)
        return listed.filter { table[$0] != nil } + table.keys.filter { !known.contains($0) }
    }

    private static func sentence(_ text: String) -> String {
        text.split(separator: "\n").first.map { String($0) } ?? "is not TOML"
    }

    /// Finds the keys at the beginning of lines and in inline tables' first level, by the grammar of TOML 1.0 in small:
    /// table headers, bare, quoted and dotted keys; values that span lines are stepped over.
    private static func scan(_ text: String) -> ([String: Place], [[String]]) {
        var places: [String: Place] = [:]
        var order: [[String]] = []
        var prefix: [String] = []
        var depth = 0
        var longString: String?
        for (number, rawLine) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = Array(rawLine)
            var i = 0
            if let quote = longString {
                if String(line).contains(quote) { longString = nil }
                continue
            }
            while i < line.count, line[i] == " " || line[i] == "\t" { i += 1 }
            if i >= line.count || line[i] == "#" { continue }
            if depth == 0 {
                let start = i
                let isHeader = line[i] == "["
                while isHeader, i < line.count, line[i] == "[" { i += 1 }
                guard let (parts, next) = key(line, i) else { continue }
                i = next
                let path = isHeader ? parts : prefix + parts
                if isHeader { prefix = parts }
                for n in 1...path.count {
                    let part = Array(path.prefix(n))
                    let name = part.joined(separator: "\0")
                    if places[name] == nil {
                        places[name] = Place(line: number + 1, column: start + 1)
                        order.append(part)
                    }
                }
                if isHeader { continue }
            }
            // The rest of the line: strings hide brackets; arrays may go on in the next line.
            while i < line.count {
                let c = line[i]
                if c == "#" { break }
                if c == "\"" || c == "'" {
                    let triple = String(repeating: c, count: 3)
                    if line.count >= i + 3, String(line[i..<i + 3]) == triple {
                        let rest = String(line[(i + 3)...])
                        if let close = rest.firstRange(of: triple) {
                            i += 6 + rest.distance(from: rest.startIndex, to: close.lowerBound)
                            continue
                        }
                        longString = triple
                        break
                    }
                    i += 1
                    while i < line.count, line[i] != c { i += line[i] == "\\" && c == "\"" ? 2 : 1 }
                } else if c == "[" {
                    depth += 1
                } else if c == "]" {
                    depth -= 1
                }
                i += 1
            }
        }
        return (places, order)
    }

    /// A dotted key from `start`; the index after it.
    private static func key(_ line: [Character], _ start: Int) -> ([String], Int)? {
        var parts: [String] = []
        var i = start
        while i < line.count {
            while i < line.count, line[i] == " " || line[i] == "\t" { i += 1 }
            guard i < line.count else { break }
            var part = ""
            if line[i] == "\"" || line[i] == "'" {
                let quote = line[i]
                i += 1
                while i < line.count, line[i] != quote {
                    if line[i] == "\\", quote == "\"", i + 1 < line.count { i += 1 }
                    part.append(line[i])
                    i += 1
                }
                i += 1
            } else {
                while i < line.count, line[i].isLetter || line[i].isNumber || line[i] == "_" || line[i] == "-" {
                    part.append(line[i])
                    i += 1
                }
                if part.isEmpty { return nil }
            }
            parts.append(part)
            while i < line.count, line[i] == " " || line[i] == "\t" { i += 1 }
            if i < line.count, line[i] == "." { i += 1 } else { break }
        }
        return parts.isEmpty ? nil : (parts, i)
    }
}
