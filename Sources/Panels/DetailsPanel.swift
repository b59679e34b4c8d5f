import Hardware
import Machine
import Terminal

/// What the selected machine is, as pairs of words.
struct DetailsPanel {
    let row: MachineRow?
    /// The group that is selected, and its machines.
    var group: (path: String, members: [MachineRow])?

    private func groupLines() -> [(label: String, text: String, role: Role)] {
        guard let members = group?.members else { return [] }
        let alive = members.filter { $0.state.isAlive }
        var list: [(String, String, Role)] = [("Group", Amount.count(members.count, "machine", "machines"), .list)]
        for state in MachineRow.State.allCases {
            let count = members.filter { $0.state == state }.count
            if count > 0 { list.append(("", "\(state.glyph) \(count) \(state.word.lowercased())", state.role)) }
        }
        let memory = [members, alive].map { Amount.memory($0.reduce(0) { $0 + $1.memoryMiB }) }
        list.append(("Memory", memory[0] + (alive.isEmpty ? "" : ", \(memory[1]) running"), .list))
        list.append(("Disks", Amount.bytes(members.reduce(0) { $0 + $1.diskBytes }), .list))
        return list
    }

    func lines(_ width: Int) -> [(label: String, text: String, role: Role)] {
        guard let row else { return groupLines() }
        var list: [(String, String, Role)] = []
        var state = row.state.word
        if let up = row.uptimeSeconds { state += ", up \(Amount.uptime(up))" }
        list.append(("State", row.state.glyph + " " + state, row.state.role))
        if let problem = row.problem { list += PanelLook.wrap(problem, width).map { ("", $0, .stateError) } }
        if !row.osType.isEmpty { list.append(("System", row.osType, .list)) }
        if row.memoryMiB > 0 {
            list.append(("Memory", "\(row.memoryMiB) MiB, \(Amount.count(row.cpus, "CPU", "CPUs"))", .list))
        }
        if let load = row.load { list.append(("Load", "\(load)%" + (row.mips.map { ", \(Int($0)) MIPS" } ?? ""), .list)) }
        list.append(("Disks", Amount.bytes(row.diskBytes), .list))
        if !row.group.isEmpty { list.append(("Group", row.group, .list)) }
        if !row.tags.isEmpty { list.append(("Tags", row.tags.joined(separator: ", "), .list)) }
        for (i, line) in PanelLook.wrap(row.notes, width - 8).enumerated() where !row.notes.isEmpty {
            list.append((i == 0 ? "Notes" : "", (i == 0 ? "" : "        ") + line, .list))
        }
        return list
    }

    func draw(in area: Rect, look: PanelLook, focused: Bool, scrolled: Int, on surface: inout Surface) {
        look.frame(area, title: "2 " + (row?.name ?? group?.path ?? "Details"), focused: focused, on: &surface)
        let inside = area.inset(1)
        let all = lines(inside.width - 2), first = max(0, min(scrolled, all.count - inside.height))
        for (y, line) in all.dropFirst(first).enumerated() where y < inside.height {
            if y == 0, focused { look.point(inside.x, inside.y, on: &surface) }
            surface.put(line.label, .listKey, column: inside.x + 1, row: inside.y + y, limit: inside.width - 2)
            let x = line.label.isEmpty ? 1 : 9
            surface.put(line.text, line.role, column: inside.x + x, row: inside.y + y, limit: inside.width - x - 1)
        }
    }
}

/// A machine's screen, as much of it as there is room for: the part around the cursor, blank columns at the left skipped.
struct ThumbnailPanel {
    let name: String?
    let frame: TextFrame?
    /// What stands there without a picture.
    let note: String
    let theme: Theme
    var title = "3 Screen"

    func draw(in area: Rect, look: PanelLook, focused: Bool, on surface: inout Surface) {
        look.frame(area, title: title, focused: focused, on: &surface)
        let inside = area.inset(1)
        guard let frame, case .text = frame.mode, frame.columns > 0, frame.rows > 0, frame.cells.count >= frame.columns * frame.rows else {
            for (y, line) in PanelLook.wrap(note, inside.width - 2).enumerated() where y < inside.height {
                surface.put(line, .list, column: inside.x + 1, row: inside.y + y, limit: inside.width - 2)
            }
            return
        }
        let room = Size(width: inside.width, height: inside.height)
        var origin = ScreenPanel.follow(frame, from: (0, 0), shown: room)
        if frame.columns > room.width {
            let blank = (0..<min(frame.columns, room.width)).prefix { column in
                (0..<min(frame.rows, room.height)).allSatisfy { y in
                    let cell = frame.cells[(min(frame.rows - 1, origin.row + y)) * frame.columns + column]
                    return cell & 0xFF == 0x20 || cell & 0xFF == 0
                }
            }.count
            origin.column = max(origin.column, min(blank, frame.columns - room.width))
        }
        var shown = frame
        shown.cursor.visible = false
        let before = surface.cursor
        ScreenPanel(frame: shown, look: ScreenPanel.Look(theme.guest), origin: origin).draw(in: inside, on: &surface)
        surface.cursor = before
        if focused { look.point(inside.x, inside.y, on: &surface) }
    }
}
