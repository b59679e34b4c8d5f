import CPU
import Foundation
import Hardware
import Primitives
import Synchronization

/// A machine that runs: its thread, the commands going in, the view coming out.
public final class RunningMachine: MachineControl {
    enum Message: Sendable {
        case command(MachineCommand, done: (@Sendable (MachineError?) -> Void)?)
        /// A script that somebody outside wants to have carried out, and the handle by which it is called off.
        case script(ScriptRunner, job: ScriptJob)
        case callOff(ScriptJob)
        /// Registers, for people.
        case registers(@Sendable (String) -> Void)
        case census(@Sendable (Census) -> Void)
        case facts(@Sendable (MachineFacts?) -> Void)
        /// A report into a file.
        case report(String, @Sendable (MachineError?) -> Void)
        /// Which trace events go to the log.
        case trace(TraceCategories)
        /// Somebody waits for the display as pixels.
        case pixels(PixelReply)
        case snapshot(SnapshotJob)
        /// Images have been copied, for snapshots that go.
        case copied(LiveDeletion.Copies)
        /// Nobody looks at the machine any more that stands for it.
        case release(SnapshotJob)
        case debug(DebugRequest, @Sendable (DebugReply) -> Void)
    }
    /// What the thread leaves behind when it ends.
    struct Ending: Sendable {
        var outcome: RunOutcome
        var report: RunReport
        var frame: TextFrame
        var pixels: PixelFrame?
    }
    /// The last events; `first` is the number of the oldest.
    private struct Happenings: Sendable {
        var events: [MachineEvent] = []
        var first: UInt64 = 0
        static let limit = 256
    }
    private struct Inbox: Sendable {
        var messages: [Message] = []
        var closed = false
    }

    private let inbox = Mutex(Inbox())
    private let current = Mutex(MachineView())
    private let happenings = Mutex(Happenings())
    /// Lines that scrolled off the text screen.
    public let scrollback = Scrollback()
    private let paths = Mutex<[String]>([])
    /// Of the images in the drives.
    var diskPaths: [String] {
        get { paths.withLock { $0 } }
        set { paths.withLock { $0 = newValue } }
    }
    private let codePage: CodePage
    private let ending = Mutex<Ending?>(nil)
    private let ended = DispatchSemaphore(value: 0)
    /// Wakes the machine's thread.
    let bell: WakePipe
    private let viewPipe: WakePipe
    private let loop: Handover

    /// - Parameters:
    ///   - pc: built for this machine; from `start` on it belongs to the machine's thread.
    ///   - parts: what surrounds it.
    /// - Throws: `.failed` when the host has no descriptors left.
    init(pc: sending any GuestPC, parts: RunParts) throws(MachineError) {
        bell = try WakePipe()
        viewPipe = try WakePipe()
        codePage = parts.codePage
        loop = Handover(pc: pc, parts: parts)
        current.withLock {
            $0.name = parts.name
            $0.palette = parts.palette
        }
    }

    /// The parts wait here until the thread takes them; nobody else touches them.
    private final class Handover: @unchecked Sendable {
        private var content: (any GuestPC, RunParts)?
        init(pc: any GuestPC, parts: RunParts) { content = (pc, parts) }
        func take() -> (any GuestPC, RunParts)? {
            defer { content = nil }
            return content
        }
    }

    /// Powers the machine on. Once.
    public func start() {
        FileRecorder.thread("machine", stackBytes: 8 << 20) { [self] in
            guard let (pc, parts) = loop.take() else { return }
            let ending = RunLoop(pc: pc, parts: parts, machine: self).run()
            self.ending.withLock { $0 = ending }
            let waiting = inbox.withLock { inbox in
                inbox.closed = true
                defer { inbox.messages = [] }
                return inbox.messages
            }
            note(.ended(ending.outcome))
            for message in waiting { RunningMachine.refuse(message, ending) }
            publish {
                $0.frame = ending.frame
                $0.generation &+= 1
                $0.state = if case .guru = ending.outcome { .stuck } else { .off }
                $0.instructions = ending.report.instructions
                $0.guestSeconds = ending.report.guestSeconds
                $0.outcome = ending.outcome
            }
            ended.signal()
        }
    }

    /// Blocks until the run has ended.
    public func waitForEnd() -> (outcome: RunOutcome, report: RunReport) {
        ended.wait()
        ended.signal()  // for the next caller
        guard let ending = ending.withLock({ $0 }) else { return (.failed("The machine's thread ended without a word."), RunReport()) }
        return (ending.outcome, ending.report)
    }

    // MARK: MachineControl

    public func post(_ command: MachineCommand) { send(.command(command, done: nil)) }

    public func perform(_ command: MachineCommand, _ done: @escaping @Sendable (MachineError?) -> Void) {
        if !send(.command(command, done: done)) { done(RunningMachine.hasEnded) }
    }

    public func events(from first: UInt64) -> (events: [MachineEvent], next: UInt64) {
        happenings.withLock { kept in
            let next = kept.first + UInt64(kept.events.count)
            let from = min(max(first, kept.first), next)
            return (Array(kept.events[Int(from - kept.first)...]), next)
        }
    }

    public func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        if !send(.debug(request, done)) { done(.refused(request, RunningMachine.hasEnded.description)) }
    }

    public func scrolledLines(from first: UInt64, count: Int) -> ScrolledLines {
        var result = scrollback.lines(from: first, count: count)
        result.codePage = codePage
        return result
    }

    /// Carries a script out beside whatever else goes on; `job` is told how it went.
    func run(_ script: ScriptRunner, job: ScriptJob) {
        if !send(.script(script, job: job)) { job.end(.failed(RunningMachine.hasEnded.description)) }
    }

    /// Registers for people, taken between two slices; nil after the end.
    func registers(_ answer: @escaping @Sendable (String?) -> Void) {
        if !send(.registers(answer)) { answer(nil) }
    }

    /// What has run, taken between two slices; nil after the end.
    func census(_ answer: @escaping @Sendable (Census?) -> Void) {
        if !send(.census(answer)) { answer(nil) }
    }

    public func facts(_ answer: @escaping @Sendable (MachineFacts?) -> Void) {
        if !send(.facts(answer)) { answer(nil) }
    }

    public func saveReport(to path: String, _ done: @escaping @Sendable (MachineError?) -> Void) {
        if !send(.report(path, done)) { done(RunningMachine.hasEnded) }
    }

    static let hasEnded = MachineError(.wrongPlace, "The machine has ended.")

    /// Answers somebody who came too late.
    private static func refuse(_ message: Message, _ ending: Ending) {
        switch message {
        case .pixels(let reply): reply.answer(ending.pixels)
        case .command(_, let done): done?(hasEnded)
        case .script(_, let job): job.end(.failed(hasEnded.description))
        case .registers(let answer): answer("")
        case .census(let answer): answer(Census())
        case .facts(let answer): answer(nil)
        case .report(_, let done): done(hasEnded)
        case .snapshot(let job): job.end(.failure(hasEnded))
        case .callOff, .trace, .release, .copied: break
        case .debug(let request, let done): done(.refused(request, hasEnded.description))
        }
    }

    public func view() -> MachineView { current.withLock { $0 } }

    public var wakeDescriptor: Int32 { viewPipe.readDescriptor }

    public func pixels() -> PixelFrame? {
        let reply = PixelReply()
        if send(.pixels(reply)) { return reply.wait() }
        return ending.withLock { $0?.pixels }
    }

    // MARK: For the machine's thread

    /// False after the end.
    @discardableResult
    func send(_ message: Message) -> Bool {
        let accepted = inbox.withLock { inbox in
            guard !inbox.closed else { return false }
            inbox.messages.append(message)
            return true
        }
        if accepted { bell.signal() }
        return accepted
    }

    /// Somebody outside waits for the machine to stand, while its thread is busy with something long.
    var wantsPause: Bool {
        inbox.withLock { inbox in
            inbox.messages.contains { message in
                switch message {
                case .command(.pause, _), .command(.powerOff, _): true
                case .debug(let request, _): request.queries.contains(.go(.pause))
                default: false
                }
            }
        }
    }

    func takeMessages() -> [Message] {
        inbox.withLock { inbox in
            guard !inbox.messages.isEmpty else { return [] }
            defer { inbox.messages = [] }
            return inbox.messages
        }
    }

    func note(_ kind: MachineEvent.Kind) {
        happenings.withLock { kept in
            kept.events.append(MachineEvent(kind))
            guard kept.events.count > Happenings.limit else { return }
            kept.events.removeFirst()
            kept.first += 1
        }
        viewPipe.signal()
    }

    /// Changes the view; `wake`: something that is shown changed.
    func publish(wake: Bool = true, _ change: (inout MachineView) -> Void) {
        current.withLock { change(&$0) }
        if wake { viewPipe.signal() }
    }
}

/// A caller of `pixels()` waiting for the machine's thread.
final class PixelReply: Sendable {
    private let frame = Mutex<PixelFrame?>(nil)
    private let done = DispatchSemaphore(value: 0)

    func answer(_ pixels: PixelFrame?) {
        frame.withLock { $0 = pixels }
        done.signal()
    }

    func wait() -> PixelFrame? {
        done.wait()
        return frame.withLock { $0 }
    }
}

/// What surrounds the board in a run.
struct RunParts {
    var name = "vitrine"
    /// nil: the virtual clock.
    var hostClock: HostClock?
    /// The virtual clock is held back to this one.
    var pace: HostClock?
    /// The machine can go back to its start.
    var records = false
    var recordLimits = TimeTravel.Limits()
    /// By what the end of the run is measured; tests put their own in.
    var hostTime: @Sendable () -> Nanoseconds = { HostClock.monotonic() }
    var noReboot = false
    var maxInstructions: UInt64?
    /// In host time.
    var timeout: Nanoseconds?
    var kernel: KernelLoader?
    var script: ScriptRunner?
    var serial: SerialPump?
    var debugConsoles: [Primitives.Port: FilePort] = [:]
    /// A front end looks at the view: refresh it.
    var hasViewer = false
    /// Where the debugger's breakpoints are kept.
    var debugFolder: String?
    /// The machine stands before its first instruction.
    var debugStop = false
    /// Where the machine's story goes.
    var log: MachineLog?
    /// Scrolled lines, as they come.
    var transcript: FilePort?
    /// A debug console's port whose lines are the guest's part of the log.
    var guestLogPort: Primitives.Port?
    /// Trace events that go to the log from the start.
    var trace = TraceCategories()
    /// For `insert`.
    var openMedium: ((Bay, String) throws(MachineError) -> any Medium)?
    var media: [Bay: String] = [:]
    /// The machine goes on from saved state: what surrounded the board then.
    var restored: StateValue?
    /// Where the disks are, in their order.
    var diskBays: [Bay] = []
    /// Where a stored machine's state is saved.
    var savedState: SavedState?
    /// How the display is shown.
    var codePage = CodePage.cp437, palette = RunSettings.Palette.theme
    /// After a Guru Meditation the machine stays to be looked at, until it is reset or powered off.
    var keepsStuck = false
    /// So many random bytes of the host.
    var entropy: @Sendable (Int) -> [UInt8] = { count in
        var source = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &source) }
    }
    var wantsDigest = true
    /// Settings in the words of machine.toml, for reports; where the log is.
    var configuration = "", logPath: String?
    var engineName = ""
    var memoryMiB = 0
    var diagnose: @Sendable (String) -> Void = { _ in }

    func pauseClock() {
        hostClock?.pause()
        pace?.pause()
    }
    func resumeClock() {
        hostClock?.resume()
        pace?.resume()
    }
}
