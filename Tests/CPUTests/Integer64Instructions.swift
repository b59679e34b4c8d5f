@testable import CPU

/// One function for each family of instructions.
extension Integer64Generator {
    private static let cf = EFlags.cf, pf = EFlags.pf, af = EFlags.af, zf = EFlags.zf, sf = EFlags.sf, of = EFlags.of

    /// LOCK, mostly where it is allowed.
    mutating func mayLock() {
        if chance(12) {
            prefixes.append(0xF0)
            aligned = true
        }
    }

    mutating func arithmetic() {
        let (op, bits) = (below(8), size())
        begin(bits)
        if op == 1 || op == 4 || op == 6 { made.undefined = Self.af }
        let wide = UInt8(bits == 8 ? 0 : 1)
        switch below(6) {
        case 0:
            if let r = rex, chance(2) { rex = r | UInt8(below(8)) }
            emit([UInt8(op << 3) | 4 | wide], immediate: bits == 8 ? 1 : bits == 16 ? 2 : 4)
        case 1:
            mayLock()
            modrm([UInt8(op << 3) | wide], bits)
        case 2: modrm([UInt8(op << 3) | 2 | wide], bits)
        case 3:
            mayLock()
            modrm([0x80 | wide], bits, digit: op, immediate: bits == 8 ? 1 : bits == 16 ? 2 : 4)
        case 4 where bits != 8:
            mayLock()
            modrm([0x83], bits, digit: op, immediate: 1)
        default: modrm([UInt8(op << 3) | UInt8(below(2) * 2) | wide], bits, .register)
        }
    }

    mutating func test() {
        let bits = size()
        begin(bits)
        made.undefined = Self.af
        let wide = UInt8(bits == 8 ? 0 : 1)
        switch below(3) {
        case 0: emit([0xA8 | wide], immediate: bits == 8 ? 1 : bits == 16 ? 2 : 4)
        case 1: modrm([0xF6 | wide], bits, digit: below(2), immediate: bits == 8 ? 1 : bits == 16 ? 2 : 4)
        default: modrm([0x84 | wide], bits)
        }
    }

    mutating func move() {
        let bits = size()
        begin(bits)
        let wide = UInt8(bits == 8 ? 0 : 1)
        switch below(5) {
        case 0: modrm([0x88 | wide], bits)
        case 1: modrm([0x8A | wide], bits)
        case 2: modrm([0xC6 | wide], bits, digit: 0, immediate: bits == 8 ? 1 : bits == 16 ? 2 : 4)
        case 3:
            let n = bits == 8 ? byteRegister() : register()
            if n >= 8 { rex = (rex ?? 0x40) | 1 }
            emit([(bits == 8 ? 0xB0 : 0xB8) | UInt8(n & 7)], immediate: bits / 8)
        default:
            let target = VectorRig.placedData &+ UInt64(bitPattern: Int64(below(160) - 80))
            let short = chance(3)
            if short { prefixes.append(0x67) }
            emit([0xA0 | UInt8(below(2) * 2) | wide], (0..<(short ? 4 : 8)).map { UInt8(truncatingIfNeeded: target >> UInt64(8 * $0)) })
        }
    }

    mutating func extend() {
        let bits = wide()
        begin(bits)
        switch below(5) {
        case 0: modrm([0x0F, 0xB6], bits, rmBits: 8)
        case 1: modrm([0x0F, 0xB7], bits)
        case 2: modrm([0x0F, 0xBE], bits, rmBits: 8)
        case 3: modrm([0x0F, 0xBF], bits)
        default: modrm([0x63], bits)
        }
    }

    mutating func address() {
        let bits = wide()
        begin(bits)
        modrm([0x8D], bits, chance(40) ? .register : .memory, free: true)
    }

    mutating func exchange() {
        let bits = size()
        begin(bits)
        if bits != 8 && chance(3) {
            let n = register()
            if n >= 8 { rex = (rex ?? 0x40) | 1 }
            emit([0x90 | UInt8(n & 7)], [])
        } else {
            aligned = true
            if chance(12) { prefixes.append(0xF0) }
            modrm([bits == 8 ? 0x86 : 0x87], bits)
        }
    }

    mutating func unary() {
        let bits = size()
        begin(bits)
        mayLock()
        let wide = UInt8(bits == 8 ? 0 : 1)
        switch below(4) {
        case 0: modrm([0xFE | wide], bits, digit: 0)
        case 1: modrm([0xFE | wide], bits, digit: 1)
        case 2: modrm([0xF6 | wide], bits, digit: 2)
        default: modrm([0xF6 | wide], bits, digit: 3)
        }
    }

    mutating func multiply() {
        made.undefined = Self.sf | Self.zf | Self.af | Self.pf
        let bits = size()
        begin(bits)
        switch below(4) {
        case 0: modrm([bits == 8 ? 0xF6 : 0xF7], bits, digit: 4)
        case 1: modrm([bits == 8 ? 0xF6 : 0xF7], bits, digit: 5)
        case 2 where bits != 8: modrm([0x0F, 0xAF], bits)
        default:
            if bits == 8 { modrm([0xF6], bits, digit: 5) } else if chance(2) { modrm([0x6B], bits, immediate: 1) } else {
                modrm([0x69], bits, immediate: bits == 16 ? 2 : 4)
            }
        }
    }

    mutating func divide() {
        made.undefined = EFlags.arithmetic
        let bits = size()
        begin(bits)
        let signed = chance(2)
        // Mostly a dividend that fits: its high half small, or the sign of its low half.
        if !chance(5) {
            pinned = [0, 2]
            if bits == 8 {
                made.start.gpr[0] = value() & ~0xFF00 | (chance(2) ? UInt64(below(4)) << 8 : chance(2) ? 0xFF00 : 0)
            } else {
                let negative = signed && made.start.gpr[0] >> UInt64(bits - 1) & 1 != 0
                made.start.gpr[2] = negative ? .max : chance(3) ? UInt64(below(3)) : 0
                if chance(4) && bits == 64 { made.start.gpr[2] = UInt64(below(1 << 30)) }
            }
        }
        modrm([bits == 8 ? 0xF6 : 0xF7], bits, digit: signed ? 7 : 6)
    }

    mutating func shift() {
        let bits = size()
        begin(bits)
        let (kind, wide, mask) = (below(8), UInt8(bits == 8 ? 0 : 1), bits == 64 ? 63 : 31)
        var count = chance(3) ? below(256) : below(bits + 2)
        switch below(3) {
        case 0:
            count = 1
            modrm([0xD0 | wide], bits, digit: kind)
        case 1:
            modrm([0xC0 | wide], bits, digit: kind, last: [UInt8(count)])
        default:
            made.start.gpr[1] = value() & ~0xFF | UInt64(count)
            pinned = [1]
            modrm([0xD2 | wide], bits, digit: kind)
        }
        count &= mask
        if count == 0 { return }
        if kind < 4 {
            if count != 1 { made.undefined = Self.of }
        } else {
            made.undefined = Self.af | (count != 1 ? Self.of : 0)
            if kind != 7 && count >= bits { made.undefined |= Self.cf }
        }
    }

    mutating func doubleShift() {
        let bits = wide()
        begin(bits)
        let right = UInt8(below(2) * 8)
        var count = below(256)
        // Beyond the operand's width everything is undefined.
        if bits == 16 && count & 31 > 16 { count &= ~16 }
        if bits == 16 && count & 31 > 16 { count = 16 }
        if chance(2) {
            modrm([0x0F, 0xA4 | right], bits, last: [UInt8(count)])
        } else {
            made.start.gpr[1] = value() & ~0xFF | UInt64(count)
            pinned = [1]
            modrm([0x0F, 0xA5 | right], bits)
        }
        count &= bits == 64 ? 63 : 31
        if count != 0 { made.undefined = Self.af | (count != 1 ? Self.of : 0) }
    }

    mutating func bitTest() {
        made.undefined = Self.of | Self.sf | Self.af | Self.pf
        let (bits, kind) = (wide(), below(4))
        begin(bits)
        if chance(2) {
            if kind != 0 { mayLock() }
            modrm([0x0F, 0xBA], bits, digit: 4 + kind, immediate: 1)
        } else if chance(2) {
            modrm([0x0F, UInt8(0xA3 + 8 * kind)], bits, .register)
        } else {
            // The bit's number moves the operand: at most 16 bytes.
            let n = register()
            let high = bits == 64 ? 0 : value() << UInt64(bits)
            let offset = UInt64(bitPattern: Int64(below(256) - 128))
            made.start.gpr[n] = bits == 64 ? offset : offset & (1 << UInt64(bits) - 1) | high
            pinned = [n]
            modrm([0x0F, UInt8(0xA3 + 8 * kind)], bits, .memory, keeping: n)
        }
    }

    mutating func scan() {
        let bits = wide()
        begin(bits)
        made.undefined = EFlags.arithmetic & ~Self.zf
        let found = modrm([0x0F, UInt8(0xBC + below(2))], bits)
        if bits == 32 { made.scanned = found.reg }
    }

    mutating func compareExchange() {
        switch below(4) {
        case 0:
            let wide = chance(2)
            begin(wide ? 64 : 32, plain66: false)
            mayLock()
            aligned = wide && !chance(8) || aligned
            let equal = chance(2)
            pinned = equal ? [0, 2] : []
            modrm([0x0F, 0xC7], 32, digit: 1, chance(20) ? .register : .memory)
            if equal {
                // All of memory is one pattern, which EDX:EAX holds.
                let (low, high) = (value(), value())
                made.start.gpr[0] = wide ? low : low & 0xFFFF_FFFF | random.next() << 32
                made.start.gpr[2] = wide ? high : low >> 32 | random.next() << 32
                for n in 0..<32 {
                    let word = wide && n & 1 == 1 ? high : low
                    for k in 0..<8 { made.start.memory[8 * n + k] = UInt8(truncatingIfNeeded: word >> UInt64(8 * k)) }
                }
            }
        case 1:
            let bits = size()
            begin(bits)
            mayLock()
            modrm([0x0F, bits == 8 ? 0xC0 : 0xC1], bits)
        default:
            let bits = size()
            begin(bits)
            mayLock()
            pinned = [0]
            if chance(2) {
                // One byte everywhere: equal.
                made.start.gpr[0] = [0, 0xA5A5_A5A5_A5A5_A5A5, .max][below(3)]
                for n in 0..<made.start.memory.count { made.start.memory[n] = UInt8(truncatingIfNeeded: made.start.gpr[0]) }
            }
            let found = modrm([0x0F, bits == 8 ? 0xB0 : 0xB1], bits)
            if let rm = found.rm, bits != 8, rm != 0, chance(2) { made.start.gpr[rm] = made.start.gpr[0] & 0xFFFF_FFFF | made.start.gpr[rm] & ~0xFFFF_FFFF }
        }
    }

    mutating func conditional() {
        let code = UInt8(below(16))
        if chance(2) {
            begin(8)
            modrm([0x0F, 0x90 | code], 8, digit: 0)
        } else {
            let bits = wide()
            begin(bits)
            modrm([0x0F, 0x40 | code], bits)
        }
    }

    mutating func convert() {
        let bits = wide()
        begin(bits)
        emit([UInt8(0x98 + below(2))], [])
    }

    mutating func string() {
        let (bits, kind) = (size(), below(5))
        begin(bits)
        for n in [6, 7] {
            made.start.gpr[n] = VectorRig.placedData &+ UInt64(bitPattern: Int64(below(64) - 32))
        }
        if chance(4) {
            prefixes.append(0x67)
            for n in [6, 7] { made.start.gpr[n] |= random.next() << 32 }
        }
        if chance(2) {
            prefixes.append(UInt8(0xF2 + below(2)))
            made.start.gpr[1] = UInt64(1 + below(6))
            // A comparison that goes on for a while.
            if chance(2) { for n in 0..<made.start.memory.count { made.start.memory[n] = n & 15 == 0 ? 1 : 0 } }
            if chance(2) { made.start.gpr[0] = 0 }
        }
        emit([[0xA4, 0xA6, 0xAA, 0xAC, 0xAE][kind] | (bits == 8 ? 0 : 1)], [])
    }

    /// PUSH and POP; what was pushed does not depend on RSP.
    mutating func stack() {
        let narrow = chance(4)
        for pop in [false, true] {
            if narrow { prefixes.append(0x66) }
            if chance(3) { rex = narrow ? 0x40 : 0x40 | UInt8(below(2) * 8) }
            switch below(pop ? 2 : 4) {
            case 0:
                let n = register()
                if n >= 8 { rex = (rex ?? 0x40) | 1 }
                emit([(pop ? 0x58 : 0x50) | UInt8(n & 7)], [])
            case 1:
                // The second operand's address must not change the first one's registers.
                if pop {
                    let n = register()
                    if n >= 8 { rex = (rex ?? 0x40) | 1 }
                    tail = [0xC0 | UInt8(n & 7)]
                    emit([0x8F], [])
                } else {
                    modrm([0xFF], narrow ? 16 : 64, digit: 6)
                }
            case 2: emit([0x6A], immediate(1))
            default: emit([0x68], immediate(narrow ? 2 : 4))
            }
        }
    }

    /// A conditional jump over MOV EAX, imm32.
    mutating func jump() {
        if chance(3) { rex = UInt8(0x40 + below(16)) }
        switch below(4) {
        case 0: emit([0x0F, 0x80 | UInt8(below(16))], [5, 0, 0, 0])
        case 1:
            if chance(2) { prefixes.append(0x67) }
            made.start.gpr[1] = chance(2) ? UInt64(below(3)) : random.next() << 32 | UInt64(below(2))
            emit([UInt8(0xE0 + below(4))], [5])
        default: emit([0x70 | UInt8(below(16))], [5])
        }
        emit([0xB8], immediate(4))
    }

    mutating func odds() {
        switch below(10) {
        case 0:
            let wide = chance(2)
            begin(wide ? 64 : 32)
            let n = register()
            if n >= 8 { rex = (rex ?? 0x40) | 1 }
            emit([0x0F, 0xC8 | UInt8(n & 7)], [])
        case 1: emit([[0x9E, 0x9F, 0xF5, 0xF8, 0xF9, 0xFC, 0xFD, 0x90][below(8)]], [])
        case 2:
            let target = VectorRig.placedData
            made.start.gpr[3] = target &- (made.start.gpr[0] & 0xFF)
            if chance(2) {
                prefixes.append(0x67)
                made.start.gpr[3] |= random.next() << 32
            }
            if chance(2) { rex = 0x48 }
            emit([0xD7], [])
        case 3:
            // Not valid in 64-bit mode.
            emit([[0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x60, 0x61, 0x9A, 0xCE, 0xD4, 0xD6, 0xEA][below(18)]], immediate(6))
        case 4:
            let bits = wide()
            begin(bits)
            modrm([0x0F, 0x1F], bits, digit: below(8))
        case 5 where chance(2):
            // Not canonical: #GP, with RBP as base #SS.
            let n = chance(2) ? 5 : register()
            made.start.gpr[n] = 0x7FFF_FFFF_FFFF_FFFF & random.next() | 1 << 62
            rex = n >= 8 ? 0x49 : 0x48
            tail = n & 7 == 4 ? [0x44, 0x24, 0] : [UInt8(0x40 | (n & 7)), 0]
            emit([0x8B], [])
        case 6:
            // REX before another prefix has no effect.
            made.bytes = [UInt8(0x40 + below(16))]
            prefixes = [[0x66, 0x2E, 0x3E][below(3)]]
            let bits = prefixes[0] == 0x66 ? 16 : 32
            modrm([0x03], bits)
        case 7:
            let bits = chance(2) ? 32 : 64
            begin(bits, plain66: false)
            modrm([0x0F, 0xC3], bits, .memory)
        default:
            // Two instructions that hand flags on: the lazy flags of one are read by the other.
            if chance(4) { test() } else { arithmetic() }
            if made.undefined == 0 && chance(4) {
                rex = 0x48
                modrm([[0x11, 0x13, 0x19, 0x1B][below(4)]], 64, .register)
            } else if chance(2) {
                emit([0x70 | UInt8(below(16))], [5])
                emit([0xB8], immediate(4))
            } else {
                rex = 0x40
                modrm([0x0F, 0x90 | UInt8(below(16))], 8, digit: 0, .register)
            }
        }
    }
}
