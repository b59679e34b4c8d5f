import Primitives

/// Table registers, task register, machine status word, caches, time stamp.
///
/// Source: SDM Vol. 2, LGDT … WBINVD; Vol. 3A, "System Instruction Summary".

// MARK: GDTR and IDTR

/// LGDT and LIDT load 24 base bits in the 16-bit form. SGDT and SIDT store all 32 in both forms, as every 32-bit processor does.
private func loadTable(_ c: Core, _ o: OpPointer) throws(Fault) -> (limit: UInt32, base: UInt64) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    try c.requireCPL0()
    let seg = Int(o.pointee.seg), at = c.effectiveOffset(o), next = (at &+ 2) & o.pointee.addressMask
    let limit = UInt32(try c.load(seg, at, UInt16.self))
    if c.is64 {
        let base = try c.load(seg, next, UInt64.self)
        guard c.isCanonical(base) else { throw .generalProtection }
        return (limit, base)
    }
    let base = try c.load(seg, next, UInt32.self)
    return (limit, UInt64(o.pointee.operandBytes == 2 ? base & 0xFF_FFFF : base))
}

private func storeTable(_ c: Core, _ o: OpPointer, _ limit: UInt32, _ base: UInt64) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    let seg = Int(o.pointee.seg), at = c.effectiveOffset(o), next = (at &+ 2) & o.pointee.addressMask
    // Both halves are proved first: a fault on the second must not leave the first written.
    let first = try c.linear(seg, at, 2, write: true), second = try c.linear(seg, next, c.is64 ? 8 : 4, write: true)
    try c.probeWrite(second, c.is64 ? 8 : 4)
    try c.store(first, UInt16(truncatingIfNeeded: limit))
    if c.is64 { try c.store(second, base) } else { try c.store(second, UInt32(truncatingIfNeeded: base)) }
}

func lgdt(_ c: Core, _ o: OpPointer) throws(Fault) {
    let table = try loadTable(c, o)
    c.v.pointee.gdtrLimit = table.limit
    c.v.pointee.gdtrBase = table.base
}

func lidt(_ c: Core, _ o: OpPointer) throws(Fault) {
    let table = try loadTable(c, o)
    c.v.pointee.idtrLimit = table.limit
    c.v.pointee.idtrBase = table.base
}

func sgdt(_ c: Core, _ o: OpPointer) throws(Fault) { try storeTable(c, o, c.v.pointee.gdtrLimit, c.v.pointee.gdtrBase) }
func sidt(_ c: Core, _ o: OpPointer) throws(Fault) { try storeTable(c, o, c.v.pointee.idtrLimit, c.v.pointee.idtrBase) }

// MARK: LDTR and TR

/// #UD in real and virtual-8086 mode: the instruction exists in protected mode only.
@inline(__always)
func requireProtected(_ c: Core) throws(Fault) {
    if c.isRealOrV86 { throw .invalidOpcode }
}

/// LLDT: a null selector makes the LDT unusable.
func lldt(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    try c.requireCPL0()
    let selector = try c.loadRM(o, UInt16.self)
    if isNull(selector) {
        var s = Segment()
        s.selector = selector
        s.attributes = 0
        c.v.pointee.seg[Seg.ldtr] = s
        return
    }
    guard selector & 4 == 0, let d = try c.descriptor(selector), d.isSystem, d.type == SystemType.ldt else { throw .protection(selector) }
    guard d.isPresent else { throw .notPresent(selector) }
    c.v.pointee.seg[Seg.ldtr] = try c.systemSegment(selector, d)
}

/// LTR: marks the TSS busy.
func ltr(_ c: Core, _ o: OpPointer) throws(Fault) {
    try requireProtected(c)
    try c.requireCPL0()
    let selector = try c.loadRM(o, UInt16.self)
    if isNull(selector) { throw .generalProtection }
    guard selector & 4 == 0, let d = try c.descriptor(selector), SystemType.isAvailableTSS(d), !c.isLong || d.type == SystemType.tss32 else {
        throw .protection(selector)
    }
    guard d.isPresent else { throw .notPresent(selector) }
    var s = try c.systemSegment(selector, d)
    s.attributes |= 2
    try c.storeSystem(d.address &+ 5, UInt8(truncatingIfNeeded: d.raw >> 40) | 2)
    c.v.pointee.seg[Seg.tr] = s
}

extension Core {
    /// LDTR or TR from a descriptor; in long mode the second eight bytes hold base bits 32–63.
    fileprivate func systemSegment(_ selector: UInt16, _ d: Descriptor) throws(Fault) -> Segment {
        var s = d.segment(selector)
        if isLong {
            s.base |= UInt64(try loadSystem(d.address &+ 8, UInt32.self)) << 32
            guard isCanonical(s.base) else { throw .protection(selector) }
        }
        return s
    }
}

/// SLDT, STR: 16 bits to memory; a 32-bit register is zero-extended.
private func storeSelector(_ c: Core, _ o: OpPointer, _ selector: UInt16) throws(Fault) {
    try requireProtected(c)
    if o.pointee.isRegisterForm && o.pointee.operandBytes >= 4 {
        c.setReg(o.pointee.b, UInt32(selector))
    } else {
        try c.storeRM(o, selector)
    }
}

func sldt(_ c: Core, _ o: OpPointer) throws(Fault) { try storeSelector(c, o, c.segment(Seg.ldtr).selector) }
func str(_ c: Core, _ o: OpPointer) throws(Fault) { try storeSelector(c, o, c.segment(Seg.tr).selector) }

// MARK: Machine status word

/// SMSW works at every level: 16 bits to memory, CR0 to a 32-bit register.
func smsw(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm && o.pointee.operandBytes >= 4 {
        c.setReg(o.pointee.b, c.cr0)
    } else {
        try c.storeRM(o, UInt16(truncatingIfNeeded: c.cr0))
    }
}

/// LMSW: PE, MP, EM, TS; PE can be set but not cleared.
func lmsw(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.requireCPL0()
    let value = UInt32(try c.loadRM(o, UInt16.self))
    try c.writeCR0(c.cr0 & ~0xE | value & 0xF)
}

func clts(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.requireCPL0()
    guard c.cr0 & CR0.ts != 0 else { return }
    c.v.pointee.cr0 &= ~CR0.ts
    c.modeChanged()
}

// MARK: Caches and TLB

/// INVLPG m: no limit check, only the page's translation goes.
func invlpg(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    try c.requireCPL0()
    let seg = Int(o.pointee.seg) & 7
    let base = c.is64 && seg < 4 ? 0 : c.segment(seg).base
    let address = (base &+ c.effectiveOffset(o)) & c.t.pointee.addressMask
    // A non-canonical address has no translation to drop.
    if c.isCanonical(address) { c.invalidatePage(address) }
}

/// INVD and WBINVD: guest memory is always coherent.
func invd(_ c: Core, _ o: OpPointer) throws(Fault) { try c.requireCPL0() }
func wbinvd(_ c: Core, _ o: OpPointer) throws(Fault) { try c.requireCPL0() }

// MARK: Counters

/// RDTSC: #GP(0) outside of CPL 0 with CR4.TSD.
func rdtsc(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr4 & CR4.tsd != 0 && c.cpl != 0 { throw .generalProtection }
    let value = c.timeStamp
    c.eax = UInt32(truncatingIfNeeded: value)
    c.edx = UInt32(truncatingIfNeeded: value >> 32)
}

/// RDPMC: the two counters of the P6 are there, hold what was written and do not count.
func rdpmc(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr4 & CR4.pce == 0 && c.cpl != 0 { throw .generalProtection }
    guard c.ecx < 2 else { throw .generalProtection }
    let count = c.v.pointee.eventCount[Int(c.ecx)]
    c.eax = UInt32(truncatingIfNeeded: count)
    c.edx = UInt32(truncatingIfNeeded: count >> 32)
}

extension Core {
    /// The time-stamp counter: guest time in ticks of the model's frequency, plus what the guest wrote.
    var timeStamp: UInt64 {
        withProcessor { $0.ticks } &+ v.pointee.tscOffset
    }
}
