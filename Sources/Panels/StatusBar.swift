import Machine
import Terminal

/// The bottom line: machine, state, who has the keyboard and how to get it back, what keys do now.
public struct StatusBar {
    /// What the bar has to say.
    public struct Content: Sendable {
        public var name = ""
        public var state = MachineState.starting
        public var captured = false
        /// The host key has been pressed.
        public var prefix = false
        public var host = ""
        /// Key for release and help after the host key, key for capture.
        public var releaseKey = "q", helpKey = "?", captureKey = "Enter"
        /// Keys shown while the user has the keyboard, or after the host key.
        public var hints: [(key: String, action: ActionID)] = []
        /// Lights: bit 0 Scroll, 1 Num, 2 Caps.
        public var lights: UInt8 = 0
        public var typed: (done: Int, total: Int)?
        public var mouse = false
        /// Part of the guest's screen that is shown, when not all.
        public var view: String?
        /// Held modifiers for the next key.
        public var held = ""
        public var guestFont = false
        /// Size of the graphics mode that the guest is in, which is not drawn.
        public var graphics: String?
        /// Short-lived message.
        public var toast: String?
        public init() {}
    }

    /// A piece of the bar; `action` runs when it is clicked.
    struct Segment { var text: String, role: Role, action: ActionID? = nil, column = 0 }

    public let content: Content
    public init(_ content: Content) { self.content = content }

    private var base: Role { content.prefix ? .statusHost : content.captured ? .statusCaptured : .status }
    private var keyed: Role { content.prefix ? .statusHost : content.captured ? .statusCapturedKey : .statusKey }

    private static func word(_ state: MachineState) -> String {
        switch state {
        case .starting: "○ Starting"
        case .running: "● Running"
        case .paused: "‖ Paused"
        case .off: "■ Off"
        case .stuck: "! Stuck"
        }
    }

    /// Whether a message has room beside what must be readable: the machine, its state and who has the keyboard.
    func holds(_ toast: String, width: Int) -> Bool {
        var other = content
        other.toast = toast
        let parts = StatusBar(other).segments(width: width)
        return parts.last.map { $0.column + Width.of($0.text) <= width } ?? true
    }

    /// The pieces for a width. What must be there comes first; the rest as far as it fits, lights at the right end.
    func segments(width: Int) -> [Segment] {
        let state = StatusBar.word(content.state)
        let stateRole: Role = content.state == .stuck ? .stateError : content.state == .paused ? .statusAlert : base
        var name = content.name
        if Width.of(name) > 16 { name = String(name.prefix(15)) + "…" }
        var parts = [Segment(text: " \(name) ", role: base), Segment(text: state, role: stateRole), Segment(text: "  ", role: base)]
        var right: [Segment] = []
        if let typed = content.typed {
            right.append(Segment(text: "typing \(typed.done)/\(typed.total)  Esc stops ", role: .statusAlert))
        }
        if !content.held.isEmpty { right.append(Segment(text: " \(content.held)+ ", role: .statusAlert)) }
        if content.mouse { right.append(Segment(text: "MOUSE ", role: keyed, action: .guestMouse)) }
        if let view = content.view { right.append(Segment(text: view + " ", role: base)) }
        if let graphics = content.graphics { right.append(Segment(text: "GFX \(graphics) ", role: .statusAlert)) }
        if content.guestFont { right.append(Segment(text: "own font ", role: base)) }
        let lights = [(UInt8(4), "CAPS "), (2, "NUM "), (1, "SCRL ")].filter { content.lights & $0.0 != 0 }.map(\.1).joined()
        if !lights.isEmpty { right.append(Segment(text: lights, role: base)) }

        let host = content.host
        let who: [[Segment]]
        if content.prefix {
            who = [[Segment(text: "\(host) and then? ", role: base)]]
        } else if content.captured {
            let release = Segment(text: "\(host) \(content.releaseKey)", role: keyed, action: .release)
            let help = Segment(text: "\(host) \(content.helpKey)", role: keyed, action: .help)
            who = [
                [
                    Segment(text: "Guest has the keyboard  ", role: base), release,
                    Segment(text: " Release  ", role: base, action: .release),
                    help, Segment(text: " Help ", role: base, action: .help),
                ],
                [
                    Segment(text: "Guest has keys  ", role: base), release, Segment(text: " Release  ", role: base, action: .release),
                    help, Segment(text: " Help ", role: base, action: .help),
                ],
                [Segment(text: "Guest has keys  ", role: base), release, Segment(text: " Release ", role: base, action: .release)],
                [Segment(text: "GUEST ", role: base), release, Segment(text: " frees ", role: base, action: .release)],
            ]
        } else {
            let capture = Segment(text: content.captureKey, role: keyed, action: .capture)
            who = [
                [
                    Segment(text: "You have the keyboard  ", role: base), capture,
                    Segment(text: " to guest  ", role: base, action: .capture),
                ],
                [Segment(text: "YOU  ", role: base), capture, Segment(text: " to guest ", role: base, action: .capture)],
            ]
        }
        if let toast = content.toast {
            // Even then who has the keyboard stays readable.
            let message = Segment(text: " \(toast) ", role: .statusAlert)
            let used = parts.reduce(Width.of(message.text)) { $0 + Width.of($1.text) }
            parts += (who.first { $0.reduce(used) { $0 + Width.of($1.text) } <= width } ?? who[who.count - 1]) + [message]
            return laid(parts, width: width, filler: base, right: [])
        }
        // How to get away and help are worth more than which part of the screen is in view.
        let hinted = content.captured || content.prefix
            ? 0 : content.hints.prefix(2).reduce(0) { $0 + Width.of($1.key) + Width.of(Action[$1.action].short) + 3 }
        let wanted = content.captured && !content.prefix ? who[1] : who[0]
        let room = width - (parts + wanted).reduce(hinted) { $0 + Width.of($1.text) }
        if room >= 0, right.reduce(0, { $0 + Width.of($1.text) }) > room { right.removeAll { $0.text == content.view.map { $0 + " " } } }
        let rightWidth = right.reduce(0) { $0 + Width.of($1.text) }
        let used = parts.reduce(0) { $0 + Width.of($1.text) }
        let fitting =
            who.first { $0.reduce(used) { $0 + Width.of($1.text) } + rightWidth + hinted <= width }
            ?? who.first { $0.reduce(used) { $0 + Width.of($1.text) } + rightWidth <= width } ?? who[who.count - 1]
        parts += fitting
        if !content.captured || content.prefix {
            var x = parts.reduce(0) { $0 + Width.of($1.text) }
            for hint in content.hints {
                let title = Action[hint.action].short
                let wide = Width.of(hint.key) + Width.of(title) + 3
                if x + wide + rightWidth > width { break }
                parts.append(Segment(text: hint.key, role: keyed, action: hint.action))
                parts.append(Segment(text: " \(title)  ", role: base, action: hint.action))
                x += wide
            }
        }
        return laid(parts, width: width, filler: base, right: right)
    }

    private func laid(_ parts: [Segment], width: Int, filler: Role, right: [Segment]) -> [Segment] {
        var result: [Segment] = []
        var x = 0
        for var part in parts {
            part.column = x
            x += Width.of(part.text)
            result.append(part)
        }
        // From the right end inwards: what says most must not be lost first.
        var end = width
        for var part in right.reversed() {
            let w = Width.of(part.text)
            if end - w < x { break }
            end -= w
            part.column = end
            result.append(part)
        }
        return result
    }

    public func draw(row: Int, on surface: inout Surface) {
        surface.fill(Rect(x: 0, y: row, width: surface.width, height: 1), base)
        for part in segments(width: surface.width) where part.column < surface.width {
            surface.put(part.text, part.role, column: part.column, row: row)
        }
    }

    /// What a click on a column of the bar runs.
    public func action(column: Int, width: Int) -> ActionID? {
        segments(width: width).first { $0.action != nil && column >= $0.column && column < $0.column + Width.of($0.text) }?.action
    }
}
