import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("snapshots · of a machine that is off") struct SnapshotTests {
    private func write(_ store: MachineStore, _ sector: UInt64, _ byte: UInt8) throws {
        let path = try store.entry("m").runSettings().disks[0]
        let medium = try DiskImage.open(path: path, access: .readWrite)
        let data = [UInt8](repeating: byte, count: 512)
        #expect(data.withUnsafeBytes { medium.write(sector: sector, from: $0) } && medium.flush())
    }

    private func read(_ store: MachineStore, _ sectors: [UInt64]) throws -> [UInt8] {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readOnly)
        return try sectors.map { sector in
            var data = [UInt8](repeating: 0xEE, count: 512)
            try #require(data.withUnsafeMutableBytes { medium.read(sector: sector, into: $0) })
            return data[0]
        }
    }

    private func machine(_ folder: String, _ format: NewDisk.Format) throws -> MachineStore {
        let store = MachineStore(home: folder)
        try store.create("m", MachineSettings(), disk: NewDisk(bytes: 8 << 20, format: format))
        return store
    }

    @Test(
        "each snapshot has the disk and the settings of its time, and deleting one in the middle changes no other",
        arguments: [NewDisk.Format.dynamic, .raw])
    func chain(format: NewDisk.Format) throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, format)
            for (step, name) in ["one", "two", "three"].enumerated() {
                try write(store, 0, UInt8(step + 1))
                try write(store, UInt64(step + 10), UInt8(step + 101))
                try store.edit("m") { $0.run.memoryMiB = 16 * (step + 1) }
                try store.takeSnapshot("m", name, description: "")
            }
            try write(store, 0, 9)
            #expect(try read(store, [0, 10, 11, 12]) == [9, 101, 102, 103])
            try store.deleteSnapshot("m", "two") { _, _ in true }
            #expect(try read(store, [0, 10, 11, 12]) == [9, 101, 102, 103])
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try read(store, [0, 10, 11, 12]) == [1, 101, 0, 0])
            #expect(try store.entry("m").checkedSettings().run.memoryMiB == 16)
            try store.restoreSnapshot("m", "three", keepingAs: "before three")
            #expect(try read(store, [0, 10, 11, 12]) == [3, 101, 102, 103])
            #expect(try store.entry("m").checkedSettings().run.memoryMiB == 48)
            #expect(try store.snapshots("m").nodes.map(\.name).sorted() == ["before three", "one", "three"])
            // "one" has two branches on it.
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "one") { _, _ in true } }
            try store.deleteSnapshot("m", "before three") { _, _ in true }
            try store.deleteSnapshot("m", "one") { _, _ in true }
            try store.deleteSnapshot("m", "three") { _, _ in true }
            #expect(try read(store, [0, 10, 11, 12]) == [3, 101, 102, 103])
            #expect(try store.entry("m").checkedSettings().run.disks == [format == .raw ? "disk.img" : "disk.vdi"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder(of: "m") + "/snapshots") == ["tree.json"])
        }
    }

    @Test("a machine that died is off once a snapshot of when it was off is restored") func afterDeath() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try store.takeSnapshot("m", "one", description: "")
            try RunRecord.current(socket: "").write(in: store.folder(of: "m"))
            #expect(try store.entry("m").state == .aborted)
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try store.entry("m").state == .off)
        }
    }

    @Test("work that was decided is finished, whatever of it had been done; work that was not leaves nothing")
    func interrupted() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try write(store, 0, 1)
            try store.takeSnapshot("m", "one", description: "")
            try write(store, 0, 2)
            let home = store.folder(of: "m"), toml = home + "/machine.toml"
            // A restore that got as far as the tree.
            let before = try String(contentsOfFile: toml, encoding: .utf8)
            try store.restoreSnapshot("m", "one", keepingAs: "two")
            var tree = try store.snapshots("m")
            tree.pending = .init(work: "restore", settings: try String(contentsOfFile: toml, encoding: .utf8), memoryOf: "")
            try tree.write(home)
            try before.write(toFile: toml, atomically: true, encoding: .utf8)
            // And a new image that nobody names.
            try Data([1]).write(to: URL(fileURLWithPath: home + "/snapshots/stray-1.vdi"))
            let work = try SnapshotWork(home, name: "m")
            #expect(work.notes.count == 2 && work.tree.pending == nil, "\(work.notes)")
            #expect(try read(store, [0]) == [1])
            #expect(!FileManager.default.fileExists(atPath: home + "/snapshots/stray-1.vdi"))
            try store.restoreSnapshot("m", "two", keepingAs: nil)
            #expect(try read(store, [0]) == [2])
        }
    }

    @Test("nothing is removed that may still be needed: disks of a machine whose file is broken, files of a merge that is not over")
    func kept() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try write(store, 0, 1)
            try store.takeSnapshot("m", "one", description: "")
            try write(store, 0, 2)
            let home = store.folder(of: "m"), toml = home + "/machine.toml"
            let before = try String(contentsOfFile: toml, encoding: .utf8), names = FolderWork.names(home + "/snapshots").sorted()
            try "disks = [".write(toFile: toml, atomically: true, encoding: .utf8)
            #expect(try SnapshotWork(home, name: "m").notes.isEmpty)
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "one") { _, _ in true } }
            #expect(FolderWork.names(home + "/snapshots").sorted() == names)
            try before.write(toFile: toml, atomically: true, encoding: .utf8)
            #expect(try read(store, [0]) == [2])
            for name in ["x.vdi.merge", "x.vdi.undo", "y.vdi.undo"] { try Data([1]).write(to: URL(fileURLWithPath: home + "/snapshots/" + name)) }
            #expect(try SnapshotWork(home, name: "m").notes.count == 2)
            #expect(FolderWork.names(home + "/snapshots").sorted() == (names + ["x.vdi.merge", "x.vdi.undo"]).sorted())
        }
    }

    @Test("a deletion is not given up while a merge of it is not over") func unfinished() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try write(store, 0, 1)
            try store.takeSnapshot("m", "one", description: "")
            try write(store, 0, 2)
            let home = store.folder(of: "m"), node = try store.snapshots("m").nodes[0]
            var tree = try store.snapshots("m")
            tree.pending = .init(work: "delete", merging: node.id)
            try tree.write(home)
            let journal = home + "/" + node.disks[0] + MergeJournal.suffix
            try Data([1]).write(to: URL(fileURLWithPath: journal))
            #expect(throws: MachineError.self) { try SnapshotWork(home, name: "m") }
            #expect(try store.snapshots("m").pending?.merging == node.id)
            unlink(journal)
            #expect(try SnapshotWork(home, name: "m").notes.count == 1)
            #expect(try read(store, [0]) == [2])
        }
    }

    @Test("cancelling a deletion leaves everything as it was") func cancelled() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try write(store, 0, 1)
            try store.takeSnapshot("m", "one", description: "")
            try write(store, 0, 2)
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "one") { _, _ in false } }
            #expect(try read(store, [0]) == [2])
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try read(store, [0]) == [1])
        }
    }

    @Test("a tree that contradicts itself is refused") func damaged() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder, .dynamic)
            try store.takeSnapshot("m", "one", description: "")
            let path = store.folder(of: "m") + "/snapshots/tree.json"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let id = try store.snapshots("m").nodes[0].id
            let newer = text.replacing("\"version\":1", with: "\"version\":9")
            let loop = text.replacing("\"name\":\"one\"", with: "\"name\":\"one\",\"parent\":\"\(id)\"")
            for bad in ["", "{", newer, loop] {
                try bad.write(toFile: path, atomically: true, encoding: .utf8)
                #expect(throws: MachineError.self) { try store.snapshots("m") }
            }
        }
    }
}
