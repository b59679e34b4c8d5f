/// One field of a chip or a processor that is not the same.
public struct FieldDifference: Encodable, Equatable, Sendable {
    /// `pit.channels.0.count`, as the state file has it.
    public var name: String
    /// nil: it was not there.
    public var before: String?
    public var after: String?

    static let most = 20_000

    /// All fields of two values that differ, in the order of the first, at most `most`.
    static func all(_ a: StateValue, _ b: StateValue, _ path: String = "") -> [FieldDifference] {
        var found: [FieldDifference] = []
        add(a, b, path, &found)
        return found
    }

    private static func add(_ a: StateValue, _ b: StateValue, _ path: String, _ found: inout [FieldDifference]) {
        guard a != b, found.count < most else { return }
        func inner(_ key: some CustomStringConvertible) -> String { path.isEmpty ? key.description : "\(path).\(key)" }
        switch (a, b) {
        case (.map(let before), .map(let after)):
            for pair in before {
                if let other = after.first(where: { $0.key == pair.key }) {
                    add(pair.value, other.value, inner(pair.key), &found)
                } else {
                    found.append(FieldDifference(name: inner(pair.key), before: text(pair.value), after: nil))
                }
            }
            for pair in after where !before.contains(where: { $0.key == pair.key }) {
                found.append(FieldDifference(name: inner(pair.key), before: nil, after: text(pair.value)))
            }
        case (.list(let before), .list(let after)) where before.count == after.count:
            for (index, pair) in zip(before, after).enumerated() { add(pair.0, pair.1, inner(index), &found) }
        case (.bytes(let x), .bytes(let y)) where x.count == y.count && x.count > 16: words(x, y, path, &found)
        case (.words16(let x), .words16(let y)) where x.count == y.count && x.count > 8: words(x, y, path, &found)
        case (.words32(let x), .words32(let y)) where x.count == y.count && x.count > 8: words(x, y, path, &found)
        case (.words64(let x), .words64(let y)) where x.count == y.count && x.count > 8: words(x, y, path, &found)
        default: found.append(FieldDifference(name: path, before: text(a), after: text(b)))
        }
    }

    /// Of tables: how many places, and the first of them.
    private static func words<W: FixedWidthInteger>(_ a: [W], _ b: [W], _ path: String, _ found: inout [FieldDifference]) {
        let places = a.indices.filter { a[$0] != b[$0] }
        guard let first = places.first else { return }
        let rest = places.count > 1 ? " (and \(places.count - 1) more of \(a.count))" : ""
        found.append(FieldDifference(name: "\(path).\(first)", before: number(UInt64(a[first])) + rest, after: number(UInt64(b[first]))))
    }

    private static func number(_ value: UInt64) -> String { value < 10 ? "\(value)" : "0x" + String(value, radix: 16, uppercase: true) }

    private static func list<W: FixedWidthInteger>(_ words: [W]) -> String {
        guard words.count <= 16 else { return "\(words.count) numbers" }
        return words.isEmpty ? "nothing" : words.map { String($0, radix: 16, uppercase: true) }.joined(separator: " ")
    }

    static func text(_ value: StateValue) -> String {
        switch value {
        case .null: "nothing"
        case .flag(let flag): flag ? "yes" : "no"
        case .unsigned(let value): number(value)
        case .negative(let value): "\(value)"
        case .double(let value): "\(value)"
        case .text(let text): "\"" + text.prefix(80) + "\""
        case .bytes(let bytes): list(bytes)
        case .words16(let words): list(words)
        case .words32(let words): list(words)
        case .words64(let words): list(words)
        case .list(let values): "\(values.count) entries"
        case .map(let pairs): pairs.count == 1 ? pairs[0].key : "\(pairs.count) fields"
        }
    }
}
