import CPU
import Primitives

/// IBM PC/AT coprocessor error latch between FERR# and IRQ13.
///
/// Source: IBM *PC/AT Technical Reference* (1984), section "Coprocessor Programming"; Intel *82371SB (PIIX3)* data sheet, order
/// number 290550-002, "Coprocessor Error Register".
///
///     port  R/W  register
///     F0     W   clears IRQ13
///     F1     W   resets an 80287; nothing here
///
/// Not implemented: IGNNE# (the x87 interpreter takes the next instruction as the manual's MS-DOS mode asks once IRQ13 is cleared).
public struct CoprocessorError: Device {
    public static let name = "coprocessor-error"
    /// FERR# as the vCPU drives it.
    public private(set) var ferr = false
    /// The latch that drives IRQ13.
    public private(set) var latched = false

    public init() {}

    public var ports: [ClosedRange<Port>] { [0xF0...0xF1] }
    public mutating func reset() {
        ferr = false
        latched = false
    }

    /// The vCPU asserts or releases FERR#; the rising edge sets the latch.
    public mutating func setFERR(_ asserted: Bool, _ wires: inout Wires) {
        if asserted, !ferr { latched = true }
        ferr = asserted
        wires.set(irq: 13, latched)
    }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        latched = false
        wires.lower(irq: 13)
    }
}
