import Primitives
import Testing

@testable import CPU

private let rounding: [UInt16] = [0, FCW.down, FCW.up, FCW.chop]
private func power(_ n: Int) -> F80 { F80(1 << 63, UInt16(16383 + n)) }

@Suite("x87 · loads, stores, conversions") struct FPUTransferTests {
    @Test("constants are rounded from their infinite expansions by RC")
    func constants() throws {
        // Truncated significand, exponent, and whether the nearest value is the next one up. The bits that follow are
        // 492B… (log2 10), BBBE… (log2 e), C4C6… (π), 8F89… (log10 2), C9E3… (ln 2).
        let table: [(UInt8, UInt64, UInt16, Bool)] = [
            (0xE9, 0xD49A_784B_CD1B_8AFE, 0x4000, false), (0xEA, 0xB8AA_3B29_5C17_F0BB, 0x3FFF, true),
            (0xEB, 0xC90F_DAA2_2168_C234, 0x4000, true), (0xEC, 0x9A20_9A84_FBCF_F798, 0x3FFD, true),
            (0xED, 0xB172_17F7_D1CF_79AB, 0x3FFE, true),
        ]
        for (modrm, floor, exponent, nearestUp) in table {
            for (mode, up) in zip(rounding, [nearestUp, false, true, false]) {
                let rig = try FPURig()
                rig.control = 0x37F | mode
                try rig.fpu(0xD9, modrm)
                #expect(rig.c.st(0) == F80(floor + (up ? 1 : 0), exponent))
                #expect(rig.status & FSW.exceptions == 0)
            }
        }
        let rig = try FPURig()
        try rig.fpu(0xD9, 0xE8)
        try rig.fpu(0xD9, 0xEE)
        #expect(rig.c.st(0) == .zero && rig.c.st(1) == power(0))
    }

    @Test("single and double round trips are exact for every kind of number")
    func roundTrips() throws {
        let rig = try FPURig()
        var g = Seeded(state: 5)
        for _ in 0..<2000 {
            let bits = g.next()
            let x = Double(bitPattern: bits)
            guard !x.isNaN else { continue }
            rig.c.fninit()
            rig.store(bits, at: 0x1000)
            try rig.fpu(0xDD, 0, at: 0x1000)
            try rig.fpu(0xDD, 3, at: 0x1008)
            #expect(rig.load(0x1008, UInt64.self) == bits)
            #expect(rig.status & FSW.exceptions == (x.isSubnormal ? FSW.de : 0))
            let single = UInt32(truncatingIfNeeded: bits)
            let y = Float(bitPattern: single)
            guard !y.isNaN else { continue }
            rig.c.fninit()
            rig.store(single, at: 0x1000)
            try rig.fpu(0xD9, 0, at: 0x1000)
            try rig.fpu(0xD9, 3, at: 0x1008)
            #expect(rig.load(0x1008, UInt32.self) == single)
            #expect(rig.status & FSW.exceptions == (y.isSubnormal ? FSW.de : 0))
        }
    }

    @Test("narrowing rounds as Swift's own conversion does, to nearest")
    func narrowing() throws {
        let rig = try FPURig()
        var g = Seeded(state: 6)
        for _ in 0..<2000 {
            let x = Double(bitPattern: g.next() & 0x800F_FFFF_FFFF_FFFF | (1023 - 160 + g.next() % 320) << 52)
            rig.c.fninit()
            rig.store(x.bitPattern, at: 0x1000)
            try rig.fpu(0xDD, 0, at: 0x1000)
            try rig.fpu(0xD9, 3, at: 0x1008)
            let y = Float(x)
            #expect(rig.load(0x1008, UInt32.self) == y.bitPattern)
            #expect((rig.status & FSW.pe != 0) == (Double(y) != x))
            #expect((rig.status & FSW.oe != 0) == y.isInfinite)
            #expect((rig.status & FSW.c1 != 0) == (abs(Double(y)) > abs(x)))
        }
    }

    @Test("tininess is detected after rounding")
    func tininess() throws {
        // (1 - 2^-25) · 2^-126 lies half way between 2^-126 - 2^-150 and 2^-126 and goes to the even one, which is normal;
        // (1 - 2^-24) · 2^-126 has 24 bits, so it is tiny and, as a denormal, inexact.
        for (significand, exceptions) in [(0xFFFF_FF80_0000_0000, FSW.pe), (0xFFFF_FF00_0000_0000, FSW.pe | FSW.ue)] as [(UInt64, UInt16)] {
            let rig = try FPURig()
            try rig.push(F80(significand, UInt16(16383 - 127)))
            try rig.fpu(0xD9, 3, at: 0x1000)
            #expect(rig.load(0x1000, UInt32.self) == 0x0080_0000)
            #expect(rig.status & FSW.exceptions == exceptions)
        }
    }

    @Test("FIST rounds by RC; results that do not fit become the indefinite")
    func integerStores() throws {
        let table: [(Double, [Int16])] = [
            (0.5, [0, 0, 1, 0]), (1.5, [2, 1, 2, 1]), (2.5, [2, 2, 3, 2]), (-0.5, [0, -1, 0, 0]), (-1.5, [-2, -2, -1, -1]),
            (32767.25, [32767, 32767, .min, 32767]), (32767.5, [.min, 32767, .min, 32767]), (-32768.5, [-32768, .min, -32768, -32768]),
            (-32768, [.min, .min, .min, .min]), (1e300, [.min, .min, .min, .min]), (1e-300, [0, 0, 1, 0]),
        ]
        for (value, results) in table {
            for (mode, expected) in zip(rounding, results) {
                let rig = try FPURig()
                rig.control = 0x37F | mode
                rig.store(value.bitPattern, at: 0x1000)
                try rig.fpu(0xDD, 0, at: 0x1000)
                try rig.fpu(0xDF, 3, at: 0x1010)
                #expect(Int16(bitPattern: rig.load(0x1010, UInt16.self)) == expected, "\(value) mode \(mode.hex)")
                let fits = expected != .min || (value >= -32768.5 && value <= -32768 && mode != FCW.down) || value == -32768
                #expect((rig.status & FSW.ie == 0) == fits, "\(value) mode \(mode.hex)")
            }
        }
    }

    @Test("64-bit integers pass through unharmed, extremes included")
    func integers() throws {
        let rig = try FPURig()
        for value: Int64 in [.min, .max, .min + 1, -1, 0, 1, 0x7FFF_FFFF_FFFF_FC01, 1 << 62] {
            rig.c.fninit()
            rig.store(UInt64(bitPattern: value), at: 0x1000)
            try rig.fpu(0xDF, 5, at: 0x1000)
            try rig.fpu(0xDF, 7, at: 0x1008)
            #expect(Int64(bitPattern: rig.load(0x1008, UInt64.self)) == value)
            #expect(rig.status & FSW.exceptions == 0)
        }
    }

    @Test("packed decimal: 18 digits, sign, rounding, and the indefinite beyond")
    func bcd() throws {
        let rig = try FPURig()
        rig.store(UInt64(0x9876_5432_1098_7654), at: 0x1000)
        rig.store(UInt16(0x8032), at: 0x1008)
        try rig.fpu(0xDF, 4, at: 0x1000)
        #expect(rig.c.st(0) == F80(integer: -329_876_543_210_987_654))
        try rig.fpu(0xDF, 6, at: 0x1010)
        #expect(rig.load(0x1010, UInt64.self) == 0x9876_5432_1098_7654)
        #expect(rig.load(0x1018, UInt16.self) == 0x8032)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
        try rig.push(1_000_000_000_000_000_000)
        try rig.fpu(0xDF, 6, at: 0x1010)
        #expect(rig.load80(0x1010) == F80(0xC000_0000_0000_0000, 0xFFFF))
        #expect(rig.status & FSW.ie != 0)
    }

    @Test("FLD m80 and FSTP m80 move any image without looking at it")
    func extended() throws {
        let rig = try FPURig()
        for image in [F80(0x8000_0000_0000_0001, 0x7FFF), F80(1, 0x4000), F80(1, 0), F80(0, 0xFFFF)] {
            rig.c.fninit()
            rig.store(image, at: 0x1000)
            try rig.fpu(0xDB, 5, at: 0x1000)
            try rig.fpu(0xDB, 7, at: 0x1010)
            #expect(rig.load80(0x1010) == image)
            #expect(rig.status & FSW.exceptions == 0)
        }
    }

    @Test("an m80 operand may straddle pages")
    func straddle() throws {
        let rig = try FPURig()
        let image = F80(0x8123_4567_89AB_CDEF, 0x4001)
        for offset in 0xFF5...0xFFF {
            rig.c.fninit()
            try rig.push(image)
            try rig.fpu(0xDB, 7, at: Int32(0x2000 + offset))
            try rig.fpu(0xDB, 5, at: Int32(0x2000 + offset))
            #expect(rig.c.st(0) == image)
        }
    }

    @Test("FXCH, FLD, FST and FFREE between registers, tags included")
    func registers() throws {
        let rig = try FPURig()
        try rig.push(1)
        try rig.push(2)
        try rig.push(3)
        try rig.fpu(0xD9, 0xCA)
        #expect(rig.c.st(0) == F80(integer: 1) && rig.c.st(2) == F80(integer: 3))
        try rig.fpu(0xD9, 0xC1)
        #expect(rig.c.st(0) == F80(integer: 2))
        try rig.fpu(0xDD, 0xD7)  // FST ST(7)
        #expect(!rig.c.isEmpty(7))
        try rig.fpu(0xDD, 0xC7)  // FFREE ST(7)
        #expect(rig.c.isEmpty(7))
        try rig.fpu(0xDD, 0xDB)  // FSTP ST(3)
        #expect(rig.c.st(2) == F80(integer: 2))
        try rig.fpu(0xD9, 0xF6)  // FDECSTP turns, no register changes
        #expect(rig.c.isEmpty(0) && rig.c.st(1) == F80(integer: 1))
        try rig.fpu(0xD9, 0xF7)
        #expect(rig.c.st(0) == F80(integer: 1))
        try rig.fpu(0xDF, 0xC0)  // FFREEP
        #expect(rig.c.st(0) == F80(integer: 2))
    }

    @Test("undocumented aliases behave as their documented twins")
    func aliases() throws {
        for modrm: UInt8 in [0xD0, 0xD8] {  // DF D0, DF D8: FSTP
            let rig = try FPURig()
            try rig.push(1)
            try rig.push(2)
            try rig.fpu(0xDF, modrm + 1)
            #expect(rig.c.st(0) == F80(integer: 2) && rig.c.v.pointee.fpu.top == 7)
        }
        for opcode: UInt8 in [0xDD, 0xDF] {  // FXCH
            let rig = try FPURig()
            try rig.push(1)
            try rig.push(2)
            try rig.fpu(opcode, 0xC9)
            #expect(rig.c.st(0) == F80(integer: 1))
        }
        for (opcode, modrm, pops) in [(0xDC, 0xD1, 0), (0xDC, 0xD9, 1), (0xDE, 0xD1, 1)] as [(UInt8, UInt8, UInt8)] {  // FCOM, FCOMP
            let rig = try FPURig()
            try rig.push(1)
            try rig.push(-2)
            try rig.fpu(opcode, modrm)
            #expect(rig.status & FSW.unordered == FSW.c0)
            #expect(rig.c.v.pointee.fpu.top == 6 + pops)
        }
    }

    @Test("FCMOV moves on its condition and leaves the flags alone", arguments: [0, 1, 2, 3])
    func conditionalMoves(_ condition: UInt8) throws {
        let masks = [EFlags.cf, EFlags.zf, EFlags.cf | EFlags.zf, EFlags.pf]
        for flags: UInt32 in [0, EFlags.cf, EFlags.zf, EFlags.pf, EFlags.cf | EFlags.zf] {
            for opcode: UInt8 in [0xDA, 0xDB] {
                let rig = try FPURig()
                rig.c.setArithmeticFlags(flags)
                try rig.push(1)
                try rig.push(2)
                try rig.fpu(opcode, 0xC1 | condition << 3)
                let moves = (flags & masks[Int(condition)] != 0) == (opcode == 0xDA)
                #expect(rig.c.st(0) == F80(integer: moves ? 1 : 2))
                #expect(rig.c.eflags & EFlags.arithmetic == flags)
            }
        }
    }
}

@Suite("x87 · comparison and classification") struct FPUCompareTests {
    static let unordered = FSW.c3 | FSW.c2 | FSW.c0

    @Test("the order of numbers across signs, exponents and kinds")
    func order() throws {
        let infinity = F80(1 << 63, 0x7FFF)
        let ascending: [F80] = [
            F80(1 << 63, 0xFFFF), F80(.max, 0xFFFE), F80(integer: -2), F80(integer: -1), F80(.max, 0xBFFE), F80(1, 0x8000), .zero,
            F80(1, 0), F80(1 << 63, 1), F80(integer: 1), F80(0x8000_0000_0000_0001, 0x3FFF), F80(integer: 2), F80(.max, 0x7FFE), infinity,
        ]
        for (i, x) in ascending.enumerated() {
            for (j, y) in ascending.enumerated() {
                for modrm: UInt8 in [0xD1, 0xE1] {  // FCOM, FUCOM
                    let rig = try FPURig()
                    try rig.push(y)
                    try rig.push(x)
                    try rig.fpu(modrm == 0xD1 ? 0xD8 : 0xDD, modrm)
                    #expect(rig.status & FSW.unordered == (i < j ? FSW.c0 : i == j ? FSW.c3 : 0))
                    let rig2 = try FPURig()
                    rig2.c.setArithmeticFlags(EFlags.arithmetic)
                    try rig2.push(y)
                    try rig2.push(x)
                    try rig2.fpu(0xDB, modrm == 0xD1 ? 0xF1 : 0xE9)  // FCOMI, FUCOMI
                    #expect(rig2.c.eflags & EFlags.arithmetic == (i < j ? EFlags.cf : i == j ? EFlags.zf : 0))
                }
            }
        }
    }

    @Test("zeros are equal whatever their signs")
    func zeros() throws {
        let rig = try FPURig()
        try rig.push(F80(0, 0x8000))
        try rig.push(0)
        try rig.fpu(0xD8, 0xD1)
        #expect(rig.status & FSW.unordered == FSW.c3)
    }

    @Test("quiet NaNs: invalid for FCOM, only unordered for FUCOM; signalling ones invalid for both")
    func nans() throws {
        for (significand, opcode, modrm, invalid) in [
            (0xC000_0000_0000_0000, 0xD8, 0xD1, true), (0xC000_0000_0000_0000, 0xDD, 0xE1, false),
            (0xA000_0000_0000_0000, 0xDD, 0xE1, true), (0xC000_0000_0000_0000, 0xDB, 0xF1, true),
            (0xC000_0000_0000_0000, 0xDB, 0xE9, false),
        ] as [(UInt64, UInt8, UInt8, Bool)] {
            let rig = try FPURig()
            try rig.push(F80(significand, 0x7FFF))
            try rig.push(1)
            try rig.fpu(opcode, modrm)
            if opcode == 0xDB {
                #expect(rig.c.eflags & EFlags.arithmetic == EFlags.cf | EFlags.pf | EFlags.zf)
            } else {
                #expect(rig.status & FSW.unordered == FPUCompareTests.unordered)
            }
            #expect((rig.status & FSW.ie != 0) == invalid)
        }
    }

    @Test("memory comparisons, popping ones and FTST")
    func forms() throws {
        let rig = try FPURig()
        rig.store(Float(2).bitPattern, at: 0x1000)
        rig.store(UInt16(bitPattern: -5), at: 0x1004)
        try rig.push(2)
        try rig.fpu(0xD8, 2, at: 0x1000)
        #expect(rig.status & FSW.unordered == FSW.c3)
        try rig.fpu(0xD9, 0xE4)
        #expect(rig.status & FSW.unordered == 0)
        try rig.fpu(0xDE, 3, at: 0x1004)
        #expect(rig.status & FSW.unordered == 0)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
        try rig.push(7)
        try rig.push(7)
        try rig.fpu(0xDE, 0xD9)  // FCOMPP
        #expect(rig.status & FSW.unordered == FSW.c3)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
        #expect(rig.c.v.pointee.fpu.top == 0)
    }

    @Test("FXAM tells all seven classes and the sign")
    func examine() throws {
        let table: [(F80?, UInt16)] = [
            (F80(1, 0x4000), 0), (F80(0xC000_0000_0000_0000, 0x7FFF), FSW.c0), (F80(integer: 5), FSW.c2),
            (F80(1 << 63, 0x7FFF), FSW.c2 | FSW.c0), (.zero, FSW.c3), (nil, FSW.c3 | FSW.c0), (F80(1, 0), FSW.c3 | FSW.c2),
            (F80(1 << 63, 0), FSW.c3 | FSW.c2), (F80(0, 0x7FFF), 0),
        ]
        for (value, expected) in table {
            for sign: UInt16 in [0, 0x8000] {
                let rig = try FPURig()
                if let value {
                    try rig.push(F80(value.significand, value.signExponent | sign))
                } else {
                    rig.c.v.pointee.fpu.signExponent[0] = sign
                }
                try rig.fpu(0xD9, 0xE5)
                #expect(rig.status & FSW.conditions == expected | (sign != 0 ? FSW.c1 : 0))
                #expect(rig.status & FSW.exceptions == 0)
            }
        }
    }
}

@Suite("x87 · functions") struct FPUFunctionTests {
    @Test(
        "FRNDINT in every mode",
        arguments: [(2.5, [2.0, 2, 3, 2]), (-2.5, [-2, -3, -2, -2]), (3.5, [4, 3, 4, 3]), (-0.25, [-0.0, -1, -0.0, -0.0])])
    func roundToInteger(_ value: Double, _ results: [Double]) throws {
        for (mode, expected) in zip(rounding, results) {
            let rig = try FPURig()
            rig.control = 0x37F | mode
            rig.store(value.bitPattern, at: 0x1000)
            try rig.fpu(0xDD, 0, at: 0x1000)
            try rig.fpu(0xD9, 0xFC)
            #expect(rig.status & FSW.pe != 0)
            #expect((rig.status & FSW.c1 != 0) == (abs(expected) > abs(value)))
            try rig.fpu(0xDD, 3, at: 0x1000)
            #expect(rig.load(0x1000, UInt64.self) == expected.bitPattern)
        }
    }

    @Test("FPREM: remainders and quotient bits of integers")
    func remainder() throws {
        let rig = try FPURig()
        for a: Int64 in [0, 1, 5, 7, 29, 1_000_003, -29, -7] {
            for b: Int64 in [1, 3, 4, 7, -7] {
                rig.c.fninit()
                try rig.push(b)
                try rig.push(a)
                try rig.fpu(0xD9, 0xF8)
                let r = a % b
                #expect(rig.c.st(0) == (r == 0 && a < 0 ? F80(0, 0x8000) : F80(integer: r)))
                let q = UInt16(truncatingIfNeeded: (a / b).magnitude & 7)
                let bits = (q & 1 != 0 ? FSW.c1 : 0) | (q & 2 != 0 ? FSW.c3 : 0) | (q & 4 != 0 ? FSW.c0 : 0)
                #expect(rig.status & FSW.conditions == bits)
            }
        }
    }

    @Test("FPREM of far exponents reports C2 until the reduction is complete")
    func partialRemainder() throws {
        let rig = try FPURig()
        try rig.push(7)
        try rig.push(power(200))
        var steps = 0
        repeat {
            try rig.fpu(0xD9, 0xF8)
            steps += 1
        } while rig.status & FSW.c2 != 0 && steps < 100
        #expect(steps > 1 && steps < 10)
        #expect(rig.c.st(0) == F80(integer: 4))  // 2^200 = 2^(3·66+2), 8 ≡ 1 (mod 7)
    }

    @Test("FPREM1 rounds the quotient to nearest")
    func remainderNearest() throws {
        let rig = try FPURig()
        try rig.push(4)
        try rig.push(7)
        try rig.fpu(0xD9, 0xF5)
        #expect(rig.c.st(0) == F80(integer: -1))
    }

    @Test("FSCALE and FXTRACT take numbers apart and together exactly")
    func scale() throws {
        let rig = try FPURig()
        try rig.push(F80(0xD000_0000_0000_0000, 0x4005))  // 1.625 · 2^6
        try rig.fpu(0xD9, 0xF4)
        #expect(rig.c.st(0) == F80(0xD000_0000_0000_0000, 0x3FFF))
        #expect(rig.c.st(1) == F80(integer: 6))
        try rig.fpu(0xD9, 0xFD)
        #expect(rig.c.st(0) == F80(0xD000_0000_0000_0000, 0x4005))
        rig.c.fninit()
        try rig.push(0)
        try rig.fpu(0xD9, 0xF4)
        #expect(rig.status & FSW.exceptions == FSW.ze)
        #expect(rig.c.st(0) == .zero && rig.c.st(1) == F80(1 << 63, 0xFFFF))
    }

    @Test("transcendental functions at arguments with known values")
    func transcendentals() throws {
        func apply(_ modrm: UInt8, _ values: F80...) throws -> FPURig {
            let rig = try FPURig()
            for value in values { try rig.push(value) }
            try rig.fpu(0xD9, modrm)
            return rig
        }
        // The rig outlives the look at it.
        func top(_ modrm: UInt8, _ values: F80...) throws -> F80 {
            let rig = try FPURig()
            for value in values { try rig.push(value) }
            try rig.fpu(0xD9, modrm)
            return withExtendedLifetime(rig) { rig.c.st(0) }
        }
        let one = power(0)
        #expect(try top(0xFE, .zero) == .zero)
        #expect(try top(0xFF, .zero) == one)
        #expect(try top(0xF0, one) == one)  // 2^1 - 1
        #expect(try top(0xF1, one, F80(integer: 8)) == F80(integer: 3))  // 1 · log2 8
        #expect(try top(0xF3, one, one) == F80(0xC90F_DAA2_2168_C235, 0x3FFE))  // π/4
        #expect(try top(0xF9, one, .zero) == .zero)
        let tangent = try apply(0xF2, .zero)
        #expect(tangent.c.st(0) == one && tangent.c.st(1) == .zero)
        let both = try apply(0xFB, .zero)
        #expect(both.c.st(0) == one && both.c.st(1) == .zero)
        for modrm: UInt8 in [0xFE, 0xFF, 0xF2, 0xFB] {
            let far = try apply(modrm, power(63))
            #expect(far.status & FSW.c2 != 0)
            #expect(far.c.st(0) == power(63) && far.c.v.pointee.fpu.top == 7)
        }
    }

    @Test("sine and cosine stay within an ulp of the identity")
    func pythagoras() throws {
        for n: Int64 in 1...40 {
            let rig = try FPURig()
            try rig.push(n)
            try rig.fpu(0xD9, 0xFB)
            try rig.fpu(0xD8, 0xC8)  // cos²
            try rig.fpu(0xD9, 0xC9)
            try rig.fpu(0xD8, 0xC8)  // sin²
            try rig.fpu(0xDE, 0xC1)
            let x = rig.c.st(0)
            let above = x.signExponent == 0x3FFF && x.significand < 0x8000_0000_0000_0004
            #expect(above || x.signExponent == 0x3FFE && x.significand > .max - 8)
        }
    }

    @Test("functions of empty registers and full stacks fault")
    func stackFaults() throws {
        let rig = try FPURig()
        try rig.fpu(0xD9, 0xFE)
        #expect(rig.status & (FSW.ie | FSW.sf) == FSW.ie | FSW.sf && rig.c.st(0) == .indefinite)
        rig.c.fninit()
        for n: Int64 in 1...8 { try rig.push(n) }
        try rig.fpu(0xD9, 0xF2)
        #expect(rig.status & (FSW.ie | FSW.sf | FSW.c1) == FSW.ie | FSW.sf | FSW.c1)
        #expect(rig.c.st(0) == .indefinite && rig.c.st(1) == .indefinite && rig.c.v.pointee.fpu.top == 7)
    }

    @Test("the operand block has the layout that the routines address")
    func layout() {
        #expect(MemoryLayout<HostOperands>.offset(of: \.b) == 16)
        #expect(MemoryLayout<HostOperands>.offset(of: \.r) == 32)
        #expect(MemoryLayout<HostOperands>.offset(of: \.s) == 48)
        #expect(MemoryLayout<HostOperands>.offset(of: \.control) == 64)
        #expect(MemoryLayout<HostOperands>.offset(of: \.status) == 72)
        #expect(MemoryLayout<HostOperands>.offset(of: \.hostControl) == 80)
        #expect(HostFPU.machineCode().count == 64 * HostFPU.stride)
        #expect(HostFPU.isAvailable)
    }
}
