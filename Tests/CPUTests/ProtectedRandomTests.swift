import Testing

@testable import CPU

/// Random tables and random code: the guest may hang, halt or shut down, the host may do none of these.
@Suite("cpu · random privileged code") struct ProtectedRandomTests {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// Opcodes of segments, far transfers, tables, control registers, flags and interrupts, for every other instruction.
    static let favourites: [[UInt8]] = [
        [0x8E], [0x8C], [0x07], [0x17], [0x1F], [0x0F, 0xA1], [0x0F, 0xA9], [0x06], [0x0E], [0xEA], [0x9A], [0xFF, 0x2D], [0xFF, 0x1D], [0xCA],
        [0xCB], [0xCF], [0xCD], [0xCC], [0xCE], [0xF1], [0x9C], [0x9D], [0xFA], [0xFB], [0x0F, 0x00], [0x0F, 0x01], [0x0F, 0x02], [0x0F, 0x03],
        [0x0F, 0x20], [0x0F, 0x22], [0x0F, 0x21], [0x0F, 0x23], [0x0F, 0x30], [0x0F, 0x32], [0x0F, 0x31], [0x0F, 0x34], [0x0F, 0x35], [0xC4],
        [0xC5], [0x0F, 0xB2], [0xF3, 0xA4], [0x6C], [0xEE], [0x62], [0x63], [0x50], [0x58], [0xB8], [0x66], [0x67],
    ]

    @Test("random machines run to their end", arguments: 0..<20)
    func randomMachines(group: Int) {
        for n in 0..<50 {
            var random = Random(state: UInt64(group * 1000 + n))
            let b = Bench()
            for table in [Bench.gdt, Bench.ldt, Bench.idt] {
                for at in stride(from: table + (table == Bench.gdt ? 0x80 : 0), to: table + 0x800, by: 8) where random.next() % 3 == 0 {
                    b.memory.store(at, random.next() & 0x000F_FFFF_FFFF_FFFF)
                }
            }
            b.c.v.pointee.gdtrLimit = 0x7FF
            for at in stride(from: Bench.tss, to: Bench.tss16 + 0x80, by: 2) where random.next() & 3 == 0 {
                b.memory.store(at, UInt16(truncatingIfNeeded: random.next()) & 0x7FF)
            }
            switch random.next() % 6 {
            case 0: b.enterReal()
            case 1: b.enter(ring: 3)
            case 2: b.enterV86(iopl: 3)
            case 3: b.enter(ring: 1)
            default: b.enter(ring: 0)
            }
            if random.next() & 1 == 0 && b.c.isProtected { b.enablePaging() }
            for r in 0..<8 where r != 4 { b.c.setGPR(r, UInt32(truncatingIfNeeded: random.next()) & (random.next() & 1 == 0 ? 0x7FF : .max)) }
            var code: [UInt8] = []
            while code.count < 2000 {
                if random.next() & 1 == 0 { code += Self.favourites.randomElement(using: &random) ?? [] }
                for _ in 0..<Int(random.next() % 6) { code.append(UInt8(truncatingIfNeeded: random.next())) }
            }
            b.code(0x1_0000, code)
            for vector in 0..<32 where random.next() & 1 == 0 {
                b.setVector(vector, to: Sel.code0, UInt32(0x1_0000 + random.next() % 1500), access: 0xEE)
            }
            let before = b.processor.retired
            b.execute(400)
            #expect(b.processor.retired - before <= 400)
        }
    }
}
