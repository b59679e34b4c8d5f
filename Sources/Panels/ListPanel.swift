import Terminal

/// What an overlay makes of a command or a character.
public enum OverlayAnswer: Equatable, Sendable {
    case stay
    case close
    /// Closes, then this.
    case request(Request)
    case beep
}

/// A list to choose from, narrowed by typing: the Send Keys menu, the command palette, themes, help.
public struct ListPanel: Equatable, Sendable {
    public struct Item: Equatable, Sendable {
        public var title: String
        /// Key that does the same.
        public var key: String
        public var request: Request
        public init(_ title: String, key: String = "", _ request: Request) {
            self.title = title
            self.key = key
            self.request = request
        }
    }

    public let title: String
    /// One line of instruction.
    public let hint: String
    public private(set) var items: [Item]
    public private(set) var filter = ""
    public internal(set) var selected = 0
    /// Rows of the last drawing, for paging; the caller sets it from the same layout as `draw`.
    private var pageRows = 10

    public init(title: String, hint: String, items: [Item]) {
        self.title = title
        self.hint = hint
        self.items = items
    }

    /// Items that match the filter, best first when there is one.
    public var shown: [Item] {
        guard !filter.isEmpty else { return items }
        let scored = items.enumerated().compactMap { i, item -> (Int, Int, Item)? in
            Fuzzy.score(filter, item.title + " " + item.key).map { ($0, i, item) }
        }
        return scored.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
    }

    public mutating func command(_ id: ActionID) -> OverlayAnswer {
        let count = shown.count
        switch id {
        case .listUp: selected = count == 0 ? 0 : (selected + count - 1) % count
        case .listDown: selected = count == 0 ? 0 : (selected + 1) % count
        case .pageUp: selected = max(0, selected - pageRows)
        case .pageDown: selected = max(0, min(count - 1, selected + pageRows))
        case .listFirst: selected = 0
        case .listLast: selected = max(0, count - 1)
        case .backspace:
            if !filter.isEmpty { filter.removeLast() }
            selected = 0
        case .clearText:
            filter = ""
            selected = 0
        case .accept:
            guard selected < count else { return .beep }
            let request = shown[selected].request
            return request == .nothing ? .stay : .request(request)
        case .cancel: return .close
        default: return .beep
        }
        return .stay
    }

    public mutating func text(_ scalar: Unicode.Scalar) -> OverlayAnswer {
        // The first slash is the custom of other programs, not part of what is looked for.
        if filter.isEmpty, scalar == "/" { return .stay }
        guard filter.count < 40 else { return .beep }
        filter.unicodeScalars.append(scalar)
        selected = 0
        return .stay
    }

    private func box(in area: Rect) -> Rect {
        let titles = items.map { Width.of($0.title) }.max() ?? 0, keys = items.map { Width.of($0.key) }.max() ?? 0
        let width = max(titles + keys + (keys > 0 ? 3 : 0), Width.of(hint), Width.of(title) + 4, 24) + 4
        return area.centred(width: min(width, area.width), height: min(items.count + 4, area.height))
    }

    private func first(rows: Int, count: Int) -> Int { max(0, min(selected - rows / 2, count - rows)) }

    public func draw(in area: Rect, border: BorderStyle, shadow: Bool, linear: Bool = false, on surface: inout Surface) {
        let box = box(in: area), shown = shown
        if shadow { Shadow.draw(box, on: &surface) }
        let caption = filter.isEmpty ? title : "\(title): \(filter)"
        surface.box(box, border: border, frame: .panelBorderFocus, inside: .list, title: caption, titled: .panelTitle)
        let rows = max(0, box.height - 4), start = first(rows: rows, count: shown.count)
        for y in 0..<rows where start + y < shown.count {
            let item = shown[start + y], row = box.y + 1 + y
            let isSelected = start + y == selected
            let role: Role = isSelected ? .listSelected : .list
            surface.fill(Rect(x: box.x + 1, y: row, width: box.width - 2, height: 1), role)
            let keyWidth = Width.of(item.key)
            surface.put(item.title, role, column: box.x + 2, row: row, limit: box.width - 4 - (keyWidth > 0 ? keyWidth + 1 : 0))
            surface.put(item.key, isSelected ? role : .listKey, column: box.right - 2 - keyWidth, row: row)
            if isSelected, linear { surface.cursor = Surface.Cursor(column: box.x + 2, row: row, shape: .block) }
        }
        if shown.isEmpty {
            surface.put("Nothing matches. Backspace widens the search.", .list, column: box.x + 2, row: box.y + 1, limit: box.width - 4)
        }
        if shown.count > rows {
            let note = " \(selected + 1)/\(shown.count) "
            surface.put(note, .panelBorderFocus, column: box.right - 2 - Width.of(note), row: box.bottom - 1)
        }
        surface.put(hint, .list, column: box.x + 2, row: box.bottom - 2, limit: box.width - 4)
    }

    /// Selects the row that is clicked; a click on the selected row accepts.
    public mutating func click(column: Int, row: Int, in area: Rect) -> OverlayAnswer {
        let box = box(in: area)
        guard box.contains(column: column, row: row) else { return .close }
        let rows = max(0, box.height - 4), y = row - box.y - 1
        let count = shown.count, index = first(rows: rows, count: count) + y
        guard y >= 0, y < rows, index < count else { return .stay }
        if index == selected { return command(.accept) }
        selected = index
        return .stay
    }

    public mutating func setPage(_ area: Rect) { pageRows = max(1, box(in: area).height - 5) }
}

/// Letters in order, as in `pau` for Pause.
enum Fuzzy {
    /// Lower is better; nil when the letters do not occur in order.
    static func score(_ pattern: String, _ text: String) -> Int? {
        let wanted = pattern.lowercased().filter { $0 != " " }, have = Array(text.lowercased())
        var score = 0, i = 0, last = -1
        for character in wanted {
            while i < have.count, have[i] != character { i += 1 }
            guard i < have.count else { return nil }
            if last < 0 { score += i } else if i > last + 1 { score += have[i - 1] == " " || have[i - 1] == "-" ? 2 : 4 + i - last }
            last = i
            i += 1
        }
        return score
    }
}

/// The shade that a box throws on what lies below it.
enum Shadow {
    static func draw(_ box: Rect, on surface: inout Surface) {
        surface.tint(Rect(x: box.x + 2, y: box.bottom, width: box.width, height: 1), .shadow)
        surface.tint(Rect(x: box.right, y: box.y + 1, width: 2, height: box.height - 1), .shadow)
    }
}
