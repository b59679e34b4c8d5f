import Primitives

/// What the vCPU sees of the rest of the machine. Every call is a slow path: the board is in another module.
///
/// Sizes are 1, 2, 4 or 8 bytes. Values are little-endian and zero-extended.
public protocol CPUBus: AnyObject {
    func readPort(_ port: Port, size: Int) -> UInt32
    func writePort(_ port: Port, size: Int, _ value: UInt32)
    /// A read of guest-physical memory that is neither RAM nor ROM. Nobody there: all ones.
    func readMMIO(_ address: Physical, size: Int) -> UInt64
    func writeMMIO(_ address: Physical, size: Int, _ value: UInt64)
    /// What a display's window shows within one page, without effects of reading; nil: there is none.
    func peekDisplay(_ address: Physical, count: Int) -> [UInt8]?
    /// The interrupt controller's vector for the asserted INTR line; nil when it went away meanwhile.
    func acknowledgeInterrupt() -> UInt8?
    /// FERR#: an unmasked x87 exception is pending and CR0.NE is clear; the board raises IRQ13.
    func setFERR(_ asserted: Bool)
    /// Guest time now, exact to the instruction.
    func now() -> Nanoseconds
    /// RDMSR/WRMSR of a register that lives outside the vCPU (IA32_APIC_BASE 0x1B). nil or false: the vCPU raises #GP.
    func readMSR(_ index: UInt32) -> UInt64?
    func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool
    /// What the processor tells of itself, of the kinds in `Processor.told`.
    func note(_ event: ProcessorEvent)
}

extension CPUBus {
    public func peekDisplay(_ address: Physical, count: Int) -> [UInt8]? { nil }
}
