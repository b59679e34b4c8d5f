import CPU
import Primitives

extension PC {
    // MARK: Time

    public func now() -> Nanoseconds {
        guard !isVirtual, case .host(let time) = settings.clock else { return counted.pointee.time(at: engine.retired) }
        let now = paced.pointee.advance(host: time(), retired: retired, deadline: nextDeadline)
        // Time stands at the deadline until the chip has been called.
        if now >= nextDeadline { engine.requestExit() }
        return now
    }

    /// Host clock: time passes for processors that all sleep. Before anything that comes from outside, which is now.
    func passHostTime() {
        guard case .host(let time) = settings.clock, engines.allSatisfy(\.isIdle) else { return }
        paced.pointee.pass(host: time(), deadline: nextDeadline)
    }

    /// Instructions retired since power-on by all processors.
    public var retired: UInt64 { engine.retired &+ retiredElsewhere }

    /// What the processors' translators have done, all together; nil: everything is interpreted.
    public var translationStatistics: TranslationStatistics? {
        let all = engines.compactMap { ($0 as? Processor)?.translationStatistics }
        return all.isEmpty ? nil : all.dropFirst().reduce(all[0], +)
    }

    func refreshDeadlines() {
        for position in devices.indices { deadlines[position] = devices[position].deadline ?? .max }
        nextDeadline = deadlines.min() ?? .max
    }

    /// Fires every chip whose deadline has come: the earliest first, of equals the first in the list.
    private func fireDue() {
        let time = now()
        while true {
            var due = -1
            for position in deadlines.indices where deadlines[position] <= time {
                if due < 0 || deadlines[position] < deadlines[due] { due = position }
            }
            guard due >= 0 else { break }
            let before = deadlines[due]
            begin(due)
            wires.now = time
            firings &+= 1
            devices[due].fire(&wires)
            finish(due)
            // A chip that does not move its deadline on breaks its contract; the machine lives on, slowly.
            if deadlines[due] <= before { deadlines[due] = time &+ 1_000_000 }
        }
        nextDeadline = deadlines.min() ?? .max
    }

    // MARK: Running

    /// Runs until `instructions` have retired or something stops the machine. Retires exactly that many unless it stops.
    public func run(instructions: Int64) -> PCStop {
        let goal = retired &+ UInt64(max(instructions, 0))
        var skippedHere = skippedInSlice
        skippedInSlice = 0
        // Where the present measurement of the host's rate began.
        var mark: (time: Nanoseconds, retired: UInt64)?
        var fruitless = 0
        while true {
            if let stop = takeStop() { return stop }
            let before = retired
            guard before < goal, outputBytes < PC.outputLimit, wires.tap?.isFull != true else {
                if isPartOfSlice { skippedInSlice = skippedHere }
                return inconsistency.map(fail) ?? .sliceDone
            }
            var time = now()
            if time >= nextDeadline {
                fireDue()
                if pendingStop != nil || pendingReset || pendingINIT != 0 { continue }
                time = now()
            }
            guard engines.count == 1 || chooseProcessor() else {
                mark = nil
                if let stop = sleep(&skippedHere) { return stop }
                continue
            }
            if case .host = settings.clock { measure(&mark, time, before) }
            let limit = min(Int64(clamping: goal - before), alone ? .max : turnLeft)
            let exit = engine.run(budget: budget(limit, time))
            if !alone { turnLeft -= Int64(clamping: retired - before) }
            switch exit {
            case .budgetUsed, .attention, .paused:
                if exit == .paused, !alone { turnLeft = 0 }
                fruitless = retired == before ? fruitless + 1 : 0
                if fruitless > PC.fruitlessLimit { return fail("processor \(current) does not go on") }
            case .failed(let what): return fail(what)
            case .debug:
                skippedInSlice = skippedHere
                return .debug
            case .shutdown(let sentence):
                if shutdownCode != 0 {
                    pendingINIT |= 1 << UInt32(current)  // the 80286's way back to real mode
                } else if settings.tripleFaultResets {
                    pendingReset = true
                } else {
                    return .shutdown(sentence)
                }
            case .halted:
                mark = nil
                if engines.count > 1 || retired >= goal || pendingStop != nil || pendingReset || pendingINIT != 0 { continue }
                if let stop = sleep(&skippedHere) { return stop }
            }
        }
    }

    /// Calls of an engine in a row that may end without an instruction: each has its reason, and no slice has so many.
    private static let fruitlessLimit = 1_000_000

    private var inconsistency: String? {
        for (number, engine) in engines.enumerated() {
            if let what = engine.inconsistency { return engines.count == 1 ? what : "processor \(number): \(what)" }
        }
        return nil
    }

    private func fail(_ what: String) -> PCStop {
        hasFailed = true
        return .failed(what)
    }

    /// Round robin: the present processor until its turn is over or it halts, then the next one that can run. Depends on nothing but the
    /// state of the processors, so that it is the same however the host cuts the run into pieces.
    /// - Returns: false: all of them sleep.
    private func chooseProcessor() -> Bool {
        var runnable: UInt32 = 0
        for (number, processor) in engines.enumerated() where !processor.isIdle { runnable |= 1 << UInt32(number) }
        guard runnable != 0 else { return false }
        if turnLeft <= 0 || runnable >> UInt32(current) & 1 == 0 {
            var next = current
            repeat { next = (next + 1) % engines.count } while runnable >> UInt32(next) & 1 == 0
            select(next)
            turnLeft = PC.turn
        }
        alone = runnable == 1 << UInt32(current)
        return true
    }

    /// All processors halt: with the virtual clock time passes to the next deadline; nil: go on.
    private func sleep(_ skippedHere: inout Nanoseconds) -> PCStop? {
        nextDeadline = deadlines.min() ?? .max
        passHostTime()
        if nextDeadline == .max { return .halted(until: nil) }
        let reached = now()
        guard nextDeadline > reached else { return nil }
        if case .host = settings.clock { return .halted(until: nextDeadline) }
        let goal = min(nextDeadline, outsideDeadline.map { max($0, reached) } ?? .max)
        skipped &+= goal - reached
        skippedHere &+= goal - reached
        // Who wants to act at a deadline does so before the chip.
        return skippedHere >= 10_000_000 || goal < nextDeadline || goal == outsideDeadline ? .halted(until: now()) : nil
    }

    /// Instructions until the next deadline, at most `limit`.
    private func budget(_ limit: Int64, _ time: Nanoseconds) -> Int64 {
        // Guest time that is ahead of the host's stands still first.
        let gap = nextDeadline == .max ? UInt64(Int64.max) : nextDeadline - min(isVirtual ? time : min(time, paced.pointee.host), nextDeadline)
        switch settings.clock {
        case .virtual:
            return max(1, min(limit, Int64(clamping: gap / PC.nanosecondsPerInstruction &+ gap % PC.nanosecondsPerInstruction)))
        case .host:
            // Host time passes at a rate that is only guessed: look again often enough to be some tens of microseconds late at most. Translated code does
            // many more than one instruction in a nanosecond.
            let guess = (min(gap, 1 << 20) * hostRate) >> 10
            return max(1, min(limit, Int64(min(max(guess, 1_000), max(20_000, (40_000 * hostRate) >> 10)))))
        }
    }

    /// Takes the host's rate from stretches of at least 20 us, over as many calls of the engine as that takes: a rate guessed too low
    /// makes the calls short, and must not keep itself from being measured. Long ones mean that the host did something else.
    private func measure(_ mark: inout (time: Nanoseconds, retired: UInt64)?, _ time: Nanoseconds, _ retired: UInt64) {
        guard let begin = mark, time >= begin.time else {
            mark = (time, retired)
            return
        }
        let elapsed = time - begin.time
        guard elapsed >= 20_000 else { return }
        mark = (time, retired)
        guard elapsed < 5_000_000 else { return }
        let rate = (retired - begin.retired) << 10 / elapsed
        hostRate = min(max((hostRate * 7 + rate) / 8, 1), 1 << 14)
    }

    /// Carries out pending resets; returns what ends the slice.
    private func takeStop() -> PCStop? {
        if let stop = pendingStop {
            pendingStop = nil
            return stop
        }
        if pendingReset {
            reset()
            if settings.rebootEndsRun { return .reset }
        }
        if pendingINIT != 0 { initialiseProcessors() }
        return nil
    }
}
