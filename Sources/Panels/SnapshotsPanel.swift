import Hardware
import Machine
import Terminal

/// One snapshot of a machine as the panel shows it.
public struct SnapshotRow: Equatable, Sendable {
    public var id: String
    public var name: String
    public var description: String
    public var parent: String?
    /// In the host's time, `2026-11-26 10:05`.
    public var taken: String
    /// What the machine did: `off`, `saved`, `running`, `paused`.
    public var state: String
    /// Restoring it goes on where it was.
    public var hasMemory: Bool
    /// Of its memory and of its layer of the disks.
    public var bytes: Int

    public init(
        id: String, name: String, description: String = "", parent: String? = nil, taken: String = "", state: String = "off", hasMemory: Bool = false,
        bytes: Int = 0
    ) {
        (self.id, self.name, self.description, self.parent, self.taken) = (id, name, description, parent, taken)
        (self.state, self.hasMemory, self.bytes) = (state, hasMemory, bytes)
    }
}

/// The snapshots of a machine, oldest first.
public struct SnapshotList: Equatable, Sendable {
    public var rows: [SnapshotRow]
    /// Where the machine's present state comes from.
    public var current: String?
    /// What has been written to the disks since then.
    public var changedBytes: Int
    /// The restore or deletion that can be undone: `restore of 'a'`; nil: there is none.
    public var undoable: String?
    /// What is kept for that.
    public var undoBytes: Int

    public init(_ rows: [SnapshotRow] = [], current: String? = nil, changedBytes: Int = 0, undoable: String? = nil, undoBytes: Int = 0) {
        (self.rows, self.current, self.changedBytes) = (rows, current, changedBytes)
        (self.undoable, self.undoBytes) = (undoable, undoBytes)
    }
}

/// The tree of a machine's snapshots, and what the selected one is.
public struct SnapshotsPanel: Equatable, Sendable {
    /// One line of the tree. A line of descent goes straight down, what branches off it is indented.
    struct Line: Equatable, Sendable {
        /// nil: the present state, always the last line.
        var row: Int?
        /// Branches it is away from the main line.
        var level: Int
        var opensBranch: Bool
    }

    public let name: String
    public private(set) var list: SnapshotList?
    private(set) var lines: [Line] = []
    private(set) var selected = 0
    private var page = 10
    /// Screens that have come, by snapshot.
    private var screens: [String: [String]] = [:]
    /// Name of the snapshot that is to be selected once it is there.
    var wanted: String?
    /// Snapshots that are to be compared, two at most, the one that was marked first.
    public private(set) var marked: [String] = []
    /// A snapshot is to be taken as soon as the tree is known.
    var takes = false

    public init(name: String) { self.name = name }

    // MARK: What there is

    public mutating func update(_ new: SnapshotList) {
        let before = row?.id, wasOnPresent = list == nil || row == nil
        list = new
        lines = SnapshotsPanel.lines(new)
        marked.removeAll { id in !new.rows.contains { $0.id == id } }
        if let wanted, let i = lines.firstIndex(where: { $0.row.map { new.rows[$0].name } == wanted }) {
            selected = i
            self.wanted = nil
        } else if !wasOnPresent, let i = lines.firstIndex(where: { $0.row.map { new.rows[$0].id } == before }) {
            selected = i
        } else {
            selected = wasOnPresent ? lines.count - 1 : min(selected, lines.count - 1)
        }
    }

    mutating func show(_ screen: [String], of id: String) { screens[id] = screen }

    /// The selected snapshot; nil: the present state.
    public var row: SnapshotRow? { lines.indices.contains(selected) ? lines[selected].row.flatMap { list?.rows[$0] } : nil }
    public var last: SnapshotRow? { list?.rows.first { $0.id == list?.current } }
    /// A snapshot whose screen has not been asked for.
    var lacksScreen: String? { row.flatMap { screens[$0.id] == nil ? $0.id : nil } }

    func freeName(_ stem: String, numbersFirst: Bool) -> String {
        let taken = Set(list?.rows.map(\.name) ?? [])
        if !numbersFirst, !taken.contains(stem) { return stem }
        var n = numbersFirst ? 1 : 2
        while taken.contains("\(stem) \(n)") { n += 1 }
        return "\(stem) \(n)"
    }

    /// What restoring any snapshot takes away.
    var loss: String {
        guard let last else { return "The present state is in no snapshot." }
        let changed = list?.changedBytes ?? 0
        return "What happened since '\(last.name)' (\(last.taken)) is in no snapshot" + (changed > 0 ? ": \(Amount.bytes(changed)) on the disks." : ".")
    }

    /// The branch that leads to the present state comes last at every fork, and goes straight on.
    static func lines(_ list: SnapshotList) -> [Line] {
        var children: [String?: [Int]] = [:], parents: [String: String?] = [:]
        for (i, row) in list.rows.enumerated() {
            children[row.parent, default: []].append(i)
            parents[row.id] = row.parent
        }
        var path: Set<String> = [], at = list.current
        while let id = at, path.insert(id).inserted { at = parents[id] ?? nil }
        func ordered(_ id: String?) -> [Int?] {
            let all = children[id] ?? []
            let own = all.filter { path.contains(list.rows[$0].id) }
            return all.filter { !path.contains(list.rows[$0].id) } + own + (list.current == id ? [nil] : [])
        }
        var lines: [Line] = [], waiting = ordered(nil).reversed().map { Line(row: $0, level: 0, opensBranch: false) }
        while let line = waiting.popLast() {
            lines.append(line)
            guard let row = line.row, lines.count <= list.rows.count else { continue }
            let below = ordered(list.rows[row].id)
            for (i, child) in below.enumerated().reversed() {
                let isMain = i == below.count - 1
                waiting.append(Line(row: child, level: isMain ? line.level : line.level + 1, opensBranch: !isMain))
            }
        }
        return lines
    }

    /// What is compared: names of two snapshots, the older first; nil at the second place: the present state.
    /// - Returns: nil: there is nothing to compare with.
    var compared: (from: String, to: String?)? {
        guard let list else { return nil }
        func name(_ id: String?) -> String? { list.rows.first { $0.id == id }?.name }
        let chosen = list.rows.filter { marked.contains($0.id) }
        if chosen.count == 2 { return (chosen[0].name, chosen[1].name) }
        if let other = chosen.first, other.id != row?.id {
            guard let row else { return (other.name, nil) }
            let isOlder = (list.rows.firstIndex(of: other) ?? 0) < (list.rows.firstIndex(of: row) ?? 0)
            return isOlder ? (other.name, row.name) : (row.name, other.name)
        }
        guard let row else { return last.map { ($0.name, nil) } }
        return name(row.parent).map { ($0, row.name) } ?? (row.name, nil)
    }

    // MARK: Moving

    /// - Returns: whether the command is one of moving.
    mutating func command(_ id: ActionID) -> Bool {
        let last = max(0, lines.count - 1)
        switch id {
        case .listUp: selected = selected == 0 ? last : selected - 1
        case .listDown: selected = selected >= last ? 0 : selected + 1
        case .pageUp: selected = max(0, selected - page)
        case .pageDown: selected = min(last, selected + page)
        case .listFirst: selected = 0
        case .listLast: selected = last
        case .mark:
            guard let id = row?.id else { return false }
            if let index = marked.firstIndex(of: id) { marked.remove(at: index) } else { marked = marked.suffix(1) + [id] }
        case .cancel where !marked.isEmpty: marked = []
        default: return false
        }
        return true
    }

    mutating func setPage(_ area: Rect) { page = max(1, parts(area, linear: false).tree.height - 4) }

    private func first(_ room: Int) -> Int { max(0, min(selected - room / 2, lines.count - room)) }

    /// - Returns: false when there is no line at the place.
    mutating func click(column: Int, row: Int, in area: Rect) -> Bool {
        let tree = parts(area, linear: false).tree, y = row - tree.y - 2, room = max(0, tree.height - 3)
        guard tree.contains(column: column, row: row), y >= 0, y < room, first(room) + y < lines.count else { return false }
        selected = first(room) + y
        return true
    }

    // MARK: Drawing

    struct Parts { var tree: Rect, details: Rect, screen: Rect }

    /// The tree at the left, or above where there is no room beside it.
    func parts(_ area: Rect, linear: Bool) -> Parts {
        if area.width >= 110, !linear {
            let side = area.width * 45 / 100, x = area.right - side, details = max(9, area.height * 2 / 5)
            return Parts(
                tree: Rect(x: area.x, y: area.y, width: area.width - side, height: area.height),
                details: Rect(x: x, y: area.y, width: side, height: details),
                screen: Rect(x: x, y: area.y + details, width: side, height: area.height - details))
        }
        let below = max(7, area.height * 9 / 20), y = area.bottom - below, half = linear ? area.width : area.width / 2
        return Parts(
            tree: Rect(x: area.x, y: area.y, width: area.width, height: area.height - below),
            details: Rect(x: area.x, y: y, width: half, height: below),
            screen: Rect(x: area.x + half, y: y, width: area.width - half, height: below))
    }

    /// - Parameters:
    ///   - machine: its present state.
    ///   - thumbnail: its present screen.
    func draw(in area: Rect, look: PanelLook, machine: MachineRow?, thumbnail: ThumbnailPanel, on surface: inout Surface) {
        let parts = parts(area, linear: look.linear)
        drawTree(parts.tree, look, machine, on: &surface)
        drawDetails(parts.details, look, machine, on: &surface)
        guard !parts.screen.isEmpty else { return }
        guard let row else { return thumbnail.draw(in: parts.screen, look: look, focused: false, on: &surface) }
        look.frame(parts.screen, title: "Screen", focused: false, on: &surface)
        let inside = parts.screen.inset(1)
        var text = screens[row.id] ?? []
        while text.last?.allSatisfy({ $0 == " " }) == true { text.removeLast() }
        if text.isEmpty { text = [screens[row.id] == nil ? "" : "No text on its screen."] }
        // What was written last is what one knows it by.
        for (y, line) in text.suffix(inside.height).enumerated() {
            surface.put(line, .list, column: inside.x, row: inside.y + y, limit: inside.width)
        }
    }

    private func drawTree(_ area: Rect, _ look: PanelLook, _ machine: MachineRow?, on surface: inout Surface) {
        look.frame(area, title: "Snapshots of \(name)", focused: true, on: &surface)
        let inside = area.inset(1), room = max(0, inside.height - 1)
        guard list != nil else {
            _ = surface.put("Looking for snapshots…", .list, column: inside.x + 1, row: inside.y, limit: inside.width - 2)
            return
        }
        let isWide = inside.width >= 66, when = isWide ? 16 : 11
        let columns = [(7, "Was"), (9, "Size"), (when, "Taken")]
        let nameWidth = max(8, inside.width - columns.reduce(2) { $0 + $1.0 + 1 })
        func put(_ texts: [String], _ row: Int, _ roles: [Role]) {
            var x = inside.x + 1 + nameWidth
            for (i, column) in columns.enumerated() {
                let at = i == 1 ? x + 1 + max(0, column.0 - Width.of(texts[i])) : x + 1
                surface.put(texts[i], roles[i], column: at, row: row, limit: column.0)
                x += column.0 + 1
            }
        }
        surface.put("Name", .listKey, column: inside.x + 1, row: inside.y, limit: nameWidth)
        put(columns.map(\.1), inside.y, [.listKey, .listKey, .listKey])
        let top = first(room)
        for (y, line) in lines.dropFirst(top).prefix(room).enumerated() {
            let isSelected = top + y == selected, row = inside.y + 1 + y
            if isSelected {
                surface.fill(Rect(x: inside.x, y: row, width: inside.width, height: 1), .listSelected)
                look.point(inside.x, row, on: &surface)
            }
            let base: Role = isSelected ? .listSelected : .list
            let x = surface.put(SnapshotsPanel.prefix(line, linear: look.linear), base, column: inside.x + 1, row: row, limit: nameWidth)
            let rest = inside.x + 1 + nameWidth - x
            guard let index = line.row, let item = list?.rows[index] else {
                let state = machine?.state ?? .off
                surface.put("\(state.glyph) Present state", base, column: x, row: row, limit: rest)
                let changed = list?.changedBytes ?? 0
                put([state.word.lowercased(), changed > 0 ? Amount.bytes(changed) : "", "now"], row, [isSelected ? base : state.role, base, base])
                continue
            }
            if marked.contains(item.id) { surface.put("*", base, column: inside.x, row: row) }
            surface.put("\(item.hasMemory ? "●" : "○") \(item.name)", base, column: x, row: row, limit: rest)
            put([item.state, Amount.bytes(item.bytes), isWide ? item.taken : String(item.taken.dropFirst(5))], row, [base, base, base])
        }
        if lines.count > room { look.note(" \(selected + 1)/\(lines.count) ", area, on: &surface) }
    }

    static func prefix(_ line: Line, linear: Bool) -> String {
        if linear { return line.level > 0 ? "branch \(line.level) " : "" }
        guard line.level > 0 else { return "" }
        // Deep ones say only that they are.
        let shown = min(line.level, 8)
        return (line.level > shown ? "… " : "") + String(repeating: "│ ", count: shown - 1) + (line.opensBranch ? "├─" : "│ ")
    }

    private func drawDetails(_ area: Rect, _ look: PanelLook, _ machine: MachineRow?, on surface: inout Surface) {
        look.frame(area, title: row == nil ? "Present state" : "Snapshot", focused: false, on: &surface)
        let inside = area.inset(1), width = inside.width - 2
        guard let list else { return }
        var pairs: [(String, String)] = []
        if let row {
            pairs = [
                ("Name", row.name), ("Taken", row.taken), ("Was", "\(row.state), \(row.hasMemory ? "with memory" : "disks only")"),
            ]
            // The tree says it too, where there is no room.
            let isTall = area.height >= 11
            if isTall { pairs.append(("Size", Amount.bytes(row.bytes))) }
            if let parent = list.rows.first(where: { $0.id == row.parent }) { pairs.append(("After", parent.name)) }
            if !row.description.isEmpty { pairs += wrapped("About", row.description, width) }
            if isTall { pairs.append(("", "")) }
            pairs += wrapped("Loses", lossWords, width)
        } else {
            pairs = [("State", (machine?.state.word ?? "Off"))]
            if let last { pairs.append(("After", last.name)) }
            if let undoable = list.undoable {
                pairs += wrapped("Undo", "\(undoable) can be undone; \(Amount.bytes(list.undoBytes)) are kept for it", width)
            }
            if list.changedBytes > 0 { pairs.append(("Written", "\(Amount.bytes(list.changedBytes)) on the disks since then")) }
            pairs += [("", "")] + wrapped("", loss, width)
        }
        for (y, pair) in pairs.prefix(inside.height).enumerated() {
            surface.put(pair.0, .listKey, column: inside.x + 1, row: inside.y + y, limit: width)
            let x = pair.0.isEmpty ? 1 : 9
            surface.put(pair.1, .list, column: inside.x + x, row: inside.y + y, limit: inside.width - x - 1)
        }
    }

    private var lossWords: String {
        guard let last else { return "the present state" }
        let changed = list?.changedBytes ?? 0
        return "all since '\(last.name)'" + (changed > 0 ? ", \(Amount.bytes(changed)) on the disks" : "")
    }

    /// A text beside its label, further lines under it.
    private func wrapped(_ label: String, _ text: String, _ width: Int) -> [(String, String)] {
        let indent = label.isEmpty ? "" : "        "
        return PanelLook.wrap(text, width - indent.count).enumerated().map { $0.offset == 0 ? (label, $0.element) : ("", indent + $0.element) }
    }
}
