import Primitives

/// Guest time with the host clock: it follows the host, but never faster than the guest can live through it.
///
/// A host that had no time for the machine for some milliseconds would otherwise make guest time jump: timer interrupts run into one, and
/// a guest that compares two clocks or counts loops between two reads finds them broken. So, while instructions retire, time advances by so
/// many nanoseconds for each at most, more the further it is behind; and it stops at the next deadline until the chip there has been called.
/// While all processors sleep it is the host's.
struct PacedTime: Equatable, Sendable {
    /// What the guest was told last.
    private(set) var time: Nanoseconds = 0
    /// Instructions retired then.
    private var retired: UInt64 = 0

    init() {}

    /// Goes on from a saved moment.
    init(time: Nanoseconds, retired: UInt64) { (self.time, self.retired) = (time, retired) }

    /// Nanoseconds for each instruction at most: 60 MIPS when on time …
    private static let pace: UInt64 = 16
    /// … and one more for each 4 ms behind.
    private static let lagShift: UInt64 = 22

    /// - Returns: the time now; the deadline exactly when that has come.
    mutating func advance(host: Nanoseconds, retired count: UInt64, deadline: Nanoseconds) -> Nanoseconds {
        let steps = count &- retired
        retired = count
        guard host > time, time < deadline else { return time }
        let lag = host - time
        let (limit, overflow) = steps.multipliedReportingOverflow(by: PacedTime.pace + lag >> PacedTime.lagShift)
        time = min(time + (overflow ? lag : min(lag, limit)), deadline)
        return time
    }

    /// All processors sleep: time passes to the host's, or to the deadline.
    mutating func pass(host: Nanoseconds, deadline: Nanoseconds) { time = max(time, min(host, deadline)) }
}
