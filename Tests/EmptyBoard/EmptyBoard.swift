import CPU
import Primitives

/// A board on which nobody answers, for tests of a processor alone: ports float, memory outside of RAM reads ones, time stands. What a test
/// wants of it it writes itself.
public protocol EmptyBoard: CPUBus {}

extension EmptyBoard {
    public func readPort(_ port: Port, size: Int) -> UInt32 { .max }
    public func writePort(_ port: Port, size: Int, _ value: UInt32) {}
    public func readMMIO(_ address: Physical, size: Int) -> UInt64 { .max }
    public func writeMMIO(_ address: Physical, size: Int, _ value: UInt64) {}
    public func acknowledgeInterrupt() -> UInt8? { nil }
    public func setFERR(_ asserted: Bool) {}
    public func now() -> Nanoseconds { 0 }
    public func readMSR(_ index: UInt32) -> UInt64? { nil }
    public func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool { false }
}

/// Nothing but that.
public final class NoBoard: EmptyBoard {
    public init() {}
}
