import Primitives

/// IBM PS/2 system control port A, as in the Intel PIIX3: fast A20 gate and fast CPU reset.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference* (1988), "System Control Port A"; Intel *82371FB/82371SB* data sheet
/// (order 290550), "Port 92".
///
///     port  bit
///     0x92   0   0 → 1 pulses INIT: the vCPU starts again, memory stays
///            1   A20 passes
///
/// Not implemented: security lock and activity light (bits 3, 6 and 7 are only stored).
public struct A20Gate: Device {
    public static let name = "a20"

    /// Port 0x92 as last written; bit 1 follows the line.
    public private(set) var latch: UInt8 = 0b10

    public init() {}

    public var ports: [ClosedRange<Port>] { [0x92...0x92] }

    public mutating func reset() { latch = 0b10 }

    /// Another chip moved the line; the bit reads what the machine does.
    public mutating func a20Changed(_ enabled: Bool) { latch = latch & ~0b10 | (enabled ? 0b10 : 0) }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { peek(port) }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard port == 0x92 else { return }
        let resets = value & ~latch & 1 != 0
        latch = value
        wires.request(.setA20(value & 0b10 != 0))
        if resets { wires.request(.reset(cpuOnly: true)) }
    }

    public func peek(_ port: Port) -> UInt8 { port == 0x92 ? latch : 0xFF }
}
