import Terminal

/// Fields to fill in, with the help for the current one at the right: the settings form and the steps of the wizard.
public struct FieldsPanel: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case flag
        /// Words to choose from, and what people read for them.
        case choice([Choice])
        /// One line; the unit stands behind it.
        case text(unit: String)
        /// Letters in an order that matters; those in `all` that are missing are off.
        case order(all: [Choice])
        /// Only shown.
        case note
        /// Does something.
        case button
    }
    public struct Choice: Equatable, Sendable {
        public var value: String, title: String
        public init(_ value: String, _ title: String? = nil) {
            self.value = value
            self.title = title ?? value
        }
    }
    public struct Field: Equatable, Sendable {
        public var key: String
        /// Fields of one section follow each other; its name stands above the first.
        public var section: String
        public var title: String
        public var help: String
        public var kind: Kind
        public var value: String
        /// Below the field: what is wrong.
        public var problem: String?
        public var isEnabled = true
        /// A sign behind the title, explained in the help.
        public var sign = ""
        /// The text names a file of the host.
        public var isFile = false
        public init(_ key: String, section: String = "", title: String, help: String, kind: Kind, value: String = "") {
            self.key = key
            self.section = section
            self.title = title
            self.help = help
            self.kind = kind
            self.value = value
        }
    }

    /// What a command or a key did.
    public enum Outcome: Equatable, Sendable {
        case none, moved
        /// The value of a field is another one.
        case changed(String)
        /// A choice wants its list.
        case choose(String)
        case pressed(String)
        /// The name of a file wants to be completed, or chosen.
        case complete(String), browse(String)
    }

    public private(set) var fields: [Field]
    public private(set) var selected = 0
    var line = TextLine()
    /// Entry of an order that moves.
    private var entry = 0
    private var page = 10

    public init(_ fields: [Field]) {
        self.fields = fields
        selected = fields.firstIndex { $0.kind != .note && $0.isEnabled } ?? 0
        load()
    }

    public var current: Field? { fields.indices.contains(selected) ? fields[selected] : nil }
    public func value(_ key: String) -> String { fields.first { $0.key == key }?.value ?? "" }

    /// Takes other fields over; the selection stays where it is as far as it can.
    public mutating func replace(_ new: [Field]) {
        let key = current?.key
        fields = new
        if let i = fields.firstIndex(where: { $0.key == key }) {
            selected = i
            // What is being typed is not touched.
            if case .text = fields[i].kind, line.text == fields[i].value { return }
        } else {
            selected = min(selected, max(0, fields.count - 1))
            if current?.kind == .note { move(1) }
        }
        load()
    }

    public mutating func set(_ key: String, _ value: String) {
        guard let i = fields.firstIndex(where: { $0.key == key }) else { return }
        fields[i].value = value
        if i == selected { load() }
    }

    public mutating func setProblem(_ key: String, _ problem: String?) {
        guard let i = fields.firstIndex(where: { $0.key == key }) else { return }
        fields[i].problem = problem
    }

    /// The next field, when nothing is left to complete in this one.
    mutating func goOn() { move(1) }

    public mutating func select(_ key: String) {
        guard let i = fields.firstIndex(where: { $0.key == key }) else { return }
        selected = i
        load()
    }

    private mutating func load() {
        guard let current else { return }
        if case .text = current.kind { line = TextLine(current.value) }
        entry = 0
    }

    private mutating func move(_ step: Int) {
        guard !fields.isEmpty else { return }
        var i = selected
        for _ in fields.indices {
            i = (i + step + fields.count) % fields.count
            if fields[i].kind != .note, fields[i].isEnabled { break }
        }
        selected = i
        load()
    }


    /// The entries of an order: those that are on, then the others.
    private func entries(_ field: Field) -> [(choice: Choice, on: Bool)] {
        guard case .order(let all) = field.kind else { return [] }
        let on = field.value.map { String($0) }
        return on.map { word in (all.first { $0.value == word } ?? Choice(word), true) }
            + all.filter { !on.contains($0.value) }.map { ($0, false) }
    }

    // MARK: Commands

    public mutating func command(_ id: ActionID) -> Outcome {
        guard let field = current else { return .none }
        switch id {
        case .complete where field.isFile && field.isEnabled && !field.value.isEmpty: return .complete(field.key)
        case .browse: return field.isFile && field.isEnabled ? .browse(field.key) : .none
        case .complete:
            move(1)
            return .moved
        case .listUp, .previousButton:
            move(-1)
            return .moved
        case .listDown, .nextButton:
            move(1)
            return .moved
        case .pageUp, .pageDown:
            for _ in 0..<max(1, page / 2) {
                let before = selected
                move(id == .pageUp ? -1 : 1)
                if (id == .pageUp) == (selected > before) {
                    selected = before
                    load()
                    break
                }
            }
            return .moved
        case .nextSection, .previousSection:
            let sections = fields.reduce(into: [String]()) { if $0.last != $1.section { $0.append($1.section) } }
            guard let i = sections.firstIndex(of: field.section) else { return .none }
            let wanted = sections[(i + (id == .nextSection ? 1 : sections.count - 1)) % sections.count]
            selected = fields.firstIndex { $0.section == wanted && $0.kind != .note && $0.isEnabled } ?? selected
            load()
            return .moved
        default: break
        }
        guard field.isEnabled else { return .none }
        switch field.kind {
        case .flag:
            guard [.accept, .menuLeft, .menuRight].contains(id) else { return .none }
            return change(field.value == "on" ? "off" : "on")
        case .choice(let choices):
            if id == .accept { return .choose(field.key) }
            guard id == .menuLeft || id == .menuRight, !choices.isEmpty else { return .none }
            let i = choices.firstIndex { $0.value == field.value } ?? 0
            return change(choices[(i + (id == .menuRight ? 1 : choices.count - 1)) % choices.count].value)
        case .text:
            if id == .accept {
                move(1)
                return .moved
            }
            let before = line.text
            guard line.command(id) else { return .none }
            return line.text == before ? .moved : change(line.text, reload: false)
        case .order: return order(id, field)
        case .button: return id == .accept ? .pressed(field.key) : .none
        case .note: return .none
        }
    }

    private mutating func order(_ id: ActionID, _ field: Field) -> Outcome {
        let list = entries(field), on = list.filter(\.on).count
        guard list.indices.contains(entry) else { return .none }
        switch id {
        case .menuLeft:
            entry = max(0, entry - 1)
            return .moved
        case .menuRight:
            entry = min(list.count - 1, entry + 1)
            return .moved
        case .moveUp, .moveDown:
            let to = id == .moveUp ? entry - 1 : entry + 1
            guard entry < on, to >= 0, to < on else { return .none }
            var words = list.prefix(on).map(\.choice.value)
            words.swapAt(entry, to)
            let result = change(words.joined())
            entry = to
            return result
        case .accept:
            // On and off.
            var words = list.prefix(on).map(\.choice.value)
            if entry < on { words.remove(at: entry) } else { words.append(list[entry].choice.value) }
            let value = list[entry].choice.value, result = change(words.joined())
            if let current { entry = entries(current).firstIndex { $0.choice.value == value } ?? 0 }
            return result
        default: return .none
        }
    }

    public mutating func text(_ scalar: Unicode.Scalar) -> Outcome {
        guard let field = current, field.isEnabled else { return .none }
        switch field.kind {
        case .flag, .order, .button: return scalar == " " ? command(.accept) : .none
        case .choice(let choices):
            if scalar == " " { return command(.accept) }
            // The next choice that begins with the letter.
            let letter = Character(scalar).lowercased(), i = choices.firstIndex { $0.value == field.value } ?? 0
            let next = (1...max(1, choices.count)).map { (i + $0) % max(1, choices.count) }
                .first { choices.indices.contains($0) && choices[$0].title.lowercased().hasPrefix(letter) }
            return next.map { change(choices[$0].value) } ?? .none
        case .text:
            line.insert(scalar)
            return change(line.text, reload: false)
        case .note: return .none
        }
    }

    public mutating func paste(_ text: String) -> Outcome {
        guard let field = current, case .text = field.kind, field.isEnabled else { return .none }
        line.paste(text)
        return change(line.text, reload: false)
    }

    private mutating func change(_ value: String, reload: Bool = true) -> Outcome {
        fields[selected].value = value
        if reload { load() }
        return .changed(fields[selected].key)
    }

    // MARK: Drawing

    /// A line of the panel: a heading, a field, or what is wrong with the field above.
    private enum Row { case heading(String), field(Int), problem(String, isFirst: Bool) }

    private func rowsOfPanel(_ width: Int) -> [Row] {
        var result: [Row] = []
        var section = ""
        for (i, field) in fields.enumerated() {
            if field.section != section, !field.section.isEmpty {
                section = field.section
                result.append(.heading(section))
            }
            result.append(.field(i))
            if let problem = field.problem {
                for (n, line) in PanelLook.wrap(problem, max(8, width - 6)).enumerated() { result.append(.problem(line, isFirst: n == 0)) }
            }
        }
        return result
    }

    private func first(_ rows: [Row], _ room: Int) -> Int {
        let at = rows.firstIndex { if case .field(let i) = $0 { i == selected } else { false } } ?? 0
        return max(0, min(at - room / 2, rows.count - room))
    }

    static func helpWidth(_ area: Rect) -> Int { max(24, min(52, area.width * 2 / 5)) }

    func draw(in area: Rect, title: String, look: PanelLook, isForm: Bool, on surface: inout Surface) {
        var aside = FieldsPanel.helpWidth(area)
        var main = Rect(x: area.x, y: area.y, width: area.width - aside, height: area.height)
        var side = Rect(x: main.right, y: area.y, width: aside, height: area.height)
        if look.linear {
            // The help below, not beside: lines are read whole.
            aside = min(8, area.height / 2)
            main = Rect(x: area.x, y: area.y, width: area.width, height: area.height - aside)
            side = Rect(x: area.x, y: main.bottom, width: area.width, height: aside)
        }
        look.frame(main, title: title, focused: true, on: &surface)
        let inside = main.inset(1), rows = rowsOfPanel(inside.width), start = first(rows, inside.height)
        let titleWidth = min(inside.width / 2, (fields.map { Width.of($0.title) + Width.of($0.sign) }.max() ?? 0) + 2)
        for y in 0..<inside.height where start + y < rows.count {
            let line = inside.y + y
            switch rows[start + y] {
            case .heading(let name): surface.put(name, .panelTitle, column: inside.x, row: line, limit: inside.width)
            case .problem(let text, let isFirst):
                surface.put(
                    "  " + (look.linear ? "" : isFirst ? "└ " : "  ") + text, .inputError, column: inside.x + 1, row: line, limit: inside.width - 1)
            case .field(let i):
                draw(fields[i], i == selected, inside, line, titleWidth, look, on: &surface)
            }
        }
        if rows.count > inside.height { look.note(" \(selected + 1)/\(fields.count) ", main, on: &surface) }
        drawHelp(side, look, on: &surface)
    }

    private func draw(
        _ field: Field, _ isSelected: Bool, _ inside: Rect, _ line: Int, _ titleWidth: Int, _ look: PanelLook, on surface: inout Surface
    ) {
        let role: Role = !field.isEnabled ? .menuDisabled : isSelected ? .listSelected : .list
        let full = Rect(x: inside.x, y: line, width: inside.width, height: 1)
        if field.kind == .note { return _ = surface.put(field.title, .list, column: inside.x + 1, row: line, limit: inside.width - 1) }
        if isSelected { surface.fill(full, role) }
        let plain: Role = field.isEnabled ? role : .list
        surface.put(field.title, plain, column: inside.x + 1, row: line, limit: titleWidth)
        surface.put(
            field.sign, isSelected ? plain : .listKey, column: inside.x + 1 + Width.of(field.title) + (field.sign.isEmpty ? 0 : 1), row: line)
        let x = inside.x + 1 + titleWidth, room = inside.right - x - 1
        if isSelected { look.point(inside.x, line, on: &surface) }
        switch field.kind {
        case .flag: surface.put(field.value == "on" ? "[x]" : "[ ]", plain, column: x, row: line, limit: room)
        case .choice(let choices):
            let title = choices.first { $0.value == field.value }?.title ?? field.value
            surface.put(isSelected ? "< \(title) >" : title, plain, column: x, row: line, limit: room)
        case .text(let unit):
            let wide = unit.isEmpty ? room : max(4, room - Width.of(unit) - 1)
            if isSelected {
                self.line.draw(
                    column: x, row: line, width: wide, role: field.problem == nil ? .input : .inputError, showsCursor: true, on: &surface)
            } else {
                surface.put(field.value, field.problem == nil ? plain : .inputError, column: x, row: line, limit: wide)
            }
            surface.put(unit, plain, column: x + (isSelected ? wide : min(wide, Width.of(field.value))) + 1, row: line, limit: room - wide)
        case .order:
            var at = x
            for (i, item) in entries(field).enumerated() {
                let text = item.on ? item.choice.title : "(\(item.choice.title))"
                guard at < inside.right - 1 else { break }
                let mark = isSelected && i == entry
                at = surface.put(
                    mark ? "[\(text)]" : text, mark ? .buttonSelected : item.on ? plain : .menuDisabled, column: at, row: line,
                    limit: inside.right - 1 - at)
                at += 1
            }
        case .button: surface.put("[ \(field.value) ]", isSelected ? .buttonSelected : .button, column: x, row: line, limit: room)
        case .note: break
        }
    }

    private func drawHelp(_ side: Rect, _ look: PanelLook, on surface: inout Surface) {
        look.frame(side, title: "Help", focused: false, on: &surface)
        guard let field = current else { return }
        let inside = side.inset(1)
        var lines = PanelLook.wrap(field.help, inside.width - 2)
        if case .order = field.kind {
            let how = "Left and Right choose an entry, Space takes it out or in, Alt-Up and Alt-Down move it."
            lines += [""] + PanelLook.wrap(how, inside.width - 2)
        }
        if field.isFile { lines += [""] + PanelLook.wrap("Tab completes the name; Ctrl-O looks into folders.", inside.width - 2) }
        if case .choice(let choices) = field.kind, choices.count > 1 {
            lines += [""] + PanelLook.wrap("Left and Right change it, Enter shows all \(choices.count).", inside.width - 2)
        }
        for (y, text) in lines.enumerated() where y < inside.height {
            surface.put(text, .list, column: inside.x + 1, row: inside.y + y, limit: inside.width - 2)
        }
    }

    public mutating func setPage(_ area: Rect) { page = max(2, area.height - 4) }

    public mutating func click(column: Int, row: Int, in area: Rect) -> Outcome {
        let main = Rect(x: area.x, y: area.y, width: area.width - FieldsPanel.helpWidth(area), height: area.height).inset(1)
        let rows = rowsOfPanel(main.width), y = row - main.y, start = first(rows, main.height)
        guard main.contains(column: column, row: row), start + y < rows.count, case .field(let i) = rows[start + y],
            fields[i].kind != .note, fields[i].isEnabled
        else { return .none }
        if i == selected, case .text = fields[i].kind { return .moved }
        if i == selected { return command(.accept) }
        selected = i
        load()
        return .moved
    }
}
