@testable import CPU

/// Random integer instructions of 64-bit mode with registers and memory to run them on.
///
/// Source: SDM Vol. 2A, chapter 2 (REX, ModR/M, SIB), and the instructions' pages; undefined flags as in their "Flags Affected".
/// Left out: RSP and R15, which the oracle needs, so no calls, and PUSH only with the POP that undoes it.
struct Integer64Generator {
    struct Case {
        var bytes: [UInt8] = []
        var start = VectorState()
        /// Flags that are not compared.
        var undefined: UInt32 = 0
        /// BSF and BSR of zero leave bits 63–32 of this register undefined with a 32-bit operand.
        var scanned: Int?
    }
    enum Place { case register, memory, either }

    var random: ProtectedRandomTests.Random
    var made = Case()
    // The instruction in the making: prefixes, REX (nil: none), registers that must keep their value, ModR/M and what follows it.
    var prefixes: [UInt8] = []
    var rex: UInt8?
    var pinned: Set<Int> = []
    var tail: [UInt8] = []
    /// Offset in `tail` of a RIP-relative displacement, and what it leads to.
    var relative: (at: Int, target: UInt64)?
    /// The operand must lie on a multiple of 16: no locked access over a line's end.
    var aligned = false
    var address32 = false

    init(seed: UInt64) { random = .init(state: seed) }

    // MARK: Chance

    mutating func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
    mutating func chance(_ n: Int) -> Bool { below(n) == 0 }

    mutating func value() -> UInt64 {
        switch below(8) {
        case 0: return UInt64(below(4))
        case 1: return UInt64(bitPattern: Int64(-1 - below(3)))
        case 2: return (1 << UInt64(below(64))) &- UInt64(below(2))
        case 3: return UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: below(256))))
        case 4: return UInt64(UInt32(truncatingIfNeeded: random.next()))
        case 5: return 0x7F7F_7FFF_7FFF_FFFF ^ (chance(2) ? .max : 0)
        default: return random.next()
        }
    }

    mutating func immediate(_ bytes: Int) -> [UInt8] {
        let v = value()
        return (0..<bytes).map { UInt8(truncatingIfNeeded: v >> UInt64(8 * $0)) }
    }

    /// Any register but RSP and R15.
    mutating func register() -> Int {
        while true {
            let n = below(15)
            if n != 4 { return n }
        }
    }

    /// A byte register's number; AH to BH without REX, and never SPL.
    mutating func byteRegister() -> Int { rex == nil ? below(8) : register() }

    // MARK: Encoding

    /// 8, 16, 32 or 64 bits.
    mutating func size() -> Int { chance(4) ? 8 : wide() }
    mutating func wide() -> Int { [16, 32, 64, 64][below(4)] }

    mutating func begin(_ bits: Int, plain66: Bool = true) {
        switch bits {
        case 16: prefixes.append(0x66)
        case 64:
            rex = 0x48
            if plain66 && chance(12) { prefixes.append(0x66) }
        default: break
        }
        if bits == 8 && chance(4) { rex = 0x48 } else if rex == nil && chance(3) { rex = 0x40 }
        if chance(24) { prefixes.append([0x26, 0x2E, 0x36, 0x3E][below(4)]) }
    }

    /// ModR/M, SIB and displacement of a memory operand within the window. `free`: of an address that is only computed.
    mutating func memoryOperand(free: Bool = false) {
        var target = VectorRig.placedData &+ UInt64(bitPattern: Int64(below(160) - 80))
        if aligned || chance(3) { target &= ~15 }
        if chance(5) {
            address32 = true
            prefixes.append(0x67)
        }
        let high: UInt64 = address32 ? random.next() & ~0xFFFF_FFFF : 0
        if free { target = value() }
        func modrm(_ mod: Int, _ rm: Int) -> UInt8 { UInt8(mod << 6 | (rm & 7)) }
        let kind = below(8)
        if kind == 0 {
            relative = (1, free ? VectorRig.placedCode &+ UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: target))) : target)
            tail = [modrm(0, 5), 0, 0, 0, 0]
            return
        }
        var base: Int? = below(3) == 0 ? 6 : register()
        if kind == 1 { base = nil }
        var index: Int?
        if kind >= 3 || base == nil && chance(2) {
            index = register()
            if index == base { index = nil }
        }
        let scale = below(4)
        if let base, pinned.contains(base) { return memoryOperand(free: free) }
        if let index, pinned.contains(index) { return memoryOperand(free: free) }
        var sum: UInt64 = 0
        if let index {
            let v = free ? value() : UInt64(bitPattern: Int64(below(4) == 0 ? below(1 << 28) - 1 << 27 : below(17) - 8))
            made.start.gpr[index] = address32 ? v & 0xFFFF_FFFF | high : v
            sum = v << UInt64(scale)
        }
        var displacement: Int64
        if let base {
            displacement = [0, Int64(below(256) - 128), Int64(below(1 << 30) - 1 << 29)][below(3)]
            let v = target &- sum &- UInt64(bitPattern: displacement)
            made.start.gpr[base] = address32 ? v & 0xFFFF_FFFF | high : v
        } else {
            displacement = Int64(Int32(truncatingIfNeeded: target &- sum))
            if !free, !address32, sum &+ UInt64(bitPattern: displacement) != target {
                index = nil
                displacement = Int64(truncatingIfNeeded: target)
            }
        }
        var mod = 2
        let short = Int64(Int8(truncatingIfNeeded: displacement)) == displacement
        if base == nil || displacement == 0 && (base ?? 0) & 7 != 5 { mod = 0 } else if short { mod = 1 }
        if mod == 1 && chance(8) { mod = 2 }
        var bits: UInt8 = 0
        if let base, base >= 8 { bits |= 1 }
        if let index, index >= 8 { bits |= 2 }
        if bits != 0 { rex = (rex ?? 0x40) | bits }
        if let base, index == nil, base & 7 != 4, !chance(4) {
            tail = [modrm(mod, base)]
        } else {
            tail = [modrm(mod, 4), UInt8(scale << 6 | ((index ?? 4) & 7) << 3 | ((base ?? 5) & 7))]
        }
        let count = base == nil || mod == 2 ? 4 : mod == 1 ? 1 : 0
        tail += (0..<count).map { UInt8(truncatingIfNeeded: displacement >> Int64(8 * $0)) }
    }

    /// Fills in the registers and puts the instruction together. `digit`: the opcode's extension; nil: a register.
    @discardableResult
    mutating func modrm(
        _ opcode: [UInt8], _ bits: Int, digit: Int? = nil, _ place: Place = .either, immediate count: Int = 0, rmBits: Int? = nil, free: Bool = false,
        last: [UInt8]? = nil, keeping kept: Int? = nil
    ) -> (reg: Int, rm: Int?) {
        let rmBits = rmBits ?? bits
        let memory = place == .memory || place == .either && chance(2)
        if memory { memoryOperand(free: free) }
        // Byte registers 4–7 depend on whether there is a REX: decided before they are drawn.
        let narrow = bits == 8 || rmBits == 8
        if narrow && rex == nil && chance(3) { rex = 0x40 }
        let low = narrow && rex == nil
        let reg = digit ?? kept ?? (bits == 8 ? byteRegister() : low ? [0, 1, 2, 3, 5, 6, 7][below(7)] : register())
        if memory {
            tail[0] |= UInt8((reg & 7) << 3)
        } else {
            let rm = rmBits == 8 ? byteRegister() : low ? [0, 1, 2, 3, 5, 6, 7][below(7)] : register()
            if rm >= 8 { rex = (rex ?? 0x40) | 1 }
            tail = [UInt8(0xC0 | (reg & 7) << 3 | (rm & 7))]
        }
        if reg >= 8 { rex = (rex ?? 0x40) | 4 } else if digit != nil, let r = rex, chance(4) { rex = r | 4 }
        let rm = memory ? nil : Int(tail[0] & 7) | Int((rex ?? 0) & 1) << 3
        emit(opcode, last ?? immediate(count))
        return (reg, rm)
    }

    mutating func emit(_ opcode: [UInt8], immediate count: Int = 0) {
        emit(opcode, immediate(count))
    }

    mutating func emit(_ opcode: [UInt8], _ last: [UInt8]) {
        var bytes = prefixes
        if let rex { bytes.append(rex) }
        bytes += opcode
        let at = bytes.count
        bytes += tail + last
        if let relative {
            let next = VectorRig.placedCode + UInt64(made.bytes.count + bytes.count)
            let distance = relative.target &- next
            for n in 0..<4 { bytes[at + relative.at + n] = UInt8(truncatingIfNeeded: distance >> UInt64(8 * n)) }
        }
        made.bytes += bytes
        (prefixes, rex, tail, relative, aligned, address32) = ([], nil, [], nil, false, false)
    }

    // MARK: Instructions

    mutating func next() -> Case {
        made = Case()
        pinned = []
        for n in 0..<16 { made.start.gpr[n] = value() }
        for n in 0..<32 {
            let v = value()
            for k in 0..<8 { made.start.memory[8 * n + k] = UInt8(truncatingIfNeeded: v >> UInt64(8 * k)) }
        }
        made.start.flags = random.next() & 0x8D5 | 0x202 | (chance(2) ? 0x400 : 0)
        switch below(32) {
        case 0..<5: arithmetic()
        case 5: test()
        case 6, 7: move()
        case 8: extend()
        case 9, 10: address()
        case 11: exchange()
        case 12, 13: unary()
        case 14, 15: multiply()
        case 16, 17: divide()
        case 18, 19, 20: shift()
        case 21: doubleShift()
        case 22, 23: bitTest()
        case 24: scan()
        case 25: compareExchange()
        case 26: conditional()
        case 27: convert()
        case 28: string()
        case 29: stack()
        case 30: jump()
        default: odds()
        }
        return made
    }
}
