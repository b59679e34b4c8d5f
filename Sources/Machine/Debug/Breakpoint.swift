/// A condition at which the machine stops, or something is noted.
public struct Breakpoint: Codable, Equatable, Sendable {
    public enum Kind: Codable, Equatable, Sendable {
        case execution(DebugPlace)
        /// Reading or writing of `length` bytes by an instruction.
        case memory(DebugPlace, length: UInt64, reads: Bool, writes: Bool)
        case port(first: UInt16, last: UInt16, reads: Bool, writes: Bool)
        /// INT n; `ah` and `al` nil: any.
        case software(vector: UInt8, ah: UInt8?, al: UInt8?)
        case external(vector: UInt8)
        case exception(vector: UInt8)
        case taskSwitch
        case modeSwitch
        case ringSwitch
        /// One of the seventeen, by `SensitiveInstruction.word`; nil: any.
        case sensitive(String?)
        /// `xchg bx, bx`.
        case magic
    }

    /// 0: not yet given.
    public var number = 0
    public var kind: Kind
    public var isEnabled = true
    /// Goes away when it has stopped the machine.
    public var isTemporary = false
    /// An expression; it counts when it is not 0.
    public var condition: String?
    /// Hits, condition met, that are passed over before the first one that counts.
    public var ignore: UInt64 = 0
    /// Hits with the condition met.
    public var hits: UInt64 = 0
    /// A line for the log with `{expression}` and `{expression:x}` in it.
    public var log: String?
    /// Commands of the debugger.
    public var commands: [String] = []
    /// The name of a snapshot to take; a number follows it.
    public var snapshot: String?
    /// False: what is to be done is done and the machine goes on.
    public var stops = true
    /// Placed by a debugger outside, such as gdb: it is not saved with the machine.
    public var isForeign = false

    public init(_ kind: Kind) { self.kind = kind }
}
