import Foundation
import Machine
import Testing

/// Verbs on stored machines, killed at random moments: whoever looks next finds every machine as before or as after.
/// `VITRINE_KILLS=200` sets the number of kills of each verb. The moments are random and not repeatable: the host's timing decides.
@Suite("program · killed while it stores", .serialized) struct StoreKillTests {
    static let count = ProcessInfo.processInfo.environment["VITRINE_KILLS"].flatMap { Int($0) } ?? 6

    enum Work: String, CaseIterable { case create, clone, edit, rename, delete }

    /// A machine's files without what is made anew each time.
    private func contents(_ store: MachineStore, _ name: String) -> [String: Data]? {
        let folder = store.folder(of: name)
        guard FileManager.default.fileExists(atPath: folder) else { return nil }
        var files: [String: Data] = [:]
        for case let file as String in FileManager.default.enumerator(atPath: folder) ?? .init() where file != "lock" {
            var data = FileManager.default.contents(atPath: folder + "/" + file) ?? Data()
            // The UUIDs of a new image.
            if file.hasSuffix(".vdi"), data.count > 0x1A8 { data.replaceSubrange(0x188..<0x1A8, with: Data(count: 32)) }
            files[file] = data
        }
        return files
    }

    private func arguments(_ work: Work) -> [String] {
        switch work {
        case .create: ["create", "new", "--os-type", "dos", "--disk-size", "16M"]
        case .clone: ["clone", "old", "new"]
        case .edit: ["set", "old", "--memory", "77", "--notes", "changed", "--kernel", "/k"]
        case .rename: ["rename", "old", "new"]
        case .delete: ["delete", "old", "--yes"]
        }
    }

    private func prepare(_ store: MachineStore) throws {
        try? FileManager.default.removeItem(atPath: store.home)
        var settings = MachineSettings()
        settings.notes = String(repeating: "some notes ", count: 100)
        try store.create("old", settings, disk: NewDisk(bytes: 4 << 20, format: .raw))
        let data = Data((0..<(2 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 13) })
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: store.folder(of: "old") + "/disk.img"))
        try handle.write(contentsOf: data)
        try handle.close()
    }

    @Test("every machine is as before or as after", arguments: Work.allCases)
    func killed(work: Work) throws {
        try withFolder { folder in
            let store = MachineStore(home: folder + "/home")
            try prepare(store)
            let before = ["old": contents(store, "old"), "new": contents(store, "new")]
            let clock = ContinuousClock()
            var whole = Duration.zero
            for _ in 0..<2 {
                try prepare(store)
                whole = try clock.measure {
                    let process = try Program.start(arguments(work), in: store)
                    process.waitUntilExit()
                    #expect(process.terminationStatus == 0)
                }
            }
            let after = ["old": contents(store, "old"), "new": contents(store, "new")]
            #expect(before != after)

            var random = SystemRandomNumberGenerator()
            var unfinished = 0
            var finished = 0
            var leftovers = 0
            for round in 0..<StoreKillTests.count {
                try prepare(store)
                // Most of a short run is the start of the process: the moments of interest are late in it.
                let moment = whole * Double.random(in: 0.3...1.2, using: &random)
                let process = try Program.start(arguments(work), in: store)
                usleep(UInt32(moment / .microseconds(1)))
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                leftovers += try FileManager.default.contentsOfDirectory(atPath: store.home).contains { $0.hasPrefix(".") } ? 1 : 0

                let states = try store.list().map { "\($0.name) \($0.state)" }
                let found = ["old": contents(store, "old"), "new": contents(store, "new")].mapValues { files in
                    // Beside a whole file may lie what the next edit removes.
                    files?.filter { !$0.key.hasSuffix(".tmp") }
                }
                #expect(found == before || found == after, "\(work) killed after \(moment): \(states), round \(round)")
                found == before ? (unfinished += 1) : (finished += 1)
                #expect(states.allSatisfy { $0.hasSuffix(" off") }, "\(states)")
                let hidden = try FileManager.default.contentsOfDirectory(atPath: store.home).filter { $0.hasPrefix(".") }
                #expect(hidden.isEmpty, "\(work) left \(hidden)")
                // And it can be done now, or done again.
                if found == before {
                    let again = try Program.start(arguments(work), in: store)
                    again.waitUntilExit()
                    #expect(again.terminationStatus == 0)
                    #expect(["old": contents(store, "old"), "new": contents(store, "new")] == after)
                }
            }
            // With few kills all may come too late or too early.
            if StoreKillTests.count >= 50 {
                #expect(unfinished > 0 && finished > 0, "\(unfinished) unfinished, \(finished) finished, \(leftovers) left something")
            }
        }
    }
}
