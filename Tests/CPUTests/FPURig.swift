import EmptyBoard
import Primitives
import Testing

@testable import CPU

/// A board of nothing but FERR#.
final class FERRBus: EmptyBoard {
    /// Every level that was driven, in order.
    var ferr: [Bool] = []
    func setFERR(_ asserted: Bool) { ferr.append(asserted) }
}

/// One vCPU in flat 32-bit protected mode with 1 MiB of memory, and single x87 and MMX instructions run on it without a decoder.
final class FPURig {
    let bus = FERRBus()
    let processor: Processor
    let c: Core

    init() throws {
        let memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 4096)
        memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        processor = Processor(memory: memory, bus: bus, model: .pentiumPro)
        c = processor.core
        c.v.pointee.cr0 = CR0.pe | CR0.mp | CR0.ne | CR0.et
        for n in 0..<6 {
            c.v.pointee.seg[n].base = 0
            c.v.pointee.seg[n].limit = 0xFFFF_FFFF
            c.v.pointee.seg[n].attributes = n == Seg.cs ? 0xC09B : 0xC093
            c.v.pointee.seg[n].selector = UInt16(8 * (n + 1))
        }
        c.modeChanged()
        c.fninit()
    }

    // MARK: Instructions

    /// Register form: two opcode bytes.
    func fpu(_ opcode: UInt8, _ modrm: UInt8) throws(Fault) {
        var op = FPURig.op(opcode, modrm)
        try executeFPU(c, &op)
    }

    /// Memory form at a flat address; `wide` is the operand size of environment images.
    func fpu(_ opcode: UInt8, _ reg: UInt8, at address: Int32, wide: Bool = true) throws(Fault) {
        var op = FPURig.op(opcode, reg << 3 | 5, at: address, wide: wide)
        try executeFPU(c, &op)
    }

    func mmx(_ opcode: UInt8, _ modrm: UInt8, imm: UInt8 = 0) throws(Fault) {
        var op = FPURig.op(opcode, modrm)
        op.imm = Int32(imm)
        try executeMMX(c, &op)
    }

    func mmx(_ opcode: UInt8, _ reg: UInt8, at address: Int32) throws(Fault) {
        var op = FPURig.op(opcode, reg << 3 | 5, at: address, wide: true)
        try executeMMX(c, &op)
    }

    static func op(_ opcode: UInt8, _ modrm: UInt8) -> Op {
        var op = Op(.bail)
        op.sub = UInt16(opcode)
        op.modrm = modrm
        op.a = (modrm >> 3 & 7) * 8
        op.b = (modrm & 7) * 8
        op.flags = 0x80 | 2 << 2 | 2
        return op
    }

    static func op(_ opcode: UInt8, _ modrm: UInt8, at address: Int32, wide: Bool) -> Op {
        var op = FPURig.op(opcode, modrm)
        op.disp = address
        op.flags = 2 << 2 | (wide ? 2 : 1)
        return op
    }

    // MARK: State

    var status: UInt16 { c.statusWord }
    var control: UInt16 {
        get { c.v.pointee.fpu.control }
        set { c.setFPUControl(newValue) }
    }

    /// Pushes an image by FLD m80.
    func push(_ value: F80) throws(Fault) {
        store(value, at: 0xF000)
        try fpu(0xDB, 5, at: 0xF000)
    }

    func push(_ value: Int64) throws(Fault) { try push(F80(integer: value)) }

    func store(_ value: F80, at address: Int) {
        processor.memory.store(Physical(address), value.significand)
        processor.memory.store(Physical(address) + 8, value.signExponent)
    }

    func store<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at address: Int) { processor.memory.store(Physical(address), value) }
    func load<T: FixedWidthInteger & UnsignedInteger>(_ address: Int, _: T.Type) -> T {
        processor.memory.load(Physical(address), as: T.self)
    }
    func load80(_ address: Int) -> F80 { F80(load(address, UInt64.self), load(address + 8, UInt16.self)) }
}

/// xorshift64*: the tests' only randomness, seeded.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

extension F80 {
    /// A random image with a liking for the edges of the format.
    static func random(_ g: inout Seeded) -> F80 {
        let sign: UInt16 = g.next() & 1 == 0 ? 0 : 0x8000
        var significand = g.next() | F80.integerBit
        switch g.next() % 4 {
        case 0: significand &= ~0 << (g.next() % 64)
        case 1: significand |= (1 << (g.next() % 64)) - 1
        case 2: significand = F80.integerBit | (g.next() & 0xFFF) << 52
        default: break
        }
        significand |= F80.integerBit
        switch g.next() % 24 {
        case 0: return F80(0, sign)
        case 1: return F80(F80.integerBit, sign | 0x7FFF)
        case 2: return F80(significand, sign | 0x7FFF)  // NaNs, mostly quiet and signalling half and half
        case 3: return F80(significand & ~F80.integerBit, sign)  // denormal
        case 4: return F80(significand, sign)  // pseudo-denormal
        case 5: return F80(significand & ~F80.integerBit, sign | UInt16(g.next() & 0x7FFF))  // unsupported
        case 6: return F80(significand, sign | UInt16(g.next() & 0x7FFF))
        case 7: return F80(significand, sign | UInt16(1 + g.next() % 70))
        case 8: return F80(significand, sign | UInt16(0x7FFE - g.next() % 70))
        case 9: return F80(significand, sign | UInt16(16383 + 127 - 3 + g.next() % 6))
        case 10: return F80(significand, sign | UInt16(16383 - 127 - 25 + g.next() % 30))
        case 11: return F80(significand, sign | UInt16(16383 + 1023 - 3 + g.next() % 6))
        case 12: return F80(significand, sign | UInt16(16383 - 1023 - 54 + g.next() % 60))
        case 13, 14, 15: return F80(integer: Int64(bitPattern: g.next()) >> Int64(g.next() % 64))
        default: return F80(significand, sign | UInt16(16383 - 70 + g.next() % 140))
        }
    }
}
