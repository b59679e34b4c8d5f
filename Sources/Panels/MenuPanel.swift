import Terminal

/// The menu bar in the first row with one menu pulled down.
public struct MenuPanel: Equatable, Sendable {
    public struct Item: Equatable, Sendable {
        /// nil: a line.
        public var id: ActionID?
        public var title: String, key: String
        public var enabled: Bool
        public init(_ id: ActionID?, title: String = "", key: String = "", enabled: Bool = true) {
            self.id = id
            self.title = title
            self.key = key
            self.enabled = enabled
        }
    }
    public struct Menu: Equatable, Sendable {
        public var title: String
        public var items: [Item]
        public init(_ title: String, _ items: [Item]) {
            self.title = title
            self.items = items
        }
    }

    public let menus: [Menu]
    public private(set) var open = 0
    public private(set) var selected = 0

    public init(menus: [Menu]) {
        self.menus = menus
        first()
    }

    private mutating func first() { selected = menus[open].items.firstIndex { $0.id != nil } ?? 0 }

    private mutating func move(_ step: Int) {
        let items = menus[open].items
        var i = selected
        for _ in items.indices {
            i = (i + step + items.count) % items.count
            if items[i].id != nil {
                selected = i
                return
            }
        }
    }

    public mutating func command(_ id: ActionID) -> OverlayAnswer {
        switch id {
        case .listUp: move(-1)
        case .listDown: move(1)
        case .listFirst: first()
        case .listLast:
            first()
            move(-1)
        case .menuLeft:
            open = (open + menus.count - 1) % menus.count
            first()
        case .menuRight:
            open = (open + 1) % menus.count
            first()
        case .accept:
            let item = menus[open].items[selected]
            guard let id = item.id, item.enabled else { return .beep }
            return .request(.run(id))
        case .cancel: return .close
        default: return .beep
        }
        return .stay
    }

    /// A letter goes to the next item that begins with it.
    public mutating func text(_ scalar: Unicode.Scalar) -> OverlayAnswer {
        let letter = Character(scalar).lowercased()
        let items = menus[open].items
        for step in 1...max(1, items.count) {
            let i = (selected + step) % items.count
            if items[i].id != nil, items[i].title.lowercased().hasPrefix(letter) {
                selected = i
                return .stay
            }
        }
        return .beep
    }

    private func titleColumn(_ index: Int) -> Int { menus[..<index].reduce(1) { $0 + Width.of($1.title) + 3 } }

    private func box(in area: Rect) -> Rect {
        let items = menus[open].items
        let width = (items.map { Width.of($0.title) + Width.of($0.key) }.max() ?? 0) + 7
        let x = max(0, min(titleColumn(open) - 1, area.width - width))
        return Rect(x: x, y: 1, width: min(width, area.width), height: min(items.count + 2, max(0, area.height - 1)))
    }

    public func draw(in area: Rect, border: BorderStyle, shadow: Bool, on surface: inout Surface) {
        surface.fill(Rect(x: 0, y: 0, width: area.width, height: 1), .menu)
        for (i, menu) in menus.enumerated() {
            surface.put(" \(menu.title) ", i == open ? .menuSelected : .menu, column: titleColumn(i), row: 0)
        }
        let box = box(in: area)
        if shadow { Shadow.draw(box, on: &surface) }
        surface.box(box, border: border, frame: .menu, inside: .menu)
        for (y, item) in menus[open].items.enumerated() where y < box.height - 2 {
            let row = box.y + 1 + y
            guard item.id != nil else {
                for x in box.x + 1..<max(box.x + 1, box.right - 1) {
                    surface[x, row] = Cell(scalar: border == .ascii ? 0x2D : 0x2500, ink: Ink(.menu))
                }
                continue
            }
            let role: Role = y == selected ? .menuSelected : item.enabled ? .menu : .menuDisabled
            surface.fill(Rect(x: box.x + 1, y: row, width: box.width - 2, height: 1), role)
            surface.put(item.title, role, column: box.x + 2, row: row, limit: box.width - 4)
            surface.put(
                item.key, y == selected || !item.enabled ? role : .menuHotkey, column: box.right - 2 - Width.of(item.key), row: row)
        }
    }

    public mutating func click(column: Int, row: Int, in area: Rect) -> OverlayAnswer {
        if row == 0 {
            for i in menus.indices where column >= titleColumn(i) && column < titleColumn(i) + Width.of(menus[i].title) + 2 {
                open = i
                first()
                return .stay
            }
            return .close
        }
        let box = box(in: area), y = row - box.y - 1
        guard box.contains(column: column, row: row) else { return .close }
        guard y >= 0, y < min(box.height - 2, menus[open].items.count), menus[open].items[y].id != nil else { return .stay }
        selected = y
        return command(.accept)
    }
}
