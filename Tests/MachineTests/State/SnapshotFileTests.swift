import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("snapshots · as one file") struct SnapshotFileTests {
    private func machine(_ folder: String, disk format: NewDisk.Format = .dynamic) throws -> MachineStore {
        let store = MachineStore(home: folder + "/home")
        var settings = MachineSettings()
        settings.run.floppy = "a.img"
        try store.create("m", settings, disk: NewDisk(bytes: 8 << 20, format: format))
        return store
    }

    private func write(_ store: MachineStore, _ name: String, _ sector: UInt64, _ seed: UInt64) throws {
        let medium = try DiskImage.open(path: try store.entry(name).runSettings().disks[0], access: .readWrite)
        #expect(ImageRig.noise(4096, seed).withUnsafeBytes { medium.write(sector: sector, from: $0) } && medium.flush())
    }

    private func contents(_ store: MachineStore, _ name: String) throws -> [UInt8] {
        try ImageRig.contents(try store.entry(name).runSettings().disks[0])
    }

    /// A state file of some pages in the place of a machine's saved state.
    private func save(_ store: MachineStore, _ name: String) throws {
        let folder = store.folder(of: name)
        var info = StateInfo()
        (info.arenaBytes, info.ramBytes, info.screen) = (1 << 20, 1 << 19, ["C:\\>"])
        let writer = try StateWriter(folder + "/" + SavedState.fileName)
        try writer.begin(SavedMachine(board: .map([]), runner: .null, info: info))
        for page in 0..<100 { try writer.pages([page], ImageRig.noise(4096, UInt64(page + 1))) }
        try writer.finish()
        try SavedState(folder: folder, disks: try store.entry(name).checkedSettings().run.disks).note()
    }

    @Test("what is written can be taken into another machine and become a new one", arguments: [NewDisk.Format.dynamic, .raw, .qcow2])
    func roundTrip(format: NewDisk.Format) throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, disk: format), path = folder + "/one.vsnap"
            try write(store, "m", 10, 1)
            try store.takeSnapshot("m", "base", description: "")
            try write(store, "m", 5000, 2)
            try store.edit("m") { $0.run.memoryMiB = 33 }
            try save(store, "m")
            try store.takeSnapshot("m", "one", description: "Of two layers.")
            let expected = try contents(store, "m"), memory = try Data(contentsOf: URL(fileURLWithPath: store.folder(of: "m") + "/saved.state"))
            try write(store, "m", 10, 3)
            var told: [UInt64] = []
            try store.exportSnapshot("m", "one", to: path) { done, total in
                told.append(total)
                return done <= total
            }
            #expect(told.count > 1 && Set(told).count == 1)
            #expect(throws: MachineError.self) { try store.exportSnapshot("m", "one", to: path) { _, _ in true } }

            // Into the same machine, under another name.
            #expect(throws: MachineError.self) { try store.importSnapshot("m", from: path, as: nil) { _, _ in true } }
            #expect(try store.importSnapshot("m", from: path, as: "back") { _, _ in true } == "back")
            let node = try store.snapshots("m").find("back", of: "m")
            #expect(node.parent == nil && node.description == "Of two layers." && node.hasMemory)
            #expect(try store.snapshotDetails("m", node.id).screen == ["C:\\>"])
            let same = try store.difference("m", from: "one", to: "back")
            // The floppy is not in the file.
            #expect(same.settings.count == 1 && same.memory?.pagesDiffering == 0)
            let differing = same.disks.filter { !$0.isEmpty }
            #expect(differing.isEmpty, "\(differing)")
            try store.restoreSnapshot("m", "back", keepingAs: nil)
            #expect(try contents(store, "m") == expected && store.entry("m").state == .saved)
            try store.deleteSnapshot("m", "one") { _, _ in true }
            #expect(try contents(store, "m") == expected)

            // And a machine of its own.
            let new = try store.importMachine("new", from: path) { _, _ in true }
            #expect(try new.state == .saved && new.checkedSettings().run.memoryMiB == 33 && new.checkedSettings().run.floppy == nil)
            #expect(try contents(store, "new") == expected)
            #expect(try Data(contentsOf: URL(fileURLWithPath: new.folder + "/saved.state")) == memory)
            try SavedState(folder: new.folder, disks: new.checkedSettings().run.disks).check("new")
        }
    }

    @Test("what is cancelled, or cannot be written, leaves nothing") func cancelled() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder), path = folder + "/one.vsnap"
            try write(store, "m", 10, 1)
            try store.takeSnapshot("m", "one", description: "")
            #expect(throws: MachineError.self) { try store.exportSnapshot("m", "one", to: path) { _, _ in false } }
            #expect(throws: MachineError.self) { try store.exportSnapshot("m", "one", to: folder + "/no/one") { _, _ in true } }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["home"])
            try store.exportSnapshot("m", "one", to: path) { _, _ in true }
            let before = try FileManager.default.contentsOfDirectory(atPath: store.folder(of: "m") + "/snapshots").sorted()
            #expect(throws: MachineError.self) { try store.importSnapshot("m", from: path, as: "two") { _, _ in false } }
            #expect(throws: MachineError.self) { _ = try store.importMachine("new", from: path) { _, _ in false } }
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder(of: "m") + "/snapshots").sorted() == before)
            #expect(try store.names() == ["m"])
        }
    }

    /// `VITRINE_STATE_MUTATIONS` is the number, a tenth of it here.
    @Test("files that are damaged, cut short or put together wrongly are refused and leave nothing") func hostile() throws {
        let count = max(60, (ProcessInfo.processInfo.environment["VITRINE_STATE_MUTATIONS"].flatMap { Int($0) } ?? 0) / 10)
        try withTemporaryFolder { folder in
            let store = try machine(folder), path = folder + "/one.vsnap"
            try write(store, "m", 10, 1)
            try write(store, "m", 9000, 1)
            try save(store, "m")
            try store.takeSnapshot("m", "one", description: "")
            try store.exportSnapshot("m", "one", to: path) { _, _ in true }
            let whole = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
            let sections = SectionFile(whole)
            #expect(sections.list.map(\.kind) == ["META", "SETT", "DBLK", "DBLK", "SFIL", "SUMS", "END "], "\(sections.list.map(\.kind))")
            var dice = Dice(11)
            for round in 0..<count {
                var bytes = whole
                switch dice.below(4) {
                case 0: bytes[dice.below(bytes.count)] ^= 1 << UInt8(dice.below(8))
                case 1: bytes.removeLast(1 + dice.below(bytes.count - 1))
                case 2:
                    // Sections with right checksums, in another order, twice or missing.
                    var list = sections.list
                    let i = dice.below(list.count - 2)
                    switch dice.below(3) {
                    case 0: list.remove(at: i)
                    case 1: list.insert(list[i], at: dice.below(list.count))
                    default: list.swapAt(i, dice.below(list.count - 2))
                    }
                    bytes = sections.assembled(list)
                    if bytes == whole { continue }
                default:
                    // Other contents with right checksums.
                    var list = sections.list
                    let i = dice.below(list.count - 2)
                    guard !list[i].raw.isEmpty else { continue }
                    list[i].change(at: dice.below(min(32, list[i].raw.count)), UInt8(truncatingIfNeeded: dice.next()))
                    bytes = sections.assembled(list)
                    if bytes == whole { continue }
                }
                try Data(bytes).write(to: URL(fileURLWithPath: path))
                #expect(throws: MachineError.self, "round \(round)") { _ = try store.importMachine("new", from: path) { _, _ in true } }
                #expect(throws: MachineError.self, "round \(round)") { try store.importSnapshot("m", from: path, as: "two") { _, _ in true } }
            }
            #expect(try store.names() == ["m"] && store.snapshots("m").nodes.count == 1)
        }
    }
}

/// A file of sections, taken apart and put together again with right checksums.
struct SectionFile {
    struct Section {
        var kind: String
        var raw: [UInt8]
        var stored: [UInt8]
        mutating func change(at index: Int, _ byte: UInt8) {
            raw[index] = byte
            stored = raw.withUnsafeBytes { Zstd(level: 1).compress($0) ?? [] }
        }
    }
    let head: [UInt8]
    var list: [Section] = []

    init(_ bytes: [UInt8]) {
        head = bytes.part(0, 32)
        var at = 32
        let zstd = Zstd(level: 1)
        while at + 32 <= bytes.count {
            let kind = String(decoding: bytes.part(at, 4), as: UTF8.self), stored = Int(bytes.little(at + 8, 8)), raw = Int(bytes.little(at + 16, 8))
            let data = bytes.part(at + 32, stored)
            list.append(Section(kind: kind, raw: raw == 0 ? [] : zstd.decompress(data, count: raw) ?? [], stored: data))
            at += 32 + stored
        }
    }

    func assembled(_ sections: [Section]) -> [UInt8] {
        sections.reduce(into: head) { $0 += StateFormat.section($1.kind, stored: $1.stored.count, raw: $1.raw.count) + $1.stored }
    }
}
