import Foundation
import Hardware
import Machine
import Testing

/// Verbs on snapshots, killed at random moments: the disk is as before or as after, and every snapshot that was there has what it had.
/// `VITRINE_KILLS=200` sets the number of kills of each.
@Suite("program · killed in the middle of snapshots", .serialized) struct SnapshotKillTests {
    enum Work: String, CaseIterable { case take, restore, keep, deleteMiddle, deleteLast }

    private func arguments(_ work: Work) -> [String] {
        switch work {
        case .take: ["snapshot", "take", "m", "new"]
        case .restore: ["snapshot", "restore", "m", "two"]
        case .keep: ["snapshot", "restore", "m", "one", "--keep", "new"]
        case .deleteMiddle: ["snapshot", "delete", "m", "two"]
        case .deleteLast: ["snapshot", "delete", "m", "three"]
        }
    }

    private static let sectors: [UInt64] = [0, 100, 5000, 9000]

    private func contents(_ store: MachineStore) throws -> [UInt8] {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readOnly)
        return try SnapshotKillTests.sectors.map { sector in
            var data = [UInt8](repeating: 0xEE, count: 512)
            try #require(data.withUnsafeMutableBytes { medium.read(sector: sector, into: $0) })
            return data[0]
        }
    }

    private func write(_ store: MachineStore, _ step: UInt8) throws {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readWrite)
        var random = SystemRandomNumberGenerator()
        let bulk = (0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &random) }
        _ = bulk.withUnsafeBytes { medium.write(sector: 2000 + UInt64(step) * 1000, from: $0) }
        for (index, sector) in SnapshotKillTests.sectors.enumerated() where index <= Int(step) {
            let data = [UInt8](repeating: step * 10 + UInt8(index), count: 512)
            try #require(data.withUnsafeBytes { medium.write(sector: sector, from: $0) })
        }
        try #require(medium.flush())
    }

    @Test("nothing that was there is lost", arguments: Work.allCases) func killed(work: Work) throws {
        try withFolder { folder in
            let template = MachineStore(home: folder + "/template")
            try template.create("m", MachineSettings(), disk: NewDisk(bytes: 16 << 20))
            var expected: [String: [UInt8]] = [:]
            for (step, name) in ["one", "two", "three"].enumerated() {
                try write(template, UInt8(step + 1))
                expected[name] = try contents(template)
                try template.takeSnapshot("m", name, description: "")
            }
            try write(template, 4)
            let before = try contents(template)
            let after = work == .restore ? expected["two"] : work == .keep ? expected["one"] : before
            let store = MachineStore(home: folder + "/home")
            var random = SystemRandomNumberGenerator()
            var whole = Duration.milliseconds(50)
            for round in 0..<StoreKillTests.count {
                try? FileManager.default.removeItem(atPath: store.home)
                try FileManager.default.copyItem(atPath: template.home, toPath: store.home)
                let process = Process()
                process.executableURL = URL(fileURLWithPath: Program.path)
                process.arguments = arguments(work)
                process.environment = ProcessInfo.processInfo.environment.merging(["VITRINE_HOME": store.home]) { $1 }
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.nullDevice
                let begun = ContinuousClock.now
                try process.run()
                if round == 0 {
                    process.waitUntilExit()
                    #expect(process.terminationStatus == 0)
                    whole = ContinuousClock.now - begun
                } else {
                    usleep(UInt32(whole * Double.random(in: 0.2...1.1, using: &random) / .microseconds(1)))
                    kill(process.processIdentifier, SIGKILL)
                    process.waitUntilExit()
                }
                // The next work puts right what was interrupted.
                try store.takeSnapshot("m", "probe", description: "")
                let found = try contents(store)
                #expect(found == before || found == after, "\(work), round \(round): \(found)")
                var there = try store.snapshots("m").visible.nodes.map(\.name)
                for name in ["one", "two", "three"] where !there.contains(name) {
                    #expect(work == .deleteMiddle && name == "two" || work == .deleteLast && name == "three", "\(name) is lost, round \(round)")
                }
                if there.contains("new") { expected["new"] = before }
                there.removeAll { $0 == "probe" }
                for name in there {
                    try store.restoreSnapshot("m", name, keepingAs: nil)
                    let content = try contents(store)
                    #expect(content == expected[name], "\(work), round \(round): \(name) has \(content)")
                }
            }
        }
    }

    @Test("a machine that dies while its snapshot is written is there again, and so is every snapshot that was reported")
    func killedWhileRunning() throws {
        try withFolder { folder in
            let store = MachineStore(home: folder + "/home")
            var settings = MachineSettings()
            settings.run.memoryMiB = 64
            try store.create("m", settings, disk: NewDisk(bytes: 16 << 20))
            var random = SystemRandomNumberGenerator()
            var reported: Set<String> = []
            for round in 0..<StoreKillTests.count {
                let start = try Program.start(["start", "m", "--detach"], in: store)
                start.waitUntilExit()
                #expect(start.terminationStatus == 0, "round \(round)")
                guard let pid = try store.entry("m").pid else { continue }
                let take = try Program.start(["snapshot", "take", "m", "s\(round)"], in: store)
                usleep(UInt32.random(in: 0...400_000, using: &random))
                kill(pid, SIGKILL)
                take.waitUntilExit()
                if take.terminationStatus == 0 { reported.insert("s\(round)") }
                // The lock goes with the process.
                while try store.entry("m").state.isLive { usleep(10_000) }
                try store.edit("m") { $0.notes = "round \(round)" }
                let there = Set(try store.snapshots("m").visible.nodes.filter(\.isComplete).map(\.name))
                #expect(reported.isSubset(of: there), "round \(round): \(reported.subtracting(there)) are lost")
                // No more than 64 images stand on each other.
                if there.count > 30, let oldest = try store.snapshots("m").visible.nodes.first?.name {
                    try store.deleteSnapshot("m", oldest) { _, _ in true }
                    reported.remove(oldest)
                }
            }
            for name in reported.sorted().suffix(3) {
                // Where the machine died before the command reached it, it was taken of a machine that is off.
                let hasMemory = try store.snapshots("m").nodes.first { $0.name == name }?.hasMemory
                try store.restoreSnapshot("m", name, keepingAs: nil)
                let state = try store.entry("m").state
                #expect(state == (hasMemory == true ? .saved : .off), "\(name), with memory: \(hasMemory == true)")
                let start = try Program.start(["start", "m", "--detach"], in: store)
                start.waitUntilExit()
                #expect(start.terminationStatus == 0)
                let stop = try Program.start(["stop", "m", "--hard"], in: store)
                stop.waitUntilExit()
            }
        }
    }
}
