import Primitives
import Testing

@testable import CPU

@Suite("x87 · control, environment and state images") struct FPUControlTests {
    /// Three values of different tags, and pointers of known instructions.
    func loaded() throws -> FPURig {
        let rig = try FPURig()
        rig.store(Double(1.5).bitPattern, at: 0x1_2340)
        rig.store(F80(1 << 63, 0x7FFF), at: 0x1_2360)
        try rig.fpu(0xDB, 5, at: 0x1_2360)  // R7: infinity, special
        try rig.fpu(0xD9, 0xEE)  // R6: zero
        rig.c.t.pointee.instructionRIP = 0x89_ABCD
        try rig.fpu(0xDD, 0, at: 0x1_2340)  // R5: 1.5, valid
        return rig
    }

    @Test("after FNINIT: control 037F, all empty, pointers clear, contents kept")
    func initialise() throws {
        let rig = try loaded()
        try rig.fpu(0xDB, 0xE3)
        let f = rig.c.v.pointee.fpu
        #expect(f.control == 0x37F && rig.status == 0 && rig.c.tagWord == 0xFFFF)
        #expect(f.opcode == 0 && f.instructionPointer == 0 && f.dataPointer == 0 && f.instructionSelector == 0 && f.dataSelector == 0)
        #expect(f.significand[5] == 0xC000_0000_0000_0000)
    }

    @Test("after RESET#: control 0040, all registers +0 and tagged so")
    func reset() {
        let f = FPUState()
        #expect(f.control == 0x40 && f.status == 0 && f.empty == 0 && f.top == 0)
    }

    @Test("control word: reserved bits read as 1 (bit 6) and 0")
    func controlWord() throws {
        let rig = try FPURig()
        for (loaded, read) in [(0xFFFF, 0x1F7F), (0x0000, 0x0040), (0x137F, 0x137F)] as [(UInt16, UInt16)] {
            rig.store(loaded, at: 0x1000)
            try rig.fpu(0xD9, 5, at: 0x1000)
            try rig.fpu(0xD9, 7, at: 0x1002)
            #expect(rig.load(0x1002, UInt16.self) == read)
        }
    }

    @Test("tags: valid, zero, special (infinity, NaN, denormal, unnormal), empty")
    func tags() throws {
        let rig = try FPURig()
        let values: [F80] = [
            F80(integer: 1), .zero, F80(1 << 63, 0x7FFF), F80(0xC000_0000_0000_0000, 0x7FFF), F80(1, 0), F80(1, 5), F80(1 << 63, 0),
        ]
        for value in values { try rig.push(value) }
        // R7 … R1 in order, R0 empty.
        #expect(rig.c.tagWord == 0b00_01_10_10_10_10_10_11)
    }

    @Test("FNSTENV, 32-bit protected layout; it masks everything afterwards")
    func protectedWide() throws {
        let rig = try loaded()
        rig.control = 0x0360
        try rig.fpu(0xD9, 6, at: 0x2000)
        let words = (0..<7).map { rig.load(0x2000 + 4 * $0, UInt32.self) }
        #expect(words == [0xFFFF_0360, 0xFFFF_2800, 0xFFFF_93FF, 0x0089_ABCD, 0x0505_0010, 0x0001_2340, 0xFFFF_0020])
        #expect(rig.control == 0x037F)
        #expect(rig.load(0x2000 + 28, UInt32.self) == 0)
    }

    @Test("FNSTENV, 16-bit protected layout has no opcode")
    func protectedNarrow() throws {
        let rig = try loaded()
        try rig.fpu(0xD9, 6, at: 0x2000, wide: false)
        #expect((0..<7).map { rig.load(0x2000 + 2 * $0, UInt16.self) } == [0x037F, 0x2800, 0x93FF, 0xABCD, 0x0010, 0x2340, 0x0020])
        #expect(rig.load(0x2000 + 14, UInt16.self) == 0)
    }

    /// CS = 1000h with IP ABCDh, DS = 2000h with offset 2340h.
    func real(v86: Bool) throws -> FPURig {
        let rig = try loaded()
        if v86 { rig.c.v.pointee.systemFlags |= EFlags.vm } else { rig.c.v.pointee.cr0 &= ~CR0.pe }
        rig.c.v.pointee.fpu.instructionSelector = 0x1000
        rig.c.v.pointee.fpu.instructionPointer = 0xABCD
        rig.c.v.pointee.fpu.dataSelector = 0x2000
        rig.c.v.pointee.fpu.dataPointer = 0x2340
        return rig
    }

    @Test("real mode and V86 store linear addresses, 20 bits in the 16-bit layout", arguments: [false, true])
    func realNarrow(_ v86: Bool) throws {
        let rig = try real(v86: v86)
        try rig.fpu(0xD9, 6, at: 0x2000, wide: false)
        #expect((0..<7).map { rig.load(0x2000 + 2 * $0, UInt16.self) } == [0x037F, 0x2800, 0x93FF, 0xABCD, 0x1505, 0x2340, 0x2000])
    }

    @Test("the 32-bit real layout splits the linear address around the opcode", arguments: [false, true])
    func realWide(_ v86: Bool) throws {
        let rig = try real(v86: v86)
        try rig.fpu(0xD9, 6, at: 0x2000)
        let words = (0..<7).map { rig.load(0x2000 + 4 * $0, UInt32.self) }
        #expect(words == [0xFFFF_037F, 0xFFFF_2800, 0xFFFF_93FF, 0xFFFF_ABCD, 0x0000_1505, 0xFFFF_2340, 0x0000_2000])
    }

    @Test(
        "FLDENV brings back what FNSTENV stored, in all four layouts",
        arguments: [(false, false), (false, true), (true, false), (true, true)])
    func environmentRoundTrip(_ layout: (real: Bool, wide: Bool)) throws {
        let rig = try layout.real ? real(v86: false) : loaded()
        try rig.fpu(0xD9, 6, at: 0x2000, wide: layout.wide)
        let bytes = layout.wide ? 28 : 14
        let before = (0..<bytes).map { rig.load(0x2000 + $0, UInt8.self) }
        let top = rig.c.v.pointee.fpu.top
        rig.c.fninit()
        try rig.fpu(0xD9, 4, at: 0x2000, wide: layout.wide)
        #expect(rig.c.v.pointee.fpu.top == top)
        #expect(rig.c.st(0) == F80(0xC000_0000_0000_0000, 0x3FFF) && !rig.c.isEmpty(2) && rig.c.isEmpty(3))
        try rig.fpu(0xD9, 6, at: 0x3000, wide: layout.wide)
        #expect((0..<bytes).map { rig.load(0x3000 + $0, UInt8.self) } == before)
    }

    @Test("FNSAVE stores the stack order and initialises; FRSTOR restores everything", arguments: [false, true])
    func saveAndRestore(_ wide: Bool) throws {
        let rig = try loaded()
        rig.control = 0x0B7F
        let before = rig.c.v.pointee.fpu
        let tags = rig.c.tagWord
        try rig.fpu(0xDD, 6, at: 0x2000, wide: wide)
        let header = wide ? 28 : 14
        #expect(rig.load80(0x2000 + header) == F80(0xC000_0000_0000_0000, 0x3FFF))
        #expect(rig.load80(0x2000 + header + 10) == .zero)
        #expect(rig.load80(0x2000 + header + 20) == F80(1 << 63, 0x7FFF))
        #expect(rig.control == 0x37F && rig.c.v.pointee.fpu.empty == 0xFF)
        for n in 0..<8 { rig.c.v.pointee.fpu.significand[n] = 0 }
        try rig.fpu(0xDD, 4, at: 0x2000, wide: wide)
        let after = rig.c.v.pointee.fpu
        #expect(after.control == before.control && after.status == before.status && after.top == before.top && rig.c.tagWord == tags)
        for n in 0..<8 { #expect(after.significand[n] == before.significand[n] && after.signExponent[n] == before.signExponent[n]) }
    }

    @Test("FLDENV with an unmasked flag set makes #MF pending")
    func pendingFromImage() throws {
        let rig = try FPURig()
        for (i, value) in ([0x37E, 0x0001, 0xFFFF, 0, 0, 0, 0] as [UInt32]).enumerated() { rig.store(value, at: 0x2000 + 4 * i) }
        try rig.fpu(0xD9, 4, at: 0x2000)
        #expect(rig.status == FSW.ie | FSW.es | FSW.busy)
        #expect(throws: Fault.x87) { try fwait(rig.c) }
        try rig.fpu(0xD9, 6, at: 0x3000)  // does not wait, masks
        #expect(rig.status == FSW.ie)
        try fwait(rig.c)
    }

    @Test("control instructions leave FIP, FDP and FOP alone; others set them")
    func pointers() throws {
        let rig = try loaded()
        let opcode = rig.c.v.pointee.fpu.opcode
        #expect(opcode == 0x505)
        rig.c.t.pointee.instructionRIP = 0x77
        try rig.fpu(0xD9, 7, at: 0x1000)
        try rig.fpu(0xD9, 5, at: 0x1000)
        try rig.fpu(0xDF, 0xE0)
        try rig.fpu(0xDB, 0xE2)
        #expect(rig.c.v.pointee.fpu.opcode == opcode && rig.c.v.pointee.fpu.instructionPointer == 0x89_ABCD)
        try rig.fpu(0xD9, 0xE0)
        #expect(rig.c.v.pointee.fpu.opcode == 0x1E0 && rig.c.v.pointee.fpu.instructionPointer == 0x77)
        #expect(rig.c.v.pointee.fpu.dataPointer == 0x1_2340)
    }

    // MARK: FXSAVE

    func fx(_ rig: FPURig, _ address: Int32, restore: Bool) throws(Fault) {
        var op = FPURig.op(0xAE, restore ? 0x0D : 0x05, at: address, wide: true)
        if restore { try fxrstor(rig.c, &op) } else { try fxsave(rig.c, &op) }
    }

    @Test("FXSAVE writes its layout with abridged tags and keeps the state")
    func fxsaveLayout() throws {
        let rig = try loaded()
        rig.c.v.pointee.cr4 |= CR4.osfxsr
        rig.c.v.pointee.vector[4] = 0x1122_3344_5566_7788  // XMM1
        rig.c.v.pointee.vector[5] = 0x99AA_BBCC_DDEE_FF00
        try fx(rig, 0x2000, restore: false)
        #expect(rig.load(0x2000, UInt32.self) == 0x2800_037F)
        #expect(rig.load(0x2004, UInt32.self) == 0x0505_00E0)
        #expect(rig.load(0x2008, UInt64.self) == 0x0000_0010_0089_ABCD)
        #expect(rig.load(0x2010, UInt64.self) == 0x0000_0020_0001_2340)
        #expect(rig.load(0x2018, UInt32.self) == 0x1F80)
        #expect(rig.load80(0x2020) == F80(0xC000_0000_0000_0000, 0x3FFF))
        #expect(rig.load80(0x2040) == F80(1 << 63, 0x7FFF))
        #expect(rig.load(0x20B0, UInt64.self) == 0x1122_3344_5566_7788)
        #expect(rig.load(0x20B8, UInt64.self) == 0x99AA_BBCC_DDEE_FF00)
        #expect(rig.status == 0x2800)
    }

    @Test("FXRSTOR restores registers, tags, pointers and XMM")
    func fxrstorRoundTrip() throws {
        let rig = try loaded()
        rig.c.v.pointee.cr4 |= CR4.osfxsr
        for n in 0..<8 { rig.c.v.pointee.vector[4 * n] = UInt64(n + 1) }
        let before = rig.c.v.pointee.fpu
        try fx(rig, 0x2010, restore: false)
        rig.c.fninit()
        for n in 0..<8 { rig.c.v.pointee.fpu.significand[n] = 0; rig.c.v.pointee.vector[4 * n] = 0 }
        try fx(rig, 0x2010, restore: true)
        let after = rig.c.v.pointee.fpu
        #expect(after.empty == before.empty && after.top == before.top && after.opcode == before.opcode)
        #expect(after.instructionPointer == before.instructionPointer && after.dataSelector == before.dataSelector)
        for n in 0..<8 { #expect(after.significand[n] == before.significand[n] && rig.c.v.pointee.vector[4 * n] == UInt64(n + 1)) }
    }

    @Test("misalignment and reserved MXCSR bits raise #GP, EM and TS #NM, and nothing changes")
    func fxFaults() throws {
        let rig = try loaded()
        #expect(throws: Fault.generalProtection) { try fx(rig, 0x2008, restore: false) }
        rig.c.v.pointee.cr4 |= CR4.osfxsr
        try fx(rig, 0x2000, restore: false)
        rig.store(UInt32(0x1_0000), at: 0x2018)
        let top = rig.c.v.pointee.fpu.top
        rig.store(UInt16(0), at: 0x2002)
        #expect(throws: Fault.generalProtection) { try fx(rig, 0x2000, restore: true) }
        #expect(rig.c.v.pointee.fpu.top == top)
        rig.c.v.pointee.cr0 |= CR0.ts
        #expect(throws: Fault.deviceNotAvailable) { try fx(rig, 0x2000, restore: false) }
    }
}
