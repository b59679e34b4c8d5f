import CPU
import Foundation
import Hardware
import Primitives
import Testing

@testable import Machine

@Suite("debugger · time travel") struct TimeTravelTests {
    /// Moments that each machine is sent to.
    static let points = ProcessInfo.processInfo.environment["VITRINE_TRAVEL_POINTS"].flatMap { Int($0) } ?? 40

    /// What a machine is like, and its two boards: one that is recorded, and one that only goes forward.
    struct Kind: CustomTestStringConvertible, Sendable {
        var cpus = 1
        var isTranslated = true
        var interface = RunSettings.DiskInterface.ide
        var testDescription: String { "\(cpus) processors, \(isTranslated ? "translator" : "interpreter"), \(interface)" }
        static let all = [Kind(), Kind(isTranslated: false), Kind(cpus: 2), Kind(cpus: 2, isTranslated: false, interface: .virtio)]
    }

    static func board(_ folder: String, _ kind: Kind, disposable: Bool = true) throws -> PC {
        var settings = BusyMachine.settings(folder, cpus: kind.cpus, interface: kind.interface)
        settings.disposable = disposable
        var board = BoardSettings(bios: try BusyMachine.image())
        board.ramMiB = 4
        board.videoMemoryMiB = 1
        board.cpus = kind.cpus
        board.processor = .pentiumPro
        board.translation = kind.isTranslated ? TranslationSettings() : nil
        let pc = try PC(board)
        pc.media = try MediaShelf(settings).bays
        return pc
    }

    static let limits = {
        var limits = TimeTravel.Limits()
        limits.interval = 100_000
        return limits
    }()

    /// Runs recorded and plain boards side by side, with keys at some moments.
    private struct Pair {
        let travel: TimeTravel
        let recorded: PC, plain: PC
        var random = SeededRandom(state: 7)

        init(_ folder: String, _ kind: Kind, limits: TimeTravel.Limits = TimeTravelTests.limits) throws {
            recorded = try TimeTravelTests.board(folder, kind)
            plain = try TimeTravelTests.board(folder, kind)
            travel = TimeTravel(recorded, limits: limits)
        }

        mutating func run(to end: UInt64, digestsAt points: Set<UInt64> = []) -> [UInt64: String] {
            var digests: [UInt64: String] = [:]
            let ordered = points.sorted()
            while recorded.retired < end {
                var budget = Int64.random(in: 1...30_000, using: &random)
                budget = min(budget, Int64(end - recorded.retired))
                if let due = travel.nextCheckpoint, due > recorded.retired { budget = min(budget, Int64(due - recorded.retired)) }
                let start = recorded.retired
                _ = recorded.run(instructions: budget)
                for point in ordered where point > start && point <= recorded.retired {
                    while plain.retired < point { _ = plain.run(instructions: Int64(point - plain.retired)) }
                    digests[point] = plain.digest()
                }
                // To the same moment, which may be in the middle of a halt.
                var guardRounds = 0
                while plain.retired < recorded.retired || plain.now() < recorded.now(), guardRounds < 1_000_000 {
                    plain.outsideDeadline = plain.retired == recorded.retired ? recorded.now() : nil
                    _ = plain.run(instructions: max(1, Int64(recorded.retired - plain.retired)))
                    guardRounds += 1
                }
                plain.outsideDeadline = nil
                #expect(travel.afterSlice())
                if Int.random(in: 0..<5, using: &random) == 0 { press(.a, down: Bool.random(using: &random)) }
                _ = (recorded.drainOutput(), plain.drainOutput())
            }
            return digests
        }

        func press(_ key: PCKey, down: Bool) {
            let input = OutsideInput.key(key, down: down)
            travel.note(input)
            for pc in [recorded, plain] { input.give(to: pc) }
        }
    }

    @Test("random moments, in random order, are what they were; then the machine goes on as if nothing had been", arguments: Kind.all)
    func moments(kind: Kind) throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var pair = try Pair(folder, kind)
            let end: UInt64 = 1_500_000
            var random = SeededRandom(state: UInt64(kind.cpus))
            let points = Set((0..<TimeTravelTests.points).map { _ in UInt64.random(in: 1..<end, using: &random) })
            let digests = pair.run(to: end, digestsAt: points)
            #expect(digests.count == points.count)
            let last = pair.recorded.digest()
            #expect(pair.plain.digest() == last)
            for point in points.shuffled(using: &random) {
                try pair.travel.goTo(point)
                #expect(pair.recorded.retired == point && pair.recorded.digest() == digests[point], "at \(point)")
                #expect(pair.travel.isInPast)
            }
            try pair.travel.goToEnd()
            #expect(!pair.travel.isInPast && pair.recorded.digest() == last)
            // From the past by running on, and on into what nobody has seen yet.
            try pair.travel.goTo(700_000)
            while pair.travel.isInPast { _ = try pair.travel.forward(to: pair.recorded.retired + 33_333) { .init(pair.recorded.run(instructions: $0)) } }
            #expect(pair.recorded.digest() == last)
            _ = pair.run(to: end + 300_000)
            #expect(pair.recorded.digest() == pair.plain.digest())
        }
    }

    @Test("steps back, one after the other") func steps() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var pair = try Pair(folder, Kind())
            let points = Set((0..<60).map { UInt64(500_000 - $0) })
            let digests = pair.run(to: 500_000, digestsAt: points)
            for point in points.sorted().dropLast().reversed() {
                try pair.travel.goTo(pair.recorded.retired - 1)
                #expect(pair.recorded.digest() == digests[point], "at \(point)")
            }
            #expect(throws: MachineError.self) { try pair.travel.goTo(500_001) }
        }
    }

    @Test("an input in the past is the end of what was to come") func anotherFuture() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var pair = try Pair(folder, Kind())
            _ = pair.run(to: 600_000)
            try pair.travel.goTo(450_000)
            pair.travel.note(.key(.b, down: true))
            pair.recorded.key(.b, down: true)
            #expect(!pair.travel.isInPast && pair.travel.timeline.last.instruction == 450_000)
            let other = pair.recorded.digest()
            while pair.recorded.retired < 650_000 {
                let due = pair.travel.nextCheckpoint.map { $0 &- pair.recorded.retired } ?? 1
                _ = pair.recorded.run(instructions: Int64(clamping: min(due, 650_000 - pair.recorded.retired)))
                #expect(pair.travel.afterSlice())
            }
            let end = pair.recorded.digest()
            try pair.travel.goTo(300_000)
            try pair.travel.goToEnd()
            #expect(pair.recorded.digest() == end)
            try pair.travel.goTo(450_000)
            #expect(pair.recorded.digest() != other)
            _ = try pair.travel.forward(to: 450_001) { .init(pair.recorded.run(instructions: $0)) }
            #expect(pair.travel.timeline.inputs.last?.instruction == 450_000)
        }
    }

    @Test("a change by hand is where the way leads through") func edits() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var pair = try Pair(folder, Kind())
            _ = pair.run(to: 300_000)
            for pc in [pair.recorded, pair.plain] { pc.memory.store(0x510, 0x1234_5678 as UInt32) }
            pair.travel.noteEdit("memory written")
            let digests = pair.run(to: 500_000, digestsAt: [300_001, 320_000])
            for point in digests.keys {
                try pair.travel.goTo(200_000)
                try pair.travel.goTo(point)
                #expect(pair.recorded.digest() == digests[point])
            }
        }
    }

    @Test("memory and checkpoints stay within their bounds, and what is still known is right") func bounded() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var limits = TimeTravel.Limits()
            (limits.interval, limits.checkpoints, limits.bytes) = (10_000, 12, 1 << 20)
            limits.longestInterval = 20_000
            var pair = try Pair(folder, Kind(), limits: limits)
            let points = Set((1..<20).map { UInt64($0 * 50_000 + 7) })
            let digests = pair.run(to: 1_000_000, digestsAt: points)
            let timeline = pair.travel.timeline
            #expect(timeline.checkpoints.count <= 12 && timeline.bytes <= 2 << 20)
            // Close together near the end, further apart before.
            #expect(timeline.checkpoints.last ?? 0 >= 980_000)
            for point in points.sorted(by: >) {
                if point < timeline.first.instruction {
                    #expect(throws: MachineError.self) { try pair.travel.goTo(point) }
                } else {
                    try pair.travel.goTo(point)
                    #expect(pair.recorded.digest() == digests[point])
                }
            }
        }
    }

    @Test("what was written to a disk is undone and done again") func disks() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            let disk = URL(fileURLWithPath: folder + "/disk.img")
            let pc = try TimeTravelTests.board(folder, Kind(), disposable: false)
            let travel = TimeTravel(pc, limits: TimeTravelTests.limits)
            func contents() throws -> Data {
                for bay in Bay.allCases { _ = pc.media[bay]?.flush() }
                return try Data(contentsOf: disk)
            }
            let before = try contents()
            while pc.retired < 1_000_000 {
                _ = pc.run(instructions: Int64((travel.nextCheckpoint ?? .max) - pc.retired))
                #expect(travel.afterSlice())
            }
            let after = try contents()
            #expect(before != after)
            try travel.goTo(0)
            #expect(try contents() == before)
            try travel.goToEnd()
            #expect(try contents() == after)
            travel.end()
            #expect(!(pc.media[.ide0Master] is JournaledMedium))
        }
    }

    @Test("back to what was being watched for, hit by hit, to the beginning") func watched() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var pair = try Pair(folder, Kind())
            _ = pair.run(to: 800_000)
            let pc = pair.recorded
            func watch(_ budget: Int64) -> TimeTravel.Leg {
                let next = (pc.retired / 77_777 + 1) * 77_777
                let stop = pc.run(instructions: min(budget, Int64(next - pc.retired)))
                return .init(stop, hit: pc.retired == next ? next : nil)
            }
            for hit in (1...10).reversed() {
                #expect(try pair.travel.goBack(watch: watch))
                #expect(pc.retired == UInt64(hit * 77_777))
            }
            #expect(try !pair.travel.goBack(watch: watch))
            #expect(pc.retired == 0)
        }
    }

    @Test("a script goes back", arguments: [RunSettings.Clock.virtual, .host]) func script(clock: RunSettings.Clock) throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            var settings = BusyMachine.settings(folder, cpus: 1)
            settings.clock = clock
            settings.rtcSeconds = 1_000_000_000
            settings.record = true
            let result = try BusyMachine.run(
                settings,
                """
                wait-instructions 300000
                digest \(folder)/one
                wait-instructions 700000
                digest \(folder)/two
                goto-instruction 300000
                digest \(folder)/one
                goto-instruction 700000
                digest \(folder)/two
                stop
                """, in: folder)
            #expect(result.status == 0, "\(result.said)")
            for name in ["one", "two"] {
                let lines = try String(contentsOfFile: folder + "/" + name, encoding: .utf8).split(separator: "\n")
                #expect(lines.count == 2 && lines.first == lines.last, "\(lines)")
            }
            settings.record = false
            #expect(try BusyMachine.run(settings, "goto-instruction 0\nstop\n", in: folder).status == 1)
        }
    }
}

/// The same numbers in every run.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ state >> 29) &* 0x9E37_79B9_7F4A_7C15
    }
}
