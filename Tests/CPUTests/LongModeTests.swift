import Primitives
import Testing

@testable import CPU

/// 64-bit mode: what is not arithmetic. Single instructions on a vCPU with identity paging; handlers halt.
@Suite("64-bit mode") struct LongModeTests {
    private let rig: VectorRig

    init() throws {
        rig = try VectorRig()
        change {
            $0.efer = 0xD01  // NXE, LMA, LME, SCE
            $0.lstar = 0x18000
            $0.star = 0x0013_0008_0000_0000
            $0.sfmask = UInt64(EFlags.if | EFlags.df)
        }
    }

    private func change(_ body: (inout VCPU) -> Void) {
        var state = rig.processor.state
        body(&state)
        rig.processor.state = state
    }
    private var state: VCPU { rig.processor.state }
    /// SS, RSP, flags, CS, RIP and error code of the topmost exception frame.
    private func frame(_ n: UInt64) -> UInt64 { rig.memory.load(state.gpr[4] &+ 8 &* n, as: UInt64.self) }

    @Test("a 32-bit result clears the upper half of the register, 8- and 16-bit results leave it") func upperHalves() {
        for (code, want): ([UInt8], UInt64) in [
            ([0x01, 0xC8], 0x0000_0000_0000_0001), ([0x66, 0x01, 0xC8], 0xFFFF_FFFF_FFFF_0001), ([0x00, 0xC8], 0xFFFF_FFFF_FFFF_FF01),
            ([0x48, 0x01, 0xC8], 1), ([0x0F, 0x44, 0xC3], 0xFFFF_FFFF),
        ] {
            change {
                $0.gpr[0] = .max
                $0.gpr[1] = 2
                $0.gpr[3] = 7
            }
            rig.processor.eflags = 2
            #expect(rig.run(code) == nil)
            #expect(state.gpr[0] == want, "\(code)")
        }
    }

    @Test("without REX byte register 4 is AH, with any REX it is SPL") func byteRegisters() {
        change { $0.gpr[0] = 0x1234 }
        #expect(rig.run([0x88, 0xE1]) == nil)
        #expect(state.gpr[1] & 0xFF == 0x12)
        #expect(rig.run([0x40, 0x88, 0xE1]) == nil)
        #expect(state.gpr[1] & 0xFF == 0x00, "RSP is 3F0000")
        // REX counts only right before the opcode.
        change { $0.gpr[0] = .max }
        #expect(rig.run([0x48, 0x66, 0xFF, 0xC0]) == nil)
        #expect(state.gpr[0] == 0xFFFF_FFFF_FFFF_0000)
    }

    @Test("RIP-relative operands count from the next instruction, its immediate included") func ripRelative() {
        rig.memory.store(0x10000 + 11 + 0x100, 5 as UInt32)
        // add dword [rip + 0x100], 0x11223344
        #expect(rig.run([0x81, 0x05, 0x01, 0x01, 0, 0, 0x44, 0x33, 0x22, 0x11]) == nil)
        #expect(rig.memory.load(0x10000 + 11 + 0x100, as: UInt32.self) == 0x1122_3349)
        #expect(rig.run([0x48, 0x8D, 0x05, 0xF9, 0xFF, 0xFF, 0xFF]) == nil)
        #expect(state.gpr[0] == 0x10000)
    }

    @Test("opcodes that 64-bit mode dropped raise #UD", arguments: [0x06, 0x27, 0x37, 0x60, 0x62, 0x82, 0x9A, 0xCE, 0xD4, 0xD6, 0xEA] as [UInt8])
    func dropped(opcode: UInt8) { #expect(rig.run([opcode, 0xC0, 0xC0, 0, 0, 0, 0, 0]) == 6) }

    @Test("a non-canonical address is #GP(0), through the stack #SS(0)") func canonical() {
        change { $0.gpr[0] = 0x0000_8000_0000_0000 }
        #expect(rig.run([0x48, 0x8B, 0x08]) == 13)
        #expect(frame(0) == 0)
        change { $0.gpr[5] = 0x8000_0000_0000_0000 }
        #expect(rig.run([0x48, 0x8B, 0x4D, 0x00]) == 12)
        #expect(frame(0) == 0)
    }

    @Test("an exception pushes five words and the error code, aligned to 16; the return address is the instruction") func exceptionFrame() {
        change { $0.gpr[0] = 0x0000_8000_0000_0000 }
        #expect(rig.run([0x48, 0x8B, 0x08]) == 13)
        #expect(state.gpr[4] == 0x3F_0000 - 48)
        #expect(frame(1) == VectorRig.code)
        #expect(frame(2) == 8)
        #expect(frame(4) == 0x3F_0000)
        #expect(frame(5) == 16)
    }

    @Test("IST switches the stack whatever the level; beyond the TSS's limit #TS") func interruptStack() {
        let gate = VectorRig.idt + 16 * 6 + 4
        rig.memory.store(gate, UInt8(1))
        change {
            $0.seg[Seg.tr].base = 0x5000
            $0.seg[Seg.tr].limit = 0x67
            $0.seg[Seg.tr].attributes = 0x8B
        }
        rig.memory.store(0x5024, 0x3E_0008 as UInt64)
        #expect(rig.run([0x0F, 0x0B]) == 6)
        #expect(state.gpr[4] == 0x3E_0000 - 40, "aligned before the frame")
        change { $0.seg[Seg.tr].limit = 0x23 }
        #expect(rig.run([0x0F, 0x0B]) == 10)
    }

    @Test("SYSCALL saves RIP and flags, masks, and loads flat segments; SYSRET goes back") func systemCall() {
        rig.processor.eflags = EFlags.if | EFlags.cf | 2
        #expect(rig.run([0x0F, 0x05]) == nil)
        #expect(state.rip == 0x18000)
        #expect(state.gpr[1] == VectorRig.code + 2)
        #expect(state.gpr[11] == UInt64(EFlags.if | EFlags.cf | 2))
        #expect(rig.processor.eflags & (EFlags.if | EFlags.cf) == EFlags.cf)
        #expect((state.seg[Seg.cs].selector, state.seg[Seg.ss].selector) == (8, 16))
        #expect(rig.run([0x48, 0x0F, 0x07]) == nil)
        #expect(state.rip == VectorRig.code + 2)
        #expect(state.cpl == 3)
        #expect((state.seg[Seg.cs].selector, state.seg[Seg.ss].selector) == (0x23, 0x1B))
    }

    @Test("SYSCALL without EFER.SCE and SYSRET to a non-canonical address fault") func systemCallFaults() {
        change { $0.gpr[1] = 0x0000_8000_0000_0000 }
        #expect(rig.run([0x48, 0x0F, 0x07]) == 13)
        change { $0.efer &= ~1 }
        #expect(rig.run([0x0F, 0x05]) == 6)
    }

    @Test("SWAPGS exchanges the base; WRMSR refuses a non-canonical one") func bases() {
        change {
            $0.kernelGSBase = 0xFFFF_8000_0000_1000
            $0.seg[Seg.gs].base = 0x1234
        }
        #expect(rig.run([0x0F, 0x01, 0xF8]) == nil)
        #expect(state.seg[Seg.gs].base == 0xFFFF_8000_0000_1000)
        #expect(state.kernelGSBase == 0x1234)
        change {
            $0.gpr[0] = 0
            $0.gpr[1] = 0xC000_0101
            $0.gpr[2] = 0x8000
        }
        #expect(rig.run([0x0F, 0x30]) == 13)
        change { $0.gpr[2] = 0xFFFF_8000 }
        #expect(rig.run([0x0F, 0x30]) == nil)
        #expect(state.seg[Seg.gs].base == 0xFFFF_8000_0000_0000)
    }

    @Test("FS and GS add their base, the others have none") func segmentBases() {
        rig.memory.store(VectorRig.data + 0x10, 0x1111 as UInt64)
        rig.memory.store(VectorRig.data + 0x50, 0x2222 as UInt64)
        change {
            $0.seg[Seg.fs].base = 0x40
            $0.seg[Seg.ds].base = 0x40
            $0.gpr[3] = VectorRig.data + 0x10
        }
        #expect(rig.run([0x48, 0x8B, 0x03]) == nil)
        #expect(state.gpr[0] == 0x1111)
        #expect(rig.run([0x64, 0x48, 0x8B, 0x03]) == nil)
        #expect(state.gpr[0] == 0x2222)
    }

    @Test("an address-size prefix cuts the address to 32 bits") func shortAddresses() {
        rig.memory.store(VectorRig.data, 0x7777 as UInt64)
        change { $0.gpr[3] = 0xABCD_0000_0000_0000 | VectorRig.data }
        #expect(rig.run([0x67, 0x48, 0x8B, 0x03]) == nil)
        #expect(state.gpr[0] == 0x7777)
    }

    @Test("no-execute pages fault on fetch with bit 4, reserved bits with bit 3; both count as present") func pageFaults() {
        // The second 2 MiB: 3F0000 is its stack, code there is fetched by a jump.
        rig.memory.store(0x3008, UInt64(0x8000_0000_0020_0087))
        change { $0.gpr[0] = 0x30_0000 }
        #expect(rig.run([0xFF, 0xE0]) == nil)
        _ = rig.processor.run(budget: 1)
        #expect(state.rip == VectorRig.handlers + 16 * 14)
        #expect(frame(0) == 0x11)
        #expect(state.cr2 == 0x30_0000)
        rig.memory.store(0x2008, UInt64(0x4007) | 1 << 45)
        change {
            $0.cr3 = 0x1000
            $0.gpr[0] = 0x4000_0000
        }
        #expect(rig.run([0x48, 0x8B, 0x00]) == 14)
        #expect(frame(0) == 9)
    }

    @Test("IRETQ pops SS and RSP at the same level too; a null FS keeps its base on the way to level 3") func interruptReturn() {
        rig.memory.store(VectorRig.gdt + 24, UInt64(0x00CF_F300_0000_FFFF))
        rig.memory.store(VectorRig.gdt + 32, UInt64(0x00AF_FB00_0000_FFFF))
        change {
            $0.gdtrLimit = 39
            $0.seg[Seg.fs].attributes = 0x0013
            $0.seg[Seg.fs].selector = 0
            $0.seg[Seg.fs].base = 0x7F00_0000_1000
        }
        for (n, word) in [0x15000, 0x23, 0x202, 0x3D_0000, 0x1B].enumerated() {
            rig.memory.store(0x3F_0000 + 8 * UInt64(n), UInt64(word))
        }
        #expect(rig.run([0x48, 0xCF]) == nil)
        #expect(state.rip == 0x15000)
        #expect(state.cpl == 3)
        #expect(state.gpr[4] == 0x3D_0000)
        #expect(state.seg[Seg.fs].base == 0x7F00_0000_1000)
    }
}
