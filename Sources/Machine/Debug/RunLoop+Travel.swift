import CPU
import Hardware
import Primitives

// Going back and forth in time, and everything that comes from outside.
extension RunLoop {
    /// Something from outside reaches the guest.
    func give(_ input: OutsideInput) {
        travel?.note(input)
        input.give(to: pc)
    }

    /// From here on the machine can go back to here.
    /// - Throws: it cannot.
    func beginRecording() throws(MachineError) {
        guard travel == nil else { return }
        guard isVirtual else {
            throw .failed("Only a machine with --clock virtual, or one that records from its start (--record), can go back in time.")
        }
        guard pc.savedBoard != nil else { throw .failed("This machine cannot go back in time.") }
        let travel = TimeTravel(pc, limits: parts.recordLimits)
        travel.onBootHook = { [unowned self] in startKernel() }
        travel.setStopPoints = { [unowned self] isOn in
            guard let debugger else { return }
            if isOn { debugger.replaceStops() } else { debugger.pc.setStopPoints(StopPoints()) }
        }
        self.travel = travel
        log(.info, "Debugger", "Recording begins at instruction \(pc.retired).")
    }

    func endRecording() {
        travel?.end()
        travel = nil
    }

    /// After a slice in the present.
    func recordSlice() {
        guard let travel, !travel.afterSlice() else { return }
        parts.diagnose("More was written at once than the recording may remember; it begins anew at instruction \(pc.retired).")
    }

    /// One turn in the past: what happened then happens again, and nobody outside hears of it.
    func travelOn() {
        guard let travel else { return }
        do throws(MachineError) {
            let arrival = try travel.forward(to: pc.retired &+ RunLoop.quantum) { budget in
                let (stop, _) = runSlice(budget)
                return .init(stop, hit: debugger?.pending == nil ? nil : pc.retired)
            }
            if let stop = debugger?.pending {
                ranSinceFrame = true
                return stand(at: stop)
            }
            if arrival == .end { log(.info, "Debugger", "The machine is in the present again.") }
        } catch {
            parts.diagnose(error.description)
        }
        ranSinceFrame = true
        refreshView(force: false)
        keepPace()
    }

    /// Goes to an instruction that the recording knows.
    func goTo(instruction: UInt64) throws(MachineError) { try travelling { travel throws(MachineError) in try travel.goTo(instruction) } }

    /// Back by so many instructions, those of all processors counted.
    func stepBack(_ count: UInt64) throws(MachineError) {
        try travelling { travel throws(MachineError) in
            let now = pc.retired
            guard now >= count, now - count >= travel.first.instruction else {
                try travel.goTo(travel.first.instruction)
                throw .failed("The recording begins here, at instruction \(travel.first.instruction); there is no way back before it.")
            }
            try travel.goTo(now - count)
        }
    }

    /// Does something that changes the moment, and shows where the machine is then.
    func travelling<R>(_ body: (TimeTravel) throws(MachineError) -> R) throws(MachineError) -> R {
        guard let travel else { throw .failed("Nothing is recorded; start the machine with --record, or begin with 'record on'.") }
        guard capture == nil else { throw .failed("A snapshot is just being taken; try again when it is done.") }
        defer { arrived() }
        return try body(travel)
    }

    /// The machine is at another moment.
    private func arrived() {
        if stuck != nil, travel?.isInPast == true {
            stuck = nil
            machine.publish { [paused] in ($0.state, $0.problem) = (paused ? .paused : .running, nil) }
            logState(paused ? .paused : .running)
        }
        isHalted = false
        frameFetched = nil
        ranSinceFrame = true
        rateSample = (parts.hostTime(), pc.retired)
        parts.pace?.set(pc.now())
        refreshView(force: true)
    }

    // MARK: Pace

    /// A recording machine that follows the host's time: the virtual clock, held back to real time. It may be late, never early.
    func keepPace() {
        guard let pace = parts.pace, outcome == nil else { return }
        let real = pace.guestTime(), guest = guestTime
        if guest > real &+ RunLoop.paceSlack {
            machine.bell.wait(nanoseconds: sleepLimit(min(guest &- real, RunLoop.longestSleep)))
        } else if real > guest &+ RunLoop.paceLag {
            pace.set(guest)
        }
    }

    /// By so much the guest may be ahead of real time.
    private static let paceSlack: Nanoseconds = 2_000_000
    /// What it is behind beyond this is not caught up with.
    private static let paceLag: Nanoseconds = 100_000_000
}
