import Foundation
import Primitives
import Testing

@testable import CPU

/// Random bytes as instructions, in every mode and on every model: the guest may fault, halt or shut down; the engine returns each time, and
/// never runs more than its budget.
///
/// VITRINE_RANDOM_COUNT: instructions to run (default 200,000). VITRINE_RANDOM_SEED: default 1.
@Suite("cpu · random bytes", .serialized)
struct RandomBytesTests {
    @Test(.timeLimit(.minutes(30))) func `random bytes in all modes: the engine returns, and the same seed gives the same digest`() throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_RANDOM_COUNT"].flatMap { UInt64($0) } ?? 200_000
        let seed = environment["VITRINE_RANDOM_SEED"].flatMap { UInt64($0) } ?? 1
        var total: UInt64 = 0
        var blocks: UInt64 = 0
        var lines: [String] = []
        for (m, model) in CPUModel.all.enumerated() {
            let modes = RandomBytesRig.Mode.allCases.filter { !$0.isLong || model.features.contains(.lm) }
            for mode in modes {
                let share = wanted / UInt64(CPUModel.all.count * modes.count) + 1
                let own = seed &* 1000 &+ UInt64(m * 100) &+ UInt64(mode.rawValue)
                let first = try RandomBytesRig(model: model, mode: mode, seed: own)
                let found = first.run(share)
                #expect(found.retired >= share, "\(model.name), \(mode): no progress after \(found.retired) instructions")
                #expect(found.broken == nil, "\(model.name), \(mode): \(found.broken ?? "")")
                total += found.retired
                blocks += found.blocks
                // A second run of a part of it tells whether anything but the seed decides.
                let part = min(share, 2000)
                let a = try RandomBytesRig(model: model, mode: mode, seed: own).run(part)
                let b = try RandomBytesRig(model: model, mode: mode, seed: own).run(part)
                #expect(a.digest == b.digest && a.retired == b.retired, "\(model.name), \(mode): two runs differ")
                lines.append("\(model.name) \(mode): \(found.retired) in \(found.rounds) rounds, \(found.blocks) blocks, \(found.shutdowns) shutdowns")
            }
        }
        print("Random bytes: \(total) instructions (\(blocks) blocks decoded) from seed \(seed)\n" + lines.joined(separator: "\n"))
        #expect(total >= wanted)
    }

    @Test(.timeLimit(.minutes(30))) func `translated, random bytes end as interpreted`() throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_RANDOM_COUNT"].flatMap { UInt64($0) } ?? 100_000
        let seed = environment["VITRINE_RANDOM_SEED"].flatMap { UInt64($0) } ?? 1
        for (m, model) in CPUModel.all.enumerated() {
            let modes = RandomBytesRig.Mode.allCases.filter { !$0.isLong || model.features.contains(.lm) }
            for mode in modes {
                let own = seed &* 1000 &+ UInt64(m * 100) &+ UInt64(mode.rawValue)
                var parts = wanted / UInt64(CPUModel.all.count * modes.count * 500) + 1
                while parts > 0 {
                    parts -= 1
                    let (start, settings) = (own &+ parts &* 1_000_003, TranslationSettings(threshold: 1, codeBytes: 1 << 20))
                    let interpreted = try RandomBytesRig(model: model, mode: mode, seed: start, slice: 130).run(500)
                    let translated = try RandomBytesRig(model: model, mode: mode, seed: start, slice: 130, translation: settings).run(500)
                    #expect(interpreted.broken == nil && translated.broken == nil, "\(model.name), \(mode): \(translated.broken ?? "")")
                    #expect(
                        interpreted.digest == translated.digest && interpreted.retired == translated.retired,
                        "\(model.name), \(mode): seed \(start) differs")
                }
            }
        }
    }
}
