import Primitives
import Testing

@testable import CPU

/// Rounding control fields.
private let rounding: [UInt16] = [0, FCW.down, FCW.up, FCW.chop]
private let one = F80(0x8000_0000_0000_0000, 0x3FFF)
private let infinity = F80(0x8000_0000_0000_0000, 0x7FFF)
private let largest = F80(0xFFFF_FFFF_FFFF_FFFF, 0x7FFE)
private let smallestNormal = F80(0x8000_0000_0000_0000, 0x0001)

private func negative(_ x: F80) -> F80 { F80(x.significand, x.signExponent ^ 0x8000) }
/// 2^n.
private func power(_ n: Int) -> F80 { F80(1 << 63, UInt16(16383 + n)) }

@Suite("x87 · arithmetic and rounding") struct FPUArithmeticTests {
    @Test("1/3 rounds by RC and PC, C1 tells the direction")
    func oneThird() throws {
        // 1/3 = 0.AAAA…; 64 bits keep AAAA_AAAA_AAAA_AAAA with 2/3 of a unit left, 53 bits leave 1/3 of a unit, 24 bits 2/3.
        let table: [(UInt16, [UInt64])] = [
            (FCW.extended, [0xAAAA_AAAA_AAAA_AAAB, 0xAAAA_AAAA_AAAA_AAAA, 0xAAAA_AAAA_AAAA_AAAB, 0xAAAA_AAAA_AAAA_AAAA]),
            (FCW.double, [0xAAAA_AAAA_AAAA_A800, 0xAAAA_AAAA_AAAA_A800, 0xAAAA_AAAA_AAAA_B000, 0xAAAA_AAAA_AAAA_A800]),
            (FCW.single, [0xAAAA_AB00_0000_0000, 0xAAAA_AA00_0000_0000, 0xAAAA_AB00_0000_0000, 0xAAAA_AA00_0000_0000]),
        ]
        for (precision, results) in table {
            for (mode, expected) in zip(rounding, results) {
                for sign: Int64 in [1, -1] {
                    let rig = try FPURig()
                    rig.control = 0x7F | precision | mode
                    try rig.push(sign)
                    try rig.push(3)
                    try rig.fpu(0xDE, 0xF9)  // FDIVP
                    // Toward -∞ rounds a negative magnitude up, toward +∞ chops it.
                    let magnitude = sign > 0 ? expected : mode == FCW.down ? results[2] : mode == FCW.up ? results[1] : expected
                    #expect(rig.c.st(0) == F80(magnitude, sign > 0 ? 0x3FFD : 0xBFFD))
                    #expect(rig.status & FSW.pe != 0)
                    #expect((rig.status & FSW.c1 != 0) == (magnitude > results[3]))
                }
            }
        }
    }

    @Test("ties go to even")
    func ties() throws {
        let rig = try FPURig()
        try rig.push(power(64))
        try rig.push(1)
        try rig.fpu(0xDC, 0xC1)  // FADD ST(1), ST(0): 2^64 + 1 lies half way
        #expect(rig.c.st(1) == power(64))
        #expect(rig.status & (FSW.pe | FSW.c1) == FSW.pe)
        rig.c.setST(1, F80(0x8000_0000_0000_0001, 0x403F))  // 2^64 + 2, odd
        try rig.fpu(0xDC, 0xC1)
        #expect(rig.c.st(1) == F80(0x8000_0000_0000_0002, 0x403F))
        #expect(rig.status & FSW.c1 != 0)
    }

    @Test("a rounding carry moves the exponent")
    func carry() throws {
        let rig = try FPURig()
        try rig.push(F80(.max, 0x3FFF))
        try rig.push(power(-64))
        try rig.fpu(0xDE, 0xC1)
        #expect(rig.c.st(0) == power(1))
        #expect(rig.status & (FSW.pe | FSW.c1) == FSW.pe | FSW.c1)
    }

    @Test("cancellation is exact down to the last place")
    func cancellation() throws {
        let rig = try FPURig()
        try rig.push(F80(0x8000_0000_0000_0001, 0x3FFF))
        try rig.push(1)
        try rig.fpu(0xDE, 0xE9)  // FSUBP: ST(1) - ST(0)
        #expect(rig.c.st(0) == power(-63))
        #expect(rig.status & FSW.exceptions == 0)
        try rig.push(power(-64))  // 2^-63 - 2^-64 needs a normalising shift
        try rig.fpu(0xDE, 0xE9)
        #expect(rig.c.st(0) == power(-64))
    }

    @Test("x - x is +0, but -0 when rounding down", arguments: [0, 1, 2, 3])
    func signOfZero(_ mode: Int) throws {
        let rig = try FPURig()
        rig.control = 0x037F | rounding[mode]
        try rig.push(5)
        try rig.fpu(0xD8, 0xE0)  // FSUB ST, ST(0)
        #expect(rig.c.st(0) == F80(0, mode == 1 ? 0x8000 : 0))
        #expect(rig.status & FSW.exceptions == 0)
    }

    @Test("sums, differences, products and quotients of integers are exact")
    func integers() throws {
        let rig = try FPURig()
        var g = Seeded(state: 77)
        for _ in 0..<500 {
            let a = Int64(Int32(truncatingIfNeeded: g.next()) >> Int32(g.next() % 31))
            let b = Int64(Int32(truncatingIfNeeded: g.next()) >> Int32(g.next() % 31))
            for (modrm, expected) in [(0xC1, a + b), (0xC9, a * b), (0xE1, b - a), (0xE9, a - b)] as [(UInt8, Int64)] {
                rig.c.fninit()
                try rig.push(a)
                try rig.push(b)
                try rig.fpu(0xD8, modrm)
                try rig.fpu(0xDF, 7, at: 0x1000)  // FISTP m64
                #expect(Int64(bitPattern: rig.load(0x1000, UInt64.self)) == expected)
                #expect(rig.status & FSW.exceptions == 0)
            }
            guard b != 0 else { continue }
            rig.c.fninit()
            try rig.push(a * b)
            try rig.push(b)
            try rig.fpu(0xD8, 0xF9)  // FDIVR ST, ST(1): a·b / b
            #expect(rig.c.st(0) == (a == 0 && b < 0 ? F80(0, 0x8000) : F80(integer: a)))
            #expect(rig.status & FSW.exceptions == 0)
        }
    }

    @Test("memory operands of all four formats")
    func memoryOperands() throws {
        let rig = try FPURig()
        rig.store(Float(2.5).bitPattern, at: 0x1000)
        rig.store(Double(-0.25).bitPattern, at: 0x1008)
        rig.store(UInt32(bitPattern: -7), at: 0x1010)
        rig.store(UInt16(bitPattern: -300), at: 0x1014)
        try rig.push(1)
        try rig.fpu(0xD8, 0, at: 0x1000)  // 3.5
        try rig.fpu(0xDC, 1, at: 0x1008)  // -0.875
        try rig.fpu(0xDA, 4, at: 0x1010)  // 6.125
        try rig.fpu(0xDE, 5, at: 0x1014)  // -306.125
        try rig.fpu(0xDD, 2, at: 0x1018)
        #expect(Double(bitPattern: rig.load(0x1018, UInt64.self)) == -306.125)
        #expect(rig.c.v.pointee.fpu.opcode == 0x515)
    }

    @Test("the root of 2 to 64 bits; roots of squares exact")
    func squareRoot() throws {
        let rig = try FPURig()
        try rig.push(2)
        try rig.fpu(0xD9, 0xFA)
        #expect(rig.c.st(0) == F80(0xB504_F333_F9DE_6484, 0x3FFF))
        #expect(rig.status & (FSW.pe | FSW.c1) == FSW.pe)
        rig.c.fninit()
        for n: Int64 in [0, 1, 3, 65535, 3_037_000_499] {
            rig.c.fninit()
            try rig.push(n * n)
            try rig.fpu(0xD9, 0xFA)
            #expect(rig.c.st(0) == F80(integer: n))
            #expect(rig.status & FSW.exceptions == 0)
        }
        rig.c.fninit()
        try rig.push(-4)
        try rig.fpu(0xD9, 0xFA)
        #expect(rig.c.st(0) == .indefinite)
        #expect(rig.status & FSW.exceptions == FSW.ie)
    }

    @Test("the integer arithmetic agrees with the host in every precision and rounding mode")
    func againstHost() throws {
        let rig = try FPURig()
        var g = Seeded(state: 0xFEED)
        var taken = 0
        for _ in 0..<60000 {
            rig.control = UInt16(truncatingIfNeeded: g.next()) & 0x0F00 | 0x7F
            let x = F80.random(&g)
            var y = F80.random(&g)
            if g.next() % 4 == 0 { y = F80(x.significand ^ (1 << (g.next() & 63)), x.signExponent ^ UInt16(g.next() & 1) << 15) }
            let reg = [0, 1, 4, 5, 6, 7][Int(g.next() % 6)]
            let soft = F80.arithmetic(reg, x, y, rig.control)
            guard !soft.isDeclined else { continue }
            taken += 1
            var host = rig.c.hostBinary(.arithmetic(reg), x, y)
            // C0, C2 and C3 are whatever this thread's x87 did last.
            host.flags &= ~0x4500
            #expect(soft.value == host.value && soft.flags == host.flags, "\(reg) FCW \(rig.control.hex) \(x) \(y): \(soft) host \(host)")
        }
        #expect(taken > 20000)
    }

    @Test("zero times infinity, infinity minus infinity, 0/0, ∞/∞ are invalid")
    func invalid() throws {
        for (x, y, modrm) in [
            (F80.zero, infinity, 0xC9), (infinity, infinity, 0xE1), (infinity, negative(infinity), 0xC1), (.zero, .zero, 0xF1),
            (infinity, infinity, 0xF1), (F80(1, 0x4000), one, 0xC1),  // an unnormal
        ] as [(F80, F80, UInt8)] {
            let rig = try FPURig()
            try rig.push(x)
            try rig.push(y)
            try rig.fpu(0xD8, modrm)
            #expect(rig.c.st(0) == .indefinite)
            #expect(rig.status & FSW.exceptions == FSW.ie)
            #expect(rig.status & FSW.sf == 0)
        }
    }

    @Test("a signalling NaN becomes quiet; of two quiet NaNs the larger significand survives")
    func nans() throws {
        let rig = try FPURig()
        try rig.push(F80(0x8000_0000_0000_0001, 0x7FFF))
        try rig.push(1)
        try rig.fpu(0xD8, 0xC1)
        #expect(rig.c.st(0) == F80(0xC000_0000_0000_0001, 0x7FFF))
        #expect(rig.status & FSW.exceptions == FSW.ie)
        rig.c.fninit()
        try rig.push(F80(0xC000_0000_0000_0005, 0xFFFF))
        try rig.push(F80(0xC000_0000_0000_0003, 0x7FFF))
        try rig.fpu(0xD8, 0xC1)
        #expect(rig.c.st(0) == F80(0xC000_0000_0000_0005, 0xFFFF))
        #expect(rig.status & FSW.exceptions == 0)
    }
}

@Suite("x87 · exceptions, masked and unmasked") struct FPUExceptionTests {
    @Test("masked overflow gives infinity or the largest number by RC and sign")
    func maskedOverflow() throws {
        for sign: UInt16 in [0, 0x8000] {
            for mode in rounding {
                let rig = try FPURig()
                rig.control = 0x37F | mode
                try rig.push(F80(largest.significand, largest.signExponent | sign))
                try rig.push(2)
                try rig.fpu(0xDE, 0xC9)
                let toInfinity = mode == 0 || mode == (sign == 0 ? FCW.up : FCW.down)
                #expect(rig.c.st(0) == F80(toInfinity ? 1 << 63 : .max, (toInfinity ? 0x7FFF : 0x7FFE) | sign))
                #expect(rig.status & FSW.exceptions == FSW.oe | FSW.pe)
                #expect((rig.status & FSW.c1 != 0) == toInfinity)
            }
        }
    }

    @Test("unmasked overflow delivers the result scaled down by 2^24576")
    func unmaskedOverflow() throws {
        let rig = try FPURig()
        rig.control = 0x377
        try rig.push(power(16000))
        try rig.push(power(16000))
        try rig.fpu(0xDE, 0xC9)
        #expect(rig.c.st(0) == power(32000 - 24576))
        #expect(rig.status & (FSW.exceptions | FSW.es | FSW.busy) == FSW.oe | FSW.es | FSW.busy)
        #expect(throws: Fault.x87) { try rig.fpu(0xD8, 0xC0) }
    }

    @Test("masked underflow is silent when the denormal is exact")
    func maskedUnderflow() throws {
        let rig = try FPURig()
        try rig.push(smallestNormal)
        try rig.push(2)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == F80(0x4000_0000_0000_0000, 0))
        #expect(rig.status & FSW.exceptions == 0)
        rig.c.setST(0, smallestNormal)
        try rig.push(3)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == F80(0x2AAA_AAAA_AAAA_AAAB, 0))
        #expect(rig.status & FSW.exceptions == FSW.ue | FSW.pe)
    }

    @Test("unmasked underflow delivers the result scaled up by 2^24576, inexact or not")
    func unmaskedUnderflow() throws {
        let rig = try FPURig()
        rig.control = 0x36F
        try rig.push(smallestNormal)
        try rig.push(2)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == power(-16383 + 24576))
        #expect(rig.status & FSW.exceptions == FSW.ue)
        #expect(rig.status & FSW.es != 0)
    }

    @Test("masked division by zero gives a signed infinity; unmasked leaves both operands on the stack")
    func zeroDivide() throws {
        let rig = try FPURig()
        try rig.push(-3)
        try rig.push(0)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == negative(infinity))
        #expect(rig.status & FSW.exceptions == FSW.ze)

        rig.c.fninit()
        rig.control = 0x37B
        try rig.push(-3)
        try rig.push(0)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == .zero)
        #expect(rig.c.st(1) == F80(integer: -3))
        #expect(rig.status & (FSW.exceptions | FSW.es) == FSW.ze | FSW.es)
        #expect(rig.c.v.pointee.fpu.top == 6)
    }

    @Test("unmasked invalid and denormal operands change nothing")
    func unmaskedOperands() throws {
        let rig = try FPURig()
        rig.control = 0x37E
        try rig.push(infinity)
        try rig.push(infinity)
        try rig.fpu(0xDE, 0xE9)
        #expect(rig.c.st(0) == infinity && rig.c.st(1) == infinity)
        #expect(rig.status & (FSW.ie | FSW.es) == FSW.ie | FSW.es)

        rig.c.fninit()
        rig.control = 0x37D
        try rig.push(F80(1, 0))
        try rig.push(1)
        try rig.fpu(0xDE, 0xC1)
        #expect(rig.c.st(0) == one && rig.c.st(1) == F80(1, 0))
        #expect(rig.status & (FSW.de | FSW.es) == FSW.de | FSW.es)
    }

    @Test("an unmasked precision exception still delivers and pops")
    func unmaskedPrecision() throws {
        let rig = try FPURig()
        rig.control = 0x35F
        try rig.push(1)
        try rig.push(3)
        try rig.fpu(0xDE, 0xF9)
        #expect(rig.c.st(0) == F80(0xAAAA_AAAA_AAAA_AAAB, 0x3FFD))
        #expect(rig.status & (FSW.pe | FSW.es) == FSW.pe | FSW.es)
        #expect(rig.c.v.pointee.fpu.top == 7)
    }

    @Test("stores: masked overflow writes infinity, unmasked writes nothing and does not pop")
    func storeOverflow() throws {
        let rig = try FPURig()
        rig.store(UInt64(0x1122_3344_5566_7788), at: 0x1000)
        rig.control = 0x377
        try rig.push(power(1024))
        try rig.fpu(0xDD, 3, at: 0x1000)
        #expect(rig.load(0x1000, UInt64.self) == 0x1122_3344_5566_7788)
        #expect(rig.c.v.pointee.fpu.top == 7)
        #expect(rig.status & (FSW.oe | FSW.es) == FSW.oe | FSW.es)
        try rig.fpu(0xDB, 0xE2)
        rig.control = 0x37F
        try rig.fpu(0xDD, 3, at: 0x1000)
        #expect(Double(bitPattern: rig.load(0x1000, UInt64.self)) == .infinity)
        #expect(rig.status & FSW.exceptions == FSW.oe | FSW.pe)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
    }

    @Test("stores: unmasked underflow and unmasked integer overflow write nothing, unmasked precision does")
    func otherStores() throws {
        let rig = try FPURig()
        rig.store(UInt32(0xDEAD_BEEF), at: 0x1000)
        rig.control = 0x36F
        try rig.push(power(-140))
        try rig.fpu(0xD9, 3, at: 0x1000)
        #expect(rig.load(0x1000, UInt32.self) == 0xDEAD_BEEF)
        #expect(rig.status & (FSW.ue | FSW.es) == FSW.ue | FSW.es)

        rig.c.fninit()
        rig.control = 0x37E
        try rig.push(1 << 40)
        try rig.fpu(0xDB, 3, at: 0x1000)  // FISTP m32
        #expect(rig.load(0x1000, UInt32.self) == 0xDEAD_BEEF)
        #expect(rig.c.v.pointee.fpu.top == 7)

        rig.c.fninit()
        rig.control = 0x35F
        rig.store(Double(1.5).bitPattern, at: 0x1008)
        try rig.fpu(0xDD, 0, at: 0x1008)
        try rig.fpu(0xDB, 3, at: 0x1000)
        #expect(rig.load(0x1000, UInt32.self) == 2)
        #expect(rig.status & (FSW.pe | FSW.es | FSW.c1) == FSW.pe | FSW.es | FSW.c1)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
    }

    @Test("the ninth push overflows the stack, C1 set; the masked response is the indefinite")
    func stackOverflow() throws {
        let rig = try FPURig()
        for n: Int64 in 1...8 { try rig.push(n) }
        #expect(rig.status & FSW.sf == 0)
        try rig.fpu(0xD9, 0xE8)
        #expect(rig.status & (FSW.ie | FSW.sf | FSW.c1) == FSW.ie | FSW.sf | FSW.c1)
        #expect(rig.c.st(0) == .indefinite)
        #expect(rig.c.st(1) == F80(integer: 8))
        #expect(rig.c.v.pointee.fpu.top == 7)

        rig.c.fninit()
        rig.control = 0x37E
        for n: Int64 in 1...8 { try rig.push(n) }
        try rig.fpu(0xD9, 0xE8)
        #expect(rig.c.st(0) == F80(integer: 8))
        #expect(rig.c.v.pointee.fpu.top == 0)
        #expect(rig.status & FSW.es != 0)
    }

    @Test("reading an empty register underflows, C1 clear; SF is sticky")
    func stackUnderflow() throws {
        let rig = try FPURig()
        try rig.push(1)
        try rig.fpu(0xD8, 0xC1)
        #expect(rig.status & (FSW.ie | FSW.sf | FSW.c1) == FSW.ie | FSW.sf)
        #expect(rig.c.st(0) == .indefinite)
        try rig.fpu(0xD9, 0xE8)
        #expect(rig.status & FSW.sf != 0)
        try rig.fpu(0xDB, 0xE2)
        #expect(rig.status & (FSW.ie | FSW.sf) == 0)
    }

    @Test("stores of an empty register write the indefinite of their format")
    func emptyStores() throws {
        for (opcode, reg, bytes, expected) in [
            (0xD9, 2, 4, 0xFFC0_0000), (0xDD, 2, 8, 0xFFF8_0000_0000_0000), (0xDF, 2, 2, 0x8000), (0xDB, 2, 4, 0x8000_0000),
            (0xDF, 7, 8, 0x8000_0000_0000_0000),
        ] as [(UInt8, UInt8, UInt64, UInt64)] {
            let rig = try FPURig()
            try rig.fpu(opcode, reg, at: 0x1000)
            #expect(rig.load(0x1000, UInt64.self) == expected)
            #expect(rig.load(0x1000 + Int(bytes), UInt64.self) == 0)
            #expect(rig.status & (FSW.ie | FSW.sf) == FSW.ie | FSW.sf)
        }
        let rig = try FPURig()
        try rig.fpu(0xDF, 6, at: 0x1000)
        #expect(rig.load80(0x1000) == F80(0xC000_0000_0000_0000, 0xFFFF))
        #expect(rig.c.v.pointee.fpu.top == 1)
    }

    @Test("a pending exception stops the next waiting instruction with #MF, not the others")
    func pending() throws {
        let rig = try FPURig()
        rig.control = 0x37B
        try rig.push(1)
        try rig.push(0)
        try rig.fpu(0xD8, 0xF9)  // 1/0
        #expect(rig.status & FSW.es != 0)
        #expect(throws: Fault.x87) { try rig.fpu(0xD9, 0xE8) }
        #expect(throws: Fault.x87) { try rig.fpu(0xD9, 0xD0) }  // FNOP waits
        #expect(throws: Fault.x87) { try fwait(rig.c) }
        #expect(throws: Fault.x87) { try rig.mmx(0x77, 0xC0) }
        try rig.fpu(0xDF, 0xE0)  // FNSTSW AX
        #expect(rig.c.ax & FSW.es != 0)
        try rig.fpu(0xD9, 7, at: 0x1000)  // FNSTCW
        try rig.fpu(0xDD, 7, at: 0x1002)  // FNSTSW m16
        #expect(rig.load(0x1002, UInt16.self) == rig.c.ax)
        try rig.fpu(0xDB, 0xE0)  // FENI
        try rig.fpu(0xDB, 0xE2)  // FNCLEX
        #expect(rig.status & (FSW.es | FSW.busy | FSW.exceptions) == 0)
        try rig.fpu(0xD9, 0xE8)
    }

    @Test("unmasking by FLDCW makes an old flag pending; masking again withdraws it")
    func unmasking() throws {
        let rig = try FPURig()
        try rig.push(1)
        try rig.push(0)
        try rig.fpu(0xD8, 0xF9)
        #expect(rig.status & (FSW.ze | FSW.es) == FSW.ze)
        rig.store(UInt16(0x37B), at: 0x1000)
        try rig.fpu(0xD9, 5, at: 0x1000)
        #expect(rig.status & FSW.es != 0)
        #expect(throws: Fault.x87) { try fwait(rig.c) }
        rig.c.setFPUControl(0x37F)
        #expect(rig.status & FSW.es == 0)
        try fwait(rig.c)
    }

    @Test("CR0.NE clear: FERR# goes up at the next waiting instruction and down with FNCLEX")
    func ferr() throws {
        let rig = try FPURig()
        rig.c.v.pointee.cr0 &= ~CR0.ne
        rig.control = 0x37B
        try rig.push(1)
        try rig.push(0)
        try rig.fpu(0xD8, 0xF9)
        #expect(rig.bus.ferr.isEmpty)
        try rig.fpu(0xD9, 0xE8)  // goes on: no interrupt came
        #expect(rig.bus.ferr == [true])
        #expect(rig.c.st(0) == one)
        try rig.fpu(0xDB, 0xE2)
        #expect(rig.bus.ferr == [true, false])
    }

    @Test("with CR0.NE clear the instruction is backed out when the interrupt can be taken at once")
    func ferrFreezes() throws {
        let rig = try FPURig()
        rig.c.v.pointee.cr0 &= ~CR0.ne
        rig.control = 0x37B
        try rig.push(1)
        try rig.push(0)
        try rig.fpu(0xD8, 0xF9)
        rig.c.t.pointee.intr = true
        rig.c.v.pointee.systemFlags |= EFlags.if
        rig.c.t.pointee.instructionRIP = 0x1234
        rig.c.rip = 0x1236
        try rig.fpu(0xD9, 0xE8)
        #expect(rig.c.rip == 0x1234)
        #expect(rig.c.t.pointee.leaveBlock)
        #expect(rig.c.v.pointee.fpu.top == 6)
    }

    @Test("CR0.EM and TS raise #NM; WAIT only with MP and TS")
    func deviceNotAvailable() throws {
        for bit in [CR0.em, CR0.ts] {
            let rig = try FPURig()
            rig.c.v.pointee.cr0 |= bit
            #expect(throws: Fault.deviceNotAvailable) { try rig.fpu(0xD9, 0xE8) }
            #expect(throws: Fault.deviceNotAvailable) { try rig.fpu(0xDB, 0xE3) }  // FNINIT too
            #expect(throws: Fault.deviceNotAvailable) { try rig.fpu(0xD9, 1, at: 0x1000) }
        }
        let rig = try FPURig()
        rig.c.v.pointee.cr0 = CR0.pe | CR0.ts
        try fwait(rig.c)
        rig.c.v.pointee.cr0 = CR0.pe | CR0.ts | CR0.mp
        #expect(throws: Fault.deviceNotAvailable) { try fwait(rig.c) }
        rig.c.v.pointee.cr0 = CR0.pe | CR0.em | CR0.mp
        try fwait(rig.c)
    }

    @Test("reserved encodings raise #UD, also with an exception pending")
    func reserved() throws {
        let rig = try FPURig()
        let memory: [(UInt8, UInt8)] = [(0xD9, 1), (0xDB, 1), (0xDB, 4), (0xDB, 6), (0xDD, 1), (0xDD, 5), (0xDF, 1)]
        var register: [(UInt8, ClosedRange<UInt8>)] = [
            (0xD9, 0xD1...0xD7), (0xD9, 0xE2...0xE3), (0xD9, 0xE6...0xE7), (0xD9, 0xEF...0xEF), (0xDA, 0xE0...0xE8), (0xDA, 0xEA...0xFF),
        ]
        register += [
            (0xDB, 0xE5...0xE7), (0xDB, 0xF8...0xFF), (0xDD, 0xF0...0xFF), (0xDE, 0xD8...0xD8), (0xDE, 0xDA...0xDF), (0xDF, 0xE1...0xE7),
            (0xDF, 0xF8...0xFF),
        ]
        for pending in [false, true] {
            if pending { rig.c.v.pointee.fpu.status |= FSW.es }
            for (opcode, reg) in memory { #expect(throws: Fault.invalidOpcode) { try rig.fpu(opcode, reg, at: 0x1000) } }
            for (opcode, range) in register {
                for modrm in range { #expect(throws: Fault.invalidOpcode) { try rig.fpu(opcode, modrm) } }
            }
        }
    }

    @Test("a memory fault leaves registers, flags and pointers as they were")
    func memoryFaults() throws {
        let rig = try FPURig()
        try rig.push(F80(.max, 0x3FFF))
        rig.c.v.pointee.seg[Seg.ds].limit = 0xFFF
        let before = rig.c.v.pointee.fpu
        for (opcode, reg, bytes) in [
            (0xD8, 0, 4), (0xDC, 1, 8), (0xD9, 0, 4), (0xDB, 5, 10), (0xDB, 7, 10), (0xD9, 3, 4), (0xDD, 3, 8), (0xDF, 7, 8), (0xDF, 6, 10),
            (0xD9, 4, 28), (0xD9, 6, 28), (0xDD, 4, 108), (0xDD, 6, 108), (0xD9, 5, 2), (0xDF, 4, 10),
        ] as [(UInt8, UInt8, Int32)] {
            #expect(throws: Fault.generalProtection) { try rig.fpu(opcode, reg, at: 0x1000 - bytes + 1) }
            let after = rig.c.v.pointee.fpu
            #expect(after.status == before.status && after.top == before.top && after.empty == before.empty)
            #expect(after.opcode == before.opcode && after.dataPointer == before.dataPointer && after.control == before.control)
            #expect(after.significand[7] == before.significand[7])
        }
    }
}
