import CPU
import Primitives

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

extension Processor: Engine {}
