import Machine
import Terminal

/// A new machine in five steps, with defaults that fit its system.
public struct WizardPanel: Equatable, Sendable {
    enum Step: Int, CaseIterable {
        case system, hardware, disk, media, summary

        var title: String {
            switch self {
            case .system: "Name and system"
            case .hardware: "Memory and processors"
            case .disk: "Hard disk"
            case .media: "CD and floppy"
            case .summary: "Summary"
            }
        }
    }
    enum DiskKind: String { case new, existing, none }

    private(set) var step = Step.system
    private(set) var name = ""
    private(set) var settings: MachineSettings
    private var family: String
    private var diskKind = DiskKind.new
    private var diskSize: String
    private var diskFormat = NewDisk.Format.dynamic
    private var diskPath = ""
    private var starts = true
    /// The user has chosen the size; another system does not change it.
    private var sizeIsOwn = false
    private var problems: [String: String] = [:]
    private let taken: Set<String>
    var panel = FieldsPanel([])

    public static func == (a: WizardPanel, b: WizardPanel) -> Bool {
        a.step == b.step && a.panel == b.panel && a.settings == b.settings && a.name == b.name
    }

    static let firstSystem = OSType.named("linux-64") ?? OSType.other

    /// - Parameter taken: names that other machines have.
    public init(taken: Set<String>) {
        self.taken = taken
        let system = WizardPanel.firstSystem
        settings = system.settings
        family = system.family
        diskSize = CommandText.size(system.diskBytes)
        problems["name"] = MachineName.problem("")
        refresh()
    }

    var system: OSType { OSType.named(settings.osType) ?? OSType.other }

    public var disk: NewDisk? {
        guard diskKind == .new, let bytes = WizardPanel.bytes(diskSize) else { return nil }
        return NewDisk(bytes: bytes, format: diskFormat)
    }

    /// The settings with a disk that is there already.
    public var complete: MachineSettings {
        var result = settings
        if diskKind == .existing, !diskPath.isEmpty { result.run.disks = [diskPath] }
        return result
    }

    public var command: String { CommandText.create(name.isEmpty ? "NAME" : name, complete, disk: disk) }
    var request: LibraryRequest { .create(name, complete, disk: disk, starts: starts) }

    /// `8G`, `512M`, `1440K`; a bare number is GiB.
    static func bytes(_ text: String) -> UInt64? {
        let word = text.uppercased().replacing("IB", with: "").filter { $0 != " " }
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        let unit = word.last.flatMap { units[$0] }
        guard let number = UInt64(unit == nil ? word[...] : word.dropLast()), number > 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit ?? 1 << 30)
        return overflow || bytes < 1 << 20 || bytes > 2 << 40 ? nil : bytes / 512 * 512
    }

    // MARK: Fields

    private mutating func refresh() {
        var fields = fieldsOfStep()
        for i in fields.indices { fields[i].problem = shownProblem(fields[i]) }
        if panel.fields.isEmpty { panel = FieldsPanel(fields) } else { panel.replace(fields) }
    }

    /// An empty name is no reproach before something has been typed.
    private func shownProblem(_ field: FieldsPanel.Field) -> String? {
        field.key == "name" && field.value.isEmpty ? nil : problems[field.key]
    }

    private func setting(_ key: String, title: String? = nil, help: String? = nil) -> FieldsPanel.Field? {
        guard let field = SettingField.named(key) else { return nil }
        return FieldsPanel.Field(
            key, title: title ?? field.title, help: help ?? field.help, kind: SettingsPanel.kind(field.kind, optional: field.isOptional),
            value: problems[key] == nil ? field.get(settings) : panel.value(key))
    }

    private func fieldsOfStep() -> [FieldsPanel.Field] {
        switch step {
        case .system:
            let families = OSType.all.reduce(into: [String]()) { if !$0.contains($1.family) { $0.append($1.family) } }
            let types = OSType.all.filter { $0.family == family }.map { FieldsPanel.Choice($0.id, $0.title) }
            let expect = system.notes.isEmpty ? "" : "\n\n" + system.notes
            return [
                .init(
                    "name", title: "Name",
                    help: "What the machine is called, here and on the command line. Its folder has the same name. Letters, digits, blanks and - _ . are allowed.",
                    kind: .text(unit: ""), value: name),
                .init(
                    "family", title: "Family", help: "What kind of system will run on it. The next field offers the systems of the family.",
                    kind: .choice(families.map { .init($0) }), value: family),
                .init(
                    "general.os-type", title: "System",
                    help: "The next steps begin with what suits it: memory, processor, disk and clock." + expect, kind: .choice(types),
                    value: settings.osType),
                setting("general.group", help: "A word under which the list can show several machines together; may stay empty."),
            ].compactMap { $0 }
        case .hardware:
            return [
                setting(
                    "system.memory", help: "\(system.title) is at home with \(system.memoryMiB) MiB. The host gives it as the guest uses it."),
                setting("system.cpus"), setting("system.cpu-model"), setting("display.video-memory"), setting("system.boot"),
                setting("system.acpi"), setting("system.rtc-local"),
            ].compactMap { $0 }
        case .disk: return diskFields
        case .media:
            return [
                setting("storage.cdrom", title: "CD image", help: "The installer's ISO file, absolute path. May stay empty; a CD can be put in at any time."),
                setting("storage.floppy", title: "Floppy image", help: "For systems that are installed from floppies. May stay empty; floppies can be changed while it runs."),
            ].compactMap { $0 }
        case .summary: return summaryFields
        }
    }

    private var diskFields: [FieldsPanel.Field] {
        var fields = [
            FieldsPanel.Field(
                "disk", title: "Hard disk", help: "A new disk is empty and belongs to the machine. An image that is there already stays where it is.",
                kind: .choice([.init("new", "a new one"), .init("existing", "an image file"), .init("none", "none")]), value: diskKind.rawValue)
        ]
        switch diskKind {
        case .new:
            fields.append(
                .init(
                    "size", title: "Size", help: "With a unit: 512M, 8G. \(system.title) is at home with \(CommandText.size(max(system.diskBytes, 1 << 20))).",
                    kind: .text(unit: ""), value: diskSize))
            fields.append(
                .init(
                    "format", title: "Grows", help: "A growing file takes what the guest has written; one made in full never runs out of room later.",
                    kind: .choice([.init("dynamic", "as it is written"), .init("fixed", "made in full (VDI)"), .init("raw", "made in full (raw)")]),
                    value: diskFormat.rawValue))
        case .existing:
            fields.append(
                .init(
                    "path", title: "Image file", help: "Absolute path of the image. What the guest writes is written into it.", kind: .text(unit: ""),
                    value: diskPath))
        case .none: break
        }
        return fields + [setting("storage.disk-interface", title: "Attached to")].compactMap { $0 }
    }

    private var summaryFields: [FieldsPanel.Field] {
        var lines = [
            "\(name): \(system.title)",
            "\(Amount.memory(settings.run.memoryMiB)) memory, \(Amount.count(settings.run.cpus, "processor", "processors")) (\(settings.run.cpuModel))",
        ]
        switch diskKind {
        case .new: lines.append("New disk of \(diskSize), \(diskFormat == .dynamic ? "growing" : "made in full"), on \(settings.run.diskInterface.rawValue)")
        case .existing: lines.append("Disk: \(diskPath)")
        case .none: lines.append("No hard disk")
        }
        lines.append("CD: \(settings.run.cdrom ?? "empty")")
        if let floppy = settings.run.floppy { lines.append("Floppy: \(floppy)") }
        let notes = lines.enumerated().map { FieldsPanel.Field("note\($0)", title: $1, help: "", kind: .note) }
        return notes + [
            .init("blank", title: "", help: "", kind: .note),
            .init("starts", title: "Start it now", help: "The machine is switched on as soon as it is there.", kind: .flag, value: starts ? "on" : "off"),
            .init("create", title: "", help: "Makes the machine's folder, its settings and its disk. Everything can be changed later in its settings.", kind: .button, value: "Create"),
        ]
    }

    // MARK: Input

    mutating func command(_ id: ActionID) -> FieldsPanel.Outcome { take(panel.command(id)) }
    mutating func text(_ scalar: Unicode.Scalar) -> FieldsPanel.Outcome { take(panel.text(scalar)) }
    mutating func paste(_ text: String) -> FieldsPanel.Outcome { take(panel.paste(text)) }
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
        case "name":
            name = text
            problems[key] = MachineName.problem(text) ?? (taken.contains(text) ? "There is a machine '\(text)' already." : nil)
        case "family":
            family = text
            if let first = OSType.all.last(where: { $0.family == text }) { adopt(first) }
        case "general.os-type": if let system = OSType.named(text) { adopt(system) }
        case "disk":
            diskKind = DiskKind(rawValue: text) ?? .new
            checkDisk()
        case "size":
            (diskSize, sizeIsOwn) = (text, true)
            checkDisk()
        case "format": diskFormat = NewDisk.Format(rawValue: text) ?? .dynamic
        case "path":
            diskPath = text
            checkDisk()
        case "starts": starts = text == "on"
        default:
            guard let field = SettingField.named(key) else { return }
            do throws(MachineError) {
                settings = try field.setting(text, in: settings)
                problems[key] = nil
            } catch {
                problems[key] = error.description
            }
        }
    }

    private mutating func checkDisk() {
        problems["size"] = diskKind == .new && WizardPanel.bytes(diskSize) == nil ? "A size is 1M to 2048G, for example 8G." : nil
        problems["path"] = diskKind == .existing && !diskPath.hasPrefix("/") ? "The path must begin with /." : nil
    }

    /// Another system brings its defaults along; what the user has typed stays.
    private mutating func adopt(_ system: OSType) {
        let old = settings
        settings = system.settings
        settings.group = old.group
        (settings.run.cdrom, settings.run.floppy) = (old.run.cdrom, old.run.floppy)
        if !sizeIsOwn {
            diskSize = CommandText.size(max(system.diskBytes, 1 << 20))
            diskKind = system.diskBytes == 0 ? .none : .new
        }
        problems = problems.filter { $0.key == "name" }
        checkDisk()
    }

    /// - Returns: why it does not go on, or nil.
    mutating func next() -> String? {
        if let field = panel.fields.first(where: { problems[$0.key] != nil }), let problem = problems[field.key] {
            panel.select(field.key)
            panel.setProblem(field.key, problem)
            return problem
        }
        guard let following = Step(rawValue: step.rawValue + 1) else { return nil }
        show(following)
        return nil
    }

    var isLast: Bool { step == .summary }

    /// - Returns: false at the first step.
    mutating func back() -> Bool {
        guard let before = Step(rawValue: step.rawValue - 1) else { return false }
        show(before)
        return true
    }

    private mutating func show(_ new: Step) {
        step = new
        panel = FieldsPanel([])
        refresh()
        if new == .summary { panel.select("create") }
    }

    var pathToCheck: (key: String, path: String)? {
        guard let field = panel.current, ["path", "storage.cdrom", "storage.floppy"].contains(field.key), problems[field.key] == nil,
            !field.value.isEmpty
        else { return nil }
        return (field.key, field.value)
    }

    mutating func note(_ problem: String?, for key: String) { if problems[key] == nil { panel.setProblem(key, problem) } }

    func draw(in area: Rect, look: PanelLook, on surface: inout Surface) {
        let title = "New machine \(step.rawValue + 1)/\(Step.allCases.count): \(step.title)"
        panel.draw(in: area, title: title, look: look, isForm: false, on: &surface)
    }

    mutating func setPage(_ area: Rect) { panel.setPage(area) }
    mutating func click(column: Int, row: Int, in area: Rect) -> FieldsPanel.Outcome { take(panel.click(column: column, row: row, in: area)) }
}
