import DataFiles
import TOMLKit

extension Keymap {
    /// The words that a keymap may use.
    public struct Vocabulary: Sendable {
        public var actions: Set<String>
        public var contexts: Set<String>
        public init(actions: Set<String>, contexts: Set<String>) {
            self.actions = actions
            self.contexts = contexts
        }
    }

    /// Reads one keymap file.
    /// - Parameter inherited: gives the keymap that `inherits` names, before inheritance between contexts.
    /// - Throws: the first thing that is wrong, with its place.
    static func parse(
        file: String, text: String, vocabulary: Vocabulary, inherited: (String) throws(DataError) -> Keymap
    ) throws(DataError) -> Keymap {
        var map = try read(file: file, text: text, vocabulary: vocabulary, inherited: inherited)
        // After the host key only its own table counts: a global key there would be a surprise.
        let global = map.contexts["global"] ?? []
        for context in vocabulary.contexts where context != "global" && context != "host" {
            let own = map.contexts[context] ?? []
            if own.contains(where: { $0.keys.isEmpty }) {
                map.contexts[context] = own.filter { !$0.keys.isEmpty }
            } else {
                map.contexts[context] = own + global.filter { g in !own.contains { $0.keys == g.keys } }
            }
        }
        return map
    }

    /// `no-inherit` stays as a binding without keys until `parse` resolves it.
    static func read(
        file: String, text: String, vocabulary: Vocabulary, inherited: (String) throws(DataError) -> Keymap
    ) throws(DataError) -> Keymap {
        let source = try TOMLSource(file: file, text: text)
        var map = Keymap()
        if let value = source.root["inherits"] {
            var names: [String] = []
            if let one = value.string { names = [one] } else if let many = value.array { names = many.compactMap(\.string) }
            for name in names {
                let parent: Keymap
                do { parent = try inherited(name) } catch {
                    throw error.file == name ? source.error(["inherits"], error.message) : error
                }
                for (context, bindings) in parent.contexts { map.merge(bindings, into: context) }
                (map.host, map.hostTimeoutMilliseconds) = (parent.host, parent.hostTimeoutMilliseconds)
                (map.escapeMilliseconds, map.guestLayout) = (parent.escapeMilliseconds, parent.guestLayout)
            }
        }
        let settings = ["name", "inherits", "host", "host-timeout-ms", "esc-delay-ms", "keys", "layout"]
        for key in source.keys(of: source.root, at: []) {
            guard let value = source.root[key] else { continue }
            switch key {
            case "name": map.name = try source.string(value, [key])
            case "inherits": break
            case "host": map.host = try chord(source, source.string(value, [key]), [key])
            case "host-timeout-ms": map.hostTimeoutMilliseconds = try number(source, value, [key], 100...60000)
            case "esc-delay-ms": map.escapeMilliseconds = try number(source, value, [key], 1...1000)
            case "keys":
                let table = try source.table(value, [key])
                for context in source.keys(of: table, at: [key]) {
                    guard vocabulary.contexts.contains(context) else {
                        throw source.error(
                            [key, context], "unknown context '\(context)'" + Nearest.suggestion(context, in: vocabulary.contexts.sorted()))
                    }
                    guard let entry = table[context] else { continue }
                    map.merge(try bindings(source, source.table(entry, [key, context]), [key, context], vocabulary), into: context)
                }
            case "layout":
                let table = try source.table(value, [key])
                for name in table.keys {
                    guard name == "guest", let value = table[name] else {
                        throw source.error([key, name], "unknown key '\(name)'" + Nearest.suggestion(name, in: ["guest"]))
                    }
                    map.guestLayout = try source.string(value, [key, name])
                }
            default: throw source.error([key], "unknown key '\(key)'" + Nearest.suggestion(key, in: settings))
            }
        }
        return map
    }

    /// A keymap's own keys come before those that it inherits: hints name the first.
    private mutating func merge(_ new: [Binding], into context: String) {
        contexts[context] = new + (contexts[context] ?? []).filter { old in !new.contains { $0.keys == old.keys } }
    }

    private static func number(
        _ source: TOMLSource, _ value: any TOMLValueConvertible, _ path: [String], _ range: ClosedRange<Int>
    ) throws(DataError) -> Int {
        guard let n = value.int, range.contains(n) else {
            throw source.error(path, "'\(path.last ?? "")' must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return n
    }

    private static func chord(_ source: TOMLSource, _ text: String, _ path: [String]) throws(DataError) -> Chord {
        guard let chord = Chord(text) else {
            let name = text.split(separator: "-").last.map { String($0) } ?? text
            throw source.error(path, "'\(text)' is not a key" + Nearest.suggestion(name, in: Chord.names.keys.sorted()))
        }
        return chord
    }

    private static func bindings(
        _ source: TOMLSource, _ table: TOMLTable, _ path: [String], _ vocabulary: Vocabulary
    ) throws(DataError) -> [Binding] {
        var result: [Binding] = []
        for key in source.keys(of: table, at: path) {
            guard let value = table[key] else { continue }
            let place = path + [key]
            if key == "no-inherit" {
                guard let flag = value.bool else { throw source.error(place, "'no-inherit' must be true or false") }
                if flag { result.append(Binding(keys: [], target: .nothing)) }
                continue
            }
            var keys: [Chord] = []
            for part in key.split(separator: " ") { keys.append(try chord(source, String(part), place)) }
            guard !keys.isEmpty else { throw source.error(place, "a key is missing") }
            var binding = Binding(keys: keys, target: .nothing)
            if let name = value.string {
                binding.target = try target(source, name, place, vocabulary)
            } else {
                let parts = try source.table(value, place)
                for part in parts.keys {
                    guard let text = parts[part]?.string else { throw source.error(place, "\(part) must be text in quotes") }
                    switch part {
                    case "do": binding.target = try target(source, text, place, vocabulary)
                    case "send": binding.target = .send(try chord(source, text, place))
                    case "type": binding.target = .type(text)
                    case "confirm": binding.confirm = text
                    default:
                        throw source.error(
                            place, "unknown key '\(part)'" + Nearest.suggestion(part, in: ["do", "send", "type", "confirm"]))
                    }
                }
            }
            result.append(binding)
        }
        return result
    }

    private static func target(
        _ source: TOMLSource, _ name: String, _ place: [String], _ vocabulary: Vocabulary
    ) throws(DataError) -> Binding.Target {
        if name == "no-op" { return .nothing }
        guard vocabulary.actions.contains(name) else {
            throw source.error(place, "unknown command '\(name)'" + Nearest.suggestion(name, in: vocabulary.actions.sorted()))
        }
        return .action(name)
    }
}
