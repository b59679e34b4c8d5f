import Primitives

/// Intel PIIX3, reset control register.
///
/// Source: Intel *82371FB/82371SB (PIIX/PIIX3)* data sheet (order 290550), "RC—Reset Control Register".
///
///     port   bit
///     0xCF9   1   kind of reset: 0 soft (INIT to the vCPU), 1 hard (the whole machine)
///             2   0 → 1 starts it
///
/// The register answers byte accesses only; a doubleword at 0xCF8 belongs to the host bridge.
///
/// Not implemented: nothing.
public struct ResetPort: Device {
    public static let name = "resetPort"

    /// Bits 1 and 2 as last written.
    public private(set) var control: UInt8 = 0

    public init() {}

    public var ports: [ClosedRange<Port>] { [0xCF9...0xCF9] }

    public mutating func reset() { control = 0 }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { peek(port) }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard port == 0xCF9 else { return }
        let starts = value & ~control & 0b100 != 0
        control = value & 0b110
        if starts { wires.request(.reset(cpuOnly: value & 0b010 == 0)) }
    }

    public func peek(_ port: Port) -> UInt8 { port == 0xCF9 ? control : 0xFF }
}
