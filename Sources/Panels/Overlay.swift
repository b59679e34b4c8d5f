import Terminal

/// What lies over a screen and has the keyboard meanwhile.
public enum Overlay: Equatable, Sendable {
    case list(ListPanel)
    case menu(MenuPanel)
    case dialog(DialogPanel)
    case progress(ProgressPanel)
    case guru(GuruPanel)

    /// As keymaps call it.
    var context: String {
        switch self {
        case .menu: "menu"
        case .dialog, .progress: "dialog"
        case .list: "list"
        case .guru: "guru"
        }
    }

    mutating func command(_ id: ActionID, in area: Rect) -> OverlayAnswer {
        switch self {
        case .list(var panel):
            panel.setPage(area)
            defer { self = .list(panel) }
            return panel.command(id)
        case .menu(var panel):
            defer { self = .menu(panel) }
            return panel.command(id)
        case .dialog(var panel):
            defer { self = .dialog(panel) }
            return panel.command(id)
        case .progress(let panel): return panel.command(id)
        case .guru(var panel):
            panel.setPage(area)
            defer { self = .guru(panel) }
            return panel.command(id)
        }
    }

    mutating func text(_ scalar: Unicode.Scalar) -> OverlayAnswer {
        switch self {
        case .list(var panel):
            defer { self = .list(panel) }
            return panel.text(scalar)
        case .menu(var panel):
            defer { self = .menu(panel) }
            return panel.text(scalar)
        case .dialog(var panel):
            defer { self = .dialog(panel) }
            return panel.text(scalar)
        case .progress: return .beep
        case .guru(var panel):
            defer { self = .guru(panel) }
            return panel.text(scalar)
        }
    }

    mutating func paste(_ text: String) -> OverlayAnswer {
        guard case .dialog(var panel) = self else { return .beep }
        defer { self = .dialog(panel) }
        return panel.paste(text)
    }

    /// Wheel and clicks.
    mutating func mouse(_ event: MouseEvent, in area: Rect) -> OverlayAnswer {
        let step: ActionID? = event.kind == .wheelUp ? .listUp : event.kind == .wheelDown ? .listDown : nil
        guard step != nil || (event.kind == .press && event.button == 0) else { return .stay }
        switch self {
        case .list(var panel):
            defer { self = .list(panel) }
            return step.map { panel.command($0) } ?? panel.click(column: event.column, row: event.row, in: area)
        case .menu(var panel):
            defer { self = .menu(panel) }
            return step.map { panel.command($0) } ?? panel.click(column: event.column, row: event.row, in: area)
        case .dialog(var panel):
            defer { self = .dialog(panel) }
            return step == nil ? panel.click(column: event.column, row: event.row, in: area) : .stay
        case .progress: return .stay
        case .guru(var panel):
            panel.setPage(area)
            defer { self = .guru(panel) }
            return step.map { panel.command($0) } ?? panel.click(column: event.column, row: event.row, in: area)
        }
    }

    func draw(in area: Rect, border: BorderStyle, shadow: Bool, linear: Bool = false, on surface: inout Surface) {
        surface.cursor = nil
        // Nothing beside it: a screen reader reads whole lines.
        if linear { surface.fill(area, .list) }
        switch self {
        case .list(let panel): panel.draw(in: area, border: border, shadow: shadow, linear: linear, on: &surface)
        case .menu(let panel): panel.draw(in: area, border: border, shadow: shadow, on: &surface)
        case .dialog(let panel): panel.draw(in: area, border: border, shadow: shadow, linear: linear, on: &surface)
        case .progress(let panel): panel.draw(in: area, border: border, shadow: shadow, on: &surface)
        case .guru(let panel): panel.draw(in: area, border: border, linear: linear, on: &surface)
        }
    }
}

/// Work that takes its time: how far it is, how fast, how long still.
public struct ProgressPanel: Equatable, Sendable {
    public var title: String
    /// Bytes or steps.
    public var done = 0, total = 0
    /// Milliseconds since it began.
    public var elapsed: UInt64 = 0
    public var cancelKey = "Esc"
    /// 0 for steps, not bytes.
    public var isBytes = true

    public init(title: String) { self.title = title }

    func command(_ id: ActionID) -> OverlayAnswer { id == .cancel || id == .accept ? .request(.manager(.cancelWork)) : .beep }

    /// Rate and the time that is left, once there is enough to tell.
    var words: String {
        guard total > 0 else { return "\(spinner) working" }
        let percent = Int(Double(min(done, total)) * 100 / Double(total))
        guard elapsed >= 500, done > 0 else { return "\(percent)%" }
        let rate = Double(done) * 1000 / Double(elapsed)
        let left = Int((Double(total - done) / rate).rounded(.up))
        let speed = isBytes ? "  \(Amount.bytes(Int(rate)))/s" : ""
        return "\(percent)%\(speed)  \(done >= total ? "finishing" : "\(left < 1 ? "1s" : Amount.uptime(left)) left")"
    }

    private var spinner: String { ["|", "/", "-", "\\"][Int(elapsed / 250 % 4)] }

    func draw(in area: Rect, border: BorderStyle, shadow: Bool, on surface: inout Surface) {
        let box = area.centred(width: max(46, Width.of(title) + 6), height: 6)
        if shadow { Shadow.draw(box, on: &surface) }
        surface.box(box, border: border, frame: .dialogBorder, inside: .dialog, title: title, titled: .dialogTitle)
        let room = box.width - 4
        let filled = total > 0 ? Int(Double(room) * Double(min(done, total)) / Double(total)) : 0
        surface.put(String(repeating: "█", count: filled), .gauge, column: box.x + 2, row: box.y + 1)
        surface.put(String(repeating: "░", count: max(0, room - filled)), .dialog, column: box.x + 2 + filled, row: box.y + 1)
        surface.put(words, .dialog, column: box.x + 2, row: box.y + 2, limit: room)
        surface.put("\(cancelKey) stops it; nothing half done is left", .dialog, column: box.x + 2, row: box.y + 4, limit: room)
    }
}
