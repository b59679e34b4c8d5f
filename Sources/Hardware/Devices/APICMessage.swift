/// Intel APIC bus, an interrupt message between local APICs and I/O APIC.
///
/// Source: SDM Vol. 3A, "Interrupt Command Register (ICR)" and "Local Vector Table"; Intel *82093AA I/O APIC* data sheet.
///
/// Not implemented: the serial form on the bus, its arbitration, checksums and retries.
public struct APICMessage: Codable, Equatable, Sendable {
    public enum Mode: UInt8, Codable, Sendable {
        case fixed, lowestPriority, smi, reserved, nmi, initialise, startUp, external
    }
    public enum Shorthand: UInt8, Codable, Sendable {
        case none, itself, all, allButSelf
    }
    public var vector: UInt8
    public var mode: Mode
    /// APIC ID, or a logical set when `logical`.
    public var destination: UInt8
    public var logical: Bool
    /// Level-triggered, else edge.
    public var level: Bool
    /// False: INIT level de-assert.
    public var assert = true
    public var shorthand = Shorthand.none
    /// APIC ID of the sender; ignored for the I/O APIC.
    public var source: UInt8 = 0

    public init(vector: UInt8, mode: Mode, destination: UInt8, logical: Bool, level: Bool) {
        self.vector = vector
        self.mode = mode
        self.destination = destination
        self.logical = logical
        self.level = level
    }
}
