import CPU
import Hardware
import Primitives

// The debugger's ways back.
extension RunLoop {
    func answerTravel(_ query: DebugQuery) -> DebugAnswer {
        do throws(MachineError) {
            switch query {
            case .record(true): try beginRecording()
            case .record(false): endRecording()
            default:
                guard let travel else { throw .failed("Nothing is recorded.") }
                return .timeline(travel.timeline)
            }
            return .done
        } catch {
            return .failure(error.description)
        }
    }

    /// A machine whose clock allows it is recorded from the first stop of the debugger on.
    func recordFromStop(_ stop: DebugStop) {
        if travel == nil, isVirtual, debugger != nil { answerQuietly { () throws(MachineError) in try beginRecording() } }
        travel?.noteStop(stop.text)
    }

    private func answerQuietly(_ body: () throws(MachineError) -> Void) {
        do throws(MachineError) { try body() } catch { log(.info, "Debugger", error.description) }
    }

    /// Goes to another moment and stands there.
    /// - Returns: why it cannot be.
    func travel(_ run: DebugRun, _ debugger: Debugger) -> String? {
        guard outcome == nil else { return "The machine is just ending." }
        setPaused(true)
        // What is done again is not written down again.
        for processor in debugger.processors { processor.recorder = nil }
        defer { debugger.attachRecorders() }
        var text = "", reason = DebugStop.Reason.step
        var met: (number: Int?, access: DebugStop.Access?)
        do throws(MachineError) {
            switch run {
            case .back(let count):
                try stepBack(max(1, count))
                text = "Stepped back."
            case .instruction(let instruction):
                try goTo(instruction: instruction)
                text = "At instruction \(instruction)."
            case .present:
                try travelling { travel throws(MachineError) in try travel.goToEnd() }
                text = "In the present again."
            case .backResume:
                if let found = try backToBreakpoint(debugger) {
                    (reason, text, met) = (.breakpoint, "Back at " + found.text, (found.number, found.access))
                } else {
                    (reason, text) = (.start, "No breakpoint was hit since instruction \(pc.retired), where the recording begins.")
                }
            case .lastWrite(let place, let length):
                (reason, text) = try backToWrite(debugger, place, max(1, length))
            default: return nil
            }
        } catch {
            text = error.description
            // It stands where it is, or at the beginning, which is an answer too.
            guard let travel, travel.isInPast, pc.retired == travel.first.instruction else { return text }
            reason = .start
        }
        let stop = debugger.makeStop(reason, text, number: met.number, vcpu: debugger.pc.runningProcessor, access: met.access)
        debugger.stopped(stop)
        log(.info, "Debugger", stop.text)
        publishStop()
        return nil
    }

    private func backToBreakpoint(_ debugger: Debugger) throws(MachineError) -> Debugger.Met? {
        debugger.settle()
        var found: Debugger.Met?
        let isHit = try travelling { travel throws(MachineError) in
            try travel.goBack(isCalledOff: { machine.wantsPause }) { budget in
                debugger.leg(budget) { _, hit, vcpu in
                    guard let met = debugger.wouldStop(hit, vcpu) else { return false }
                    found = met
                    return true
                }
            }
        }
        return isHit ? found : nil
    }

    private func backToWrite(_ debugger: Debugger, _ place: DebugPlace, _ length: UInt64) throws(MachineError) -> (DebugStop.Reason, String) {
        let first: Linear
        switch debugger.linear(place, debugger.processor(nil)) {
        case .success(let address): first = address
        case .failure(let error): throw .failed(error.sentence)
        }
        var isPhysical = false
        if case .physical = place { isPhysical = true }
        let (last, overflow) = first.addingReportingOverflow(length - 1)
        var points = StopPoints()
        points.watches = [.init(isPhysical: isPhysical, first: first, last: overflow ? .max : last, reads: false, writes: true)]
        debugger.pc.setStopPoints(points)
        defer { debugger.replaceStops() }
        let from = pc.retired
        var byDevice = false
        let isHit = try travelling { travel throws(MachineError) in
            try travel.goBack(isCalledOff: { machine.wantsPause }) { budget in
                debugger.leg(budget) { _, hit, _ in
                    switch hit {
                    case .memory: byDevice = false
                    case .device: byDevice = true
                    default: return false
                    }
                    return true
                }
            }
        }
        let address = (isPhysical ? "phys:" : "") + String(first, radix: 16)
        guard isHit else {
            return (.start, "No instruction has written to \(address) since instruction \(pc.retired), where the recording begins.")
        }
        let who = byDevice
            ? "A device wrote to \(address) by itself (DMA) behind instruction \(pc.retired)"
            : "Instruction \(pc.retired), which is next, wrote to \(address)"
        return (.breakpoint, who + "; 'goto-instruction \(from)' leads back.")
    }
}

extension Debugger {
    /// Nothing but breakpoints stops the machine.
    func settle() {
        (plan, temporary, pending) = (.free, nil, nil)
        replaceStops()
    }

    /// Runs the board so many instructions, or to something that `isWanted`. What is watched for is told of with the instruction to stand
    /// at: an access is told of when it has been made, and what made it is then the next instruction.
    func leg(_ budget: Int64, isWanted: (UInt64, DebugHit, Int) -> Bool) -> TimeTravel.Leg {
        let stop = pc.run(instructions: budget)
        guard stop == .debug else { return .init(stop) }
        var landing: UInt64?
        for (number, hit) in pc.takeHits() {
            var instruction = pc.retired
            switch hit {
            case .place: processor(number)?.passPlace()
            case .memory, .port, .device: instruction = max(instruction, 1) - 1
            default: break
            }
            if isWanted(instruction, hit, number) { landing = instruction }
        }
        return .init(stop, hit: landing)
    }

    /// The breakpoint that a hit stops at, in words. Unlike going forward it counts nothing and does nothing else.
    func wouldStop(_ hit: DebugHit, _ vcpu: Int) -> Met? {
        guard let processor = processor(vcpu) else { return nil }
        for breakpoint in breakpoints where breakpoint.isEnabled && breakpoint.stops && matches(breakpoint.kind, hit, vcpu) {
            if let condition = conditions[breakpoint.number], (try? condition.value(context(processor, hit))) == 0 { continue }
            var access: DebugStop.Access?
            if case .memory(let linear, _, let bytes, let write) = hit { access = .init(address: linear, bytes: bytes, isWrite: write) }
            return Met(number: breakpoint.number, text: "breakpoint \(breakpoint.number): \(describe(hit, processor))", access: access)
        }
        return nil
    }

    /// A breakpoint on the way back.
    struct Met {
        var number: Int
        var text: String
        var access: DebugStop.Access?
    }
}

extension DebugQuery {
    /// Memory or registers are not what they were.
    var changesMachine: Bool {
        switch self {
        case .setRegister, .poke: true
        default: false
        }
    }
}
