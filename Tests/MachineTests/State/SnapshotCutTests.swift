import Foundation
import Hardware
import Testing

@testable import Machine

/// The power goes at any moment of a work on snapshots: the machine opens, its disk is as before or as after, and no snapshot that was reported
/// is lost. `VITRINE_CUTS` is how many cuts are made behind every step; without it, or with 0, some steps are tried once.
@Suite("snapshots · power cuts", .serialized) struct SnapshotCutTests {
    private struct Rig {
        let store: MachineStore
        var home: String { store.folder(of: "m") }
        var snapshots: String { home + "/snapshots" }
        let elsewhere: String

        /// - Parameter isElsewhere: the disk does not lie in the machine's folder.
        init(_ folder: String, isElsewhere: Bool) throws {
            store = MachineStore(home: folder + "/machines")
            elsewhere = folder + "/elsewhere"
            guard mkdir(elsewhere, 0o700) == 0 else { throw MachineError.failed("no folder") }
            var settings = MachineSettings()
            if isElsewhere {
                settings.run.disks = [elsewhere + "/disk.qcow2"]
                try NewImage.make(settings.run.disks[0], bytes: 1 << 20, format: .qcow2)
            }
            try store.create("m", settings, disk: isElsewhere ? nil : NewDisk(bytes: 1 << 20, format: .qcow2))
        }

        func write(_ byte: UInt8) throws {
            let image = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readWrite)
            let data = [UInt8](repeating: byte, count: 4096)
            #expect(data.withUnsafeBytes { image.write(sector: UInt64(byte) * 200, from: $0) && image.write(sector: 0, from: $0) } && image.flush())
        }

        func contents(_ disks: [String]) throws -> [UInt8] {
            let all = try ImageRig.contents(disks[0].hasPrefix("/") ? disks[0] : home + "/" + disks[0])
            return stride(from: 0, to: all.count, by: 200 * 512).map { all[$0] }
        }

        func files() -> [String: [UInt8]] {
            [home, snapshots, elsewhere].map(PowerCut.contents).reduce([:]) { $0.merging($1) { $1 } }
                .filter { !$0.key.hasSuffix("/" + MachineLock.fileName) }
        }

        func restore(_ files: [String: [UInt8]]) throws {
            for folder in [snapshots, elsewhere] { try PowerCut.restore(files.filter { $0.key.hasPrefix(folder + "/") }, in: folder) }
            for name in FolderWork.names(home) where name != "snapshots" && name != MachineLock.fileName { unlink(home + "/" + name) }
            for (path, bytes) in files where WholeFile.directory(of: path) == home { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
        }

        func bytes(_ path: String) -> [UInt8]? { FileManager.default.contents(atPath: home + "/" + path).map(Array.init) }

        func moment() throws -> Moment {
            var found = Moment(
                present: try contents(store.entry("m").checkedSettings().run.disks), saved: bytes(SavedState.fileName), snapshots: [:])
            for node in try store.snapshots("m").visible.nodes {
                found.snapshots[node.name] = try contents(node.disks) + (bytes(SnapshotTree.memoryPath(node.id)) ?? [])
            }
            return found
        }

        /// A state file that is small.
        func save() throws {
            var info = StateInfo()
            (info.arenaBytes, info.ramBytes) = (1 << 20, 1 << 19)
            let writer = try StateWriter(home + "/" + SavedState.fileName)
            try writer.begin(SavedMachine(board: .map([]), runner: .null, info: info))
            for page in 0..<20 { try writer.pages([page], ImageRig.noise(4096, UInt64(page + 1))) }
            try writer.finish()
            try SavedState(folder: home, disks: try store.entry("m").checkedSettings().run.disks).note()
        }
    }

    /// What is true when a work has been reported.
    private struct Moment {
        var present: [UInt8]
        var saved: [UInt8]?
        /// What is on the disks, and the memory.
        var snapshots: [String: [UInt8]]
    }

    @Test("taken, restored, undone, deleted, saved", arguments: [false, true]) func cuts(isElsewhere: Bool) throws {
        try withTemporaryFolder { folder in
            let rig = try Rig(folder, isElsewhere: isElsewhere), store = rig.store
            try rig.write(1)
            try store.takeSnapshot("m", "one", description: "")
            try rig.write(2)
            try store.takeSnapshot("m", "two", description: "")
            try rig.write(3)
            let before = rig.files(), recorder = FileRecorder()
            var moments = [try rig.moment()]
            let works: [() throws -> Void] = [
                { try rig.save() }, { try store.takeSnapshot("m", "three", description: "") },
                { try store.restoreSnapshot("m", "one", keepingAs: nil) }, { _ = try store.undoSnapshots("m") { _, _ in true } },
                { try store.restoreSnapshot("m", "two", keepingAs: "kept") }, { try store.deleteSnapshot("m", "kept") { _, _ in true } },
                { try store.deleteSnapshot("m", "one") { _, _ in true } },
            ]
            for work in works {
                try FileRecorder.$current.withValue(recorder) {
                    try work()
                    recorder.note(.mark("reported"))
                }
                moments.append(try rig.moment())
            }
            let cut = PowerCut(before: before, steps: recorder.steps)
            var dice = Dice(5)
            let perStep = ProcessInfo.processInfo.environment["VITRINE_CUTS"].flatMap { Int($0) } ?? 0
            let ends = cut.turns
            let points =
                perStep > 0
                ? (0...cut.steps.count).flatMap { [Int](repeating: $0, count: perStep) } : (0..<12).map { _ in ends[dice.below(ends.count)] + 1 }
            for point in points {
                let files = cut.after(point, &dice)
                try rig.restore(files)
                let reported = cut.steps.prefix(point).filter { $0 == .mark("reported") }.count
                let allowed = moments[reported...min(reported + 1, works.count)]
                // What a start does first, and every other time the power goes in the middle of it.
                do {
                    let recovery = FileRecorder()
                    _ = try FileRecorder.$current.withValue(recovery) { try SnapshotWork(rig.home, name: "m") }
                    if dice.below(2) == 0 {
                        try rig.restore(PowerCut(before: files, steps: recovery.steps).after(dice.below(recovery.steps.count + 1), &dice))
                        _ = try SnapshotWork(rig.home, name: "m")
                    }
                } catch {
                    Issue.record("after step \(point) of \(cut.steps.count), work \(reported): \(error)")
                    continue
                }
                let found: Moment
                do {
                    found = try rig.moment()
                } catch {
                    let around = cut.steps[max(0, point - 12)..<min(cut.steps.count, point + 2)].map { "\($0)".prefix(150) }
                    Issue.record("after step \(point) of \(cut.steps.count), work \(reported): \(error)\n\(around.joined(separator: "\n"))")
                    continue
                }
                #expect(
                    allowed.contains { $0.present == found.present && $0.saved == found.saved },
                    "step \(point), work \(reported): \(found.present), saved \(found.saved != nil), not one of \(allowed.map(\.present))")
                for (name, contents) in found.snapshots {
                    #expect(allowed.contains { $0.snapshots[name] == contents }, "step \(point), work \(reported): '\(name)' has \(contents.prefix(20))")
                }
                for name in moments[reported].snapshots.keys where found.snapshots[name] == nil {
                    #expect(allowed.contains { $0.snapshots[name] == nil }, "step \(point), work \(reported): '\(name)' is lost")
                }
                let tree = try store.snapshots("m"), disks = try store.entry("m").checkedSettings().run.disks
                #expect(tree.pending == nil)
                let stray = FolderWork.names(rig.snapshots).map { SnapshotTree.folderName + "/" + $0 }.filter { path in
                    !tree.files.contains(path) && !disks.contains { $0.hasSuffix(path) }
                }
                #expect(stray.isEmpty, "step \(point), work \(reported)")
            }
        }
    }
}
