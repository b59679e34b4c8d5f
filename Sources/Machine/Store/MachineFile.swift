import DataFiles
import TOMLKit

/// `machine.toml`: a machine's settings as a file that people edit.
public struct MachineFile: Sendable {
    public static let name = "machine.toml"
    /// Of a file that a person could have written.
    static let maximumBytes = 1 << 20

    public internal(set) var text: String
    public internal(set) var settings: MachineSettings
    /// In messages.
    let path: String

    /// - Parameter path: in messages.
    /// - Throws: at the first key that is unknown or has a value that it cannot have.
    public init(text: String, path: String) throws(DataError) {
        self.text = text
        self.path = path
        settings = try MachineFile.parse(text, path)
    }

    /// A new file with the settings that differ from the defaults.
    public init(_ settings: MachineSettings, path: String) throws(DataError) {
        var lines: [String] = []
        let defaults = MachineSettings()
        var section: SettingField.Section?
        for field in SettingField.all {
            let value = field.get(settings)
            guard value != field.get(defaults) || MachineFile.always.contains(field.key) else { continue }
            if field.section != section {
                lines += (lines.isEmpty ? [] : [""]) + ["[\(field.section.rawValue)]"]
                section = field.section
            }
            lines.append("\(MachineFile.keyName(field)) = \(MachineFile.literal(value, field))")
        }
        try self.init(text: lines.joined(separator: "\n") + "\n", path: path)
    }

    /// Written even when they have their defaults: whoever opens the file looks for them.
    private static let always: Set<String> = ["general.os-type", "system.memory", "system.cpus", "system.cpu-model"]

    static func keyName(_ field: SettingField) -> String { field.key.split(separator: ".").last.map(String.init) ?? field.key }

    // MARK: Reading

    private static func parse(_ text: String, _ path: String) throws(DataError) -> MachineSettings {
        let source = try TOMLSource(file: path, text: text)
        var settings = MachineSettings()
        let sections = SettingField.Section.allCases.map(\.rawValue)
        for section in source.keys(of: source.root, at: []) {
            guard sections.contains(section) else {
                throw source.error([section], unknown(section, among: sections, "tables are"))
            }
            guard let value = source.root[section] else { continue }
            let table = try source.table(value, [section])
            let fields = SettingField.all.filter { $0.section.rawValue == section }
            for key in source.keys(of: table, at: [section]) {
                let path = [section, key]
                guard let field = SettingField.named("\(section).\(key)") else {
                    throw source.error(path, unknown(key, among: fields.map(keyName), "[\(section)] has"))
                }
                guard let value = table[key] else { continue }
                let text = try MachineFile.text(of: value, field.kind, key: key, { (message) in source.error(path, message) })
                do throws(MachineError) {
                    try field.set(text, in: &settings)
                } catch {
                    let sentence = error.description
                    throw source.error(path, sentence.hasSuffix(".") ? String(sentence.dropLast()) : sentence)
                }
            }
        }
        return settings
    }

    private static func unknown(_ word: String, among known: [String], _ lead: String) -> String {
        let shown = String(word.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : Character($0) }.prefix(60))
        return "'\(shown)' is not known\(Nearest.suggestion(shown, in: known)); \(lead) \(known.joined(separator: ", "))"
    }

    private static func text(
        of value: any TOMLValueConvertible, _ kind: SettingField.Kind, key: String, _ error: (String) -> DataError
    ) throws(DataError) -> String {
        switch kind {
        case .flag:
            guard let flag = value.bool else { throw error("'\(key)' must be true or false") }
            return flag ? "on" : "off"
        case .number:
            guard let number = value.int else { throw error("'\(key)' must be a whole number") }
            return String(number)
        case .choice(let choices) where isNumeric(choices):
            guard let number = value.int else { throw error("'\(key)' must be a whole number") }
            return String(number)
        case .port where value.int != nil:
            guard let number = value.int, (0...0xFFFF).contains(number) else {
                throw error("'\(key)' must be an I/O port from 0 to 0xFFFF")
            }
            return String(number)
        case .choice, .text, .lines, .file, .order, .date, .serialEnd, .port:
            guard let text = value.string else { throw error("'\(key)' must be text in quotes") }
            return text
        case .list(let element, _):
            guard let array = value.array else { throw error("'\(key)' must be a list in [ ]") }
            var lines: [String] = []
            for item in array {
                let line = try MachineFile.text(of: item, element, key: key, error)
                guard !line.isEmpty else { throw error("'\(key)' must not have empty parts") }
                guard !line.contains(where: \.isNewline) else { throw error("'\(key)' must not have line ends in its parts") }
                lines.append(line)
            }
            return lines.joined(separator: "\n")
        }
    }

    private static func isNumeric(_ choices: [SettingField.Choice]) -> Bool { choices.allSatisfy { Int($0.value) != nil } }

    // MARK: Writing

    /// A value as TOML.
    /// - Parameter oneLine: even text of several lines.
    static func literal(_ text: String, _ field: SettingField, oneLine: Bool = false) -> String {
        if oneLine, case .lines = field.kind { return literal(text, .text) }
        return literal(text, field.kind)
    }

    private static func literal(_ text: String, _ kind: SettingField.Kind) -> String {
        switch kind {
        case .flag: text == "on" ? "true" : "false"
        case .number: text
        case .choice(let choices): isNumeric(choices) ? text : "\"" + escaped(text, breaks: false) + "\""
        case .lines where text.contains("\n"): "\"\"\"\n" + escaped(text, breaks: true) + "\"\"\""
        case .text, .lines, .file, .order, .date, .serialEnd, .port: "\"" + escaped(text, breaks: false) + "\""
        case .list(let element, _):
            text.isEmpty
                ? "[]"
                : "["
                    + text.split(separator: "\n", omittingEmptySubsequences: false).map { literal(String($0), element) }.joined(
                        separator: ", ") + "]"
        }
    }

    /// What stands between the quotes of a basic string.
    /// - Parameter breaks: line ends may stand as they are.
    private static func escaped(_ text: String, breaks: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += breaks ? "\n" : "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
