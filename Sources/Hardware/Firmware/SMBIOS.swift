import CPU
import Primitives

/// The SMBIOS structures of this board as files for firmware: what inventory programs show.
///
/// Source: DMTF DSP0134, *System Management BIOS (SMBIOS) Reference Specification*, version 2.8.0; SeaBIOS, `src/fw/smbios.c`, places the
/// structures and fills in the entry point's address and checksums.
///
///     etc/smbios/smbios-anchor   entry point
///     etc/smbios/smbios-tables   types 0, 1, 3, 4, 16, 17, 19, 32, 127
///
/// Not implemented: caches, slots, ports, on-board devices; serial numbers and the UUID are "not present".
struct SMBIOS {
    static let anchorFile = "etc/smbios/smbios-anchor", tablesFile = "etc/smbios/smbios-tables"
    /// Largest memory module, MiB: the field has 15 bits.
    private static let moduleMiB = 16 << 10

    private(set) var anchor: [UInt8] = []
    private(set) var tables: [UInt8] = []
    private var largest = 0
    private var count = 0

    var files: [String: [UInt8]] { [SMBIOS.anchorFile: anchor, SMBIOS.tablesFile: tables] }

    init(processors: Int, model: CPUModel, ramMiB: Int) {
        addFirmware()
        addSystem()
        addChassis()
        for n in 0..<processors { addProcessor(n, model) }
        addMemory(ramMiB)
        add(32, 0x2000, AML.little(0, 6) + [0])  // booted without error
        add(127, 0x7F00, [])
        finish()
    }

    /// One structure: formatted part after type, length and handle, then its strings.
    private mutating func add(_ type: UInt8, _ handle: UInt64, _ body: [UInt8], _ strings: [String] = []) {
        var structure = [type, UInt8(4 + body.count)] + AML.little(handle, 2) + body
        for text in strings { structure += Array(text.utf8) + [0] }
        structure += strings.isEmpty ? [0, 0] : [0]
        tables += structure
        largest = max(largest, structure.count)
        count += 1
    }

    /// Section 7.1.
    private mutating func addFirmware() {
        var body: [UInt8] = [1, 2] + AML.little(0xE000, 2) + [3, 1]  // vendor, version, segment, date, 128 KiB
        // Characteristics: PCI, plug and play, boots from CD, boot order can be chosen, El Torito; extension: ACPI.
        body += AML.little(1 << 7 | 1 << 9 | 1 << 15 | 1 << 16, 8) + [0x01, 0x00] + [0xFF, 0xFF, 0xFF, 0xFF]
        add(0, 0x0000, body, ["SeaBIOS", "Vitrine", "01/01/2026"])
    }

    /// Section 7.2. Wake-up type 6: power switch.
    private mutating func addSystem() {
        add(1, 0x0100, [1, 2, 3, 0] + [UInt8](repeating: 0, count: 16) + [6, 0, 4], ["Vitrine", "440FX PC", "1", "Virtual machine"])
    }

    /// Section 7.4: other type, states safe, no heights, cords or contained elements.
    private mutating func addChassis() {
        add(3, 0x0300, [1, 1, 0, 0, 0, 3, 3, 3, 3] + AML.little(0, 4) + [0, 1, 0, 0, 0], ["Vitrine"])
    }

    /// Section 7.5.
    private mutating func addProcessor(_ n: Int, _ model: CPUModel) {
        let megahertz = model.tscHertz / 1_000_000
        var body: [UInt8] = [1, 3, 1, 2]  // socket, central processor, family: other, manufacturer
        body += AML.little(UInt64(model.signature), 4) + AML.little(UInt64(model.basicFeatures), 4)
        body += [3, 0] + AML.little(0, 2) + AML.little(megahertz, 2) + AML.little(megahertz, 2)  // version; voltage, clock: unknown
        body += [0x41, 1] + [UInt8](repeating: 0xFF, count: 6)  // populated and enabled; upgrade: other; no cache handles
        body += [0, 0, 0, 1, 1, 1] + AML.little(0, 2) + AML.little(1, 2)  // one core, one thread; characteristics, family: other
        add(4, 0x0400 + UInt64(n), body, ["CPU \(n)", model.vendor, model.brand])
    }

    /// Sections 7.17, 7.18, 7.20: an array, its modules, the addresses that it answers at.
    private mutating func addMemory(_ ramMiB: Int) {
        let modules = (ramMiB + SMBIOS.moduleMiB - 1) / SMBIOS.moduleMiB
        // System board, system memory, no error correction; capacity in KiB, in 64 bits when the short field is too small.
        let kib = UInt64(ramMiB) << 10, fits = kib < 0x8000_0000
        add(
            16, 0x1000,
            [3, 3, 3] + AML.little(fits ? kib : 0x8000_0000, 4) + [0xFE, 0xFF] + AML.little(UInt64(modules), 2)
                + AML.little(fits ? 0 : kib << 10, 8))
        for n in 0..<modules {
            let size = min(ramMiB - n * SMBIOS.moduleMiB, SMBIOS.moduleMiB)
            var body = AML.little(0x1000, 2) + [0xFE, 0xFF] + AML.little(64, 2) + AML.little(64, 2)  // no error information; 64 bits wide
            body += AML.little(UInt64(size), 2) + [9, 0, 1, 0, 7] + AML.little(0x0002, 2)  // a DIMM; RAM of no particular kind
            body += AML.little(0, 2) + [2, 0, 0, 0] + [0] + AML.little(0, 4) + AML.little(0, 2) + AML.little(0, 6)
            add(17, 0x1100 + UInt64(n), body, ["DIMM \(n)", "Vitrine"])
        }
        let low = UInt64(PhysicalLayout.lowRAMBytes(ramMiB)), high = UInt64(PhysicalLayout.highRAMBytes(ramMiB))
        addRange(0, 0, low)
        if high > 0 { addRange(1, PhysicalLayout.fourGiB, high) }
    }

    private mutating func addRange(_ n: UInt64, _ base: UInt64, _ bytes: UInt64) {
        // Addresses in KiB, the end inclusive; in bytes in the long fields when they do not fit.
        let end = base + bytes
        let fits = end >> 10 <= 0xFFFF_FFFF
        var body = AML.little(fits ? base >> 10 : 0xFFFF_FFFF, 4) + AML.little(fits ? (end >> 10) - 1 : 0xFFFF_FFFF, 4)
        body += AML.little(0x1000, 2) + [1] + AML.little(fits ? 0 : base, 8) + AML.little(fits ? 0 : end - 1, 8)
        add(19, 0x1300 + n, body)
    }

    /// Section 5.2.1, the 32-bit entry point. The address is firmware's business.
    private mutating func finish() {
        var second = Array("_DMI_".utf8) + [0] + AML.little(UInt64(tables.count), 2) + AML.little(0, 4) + AML.little(UInt64(count), 2) + [0x28]
        second[5] = 0 &- second.reduce(0, &+)
        var first = Array("_SM_".utf8) + [0, 0x1F, 2, 8] + AML.little(UInt64(largest), 2) + [UInt8](repeating: 0, count: 6)
        first[4] = 0 &- (first + second).reduce(0, &+)
        anchor = first + second
    }
}
