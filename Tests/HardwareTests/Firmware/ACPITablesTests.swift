import CPU
import Foundation
import Primitives
import Testing

@testable import Hardware

@Suite("firmware tables · ACPI") struct ACPITablesTests {
    static let iasl = "/usr/bin/iasl"

    private func load(cpus: Int = 1, ramMiB: Int = 128) throws -> LoadedTables {
        let acpi = ACPITables(processors: cpus, lowRAMBytes: UInt64(PhysicalLayout.lowRAMBytes(ramMiB)), serialPorts: 4)
        let loaded = LoadedTables { acpi.files[$0] }
        #expect(loaded.complaints.isEmpty, "\(loaded.complaints)")
        return loaded
    }

    @Test("the board offers them through fw_cfg; a file of the same name from outside wins") func offered() throws {
        let bios = [UInt8](repeating: 0xF4, count: 64 << 10)
        let pc = try PC(BoardSettings(bios: bios))
        let configuration = try #require(pc.chip(FWCfg.self))
        #expect(LoadedTables { configuration.file($0) }.tables.count == 4)
        var settings = BoardSettings(bios: bios)
        settings.fwCfgFiles = ["etc/acpi/rsdp": [1, 2, 3]]
        let other = try PC(settings)
        #expect(other.chip(FWCfg.self)?.file("etc/acpi/rsdp") == [1, 2, 3])
    }

    @Test("every table adds up to zero; RSDP, RSDT and XSDT lead to them", arguments: [1, 8]) func sums(cpus: Int) throws {
        let loaded = try load(cpus: cpus)
        let rsdp = loaded.rsdp
        #expect(LoadedTables.text(rsdp[0..<8]) == "RSD PTR " && rsdp[15] == 2)
        #expect(LoadedTables.sum(rsdp[0..<20]) == 0 && LoadedTables.sum(rsdp) == 0)
        let tables = loaded.tables
        #expect(Set(tables.keys) == ["XSDT", "FACP", "APIC", "DSDT"])
        for (name, table) in tables { #expect(LoadedTables.sum(table) == 0, "\(name)") }
        // The RSDT holds the low halves of the same addresses.
        let xsdt = try #require(tables["XSDT"])
        let base = try #require(loaded.files["etc/acpi/tables"]).base
        let rsdt = try #require(loaded.table(at: base & ~0xFFFF_FFFF | LoadedTables.number(rsdp, 16, 4)))
        #expect(LoadedTables.text(rsdt[0..<4]) == "RSDT" && LoadedTables.sum(rsdt) == 0)
        for n in 0..<2 { #expect(LoadedTables.number(rsdt, 36 + 4 * n, 4) == LoadedTables.number(xsdt, 36 + 8 * n, 8) & 0xFFFF_FFFF) }
        let fadt = try #require(tables["FACP"])
        let facs = try #require(loaded.table(at: base & ~0xFFFF_FFFF | LoadedTables.number(fadt, 36, 4)))
        #expect(LoadedTables.text(facs[0..<4]) == "FACS" && facs.count == 64)
        #expect(LoadedTables.number(fadt, 36, 4) & 63 == 0, "the FACS is aligned to 64 bytes")
    }

    @Test("the FADT names registers that the power management chip has") func registers() throws {
        let fadt = try #require(try load().tables["FACP"])
        func field(_ offset: Int, _ size: Int) -> UInt64 { LoadedTables.number(fadt, offset, size) }
        #expect(fadt.count == 244 && field(46, 2) == 9)
        var pm = PowerManagement()
        var wires = try makeWires()
        pm.configWrite(0x40, size: 4, UInt32(field(56, 4)) | 1, &wires)
        pm.configWrite(0x80, size: 1, 1, &wires)
        // ACPI_ENABLE at SMI_CMD sets SCI_EN in PM1 control, ACPI_DISABLE clears it.
        for (command, enabled) in [(fadt[52], true), (fadt[53], false)] {
            pm.write(Port(field(48, 4)), command, &wires)
            #expect(pm.read(Port(field(64, 4)), &wires) & 1 == (enabled ? 1 : 0))
        }
        wires.now = 1_000_000
        #expect(pm.readWide(Port(field(76, 4)), size: 4, &wires) == PowerManagement.timer(1_000_000))
        #expect(pm.ports.contains { $0.contains(Port(field(80, 4))) }, "GPE0")
        // The reset register is the board's.
        var reset = ResetPort()
        reset.write(Port(field(120, 8)), 0, &wires)
        reset.write(Port(field(120, 8)), fadt[128], &wires)
        #expect(wires.requests == [.reset(cpuOnly: false)])
    }

    @Test("the MADT has one local APIC for each processor", arguments: [1, 4]) func processors(cpus: Int) throws {
        let madt = try #require(try load(cpus: cpus).tables["APIC"])
        #expect(LoadedTables.number(madt, 36, 4) == LAPIC.defaultBase)
        var at = 44
        var kinds: [UInt8: Int] = [:]
        while at < madt.count {
            kinds[madt[at], default: 0] += 1
            if madt[at] == 0 { #expect(Int(madt[at + 3]) == kinds[0, default: 0] - 1 && madt[at + 4] == 1) }
            at += Int(madt[at + 1])
        }
        #expect(at == madt.count && kinds == [0: cpus, 1: 1, 2: 2, 4: 1])
    }

    @Test("PCI memory starts where SeaBIOS starts it", arguments: [(128, 0x8000_0000), (2048, 0x8000_0000), (2049, 0xC000_0000), (4096, 0xE000_0000)])
    func window(ramMiB: Int, base: Int) throws {
        let dsdt = try #require(try load(ramMiB: ramMiB).tables["DSDT"])
        let window = Resource.memoryWindow(UInt32(base)...0xFEBF_FFFF, cacheable: false).bytes
        #expect(dsdt.indices.contains { dsdt[$0...].starts(with: window) })
    }

    @Test(
        "iasl takes the DSDT apart and makes the same code from what it found",
        .enabled(if: FileManager.default.isExecutableFile(atPath: iasl), "iasl is not installed: apt-get install acpica-tools"),
        arguments: [1, 8])
    func compiler(cpus: Int) throws {
        let dsdt = try #require(try load(cpus: cpus).tables["DSDT"])
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("acpi-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(dsdt).write(to: folder.appendingPathComponent("dsdt.aml"))
        func iasl(_ arguments: String...) throws -> String {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: ACPITablesTests.iasl)
            process.arguments = arguments
            process.currentDirectoryURL = folder
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            try process.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(text)")
            return text
        }
        _ = try iasl("-d", "dsdt.aml")
        let report = try iasl("-oa", "-p", "again", "dsdt.dsl")
        #expect(report.contains("0 Errors"), "\(report)")
        // Processor() is what systems before ACPI 6 know; iasl would rather have a device.
        let warnings = report.split(separator: "\n").filter { $0.hasPrefix("Warning") && !$0.contains("3168") }
        #expect(warnings.isEmpty, "\(report)")
        let again = [UInt8](try Data(contentsOf: folder.appendingPathComponent("again.aml")))
        #expect(again.count == dsdt.count && again[36...] == dsdt[36...], "recompiled, the code differs")
    }
}

@Suite("firmware tables · AML") struct AMLTests {
    @Test("integers take their shortest form") func integers() {
        let forms: [(UInt64, [UInt8])] = [
            (0, [0]), (1, [1]), (2, [0x0A, 2]), (0x100, [0x0B, 0, 1]), (0x1_0000, [0x0C, 0, 0, 1, 0]), (1 << 32, [0x0E, 0, 0, 0, 0, 1, 0, 0, 0]),
        ]
        for (value, bytes) in forms { #expect(AML.integer(value).bytes == bytes) }
    }

    @Test("names: prefixes, padding, one, two and three segments") func names() {
        #expect(AML.path("\\_SB") == Array("\\_SB_".utf8))
        #expect(AML.path("\\_SB.PCI0") == [0x5C, 0x2E] + Array("_SB_PCI0".utf8))
        #expect(AML.path("^A.B.C") == [0x5E, 0x2F, 3] + Array("A___B___C___".utf8))
    }

    @Test("package lengths count themselves at 1, 2 and 3 bytes", arguments: [(10, 1), (60, 1), (61, 2), (4000, 2), (4100, 3)] as [(Int, Int)])
    func lengths(contents: Int, bytes: Int) {
        let code = AML.buffer([UInt8](repeating: 7, count: contents)).bytes
        let extra = Int(code[1] >> 6)
        var length = Int(code[1] & (extra == 0 ? 0x3F : 0x0F))
        for n in 0..<extra { length |= Int(code[2 + n]) << (4 + 8 * n) }
        #expect(length == code.count - 1 && extra == bytes - 1)
    }

    @Test("EISA identifiers are compressed high byte first") func eisa() {
        #expect(AML.eisaID("PNP0A03").bytes == [0x0C, 0x41, 0xD0, 0x0A, 0x03])
    }
}

@Suite("firmware tables · SMBIOS") struct SMBIOSTests {
    @Test("the entry point and the structures are well formed", arguments: [(1, 128), (8, 3072), (4, 65536)])
    func structures(cpus: Int, ramMiB: Int) throws {
        let smbios = SMBIOS(processors: cpus, model: .pentiumPro, ramMiB: ramMiB)
        let anchor = smbios.anchor
        #expect(anchor.count == 31 && LoadedTables.sum(anchor) == 0 && LoadedTables.sum(anchor[16...]) == 0)
        var at = 0
        var largest = 0
        var types: [UInt8] = []
        let bytes = smbios.tables
        while at < bytes.count {
            let start = at
            types.append(bytes[at])
            at += Int(bytes[at + 1])
            while bytes[at] != 0 || bytes[at + 1] != 0 { at += 1 }
            at += 2
            largest = max(largest, at - start)
        }
        #expect(at == bytes.count && types.last == 127)
        #expect(Set(types) == [0, 1, 3, 4, 16, 17, 19, 32, 127])
        #expect(types.filter { $0 == 4 }.count == cpus)
        #expect(LoadedTables.number(anchor, 8, 2) == UInt64(largest))
        #expect(LoadedTables.number(anchor, 22, 2) == UInt64(bytes.count))
        #expect(LoadedTables.number(anchor, 28, 2) == UInt64(types.count))
    }
}
