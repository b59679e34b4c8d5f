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
        let bytes = Array(text.utf8)
        var walk = Walk(bytes: bytes)
        // The library asserts what it has not checked; in a release build it goes on without knowing.
        let layout = TOMLLayout(bytes)
        if let trap = layout.trap {
            let place = walk.place(trap.offset)
            throw DataError(file: file, line: place.line, column: place.column, message: trap.message)
        }
        do {
            root = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw DataError(
                file: file, line: max(1, Int(error.source.begin.line)), column: max(1, Int(error.source.begin.column)),
                message: TOMLSource.sentence(error.description))
        } catch {
            throw DataError(file: file, line: 1, column: 1, message: "is not TOML: \(error)")
        }
        let marks = layout.entries.map { ($0.key, $0.path) } + layout.tables.map { ($0.start, $0.path) }
        var places: [String: Place] = [:], order: [[String]] = []
        for (offset, path) in marks.sorted(by: { $0.0 < $1.0 }) where !path.isEmpty {
            let place = walk.place(offset)
            for count in 1...path.count {
                let part = Array(path.prefix(count)), name = part.joined(separator: "\0")
                guard places[name] == nil else { continue }
                places[name] = place
                order.append(part)
            }
        }
        (self.places, self.order) = (places, order)
    }

    /// Lines and columns of offsets that ascend, in one pass.
    private struct Walk {
        let bytes: [UInt8]
        var at = 0, line = 1, column = 1

        init(bytes: [UInt8]) {
            self.bytes = bytes
            if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
        }

        mutating func place(_ offset: Int) -> Place {
            while at < offset {
                if bytes[at] == 0x0A {
                    (line, column) = (line + 1, 1)
                } else if bytes[at] & 0xC0 != 0x80 {
                    column += 1
                }
                at += 1
            }
            return Place(line: line, column: column)
        }
    }

    /// An error at a key, or at the nearest table around it that has a place.
    public func error(_ path: [String], _ message: String) -> DataError {
        var place = Place(line: 1, column: 1)
        for count in stride(from: path.count, to: 0, by: -1) {
            guard let found = places[path.prefix(count).joined(separator: "\0")] else { continue }
            place = found
            break
        }
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
}
