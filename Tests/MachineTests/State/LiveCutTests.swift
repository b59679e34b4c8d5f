import Foundation
import Hardware
import Testing

@testable import Machine

/// The power goes while snapshots are taken of a guest that writes, or deleted: the machine opens, its disk is sound, and every snapshot that was
/// reported has the disk and the memory that it had. `VITRINE_CUTS` as in `SnapshotCutTests`.
@Suite("snapshots · power cuts while the guest writes", .serialized) struct LiveCutTests {
    private struct Known: Equatable {
        var disk: [UInt8]
        var memory: [Int: [UInt8]]
    }

    private func known(_ rig: LiveRig, _ name: String) throws -> Known {
        let node = try rig.store.snapshots("m").find(name, of: "m")
        return Known(disk: try rig.contents(node.disks), memory: try LiveRig.memory(rig.folder + "/" + SnapshotTree.memoryPath(node.id)))
    }

    @Test("nothing that was reported is lost", .enabled(if: BusyMachine.assembler != nil, "nasm is not installed")) func cuts() throws {
        try withTemporaryFolder { home in
            let recorder = FileRecorder(), rig = try LiveRig(home, recorder: recorder), store = rig.store, snapshots = rig.folder + "/snapshots"
            var all: [String: Known] = [:]
            try FileRecorder.$current.withValue(recorder) {
                rig.run.start()
                for name in ["one", "two", "three"] {
                    rig.go()
                    _ = try rig.work(.take(name: name, description: ""))
                    recorder.note(.mark("+" + name))
                    all[name] = try known(rig, name)
                }
                rig.go()
                recorder.note(.mark("?two"))
                _ = try rig.work(.delete(name: "two"))
                recorder.note(.mark("-two"))
                rig.go()
                rig.perform(.powerOff)
                _ = rig.run.finish()
            }
            let cut = PowerCut(before: rig.before, steps: recorder.steps)
            var dice = Dice(11)
            let perStep = ProcessInfo.processInfo.environment["VITRINE_CUTS"].flatMap { Int($0) } ?? 0
            let ends = cut.turns
            #expect(ends.count > 60, "the machine's threads are recorded")
            let points =
                perStep > 0 ? ends.flatMap { [Int](repeating: $0 + 1, count: perStep) } : (0..<20).map { _ in ends[dice.below(ends.count)] + 1 }
            for point in points {
                var reported: Set<String> = []
                for step in cut.steps.prefix(point) {
                    guard case .mark(let mark) = step else { continue }
                    let name = String(mark.dropFirst())
                    // From the moment on at which its deletion is asked for it may be gone.
                    if mark.hasPrefix("+") { reported.insert(name) } else { reported.remove(name) }
                }
                let files = cut.after(point, &dice)
                try PowerCut.restore(files.filter { $0.key.hasPrefix(snapshots + "/") }, in: snapshots)
                for name in FolderWork.names(rig.folder) where !["snapshots", "Logs", MachineLock.fileName].contains(name) {
                    unlink(rig.folder + "/" + name)
                }
                for (path, bytes) in files where WholeFile.directory(of: path) == rig.folder && !path.hasSuffix("/" + MachineLock.fileName) {
                    try Data(bytes).write(to: URL(fileURLWithPath: path))
                }
                let what = "after step \(point) of \(cut.steps.count), \(cut.steps[point - 1])".prefix(200)
                do {
                    _ = try SnapshotWork(rig.folder, name: "m")
                    let names = try store.snapshots("m").visible.nodes.map(\.name)
                    #expect(reported.isSubset(of: names), "\(what): \(names), reported \(reported)")
                    for name in names where all[name] != nil {
                        let found = try known(rig, name)
                        // Not compared by the macro: it would print them.
                        let sectors = stride(from: 0, to: found.disk.count, by: 512).filter { at in
                            found.disk[at..<at + 512] != (all[name]?.disk ?? found.disk)[at..<at + 512]
                        }
                        #expect(sectors.isEmpty, "\(what): \(sectors.count) sectors of '\(name)', the first at \(sectors.first ?? 0)")
                        let isSame = found.memory == all[name]?.memory
                        #expect(isSame, "\(what): the memory of '\(name)'")
                    }
                    let disks = try store.entry("m").checkedSettings().run.disks
                    _ = try rig.contents(disks)
                    // What the guest was just writing, without having waited for it, may be half there.
                    _ = try DiskCheck.run(rig.folder + "/" + disks[0], repair: true)
                    let check = try DiskCheck.run(rig.folder + "/" + disks[0])
                    #expect(check.isSound, "\(what): the present disk: \(check.errors)")
                } catch {
                    Issue.record("\(what): \(error)")
                }
            }
        }
    }
}
