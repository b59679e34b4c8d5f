import CPU
import Primitives

/// The ACPI tables of this board as files for firmware, which places them and fills in addresses and checksums.
///
/// Source: *ACPI Specification*, revision 2.0c, section 5.2 "ACPI System Description Tables"; revision 1.0b for the fields that old
/// systems read. Registers: those of `PowerManagement`, at the base address that SeaBIOS gives the power management function.
///
///     etc/acpi/rsdp     RSDP, revision 2: RSDT for old systems, XSDT for new ones
///     etc/acpi/tables   FACS, DSDT, FADT, MADT, RSDT, XSDT
///
/// Not implemented: HPET, SRAT, MCFG and other tables of parts that this board does not have.
struct ACPITables {
    static let rsdpFile = "etc/acpi/rsdp", tablesFile = "etc/acpi/tables"
    /// PMBA as SeaBIOS programs it when it finds tables to load.
    static let pmBase: UInt64 = 0x600
    static let sci: UInt8 = 9

    private(set) var rsdp: [UInt8] = []
    private(set) var tables: [UInt8] = []
    private(set) var loader = TableLoader()

    /// fw_cfg files by name.
    var files: [String: [UInt8]] {
        [ACPITables.rsdpFile: rsdp, ACPITables.tablesFile: tables, TableLoader.fileName: loader.script]
    }

    init(processors: Int, ioapic: Bool = true, lowRAMBytes: UInt64, serialPorts: Int) {
        loader.allocate(ACPITables.tablesFile, alignment: 64, .highMemory)
        loader.allocate(ACPITables.rsdpFile, alignment: 16, .fSegment)

        let facs = place(ACPITables.facs, alignment: 64)
        let dsdt = place(table: "DSDT", revision: 1, DSDT(processors: processors, lowRAMBytes: lowRAMBytes, serialPorts: serialPorts).aml)
        let fadt = place(table: "FACP", revision: 3, ACPITables.fadt)
        // FIRMWARE_CTRL, DSDT, X_DSDT. X_FIRMWARE_CTRL stays 0: systems that read both would see two FACS.
        for (offset, size, target) in [(36, 4, facs), (40, 4, dsdt), (140, 8, dsdt)] {
            point(from: fadt + offset, size, to: target)
        }
        var described = [fadt]
        // Without an I/O APIC there is none: a list of local APICs alone makes systems mask the 8259s.
        if ioapic { described.append(place(table: "APIC", revision: 1, ACPITables.madt(processors: processors))) }
        let rsdt = place(table: "RSDT", revision: 1, [UInt8](repeating: 0, count: described.count * 4))
        let xsdt = place(table: "XSDT", revision: 1, [UInt8](repeating: 0, count: described.count * 8))
        for (n, target) in described.enumerated() {
            point(from: rsdt + 36 + 4 * n, 4, to: target)
            point(from: xsdt + 36 + 8 * n, 8, to: target)
        }
        for start in [dsdt, rsdt, xsdt] + described { sum(start) }
        placeRSDP(rsdt, xsdt)
    }

    // MARK: Placing

    /// Appends at a multiple of `alignment`; returns the offset.
    private mutating func place(_ bytes: [UInt8], alignment: Int) -> Int {
        while tables.count % alignment != 0 { tables.append(0) }
        defer { tables += bytes }
        return tables.count
    }

    /// Header (section 5.2.5) and body; the checksum is left to the loader.
    private mutating func place(table signature: String, revision: UInt8, _ body: [UInt8]) -> Int {
        var header = Array(signature.utf8)
        header += AML.little(UInt64(36 + body.count), 4) + [revision, 0]
        header += Array("VITRIN".utf8) + Array("VITRINE ".utf8) + AML.little(1, 4)  // OEM ID, table ID, revision
        header += Array("VTRN".utf8) + AML.little(1, 4)  // creator and its revision
        return place(header + body, alignment: 8)
    }

    private mutating func point(from offset: Int, _ size: Int, to target: Int) {
        tables.replaceSubrange(offset..<(offset + size), with: AML.little(UInt64(target), size))
        loader.addPointer(in: ACPITables.tablesFile, at: offset, size: UInt8(size), to: ACPITables.tablesFile)
    }

    private mutating func sum(_ start: Int) {
        let length = tables[(start + 4)..<(start + 8)].reversed().reduce(0) { $0 << 8 | Int($1) }
        loader.addChecksum(in: ACPITables.tablesFile, at: start + 9, over: start..<(start + length))
    }

    private mutating func placeRSDP(_ rsdt: Int, _ xsdt: Int) {
        rsdp = Array("RSD PTR ".utf8) + [0] + Array("VITRIN".utf8) + [2]
        rsdp += AML.little(UInt64(rsdt), 4) + AML.little(36, 4) + AML.little(UInt64(xsdt), 8) + [0, 0, 0, 0]
        loader.addPointer(in: ACPITables.rsdpFile, at: 16, size: 4, to: ACPITables.tablesFile)
        loader.addPointer(in: ACPITables.rsdpFile, at: 24, size: 8, to: ACPITables.tablesFile)
        loader.addChecksum(in: ACPITables.rsdpFile, at: 8, over: 0..<20)
        loader.addChecksum(in: ACPITables.rsdpFile, at: 32, over: 0..<36)
    }

    // MARK: Tables

    /// Firmware ACPI control structure, version 1: no waking vector, a free global lock. Has no checksum.
    private static let facs: [UInt8] = {
        let head = Array("FACS".utf8) + AML.little(64, 4)
        return head + [UInt8](repeating: 0, count: 24) + [1] + [UInt8](repeating: 0, count: 31)
    }()

    /// Fixed ACPI description table without its header, revision 3; section 5.2.8.
    private static let fadt: [UInt8] = {
        let event = pmBase, control = pmBase + 4, timer = pmBase + 8, general: UInt64 = 0xAFE0
        var body = AML.little(0, 8)  // FIRMWARE_CTRL, DSDT: pointers
        body += [0, 1]  // reserved (INT_MODEL of revision 1: dual PIC), a desktop
        body += AML.little(UInt64(sci), 2) + AML.little(0xB2, 4) + [0xF1, 0xF0, 0, 0]  // SMI_CMD; ACPI_ENABLE, ACPI_DISABLE; no S4BIOS, P-states
        body += [event, 0, control, 0, 0, timer, general, 0].flatMap { AML.little($0, 4) }
        body += [4, 2, 0, 4, 4, 0, 0, 0]  // lengths of PM1 event, control, PM2, timer, GPE0, GPE1; GPE1 base; no C-state control
        body += AML.little(0xFFF, 2) + AML.little(0xFFF, 2)  // C2 and C3 latencies above the limits: not supported
        body += AML.little(0, 4) + [0, 0]  // flush size and stride (WBINVD works), no duty cycle
        body += [0, 0, 0x32]  // no day and month alarms; CMOS byte of the century
        body += AML.little(0b11, 2) + [0]  // IAPC_BOOT_ARCH: ISA devices, 8042
        body += AML.little(Flag.wbinvd | Flag.procC1 | Flag.sleepButtonIsDevice | Flag.rtcIsNotFixed | Flag.resetRegister, 4)
        body += address(0xCF9, bits: 8, access: 1) + [0x06] + [0, 0, 0]  // RESET_REG, RESET_VALUE: a hard reset
        body += [UInt8](repeating: 0, count: 16)  // X_FIRMWARE_CTRL, X_DSDT: pointers
        body += address(event, bits: 32, access: 2) + none + address(control, bits: 16, access: 2) + none
        body += none + address(timer, bits: 32, access: 3) + address(general, bits: 32, access: 1) + none
        return body
    }()

    /// Generic address structure in I/O space; section 5.2.3.1.
    private static func address(_ port: UInt64, bits: UInt8, access: UInt8) -> [UInt8] { [1, bits, 0, access] + AML.little(port, 8) }
    private static let none = [UInt8](repeating: 0, count: 12)

    /// Fixed feature flags of the FADT. The power button is a fixed one (its flag is clear).
    private enum Flag {
        static let wbinvd: UInt64 = 1 << 0, procC1: UInt64 = 1 << 2, sleepButtonIsDevice: UInt64 = 1 << 5
        static let rtcIsNotFixed: UInt64 = 1 << 6, resetRegister: UInt64 = 1 << 10
    }

    /// Multiple APIC description table without its header; section 5.2.10.4.
    private static func madt(processors: Int) -> [UInt8] {
        var body = AML.little(LAPIC.defaultBase, 4) + AML.little(1, 4)  // there is a pair of 8259s too
        for n in 0..<processors { body += [0, 8, UInt8(n), UInt8(n)] + AML.little(1, 4) }  // processor, APIC ID, enabled
        body += [1, 12, 0, 0] + AML.little(IOAPIC.base, 4) + AML.little(0, 4)  // I/O APIC 0, interrupts from 0
        body += [2, 10, 0, 0] + AML.little(2, 4) + AML.little(0, 2)  // IRQ0 arrives at pin 2
        body += [2, 10, 0, sci] + AML.little(UInt64(sci), 4) + AML.little(0b1101, 2)  // SCI: level, active high
        body += [4, 6, 0xFF, 0, 0, 1]  // NMI at LINT1 of all processors
        return body
    }
}
