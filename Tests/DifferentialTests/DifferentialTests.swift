import Foundation
import Testing

@testable import CPU

/// Random user code on the host's processor and on ours.
///
/// VITRINE_DIFF_COUNT: instructions to run (default 1,000,000). VITRINE_DIFF_SEED: the first test's seed; a mismatch names its own, which
/// with VITRINE_DIFF_COUNT=1 runs it alone.
@Suite(.serialized)
struct DifferentialTests {
    @Test func `a million random instructions end as on the host's processor`() throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_DIFF_COUNT"].flatMap { Int($0) } ?? 1_000_000
        let seed = environment["VITRINE_DIFF_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0..<1 << 48)
        let differential: Differential
        do { differential = try Differential() } catch let unavailable as HostProcessor.Unavailable {
            print("Differential test left out: \(unavailable.reason).")
            return
        }
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
        var lines = ["\(instructions) instructions in \(tests) tests, \(String(format: "%.1f", seconds)) s"]
        lines.append("ends: " + ends.indices.filter { ends[$0] > 0 }.map { ($0 == 32 ? "none" : "#\($0)") + " \(ends[$0])" }.joined(separator: ", "))
        let never = generator.forms.indices.filter { generator.executed[$0] == 0 }.map { generator.forms[$0].text }
        lines.append("forms run: \(generator.forms.count - never.count) of \(generator.forms.count); x87 \(generator.executed.last ?? 0)")
        if !never.isEmpty { lines.append("never: " + never.joined(separator: ", ")) }
        for rule in FlagRule.allCases { lines.append("rule \(rule.text): \(generator.ruleUses[rule.rawValue])") }
        for text in X87Rules.texts + StateRules.texts { lines.append("rule \(text)") }
        return lines.joined(separator: "\n")
    }
}
