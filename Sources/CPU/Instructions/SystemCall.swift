import Primitives

/// SYSENTER, SYSEXIT, SYSCALL, SYSRET, SWAPGS, RDTSCP.
///
/// Source: SDM Vol. 2, under their names; Vol. 3A, "Fast System Calls in 64-bit Mode".

/// Fixed flat segments derived from the MSRs.
private func flatSegment(_ selector: UInt16, _ attributes: UInt16) -> Segment {
    var s = Segment()
    s.selector = selector
    s.limit = .max
    s.attributes = attributes
    return s
}

/// Attributes of the fixed segments: code of 32 and 64 bits, data; DPL added by the caller.
private enum Flat {
    static let code32: UInt16 = 0xC09B, code64: UInt16 = 0xA09B, data: UInt16 = 0xC093, user: UInt16 = 0x60
}

func sysenter(_ c: Core, _ o: OpPointer) throws(Fault) {
    let cs = UInt16(truncatingIfNeeded: c.v.pointee.sysenterCS) & 0xFFFC
    guard c.isProtected, cs != 0 else { throw .generalProtection }
    let long = c.isLong
    c.v.pointee.systemFlags &= ~(EFlags.vm | EFlags.if | EFlags.rf)
    c.v.pointee.seg[Seg.cs] = flatSegment(cs, long ? Flat.code64 : Flat.code32)
    c.v.pointee.seg[Seg.ss] = flatSegment(cs &+ 8, Flat.data)
    c.v.pointee.cpl = 0
    let mask: UInt64 = long ? .max : 0xFFFF_FFFF
    c.rsp = c.v.pointee.sysenterESP & mask
    c.rip = c.v.pointee.sysenterEIP & mask
    c.modeChanged()
}

/// SYSEXIT; with REX.W to 64-bit code.
func sysexit(_ c: Core, _ o: OpPointer) throws(Fault) {
    let cs = UInt16(truncatingIfNeeded: c.v.pointee.sysenterCS) & 0xFFFC
    guard c.isProtected, cs != 0 else { throw .generalProtection }
    try c.requireCPL0()
    let (sp, ip) = (c.gpr(1, UInt64.self), c.gpr(2, UInt64.self))
    let wide = c.is64 && o.pointee.operandBytes == 8
    if wide { guard c.isCanonical(sp), c.isCanonical(ip) else { throw .generalProtection } }
    c.v.pointee.seg[Seg.cs] = flatSegment((cs &+ (wide ? 32 : 16)) | 3, (wide ? Flat.code64 : Flat.code32) | Flat.user)
    c.v.pointee.seg[Seg.ss] = flatSegment((cs &+ (wide ? 40 : 24)) | 3, Flat.data | Flat.user)
    c.v.pointee.cpl = 3
    c.rsp = wide ? sp : sp & 0xFFFF_FFFF
    c.rip = wide ? ip : ip & 0xFFFF_FFFF
    c.modeChanged()
}

/// SYSCALL: 64-bit mode only, as on Intel's processors.
func syscall(_ c: Core, _ o: OpPointer) throws(Fault) {
    guard c.is64, c.v.pointee.efer & EFER.sce != 0 else { throw .invalidOpcode }
    c.setGPR(1, c.rip)
    c.setGPR(11, UInt64(c.eflags & ~EFlags.rf))
    c.rip = c.v.pointee.lstar
    let mask = UInt32(truncatingIfNeeded: c.v.pointee.sfmask) | EFlags.rf
    c.writeFlags(0, mask: mask & ~2)
    let cs = UInt16(truncatingIfNeeded: c.v.pointee.star >> 32) & 0xFFFC
    c.v.pointee.seg[Seg.cs] = flatSegment(cs, Flat.code64)
    c.v.pointee.seg[Seg.ss] = flatSegment(cs &+ 8, Flat.data)
    c.v.pointee.cpl = 0
    c.modeChanged()
}

/// SYSRET: with REX.W to 64-bit code, else to compatibility mode.
func sysret(_ c: Core, _ o: OpPointer) throws(Fault) {
    guard c.is64, c.v.pointee.efer & EFER.sce != 0 else { throw .invalidOpcode }
    try c.requireCPL0()
    let wide = o.pointee.operandBytes == 8
    let target = c.gpr(1, UInt64.self)
    if wide { guard c.isCanonical(target) else { throw .generalProtection } }
    let base = UInt16(truncatingIfNeeded: c.v.pointee.star >> 48)
    c.rip = wide ? target : target & 0xFFFF_FFFF
    // RF and VM are cleared.
    c.writeFlags(c.gpr(11, UInt32.self) & 0x003C_7FD7, mask: ~0)
    c.v.pointee.seg[Seg.cs] = flatSegment((wide ? base &+ 16 : base) | 3, (wide ? Flat.code64 : Flat.code32) | Flat.user)
    c.v.pointee.seg[Seg.ss] = flatSegment((base &+ 8) | 3, Flat.data | Flat.user)
    c.v.pointee.cpl = 3
    c.modeChanged()
}

func swapgs(_ c: Core, _ o: OpPointer) throws(Fault) {
    guard c.is64 else { throw .invalidOpcode }
    try c.requireCPL0()
    let base = c.v.pointee.seg[Seg.gs].base
    c.v.pointee.seg[Seg.gs].base = c.v.pointee.kernelGSBase
    c.v.pointee.kernelGSBase = base
}

/// RDTSCP: RDTSC and IA32_TSC_AUX.
func rdtscp(_ c: Core, _ o: OpPointer) throws(Fault) {
    try rdtsc(c, o)
    c.ecx = UInt32(truncatingIfNeeded: c.v.pointee.tscAux)
}
