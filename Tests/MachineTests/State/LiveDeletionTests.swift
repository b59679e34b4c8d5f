import CPU
import Foundation
import Hardware
import Testing

@testable import Machine

/// Snapshots that go while the guest writes to its disk.
@Suite("snapshots · deleted while the machine runs", .serialized) struct LiveDeletionTests {
    private struct Rig {
        let store: MachineStore
        let run: StoredRun
        var folder: String { store.folder(of: "m") }

        init(_ home: String) throws {
            try BusyMachine.prepare(home)
            store = MachineStore(home: home + "/home")
            var settings = MachineSettings()
            settings.run = BusyMachine.settings(home, cpus: 1)
            settings.run.disposable = false
            settings.run.clock = .host
            settings.run.headless = false
            settings.run.disks = []
            try store.create("m", settings, disk: NewDisk(bytes: 1 << 20))
            let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: home + "/disk.img")))
            try Rig.fill(store.folder(of: "m") + "/disk.vdi", bytes)
            run = try StoredRun("m", in: store) { _ in }
        }

        private static func fill(_ path: String, _ bytes: [UInt8]) throws {
            let image = try DiskImage.open(path: path, access: .readWrite)
            #expect(bytes.withUnsafeBytes { image.write(sector: 0, from: $0) } && image.flush())
        }

        func work(_ work: SnapshotJob.Work) throws -> SnapshotJob.Facts {
            let box = Box(), done = DispatchSemaphore(value: 0)
            let job = SnapshotJob(work, progress: { _, _ in }) { result in
                box.result = result
                done.signal()
            }
            job.start(run.session.machine)
            done.wait()
            return try #require(box.result).get()
        }

        /// Lets the guest do something.
        func go(_ instructions: UInt64 = 400_000) {
            let goal = run.session.machine.view().instructions + instructions
            while run.session.machine.view().instructions < goal, run.session.machine.view().outcome == nil { usleep(1000) }
        }

        func perform(_ command: MachineCommand) {
            let done = DispatchSemaphore(value: 0)
            run.session.machine.perform(command) { _ in done.signal() }
            done.wait()
        }

        func contents(_ disks: [String], held: Bool = false) throws -> [UInt8] {
            try #require(ImageRig.contents(try DiskChain.reading(folder + "/" + disks[0], held: held)))
        }

        /// Of a machine that is paused.
        func present() throws -> [UInt8] {
            _ = try work(.hold(folder + "/look"))
            return try contents(store.entry("m").checkedSettings().run.disks, held: true)
        }
    }
    private final class Box: @unchecked Sendable { var result: SnapshotJob.Result? }

    @Test(
        "every disk is as before, the guest goes on, and nothing is left of the work",
        .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func chain() throws {
        try withTemporaryFolder { home in
            let rig = try Rig(home), store = rig.store
            rig.run.start()
            for name in ["one", "two", "three"] {
                rig.go()
                _ = try rig.work(.take(name: name, description: ""))
            }
            rig.go()
            let three = try rig.contents(store.snapshots("m").find("three", of: "m").disks)
            let two = try rig.contents(store.snapshots("m").find("two", of: "m").disks)
            #expect(three != two)

            // A frozen one into a frozen one.
            _ = try rig.work(.delete(name: "two"))
            #expect(try store.snapshots("m").nodes.map(\.name) == ["one", "three"])
            #expect(try rig.contents(store.snapshots("m").find("three", of: "m").disks) == three)
            // What the guest writes into a frozen one.
            rig.go()
            _ = try rig.work(.delete(name: "three"))
            rig.go()
            #expect(try store.snapshots("m").nodes.map(\.name) == ["one"])
            _ = try rig.work(.delete(name: "one"))
            rig.go()
            #expect(try store.snapshots("m").nodes.isEmpty && store.entry("m").checkedSettings().run.disks == ["disk.vdi"])
            #expect(FolderWork.names(rig.folder + "/snapshots") == ["tree.json"])

            // Paused, so that the present can be compared.
            _ = try rig.work(.take(name: "last", description: ""))
            rig.go()
            rig.perform(.pause)
            let before = try rig.present()
            rig.perform(.powerOff)
            _ = rig.run.finish()
            #expect(try rig.contents(["disk.vdi"]) != before)
            let disks = try store.entry("m").checkedSettings().run.disks
            #expect(try rig.contents(disks) == before)
            #expect(try DiskCheck.run(rig.folder + "/disk.vdi").isSound && DiskCheck.run(rig.folder + "/" + disks[0]).isSound)
        }
    }

    @Test(
        "called off in the middle, or by the machine's end, everything is as before",
        .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func calledOff() throws {
        try withTemporaryFolder { home in
            let rig = try Rig(home), store = rig.store
            rig.run.start()
            for name in ["one", "two"] {
                rig.go()
                _ = try rig.work(.take(name: name, description: ""))
            }
            rig.go()
            let two = try rig.contents(store.snapshots("m").find("two", of: "m").disks)
            let box = Box(), done = DispatchSemaphore(value: 0)
            let job = SnapshotJob(.delete(name: "one"), progress: { _, _ in }) { result in
                box.result = result
                done.signal()
            }
            job.cancel()
            job.start(rig.run.session.machine)
            done.wait()
            #expect(throws: MachineError.self) { _ = try box.result?.get() }
            #expect(try store.snapshots("m").visible.nodes.map(\.name) == ["one", "two"])
            #expect(try store.snapshots("m").pending == nil && rig.contents(store.snapshots("m").find("two", of: "m").disks) == two)
            rig.go()
            // The end comes while it is under way, or just after.
            let other = SnapshotJob(.delete(name: "one"), progress: { _, _ in }) { _ in done.signal() }
            other.start(rig.run.session.machine)
            rig.run.session.machine.post(.powerOff)
            done.wait()
            _ = rig.run.finish()
            // The next work puts right what was left.
            try store.takeSnapshot("m", "probe", description: "")
            #expect(try rig.contents(store.snapshots("m").find("two", of: "m").disks) == two)
            #expect(try !store.snapshots("m").nodes.contains(where: \.isHidden))
        }
    }
}
