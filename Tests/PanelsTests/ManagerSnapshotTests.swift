import CannedMachine
import Foundation
import Machine
import Panels
import Terminal
import Testing

@Suite("manager · saved state and snapshots") struct ManagerSnapshotTests {
    private func bench(_ name: String = "debian", size: Size = Size(width: 80, height: 24)) throws -> ManagerBench {
        var bench = try ManagerBench(size: size)
        bench.select(name)
        return bench
    }

    private func state(_ bench: ManagerBench, _ name: String) -> MachineRow.State? { bench.library.rows().first { $0.name == name }?.state }

    /// The lines of the tree: what stands under Name.
    private func tree(_ bench: ManagerBench) -> [String] {
        let rows = bench.screen.split(separator: "\n").map { Array($0) }
        return rows.dropFirst(3).prefix { $0.first == "│" || $0.first == "║" }.map { row in
            String(row[2..<40]).split(separator: "  ", omittingEmptySubsequences: false).first.map { String($0) } ?? ""
        }.filter { !$0.isEmpty }
    }

    @Test("a running or paused machine's state is saved; Enter goes on with it; nothing else is") func saved() throws {
        var bench = try bench("buildbox")
        bench.run(.saveState)
        #expect(bench.library.asked.last == .saveState("buildbox") && state(bench, "buildbox") == .saved)
        #expect(bench.bar.contains("The state of buildbox is saved. Enter goes on with it."))
        bench.run(.open)
        #expect(bench.library.asked.last == .start(["buildbox"]) && bench.model.screen == .console)
        let asked = bench.library.asked
        bench.run(.machines)
        bench.select("debian", .saveState)
        #expect(bench.library.asked == asked && bench.bar.contains("debian: not running"))
    }

    @Test("a console's command saves the machine in view, whatever is marked, and leaves it") func console() throws {
        var bench = try bench("buildbox")
        bench.run(.mark)
        bench.select("DOS games", .open)
        try bench.press("C-]", "Z")
        #expect(bench.library.asked.last == .saveState("DOS games"))
        #expect(bench.model.screen == .machines && state(bench, "buildbox") == .paused)
    }

    @Test("discarding a saved state asks, and keeps it unless told otherwise") func discard() throws {
        var bench = try bench("buildbox")
        bench.run(.saveState, .discardState)
        try bench.press("ret")
        #expect(state(bench, "buildbox") == .saved)
        bench.run(.discardState)
        try bench.press("right", "ret")
        #expect(bench.library.asked.last == .discardState(["buildbox"]) && state(bench, "buildbox") == .off)
        bench.run(.discardState)
        #expect(bench.bar.contains("no saved state"))
    }

    @Test("quitting offers to save the state, and waits for it") func quit() throws {
        var bench = try bench()
        bench.run(.quit)
        try bench.press("right", "ret")
        #expect(bench.finished)
        #expect(bench.library.asked.filter { [.saveState("DOS games"), .saveState("buildbox")].contains($0) }.count == 2)
    }

    @Test("every button of a question is in the narrowest terminal too") func narrow() throws {
        var bench = try bench(size: Size(width: 64, height: 16))
        bench.run(.quit)
        for title in ["Keep running", "Save state", "ACPI off", "Power off", "Cancel"] { #expect(bench.screen.contains(title), "\(bench.screen)") }
        let rows = bench.screen.split(separator: "\n").map { Array($0) }
        let row = try #require(rows.firstIndex { String($0).contains("Cancel") })
        let column = try #require(String(rows[row]).range(of: "Cancel")).lowerBound.utf16Offset(in: String(rows[row]))
        bench.mouse(.press, column: column, row: row)
        #expect(bench.model.overlay == nil && !bench.finished)
    }

    @Test("the tree: branches are indented, the way to the present state goes straight down and comes last") func lines() throws {
        var bench = try bench()
        bench.run(.snapshots)
        #expect(
            tree(bench) == [
                "○ installed", "├─● experiment", "│ ● experiment, second try", "○ updates", "● web server", "■ Present state",
            ], "\(bench.screen)")
        #expect(bench.screen.contains("12 MiB on the disks"))
        bench.run(.listUp)
        #expect(bench.screen.contains("debian login: root"))
    }

    @Test("a snapshot is taken with a name and a description, and is selected then") func take() throws {
        var bench = try bench()
        bench.run(.takeSnapshot)
        for _ in 0..<20 { try bench.press("bs") }
        bench.type("before")
        try bench.press("tab")
        bench.type("the move")
        try bench.press("ret")
        #expect(bench.library.asked.contains(.takeSnapshot("debian", name: "before", description: "the move")))
        #expect(bench.model.snapshotsPanel?.row?.name == "before")
        #expect(bench.bar.contains("The snapshot 'before' is taken."))
        #expect(bench.screen.contains("the move"))
    }

    @Test("restoring asks what becomes of the present state") func restore() throws {
        var bench = try bench()
        bench.run(.snapshots, .listFirst, .restoreSnapshot)
        #expect(bench.screen.contains("What happened since 'web server'"))
        try bench.press("esc")
        #expect(bench.model.snapshotsPanel?.list?.current == "e")
        bench.run(.restoreSnapshot)
        try bench.press("ret")
        #expect(bench.library.asked.contains(.restoreSnapshot("debian", name: "installed", keepingAs: "before installed")))
        bench.run(.listFirst, .restoreSnapshot)
        try bench.press("right", "ret")
        #expect(bench.library.asked.contains(.restoreSnapshot("debian", name: "installed", keepingAs: nil)))
        #expect(bench.model.snapshotsPanel?.list?.current == "a")
        #expect(tree(bench).last == "■ Present state")
    }

    @Test("a running machine goes and comes back as its snapshot: its console stays; one that does not come back loses it")
    func consoleStays() throws {
        for comes in [true, false] {
            var bench = try bench()
            func row(_ state: MachineRow.State) -> [MachineRow] {
                bench.library.rows().map { row in
                    var row = row
                    if row.name == "debian" { row.state = state }
                    return row
                }
            }
            bench.run(.open)
            #expect(bench.model.screen == .console)
            try bench.press("C-]", "S")
            #expect(bench.model.screen == .snapshots)
            bench.library.holdSnapshots()
            bench.run(.listFirst, .restoreSnapshot)
            try bench.press("ret")
            let request = try #require(bench.library.asked.last)
            _ = bench.model.update(row(.off), at: 1_000_000)
            #expect(bench.model.consoles["debian"] != nil)
            _ = bench.model.handle(.done(request), at: 1_000_010)
            _ = bench.model.update(row(.off), at: 1_000_020)
            #expect(bench.model.consoles["debian"] != nil, "the list may be older than the answer")
            _ = bench.model.update(row(comes ? .running : .off), at: 1_005_000)
            bench.run(.back)
            #expect(bench.model.screen == (comes ? .console : .machines))
            _ = bench.model.update(row(.off), at: 1_010_000)
            #expect(bench.model.consoles["debian"] == nil)
        }
    }

    @Test("deleting asks; a linked clone gets a name; both are requests") func deleteAndClone() throws {
        var bench = try bench()
        bench.run(.snapshots, .listUp, .deleteSnapshot)
        try bench.press("ret")
        #expect(bench.model.snapshotsPanel?.list?.rows.count == 5)
        bench.run(.deleteSnapshot)
        try bench.press("right", "ret")
        #expect(bench.model.snapshotsPanel?.list?.rows.count == 4 && bench.bar.contains("'web server' is deleted"))
        bench.run(.listFirst, .cloneSnapshot)
        try bench.press("ret")
        #expect(bench.library.asked.contains(.linkedClone("debian", of: "installed", to: "debian 2")))
        #expect(bench.library.rows().contains { $0.name == "debian 2" })
    }

    @Test("long work shows how far it is, holds up nothing but other work on snapshots, and can be stopped") func work() throws {
        var bench = try bench()
        bench.library.holdSnapshots()
        bench.run(.snapshots, .listUp, .deleteSnapshot)
        try bench.press("right", "ret")
        bench.library.tell(.snapshotProgress(done: 43 << 20, total: 100 << 20))
        bench.settle()
        #expect(bench.screen.contains("Deleting 'web server' 43%"), "\(bench.screen)")
        bench.run(.restoreSnapshot)
        #expect(bench.bar.contains("still under way") && bench.model.overlay == nil)
        bench.run(.back)
        #expect(bench.model.screen == .machines && bench.screen.contains("43%"))
        bench.select("nt4", .start)
        #expect(state(bench, "nt4") == .running)
        bench.run(.quit)
        #expect(bench.model.overlay == nil && bench.bar.contains("still under way"))
        bench.select("debian", .snapshots, .stopSnapshot)
        #expect(bench.library.asked.last == .stopSnapshot)
        bench.library.finishSnapshots()
        bench.settle()
        #expect(!bench.screen.contains("43%"))
    }

    @Test("the mouse selects a line; a second click asks whether to restore it") func mouse() throws {
        var bench = try bench()
        bench.run(.snapshots)
        bench.mouse(.press, column: 10, row: 4)
        #expect(bench.model.snapshotsPanel?.row?.name == "experiment")
        bench.mouse(.press, column: 10, row: 4)
        #expect(bench.screen.contains("Bring debian back to 'experiment'"))
    }

    @Test("300 snapshots, in a line and in forks: drawn in under 300 ms") func many() throws {
        for fork in [1, 2, 7] {
            let rows = (0..<300).map { i in
                SnapshotRow(id: "\(i)", name: "snapshot \(i)", parent: i == 0 ? nil : "\((i - 1) / fork)", taken: "2026-11-26 10:05")
            }
            var bench = try bench(size: Size(width: 160, height: 50))
            bench.library.setSnapshots(SnapshotList(rows, current: "299"), of: "debian")
            let time = ContinuousClock().measure {
                bench.run(.snapshots)
                _ = bench.screen
            }
            #expect(bench.screen.contains("301/301") && time < .milliseconds(300), "\(time)")
            bench.run(.listFirst)
            #expect(bench.model.snapshotsPanel?.row?.name == "snapshot 0")
            FileHandle.standardError.write(Data("300 snapshots, \(fork) of each: first picture \(time)\n".utf8))
        }
    }
}
