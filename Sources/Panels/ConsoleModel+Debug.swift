import Machine
import Terminal

// The debugger beside the guest's screen, and machines that cannot go on.
extension ConsoleModel {
    /// Where the guest's screen is drawn.
    var screenArea: Rect { debug?.inside(.screen) ?? guestArea }

    /// The debugger has the keys that are pressed now.
    var debuggerHasKeys: Bool { debug != nil && !isCaptured && reading == nil }

    /// Opens the debugger, or puts it away; what was chosen in it stays. Closed, it costs nothing.
    mutating func toggleDebugger() {
        if let open = debug {
            formerDebug = open
            debug = nil
        } else {
            if isCaptured { releaseKeys() }
            isCaptured = false
            reading = nil
            var new = formerDebug ?? DebugModel()
            new.resize(guestArea)
            new.update(view, at: now)
            new.refresh(at: now)
            debug = new
        }
        if isPanned { clampOrigin() } else { followCursor() }
    }

    /// Requests and words of the debugger become effects.
    mutating func flushDebugger() {
        guard var open = debug else { return }
        for (tag, request) in open.takeRequests() { effects.append(.ask(.debug(tag, request))) }
        if let message = open.message { say(message, milliseconds: 6000) }
        open.message = nil
        debug = open
    }

    /// The machine has answered.
    public mutating func take(_ answer: MachineAnswer, at time: UInt64) -> [Effect] {
        now = time
        switch answer {
        case .debug(let tag, let reply): debug?.take(tag, reply, at: time)
        case .facts(let facts):
            if case .guru(var panel) = overlay {
                panel.facts = facts ?? MachineFacts()
                overlay = .guru(panel)
            }
        case .report(let sentence): say(sentence, milliseconds: 8000)
        }
        return drain()
    }

    // MARK: Keys

    mutating func debugKey(_ event: KeyEvent) {
        guard event.kind != .release, !event.isModifier else { return }
        let chord = Chord(event)
        if case .found(let binding) = keymap.match([chord], in: "debugger") {
            if case .action(let name) = binding.target, let id = ActionID(rawValue: name) { return runDebugger(id) }
            return run(binding)
        }
        guard case .character(let scalar) = chord.key, chord.modifiers.isEmpty, Width.of(scalar) > 0 else { return effects.append(.beep) }
        if let outcome = debug?.type(scalar) { follow(outcome, .debugEdit) }
    }

    mutating func runDebugger(_ id: ActionID) {
        switch id {
        case .debugger, .saveReport, .capture, .help, .menu, .palette, .redraw, .suspend: return run(id)
        case .debugPanels:
            overlay = .list(
                ListPanel(
                    title: "Panels", hint: "Type to search  Enter shows  Esc closes", items: DebugPanelKind.allCases.map { .init($0.title, .debugPanel($0)) }))
            return
        default: break
        }
        guard let outcome = debug?.command(id, at: now) else { return say("\(Action[id].title): only in the debugger.") }
        follow(outcome, id)
    }

    private mutating func follow(_ outcome: DebugModel.Outcome, _ id: ActionID) {
        switch outcome {
        case .done: break
        case .beep: effects.append(.beep)
        case .close: toggleDebugger()
        case .prompt(let title, let words, let value, let request):
            overlay = .dialog(
                DialogPanel(title: title, lines: [words], buttons: [.init(title, request), .init("Cancel")], input: .text, value: value))
        case .unknown: run(id)
        }
    }

    mutating func performDebug(_ request: Request) {
        switch request {
        case .debugPanel(let kind):
            debug?.show(kind)
            debug?.refresh(at: now)
        case .debugGoto(let kind, let text): debug?.go(kind, to: text, at: now)
        case .debugSearch(let text): debug?.search(text)
        case .debugEdit(let text): debug?.edit(text)
        case .debugSet(let register, let text): debug?.set(register, text)
        default: break
        }
    }

    mutating func debugMouse(_ event: MouseEvent) {
        guard let open = debug, let (kind, _) = open.places.first(where: { $0.place.contains(column: event.column, row: event.row) }) else { return }
        switch event.kind {
        case .press where kind == .screen && event.button == 0: run(.capture)
        case .press: debug?.show(kind)
        case .wheelUp, .wheelDown:
            debug?.show(kind)
            for _ in 0..<3 { runDebugger(event.kind == .wheelUp ? .listUp : .listDown) }
        case .release, .move: break
        }
    }

    // MARK: Guru Meditation

    /// What happened, and what can be done now. The screen stays for whoever wants to look.
    mutating func showGuru() {
        releaseKeys(immediately: true)
        var choices: [GuruPanel.Choice] = [.init("Debug it", .run(.debugger))]
        if !isReadOnly {
            if isManaged { choices.append(.init("Restore a snapshot", .run(.snapshots))) }
            choices += [.init("Reset", .confirmed(.reset)), .init("Power off", .confirmed(.powerOff)), .init("Save a report", .run(.saveReport))]
            if isManaged { choices.append(.init("Settings", .run(.settings))) }
        }
        choices.append(.init("Look at the screen", .nothing))
        let screen = view.frame.mode == .text ? ScreenPanel.text(view.frame).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) } : []
        overlay = .guru(GuruPanel(sentence: view.problem ?? "for a reason that is not known", choices: choices, screen: screen))
        effects.append(.ask(.facts))
    }
}
