import CPU
import Primitives

/// Intel 82093AA I/O APIC.
///
/// Source: Intel *82093AA I/O Advanced Programmable Interrupt Controller (IOAPIC)* data sheet, order number 290566-001.
///
///     FEC00000   IOREGSEL, index         index 00      IOAPICID
///     FEC00010   IOWIN, data                   01      IOAPICVER
///                                              02      IOAPICARB
///                                              10–3F   redirection table, 24 entries of 64 bits
///
/// The board's interrupt lines are logical (on means "asserted", whatever the voltage), so the polarity bit is stored and has no
/// effect: a guest that believes a PCI interrupt to be active-low and one that believes it active-high both work.
///
/// Not implemented: the APIC bus's arbitration; SMI and INIT delivery to a processor that is not there.
public struct IOAPIC: Device {
    public static let name = "ioapic"
    public static let base: Physical = 0xFEC0_0000
    public static let pins = 24

    /// Bits 27–24 of IOAPICID.
    public private(set) var id: UInt8 = 0
    public private(set) var arbitration: UInt8 = 0
    public private(set) var index: UInt8 = 0
    /// Redirection table. Bits 12 (delivery status) and 14 (remote IRR) are read-only to the guest.
    public private(set) var table = [UInt64](repeating: Bit.masked, count: IOAPIC.pins)
    /// Levels of the 24 pins.
    public private(set) var levels: UInt32 = 0
    /// Messages for the processors; the board takes them after each call.
    public private(set) var outgoing: [APICMessage] = []

    public init() {}

    public var ports: [ClosedRange<Port>] { [] }
    public var windows: [ClosedRange<Physical>] { [IOAPIC.base...(IOAPIC.base + 0xFFF)] }

    public mutating func reset() {
        let held = levels
        self = IOAPIC()
        levels = held
    }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {}

    // MARK: Registers

    public mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64 {
        // Only A0–A7 are decoded within the chip select.
        let value: UInt32 =
            switch address & 0xF0 {
            case 0x00: UInt32(index)
            case 0x10: register(Int(index))
            default: 0
            }
        guard address & 0xF < 4 else { return 0 }
        return UInt64(value >> UInt32(8 * (address & 3)))
    }

    public mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires) {
        switch address & 0xFF {
        case 0x00: index = UInt8(truncatingIfNeeded: value)
        case 0x10: if size >= 4 { write(Int(index), UInt32(truncatingIfNeeded: value)) }
        default: break
        }
    }

    private func register(_ index: Int) -> UInt32 {
        switch index {
        case 0: return UInt32(id) << 24
        case 1: return UInt32(IOAPIC.pins - 1) << 16 | 0x11
        case 2: return UInt32(arbitration) << 24
        case 0x10..<(0x10 + 2 * IOAPIC.pins):
            let entry = table[(index - 0x10) >> 1]
            return UInt32(truncatingIfNeeded: index & 1 == 0 ? entry : entry >> 32)
        default: return 0
        }
    }

    private mutating func write(_ index: Int, _ value: UInt32) {
        switch index {
        case 0:
            id = UInt8(truncatingIfNeeded: value >> 24) & 0xF
            arbitration = id  // loading the ID loads the arbitration ID (data sheet, IOAPICARB)
        case 0x10..<(0x10 + 2 * IOAPIC.pins):
            let pin = (index - 0x10) >> 1
            if index & 1 == 0 {
                let live = table[pin] & (Bit.remoteIRR | Bit.status)
                table[pin] = table[pin] & ~0xFFFF_FFFF | UInt64(value) & 0x1_AFFF | live
                // An edge-triggered entry has no remote IRR; drivers switch to edge and back to get rid of a stuck one.
                if table[pin] & Bit.level == 0 { table[pin] &= ~Bit.remoteIRR }
            } else {
                table[pin] = table[pin] & 0xFFFF_FFFF | UInt64(value & 0xFF00_0000) << 32
            }
            serviceLevel(pin)
        default: break
        }
    }

    // MARK: Pins

    /// The levels of pins 0–23; edges and asserted levels become messages.
    public mutating func setPins(_ new: UInt32) {
        let changed = (new ^ levels) & 0xFF_FFFF
        guard changed != 0 else { return }
        levels = new & 0xFF_FFFF
        for pin in 0..<IOAPIC.pins where changed >> UInt32(pin) & 1 != 0 {
            if table[pin] & Bit.level != 0 {
                serviceLevel(pin)
            } else if levels >> UInt32(pin) & 1 != 0, table[pin] & Bit.masked == 0 {
                send(pin)  // edges on a masked pin are lost (data sheet, "Interrupt Mask")
            }
        }
    }

    private mutating func serviceLevel(_ pin: Int) {
        let entry = table[pin]
        guard entry & Bit.level != 0, entry & Bit.masked == 0, entry & Bit.remoteIRR == 0, levels >> UInt32(pin) & 1 != 0 else { return }
        let mode = entry >> 8 & 7
        if mode <= 1 { table[pin] |= Bit.remoteIRR }
        send(pin)
    }

    private mutating func send(_ pin: Int) {
        let entry = table[pin]
        outgoing.append(
            APICMessage(
                vector: UInt8(truncatingIfNeeded: entry), mode: APICMessage.Mode(rawValue: UInt8(entry >> 8 & 7)) ?? .fixed,
                destination: UInt8(truncatingIfNeeded: entry >> 56), logical: entry & 0x800 != 0, level: entry & Bit.level != 0))
    }

    /// A processor ended the service of `vector` (EOI broadcast).
    public mutating func end(of vector: UInt8) {
        for pin in 0..<IOAPIC.pins where table[pin] & Bit.remoteIRR != 0 && UInt8(truncatingIfNeeded: table[pin]) == vector {
            table[pin] &= ~Bit.remoteIRR
            serviceLevel(pin)
        }
    }

    /// Pin 0 carries the 8259's INTR; true when it is unmasked in ExtINT mode, the virtual wire through the I/O APIC.
    public var externalThroughPin0: Bool { table[0] & Bit.masked == 0 && table[0] >> 8 & 7 == 7 }

    public mutating func takeOutgoing() -> [APICMessage] {
        defer { outgoing.removeAll() }
        return outgoing
    }

    private enum Bit {
        static let status: UInt64 = 1 << 12, remoteIRR: UInt64 = 1 << 14, level: UInt64 = 1 << 15, masked: UInt64 = 1 << 16
    }
}
