import Hardware
import Primitives

/// The way back of a machine with the virtual clock: every input from outside with the moment at which it was given, and checkpoints.
///
/// Going to an instruction is restoring the last checkpoint before it and running on to it, with the inputs given as they were the first
/// time. In the past the machine does again what it did; what it sends is dropped. The past ends where it was left, or where the user gives
/// the machine something new: what was to come is then forgotten.
///
/// Confined to the machine's thread.
final class TimeTravel {
    struct Limits: Equatable {
        /// Instructions between two checkpoints, at first.
        var interval: UInt64 = 10_000_000
        /// Between two of those that remember much.
        var longestInterval: UInt64 = 20_000_000
        var checkpoints = 160
        /// Bytes of old contents of memory and disks.
        var bytes = 512 << 20
        /// Inputs that are remembered.
        var inputs = 1_000_000
    }
    /// What came out of a leg of the way.
    struct Leg: Equatable {
        var stop: GuestStop
        /// Whoever watches wants to stop, at this instruction.
        var hit: UInt64?
        init(_ stop: GuestStop, hit: UInt64? = nil) { (self.stop, self.hit) = (stop, hit) }
    }
    enum Arrival: Equatable { case reached, hit(UInt64), end }

    private let pc: any GuestPC
    let history: History
    private let limits: Limits
    private var interval: UInt64
    private var due: UInt64 = 0
    /// Inputs with their moments; the first has the number `firstInput`.
    private var log: [(moment: Moment, input: OutsideInput)] = []
    private var firstInput: UInt64 = 0
    private var logBytes = 0
    /// Number of the next input to be given in the past.
    private var cursor: UInt64 = 0
    /// Where the past ends.
    private var head: Moment
    /// The machine is at the end of what is known.
    private(set) var isLive = true
    private(set) var stops: [Timeline.Event] = []
    /// What the run loop does when a kernel is to be placed.
    var onBootHook: () -> Void = {}
    /// Takes the debugger's stop points away for a way that is only gone, and gives them back.
    var setStopPoints: (_ isOn: Bool) -> Void = { _ in }

    init(_ pc: any GuestPC, limits: Limits = Limits()) {
        (self.pc, self.limits) = (pc, limits)
        interval = limits.interval
        history = History(pc, limit: limits.bytes)
        head = Moment(instruction: 0, time: 0)
        begin()
    }

    var isInPast: Bool { !isLive }
    var moment: Moment { Moment(instruction: pc.retired, time: pc.now(), firings: pc.firings) }
    var first: Moment { history.checkpoints.first?.moment ?? moment }
    private var logEnd: UInt64 { firstInput + UInt64(log.count) }
    /// Instruction at which the next checkpoint should be taken.
    var nextCheckpoint: UInt64? { isLive ? due : nil }

    /// Recording begins here and now; what was known is forgotten.
    func begin() {
        history.clear()
        firstInput = logEnd
        cursor = firstInput
        (log, logBytes, stops) = ([], 0, [])
        isLive = true
        history.take(moment, given: cursor)
        history.forgetMedia([])
        due = pc.retired + interval
    }

    func end() { history.end() }

    // MARK: The present

    /// An input that is about to be given, or has just been given; in the past it is the end of what was to come.
    func note(_ input: OutsideInput) {
        forgetFuture()
        log.append((moment, input))
        logBytes += input.bytes
        cursor += 1
    }

    /// The machine was changed by hand: memory or registers. Called when it has been.
    func noteEdit(_ what: String) {
        forgetFuture()
        let now = moment
        guard let number = history.take(now, given: cursor + 1, isKept: true) else { return }
        log.append((now, .edit(number, what: what)))
        cursor += 1
    }

    /// The machine stands for the user to look at.
    func noteStop(_ why: String) {
        stops.append(.init(instruction: pc.retired, text: why))
        if stops.count > Timeline.eventLimit { stops.removeFirst() }
    }

    /// After a slice in the present.
    /// - Returns: false: the way back to before this moment was lost.
    func afterSlice() -> Bool {
        guard isLive else { return true }
        if history.isLost {
            begin()
            return false
        }
        guard pc.retired >= due else { return true }
        let before = history.bytes
        history.take(moment, given: cursor)
        tidy()
        // Who remembers much does it less often.
        interval = before > limits.bytes / 2 ? limits.longestInterval : limits.interval
        due = pc.retired + interval
        return true
    }

    private func tidy() {
        history.thin(to: limits.checkpoints, head: max(pc.retired, isLive ? 0 : head.instruction))
        let given = history.checkpoints.first?.given ?? cursor
        // A log that grows without end takes the beginning with it.
        let gone = Int(given &- firstInput)
        if gone > 0 {
            for entry in log[..<gone] { logBytes -= entry.input.bytes }
            log.removeFirst(gone)
            firstInput = given
            history.forgetMedia(log.compactMap { if case .medium(_, let medium, _) = $0.input { medium } else { nil } })
        }
        if isLive, log.count > limits.inputs || logBytes > limits.bytes / 4 { begin() }
    }

    /// The user does something else than the first time.
    func forgetFuture() { if !isLive { cutFuture() } }

    private func cutFuture() {
        history.cutFuture()
        log.removeLast(Int(logEnd - cursor))
        isLive = true
        due = pc.retired + interval
    }

    /// A medium that the recording knows by its file: another one of the same file would find it in use.
    func medium(of path: String) -> (any Medium)? {
        for entry in log.reversed() {
            if case .medium(_, let medium?, let known?) = entry.input, known == path { return medium }
        }
        return nil
    }

    // MARK: Going

    /// Brings the machine to the first moment at which so many instructions have retired, before any input that was given there.
    /// - Throws: the recording does not reach so far; the machine stays where it is then.
    func goTo(_ instruction: UInt64) throws(MachineError) {
        guard instruction >= first.instruction else {
            throw .failed("The recording begins at instruction \(first.instruction); there is no way back before it.")
        }
        let end = isLive ? pc.retired : head.instruction
        guard instruction <= end else { throw .failed("The recording ends at instruction \(end).") }
        try go(to: instruction)
    }

    private func go(to instruction: UInt64) throws(MachineError) {
        guard let index = history.index(before: instruction) else { return }
        setStopPoints(false)
        defer { setStopPoints(true) }
        leave()
        if pc.retired >= instruction || history.here < index { try restore(index) }
        guard instruction > first.instruction else { return }
        // The next step back will want to begin near here.
        if instruction - pc.retired > 2_000_000 {
            _ = try forward(to: instruction - 100_000) { Leg(pc.run(instructions: $0)) }
            history.take(moment, given: cursor)
            tidy()
        }
        _ = try forward(to: instruction) { Leg(pc.run(instructions: $0)) }
    }

    /// The last moment that is known.
    func goToEnd() throws(MachineError) {
        guard !isLive else { return }
        setStopPoints(false)
        defer { setStopPoints(true) }
        if let index = history.index(before: head.instruction), history.here < index { try restore(index) }
        _ = try forward(to: .max) { Leg(pc.run(instructions: $0)) }
    }

    /// Goes back to the last moment before the present one at which whoever watches wants to stop; without one, to the beginning.
    /// - Parameters:
    ///   - watch: runs the board so many instructions, or to a hit.
    ///   - isCalledOff: asked now and then.
    /// - Returns: whether there was a hit.
    func goBack(isCalledOff: () -> Bool = { false }, watch: (Int64) -> Leg) throws(MachineError) -> Bool {
        let start = moment
        var end = start.instruction
        guard var index = history.index(before: end) else { return false }
        leave()
        while true {
            try restore(index)
            var last: UInt64?
            while pc.retired < end {
                if isCalledOff() {
                    try go(to: start.instruction)
                    throw .failed("Called off.")
                }
                guard case .hit(let instruction) = try forward(to: end, watch) else { break }
                if instruction < start.instruction { last = instruction }
            }
            if let last {
                try go(to: last)
                return true
            }
            end = history.checkpoints[index].moment.instruction
            guard index > 0 else {
                try restore(0)
                return false
            }
            index -= 1
        }
    }

    /// Leaves the present, if that is where the machine is.
    private func leave() {
        guard isLive else { return }
        head = moment
        isLive = false
    }

    private func restore(_ index: Int) throws(MachineError) {
        do throws(MachineError) {
            try history.restore(index)
        } catch {
            begin()
            throw error
        }
        cursor = history.checkpoints[index].given
    }

    /// Runs on in the past, up to an instruction or to the end of what is known. Inputs that were given at `goal` are not given yet.
    func forward(to goal: UInt64, _ run: (Int64) -> Leg) throws(MachineError) -> Arrival {
        let tap = pc.tap
        pc.tap = nil
        defer {
            tap?.text = TextHistory()
            pc.tap = tap
            pc.outsideDeadline = nil
        }
        while true {
            if pc.retired >= goal { return .reached }
            try giveDue()
            let now = moment
            if cursor == logEnd, now >= head {
                isLive = true
                due = max(due, pc.retired + 1)
                return .end
            }
            let event = nextEvent
            guard now < event else { throw lost(now) }
            // Time alone passes up to an event of the same instruction.
            let waits = now.instruction == event.instruction
            pc.outsideDeadline = waits && now.time < event.time ? event.time : nil
            let budget = waits ? 1 : Int64(clamping: min(goal, event.instruction) - now.instruction)
            let leg = run(budget)
            _ = pc.drainOutput()
            switch leg.stop {
            case .bootHook: onBootHook()
            case .sliceDone, .halted, .debug: if moment > event, moment.instruction > event.instruction || waits { throw lost(moment) }
            case .powerOff, .reset, .shutdown, .failed, .debugExit: throw lost(moment)
            }
            if let hit = leg.hit { return .hit(hit) }
        }
    }

    /// The next input, checkpoint, or the end.
    private var nextEvent: Moment {
        var event = head
        if cursor < logEnd { event = min(event, log[Int(cursor - firstInput)].moment) }
        let next = history.here + 1
        if next < history.checkpoints.count { event = min(event, history.checkpoints[next].moment) }
        return event
    }

    /// Inputs and checkpoints of the present moment.
    private func giveDue() throws(MachineError) {
        while true {
            let now = moment, next = history.here + 1
            if next < history.checkpoints.count, history.checkpoints[next].moment == now, history.checkpoints[next].given == cursor {
                history.arrive()
                continue
            }
            guard cursor < logEnd, log[Int(cursor - firstInput)].moment == now else { return }
            let input = log[Int(cursor - firstInput)].input
            cursor += 1
            if case .edit(let number, _) = input {
                guard let index = history.index(number: number) else { throw lost(now) }
                try restore(index)
            } else {
                input.give(to: pc)
            }
        }
    }

    /// The machine did something else than the first time. That must not be; what follows cannot be trusted, so it is forgotten.
    private func lost(_ now: Moment) -> MachineError {
        begin()
        return .failed("The replay left the recorded way at instruction \(now.instruction); the recording begins anew there.")
    }

    // MARK: Timeline

    var timeline: Timeline {
        var timeline = Timeline()
        timeline.first = first
        timeline.position = moment
        timeline.last = isLive ? timeline.position : head
        timeline.isInPast = isInPast
        timeline.checkpoints = history.checkpoints.map(\.moment.instruction)
        timeline.inputs = log.suffix(Timeline.eventLimit).map { .init(instruction: $0.moment.instruction, text: $0.input.words) }
        timeline.stops = stops
        (timeline.bytes, timeline.limit) = (history.bytes, limits.bytes)
        return timeline
    }
}
