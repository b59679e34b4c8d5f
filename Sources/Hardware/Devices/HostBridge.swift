import CPU
import Primitives

/// Intel 82441FX PCI and memory controller (PMC), the host bridge of the 440FX chipset.
///
/// Source: Intel *82440FX PCIset: 82441FX PCI and Memory Controller* data sheet, order number 290549-001, section "Register
/// Description". The subsystem ID 1AF4:1100 is the one by which SeaBIOS recognises a virtual i440FX.
///
///     offset   register
///     59–5F    PAM0–PAM6, programmable attribute map: read and write enable of each segment C0000–FFFFF
///     72       SMRAM
///     60–67    DRB, stored only
///     93       TRC, turbo reset control, stored only (resets go through port CF9)
///
/// Not implemented: DRAM timing, ECC, error reporting, PCI arbitration; system management mode (SMRAM only opens and closes).
public struct HostBridge: PCIFunction {
    public static let name = "host-bridge"
    public static let address = (device: 0, function: 0)

    public var config = HostBridge.powerOnConfig()

    public init() {}

    public var ports: [ClosedRange<Port>] { [] }
    public mutating func reset() { config = HostBridge.powerOnConfig() }
    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {}

    private static func powerOnConfig() -> PCIConfig {
        var config = PCIConfig(vendor: 0x8086, device: 0x1237, classCode: 0x06_00_00, revision: 2)
        config.set16(0x04, 0x0006)  // memory and bus master are hard-wired on
        config.mask16(0x04, 0x0140)
        config.set16(0x06, 0x0280)  // medium DEVSEL, fast back-to-back
        config.writeOneToClear[0x07] = 0xF9
        config.mask16(0x0C, 0xF800)
        config.set16(0x2C, 0x1AF4)
        config.set16(0x2E, 0x1100)
        for offset in [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x70, 0x71, 0x90, 0x93] { config.writable[offset] = 0xFF }
        for offset in Register.pam0...Register.pam6 { config.writable[offset] = 0x33 }
        config.writable[Register.pam0] = 0x30
        for offset in 0x60...0x68 { config.writable[offset] = 0xFF }
        config.bytes[Register.smram] = 0x02  // C_BASE_SEG, read-only: A0000
        config.writable[Register.smram] = 0x78
        return config
    }

    public mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires) {
        if offsets.contains(Register.smram), config.bytes[Register.smram] & SMRAM.lock != 0 {
            // D_LCK clears D_OPEN and holds everything until the next reset.
            config.bytes[Register.smram] &= ~SMRAM.open
            config.writable[Register.smram] = 0
        }
        if offsets.overlaps(Register.pam0..<(Register.pam6 + 1)) || offsets.contains(Register.smram) { wires.request(.remap) }
    }

    /// A segment of C0000–FFFFF and where its reads and writes go.
    public struct Segment: Equatable, Sendable {
        public let base: Physical
        public let bytes: UInt64
        /// Reads go to RAM, else to PCI (ROM).
        public let readsRAM: Bool
        /// Writes go to RAM, else to PCI (dropped).
        public let writesRAM: Bool
    }

    /// The 13 segments of C0000–FFFFF in ascending order: 12 of 16 KiB, then F0000–FFFFF.
    public var segments: [Segment] {
        var list: [Segment] = []
        for i in 0..<12 {
            let nibble = config.bytes[Register.pam0 + 1 + i / 2] >> (i % 2 == 0 ? 0 : 4)
            list.append(
                Segment(base: 0xC_0000 + UInt64(i) * 0x4000, bytes: 0x4000, readsRAM: nibble & 1 != 0, writesRAM: nibble & 2 != 0))
        }
        let high = config.bytes[Register.pam0] >> 4
        list.append(Segment(base: 0xF_0000, bytes: 0x1_0000, readsRAM: high & 1 != 0, writesRAM: high & 2 != 0))
        return list
    }

    /// A0000–BFFFF shows the RAM under the VGA window (D_OPEN with G_SMRAME).
    public var smramOpen: Bool { config.bytes[Register.smram] & (SMRAM.open | SMRAM.enable) == SMRAM.open | SMRAM.enable }

    private enum Register {
        static let pam0 = 0x59, pam6 = 0x5F, smram = 0x72
    }
    private enum SMRAM {
        static let open: UInt8 = 0x40, lock: UInt8 = 0x10, enable: UInt8 = 0x08
    }
}
