import Hardware
import Machine
import Terminal

// Saved state and snapshots.
extension ManagerModel {
    /// Work on snapshots that is under way beside everything else.
    struct SnapshotJob: Sendable {
        var title: String
        var request: LibraryRequest
        var since: UInt64
        var done = 0, total = 0

        /// As the title line says it.
        func words(at time: UInt64) -> String {
            guard total > 0 else { return "\(title)…" }
            let percent = Int(Double(min(done, total)) * 100 / Double(total)), elapsed = time - min(time, since)
            guard elapsed >= 1000, done > 0, done < total else { return "\(title) \(percent)%" }
            let left = Int((Double(total - done) * Double(elapsed) / Double(done) / 1000).rounded(.up))
            return "\(title) \(percent)%, \(Amount.uptime(max(1, left))) left"
        }
    }

    /// The machine whose console is in view, or those that are chosen in the list.
    private var meant: [MachineRow] { screen == .console ? list.rows.filter { $0.name == current } : list.chosen }

    /// The machine of the snapshots' panel.
    var snapshotMachine: MachineRow? { list.rows.first { $0.name == snapshotsPanel?.name } }

    // MARK: Saved state

    mutating func saveState() {
        let rows = meant.filter(\.state.takesCommands)
        guard !rows.isEmpty else { return say("\(ManagerModel.names(meant)): not running, there is no state to save.") }
        for row in rows { effects.append(.library(.saveState(row.name))) }
        say("Saving the state of \(ManagerModel.names(rows))…", milliseconds: 30_000)
    }

    mutating func askDiscard() {
        let rows = list.chosen.filter { $0.state == .saved }
        guard !rows.isEmpty else { return say("\(ManagerModel.names(list.chosen)): no saved state.") }
        let question = "Discard the saved state of \(ManagerModel.names(rows))?"
        overlay = .dialog(
            DialogPanel(
                title: "Discard state",
                lines: [question, "It is as if the power had been cut when it was saved."].flatMap { PanelLook.wrap($0, min(66, size.width - 8)) },
                danger: true, buttons: [.init("Keep it"), .init("Discard it", .manager(.discardState(rows.map(\.name))))]))
    }

    // MARK: The panel

    mutating func openSnapshots(takes: Bool = false) {
        if screen == .snapshots { return takes ? askTake() : () }
        guard let row = screen == .console ? meant.first : list.selected else { return effects.append(.beep) }
        if let problem = row.problem { return say(problem, milliseconds: 8000) }
        var panel = SnapshotsPanel(name: row.name)
        panel.takes = takes
        snapshotsPanel = panel
        remember()
        screen = .snapshots
        effects.append(.library(.snapshots(row.name)))
    }

    mutating func closeSnapshots() {
        snapshotsPanel = nil
        effects.append(.library(.snapshots(nil)))
    }

    mutating func update(_ list: SnapshotList, of name: String) {
        guard snapshotsPanel?.name == name else { return }
        snapshotsPanel?.update(list)
        askScreen()
        if snapshotsPanel?.takes == true, overlay == nil {
            snapshotsPanel?.takes = false
            askTake()
        }
    }

    /// The selected snapshot's screen is wanted.
    mutating func askScreen() {
        if let panel = snapshotsPanel, let id = panel.lacksScreen { effects.append(.library(.snapshotScreen(panel.name, id: id))) }
    }

    func isSnapshotEnabled(_ id: ActionID) -> Bool {
        guard screen == .snapshots else { return true }
        switch id {
        case .takeSnapshot: return job == nil && snapshotsPanel?.list != nil
        case .restoreSnapshot, .deleteSnapshot, .cloneSnapshot, .exportSnapshot: return job == nil && snapshotsPanel?.row != nil
        case .mark: return snapshotsPanel?.row != nil
        case .diffSnapshot: return job == nil && snapshotsPanel?.compared != nil
        case .importSnapshot: return job == nil && snapshotsPanel?.list != nil
        case .undoSnapshot, .commitSnapshot: return job == nil && snapshotsPanel?.list?.undoable != nil
        case .stopSnapshot: return job != nil
        default: return true
        }
    }

    mutating func runSnapshot(_ id: ActionID) {
        if id == .stopSnapshot {
            guard job != nil else { return say("Nothing is under way.") }
            effects.append(.library(.stopSnapshot))
            return say("Stopping…")
        }
        if let job { return say("\(job.title): still under way.") }
        guard let panel = snapshotsPanel, panel.list != nil else { return effects.append(.beep) }
        switch id {
        case .diffSnapshot:
            guard let pair = panel.compared else { return say("There is nothing to compare with; take a snapshot first.") }
            return begin("Comparing", .diffSnapshots(panel.name, from: pair.from, to: pair.to))
        case .undoSnapshot, .commitSnapshot:
            guard let undoable = panel.list?.undoable else { return say("There is nothing to undo.") }
            if id == .undoSnapshot { return begin("Undoing the \(undoable)", .undoSnapshot(panel.name)) }
            return begin("Committing the \(undoable)", .commitSnapshots(panel.name))
        case .importSnapshot:
            return overlay = .dialog(
                DialogPanel(
                    title: "Import", lines: ["The file of the snapshot:"],
                    buttons: [.init("Import", .manager(.importSnapshot(panel.name, path: ""))), .init("Cancel")], input: .text, value: ""))
        default: break
        }
        guard let row = panel.row else { return say("This is the present state; select a snapshot.") }
        let isAlive = snapshotMachine?.state.isAlive == true
        switch id {
        case .restoreSnapshot:
            var lines = ["Bring \(panel.name) back to '\(row.name)' of \(row.taken)?", panel.loss]
            lines.append("It can be undone until the next one, or until it is committed.")
            if isAlive { lines.append("The machine is switched off and started from the snapshot.") }
            ask("Restore", lines, [
                .init("Take one of it first", .manager(.restoreSnapshot(panel.name, name: row.name, keeps: true))),
                .init("Lose it", .manager(.restoreSnapshot(panel.name, name: row.name, keeps: false))), .init("Cancel"),
            ])
        case .deleteSnapshot:
            var lines = ["Delete the snapshot '\(row.name)' of \(row.taken)?", "Its disks are merged with what stands on them; its memory is gone."]
            if isAlive { lines.append("The guest goes on meanwhile.") }
            ask("Delete", lines, [
                .init("Cancel"), .init("Delete", .manager(.deleteSnapshot(panel.name, name: row.name, canUndo: false))),
                .init("Hide, can be undone", .manager(.deleteSnapshot(panel.name, name: row.name, canUndo: true))),
            ])
        case .exportSnapshot:
            overlay = .dialog(
                DialogPanel(
                    title: "Export", lines: PanelLook.wrap("Everything of '\(row.name)' goes into one new file:", 56),
                    buttons: [.init("Export", .manager(.exportSnapshot(panel.name, name: row.name, path: ""))), .init("Cancel")], input: .text,
                    value: "\(panel.name)-\(row.name).vsnap".replacing("/", with: "-")))
        case .cloneSnapshot:
            overlay = .dialog(
                DialogPanel(
                    title: "Linked clone", lines: PanelLook.wrap("Stands on the disks of '\(row.name)', which stays as long. Its name:", 56),
                    buttons: [.init("Clone", .manager(.linkedClone(panel.name, of: row.name, to: ""))), .init("Cancel")], input: .text,
                    value: freeName(panel.name)))
        default: effects.append(.beep)
        }
    }

    private mutating func ask(_ title: String, _ lines: [String], _ buttons: [DialogPanel.Button]) {
        let room = max(20, min(70, size.width - 8))
        overlay = .dialog(DialogPanel(title: title, lines: lines.flatMap { PanelLook.wrap($0, room) }, danger: true, buttons: buttons))
    }

    private mutating func askTake() {
        if let job { return say("\(job.title): still under way.") }
        guard let panel = snapshotsPanel, panel.list != nil else {
            snapshotsPanel?.takes = true
            return
        }
        var dialog = DialogPanel(
            title: "Take snapshot", lines: ["Snapshot of \(panel.name). Its name:"],
            buttons: [.init("Take", .manager(.takeSnapshot(panel.name, name: "", description: ""))), .init("Cancel")], input: .text,
            value: panel.freeName("Snapshot", numbersFirst: true))
        dialog.second = ("What it is for (Tab goes there):", "")
        overlay = .dialog(dialog)
    }

    // MARK: Requests and answers

    mutating func performSnapshot(_ request: ManagerRequest) {
        switch request {
        case .discardState(let names): effects.append(.library(.discardState(names)))
        case .takeSnapshot(let machine, let name, let description):
            begin("Taking '\(name)'", .takeSnapshot(machine, name: name, description: description))
        case .restoreSnapshot(let machine, let name, let keeps):
            let kept = keeps ? snapshotsPanel?.freeName("before \(name)", numbersFirst: false) : nil
            begin("Restoring '\(name)'", .restoreSnapshot(machine, name: name, keepingAs: kept))
        case .deleteSnapshot(let machine, let name, let canUndo): begin("Deleting '\(name)'", .deleteSnapshot(machine, name: name, canUndo: canUndo))
        case .exportSnapshot(let machine, let name, let path): begin("Exporting '\(name)'", .exportSnapshot(machine, name: name, path: path))
        case .importSnapshot(let machine, let path): begin("Importing", .importSnapshot(machine, path: path))
        case .linkedClone(let machine, let snapshot, let new): begin("Cloning as '\(new)'", .linkedClone(machine, of: snapshot, to: new))
        default: break
        }
    }

    private var undoHint: String { keymap.label(for: ActionID.undoSnapshot.rawValue, in: "snapshots").map { " \($0) undoes it." } ?? "" }

    /// What differs, as a text that is read like a log.
    mutating func showDifference(_ name: String, _ lines: [String]) {
        guard snapshotsPanel?.name == name, screen == .snapshots, overlay == nil else { return }
        var panel = LogPanel(name: name)
        panel.heading = "What differs: \(name)"
        panel.show(lines)
        logPanel = panel
        screen = .log
    }

    /// The machine of which nothing is to be concluded from its not being there.
    mutating func comesBack(_ alive: Set<String>) -> String? {
        guard let (name, until) = returning else { return nil }
        if job != nil { return name }
        let end = until ?? now + 2000
        returning = alive.contains(name) || now >= end ? nil : (name, end)
        return returning?.name
    }

    private mutating func begin(_ title: String, _ request: LibraryRequest) {
        if let job { return say("\(job.title): still under way.") }
        switch request {
        case .restoreSnapshot(let machine, _, _), .undoSnapshot(let machine): returning = (machine, nil)
        default: break
        }
        job = SnapshotJob(title: title, request: request, since: now)
        if case .takeSnapshot(_, let name, _) = request { snapshotsPanel?.wanted = name }
        effects.append(.library(request))
    }

    /// - Returns: whether the request is one of these.
    mutating func doneSnapshot(_ request: LibraryRequest) -> Bool {
        if job?.request == request { job = nil }
        switch request {
        case .saveState(let name):
            let key = keymap.label(for: ActionID.open.rawValue, in: "machines")
            say("The state of \(name) is saved." + (key.map { " \($0) goes on with it." } ?? ""))
        case .discardState(let names): say("The saved state of \(names.count == 1 ? names[0] : "\(names.count) machines") is gone.")
        case .takeSnapshot(_, let name, _): say("The snapshot '\(name)' is taken.")
        case .restoreSnapshot(let machine, let name, let kept):
            say("\(machine) is as it was at '\(name)'." + (kept.map { " What it was before is in '\($0)'." } ?? undoHint), milliseconds: 6000)
        case .deleteSnapshot(_, let name, let canUndo): say("The snapshot '\(name)' is \(canUndo ? "hidden" : "deleted").\(canUndo ? undoHint : "")")
        case .exportSnapshot(_, let name, let path): say("'\(name)' is in \(path).")
        case .importSnapshot: say("The snapshot is in the tree.")
        case .undoSnapshot(let machine): say("\(machine) is as it was before.")
        case .commitSnapshots: say("Committed; there is nothing to undo any more.")
        case .diffSnapshots: break
        case .linkedClone(_, _, let new):
            list.select(new)
            say("\(new) is there.")
        case .snapshots, .snapshotScreen, .stopSnapshot: break
        default: return false
        }
        return true
    }
}
