import Hardware
import Machine
import Terminal

// What lists and dialogs ask for, and what becomes of it.
extension ManagerModel {
    mutating func perform(_ request: Request) {
        switch request {
        case .run(let id): run(id)
        case .confirmed(let id): confirmed(id)
        case .theme(let name): effects.append(.loadTheme(name))
        case .type(let value):
            // A choice from the list of a field.
            guard let key = choosing else { return }
            choosing = nil
            if screen == .form { form?.choose(key, value) } else { wizard?.choose(key, value) }
        case .browse(let folder): browse(folder)
        case .manager(let request): perform(request)
        case .nothing, .send, .hold, .askSysRq, .sysRq, .typeNow, .drive, .insert, .eject, .detach, .debugPanel, .debugGoto, .debugSearch,
            .debugEdit, .debugSet: break
        }
    }

    /// A question of the keymap was answered with yes: no second one.
    private mutating func confirmed(_ id: ActionID) {
        switch id {
        case .reset, .powerOff: perform(.each(id, list.chosen.filter { id == .powerOff ? $0.state.isAlive : $0.state.takesReset }.map(\.name)))
        default: run(id)
        }
    }

    private mutating func perform(_ request: ManagerRequest) {
        switch request {
        case .rename(let name, let new):
            guard new != name else { return }
            effects.append(.library(.rename(name, to: new)))
        case .clone(let name, let new):
            beginWork("Cloning \(name) as \(new)", isBytes: true)
            effects.append(.library(.clone(name, to: new)))
        case .delete(let names): effects.append(.library(.delete(names)))
        case .group(let names, let group): effects.append(.library(.group(names, to: group)))
        case .each(let id, let names):
            for name in names { effects.append(.library(.command(name, id == .reset ? .reset : .powerOff))) }
        case .discardState, .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .linkedClone, .exportSnapshot, .importSnapshot: performSnapshot(request)
        case .sort(let order): list.sort(order)
        case .keymap(let name): effects.append(.loadKeymap(name))
        case .hostKey(let name): effects.append(.keepHostKey(name))
        case .quit(let choice): leave(choice)
        case .apply:
            guard let form else { return }
            effects.append(.library(.apply(form.name, form.settings, before: form.original)))
        case .discard:
            form = nil
            returnToOrigin()
        case .component(let name): logPanel?.show(component: name.isEmpty ? nil : name)
        case .trace(let name):
            guard var panel = logPanel else { return }
            if let i = panel.traced.firstIndex(of: name) { panel.traced.remove(at: i) } else { panel.traced.append(name) }
            logPanel = panel
            effects.append(.library(.trace(panel.name, panel.traced)))
            askTrace()
        case .logRun(let run): if let name = logPanel?.name { effects.append(.library(.log(name, run: run))) }
        case .cancelWork:
            effects.append(.library(.cancel))
            say("Stopping…")
        case .copy(let text):
            effects.append(.copy(text))
            say("Copied.")
        }
    }

    private mutating func leave(_ choice: QuitChoice) {
        let names = Set(list.rows.filter { $0.state.isAlive }.map(\.name))
        switch choice {
        case .keepRunning: return effects.append(.finish)
        case .saveState:
            leaving = (names, now + 120_000)
            say("Saving the state of \(Amount.count(names.count, "machine", "machines"))…", milliseconds: 120_000)
            for name in names.sorted() { effects.append(.library(.saveState(name))) }
            return
        case .acpiOff:
            leaving = (names, now + 60_000)
            say("Waiting for the guests to shut down…", milliseconds: 60_000)
        case .powerOff:
            leaving = (names, now + 10_000)
            say("Powering off…", milliseconds: 10_000)
        }
        for name in names.sorted() { effects.append(.library(.command(name, choice == .acpiOff ? .acpiOff : .powerOff))) }
    }

    // MARK: Answers of the library

    mutating func done(_ request: LibraryRequest) {
        if doneSnapshot(request) { return }
        endWork()
        switch request {
        case .create(let draft, let starts):
            let name = draft.name
            wizard = nil
            screen = .machines
            list.select(name)
            say("\(name) is there.")
            if starts {
                opening = name
                effects.append(.library(.start([name])))
            }
        case .clone(_, let new):
            list.select(new)
            say("\(new) is there.")
        case .rename(let name, let new):
            list.select(new)
            if current == name { current = new }
            note(Undo(title: "\(name) is called \(name) again", requests: [.rename(new, to: name)]), "\(name) is now \(new).", isUndo: request)
        case .apply(let name, let settings, let before):
            // Media of a running machine went into its drives with the settings.
            if screen == .form, form?.name == name {
                form = nil
                returnToOrigin()
            }
            note(
                Undo(title: "settings of \(name)", requests: [.apply(name, before, before: settings)]), "Saved the settings of \(name).",
                isUndo: request)
        case .group(let names, let group):
            let before = list.rows.filter { names.contains($0.name) }
            let requests = Dictionary(grouping: before, by: \.group).map { LibraryRequest.group($0.value.map(\.name), to: $0.key) }
            note(
                Undo(title: "group of \(ManagerModel.names(before))", requests: requests),
                group.isEmpty ? "Out of every group." : "In the group \(group).", isUndo: request)
        case .delete(let names): say(names.count == 1 ? "\(names[0]) is deleted." : "\(names.count) machines are deleted.")
        case .start(let names):
            if names.count == 1, opening == nil { say("\(names[0]) runs.") }
        case .command, .log, .trace, .cancel, .saveState, .discardState, .snapshots, .snapshotScreen, .takeSnapshot, .restoreSnapshot, .deleteSnapshot,
            .linkedClone, .stopSnapshot, .diffSnapshots, .exportSnapshot, .importSnapshot, .undoSnapshot, .commitSnapshots:
            break
        }
    }

    /// A change that was itself taken back gets no undo.
    private mutating func note(_ undo: Undo, _ sentence: String, isUndo request: LibraryRequest) {
        if let i = pendingUndo.firstIndex(of: request) {
            pendingUndo.remove(at: i)
            return
        }
        undos.append(undo)
        if undos.count > 20 { undos.removeFirst() }
        let key = keymap.label(for: ActionID.undo.rawValue, in: "machines")
        say(sentence + (key.map { " \($0) undoes it." } ?? ""))
    }

    mutating func failed(_ request: LibraryRequest, _ sentence: String) {
        // The work with the dialog is another one.
        if job?.request == request { job = nil } else { endWork() }
        if case .saveState = request { leaving = nil }
        if case .start(let names) = request, names.contains(opening ?? "") { opening = nil }
        if let i = pendingUndo.firstIndex(of: request) { pendingUndo.remove(at: i) }
        if Width.of(sentence) + 2 <= size.width, overlay == nil { return say(sentence, milliseconds: 8000) }
        overlay = .dialog(
            DialogPanel(title: "That did not work", lines: PanelLook.wrap(sentence, min(70, size.width - 8)), buttons: [.init("Close")]))
    }

    private mutating func endWork() {
        guard work != nil else { return }
        work = nil
        if case .progress = overlay { overlay = nil }
    }
}
