import Hardware
import Machine
import Terminal

// The picture.
extension ManagerModel {
    /// Below this the manager says so and shows nothing else.
    public static let needed = Size(width: 64, height: 16)

    var listWidth: Int { isBeside ? size.width - consoleArea.width : size.width }
    /// Between the title and the bar.
    var body: Rect { Rect(x: 0, y: 1, width: listWidth, height: max(0, size.height - 2)) }
    var overlayArea: Rect { Rect(x: 0, y: 0, width: size.width, height: max(0, size.height - 1)) }

    struct MachineParts { var list: Rect, details: Rect, screen: Rect }

    /// The list at the left, details over the small screen at the right; an empty list alone.
    var machineParts: MachineParts {
        let area = body, none = Rect(x: area.x, y: area.y, width: 0, height: 0)
        if list.rows.isEmpty || isBeside { return MachineParts(list: area, details: none, screen: none) }
        if look.linear {
            // One below the other.
            let details = min(10, area.height / 3)
            return MachineParts(
                list: Rect(x: 0, y: area.y, width: area.width, height: area.height - details),
                details: Rect(x: 0, y: area.bottom - details, width: area.width, height: details), screen: none)
        }
        let side = max(32, min(82, area.width * 45 / 100)), x = area.right - side
        let details = max(6, min(11, area.height / 2 - 1))
        return MachineParts(
            list: Rect(x: area.x, y: area.y, width: area.width - side, height: area.height),
            details: Rect(x: x, y: area.y, width: side, height: details),
            screen: Rect(x: x, y: area.y + details, width: side, height: area.height - details))
    }

    /// The whole terminal at a time.
    public func draw(at time: UInt64) -> Surface {
        var surface = Surface(width: size.width, height: size.height)
        guard !TooSmallPanel.applies(size, ManagerModel.needed) else {
            if screen == .console, let console = consoles[current ?? ""] { return console.draw(at: time) }
            TooSmallPanel.draw(ManagerModel.needed, what: "manager", on: &surface)
            return surface
        }
        if screen == .console, !isBeside, let console = consoles[current ?? ""] {
            surface = console.draw(at: time)
        } else {
            drawScreen(on: &surface)
            if isBeside, let console = consoles[current ?? ""] {
                let area = consoleArea
                var picture = console.draw(at: time)
                if screen != .console { picture.cursor = nil }
                surface.put(picture, column: area.x, row: area.y)
                if look.border != .none { for y in 0..<size.height { surface[area.x - 1, y] = Cell(scalar: 0x2502, ink: Ink(.panelBorder)) } }
            }
        }
        if let toast, screen != .console || isBeside, !Toast(toast.text).fits(listWidth) {
            Toast(toast.text).draw(width: listWidth, bottom: size.height - 1, on: &surface)
        }
        if let overlay {
            let border: BorderStyle = look.border, keep = surface.cursor
            overlay.draw(in: overlayArea, border: border, shadow: look.shadow, linear: look.linear, on: &surface)
            if case .progress = overlay, look.linear { surface.cursor = keep }
        }
        return surface
    }

    private func drawScreen(on surface: inout Surface) {
        let area = body
        surface.fill(Rect(x: 0, y: 0, width: listWidth, height: size.height), .panel)
        drawTitle(on: &surface)
        switch screen {
        case .machines, .console: drawMachines(on: &surface)
        case .form: form?.draw(in: area, look: look, on: &surface)
        case .wizard: wizard?.draw(in: area, look: look, on: &surface)
        case .snapshots:
            let row = snapshotMachine, view = row.flatMap { $0.state.isAlive ? views[$0.name] : nil }
            snapshotsPanel?.draw(
                in: area, look: look, machine: row,
                thumbnail: ThumbnailPanel(name: row?.name, frame: view?.frame, note: stateNote(row, view), theme: theme, title: "Screen"), on: &surface)
        case .log:
            if let logPanel { logPanel.text.draw(in: area, title: logPanel.title, look: look, on: &surface) }
        }
        var bar = Surface(width: listWidth, height: 1)
        if screen == .log, let text = logPanel?.text, text.searchLine != nil {
            text.drawSearch(row: 0, on: &bar)
        } else {
            hintBar.draw(row: 0, on: &bar)
        }
        if var cursor = bar.cursor {
            cursor.row = size.height - 1
            surface.cursor = cursor
        }
        surface.put(bar, column: 0, row: size.height - 1)
    }

    private func drawTitle(on surface: inout Surface) {
        surface.fill(Rect(x: 0, y: 0, width: listWidth, height: 1), .menu)
        var crumbs = "Vitrine"
        switch screen {
        case .machines, .console: break
        case .form: crumbs += " > \(form?.name ?? "") > Settings"
        case .wizard: crumbs += " > New machine"
        case .log: crumbs += " > \(logPanel?.name ?? "") > \(logPanel?.heading == nil ? "Log" : "Snapshots")"
        case .snapshots: crumbs += " > \(snapshotsPanel?.name ?? "") > Snapshots"
        }
        surface.put(crumbs, .menu, column: 1, row: 0, limit: listWidth - 2)
        let alive = list.rows.filter { $0.state.isAlive }.count
        let counts = job?.words(at: now) ?? Amount.count(list.rows.count, "machine", "machines") + (alive > 0 ? ", \(alive) running" : "")
        if Width.of(crumbs) + Width.of(counts) + 3 < listWidth { surface.put(counts, .menu, column: listWidth - 1 - Width.of(counts), row: 0) }
    }

    private func drawMachines(on surface: inout Surface) {
        let parts = machineParts, focus = screen == .machines ? focus : 0
        guard !list.rows.isEmpty else {
            look.frame(parts.list, title: "1 Machines", focused: true, on: &surface)
            let key = { (id: ActionID) -> String in keymap.label(for: id.rawValue, in: "machines") ?? "?" }
            let help = keymap.label(for: ActionID.help.rawValue, in: "global") ?? key(.help)
            let text = hasRows ? "No machines yet. Press \(key(.newMachine)) to create one, or \(help) for help" : "Looking for machines…"
            let y = parts.list.y + parts.list.height / 2
            surface.put(text, .list, column: max(1, (parts.list.width - Width.of(text)) / 2), row: y, limit: parts.list.width - 2)
            look.point(max(1, (parts.list.width - Width.of(text)) / 2), y, on: &surface)
            return
        }
        list.draw(in: parts.list, look: look, focused: focus <= 1, number: 1, on: &surface)
        let row = list.selected
        if !parts.details.isEmpty {
            DetailsPanel(row: row, group: list.selectedGroup.map { ($0, list.members($0)) })
                .draw(in: parts.details, look: look, focused: focus == 2, scrolled: detailsTop, on: &surface)
        }
        if !parts.screen.isEmpty {
            let view = row.flatMap { $0.state.isAlive ? views[$0.name] : nil }
            ThumbnailPanel(name: row?.name, frame: view?.frame, note: note(row, view), theme: theme)
                .draw(in: parts.screen, look: look, focused: focus == 3, on: &surface)
        }
        if list.isFiltering, overlay == nil, !look.linear {
            surface.cursor = Surface.Cursor(
                column: min(parts.list.right - 2, parts.list.x + 3 + Width.of("1 Machines /\(list.filter)")), row: parts.list.y, shape: .bar)
        }
    }

    /// What stands in the place of a machine's picture.
    private func note(_ row: MachineRow?, _ view: MachineView?) -> String {
        guard let row else { return list.selectedGroup == nil ? "" : "Commands act on all machines of the group." }
        let key = keymap.label(for: ActionID.open.rawValue, in: "machines") ?? "Enter"
        if view == nil, row.state.isAlive, silent.contains(row.name) { return "Its process does not answer. It is asked again every second." }
        switch view?.frame.mode {
        case .graphics(let width, let height, _)?: return "Graphics, \(width)x\(height): not drawn in the terminal."
        case .blank?: return "The guest has switched its display off."
        case .text?, nil: break
        }
        switch row.state {
        case .off: return "The machine is off. \(key) starts it."
        case .saved: return "The machine is saved. \(key) goes on with it."
        case .aborted: return "The last run ended without an end. \(key) starts it."
        case .broken: return row.problem ?? "Its file cannot be read."
        case .starting: return "The machine is being powered on."
        case .stuck: return "Guru Meditation. \(key) shows the screen that it left."
        case .running, .paused: return "\(key) opens the console."
        }
    }

    /// In the snapshots' panel nothing is started by Enter.
    private func stateNote(_ row: MachineRow?, _ view: MachineView?) -> String {
        if row?.state.isAlive == true { return note(row, view) }
        return row?.state == .saved ? "The machine is saved; the next start goes on from its state." : "The machine is off."
    }

    /// A title that says what the command would do now.
    func title(_ id: ActionID) -> String {
        let rows = list.chosen
        switch id {
        case .open where list.selectedGroup != nil: return Action[list.isFolded ? .unfold : .fold].title
        case .open: return rows.first?.state.isAlive == true ? "Console" : "Start and open"
        case .pause: return !rows.isEmpty && rows.allSatisfy { $0.state == .paused } ? "Resume" : Action[id].title
        default: return Action[id].title
        }
    }

    private func short(_ id: ActionID) -> String {
        switch id {
        case .open where list.selectedGroup != nil: Action[list.isFolded ? .unfold : .fold].short
        case .open: list.selected?.state.isAlive == true ? "Console" : "Start"
        case .pause: title(id)
        default: Action[id].short
        }
    }

    /// Whether the command would do something now.
    func isEnabled(_ id: ActionID) -> Bool {
        let rows = list.chosen
        guard isSnapshotEnabled(id) else { return false }
        switch id {
        case .saveState: return rows.contains { $0.state.takesCommands }
        case .discardState: return rows.contains { $0.state == .saved }
        case .snapshots: return list.selected.map { $0.problem == nil } ?? false
        case .takeSnapshot where screen != .snapshots: return list.selected.map { $0.problem == nil } ?? false
        case .open: return list.selectedGroup != nil || list.selected.map { $0.problem == nil } ?? false
        case .start: return rows.contains { $0.state.canStart }
        case .pause, .acpiOff: return rows.contains { $0.state.takesCommands }
        case .reset: return rows.contains { $0.state.takesReset }
        case .fold, .unfold, .groups: return list.rows.contains { !$0.group.isEmpty }
        case .powerOff: return rows.contains { $0.state.isAlive }
        case .settings, .showCommand: return list.selected?.settings != nil || screen == .wizard || screen == .form
        case .clone, .rename: return list.selected.map { !$0.state.isAlive } ?? false
        case .delete: return !rows.isEmpty && !rows.contains { $0.state.isAlive }
        case .group, .log, .mark, .markAll: return !rows.isEmpty
        case .undo: return !undos.isEmpty
        case .nextConsole, .split: return list.rows.contains { $0.state.isAlive }
        case .save: return form?.canSave ?? false
        default: return true
        }
    }

    var scope: Action.Scope {
        switch screen {
        case .machines: .machines
        case .console: .managed
        case .form: .form
        case .wizard: .wizard
        case .log: .log
        case .snapshots: .snapshots
        }
    }

    func keyLabel(_ id: ActionID) -> String { keymap.label(for: id.rawValue, in: context) ?? "" }

    var hintBar: HintBar {
        let ids: [ActionID]
        switch screen {
        case .machines, .console:
            if list.isFiltering {
                ids = [.accept, .cancel]
            } else if list.rows.isEmpty {
                ids = [.newMachine, .help, .palette, .menu, .quit]
            } else if list.selectedGroup != nil {
                ids = [.open, .start, .pause, .acpiOff, .powerOff, .mark, .group, .newMachine, .help, .quit]
            } else if list.selected?.state == .stuck {
                ids = [.open, .reset, .powerOff, .log, .newMachine, .help, .palette, .quit, .filter]
            } else if list.selected?.state.isAlive == true {
                ids = [.open, .pause, .acpiOff, .powerOff, .newMachine, .help, .palette, .quit, .nextConsole, .log, .filter]
            } else {
                ids = [.open, .newMachine, .settings, .clone, .delete, .help, .palette, .quit, .filter, .log, .rename]
            }
        case .form: ids = [.save, .back] + (form?.panel.current?.isFile == true ? [.browse] : []) + [.nextSection, .showCommand, .help, .menu]
        case .wizard: ids = [.nextStep, .previousStep] + (wizard?.panel.current?.isFile == true ? [.browse] : []) + [.showCommand, .help, .back]
        case .snapshots: ids = [
                .stopSnapshot, .takeSnapshot, .restoreSnapshot, .undoSnapshot, .diffSnapshot, .deleteSnapshot, .cloneSnapshot, .back, .help, .palette, .menu,
            ]
        case .log: ids = [.back, .follow, .level, .component, .search, .searchNext, .copyText, .help]
        }
        let context = screen == .console ? "machines" : context
        let hints = ids.filter { isEnabled($0) || $0 == .save }.compactMap { id in
            keymap.label(for: id.rawValue, in: context).map { (key: $0, action: id, title: short(id)) }
        }
        return HintBar(hints: hints, toast: toast.flatMap { Toast($0.text).fits(listWidth) ? $0.text : nil })
    }

    // MARK: Menu, palette, help

    mutating func openMenu() {
        func items(_ ids: [ActionID?]) -> [MenuPanel.Item] {
            ids.map { id in
                id.map { MenuPanel.Item($0, title: title($0), key: keyLabel($0), enabled: isEnabled($0)) } ?? MenuPanel.Item(nil)
            }
        }
        let menus: [MenuPanel.Menu] =
            switch screen {
            case .machines, .console:
                [
                    .init(
                        "Machine",
                        items([
                            .newMachine, nil, .open, .start, .pause, .reset, .acpiOff, .powerOff, nil, .settings, .clone, .rename, .group, .delete,
                            nil, .log, .showCommand,
                        ])),
                    .init("State", items([.saveState, .discardState, nil, .snapshots, .takeSnapshot])),
                    .init("List", items([.mark, .markAll, .filter, .sort, nil, .groups, .fold, .unfold, nil, .undo])),
                    .init("View", items([.panel1, .panel2, .panel3, .panel4, nil, .nextConsole, .split, nil, .chooseTheme, .chooseKeymap, .redraw])),
                    .init("Program", items([.help, .palette, .chooseHostKey, nil, .suspend, .quit])),
                ]
            case .form:
                [
                    .init(
                        "Form",
                        items([
                            .save, .back, nil, .nextSection, .previousSection, .moveUp, .moveDown, nil, .complete, .browse, nil, .showCommand,
                        ])),
                    .init("Program", items([.help, .palette, .chooseTheme, .redraw, .suspend])),
                ]
            case .wizard:
                [
                    .init("Wizard", items([.nextStep, .previousStep, .back, nil, .moveUp, .moveDown, nil, .complete, .browse, nil, .showCommand])),
                    .init("Program", items([.help, .palette, .chooseTheme, .redraw, .suspend])),
                ]
            case .snapshots:
                [
                    .init(
                        "Snapshots",
                        items([
                            .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .cloneSnapshot, nil, .diffSnapshot, .mark, nil, .exportSnapshot,
                            .importSnapshot, nil, .undoSnapshot, .commitSnapshot, nil, .stopSnapshot, nil, .machines, .back,
                        ])),
                    .init("Program", items([.help, .palette, .chooseTheme, .redraw, .suspend])),
                ]
            case .log:
                [
                    .init("Text", items([.search, .searchNext, .searchPrevious, nil, .select, .copyText, .saveText, nil, .back])),
                    .init("Show", items([.follow, .level, .component, .trace, .run])),
                    .init("Program", items([.help, .palette, .chooseTheme, .redraw, .suspend])),
                ]
            }
        if look.linear {
            // One line after the other is what a screen reader can follow.
            let rows = menus.flatMap { menu in
                menu.items.compactMap { item in item.id.map { ListPanel.Item("\(menu.title): \(item.title)", key: item.key, .run($0)) } }
            }
            overlay = .list(ListPanel(title: "Menu", hint: "Type to search  Enter runs  Esc closes", items: rows))
        } else {
            overlay = .menu(MenuPanel(menus: menus))
        }
    }

    var palette: ListPanel {
        let items = Action.all.filter { $0.isCommand && $0.id != .palette && $0.scope.contains(scope) }.map {
            ListPanel.Item(title($0.id), key: keyLabel($0.id), .run($0.id))
        }
        return ListPanel(title: "Command", hint: "Type to search  Enter runs  Esc closes", items: items)
    }

    var helpList: ListPanel {
        var items: [ListPanel.Item] = []
        func add(_ heading: String, _ context: String, prefix: String = "") {
            if !items.isEmpty { items.append(.init("", .nothing)) }
            items.append(.init(heading, .nothing))
            // Commands first; what moves about, people find by themselves. All keys of a command stand together.
            var rows: [(id: ActionID, keys: [String])] = []
            for binding in keymap.bindings(context) {
                guard case .action(let name) = binding.target, let id = ActionID(rawValue: name) else { continue }
                if let i = rows.firstIndex(where: { $0.id == id }) { rows[i].keys.append(binding.label) } else { rows.append((id, [binding.label])) }
            }
            for isCommand in [true, false] {
                for row in rows where Action[row.id].isCommand == isCommand {
                    let keys = row.keys.map { prefix + $0 }.joined(separator: "  ")
                    items.append(.init("  " + title(row.id), key: keys, prefix.isEmpty ? .run(row.id) : .nothing))
                }
            }
        }
        let names: [Screen: String] = [.machines: "Machines", .form: "Settings", .wizard: "New machine", .log: "Log", .snapshots: "Snapshots"]
        let context = screen == .console ? "machines" : context
        add(names[screen] ?? "Machines", context)
        if screen == .machines { add("In a console, after \(keymap.host.label)", "host", prefix: keymap.host.label + " ") }
        items.append(.init("", .nothing))
        items.append(.init("  Shift and drag selects text with the terminal's own mouse", .nothing))
        return ListPanel(title: "Keys", hint: "Type to search  Enter runs  Esc closes", items: items)
    }
}
