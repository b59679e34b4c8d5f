import CPU
import Foundation
import Hardware
import Testing

@testable import Machine

/// State whose checksums are right and whose values no machine has: it is refused with a sentence, or the machine goes on in some way. Nothing
/// traps.
///
/// `VITRINE_ABSURD_STATES` is the number, `VITRINE_ABSURD_SEED` where they begin; `VITRINE_ABSURD_LOG` names a file that says what is tried.
@Suite(
    "state · absurd values", .serialized, .enabled(if: BusyMachine.assembler != nil, "nasm is not installed: apt-get install nasm"),
    .enabled(
        if: ProcessInfo.processInfo.environment["VITRINE_ABSURD_STATES"] != nil,
        "VITRINE_ABSURD_STATES is not set: a trap would end all tests"))
struct AbsurdStateTests {
    private static func number(_ name: String, _ usual: Int) -> Int { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? usual }

    /// Paths of all values that hold no others.
    private static func leaves(_ value: StateValue, _ path: [Int], _ found: inout [[Int]]) {
        switch value {
        case .map(let pairs): for (index, pair) in pairs.enumerated() { leaves(pair.value, path + [index], &found) }
        case .list(let values): for (index, value) in values.enumerated().prefix(40) { leaves(value, path + [index], &found) }
        default: found.append(path)
        }
    }

    private static func change(_ value: inout StateValue, _ path: ArraySlice<Int>, _ name: inout String, _ body: (inout StateValue) -> Void) {
        guard let first = path.first else { return body(&value) }
        switch value {
        case .map(var pairs):
            name += "." + pairs[first].key
            change(&pairs[first].value, path.dropFirst(), &name, body)
            value = .map(pairs)
        case .list(var values):
            name += ".\(first)"
            change(&values[first], path.dropFirst(), &name, body)
            value = .list(values)
        default: break
        }
    }

    private static let extremes: [UInt64] = [
        0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 255, 256, 511, 512, 1023, 4095, 4096, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
        0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 40, 1 << 62, UInt64(Int64.max), 1 << 63, .max - 1, .max,
    ]

    private static func absurd(_ value: inout StateValue, _ dice: inout Dice) {
        let some = dice.below(3) == 0 ? dice.next() >> UInt64(dice.below(64)) : extremes[dice.below(extremes.count)]
        func fill<W: FixedWidthInteger>(_ words: inout [W]) {
            guard !words.isEmpty else { return words = dice.below(2) == 0 ? [W](repeating: W(truncatingIfNeeded: some), count: dice.below(3000)) : [] }
            for _ in 0...dice.below(4) { words[dice.below(words.count)] = W(truncatingIfNeeded: dice.below(2) == 0 ? some : dice.next()) }
        }
        switch value {
        case .unsigned, .negative: value = dice.below(6) == 0 ? .negative(-1 - Int64(some & UInt64(Int64.max))) : .unsigned(some)
        case .flag(let flag): value = .flag(!flag)
        case .double: value = .double([0, -1, .infinity, .nan, 1e300, 1e-300][dice.below(6)])
        case .text: value = .text(["", "x", "none"][dice.below(3)])
        case .null: value = [.unsigned(some), .list([]), .flag(true), .map([])][dice.below(4)]
        case .bytes(var words):
            fill(&words)
            value = .bytes(words)
        case .words16(var words):
            fill(&words)
            value = .words16(words)
        case .words32(var words):
            fill(&words)
            value = .words32(words)
        case .words64(var words):
            fill(&words)
            value = .words64(words)
        case .list, .map: break
        }
    }

    private static func board() throws -> PC {
        var board = BoardSettings(bios: try BusyMachine.image())
        board.ramMiB = 4
        board.videoMemoryMiB = 1
        board.processor = .pentiumPro
        board.virtio.disks = 1
        board.virtio.console = true
        board.virtio.balloon = true
        board.virtio.entropy = .seed(1)
        board.floppyTypes = (4, 0)
        return try PC(board)
    }

    /// The guest goes on, and so does everybody who looks at it.
    private static func exercise(_ pc: PC, _ dice: inout Dice) {
        _ = pc.run(instructions: 3000)
        for _ in 0..<60 {
            let port = dice.below(4) == 0 ? dice.below(0x10000) : ports[dice.below(ports.count)]
            let size = [1, 1, 1, 2, 4][dice.below(5)]
            if dice.below(3) == 0 {
                pc.writePort(UInt16(truncatingIfNeeded: port), size: size, UInt32(truncatingIfNeeded: dice.next()))
            } else {
                _ = pc.readPort(UInt16(truncatingIfNeeded: port), size: size)
            }
        }
        for address: UInt64 in [0xFEE0_0020, 0xFEC0_0000, 0xA0000, 0xB8000, 0xE000_0000, 0xFEB0_0000] { _ = pc.readMMIO(address, size: 4) }
        pc.key(.a, down: true)
        pc.mouse(dx: 1, dy: 1, buttons: 1, wheel: 0)
        _ = pc.serialInput(0, [1, 2, 3])
        _ = pc.run(instructions: 3000)
        _ = pc.textFrame()
        _ = pc.pixels()
        _ = pc.digest()
        _ = pc.drainOutput()
    }

    private static let ports: [Int] =
        Array(0x00...0x0F) + [0x20, 0x21] + Array(0x40...0x43) + [0x60, 0x61, 0x64] + Array(0x70...0x73) + Array(0x80...0x8F) + [0x92, 0xA0, 0xA1]
        + Array(0xC0...0xDF) + Array(0x170...0x177) + Array(0x1F0...0x1F7) + Array(0x278...0x27A) + Array(0x2F8...0x2FF) + Array(0x378...0x37A)
        + Array(0x3B0...0x3DF) + Array(0x3F0...0x3FF) + [0x376, 0x3F6, 0x4D0, 0x4D1, 0x510, 0x511, 0x514, 0xCF8, 0xCF9, 0xCFC, 0xCFD] + Array(0x1CE...0x1D0)
        + Array(0x600...0x63F) + Array(0xB000...0xB03F) + Array(0xC000...0xC0FF)

    @Test("nothing traps") func values() throws {
        let count = AbsurdStateTests.number("VITRINE_ABSURD_STATES", 400)
        var dice = Dice(UInt64(AbsurdStateTests.number("VITRINE_ABSURD_SEED", 1)))
        let log = ProcessInfo.processInfo.environment["VITRINE_ABSURD_LOG"]
        let pc = try AbsurdStateTests.board()
        _ = pc.run(instructions: 500_000)
        let saved = pc.state, fresh = try BoardCodec.encode(saved)
        var leaves: [[Int]] = []
        AbsurdStateTests.leaves(fresh, [], &leaves)
        // By chip, so that a small one is met as often as one with a thousand registers.
        let groups = Dictionary(grouping: leaves) { $0.prefix($0.first == 2 ? 2 : 1) }.values.map { $0 }.sorted { $0[0].lexicographicallyPrecedes($1[0]) }
        var refused = 0
        for round in 0..<count {
            var value = fresh, names: [String] = []
            for _ in 0...dice.below(3) {
                let group = groups[dice.below(groups.count)], path = group[dice.below(group.count)]
                var name = ""
                AbsurdStateTests.change(&value, path[...], &name) { AbsurdStateTests.absurd(&$0, &dice) }
                names.append(name)
            }
            if let log { try "\(round): \(names)\n".write(toFile: log, atomically: false, encoding: .utf8) }
            do {
                try pc.goOn(from: try BoardCodec.decode(value, for: saved))
                AbsurdStateTests.exercise(pc, &dice)
            } catch let error as StateDecoder.Mismatch {
                #expect(!error.reason.isEmpty)
                refused += 1
            } catch let error as BoardStateError {
                #expect(!error.reason.isEmpty)
                refused += 1
            }
            try pc.goOn(from: saved)
        }
        #expect(refused < count)
    }
}
