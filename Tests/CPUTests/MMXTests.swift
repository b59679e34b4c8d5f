import Primitives
import Testing

@testable import CPU

@Suite("mmx · registers, packed arithmetic, x87 aliasing") struct MMXTests {
    /// Lanes of `bits` bits, lowest first, sign-extended.
    static func lanes(_ value: UInt64, _ bits: Int) -> [Int64] {
        (0..<(64 / bits)).map { Int64(bitPattern: value << UInt64(64 - bits * ($0 + 1))) >> Int64(64 - bits) }
    }

    static func pack(_ lanes: [Int64], _ bits: Int) -> UInt64 {
        lanes.enumerated().reduce(0) { $0 | (UInt64(bitPattern: $1.element) & (1 << UInt64(bits) - 1)) << UInt64(bits * $1.offset) }
    }

    static func unsigned(_ x: Int64, _ bits: Int) -> Int64 { x & (1 << Int64(bits) - 1) }
    static func clamp(_ x: Int64, _ low: Int64, _ high: Int64) -> Int64 { Swift.min(Swift.max(x, low), high) }

    /// The manual's definition, lane by lane, in plain integers; nil where the opcode has none.
    static func expected(_ opcode: UInt8, _ a: UInt64, _ b: UInt64) -> UInt64? {
        func map(_ bits: Int, _ body: (Int64, Int64) -> Int64) -> UInt64 {
            pack(zip(lanes(a, bits), lanes(b, bits)).map { body($0, $1) }, bits)
        }
        func mapUnsigned(_ bits: Int, _ body: (Int64, Int64) -> Int64) -> UInt64 {
            map(bits) { body(unsigned($0, bits), unsigned($1, bits)) }
        }
        func shift(_ bits: Int, _ body: (Int64, Int64) -> Int64, over: Int64?) -> UInt64 {
            pack(lanes(a, bits).map { b >= UInt64(bits) ? over ?? ($0 < 0 ? -1 : 0) : body($0, Int64(b)) }, bits)
        }
        func interleave(_ bits: Int, high: Bool) -> UInt64 {
            let half = 64 / bits / 2
            let x = lanes(a, bits), y = lanes(b, bits)
            return pack((0..<half).flatMap { [x[$0 + (high ? half : 0)], y[$0 + (high ? half : 0)]] }, bits)
        }
        switch opcode {
        case 0x60: return interleave(8, high: false)
        case 0x61: return interleave(16, high: false)
        case 0x62: return interleave(32, high: false)
        case 0x68: return interleave(8, high: true)
        case 0x69: return interleave(16, high: true)
        case 0x6A: return interleave(32, high: true)
        case 0x63: return pack((lanes(a, 16) + lanes(b, 16)).map { clamp($0, -128, 127) }, 8)
        case 0x67: return pack((lanes(a, 16) + lanes(b, 16)).map { clamp($0, 0, 255) }, 8)
        case 0x6B: return pack((lanes(a, 32) + lanes(b, 32)).map { clamp($0, -32768, 32767) }, 16)
        case 0x64: return map(8) { $0 > $1 ? -1 : 0 }
        case 0x65: return map(16) { $0 > $1 ? -1 : 0 }
        case 0x66: return map(32) { $0 > $1 ? -1 : 0 }
        case 0x74: return map(8) { $0 == $1 ? -1 : 0 }
        case 0x75: return map(16) { $0 == $1 ? -1 : 0 }
        case 0x76: return map(32) { $0 == $1 ? -1 : 0 }
        case 0xD1: return shift(16, { unsigned($0, 16) >> $1 }, over: 0)
        case 0xD2: return shift(32, { unsigned($0, 32) >> $1 }, over: 0)
        case 0xD3: return b > 63 ? 0 : a >> b
        case 0xE1: return shift(16, { $0 >> $1 }, over: nil)
        case 0xE2: return shift(32, { $0 >> $1 }, over: nil)
        case 0xF1: return shift(16, { $0 << $1 }, over: 0)
        case 0xF2: return shift(32, { $0 << $1 }, over: 0)
        case 0xF3: return b > 63 ? 0 : a << b
        case 0xD5: return map(16) { $0 * $1 }
        case 0xE5: return map(16) { ($0 * $1) >> 16 }
        case 0xF5:
            let products = zip(lanes(a, 16), lanes(b, 16)).map { $0 * $1 }
            return pack([products[0] + products[1], products[2] + products[3]], 32)
        case 0xD8: return mapUnsigned(8) { clamp($0 - $1, 0, 255) }
        case 0xD9: return mapUnsigned(16) { clamp($0 - $1, 0, 65535) }
        case 0xDC: return mapUnsigned(8) { clamp($0 + $1, 0, 255) }
        case 0xDD: return mapUnsigned(16) { clamp($0 + $1, 0, 65535) }
        case 0xE8: return map(8) { clamp($0 - $1, -128, 127) }
        case 0xE9: return map(16) { clamp($0 - $1, -32768, 32767) }
        case 0xEC: return map(8) { clamp($0 + $1, -128, 127) }
        case 0xED: return map(16) { clamp($0 + $1, -32768, 32767) }
        case 0xDB: return a & b
        case 0xDF: return ~a & b
        case 0xEB: return a | b
        case 0xEF: return a ^ b
        case 0xF8: return map(8) { $0 - $1 }
        case 0xF9: return map(16) { $0 - $1 }
        case 0xFA: return map(32) { $0 - $1 }
        case 0xFC: return map(8) { $0 + $1 }
        case 0xFD: return map(16) { $0 + $1 }
        case 0xFE: return map(32) { $0 + $1 }
        default: return nil
        }
    }

    @Test("every packed operation equals its definition lane by lane")
    func packed() {
        var g = Seeded(state: 31)
        let edges: [UInt64] = [
            0, .max, 0x8000_8000_8000_8000, 0x7FFF_7FFF_7FFF_7FFF, 0x8080_8080_8080_8080, 0x7F7F_7F7F_7F7F_7F7F, 0x8000_0000_8000_0000,
            0x0001_0001_0001_0001,
        ]
        for opcode in UInt8.min...UInt8.max {
            #expect((MMXTests.expected(opcode, 0, 0) != nil) == MMX.isDefined(opcode))
            #expect((MMX.result(opcode, 0, 0) != nil) == MMX.isDefined(opcode))
            guard MMX.isDefined(opcode) else { continue }
            let shifts = [0xD1, 0xD2, 0xD3, 0xE1, 0xE2, 0xF1, 0xF2, 0xF3].contains(opcode)
            for round in 0..<200 {
                let a = round < 64 ? edges[round & 7] : g.next()
                var b = round < 64 ? edges[round >> 3] : g.next()
                if shifts && round >= 64 { b = round & 7 == 0 ? b : b % 70 }
                #expect(MMX.result(opcode, a, b) == MMXTests.expected(opcode, a, b), "\(opcode.hex) \(a.hex) \(b.hex)")
            }
        }
    }

    @Test("MOVD and MOVQ between registers and memory; the exponent field becomes ones")
    func moves() throws {
        let rig = try FPURig()
        rig.c.ecx = 0x8765_4321
        try rig.mmx(0x6E, 0xD1)  // MOVD MM2, ECX
        #expect(rig.c.mm(2) == 0x8765_4321)
        #expect(rig.c.v.pointee.fpu.signExponent[2] == 0xFFFF)
        try rig.mmx(0x7E, 0xD3)  // MOVD EBX, MM2
        #expect(rig.c.ebx == 0x8765_4321)
        rig.store(UInt64(0x0123_4567_89AB_CDEF), at: 0x1000)
        try rig.mmx(0x6F, 3, at: 0x1000)
        try rig.mmx(0x6F, 0xE3)  // MOVQ MM4, MM3
        try rig.mmx(0x7F, 0xDD)  // MOVQ MM5, MM3
        #expect(rig.c.mm(4) == 0x0123_4567_89AB_CDEF && rig.c.mm(5) == rig.c.mm(4))
        try rig.mmx(0x7F, 5, at: 0x1008)
        try rig.mmx(0x7E, 5, at: 0x1010)
        #expect(rig.load(0x1008, UInt64.self) == 0x0123_4567_89AB_CDEF)
        #expect(rig.load(0x1010, UInt64.self) == 0x89AB_CDEF)
        try rig.mmx(0x6E, 6, at: 0x1004)
        #expect(rig.c.mm(6) == 0x0123_4567)
    }

    @Test("immediate shifts of the three groups; other reg fields and memory forms are #UD")
    func immediateShifts() throws {
        let rig = try FPURig()
        let value: UInt64 = 0x8123_4567_89AB_CDEF
        let defined: [(UInt8, UInt8, UInt8)] = [
            (0x71, 2, 0xD1), (0x71, 4, 0xE1), (0x71, 6, 0xF1), (0x72, 2, 0xD2), (0x72, 4, 0xE2), (0x72, 6, 0xF2),
            (0x73, 2, 0xD3), (0x73, 6, 0xF3),
        ]
        for opcode: UInt8 in 0x71...0x73 {
            for reg: UInt8 in 0...7 {
                if let row = defined.first(where: { $0.0 == opcode && $0.1 == reg }) {
                    for count: UInt8 in [0, 5, 16, 33, 64, 255] {
                        rig.c.setMM(1, value)
                        try rig.mmx(opcode, 0xC1 | reg << 3, imm: count)
                        #expect(rig.c.mm(1) == MMXTests.expected(row.2, value, UInt64(count)))
                    }
                } else {
                    #expect(throws: Fault.invalidOpcode) { try rig.mmx(opcode, 0xC1 | reg << 3, imm: 1) }
                }
                #expect(throws: Fault.invalidOpcode) { try rig.mmx(opcode, reg, at: 0x1000) }
            }
        }
    }

    @Test("every MMX instruction marks all registers valid and clears TOP; EMMS empties them")
    func aliasing() throws {
        let rig = try FPURig()
        try rig.push(1)
        try rig.push(2)
        #expect(rig.c.v.pointee.fpu.top == 6)
        let pointers = rig.c.v.pointee.fpu.opcode
        try rig.mmx(0x7E, 0xC0)  // reads MM0 only
        #expect(rig.c.v.pointee.fpu.top == 0 && rig.c.v.pointee.fpu.empty == 0)
        #expect(rig.c.v.pointee.fpu.opcode == pointers)
        #expect(rig.c.mm(7) == 1 << 63)  // significand of the 1.0 that lay in R7
        try rig.mmx(0x77, 0xC0)
        #expect(rig.c.v.pointee.fpu.empty == 0xFF)
        try rig.push(3)  // lands in R7
        #expect(rig.c.mm(7) == 0xC000_0000_0000_0000)
    }

    @Test("PUNPCKL from memory reads only four bytes")
    func shortOperand() throws {
        let rig = try FPURig()
        rig.c.v.pointee.seg[Seg.ds].limit = 0x1003
        rig.store(UInt32(0x4433_2211), at: 0x1000)
        rig.c.setMM(0, 0xDDCC_BBAA)
        try rig.mmx(0x60, 0, at: 0x1000)
        #expect(rig.c.mm(0) == 0x44DD_33CC_22BB_11AA)
        #expect(throws: Fault.generalProtection) { try rig.mmx(0x68, 0, at: 0x1000) }
    }

    @Test("EM is #UD before TS is #NM before a pending exception is #MF; faults change nothing")
    func faults() throws {
        let rig = try FPURig()
        try rig.push(1)
        let before = rig.c.v.pointee.fpu
        rig.c.v.pointee.fpu.status |= FSW.es
        #expect(throws: Fault.x87) { try rig.mmx(0xEF, 0xC0) }
        rig.c.v.pointee.cr0 |= CR0.ts
        #expect(throws: Fault.deviceNotAvailable) { try rig.mmx(0xEF, 0xC0) }
        rig.c.v.pointee.cr0 |= CR0.em
        #expect(throws: Fault.invalidOpcode) { try rig.mmx(0xEF, 0xC0) }
        rig.c.v.pointee.cr0 &= ~(CR0.ts | CR0.em)
        rig.c.v.pointee.fpu.status = 0
        rig.c.v.pointee.seg[Seg.ds].limit = 0xFFF
        for opcode: UInt8 in [0x6F, 0x7F, 0x7E, 0x6E, 0xFC] {
            #expect(throws: Fault.generalProtection) { try rig.mmx(opcode, 0, at: 0x1000) }
        }
        for opcode: UInt8 in [0x70, 0xC4, 0xD4, 0xD7, 0xE0, 0xF6, 0xFB, 0xFF] {
            #expect(throws: Fault.invalidOpcode) { try rig.mmx(opcode, 0xC0) }
        }
        #expect(rig.c.v.pointee.fpu.top == before.top && rig.c.v.pointee.fpu.empty == before.empty)
    }
}
