import Primitives

// x87 arithmetic, comparison and functions. SDM Vol. 2, the instructions' pages; Vol. 1, "x87 FPU Floating-Point Exception Conditions".

extension Core {
    // MARK: Add, subtract, multiply, divide

    /// ST(destination) := ST(0) op ST(i) by the reg field's operation. DC and DE swap the subtractions' and divisions' reg fields, so the
    /// operation on (ST(0), ST(i)) is the same for both destinations.
    func fpuArithmetic(_ reg: Int, _ i: Int, into destination: Int, pops: Bool) {
        if isEmpty(0) || isEmpty(i) {
            guard stackUnderflow() else { return }
            setST(destination, .indefinite)
        } else {
            var r = F80.arithmetic(reg, st(0), st(i), fpuControl)
            if r.isDeclined { r = hostBinary(.arithmetic(reg), st(0), st(i)) }
            if enter(r.flags) & FSW.before != 0 { return }
            setST(destination, r.value)
        }
        if pops { popST() }
    }

    /// ST(0) := ST(0) op operand, or a comparison (reg 2, 3). `y` is `notPlain` when the conversion of `bits` raises an exception.
    func fpuArithmeticMemory(_ reg: Int, _ y: F80, _ bits: UInt64, _ format: F80.Memory) {
        if reg & 6 == 2 { return fcomMemory(y, bits, format, pops: reg & 1) }
        if isEmpty(0) {
            if stackUnderflow() { setST(0, .indefinite) }
            return
        }
        var r = F80.arithmetic(reg, st(0), y, fpuControl)
        if r.isDeclined { r = hostMemory(.arithmetic(reg, format), bits) }
        if enter(r.flags) & FSW.before != 0 { return }
        setST(0, r.value)
    }

    // MARK: The host's part

    /// Flags, C1 included, out of a status word.
    @inline(__always)
    private func hostFlags(_ operands: HostOperands) -> UInt16 {
        UInt16(truncatingIfNeeded: operands.status) & (FSW.exceptions | FSW.conditions)
    }

    @inline(never)
    func hostBinary(_ operation: HostOperation, _ x: F80, _ y: F80) -> Rounded {
        var operands = HostOperands(control: fpuControl)
        operands.x = x
        operands.y = y
        HostFPU.run(operation, &operands)
        return Rounded(operands.result, hostFlags(operands))
    }

    /// ST(0) with a memory operand that is read.
    @inline(never)
    func hostMemory(_ operation: HostOperation, _ bits: UInt64) -> Rounded {
        var operands = HostOperands(control: fpuControl)
        operands.x = st(0)
        operands.b = bits
        HostFPU.run(operation, &operands)
        return Rounded(operands.result, hostFlags(operands))
    }

    /// A conversion to a register.
    @inline(never)
    func hostLoad(_ operation: HostOperation, _ operand: F80) -> Rounded {
        var operands = HostOperands(control: fpuControl)
        operands.y = operand
        HostFPU.run(operation, &operands)
        return Rounded(operands.result, hostFlags(operands))
    }

    /// ST(0) converted to a memory format: the bytes as an 80-bit image.
    @inline(never)
    func hostStore(_ operation: HostOperation) -> Rounded {
        var operands = HostOperands(control: fpuControl)
        operands.x = st(0)
        HostFPU.run(operation, &operands)
        return Rounded(operands.y, hostFlags(operands))
    }

    // MARK: Comparison

    /// Condition codes of ST(0) against `y`, and exception flags.
    @inline(__always)
    private func comparison(_ y: F80, quiet: Bool) -> UInt16 {
        let x = st(0)
        if x.isPlain && y.isPlain { return F80.compare(x, y) }
        return hostBinary(quiet ? .compareQuiet : .arithmetic(2), x, y).flags
    }

    /// Enters C3, C2, C0 (C1 := 0). An unmasked exception leaves them as they were: SDM Vol. 2A, "FCOM"; AMD's processors set them.
    @inline(__always)
    private func enterComparison(_ flags: UInt16) -> Bool {
        if enter(flags & ~FSW.c1) & FSW.before != 0 { return false }
        v.pointee.fpu.status = v.pointee.fpu.status & ~FSW.conditions | flags & FSW.unordered
        return true
    }

    /// An empty operand compares as unordered, when masked.
    @inline(__always)
    private func compareEmpty() -> Bool {
        guard stackUnderflow() else { return false }
        v.pointee.fpu.status |= FSW.unordered
        return true
    }

    @inline(__always)
    func fcom(_ i: Int, quiet: Bool, pops: Int) {
        guard isEmpty(0) || isEmpty(i) ? compareEmpty() : enterComparison(comparison(st(i), quiet: quiet)) else { return }
        if pops > 0 { popST() }
        if pops > 1 { popST() }
    }

    @inline(__always)
    private func fcomMemory(_ y: F80, _ bits: UInt64, _ format: F80.Memory, pops: Int) {
        let done: Bool
        if isEmpty(0) {
            done = compareEmpty()
        } else if y.isPlain && st(0).isPlain {
            done = enterComparison(F80.compare(st(0), y))
        } else {
            done = enterComparison(hostMemory(.arithmetic(2, format), bits).flags)
        }
        if done && pops != 0 { popST() }
    }

    /// FCOMI, FUCOMI: ZF PF CF as COMIS sets them, OF SF AF cleared. SDM Vol. 2A, "FCOMI".
    /// C1 stays unless the stack faults, as measured on AMD; the manual has it cleared.
    func fcomi(_ i: Int, quiet: Bool, pops: Bool) {
        let codes: UInt16
        if isEmpty(0) || isEmpty(i) {
            guard stackUnderflow() else { return }
            codes = FSW.unordered
        } else {
            codes = comparison(st(i), quiet: quiet)
            let c1 = v.pointee.fpu.status & FSW.c1
            if enter(codes & ~FSW.c1 | c1) & FSW.before != 0 { return }
        }
        var bits: UInt32 = 0
        if codes & FSW.c3 != 0 { bits |= EFlags.zf }
        if codes & FSW.c2 != 0 { bits |= EFlags.pf }
        if codes & FSW.c0 != 0 { bits |= EFlags.cf }
        setArithmeticFlags(bits)
        if pops { popST() }
    }

    // MARK: D9 E0–E5

    /// FCHS FABS FTST FXAM.
    func fpuSignAndTest(_ o: OpPointer, _ i: Int) throws(Fault) {
        switch i {
        case 0, 1:
            note(o)
            if isEmpty(0) {
                if stackUnderflow() { setST(0, .indefinite) }
                return
            }
            v.pointee.fpu.status &= ~FSW.c1
            let x = st(0)
            setST(0, F80(x.significand, i == 0 ? x.signExponent ^ 0x8000 : x.signExponent & 0x7FFF))
        case 4:
            note(o)
            if isEmpty(0) {
                _ = compareEmpty()
            } else {
                _ = enterComparison(st(0).isPlain ? F80.compare(st(0), .zero) : hostBinary(.test, st(0), .zero).flags)
            }
        case 5:
            note(o)
            v.pointee.fpu.status = v.pointee.fpu.status & ~FSW.conditions | examine()
        default: throw .invalidOpcode
        }
    }

    /// FXAM's classes. C1 is the sign even of an empty register. SDM Vol. 2A, "FXAM".
    private func examine() -> UInt16 {
        let x = st(0)
        let sign: UInt16 = x.sign != 0 ? FSW.c1 : 0
        if isEmpty(0) { return sign | FSW.c3 | FSW.c0 }
        if x.exponent == 0 { return sign | FSW.c3 | (x.significand == 0 ? 0 : FSW.c2) }
        if x.significand < F80.integerBit { return sign }  // unsupported
        if x.exponent == 0x7FFF { return sign | FSW.c0 | (x.isInfinity ? FSW.c2 : 0) }
        return sign | FSW.c2
    }

    // MARK: D9 F0–FF

    /// Functions of ST(0) and ST(1); `number` is the low nibble of the opcode.
    @inline(never)
    func fpuFunction(_ number: Int) {
        switch number {
        case 0x0: unaryFunction(.f2xm1)
        case 0x1: poppingFunction(.fyl2x)
        case 0x2: pushingFunction(.fptan)
        case 0x3: poppingFunction(.fpatan)
        case 0x4: pushingFunction(.fxtract)
        case 0x5: binaryFunction(.fprem1, conditions: FSW.conditions)
        case 0x8: binaryFunction(.fprem, conditions: FSW.conditions)
        case 0x9: poppingFunction(.fyl2xp1)
        case 0xA: unaryFunction(.squareRoot)
        case 0xB: pushingFunction(.fsincos)
        case 0xC:
            let r = isEmpty(0) ? Rounded.declined : st(0).roundedToInteger(fpuControl)
            if r.isDeclined {
                unaryFunction(.roundToInteger)
            } else {
                _ = enter(r.flags)
                setST(0, r.value)
            }
        case 0xD: binaryFunction(.fscale, conditions: 0)
        case 0xE: unaryFunction(.sine, conditions: FSW.c2)
        case 0xF: unaryFunction(.cosine, conditions: FSW.c2)
        default: break
        }
    }

    @inline(__always)
    private func enterConditions(_ flags: UInt16, _ mask: UInt16) {
        let mask = mask & ~FSW.c1
        v.pointee.fpu.status = v.pointee.fpu.status & ~mask | flags & mask
    }

    /// `conditions`: codes other than C1 that the instruction defines.
    private func unaryFunction(_ operation: HostOperation, conditions: UInt16 = 0) {
        if isEmpty(0) {
            if stackUnderflow() { setST(0, .indefinite) }
            enterConditions(0, conditions)
            return
        }
        let r = hostBinary(operation, st(0), .zero)
        let unmasked = enter(r.flags)
        enterConditions(r.flags, conditions)
        if unmasked & FSW.before == 0 { setST(0, r.value) }
    }

    private func binaryFunction(_ operation: HostOperation, conditions: UInt16) {
        if isEmpty(0) || isEmpty(1) {
            if stackUnderflow() { setST(0, .indefinite) }
            enterConditions(0, conditions & FSW.c2)
            return
        }
        let r = hostBinary(operation, st(0), st(1))
        if enter(r.flags) & FSW.before != 0 {
            enterConditions(r.flags, conditions & FSW.c2)
            return
        }
        // A NaN has no quotient: only C2, "reduction incomplete", is written then.
        enterConditions(r.flags, r.value.exponent == 0x7FFF ? conditions & FSW.c2 : conditions)
        setST(0, r.value)
    }

    /// Result into ST(1), then pop.
    private func poppingFunction(_ operation: HostOperation) {
        if isEmpty(0) || isEmpty(1) {
            guard stackUnderflow() else { return }
            setST(1, .indefinite)
        } else {
            let r = hostBinary(operation, st(0), st(1))
            if enter(r.flags) & FSW.before != 0 { return }
            setST(1, r.value)
        }
        popST()
    }

    /// Replaces ST(0) and pushes a second result. FPTAN and FSINCOS set C2 and do nothing when |ST(0)| is 2^63 or more.
    private func pushingFunction(_ operation: HostOperation) {
        if isEmpty(0) || !isEmpty(7) {
            let masked = isEmpty(0) ? stackUnderflow() : stackOverflow()
            if operation != .fxtract { enterConditions(0, FSW.c2) }
            guard masked else { return }
            setST(0, .indefinite)
            pushST(.indefinite)
            return
        }
        var operands = HostOperands(control: fpuControl)
        operands.x = st(0)
        HostFPU.run(operation, &operands)
        let flags = UInt16(truncatingIfNeeded: operands.status) & (FSW.exceptions | FSW.conditions)
        let unmasked = enter(flags)
        if operation != .fxtract { enterConditions(flags, FSW.c2) }
        if unmasked & FSW.before != 0 || (operation != .fxtract && flags & FSW.c2 != 0) { return }
        setST(0, operands.second)
        pushST(operands.result)
    }
}
