import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("machine log") struct MachineLogTests {
    private func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    @Test(
        "a line is read as it was written",
        arguments: [
            LogLine(.info, "VM", "Changing the VM state", guestTime: nil, hostMicroseconds: 1_700_000_000_123_000),
            LogLine(.trace, "irq", "acknowledge cpu=0 vector=0x8", guestTime: 12_345_678_000, hostMicroseconds: 1_000),
            LogLine(.error, "Guest Log", "  two  blanks", guestTime: 0, hostMicroseconds: 4_000_000_000_000_000),
            LogLine(.warn, "AVeryLongComponent", "", guestTime: 1_000_000_000, hostMicroseconds: 5_000),
        ])
    func roundTrip(line: LogLine) { #expect(LogLine(line.formatted[...]) == line) }

    @Test("what is not a line of ours is none, and control characters do not get into the file") func odd() {
        for text in ["", "x", "2026-11-26 nothing", String(repeating: " ", count: 80), "2026-11-26T06:57:02.123Z 1.0 loud VM x"] {
            #expect(LogLine(text[...]) == nil)
        }
        #expect(!LogLine(.info, "VM", "a\u{1B}[31m\nb", guestTime: nil).formatted.contains { $0 == "\n" || $0 == "\u{1B}" })
    }

    @Test("three logs of earlier runs are kept") func rotation() throws {
        try withTemporaryFolder { folder in
            for run in 1...6 {
                let log = try MachineLog(folder: folder)
                log.write(.info, "VM", "run \(run)")
                log.finish()
            }
            let path = folder + "/Logs/vitrine.log"
            #expect(text(path).contains("run 6"))
            for number in 1...3 { #expect(text("\(path).\(number)").contains("run \(6 - number)")) }
            #expect(!FileManager.default.fileExists(atPath: path + ".4"))
            #expect(!FileManager.default.fileExists(atPath: folder + "/Logs/trace.ring"))
        }
    }

    @Test("the ring of a process that died goes to the end of its log at the next run") func rescue() throws {
        try withTemporaryFolder { folder in
            let log = try MachineLog(folder: folder)
            log.write(.info, "VM", "alive")
            let tap = BoardTap(ring: log.traceRing)
            var wires = Wires(now: 7_000_000_000, memory: try FakePC().memory)
            wires.tap = tap
            wires.trace(.ide, .driveCommand, size: 0x100, place: 5, value: 0xEC)
            // It is never finished: the process has died.
            #expect(eventually { text(log.path).contains("alive") })
            let next = try MachineLog(folder: folder)
            next.finish()
            let old = text(folder + "/Logs/vitrine.log.1")
            #expect(old.contains("the last trace events were"))
            #expect(old.contains("7.000000 trace ide        command channel=1 drive=0 value=0xec lba=0x5"))
        }
    }

    @Test("a damaged ring is put away") func damaged() throws {
        try withTemporaryFolder { folder in
            mkdir(folder + "/Logs", 0o700)
            var random = TestNumbers(5)
            let noise = (0..<TraceRing.bytes).map { _ in UInt8.random(in: 0...255, using: &random) }
            for bytes in [[], [1, 2, 3], noise, [UInt8](repeating: 0xFF, count: TraceRing.bytes)] as [[UInt8]] {
                try Data(bytes).write(to: URL(fileURLWithPath: folder + "/Logs/trace.ring"))
                let log = try MachineLog(folder: folder)
                log.write(.info, "VM", "here")
                log.finish()
                #expect(text(log.path).contains("here"))
            }
        }
    }

    @Test("a run tells its states, its end and its statistics; a Guru Meditation the screen and the last events") func story() throws {
        try withTemporaryFolder { folder in
            let log = try MachineLog(folder: folder)
            let served = try ServedMachine(log: log)
            let client = try served.client()
            try client.ask("stop")
            try client.ask("cont")
            served.show("last words")
            #expect(eventually { served.machine.view().frame.text.contains("last words") })
            served.stop(.shutdown("Triple fault."))
            _ = served.machine.waitForEnd()
            log.finish()
            let story = text(log.path)
            let states = ["'starting' to 'running'", "'running' to 'paused'", "'paused' to 'running'", "'running' to 'stuck'"]
            var at = story.startIndex
            for state in states {
                let found = try #require(story.range(of: "Changing the VM state from \(state)", range: at..<story.endIndex), "\(state)\n\(story)")
                at = found.upperBound
            }
            #expect(story.contains("VCPU0: Guru Meditation: Triple fault."))
            #expect(story.contains("!! last words"))
            #expect(story.contains("Statistics"))
        }
    }

    @Test("the reader returns lines as they come and goes on with the next run's log") func follow() throws {
        try withTemporaryFolder { folder in
            let log = try MachineLog(folder: folder)
            let reader = try #require(LogReader(log.path))
            log.write(.info, "VM", "first")
            log.finish()
            var lines: [String] = []
            while lines.isEmpty {
                lines = reader.lines()
                if lines.isEmpty { #expect(reader.waitForMore()) }
            }
            #expect(lines.count == 1 && lines[0].hasSuffix("first"))
            let next = try MachineLog(folder: folder)
            next.write(.info, "VM", "second")
            next.finish()
            lines = []
            while lines.isEmpty {
                #expect(reader.waitForMore())
                lines = reader.lines()
            }
            #expect(lines.last?.hasSuffix("second") == true)
        }
    }
}
