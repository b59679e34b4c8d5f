import Machine
import Terminal

// The picture: a line that says where the machine stands, panes, the command line.
extension DebugModel {
    /// Columns from which registers have a place beside the code, and memory too.
    static let wideColumns = 118, hugeColumns = 160
    /// The guest's screen with its frame.
    private static let screenColumns = 82, screenRows = 27
    private static let prompt = "> "

    private enum Shape { case narrow, wide, huge }

    private static func shape(_ area: Rect) -> Shape {
        if area.width >= hugeColumns, area.height >= 40 { return .huge }
        return area.width >= wideColumns && area.height >= 20 ? .wide : .narrow
    }

    /// Another size: the panes that belong to it. What was chosen in panes that stay, stays.
    mutating func resize(_ new: Rect) {
        let changed = DebugModel.shape(new) != DebugModel.shape(area)
        area = new
        guard changed || panes.isEmpty else { return }
        let shown = panes.indices.contains(focus) ? panes[focus] : .code
        panes = switch DebugModel.shape(new) {
        case .narrow: [shown]
        case .wide: [.code, .screen, .registers, .stack]
        case .huge: [.code, .screen, .registers, .memory, .stack, .output]
        }
        focus = panes.firstIndex(of: shown) ?? 0
    }

    /// Panes with their places.
    var places: [(kind: DebugPanelKind, place: Rect)] {
        let top = area.y + 1, bottom = area.bottom - 1
        let body = Rect(x: area.x, y: top, width: area.width, height: max(0, bottom - top))
        let shape = DebugModel.shape(area)
        if isZoomed, shape != .narrow, panes.indices.contains(focus) { return [(panes[focus], body)] }
        switch shape {
        case .narrow:
            let place = Rect(x: body.x, y: body.y + 1, width: body.width, height: max(0, body.height - 1))
            return panes.first.map { [($0, place)] } ?? []
        case .wide:
            let left = max(DebugModel.screenColumns, body.width - 60), right = body.width - left
            let lower = body.height >= DebugModel.screenRows + 9 ? DebugModel.screenRows : body.height / 2
            let registers = min(body.height * 3 / 5, 26)
            let rects = [
                Rect(x: body.x, y: body.y, width: left, height: body.height - lower),
                Rect(x: body.x, y: body.bottom - lower, width: left, height: lower),
                Rect(x: body.x + left, y: body.y, width: right, height: registers),
                Rect(x: body.x + left, y: body.y + registers, width: right, height: body.height - registers),
            ]
            return Array(zip(panes, rects)).map { ($0, $1) }
        case .huge:
            let left = DebugModel.screenColumns, right = body.width - left
            let lower = min(DebugModel.screenRows, body.height - 10)
            let registers = min(24, body.height * 2 / 5), rest = body.height - registers, memory = rest / 2
            let half = min(44, right / 2)
            let rects = [
                Rect(x: body.x, y: body.y, width: left, height: body.height - lower),
                Rect(x: body.x, y: body.bottom - lower, width: left, height: lower),
                Rect(x: body.x + left, y: body.y, width: right, height: registers),
                Rect(x: body.x + left, y: body.y + registers, width: right, height: memory),
                Rect(x: body.x + left, y: body.y + registers + memory, width: half, height: rest - memory),
                Rect(x: body.x + left + half, y: body.y + registers + memory, width: right - half, height: rest - memory),
            ]
            return Array(zip(panes, rects)).map { ($0, $1) }
        }
    }

    /// Kinds in view.
    var visible: [DebugPanelKind] { places.map(\.kind) }

    /// The inside of a kind's pane; nil: it is not in view.
    func inside(_ kind: DebugPanelKind) -> Rect? { places.first { $0.kind == kind }?.place.inset(1) }

    /// The pane that has the keyboard.
    var focused: DebugPanelKind { panes.indices.contains(focus) ? panes[focus] : .code }

    /// - Parameter guest: draws the guest's screen into a place.
    func draw(look: PanelLook, hasKeyboard: Bool, on surface: inout Surface, guest: (Rect, inout Surface) -> Void) {
        surface.fill(area, .panel)
        surface.cursor = nil
        drawHead(on: &surface)
        if DebugModel.shape(area) == .narrow { drawTabs(on: &surface) }
        for (kind, place) in places where place.width > 2 && place.height > 2 {
            look.frame(place, title: title(kind), focused: hasKeyboard && kind == focused, on: &surface)
            let inside = place.inset(1)
            if kind == .screen {
                let cursor = surface.cursor
                guest(inside, &surface)
                if hasKeyboard { surface.cursor = cursor }
            } else {
                drawLines(kind, in: inside, hasKeyboard: hasKeyboard && kind == focused, look: look, on: &surface)
            }
        }
        let row = area.bottom - 1
        surface.put(DebugModel.prompt, .listKey, column: area.x, row: row)
        let column = area.x + DebugModel.prompt.count
        line.draw(column: column, row: row, width: area.width - DebugModel.prompt.count, role: .input, showsCursor: hasKeyboard, on: &surface)
    }

    private func title(_ kind: DebugPanelKind) -> String {
        switch kind {
        case .memory:
            guard let memory else { return kind.title }
            return "\(kind.title) \(memory.isPhysical ? "physical" : "linear") \(DebugText.address(memory.address))"
        case .stack:
            guard let registers, registers.segments.count > 2 else { return kind.title }
            return "\(kind.title) \(DebugText.hex(UInt64(registers.segments[2].selector), 4)):\(DebugText.hex(StackPanel.pointer(registers), 4))"
        case .registers:
            guard let registers, registers.vcpus > 1 else { return kind.title }
            return "\(kind.title) of processor \(registers.vcpu)"
        default: return kind.title
        }
    }

    /// Stopped or running, and why.
    private func drawHead(on surface: inout Surface) {
        let words: String, role: Role
        if let stop {
            (words, role) = (stop.text, .statusAlert)
        } else if state == .stuck {
            (words, role) = ("Guru Meditation", .dialogDanger)
        } else if isStopped {
            (words, role) = ("Paused", .statusAlert)
        } else {
            (words, role) = ("Running: what is shown is a moment ago", .status)
        }
        surface.fill(Rect(x: area.x, y: area.y, width: area.width, height: 1), .status)
        let end = surface.put(" \(words) ", role, column: area.x, row: area.y, limit: area.width)
        guard let registers else { return }
        // The moment of a machine is the sum over its processors.
        var count = "\(registers.retired) instructions"
        if registers.vcpus > 1 { count = stop.map { "\($0.retired) instructions" } ?? count + " of processor \(registers.vcpu)" }
        let note = " \(registers.mode.words), CPL \(registers.cpl), \(count) "
        if end + Width.of(note) <= area.right { surface.put(note, .status, column: area.right - Width.of(note), row: area.y) }
    }

    private func drawTabs(on surface: inout Surface) {
        surface.fill(Rect(x: area.x, y: area.y + 1, width: area.width, height: 1), .panel)
        var x = area.x + 1
        var kinds = DebugPanelKind.numbered
        if !kinds.contains(focused) { kinds[kinds.count - 1] = focused }
        for (n, kind) in kinds.enumerated() {
            let text = kind == focused ? " \(kind.short) " : "\(n + 1) \(kind.short)"
            guard x + Width.of(text) <= area.right else { break }
            x = surface.put(text, kind == focused ? .listSelected : .panel, column: x, row: area.y + 1) + 1
        }
    }

    /// What a pane shows, all of it.
    func content(_ kind: DebugPanelKind, width: Int) -> [DebugLine] {
        switch kind {
        case .code:
            guard let registers else { return [] }
            let selector = registers.segments.count > 1 ? registers.segments[1].selector : 0
            return CodePanel(instructions: instructions, selector: selector, isRealLike: registers.mode.isRealLike, is64: registers.mode == .long)
                .lines(width: width)
        case .registers: return panel?.lines(width: width) ?? []
        case .fpu: return panel?.fpu(width: width) ?? []
        case .vectors: return panel?.vectors(width: width) ?? []
        case .msrs: return panel?.msrs(width: width) ?? []
        case .memory: return memory.map { MemoryPanel(memory: $0, before: memoryBefore, cursor: memoryCursor).lines(width: width) } ?? lines[.memory] ?? []
        case .stack:
            guard let stack, let registers else { return [] }
            return StackPanel(memory: stack, registers: registers).lines(width: width)
        case .breakpoints: return breakpoints.isEmpty ? [DebugLine("There are no breakpoints.")] : breakpoints.map(BreakpointText.line)
        case .output: return output.map { DebugLine($0) }
        case .screen: return []
        default: return lines[kind] ?? []
        }
    }

    private var panel: RegistersPanel? { registers.map { RegistersPanel(now: $0, before: before, cursor: focused == .registers ? registerCursor : nil) } }

    /// The line of a panel that the keyboard is at; nil: there is none.
    private func cursorLine(_ kind: DebugPanelKind) -> Int? {
        switch kind {
        case .code: codeCursor.flatMap { cursor in instructions.firstIndex { $0.linear == cursor } }
        case .breakpoints: breakpoints.isEmpty ? nil : chosenBreakpoint
        default: nil
        }
    }

    /// First line in view.
    func first(_ kind: DebugPanelKind, count: Int, height: Int) -> Int {
        let last = max(0, count - height)
        switch kind {
        case .code, .memory, .stack: return 0
        case .breakpoints: return max(0, min(last, chosenBreakpoint - height / 2))
        // New lines come into view.
        case .output: return min(last, tops[kind] ?? last)
        default: return min(last, tops[kind] ?? 0)
        }
    }

    private func drawLines(_ kind: DebugPanelKind, in place: Rect, hasKeyboard: Bool, look: PanelLook, on surface: inout Surface) {
        let content = content(kind, width: place.width), first = first(kind, count: content.count, height: place.height), cursor = cursorLine(kind)
        for y in 0..<place.height where first + y < content.count {
            let isHere = hasKeyboard && first + y == cursor
            content[first + y].draw(column: place.x, row: place.y + y, width: place.width, over: isHere ? .listSelected : nil, on: &surface)
        }
        if content.count > place.height, kind != .code {
            let frame = Rect(x: place.x - 1, y: place.y - 1, width: place.width + 2, height: place.height + 2)
            look.note(" \(first + 1)-\(min(first + place.height, content.count))/\(content.count) ", frame, on: &surface)
        }
    }
}

/// A breakpoint as one line.
enum BreakpointText {
    static func line(_ breakpoint: Breakpoint) -> DebugLine {
        var line = DebugLine([])
        line.add(DebugText.right("\(breakpoint.number)", 3) + (breakpoint.isEnabled ? " ● " : " ○ "), .debugBreakpoint)
        line.add(what(breakpoint.kind))
        if let condition = breakpoint.condition { line.add("  if \(condition)", .debugSymbol) }
        if breakpoint.ignore > 0 { line.add("  after \(breakpoint.ignore)") }
        if breakpoint.hits > 0 { line.add("  hit \(breakpoint.hits)×", .debugChanged) }
        if let log = breakpoint.log { line.add("  log \"\(log)\"") }
        for command in breakpoint.commands { line.add("  do \(command)") }
        if let snapshot = breakpoint.snapshot { line.add("  snapshot \(snapshot)") }
        if !breakpoint.stops { line.add("  goes on") }
        if breakpoint.isTemporary { line.add("  once") }
        return line
    }

    private static func place(_ place: DebugPlace) -> String {
        switch place {
        case .linear(let address): "linear \(DebugText.address(address))"
        case .physical(let address): "physical \(DebugText.address(address))"
        case .far(let selector, let offset): "\(DebugText.hex(UInt64(selector), 4)):\(DebugText.hex(offset, 4))"
        case .text(let text): text
        }
    }

    private static func access(_ reads: Bool, _ writes: Bool) -> String { reads && writes ? "access to" : reads ? "read of" : "write to" }

    static func what(_ kind: Breakpoint.Kind) -> String {
        switch kind {
        case .execution(let place): "at \(self.place(place))"
        case .memory(let place, let length, let reads, let writes): "\(access(reads, writes)) \(self.place(place)), \(length) bytes"
        case .port(let first, let last, let reads, let writes):
            "\(access(reads, writes)) port \(DebugText.hex(UInt64(first), 3))" + (last != first ? "-\(DebugText.hex(UInt64(last), 3))" : "")
        case .software(let vector, let ah, let al):
            "INT \(DebugText.hex(UInt64(vector), 2))" + (ah.map { " AH=\(DebugText.hex(UInt64($0), 2))" } ?? "")
                + (al.map { " AL=\(DebugText.hex(UInt64($0), 2))" } ?? "")
        case .external(let vector): "interrupt \(DebugText.hex(UInt64(vector), 2))"
        case .exception(let vector): "exception \(DebugText.hex(UInt64(vector), 2))"
        case .taskSwitch: "task switch"
        case .modeSwitch: "mode switch"
        case .ringSwitch: "ring switch"
        case .sensitive(let word): "sensitive instruction \(word ?? "of any kind")"
        case .magic: "xchg bx, bx"
        }
    }
}
