import Glibc
import Hardware

/// What anybody may ask of a running machine. Sent into the runner's queue, carried out on the runner's thread.
public enum MachineCommand: Sendable {
    /// One key goes down or up on the guest's keyboard.
    case key(PCKey, down: Bool)
    /// All keys that are down go up (focus lost, released, suspended).
    case releaseAllKeys
    /// Text typed as keystrokes of the guest's layout, paced by the guest; `\n` is Enter, `\t` Tab, `\u{1B}` Esc.
    case type(String)
    /// PS/2 mouse movement in counts (positive right, down), buttons bit 0 left, 1 right, 2 middle, wheel clicks.
    case mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int)
    /// Bytes into the receiver of COM n (0 = COM1; `SerialPump.virtioConsole`: the virtio console).
    case serialInput(Int, [UInt8])
    case pause, resume
    case reset
    /// The ACPI power button.
    case acpiPowerButton
    /// How much memory the guest should give back, in MiB; nothing happens without a balloon.
    case balloon(mib: Int)
    case powerOff
    /// Writes the machine's state into its folder and ends.
    case saveState
    case eject(Bay)
    case insert(Bay, path: String)
}

public enum MachineState: String, Sendable, Codable {
    case starting, running, paused, off, stuck
}

/// Why a run ended, and the exit status that `vitrine run` gives it (contract: Command line).
public enum RunOutcome: Equatable, Sendable {
    case poweredOff
    /// The user chose power off from the menu.
    case poweredOffByUser
    case debugExit(UInt8)
    case resetWithNoReboot
    case scriptStopped
    /// The machine's state was saved; the next start goes on from it.
    case saved
    /// A script's wait failed; what was on the screen.
    case scriptFailed(String)
    case instructionLimit
    case timeout
    /// Guru Meditation: one plain sentence.
    case guru(String)
    /// An input turned out not to be what it should be when the machine used it: one sentence.
    case refused(String)
    case failed(String)

    public var exitStatus: Int32 {
        switch self {
        case .poweredOff, .poweredOffByUser, .resetWithNoReboot, .scriptStopped, .instructionLimit, .saved: 0
        case .debugExit(let status): Int32(status)
        case .scriptFailed: 4
        case .timeout: 124
        case .guru: 3
        case .refused: MachineError.Kind.badInput.rawValue
        case .failed: 1
        }
    }
}

/// Something that happened to a machine, with the host's wall clock. What QMP calls events.
public struct MachineEvent: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case paused, resumed
        /// `guest`: it asked for it itself.
        case reset(guest: Bool)
        case powerButton
        case medium(Bay, path: String?)
        /// Guru Meditation.
        case panicked(String)
        case ended(RunOutcome)
    }
    public var kind: Kind
    /// Since 1970-01-01 00:00 UTC.
    public var microseconds: Int64
    public init(_ kind: Kind, microseconds: Int64 = MachineEvent.wallClock()) {
        self.kind = kind
        self.microseconds = microseconds
    }

    /// The host's wall clock in microseconds.
    public static func wallClock() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}

/// A copy of what the front end shows, taken by the runner at most 60 times a second.
public struct MachineView: Sendable {
    public var name = ""
    public var state = MachineState.starting
    public var frame = TextFrame()
    /// Counts changes of `frame`.
    public var generation: UInt64 = 0
    /// Retired instructions, guest seconds, instructions a second of host time over the last second (millions).
    public var instructions: UInt64 = 0
    public var guestSeconds: Double = 0
    public var mips: Double = 0
    /// Caps, Num, Scroll Lock lights as the guest set them: bit 0 Scroll, 1 Num, 2 Caps.
    public var keyboardLEDs: UInt8 = 0
    /// Characters of a running `type` still to go, and of how many.
    public var typingLeft = 0, typingTotal = 0
    /// The guest polls or enables the PS/2 mouse.
    public var mouseWanted = false
    /// Media inserted, by bay.
    public var media: [Bay: String] = [:]
    /// Lines that have scrolled off the top of the text screen since power-on.
    public var scrolled: UInt64 = 0
    public var outcome: RunOutcome?
    /// Its end is not the last: another process starts the machine again at once, from a snapshot.
    public var comesBack = false
    /// Guru Meditation of a machine that stays to be looked at: one sentence.
    public var problem: String?
    /// Where the debugger has stopped the machine; nil: it runs, or nobody has asked for the debugger.
    public var debugStop: DebugStop?
    /// The guest's colours, where the settings have a wish.
    public var palette = RunSettings.Palette.theme
    public init() {}
}

/// The machine as the front end and scripts see it. `RunningMachine` is the real one; tests put a canned one in its place.
public protocol MachineControl: AnyObject, Sendable {
    /// Thread-safe; returns at once.
    func post(_ command: MachineCommand)
    /// The latest view; thread-safe.
    func view() -> MachineView
    /// File descriptor that becomes readable when the view changed or the run ended (the reader drains it).
    var wakeDescriptor: Int32 { get }
    /// The display as pixels (any mode), for screenshots; nil when off.
    func pixels() -> PixelFrame?
    /// Like `post`; `done` is called once on any thread when the command has been carried out, or with the reason why it was not.
    func perform(_ command: MachineCommand, _ done: @escaping @Sendable (MachineError?) -> Void)
    /// Events from number `first` on, as far as they are kept, and the number of the next one.
    func events(from first: UInt64) -> (events: [MachineEvent], next: UInt64)
    /// Lines that scrolled off the top of the text screen; see `Scrollback`. At most `count` from number `first` on.
    func scrolledLines(from first: UInt64, count: Int) -> ScrolledLines
    /// Asks the machine's debugger; `done` is called once, on any thread.
    func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void)
    /// What it is like now, in words; nil: nobody knows. `answer` is called once, on any thread.
    func facts(_ answer: @escaping @Sendable (MachineFacts?) -> Void)
    /// Everything that is known of it into one file; see `ReportFile`.
    func saveReport(to path: String, _ done: @escaping @Sendable (MachineError?) -> Void)
}

extension MachineControl {
    public func perform(_ command: MachineCommand, _ done: @escaping @Sendable (MachineError?) -> Void) {
        post(command)
        done(nil)
    }
    public func events(from first: UInt64) -> (events: [MachineEvent], next: UInt64) { ([], 0) }
    public func scrolledLines(from first: UInt64, count: Int) -> ScrolledLines { ScrolledLines() }
    public func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        done(.refused(request, "This machine has no debugger."))
    }
    public func facts(_ answer: @escaping @Sendable (MachineFacts?) -> Void) { answer(nil) }
    public func saveReport(to path: String, _ done: @escaping @Sendable (MachineError?) -> Void) {
        done(MachineError(.failed, "This machine makes no reports."))
    }
}
