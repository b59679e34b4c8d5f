/// A decoded instruction (or one micro-operation of it), 32 bytes.
///
/// Register operands are byte displacements into `VCPU` (AH = 1, ECX = 8, none = 128), so a handler needs no table.
struct Op {
    var kind: Kind
    /// Sub-operation of slow kinds: raw value of `Slow`, or an FPU opcode.
    var sub: UInt16 = 0
    /// The ModR/M reg operand (or the destination) as a register displacement.
    var a: UInt8 = 0
    /// The ModR/M r/m operand as a register displacement, in the register form.
    var b: UInt8 = 0
    /// Address operand: base + (index << scale) + disp; 128 (constant 0) where absent.
    var base: UInt8 = 128
    var index: UInt8 = 128
    /// Displacement; in near branches the target minus the block's start.
    var disp: Int32 = 0
    /// Start of the instruction minus the block's start, in bytes.
    var ipOffset: UInt16 = 0
    /// Bytes of the instruction, prefixes included.
    var length: UInt8 = 0
    /// Instructions of the block before this one.
    var n: UInt8 = 0
    var scale: UInt8 = 0
    /// Effective segment, overrides applied.
    var seg: UInt8 = 3
    /// Bits 0–1: log2 of the operand size in bytes; 2–3: log2 of the address size; 4 F3 prefix; 5 F2 prefix; 6 LOCK; 7 register form.
    var flags: UInt8 = 0
    /// The ModR/M byte as fetched (without REX bits).
    var modrm: UInt8 = 0
    /// Immediate, sign-extended to the operand size by the decoder.
    var imm: Int32 = 0
    /// Wide immediate: far pointers (offset in bits 0–31, selector in 32–47), ENTER (size, level << 16), 64-bit constants;
    /// in branches the linked block.
    var wide: UInt64 = 0

    init(_ kind: Kind) { self.kind = kind }

    /// 1, 2, 4 or 8.
    @inline(__always) var operandBytes: Int { 1 &<< Int(flags & 3) }
    @inline(__always) var addressMask: UInt64 {
        switch (flags &>> 2) & 3 {
        case 1: 0xFFFF
        case 2: 0xFFFF_FFFF
        default: .max
        }
    }
    @inline(__always) var hasREP: Bool { flags & 0x10 != 0 }
    @inline(__always) var hasREPNE: Bool { flags & 0x20 != 0 }
    @inline(__always) var isRegisterForm: Bool { flags & 0x80 != 0 }
    /// ModR/M reg field, 0–7.
    @inline(__always) var regField: Int { Int(modrm &>> 3) & 7 }
    /// ModR/M r/m field, 0–7.
    @inline(__always) var rmField: Int { Int(modrm) & 7 }
}

typealias OpPointer = UnsafePointer<Op>
