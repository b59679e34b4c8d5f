import CPU
import Primitives

/// The differentiated system description of this board: what is soldered on and cannot be found by looking.
///
/// Source: *ACPI Specification*, revision 2.0c, chapters 5 and 6; PIIX3 data sheet, "PIRQRC[A:D]"; SeaBIOS, `src/fw/pciinit.c`, for
/// where PCI devices may be placed, and `src/fw/dsdt_parser.c`: it takes keyboard, floppy and ports that are not in here for absent,
/// and reads no names but those of plain objects, so that only methods contain expressions.
///
/// PCI interrupts arrive in two ways at once: through the PIIX3's routing at the 8259s (and the I/O APIC's pins 3–15), and directly at
/// the I/O APIC's pins 16–19. `_PIC` tells which one the operating system uses.
struct DSDT {
    let processors: Int
    let lowRAMBytes: UInt64
    let serialPorts: Int

    /// Links A–D and the fields of their registers.
    private static let links = ["LNKA", "LNKB", "LNKC", "LNKD"]
    private static let registers = ["PRQA", "PRQB", "PRQC", "PRQD"]

    var aml: [UInt8] {
        let terms: [AML] = [
            .scope("\\_PR", (0..<processors).map { .processor("CPU\($0)", id: UInt8($0)) }),
            .scope("\\_SB", [pciBus, .device("SLPB", .name("_HID", .eisaID("PNP0C0E")))] + linkDevices),
            .scope("\\_GPE", [.method("_E01", .notify("\\_SB.SLPB", 0x80))]),  // pressed
            .name("\\PICF", .integer(0)),
            .method("\\_PIC", arguments: 1, .store(.argument(0), in: .call("\\PICF"))),
            // PM1 control's sleep type for soft off: 0 (82371AB, "PMCNTRL").
            .name("\\_S5", .package(.integer(0), .integer(0), .integer(0), .integer(0))),
        ]
        return terms.flatMap(\.bytes)
    }

    // MARK: PCI

    private var pciBus: AML {
        .device(
            "PCI0", .name("_HID", .eisaID("PNP0A03")), .name("_UID", .integer(0)), .name("_CRS", windows),
            .name("PRTP", routing { slot, pin in .package(DSDT.pin(slot, pin), .integer(UInt64(pin)), .call("\\_SB." + DSDT.link(slot, pin)), .integer(0)) }),
            .name("PRTA", routing { slot, pin in
                .package(DSDT.pin(slot, pin), .integer(UInt64(pin)), .integer(0), .integer(16 + UInt64(PCIBus.pirq(device: slot, pin: pin))))
            }),
            .method("_PRT", .if(.call("\\PICF"), .return(.call("PRTA"))), .return(.call("PRTP"))), isaBridge)
    }

    /// What the host bridge passes on to PCI. Memory: where SeaBIOS places base addresses, from the next boundary above RAM to the APICs.
    private var windows: AML {
        let first: UInt32 = lowRAMBytes <= 0x8000_0000 ? 0x8000_0000 : lowRAMBytes <= 0xC000_0000 ? 0xC000_0000 : 0xE000_0000
        return .resources(
            .busNumbers(0...0xFF), .io(0xCF8...0xCFF), .ioWindow(0...0xCF7), .ioWindow(0xD00...0xFFFF),
            .memoryWindow(0xA_0000...0xB_FFFF, cacheable: true), .memoryWindow(first...0xFEBF_FFFF, cacheable: false))
    }

    /// Interrupt routing of all slots and pins. The power management function (slot 1, INTA#) has the SCI's line instead.
    private func routing(_ entry: (Int, Int) -> AML) -> AML {
        var entries: [AML] = []
        for slot in 0..<32 {
            for pin in 0..<4 {
                if slot == PowerManagement.address.device, pin == 0 {
                    entries.append(.package(DSDT.pin(slot, pin), .integer(0), .integer(0), .integer(UInt64(ACPITables.sci))))
                } else {
                    entries.append(entry(slot, pin))
                }
            }
        }
        return .package(entries)
    }

    /// Address of all functions of a slot.
    private static func pin(_ slot: Int, _ pin: Int) -> AML { .integer(UInt64(slot) << 16 | 0xFFFF) }
    private static func link(_ slot: Int, _ pin: Int) -> String { links[PCIBus.pirq(device: slot, pin: pin)] }

    /// Interrupt links: each sets one PIRQ register of the PIIX3. Bit 7 set: off.
    private var linkDevices: [AML] {
        let current: AML = .method(
            "ICRS", arguments: 1, serialized: true, .store(.resources(.sharedIRQ([])), in: .local(0)),
            .createWordField(.local(0), at: 1, "IRQM"),
            .if(.and(.argument(0), .integer(0x80)), .store(.integer(0), in: .call("IRQM"))),
            .else(.shiftLeft(.integer(1), by: .and(.argument(0), .integer(0xF)), into: .call("IRQM"))),
            .return(.local(0)))
        let status: AML = .method(
            "ISTA", arguments: 1, .if(.and(.argument(0), .integer(0x80)), .return(.integer(0x09))), .return(.integer(0x0B)))
        let devices: [AML] = zip(DSDT.links, DSDT.registers).enumerated().map { number, names in
            let register: AML = .call("\\_SB.PCI0.ISA." + names.1)
            return .device(
                names.0, .name("_HID", .eisaID("PNP0C0F")), .name("_UID", .integer(UInt64(number + 1))),
                .name("_PRS", .resources(.sharedIRQ([5, 10, 11]))), .method("_STA", .return(.call("ISTA", register))),
                .method("_CRS", .return(.call("ICRS", register))), .method("_DIS", .or(register, .integer(0x80), into: register)),
                .method(
                    "_SRS", arguments: 1, serialized: true, .createWordField(.argument(0), at: 1, "IRQM"),
                    .subtract(.integer(1), from: .findSetRightBit(.call("IRQM")), into: register)))
        }
        return [current, status] + devices
    }

    // MARK: ISA

    private var isaBridge: AML {
        var body: [AML] = [
            .name("_ADR", .integer(0x1_0000)), .pciConfigRegion("PIRQ", offset: 0x60, bytes: 4), .byteFields(in: "PIRQ", DSDT.registers),
            device("PIC", "PNP0000", .io(0x20...0x21), .io(0xA0...0xA1), .io(0x4D0...0x4D1), .irq(2)),
            device("TMR", "PNP0100", .io(0x40...0x43), .irq(0)), device("DMAC", "PNP0200", .io(0...0xF), .io(0x80...0x8F), .io(0xC0...0xDF), .dma(4)),
            device("RTC", "PNP0B00", .io(0x70...0x71), .irq(8)), device("SPKR", "PNP0800", .io(0x61...0x61)),
            device("FPU", "PNP0C04", .io(0xF0...0xF1), .irq(13)), device("KBD", "PNP0303", .io(0x60...0x60), .io(0x64...0x64), .irq(1)),
            device("MOU", "PNP0F13", .irq(12)), device("FDC", "PNP0700", .io(0x3F2...0x3F5), .io(0x3F7...0x3F7), .irq(6), .dma(2)),
            device("LPT", "PNP0400", .io(0x378...0x37A), .irq(7)),
            // Reset and power management ports that no other device has.
            device("MISC", "PNP0C02", .io(0x92...0x92), .io(0xB2...0xB3), .io(0xAFE0...0xAFE3)),
        ]
        for n in 0..<min(max(serialPorts, 0), UART.portBases.count) {
            let base = UART.portBases[n]
            body.append(
                .device(
                    "COM\(n + 1)", .name("_HID", .eisaID("PNP0501")), .name("_UID", .integer(UInt64(n + 1))),
                    .name("_CRS", .resources(.io(base...(base + 7)), .irq(UInt8(UART.irqs[n]))))))
        }
        return .device("ISA", body)
    }

    private func device(_ name: String, _ id: String, _ resources: Resource...) -> AML {
        .device(name, .name("_HID", .eisaID(id)), .name("_CRS", .resources(resources)))
    }
}
