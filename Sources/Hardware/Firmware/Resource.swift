import Primitives

/// A resource descriptor of ACPI: what a device decodes or drives.
///
/// Source: *ACPI Specification*, revision 2.0c, section 6.4 "Resource Data Types for ACPI".
///
/// Not implemented: dependent functions, vendor-defined descriptors, 64-bit windows.
public struct Resource: Equatable, Sendable {
    let bytes: [UInt8]

    /// `IO (Decode16, …)`: ports that cannot be moved.
    public static func io(_ ports: ClosedRange<Port>) -> Resource {
        let base = AML.little(UInt64(ports.lowerBound), 2)
        return Resource(bytes: [0x47, 0x01] + base + base + [0x01, UInt8(clamping: ports.count)])
    }

    /// `IRQNoFlags`: an edge-triggered, active-high ISA interrupt.
    public static func irq(_ number: UInt8) -> Resource { Resource(bytes: [0x22] + AML.little(1 << UInt64(number), 2)) }

    /// `IRQ (Level, ActiveLow, Shared)`: one of these; none: to be filled in.
    public static func sharedIRQ(_ numbers: [UInt8]) -> Resource {
        Resource(bytes: [0x23] + AML.little(numbers.reduce(0) { $0 | 1 << UInt64($1) }, 2) + [0b0001_1000])
    }

    /// `DMA (Compatibility, NotBusMaster, Transfer8)`.
    public static func dma(_ channel: UInt8) -> Resource { Resource(bytes: [0x2A, 1 << channel, 0x00]) }

    /// Windows that a bridge passes on. General flags: producer, positive decoding, both ends fixed.
    private static let fixedWindow: UInt8 = 0b0000_1100

    public static func busNumbers(_ range: ClosedRange<UInt16>) -> Resource {
        Resource(bytes: [0x88, 0x0D, 0x00, 0x02, fixedWindow, 0x00] + window(UInt64(range.lowerBound), UInt64(range.upperBound), 2))
    }

    public static func ioWindow(_ range: ClosedRange<Port>) -> Resource {
        // Type flags: both ISA and other addresses.
        Resource(bytes: [0x88, 0x0D, 0x00, 0x01, fixedWindow, 0x03] + window(UInt64(range.lowerBound), UInt64(range.upperBound), 2))
    }

    /// Read and write; below 4 GiB.
    public static func memoryWindow(_ range: ClosedRange<UInt32>, cacheable: Bool) -> Resource {
        let flags: UInt8 = cacheable ? 0b011 : 0b001
        return Resource(bytes: [0x87, 0x17, 0x00, 0x00, fixedWindow, flags] + window(UInt64(range.lowerBound), UInt64(range.upperBound), 4))
    }

    /// Granularity, minimum, maximum, translation, length.
    private static func window(_ low: UInt64, _ high: UInt64, _ size: Int) -> [UInt8] {
        [0, low, high, 0, high - low + 1].flatMap { AML.little($0, size) }
    }
}
