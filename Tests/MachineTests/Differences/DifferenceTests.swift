import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("snapshots · what differs") struct DifferenceTests {
    @Test("fields are told by name, tables by their first place, what is equal not at all") func fields() {
        let before = StateValue.map([
            .init("a", .unsigned(1)), .init("same", .text("x")), .init("gone", .flag(true)), .init("inner", .map([.init("words", .words32([0, 1]))])),
            .init("table", .bytes([UInt8](repeating: 0, count: 100))), .init("list", .list([.unsigned(3), .negative(-2)])),
        ])
        var table = [UInt8](repeating: 0, count: 100)
        (table[7], table[9]) = (0xAB, 1)
        let after = StateValue.map([
            .init("a", .unsigned(300)), .init("same", .text("x")), .init("inner", .map([.init("words", .words32([0, 2]))])),
            .init("table", .bytes(table)), .init("list", .list([.unsigned(3), .negative(-3)])), .init("new", .null),
        ])
        let found = FieldDifference.all(before, after, "chip").map { "\($0.name): \($0.before ?? "-") -> \($0.after ?? "-")" }
        #expect(
            found == [
                "chip.a: 1 -> 0x12C", "chip.gone: yes -> -", "chip.inner.words: 0 1 -> 0 2", "chip.table.7: 0 (and 1 more of 100) -> 0xAB",
                "chip.list.1: -2 -> -3", "chip.new: - -> nothing",
            ])
    }

    private func machine(_ folder: String) throws -> MachineStore {
        let store = MachineStore(home: folder + "/home")
        try store.create("m", MachineSettings(), disk: NewDisk(bytes: 40 << 20))
        return store
    }

    private func put(_ bytes: [UInt8], _ store: MachineStore, sector: UInt64 = 0) throws {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readWrite)
        // What is zeros stays a hole.
        for at in stride(from: 0, to: bytes.count, by: 64 << 10) {
            let piece = Array(bytes[at..<min(at + 64 << 10, bytes.count)])
            if !piece.isZero { #expect(piece.withUnsafeBytes { medium.write(sector: sector + UInt64(at / 512), from: $0) }) }
        }
        #expect(medium.flush())
    }

    @Test("settings and sectors of two snapshots and of the present state; what is equal is nothing") func sectors() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder)
            try put(ImageRig.noise(512 * 4, 1), store, sector: 100)
            try store.takeSnapshot("m", "one", description: "")
            #expect(try store.difference("m", from: "one", to: nil).isEmpty)
            try put(ImageRig.noise(512 * 2, 9), store, sector: 101)
            try put(ImageRig.noise(512, 5), store, sector: 70_000)
            try store.edit("m") { $0.run.memoryMiB = 77 }
            try store.takeSnapshot("m", "two", description: "")
            let found = try store.difference("m", from: "one", to: "two")
            #expect(found.settings == [.init(name: "Memory", before: "128 MiB", after: "77 MiB")], "\(found.settings)")
            #expect(found.disks.map(\.ranges) == [[.init(sector: 101, count: 2), .init(sector: 70_000, count: 1)]])
            #expect(found.disks[0].sectorsDiffering == 3 && found.memory == nil && found.registers.isEmpty)
            let back = try store.difference("m", from: "two", to: "one")
            #expect(back.disks.map(\.ranges) == found.disks.map(\.ranges))
            #expect(try store.difference("m", from: "two", to: nil).isEmpty)
            let text = DifferenceText.lines(found).joined(separator: "\n")
            for part in ["Memory: 128 MiB -> 77 MiB", "Disk 1: 3 sectors differ, in ranges (2)", "101-102"] { #expect(text.contains(part), "\(text)") }
            #expect(throws: MachineError.self) { try store.difference("m", from: "one", to: "three") }
            #expect(throws: MachineError.self) { try store.difference("m", from: "one", to: "two") { _, _ in false } }
        }
    }

    @Test("files that were added, removed and changed, in a partition", .enabled(if: FileSystemRig.canMakeFAT, FileSystemRig.noFAT)) func files() throws {
        try withTemporaryFolder { folder in
            let image = folder + "/fat.img", root = try FileSystemRig.source(folder)
            try FileSystemRig.fat(image, kilobytes: 20_000, clusterSectors: 4, root)
            let store = try machine(folder)
            var table = [UInt8](repeating: 0, count: 512)
            table[446 + 4] = 0x06
            table.putLittle(446 + 8, 2048)
            table.putLittle(446 + 12, 40_000)
            (table[510], table[511]) = (0x55, 0xAA)
            try put(table, store)
            try put(Array(Data(contentsOf: URL(fileURLWithPath: image))), store, sector: 2048)
            try store.takeSnapshot("m", "before", description: "")
            // The same length, other contents; a new one; one less.
            try Data(ImageRig.noise(300_032, 8)).write(to: URL(fileURLWithPath: root + "/etc/deep/A rather long name.bin"))
            try FileSystemRig.run("mdel", ["-i", image, "::/etc/hosts"])
            try FileSystemRig.run("mcopy", ["-i", image, "-m", "-o", root + "/etc/deep/A rather long name.bin", "::/etc/deep/"])
            try FileSystemRig.run("mcopy", ["-i", image, root + "/etc/hosts", "::/new.txt"])
            try put(Array(Data(contentsOf: URL(fileURLWithPath: image))), store, sector: 2048)
            let found = try store.difference("m", from: "before", to: nil)
            let volume = try #require(found.disks.first?.volumes.first)
            #expect(volume.partition == 1 && volume.kind == "FAT16" && volume.notes.isEmpty)
            #expect(volume.added.map(\.path) == ["new.txt"] && volume.removed.map(\.path) == ["etc/hosts"])
            #expect(volume.changed.map(\.path) == ["etc/deep/A rather long name.bin"] && volume.changed[0].what == ["contents"], "\(volume.changed)")
            let text = DifferenceText.lines(found).joined(separator: "\n")
            #expect(text.contains("Partition 1, FAT16") && text.contains("etc/hosts  20 bytes"), "\(text)")
        }
    }

    @Test("pages of two state files, whatever their order, and the bytes of some") func memory() throws {
        try withTemporaryFolder { folder in
            var info = StateInfo()
            (info.arenaBytes, info.ramBytes) = (64 << 12, 32 << 12)
            func write(_ name: String, _ pages: [(Int, UInt8)]) throws -> String {
                let writer = try StateWriter(folder + "/" + name)
                try writer.begin(SavedMachine(board: .map([]), runner: .null, info: info))
                for (number, byte) in pages {
                    var page = [UInt8](repeating: 0, count: 4096)
                    (page[0], page[4095]) = (1, byte)
                    try writer.pages([number], page)
                }
                try writer.finish()
                return folder + "/" + name
            }
            let a = try write("a", [(3, 1), (5, 2), (40, 7), (6, 3)]), b = try write("b", [(6, 3), (40, 8), (2, 1), (3, 9)])
            let found = try MemoryDifference.compare(a, b, wanted: 1) { _, _ in true }
            #expect(found.pagesDiffering == 4 && found.pagesBefore == 4 && found.pagesAfter == 4)
            #expect(
                found.ranges == [
                    .init(address: 2 << 12, pages: 2, isRAM: true), .init(address: 5 << 12, pages: 1, isRAM: true),
                    .init(address: 8 << 12, pages: 1, isRAM: false),
                ])
            #expect(found.pages.count == 1)
            let all = try MemoryDifference.compare(a, b, wanted: 100) { _, _ in true }
            #expect(all.pages.first { $0.address == 3 << 12 }?.lines == ["00003FF8  00 00 00 00 00 00 00 01 -> 00 00 00 00 00 00 00 09"])
            #expect(try MemoryDifference.compare(a, a, wanted: 5) { _, _ in true }.pagesDiffering == 0)
        }
    }
}
