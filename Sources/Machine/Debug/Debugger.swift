import CPU
import Hardware
import Primitives

/// The debugger of one machine: breakpoints, steps, and answers to questions. It belongs to the run loop and to its thread.
///
/// It costs nothing while there is no breakpoint and no step: then the run loop does not ask it.
final class Debugger {
    /// What the machine does until it stops next.
    enum Plan: Equatable {
        case free
        case steps(left: UInt64)
        case within(first: Linear, end: Linear, vcpu: Int?)
        /// Until so many have been retired, at full speed.
        case count(goal: UInt64)
        /// To the temporary place.
        case through
        case out(stack: UInt64, cpl: UInt8)
        case untilBranch
        /// Ring or mode.
        case untilChange
    }

    /// Where a step over something ends.
    struct TemporaryPlace {
        var linear: Linear
        /// nil: any processor.
        var vcpu: Int?
        /// The stack pointer must have come back to this.
        var stack: UInt64?
        /// The plan goes on behind it.
        var isPart = false
    }

    let pc: PC
    var breakpoints: [Breakpoint] = []
    var nextNumber = 1
    var conditions: [Int: Expression] = [:]
    var plan = Plan.free
    var temporary: TemporaryPlace?
    private var untilRing = false, untilMode = false
    /// The last stop, while the machine stands.
    var stop: DebugStop?
    /// What ends the present slice.
    var pending: DebugStop?
    private var serial: UInt64 = 0
    /// How a command wants the machine to go on.
    var wanted: DebugRun?
    /// Memory or registers have been changed by hand.
    var touched = false
    /// The processor that questions without a number are about.
    var selected = 0
    /// Who waits for the machine to stop.
    var waiting: [@Sendable (DebugStop?, [String]) -> Void] = []
    /// What commands at the stop have said.
    private var stopLines: [String] = []
    var symbols = SymbolTable()
    /// Lines for whoever looks: logs of breakpoints.
    var say: (String) -> Void = { _ in }
    // What commands remember.
    var recorder = TraceRecorder()
    var watchesStop = true
    var symbolFiles: [DebuggerFile.Symbols] = []
    /// What file names of commands are relative to.
    var folder = ""
    var dumpNext: DebugPlace?, examineNext: DebugPlace?
    var examineUnit = 4, examineFormat: Character = "x"
    var codeNext: Linear?, codeNextSerial: UInt64?
    /// nil: as the processor reads code.
    var codeBits: Int?
    /// Commands that wait for the machine to stop, and those of every stop.
    var queue: [String] = [], layout: [String] = []
    /// Commands within commands.
    var depth = 0
    /// Takes a snapshot of this name.
    var takeSnapshot: (String) -> Void = { _ in }
    /// How far back the machine can go; nil: nothing is recorded.
    var timeline: () -> Timeline? = { nil }
    /// Begins to record, or ends it; a sentence when that cannot be.
    var record: (Bool) -> String? = { _ in nil }
    /// Breakpoints have changed: they are saved.
    var breakpointsChanged: () -> Void = {}
    private let disassemblers = (Disassembler(bits: 16), Disassembler(bits: 32), Disassembler(bits: 64))

    init(pc: PC) { self.pc = pc }

    var processors: [Processor] { pc.processors }

    func disassembler(_ bits: Int) -> Disassembler {
        switch bits {
        case 16: disassemblers.0
        case 32: disassemblers.1
        default: disassemblers.2
        }
    }

    func processor(_ number: Int?) -> Processor? {
        let list = processors, n = number ?? selected
        return list.indices.contains(n) ? list[n] : list.first
    }

    // MARK: Slices

    /// The run loop has to ask for every slice.
    var isActive: Bool { owesEnd || plan != .free || temporary != nil || pending != nil || hasStops }
    private(set) var hasStops = false

    private var singleSteps: Bool { temporary == nil && isStepping }
    /// The plan is made of single steps.
    var isStepping: Bool {
        switch plan {
        case .steps, .within, .out, .untilBranch: true
        case .free, .through, .untilChange, .count: false
        }
    }

    /// Instructions between two looks at what is asked for, while single steps are made.
    private static let stepsAtOnce: UInt64 = 20_000

    /// Runs at most `budget` instructions. `isWhole` is false when the slice is not at its end: then nothing from outside may be given to
    /// the guest, so that a run in pieces is the same as one without.
    func slice(_ budget: Int64) -> (stop: GuestStop, isWhole: Bool) {
        if owesEnd, pending == nil {
            owesEnd = false
            return (pc.run(instructions: 0), true)
        }
        var left = budget
        var rounds: UInt64 = 0
        while true {
            if pending != nil { return (.debug, false) }
            prepareStep()
            let alone = singleSteps
            let before = pc.retired
            let (from, expected) = alone && plan == .untilBranch ? sequential() : (0, 0)
            var piece = alone ? min(1, left) : left
            if case .count(let goal) = plan { piece = min(piece, Int64(clamping: goal &- min(pc.retired, goal))) }
            pc.isPartOfSlice = piece < left
            let stop = pc.run(instructions: piece)
            pc.isPartOfSlice = false
            let done = Int64(clamping: pc.retired &- before)
            left -= done
            if stop == .debug {
                let hits = pc.takeHits()
                judge(hits)
                // What stopped them is carried out when they go on.
                if pending == nil { for case (let number, .place) in hits { processor(number)?.passPlace() } }
            }
            if alone, done > 0, pending == nil { stepped(from: from, expected: expected) }
            if case .count(let goal) = plan, pc.retired >= goal { finish(.step, "Step.") }
            if pending != nil {
                // What an access or a step has cut exactly at the end of a slice is its end.
                owesEnd = stop == .debug && left <= 0
                return (stop, stop != .debug && (left <= 0 || stop != .sliceDone))
            }
            if stop == .debug { continue }
            if stop != .sliceDone || left <= 0 || done == 0 { return (stop, true) }
            rounds += 1
            if rounds >= Debugger.stepsAtOnce { return (stop, false) }
        }
    }

    /// A stop came with the last instruction of a slice: its end is still to come.
    private var owesEnd = false

    // MARK: Steps

    /// Before the next single step: what is stepped over gets a temporary place behind it.
    private func prepareStep() {
        guard case .out = plan, temporary == nil, let next = nextInstruction(), next.decoded.isSteppedOver else { return }
        place(behind: next)
        temporary?.isPart = true
        replaceStops()
    }

    /// The instruction that is next on the running processor.
    func nextInstruction() -> (processor: Processor, linear: Linear, decoded: DecodedInstruction)? {
        guard let processor = processor(pc.runningProcessor) else { return nil }
        let linear = processor.linearRIP
        let bytes = processor.peek(linear, count: Disassembler.longest).bytes
        guard let decoded = disassembler(processor.executionMode.bits).decode(bytes, offset: processor.state.rip, withText: false) else { return nil }
        return (processor, linear, decoded)
    }

    private func place(behind next: (processor: Processor, linear: Linear, decoded: DecodedInstruction)) {
        let isCall = next.decoded.flow == .call || next.decoded.flow == .interrupt
        temporary = TemporaryPlace(
            linear: next.linear &+ UInt64(next.decoded.length), vcpu: pc.runningProcessor, stack: isCall ? stackPointer(next.processor) : nil)
    }

    func stackPointer(_ processor: Processor) -> UInt64 {
        let state = processor.state
        if processor.executionMode == .long { return state.gpr[4] }
        return state.gpr[4] & (state.seg[Seg.ss].isBig ? 0xFFFF_FFFF : 0xFFFF)
    }

    private func sequential() -> (Linear, Linear) {
        guard let next = nextInstruction() else { return (0, 0) }
        return (next.linear, next.linear &+ UInt64(next.decoded.length))
    }

    /// A single step has been made.
    private func stepped(from: Linear, expected: Linear) {
        guard let processor = processor(pc.runningProcessor) else { return }
        switch plan {
        case .steps(let left):
            if left <= 1 { finish(.step, "Step.") } else { plan = .steps(left: left - 1) }
        case .within(let first, let end, let vcpu):
            let linear = processor.linearRIP
            if vcpu ?? pc.runningProcessor == pc.runningProcessor, linear < first || linear >= end { finish(.step, "Step.") }
        case .untilBranch:
            let linear = processor.linearRIP
            // A repeated string instruction stays where it is.
            if linear != expected && linear != from { finish(.step, "A branch has been taken from \(String(from, radix: 16)).") }
        case .out(let stack, let cpl):
            if processor.state.cpl == cpl, stackPointer(processor) > stack, lastWasReturn { finish(.step, "Returned.") }
        case .free, .through, .untilChange, .count: break
        }
        lastWasReturn = nextInstruction()?.decoded.flow == .ret
    }
    private var lastWasReturn = false

    func go(_ run: DebugRun) -> String? {
        guard run != .pause else { return nil }
        temporary = nil
        (untilRing, untilMode) = (false, false)
        plan = .free
        switch run {
        case .pause, .resume: break
        case .step(let count): plan = count > Debugger.stepsAtOnce ? .count(goal: pc.retired &+ count) : .steps(left: max(1, count))
        case .over:
            if let next = nextInstruction(), next.decoded.isSteppedOver {
                place(behind: next)
                plan = .through
            } else {
                plan = .steps(left: 1)
            }
        case .out:
            guard let processor = processor(pc.runningProcessor) else { return "There is no processor." }
            plan = .out(stack: stackPointer(processor), cpl: processor.state.cpl)
            lastWasReturn = nextInstruction()?.decoded.flow == .ret
        case .to(let place):
            switch linear(place, processor(nil)) {
            case .success(let address):
                temporary = TemporaryPlace(linear: address, vcpu: nil, stack: nil)
                plan = .through
            case .failure(let error): return error.sentence
            }
        case .untilBranch: plan = .untilBranch
        case .untilRing: (plan, untilRing) = (.untilChange, true)
        case .untilMode: (plan, untilMode) = (.untilChange, true)
        case .within(let first, let end, let vcpu): plan = .within(first: first, end: end, vcpu: vcpu)
        case .back, .backResume, .instruction, .present, .lastWrite: break
        }
        stop = nil
        pending = nil
        replaceStops()
        attachRecorders()
        if let processor = processor(pc.runningProcessor) { processor.passPlace() }
        return nil
    }

    /// The machine goes on without the debugger's doing.
    func resumed() {
        guard stop != nil else { return }
        _ = go(.resume)
    }

    /// - Parameter number: of the breakpoint.
    func finish(_ reason: DebugStop.Reason, _ text: String, number: Int? = nil, vcpu: Int? = nil, access: DebugStop.Access? = nil) {
        guard pending == nil else { return }
        pending = makeStop(reason, text, number: number, vcpu: vcpu ?? pc.runningProcessor, access: access)
    }

    func makeStop(_ reason: DebugStop.Reason, _ text: String, number: Int? = nil, vcpu: Int, access: DebugStop.Access? = nil) -> DebugStop {
        serial += 1
        let processor = processor(vcpu)
        return DebugStop(
            serial: serial, reason: reason, number: number, text: text, vcpu: vcpu, retired: pc.retired,
            selector: processor?.state.seg[Seg.cs].selector ?? 0, offset: processor?.state.rip ?? 0, linear: processor?.linearRIP ?? 0,
            mode: processor?.executionMode ?? .real, access: access)
    }

    /// The machine stands now.
    func stopped(_ new: DebugStop) {
        stop = new
        pending = nil
        plan = .free
        temporary = nil
        (untilRing, untilMode) = (false, false)
        selected = new.vcpu
        (dumpNext, examineNext) = (nil, nil)
        replaceStops()
        stopLines += layout.flatMap { carryOut($0, fromBreakpoint: true) }
        stopLines += runQueue()
        // A script may let it go on at once: those who wait go on waiting.
        guard wanted == nil else { return }
        let (waiting, lines) = (waiting, stopLines)
        (self.waiting, stopLines) = ([], [])
        for answer in waiting { answer(new, lines) }
    }

    /// Registers have been changed by hand: what panels know of the place follows.
    func refreshStop() {
        guard var present = stop, let processor = processor(present.vcpu) else { return }
        (present.selector, present.offset) = (processor.state.seg[Seg.cs].selector, processor.state.rip)
        (present.linear, present.mode) = (processor.linearRIP, processor.executionMode)
        serial += 1
        present.serial = serial
        stop = present
    }

    /// A line for the log, and for those who wait for the machine to stop.
    func tell(_ line: String) {
        say(line)
        if !waiting.isEmpty, stopLines.count < 1000 { stopLines.append(line) }
    }

    /// Nobody will ever get an answer by waiting.
    func ended() {
        let waiting = waiting
        self.waiting = []
        for answer in waiting { answer(nil, stopLines) }
        recorder.close()
    }

    // MARK: Stop points

    /// Brings what the processors stop at up to date.
    func replaceStops() {
        var points = StopPoints()
        for breakpoint in breakpoints where breakpoint.isEnabled { add(breakpoint.kind, to: &points) }
        if let temporary { points.linear.insert(temporary.linear) }
        if untilRing { points.rings = true }
        if untilMode { points.modes = true }
        hasStops = points != StopPoints()
        pc.setStopPoints(points)
    }

    /// What the hits of one instruction come to.
    private func judge(_ hits: [(processor: Int, hit: DebugHit)]) {
        for (vcpu, hit) in hits {
            if case .place(let linear) = hit, let place = temporary, place.linear == linear, place.vcpu ?? vcpu == vcpu,
                place.stack.map({ stack in processor(vcpu).map { stackPointer($0) >= stack } ?? false }) ?? true
            {
                temporary = nil
                if place.isPart { replaceStops() } else { finish(.step, "Step.", vcpu: vcpu) }
            }
            if plan == .untilChange {
                switch hit {
                case .ring(let from, let to) where untilRing: finish(.step, "The ring has changed from \(from) to \(to).", vcpu: vcpu)
                case .mode(let from, let to) where untilMode: finish(.step, "The mode has changed from \(from.rawValue) to \(to.rawValue).", vcpu: vcpu)
                default: break
                }
            }
            for number in breakpoints.filter({ $0.isEnabled && matches($0.kind, hit, vcpu) }).map(\.number) { meet(number, hit, vcpu) }
        }
    }
}
