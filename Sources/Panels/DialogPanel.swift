import Terminal

/// A question with buttons, or a line to fill in.
public struct DialogPanel: Equatable, Sendable {
    public struct Button: Equatable, Sendable {
        public var title: String
        /// nil closes.
        public var request: Request?
        public init(_ title: String, _ request: Request? = nil) {
            self.title = title
            self.request = request
        }
    }
    public enum Input: Equatable, Sendable {
        case none
        /// One line of text; Enter types it into the guest.
        case text
        /// One line that names a file of the host.
        case file
        /// One letter, taken at once.
        case sysRqLetter
    }

    public let title: String
    public let lines: [String]
    public let danger: Bool
    public private(set) var buttons: [Button]
    public private(set) var selected: Int
    public let input: Input
    public internal(set) var value: String
    /// A second line under its own words; nil: there is none.
    public var second: (title: String, value: String)? {
        get { secondTitle.map { ($0, secondValue) } }
        set { (secondTitle, secondValue) = (newValue?.title, newValue?.value ?? "") }
    }
    private var secondTitle: String?
    private var secondValue = ""
    /// The second line has the keyboard.
    private var isInSecond = false
    /// What the line must hold before any button but the first does something: the name of what is to be destroyed.
    public var required: String?

    /// The first button is the default: for anything that destroys, the one that does nothing.
    public init(title: String, lines: [String], danger: Bool = false, buttons: [Button], input: Input = .none, value: String = "") {
        self.title = title
        self.lines = lines
        self.danger = danger
        self.buttons = buttons
        self.input = input
        self.value = value
        selected = 0
    }

    public mutating func command(_ id: ActionID) -> OverlayAnswer {
        switch id {
        case .nextButton where secondTitle != nil && !isInSecond && selected == 0: isInSecond = true
        case .nextButton where secondTitle != nil && selected == buttons.count - 1: (isInSecond, selected) = (false, 0)
        case .previousButton where secondTitle != nil && isInSecond && selected == 0: isInSecond = false
        case .nextButton: selected = buttons.isEmpty ? 0 : (selected + 1) % buttons.count
        case .previousButton: selected = buttons.isEmpty ? 0 : (selected + buttons.count - 1) % buttons.count
        case .accept:
            guard buttons.indices.contains(selected) else { return .close }
            guard let request = buttons[selected].request else { return .close }
            if let required, value != required { return .beep }
            // What asks for the line gets it.
            return takesText ? request.filled(value, secondValue).map { .request($0) } ?? .beep : .request(request)
        case .cancel: return .close
        case .backspace:
            guard takesText, !line.isEmpty else { return .beep }
            line.removeLast()
        case .clearText: line = ""
        default: return .beep
        }
        return .stay
    }

    public mutating func text(_ scalar: Unicode.Scalar) -> OverlayAnswer {
        switch input {
        case .text, .file:
            line.unicodeScalars.append(scalar)
            // The name that had to be typed is whole: the button that it is for.
            if let required { selected = value == required ? max(0, buttons.count - 1) : 0 }
            return .stay
        case .sysRqLetter: return .request(.sysRq(Character(scalar)))
        case .none:
            // A button by its first letter would make one key destroy; it only moves there.
            let letter = Character(scalar).lowercased()
            guard let i = buttons.firstIndex(where: { $0.title.lowercased().hasPrefix(letter) }) else { return .beep }
            selected = i
            return .stay
        }
    }

    /// A paste goes into the line; a path with the line end that some programs copy along loses it.
    public mutating func paste(_ text: String) -> OverlayAnswer {
        guard takesText else { return .beep }
        if input == .file || secondTitle != nil {
            line += text.filter { !$0.isNewline }
        } else {
            line += text
        }
        return .stay
    }

    /// The line that is edited.
    private var line: String {
        get { isInSecond ? secondValue : value }
        set { if isInSecond { secondValue = newValue } else { value = newValue } }
    }

    private var takesText: Bool { input == .text || input == .file }

    private func width(_ buttons: some Sequence<Button>) -> Int { buttons.reduce(0) { $0 + Width.of($1.title) + 6 } }

    /// Buttons in as many rows as the width wants.
    private func rows(_ room: Int) -> [[Int]] {
        var rows: [[Int]] = []
        for i in buttons.indices {
            if let last = rows.last, width((last + [i]).map { buttons[$0] }) <= room + 2 { rows[rows.count - 1].append(i) } else { rows.append([i]) }
        }
        return rows
    }

    private func box(in area: Rect) -> Rect {
        let room = max(10, area.width - 4), buttonRows = rows(room)
        let buttonsWidth = buttonRows.map { row in width(row.map { buttons[$0] }) }.max() ?? 0
        let wide = max(lines.map { Width.of($0) }.max() ?? 0, buttonsWidth, Width.of(title) + 4, takesText ? 56 : 0) + 4
        let inputs = takesText ? secondTitle == nil ? 2 : 4 : 0
        return area.centred(width: wide, height: lines.count + inputs + (buttons.isEmpty ? 2 : 3 + buttonRows.count))
    }

    public func draw(in area: Rect, border: BorderStyle, shadow: Bool, linear: Bool = false, on surface: inout Surface) {
        let box = box(in: area), inside: Role = danger ? .dialogDanger : .dialog
        if shadow { Shadow.draw(box, on: &surface) }
        surface.box(
            box, border: border, frame: danger ? .dialogDanger : .dialogBorder, inside: inside, title: title,
            titled: danger ? .dialogDanger : .dialogTitle)
        for (i, line) in lines.enumerated() where i < box.height - 2 {
            surface.put(line, inside, column: box.x + 2, row: box.y + 1 + i, limit: box.width - 4)
        }
        surface.cursor = nil
        if takesText {
            let row = box.y + 1 + lines.count, room = max(1, box.width - 4)
            drawInput(value, row, box, hasKeyboard: !isInSecond, on: &surface)
            if let secondTitle {
                surface.put(secondTitle, inside, column: box.x + 2, row: row + 1, limit: room)
                drawInput(secondValue, row + 2, box, hasKeyboard: isInSecond, on: &surface)
            }
        }
        for (i, place) in places(box).enumerated() {
            surface.put("  \(buttons[i].title)  ", i == selected ? .buttonSelected : .button, column: place.x, row: place.y)
            if i == selected { surface.put("▸", .buttonSelected, column: place.x, row: place.y) }
            if i == selected, linear, surface.cursor == nil {
                surface.cursor = Surface.Cursor(column: place.x + 2, row: place.y, shape: .block)
            }
        }
    }

    private func drawInput(_ text: String, _ row: Int, _ box: Rect, hasKeyboard: Bool, on surface: inout Surface) {
        let room = max(1, box.width - 4)
        surface.fill(Rect(x: box.x + 2, y: row, width: room, height: 1), .input)
        // Line ends show as a sign; the tail of a long text is what one edits.
        let oneLine = String(text.map { $0.isNewline ? "¶" : $0 })
        var tail = Substring(oneLine)
        while Width.of(tail) > room - 1 { tail = tail.dropFirst() }
        let x = surface.put(String(tail), .input, column: box.x + 2, row: row, limit: room)
        if hasKeyboard { surface.cursor = Surface.Cursor(column: min(x, box.right - 3), row: row, shape: .bar) }
    }

    private func places(_ box: Rect) -> [Rect] {
        let rows = rows(box.width - 4)
        return rows.enumerated().flatMap { y, row in
            var x = box.x + max(1, (box.width - width(row.map { buttons[$0] }) + 2) / 2)
            return row.map { i in
                let width = Width.of(buttons[i].title) + 4
                defer { x += width + 2 }
                return Rect(x: x, y: box.bottom - 1 - rows.count + y, width: width, height: 1)
            }
        }
    }

    public mutating func click(column: Int, row: Int, in area: Rect) -> OverlayAnswer {
        let box = box(in: area), first = box.y + 1 + lines.count
        if secondTitle != nil, column > box.x, column < box.right - 1, row == first || row == first + 2 {
            isInSecond = row == first + 2
            return .stay
        }
        for (i, place) in places(box).enumerated() where place.contains(column: column, row: row) {
            selected = i
            return command(.accept)
        }
        return .stay
    }
}

/// What the host key can be followed by, in columns above the bar.
public struct WhichKeyPanel {
    public let entries: [(key: String, title: String)]
    public let host: String

    public func draw(in area: Rect, border: BorderStyle, shadow: Bool, on surface: inout Surface) {
        let keyWidth = entries.map { Width.of($0.key) }.max() ?? 0, titleWidth = entries.map { Width.of($0.title) }.max() ?? 0
        let cellWidth = keyWidth + titleWidth + 4
        let columns = max(1, min(entries.count, (area.width - 4) / max(1, cellWidth)))
        let rows = (entries.count + columns - 1) / columns
        let width = min(area.width, columns * cellWidth + 3), height = min(area.height, rows + 2)
        let box = Rect(x: (area.width - width) / 2, y: area.bottom - height, width: width, height: height)
        surface.box(
            box, border: border, frame: .panelBorderFocus, inside: .panel, title: "\(host) and then", titled: .panelTitle)
        for (i, entry) in entries.enumerated() {
            let row = box.y + 1 + i % rows, column = box.x + 2 + i / rows * cellWidth
            guard row < box.bottom - 1 else { continue }
            surface.put(entry.key, .listKey, column: column, row: row, limit: box.right - 2 - column)
            let x = column + keyWidth + 1
            surface.put(entry.title, .panel, column: x, row: row, limit: box.right - 2 - x)
        }
    }
}
