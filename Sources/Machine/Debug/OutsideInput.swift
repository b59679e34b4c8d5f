import Hardware
import Primitives

/// A moment of a run with the virtual clock.
///
/// Instructions alone do not name one: a guest that halts is woken after so much time, and a chip may be called at a time at which the
/// guest does nothing.
public struct Moment: Comparable, Hashable, Codable, Sendable {
    /// Retired by all processors since power-on: the one order of everything that happens in a machine.
    public var instruction: UInt64
    /// Guest time.
    public var time: Nanoseconds
    /// Deadlines that chips have been called at since recording began.
    var firings: UInt64

    public init(instruction: UInt64, time: Nanoseconds, firings: UInt64 = 0) {
        (self.instruction, self.time, self.firings) = (instruction, time, firings)
    }

    public static func < (a: Moment, b: Moment) -> Bool {
        (a.instruction, a.time, a.firings) < (b.instruction, b.time, b.firings)
    }
}

/// What a guest gets from outside: all that makes two runs of the same machine differ.
enum OutsideInput {
    case key(PCKey, down: Bool)
    case mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int)
    /// Bytes that COM n + 1 took.
    case serial(Int, [UInt8])
    /// Bytes that the virtio console took.
    case console([UInt8])
    case entropy([UInt8])
    case balloon(mib: Int)
    case powerButton
    case reset
    case medium(Bay, (any Medium)?, path: String?)
    /// The machine became what the checkpoint of this number is, by hand.
    case edit(UInt64, what: String)

    /// Gives it to the board. An edit is the time machine's own business.
    func give(to pc: any GuestPC) {
        switch self {
        case .key(let key, let down): pc.key(key, down: down)
        case .mouse(let dx, let dy, let buttons, let wheel): pc.mouse(dx: dx, dy: dy, buttons: buttons, wheel: wheel)
        case .serial(let port, let bytes): _ = pc.serialInput(port, bytes)
        case .console(let bytes): _ = pc.consoleInput(bytes)
        case .entropy(let bytes): pc.entropyInput(bytes)
        case .balloon(let mib): pc.setBalloon(mib: mib)
        case .powerButton: pc.powerButton()
        case .reset: pc.reset()
        case .medium(let bay, let medium, _): pc.media[bay] = medium
        case .edit: break
        }
    }

    /// For the timeline: a few words.
    var words: String {
        switch self {
        case .key(let key, let down): "key \(key) \(down ? "down" : "up")"
        case .mouse: "mouse"
        case .serial(let port, let bytes): "\(bytes.count) bytes into COM\(port + 1)"
        case .console(let bytes): "\(bytes.count) bytes into the virtio console"
        case .entropy(let bytes): "\(bytes.count) random bytes"
        case .balloon(let mib): "balloon \(mib) MiB"
        case .powerButton: "power button"
        case .reset: "reset"
        case .medium(let bay, _, let path): path.map { "'\($0)' into \(bay.label)" } ?? "\(bay.label) emptied"
        case .edit(_, let what): what
        }
    }

    /// Bytes that remembering it takes, about.
    var bytes: Int {
        switch self {
        case .serial(_, let bytes), .console(let bytes), .entropy(let bytes): 64 + bytes.count
        default: 64
        }
    }
}

/// What a timeline shows: how far back a recording goes, and what happened in it.
public struct Timeline: Codable, Equatable, Sendable {
    public struct Event: Codable, Equatable, Sendable {
        public var instruction: UInt64
        public var text: String
        public init(instruction: UInt64, text: String) { (self.instruction, self.text) = (instruction, text) }
    }
    /// The earliest and the last moment that are known, and the present one.
    public var first = Moment(instruction: 0, time: 0)
    public var last = Moment(instruction: 0, time: 0)
    public var position = Moment(instruction: 0, time: 0)
    /// What follows is known and will be repeated.
    public var isInPast = false
    /// Instructions at which there are checkpoints, in order.
    public var checkpoints: [UInt64] = []
    /// The last inputs, at most `eventLimit`, in order.
    public var inputs: [Event] = []
    /// Where the machine was stopped: breakpoints, pauses, the end. The last ones.
    public var stops: [Event] = []
    /// Memory that the recording takes, and may take.
    public var bytes = 0, limit = 0
    public static let eventLimit = 256
    public init() {}
}
