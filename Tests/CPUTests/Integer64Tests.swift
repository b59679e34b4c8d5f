import Foundation
import Testing

@testable import CPU

/// Random integer instructions of 64-bit mode on the host's processor and on ours.
///
/// VITRINE_DIFF64_COUNT: instructions to run (default 100,000). VITRINE_DIFF64_SEED: the first case's seed (default 1, the next one has the next
/// number); a mismatch names its own, which with VITRINE_DIFF64_COUNT=1 runs it alone.
@Suite("64-bit integers against the host", .serialized, .enabled(if: VectorHost.isAble, "skipped: the host lacks instructions of x86-64-v3"))
struct Integer64Tests {
    @Test(arguments: [false, true]) func `random 64-bit instructions end as on the host's processor`(translated: Bool) throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_DIFF64_COUNT"].flatMap { Int($0) } ?? 100_000
        let seed = environment["VITRINE_DIFF64_SEED"].flatMap { UInt64($0) } ?? 1
        guard let host = VectorHost.placed else {
            print("64-bit integers against the host left out: the addresses of the test are in use.")
            return
        }
        let rig = try VectorRig(translation: translated ? TranslationSettings(threshold: 1, codeBytes: 4 << 20) : nil)
        var mismatches = 0
        var ends = [Int: Int]()
        for n in 0..<wanted {
            // An odd factor that is not the generator's own step: neighbours must not share their numbers.
            var generator = Integer64Generator(seed: (seed &+ UInt64(n)) &* 0xD134_2543_DE82_EF95)
            let test = generator.next()
            var expected = host.run(test.bytes, test.start)
            let text = { (found: VectorState?) in Integer64Tests.text(seed &+ UInt64(n), test, expected, found) }
            guard var found = rig.runPlaced(test.bytes, test.start, whole: translated || (seed &+ UInt64(n)) % 2 == 0) else {
                mismatches += 1
                if mismatches <= 12 { Issue.record(Comment(rawValue: text(nil))) }
                continue
            }
            ends[expected.fault ?? -1, default: 0] += 1
            // After a fault the handler runs: flags are in its frame.
            let masked = expected.fault != nil ? ~0 : UInt64(test.undefined)
            expected.flags &= ~masked
            found.flags &= ~masked
            if let n = test.scanned, expected.flags & UInt64(EFlags.zf) != 0 {
                expected.gpr[n] &= 0xFFFF_FFFF
                found.gpr[n] &= 0xFFFF_FFFF
            }
            if expected.gpr == found.gpr && expected.flags == found.flags && expected.memory == found.memory && expected.fault == found.fault { continue }
            mismatches += 1
            if mismatches <= 12 { Issue.record(Comment(rawValue: text(found))) }
        }
        let counts = ends.sorted { $0.key < $1.key }.map { "\($0.key < 0 ? "none" : "#\($0.key)") \($0.value)" }.joined(separator: ", ")
        print("64-bit integers: \(wanted) instructions from seed \(seed); ends: \(counts)")
        #expect(mismatches == 0)
        // The generator makes code that runs: faults are the exception.
        #expect(wanted < 1000 || ends[-1, default: 0] > wanted / 10 * 8)
    }

    private static func text(_ seed: UInt64, _ test: Integer64Generator.Case, _ host: VectorState, _ guest: VectorState?) -> String {
        func hex(_ v: UInt64) -> String { String(v, radix: 16) }
        var text = "seed \(seed): \(test.bytes.map { String($0, radix: 16) }.joined(separator: " "))"
        guard let guest else { return text + "\n the guest did not reach its end" }
        if host.fault != guest.fault { text += "\n fault: host \(host.fault ?? -1), guest \(guest.fault ?? -1)" }
        for n in 0..<16 where host.gpr[n] != guest.gpr[n] {
            text += "\n gpr \(n) was \(hex(test.start.gpr[n])) host \(hex(host.gpr[n])) guest \(hex(guest.gpr[n]))"
        }
        if host.flags != guest.flags { text += "\n flags were \(hex(test.start.flags)) host \(hex(host.flags)) guest \(hex(guest.flags))" }
        for n in 0..<VectorHost.memoryBytes where host.memory[n] != guest.memory[n] {
            text += "\n memory \(n - VectorHost.origin): was \(test.start.memory[n]) host \(host.memory[n]) guest \(guest.memory[n])"
        }
        return text
    }
}
