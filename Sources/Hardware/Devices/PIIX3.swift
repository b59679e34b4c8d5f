import CPU
import Primitives

/// Intel 82371SB (PIIX3), function 0: PCI to ISA bridge.
///
/// Source: Intel *82371FB (PIIX) and 82371SB (PIIX3) PCI ISA IDE Xcelerator* data sheet, order number 290550-002, section
/// "PCI to ISA Bridge Registers".
///
///     offset   register
///     4E–4F    XBCS, X-bus chip select, stored only
///     60–63    PIRQRCA–PIRQRCD: ISA interrupt of each PCI interrupt line; bit 7 disables
///     69       TOM, 80 APICBASE, A0–AF SMI: stored only
///
/// Not implemented: what XBCS, TOM, MBIRQ, MBDMA and the SMI registers switch (the board's ISA devices are always decoded).
public struct PIIX3: PCIFunction {
    public static let name = "piix3"
    public static let address = (device: 1, function: 0)

    public var config = PIIX3.powerOnConfig()

    public init() {}

    public var ports: [ClosedRange<Port>] { [] }
    public mutating func reset() { config = PIIX3.powerOnConfig() }
    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {}

    private static func powerOnConfig() -> PCIConfig {
        var config = PCIConfig(vendor: 0x8086, device: 0x7000, classCode: 0x06_01_00, headerType: 0x80)
        config.set16(0x04, 0x0007)  // I/O, memory and bus master cannot be turned off
        config.mask16(0x04, 0x0008)
        config.set16(0x06, 0x0200)  // medium DEVSEL
        config.writeOneToClear[0x07] = 0xF8
        config.set16(0x2C, 0x1AF4)
        config.set16(0x2E, 0x1100)
        // Reset values: data sheet, "Configuration Registers" of function 0. Pairs of offset and value.
        let values: [(Int, UInt8)] = [
            (0x4C, 0x4D), (0x4E, 0x03), (0x60, 0x80), (0x61, 0x80), (0x62, 0x80), (0x63, 0x80), (0x69, 0x02), (0x70, 0x80), (0x76, 0x0C),
            (0x77, 0x0C), (0x78, 0x02), (0xA0, 0x08), (0xA8, 0x0F),
        ]
        for (offset, value) in values {
            config.bytes[offset] = value
            config.writable[offset] = 0xFF
        }
        for offset in [0x4F, 0x6A, 0x6B, 0x71, 0x79, 0x80, 0x82] { config.writable[offset] = 0xFF }
        for offset in 0x60...0x63 { config.writable[offset] = 0x8F }
        for offset in 0xA0...0xAF { config.writable[offset] = 0xFF }
        return config
    }

    /// The ISA interrupt that a PCI interrupt line (0 = PIRQA) drives; nil when routing is off or reserved.
    public func route(pirq: Int) -> Int? {
        let value = config.bytes[0x60 + (pirq & 3)]
        guard value & 0x80 == 0 else { return nil }
        let irq = Int(value & 0xF)
        // 0, 1, 2, 8 and 13 are reserved.
        return [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15].contains(irq) ? irq : nil
    }
}
