import Primitives

/// LAR, LSL, VERR, VERW and ARPL: questions about selectors that never fault over the answer.
///
/// Source: SDM Vol. 2, LAR, LSL, VERR/VERW, ARPL; tables of the valid types.
extension Core {
    /// The descriptor when it exists and CPL and RPL may see it; conforming code is visible to all.
    private func visibleDescriptor(_ selector: UInt16) throws(Fault) -> Descriptor? {
        guard !isNull(selector), let d = try descriptor(selector) else { return nil }
        if d.isCode && d.isConforming { return d }
        return cpl <= d.dpl && rpl(selector) <= d.dpl ? d : nil
    }

    /// The descriptor for LAR or LSL when its type is one of `systemTypes` (bit per type) or code or data.
    fileprivate func describe(_ selector: UInt16, systemTypes: UInt16) throws(Fault) -> Descriptor? {
        guard let d = try visibleDescriptor(selector) else { return nil }
        return !d.isSystem || systemTypes & (1 << UInt16(d.type)) != 0 ? d : nil
    }

    fileprivate func verify(_ selector: UInt16, write: Bool) throws(Fault) -> Bool {
        guard let d = try visibleDescriptor(selector) else { return false }
        return write ? d.isWritableData : d.isReadable
    }

    fileprivate func setZeroFlag(_ zero: Bool) {
        let others = eflags & (EFlags.arithmetic & ~EFlags.zf)
        setArithmeticFlags(zero ? others | EFlags.zf : others)
    }

    fileprivate func setDestination(_ o: OpPointer, _ value: UInt32) {
        if o.pointee.operandBytes == 2 {
            setReg(o.pointee.a, UInt16(truncatingIfNeeded: value))
        } else {
            setReg(o.pointee.a, value)
        }
    }
}

/// LAR: access rights in bits 8–15 and 20–23.
func lar(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    let selector = try c.loadRM(o, UInt16.self)
    // TSS, LDT, call gates, task gate.
    let d = try c.describe(selector, systemTypes: c.isLong ? 0b0001_1010_0000_0100 : 0b0001_1010_0011_1110)
    if let d { c.setDestination(o, UInt32(truncatingIfNeeded: d.raw >> 32) & 0x00FF_FF00) }
    c.setZeroFlag(d != nil)
}

/// LSL: the limit in bytes.
func lsl(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    let selector = try c.loadRM(o, UInt16.self)
    // TSS and LDT.
    let d = try c.describe(selector, systemTypes: c.isLong ? 0b0000_1010_0000_0100 : 0b0000_1010_0000_1110)
    if let d { c.setDestination(o, d.limit) }
    c.setZeroFlag(d != nil)
}

func verr(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    c.setZeroFlag(try c.verify(c.loadRM(o, UInt16.self), write: false))
}

func verw(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    c.setZeroFlag(try c.verify(c.loadRM(o, UInt16.self), write: true))
}

/// ARPL r/m16, r16: raises the RPL of the destination to that of the source.
func arpl(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    let source = c.reg(o.pointee.a, UInt16.self)
    let destination: UInt16
    let lower: Bool
    if o.pointee.isRegisterForm {
        destination = c.reg(o.pointee.b, UInt16.self)
        lower = rpl(destination) < rpl(source)
        if lower { c.setReg(o.pointee.b, destination & 0xFFFC | source & 3) }
    } else {
        // The destination must be writable even when it stays as it is.
        let address = try c.effectiveLinear(o, 2, write: true)
        destination = UInt16(truncatingIfNeeded: try c.loadForWrite(address, 2))
        lower = rpl(destination) < rpl(source)
        if lower { try c.store(address, destination & 0xFFFC | source & 3) }
    }
    c.setZeroFlag(lower)
}
