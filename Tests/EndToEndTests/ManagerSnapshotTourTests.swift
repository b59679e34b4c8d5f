import Foundation
import Testing

@Suite("saved state and snapshots through the manager in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"))
struct ManagerSnapshotTourTests {
    /// The guest has printed its forty lines: its last one is an `h` alone.
    private func showsWork(_ s: ManagerSession) throws -> Bool {
        try eventually(20) { try s.tmux.screen().split(separator: "\n").contains { $0.trimmingCharacters(in: .whitespaces) == "h" } }
    }

    @Test("saves and goes on, takes and restores a snapshot, saves at the end") func tour() throws {
        let s = try ManagerSession(width: 80, height: 26)
        #expect(try s.sees("No machines yet"))
        _ = try StoredGuest(s.folder.appendingPathComponent("home").path)
        #expect(try s.sees("■ m "), "\(s.screen)")
        try s.keys("Enter")
        #expect(try s.sees("Booting from Floppy"), "\(s.screen)")
        try s.keys("x")
        #expect(try showsWork(s), "\(s.screen)")

        try s.keys("C-]", "Z")
        #expect(try s.sees("The state of m is saved."), "\(s.screen)")
        #expect(try s.sees("□ m "))
        #expect(try s.verb("list").output.contains("saved"))
        try s.keys("Enter")
        #expect(try showsWork(s), "\(s.screen)")

        try s.keys("C-]", "T")
        #expect(try s.sees("Take snapshot"), "\(s.screen)")
        try s.keys("C-u")
        try s.type("one")
        try s.keys("Tab")
        try s.type("forty lines")
        try s.keys("Enter")
        #expect(try s.sees("The snapshot 'one' is taken."), "\(s.screen)")
        #expect(try s.sees("● one") && s.sees("forty lines"))

        // It is selected; the present state is kept beside it.
        try s.keys("Enter")
        #expect(try s.sees("Bring m back to 'one'"), "\(s.screen)")
        try s.keys("Enter")
        #expect(try s.sees("● before one"), "\(s.screen)")
        #expect(try s.sees("m is as it was at 'one'"), "\(s.screen)")
        #expect(try s.verb("list").output.contains("running"))
        let tree = try s.verb("snapshot", "list", "m").output
        #expect(tree.contains("one *") && tree.contains("before one"), "\(tree)")
        try s.keys("Escape")
        #expect(try showsWork(s), "\(s.screen)")

        try s.keys("C-]", "l")
        #expect(try s.sees("1 Machines"))
        try s.keys("q")
        #expect(try s.sees("Save state"))
        try s.keys("Right", "Enter")
        #expect(try s.sees("DONE 0"), "\(s.screen)")
        #expect(try s.verb("list").output.contains("saved"))
    }
}
