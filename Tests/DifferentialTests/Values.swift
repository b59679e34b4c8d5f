/// Starting values.
extension Chance {
    /// A data window full of what instructions find interesting: addresses, small numbers, floating-point formats, packed decimals.
    mutating func dataWindow() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Layout.dataBytes)
        func put(_ value: UInt64, _ size: Int) { for n in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * n))) } }
        while bytes.count < Layout.dataBytes {
            switch below(9) {
            case 0: for _ in 0..<2 { put(next(), 8) }
            case 1: for _ in 0..<4 { put(UInt64(value()), 4) }
            case 2: for _ in 0..<4 { put(UInt64(pointer()), 4) }
            case 3: for _ in 0..<4 { put(UInt64(single()), 4) }
            case 4, 5: for _ in 0..<2 { put(double(), 8) }
            case 6, 7:
                let (significand, signExponent) = extended()
                put(significand, 8)
                put(UInt64(signExponent), 2)
                put(next(), 6)
            default:
                for _ in 0..<9 { put(UInt64(below(10) << 4 | below(10)), 1) }
                put(percent(50) ? 0x80 : 0, 1)
                put(UInt64(value()), 2)
                put(UInt64(below(16)), 4)
            }
        }
        return bytes
    }

    /// An address in the data, of the high window.
    mutating func pointer() -> UInt32 { Layout.high + Layout.data + UInt32(below(Layout.dataBytes - 256) + 64) }

    mutating func single() -> UInt32 {
        let sign: UInt32 = percent(50) ? 0x8000_0000 : 0
        switch below(8) {
        case 0: return sign
        case 1: return sign | 0x7F80_0000
        case 2: return sign | 0x7F80_0000 | u32() >> 9
        case 3: return sign | u32() >> 9
        case 4: return sign | (127 + UInt32(below(32))) << 23 | (u32() >> 9) & ~0 << UInt32(below(23))
        default: return u32()
        }
    }

    mutating func double() -> UInt64 {
        let sign: UInt64 = percent(50) ? 1 << 63 : 0
        let fraction = next() >> 12
        switch below(8) {
        case 0: return sign
        case 1: return sign | 0x7FF << 52
        case 2: return sign | 0x7FF << 52 | fraction
        case 3: return sign | fraction
        case 4: return sign | (1023 + UInt64(below(64))) << 52 | fraction & ~0 << UInt64(below(52))
        default: return next()
        }
    }

    /// An 80-bit image of any class: zero, denormal, pseudo-denormal, normal, infinity, quiet and signalling NaN, unnormal, pseudo-NaN.
    mutating func extended() -> (UInt64, UInt16) {
        let sign: UInt16 = percent(50) ? 0x8000 : 0
        let top: UInt64 = 1 << 63
        var significand = next() | top
        switch below(4) {
        case 0: significand &= ~0 << UInt64(below(64))
        case 1: significand |= (1 << UInt64(below(64))) - 1
        default: break
        }
        significand |= top
        switch below(22) {
        case 0: return (0, sign)
        case 1: return (top, sign | 0x7FFF)
        case 2: return (significand | top >> 1, sign | 0x7FFF)
        case 3: return (top | (next() >> 2 | 1), sign | 0x7FFF)
        case 4: return (significand & ~top, sign)
        case 5: return (significand, sign)
        case 6: return (significand & ~top, sign | UInt16(below(0x8000)))
        case 7: return (significand, sign | UInt16(below(0x8000)))
        case 8: return (significand, sign | UInt16(1 + below(70)))
        case 9: return (significand, sign | UInt16(0x7FFE - below(70)))
        case 10: return (significand, sign | UInt16(16383 + 124 + below(6)))
        case 11: return (significand, sign | UInt16(16383 - 152 + below(30)))
        case 12: return (significand, sign | UInt16(16383 + 1020 + below(6)))
        case 13: return (significand, sign | UInt16(16383 - 1077 + below(60)))
        case 14, 15: return (top, sign | UInt16(16383 + below(4)))
        case 16, 17, 18:
            let n = next() >> UInt64(below(63))
            if n == 0 { return (0, sign) }
            let shift = n.leadingZeroBitCount
            return (n << UInt64(shift), sign | UInt16(16383 + 63 - shift))
        default: return (significand, sign | UInt16(16383 - 70 + below(140)))
        }
    }

    /// Registers before a test in the flat 32-bit segments.
    mutating func start() -> MachineState {
        var s = MachineState()
        for n in 0..<8 { s.gpr[n] = percent(35) ? pointer() : value() }
        s.gpr[4] = Layout.high + Layout.data + UInt32(0x400 + below(0x3800)) & ~UInt32(percent(90) ? 3 : 0)
        for n in [6, 7] where percent(60) { s.gpr[n] = pointer() }
        if percent(50) { s.gpr[1] = UInt32(below(40)) }
        s.eflags = u32() & 0x8D5 | Layout.fixedFlags
        if percent(30) { s.eflags |= 1 << 10 }
        if percent(2) { s.eflags |= 1 << 18 }
        if percent(5) { s.eflags |= 1 << 21 }
        for (n, selector) in [Layout.flat, Layout.code32, Layout.flat, Layout.flat].enumerated() { s.segments[n] = selector }
        let masks: UInt32 = percent(70) ? 0x3F : u32() & 0x3F
        s.x87[0] = 0xFFFF_0040 | masks | (percent(50) ? 0x300 : u32() & 0xF00)
        let top = below(8)
        s.x87[1] = 0xFFFF_0000 | u32() & 0x4700 | UInt32(top << 11) | (percent(85) ? 0 : u32() & 0x7F)
        var tags: UInt32 = 0
        let depth = percent(60) ? below(9) : percent(50) ? 8 : 0
        for i in 0..<8 {
            let isEmpty = depth == 0 && percent(50) || depth != 0 && i >= depth
            if isEmpty { tags |= 3 << UInt32(2 * ((top + i) & 7)) }
            let (significand, signExponent) = extended()
            s.setST(i, significand, signExponent)
        }
        s.x87[2] = 0xFFFF_0000 | tags
        s.x87[3] = u32()
        s.x87[4] = UInt32(Layout.code32) | (u32() & 0x7FF) << 16
        s.x87[5] = u32()
        s.x87[6] = 0xFFFF_0000 | UInt32(Layout.flat)
        return s
    }
}
