import Terminal

/// The list of machines: what is shown, selected and marked, and how it looks.
public struct MachinesPanel: Equatable, Sendable {
    /// A line of the list.
    public enum Line: Equatable, Sendable {
        /// A group's path, how deep it lies, its machines and those of them that run.
        case heading(String, depth: Int, count: Int, alive: Int)
        /// Index into `rows`.
        case machine(Int, depth: Int)
    }

    public private(set) var rows: [MachineRow] = []
    public private(set) var order = MachineOrder.name
    public private(set) var filter = ""
    /// The filter's line has the keyboard.
    public internal(set) var isFiltering = false
    public private(set) var marked: Set<String> = []
    public private(set) var selectedName: String?
    /// Path of the group whose heading is selected.
    public private(set) var selectedGroup: String?
    /// Machines stand under the headings of their groups.
    public private(set) var groupsAreShown = true
    private var folded: Set<String> = []
    public private(set) var lines: [Line] = []
    private var haystacks: [String] = []
    private var page = 10

    public init() {}

    /// Indices into `rows` in the order of the screen.
    public var shown: [Int] { lines.compactMap { if case .machine(let index, _) = $0 { index } else { nil } } }

    public var selected: MachineRow? { selectedName.flatMap { name in rows.first { $0.name == name } } }

    private var selectedIndex: Int? {
        lines.firstIndex { line in
            switch line {
            case .heading(let path, _, _, _): path == selectedGroup
            case .machine(let index, _): selectedGroup == nil && rows[index].name == selectedName
            }
        }
    }

    /// The machines that a command is for: the marked ones, those of the selected group, or the selected one.
    public var chosen: [MachineRow] {
        // Not those that the filter hides: nobody would know of them.
        let all = matching.map { rows[$0] }.filter { marked.contains($0.name) }
        guard all.isEmpty else { return all }
        if let selectedGroup { return members(selectedGroup) }
        return selected.map { [$0] } ?? []
    }

    /// Machines of a group and of the groups in it, as far as the filter lets them through, in the list's order.
    func members(_ path: String) -> [MachineRow] {
        matching.map { rows[$0] }.filter { $0.group == path || $0.group.hasPrefix(path + "/") }
    }

    /// Whether the selected group's machines are hidden.
    var isFolded: Bool { selectedGroup.map { folded.contains($0) } ?? false }

    public mutating func update(_ new: [MachineRow]) {
        guard new != rows || (selectedName == nil && selectedGroup == nil) else { return }
        let before = selectedIndex ?? 0
        rows = new
        haystacks = rows.map(\.haystack)
        marked.formIntersection(rows.map(\.name))
        arrange(fallback: before)
    }

    public mutating func select(_ name: String) {
        guard let row = rows.first(where: { $0.name == name }) else { return selectedName = name }
        (selectedName, selectedGroup) = (name, nil)
        // It must be in view.
        for path in MachinesPanel.ancestors(row.group) { folded.remove(path) }
        arrange(fallback: 0)
        if selectedIndex == nil {
            filter = ""
            arrange(fallback: 0)
        }
    }

    public mutating func sort(_ new: MachineOrder) {
        order = new
        arrange(fallback: 0)
    }

    /// `a/b` lies in `a`.
    private static func ancestors(_ path: String) -> [String] {
        let parts = path.split(separator: "/")
        return parts.indices.map { parts[...$0].joined(separator: "/") }
    }

    private var matching: [Int] {
        let words = filter.lowercased().split(separator: " ")
        let found = rows.indices.filter { i in words.allSatisfy { haystacks[i].contains($0) } }
        return found.sorted { order.precedes(rows[$0], rows[$1]) }
    }

    private mutating func arrange(fallback: Int) {
        let found = matching
        if groupsAreShown, found.contains(where: { !rows[$0].group.isEmpty }) {
            // What is in no group first, then each group with its own machines and the groups in it.
            var byGroup: [String: [Int]] = [:], counts: [String: (all: Int, alive: Int)] = [:]
            for index in found {
                let parents = MachinesPanel.ancestors(rows[index].group)
                byGroup[parents.last ?? "", default: []].append(index)
                for path in parents {
                    counts[path, default: (0, 0)].all += 1
                    if rows[index].state.isAlive { counts[path]?.alive += 1 }
                }
            }
            lines = (byGroup[""] ?? []).map { .machine($0, depth: 0) }
            var hidden: String?
            for (path, count) in counts.sorted(by: { MachinesPanel.precedes($0.key, $1.key) }) {
                if let above = hidden, path.hasPrefix(above + "/") { continue }
                hidden = nil
                let depth = path.split(separator: "/").count - 1
                lines.append(.heading(path, depth: depth, count: count.all, alive: count.alive))
                // What is looked for is not hidden.
                if filter.isEmpty, folded.contains(path) {
                    hidden = path
                } else {
                    lines += (byGroup[path] ?? []).map { .machine($0, depth: depth + 1) }
                }
            }
        } else {
            lines = found.map { .machine($0, depth: 0) }
        }
        guard selectedIndex == nil else { return }
        (selectedName, selectedGroup) = (nil, nil)
        // A machine, if there is one from here on.
        let at = min(max(0, fallback), max(0, lines.count - 1))
        let machines = lines.indices.filter { if case .machine = lines[$0] { true } else { false } }
        if let i = machines.first(where: { $0 >= at }) ?? machines.last ?? lines.indices.first { go(to: i) }
    }

    /// Part by part, so that a group's own groups follow it.
    private static func precedes(_ a: String, _ b: String) -> Bool {
        a.lowercased().split(separator: "/").lexicographicallyPrecedes(b.lowercased().split(separator: "/")) { $0 < $1 }
    }

    // MARK: Commands

    /// - Returns: false when the list has no use for the command.
    public mutating func command(_ id: ActionID) -> Bool {
        let index = selectedIndex ?? 0, last = lines.count - 1
        switch id {
        case .listUp: go(to: index == 0 ? last : index - 1)
        case .listDown: go(to: index == last ? 0 : index + 1)
        case .pageUp: go(to: max(0, index - page))
        case .pageDown: go(to: min(last, index + page))
        case .listFirst: go(to: 0)
        case .listLast: go(to: last)
        case .mark:
            if let selectedGroup {
                let names = members(selectedGroup).map(\.name)
                if marked.isSuperset(of: names) { marked.subtract(names) } else { marked.formUnion(names) }
            } else {
                guard let name = selectedName else { return false }
                if marked.remove(name) == nil { marked.insert(name) }
            }
            if index < last { go(to: index + 1) }
        case .markAll:
            let names = matching.map { rows[$0].name }
            marked = marked.isSuperset(of: names) ? [] : Set(names)
        case .fold: return fold()
        case .unfold:
            guard let selectedGroup, folded.remove(selectedGroup) != nil else { return false }
            arrange(fallback: index)
        case .groups:
            groupsAreShown.toggle()
            if let selectedGroup { selectedName = members(selectedGroup).first?.name }
            selectedGroup = nil
            arrange(fallback: index)
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
            // What was found stays in view.
            if let selectedName { select(selectedName) } else { arrange(fallback: 0) }
        case .cancel where !marked.isEmpty: marked = []
        default: return false
        }
        return true
    }

    /// Hides the machines of the selected group, or of the selected machine's.
    private mutating func fold() -> Bool {
        let path = selectedGroup ?? selected?.group ?? ""
        guard groupsAreShown, !path.isEmpty else { return false }
        // A folded one goes on with the group around it.
        let parents = MachinesPanel.ancestors(path)
        guard let target = parents.last(where: { !folded.contains($0) }) else { return false }
        folded.insert(target)
        (selectedName, selectedGroup) = (nil, target)
        arrange(fallback: 0)
        return true
    }

    /// Folds the selected heading, or unfolds it.
    mutating func toggleFold() {
        guard let selectedGroup else { return }
        if folded.remove(selectedGroup) == nil { folded.insert(selectedGroup) }
        arrange(fallback: selectedIndex ?? 0)
    }

    private mutating func go(to index: Int) {
        guard lines.indices.contains(index) else { return }
        switch lines[index] {
        case .heading(let path, _, _, _): (selectedName, selectedGroup) = (nil, path)
        case .machine(let row, _): (selectedName, selectedGroup) = (rows[row].name, nil)
        }
    }

    public mutating func text(_ scalar: Unicode.Scalar) {
        guard isFiltering, filter.count < 40 else { return }
        filter.unicodeScalars.append(scalar)
        // The best of what is left: the first.
        (selectedName, selectedGroup) = (nil, nil)
        arrange(fallback: 0)
    }

    public mutating func setPage(_ area: Rect) { page = max(1, area.height - 4) }

    private func first(_ room: Int) -> Int { max(0, min((selectedIndex ?? 0) - room / 2, lines.count - room)) }

    /// Selects the line at a place.
    /// - Returns: false when there is none.
    public mutating func click(column: Int, row: Int, in area: Rect) -> Bool {
        let y = row - area.y - 2, room = max(0, area.height - 3)
        guard area.contains(column: column, row: row), y >= 0, y < room, first(room) + y < lines.count else { return false }
        go(to: first(room) + y)
        return true
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
        let room = max(0, inside.height - 1), start = first(room), at = selectedIndex
        for y in 0..<room where start + y < lines.count {
            let line = inside.y + 1 + y, isSelected = start + y == at
            guard case .machine(let index, let depth) = lines[start + y] else {
                drawHeading(lines[start + y], isSelected, inside, line, look, focused, on: &surface)
                continue
            }
            let row = rows[index]
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
                let indent = column.order == .name ? min(2 * depth, max(0, column.width - 8)) : 0
                surface.put(text, role, column: at + indent, row: line, limit: x + column.width - at - indent)
                x += column.width + 1
            }
        }
        if lines.isEmpty, !rows.isEmpty {
            surface.put("No machine matches. Backspace widens.", .list, column: inside.x + 1, row: inside.y + 1, limit: inside.width - 2)
        }
        if lines.count > room, let index = selectedIndex {
            look.note(" \(index + 1)/\(lines.count) ", area, on: &surface)
        }
    }

    private func drawHeading(
        _ heading: Line, _ isSelected: Bool, _ inside: Rect, _ line: Int, _ look: PanelLook, _ focused: Bool, on surface: inout Surface
    ) {
        guard case .heading(let path, let depth, let all, let alive) = heading else { return }
        let base: Role = isSelected ? (focused ? .listSelected : .listSelectedBlur) : .list
        surface.fill(Rect(x: inside.x, y: line, width: inside.width, height: 1), base)
        if isSelected { look.point(inside.x, line, on: &surface) }
        let isFolded = filter.isEmpty && folded.contains(path)
        let sign = look.linear ? (isFolded ? "+" : "-") : isFolded ? "▸" : "▾"
        let name = path.split(separator: "/").last.map { String($0) } ?? path
        let x = surface.put("\(sign) \(name)", isSelected ? base : .listKey, column: inside.x + 1 + 2 * depth, row: line, limit: inside.width - 2 - 2 * depth)
        let count = " \(Amount.count(all, "machine", "machines"))" + (alive > 0 ? ", \(alive) running" : "")
        if x + Width.of(count) < inside.right { surface.put(count, base, column: x, row: line) }
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
        case .tag: row.tags.joined(separator: " ")
        }
    }
}
