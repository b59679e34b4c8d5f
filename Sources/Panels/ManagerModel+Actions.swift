import Hardware
import Machine
import Terminal

// Commands.
extension ManagerModel {
    public mutating func run(_ id: ActionID) {
        if steer(id) { return }
        switch id {
        case .open:
            if let row = list.selected { open(row) } else { list.toggleFold() }
        case .start: start(list.chosen)
        case .pause: pause(list.chosen)
        case .acpiOff: each(.acpiOff, list.chosen.filter(\.state.takesCommands))
        case .reset, .powerOff: askEach(id)
        case .saveState: saveState()
        case .discardState: askDiscard()
        case .snapshots, .takeSnapshot: openSnapshots(takes: id == .takeSnapshot)
        case .restoreSnapshot, .deleteSnapshot, .cloneSnapshot, .stopSnapshot, .diffSnapshot, .exportSnapshot, .importSnapshot, .undoSnapshot,
            .commitSnapshot:
            runSnapshot(id)
        case .newMachine:
            wizard = WizardPanel(taken: Set(list.rows.map(\.name)))
            screen = .wizard
        case .settings: openForm()
        case .clone: askName(.clone)
        case .rename: askName(.rename)
        case .group:
            let rows = list.chosen
            guard !rows.isEmpty else { return effects.append(.beep) }
            overlay = .dialog(
                DialogPanel(
                    title: "Group", lines: ["Group of \(ManagerModel.names(rows)); empty for none:"],
                    buttons: [.init("Set", .manager(.group(rows.map(\.name), to: ""))), .init("Cancel")], input: .text, value: rows[0].group))
        case .delete: askDelete()
        case .log, .panel4: openLog()
        case .showCommand: showCommand()
        case .sort:
            overlay = .list(
                ListPanel(
                    title: "Sort by", hint: "Enter sorts  Esc closes",
                    items: MachineOrder.allCases.map { .init($0.rawValue, key: $0 == list.order ? "now" : "", .manager(.sort($0))) }))
        case .undo: undo()
        case .nextPanel where isBeside && screen == .machines: screen = .console
        case .nextPanel, .previousPanel: changePanel(id == .nextPanel ? 1 : -1)
        case .panel1, .panel2, .panel3:
            screen = .machines
            focus = ActionID.panels.firstIndex(of: id).map { $0 + 1 } ?? 1
        case .machines: goHome()
        case .nextConsole: nextConsole()
        case _ where id.consoleIndex != nil:
            let names = running, index = id.consoleIndex ?? 0
            guard names.indices.contains(index) else { return say(names.isEmpty ? "No machine runs." : "Only \(names.count) run.") }
            show(names[index])
        case .split: toggleSplit()
        case .scrollback: console { $0.perform(.scrollback, at: $1) }
        case .back, .cancel: back()
        case .save: if let form { save(form) }
        case .nextStep: nextStep()
        case .previousStep: if wizard?.back() == false { effects.append(.beep) }
        case _ where screen == .log && logPanel?.heading != nil && [.level, .component, .trace, .run, .follow].contains(id): effects.append(.beep)
        case .level: logPanel?.cycleLevel()
        case .component:
            guard let panel = logPanel else { return }
            let items = [ListPanel.Item("everything", .manager(.component("")))] + panel.components.map { .init($0, .manager(.component($0))) }
            overlay = .list(ListPanel(title: "Component", hint: "Enter shows it alone  Esc closes", items: items))
        case .trace: askTrace()
        case .run:
            guard let panel = logPanel, panel.runs > 1 else { return say("There is one run only.") }
            let items = (0..<panel.runs).map { ListPanel.Item($0 == 0 ? "this run, or the last" : "\($0) before", .manager(.logRun($0))) }
            overlay = .list(ListPanel(title: "Run", hint: "Enter shows it  Esc closes", items: items))
        case .chooseTheme:
            overlay = .list(
                ListPanel(title: "Theme", hint: "Enter applies  Esc closes", items: settings.themeNames.map { .init($0, .theme($0)) }))
        case .chooseKeymap:
            overlay = .list(
                ListPanel(title: "Keymap", hint: "Enter applies  Esc closes", items: settings.keymapNames.map { .init($0, .manager(.keymap($0))) }))
        case .chooseHostKey: askHostKey(first: false)
        case .redraw: effects.append(.redraw)
        case .suspend: effects.append(.suspend)
        case .menu: openMenu()
        case .palette: overlay = .list(palette)
        case .help: overlay = .list(helpList)
        case .quit: quit()
        default: effects.append(.beep)
        }
    }

    /// Commands that move within what is in view.
    private mutating func steer(_ id: ActionID) -> Bool {
        let area = body
        switch screen {
        case .machines:
            if focus == 2, id == .listUp || id == .listDown {
                detailsTop = max(0, detailsTop + (id == .listDown ? 1 : -1))
                return true
            }
            if focus == 3, id == .accept { return false }
            list.setPage(machineParts.list)
            return list.command(id)
        case .form:
            guard var form else { return false }
            form.setPage(body)
            let outcome = form.command(id)
            self.form = form
            field(outcome)
            return outcome != .none
        case .wizard:
            guard var wizard else { return false }
            wizard.setPage(body)
            let outcome = wizard.command(id)
            self.wizard = wizard
            field(outcome)
            return outcome != .none
        case .log:
            logPanel?.text.setPage(area)
            switch logPanel?.text.command(id) ?? .unknown {
            case .unknown: return false
            case .done: break
            case .say(let sentence): say(sentence)
            case .copy(let text):
                effects.append(.copy(text))
                say("Copied \(Amount.count(text.filter(\.isNewline).count, "line", "lines")).")
            case .save(let text): effects.append(.saveText(text, prefix: "vitrine-\(logPanel?.name ?? "log")-log"))
            }
            return true
        case .snapshots:
            snapshotsPanel?.setPage(area)
            guard snapshotsPanel?.command(id) == true else { return false }
            askScreen()
            return true
        case .console: return false
        }
    }

    /// What a field of a form or of the wizard asks for.
    mutating func field(_ outcome: FieldsPanel.Outcome) {
        switch outcome {
        case .none, .moved: break
        case .complete: completePath()
        case .browse(let key):
            let panel = screen == .form ? form?.panel : wizard?.panel
            choosing = key
            browse(PathCompletion.split(panel?.value(key) ?? "").folder)
        case .changed: checkPath()
        case .choose(let key):
            let panel = screen == .form ? form?.panel : wizard?.panel
            guard let field = panel?.fields.first(where: { $0.key == key }), case .choice(let choices) = field.kind else { return }
            choosing = key
            var items: [ListPanel.Item] = []
            for choice in choices {
                items.append(.init(choice.title, key: choice.value == field.value ? "now" : "", .type(choice.value)))
            }
            var chooser = ListPanel(title: field.title, hint: "Type to search  Enter chooses  Esc closes", items: items)
            chooser.selected = choices.firstIndex { $0.value == field.value } ?? 0
            overlay = .list(chooser)
        case .pressed: nextStep()
        }
    }

    /// Whether the file of the field being filled in is there.
    private mutating func checkPath() {
        if screen == .form, let place = form?.pathToCheck {
            let problem = settings.fileProblem(place.path, form?.name)
            form?.note(problem, for: place.key)
        }
    }

    private mutating func completePath() {
        guard var panel = screen == .form ? form?.panel : wizard?.panel, let field = panel.current else { return }
        let machine = screen == .form ? form?.name : nil, list = settings.listFolder
        switch PathCompletion.complete(field.value, { list($0, machine) }) {
        case .several(let text, let names) where text == field.value && names.contains(PathCompletion.split(text).name):
            // It is one of them already.
            panel.goOn()
            if screen == .form { form?.panel = panel } else { wizard?.panel = panel }
        case .none:
            panel.goOn()
            if screen == .form { form?.panel = panel } else { wizard?.panel = panel }
        case .text(let text): choosePath(field.key, text)
        case .several(let text, let names):
            if text != field.value { choosePath(field.key, text) }
            say("\(names.count) names begin so: \(names.prefix(12).joined(separator: "  "))\(names.count > 12 ? "  …" : "")", milliseconds: 6000)
        }
    }

    private mutating func choosePath(_ key: String, _ text: String) {
        if screen == .form { form?.choose(key, text) } else { wizard?.choose(key, text) }
        checkPath()
    }

    mutating func browse(_ folder: String) {
        guard let key = choosing else { return }
        let machine = screen == .form ? form?.name : nil
        guard let listing = settings.listFolder(folder, machine) ?? settings.listFolder("", machine) else {
            return say("The folder '\(folder)' cannot be read.")
        }
        let (title, endings) = FileKind.of(key)
        overlay = .list(PathCompletion.browser(title, listing, endings: endings) { .type($0) })
    }

    // MARK: Machines

    private mutating func open(_ row: MachineRow) {
        if let problem = row.problem { return say(problem, milliseconds: 8000) }
        if row.state.isAlive { return show(row.name) }
        opening = row.name
        effects.append(.library(.start([row.name])))
        say("Starting \(row.name)…")
    }

    private mutating func start(_ rows: [MachineRow]) {
        let names = rows.filter { $0.state.canStart }.map(\.name)
        guard !names.isEmpty else { return say(rows.isEmpty ? "No machine is selected." : "\(ManagerModel.names(rows)): nothing to start.") }
        effects.append(.library(.start(names)))
        say(names.count == 1 ? "Starting \(names[0])…" : "Starting \(names.count) machines…")
    }

    private mutating func pause(_ rows: [MachineRow]) {
        let able = rows.filter(\.state.takesCommands)
        guard !able.isEmpty else { return say("\(ManagerModel.names(rows)): not running.") }
        // Of several, all go the same way.
        each(able.contains { $0.state == .running } ? .pause : .resume, able)
    }

    private mutating func each(_ command: StoredCommand, _ rows: [MachineRow]) {
        guard !rows.isEmpty else { return say("Not running.") }
        for row in rows { effects.append(.library(.command(row.name, command))) }
        if command == .acpiOff { say("Power button pressed; the guest decides.") }
    }

    private mutating func askEach(_ id: ActionID) {
        let rows = list.chosen.filter { id == .powerOff ? $0.state.isAlive : $0.state.takesReset }
        guard !rows.isEmpty else { return say("\(ManagerModel.names(list.chosen)): not running.") }
        let verb = Action[id].short
        overlay = .dialog(
            DialogPanel(
                title: verb, lines: ["\(verb) \(ManagerModel.names(rows))?"] + allNames(rows) + ["Unsaved guest data is lost."], danger: true,
                buttons: [.init("Cancel"), .init(verb, .manager(.each(id, rows.map(\.name))))]))
    }

    static func names(_ rows: [MachineRow]) -> String {
        switch rows.count {
        case 0: "nothing"
        case 1...3: rows.map(\.name).joined(separator: ", ")
        default: "\(rows.count) machines"
        }
    }

    /// Those that a question is about, when it gives their number only; as many as there is room for.
    private func allNames(_ rows: [MachineRow]) -> [String] {
        guard rows.count > 3 else { return [] }
        let lines = PanelLook.wrap(rows.map(\.name).joined(separator: ", "), min(60, size.width - 10)), room = max(1, size.height - 14)
        return lines.count > room ? Array(lines.prefix(room)) + ["…"] : lines
    }

    private mutating func askName(_ id: ActionID) {
        guard let row = list.selected else { return say("Select a machine first.") }
        guard !row.state.isAlive else { return say(runs(row)) }
        let isClone = id == .clone
        overlay = .dialog(nameDialog(row.name, isClone: isClone, value: isClone ? freeName(row.name) : row.name, problem: nil))
    }

    private func nameDialog(_ name: String, isClone: Bool, value: String, problem: String?) -> DialogPanel {
        let size = list.rows.first { $0.name == name }.map { Amount.bytes($0.diskBytes) } ?? ""
        var lines = isClone ? ["Copies \(name) and its disks (\(size)). Name of the copy:"] : ["New name of \(name):"]
        if let problem { lines.insert(contentsOf: PanelLook.wrap(problem, 56), at: 0) }
        return DialogPanel(
            title: isClone ? "Clone" : "Rename", lines: lines,
            buttons: [
                .init(isClone ? "Clone" : "Rename", .manager(isClone ? .clone(name, to: "") : .rename(name, to: ""))), .init("Cancel"),
            ], input: .text, value: value)
    }

    /// `NAME 2`, `NAME 3`, …
    func freeName(_ name: String) -> String {
        let taken = Set(list.rows.map(\.name))
        var n = 2
        while taken.contains("\(name) \(n)") { n += 1 }
        return "\(name) \(n)"
    }

    private func runs(_ row: MachineRow) -> String {
        let keys = [ActionID.acpiOff, .powerOff].compactMap { id in
            keymap.label(for: id.rawValue, in: "machines").map { "\($0) \(Action[id].short)" }
        }
        return "\(row.name) runs; stop it first" + (keys.isEmpty ? "." : ": \(keys.joined(separator: ", ")).")
    }

    private mutating func askDelete() {
        let rows = list.chosen
        guard !rows.isEmpty else { return effects.append(.beep) }
        if let alive = rows.first(where: { $0.state.isAlive }) { return say(runs(alive)) }
        let bytes = rows.reduce(0) { $0 + $1.diskBytes }
        let own = rows.reduce(0) { $0 + ($1.settings?.run.disks.filter { !$0.hasPrefix("/") }.count ?? 0) }
        let others = rows.flatMap { row in (row.settings?.run.disks ?? []).filter { $0.hasPrefix("/") } }
        var lines = ["Lost for ever: \(ManagerModel.names(rows)), \(Amount.count(own, "disk", "disks")), \(Amount.bytes(bytes)), settings and logs."]
        lines += allNames(rows)
        if let first = others.first { lines.append("Kept: \(first)" + (others.count > 1 ? " and \(others.count - 1) more" : "")) }
        let required = rows.count == 1 ? rows[0].name : "delete \(rows.count)"
        lines.append("Type \(required) to confirm:")
        var dialog = DialogPanel(
            title: "Delete", lines: lines, danger: true, buttons: [.init("Cancel"), .init("Delete", .manager(.delete(rows.map(\.name))))],
            input: .text)
        dialog.required = required
        overlay = .dialog(dialog)
    }

    private mutating func showCommand() {
        let command: String
        switch screen {
        case .wizard: command = wizard?.command ?? ""
        case .form:
            command = form.flatMap { CommandText.set($0.name, from: $0.original, to: $0.settings) }
                ?? "Nothing has been changed: there is no command for that."
        default:
            guard let row = list.selected, let settings = row.settings else { return effects.append(.beep) }
            command = CommandText.create(row.name, settings)
        }
        let lines = ManagerModel.shellLines(command, width: min(72, size.width - 8))
        overlay = .dialog(
            DialogPanel(title: "As a command", lines: lines, buttons: [.init("Close"), .init("Copy", .manager(.copy(command)))]))
    }

    /// A command over several lines, as a shell would take it.
    static func shellLines(_ command: String, width: Int) -> [String] {
        var lines: [String] = [], line = ""
        for word in command.split(separator: " ") {
            if line.isEmpty { line = String(word) } else if Width.of(line) + Width.of(word) + 3 <= width { line += " " + word } else {
                lines.append(line + " \\")
                line = "    " + word
            }
        }
        return lines + [line]
    }

    // MARK: Form and wizard

    private mutating func openForm() {
        let row = screen == .console ? list.rows.first { $0.name == current } : list.selected
        guard let row else { return effects.append(.beep) }
        guard let settings = row.settings else { return say(row.problem ?? "The settings cannot be read.", milliseconds: 8000) }
        form = SettingsPanel(name: row.name, settings: settings, isLive: row.state.isAlive)
        remember()
        screen = .form
    }

    private mutating func save(_ form: SettingsPanel) {
        guard form.canSave else {
            effects.append(.beep)
            return say(form.obstacle ?? "")
        }
        var lines = form.changes.map(\.description)
        let room = max(4, size.height - 12)
        if lines.count > room { lines = Array(lines.prefix(room)) + ["and \(lines.count - room) more"] }
        overlay = .dialog(
            DialogPanel(title: "Save these changes?", lines: lines, buttons: [.init("Save", .manager(.apply)), .init("Cancel")]))
    }

    private mutating func nextStep() {
        guard wizard != nil else { return }
        if wizard?.isLast == true, let request = wizard?.request {
            beginWork("Creating \(wizard?.name ?? "")", isBytes: true)
            return effects.append(.library(request))
        }
        if let problem = wizard?.next() {
            effects.append(.beep)
            say(problem)
        }
    }

    mutating func beginWork(_ title: String, isBytes: Bool) {
        work = (title, now)
        var panel = ProgressPanel(title: title)
        panel.isBytes = isBytes
        panel.cancelKey = keymap.label(for: ActionID.cancel.rawValue, in: "dialog") ?? "Esc"
        overlay = .progress(panel)
    }

    // MARK: Screens

    mutating func remember() {
        if screen == .console { console { $0.releaseAll(at: $1) } }
        origin = screen == .console ? .console : .machines
    }

    /// Back to where a form or a log was opened from.
    mutating func returnToOrigin() {
        screen = origin == .console && current.map { consoles[$0] != nil } == true ? .console : .machines
        effects.append(.mouse(mouseMode))
    }

    private mutating func openLog() {
        let name = screen == .console ? current : list.selected?.name
        guard let name else { return effects.append(.beep) }
        logPanel = LogPanel(name: name)
        remember()
        screen = .log
        effects.append(.library(.log(name, run: 0)))
    }

    private mutating func changePanel(_ step: Int) {
        guard screen == .machines else { return nextConsole() }
        if isBeside { return screen = .console }
        focus = (focus - 1 + step + 3) % 3 + 1
    }

    private mutating func nextConsole() {
        let names = running
        guard !names.isEmpty else { return say("No machine runs.") }
        let index = current.flatMap { names.firstIndex(of: $0) } ?? -1
        show(names[(index + 1) % names.count])
    }

    private mutating func goHome() {
        guard screen != .form || form?.isChanged != true else { return back() }
        if screen == .console { return leaveConsole() }
        (form, wizard, logPanel) = (nil, nil, nil)
        if snapshotsPanel != nil { closeSnapshots() }
        screen = .machines
    }

    mutating func toggleSplit() {
        guard size.width >= 120 else {
            // No room for both: the key goes to and fro.
            if screen == .console { return leaveConsole() }
            guard let name = current ?? list.selected.flatMap({ $0.state.isAlive ? $0.name : nil }) else {
                return say("The selected machine does not run.")
            }
            return show(name)
        }
        if !isSplit, current == nil || consoles[current ?? ""] == nil {
            guard let row = list.selected, row.state.isAlive else { return say("The selected machine does not run.") }
            show(row.name)
        }
        isSplit.toggle()
        layOut()
    }

    private mutating func back() {
        switch screen {
        case .machines: if focus != 1 { focus = 1 }
        case .console: leaveConsole()
        case .form:
            guard form?.isChanged == true else {
                form = nil
                return returnToOrigin()
            }
            overlay = .dialog(
                DialogPanel(
                    title: "Leave the settings?", lines: ["The changes have not been saved."],
                    buttons: [.init("Go on editing"), .init("Discard them", .manager(.discard))]))
        case .wizard:
            if wizard?.back() == false {
                wizard = nil
                screen = .machines
            }
        case .log:
            let isLog = logPanel?.heading == nil
            logPanel = nil
            if !isLog, snapshotsPanel != nil { return screen = .snapshots }
            returnToOrigin()
        case .snapshots:
            closeSnapshots()
            returnToOrigin()
        }
    }

    private mutating func undo() {
        guard let last = undos.popLast() else { return say("There is nothing to undo.") }
        pendingUndo += last.requests
        for request in last.requests { effects.append(.library(request)) }
        say("Undone: \(last.title).")
    }

    mutating func askTrace() {
        guard let panel = logPanel, list.rows.contains(where: { $0.name == panel.name && $0.state.isAlive }) else {
            return say("Only a running machine has events.")
        }
        let items = TraceCategory.allCases.map { category in
            ListPanel.Item(category.name, key: panel.traced.contains(category.name) ? "on" : "off", .manager(.trace(category.name)))
        }
        overlay = .list(ListPanel(title: "Trace", hint: "Enter switches  Esc closes", items: items))
    }

    // MARK: Leaving

    private mutating func quit() {
        if screen == .console { return leaveConsole() }
        if let job { return say("\(job.title): still under way; wait for its end, or stop it first.") }
        let alive = list.rows.filter { $0.state.isAlive }
        guard !alive.isEmpty else { return effects.append(.finish) }
        let which = alive.count == 1 ? "\(alive[0].name) is running." : "\(alive.count) machines are running."
        overlay = .dialog(
            DialogPanel(
                title: "Quit", lines: [which, "Kept running, \(alive.count == 1 ? "it is" : "they are") here again the next time."],
                buttons: [
                    .init("Keep running", .manager(.quit(.keepRunning))), .init("Save state", .manager(.quit(.saveState))),
                    .init("ACPI off", .manager(.quit(.acpiOff))),
                    .init("Power off", .manager(.quit(.powerOff))), .init("Cancel"),
                ]))
    }

    mutating func checkLeaving() {
        guard let leaving else { return }
        let alive = leaving.names.filter { name in list.rows.contains { $0.name == name && $0.state.isAlive } }
        if alive.isEmpty {
            self.leaving = nil
            effects.append(.finish)
        } else if now >= leaving.until {
            self.leaving = nil
            say("Still running: \(alive.sorted().joined(separator: ", ")).", milliseconds: 8000)
        }
    }
}
