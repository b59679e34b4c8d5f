import Primitives

/// Status word bits. SDM Vol. 1, "x87 FPU Status Register".
enum FSW {
    static let ie: UInt16 = 0x01, de: UInt16 = 0x02, ze: UInt16 = 0x04, oe: UInt16 = 0x08, ue: UInt16 = 0x10, pe: UInt16 = 0x20
    /// Stack fault; C1 tells overflow (1) from underflow (0).
    static let sf: UInt16 = 0x40
    /// Error summary, and B, which has mirrored it since the 387.
    static let es: UInt16 = 0x80, busy: UInt16 = 0x8000
    static let c0: UInt16 = 0x0100, c1: UInt16 = 0x0200, c2: UInt16 = 0x0400, c3: UInt16 = 0x4000
    static let exceptions: UInt16 = 0x3F
    /// C3 C2 C0: "unordered" or "empty operand" of a comparison.
    static let unordered: UInt16 = c3 | c2 | c0
    static let conditions: UInt16 = c3 | c2 | c1 | c0
    /// Exceptions found before the operation: unmasked, they leave the operands alone.
    static let before: UInt16 = ie | de | ze
}

// x87 instructions. Sources: SDM Vol. 1, chapter 8; Vol. 2, the instructions' pages; Vol. 3A, "Handling x87 FPU Exceptions in Software";
// the undocumented aliases after the 80387's opcode map.
//
// Plain numbers are computed here in integers (`F80`), everything else by the host's x87 (`HostFPU`); both answer with exception flags
// and C1, and `enter` turns those into the guest's status. C0, C2 and C3 keep their value where the manual leaves them undefined.
//
// Where makers differ (measured on an AMD EPYC against the manual of the Pentium Pro):
//   - a comparison with an unmasked exception leaves C0, C2, C3 and EFLAGS alone, as the manual says; AMD sets them;
//   - FCOMI, FUCOMI, FCMOVcc keep C1 unless the stack faults, as AMD does; later editions of the manual have it cleared;
//   - D9 D8+i stores without checking ST(0), as AMD does; the manual reserves the encoding;
//   - the last bits of the transcendental functions are the host's.
//
// Not implemented: FERR# freezes the processor only if the interrupt is taken at once; otherwise execution goes on.

/// Executes one instruction of the escape opcodes D8–DF. `sub` holds the opcode (its low 3 bits count).
/// - Throws: #NM with CR0.EM or TS, #MF for a pending unmasked exception, #UD for reserved encodings, memory faults.
func executeFPU(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr0 & (CR0.em | CR0.ts) != 0 { throw .deviceNotAvailable }
    let row = Int(o.pointee.sub & 7) &<< 3 | o.pointee.regField
    if c.v.pointee.fpu.status & FSW.es != 0, try c.meetPendingException(o, row) { return }
    if o.pointee.isRegisterForm { return try c.fpuRegisterForm(o, row) }
    let reg = row & 7
    switch row {
    case 0...7:
        let bits = try c.fpuOperand(o, UInt32.self)
        c.fpuArithmeticMemory(reg, F80(single: bits), UInt64(bits), .single)
    case 32...39:
        let bits = try c.fpuOperand(o, UInt64.self)
        c.fpuArithmeticMemory(reg, F80(double: bits), bits, .double)
    case 16...23:
        let bits = try c.fpuOperand(o, UInt32.self)
        c.fpuArithmeticMemory(reg, F80(integer: Int64(Int32(bitPattern: bits))), UInt64(bits), .integer)
    case 48...55:
        let bits = try c.fpuOperand(o, UInt16.self)
        c.fpuArithmeticMemory(reg, F80(integer: Int64(Int16(bitPattern: bits))), UInt64(bits), .word)
    case 8: c.fld(single: try c.fpuOperand(o, UInt32.self))
    case 40: c.fld(double: try c.fpuOperand(o, UInt64.self))
    case 42, 43: try c.fst_m64(o, pops: row & 1 != 0)
    default: try c.fpuMemoryForm(o, row)
    }
}

/// WAIT. - Throws: #NM with CR0.MP and TS, #MF for a pending unmasked exception.
func fwait(_ c: Core) throws(Fault) {
    if c.cr0 & (CR0.mp | CR0.ts) == CR0.mp | CR0.ts { throw .deviceNotAvailable }
    if c.v.pointee.fpu.status & FSW.es != 0 { _ = try c.reportPendingException() }
}

extension Core {
    // MARK: Registers

    @inline(__always)
    func fpuPhysical(_ i: Int) -> Int { (Int(v.pointee.fpu.top) &+ i) & 7 }

    /// ST(i), whether empty or not.
    @inline(__always)
    func st(_ i: Int) -> F80 {
        let n = fpuPhysical(i)
        return F80(v.pointee.fpu.significand[unchecked: n], v.pointee.fpu.signExponent[unchecked: n])
    }

    @inline(__always)
    func isEmpty(_ i: Int) -> Bool { (v.pointee.fpu.empty &>> UInt8(truncatingIfNeeded: fpuPhysical(i))) & 1 != 0 }

    /// Writes ST(i) and marks it used.
    @inline(__always)
    func setST(_ i: Int, _ value: F80) {
        let n = fpuPhysical(i)
        v.pointee.fpu.significand[unchecked: n] = value.significand
        v.pointee.fpu.signExponent[unchecked: n] = value.signExponent
        v.pointee.fpu.empty &= ~(1 &<< UInt8(truncatingIfNeeded: n))
    }

    @inline(__always)
    func freeST(_ i: Int) { v.pointee.fpu.empty |= 1 &<< UInt8(truncatingIfNeeded: fpuPhysical(i)) }

    @inline(__always)
    func popST() {
        freeST(0)
        v.pointee.fpu.top = (v.pointee.fpu.top &+ 1) & 7
    }

    @inline(__always)
    func pushST(_ value: F80) {
        v.pointee.fpu.top = (v.pointee.fpu.top &- 1) & 7
        setST(0, value)
    }

    @inline(__always) var fpuControl: UInt16 { v.pointee.fpu.control }

    /// The status word with TOP.
    @inline(__always) var statusWord: UInt16 { v.pointee.fpu.status | UInt16(v.pointee.fpu.top & 7) &<< 11 }

    // MARK: Exceptions

    /// Enters the exception flags, SF and C1 of an operation into the status word (C1 is cleared otherwise).
    /// - Returns: the exceptions that are unmasked; they are pending now.
    @inline(__always)
    func enter(_ flags: UInt16) -> UInt16 {
        let unmasked = flags & FSW.exceptions & ~v.pointee.fpu.control
        var status = v.pointee.fpu.status & ~FSW.c1 | flags & (FSW.exceptions | FSW.sf | FSW.c1)
        if unmasked != 0 { status |= FSW.es | FSW.busy }
        v.pointee.fpu.status = status
        return unmasked
    }

    /// #IS. - Returns: true when masked: the instruction goes on with the indefinite.
    @inline(never)
    func stackUnderflow() -> Bool { enter(FSW.ie | FSW.sf) == 0 }

    @inline(never)
    func stackOverflow() -> Bool { enter(FSW.ie | FSW.sf | FSW.c1) == 0 }

    /// Recomputes ES and B after the masks or the flags were loaded.
    func refreshErrorSummary() {
        let pending = v.pointee.fpu.status & FSW.exceptions & ~v.pointee.fpu.control != 0
        let was = v.pointee.fpu.status & FSW.es != 0
        v.pointee.fpu.status &= ~(FSW.es | FSW.busy)
        if pending {
            v.pointee.fpu.status |= FSW.es | FSW.busy
        } else if was && cr0 & CR0.ne == 0 {
            t.pointee.processor.bus.setFERR(false)
        }
    }

    /// A waiting instruction meets ES. - Returns: true when the instruction must be started again after an interrupt.
    @inline(never)
    func meetPendingException(_ o: OpPointer, _ row: Int) throws(Fault) -> Bool {
        if o.pointee.isRegisterForm {
            // FENI FDISI FNCLEX FNINIT FSETPM, FNSTSW AX do not wait.
            if row == 28 && o.pointee.rmField <= 4 || row == 60 && o.pointee.rmField == 0 { return false }
        } else if row == 14 || row == 15 || row == 46 || row == 47 {
            return false  // FNSTENV FNSTCW FNSAVE FNSTSW
        }
        if fpuIsReserved(o, row) { throw .invalidOpcode }
        return try reportPendingException()
    }

    /// #MF, or FERR# in the PC/AT manner when CR0.NE is clear: the board raises IRQ13. When that interrupt can be taken now, the
    /// instruction is backed out, as the processor freezes before it (SDM Vol. 1, appendix D).
    func reportPendingException() throws(Fault) -> Bool {
        if cr0 & CR0.ne != 0 { throw .x87 }
        t.pointee.processor.bus.setFERR(true)
        guard t.pointee.intr, v.pointee.systemFlags & EFlags.if != 0 else { return false }
        rip = t.pointee.instructionRIP
        t.pointee.leaveBlock = true
        return true
    }

    /// Encodings that raise #UD on a processor of the Pentium Pro class.
    func fpuIsReserved(_ o: OpPointer, _ row: Int) -> Bool {
        let rm = o.pointee.rmField
        guard o.pointee.isRegisterForm else {
            // D9 /1, DB /1 /4 /6, DD /1 /5, DF /1.
            return [9, 25, 28, 30, 41, 45, 57].contains(row)
        }
        switch row {
        case 10: return rm != 0
        case 12: return rm == 2 || rm == 3 || rm >= 6
        case 13: return rm == 7
        case 20, 22, 23, 31, 46, 47, 63: return true
        case 21: return rm != 1
        case 28: return rm > 4
        case 51: return rm != 1
        case 60: return rm != 0
        default: return false
        }
    }

    // MARK: Instruction and operand pointers

    /// Records FOP, FIP and FCS of a non-control instruction. Called when no memory fault can come any more.
    @inline(__always)
    func note(_ o: OpPointer) {
        v.pointee.fpu.opcode = (o.pointee.sub & 7) &<< 8 | UInt16(o.pointee.modrm)
        v.pointee.fpu.instructionPointer = t.pointee.instructionRIP
        v.pointee.fpu.instructionSelector = v.pointee.seg[unchecked: Seg.cs].selector
    }

    /// Records FDP and FDS too.
    @inline(__always)
    func note(_ o: OpPointer, data offset: UInt64) {
        note(o)
        v.pointee.fpu.dataPointer = offset
        v.pointee.fpu.dataSelector = v.pointee.seg[unchecked: Int(o.pointee.seg & 7)].selector
    }

    // MARK: Memory operands

    @inline(__always)
    func fpuOperand<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _: T.Type) throws(Fault) -> T {
        let offset = effectiveOffset(o)
        let value = try load(linear(Int(o.pointee.seg), offset, T.bitWidth / 8, write: false), T.self)
        note(o, data: offset)
        return value
    }

    @inline(__always)
    func storeFPUOperand<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ value: T) throws(Fault) {
        let offset = effectiveOffset(o)
        try store(linear(Int(o.pointee.seg), offset, T.bitWidth / 8, write: true), value)
        note(o, data: offset)
    }

    /// A 10-byte operand.
    func fpuOperand80(_ o: OpPointer) throws(Fault) -> F80 {
        let offset = effectiveOffset(o)
        let first = try linear(Int(o.pointee.seg), offset, 10, write: false)
        let significand = try load(first, UInt64.self)
        let signExponent = try load((first &+ 8) & t.pointee.addressMask, UInt16.self)
        note(o, data: offset)
        return F80(significand, signExponent)
    }

    func storeFPUOperand80(_ o: OpPointer, _ value: F80) throws(Fault) {
        let offset = effectiveOffset(o)
        let first = try linear(Int(o.pointee.seg), offset, 10, write: true)
        let second = (first &+ 8) & t.pointee.addressMask
        if first & 0xFFF > 0xFF6 { try probeWrite(first, 10) }
        try store(first, value.significand)
        try store(second, value.signExponent)
        note(o, data: offset)
    }

    // MARK: Dispatch

    /// Memory operand, all but arithmetic and the transfers of `executeFPU`. `row` = opcode (3 bits) and ModR/M reg field.
    func fpuMemoryForm(_ o: OpPointer, _ row: Int) throws(Fault) {
        switch row {
        case 10, 11: try fst_m32(o, pops: row & 1 != 0)
        case 12: try fldenv(o)
        case 13: try fldcw(o)
        case 14: try fnstenv(o)
        case 15: try store(effectiveLinear(o, 2, write: true), fpuControl)
        case 24: fild(Int64(Int32(bitPattern: try fpuOperand(o, UInt32.self))))
        case 26, 27: try fist(o, UInt32.self, .storeInteger, pops: row & 1 != 0)
        case 29: fldPlain(try fpuOperand80(o))
        case 31: try fstp_m80(o)
        case 44: try frstor(o)
        case 46: try fnsave(o)
        case 47: try store(effectiveLinear(o, 2, write: true), statusWord)
        case 56: fild(Int64(Int16(bitPattern: try fpuOperand(o, UInt16.self))))
        case 58, 59: try fist(o, UInt16.self, .storeWord, pops: row & 1 != 0)
        case 60: fbld(try fpuOperand80(o))
        case 61: fild(Int64(bitPattern: try fpuOperand(o, UInt64.self)))
        case 62: try fbstp(o)
        case 63: try fist(o, UInt64.self, .storeLong, pops: true)
        default: throw .invalidOpcode
        }
    }

    @inline(__always)
    func fpuRegisterForm(_ o: OpPointer, _ row: Int) throws(Fault) {
        let i = o.pointee.rmField
        // FCLEX, FINIT, FSTSW and their like leave FOP, FIP and FDP alone; FNOP, FFREE, FINCSTP and FDECSTP do not
        // (SDM Vol. 1, "x87 FPU Instruction and Operand (Data) Pointers", lists who does).
        switch row {
        case 0, 1, 4, 5, 6, 7:
            note(o)
            fpuArithmetic(row, i, into: 0, pops: false)
        case 32, 33, 36, 37, 38, 39:
            note(o)
            fpuArithmetic(row & 7, i, into: i, pops: false)
        case 48, 49, 52, 53, 54, 55:
            note(o)
            fpuArithmetic(row & 7, i, into: i, pops: true)
        case 2, 34:  // FCOM; DC D0+i is an alias
            note(o)
            fcom(i, quiet: false, pops: 0)
        case 3, 35, 50:  // FCOMP; DC D8+i and DE D0+i are aliases
            note(o)
            fcom(i, quiet: false, pops: 1)
        case 8:
            note(o)
            fld(register: i)
        case 9, 41, 57:  // FXCH; DD C8+i and DF C8+i are aliases
            note(o)
            fxch(i)
        case 10:
            if i != 0 { throw .invalidOpcode }  // D9 D0 is FNOP
            note(o)
        case 42:
            note(o)
            fst(register: i, pops: false)
        case 11:
            note(o)
            fstpUnchecked(i)
        case 43, 58, 59:  // FSTP; DF D0+i and DF D8+i are aliases
            note(o)
            fst(register: i, pops: true)
        case 12: try fpuSignAndTest(o, i)
        case 13:
            if i == 7 { throw .invalidOpcode }
            note(o)
            fldConstant(i)
        case 14, 15:
            note(o)
            if row == 14 && i >= 6 {  // FDECSTP FINCSTP
                v.pointee.fpu.status &= ~FSW.c1
                v.pointee.fpu.top = (v.pointee.fpu.top &+ (i == 6 ? 7 : 1)) & 7
            } else {
                fpuFunction(row == 14 ? i : 8 &+ i)
            }
        case 16, 17, 18, 19, 24, 25, 26, 27:
            note(o)
            fcmov(i, row)
        case 21:
            if i != 1 { throw .invalidOpcode }
            note(o)
            fcom(1, quiet: true, pops: 2)
        case 28: try fpuControlRegisterForm(i)
        case 29, 61:
            note(o)
            fcomi(i, quiet: true, pops: row == 61)
        case 30, 62:
            note(o)
            fcomi(i, quiet: false, pops: row == 62)
        case 40:
            note(o)
            ffree(i, pops: false)
        case 44, 45:
            note(o)
            fcom(i, quiet: true, pops: row & 1)
        case 51:
            if i != 1 { throw .invalidOpcode }
            note(o)
            fcom(1, quiet: false, pops: 2)
        case 56:
            note(o)
            ffree(i, pops: true)
        case 60:
            if i != 0 { throw .invalidOpcode }
            ax = statusWord
        default: throw .invalidOpcode
        }
    }
}
