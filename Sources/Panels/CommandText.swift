import Machine

/// Settings as the command line that makes them.
enum CommandText {
    /// A word as a shell takes it.
    static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", "-", "_", ".", "/", ":", "=", "+", ",", "@", "%": true
            default: false
            }
        }
        return plain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }

    /// `vitrine create NAME --os-type T` and what differs from that system's defaults.
    static func create(_ name: String, _ settings: MachineSettings, disk: NewDisk? = nil) -> String {
        var words = ["vitrine", "create", quoted(name), "--os-type", settings.osType]
        if let disk {
            words += ["--disk-size", size(disk.bytes)]
            if disk.format != .dynamic { words += ["--disk-format", disk.format.rawValue] }
        }
        let defaults = (OSType.named(settings.osType) ?? OSType.other).settings
        return (words + options(SettingChange.all(from: defaults, to: settings))).joined(separator: " ")
    }

    /// `vitrine set NAME` with the changes; nil when there is none.
    static func set(_ name: String, _ changes: [SettingChange]) -> String? {
        changes.isEmpty ? nil : (["vitrine", "set", quoted(name)] + options(changes)).joined(separator: " ")
    }

    private static func options(_ changes: [SettingChange]) -> [String] {
        changes.flatMap { change -> [String] in
            let option = change.field.option, none = "--no-" + option.dropFirst(2)
            if case .flag = change.field.kind { return [change.after == "on" ? option : none] }
            if change.after.isEmpty { return [none] }
            return change.field.elements(change.after).flatMap { [option, quoted($0)] }
        }
    }

    static func size(_ bytes: UInt64) -> String {
        let mib: UInt64 = 1 << 20, gib: UInt64 = 1 << 30
        if bytes > 0, bytes % gib == 0 { return "\(bytes / gib)G" }
        return bytes > 0 && bytes % mib == 0 ? "\(bytes / mib)M" : "\(bytes)"
    }
}
