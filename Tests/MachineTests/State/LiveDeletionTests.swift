import CPU
import Foundation
import Hardware
import Testing

@testable import Machine

/// Snapshots that go while the guest writes to its disk.
@Suite("snapshots · deleted while the machine runs", .serialized) struct LiveDeletionTests {
    @Test(
        "every disk is as before, the guest goes on, and nothing is left of the work",
        .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func chain() throws {
        try withLiveRig { rig, store, _ in
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
        try withLiveRig { rig, store, _ in
            for name in ["one", "two"] {
                rig.go()
                _ = try rig.work(.take(name: name, description: ""))
            }
            rig.go()
            let two = try rig.contents(store.snapshots("m").find("two", of: "m").disks)
            let box = LiveRig.Answer(), done = DispatchSemaphore(value: 0)
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
