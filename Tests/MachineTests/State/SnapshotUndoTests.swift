import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("snapshots · undo until committed") struct SnapshotUndoTests {
    private func machine(_ folder: String) throws -> MachineStore {
        let store = MachineStore(home: folder)
        try store.create("m", MachineSettings(), disk: NewDisk(bytes: 8 << 20))
        for step in 1...3 {
            try write(store, UInt8(step))
            try store.edit("m") { $0.run.memoryMiB = 16 * step }
            try store.takeSnapshot("m", ["one", "two", "three"][step - 1], description: "")
        }
        try write(store, 9)
        return store
    }

    private func write(_ store: MachineStore, _ byte: UInt8) throws {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readWrite)
        let data = [UInt8](repeating: byte, count: 512)
        #expect(data.withUnsafeBytes { medium.write(sector: UInt64(byte), from: $0) && medium.write(sector: 0, from: $0) } && medium.flush())
    }

    private func digest(_ store: MachineStore) throws -> [UInt8] {
        let contents = try ImageRig.contents(try store.entry("m").runSettings().disks[0])
        return [contents[0], contents[512], contents[1024], contents[1536], contents[9 * 512]]
    }

    private func files(_ store: MachineStore) -> [String] { FolderWork.names(store.folder(of: "m") + "/snapshots").sorted() }

    @Test("a restore is undone: disk, settings and saved state are as before, and nothing is left of it") func restore() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder), before = try digest(store), names = files(store).count
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: store.folder(of: "m") + "/saved.state"))
            try SavedState(folder: store.folder(of: "m"), disks: store.entry("m").checkedSettings().run.disks).note()
            try store.edit("m") { $0.notes = "now" }
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try digest(store) == [1, 1, 0, 0, 0] && store.entry("m").state == .off)
            let tree = try store.snapshots("m")
            #expect(tree.undo?.words == "restore of 'one'" && tree.visible.nodes.map(\.name) == ["one", "two", "three"])
            #expect(throws: MachineError.self) { try tree.find("before 'one'", of: "m") }
            try write(store, 2)
            #expect(try store.undoSnapshots("m") { _, _ in true } == "restore of 'one'")
            #expect(try digest(store) == before && store.entry("m").checkedSettings().notes == "now")
            #expect(try store.entry("m").state == .saved)
            #expect(try store.snapshots("m").undo == nil && store.snapshots("m").nodes.count == 3)
            #expect(files(store).count == names)
            #expect(throws: MachineError.self) { _ = try store.undoSnapshots("m") { _, _ in true } }
        }
    }

    @Test("a commit, or the next restore, frees the room; then nothing can be undone") func commit() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder), names = files(store).count
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(files(store).count > names)
            #expect(try store.commitSnapshots("m") { _, _ in true })
            #expect(try !store.commitSnapshots("m") { _, _ in true })
            #expect(files(store).count == names)
            #expect(throws: MachineError.self) { _ = try store.undoSnapshots("m") { _, _ in true } }
            try store.restoreSnapshot("m", "two", keepingAs: nil)
            try store.restoreSnapshot("m", "three", keepingAs: nil)
            #expect(try store.snapshots("m").nodes.count == 4 && store.snapshots("m").undo?.name == "three")
            try store.restoreSnapshot("m", "one", keepingAs: "kept")
            #expect(try store.snapshots("m").nodes.map(\.name).sorted() == ["kept", "one", "three", "two"])
        }
    }

    @Test("a deletion is undone; until then the names are free and the tree is as if it had gone") func delete() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder), before = try digest(store)
            try store.deleteSnapshot("m", "two", canUndo: true) { _, _ in true }
            let tree = try store.snapshots("m").visible
            #expect(tree.nodes.map(\.name) == ["one", "three"] && tree.nodes[1].parent == tree.nodes[0].id)
            try store.takeSnapshot("m", "two", description: "another")
            #expect(try store.undoSnapshots("m") { _, _ in true } == "deletion of 'two'")
            #expect(try store.snapshots("m").nodes.map(\.name).sorted() == ["one", "three", "two", "two 2"])
            try store.restoreSnapshot("m", "two 2", keepingAs: "x")
            #expect(try digest(store) == [2, 1, 2, 0, 0])
            try store.restoreSnapshot("m", "two", keepingAs: "y")
            #expect(try digest(store) == before)
            try store.deleteSnapshot("m", "one", canUndo: true) { _, _ in true }
            #expect(try store.commitSnapshots("m") { _, _ in true })
            #expect(try digest(store) == before && !store.snapshots("m").nodes.contains { $0.name == "one" })
        }
    }

    @Test("what a crash has left between the steps is put right") func interrupted() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder), before = try digest(store), home = store.folder(of: "m")
            // The present state was hidden, and then the power went.
            var work = try SnapshotWork(home, name: "m")
            try work.take("before", description: "", isHidden: true)
            let again = try SnapshotWork(home, name: "m")
            #expect(again.notes.count == 1 && again.tree.nodes.count == 3, "\(again.notes)")
            #expect(try digest(store) == before)
        }
    }

    @Test("what a linked clone stands on is not merged away") func clones() throws {
        try withTemporaryFolder { folder in
            let store = try machine(folder)
            _ = try store.linkedClone("m", as: "clone", of: "two")
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "two") { _, _ in true } }
            // Its child's images would be merged into its own.
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "one") { _, _ in true } }
            #expect(throws: MachineError.self) { try store.deleteSnapshot("m", "two", canUndo: true) { _, _ in true } }
            try store.deleteSnapshot("m", "three") { _, _ in true }
        }
    }
}
