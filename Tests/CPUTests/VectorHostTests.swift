import Foundation
import Testing

@testable import CPU

/// Each row of the SIMD map runs in the guest and on the host itself, with random operands.
@Suite("SIMD against the host", .serialized, .enabled(if: VectorHost.isAble, "skipped: the host lacks instructions of x86-64-v3"))
struct VectorHostTests {
    /// What the host cannot be asked: its own system state, random numbers.
    static let guestOnly: Set<VectorAction> = [.rdrand, .xgetbv, .xsetbv, .xsave, .xrstor]

    /// Of the random operands; nil: the encoder's own.
    static let seed = ProcessInfo.processInfo.environment["VITRINE_VECTOR_SEED"].flatMap { UInt64($0) }
    /// Times the usual number of rounds.
    static let factor = ProcessInfo.processInfo.environment["VITRINE_VECTOR_ROUNDS"].flatMap { Int($0) } ?? 1

    private func compare(_ rounds: Int, unmasked: Bool = false, aligned: Bool = true, _ wanted: (VectorEncoder.Form) -> Bool) throws {
        let host = try #require(VectorHost.shared)
        let rig = try VectorRig()
        var encoder = VectorEncoder()
        if let seed = VectorHostTests.seed { encoder.random = SplitMix(seed) }
        var failures = 0
        for form in VectorEncoder.forms where wanted(form) && !VectorHostTests.guestOnly.contains(form.row.action) {
            guard CPUFeatures.host.contains(form.features) else { continue }
            for _ in 0..<rounds * VectorHostTests.factor {
                let instruction = encoder.encode(form, aligned: aligned)
                let start = encoder.state(instruction, form, unmasked: unmasked)
                var expected = host.run(instruction.bytes, start)
                var found = rig.run(instruction.bytes, start)
                let undefined = VectorEncoder.undefinedFlags(form.row.action)
                expected.flags &= ~undefined
                found.flags &= ~undefined
                if found.fault != nil {
                    // The pushed frame is no concern of this test.
                    expected.flags = 0
                    found.flags = 0
                }
                // With an unmasked overflow or underflow PE is documented to differ.
                if expected.fault == 19 && expected.mxcsr & ~(start.mxcsr >> 7) & 0x18 != 0 {
                    expected.mxcsr |= 0x20
                    found.mxcsr |= 0x20
                }
                if expected == found { continue }
                failures += 1
                if failures <= 12 { Issue.record(Comment(rawValue: describe(form, instruction, start, expected, found))) }
                break
            }
        }
        #expect(failures == 0)
    }

    private func describe(_ form: VectorEncoder.Form, _ i: VectorEncoder.Instruction, _ start: VectorState, _ host: VectorState, _ guest: VectorState)
        -> String
    {
        func hex(_ values: some Sequence<UInt64>) -> String { values.map { String($0, radix: 16) }.joined(separator: " ") }
        var text = "\(form): \(i.bytes.map { String($0, radix: 16) }.joined(separator: " "))"
        if host.fault != guest.fault { text += "\n fault: host \(host.fault ?? -1), guest \(guest.fault ?? -1)" }
        for n in 0..<16 where host.vector[4 * n..<4 * n + 4] != guest.vector[4 * n..<4 * n + 4] {
            text += "\n ymm\(n) was \(hex(start.vector[4 * n..<4 * n + 4])) host \(hex(host.vector[4 * n..<4 * n + 4]))"
            text += " guest \(hex(guest.vector[4 * n..<4 * n + 4]))"
        }
        for n in 0..<16 where host.gpr[n] != guest.gpr[n] { text += "\n gpr \(n) host \(hex([host.gpr[n]])) guest \(hex([guest.gpr[n]]))" }
        for n in 0..<8 where host.mmx[n] != guest.mmx[n] { text += "\n mm\(n) host \(hex([host.mmx[n]])) guest \(hex([guest.mmx[n]]))" }
        if host.flags != guest.flags { text += "\n flags host \(hex([host.flags])) guest \(hex([guest.flags]))" }
        if host.mxcsr != guest.mxcsr {
            text += "\n mxcsr was \(hex([UInt64(start.mxcsr)])) host \(hex([UInt64(host.mxcsr)])) guest \(hex([UInt64(guest.mxcsr)]))"
        }
        for n in 0..<VectorHost.memoryBytes where host.memory[n] != guest.memory[n] {
            text += "\n memory \(n - VectorHost.origin): host \(host.memory[n]) guest \(guest.memory[n])"
        }
        return text
    }

    @Test("SSE to SSE4.2, AES, PCLMULQDQ, MMX additions, general registers") func legacy() throws { try compare(60) { !$0.vex } }
    @Test("VEX, 128 bits") func vex128() throws { try compare(60) { $0.vex && !$0.long } }
    @Test("VEX, 256 bits") func vex256() throws { try compare(60) { $0.long } }
    /// Without DPPS and DPPD, whose terms are not looked at: see Vector.swift.
    @Test("unmasked exceptions: flags, #XM, destination") func unmasked() throws {
        try compare(150, unmasked: true) { $0.row.isFloat && !$0.row.mnemonic.hasPrefix("dpp") }
    }
    @Test("misaligned operands fault where they must") func misaligned() throws {
        try compare(12, aligned: false) { $0.row.memoryOperand != nil && !$0.row.registerOnly && !$0.row.isGather && $0.row.action != .ldmxcsr }
    }
}
