import Terminal

/// The list of machines: what is shown, selected and marked, and how it looks.
public struct MachinesPanel: Equatable, Sendable {
    public private(set) var rows: [MachineRow] = []
    public private(set) var order = MachineOrder.name
    public private(set) var filter = ""
    /// The filter's line has the keyboard.
    public internal(set) var isFiltering = false
    public private(set) var marked: Set<String> = []
    public private(set) var selectedName: String?
    /// Indices into `rows` in the order of the screen.
    public private(set) var shown: [Int] = []
    private var haystacks: [String] = []
    private var page = 10

    public init() {}

    public var selected: MachineRow? { selectedIndex.map { rows[shown[$0]] } }

    private var selectedIndex: Int? {
        guard let selectedName else { return nil }
        return shown.firstIndex { rows[$0].name == selectedName }
    }

    /// The machines that a command is for: the marked ones, or the selected one.
    public var chosen: [MachineRow] {
        let all = shown.map { rows[$0] }.filter { marked.contains($0.name) }
        return all.isEmpty ? selected.map { [$0] } ?? [] : all
    }

    public mutating func update(_ new: [MachineRow]) {
        guard new != rows || selectedName == nil else { return }
        let before = selectedIndex ?? 0
        rows = new
        haystacks = rows.map(\.haystack)
        marked.formIntersection(rows.map(\.name))
        arrange(fallback: before)
    }

    public mutating func select(_ name: String) {
        selectedName = name
        if selectedIndex == nil, rows.contains(where: { $0.name == name }) {
            filter = ""
            arrange(fallback: 0)
        }
    }

    public mutating func sort(_ new: MachineOrder) {
        order = new
        arrange(fallback: 0)
    }

    private mutating func arrange(fallback: Int) {
        let words = filter.lowercased().split(separator: " ")
        shown = rows.indices.filter { i in words.allSatisfy { haystacks[i].contains($0) } }
        shown.sort { order.precedes(rows[$0], rows[$1]) }
        if selectedIndex == nil { selectedName = shown.isEmpty ? nil : rows[shown[min(max(0, fallback), shown.count - 1)]].name }
    }

    // MARK: Commands

    /// - Returns: false when the list has no use for the command.
    public mutating func command(_ id: ActionID) -> Bool {
        let index = selectedIndex ?? 0, last = shown.count - 1
        switch id {
        case .listUp: go(to: index == 0 ? last : index - 1)
        case .listDown: go(to: index == last ? 0 : index + 1)
        case .pageUp: go(to: max(0, index - page))
        case .pageDown: go(to: min(last, index + page))
        case .listFirst: go(to: 0)
        case .listLast: go(to: last)
        case .mark:
            guard let name = selectedName else { return false }
            if marked.remove(name) == nil { marked.insert(name) }
            if index < last { go(to: index + 1) }
        case .markAll:
            let names = shown.map { rows[$0].name }
            marked = marked.isSuperset(of: names) ? [] : Set(names)
        case .filter: isFiltering = true
        case .backspace where isFiltering:
            guard !filter.isEmpty else { return false }
            filter.removeLast()
            arrange(fallback: 0)
        case .clearText where isFiltering:
            filter = ""
            arrange(fallback: 0)
        case .accept where isFiltering: isFiltering = false
        case .cancel where isFiltering || !filter.isEmpty:
            isFiltering = false
            filter = ""
            arrange(fallback: 0)
        case .cancel where !marked.isEmpty: marked = []
        default: return false
        }
        return true
    }

    private mutating func go(to index: Int) {
        guard shown.indices.contains(index) else { return }
        selectedName = rows[shown[index]].name
    }

    public mutating func text(_ scalar: Unicode.Scalar) {
        guard isFiltering, filter.count < 40 else { return }
        filter.unicodeScalars.append(scalar)
        // The best of what is left: the first.
        selectedName = nil
        arrange(fallback: 0)
    }

    public mutating func setPage(_ area: Rect) { page = max(1, area.height - 4) }

    private func first(_ room: Int) -> Int { max(0, min((selectedIndex ?? 0) - room / 2, shown.count - room)) }

    /// Selects the row at a place; nil when there is none.
    public mutating func click(column: Int, row: Int, in area: Rect) -> String? {
        let y = row - area.y - 2, room = max(0, area.height - 3)
        guard area.contains(column: column, row: row), y >= 0, y < room, first(room) + y < shown.count else { return nil }
        go(to: first(room) + y)
        return selectedName
    }

    // MARK: Drawing

    struct Column { var order: MachineOrder, title: String, width: Int, right = false }

    /// Columns for a width, the name taking what is left.
    func columns(_ width: Int) -> [Column] {
        var list = [
            Column(order: .name, title: "Name", width: 0), Column(order: .state, title: "State", width: 8),
            Column(order: .memory, title: "Mem", width: 5, right: true), Column(order: .uptime, title: "Up", width: 5, right: true),
            Column(order: .load, title: "CPU", width: 4, right: true),
        ]
        if width >= 66 { list.insert(Column(order: .system, title: "System", width: 18), at: 2) }
        if width >= 84 || (width >= 58 && width < 66) { list.append(Column(order: .group, title: "Group", width: 12)) }
        let fixed = list.reduce(3) { $0 + $1.width + 1 }
        list[0].width = max(6, width - fixed + 1)
        return list
    }

    func draw(in area: Rect, look: PanelLook, focused: Bool, number: Int, on surface: inout Surface) {
        look.frame(area, title: title(number), focused: focused, on: &surface)
        let inside = area.inset(1)
        let columns = columns(inside.width)
        var x = inside.x + 3
        for column in columns {
            let title = column.title + (column.order == order ? (look.linear ? "*" : "▾") : "")
            let at = column.right ? x + column.width - Width.of(title) : x
            surface.put(title, .listKey, column: max(x, at), row: inside.y, limit: column.width)
            x += column.width + 1
        }
        let room = max(0, inside.height - 1), start = first(room)
        for y in 0..<room where start + y < shown.count {
            let row = rows[shown[start + y]], line = inside.y + 1 + y
            let isSelected = row.name == selectedName
            let base: Role = isSelected ? (focused ? .listSelected : .listSelectedBlur) : .list
            surface.fill(Rect(x: inside.x, y: line, width: inside.width, height: 1), base)
            if isSelected { look.point(inside.x, line, on: &surface) }
            surface.put(marked.contains(row.name) ? "*" : " ", isSelected ? base : .listKey, column: inside.x, row: line)
            surface.put(row.state.glyph, isSelected ? base : row.state.role, column: inside.x + 1, row: line)
            var x = inside.x + 3
            for column in columns {
                let text = cell(row, column.order)
                let at = column.right ? x + max(0, column.width - Width.of(text)) : x
                let role = isSelected ? base : column.order == .state ? row.state.role : .list
                surface.put(text, role, column: at, row: line, limit: x + column.width - at)
                x += column.width + 1
            }
        }
        if shown.isEmpty, !rows.isEmpty {
            surface.put("No machine matches. Backspace widens.", .list, column: inside.x + 1, row: inside.y + 1, limit: inside.width - 2)
        }
        if shown.count > room, let index = selectedIndex {
            look.note(" \(index + 1)/\(shown.count) ", area, on: &surface)
        }
    }

    private func title(_ number: Int) -> String {
        var title = "\(number) Machines"
        if isFiltering || !filter.isEmpty { title += " /\(filter)" }
        if !marked.isEmpty { title += " (\(marked.count) marked)" }
        return title
    }

    private func cell(_ row: MachineRow, _ order: MachineOrder) -> String {
        switch order {
        case .name: row.name
        case .state: row.state.word
        case .system: row.osType
        case .memory: row.memoryMiB > 0 ? Amount.memory(row.memoryMiB) : ""
        case .uptime: row.uptimeSeconds.map { Amount.uptime($0) } ?? ""
        case .load: row.load.map { "\($0)%" } ?? ""
        case .group: row.group
        }
    }
}
