import Machine
import Terminal

/// A machine that cannot go on: why, what can be done, and everything that is known of it.
public struct GuruPanel: Equatable, Sendable {
    public struct Choice: Equatable, Sendable {
        public var title: String
        public var request: Request
        public init(_ title: String, _ request: Request) { (self.title, self.request) = (title, request) }
    }

    public let sentence: String
    public let choices: [Choice]
    public private(set) var selected = 0
    /// nil: not read yet.
    public var facts: MachineFacts?
    /// The guest's last screen.
    public var screen: [String]
    private var top = 0
    private var page = 10

    public init(sentence: String, choices: [Choice], screen: [String]) {
        (self.sentence, self.choices, self.screen) = (sentence, choices, screen)
    }

    private struct Line {
        var text: String
        var isTitle = false
    }

    /// Columns from which the guest's screen has a place of its own.
    private static let wideColumns = 140

    private func lines(withScreen: Bool) -> [Line] {
        guard let facts else { return [Line(text: "Reading what is known of the machine…")] }
        var lines: [Line] = []
        for section in facts.sections where !section.lines.isEmpty && (withScreen || section.title != "Screen") {
            if !lines.isEmpty { lines.append(Line(text: "")) }
            lines.append(Line(text: section.title, isTitle: true))
            lines += section.lines.map { Line(text: $0) }
        }
        return lines
    }

    mutating func setPage(_ area: Rect) { page = max(1, room(area).body.height - 3) }

    public mutating func command(_ id: ActionID) -> OverlayAnswer {
        switch id {
        case .nextButton, .menuRight: selected = choices.isEmpty ? 0 : (selected + 1) % choices.count
        case .previousButton, .menuLeft: selected = choices.isEmpty ? 0 : (selected + choices.count - 1) % choices.count
        case .accept: return choices.indices.contains(selected) ? .request(choices[selected].request) : .close
        case .cancel: return .close
        case .listUp: top -= 1
        case .listDown: top += 1
        case .pageUp: top -= page
        case .pageDown: top += page
        case .listFirst: top = 0
        case .listLast: top = .max / 2
        default: return .beep
        }
        top = max(0, min(top, lines(withScreen: true).count - page - 1))
        return .stay
    }

    public mutating func text(_ scalar: Unicode.Scalar) -> OverlayAnswer {
        // Moves only: no letter alone may lose the guest.
        let letter = Character(scalar).lowercased()
        guard let i = choices.firstIndex(where: { $0.title.lowercased().hasPrefix(letter) }) else { return .beep }
        selected = i
        return .stay
    }

    /// Rows of the sentence and the choices, then what is left.
    private func room(_ area: Rect) -> (words: [String], body: Rect) {
        let words = PanelLook.wrap(GuruSentence.whole(sentence), max(10, area.width - 4))
        let shown = Array(words.prefix(max(1, area.height - 6)))
        let used = shown.count + 3 + rows(area.width - 4).count
        return (shown, Rect(x: area.x, y: area.y + used, width: area.width, height: max(0, area.height - used)))
    }

    /// Choices in as many rows as the width wants.
    private func rows(_ width: Int) -> [[Int]] {
        var rows: [[Int]] = [[]], used = 0
        for i in choices.indices {
            let own = Width.of(choices[i].title) + 5
            if used + own > width, !(rows.last ?? []).isEmpty {
                rows.append([])
                used = 0
            }
            rows[rows.count - 1].append(i)
            used += own
        }
        return rows
    }

    private func places(_ area: Rect) -> [(index: Int, place: Rect)] {
        let first = area.y + 1 + room(area).words.count + 1
        return rows(area.width - 4).enumerated().flatMap { y, row in
            var x = area.x + 2
            return row.map { i in
                let width = Width.of(choices[i].title) + 4
                defer { x += width + 1 }
                return (i, Rect(x: x, y: first + y, width: width, height: 1))
            }
        }
    }

    public mutating func click(column: Int, row: Int, in area: Rect) -> OverlayAnswer {
        for (index, place) in places(area) where place.contains(column: column, row: row) {
            selected = index
            return command(.accept)
        }
        return .stay
    }

    public func draw(in area: Rect, border: BorderStyle, linear: Bool, on surface: inout Surface) {
        surface.fill(area, .dialog)
        let (words, body) = room(area)
        surface.fill(Rect(x: area.x, y: area.y, width: area.width, height: 1), .dialogDanger)
        surface.put(" Guru Meditation", .dialogDanger, column: area.x, row: area.y, limit: area.width)
        for (y, line) in words.enumerated() { surface.put(line, .dialog, column: area.x + 2, row: area.y + 1 + y, limit: area.width - 4) }
        for (i, place) in places(area) where place.y < area.bottom {
            let role: Role = i == selected ? .buttonSelected : .button
            surface.put("  \(choices[i].title)  ", role, column: place.x, row: place.y)
            if i == selected {
                surface.put("▸", .buttonSelected, column: place.x, row: place.y)
                if linear { surface.cursor = Surface.Cursor(column: place.x + 2, row: place.y, shape: .block) }
            }
        }
        guard body.height >= 2 else { return }
        let isWide = area.width >= GuruPanel.wideColumns && !screen.isEmpty
        let left = isWide ? Rect(x: body.x, y: body.y, width: body.width - 84, height: body.height) : body
        drawFacts(in: left, isWide: isWide, border: border, on: &surface)
        guard isWide else { return }
        let right = Rect(x: left.right, y: body.y, width: 84, height: min(body.height, 27))
        surface.box(right, border: border, frame: .panelBorder, inside: .panel, title: "Screen", titled: .panelTitle)
        for (y, line) in screen.prefix(right.height - 2).enumerated() {
            surface.put(line, .panel, column: right.x + 2, row: right.y + 1 + y, limit: 80)
        }
        surface.fill(Rect(x: right.x, y: right.bottom, width: right.width, height: max(0, body.bottom - right.bottom)), .dialog)
    }

    private func drawFacts(in area: Rect, isWide: Bool, border: BorderStyle, on surface: inout Surface) {
        surface.box(area, border: border, frame: .panelBorder, inside: .list, title: "What is known", titled: .panelTitle)
        let inside = area.inset(1), lines = lines(withScreen: !isWide)
        let first = max(0, min(top, lines.count - inside.height))
        for y in 0..<max(0, inside.height) where first + y < lines.count {
            let line = lines[first + y]
            surface.put(line.text, line.isTitle ? .listKey : .list, column: inside.x + 1, row: inside.y + y, limit: inside.width - 2)
        }
        if lines.count > inside.height {
            let note = " \(first + 1)-\(min(first + inside.height, lines.count))/\(lines.count) "
            surface.put(note, .panelBorder, column: area.right - 2 - Width.of(note), row: area.bottom - 1)
        }
    }
}
