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
    /// RESET: starts at F000:FFF0.
    func reset()
    /// INIT: the same, but MTRRs, MSRs and FPU stay; `waiting`: it then waits for SIPI.
    func initialise(waiting: Bool)
    /// SIPI: starts at page `vector` of the first MiB. False: it was not waiting for one.
    func startUp(vector: UInt8) -> Bool
    /// In HLT or waiting for SIPI, and nothing that has arrived ends it.
    var isIdle: Bool { get }
    /// `run` returns at the next instruction boundary.
    func requestExit()
    func digest(into digest: inout Digest)
    /// For saved state; nil: it has none.
    var saved: ProcessorState? { get }
    /// - Throws: the field that cannot be; nothing has changed then.
    func restore(_ saved: ProcessorState) throws(ProcessorStateError)
    /// Kinds of events that it tells the bus of.
    var told: ProcessorEvents { get set }
    /// Where it is, as in `ProcessorEvent.position`.
    var tracePosition: UInt64 { get }
    /// What it ran, sensitive instructions by place.
    var census: Census { get }
    /// What of its state does not fit together, between two calls of `run`; nil: nothing is seen.
    var inconsistency: String? { get }
}

extension Engine {
    public var saved: ProcessorState? { nil }
    public func restore(_ saved: ProcessorState) throws(ProcessorStateError) { throw ProcessorStateError(field: "processor") }
    public var told: ProcessorEvents {
        get { [] }
        set {}
    }
    public var tracePosition: UInt64 { 0 }
    public var census: Census { Census() }
    public var inconsistency: String? { nil }
}

extension Processor: Engine {}
