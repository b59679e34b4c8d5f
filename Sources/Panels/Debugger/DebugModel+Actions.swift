import Machine
import Terminal

// Commands.
extension DebugModel {
    /// Something that the console around it does.
    enum Outcome: Equatable {
        case done, beep, close
        /// A line is to be asked for.
        case prompt(title: String, words: String, value: String, request: Request)
        /// Not for the debugger.
        case unknown
    }

    /// Brings a kind into view and gives it the keyboard.
    mutating func show(_ kind: DebugPanelKind) {
        if let there = panes.firstIndex(of: kind) {
            focus = there
        } else if panes.indices.contains(focus), panes.count > 1, panes[focus] == .code || panes[focus] == .screen {
            // The code stays in view where there is room for more.
            focus = panes.count - 1
            panes[focus] = kind
        } else if panes.indices.contains(focus) {
            panes[focus] = kind
        } else {
            panes = [kind]
        }
    }

    mutating func command(_ id: ActionID, at time: UInt64) -> Outcome {
        switch id {
        case .debugStep: go(.step(count: 1))
        case .debugOver: go(.over)
        case .debugOut: go(.out)
        case .debugBack: go(.back(count: 1))
        case .debugBackRun: go(.backResume)
        case .debugRun: go(isStopped ? .resume : .pause)
        case .debugToCursor:
            guard let place = cursorPlace else { return .beep }
            go(.to(.linear(place)))
        case .debugBreakpoint: toggleBreakpoint()
        case .debugDelete:
            guard focused == .breakpoints, breakpoints.indices.contains(chosenBreakpoint) else { return .beep }
            ask([(.deleteBreakpoint(breakpoints[chosenBreakpoint].number), .nothing)])
        case .debugWatch:
            guard let memoryCursor, let memory else { return .beep }
            let place: DebugPlace = memory.isPhysical ? .physical(memoryCursor) : .linear(memoryCursor)
            ask([(.setBreakpoint(Breakpoint(.memory(place, length: 1, reads: false, writes: true))), .nothing)])
            message = "Stops when \(DebugText.address(memoryCursor)) is written."
        case .debugFollow:
            (codeCursor, codeTop, codeAbove) = (nil, nil, 0)
            show(.code)
            refresh(at: time)
        case .debugGoto:
            let kind = focused == .code ? DebugPanelKind.code : .memory
            return prompt(.debugGoto(kind, ""), "Go to", "An address: 7c00, cs:ip, b800:0, phys:9fc00, a symbol:", "")
        case .debugSearch: return prompt(.debugSearch(""), "Search memory", "Bytes as 55 AA, or a text in \"quotes\":", "")
        case .debugEdit: return editing("")
        case .debugZoom:
            isZoomed.toggle()
            refresh(at: time)
        case .nextPanel, .previousPanel:
            if panes.count > 1 {
                focus = (focus + (id == .nextPanel ? 1 : panes.count - 1)) % panes.count
            } else {
                let kinds = DebugPanelKind.numbered, here = kinds.firstIndex(of: focused) ?? 0
                panes = [kinds[(here + (id == .nextPanel ? 1 : kinds.count - 1)) % kinds.count]]
            }
            refresh(at: time)
        case .debugHistoryPrevious, .debugHistoryNext: recall(id == .debugHistoryPrevious ? -1 : 1)
        case .complete:
            guard !line.text.isEmpty else { return command(.nextPanel, at: time) }
            ask([(.complete(line.text), .completion)])
        case .accept: enter(at: time)
        case .cancel:
            if !line.text.isEmpty {
                line = TextLine()
            } else if isZoomed {
                isZoomed = false
                refresh(at: time)
            } else {
                return .close
            }
        case .menuLeft where line.text.isEmpty: return focused == .registers ? moveRegister(column: -1) : moveByte(-1, at: time)
        case .menuRight where line.text.isEmpty: return focused == .registers ? moveRegister(column: 1) : moveByte(1, at: time)
        case .menuLeft, .menuRight, .backspace, .deleteForward, .clearText: _ = line.command(id)
        case .listUp, .listDown, .pageUp, .pageDown, .listFirst, .listLast: return move(id, at: time)
        default:
            guard let kind = id.debugPanel else { return .unknown }
            show(kind)
            refresh(at: time)
        }
        return .done
    }

    /// Asks for a new value of the register that the keyboard is at, or for bytes.
    private func editing(_ typed: String) -> Outcome {
        if focused == .registers {
            guard let registerCursor else { return .beep }
            return prompt(.debugSet(register: registerCursor, ""), "Change \(registerCursor)", "A value, hexadecimal, or an expression:", typed)
        }
        guard let memoryCursor, memory != nil else { return .beep }
        return prompt(.debugEdit(""), "Change memory", "Bytes from \(DebugText.address(memoryCursor)) on, as 55 AA, or a text in \"quotes\":", typed)
    }

    private func prompt(_ request: Request, _ title: String, _ words: String, _ value: String) -> Outcome {
        .prompt(title: title, words: words, value: value, request: request)
    }

    // MARK: Going on

    private mutating func go(_ run: DebugRun) { ask([(.go(run), .nothing)]) }

    /// Where the keyboard is in the code.
    private var cursorPlace: UInt64? { codeCursor ?? instructions.first { $0.isCurrent }?.linear }

    private mutating func toggleBreakpoint() {
        switch focused {
        case .breakpoints:
            guard breakpoints.indices.contains(chosenBreakpoint) else { return }
            let chosen = breakpoints[chosenBreakpoint]
            ask([(.enableBreakpoint(chosen.number, !chosen.isEnabled), .nothing)])
        default:
            guard let place = cursorPlace else { return }
            if let there = instructions.first(where: { $0.linear == place })?.breakpoint {
                ask([(.deleteBreakpoint(abs(there)), .nothing)])
            } else {
                ask([(.setBreakpoint(Breakpoint(.execution(.linear(place)))), .nothing)])
            }
        }
    }

    // MARK: The command line

    /// A digit on a register or a byte is the beginning of its new value; no command begins with one.
    mutating func type(_ scalar: Unicode.Scalar) -> Outcome {
        if line.text.isEmpty, ("0"..."9").contains(scalar), focused == .registers && registerCursor != nil || focused == .memory && memoryCursor != nil {
            return editing(String(scalar))
        }
        line.insert(scalar)
        return .done
    }
    mutating func paste(_ text: String) { line.paste(text) }

    /// An empty line steps, as in Bochs.
    private mutating func enter(at time: UInt64) {
        let text = line.text
        line = TextLine()
        historyAt = 0
        guard text.contains(where: { !$0.isWhitespace }) else { return go(.step(count: 1)) }
        if history.last != text { history.append(text) }
        if history.count > DebugModel.historyLimit { history.removeFirst() }
        output.append("> " + text)
        ask([(.command(text), .output)])
    }

    private mutating func recall(_ step: Int) {
        let at = historyAt + step
        guard at <= 0, -at <= history.count else { return }
        historyAt = at
        line = TextLine(at == 0 ? "" : history[history.count + at])
    }

    // MARK: Moving

    private mutating func move(_ id: ActionID, at time: UInt64) -> Outcome {
        let height = max(1, inside(focused)?.height ?? 10)
        switch focused {
        case .code: moveCode(id, height, at: time)
        case .memory: return moveMemory(id, height, at: time)
        case .registers where id != .pageUp && id != .pageDown: return moveRegister(id)
        case .breakpoints:
            let last = max(0, breakpoints.count - 1)
            chosenBreakpoint = max(0, min(last, DebugModel.moved(chosenBreakpoint, id, page: height, last: last)))
        case .screen: return .beep
        default:
            let count = content(focused, width: inside(focused)?.width ?? 80).count, last = max(0, count - height)
            let here = first(focused, count: count, height: height)
            let there = max(0, min(last, DebugModel.moved(here, id, page: height - 1, last: last)))
            tops[focused] = focused == .output && there == last ? nil : there
        }
        return .done
    }

    private static func moved(_ here: Int, _ id: ActionID, page: Int, last: Int) -> Int {
        switch id {
        case .listUp: here - 1
        case .listDown: here + 1
        case .pageUp: here - max(1, page)
        case .pageDown: here + max(1, page)
        case .listFirst: 0
        default: last
        }
    }

    private mutating func moveCode(_ id: ActionID, _ height: Int, at time: UInt64) {
        guard !instructions.isEmpty else { return }
        let here = cursorPlace.flatMap { place in instructions.firstIndex { $0.linear == place } } ?? 0
        let there = DebugModel.moved(here, id, page: height - 1, last: instructions.count - 1)
        if instructions.indices.contains(there) {
            codeCursor = instructions[there].linear
            // The view stays where it is, from now on.
            codeTop = .linear(instructions[0].linear)
            return
        }
        if there < 0 {
            (codeTop, codeAbove) = (.linear(instructions[0].linear), -there)
            codeCursor = nil
            // Its first line is where the keyboard will be.
            pendingTop = true
        } else {
            let step = there - (instructions.count - 1)
            (codeTop, codeAbove) = (.linear(instructions[min(step, instructions.count - 1)].linear), 0)
            pendingEnd = true
        }
        refresh(at: time)
    }

    /// Values that can be changed, each with its line and its column in it.
    private var registerPlaces: [(name: String, row: Int, column: Int)] {
        content(.registers, width: inside(.registers)?.width ?? 80).enumerated().flatMap { row, line in
            var column = 0
            return line.spans.compactMap { span in
                defer { column += span.text.count }
                return span.register.map { ($0, row, column) }
            }
        }
    }

    /// Left and right, over the ends of lines.
    private mutating func moveRegister(column step: Int) -> Outcome {
        let places = registerPlaces
        guard let first = places.first else { return .beep }
        guard let here = places.firstIndex(where: { $0.name == registerCursor }) else { return chooseRegister(first.name, first.row) }
        guard places.indices.contains(here + step) else { return .beep }
        return chooseRegister(places[here + step].name, places[here + step].row)
    }

    private mutating func moveRegister(_ id: ActionID) -> Outcome {
        let places = registerPlaces
        guard let first = places.first, let last = places.last else { return .beep }
        let here = places.first { $0.name == registerCursor }
        var rows: [Int] = []
        switch id {
        case .listUp: rows = places.map(\.row).filter { $0 < here?.row ?? 1 }.suffix(1)
        case .listDown: rows = here.map { here in places.map(\.row).filter { $0 > here.row }.prefix(1).map { $0 } } ?? [first.row]
        case .listFirst: return chooseRegister(first.name, first.row)
        default: return chooseRegister(last.name, last.row)
        }
        // The nearest of that line.
        let column = here?.column ?? 0
        guard let row = rows.first, let next = places.filter({ $0.row == row }).min(by: { abs($0.column - column) < abs($1.column - column) }) else {
            return .beep
        }
        return chooseRegister(next.name, next.row)
    }

    private mutating func chooseRegister(_ name: String, _ row: Int) -> Outcome {
        registerCursor = name
        let height = max(1, inside(.registers)?.height ?? 10), top = tops[.registers] ?? 0
        if row < top { tops[.registers] = row == 1 ? 0 : row } else if row >= top + height { tops[.registers] = row - height + 1 }
        return .done
    }

    /// Moves the byte cursor; what is not in view is read.
    private mutating func moveByte(_ step: Int, at time: UInt64) -> Outcome {
        guard focused == .memory, let cursor = memoryCursor else { return .beep }
        return place(cursor &+ UInt64(bitPattern: Int64(step)), scrollingBy: MemoryPanel.bytesInLine(inside(.memory)?.width ?? 78), at: time)
    }

    private mutating func moveMemory(_ id: ActionID, _ height: Int, at time: UInt64) -> Outcome {
        guard let cursor = memoryCursor, let memory else { return .beep }
        let row = MemoryPanel.bytesInLine(inside(.memory)?.width ?? 78)
        let step: Int
        switch id {
        case .listUp: step = -row
        case .listDown: step = row
        case .pageUp: step = -row * height
        case .pageDown: step = row * height
        case .listFirst: step = -Int(truncatingIfNeeded: (cursor &- memory.address) % UInt64(row))
        default: step = row - 1 - Int(truncatingIfNeeded: (cursor &- memory.address) % UInt64(row))
        }
        return place(cursor &+ UInt64(bitPattern: Int64(step)), scrollingBy: abs(step) >= row ? abs(step) : row, at: time)
    }

    private mutating func place(_ cursor: UInt64, scrollingBy step: Int, at time: UInt64) -> Outcome {
        guard let memory else { return .beep }
        memoryCursor = cursor
        if cursor >= memory.address, cursor - memory.address < UInt64(memory.bytes.count) { return .done }
        let isAbove = Int64(bitPattern: cursor &- memory.address) < 0
        let top = isAbove ? memory.address &- UInt64(step) : memory.address &+ UInt64(step)
        memoryPlace = memory.isPhysical ? .physical(top) : .linear(top)
        refresh(at: time)
        return .done
    }

    // MARK: What was asked for in a dialog

    mutating func go(_ kind: DebugPanelKind, to text: String, at time: UInt64) {
        switch kind {
        case .code:
            (codeTop, codeAbove, codeCursor) = (.text(text), 0, nil)
            pendingTop = true
        default:
            memoryPlace = .text(text)
            memoryCursor = nil
        }
        show(kind)
        refresh(at: time)
    }

    mutating func edit(_ text: String) {
        guard let bytes = DebugModel.bytes(text) else { return message = "'\(text)' is neither bytes such as 55 AA nor a text in quotes." }
        guard let memoryCursor, let memory else { return }
        ask([(.poke(memory.isPhysical ? .physical(memoryCursor) : .linear(memoryCursor), bytes: bytes, vcpu: nil), .nothing)])
    }

    mutating func set(_ register: String, _ text: String) {
        ask([(.command("sr \(register) \(text)"), .output)])
    }

    mutating func search(_ text: String) {
        guard let bytes = DebugModel.bytes(text) else { return message = "'\(text)' is neither bytes such as 55 AA nor a text in quotes." }
        beginSearch(bytes)
    }

    /// `55 AA`, `55aa`, `"text"`.
    static func bytes(_ text: String) -> [UInt8]? {
        let trimmed = text.drop { $0 == " " }
        if trimmed.first == "\"" {
            let inner = trimmed.dropFirst()
            let end = inner.lastIndex(of: "\"") ?? inner.endIndex
            let bytes = Array(inner[..<end].utf8)
            return bytes.isEmpty || bytes.count > 1024 ? nil : bytes
        }
        var bytes: [UInt8] = []
        for word in trimmed.split(separator: " ") {
            var rest = word.hasPrefix("0x") ? word.dropFirst(2) : word
            if rest.count == 1 { rest = "0" + rest }
            guard rest.count % 2 == 0 else { return nil }
            while !rest.isEmpty {
                guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
                bytes.append(byte)
                rest = rest.dropFirst(2)
            }
        }
        return bytes.isEmpty || bytes.count > 1024 ? nil : bytes
    }
}

extension ActionID {
    /// The panel that a command shows.
    var debugPanel: DebugPanelKind? {
        guard let n = ActionID.debugPanelKeys.firstIndex(of: self), DebugPanelKind.numbered.indices.contains(n) else { return nil }
        return DebugPanelKind.numbered[n]
    }
}
