import Glibc
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
        loadDebugger(new)
        publishStop()
        return new
    }

    func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        guard let debugger = openDebugger() else { return done(.refused(request, RunLoop.noDebugger)) }
        guard request.queries.count <= DebugRequest.queryLimit else { return done(.refused(request, "That is too much in one request.")) }
        debugger.folder = request.folder ?? parts.debugFolder ?? ""
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
                if let sentence = control(run, debugger) { answer = .failure(sentence) }
            }
            answers.append(answer)
        }
        if debugger.touched {
            debugger.touched = false
            travel?.noteEdit("changed by hand")
            debugger.refreshStop()
            publishStop()
            ranSinceFrame = true
            refreshView(force: true)
        }
        guard request.waits, !paused, stuck == nil, outcome == nil else { return done(DebugReply(answers: answers, stop: debugger.stop)) }
        debugger.waiting.append { [answers] stop, lines in done(DebugReply(answers: lines.isEmpty ? answers : answers + [.lines(lines)], stop: stop)) }
    }

    /// A script's line; what it says goes to whoever started the run.
    func debug(scripted line: String) throws(MachineError) {
        guard let debugger = openDebugger() else { throw .failed(RunLoop.noDebugger) }
        debugger.folder = parts.debugFolder ?? ""
        do throws(ExpressionError) {
            for line in try debugger.perform(line) { parts.diagnose(line) }
        } catch { throw .failed("debug \(line): \(error.sentence)") }
        if debugger.touched {
            debugger.touched = false
            travel?.noteEdit("changed by hand")
            debugger.refreshStop()
            publishStop()
        }
        guard let run = debugger.wanted else { return }
        debugger.wanted = nil
        if let sentence = control(run, debugger) { throw .failed("debug \(line): \(sentence)") }
        if run.travels, let stop = debugger.stop { parts.diagnose(stop.text) }
        guard run != .pause, !run.travels, debugger.isActive else { return }
        scriptHolds = true
        debugger.waiting.append { [diagnose = parts.diagnose] stop, lines in
            if let stop { diagnose(stop.text) }
            for line in lines { diagnose(line) }
        }
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
        scriptHolds = false
        debugger?.stopped(stop)
        setPaused(true)
        recordFromStop(stop)
        log(.info, "Debugger", stop.text)
        refreshView(force: true)
        publishStop()
        // A script of the debugger's goes on.
        if let debugger, let run = debugger.wanted {
            debugger.wanted = nil
            if let sentence = control(run, debugger) { debugger.say(sentence) }
        }
    }

    /// What the machine has kept of its debugger.
    private func loadDebugger(_ debugger: Debugger) {
        guard let folder = parts.debugFolder else { return }
        do throws(MachineError) {
            if let file = try DebuggerFile.read(in: folder) {
                for one in file.symbols {
                    do throws(ExpressionError) { _ = try debugger.loadSymbols(one.path, offset: one.offset) } catch { parts.diagnose(error.sentence) }
                }
                for one in file.breakpoints {
                    do throws(ExpressionError) { _ = try debugger.set(one) } catch { parts.diagnose("A breakpoint is left out: \(error.sentence)") }
                }
            }
        } catch { parts.diagnose(error.description) }
        debugger.breakpointsChanged = { [weak self, weak debugger] in
            guard let self, let debugger else { return }
            let file = DebuggerFile(breakpoints: debugger.breakpoints.filter { !$0.isForeign && !$0.isTemporary }, symbols: debugger.symbolFiles)
            do throws(MachineError) { try file.write(in: folder) } catch { self.parts.diagnose(error.description) }
        }
        debugger.takeSnapshot = { [weak self] name in self?.snapshotForDebugger(name) }
    }

    /// The machine has breakpoints from before, or shall stand before its first instruction.
    func startDebugger() {
        let isKept = parts.debugFolder.map { access($0 + "/" + DebuggerFile.name, F_OK) == 0 } ?? false
        guard isKept || parts.debugStop, let debugger = openDebugger() else { return }
        guard parts.debugStop else { return }
        let stop = debugger.makeStop(.start, "Before the first instruction.", vcpu: debugger.pc.runningProcessor)
        debugger.stopped(stop)
        setPaused(true)
        recordFromStop(stop)
        publishStop()
    }

    /// A snapshot that a breakpoint takes; it is written while the machine goes on or stands.
    private func snapshotForDebugger(_ name: String) {
        let diagnose = parts.diagnose
        let job = SnapshotJob(.take(name: name, description: "Taken by a breakpoint.")) { _, _ in
        } tell: { result in
            if case .failure(let error) = result { diagnose("The snapshot '\(name)' of a breakpoint was not taken: \(error.description)") }
        }
        job.start(machine)
    }

    /// What panels know of the debugger's doing.
    func publishStop() {
        let stop = debugger?.stop
        machine.publish { $0.debugStop = stop }
    }

    /// What the guest was refused because nothing here carries it out: to the log, and what no other model would have either to whoever runs it.
    func tellUndefined() {
        let all = pc.takeUndefined()
        guard !all.isEmpty else { return }
        for one in all {
            guard let lacked = LackedInstruction(one) else { continue }
            lackedCount += 1
            if lackedCount <= LackedInstruction.logLimit { log(.warn, "CPU", lacked.sentence.capitalizedStart + ".") }
            if lacked.isOurs, !hasToldLacked {
                hasToldLacked = true
                parts.diagnose(lacked.sentence.capitalizedStart + ".")
            }
        }
    }

    /// Runs a slice. Nothing from outside may reach the guest when it is not `isWhole`.
    func runSlice(_ budget: Int64) -> (stop: GuestStop, isWhole: Bool) {
        guard let debugger, debugger.isActive else { return (pc.run(instructions: budget), true) }
        return debugger.slice(budget)
    }
}
