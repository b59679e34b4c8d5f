/// An encoding that may be a SIMD instruction, as the decoder found it.
struct VectorEncoding {
    /// 1: 0F, 2: 0F 38, 3: 0F 3A.
    var map: UInt8
    /// 0 none, 1: 66, 2: F3, 3: F2.
    var prefix: UInt8
    var opcode: UInt8
    var modrm: UInt8
    /// VEX prefix; then `long` is VEX.L and `wide` VEX.W. Without VEX `wide` is REX.W.
    var isVEX = false
    var long = false
    var wide = false
    /// 64-bit mode.
    var is64 = false
    /// VEX.vvvv, inverted already: 0 when the instruction has no such operand.
    var vvvv: UInt8 = 0
}

/// The SIMD part of the opcode map: what the decoder asks before it looks into `OpcodeMap`.
enum VectorMap {
    enum Answer: Equatable {
        /// No SIMD instruction: the row of the opcode map rules.
        case none
        /// #UD: the encoding is SIMD's, but not defined, or the model lacks it.
        case undefined
        case form(UInt16)
    }

    static func lookUp(_ encoding: VectorEncoding, _ features: CPUFeatures) -> Answer { encoding.isVEX ? .undefined : .none }

    /// One byte of immediate follows the address.
    static func hasImmediate(_ form: UInt16) -> Bool { false }

    /// The index of the address is the number of a vector register.
    static func isVSIB(_ form: UInt16) -> Bool { false }

    /// Nothing may follow it in a block.
    static func endsBlock(_ form: UInt16) -> Bool { false }
}

/// Executes a SIMD instruction: `sub` is the form, `a` and `b` are register numbers 0–15 (reg, and r/m in the register form); `imm` holds the
/// immediate byte in bits 0–7, vvvv in 8–11, VEX.L in 12, W in 13, VEX in 14.
func executeVector(_ c: Core, _ o: OpPointer) throws(Fault) { throw .invalidOpcode }
