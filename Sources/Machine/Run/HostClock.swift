import Glibc
import Primitives
import Synchronization

/// The host's monotonic clock minus the time for which the machine was paused, in nanoseconds since the run began.
///
/// The only place where host time enters the machine. When the host could not serve the guest for longer than `slipLimit` (the
/// process was stopped, the host slept, a slice took too long), the guest does not live through that time: the clock slips, and
/// the guest's timers fire for `slipLimit` at most. A guest that is merely slow is caught up with tick by tick.
public final class HostClock: Sendable {
    /// In nanoseconds.
    public static let slipLimit: Nanoseconds = 250_000_000

    private struct State: Sendable {
        /// Host time that the guest does not see.
        var hidden: Nanoseconds = 0
        var pausedAt: Nanoseconds?
        /// What the guest was told last.
        var last: Nanoseconds = 0
    }
    private let source: @Sendable () -> Nanoseconds
    private let start: Nanoseconds
    private let state = Mutex(State())

    /// - Parameter source: host time; tests put their own in.
    public init(source: @escaping @Sendable () -> Nanoseconds = { HostClock.monotonic() }) {
        self.source = source
        start = source()
    }

    /// CLOCK_MONOTONIC.
    public static func monotonic() -> Nanoseconds {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Nanoseconds(time.tv_sec) &* 1_000_000_000 &+ Nanoseconds(time.tv_nsec)
    }

    /// Host nanoseconds since the start, pauses included: for limits on the run, not for the guest.
    public var elapsed: Nanoseconds { source() &- start }

    /// What the guest's clock shows now; never goes back, stands still in a pause.
    public func guestTime() -> Nanoseconds {
        state.withLock { state in
            guard state.pausedAt == nil else { return state.last }
            let now = elapsed &- state.hidden
            if now > state.last &+ HostClock.slipLimit {
                state.hidden &+= now &- state.last &- HostClock.slipLimit
                state.last &+= HostClock.slipLimit
            } else if now > state.last {
                state.last = now
            }
            return state.last
        }
    }

    /// The guest's clock shows `time` now, and goes on from there.
    public func set(_ time: Nanoseconds) {
        state.withLock { state in
            let now = elapsed
            state.last = time
            state.hidden = now &- time
            if state.pausedAt != nil { state.pausedAt = now }
        }
    }

    /// The guest slept in a halt up to `time`: that is not lateness.
    public func slept(until time: Nanoseconds) {
        state.withLock { state in
            guard state.pausedAt == nil else { return }
            state.last = max(state.last, min(time, elapsed &- state.hidden))
        }
    }

    public func pause() {
        _ = guestTime()
        state.withLock { $0.pausedAt = $0.pausedAt ?? elapsed }
    }

    public func resume() {
        state.withLock { state in
            guard state.pausedAt != nil else { return }
            // Everything since the last answer is hidden, the pause and the moment before it.
            state.hidden = elapsed &- state.last
            state.pausedAt = nil
        }
    }
}
