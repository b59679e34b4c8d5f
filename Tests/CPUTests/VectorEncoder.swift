@testable import CPU

/// Encodes random instructions of a row, for the host and the guest alike.
struct VectorEncoder {
    var random = SplitMix(0x51D)

    /// One way to encode a row.
    struct Form: CustomStringConvertible {
        var number: Int
        var row: VectorRow
        var vex = false
        var long = false
        var description: String { VectorMap.mnemonic(UInt16(number), vex: vex) + (vex ? long ? ".256" : ".128" : "") + " of \(row.map).\(row.opcode)" }
        var features: CPUFeatures { (vex ? long ? row.vex256 : row.vex128 : row.legacy) ?? [] }
    }

    static let forms: [Form] = VectorMap.rows.enumerated().flatMap { number, row in
        var forms: [Form] = []
        if row.legacy != nil { forms.append(Form(number: number, row: row)) }
        if row.vex128 != nil { forms.append(Form(number: number, row: row, vex: true)) }
        if row.vex256 != nil { forms.append(Form(number: number, row: row, vex: true, long: true)) }
        return forms
    }

    struct Instruction {
        var bytes: [UInt8] = []
        var isMemory = false
        var displacement: Int32 = 0
        var index: Int?
        var rmNumber = 0
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

    /// A general register that the harness does not need.
    private mutating func general() -> Int { [0, 1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14][below(12)] }

    private mutating func register(_ kind: Character?) -> Int {
        switch kind {
        case "G", "E", "B": general()
        case "P", "Q", "N": below(8)
        default: below(16)
        }
    }

    /// `memory`: whether the r/m operand is to be memory; nil: chance. `aligned`: the displacement.
    mutating func encode(_ form: Form, memory: Bool? = nil, aligned: Bool = true) -> Instruction {
        let row = form.row
        var result = Instruction()
        result.isMemory = row.memoryOnly || (!row.registerOnly && row.memoryOperand != nil && (memory ?? (below(3) == 0)))
        if row.exactModRM >= 0 { result.isMemory = false }
        // The reg field is whatever operand is neither r/m nor vvvv.
        let regKind = row.operands.first { "VGP".contains($0.kind) }?.kind
        let rmKind = row.operands.first { "WUEQNM".contains($0.kind) }?.kind
        var reg = row.digit >= 0 ? row.digit : register(regKind)
        var rm = register(rmKind)
        var vvvv = row.usesVVVV ? register(row.has("B") ? "B" : "V") : 0
        let is64 = row.operands.contains { $0.size == "y" || $0.size == "v" }
        var wide = row.wide >= 0 ? row.wide == 1 : is64 && below(2) == 0
        let operand16 = row.operands.contains { $0.size == "v" } && !wide && below(2) == 0
        var noREX = false
        if row.action == .crc32 && row.memoryOperand?.size == "b" && !result.isMemory && !wide && below(2) == 0 {
            noREX = true
            (reg, rm) = ([0, 1, 2, 3, 5][below(5)], below(8))
            if rm == 6 || rm == 7 { rm -= 4 }
        }
        if row.isGather {
            // Destination, index and mask are different registers.
            result.index = below(16)
            repeat { reg = below(16) } while reg == result.index
            repeat { vvvv = below(16) } while vvvv == result.index || vvvv == reg
        }
        let bytes = row.memoryBytes(long: form.long && !row.ignoresLength, wide: wide, operandBytes: wide ? 8 : operand16 ? 2 : 4)
        result.displacement = Int32(below(7) - 3) * 16 + (aligned || bytes == 0 ? 0 : Int32(1 + below(15)))
        if row.isGather { result.displacement = 0 }
        if bytes == 32 && aligned { result.displacement &= ~31 }
        result.rmNumber = rm
        if !row.has("P") && !row.has("Q") && rmKind == nil && row.digit < 0 && row.exactModRM < 0 { rm = 0 }
        if result.isMemory { rm = 6 }
        // ModR/M, SIB, displacement.
        var tail: [UInt8] = []
        if row.exactModRM >= 0 {
            tail = [UInt8(row.exactModRM)]
        } else if result.isMemory {
            let low = UInt8(reg & 7) << 3
            if let index = result.index {
                let scale = UInt8(below(4))
                tail = [0x80 | low | 4, scale << 6 | UInt8(index & 7) << 3 | 6]
            } else {
                tail = [0x80 | low | 6]
            }
            tail += (0..<4).map { UInt8(truncatingIfNeeded: result.displacement >> Int32(8 * $0)) }
        } else {
            tail = [0xC0 | UInt8(reg & 7) << 3 | UInt8(rm & 7)]
        }
        if row.hasImmediate { tail.append(UInt8(truncatingIfNeeded: random.next())) }
        let rBit = reg >= 8
        let bBit = rm >= 8
        let xBit = (result.index ?? 0) >= 8
        if form.vex {
            let long = form.long || (row.ignoresLength && below(4) == 0)
            if row.wide < 0 && !is64 { wide = below(4) == 0 }
            let last = (~UInt8(vvvv) & 15) << 3 | (long ? 4 : 0) | row.prefix
            if row.map == 1 && !wide && !bBit && !xBit && below(2) == 0 {
                result.bytes = [0xC5, (rBit ? 0 : 0x80) | last, row.opcode]
            } else {
                result.bytes = [0xC4, (rBit ? 0 : 0x80) | (xBit ? 0 : 0x40) | (bBit ? 0 : 0x20) | row.map, (wide ? 0x80 : 0) | last, row.opcode]
            }
            if row.opcode == 0x77 && row.map == 1 { return result }
        } else {
            if operand16 { result.bytes.append(0x66) }
            if row.prefix != 0 { result.bytes.append([0x66, 0xF3, 0xF2][Int(row.prefix) - 1]) }
            let rex = 0x40 | (wide ? 8 : 0) | (rBit ? 4 : 0) | (xBit ? 2 : 0) | (bBit ? 1 : 0) as UInt8
            if rex != 0x40 || (!noREX && row.action == .crc32) { result.bytes.append(rex) }
            result.bytes += row.map == 1 ? [0x0F, row.opcode] : [0x0F, row.map == 2 ? 0x38 : 0x3A, row.opcode]
        }
        result.bytes += tail
        return result
    }

    // MARK: Values

    /// Words that are interesting as integers and as floating-point numbers of either precision.
    private mutating func word() -> UInt64 {
        let singles: [UInt32] = [
            0, 0x8000_0000, 0x3F80_0000, 0xBF80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x7F80_0001, 0xFFA0_0000, 1, 0x8000_0001, 0x007F_FFFF,
            0x0080_0000, 0x7F7F_FFFF, 0x4F00_0000, 0xCF00_0000, 0x3400_0000, 0x3EAA_AAAB, 0x4049_0FDB, 0x1F00_0000, 0x2000_0000,
        ]
        let doubles: [UInt64] = [
            0, 1 << 63, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000,
            0x7FF0_0000_0000_0001, 0xFFF4_0000_0000_0000, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF,
            0x41E0_0000_0000_0000, 0xC3E0_0000_0000_0000, 0x3FD5_5555_5555_5555, 0x47F0_0000_0000_0000, 0x3690_0000_0000_0000, 0x1FF0_0000_0000_0000,
        ]
        switch below(8) {
        case 0: return random.next()
        case 1, 2: return doubles[below(doubles.count)]
        case 3: return UInt64(singles[below(singles.count)]) << 32 | random.next() >> 32
        case 4:
            // Ordinary doubles near 1.
            return random.next() & 0x800F_FFFF_FFFF_FFFF | UInt64(0x3F8 + below(16)) << 52
        case 5:
            let one = random.next() & 0x807F_FFFF_807F_FFFF
            return one | UInt64(0x70 + below(32)) << 23 | UInt64(0x70 + below(32)) << 55
        default: return UInt64(singles[below(singles.count)]) << 32 | UInt64(singles[below(singles.count)])
        }
    }

    mutating func state(_ instruction: Instruction, _ form: Form, unmasked: Bool) -> VectorState {
        var state = VectorState()
        for n in 0..<64 { state.vector[n] = word() }
        for n in 0..<16 { state.gpr[n] = below(3) == 0 ? word() : below(2) == 0 ? UInt64(below(80)) : random.next() }
        for n in 0..<8 { state.mmx[n] = word() }
        for n in 0..<(VectorHost.memoryBytes / 8) {
            let value = word()
            for i in 0..<8 { state.memory[8 * n + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
        }
        state.flags = random.next() & 0x8D5 | 2
        state.mxcsr = UInt32(truncatingIfNeeded: random.next()) & 0xE07F | 0x1F80
        if unmasked { state.mxcsr &= ~(UInt32(truncatingIfNeeded: random.next()) & 0x1F80) }
        if form.row.action == .ldmxcsr {
            // A value that may be loaded.
            let at = VectorHost.origin + Int(instruction.displacement)
            (state.memory[at + 2], state.memory[at + 3]) = (0, 0)
        }
        if let index = instruction.index {
            for n in 0..<4 {
                let (low, high) = (Int32(below(16) - 8), Int32(below(16) - 8))
                state.vector[4 * index + n] =
                    form.row.action == .gather84 || form.row.action == .gather88
                    ? UInt64(bitPattern: Int64(low)) : UInt64(UInt32(bitPattern: high)) << 32 | UInt64(UInt32(bitPattern: low))
            }
        }
        return state
    }

    /// Arithmetic flags that the manual leaves undefined.
    static func undefinedFlags(_ action: VectorAction) -> UInt64 {
        switch action {
        case .tzcnt, .lzcnt: 0x894
        case .andNot, .blsr, .blsmsk, .blsi, .bzhi: 0x14
        case .bextr: 0x94
        default: 0
        }
    }
}

/// The tests' own random numbers.
struct SplitMix {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
