/// Writes x86-64 instructions into memory. Source: SDM Vol. 2A, chapter 2 and appendix B.
///
/// Sizes are 1, 2, 4 or 8 bytes. Displacements in `rel32` count from the end of the field.
struct Assembler {
    private let start: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private(set) var capacity: Int

    init(_ start: UnsafeMutableRawPointer, capacity: Int) {
        self.start = start.assumingMemoryBound(to: UInt8.self)
        self.capacity = capacity
    }

    /// Goes on at another offset of the same memory. Offsets count from `start` as before.
    mutating func move(to offset: Int, capacity: Int) { (count, self.capacity) = (offset, capacity) }

    /// The longest instruction still fits; else nothing is written and `overflowed` says so.
    private(set) var overflowed = false

    // MARK: Bytes

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        guard count < capacity else {
            overflowed = true
            return
        }
        start[count] = value
        count += 1
    }

    @inline(__always)
    mutating func bytes(_ values: UInt8...) { for value in values { byte(value) } }

    @inline(__always)
    mutating func word32(_ value: Int32) {
        guard count + 4 <= capacity else {
            overflowed = true
            return
        }
        UnsafeMutableRawPointer(start + count).storeBytes(of: value, as: Int32.self)
        count += 4
    }

    @inline(__always)
    mutating func word64(_ value: UInt64) {
        guard count + 8 <= capacity else {
            overflowed = true
            return
        }
        UnsafeMutableRawPointer(start + count).storeBytes(of: value, as: UInt64.self)
        count += 8
    }

    /// Lets the rel32 field at `place` lead to `target`.
    @inline(__always)
    mutating func patch(_ place: Int, to target: Int) {
        guard place + 4 <= capacity else { return }
        UnsafeMutableRawPointer(start + place).storeBytes(of: Int32(truncatingIfNeeded: target - place - 4), as: Int32.self)
    }

    // MARK: Operands

    /// `[base + index << scale + disp]`.
    struct Memory {
        var base: UInt8
        var index: UInt8 = Host.none
        var scale: UInt8 = 0
        var disp: Int32 = 0
    }

    /// `opcode` up to 0xFF, or 0x0Fxx. `low`, `lowRM`: the operand is a byte register, which SIL DIL BPL SPL need a REX prefix for.
    @inline(__always)
    private mutating func prefixes(_ opcode: Int, _ size: Int, _ rex: UInt8, force: Bool) {
        if size == 2 { byte(0x66) }
        let full = rex | (size == 8 ? 8 : 0)
        if full != 0 || force { byte(0x40 | full) }
        if opcode > 0xFF { byte(0x0F) }
        byte(UInt8(truncatingIfNeeded: opcode))
    }

    /// An instruction with two registers: `reg` in ModR/M's reg field.
    @inline(__always)
    mutating func rr(_ opcode: Int, _ reg: UInt8, _ rm: UInt8, _ size: Int, byteReg: Bool = false, byteRM: Bool = false) {
        let force = (byteReg && reg >= 4 && reg < 8) || (byteRM && rm >= 4 && rm < 8)
        prefixes(opcode, size, (reg >> 3) << 2 | rm >> 3, force: force)
        byte(0xC0 | (reg & 7) << 3 | rm & 7)
    }

    @inline(__always)
    mutating func rm(_ opcode: Int, _ reg: UInt8, _ m: Memory, _ size: Int, byteReg: Bool = false) {
        let index = m.index == Host.none ? 0 : m.index
        prefixes(opcode, size, (reg >> 3) << 2 | (index >> 3) << 1 | m.base >> 3, force: byteReg && reg >= 4 && reg < 8)
        modRM(reg, m)
    }

    mutating func modRM(_ reg: UInt8, _ m: Memory) {
        let needsSIB = m.index != Host.none || m.base & 7 == 4
        let mod: UInt8 = m.disp == 0 && m.base & 7 != 5 ? 0 : m.disp == Int32(Int8(truncatingIfNeeded: m.disp)) ? 1 : 2
        byte(mod << 6 | (reg & 7) << 3 | (needsSIB ? 4 : m.base & 7))
        if needsSIB { byte(m.scale << 6 | (m.index == Host.none ? 4 : m.index & 7) << 3 | m.base & 7) }
        if mod == 1 { byte(UInt8(bitPattern: Int8(truncatingIfNeeded: m.disp))) } else if mod == 2 { word32(m.disp) }
    }

    /// LEA without a base: `[index << scale + disp]`.
    mutating func leaIndex(_ reg: UInt8, _ index: UInt8, _ scale: UInt8, _ disp: Int32, _ size: Int) {
        prefixes(0x8D, size, (reg >> 3) << 2 | (index >> 3) << 1, force: false)
        byte((reg & 7) << 3 | 4)
        byte(scale << 6 | (index & 7) << 3 | 5)
        word32(disp)
    }

    // MARK: Common instructions

    @inline(__always) mutating func move(_ to: UInt8, _ from: UInt8, _ size: Int) { if to != from || size == 4 { rr(0x8B, to, from, size) } }
    @inline(__always) mutating func load(_ to: UInt8, _ m: Memory, _ size: Int) { rm(size == 1 ? 0x8A : 0x8B, to, m, size, byteReg: size == 1) }
    @inline(__always) mutating func store(_ m: Memory, _ from: UInt8, _ size: Int) { rm(size == 1 ? 0x88 : 0x89, from, m, size, byteReg: size == 1) }

    /// MOV register, immediate; the shortest form that leaves flags alone.
    mutating func constant(_ to: UInt8, _ value: UInt64) {
        if value <= 0xFFFF_FFFF {
            if to >= 8 { byte(0x41) }
            byte(0xB8 | to & 7)
            word32(Int32(truncatingIfNeeded: Int64(value)))
        } else if Int64(bitPattern: value) == Int64(Int32(truncatingIfNeeded: Int64(bitPattern: value))) {
            bytes(0x48 | to >> 3, 0xC7, 0xC0 | to & 7)
            word32(Int32(truncatingIfNeeded: Int64(bitPattern: value)))
        } else {
            bytes(0x48 | to >> 3, 0xB8 | to & 7)
            word64(value)
        }
    }

    /// ADD OR ADC SBB AND SUB XOR CMP (0–7) register, immediate (sign-extended to the size).
    mutating func aluImmediate(_ operation: UInt8, _ register: UInt8, _ value: Int32, _ size: Int) {
        if size == 1 {
            rr(0x80, operation, register, 1, byteRM: true)
            byte(UInt8(truncatingIfNeeded: value))
        } else if value == Int32(Int8(truncatingIfNeeded: value)) {
            rr(0x83, operation, register, size)
            byte(UInt8(truncatingIfNeeded: value))
        } else {
            rr(0x81, operation, register, size)
            immediate(value, size)
        }
    }

    mutating func aluImmediate(_ operation: UInt8, _ m: Memory, _ value: Int32, _ size: Int) {
        if size == 1 {
            rm(0x80, operation, m, 1)
            byte(UInt8(truncatingIfNeeded: value))
        } else if value == Int32(Int8(truncatingIfNeeded: value)) {
            rm(0x83, operation, m, size)
            byte(UInt8(truncatingIfNeeded: value))
        } else {
            rm(0x81, operation, m, size)
            immediate(value, size)
        }
    }

    /// An immediate of an operand of `size` bytes: 8-byte operands have four.
    mutating func immediate(_ value: Int32, _ size: Int) {
        if size == 1 {
            byte(UInt8(truncatingIfNeeded: value))
        } else if size == 2 {
            byte(UInt8(truncatingIfNeeded: value))
            byte(UInt8(truncatingIfNeeded: value >> 8))
        } else {
            word32(value)
        }
    }

    /// JMP; returns the place of its rel32.
    mutating func jump() -> Int {
        byte(0xE9)
        word32(0)
        return count - 4
    }

    /// Jcc with a condition 0–15; returns the place of its rel32.
    mutating func jump(_ condition: UInt8) -> Int {
        bytes(0x0F, 0x80 | condition)
        word32(0)
        return count - 4
    }

    mutating func call() -> Int {
        byte(0xE8)
        word32(0)
        return count - 4
    }
}

/// Which host register is what while translated code runs.
///
/// RAX is free because LAHF, SETO, MUL, DIV and SAHF want it; RCX and RDX hold the guest's so that shifts, MUL and DIV find their operands.
enum Host {
    static let none: UInt8 = 0xFF
    static let rax: UInt8 = 0, rcx: UInt8 = 1, rdx: UInt8 = 2, rbx: UInt8 = 3, rsp: UInt8 = 4, rbp: UInt8 = 5, rsi: UInt8 = 6, rdi: UInt8 = 7
    /// The linear address of a memory operand, or a branch target.
    static let address: UInt8 = 10
    /// Host address of a page minus its linear address; free elsewhere.
    static let page: UInt8 = 11
    /// The vCPU's state block.
    static let state: UInt8 = 14
    /// Instructions left, minus `Translator.reserve`.
    static let budget: UInt8 = 15

    /// Host register of each guest register; the guest's R10–R15 stay in the state block.
    static let pinned: [UInt8] = [12, 1, 2, 3, 13, 5, 6, 7, 8, 9, none, none, none, none, none, none]
}

/// Condition codes, SDM Vol. 1, appendix B.
enum Condition {
    static let overflow: UInt8 = 0, carry: UInt8 = 2, notCarry: UInt8 = 3, zero: UInt8 = 4, notZero: UInt8 = 5, above: UInt8 = 7, sign: UInt8 = 8, notSign: UInt8 = 9
}
