import Primitives

/// A crystal's frequency: converts between guest time and whole clock ticks exactly, for as long as nanoseconds fit 64 bits.
struct ClockRate {
    let hertz: UInt64
    private static let second: UInt64 = 1_000_000_000

    /// Ticks completed at `time`, rounded down. The product is 128 bits wide, so that nothing drifts.
    func ticks(at time: Nanoseconds) -> UInt64 {
        let product = time.multipliedFullWidth(by: hertz)
        guard product.high < Self.second else { return .max }
        return Self.second.dividingFullWidth(product).quotient
    }

    /// The first nanosecond at which `ticks(at:)` is `tick` or more; the end of time when it lies beyond 64 bits.
    func time(of tick: UInt64) -> Nanoseconds {
        let product = tick.multipliedFullWidth(by: Self.second)
        guard product.high < hertz else { return .max }
        let (quotient, remainder) = hertz.dividingFullWidth(product)
        return remainder == 0 || quotient == .max ? quotient : quotient + 1
    }
}
