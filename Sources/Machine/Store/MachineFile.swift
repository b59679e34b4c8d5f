import DataFiles
import TOMLKit

/// `machine.toml`: a machine's settings as a file that people edit.
public struct MachineFile: Sendable {
    public static let name = "machine.toml"

    public private(set) var text: String
    public private(set) var settings: MachineSettings
    /// In messages.
    private let path: String

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
                throw source.error([section], "'\(section)' is not known\(Nearest.suggestion(section, in: sections)); tables are \(sections.joined(separator: ", "))")
            }
            guard let value = source.root[section] else { continue }
            let table = try source.table(value, [section])
            let fields = SettingField.all.filter { $0.section.rawValue == section }
            for key in source.keys(of: table, at: [section]) {
                let path = [section, key]
                guard let field = SettingField.named("\(section).\(key)") else {
                    throw source.error(path, "'\(key)' is not known\(Nearest.suggestion(key, in: fields.map(keyName))); [\(section)] has \(fields.map(keyName).joined(separator: ", "))")
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
            guard let number = value.int, (0...0xFFFF).contains(number) else { throw error("'\(key)' must be an I/O port from 0 to 0xFFFF") }
            return String(number)
        case .choice, .text, .lines, .file, .order, .date, .serialEnd, .port:
            guard let text = value.string else { throw error("'\(key)' must be text in quotes") }
            return text
        case .list(let element, _):
            guard let array = value.array else { throw error("'\(key)' must be a list in [ ]") }
            var lines: [String] = []
            for item in array {
                let line = try MachineFile.text(of: item, element, key: key, error)
                guard !line.contains(where: \.isNewline) else { throw error("'\(key)' must not have line ends in its parts") }
                lines.append(line)
            }
            return lines.joined(separator: "\n")
        }
    }

    private static func isNumeric(_ choices: [SettingField.Choice]) -> Bool { choices.allSatisfy { Int($0.value) != nil } }

    // MARK: Writing

    /// A value as TOML.
    static func literal(_ text: String, _ field: SettingField) -> String { literal(text, field.kind) }

    private static func literal(_ text: String, _ kind: SettingField.Kind) -> String {
        switch kind {
        case .flag: text == "on" ? "true" : "false"
        case .number: text
        case .choice(let choices): isNumeric(choices) ? text : quoted(text)
        case .text, .lines, .file, .order, .date, .serialEnd, .port: quoted(text)
        case .list(let element, _):
            text.isEmpty
                ? "[]"
                : "[" + text.split(separator: "\n", omittingEmptySubsequences: false).map { literal(String($0), element) }.joined(separator: ", ") + "]"
        }
    }

    /// A basic string of TOML on one line.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// Changes the settings in the text; comments and everything else that is not a changed value stay.
    /// - Throws: when the result would not be read back as `new`; nothing is changed then.
    public mutating func change(to new: MachineSettings) throws(DataError) {
        self = try MachineFile(new, path: path)
    }
}
