import Foundation
import Hardware
import Primitives
import Testing

@testable import Machine

/// Memory that two snapshots have in common is in one file.
@Suite("snapshots · shared memory", .serialized) struct SharedPagesTests {
    private func state(_ rig: LiveRig, _ name: String) throws -> String {
        rig.folder + "/" + SnapshotTree.memoryPath(try rig.store.snapshots("m").find(name, of: "m").id)
    }

    private func files(_ rig: LiveRig) -> [String] { FolderWork.names(rig.folder + "/snapshots").filter { $0.hasSuffix(".state") }.sorted() }

    @Test(
        "what the next snapshot has in common is not written again; each one has all of its memory, whichever is deleted",
        .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func chain() throws {
        try withLiveRig { rig, store, home in
            rig.go()
            let one = try rig.work(.take(name: "one", description: ""))
            rig.go()
            let two = try rig.work(.take(name: "two", description: ""))
            #expect(two.bytes < one.bytes)
            let (first, second) = (try state(rig, "one"), try state(rig, "two"))
            #expect(StateInfo.shared(first) == [] && StateInfo.shared(second) == ["snapshots/" + first.split(separator: "/").last!])
            #expect(try store.snapshots("m").version == SnapshotTree.sharingVersion)
            let (old, new) = (try LiveRig.memory(first), try LiveRig.memory(second))
            #expect(old != new && !new.isEmpty)

            // The machine as it stands, whole and as a snapshot.
            rig.perform(.pause)
            _ = try rig.work(.hold(home + "/whole"))
            _ = try rig.work(.take(name: "three", description: ""))
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(state(rig, "three")))

            _ = try rig.work(.delete(name: "one"))
            #expect(FileManager.default.fileExists(atPath: first))
            #expect(try LiveRig.memory(second) == new)
            _ = try rig.work(.delete(name: "two"))
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(state(rig, "three")))
            _ = try rig.work(.delete(name: "three"))
            #expect(files(rig) == [])

            // Nothing is known of files that have gone.
            _ = try rig.work(.take(name: "four", description: ""))
            #expect(try StateInfo.shared(state(rig, "four")) == [])
            rig.perform(.powerOff)
            _ = rig.run.finish()
        }
    }

    @Test(
        "many in a row stand on a few files only, and what was deleted goes with the last one that needs it",
        .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func many() throws {
        try withLiveRig { rig, store, home in
            for number in 1...12 {
                rig.go(50_000)
                _ = try rig.work(.take(name: "\(number)", description: ""))
                #expect(try StateInfo.shared(state(rig, "\(number)")).count < SharedPages.mostFiles)
            }
            rig.perform(.pause)
            _ = try rig.work(.hold(home + "/whole"))
            _ = try rig.work(.take(name: "last", description: ""))
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(state(rig, "last")))
            rig.perform(.powerOff)
            _ = rig.run.finish()
            for number in 1...12 { try store.deleteSnapshot("m", "\(number)") { _, _ in true } }
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(state(rig, "last")))
            #expect(try files(rig).count == 1 + StateInfo.shared(state(rig, "last")).count)

            // A saved state goes on needing the files of a snapshot that is deleted.
            try store.restoreSnapshot("m", "last", keepingAs: nil)
            _ = try store.commitSnapshots("m") { _, _ in true }
            try store.deleteSnapshot("m", "last") { _, _ in true }
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(rig.folder + "/" + SavedState.fileName))
            try store.takeSnapshot("m", "again", description: "")
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(state(rig, "again")))
            try store.deleteSnapshot("m", "again") { _, _ in true }
            #expect(try LiveRig.memory(home + "/whole") == LiveRig.memory(rig.folder + "/" + SavedState.fileName))
            SavedState.remove(from: rig.folder)
            _ = try SnapshotWork(rig.folder, name: "m")
            #expect(files(rig) == [])
        }
    }

    @Test("exported, it stands on nothing", .enabled(if: BusyMachine.assembler != nil, "nasm is not installed")) func exported() throws {
        try withLiveRig { rig, store, home in
            for name in ["one", "two"] {
                rig.go()
                _ = try rig.work(.take(name: name, description: ""))
            }
            rig.perform(.powerOff)
            _ = rig.run.finish()
            let difference = try store.difference("m", from: "one", to: "two")
            #expect(try difference.memory?.pagesAfter == UInt64(LiveRig.memory(state(rig, "two")).count))
            #expect((difference.memory?.pagesDiffering ?? 0) > 0)
            try store.exportSnapshot("m", "two", to: home + "/two.vsnap") { _, _ in true }
            #expect(FolderWork.names(home).filter { $0.hasPrefix("two") } == ["two.vsnap"])
            _ = try store.importMachine("n", from: home + "/two.vsnap") { _, _ in true }
            let imported = store.folder(of: "n") + "/" + SavedState.fileName
            #expect(StateInfo.shared(imported) == [])
            #expect(try LiveRig.memory(imported) == LiveRig.memory(state(rig, "two")))
        }
    }

    @Test("a file that is not the one, or has not all pages, is refused; so is a name that leads elsewhere") func hostile() throws {
        try withTemporaryFolder { folder in
            guard mkdir(folder + "/snapshots", 0o700) == 0 else { throw MachineError.failed("no folder") }
            func write(_ path: String, mark: UInt64?, pages: [Int], refs: [StateValue]) throws {
                var info = StateInfo()
                (info.arenaBytes, info.ramBytes, info.mark) = (1 << 20, 1 << 19, mark)
                let writer = try StateWriter(path, oldest: StateFormat.sharingVersion)
                try writer.begin(SavedMachine(board: .map([]), runner: .null, info: info))
                for page in pages { try writer.pages([page], ImageRig.noise(4096, UInt64(page + 1))) }
                for value in refs { try writer.section("REFS", value) }
                try writer.finish()
            }
            try write(folder + "/snapshots/base.state", mark: 7, pages: [1, 2, 3, 9], refs: [])
            let good = SharedPages(file: "base.state", mark: 7, pages: [2, 3, 9])
            #expect(good.ranges == [2, 2, 9, 1] && good.count == 3)
            try write(folder + "/a", mark: 1, pages: [1], refs: [good.value])
            #expect(try LiveRig.memory(folder + "/a").keys.sorted() == [1, 2, 3, 9])
            func raw(_ file: String, _ mark: UInt64, _ ranges: [UInt32]) -> StateValue {
                .map([.init("file", .text(file)), .init("mark", .unsigned(mark)), .init("pages", .words32(ranges))])
            }
            let bad = [
                raw("base.state", 8, [2, 1]), raw("base.state", 7, [2, 3]), raw("base.state", 7, [3, 1, 2, 1]), raw("base.state", 7, [2]),
                raw("base.state", 7, [2, 0]), raw("base.state", 7, [.max, .max]), raw("../a.state", 7, [2, 1]), raw(".state", 7, [2, 1]),
                raw("none.state", 7, [2, 1]), raw("snapshots/base.state", 7, [2, 1]), .null, .map([]), raw("base.state", 7, [0, .max]),
            ]
            for value in bad {
                try write(folder + "/b", mark: 1, pages: [], refs: [value])
                #expect(throws: MachineError.self, "\(value)") { try LiveRig.memory(folder + "/b") }
            }
        }
    }

    @Test("a page's number is another one after any change of one byte") func hash() {
        var page = ImageRig.noise(4096, 5)
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { storage.deallocate() }
        func number() -> PageHash {
            storage.copyBytes(from: page)
            return PageHash(UnsafeRawBufferPointer(storage))
        }
        let before = number()
        #expect(before == number())
        for at in 0..<4096 {
            page[at] ^= 1 << UInt8(at % 8)
            #expect(number() != before, "byte \(at)")
            page[at] ^= 1 << UInt8(at % 8)
        }
        #expect(number() == before)
    }

    @Test("a file of version 2, which stands on another one, is read in this version") func golden() throws {
        let path = BusyMachine.fixtures.appendingPathComponent("version-2.state").path
        #expect(StateInfo.shared(path) == ["snapshots/version-2-base.state"])
        let whole = try LiveRig.memory(BusyMachine.fixtures.appendingPathComponent("version-1.state").path)
        #expect(try LiveRig.memory(path) == whole)
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            let settings = BusyMachine.settings(folder, cpus: 2)
            let result = try BusyMachine.run(settings, "restore \(path)\nwait-instructions 900000\nsave \(folder)/on\nstop\n", in: folder)
            #expect(result.status == 0, "\(result.said)")
            #expect(try StateInfo.read(folder + "/on").instructions == 900_000)
        }
    }
}
