import Primitives
import Testing

@testable import CPU

/// Machine code through decoder and engine.
@Suite("x87, mmx · in the engine") struct FPUEngineTests {
    /// Runs 32-bit flat code at 0x8000 until HLT (at most `budget` instructions).
    func run(_ code: [UInt8], budget: Int64 = 1_000_000) throws -> FPURig {
        let rig = try FPURig()
        rig.processor.memory.write(0x8000, code + [0xF4])
        rig.c.rip = 0x8000
        #expect(rig.processor.run(budget: budget) == .halted)
        return rig
    }

    @Test("the harmonic series to 1/1000, summed in 80 bits")
    func harmonic() throws {
        let rig = try run([
            0xDB, 0xE3,  // FNINIT
            0xD9, 0xEE,  // FLDZ
            0xB9, 0xE8, 0x03, 0x00, 0x00,  // MOV ECX, 1000
            0x89, 0x0D, 0x00, 0x10, 0x00, 0x00,  // L: MOV [1000h], ECX
            0xD9, 0xE8,  // FLD1
            0xDA, 0x35, 0x00, 0x10, 0x00, 0x00,  // FIDIV DWORD [1000h]
            0xDE, 0xC1,  // FADDP
            0x49, 0x75, 0xED,  // DEC ECX; JNZ L
            0xDB, 0x3D, 0x10, 0x10, 0x00, 0x00,  // FSTP TBYTE [1010h]
        ])
        var sum: Float80 = 0
        for k in stride(from: 1000, through: 1, by: -1) { sum += 1 / Float80(k) }
        #expect(rig.load80(0x1010) == F80(sum.significandBitPattern | 1 << 63, UInt16(sum.exponentBitPattern)))
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
        #expect(rig.c.v.pointee.fpu.instructionPointer == 0x8000 + 28)
    }

    @Test("based and indexed operands, 16-bit images, WAIT forms")
    func addressing() throws {
        let rig = try run([
            0x9B, 0xDB, 0xE3,  // FINIT
            0xBB, 0x00, 0x10, 0x00, 0x00, 0xBE, 0x02, 0x00, 0x00, 0x00,  // MOV EBX, 1000h; MOV ESI, 2
            0xC7, 0x04, 0xB3, 0x05, 0x00, 0x00, 0x00,  // MOV DWORD [EBX+ESI*4], 5
            0xDB, 0x04, 0xB3,  // FILD DWORD [EBX+ESI*4]
            0xDC, 0xC8,  // FMUL ST(0), ST(0)
            0xDF, 0x53, 0x20,  // FIST WORD [EBX+20h]
            0x9B, 0xDF, 0xE0,  // FSTSW AX
            0x66, 0xD9, 0x73, 0x40,  // FNSTENV [EBX+40h], 16-bit
            0xDD, 0xC0,  // FFREE ST(0)
        ])
        #expect(rig.load(0x1020, UInt16.self) == 25)
        #expect(rig.c.ax == 0x3800)
        #expect(rig.load(0x1040, UInt16.self) == 0x037F && rig.load(0x104C, UInt16.self) == 0x20)
        #expect(rig.load(0x104E, UInt32.self) == 0)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
    }

    @Test("FCOMI sets the flags that Jcc tests")
    func branches() throws {
        let rig = try run([
            0xD9, 0xE8, 0xD9, 0xEE,  // FLD1; FLDZ
            0x31, 0xC0, 0xDB, 0xF1,  // XOR EAX, EAX; FCOMI ST, ST(1): 0 < 1
            0x73, 0x01, 0x40,  // JAE +1; INC EAX
            0xD9, 0xC9, 0xDB, 0xF1,  // FXCH; FCOMI
            0x76, 0x03, 0x83, 0xC0, 0x02,  // JBE +3; ADD EAX, 2
            0xDA, 0xC1,  // FCMOVB ST, ST(1): not below
        ])
        #expect(rig.c.eax == 3)
        #expect(rig.c.st(0) == F80(integer: 1))
    }

    @Test("MMX code: unpack, add with saturation, shift by immediate, store")
    func mmx() throws {
        let rig = try run([
            0xB8, 0xF0, 0xE0, 0x10, 0x20, 0x0F, 0x6E, 0xC0,  // MOV EAX, 2010E0F0h; MOVD MM0, EAX
            0x0F, 0x62, 0xC0,  // PUNPCKLDQ MM0, MM0
            0x0F, 0x6F, 0xC8,  // MOVQ MM1, MM0
            0x0F, 0xDC, 0xC8,  // PADDUSB MM1, MM0
            0x0F, 0x71, 0xD1, 0x04,  // PSRLW MM1, 4
            0x0F, 0x7F, 0x0D, 0x00, 0x10, 0x00, 0x00,  // MOVQ [1000h], MM1
            0x0F, 0x77,  // EMMS
        ])
        #expect(rig.load(0x1000, UInt64.self) == 0x0402_0FFF_0402_0FFF)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
    }

    @Test("instructions count one each, whatever they do inside")
    func counting() throws {
        let rig = try FPURig()
        rig.processor.memory.write(0x8000, [0xD9, 0xEB, 0xD9, 0xFE, 0xDD, 0xD8, 0x0F, 0x77, 0xF4])
        rig.c.rip = 0x8000
        let before = rig.processor.retired
        #expect(rig.processor.run(budget: 100) == .halted)
        #expect(rig.processor.retired - before == 5)
    }
}
