import Foundation
import Hardware
import Testing

@testable import Machine

/// A machine that is brought back to a snapshot while somebody looks at it.
@Suite("snapshots · viewers", .serialized) struct ComesBackTests {
    private func wait(_ what: String, _ condition: () -> Bool) {
        let end = Date().addingTimeInterval(40)
        while !condition(), Date() < end { usleep(5000) }
        #expect(condition(), "\(what)")
    }

    @Test("a viewer stays when the machine comes back, and leaves when it does not", .enabled(if: BusyMachine.assembler != nil, "nasm is not installed"))
    func stays() throws {
        try withLiveRig { rig, store, _ in
            rig.go()
            _ = try rig.work(.take(name: "one", description: ""))
            let before = rig.run.session.machine.view().instructions
            rig.go(4_000_000)
            let socket = try #require(RunRecord.read(rig.folder)?.socket)
            let viewer = try RemoteMachine(path: socket, name: "m", readOnly: false)
            let client = try ControlClient(path: socket, name: "m")
            let ended = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                _ = rig.run.finish()
                ended.signal()
            }
            let second = Second()
            try DetachedStart.whileOff("m", client: client, keeps: true) { () throws(MachineError) in
                ended.wait()
                try store.restoreSnapshot("m", "one", keepingAs: nil)
            } start: { () throws(MachineError) in
                second.run = try StoredRun("m", in: store) { _ in }
                second.run?.start()
            }
            let run = try #require(second.run)
            wait("the viewer sees it run again") { viewer.view().state == .running && viewer.view().instructions > 0 }
            #expect(viewer.view().outcome == nil && !viewer.view().comesBack)
            #expect(viewer.view().instructions < before + 4_000_000)
            let paused = DispatchSemaphore(value: 0)
            viewer.perform(.pause) { error in
                #expect(error == nil)
                paused.signal()
            }
            paused.wait()
            wait("what it asks for is done") { run.session.machine.view().state == .paused }
            viewer.post(.powerOff)
            _ = run.finish()
            wait("the viewer hears of the last end") { viewer.view().outcome == .poweredOffByUser }
            viewer.leave()
        }
    }

    private final class Second: @unchecked Sendable { var run: StoredRun? }
}
