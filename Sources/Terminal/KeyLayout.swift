import DataFiles
import TOMLKit

/// Which position, with which modifiers, makes a character on a keyboard of a country. Read from `Keymaps/layouts/*.toml`.
///
/// Positions are names of the US legends (`digit1`, `leftBracket`, `iso102`), as the rest of the program spells PC keys.
public struct KeyLayout: Equatable, Sendable {
    public struct Stroke: Hashable, Sendable {
        public var position: String
        public var shift: Bool, altGr: Bool
        public init(position: String, shift: Bool = false, altGr: Bool = false) {
            self.position = position
            self.shift = shift
            self.altGr = altGr
        }
    }

    public var name = "layout"
    /// Strokes for each character; more than one for dead keys.
    public private(set) var strokes: [Unicode.Scalar: [Stroke]] = [:]

    public init() {}

    public subscript(_ scalar: Unicode.Scalar) -> [Stroke]? { strokes[scalar] }

    /// The character of a position without modifiers.
    public func plain(_ position: String) -> Unicode.Scalar? {
        strokes.first { $0.value == [Stroke(position: position)] }?.key
    }

    /// Reads a layout: `[keys]` gives each position its characters plain, with Shift, AltGr, Shift-AltGr (a blank is none);
    /// `[compose]` gives characters as two strokes, dead key first.
    static func parse(file: String, text: String, positions: Set<String>) throws(DataError) -> KeyLayout {
        let source = try TOMLSource(file: file, text: text)
        var layout = KeyLayout()
        for key in source.keys(of: source.root, at: []) {
            guard let value = source.root[key] else { continue }
            switch key {
            case "name": layout.name = try source.string(value, [key])
            case "keys":
                let table = try source.table(value, [key])
                for position in source.keys(of: table, at: [key]) {
                    guard positions.contains(position) else {
                        throw source.error(
                            [key, position],
                            "unknown key position '\(position)'" + Nearest.suggestion(position, in: positions.sorted()))
                    }
                    guard let entry = table[position] else { continue }
                    let legend = Array(try source.string(entry, [key, position]).unicodeScalars)
                    guard legend.count <= 4 else { throw source.error([key, position], "at most 4 characters: plain, Shift, AltGr, both") }
                    for (level, scalar) in legend.enumerated() where scalar != " " && layout.strokes[scalar] == nil {
                        layout.strokes[scalar] = [Stroke(position: position, shift: level & 1 != 0, altGr: level & 2 != 0)]
                    }
                }
            case "compose":
                let table = try source.table(value, [key])
                for character in source.keys(of: table, at: [key]) {
                    guard let entry = table[character], let scalar = character.unicodeScalars.first, character.unicodeScalars.count == 1
                    else {
                        throw source.error([key, character], "'\(character)' is not one character")
                    }
                    var strokes: [Stroke] = []
                    for part in try source.string(entry, [key, character]).split(separator: " ") {
                        var name = part
                        var stroke = Stroke(position: "")
                        if name.hasPrefix("S-") { (stroke.shift, name) = (true, name.dropFirst(2)) }
                        if name.hasPrefix("G-") { (stroke.altGr, name) = (true, name.dropFirst(2)) }
                        stroke.position = String(name)
                        guard positions.contains(stroke.position) else {
                            throw source.error(
                                [key, character],
                                "unknown key position '\(name)'" + Nearest.suggestion(String(name), in: positions.sorted()))
                        }
                        strokes.append(stroke)
                    }
                    layout.strokes[scalar] = strokes
                }
            default:
                throw source.error([key], "unknown key '\(key)'" + Nearest.suggestion(key, in: ["name", "keys", "compose"]))
            }
        }
        layout.strokes[" "] = [Stroke(position: "space")]
        return layout
    }
}
