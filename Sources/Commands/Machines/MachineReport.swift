import Foundation
import Machine

/// A stored machine as `list` and `show` print it.
struct MachineReport: Report {
    var name: String
    var state: StoredState
    /// nil: `machine.toml` cannot be used, and `error` says why.
    var osType: String?
    /// MiB.
    var memory: Int?
    var cpus: Int?
    var group: String?
    var tags: [String]?
    var folder: String
    var diskBytes: UInt64
    var pid: Int32?
    var started: Date?
    var error: String?
    /// All of them, by key; only `show` has them.
    var settings: [String: SettingValue]?
    private var sections: [String] = []

    private enum CodingKeys: String, CodingKey {
        case name, state, osType, memory, cpus, group, tags, folder, diskBytes, pid, started, error, settings
    }

    init(_ entry: MachineEntry, whole: Bool) {
        name = entry.name
        state = entry.state
        folder = entry.folder
        diskBytes = entry.diskBytes
        pid = entry.pid
        started = entry.started
        switch entry.settings {
        case .success(let value):
            osType = value.osType
            memory = value.run.memoryMiB
            cpus = value.run.cpus
            group = value.group
            tags = value.tags
            guard whole else { return }
            settings = Dictionary(uniqueKeysWithValues: SettingField.all.map { ($0.key, SettingValue($0, value)) })
            sections = MachineReport.sections(value)
        case .failure(let problem): error = "\(problem)"
        }
    }

    private static func sections(_ settings: MachineSettings) -> [String] {
        let width = (SettingField.all.map(\.title.count).max() ?? 0) + 2
        return SettingField.Section.allCases.map { section in
            let lines = SettingField.all.filter { $0.section == section }.map { field in
                let waits = field.key == "system.boot" && settings.run.kernel != nil && !settings.run.boot.isEmpty
                return "  " + field.title.padding(toLength: width, withPad: " ", startingAt: 0) + field.shown(settings)
                    + (waits ? " (waits: the kernel is what is started)" : "")
            }
            return ([section.title] + lines).joined(separator: "\n")
        }
    }

    var text: String {
        var rows = [["Name", name], ["State", state.rawValue], ["Folder", folder], ["On disk", ByteSize.text(diskBytes)]]
        if let pid { rows.append(["Process", String(pid)]) }
        if let started { rows.append(["Started", started.formatted(.iso8601)]) }
        if let error { rows.append(["Error", error]) }
        return ([TextTable.text(rows)] + sections).joined(separator: "\n\n")
    }

    /// A row of the list.
    var row: [String] {
        let system = osType.flatMap(OSType.named)?.title ?? "machine.toml has an error"
        return [name, state.rawValue, system, memory.map { "\($0) MiB" } ?? "", ByteSize.text(diskBytes), group ?? ""]
    }
}

/// A setting's value as JSON has it.
enum SettingValue: Encodable, Equatable {
    case flag(Bool)
    case number(Int)
    case text(String)
    case list([String])
    case none

    init(_ field: SettingField, _ settings: MachineSettings) {
        let text = field.get(settings)
        switch field.kind {
        case .flag: self = .flag(text == "on")
        case .list: self = .list(field.elements(text))
        case .number: self = Int(text).map(SettingValue.number) ?? .none
        case .choice(let choices) where choices.allSatisfy({ Int($0.value) != nil }): self = Int(text).map(SettingValue.number) ?? .none
        default: self = text.isEmpty ? .none : .text(text)
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .flag(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .list(let value): try container.encode(value)
        case .none: try container.encodeNil()
        }
    }
}

struct MachineList: Report {
    var machines: [MachineReport]

    var text: String {
        guard !machines.isEmpty else { return "" }
        return TextTable.text([["NAME", "STATE", "SYSTEM", "MEMORY", "ON DISK", "GROUP"]] + machines.map(\.row))
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(machines)
    }
}

/// One sentence about what was done to a machine.
struct DoneReport: Report {
    var name: String
    /// Of the machine; nil: it has none any more.
    var folder: String?
    /// Not in JSON.
    var sentence: String
    var text: String { sentence }

    private enum CodingKeys: String, CodingKey { case name, folder }
}
