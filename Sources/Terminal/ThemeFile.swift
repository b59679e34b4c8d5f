import DataFiles
import TOMLKit

extension Theme {
    /// Reads one theme file.
    /// - Parameter inherited: gives the theme that `inherits` names; it is not asked for `base`.
    /// - Throws: the first thing that is wrong, with its place.
    static func parse(file: String, text: String, inherited: (String) throws(DataError) -> Theme) throws(DataError) -> Theme {
        let source = try TOMLSource(file: file, text: text)
        var theme = Theme.base
        if let value = source.root["inherits"] {
            let parent = try source.string(value, ["inherits"])
            if parent != "base" {
                do { theme = try inherited(parent) } catch {
                    throw error.file == parent ? source.error(["inherits"], error.message) : error
                }
            }
        }
        theme.name = file
        let palette = try colours(source)
        let scopes = Set(Role.allCases.map(\.rawValue)).union(["state", "log", "debug"])
        let settings = ["name", "inherits", "border", "shadow", "guest", "palette", "mono"]
        for key in source.keys(of: source.root, at: []) {
            guard let value = source.root[key] else { continue }
            switch key {
            case "name": theme.name = try source.string(value, [key])
            case "inherits": break
            case "border": theme.border = try choice(source, value, [key])
            case "shadow":
                guard let flag = value.bool else { throw source.error([key], "'shadow' must be true or false") }
                theme.shadow = flag
            case "guest": theme.guest = try guest(source, source.table(value, [key]), theme.guest)
            case "palette": break
            case "mono":
                let table = try source.table(value, [key])
                for scope in source.keys(of: table, at: [key]) {
                    guard scopes.contains(scope) else { throw unknown(source, [key, scope], "scope", scopes) }
                    theme.mono[scope] = try mods(source, table[scope], [key, scope])
                }
            default:
                guard scopes.contains(key) else { throw unknown(source, [key], "key", scopes.union(settings)) }
                theme.styles[key] = try style(source, value, [key], palette)
            }
        }
        return theme
    }

    private static func unknown(_ source: TOMLSource, _ path: [String], _ what: String, _ known: Set<String>) -> DataError {
        let word = path.last ?? ""
        return source.error(path, "unknown \(what) '\(word)'" + Nearest.suggestion(word, in: known.sorted()))
    }

    private static func choice<T: RawRepresentable & CaseIterable>(
        _ source: TOMLSource, _ value: any TOMLValueConvertible, _ path: [String]
    ) throws(DataError) -> T where T.RawValue == String {
        let text = try source.string(value, path)
        guard let result = T(rawValue: text) else {
            let all = T.allCases.map(\.rawValue)
            throw source.error(
                path, "'\(text)' is not one of \(all.joined(separator: ", "))" + Nearest.suggestion(text, in: all))
        }
        return result
    }

    private static func guest(_ source: TOMLSource, _ table: TOMLTable, _ start: Guest) throws(DataError) -> Guest {
        var guest = start
        for key in source.keys(of: table, at: ["guest"]) {
            guard let value = table[key] else { continue }
            let path = ["guest", key]
            switch key {
            case "palette": guest.palette = try choice(source, value, path)
            case "blink": guest.blink = try choice(source, value, path)
            case "glyphs": guest.glyphs = try choice(source, value, path)
            case "wide":
                guard let flag = value.bool else { throw source.error(path, "'wide' must be true or false") }
                guest.wide = flag
            default: throw unknown(source, path, "key", ["palette", "blink", "glyphs", "wide"])
            }
        }
        return guest
    }

    /// The `[palette]` of the file: names for colours.
    private static func colours(_ source: TOMLSource) throws(DataError) -> [String: Colour] {
        guard let value = source.root["palette"] else { return [:] }
        let table = try source.table(value, ["palette"])
        var result: [String: Colour] = [:]
        for name in source.keys(of: table, at: ["palette"]) {
            guard let entry = table[name] else { continue }
            let path = ["palette", name]
            if let text = entry.string {
                result[name] = try colour(source, text, path, [:])
                continue
            }
            let parts = try source.table(entry, path)
            guard let rgb = parts["rgb"]?.string, var colour = hex(rgb).map({ Colour(rgb: $0) }) else {
                throw source.error(path, "'\(name)' needs rgb = \"#rrggbb\"")
            }
            for key in parts.keys {
                switch key {
                case "rgb": break
                case "c256":
                    guard let n = parts[key]?.int, (0..<256).contains(n) else { throw source.error(path, "c256 must be 0 to 255") }
                    colour.c256 = n
                case "c16", "c8":
                    let count = key == "c16" ? 16 : 8
                    guard let text = parts[key]?.string, let n = Palette.ansiNames.firstIndex(of: text), n < count else {
                        throw source.error(path, "\(key) must be one of " + Palette.ansiNames.prefix(count).joined(separator: ", "))
                    }
                    if key == "c16" { colour.c16 = n } else { colour.c8 = n }
                default: throw source.error(path, "unknown key '\(key)'" + Nearest.suggestion(key, in: ["rgb", "c256", "c16", "c8"]))
                }
            }
            result[name] = colour
        }
        return result
    }

    private static func hex(_ text: String) -> UInt32? {
        guard text.first == "#", let n = UInt32(text.dropFirst(), radix: 16), text.dropFirst().allSatisfy({ $0.isHexDigit }) else {
            return nil
        }
        switch text.count {
        case 7: return n
        case 4: return (n >> 8 & 15) * 0x110000 | (n >> 4 & 15) * 0x1100 | (n & 15) * 0x11
        default: return nil
        }
    }

    private static func colour(
        _ source: TOMLSource, _ text: String, _ path: [String], _ palette: [String: Colour]
    ) throws(DataError) -> Colour {
        if let named = palette[text] { return named }
        if text == "default" { return .terminalDefault }
        if text.first == "#" {
            guard let rgb = hex(text) else { throw source.error(path, "'\(text)' is not #rgb or #rrggbb") }
            return Colour(rgb: rgb)
        }
        if let index = Palette.ansiNames.firstIndex(of: text) { return Colour(index: index) }
        if let index = Int(text), (0..<256).contains(index) { return Colour(index: index) }
        throw source.error(
            path, "unknown colour '\(text)'" + Nearest.suggestion(text, in: Palette.ansiNames + palette.keys.sorted() + ["default"]))
    }

    private static func style(
        _ source: TOMLSource, _ value: any TOMLValueConvertible, _ path: [String], _ palette: [String: Colour]
    ) throws(DataError) -> PartialStyle {
        if let text = value.string { return PartialStyle(foreground: try colour(source, text, path, palette)) }
        guard let table = value.table else { throw source.error(path, "'\(path.last ?? "")' must be a colour or { fg, bg, mods }") }
        var result = PartialStyle()
        for key in table.keys {
            switch key {
            case "fg", "bg":
                guard let text = table[key]?.string else { throw source.error(path, "\(key) must be a colour in quotes") }
                let value = try colour(source, text, path, palette)
                if key == "fg" { result.foreground = value } else { result.background = value }
            case "mods": result.mods = try mods(source, table[key], path)
            default: throw source.error(path, "unknown key '\(key)'" + Nearest.suggestion(key, in: ["fg", "bg", "mods"]))
            }
        }
        return result
    }

    private static func mods(
        _ source: TOMLSource, _ value: (any TOMLValueConvertible)?, _ path: [String]
    ) throws(DataError) -> TextMods {
        guard let array = value?.array else { throw source.error(path, "attributes must be a list such as [\"bold\"]") }
        var result: TextMods = []
        for item in array {
            guard let name = item.string, let mod = TextMods.names[name] else {
                let word = item.string ?? "?"
                throw source.error(path, "unknown attribute '\(word)'" + Nearest.suggestion(word, in: TextMods.names.keys.sorted()))
            }
            result.insert(mod)
        }
        return result
    }
}
