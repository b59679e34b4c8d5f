import Primitives

/// IBM PC parallel printer port (SPP) with a printer that accepts every byte.
///
/// Source: IBM *PC/AT Technical Reference* (1984), "Printer Adapter"; IEEE 1284-1994, "Compatibility Mode".
///
///     port    R/W  register
///     +0      R/W  data latch
///     +1       R   status: 7 not busy, 6 not ACK, 5 paper end, 4 selected, 3 not error, 2 no interrupt pending
///     +2      R/W  control: 0 strobe, 1 auto feed, 2 not init, 3 select in, 4 interrupt enable, 5 input direction
///
/// A rising strobe sends the data latch; the printer is busy for `busyTime`, then acknowledges. The interrupt of the ACK is held
/// until the status is read, the next byte is sent or interrupts are disabled, so that its edge cannot be lost.
///
/// Not implemented: EPP and ECP; reverse data transfer (the direction bit makes data read 0xFF).
public struct Parallel: Device {
    public static let name = "lpt"

    /// How long the printer takes for a byte, in nanoseconds.
    static let busyTime: Nanoseconds = 5_000

    public let base: Port
    public let irq: Int
    public private(set) var data: UInt8 = 0
    public private(set) var control: UInt8 = 0b00_0_0_1100
    /// The ACK of the last byte has not been seen by the guest; drives the IRQ line when enabled.
    public private(set) var acknowledged = false
    /// When the byte under way is accepted; BUSY until then.
    public private(set) var deadline: Nanoseconds?

    /// - Parameter irq: 0–15; 7 for LPT1, 5 for LPT2.
    public init(base: Port = 0x378, irq: Int = 7) {
        self.base = min(base, 0xFFFD)
        self.irq = min(max(irq, 0), 15)
    }

    public var ports: [ClosedRange<Port>] { [base...base + 2] }

    public mutating func reset() {
        data = 0
        control = 0b00_0_0_1100
        acknowledged = false
        deadline = nil
    }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        let value = peek(port)
        if port == base &+ 1 {
            acknowledged = false
            drive(&wires)
        }
        return value
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port &- base {
        case 0: data = value
        case 2:
            let strobes = value & ~control & Bit.strobe != 0
            control = value & 0b0011_1111
            if strobes, value & Bit.notInit != 0 {
                wires.request(.emit(.parallel, [data]))
                acknowledged = false
                deadline = wires.now &+ Self.busyTime
            }
            drive(&wires)
        default: break
        }
    }

    public mutating func fire(_ wires: inout Wires) {
        guard let due = deadline, wires.now >= due else { return }
        deadline = nil
        acknowledged = true
        drive(&wires)
    }

    private func drive(_ wires: inout Wires) {
        wires.set(irq: irq, acknowledged && control & Bit.interruptEnable != 0)
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port &- base {
        case 0: control & Bit.input != 0 ? 0xFF : data
        case 1:
            // Not ACK, selected, not error, unused bits high.
            0b0101_1011 | (deadline == nil ? Bit.notBusy : 0) | (acknowledged ? 0 : Bit.noInterrupt)
        case 2: 0b1100_0000 | control
        default: 0xFF
        }
    }

    private enum Bit {
        static let strobe: UInt8 = 0x01, notInit: UInt8 = 0x04, interruptEnable: UInt8 = 0x10, input: UInt8 = 0x20
        static let notBusy: UInt8 = 0x80, noInterrupt: UInt8 = 0x04
    }
}
