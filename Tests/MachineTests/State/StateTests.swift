import CPU
import Foundation
import Hardware
import Primitives
import Testing

@testable import Machine

@Suite("state · values") struct StateValueTests {
    static let sample: StateValue = .map([
        .init("nothing", .null), .init("flag", .flag(true)), .init("large", .unsigned(.max)), .init("small", .negative(.min)),
        .init("half", .double(0.5)), .init("text", .text("über")), .init("bytes", .bytes([0, 255])), .init("list", .list([.unsigned(0), .negative(-1)])),
        .init("w16", .words16([1, .max])), .init("w32", .words32([.max])), .init("w64", .words64([.max, 0])), .init("empty", .map([])),
    ])

    @Test("what is written is read back") func roundTrip() throws {
        #expect(try StateValue(parsing: StateValueTests.sample.encoded) == StateValueTests.sample)
    }

    @Test("every beginning of a value is refused, and so is what follows a whole one") func cut() {
        let bytes = StateValueTests.sample.encoded
        for count in 0..<bytes.count { #expect(throws: StateValue.Malformed.self) { try StateValue(parsing: Array(bytes[..<count])) } }
        #expect(throws: StateValue.Malformed.self) { try StateValue(parsing: bytes + [0]) }
    }

    @Test("counts that the bytes cannot hold and depths beyond the limit are refused before anything is allocated")
    func limits() {
        for tag in [6, 7, 8, 9, 10, 11, 12] as [UInt8] {
            #expect(throws: StateValue.Malformed.self) { try StateValue(parsing: [tag, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]) }
        }
        var deep: [UInt8] = []
        for _ in 0..<100_000 { deep += [8, 1] }
        #expect(throws: StateValue.Malformed.self) { try StateValue(parsing: deep + [0]) }
    }

    struct Chip: Codable, Equatable {
        enum Phase: String, Codable { case idle, busy }
        enum Work: Codable, Equatable { case none, read(sector: UInt64, left: Int) }
        var register: UInt8 = 7
        var deadline: UInt64?
        var seen: [UInt8?] = [nil, 3]
        var phase = Phase.busy
        var work = Work.read(sector: 9, left: -1)
        var queue: [Work] = []
        var table: [UInt32] = []
        var offset = -5
    }

    @Test("a chip is read back, nil and empty tables included") func codable() throws {
        for chip in [Chip(), Chip(deadline: .max, work: .none, queue: [.none, .read(sector: 0, left: 0)], table: [1, 2])] {
            let value = try StateEncoder.encode(chip)
            #expect(try StateDecoder.decode(Chip.self, from: StateValue(parsing: value.encoded)) == chip)
        }
    }

    @Test("a field that is missing, of another kind or out of range is named") func mismatches() throws {
        guard case .map(let pairs) = try StateEncoder.encode(Chip()) else { return }
        func reason(_ key: String, _ value: StateValue?) -> String {
            var changed = pairs.filter { $0.key != key }
            if let value { changed.append(.init(key, value)) }
            do throws(StateDecoder.Mismatch) {
                _ = try StateDecoder.decode(Chip.self, from: .map(changed))
                return ""
            } catch { return error.reason }
        }
        #expect(reason("register", nil) == "register is missing")
        #expect(reason("register", .unsigned(256)) == "register is not a number that fits")
        #expect(reason("offset", .text("x")) == "offset is not a number that fits")
        #expect(reason("phase", .text("asleep")) == "phase has no value that it can have")
    }

    @Test("a field that an older version did not have gets what the chip has after power-on; another case of an enumeration stays")
    func older() throws {
        guard case .map(let pairs) = try StateEncoder.encode(Chip(register: 1, work: .none)) else { return }
        let old = StateValue.map(pairs.filter { $0.key != "offset" })
        let whole = BoardCodec.completed(old, try StateEncoder.encode(Chip()))
        #expect(try StateDecoder.decode(Chip.self, from: whole) == Chip(register: 1, work: .none))
    }
}

@Suite("state · file", .serialized, .enabled(if: BusyMachine.assembler != nil, "nasm is not installed: apt-get install nasm")) struct StateFileTests {
    /// `VITRINE_MUTATIONS` says how many.
    static let mutations = ProcessInfo.processInfo.environment["VITRINE_MUTATIONS"].flatMap { Int($0) } ?? 300

    @Test("saved and restored in another process, the machine is where the uninterrupted one is", arguments: [1, 2])
    func exact(cpus: Int) throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            let settings = BusyMachine.settings(folder, cpus: cpus)
            var random = SystemRandomNumberGenerator()
            let points = Set((0..<24).map { _ in UInt64.random(in: 1...9_000_000, using: &random) }).sorted()
            let more: UInt64 = 1_234_567
            var script = ""
            for point in Set(points + points.map { $0 + more }).sorted() {
                script += "wait-instructions \(point)\ndigest \(folder)/straight\n"
                if points.contains(point) { script += "save \(folder)/at-\(point)\n" }
            }
            #expect(try BusyMachine.run(settings, script + "stop\n", in: folder).status == 0)
            let straight = try String(contentsOfFile: folder + "/straight", encoding: .utf8).split(separator: "\n")
            for point in points {
                try? FileManager.default.removeItem(atPath: folder + "/restored")
                let result = try BusyMachine.run(
                    settings,
                    "restore \(folder)/at-\(point)\ndigest \(folder)/restored\nwait-instructions \(point + more)\n"
                        + "digest \(folder)/restored\nstop\n", in: folder)
                #expect(result.status == 0, "\(result.said)")
                let lines = try String(contentsOfFile: folder + "/restored", encoding: .utf8).split(separator: "\n")
                #expect(lines.count == 2 && lines.allSatisfy(straight.contains), "saved at \(point): \(lines)")
            }
        }
    }

    @Test("a capture while the guest goes on has memory as it was at its beginning, and changes nothing for the guest", arguments: [1, 2])
    func capture(cpus: Int) throws {
        var board = BoardSettings(bios: try BusyMachine.image())
        board.ramMiB = 4
        board.videoMemoryMiB = 1
        board.cpus = cpus
        board.processor = .pentiumPro
        let plain = try PC(board), captured = try PC(board)
        for pc in [plain, captured] { _ = pc.run(instructions: 300_000) }
        for _ in 0..<2 {
            let before = captured.memory.withBytes(of: captured.memory.ram) { Array($0) }
            var pages: [Int: [UInt8]] = [:]
            captured.memory.beginCapture { page, bytes in
                #expect(pages[page] == nil)
                pages[page] = Array(bytes)
            }
            repeat {
                _ = captured.run(instructions: 1_000)
                _ = plain.run(instructions: 1_000)
            } while captured.memory.continueCapture(pages: 16)
            captured.memory.endCapture()
            let zeros = [UInt8](repeating: 0, count: 4096)
            let wrong = before.withUnsafeBytes { old in
                (0..<old.count / 4096).filter { memcmp(old.baseAddress! + $0 * 4096, pages[$0] ?? zeros, 4096) != 0 }
            }
            #expect(wrong.isEmpty, "pages \(wrong)")
            for pc in [plain, captured] { _ = pc.run(instructions: 250_000) }
            #expect(plain.digest() == captured.digest())
        }
    }

    private func saved(_ folder: String, cpus: Int = 1) throws -> (RunSettings, String) {
        try BusyMachine.prepare(folder)
        let settings = BusyMachine.settings(folder, cpus: cpus)
        let result = try BusyMachine.run(settings, "wait-instructions 400000\nsave \(folder)/a\nstop\n", in: folder)
        #expect(result.status == 0, "\(result.said)")
        return (settings, folder + "/a")
    }

    @Test("a state that does not fit the machine is refused with the reason") func refused() throws {
        try withTemporaryFolder { folder in
            var (settings, path) = try saved(folder)
            func said(_ change: (inout RunSettings) -> Void) throws -> String {
                var other = settings
                change(&other)
                let result = try BusyMachine.run(other, "restore \(path)\nstop\n", in: folder)
                #expect(result.status == 1)
                return result.said
            }
            #expect(try said { $0.memoryMiB = 8 }.contains("4 MiB"))
            #expect(try said { $0.cpus = 2 }.contains("processors"))
            #expect(try said { $0.virtioRNG = true }.contains("virtio"))
            #expect(try said { $0.clock = .host }.contains("virtual clock"))
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            bytes[18] = 3
            let seal = PNG.crc32(Array(bytes[0..<28]))
            withUnsafeBytes(of: seal.littleEndian) { bytes.replaceSubrange(28..<32, with: $0) }
            path = folder + "/newer"
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            #expect(try said { _ in }.contains("newer Vitrine"))
            settings.disks = []
        }
    }

    @Test("a state file with random mistakes is read or refused, without a trap") func mutated() throws {
        try withTemporaryFolder { folder in
            let (_, path) = try saved(folder)
            var random = SystemRandomNumberGenerator()
            let original = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            var board = BoardSettings(bios: try BusyMachine.image())
            board.ramMiB = 4
            board.videoMemoryMiB = 1
            let pc = try PC(board)
            let state = try BoardCodec.encode(pc.state), own = pc.state
            let encoded = state.encoded
            var whole = 0
            for _ in 0..<StateFileTests.mutations {
                // The board, behind its checksum …
                var bytes = encoded
                for _ in 0..<Int.random(in: 1...4, using: &random) { StateFileTests.mutate(&bytes, &random) }
                if let value = try? StateValue(parsing: bytes), (try? BoardCodec.decode(value, for: own)) != nil { whole += 1 }
            }
            #expect(whole < StateFileTests.mutations)
            // One that stands on another file, which may be damaged too.
            let fixtures = BusyMachine.fixtures
            let sharing = [UInt8](try Data(contentsOf: fixtures.appendingPathComponent("version-2.state")))
            let base = [UInt8](try Data(contentsOf: fixtures.appendingPathComponent("snapshots/version-2-base.state")))
            try FileManager.default.createDirectory(atPath: folder + "/snapshots", withIntermediateDirectories: false)
            for round in 0..<max(StateFileTests.mutations / 20, 50) {
                // … and the file.
                var bytes = round % 2 == 0 ? original : sharing, other = base
                if round % 8 == 1 { StateFileTests.mutate(&other, &random) }
                if round % 16 == 1 { StateFileTests.reseal(&other) }
                if round % 2 == 1 { try Data(other).write(to: URL(fileURLWithPath: folder + "/snapshots/version-2-base.state")) }
                for _ in 0..<Int.random(in: 1...3, using: &random) { StateFileTests.mutate(&bytes, &random) }
                if round % 3 == 0 { StateFileTests.reseal(&bytes) }
                let mutated = folder + "/mutated"
                try Data(bytes).write(to: URL(fileURLWithPath: mutated))
                _ = try? StateFileTests.readWhole(mutated)
            }
        }
    }

    private static func mutate(_ bytes: inout [UInt8], _ random: inout SystemRandomNumberGenerator) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[at] = [0, 0xFF, 0x7F, 0x80].randomElement(using: &random) ?? 0
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...64, using: &random)))
        case 3: bytes.insert(contentsOf: (0..<Int.random(in: 1...16, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }, at: at)
        case 4: bytes.removeLast(bytes.count - at - 1)
        default:
            let end = min(bytes.count, at + 9)
            for index in at..<end { bytes[index] = 0xFF }
        }
        if bytes.isEmpty { bytes = [0] }
    }

    /// Heads of sections are made valid again, so that what stands in them is looked at.
    private static func reseal(_ bytes: inout [UInt8]) {
        var at = 0
        while at + 32 <= bytes.count {
            withUnsafeBytes(of: PNG.crc32(Array(bytes[at..<at + 28])).littleEndian) { bytes.replaceSubrange(at + 28..<at + 32, with: $0) }
            let stored = at == 0 ? 0 : bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)) }
            guard stored < UInt64(bytes.count) else { return }
            at += 32 + Int(stored)
        }
    }

    private static func readWhole(_ path: String) throws {
        let reader = try StateReader(path)
        _ = try StateInfo.read(reader)
        while let (kind, bytes) = try reader.next() {
            switch kind {
            case "PAGE", "REFS": _ = try reader.eachPage(kind, bytes) { _, _ in true }
            case "DISK": try reader.sectors(bytes) { _, _, _ in true }
            default: _ = try reader.parsed(kind, bytes)
            }
        }
    }

    @Test("a file of version 1 goes on in this version") func golden() throws {
        try withTemporaryFolder { folder in
            try BusyMachine.prepare(folder)
            let path = BusyMachine.fixtures.appendingPathComponent("version-1.state").path
            let settings = BusyMachine.settings(folder, cpus: 2)
            let result = try BusyMachine.run(settings, "restore \(path)\nwait-instructions 900000\nsave \(folder)/on\nstop\n", in: folder)
            #expect(result.status == 0, "\(result.said)")
            let before = try StateInfo.read(path), after = try StateInfo.read(folder + "/on")
            #expect(before.instructions == 800_000 && after.instructions == 900_000 && after.guestTime > before.guestTime)
        }
    }
}
