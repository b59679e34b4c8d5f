import ArgumentParser
import Machine

/// `vitrine set NAME OPTIONS`: changes a machine's settings.
struct SetVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Change a machine's settings.",
        discussion: """
            The options of 'create' and 'run'; --no-OPTION takes one away. While the machine runs, only what it takes at once can be \
            changed. The comments in its machine.toml stay.
            """)

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Print what would change, and change nothing.") var dryRun = false
    @OptionGroup(title: "Settings") var fields: FieldOptions
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard !fields.isEmpty else { throw .usage("'set' needs an option that says what to change.") }
        let changes = try host.store.edit(name, dryRun: dryRun) { settings throws(MachineError) in try fields.apply(to: &settings, in: host)
        }
        try host.say(ChangeReport(name: name, changes: changes), output)
        return 0
    }
}

/// What has changed, one line for each setting.
struct ChangeReport: Report {
    struct Change: Encodable {
        var key: String
        var title: String
        var before: String
        var after: String
    }
    var name: String
    var changes: [Change]
    private var lines: [String]
    private enum CodingKeys: String, CodingKey { case name, changes }

    init(name: String, changes: [SettingChange]) {
        self.name = name
        self.changes = changes.map { Change(key: $0.field.key, title: $0.field.title, before: $0.before, after: $0.after) }
        lines = changes.map(\.description)
    }

    var text: String { lines.isEmpty ? "Nothing changes." : lines.joined(separator: "\n") }
}
