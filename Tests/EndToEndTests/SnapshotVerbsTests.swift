import Foundation
import Testing

/// The verbs on snapshots from outside, on a machine that runs.
@Suite("program · snapshots of a running machine") struct SnapshotVerbsTests {
    @Test("compared, exported, imported, restored, undone, hidden and committed") func verbs() throws {
        try withFolder { folder in
            let guest = try StoredGuest(folder)
            defer { guest.end() }
            try guest.start()
            func done(_ arguments: String..., status: Int32 = 0) throws -> Program.Result {
                let result = try Program.run(arguments, environment: ["VITRINE_HOME": guest.home, "SWIFT_BACKTRACE": "enable=no"], seconds: 60)
                #expect(result.status == status, "\(arguments): \(result.errors)")
                return result
            }
            func state() throws -> String {
                let shown = try JSONSerialization.jsonObject(with: Data(try done("show", "m", "--json").output.utf8)) as? [String: Any]
                return shown?["state"] as? String ?? ""
            }
            _ = try done("snapshot", "take", "m", "first")
            _ = try done("type", "m", "x")
            _ = try done("wait-for", "m", "^h$", "30")
            // It stands for the comparison, and goes on.
            let difference = try done("snapshot", "diff", "m", "first", "--pages")
            #expect(difference.output.contains("'first' -> present state") && difference.output.contains("Devices ("), "\(difference.output)")
            #expect(difference.output.contains("Memory: ") && difference.output.contains(" -> "))
            #expect(try state() == "running")
            let json = try JSONSerialization.jsonObject(with: Data(try done("snapshot", "diff", "m", "first", "--json").output.utf8)) as? [String: Any]
            #expect((json?["memory"] as? [String: Any])?["pages_differing"] as? Int ?? 0 > 0)
            let logs = try FileManager.default.contentsOfDirectory(atPath: "\(guest.home)/m/Logs")
            #expect(!logs.contains { $0.hasSuffix(".state") }, "\(logs)")

            _ = try done("snapshot", "export", "m", "first", folder + "/first.vsnap")
            _ = try done("snapshot", "export", "m", "first", folder + "/first.vsnap", status: 1)
            _ = try done("snapshot", "import", "m", folder + "/first.vsnap", "--as", "again")
            _ = try done("snapshot", "import", "m", folder + "/first.vsnap", "--as", "again", status: 2)
            _ = try done("snapshot", "import", "new", folder + "/first.vsnap", "--new")
            let same = try done("snapshot", "diff", "m", "first", "again")
            #expect(!same.output.contains("Registers") && !same.output.contains("Memory: "), "\(same.output)")

            // The screen of the key that was pressed is gone, and there again.
            _ = try done("snapshot", "restore", "m", "first")
            #expect(try done("screen", "m").output.contains("Booting from Floppy") && state() == "running")
            #expect(try done("snapshot", "undo", "m").output == "Undone: restore of 'first'.\n")
            #expect(try !done("screen", "m").output.contains("Booting from Floppy") && state() == "running")
            _ = try done("snapshot", "undo", "m", status: 2)
            _ = try done("snapshot", "delete", "m", "again", "--undoable")
            #expect(try !done("snapshot", "list", "m").output.contains("again"))
            _ = try done("snapshot", "commit", "m")
            _ = try done("snapshot", "undo", "m", status: 2)
            _ = try done("snapshot", "delete", "m", "first")
            #expect(try state() == "running")
            // Two seconds are for viewers that do not read.
            let begun = ContinuousClock.now
            _ = try done("save-state", "m")
            #expect(try state() == "saved")
            #expect(ContinuousClock.now - begun < .seconds(20))
        }
    }
}
