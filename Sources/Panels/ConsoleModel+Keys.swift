import Hardware
import Machine
import Terminal

// Where keys, pastes and the mouse go.
extension ConsoleModel {
    mutating func key(_ event: KeyEvent) {
        if overlay != nil { return overlayKey(event) }
        if prefixSince != nil { return prefixKey(event) }
        if reading != nil { return readingKey(event) }
        if event.kind != .release, isHost(event), event.kind == .press || !isCaptured { return beginPrefix() }
        if now < panUntil, event.kind != .release, continuesPan(event) { return }
        if isCaptured { return guestKey(event) }
        if debug != nil { return debugKey(event) }
        guard event.kind != .release, !event.isModifier else { return }
        consoleKey(event)
    }

    /// The host key, by what it makes or by its position.
    private func isHost(_ event: KeyEvent) -> Bool {
        if case .named(let name) = host.key, name.modifier != nil { return event.key == host.key }
        return Chord(event) == host || Chord.position(of: event) == host
    }

    private mutating func beginPrefix() {
        // The modifiers of the host key itself have reached the guest; they must not stay down there.
        if isCaptured { releaseKeys() }
        prefixSince = now
        whichKey = false
    }

    private mutating func endPrefix() {
        prefixSince = nil
        whichKey = false
        sequence = []
    }

    // MARK: The guest has the keyboard

    private mutating func guestKey(_ event: KeyEvent) {
        if typing != nil {
            guard event.kind != .release, !event.isModifier else { return }
            if event.key == .named(.esc) { return stopTyping() }
            say("A text is being typed: Esc stops it.")
            return effects.append(.beep)
        }
        guard view.state != .stuck else {
            guard event.kind == .press, !event.isModifier else { return }
            let keys = [ActionID.reset, .powerOff].map { keymap.label(for: $0.rawValue, in: "host") ?? "?" }
            return say("The guest is stuck. \(host.label) \(keys[0]) resets it, \(host.label) \(keys[1]) switches it off.", milliseconds: 6000)
        }
        guard view.state != .paused else {
            guard event.kind == .press, !event.isModifier else { return }
            let key = keymap.label(for: ActionID.pause.rawValue, in: "host") ?? ""
            return say("Paused. \(host.label) \(key) resumes.")
        }
        guard let changes = keyboard.take(event) else {
            if event.kind == .press { say("The guest's keyboard (\(keyboard.layout.name)) has no key for this.") }
            return
        }
        send(changes)
        if isPanned, event.kind == .press, !event.isModifier {
            isPanned = false
            followCursor()
        }
    }

    // MARK: After the host key

    private mutating func prefixKey(_ event: KeyEvent) {
        guard event.kind == .press else { return }
        if event.isModifier, !isHost(event) { return }
        var candidates = [Chord(event)]
        if let position = Chord.position(of: event) { candidates.append(position) }
        // The host key twice is the host key, however the keymap spells it.
        if isHost(event) {
            endPrefix()
            return run(.sendHostKey)
        }
        for chord in candidates {
            switch keymap.match(sequence + [chord], in: "host") {
            case .found(let binding):
                endPrefix()
                return run(binding)
            case .prefix:
                sequence.append(chord)
                (sequenceUntil, prefixSince) = (now + 2000, now)
                return
            case .none: continue
            }
        }
        // Never sent on: a slip after the host key must not reach the guest.
        sequence = []
        whichKey = true
        effects.append(.beep)
    }

    private mutating func continuesPan(_ event: KeyEvent) -> Bool {
        guard case .found(let binding) = keymap.match([Chord(event)], in: "host"), case .action(let name) = binding.target,
            let id = ActionID(rawValue: name), [.panUp, .panDown, .panLeft, .panRight].contains(id)
        else {
            panUntil = 0
            return false
        }
        run(id)
        return true
    }

    // MARK: The user has the keyboard

    private mutating func consoleKey(_ event: KeyEvent) {
        if typing != nil, event.key == .named(.esc) { return stopTyping() }
        var chord = Chord(event)
        if sequence.isEmpty, chord.modifiers == .alt,
            keymap.match([chord], in: "console") == .none,
            keymap.match([Chord(.named(.esc)), Chord(chord.key)], in: "console") != .none
        {
            // Esc and a digit typed fast arrive as Alt and the digit.
            sequence = [Chord(.named(.esc))]
            chord.modifiers = []
        }
        switch keymap.match(sequence + [chord], in: "console") {
        case .found(let binding):
            sequence = []
            run(binding)
        case .prefix:
            sequence.append(chord)
            sequenceUntil = now + 1000
        case .none:
            let first = sequence.isEmpty
            sequence = []
            guard first else { return consoleKey(event) }
            if let position = Chord.position(of: event), case .found(let binding) = keymap.match([position], in: "console") {
                return run(binding)
            }
            let capture = keymap.label(for: ActionID.capture.rawValue, in: "console") ?? "?"
            let quit = keymap.label(for: ActionID.quit.rawValue, in: "console") ?? "?"
            say("You have the keyboard: \(capture) gives it to the guest, \(quit) quits.")
        }
    }

    // MARK: What has scrolled off

    private mutating func readingKey(_ event: KeyEvent) {
        guard event.kind != .release, !event.isModifier else { return }
        let chord = Chord(event), isSearching = reading?.searchLine != nil
        if isSearching, case .character(let scalar) = chord.key, chord.modifiers.isEmpty, Width.of(scalar) > 0 {
            return reading?.searchLine?.insert(scalar) ?? ()
        }
        if isHost(event) { return closeReading() }
        guard case .found(let binding) = keymap.match([chord], in: isSearching ? "list" : "scrollback"), case .action(let name) = binding.target,
            let id = ActionID(rawValue: name)
        else { return effects.append(.beep) }
        read(id)
    }

    mutating func read(_ id: ActionID) {
        let area = guestArea
        reading?.setPage(area)
        switch reading?.command(id) ?? .unknown {
        case .unknown:
            if id == .cancel || id == .back { closeReading() } else { run(id) }
        case .done: break
        case .say(let sentence): say(sentence)
        case .copy(let text):
            effects.append(.copy(text))
            say("Copied \(Amount.count(text.filter(\.isNewline).count, "line", "lines")).")
        case .save(let text): effects.append(.saveText(text))
        }
    }

    private mutating func closeReading() { reading = nil }

    // MARK: Lists, menus, dialogs

    private mutating func overlayKey(_ event: KeyEvent) {
        guard event.kind != .release, !event.isModifier, let context = overlay?.context else { return }
        let chord = Chord(event)
        if case .found(let binding) = keymap.match([chord], in: context), case .action(let name) = binding.target,
            let id = ActionID(rawValue: name)
        {
            let area = guestArea
            if id == .nextButton, completeFile() { return }
            return answer(overlay?.command(id, in: area) ?? .stay)
        }
        // The host key closes what is open: it is the way out of everything.
        if isHost(event) { return answer(.close) }
        guard case .character(let scalar) = chord.key, chord.modifiers.isEmpty, Width.of(scalar) > 0 else { return effects.append(.beep) }
        answer(overlay?.text(scalar) ?? .stay)
    }

    private mutating func answer(_ answer: OverlayAnswer) {
        switch answer {
        case .stay: break
        case .beep: effects.append(.beep)
        case .close: overlay = nil
        case .request(let request):
            overlay = nil
            perform(request)
        }
    }

    mutating func paste(_ text: String) {
        if overlay != nil { return answer(overlay?.paste(text) ?? .beep) }
        if prefixSince != nil { prefixSince = nil }
        if debuggerHasKeys { return debug?.paste(text) ?? () }
        guard typing == nil else { return effects.append(.beep) }
        // The modifiers of the terminal's own paste key must not be held while the text is typed.
        if isCaptured { releaseKeys() }
        requestTyping(text)
    }

    // MARK: Mouse

    mutating func mouse(_ event: MouseEvent) {
        if overlay != nil {
            let area = guestArea
            return answer(overlay?.mouse(event, in: area) ?? .stay)
        }
        if event.row == size.height - 1, event.kind == .press {
            if debuggerHasKeys, prefixSince == nil {
                if let id = debugBar.action(column: event.column, width: size.width) { runDebugger(id) }
                return
            }
            let bar = StatusBar(statusContent)
            if let id = bar.action(column: event.column, width: size.width) {
                prefixSince = nil
                run(id)
            }
            return
        }
        let area = guestArea
        if reading != nil {
            if event.kind == .wheelUp || event.kind == .wheelDown { for _ in 0..<3 { read(event.kind == .wheelUp ? .listUp : .listDown) } }
            if event.kind == .press { reading?.click(row: event.row, in: area) }
            return
        }
        if debug != nil, !guestMouse { return debugMouse(event) }
        if guestMouse { return forwardMouse(event) }
        if event.kind == .wheelUp, uiMouse { return run(.scrollback) }
        if event.kind == .press, event.button == 0, !isCaptured, uiMouse { run(.capture) }
    }

    /// Cells to counts of a PS/2 mouse: 8 a column, 16 a row. At the left and top edges the guest's pointer is driven home, so that
    /// both pointers agree again.
    private mutating func forwardMouse(_ event: MouseEvent) {
        let place = ScreenPanel(frame: view.frame, look: look, origin: origin).place(in: screenArea)
        var dx = 0, dy = 0, wheel = 0
        if let last = lastMouse {
            dx = (event.column - last.column) * 8
            dy = (event.row - last.row) * 16
        }
        lastMouse = (event.column, event.row)
        if event.column <= place.x { dx = -255 }
        if event.row <= place.y { dy = -255 }
        let bit: UInt8 = event.button == 0 ? 1 : event.button == 1 ? 4 : event.button == 2 ? 2 : 0
        switch event.kind {
        case .press: mouseButtons |= bit
        case .release: mouseButtons &= ~bit
        case .wheelUp: wheel = -1
        case .wheelDown: wheel = 1
        case .move: break
        }
        guard event.kind != .move || dx != 0 || dy != 0 else { return }
        post(.mouse(dx: max(-255, min(255, dx)), dy: max(-255, min(255, dy)), buttons: mouseButtons, wheel: wheel))
    }
}
