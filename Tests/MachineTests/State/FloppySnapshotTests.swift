import Foundation
import Hardware
import Testing

@testable import Machine

/// What is on the floppy in the drive belongs to a snapshot.
@Suite("snapshots · floppies", .serialized) struct FloppySnapshotTests {
    private func fill(_ path: String, _ byte: UInt8) throws {
        // In place, as a guest does it.
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        guard WholeFile.writeAll(descriptor, [UInt8](repeating: byte, count: 1440 << 10)) else { throw MachineError.failed("no floppy") }
    }

    /// A byte of the floppy that the machine has now, and whose image it is.
    private func present(_ store: MachineStore, _ name: String, _ image: String) throws -> String {
        let settings = try store.entry(name).checkedSettings()
        let path = try #require(settings.run.floppy)
        let byte = try SnapshotFloppy.contents(path, in: store.folder(of: name))?[1000] ?? 0
        return "\(byte), \(path == image ? "given" : "own")"
    }

    private func copies(_ store: MachineStore) -> Int { FolderWork.names(store.folder(of: "m") + "/snapshots").count { $0.hasSuffix("-floppy.img") } }

    @Test("a restore brings back what was on it and leaves the user's image alone; undo, export and clones have it too") func off() throws {
        try withTemporaryFolder { folder in
            let store = MachineStore(home: folder + "/home"), image = folder + "/a.img"
            var settings = MachineSettings()
            settings.run.floppy = image
            try fill(image, 1)
            try store.create("m", settings, disk: NewDisk(bytes: 8 << 20))
            try store.takeSnapshot("m", "one", description: "")
            // Nothing has changed: the image stays in the drive.
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try present(store, "m", image) == "1, given")
            _ = try store.commitSnapshots("m") { _, _ in true }
            try fill(image, 2)
            try store.takeSnapshot("m", "two", description: "")
            #expect(try store.difference("m", from: "one", to: "two").notes == ["What is on the floppy differs in 2880 sectors."])
            try store.restoreSnapshot("m", "one", keepingAs: nil)
            #expect(try present(store, "m", image) == "1, own")
            #expect(try SnapshotFloppy.contents(image, in: folder)?[1000] == 2)
            #expect(try store.undoSnapshots("m") { _, _ in true } == "restore of 'one'")
            #expect(try present(store, "m", image) == "2, given")
            #expect(copies(store) == 2)

            try store.exportSnapshot("m", "one", to: folder + "/one.vsnap") { _, _ in true }
            try fill(image, 3)
            _ = try store.importMachine("n", from: folder + "/one.vsnap") { _, _ in true }
            #expect(try present(store, "n", "floppy.img") == "1, given")
            try store.importSnapshot("m", from: folder + "/one.vsnap", as: "again") { _, _ in true }
            try store.restoreSnapshot("m", "again", keepingAs: "three")
            #expect(try present(store, "m", image) == "1, own")
            _ = try store.linkedClone("m", as: "c", of: "two")
            #expect(try present(store, "c", "floppy.img") == "2, given")
        }
    }

    @Test("a snapshot of a machine that runs has it as it was then", .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func live() throws {
        try withTemporaryFolder { home in
            let image = home + "/a.img"
            try fill(image, 1)
            let rig = try LiveRig(home, floppy: image), store = rig.store
            rig.run.start()
            rig.go()
            _ = try rig.work(.take(name: "one", description: ""))
            try fill(image, 2)
            rig.go()
            _ = try rig.work(.take(name: "two", description: ""))
            rig.perform(.powerOff)
            _ = rig.run.finish()
            try fill(image, 3)
            for (name, byte) in [("one", UInt8(1)), ("two", 2)] {
                try store.restoreSnapshot("m", name, keepingAs: nil)
                #expect(try present(store, "m", image) == "\(byte), own")
            }
            _ = try store.commitSnapshots("m") { _, _ in true }
            _ = try SnapshotWork(rig.folder, name: "m")
            #expect(try present(store, "m", image) == "2, own")
            #expect(copies(store) == 3)
            try store.deleteSnapshot("m", "one") { _, _ in true }
            try store.deleteSnapshot("m", "two") { _, _ in true }
            #expect(copies(store) == 1)
        }
    }

    @Test("a saved state does not go on with another floppy") func saved() throws {
        try withTemporaryFolder { folder in
            let image = folder + "/a.img"
            try fill(image, 1)
            var settings = RunSettings()
            settings.floppy = image
            let state = SavedState(folder: folder, disks: SavedState.watched(settings))
            try state.note()
            try state.check("m")
            try fill(image, 2)
            #expect(throws: MachineError.self) { try state.check("m") }
            settings.disposable = true
            #expect(SavedState.watched(settings) == [])
        }
    }
}
