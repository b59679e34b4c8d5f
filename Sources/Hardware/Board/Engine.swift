import CPU
import Primitives

/// Why a vCPU engine came back to the board.
public enum EngineExit: Equatable, Sendable {
    /// `budget` instructions have retired.
    case budgetUsed
    /// In HLT (or waiting for start-up) and nothing to wake it.
    case halted
    /// Triple fault: the processor has shut down. One plain sentence says where and why.
    case shutdown(String)
    /// `requestExit` was called.
    case attention
}

/// A vCPU as the board drives it.
public protocol Engine: AnyObject {
    /// Retires at most `budget` instructions.
    func run(budget: Int64) -> EngineExit
    /// Instructions retired since power-on; exact also within a bus call. Resets do not set it back.
    var retired: UInt64 { get }
    /// Level of the INTR input.
    func setINTR(_ level: Bool)
    /// One edge of the NMI input.
    func raiseNMI()
    /// RESET or INIT: starts at F000:FFF0.
    func reset()
    /// `run` returns at the next instruction boundary.
    func requestExit()
    func digest(into digest: inout Digest)
}
