import Hardware
import Machine
import Terminal

// Commands.
extension ConsoleModel {
    mutating func run(_ binding: Keymap.Binding) {
        if let question = binding.confirm, case .action(let name) = binding.target, let id = ActionID(rawValue: name) {
            return ask(question.replacing("{machine}", with: view.name), id)
        }
        switch binding.target {
        case .action(let name): if let id = ActionID(rawValue: name) { run(id) }
        case .send(let chord): sendChord(chord)
        case .type(let text): startTyping(text)
        case .nothing: break
        }
    }

    mutating func perform(_ request: Request) {
        switch request {
        case .run(let id): run(id)
        case .confirmed(let id): confirmed(id)
        case .send(let names): for name in names { if let chord = Chord(name) { sendChord(chord) } }
        case .hold(let key):
            keyboard.toggleHold(key == .ctrl ? .leftCtrl : key == .alt ? .leftAlt : .leftShift)
            if !isCaptured { isCaptured = true }
        case .askSysRq:
            overlay = .dialog(
                DialogPanel(
                    title: "SysRq",
                    lines: [
                        "Press the letter: h help, b reboot, e end, f oom, i kill,", "m memory, s sync, t tasks, u read-only, w blocked.",
                    ],
                    buttons: [], input: .sysRqLetter))
        case .sysRq(let letter):
            if let scalar = letter.unicodeScalars.first, let changes = keyboard.sysRq(scalar) {
                send(changes)
                say("Sent SysRq \(letter).")
            } else {
                effects.append(.beep)
            }
        case .type(let text): requestTyping(text)
        case .typeNow(let text): startTyping(text)
        case .theme(let name): effects.append(.loadTheme(name))
        case .drive(let bay): askMedium(bay)
        case .insert(let bay, let path):
            post(.insert(bay, path: path))
            inserting = (bay, path, now + 300)
        case .eject(let bay):
            post(.eject(bay))
            say("\(driveName(bay)) is empty.")
        case .detach: effects.append(.detach)
        case .browse(let folder): browse(folder)
        case .debugPanel, .debugGoto, .debugSearch, .debugEdit, .debugSet: performDebug(request)
        case .nothing, .manager: break
        }
    }

    private mutating func sendChord(_ chord: Chord) {
        guard let changes = keyboard.chord(chord) else { return say("\(chord.label) has no key on the guest's keyboard.") }
        send(changes)
        say("Sent \(chord.label).", milliseconds: 2000)
    }

    public mutating func run(_ id: ActionID) {
        guard !isReadOnly || !ConsoleModel.changing.contains(id) else { return say("This console only looks.") }
        switch id {
        case .capture:
            guard view.state != .off else { return }
            isCaptured = true
        case .release:
            if isCaptured { releaseKeys() }
            isCaptured = false
        case .sendHostKey:
            if case .named(let name) = host.key, name.modifier != nil, let key = KeyPositions.named(name) {
                send([KeyChange(key, down: true), KeyChange(key, down: false)])
            } else {
                sendChord(host)
                toast = nil
            }
        case .guestMouse:
            guestMouse.toggle()
            lastMouse = nil
            mouseButtons = 0
            effects.append(.mouse(mouseMode))
            say(guestMouse ? "The guest has the mouse; the same key takes it back." : "The mouse is yours again.")
        case .sendKeys: overlay = .list(sendKeysList)
        case .typeText:
            overlay = .dialog(
                DialogPanel(
                    title: "Type text", lines: ["Type or paste what the guest shall get as keystrokes:"],
                    buttons: [.init("Type it", .type("")), .init("Cancel")], input: .text))
        case .drives:
            let items = ConsoleModel.removable.map { bay in
                ListPanel.Item(driveName(bay), key: view.media[bay].map { fileName($0) } ?? "empty", .drive(bay))
            }
            overlay = .list(ListPanel(title: "Drives", hint: "Enter changes the medium  Esc closes", items: items))
        case .detach:
            if isManaged {
                effects.append(.manager(.machines))
            } else if isAttached || isReadOnly {
                releaseKeys(immediately: true)
                effects.append(.detach)
            } else {
                say("\(view.name) runs in this terminal and ends with it; what 'vitrine start' runs can be left.", milliseconds: 6000)
            }
        case .scrollback:
            releaseKeys()
            var panel = TextPanel()
            panel.searchesForward = false
            reading = panel
            effects.append(.readScrollback)
        case .copyScreen:
            guard view.frame.mode == .text else { return say("There is no text on the screen to copy.") }
            let text = ScreenPanel.text(view.frame)
            effects.append(.copy(text))
            say("Copied \(text.filter(\.isNewline).count) lines.")
        case .savePicture:
            guard view.frame.mode != .blank else { return say("There is no picture: the display is off.") }
            effects.append(.savePicture)
        case .pause where view.state == .stuck, .acpiOff where view.state == .stuck: showGuru()
        case .pause:
            if view.state == .paused {
                post(.resume)
            } else {
                releaseKeys(immediately: true)
                post(.pause)
            }
        case .saveState where !isManaged: confirmed(.saveState)
        case .reset: ask("Reset \(view.name)? Unsaved guest data is lost.", .reset)
        case .powerOff: ask("Power off \(view.name)? Unsaved guest data is lost.", .powerOff)
        case .acpiOff: confirmed(.acpiOff)
        case .quit where isManaged: effects.append(.manager(.machines))
        case .quit where isReadOnly: effects.append(.detach)
        case .quit where isAttached:
            overlay = .dialog(
                DialogPanel(
                    title: "Quit",
                    lines: ["\(view.name) is \(view.state.rawValue) and can go on without this screen.", "Powering off loses unsaved guest data."],
                    buttons: [
                        .init("Keep running", .detach), .init("Save state", .confirmed(.saveState)), .init("ACPI off", .confirmed(.acpiOff)),
                        .init("Power off", .confirmed(.powerOff)),
                        .init("Cancel"),
                    ]))
        case .quit:
            overlay = .dialog(
                DialogPanel(
                    title: "Quit", lines: ["\(view.name) is \(view.state.rawValue).", "Powering off loses unsaved guest data."],
                    buttons: [
                        .init("Cancel"), .init("ACPI shutdown", .confirmed(.acpiOff)), .init("Power off", .confirmed(.powerOff)),
                    ]))
        case .panUp, .panDown, .panLeft, .panRight: pan(id)
        case .panFollow:
            isPanned = false
            followCursor()
        case .chooseTheme:
            overlay = .list(
                ListPanel(title: "Theme", hint: "Enter applies  Esc closes", items: themeNames.map { .init($0, .theme($0)) }))
        case .debugger: toggleDebugger()
        case .saveReport:
            say("Saving a report…", milliseconds: 30_000)
            effects.append(.ask(.report))
        case .redraw: effects.append(.redraw)
        case .suspend:
            releaseKeys(immediately: true)
            effects.append(.suspend)
        case .menu: overlay = .menu(MenuPanel(menus: menus))
        case .palette:
            let items = Action.all.filter { $0.isCommand && $0.id != .palette && isOffered($0.id) }.map {
                ListPanel.Item(title($0.id), key: keyLabel($0.id), .run($0.id))
            }
            overlay = .list(ListPanel(title: "Command", hint: "Type to search  Enter runs  Esc closes", items: items))
        case .help: overlay = .list(helpList)
        default:
            if Action[id].scope.isSubset(of: .debugger), !Action[id].scope.isEmpty { return runDebugger(id) }
            if isManaged {
                if isCaptured { releaseKeys() }
                effects.append(.manager(id))
            } else if Action[id].scope.contains(.managed) {
                say("\(Action[id].title): only where 'vitrine' shows the list of machines.")
            }
        }
    }

    private mutating func ask(_ question: String, _ id: ActionID) {
        let parts = question.split(separator: "?", maxSplits: 1).map { String($0) }
        let lines = parts.count == 2 ? [parts[0] + "?", String(parts[1].drop { $0 == " " })] : [question]
        let verb = Action[id].short
        overlay = .dialog(
            DialogPanel(title: verb, lines: lines, danger: true, buttons: [.init("Cancel"), .init(verb, .confirmed(id))]))
    }

    private mutating func confirmed(_ id: ActionID) {
        switch id {
        case .reset:
            releaseKeys(immediately: true)
            typing = nil
            post(.reset)
            say("Reset.", milliseconds: 1500)
        case .powerOff, .quit:
            typing = nil
            post(.powerOff)
            finishAt = now + 3000
        case .saveState:
            guard isAttached else { return say("Only a stored machine has a place for its state.") }
            releaseKeys(immediately: true)
            typing = nil
            post(.saveState)
            say("Saving the state…", milliseconds: 30_000)
        case .acpiOff:
            post(.acpiPowerButton)
            say("Power button pressed; the guest decides.")
        default: run(id)
        }
    }

    private mutating func pan(_ id: ActionID) {
        isPanned = true
        switch id {
        case .panUp: origin.row -= 1
        case .panDown: origin.row += 1
        case .panLeft: origin.column -= 4
        default: origin.column += 4
        }
        let wanted = origin
        clampOrigin()
        if wanted != origin, viewNote == nil { say("The whole screen of the guest is in view.", milliseconds: 2000) }
        // As in other programs with a prefix: repeated arrows need it only once.
        panUntil = now + 1000
    }

    // MARK: Drives

    /// Drives whose media can be changed while the machine runs: both floppies, the CD.
    static let removable: [Bay] = [.floppyA, .floppyB, .ide1Master]

    private func driveName(_ bay: Bay) -> String {
        switch bay {
        case .floppyA: "Floppy A"
        case .floppyB: "Floppy B"
        case .ide1Master: "CD"
        case .ide0Master: "Disk 1"
        case .ide0Slave: "Disk 2"
        case .ide1Slave: "Disk 3"
        case .virtio0, .virtio1, .virtio2, .virtio3, .virtio4, .virtio5, .virtio6, .virtio7: "Disk \(bay.rawValue - Bay.virtio0.rawValue + 1)"
        }
    }

    /// The machine tells by its view whether it took the medium.
    mutating func checkInserted() {
        guard let (bay, path, _) = inserting else { return }
        inserting = nil
        // Another process sees a relative path from our folder.
        if view.media[bay] == path || view.media[bay]?.hasSuffix("/" + path) == true {
            say("\(driveName(bay)): \(fileName(path))")
        } else if toast == nil {
            say("\(driveName(bay)) did not take '\(fileName(path))'.")
        }
    }

    private func fileName(_ path: String) -> String { path.split(separator: "/").last.map { String($0) } ?? path }

    private mutating func askMedium(_ bay: Bay) {
        let now = view.media[bay].map { "\(driveName(bay)) holds \(fileName($0))." } ?? "\(driveName(bay)) is empty."
        browsing = bay
        var buttons = [DialogPanel.Button("Insert", .insert(bay, ""))]
        if view.media[bay] != nil { buttons.append(.init("Eject", .eject(bay))) }
        overlay = .dialog(
            DialogPanel(
                title: driveName(bay), lines: [now, "File to put in (Tab completes):"],
                buttons: buttons + [.init("Browse", .browse("")), .init("Cancel")], input: .file))
    }

    private mutating func browse(_ folder: String) {
        guard let bay = browsing else { return }
        // Beside what is in the drive now, unless a folder is named.
        let folder = folder.isEmpty ? PathCompletion.split(view.media[bay] ?? "").folder : folder
        guard let listing = listFolder(folder, nil) ?? listFolder("", nil) else { return say("The folder '\(folder)' cannot be read.") }
        overlay = .list(PathCompletion.browser(FileKind.of(bay).title, listing, endings: FileKind.of(bay).endings) { .insert(bay, $0) })
    }

    /// Completes the file's name in a dialog.
    /// - Returns: false when there is nothing to add.
    mutating func completeFile() -> Bool {
        guard case .dialog(var dialog) = overlay, dialog.input == .file, !dialog.value.isEmpty else { return false }
        let list = listFolder
        switch PathCompletion.complete(dialog.value, { list($0, nil) }) {
        case .none: return false
        case .text(let text): dialog.value = text
        case .several(let text, let names):
            dialog.value = text
            say("\(names.count) names begin so: \(names.prefix(8).joined(separator: "  "))\(names.count > 8 ? "  …" : "")", milliseconds: 6000)
        }
        overlay = .dialog(dialog)
        return true
    }

    // MARK: Words for menus

    /// A title that says what the command would do now.
    func title(_ id: ActionID) -> String {
        switch id {
        case .pause where view.state == .paused: "Resume"
        case .guestMouse where guestMouse: "Mouse back to the console"
        case .debugger where debug != nil: "Close the debugger"
        case .quit where isManaged: "Back to the machines"
        default: Action[id].title
        }
    }

    /// Whether the command means something here at all.
    func isOffered(_ id: ActionID) -> Bool {
        let scope = Action[id].scope
        return scope.contains(.console) || (isManaged && scope.contains(.managed)) || (debug != nil && scope.contains(.debugger))
    }

    func isOffered(_ binding: Keymap.Binding) -> Bool {
        guard case .action(let name) = binding.target, let id = ActionID(rawValue: name) else { return true }
        return isOffered(id)
    }

    /// What a console that only looks may not.
    private static let changing: Set<ActionID> = [
        .capture, .sendHostKey, .guestMouse, .sendKeys, .typeText, .drives, .pause, .reset, .powerOff, .acpiOff, .saveState, .saveReport,
    ]

    func isEnabled(_ id: ActionID) -> Bool {
        switch id {
        case _ where isReadOnly && ConsoleModel.changing.contains(id): false
        case .capture: !isCaptured
        case .release: isCaptured
        case .copyScreen: view.frame.mode == .text
        case .savePicture: view.frame.mode != .blank
        case .panUp, .panDown, .panLeft, .panRight, .panFollow: viewNote != nil
        case .reset, .powerOff: view.state == .running || view.state == .paused || view.state == .stuck
        case .detach: isManaged || isAttached || isReadOnly
        case .saveState: (isManaged || isAttached) && (view.state == .running || view.state == .paused)
        case .pause, .acpiOff, .drives, .sendKeys, .typeText: view.state == .running || view.state == .paused
        default: true
        }
    }

    /// The key that runs a command now, for menus.
    func keyLabel(_ id: ActionID) -> String {
        if debug != nil, !isCaptured, let label = keymap.label(for: id.rawValue, in: "debugger") { return label }
        if isCaptured { return keymap.label(for: id.rawValue, in: "host").map { "\(host.label) \($0)" } ?? "" }
        return keymap.label(for: id.rawValue, in: "console") ?? keymap.label(for: id.rawValue, in: "host").map { "\(host.label) \($0)" }
            ?? ""
    }

    private var menus: [MenuPanel.Menu] {
        func items(_ ids: [ActionID?]) -> [MenuPanel.Item] {
            ids.map { id in
                id.map { MenuPanel.Item($0, title: title($0), key: keyLabel($0), enabled: isEnabled($0)) } ?? MenuPanel.Item(nil)
            }
        }
        let managed: [ActionID?] = isManaged ? [.snapshots, .takeSnapshot, .settings, .log, nil, .nextConsole, .split, nil] : []
        let debugMenu: [MenuPanel.Menu] = debug == nil
            ? []
            : [
                .init("Run", items([.debugRun, .debugStep, .debugOver, .debugOut, .debugToCursor, nil, .debugBack, .debugBackRun, nil, .debugFollow])),
                .init("Break", items([.debugBreakpoint, .debugWatch, .debugDelete])),
                .init("Data", items([.debugGoto, .debugSearch, .debugEdit, nil, .debugZoom, .debugPanels])),
            ]
        return [
            .init("Machine", items([.pause, .reset, .saveState, .acpiOff, .powerOff, nil, .drives, nil] + managed + [.detach, .suspend, .quit])),
            .init("Input", items([isCaptured ? .release : .capture, .sendKeys, .sendHostKey, .typeText, .guestMouse])),
            .init(
                "View",
                items([
                    .debugger, .scrollback, .copyScreen, .savePicture, .saveReport, .chooseTheme, .redraw, nil, .panUp, .panDown, .panLeft, .panRight,
                    .panFollow,
                ])),
        ] + debugMenu + [.init("Help", items([.help, .palette]))]
    }

    func describe(_ binding: Keymap.Binding) -> (title: String, request: Request) {
        switch binding.target {
        case .action(let name): ActionID(rawValue: name).map { (title($0), .run($0)) } ?? (name, .nothing)
        case .send(let chord): ("Send \(chord.label)", .send([chord.spelling]))
        case .type(let text): ("Type “\(text.prefix(20).filter { !$0.isNewline })”", .typeNow(text))
        case .nothing: ("", .nothing)
        }
    }

    private var helpList: ListPanel {
        var items: [ListPanel.Item] = []
        func add(_ heading: String, _ context: String, prefix: String) {
            if !items.isEmpty { items.append(.init("", .nothing)) }
            items.append(.init(heading, .nothing))
            for binding in keymap.bindings(context) where binding.target != .nothing && isOffered(binding) {
                // What only steers is no command.
                if context == "debugger", case .action(let name) = binding.target, ActionID(rawValue: name).map({ !Action[$0].isCommand }) ?? true {
                    continue
                }
                let (title, request) = describe(binding)
                items.append(.init("  " + title, key: prefix + binding.label, request))
            }
        }
        let prefix = host.label + " "
        let afterHost = "While the guest has the keyboard, after \(host.label)", own = "While you have the keyboard"
        if isCaptured {
            add(afterHost, "host", prefix: prefix)
            add(own, "console", prefix: "")
        } else {
            if debug != nil { add("In the debugger", "debugger", prefix: "") } else { add(own, "console", prefix: "") }
            add(afterHost, "host", prefix: prefix)
        }
        items.append(.init("", .nothing))
        items.append(.init("  Shift and drag selects text with the terminal's own mouse", .nothing))
        let how =
            keyboard.reportsReleases
            ? "presses and releases reach the guest as they are" : "keys reach the guest as whole chords, without releases"
        items.append(.init("  On this terminal " + how, .nothing))
        return ListPanel(title: "Keys", hint: "Type to search  Enter runs  Esc closes", items: items)
    }

    private var sendKeysList: ListPanel {
        var items: [ListPanel.Item] = []
        func chord(_ name: String) {
            if let chord = Chord(name) { items.append(.init(chord.label, .send([name]))) }
        }
        chord("C-A-del")
        chord("C-A-bs")
        for n in 1...12 { chord("C-A-F\(n)") }
        for n in 1...12 { chord("A-F\(n)") }
        for name in ["A-tab", "A-esc", "C-esc", "prtsc", "A-prtsc"] { chord(name) }
        items.append(.init("SysRq and a letter…", .askSysRq))
        chord("pause")
        items.append(.init("Ctrl-Break", .send(["C-pause"])))
        for name in ["LeftSuper", "RightSuper", "menu", "num", "caps", "scroll", "RightCtrl", "RightAlt"] { chord(name) }
        chord("ins")
        items.append(.init("Hold Ctrl for the next key", .hold(.ctrl)))
        items.append(.init("Hold Alt for the next key", .hold(.alt)))
        items.append(.init("Hold Shift for the next key", .hold(.shift)))
        items.append(.init(host.label + " (the host key)", .run(.sendHostKey)))
        items.append(.init("Type text…", .run(.typeText)))
        for binding in keymap.bindings("host") {
            if case .type = binding.target {
                let (title, request) = describe(binding)
                items.append(.init(title, request))
            }
        }
        return ListPanel(title: "Send keys", hint: "Type to search  Enter sends  Esc closes", items: items)
    }
}
