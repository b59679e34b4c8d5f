import Foundation
import Testing

@testable import CPU

/// Random user code on the host's processor and on ours.
///
/// VITRINE_DIFF_COUNT: instructions to run (default 1,000,000). VITRINE_DIFF_SEED: the first test's seed (default 1, the next one has the
/// next number); a mismatch names its own, which with VITRINE_DIFF_COUNT=1 runs it alone.
/// VITRINE_DIFF_MOST: mismatches to show (default 10).
@Suite(.serialized)
struct DifferentialTests {
    /// The oracle, or nil with a printed reason where the host has none.
    private static func host() throws -> HostProcessor? {
        do { return try HostProcessor() } catch let unavailable {
            print("Differential test left out: \(unavailable.reason).")
            return nil
        }
    }

    /// Puts code at the start of the code window and runs it on the host.
    private static func run(_ host: HostProcessor, _ code: [UInt8], _ change: (inout MachineState) -> Void = { _ in }) -> MachineState {
        let bytes = code + HostProcessor.exitJump(wide: true)
        for (n, byte) in bytes.enumerated() { host.codeView.storeBytes(of: byte, toByteOffset: n, as: UInt8.self) }
        var chance = Chance(1)
        var start = chance.start()
        start.eip = Layout.high + Layout.code
        start.x87[0] = 0x37F
        start.x87[1] = 0
        start.x87[2] = 0xFFFF
        start.eflags = Layout.fixedFlags
        change(&start)
        return host.run(start)
    }

    @Test func `the host runs 32-bit code and hands its registers back`() throws {
        guard let host = try DifferentialTests.host() else { return }
        // add eax, 1; adc edx, 0; fld1; push ds; pop ecx: 32-bit encodings, 40+r is INC here.
        let end = DifferentialTests.run(host, [0x83, 0xC0, 0x01, 0x83, 0xD2, 0x00, 0xD9, 0xE8, 0x1E, 0x59, 0x43]) { start in
            start.gpr[0] = 0xFFFF_FFFF
            start.gpr[2] = 7
            start.gpr[3] = 0x7FFF_FFFF
            start.gpr[4] = Layout.high + Layout.data + 0x800
        }
        #expect(end.vector == nil)
        #expect(end.gpr[0] == 0 && end.gpr[2] == 8 && end.gpr[3] == 0x8000_0000)
        #expect(end.gpr[1] & 0xFFFF == UInt32(Layout.flat))
        #expect(end.eflags & (EFlags.of | EFlags.cf) == EFlags.of)
        #expect(end.st(0) == (1 << 63, 0x3FFF))
    }

    @Test func `faults of the host come back with vector, address and unchanged registers`() throws {
        guard let host = try DifferentialTests.host() else { return }
        // inc ebx, then: ud2; int3; div ecx with 0; mov eax, [0]; hlt.
        let cases: [([UInt8], Int, UInt32)] = [
            ([0x0F, 0x0B], 6, 1), ([0xCC], 3, 2), ([0xF7, 0xF1], 0, 1), ([0xA1, 0, 0, 0, 0], 14, 1), ([0xF4], 13, 1),
        ]
        for (code, vector, offset) in cases {
            let end = DifferentialTests.run(host, [0x43] + code) { start in
                start.gpr[0] = 5
                start.gpr[1] = 0
                start.gpr[3] = 8
            }
            #expect(end.vector == vector)
            #expect(end.eip == Layout.high + Layout.code + offset)
            #expect(end.gpr[0] == 5 && end.gpr[3] == 9)
        }
    }

    @Test(arguments: [false, true]) func `a million random instructions end as on the host's processor`(translated: Bool) throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_DIFF_COUNT"].flatMap { Int($0) } ?? 1_000_000
        let seed = environment["VITRINE_DIFF_SEED"].flatMap { UInt64($0) } ?? 1
        guard let host = try DifferentialTests.host() else { return }
        let differential = try Differential(host: host, translation: translated ? TranslationSettings(threshold: 1, codeBytes: 4 << 20) : nil)
        print("Differential test: seed \(seed), 16-bit addresses \(differential.host.hasLow), 16-bit segments \(differential.host.has16)")
        let most = environment["VITRINE_DIFF_MOST"].flatMap { Int($0) } ?? 10
        let begin = Date()
        var mismatches: [String] = []
        var next = seed
        while differential.instructions < wanted && mismatches.count < most {
            if let mismatch = differential.test(next) {
                mismatches.append(mismatch.text)
                print(mismatch.text)
            }
            next &+= 1
        }
        print(differential.report(seconds: Date().timeIntervalSince(begin)))
        #expect(mismatches.isEmpty, "\(mismatches.first ?? "")")
        #expect(differential.instructions >= wanted || !mismatches.isEmpty)
    }
}

extension Differential {
    func report(seconds: Double) -> String {
        var lines = ["\(instructions) instructions (\(executed) with loops) in \(tests) tests, \(String(format: "%.1f", seconds)) s"]
        let counts = ends.indices.filter { ends[$0] > 0 }.map { ($0 == 32 ? "none" : "#\($0)") + " \(ends[$0])" }
        lines.append("ends: " + counts.joined(separator: ", "))
        let never = generator.forms.indices.filter { generator.executed[$0] == 0 }.map { generator.forms[$0].text }
        lines.append("forms run: \(generator.forms.count - never.count) of \(generator.forms.count); x87 \(generator.executed.last ?? 0)")
        if !never.isEmpty { lines.append("never: " + never.joined(separator: ", ")) }
        for rule in FlagRule.allCases { lines.append("rule \(rule.text): \(generator.ruleUses[rule.rawValue])") }
        for text in X87Rules.texts + StateRules.texts { lines.append("rule \(text)") }
        return lines.joined(separator: "\n")
    }
}
