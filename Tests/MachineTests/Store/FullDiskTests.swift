import Foundation
import Testing

@testable import Machine

/// A home on a file system of 1 MiB, for those who may mount one.
private final class SmallDisk {
    static let reason = "only root with leave to mount can make a small file system"
    static let isPossible: Bool = {
        guard getuid() == 0, let disk = try? SmallDisk() else { return false }
        return disk.isMounted
    }()
    let path: String
    let isMounted: Bool

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-small-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        isMounted = mount("tmpfs", path, "tmpfs", 0, "size=1m,mode=700") == 0
    }

    deinit {
        // MNT_DETACH: a descriptor that a failed test left open does not keep it.
        if isMounted { umount2(path, 2) }
        rmdir(path)
    }

    /// Takes all the room that is left.
    func fill() throws {
        let descriptor = open(path + "/filler", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { close(descriptor) }
        let zeros = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, zeros, zeros.count) > 0 {}
    }

    func clear() { unlink(path + "/filler") }
}

@Suite("store · a full disk", .serialized, .enabled(if: SmallDisk.isPossible, Comment(rawValue: SmallDisk.reason)))
struct FullDiskTests {
    /// Every file of the home and what is in it.
    private func contents(_ home: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for case let name as String in FileManager.default.enumerator(atPath: home) ?? .init() where !name.hasPrefix("filler") {
            files[name] = FileManager.default.contents(atPath: home + "/" + name) ?? Data()
        }
        return files
    }

    @Test("no save on a full disk loses what was there") func full() throws {
        let disk = try SmallDisk()
        let store = MachineStore(home: disk.path)
        var settings = MachineSettings()
        settings.notes = "old"
        let folder = try store.create("a", settings).folder
        try Data([UInt8](repeating: 7, count: 300_000)).write(to: URL(fileURLWithPath: folder + "/disk.img"))
        try store.edit("a") { $0.run.disks = ["disk.img"] }
        try RunRecord.current(socket: "s").write(in: folder)
        try disk.fill()
        let before = try contents(disk.path)
        #expect(before.count == 5)
        let long = String(repeating: "x", count: 200_000)
        let works: [(String, () throws -> Void)] = [
            ("create", { try store.create("b", MachineSettings(), disk: NewDisk(bytes: 4 << 20)) }),
            ("create fixed", { try store.create("b", MachineSettings(), disk: NewDisk(bytes: 4 << 20, format: .fixed)) }),
            ("clone", { try store.clone("a", as: "b") }), ("edit", { try store.edit("a") { $0.notes = long } }),
            ("record", { try RunRecord.current(socket: long).write(in: folder) }),
            ("disk", { try NewImage.make(folder + "/new.vdi", bytes: 4 << 20, format: .fixed) }),
        ]
        for (name, work) in works {
            do {
                try work()
                Issue.record("\(name) had room")
            } catch let error as MachineError {
                #expect(error.description.contains("no space left"), "\(name): \(error)")
                #expect(error.kind == .failed)
            }
            #expect(try contents(disk.path) == before, "\(name)")
        }
        disk.clear()
        #expect(try store.edit("a") { $0.notes = "new" }.count == 1)
        try store.rename("a", to: "b")
        #expect(try store.entry("b").checkedSettings().notes == "new")
    }

    @Test("a full disk does not keep a machine from being deleted") func delete() throws {
        let disk = try SmallDisk()
        let store = MachineStore(home: disk.path)
        try store.create("a", MachineSettings())
        try disk.fill()
        try store.delete("a")
        #expect(FolderWork.names(disk.path) == ["filler"])
    }

    @Test("a home that can only be read can be read, and nothing in it changes") func readOnly() throws {
        let disk = try SmallDisk()
        let store = MachineStore(home: disk.path)
        let folder = try store.create("a", MachineSettings()).folder
        let before = try contents(disk.path)
        // MS_REMOUNT | MS_RDONLY
        try #require(mount("tmpfs", disk.path, "tmpfs", 33, "size=1m") == 0)
        #expect(try store.list().map(\.state) == [.off])
        let works: [() throws -> Void] = [
            { try store.create("b", MachineSettings()) }, { try store.clone("a", as: "b") }, { try store.edit("a") { $0.notes = "n" } },
            { try store.rename("a", to: "b") }, { try store.delete("a") }, { try RunRecord.current(socket: "").write(in: folder) },
        ]
        for work in works { #expect(throws: MachineError.self) { try work() } }
        #expect(try contents(disk.path) == before)
        #expect(try store.edit("a", dryRun: true) { $0.notes = "n" }.count == 1)
    }
}
