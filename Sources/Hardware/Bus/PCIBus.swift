import Primitives

/// PCI configuration mechanism 1 on bus 0: the address latch at port CF8 and the data window CFC–CFF.
///
/// Source: PCI Local Bus Specification, revision 2.1, section 3.7.4.1. CF8 is a latch for 32-bit accesses only; narrower ones
/// belong to whoever else decodes the port (the reset register at CF9).
public struct PCIBus: Codable, Equatable, Sendable {
    public static let addressPort: Port = 0xCF8
    public static let dataPorts: ClosedRange<Port> = 0xCFC...0xCFF

    /// CONFADD: bit 31 enable, 23–16 bus, 15–11 device, 10–8 function, 7–2 register.
    public private(set) var latch: UInt32 = 0

    public init() {}

    public mutating func reset() { latch = 0 }
    public mutating func write(_ value: UInt32) { latch = value & 0x80FF_FFFC }

    /// Device and function that a data access goes to, as device << 3 | function; nil: master abort.
    var target: Int? {
        guard latch & 0x8000_0000 != 0, latch >> 16 & 0xFF == 0 else { return nil }
        return Int(latch >> 8 & 0xFF)
    }

    /// Byte offset in configuration space of a data port.
    func offset(_ port: Port) -> Int { Int(latch & 0xFC) | Int(port & 3) }

    /// Where interrupt pin `pin` (0 = INTA#) of a device arrives: 0 = PIRQA … 3 = PIRQD. The swizzle of the 440FX boards that
    /// SeaBIOS's tables describe.
    public static func pirq(device: Int, pin: Int) -> Int { (device &+ pin &- 1) & 3 }
}
