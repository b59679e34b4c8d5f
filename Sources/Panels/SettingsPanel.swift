import Machine
import Terminal

/// The settings of one machine as a form over `SettingField.all`.
public struct SettingsPanel: Equatable, Sendable {
    public let name: String
    /// What the form began with.
    public let original: MachineSettings
    /// The machine runs: only some settings may change.
    public let isLive: Bool
    /// All that is good of what has been filled in.
    public private(set) var settings: MachineSettings
    var panel: FieldsPanel
    /// Texts that are no values yet, by key.
    private var bad: [String: (text: String, problem: String)] = [:]
    /// A contradiction between settings.
    public private(set) var contradiction: String?

    public static func == (a: SettingsPanel, b: SettingsPanel) -> Bool {
        a.name == b.name && a.panel == b.panel && a.settings == b.settings && a.contradiction == b.contradiction
    }

    public init(name: String, settings: MachineSettings, isLive: Bool) {
        self.name = name
        original = settings
        self.settings = settings
        self.isLive = isLive
        panel = FieldsPanel([])
        panel = FieldsPanel(fields())
    }

    /// Key of the field that has the keyboard; a list's elements have `#` and their number behind it.
    public var currentKey: String? { panel.current?.key }
    public var changes: [SettingChange] { SettingChange.all(from: original, to: settings) }
    public var canSave: Bool { bad.isEmpty && contradiction == nil && !changes.isEmpty }
    public var isChanged: Bool { !changes.isEmpty || !bad.isEmpty }
    /// Why it cannot be saved: one sentence.
    public var obstacle: String? {
        if let first = bad.values.first { return first.problem }
        return contradiction ?? (changes.isEmpty ? "Nothing has been changed." : nil)
    }

    // MARK: Fields

    /// A list has a row for each element and one more; `storage.disks#1` is its second.
    private static func split(_ key: String) -> (key: String, index: Int?) {
        let parts = key.split(separator: "#")
        return (String(parts[0]), parts.count > 1 ? Int(parts[1]) : nil)
    }

    private func fields() -> [FieldsPanel.Field] {
        var result: [FieldsPanel.Field] = []
        for setting in SettingField.all {
            let text = setting.get(settings)
            if case .list(let element, let places) = setting.kind {
                let elements = setting.elements(text)
                // Access has a row for each disk, not more.
                let room = setting.key == "storage.disk-access" ? settings.run.disks.count : min(places.count, elements.count + 1)
                for i in 0..<min(places.count, max(room, elements.count)) {
                    var field = row(setting, "\(setting.key)#\(i)", element, i < elements.count ? elements[i] : "")
                    field.title = places.count == 1 || setting.key != "storage.disk-access" ? places[i] : "  " + places[i] + " " + setting.title.lowercased()
                    result.append(field)
                }
            } else {
                result.append(row(setting, setting.key, setting.kind, text))
            }
        }
        return result
    }

    private func row(_ setting: SettingField, _ key: String, _ kind: SettingField.Kind, _ text: String) -> FieldsPanel.Field {
        var help = setting.help
        if setting.changesWhileRunning { help += "\n\n° May change while the machine runs." }
        help += "\n\nOption: \(setting.option)"
        var field = FieldsPanel.Field(
            key, section: setting.section.title, title: setting.title, help: help, kind: SettingsPanel.kind(kind, optional: setting.isOptional),
            value: SettingsPanel.shown(text, kind))
        if let wrong = bad[key] { (field.value, field.problem) = (wrong.text, wrong.problem) }
        switch kind {
        case .file, .list(.file, _): field.isFile = true
        default: break
        }
        field.sign = setting.changesWhileRunning ? "°" : ""
        field.isEnabled = !isLive || setting.changesWhileRunning
        if !field.isEnabled { field.help += "\n\nThe machine runs: stop it to change this." }
        return field
    }

    static func kind(_ kind: SettingField.Kind, optional: Bool) -> FieldsPanel.Kind {
        switch kind {
        case .flag: .flag
        case .number(let range, let unit): .text(unit: (unit.isEmpty ? "" : unit + " ") + "(\(range.lowerBound)-\(range.upperBound))")
        case .choice(let choices): .choice((optional ? [.init("", "default")] : []) + choices.map { .init($0.value, $0.title) })
        case .order(let choices): .order(all: choices.map { .init($0.value, $0.title) })
        case .text, .lines, .file, .date, .serialEnd, .port, .list: .text(unit: "")
        }
    }

    /// Line ends are typed as `\n`.
    private static func shown(_ text: String, _ kind: SettingField.Kind) -> String {
        if case .lines = kind { return text.replacing("\n", with: "\\n") }
        return text
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
        guard case .changed(let key) = outcome else {
            if outcome == .moved { removeEmptied() }
            return outcome
        }
        change(key, panel.value(key))
        panel.replace(fields())
        return outcome
    }

    /// Elements of lists that were emptied go away once the field is left: those behind them must not move up under the fingers.
    private mutating func removeEmptied() {
        let emptied = bad.filter { $0.value.text.isEmpty && $0.key.contains("#") && $0.key != panel.current?.key }.keys.sorted().reversed()
        guard !emptied.isEmpty else { return }
        for key in emptied {
            bad[key] = nil
            change(key, "", removes: true)
        }
        panel.replace(fields())
    }

    private mutating func change(_ key: String, _ text: String, removes: Bool = false) {
        let (base, index) = SettingsPanel.split(key)
        guard let setting = SettingField.named(base) else { return }
        var value = text
        if case .lines = setting.kind { value = text.replacing("\\n", with: "\n") }
        if let index {
            var elements = setting.elements(setting.get(settings))
            if base == "storage.disk-access" {
                // Rows before it that were left alone are writable.
                while elements.count <= index { elements.append("writable") }
                elements[index] = text.isEmpty ? "writable" : text
            } else if index < elements.count {
                guard !text.isEmpty || removes || index == elements.count - 1 else {
                    return bad[key] = ("", "\(setting.title): it goes away when you leave the field.")
                }
                if text.isEmpty { elements.remove(at: index) } else { elements[index] = text }
            } else if !text.isEmpty {
                elements.append(text)
            }
            value = elements.joined(separator: "\n")
        }
        do throws(MachineError) {
            settings = try setting.setting(value, in: settings)
            bad[key] = nil
        } catch {
            bad[key] = (text, error.description)
        }
        contradiction = nil
        guard bad.isEmpty, settings != original else { return }
        do throws(MachineError) { try settings.validate() } catch { contradiction = error.description }
    }

    /// A sentence about a path, from whoever can look; empty: it is fine.
    var pathToCheck: (key: String, path: String)? {
        guard let field = panel.current, let setting = SettingField.named(SettingsPanel.split(field.key).key) else { return nil }
        switch setting.kind {
        case .file, .list(.file, _): return field.value.isEmpty ? nil : (field.key, field.value)
        default: return nil
        }
    }

    /// Notes a problem that does not keep from saving: the file may come later.
    mutating func note(_ problem: String?, for key: String) { if bad[key] == nil { panel.setProblem(key, problem) } }

    // MARK: Drawing

    func draw(in area: Rect, look: PanelLook, on surface: inout Surface) {
        let lines = statusLines(area.width)
        let status = Rect(x: area.x, y: area.bottom - lines.count, width: area.width, height: lines.count)
        let body = body(area)
        panel.draw(in: body, title: "Settings: \(name)" + (isLive ? " (running)" : ""), look: look, isForm: true, on: &surface)
        surface.fill(status, .panel)
        let isWrong = !bad.isEmpty || contradiction != nil
        for (y, line) in lines.enumerated() {
            surface.put(line, isWrong ? .stateError : .panel, column: status.x + 1, row: status.y + y, limit: status.width - 2)
        }
    }

    private func body(_ area: Rect) -> Rect {
        Rect(x: area.x, y: area.y, width: area.width, height: area.height - statusLines(area.width).count)
    }

    /// Below the fields. What is wrong with one of them is whole there already; what is between several is said here.
    private func statusLines(_ width: Int) -> [String] {
        if let wrong = bad.values.first?.problem { return [wrong] }
        if let contradiction { return Array(PanelLook.wrap(contradiction, width - 2).prefix(3)) }
        let count = changes.count
        return [count == 0 ? "Nothing changed yet. ° may change while the machine runs." : Amount.count(count, "change", "changes") + ", not saved yet."]
    }

    mutating func setPage(_ area: Rect) { panel.setPage(area) }
    mutating func click(column: Int, row: Int, in area: Rect) -> FieldsPanel.Outcome {
        take(panel.click(column: column, row: row, in: body(area)))
    }
}
