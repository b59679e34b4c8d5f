import CannedMachine
import Panels
import Terminal
import Testing

@Suite("manager · snapshots compared, undone, as files") struct ManagerDifferenceTests {
    private func bench() throws -> ManagerBench {
        var bench = try ManagerBench(size: Size(width: 80, height: 24))
        bench.select("debian")
        bench.run(.snapshots)
        return bench
    }

    @Test("the selected snapshot is compared with what it came from; marked ones with each other; the present state with the last") func pairs() throws {
        var bench = try bench()
        bench.run(.diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "web server", to: nil))
        bench.run(.back, .listUp, .diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "updates", to: "web server"))
        bench.run(.back, .listFirst, .diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "installed", to: nil))
        bench.run(.back, .mark, .listDown, .diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "installed", to: "experiment"))
        bench.run(.back, .mark, .listLast, .diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "installed", to: "experiment"))
        // A third mark lets the first one go.
        bench.run(.back, .listUp, .mark, .diffSnapshot)
        #expect(bench.library.asked.last == .diffSnapshots("debian", from: "experiment", to: "web server"))
        bench.run(.back, .cancel)
        #expect(bench.model.snapshotsPanel?.marked == [])
    }

    @Test("the answer is a text that is scrolled and copied like a log, and back is the tree") func text() throws {
        var bench = try bench()
        bench.run(.diffSnapshot)
        #expect(bench.model.screen == .log && bench.screen.contains("What differs: debian") && bench.screen.contains("Memory: 1 GiB -> 2 GiB"))
        bench.run(.level)
        #expect(bench.screen.contains("Memory: 1 GiB -> 2 GiB"))
        bench.run(.copyText, .back)
        #expect(bench.model.screen == .snapshots)
        bench.run(.back)
        #expect(bench.model.screen == .machines)
    }

    @Test("a restore that kept nothing can be undone, and committed; the panel says so") func undo() throws {
        var bench = try bench()
        bench.run(.undoSnapshot)
        #expect(bench.bar.contains("nothing to undo"))
        bench.run(.listFirst, .restoreSnapshot)
        try bench.press("right", "ret")
        #expect(bench.bar.contains("u undoes it"))
        bench.run(.listLast)
        #expect(bench.screen.contains("restore of 'installed'"))
        bench.run(.undoSnapshot)
        #expect(bench.library.asked.contains(.undoSnapshot("debian")) && bench.bar.contains("as it was before"))
        bench.run(.listFirst, .deleteSnapshot)
        try bench.press("right", "right", "ret")
        #expect(bench.library.asked.contains(.deleteSnapshot("debian", name: "installed", canUndo: true)))
        bench.run(.commitSnapshot)
        #expect(bench.library.asked.contains(.commitSnapshots("debian")) && bench.model.snapshotsPanel?.list?.undoable == nil)
    }

    @Test("export and import ask for a file") func files() throws {
        var bench = try bench()
        bench.run(.listFirst, .exportSnapshot)
        try bench.press("ret")
        #expect(bench.library.asked.contains(.exportSnapshot("debian", name: "installed", path: "debian-installed.vsnap")))
        bench.run(.importSnapshot)
        bench.type("a.vsnap")
        try bench.press("ret")
        #expect(bench.library.asked.contains(.importSnapshot("debian", path: "a.vsnap")))
    }
}
