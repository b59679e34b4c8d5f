/// Settings as the words of a command line.
public enum CommandText {
    /// `vitrine create NAME --os-type T …` that makes a machine with these settings.
    public static func create(_ name: String, _ settings: MachineSettings, disk: NewDisk? = nil) -> String {
        var words = ["vitrine", "create", name, "--os-type", settings.osType]
        if let disk {
            words += ["--disk-size", ByteSize.exact(disk.bytes)]
            if disk.format != .dynamic { words += ["--disk-format", disk.format.rawValue] }
        }
        var base = (OSType.named(settings.osType) ?? .other).settings
        base.osType = settings.osType
        words += options(from: base, to: settings)
        return line(words)
    }

    /// `vitrine set NAME …` that makes one of the other; nil: they are equal.
    public static func set(_ name: String, from old: MachineSettings, to new: MachineSettings) -> String? {
        let words = options(from: old, to: new)
        return words.isEmpty ? nil : line(["vitrine", "set", name] + words)
    }

    /// Options that make `new` of `old`.
    public static func options(from old: MachineSettings, to new: MachineSettings) -> [String] {
        SettingChange.all(from: old, to: new).flatMap { change -> [String] in
            let field = change.field
            if case .flag = field.kind { return [change.after == "on" ? field.option : field.offOption] }
            if change.after.isEmpty { return [field.offOption] }
            return field.elements(change.after).flatMap { [field.option, $0] }
        }
    }

    /// Words for a shell.
    public static func line(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }

    private static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy { scalar in
            scalar.properties.isAlphabetic || (scalar.value >= 0x30 && scalar.value <= 0x39) || "-_./:=,+@%".unicodeScalars.contains(scalar)
        }
        return plain && !word.isEmpty
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
