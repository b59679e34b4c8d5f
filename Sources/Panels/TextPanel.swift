import Terminal

/// What a command of a text came to.
enum TextAnswer: Equatable {
    /// The panel has no use for it.
    case unknown
    case done
    case say(String)
    case copy(String)
    case save(String)
}

/// Lines to read: scrolled, searched, selected, copied. What has scrolled off a guest's screen, and logs.
public struct TextPanel: Equatable, Sendable {
    public private(set) var lines: [String] = []
    /// Roles of the lines; missing ones are plain.
    var roles: [Role] = []
    /// The line that the keyboard is at.
    public private(set) var cursor = 0
    /// New lines come into view.
    public var follows = true
    private(set) var wanted = ""
    /// The line for a search has the keyboard.
    var searchLine: TextLine?
    /// Where a search begins: forward in a log, backward from the newest line of a screen.
    var searchesForward = true
    private var anchor: Int?
    /// First line in view while nothing is followed: it stays while lines come in.
    private var top = 0
    private var page = 20
    private var left = 0

    public init() {}

    public mutating func update(_ new: [String], roles: [Role] = []) {
        lines = new
        self.roles = roles
        if follows { cursor = max(0, lines.count - 1) }
        cursor = max(0, min(cursor, lines.count - 1))
        if let anchor { self.anchor = min(anchor, max(0, lines.count - 1)) }
    }

    var selection: ClosedRange<Int>? { anchor.map { min($0, cursor)...max($0, cursor) } }
    public var isSelecting: Bool { anchor != nil }

    /// The selected lines, or all.
    public var chosen: String {
        guard !lines.isEmpty else { return "" }
        return (selection.map { Array(lines[$0]) } ?? lines).map { $0 + "\n" }.joined()
    }

    mutating func command(_ id: ActionID) -> TextAnswer {
        if searchLine != nil { return searching(id) }
        switch id {
        case .search:
            searchLine = TextLine()
            return .done
        case .searchNext, .searchPrevious:
            guard !wanted.isEmpty else { return .say("Nothing has been searched for yet.") }
            return search(wanted, forward: (id == .searchNext) == searchesForward)
        case .copyText, .saveText:
            guard !lines.isEmpty else { return .say("There is nothing to copy.") }
            let text = chosen
            anchor = nil
            return id == .copyText ? .copy(text) : .save(text)
        case .cancel where anchor != nil:
            anchor = nil
            return .done
        default: return move(id) ? .done : .unknown
        }
    }

    private mutating func searching(_ id: ActionID) -> TextAnswer {
        switch id {
        case .accept:
            let text = searchLine?.text ?? ""
            searchLine = nil
            return text.isEmpty ? .done : search(text, forward: searchesForward)
        case .cancel: searchLine = nil
        default: return searchLine?.command(id) == true ? .done : .unknown
        }
        return .done
    }

    private mutating func move(_ id: ActionID) -> Bool {
        let last = max(0, lines.count - 1)
        if follows { top = max(0, lines.count - room) }
        switch id {
        case .listUp: cursor = max(0, cursor - 1)
        case .listDown: cursor = min(last, cursor + 1)
        case .pageUp: cursor = max(0, cursor - page)
        case .pageDown: cursor = min(last, cursor + page)
        case .listFirst: cursor = 0
        case .listLast: cursor = last
        case .menuLeft: left = max(0, left - 8)
        case .menuRight: left = min(left + 8, max(0, (lines.map(\.count).max() ?? 0) - 8))
        case .follow:
            follows.toggle()
            if follows { cursor = last }
            return true
        case .select:
            anchor = anchor == nil ? cursor : nil
            return true
        default: return false
        }
        // As little as possible moves.
        top = max(0, min(max(top, cursor - room + 1), cursor))
        // Reading on stops the flow; the end takes it up again.
        if id != .menuLeft, id != .menuRight { follows = cursor == last && (id == .listLast || id == .listDown || id == .pageDown) }
        return true
    }

    /// Goes to the next line that has a text.
    private mutating func search(_ text: String, forward: Bool) -> TextAnswer {
        wanted = text
        let needle = text.lowercased()
        guard !needle.isEmpty, !lines.isEmpty else { return .done }
        for step in 1...lines.count {
            let i = (cursor + (forward ? step : lines.count - step)) % lines.count
            if lines[i].lowercased().contains(needle) {
                if !(first(room)..<first(room) + room).contains(i) { top = max(0, min(i - room / 2, lines.count - room)) }
                cursor = i
                follows = false
                return .done
            }
        }
        return .say("'\(text)' does not occur.")
    }

    /// The line that a search is typed into, in the place of the bar.
    func drawSearch(row: Int, on surface: inout Surface) {
        guard let searchLine else { return }
        surface.fill(Rect(x: 0, y: row, width: surface.width, height: 1), .status)
        surface.put(" Search: ", .statusKey, column: 0, row: row)
        searchLine.draw(column: 9, row: row, width: surface.width - 10, role: .input, showsCursor: true, on: &surface)
    }

    func first(_ room: Int) -> Int {
        follows ? max(0, lines.count - room) : max(0, min(max(top, cursor - room + 1), cursor))
    }

    /// Lines in view.
    private var room: Int { page + 1 }

    func draw(in area: Rect, title: String, look: PanelLook, on surface: inout Surface) {
        look.frame(area, title: title, focused: true, on: &surface)
        let inside = area.inset(1), start = first(inside.height)
        for y in 0..<inside.height where start + y < lines.count {
            let i = start + y, isMarked = selection?.contains(i) ?? (i == cursor && !follows)
            let role: Role = isMarked ? .listSelected : i < roles.count ? roles[i] : .list
            if isMarked { surface.fill(Rect(x: inside.x, y: inside.y + y, width: inside.width, height: 1), role) }
            surface.put(String(lines[i].dropFirst(left)), role, column: inside.x, row: inside.y + y, limit: inside.width)
            if !wanted.isEmpty { mark(lines[i], inside, inside.y + y, on: &surface) }
            if i == cursor { look.point(inside.x, inside.y + y, on: &surface) }
        }
        var note = lines.isEmpty ? "" : " \(min(cursor + 1, lines.count))/\(lines.count) "
        if follows { note = " following" + note }
        look.note(note, area, on: &surface)
    }

    private func mark(_ line: String, _ inside: Rect, _ row: Int, on surface: inout Surface) {
        let lower = line.lowercased(), needle = wanted.lowercased()
        guard lower.count == line.count, let range = lower.range(of: needle) else { return }
        let x = lower.distance(from: lower.startIndex, to: range.lowerBound) - left
        let cut = Rect(x: inside.x + max(0, x), y: row, width: min(needle.count, inside.width - max(0, x)), height: 1)
        if x >= 0, x < inside.width { surface.tint(cut, .statusAlert) }
    }

    mutating func setPage(_ area: Rect) { page = max(1, area.height - 3) }

    mutating func click(row: Int, in area: Rect) {
        let inside = area.inset(1), i = first(inside.height) + row - inside.y
        guard row >= inside.y, row < inside.bottom, lines.indices.contains(i) else { return }
        top = first(inside.height)
        cursor = i
        follows = false
    }
}

extension StringProtocol {
    /// The first place of a text; Foundation is not for panels.
    func range(of needle: String) -> Range<Index>? { needle.isEmpty ? nil : ranges(of: needle).first }
}
