import Machine
import Terminal

/// A new machine in five steps over `MachineDraft`, with defaults that fit its system.
public struct WizardPanel: Equatable, Sendable {
    public private(set) var step = MachineDraft.Step.system
    public private(set) var draft: MachineDraft
    private var starts = true
    /// Texts that are no values yet, by key.
    private var bad: [String: (text: String, problem: String)] = [:]
    private let taken: Set<String>
    var panel = FieldsPanel([])

    public static func == (a: WizardPanel, b: WizardPanel) -> Bool { a.step == b.step && a.panel == b.panel && a.draft == b.draft }

    /// - Parameter taken: names that other machines have.
    public init(taken: Set<String>) {
        self.taken = taken
        draft = MachineDraft()
        draft.choose(OSType.named("linux-64") ?? .other, taken: taken)
        refresh()
    }

    public var name: String { draft.name }
    var command: String { draft.commandLine }
    var request: LibraryRequest { .create(draft, starts: starts) }
    var isLast: Bool { step == .summary }

    // MARK: Fields

    private mutating func refresh() {
        let problems = problems
        var fields = fieldsOfStep()
        // An empty path is no reproach before something has been typed.
        for i in fields.indices { fields[i].problem = problems[fields[i].key].flatMap { $0.isEmpty || fields[i].value.isEmpty ? nil : $0 } }
        if panel.fields.isEmpty { panel = FieldsPanel(fields) } else { panel.replace(fields) }
    }

    private var problems: [String: String] {
        draft.problems(in: step, taken: taken).merging(bad.mapValues(\.problem)) { $1 }
    }

    private func setting(_ field: SettingField, help: String? = nil) -> FieldsPanel.Field {
        var result = FieldsPanel.Field(
            field.key, title: field.title, help: help ?? field.help, kind: SettingsPanel.kind(field.kind, optional: field.isOptional),
            value: bad[field.key]?.text ?? field.get(draft.settings))
        if case .file = field.kind { result.isFile = true }
        return result
    }

    private func fieldsOfStep() -> [FieldsPanel.Field] {
        let system = draft.osType
        switch step {
        case .system:
            let families = OSType.all.reduce(into: [String]()) { if !$0.contains($1.family) { $0.append($1.family) } }
            let types = OSType.all.filter { $0.family == system.family }.map { FieldsPanel.Choice($0.id, $0.title) }
            let expect = system.notes.isEmpty ? "" : "\n\n" + system.notes
            return [
                .init(
                    "name", title: "Name",
                    help: "What the machine is called, here and on the command line. Its folder has the same name. Letters, digits, blanks "
                        + "and - _ . are allowed.",
                    kind: .text(unit: ""), value: draft.name),
                .init(
                    "family", title: "Family", help: "What kind of system will run on it. The next field offers the systems of the family.",
                    kind: .choice(families.map { .init($0) }), value: system.family),
                .init(
                    "general.os-type", title: "System",
                    help: "The next steps begin with what suits it: memory, processor, disk and clock." + expect, kind: .choice(types),
                    value: system.id),
            ]
        case .hardware:
            return step.fields.map { field in
                field.key != "system.memory"
                    ? setting(field)
                    : setting(field, help: "\(system.title) is at home with \(system.memoryMiB) MiB. \(field.help)")
            }
        case .disk: return diskFields
        case .media:
            return step.fields.map { field in
                field.key == "storage.cdrom" || field.key == "storage.floppy"
                    ? setting(field, help: field.help + " May stay empty: media can be put in and taken out at any time.") : setting(field)
            }
        case .summary: return summaryFields
        }
    }

    private var diskFields: [FieldsPanel.Field] {
        var fields = [
            FieldsPanel.Field(
                "disk", title: "Hard disk", help: "A new disk is empty and belongs to the machine. An image that is there already stays where it is.",
                kind: .choice(MachineDraft.DiskChoice.allCases.map { .init($0.rawValue, $0.title) }), value: draft.diskChoice.rawValue)
        ]
        switch draft.diskChoice {
        case .new:
            let usual = draft.osType.diskBytes > 0 ? " \(draft.osType.title) is at home with \(ByteSize.exact(draft.osType.diskBytes))." : ""
            fields.append(.init("disk.size", title: "Size", help: "With a unit: 512M, 8G." + usual, kind: .text(unit: ""), value: draft.diskSize))
            fields.append(
                .init(
                    "format", title: "Takes room", help: "A growing file takes what the guest has written; one made in full never runs out of room later.",
                    kind: .choice([.init("dynamic", "as it is written"), .init("fixed", "at once (VDI)"), .init("raw", "raw image")]),
                    value: draft.diskFormat.rawValue))
        case .existing:
            var field = FieldsPanel.Field(
                "disk.path", title: "Image file", help: "Path of the image. What the guest writes is written into it.", kind: .text(unit: ""),
                value: draft.diskPath)
            field.isFile = true
            fields.append(field)
        case .none: break
        }
        return fields
    }

    private var summaryFields: [FieldsPanel.Field] {
        let run = draft.settings.run
        var lines = [
            "\(name): \(draft.osType.title)",
            "\(Amount.memory(run.memoryMiB)) memory, \(Amount.count(run.cpus, "processor", "processors")) (\(run.cpuModel))",
        ]
        switch draft.diskChoice {
        case .new: lines.append("New disk of \(draft.diskSize), \(draft.diskFormat.rawValue), on \(run.diskInterface.rawValue)")
        case .existing: lines.append("Disk: \(draft.diskPath)")
        case .none: lines.append("No hard disk")
        }
        lines.append("CD: \(run.cdrom ?? "empty")")
        if let floppy = run.floppy { lines.append("Floppy: \(floppy)") }
        if let kernel = run.kernel { lines.append("Kernel: \(kernel)") }
        if let problem = draft.problems(in: .summary, taken: taken)["summary"] { lines += ["", problem] }
        let notes = lines.enumerated().map { FieldsPanel.Field("note\($0)", title: $1, help: "", kind: .note) }
        return notes + [
            .init("blank", title: "", help: "", kind: .note),
            .init("starts", title: "Start it now", help: "The machine is switched on as soon as it is there.", kind: .flag, value: starts ? "on" : "off"),
            .init(
                "create", title: "", help: "Makes the machine's folder, its settings and its disk. Everything can be changed later in its settings.",
                kind: .button, value: "Create"),
        ]
    }

    // MARK: Input

    mutating func command(_ id: ActionID) -> FieldsPanel.Outcome {
        if id == .backspace || id == .deleteForward { dropOffer() }
        return take(panel.command(id))
    }
    mutating func text(_ scalar: Unicode.Scalar) -> FieldsPanel.Outcome {
        dropOffer()
        return take(panel.text(scalar))
    }
    mutating func paste(_ text: String) -> FieldsPanel.Outcome {
        dropOffer()
        return take(panel.paste(text))
    }

    /// The name that we offer goes as soon as one is typed.
    private mutating func dropOffer() {
        guard step == .system, panel.current?.key == "name", !draft.nameIsOwn else { return }
        panel.set("name", "")
        (draft.name, draft.nameIsOwn) = ("", true)
    }
    mutating func choose(_ key: String, _ value: String) {
        panel.set(key, value)
        _ = take(.changed(key))
    }

    private mutating func take(_ outcome: FieldsPanel.Outcome) -> FieldsPanel.Outcome {
        guard case .changed(let key) = outcome else { return outcome }
        change(key, panel.value(key))
        refresh()
        return outcome
    }

    private mutating func change(_ key: String, _ text: String) {
        switch key {
        case "name": (draft.name, draft.nameIsOwn) = (text, true)
        case "family": if let first = OSType.all.last(where: { $0.family == text }) { draft.choose(first, taken: taken) }
        case "general.os-type": if let system = OSType.named(text) { draft.choose(system, taken: taken) }
        case "disk": draft.diskChoice = MachineDraft.DiskChoice(rawValue: text) ?? .new
        case "disk.size": (draft.diskSize, draft.diskSizeIsOwn) = (text, true)
        case "format": draft.diskFormat = NewDisk.Format(rawValue: text) ?? .dynamic
        case "disk.path": draft.diskPath = text
        case "starts": starts = text == "on"
        default:
            guard let field = SettingField.named(key) else { return }
            do throws(MachineError) {
                try draft.set(field, to: text)
                bad[key] = nil
            } catch {
                bad[key] = (text, error.description)
            }
        }
    }

    /// - Returns: why it does not go on, or nil.
    mutating func next() -> String? {
        let problems = problems
        if let field = panel.fields.first(where: { problems[$0.key] != nil }), let problem = problems[field.key] {
            let sentence = problem.isEmpty ? "\(field.title) is missing." : problem
            panel.select(field.key)
            panel.setProblem(field.key, sentence)
            return sentence
        }
        if let problem = problems.values.first { return problem }
        guard let following = MachineDraft.Step(rawValue: step.rawValue + 1) else { return nil }
        show(following)
        return nil
    }

    /// - Returns: false at the first step.
    mutating func back() -> Bool {
        guard let before = MachineDraft.Step(rawValue: step.rawValue - 1) else { return false }
        show(before)
        return true
    }

    private mutating func show(_ new: MachineDraft.Step) {
        (step, bad) = (new, [:])
        panel = FieldsPanel([])
        refresh()
        if new == .summary { panel.select("create") }
    }

    func draw(in area: Rect, look: PanelLook, on surface: inout Surface) {
        let title = "New machine \(step.rawValue + 1)/\(MachineDraft.Step.allCases.count): \(step.title)"
        panel.draw(in: area, title: title, look: look, isForm: false, on: &surface)
    }

    mutating func setPage(_ area: Rect) { panel.setPage(area) }
    mutating func click(column: Int, row: Int, in area: Rect) -> FieldsPanel.Outcome { take(panel.click(column: column, row: row, in: area)) }
}
