/// One setting that differs between two states of a machine.
public struct SettingChange: Sendable {
    public var field: SettingField
    public var before: String
    public var after: String

    /// `Memory: 128 MiB -> 256 MiB`
    public var description: String { "\(field.title): \(field.shown(text: before)) -> \(field.shown(text: after))" }

    /// Everything that differs, in the order of the form.
    public static func all(from old: MachineSettings, to new: MachineSettings) -> [SettingChange] {
        SettingField.all.compactMap { field in
            let before = field.get(old), after = field.get(new)
            return before == after ? nil : SettingChange(field: field, before: before, after: after)
        }
    }
}
