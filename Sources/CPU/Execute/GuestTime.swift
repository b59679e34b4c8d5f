import Primitives

/// Guest time as a function of retired instructions.
public struct CountedTime {
    public let nanosecondsPerInstruction: UInt64
    /// Instructions of the other processors.
    public var elsewhere: UInt64 = 0
    /// Time passed without instructions.
    public var skipped: Nanoseconds = 0

    public init(nanosecondsPerInstruction: UInt64) { self.nanosecondsPerInstruction = nanosecondsPerInstruction }

    @inlinable
    public func time(at retired: UInt64) -> Nanoseconds { (retired &+ elsewhere) &* nanosecondsPerInstruction &+ skipped }
}

/// Guest time with the host clock: it follows the host, but never faster than the guest can live through it.
///
/// A host that had no time for the machine for some milliseconds would otherwise make guest time jump: timer interrupts run into one, and
/// a guest that compares two clocks or counts loops between two reads finds them broken. So, while instructions retire, time advances by so
/// many nanoseconds for each at most, more the further it is behind; and it stops at the next deadline until the chip there has been called.
/// While all processors sleep it is the host's.
///
/// A guest that waits for some microseconds before it looks at a register asks for the time every few instructions, and has nothing else to do. It
/// is told an estimate then, which may be ahead of the host's clock by `lead`.
public struct PacedTime: Equatable, Sendable {
    /// What the guest was told last.
    public private(set) var time: Nanoseconds = 0
    /// Instructions retired then.
    private var retired: UInt64 = 0
    /// Estimates end here.
    private var ceiling: Nanoseconds = 0
    /// The host's clock when it was asked last.
    public private(set) var host: Nanoseconds = 0
    /// Instructions of the other processors.
    public var elsewhere: UInt64 = 0

    public init() {}

    /// Goes on from a saved moment.
    public init(time: Nanoseconds, retired: UInt64) { (self.time, self.retired) = (time, retired) }

    /// Nanoseconds for each instruction at most: 60 MIPS when on time …
    private static let pace: UInt64 = 16
    /// … and one more for each 4 ms behind.
    private static let lagShift: UInt64 = 22
    /// So far ahead of the host an estimate may be: Linux waits 10 us before it looks at an IDE drive's status, several times for each command.
    public static let lead: Nanoseconds = 30_000
    /// Instructions between two questions in a loop that waits.
    private static let loop: UInt64 = 64

    /// - Parameter count: instructions retired by all processors.
    /// - Returns: the time now; the deadline exactly when that has come.
    public mutating func advance(host: Nanoseconds, retired count: UInt64, deadline: Nanoseconds) -> Nanoseconds {
        let steps = count &- retired
        retired = count
        self.host = host
        ceiling = min(host &+ PacedTime.lead, deadline)
        guard host > time, time < deadline else { return time }
        let lag = host - time
        let (limit, overflow) = steps.multipliedReportingOverflow(by: PacedTime.pace + lag >> PacedTime.lagShift)
        time = min(time + (overflow ? lag : min(lag, limit)), deadline)
        return time
    }

    /// The time for a loop that waits; nil: it is none, has waited for long, or a deadline is near, so that the host's clock has to be asked.
    /// - Parameter own: instructions retired by the processor that asks.
    public mutating func ahead(retired own: UInt64) -> Nanoseconds? {
        let count = own &+ elsewhere, steps = count &- retired
        guard steps < PacedTime.loop, time &+ steps &* PacedTime.pace < ceiling else { return nil }
        retired = count
        time &+= steps &* PacedTime.pace
        return time
    }

    /// A chip wants to be called at `deadline`.
    public mutating func deadlineMoved(to deadline: Nanoseconds) { ceiling = min(ceiling, deadline) }

    /// All processors sleep: time passes to the host's, or to the deadline. To a deadline that is near at once: the host could not sleep so short.
    public mutating func pass(host: Nanoseconds, deadline: Nanoseconds) {
        time = max(time, deadline <= host &+ PacedTime.lead ? deadline : host)
    }
}
