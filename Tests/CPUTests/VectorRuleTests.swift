import Primitives
import Testing

@testable import CPU

/// Which SIMD instructions exist when, and what they do at the edges: exceptions, page ends, models, state images.
@Suite("SIMD rules", .enabled(if: CPUModel.level3.missingOnHost.isEmpty, "skipped: the host lacks instructions of x86-64-v3")) struct VectorRuleTests {
    // 66 0F FE C1 paddd xmm0, xmm1; 0F 58 C1 addps; C5 F9 FE C1 vpaddd xmm0, xmm0, xmm1
    static let paddd: [UInt8] = [0x66, 0x0F, 0xFE, 0xC1], addps: [UInt8] = [0x0F, 0x58, 0xC1], vpaddd: [UInt8] = [0xC5, 0xF9, 0xFE, 0xC1]

    private func change(_ rig: VectorRig, _ body: (inout VCPU) -> Void) {
        var state = rig.processor.state
        body(&state)
        rig.processor.state = state
    }

    @Test("instructions are the same over a page end, wherever it cuts them") func pageEnds() throws {
        let rig = try VectorRig()
        var encoder = VectorEncoder()
        var page: UInt64 = 0x40
        var failures: [String] = [], tried = 0
        for form in VectorEncoder.forms where CPUModel.level3.features.isSuperset(of: form.features) {
            if [.rdrand, .xgetbv, .xsetbv].contains(form.row.action) { continue }
            let bytes = encoder.encode(form).bytes
            change(rig) { ($0.gpr[6], $0.gpr[7]) = (VectorRig.data, VectorRig.data) }
            let expected = rig.run(bytes)
            for cut in 1..<bytes.count {
                page = page < 0x3D0 ? page + 1 : 0x40
                change(rig) { ($0.gpr[6], $0.gpr[7]) = (VectorRig.data, VectorRig.data) }
                let got = rig.run(bytes, at: (page << 12) - UInt64(cut))
                tried += 1
                if got != expected { failures.append("\(bytes.map { String($0, radix: 16) }.joined(separator: " ")) cut at \(cut): \(got ?? -1)") }
            }
        }
        #expect(tried > 1000)
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test("control registers decide: EM, OSFXSR, TS for SSE; OSXSAVE, XCR0, TS for VEX") func switches() throws {
        let rig = try VectorRig()
        #expect(rig.run(Self.paddd) == nil)
        #expect(rig.run(Self.vpaddd) == nil)
        let cr0 = rig.c.cr0, cr4 = rig.c.cr4
        change(rig) { $0.cr0 = cr0 | CR0.ts }
        #expect(rig.run(Self.paddd) == 7)
        #expect(rig.run(Self.vpaddd) == 7)
        #expect(rig.run([0xC4, 0xE2, 0x70, 0xF2, 0xC2]) == nil, "ANDN knows no TS")
        change(rig) { $0.cr0 = cr0 | CR0.ts | CR0.em }
        #expect(rig.run(Self.paddd) == 6)
        #expect(rig.run(Self.vpaddd) == 7)
        change(rig) { $0.cr0 = cr0; $0.cr4 = cr4 & ~CR4.osfxsr }
        #expect(rig.run(Self.paddd) == 6)
        #expect(rig.run([0x0F, 0xE0, 0xC1]) == nil, "PAVGB on MMX registers knows no OSFXSR")
        #expect(rig.run([0x0F, 0x2D, 0xC1]) == 6, "CVTPS2PI reads an XMM register")
        #expect(rig.run(Self.vpaddd) == nil)
        change(rig) { $0.cr4 = cr4 & ~CR4.osxsave }
        #expect(rig.run(Self.vpaddd) == 6)
        change(rig) { $0.cr4 = cr4; $0.xcr0 = 3 }
        #expect(rig.run(Self.vpaddd) == 6)
        #expect(rig.run(Self.paddd) == nil)
    }

    @Test("a pending x87 exception stops MMX forms, not SSE") func pending() throws {
        let rig = try VectorRig()
        change(rig) { $0.fpu.status = FSW.es | FSW.ie; $0.fpu.control = 0x037E }
        #expect(rig.run([0x0F, 0xE0, 0xC1]) == 16)
        change(rig) { $0.fpu.status = FSW.es | FSW.ie }
        #expect(rig.run(Self.paddd) == nil)
    }

    @Test("a model without the feature raises #UD; TZCNT and LZCNT are BSF and BSR there") func models() throws {
        let old = try VectorRig(model: .pentium3, mode: .protected)
        #expect(old.run(Self.addps) == nil)
        #expect(old.run(Self.paddd) == 6)
        #expect(old.run([0x0F, 0x38, 0x00, 0xC1]) == 6)
        let none = try VectorRig(model: .pentiumPro, mode: .protected)
        #expect(none.run(Self.addps) == 6)
        #expect(none.run([0x0F, 0xFE, 0xC1]) == nil, "MMX")
        let two = try VectorRig(model: .level2)
        #expect(two.run(Self.vpaddd) == 6)
        #expect(two.run([0xC4, 0xE2, 0x70, 0xF2, 0xC2]) == 6)
        change(two) { $0.gpr[1] = 0x10 }
        #expect(two.run([0xF3, 0x0F, 0xBD, 0xC1]) == nil)
        #expect(two.processor.state.gpr[0] == 4, "BSR")
        let three = try VectorRig()
        change(three) { $0.gpr[1] = 0x10 }
        #expect(three.run([0xF3, 0x0F, 0xBD, 0xC1]) == nil)
        #expect(three.processor.state.gpr[0] == 27, "LZCNT")
    }

    @Test("VEX.L, VEX.W and VEX.vvvv that an instruction does not have raise #UD; so do LOCK and prefixes before VEX")
    func fields() throws {
        let rig = try VectorRig()
        let bad: [[UInt8]] = [
            [0xC4, 0xE2, 0x7D, 0xDC, 0xC1],  // vaesenc ymm
            [0xC5, 0xF0, 0x28, 0xC1],  // vmovaps with vvvv
            [0xC4, 0xE3, 0x7D, 0x00, 0xC1, 0],  // vpermq with W0
            [0xC4, 0xE2, 0xFD, 0x16, 0xC1],  // vpermps with W1
            [0xF0, 0x66, 0x0F, 0xFE, 0xC1], [0x66, 0xC5, 0xF9, 0xFE, 0xC1], [0xF3, 0xC5, 0xF9, 0xFE, 0xC1], [0x40, 0xC5, 0xF9, 0xFE, 0xC1],
            [0xF0, 0xC5, 0xF9, 0xFE, 0xC1],
            [0xC4, 0xE2, 0x79, 0x90, 0x04, 0x06],  // vpgatherdd: mask and destination are xmm0
            [0xF3, 0x0F, 0xFE, 0xC1],  // F3 means nothing for PADDD
            [0x0F, 0x13, 0xC1],  // MOVLPS to a register
        ]
        for bytes in bad { #expect(rig.run(bytes) == 6, "\(bytes.map { String($0, radix: 16) })") }
    }

    @Test("32-bit code: eight registers, VEX, W ignored for general registers") func protectedMode() throws {
        let rig = try VectorRig(mode: .protected)
        change(rig) {
            for n in 0..<64 { $0.vector[n] = 0x0101_0101_0101_0101 * UInt64(n / 4 + 1) }
            $0.gpr[3] = 0xFFFF_FFFF_8000_0001
        }
        #expect(rig.run(Self.vpaddd) == nil)
        #expect(rig.processor.state.vector[0] == 0x0303_0303_0303_0303)
        #expect(rig.processor.state.vector[2] == 0, "VEX clears the upper half")
        #expect(rig.run([0xC4, 0xE1, 0xF9, 0x6E, 0xD3]) == nil, "VMOVD with W1")
        #expect(rig.processor.state.vector[8] == 0x8000_0001)
        #expect(rig.run([0xC4, 0xE3, 0x79, 0x4A, 0xC1, 0xF0]) == nil, "VBLENDVPS: bit 7 of the immediate is ignored")
    }

    @Test("an unmasked exception without CR4.OSXMMEXCPT is #UD") func unmasked() throws {
        let rig = try VectorRig()
        change(rig) {
            $0.mxcsr = 0x1F80 & ~0x200
            for n in 0..<8 { $0.vector[n] = 0x3F80_0000_3F80_0000 }
            for n in 4..<8 { $0.vector[n] = 0 }
        }
        #expect(rig.run([0x0F, 0x5E, 0xC1]) == 19)
        #expect(rig.processor.state.mxcsr == 0x1F80 & ~0x200 | 4)
        #expect(rig.processor.state.vector[0] == 0x3F80_0000_3F80_0000)
        let cr4 = rig.c.cr4
        change(rig) { $0.cr4 = cr4 & ~CR4.osxmmexcpt }
        #expect(rig.run([0x0F, 0x5E, 0xC1]) == 6)
    }

    // MARK: Page ends. The rig maps 4 MiB; nothing lies above.

    static let end: UInt64 = 0x40_0000

    @Test("a store over the end of memory changes nothing") func tornStore() throws {
        let rig = try VectorRig()
        rig.memory.store(Self.end - 8, UInt64(0x1122_3344_5566_7788))
        change(rig) { $0.gpr[3] = Self.end - 8; for n in 0..<4 { $0.vector[n] = .max } }
        #expect(rig.run([0x0F, 0x11, 0x03]) == 14)
        #expect(rig.processor.state.cr2 == Self.end)
        #expect(rig.memory.load(Self.end - 8, as: UInt64.self) == 0x1122_3344_5566_7788)
        #expect(rig.run([0x0F, 0x10, 0x0B]) == 14, "load")
        change(rig) { $0.gpr[3] = Self.end - 17 }
        #expect(rig.run([0xC5, 0xFE, 0x7F, 0x03]) == 14, "32 bytes")
    }

    @Test("operands over the end of a page are whole") func crossing() throws {
        let rig = try VectorRig()
        for (address, bytes) in [(UInt64(0x20_0000 - 5), 16), (0x3_0FF0 + 9, 16), (0x20_0000 - 17, 32)] {
            let long = bytes == 32
            change(rig) { $0.gpr[3] = address; for n in 0..<4 { $0.vector[n] = 0x0102_0304_0506_0708 &* UInt64(n + 1) } }
            #expect(rig.run(long ? [0xC5, 0xFE, 0x7F, 0x03] : [0x0F, 0x11, 0x03]) == nil)
            for n in 0..<(bytes / 8) { #expect(rig.memory.load(address + UInt64(8 * n), as: UInt64.self) == 0x0102_0304_0506_0708 &* UInt64(n + 1)) }
            #expect(rig.run(long ? [0xC5, 0xFE, 0x6F, 0x0B] : [0x0F, 0x10, 0x0B]) == nil)
            for n in 0..<(bytes / 8) { #expect(rig.processor.state.vector[4 + n] == 0x0102_0304_0506_0708 &* UInt64(n + 1)) }
            #expect(rig.run(long ? [0xC5, 0xFD, 0xFE, 0x0B] : [0xF3, 0x0F, 0xE6, 0x0B]) == nil)
        }
    }

    @Test("elements that a mask leaves out do not fault") func masked() throws {
        let rig = try VectorRig()
        rig.memory.store(Self.end - 4, UInt32(77))
        change(rig) {
            $0.gpr[3] = Self.end - 4
            for n in 0..<4 { $0.vector[n] = 0; $0.vector[4 + n] = 5 }
            $0.vector[0] = 0x8000_0000
        }
        // vpmaskmovd xmm2, xmm0, [rbx]; vpmaskmovd [rbx], xmm0, xmm1
        #expect(rig.run([0xC4, 0xE2, 0x79, 0x8C, 0x13]) == nil)
        #expect(rig.processor.state.vector[8] == 77)
        #expect(rig.run([0xC4, 0xE2, 0x79, 0x8E, 0x0B]) == nil)
        #expect(rig.memory.load(Self.end - 4, as: UInt32.self) == 5)
        change(rig) { $0.vector[0] = 0x8000_0000_8000_0000 }
        #expect(rig.run([0xC4, 0xE2, 0x79, 0x8C, 0x13]) == 14)
        rig.memory.store(Self.end - 4, UInt32(6))
        #expect(rig.run([0xC4, 0xE2, 0x79, 0x8E, 0x0B]) == 14)
        #expect(rig.memory.load(Self.end - 4, as: UInt32.self) == 6, "no element is stored")
        // maskmovdqu xmm1, xmm0: bytes 0–3 at the end of memory
        change(rig) { $0.gpr[7] = Self.end - 4; $0.vector[0] = 0x8080_8080; $0.vector[1] = 0 }
        #expect(rig.run([0x66, 0x0F, 0xF7, 0xC8]) == nil)
        #expect(rig.memory.load(Self.end - 4, as: UInt32.self) == 5)
    }

    @Test("a gather that faults keeps what it has, and can go on") func gather() throws {
        let rig = try VectorRig()
        rig.memory.store(Self.end - 4, UInt32(0xABCD))
        change(rig) {
            $0.gpr[3] = Self.end - 4
            for n in 0..<4 { $0.vector[n] = 0x1111_1111_1111_1111; $0.vector[8 + n] = .max; $0.vector[4 + n] = 0 }
            // Index 0, 1 (beyond the end), 0, 0.
            $0.vector[4] = 1 << 32
        }
        // vpgatherdd xmm0, [rbx + xmm1*4], xmm2
        let bytes: [UInt8] = [0xC4, 0xE2, 0x69, 0x90, 0x04, 0x8B]
        #expect(rig.run(bytes) == 14)
        #expect(rig.processor.state.vector[0] == 0x1111_1111_0000_ABCD)
        #expect(rig.processor.state.vector[8] == 0xFFFF_FFFF_0000_0000)
        #expect(rig.processor.state.vector[9] == .max)
        change(rig) { $0.vector[4] = 0; $0.gpr[3] = Self.end - 4 }
        #expect(rig.run(bytes) == nil)
        #expect(rig.processor.state.vector[0] == 0x0000_ABCD_0000_ABCD)
        for n in 8..<12 { #expect(rig.processor.state.vector[n] == 0) }
        #expect(rig.processor.state.vector[2] == 0)
    }

    // MARK: State

    @Test("XSAVE and XRSTOR: round trip, header, initial configuration, faults") func xsave() throws {
        let rig = try VectorRig()
        let at: UInt64 = 0x3_0000
        let save: [UInt8] = [0x0F, 0xAE, 0x23], restore: [UInt8] = [0x0F, 0xAE, 0x2B]
        var wanted: [UInt64] = []
        change(rig) {
            for n in 0..<64 { $0.vector[n] = UInt64(n) &* 0x0123_4567_89AB_CDEF &+ 1 }
            $0.gpr[3] = at
            ($0.gpr[0], $0.gpr[2]) = (7, 0)
            $0.mxcsr = 0x5F80
            wanted = (0..<64).map { n in UInt64(n) &* 0x0123_4567_89AB_CDEF &+ 1 }
        }
        #expect(rig.run(save) == nil)
        #expect(rig.memory.load(at + 512, as: UInt64.self) == 6, "the x87 is in its initial configuration")
        #expect(rig.memory.load(at + 24, as: UInt32.self) == 0x5F80)
        #expect(rig.memory.load(at + 160 + 16 * 15, as: UInt64.self) == wanted[60])
        #expect(rig.memory.load(at + 576 + 16 * 15 + 8, as: UInt64.self) == wanted[63])
        change(rig) {
            for n in 0..<64 { $0.vector[n] = 0 }
            $0.mxcsr = 0x1F80
            $0.fpu.control = 0x1234
            $0.fpu.significand[3] = 9
        }
        #expect(rig.run(restore) == nil)
        #expect((0..<64).map { rig.processor.state.vector[$0] } == wanted)
        #expect(rig.processor.state.mxcsr == 0x5F80)
        #expect(rig.processor.state.fpu.control == 0x037F)
        #expect(rig.processor.state.fpu.significand[3] == 0)
        // AVX alone, not present in the header: the upper halves become 0.
        rig.memory.store(at + 512, UInt64(2))
        change(rig) { $0.gpr[0] = 4 }
        #expect(rig.run(restore) == nil)
        #expect(rig.processor.state.vector[5] == wanted[5])
        #expect(rig.processor.state.vector[6] == 0)
        for (offset, value) in [(512, UInt64(8)), (520, 1 << 63), (528, 1)] {
            let old = rig.memory.load(at + UInt64(offset), as: UInt64.self)
            rig.memory.store(at + UInt64(offset), value)
            #expect(rig.run(restore) == 13, "header byte \(offset - 512)")
            rig.memory.store(at + UInt64(offset), old)
        }
        rig.memory.store(at + 24, UInt32(0x1_0000))
        #expect(rig.run(restore) == 13, "reserved bits of MXCSR")
        change(rig) { $0.gpr[3] = at + 16 }
        #expect(rig.run(save) == 13, "alignment")
    }

    @Test("XSETBV and XGETBV") func xcr0() throws {
        let rig = try VectorRig()
        let set: [UInt8] = [0x0F, 0x01, 0xD1]
        for (value, fault) in [(UInt64(7), nil), (3, nil), (1, nil), (0, 13), (2, 13), (5, 13), (15, 13)] as [(UInt64, Int?)] {
            change(rig) { $0.gpr[0] = value; $0.gpr[1] = 0; $0.gpr[2] = 0 }
            #expect(rig.run(set) == fault, "\(value)")
            if fault == nil { #expect(rig.processor.state.xcr0 == value) }
        }
        change(rig) { $0.gpr[1] = 0; $0.gpr[0] = 99 }
        #expect(rig.run([0x0F, 0x01, 0xD0]) == nil)
        #expect(rig.processor.state.gpr[0] == 1)
        change(rig) { $0.gpr[1] = 1 }
        #expect(rig.run([0x0F, 0x01, 0xD0]) == 13)
        let cr4 = rig.c.cr4
        change(rig) { $0.cr4 = cr4 & ~CR4.osxsave; $0.gpr[1] = 0 }
        #expect(rig.run([0x0F, 0x01, 0xD0]) == 6)
    }

    @Test("FXSAVE64: sixteen registers and 64-bit pointers") func fxsave() throws {
        let rig = try VectorRig()
        change(rig) {
            $0.gpr[3] = 0x3_0000
            for n in 0..<64 { $0.vector[n] = UInt64(n) &* 0x1111 }
            $0.fpu.instructionPointer = 0x1234_5678_9ABC
        }
        #expect(rig.run([0x48, 0x0F, 0xAE, 0x03]) == nil)
        #expect(rig.memory.load(0x3_0008, as: UInt64.self) == 0x1234_5678_9ABC)
        #expect(rig.memory.load(0x3_0000 + 160 + 240, as: UInt64.self) == 60 * 0x1111)
        change(rig) { for n in 0..<64 { $0.vector[n] = 5 }; $0.fpu.instructionPointer = 0 }
        #expect(rig.run([0x48, 0x0F, 0xAE, 0x0B]) == nil)
        #expect(rig.processor.state.vector[61] == 61 * 0x1111)
        #expect(rig.processor.state.vector[62] == 5, "the upper halves are not in the image")
        #expect(rig.processor.state.fpu.instructionPointer == 0x1234_5678_9ABC)
    }

    @Test("RDRAND: always the same numbers, CF set, part of the digest") func random() throws {
        func numbers() throws -> ([UInt64], UInt64) {
            let rig = try VectorRig()
            var all: [UInt64] = []
            for bytes in [[0x48, 0x0F, 0xC7, 0xF0], [0x0F, 0xC7, 0xF0], [0x66, 0x0F, 0xC7, 0xF0]] as [[UInt8]] {
                #expect(rig.run(bytes) == nil)
                #expect(rig.processor.eflags & EFlags.arithmetic == EFlags.cf)
                all.append(rig.processor.state.gpr[0])
            }
            return (all, rig.processor.state.random)
        }
        let (first, seed) = try numbers()
        #expect(try numbers() == (first, seed))
        #expect(first[0] != first[1] && first[1] >> 32 == 0 && first[2] >> 16 == first[1] >> 16 && first[0] > 0xFFFF_FFFF)
        #expect(seed != VCPU().random)
    }

    @Test("the rows: every action has a row, names are as printed") func rows() {
        let used = Set(VectorMap.rows.map(\.action))
        for action in VectorAction.allCases where action != .none {
            #expect(used.contains(action), "no row uses \(action)")
        }
        let paddd = VectorMap.lookUp(VectorEncoding(map: 1, prefix: 1, opcode: 0xFE, modrm: 0xC1), .level1)
        guard case .form(let form) = paddd else {
            Issue.record("PADDD has no row")
            return
        }
        #expect(VectorMap.mnemonic(form, vex: false) == "paddd")
        #expect(VectorMap.mnemonic(form, vex: true) == "vpaddd")
        #expect(VectorMap.lookUp(VectorEncoding(map: 1, prefix: 0, opcode: 0x84, modrm: 0), .level3) == .none)
    }

    @Test("the scratch area lies behind the engine's own fields") func scratch() {
        #expect(MemoryLayout<Transient>.size <= Core.vectorScratchOffset - Core.transientOffset)
        #expect(Core.vectorScratchOffset + 256 <= Core.tlbOffset)
    }

    @Test("models that need what the host lacks are known") func host() {
        #expect(CPUModel.pentiumPro.missingOnHost.isEmpty)
        #expect(CPUModel.level3.missingOnHost.isEmpty == CPUFeatures.host.contains(CPUFeatures.level3))
        var model = CPUModel.level3
        model.features = .level1
        #expect(model.missingOnHost.isEmpty)
    }
}
