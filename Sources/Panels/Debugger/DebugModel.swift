import CPU
import Hardware
import Machine
import Terminal

/// The debugger beside a console, as a value: keys and replies in, requests and a picture out.
///
/// What it shows is what the machine last answered. It asks again at every stop, and while the machine runs a few times a second for the
/// panels in view; closed, it asks nothing.
public struct DebugModel: Sendable {
    /// What an answer is for.
    enum Sink: Equatable, Sendable {
        case registers, code, memory, stack, breakpoints, output, completion, nothing
        case lines(DebugPanelKind)
        /// A piece of memory that is searched.
        case search(from: UInt64)
    }

    /// Panes of the layout, in the order of the keyboard, and which has it.
    public internal(set) var panes: [DebugPanelKind] = [.code]
    public internal(set) var focus = 0
    /// One pane has all the room.
    var isZoomed = false
    var area = Rect(x: 0, y: 0, width: 80, height: 23)

    // MARK: What the machine has said

    public internal(set) var stop: DebugStop?
    var state = MachineState.running
    var registers: DebugRegisters?
    /// The stop that they are of.
    private var shownStop: UInt64?
    /// At the stop before: what differs is marked.
    var before: DebugRegisters?
    var instructions: [DebugInstruction] = []
    var memory: DebugMemory?
    var memoryBefore: DebugMemory?
    var stack: DebugMemory?
    public internal(set) var breakpoints: [Breakpoint] = []
    var lines: [DebugPanelKind: [DebugLine]] = [:]
    public internal(set) var output: [String] = []

    // MARK: What the user looks at

    /// First line of the code; nil: it goes with the next instruction.
    var codeTop: DebugPlace?
    /// Lines above `codeTop` that are wanted too.
    var codeAbove = 0
    /// The keyboard goes to the first line, or to the last, when it is there.
    var pendingTop = false, pendingEnd = false
    /// Linear address of the line that the keyboard is at; nil: the next instruction.
    var codeCursor: UInt64?
    var memoryPlace = DebugPlace.text("ds:0")
    /// The register that the keyboard is at, as `set` names it; nil: none has been chosen.
    public internal(set) var registerCursor: String?
    /// The byte that the keyboard is at, once it is known.
    var memoryCursor: UInt64?
    /// First lines of the other panels; the selected breakpoint.
    var tops: [DebugPanelKind: Int] = [:]
    var chosenBreakpoint = 0
    /// What is searched for in memory, and how much has been looked at.
    var wanted: [UInt8] = []
    var searched = 0
    /// Something to tell: taken by the console.
    var message: String?

    // MARK: The command line

    var line = TextLine()
    var history: [String] = []
    var historyAt = 0
    static let historyLimit = 200, outputLimit = 2000

    // MARK: Asking

    private var sinks: [Int: [Sink]] = [:]
    private var nextTag = 1
    /// The refresh whose answer is due.
    private var refreshing: Int?
    /// Something has changed since it was asked for.
    private var isStale = false
    private var refreshAt: UInt64 = 0
    private var requests: [(tag: Int, request: DebugRequest)] = []
    /// Milliseconds between two looks at a machine that runs.
    static let sampleInterval: UInt64 = 300

    public init() {}

    /// Requests that wait to be sent, each with the number that its reply comes with.
    mutating func takeRequests() -> [(tag: Int, request: DebugRequest)] {
        defer { requests = [] }
        return requests
    }

    mutating func ask(_ queries: [(DebugQuery, Sink)], waits: Bool = false) {
        guard !queries.isEmpty else { return }
        sinks[nextTag] = queries.map(\.1)
        requests.append((nextTag, DebugRequest(queries.map(\.0), waits: waits)))
        nextTag += 1
    }

    var isStopped: Bool { stop != nil || state == .paused || state == .stuck }

    /// The machine's view has changed.
    mutating func update(_ view: MachineView, at time: UInt64) {
        let wasStopped = isStopped, old = stop?.serial
        (state, stop) = (view.state, view.debugStop)
        if isStopped, stop?.serial != old || !wasStopped {
            // The code in view follows to where the machine stands.
            (codeCursor, codeTop, codeAbove) = (nil, nil, 0)
            if let stop, stop.reason != .step { tell([stop.text]) }
            refresh(at: time)
        } else if wasStopped, !isStopped {
            refreshAt = time + DebugModel.sampleInterval
        }
    }

    /// Everything in view, once the last answer is there.
    mutating func refresh(at time: UInt64) {
        refreshAt = time + DebugModel.sampleInterval
        guard refreshing == nil else { return isStale = true }
        isStale = false
        refreshing = nextTag
        ask(queries)
    }

    mutating func tick(at time: UInt64) { if !isStopped, time >= refreshAt, refreshing == nil { refresh(at: time) } }

    /// When `tick` wants to be called.
    var deadline: UInt64? { isStopped || refreshing != nil ? nil : refreshAt }

    // MARK: Questions

    private func rows(_ kind: DebugPanelKind) -> Int { max(1, inside(kind)?.height ?? 16) }

    /// What the panes in view need.
    private var queries: [(DebugQuery, Sink)] {
        var result: [(DebugQuery, Sink)] = [(.registers(vcpu: nil), .registers), (.breakpoints, .breakpoints)]
        for kind in visible {
            switch kind {
            case .code:
                let rows = rows(.code)
                let above = codeTop == nil ? min(3, rows / 4) : codeAbove
                result.append((.disassembly(codeTop, before: above, count: rows, bits: nil, vcpu: nil), .code))
            case .memory:
                let count = rows(.memory) * MemoryPanel.bytesInLine(inside(.memory)?.width ?? 78)
                result.append((.memory(memoryPlace, count: min(count, DebugRequest.memoryLimit), vcpu: nil), .memory))
            case .stack:
                let place = registers.map { DebugPlace.linear(StackPanel.linear($0)) } ?? .text("ss:sp")
                result.append((.memory(place, count: rows(.stack) * (registers.map(StackPanel.width) ?? 2), vcpu: nil), .stack))
            case .walk: result.append((.walk(linear: memoryCursor ?? registers?.linear ?? 0, vcpu: nil), .lines(.walk)))
            case .idt: result.append((.table(registers?.mode.isRealLike == true ? .ivt : .idt, vcpu: nil), .lines(.idt)))
            default: if let query = kind.query { result.append((query, .lines(kind))) }
            }
        }
        return result
    }

    // MARK: Answers

    /// - Returns: false: nobody has asked.
    @discardableResult
    mutating func take(_ tag: Int, _ reply: DebugReply, at time: UInt64) -> Bool {
        guard let sinks = sinks.removeValue(forKey: tag) else { return false }
        if refreshing == tag, let serial = reply.stop?.serial, serial != shownStop {
            (before, memoryBefore, shownStop) = (registers, memory, serial)
        }
        for (answer, sink) in zip(reply.answers, sinks) { take(answer, sink, at: time) }
        // What scripts have said when the machine stopped.
        for case .lines(let words) in reply.answers.dropFirst(sinks.count) where !words.isEmpty { tell(words) }
        if refreshing == tag {
            refreshing = nil
            if isStale { refresh(at: time) }
        }
        return true
    }

    private mutating func take(_ answer: DebugAnswer, _ sink: Sink, at time: UInt64) {
        if case .failure(let sentence) = answer {
            switch sink {
            case .lines(let kind): lines[kind] = [DebugLine(sentence, .logWarn)]
            case .output: tell([sentence])
            case .memory:
                memory = nil
                lines[.memory] = [DebugLine(sentence, .logWarn)]
            case .code where codeTop != nil:
                message = sentence
                (codeTop, codeAbove, pendingTop) = (nil, 0, false)
                isStale = true
            case .nothing, .search: message = sentence
            case .registers, .code, .stack, .breakpoints, .completion: break
            }
            return
        }
        switch (sink, answer) {
        case (.registers, .registers(let new)):
            let isFirst = registers == nil
            registers = new
            // What depends on them was asked for without.
            if isFirst { refresh(at: time) }
        case (.code, .instructions(let new)): takeCode(new)
        case (.memory, .memory(let new)):
            memory = new
            let last = new.address &+ UInt64(max(1, new.bytes.count)) &- 1
            if memoryCursor.map({ $0 < new.address || $0 > last }) ?? true { memoryCursor = new.address }
            memoryPlace = new.isPhysical ? .physical(new.address) : .linear(new.address)
        case (.stack, .memory(let new)): stack = new
        case (.breakpoints, .breakpoints(let new)):
            breakpoints = new
            chosenBreakpoint = max(0, min(chosenBreakpoint, new.count - 1))
        case (.output, .lines(let new)):
            tell(new)
            refresh(at: time)
        case (.completion, .lines(let words)): completed(words)
        case (.lines(let kind), _): lines[kind] = DebugLines.make(answer, kind, self)
        case (.search(let from), .memory(let piece)): search(piece, from: from, at: time)
        case (.nothing, _): refresh(at: time)
        default: break
        }
    }

    private mutating func takeCode(_ new: [DebugInstruction]) {
        let rows = rows(.code)
        // Above the first line there may be less than was asked for.
        instructions = Array(new.prefix(max(rows, 1)))
        if codeTop != nil, let first = instructions.first { (codeTop, codeAbove) = (.linear(first.linear), 0) }
        if pendingTop { codeCursor = instructions.first?.linear } else if pendingEnd { codeCursor = instructions.last?.linear }
        (pendingTop, pendingEnd) = (false, false)
        if let cursor = codeCursor, !instructions.contains(where: { $0.linear == cursor }) { codeCursor = instructions.first?.linear }
    }

    /// Lines for the panel of commands.
    mutating func tell(_ new: [String]) {
        output += new
        if output.count > DebugModel.outputLimit { output.removeFirst(output.count - DebugModel.outputLimit) }
        tops[.output] = nil
        guard !visible.contains(.output), let first = new.first else { return }
        if new.count == 1 { message = first } else { show(.output) }
    }

    private mutating func completed(_ words: [String]) {
        let text = line.text
        let head = text.lastIndex(of: " ").map { text[...$0] } ?? ""
        guard let first = words.first else { return message = "Nothing begins so." }
        var common = first
        for word in words { while !word.hasPrefix(common) { common.removeLast() } }
        if words.count == 1 {
            line = TextLine(head + first + " ")
        } else {
            if common.count > text.count - head.count { line = TextLine(head + common) }
            message = words.prefix(12).joined(separator: "  ") + (words.count > 12 ? "  …" : "")
        }
    }

    // MARK: Searching memory

    private static let searchLimit = 16 << 20

    mutating func beginSearch(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, let memory else { return }
        (wanted, searched) = (bytes, 0)
        askSearch((memoryCursor ?? memory.address) &+ 1)
    }

    private mutating func askSearch(_ from: UInt64) {
        let place = memory?.isPhysical == true ? DebugPlace.physical(from) : .linear(from)
        ask([(.memory(place, count: DebugRequest.memoryLimit, vcpu: nil), .search(from: from))])
    }

    private mutating func search(_ piece: DebugMemory, from: UInt64, at time: UInt64) {
        let count = wanted.count
        if piece.bytes.count >= count {
            for start in 0...(piece.bytes.count - count) where piece.bytes[start] == wanted[0] {
                guard piece.bytes[start..<start + count].elementsEqual(wanted), !piece.missing.contains(where: { $0.overlaps(start..<start + count) }) else {
                    continue
                }
                let place = from &+ UInt64(start)
                memoryCursor = place
                memoryPlace = piece.isPhysical ? .physical(place & ~0xF) : .linear(place & ~0xF)
                message = "Found at \(DebugText.address(place))."
                return refresh(at: time)
            }
        }
        searched += piece.bytes.count
        guard searched < DebugModel.searchLimit, piece.bytes.count > count else {
            return message = "It does not occur in the next \(searched >> 20) MiB."
        }
        askSearch(from &+ UInt64(piece.bytes.count - count + 1))
    }
}

extension DebugPanelKind {
    /// What a panel of lines asks; nil: it has a way of its own.
    var query: DebugQuery? {
        switch self {
        case .branches: .branches
        case .history: .history(count: 400)
        case .gdt: .table(.gdt, vcpu: nil)
        case .ldt: .table(.ldt, vcpu: nil)
        case .tss: .table(.tss, vcpu: nil)
        case .tlb: .translations(vcpu: nil)
        case .pci: .pci
        case .devices, .interrupts: .devices
        case .activity: .activity(count: 400)
        case .census: .census
        case .timeline: .timeline
        case .code, .registers, .memory, .stack, .breakpoints, .output, .screen, .fpu, .vectors, .msrs, .idt, .walk: nil
        }
    }
}
