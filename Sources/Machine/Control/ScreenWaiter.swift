import Hardware

/// Somebody waits until the text screen matches, what scrolled off it since the call included.
struct ScreenWaiter {
    let ticket: ControlTicket
    let pattern: Script.Pattern
    /// Host time in milliseconds.
    let deadline: UInt64
    /// Lines from here on have scrolled off and were not looked at.
    private var nextLine: UInt64
    /// The last lines that were looked at, so that a match may reach over several.
    private var tail: [String] = []
    private var seen: UInt64?

    /// So many lines that scrolled off are looked at together with the screen.
    private static let context = 50

    init(ticket: ControlTicket, pattern: Script.Pattern, deadline: UInt64, view: MachineView) {
        (self.ticket, self.pattern, self.deadline) = (ticket, pattern, deadline)
        nextLine = view.scrolled
    }

    mutating func matches(_ view: MachineView, _ machine: any MachineControl) -> Bool {
        guard seen != view.generation || view.scrolled != nextLine else { return false }
        seen = view.generation
        let scrolled = machine.scrolledLines(from: nextLine, count: Scrollback.limit)
        nextLine = scrolled.end
        let lines = tail + scrolled.texts
        tail = lines.suffix(ScreenWaiter.context)
        let above = lines.map { $0 + "\n" }.joined()
        // Cut rows let `$` end a line; a pattern such as "/ # " wants the blank before the cursor.
        return pattern.matches(above + view.frame.text) || pattern.matches(view.frame.fullText)
    }

    func failure(_ view: MachineView, ended: Bool) -> JSONValue {
        ["matched": false, "ended": .bool(ended), "screen": .string(ScreenText.report(view.frame))]
    }
}
