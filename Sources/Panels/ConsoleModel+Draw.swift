import Hardware
import Machine
import Terminal

// The picture.
extension ConsoleModel {
    /// The whole terminal at a time.
    public func draw(at time: UInt64) -> Surface {
        var surface = Surface(width: size.width, height: size.height)
        guard !TooSmallPanel.applies(size) else {
            TooSmallPanel.draw(on: &surface)
            return surface
        }
        if let reading {
            reading.draw(in: guestArea, title: "Scrollback: \(view.name)", look: PanelLook(theme, linear: isLinear), on: &surface)
        } else if let debug {
            debug.draw(look: PanelLook(theme, linear: isLinear), hasKeyboard: debuggerHasKeys && overlay == nil, on: &surface) { place, surface in
                drawGuest(in: place, at: time, on: &surface)
            }
        } else {
            drawGuest(in: guestArea, at: time, on: &surface)
        }
        if debuggerHasKeys, prefixSince == nil, overlay == nil {
            debugBar.draw(row: size.height - 1, on: &surface)
        } else if let reading, overlay == nil {
            if reading.searchLine != nil {
                reading.drawSearch(row: size.height - 1, on: &surface)
            } else {
                readingBar.draw(row: size.height - 1, on: &surface)
            }
        } else {
            StatusBar(statusContent).draw(row: size.height - 1, on: &surface)
        }
        if let toast, isLongToast { Toast(toast.text).draw(width: size.width, bottom: size.height - 1, on: &surface) }
        let area = guestArea, border = isLinear ? BorderStyle.none : theme.border, shadow = theme.shadow && !isLinear
        if let overlay {
            overlay.draw(in: area, border: border, shadow: shadow, linear: isLinear, on: &surface)
        } else if whichKey {
            WhichKeyPanel(entries: hostEntries, host: host.label).draw(in: area, border: border, shadow: shadow, on: &surface)
            surface.cursor = nil
        }
        return surface
    }

    /// What may follow the host key; the consoles by number are one entry, and so are several keys for one command.
    private var hostEntries: [(key: String, title: String)] {
        var entries: [(key: String, title: String)] = [], numbers: [String] = []
        for binding in keymap.bindings("host") where binding.target != .nothing && isOffered(binding) {
            if case .action(let name) = binding.target, ActionID(rawValue: name)?.consoleIndex != nil {
                numbers.append(binding.label)
                continue
            }
            let title = describe(binding).title
            if let i = entries.firstIndex(where: { $0.title == title }) {
                entries[i].key += " " + binding.label
            } else {
                entries.append((binding.label, title))
            }
        }
        if let first = numbers.first, let last = numbers.last {
            entries.append((numbers.count == 1 ? first : "\(first)-\(last)", "Console by number"))
        }
        return entries
    }

    /// The bar has no room for it: who has the keyboard must stay readable.
    private var isLongToast: Bool {
        guard let toast else { return false }
        guard reading == nil && !debuggerHasKeys || overlay != nil else { return !Toast(toast.text).fits(size.width) }
        return !StatusBar(barContent).holds(toast.text, width: size.width)
    }

    var debugBar: HintBar {
        let ids: [ActionID] = [
            .debugStep, .debugOver, .debugRun, .debugBreakpoint, .debugToCursor, .nextPanel, .debugPanels, .debugGoto, .capture, .help, .debugger,
        ]
        let hints = ids.compactMap { id in
            keymap.label(for: id.rawValue, in: "debugger").map { (key: $0, action: id, title: id == .debugger ? "Close" : Action[id].short) }
        }
        return HintBar(hints: hints, toast: isLongToast ? nil : toast?.text)
    }

    private var readingBar: HintBar {
        let ids: [ActionID] = [.back, .search, .searchNext, .select, .copyText, .saveText]
        let hints = ids.compactMap { id in
            keymap.label(for: id.rawValue, in: "scrollback").map { (key: $0, action: id, title: Action[id].short) }
        }
        return HintBar(hints: hints, toast: isLongToast ? nil : toast?.text)
    }

    private func drawGuest(in area: Rect, at time: UInt64, on surface: inout Surface) {
        let prefix = host.label
        switch view.frame.mode {
        case .text:
            if view.frame.cells.isEmpty {
                (view.state == .starting ? NoticePanel.starting(view.name) : .waiting(view.name)).draw(in: area, border: theme.border, on: &surface)
            } else {
                ScreenPanel(frame: view.frame, look: look, origin: origin, blinkIsOn: blinkIsOn(at: time)).draw(in: area, on: &surface)
            }
        case .graphics(let width, let height, let name):
            let key = { (id: ActionID) -> String in keymap.label(for: id.rawValue, in: "host").map { "\(prefix) \($0)" } ?? "" }
            NoticePanel.graphics(width: width, height: height, name: name, sendKeys: key(.sendKeys), picture: key(.savePicture))
                .draw(in: area, border: theme.border, on: &surface)
        case .blank:
            let note = isCaptured ? "" : "You have the keyboard: \(statusContent.captureKey) gives it to the guest."
            NoticePanel.blank(release: note).draw(in: area, border: theme.border, on: &surface)
        }
    }

    var statusContent: StatusBar.Content {
        var content = barContent
        content.toast = isLongToast ? nil : toast?.text
        return content
    }

    private var barContent: StatusBar.Content {
        var content = StatusBar.Content()
        content.name = view.name
        content.state = view.state
        content.captured = isCaptured
        content.prefix = prefixSince != nil
        content.host = host.label
        content.releaseKey = keymap.label(for: ActionID.release.rawValue, in: "host") ?? "?"
        content.helpKey = keymap.label(for: ActionID.help.rawValue, in: "host") ?? "?"
        content.captureKey = keymap.label(for: ActionID.capture.rawValue, in: "console") ?? "?"
        let context = prefixSince != nil ? "host" : "console"
        let hints: [ActionID] =
            prefixSince != nil
            ? [.release, .sendKeys, .pause, .help, .menu, .copyScreen] : [isManaged ? .machines : .quit, .help, .menu, .palette, .pause, .sendKeys]
        content.hints = hints.compactMap { id in keymap.label(for: id.rawValue, in: context).map { ($0, id) } }
        content.lights = view.keyboardLEDs & 7
        if let typing {
            content.typed = (typing.done(view), typing.text.count)
        } else if view.typingLeft > 0 {
            content.typed = (max(0, view.typingTotal - view.typingLeft), view.typingTotal)
        }
        content.mouse = guestMouse
        content.view = viewNote
        content.held = keyboard.held.map { $0 == .leftCtrl ? "Ctrl" : $0 == .leftAlt ? "Alt" : "Shift" }.joined(separator: "+")
        content.guestFont = view.frame.mode == .text && !view.frame.fontIsStandard
        if case .graphics(let width, let height, _) = view.frame.mode { content.graphics = "\(width)x\(height)" }
        return content
    }
}
