import Machine
import Terminal

// Where keys, pastes and the mouse go.
extension ManagerModel {
    /// The context of keys that are pressed now.
    var context: String {
        if screen == .log, logPanel?.text.searchLine != nil { return "list" }
        switch screen {
        case .machines: return list.isFiltering ? "list" : "machines"
        case .console: return "console"
        case .form: return "form"
        case .wizard: return "wizard"
        case .log: return "log"
        case .snapshots: return "snapshots"
        }
    }

    mutating func key(_ event: KeyEvent) {
        // Who goes on has read what was there to read, and wants the hints again.
        if let toast, event.kind == .press, !event.isModifier, now >= toast.since + 700 { self.toast = nil }
        lastClick = (0, -1)
        if waitsForHostKey { return hostKey(event) }
        if overlay != nil { return overlayKey(event) }
        if screen == .console { return console { $0.handle(.key(event), at: $1) } }
        guard event.kind != .release, !event.isModifier else { return }
        screenKey(event)
    }

    private mutating func screenKey(_ event: KeyEvent) {
        var chord = Chord(event)
        let context = context
        if sequence.isEmpty, chord.modifiers == .alt, keymap.match([chord], in: context) == .none,
            keymap.match([Chord(.named(.esc)), Chord(chord.key)], in: context) != .none
        {
            // Esc and a digit typed fast arrive as Alt and the digit.
            sequence = [Chord(.named(.esc))]
            chord.modifiers = []
        }
        let former = sequence
        sequence = []
        switch keymap.match(former + [chord], in: context) {
        case .found(let binding):
            // Esc does its work at once and may still begin Esc 1.
            if former.isEmpty, isPrefix([chord], context) { (sequence, sequenceUntil) = ([chord], now + 1000) }
            return run(binding)
        case .prefix:
            (sequence, sequenceUntil) = (former + [chord], now + 1000)
            return
        case .none: break
        }
        if !former.isEmpty { return screenKey(event) }
        if case .character(let scalar) = chord.key, chord.modifiers.isEmpty, Width.of(scalar) > 0, text(scalar) { return }
        if let position = Chord.position(of: event), case .found(let binding) = keymap.match([position], in: context) {
            return run(binding)
        }
        effects.append(.beep)
        let help = keymap.label(for: ActionID.help.rawValue, in: context) ?? "F1"
        say("\(chord.label) does nothing here; \(help) lists the keys.", milliseconds: 2500)
    }

    private func isPrefix(_ keys: [Chord], _ context: String) -> Bool {
        keymap.bindings(context).contains { $0.keys.count > keys.count && $0.keys.starts(with: keys) && $0.target != .nothing }
    }

    /// - Returns: whether something takes characters now.
    private mutating func text(_ scalar: Unicode.Scalar) -> Bool {
        if screen == .log, logPanel?.text.searchLine != nil {
            logPanel?.text.searchLine?.insert(scalar)
            return true
        }
        switch screen {
        case .machines:
            guard list.isFiltering else { return false }
            list.text(scalar)
        case .form:
            guard var form else { return false }
            let outcome = form.text(scalar)
            self.form = form
            field(outcome)
            return outcome != .none
        case .wizard:
            guard var wizard else { return false }
            let outcome = wizard.text(scalar)
            self.wizard = wizard
            field(outcome)
            return outcome != .none
        case .console, .log, .snapshots: return false
        }
        return true
    }

    mutating func run(_ binding: Keymap.Binding) {
        guard case .action(let name) = binding.target, let id = ActionID(rawValue: name) else { return effects.append(.beep) }
        if let question = binding.confirm {
            let names = list.chosen.map(\.name).joined(separator: ", ")
            overlay = .dialog(
                DialogPanel(
                    title: Action[id].short, lines: [question.replacing("{machine}", with: names)], danger: true,
                    buttons: [.init("Cancel"), .init(Action[id].short, .confirmed(id))]))
            return
        }
        run(id)
    }

    // MARK: Overlays

    private mutating func overlayKey(_ event: KeyEvent) {
        guard event.kind != .release, !event.isModifier, let context = overlay?.context else { return }
        let chord = Chord(event)
        if case .found(let binding) = keymap.match([chord], in: context), case .action(let name) = binding.target,
            let id = ActionID(rawValue: name)
        {
            let area = overlayArea
            return answer(overlay?.command(id, in: area) ?? .stay)
        }
        guard case .character(let scalar) = chord.key, chord.modifiers.isEmpty, Width.of(scalar) > 0 else { return effects.append(.beep) }
        answer(overlay?.text(scalar) ?? .stay)
    }

    mutating func answer(_ answer: OverlayAnswer) {
        switch answer {
        case .stay: break
        case .beep: effects.append(.beep)
        case .close:
            overlay = nil
            choosing = nil
        case .request(let request):
            overlay = nil
            perform(request)
        }
    }

    mutating func paste(_ text: String) {
        if overlay != nil { return answer(overlay?.paste(text) ?? .beep) }
        if screen == .log, logPanel?.text.searchLine != nil { return _ = logPanel?.text.searchLine?.paste(text) }
        switch screen {
        case .console: console { $0.handle(.paste(text), at: $1) }
        case .form:
            guard var form else { return }
            let outcome = form.paste(text)
            self.form = form
            field(outcome)
        case .wizard:
            guard var wizard else { return }
            let outcome = wizard.paste(text)
            self.wizard = wizard
            field(outcome)
        case .machines where list.isFiltering: for scalar in text.unicodeScalars where Width.of(scalar) > 0 { list.text(scalar) }
        case .machines, .log, .snapshots: effects.append(.beep)
        }
    }

    // MARK: The host key

    mutating func askHostKey(first: Bool) {
        waitsForHostKey = true
        let lines =
            (first ? ["Welcome. While a guest has the keyboard, one key of yours", "gives it back: the host key.", ""] : [])
            + [
                "Press the key that shall be it, for example Ctrl-] or F12.", "Enter keeps \(keymap.host.label). It should be a key that your guests",
                "never need; pressed twice it goes to the guest.",
            ]
        overlay = .dialog(DialogPanel(title: "Host key", lines: lines, buttons: [], input: .none))
    }

    private mutating func hostKey(_ event: KeyEvent) {
        guard event.kind == .press else { return }
        let chord = Chord(event)
        // A bare modifier is one only where the terminal tells of it, and only the right-hand ones: left ones begin every chord.
        if event.isModifier, ![.named(.rightCtrl), .named(.rightAlt), .named(.rightShift), .named(.rightSuper)].contains(event.key) { return }
        if chord == Chord(.named(.ret)) || chord == Chord(.named(.esc)) {
            waitsForHostKey = false
            overlay = nil
            return finishHostKey(keymap.host)
        }
        if let why = ManagerModel.unfit(chord) {
            effects.append(.beep)
            overlay = .dialog(
                DialogPanel(
                    title: "Host key",
                    lines: [why, "Press a key with Ctrl or Alt, or F11 or F12.", "Enter keeps \(keymap.host.label)."], buttons: [], input: .none))
            return
        }
        waitsForHostKey = false
        overlay = nil
        finishHostKey(chord)
    }

    /// Why a key cannot be spared by guests; nil: it can.
    private static func unfit(_ chord: Chord) -> String? {
        guard chord.modifiers.isDisjoint(with: [.ctrl, .alt, .super]) else { return nil }
        switch chord.key {
        case .character: return "\(chord.label) alone would be missing in every text."
        case .named(.f11), .named(.f12), .named(.rightCtrl), .named(.rightAlt), .named(.rightShift), .named(.rightSuper), .named(.pause),
            .named(.scroll), .named(.menu), .named(.prtsc):
            return nil
        case .named: return "Guests need \(chord.label) themselves: for help, menus or moving about."
        }
    }

    private mutating func finishHostKey(_ chord: Chord) {
        var changed = keymap
        changed.host = chord
        keymap = changed
        effects.append(.keepHostKey(chord.spelling))
        say("The host key is \(chord.label).")
    }

    // MARK: Mouse

    mutating func mouse(_ event: MouseEvent) {
        if waitsForHostKey { return }
        if overlay != nil {
            let area = overlayArea
            return answer(overlay?.mouse(event, in: area) ?? .stay)
        }
        if isBeside {
            let area = consoleArea
            if event.column >= area.x, event.row < area.bottom {
                if event.kind == .press, screen == .machines { screen = .console }
                var moved = event
                moved.column -= area.x
                return console { $0.handle(.mouse(moved), at: $1) }
            }
            if event.kind == .press, screen == .console { leaveConsole() }
        } else if screen == .console {
            return console { $0.handle(.mouse(event), at: $1) }
        }
        if event.kind == .wheelUp || event.kind == .wheelDown { return run(event.kind == .wheelUp ? .listUp : .listDown) }
        guard event.kind == .press, event.button == 0 else { return }
        if event.row == size.height - 1 {
            lastClick = (0, -1)
            if let id = hintBar.action(column: event.column, width: listWidth) { run(id) }
            return
        }
        click(event)
    }

    private mutating func click(_ event: MouseEvent) {
        let area = body
        // The second of two clicks comes with nothing between them.
        let before = lastClick
        lastClick = (0, -1)
        switch screen {
        case .machines:
            let parts = machineParts
            if parts.list.contains(column: event.column, row: event.row) {
                focus = 1
                let isDouble = event.row == before.row && now < before.time + 400
                lastClick = (now, event.row)
                if list.click(column: event.column, row: event.row, in: parts.list), isDouble { run(.open) }
            } else if parts.details.contains(column: event.column, row: event.row) {
                focus = 2
            } else if parts.screen.contains(column: event.column, row: event.row) {
                if focus == 3 { run(.open) } else { focus = 3 }
            }
        case .form:
            guard var form else { return }
            let outcome = form.click(column: event.column, row: event.row, in: area)
            self.form = form
            field(outcome)
        case .wizard:
            guard var wizard else { return }
            let outcome = wizard.click(column: event.column, row: event.row, in: area)
            self.wizard = wizard
            field(outcome)
        case .log: logPanel?.text.click(row: event.row, in: area)
        case .snapshots:
            let isDouble = event.row == before.row && now < before.time + 400
            lastClick = (now, event.row)
            guard snapshotsPanel?.click(column: event.column, row: event.row, in: area) == true else { return }
            askScreen()
            if isDouble { run(.restoreSnapshot) }
        case .console: break
        }
    }
}
