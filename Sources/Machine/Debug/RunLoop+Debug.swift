import Hardware

// The debugger at the run loop.
extension RunLoop {
    private static let noDebugger = "This machine has no debugger: it runs with two engines in lockstep."

    /// Made when somebody first asks for it; nil: the board is none of ours.
    func openDebugger() -> Debugger? {
        if let debugger { return debugger }
        guard let board = pc as? PC else { return nil }
        let new = Debugger(pc: board)
        new.say = { [weak self] line in self?.log(.info, "Debugger", line) }
        new.timeline = { [weak self] in self?.travel?.timeline }
        new.record = { [weak self] wanted in
            if case .failure(let sentence)? = self?.answerTravel(.record(wanted)) { sentence } else { nil }
        }
        debugger = new
        if let stuck {
            new.stop = new.makeStop(.guru, stuck, vcpu: board.runningProcessor)
        } else if paused {
            new.stop = new.makeStop(.pause, "Paused.", vcpu: board.runningProcessor)
        }
        new.selected = board.runningProcessor
        publishStop()
        return new
    }

    func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        guard let debugger = openDebugger() else { return done(.refused(request, RunLoop.noDebugger)) }
        guard request.queries.count <= DebugRequest.queryLimit else { return done(.refused(request, "That is too much in one request.")) }
        var answers: [DebugAnswer] = []
        for query in request.queries {
            switch query {
            case .go(let run):
                answers.append(control(run, debugger).map { .failure($0) } ?? .done)
                continue
            case .timeline, .record:
                answers.append(answerTravel(query))
                continue
            default: break
            }
            var answer = debugger.reply(query)
            if query.changesMachine, answer == .done { debugger.touched = true }
            if let run = debugger.wanted {
                debugger.wanted = nil
                if let sentence = control(run, debugger) { answer = .lines([sentence]) }
            }
            answers.append(answer)
        }
        if debugger.touched {
            debugger.touched = false
            travel?.noteEdit("changed by hand")
            ranSinceFrame = true
            refreshView(force: true)
        }
        guard request.waits, !paused, stuck == nil, outcome == nil else { return done(DebugReply(answers: answers, stop: debugger.stop)) }
        debugger.waiting.append { [answers] stop in done(DebugReply(answers: answers, stop: stop)) }
    }

    /// - Returns: why it cannot be.
    private func control(_ run: DebugRun, _ debugger: Debugger) -> String? {
        if run.travels { return travel(run, debugger) }
        if stuck != nil { return run == .pause ? nil : RunLoop.isStuck.description }
        if run == .pause {
            setPaused(true)
            return nil
        }
        if let sentence = debugger.go(run) { return sentence }
        setPaused(false)
        return nil
    }

    /// The machine stands at a stop point.
    func stand(at stop: DebugStop) {
        debugger?.stopped(stop)
        setPaused(true)
        recordFromStop(stop)
        log(.info, "Debugger", stop.text)
        refreshView(force: true)
        publishStop()
    }

    /// What panels know of the debugger's doing.
    func publishStop() {
        let stop = debugger?.stop
        machine.publish { $0.debugStop = stop }
    }

    /// Runs a slice. Nothing from outside may reach the guest when it is not `isWhole`.
    func runSlice(_ budget: Int64) -> (stop: GuestStop, isWhole: Bool) {
        guard let debugger, debugger.isActive else { return (pc.run(instructions: budget), true) }
        return debugger.slice(budget)
    }
}
