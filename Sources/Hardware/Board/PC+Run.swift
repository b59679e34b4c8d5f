import CPU
import Primitives

extension PC {
    // MARK: Time

    public func now() -> Nanoseconds {
        switch settings.clock {
        case .virtual: return engine.retired &* PC.nanosecondsPerInstruction &+ skipped
        case .host(let time):
            latestHostTime = max(latestHostTime, time())
            return latestHostTime
        }
    }

    /// Instructions retired since power-on.
    public var retired: UInt64 { engine.retired }

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
        let goal = engine.retired &+ UInt64(max(instructions, 0))
        var skippedHere: Nanoseconds = 0
        while true {
            if let stop = takeStop() { return stop }
            let retired = engine.retired
            guard retired < goal, outputBytes < PC.outputLimit else { return .sliceDone }
            var time = now()
            if time >= nextDeadline {
                fireDue()
                if pendingStop != nil || pendingReset || pendingINIT { continue }
                time = now()
            }
            switch engine.run(budget: budget(Int64(clamping: goal - retired), time)) {
            case .budgetUsed, .attention:
                if case .host = settings.clock { measure(since: time, retired) }
            case .shutdown(let sentence):
                if shutdownCode != 0 {
                    pendingINIT = true  // the 80286's way back to real mode
                } else if settings.tripleFaultResets {
                    pendingReset = true
                } else {
                    return .shutdown(sentence)
                }
            case .halted:
                if engine.retired >= goal || pendingStop != nil || pendingReset || pendingINIT { continue }
                nextDeadline = deadlines.min() ?? .max
                if nextDeadline == .max { return .halted(until: nil) }
                let reached = now()
                guard nextDeadline > reached else { continue }
                if case .host = settings.clock { return .halted(until: nextDeadline) }
                skipped &+= nextDeadline - reached
                skippedHere &+= nextDeadline - reached
                if skippedHere >= 10_000_000 { return .halted(until: now()) }
            }
        }
    }

    /// Instructions until the next deadline, at most `limit`.
    private func budget(_ limit: Int64, _ time: Nanoseconds) -> Int64 {
        let gap = nextDeadline == .max ? UInt64(Int64.max) : nextDeadline - min(time, nextDeadline)
        switch settings.clock {
        case .virtual:
            return max(1, min(limit, Int64(clamping: gap / PC.nanosecondsPerInstruction &+ gap % PC.nanosecondsPerInstruction)))
        case .host:
            // Host time passes at a rate that is only guessed: look again often enough to be some tens of microseconds late at most.
            let guess = min(gap, 1 << 20) * hostRate >> 10
            return max(1, min(limit, Int64(min(max(guess, 500), 20_000))))
        }
    }

    private func measure(since time: Nanoseconds, _ retired: UInt64) {
        let elapsed = now() - time
        guard elapsed >= 2_000, elapsed < 50_000_000 else { return }
        let rate = (engine.retired - retired) << 10 / elapsed
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
        if pendingINIT { initialiseProcessor() }
        return nil
    }
}
