import CPU
import Foundation
import Hardware
import Primitives

/// The machine's thread: runs the board slice by slice, and between slices does what the outside world asks for.
///
/// With the virtual clock all that the guest can notice happens at points that depend on the guest alone: slices end at
/// multiples of `quantum` retired instructions or where the guest halts, and scripts look at the screen every
/// `frameInterval` of guest time.
final class RunLoop {
    /// Retired instructions between two looks around with the virtual clock.
    static let quantum: UInt64 = 50_000
    /// Between two looks at the screen, in nanoseconds: 60 Hz.
    static let frameInterval: Nanoseconds = 16_666_667
    /// How long a slice should take with the host clock, in nanoseconds.
    private static let sliceTime: Nanoseconds = 500_000
    /// A sleeping machine looks around at least so often, in nanoseconds.
    static let longestSleep: Nanoseconds = 1_000_000_000

    let pc: any GuestPC
    var parts: RunParts
    unowned let machine: RunningMachine
    let started: Nanoseconds
    var outcome: RunOutcome?
    var paused = false
    /// Guru Meditation of a machine that is still there to be looked at: why the guest cannot go on.
    var stuck: String?
    var typing = TypingQueue()
    var keysDown: [PCKey] = []
    /// Bytes that wait for room in the receivers of COM1–COM4 and the virtio console.
    var serialInput = [[UInt8]](repeating: [], count: SerialPump.portCount)
    /// Scripts that were sent in while the machine runs.
    var jobs: [(job: ScriptJob, script: ScriptRunner)] = []
    /// When BIOS keyboard buffer backpressure began; see `RunLoop+Input`.
    var bufferFullSince: Nanoseconds?

    /// Virtual clock: how far the script's time is ahead of a guest that has halted for ever.
    var aheadOfGuest: Nanoseconds = 0

    // What the script and the view know of the screen.
    var frame = TextFrame()
    var frameGeneration: UInt64 = 0
    var frameFetched: Nanoseconds?
    var ranSinceFrame = true
    var rateSample: (time: Nanoseconds, retired: UInt64)
    /// The last slice ended in a halt.
    var isHalted = false
    private var slice: Int64 = 20_000
    private var settleAt: Nanoseconds = 0
    private static let shortestSleep: Nanoseconds = 60_000
    /// What `log` last called the machine's state.
    var loggedState = MachineState.starting
    /// The guest's unfinished line on `parts.guestLogPort`.
    var guestLine: [UInt8] = []
    var trace = TraceReader()
    /// The snapshot whose memory is being written.
    var capture: LiveCapture?
    let pageMemory = PageMemory()
    /// Snapshots that are being deleted.
    var deletion: LiveDeletion?
    /// Who looks at it while it stands, and whether it is to stand afterwards.
    var holder: SnapshotJob?
    var wasPaused = false
    /// Once somebody has asked for it.
    var debugger: Debugger?
    /// A script's command to the debugger has let the machine go: the next one waits until it stands.
    var scriptHolds = false
    /// While the run is recorded.
    var travel: TimeTravel?
    /// Instructions that the guest was refused, and whether somebody has been told of one that is in no model.
    var lackedCount = 0, hasToldLacked = false

    init(pc: any GuestPC, parts: RunParts, machine: RunningMachine) {
        self.pc = pc
        self.parts = parts
        self.machine = machine
        started = parts.hostTime()
        rateSample = (started, 0)
    }

    var isVirtual: Bool { parts.hostClock == nil }
    /// Guest time, for everything outside the guest.
    var guestTime: Nanoseconds { pc.now() &+ aheadOfGuest }
    /// Host time since power-on.
    var hostElapsed: Nanoseconds { parts.hostTime() &- started }

    func run() -> RunningMachine.Ending {
        CrashNote.coverThread()
        parts.serial?.start { [machine] port, bytes in machine.post(.serialInput(port, bytes)) }
        machine.publish {
            $0.state = .running
            $0.media = self.parts.media
        }
        logState(.running)
        setTrace(parts.trace)
        if let restored = parts.restored { goOn(with: restored) }
        if parts.records { orFail { () throws(MachineError) in try beginRecording() } }
        startDebugger()
        while outcome == nil { turn() }
        return end()
    }

    /// One turn: commands, a slice, what came out of it.
    private func turn() {
        for message in machine.takeMessages() { handle(message) }
        checkLimits()
        settleMedia()
        guard outcome == nil else { return }
        pumpCapture()
        if paused || stuck != nil {
            refreshView(force: false)
            stepJobs()
            if debugger?.stop != nil, stuck == nil { stepScript() }
            guard outcome == nil, paused || stuck != nil else { return }
            if capture != nil { return }
            machine.bell.wait(nanoseconds: sleepLimit(jobs.isEmpty ? RunLoop.longestSleep : RunLoop.longestSleep / 10))
            return
        }
        if travel?.isInPast == true { return travelOn() }
        let began = isVirtual ? 0 : parts.hostTime()
        // A guest that waits for the next key must not sleep until the one that is down repeats itself.
        if isVirtual { pc.outsideDeadline = nextFromOutside(guestTime).map { $0 &- min($0, aheadOfGuest) } }
        let (stop, isWhole) = runSlice(budget())
        if stop == .sliceDone, isWhole, !isVirtual { adaptSlice(parts.hostTime() &- began) }
        ranSinceFrame = true
        if case .halted = stop { isHalted = true } else { isHalted = false }
        serveOutput()
        tellUndefined()
        react(to: stop)
        let debugStop = debugger?.pending
        defer { if let debugStop, outcome == nil, stuck == nil { stand(at: debugStop) } }
        guard outcome == nil else { return }
        guard isWhole else {
            takeTap()
            return refreshView(force: false)
        }
        recordSlice()
        let fed = feedSerial()
        typeNext()
        takeTap()
        refreshView(force: false)
        stepScript()
        stepJobs()
        // What was just fed may wake the guest: its deadlines are no longer those of the stop.
        if outcome == nil, !fed, debugStop == nil, case .halted(let deadline) = stop { rest(until: deadline) }
        keepPace()
    }

    /// What a guest that never flushes has written must not wait for long.
    private func settleMedia() {
        let now = parts.hostTime()
        guard now >= settleAt else { return }
        settleAt = now &+ 500_000_000
        let media = pc.media
        for bay in Bay.allCases { media[bay]?.settle() }
    }

    // MARK: Slices

    private func budget() -> Int64 {
        var budget = isVirtual ? Int64(RunLoop.quantum - pc.retired % RunLoop.quantum) : slice
        if let due = travel?.nextCheckpoint, due > pc.retired { budget = min(budget, Int64(clamping: due - pc.retired)) }
        if let limit = parts.maxInstructions { budget = min(budget, Int64(clamping: limit &- pc.retired)) }
        for goal in [parts.script?.nextInstruction] + jobs.map(\.script.nextInstruction) {
            if let goal, goal > pc.retired { budget = min(budget, Int64(clamping: goal - pc.retired)) }
        }
        return max(1, budget)
    }

    private func react(to stop: GuestStop) {
        switch stop {
        case .sliceDone, .halted, .debug: break
        case .powerOff: outcome = .poweredOff
        case .reset:
            if parts.noReboot { outcome = .resetWithNoReboot } else { resetMachine(byGuest: true) }
        case .shutdown(let sentence): meditate(sentence + (pc.fatalUndefined.flatMap { LackedInstruction($0)?.addition } ?? ""))
        case .failed(let what): meditate(GuruSentence.ours(what, at: pc.position))
        case .debugExit(let status): outcome = .debugExit(status)
        case .bootHook: startKernel()
        }
    }

    /// Doubles or halves the slice so that it takes about `sliceTime` of the host's.
    private func adaptSlice(_ took: Nanoseconds) {
        if took < RunLoop.sliceTime / 2, slice < 4_000_000 { slice *= 2 }
        if took > RunLoop.sliceTime * 2, slice > 2_000 { slice /= 2 }
    }

    func startKernel() {
        guard let kernel = parts.kernel else { return }
        do {
            try kernel.place(in: pc.memory)
        } catch {
            outcome = error.kind == .badInput ? .refused(error.description) : .failed(error.description)
        }
    }

    private func meditate(_ sentence: String) { if parts.keepsStuck { keepStuck(sentence) } else { outcome = .guru(sentence) } }

    /// The guest cannot go on: time stands, screen and registers stay until somebody resets it or powers it off.
    private func keepStuck(_ sentence: String) {
        stuck = sentence
        parts.pauseClock()
        refreshView(force: true)
        machine.publish { ($0.state, $0.problem) = (.stuck, sentence) }
        machine.note(.panicked(sentence))
        if let debugger {
            debugger.stopped(debugger.makeStop(.guru, sentence, vcpu: (pc as? PC)?.runningProcessor ?? 0))
            publishStop()
        }
        logState(.stuck)
        logGuru(sentence)
        for job in jobs { job.job.end(.failed(RunLoop.isStuck.description)) }
        jobs = []
        _ = typing.clear()
        parts.diagnose("Guru Meditation: \(sentence).")
    }

    static let isStuck = MachineError(.wrongPlace, "The machine is stuck (Guru Meditation); only a reset helps, or switching it off.")

    func resetMachine(byGuest: Bool) {
        if stuck != nil {
            stuck = nil
            debugger?.stop = nil
            publishStop()
            if !paused { parts.resumeClock() }
            machine.publish { [paused] in ($0.state, $0.problem) = (paused ? .paused : .running, nil) }
            logState(paused ? .paused : .running)
        }
        if byGuest { pc.reset() } else { give(.reset) }
        machine.note(.reset(guest: byGuest))
        log(.info, "VM", byGuest ? "The guest resets the machine." : "The machine is reset.")
        _ = typing.clear()
        keysDown = []
        serialInput = [[UInt8]](repeating: [], count: SerialPump.portCount)
    }

    // MARK: Limits and rest

    private func checkLimits() {
        if let limit = parts.maxInstructions, pc.retired >= limit { outcome = outcome ?? .instructionLimit }
        if let timeout = parts.timeout, hostElapsed >= timeout { outcome = outcome ?? .timeout }
    }

    /// Cuts a sleep short for the end of the run.
    func sleepLimit(_ sleep: Nanoseconds) -> Nanoseconds {
        guard let timeout = parts.timeout else { return sleep }
        let elapsed = hostElapsed
        return min(sleep, timeout > elapsed ? timeout - elapsed : 0)
    }

    /// Guest time at which a key or the script is next due.
    private func nextFromOutside(_ now: Nanoseconds) -> Nanoseconds? {
        let typed = typing.nextTime.map { max($0, now &+ TypingQueue.gap) }
        let scripts = jobs.map { $0.script.nextGuestTime(now, isVirtual: isVirtual) }
        return ([typed, parts.script?.nextGuestTime(now, isVirtual: isVirtual)] + scripts).compactMap { $0 }.min()
    }

    /// The guest halted: sleep with the host clock, skip with the virtual one, up to whatever comes first.
    private func rest(until deadline: Nanoseconds?) {
        if capture != nil, !isVirtual || deadline != nil { return }
        let now = guestTime
        let next = [deadline, nextFromOutside(now)].compactMap { $0 }.min()
        guard let clock = parts.hostClock else {
            if deadline != nil { return }  // the board has skipped the halt itself
            if let next {
                aheadOfGuest &+= max(next, now) &- now
            } else {
                // Nothing will ever happen by itself; only a command or the time limit helps.
                machine.bell.wait(nanoseconds: sleepLimit(RunLoop.longestSleep))
            }
            return
        }
        let time = clock.guestTime()
        var sleep = next.map { $0 > time ? $0 - time : 0 } ?? RunLoop.longestSleep
        // Show what the guest did just before it halted, and look for what a script waits for.
        if ranSinceFrame, looksAtScreen, let fetched = frameFetched {
            let due = fetched &+ RunLoop.frameInterval
            let elapsed = hostElapsed
            sleep = min(sleep, due > elapsed ? due - elapsed : 0)
        }
        if parts.script?.isFinished == false || !jobs.isEmpty { sleep = min(sleep, RunLoop.longestSleep / 10) }
        sleep = sleepLimit(min(sleep, RunLoop.longestSleep))
        if sleep > RunLoop.shortestSleep {
            machine.bell.wait(nanoseconds: sleep)
        } else {
            // The host would oversleep: a disk's answer comes after microseconds.
            while clock.guestTime() < time &+ sleep {}
        }
        clock.slept(until: time &+ sleep)
    }

    private func orFail(_ body: () throws(MachineError) -> Void) {
        do throws(MachineError) { try body() } catch { outcome = outcome ?? .failed(error.description) }
    }

    // MARK: End

    private func end() -> RunningMachine.Ending {
        let outcome = outcome ?? .failed("The run ended without a reason.")
        let elapsed = hostElapsed
        finishCapture()
        finishDeletion()
        serveOutput()
        takeTap()
        for job in jobs { job.job.end(.failed("The machine ended before the script did.")) }
        debugger?.ended()
        for bay in Bay.allCases {
            if let medium = pc.media[bay], !medium.flush() { parts.diagnose("The medium in \(bay.label) could not be written completely.") }
        }
        // Closed, so that their files are as they stay.
        if outcome == .saved { pc.media = MediaBays() }
        parts.serial?.finish()
        for console in parts.debugConsoles.values { console.finish() }
        var report = RunReport()
        report.instructions = pc.retired
        report.hostSeconds = Double(elapsed) / 1e9
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        report.cpuSeconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        report.guestSeconds = Double(pc.now()) / 1e9
        report.mips = elapsed > 0 ? Double(pc.retired) / Double(elapsed) * 1e3 : 0
        report.engine = parts.engineName
        report.translation = pc.translationStatistics
        report.directShare = report.translation?.share(of: pc.retired)
        report.clock = isVirtual ? "virtual" : "host"
        report.position = pc.position
        report.stateDigest = parts.wantsDigest ? pc.digest() : ""
        report.memoryMiB = parts.memoryMiB
        report.census = CensusReport(pc.census)
        report.outcome = outcome.word
        // Their files are made whole before anybody is told that the run has ended.
        pc.media = MediaBays()
        report.exitStatus = outcome.exitStatus
        if !typing.untypable.isEmpty {
            parts.diagnose(
                "These characters are not on the \(typing.layout.name) keyboard and were not typed: \(String(typing.untypable)).")
        }
        let frame = screen
        logEnd(outcome, report, frame)
        return RunningMachine.Ending(outcome: outcome, report: report, frame: frame, pixels: pc.pixels())
    }
}

extension Bay {
    /// What the user calls it.
    public var label: String {
        switch self {
        case .floppyA: "floppy A"
        case .floppyB: "floppy B"
        case .ide0Master: "disk 1"
        case .ide0Slave: "disk 2"
        case .ide1Master: "CD drive"
        case .ide1Slave: "disk 3"
        case .virtio0, .virtio1, .virtio2, .virtio3, .virtio4, .virtio5, .virtio6, .virtio7: "disk \(rawValue - Bay.virtio0.rawValue + 1)"
        }
    }
}
