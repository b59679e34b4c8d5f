import Primitives

/// EFLAGS as a whole, and the instructions that move it: PUSHF, POPF, CLI, STI, HLT.
///
/// Source: SDM Vol. 1, "EFLAGS Register"; Vol. 2, POPF tables; Vol. 3B, "Sensitive Instructions" of virtual-8086 mode.
/// Not implemented: VME and PVI (CPUID does not offer them).
extension EFlags {
    /// Bits that exist besides the arithmetic ones.
    static let system: UInt32 = tf | `if` | df | iopl | nt | rf | vm | ac | vif | vip | id
}

extension Core {
    /// Replaces the flags under `mask`, arithmetic ones included. Does not call `modeChanged()`.
    ///
    /// RF is kept only while a breakpoint is armed: without one nothing can see it, and the engine need not single-step to clear it.
    func writeFlags(_ value: UInt32, mask: UInt32) {
        if mask & EFlags.arithmetic != 0 {
            let old = mask & EFlags.arithmetic == EFlags.arithmetic ? 0 : eflags
            setArithmeticFlags(old & ~mask | value & mask)
        }
        let systemMask = mask & EFlags.system
        var system = v.pointee.systemFlags & ~systemMask | value & systemMask | 2
        if v.pointee.dr[7] & 0xFF == 0 { system &= ~EFlags.rf }
        v.pointee.systemFlags = system
    }

    /// Flags that POPF may change at the current level, SDM Vol. 2, POPF, table "Effect of POPF/POPFD on the EFLAGS Register".
    /// 16-bit forms leave the upper half alone.
    func popfMask(_ bytes: Int) -> UInt32 {
        var mask = EFlags.arithmetic | EFlags.tf | EFlags.df | EFlags.nt
        if cpl <= iopl || !isProtected { mask |= EFlags.if }
        if cpl == 0 || !isProtected { mask |= EFlags.iopl }
        if bytes >= 4 { mask |= EFlags.ac | EFlags.id }
        return mask
    }

    /// #GP(0) where CLI, STI, PUSHF, POPF, INT n and IRET are trapped in virtual-8086 mode.
    @inline(__always)
    func checkV86Sensitive() throws(Fault) {
        if isV86 && iopl < 3 { throw .generalProtection }
    }

    /// #GP(0) at CPL 1–3; virtual-8086 mode is CPL 3, real mode CPL 0.
    @inline(__always)
    func requireCPL0() throws(Fault) {
        if cpl != 0 { throw .generalProtection }
    }
}

/// PUSHF/PUSHFD: RF and VM are pushed as 0.
func pushf(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.checkV86Sensitive()
    let image = c.eflags & ~(EFlags.rf | EFlags.vm)
    if o.pointee.operandBytes == 2 {
        try c.push(UInt16(truncatingIfNeeded: image))
    } else if o.pointee.operandBytes == 4 {
        try c.push(image)
    } else {
        try c.push(UInt64(image))
    }
}

/// POPF/POPFD: RF becomes 0, VM stays, IOPL and IF as the privilege allows.
func popf(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.checkV86Sensitive()
    let bytes = o.pointee.operandBytes
    let value: UInt32
    if bytes == 2 {
        value = UInt32(try c.pop(UInt16.self))
    } else if bytes == 4 {
        value = try c.pop(UInt32.self)
    } else {
        value = UInt32(truncatingIfNeeded: try c.pop(UInt64.self))
    }
    let before = c.v.pointee.systemFlags
    c.writeFlags(value & ~EFlags.rf, mask: c.popfMask(bytes) | EFlags.rf)
    if (before ^ c.v.pointee.systemFlags) & (EFlags.tf | EFlags.ac | EFlags.rf) != 0 { c.modeChanged() }
}

/// CLI: allowed when CPL <= IOPL, in virtual-8086 mode with IOPL 3.
func cli(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.isProtected && c.cpl > c.iopl { throw .generalProtection }
    c.v.pointee.systemFlags &= ~EFlags.if
}

/// STI: interrupts are recognised after the next instruction, if IF was 0.
func sti(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.isProtected && c.cpl > c.iopl { throw .generalProtection }
    if c.v.pointee.systemFlags & EFlags.if == 0 {
        c.v.pointee.systemFlags |= EFlags.if
        c.v.pointee.shadow = Shadow.sti
    }
}

func hlt(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.requireCPL0()
    c.v.pointee.halted = true
}
