import Primitives

/// MOV to and from CR0–CR4 and DR0–DR7.
///
/// Source: SDM Vol. 3A, "Control Registers"; Vol. 3B, "Debug Registers"; Vol. 2, MOV—Control/Debug Registers.
/// The register form is implied: the mod field is ignored, as the manual says.
extension CR0 {
    /// Bits that exist; ET is fixed to 1, the others read as 0.
    static let writable: UInt32 = pe | mp | em | ts | ne | wp | am | nw | cd | pg
}

/// EFER bits that gate paging and long mode.
enum EFER {
    static let sce: UInt64 = 1, lme: UInt64 = 1 << 8, lma: UInt64 = 1 << 10, nxe: UInt64 = 1 << 11
}

extension Core {
    /// Writes CR0 with all checks and consequences. Throws #GP(0), nothing changed.
    func writeCR0(_ value: UInt32) throws(Fault) {
        let old = cr0
        let new = value & CR0.writable | CR0.et
        if new & CR0.pg != 0 && new & CR0.pe == 0 { throw .generalProtection }
        if new & CR0.nw != 0 && new & CR0.cd == 0 { throw .generalProtection }
        let changed = old ^ new
        var efer = v.pointee.efer
        if changed & CR0.pg != 0 && efer & EFER.lme != 0 {
            if new & CR0.pg != 0 {
                guard cr4 & CR4.pae != 0, !segment(Seg.cs).isLong else { throw .generalProtection }
                efer |= EFER.lma
            } else {
                guard !is64 else { throw .generalProtection }
                efer &= ~EFER.lma
            }
        }
        if new & CR0.pg != 0 && changed & (CR0.pg | CR0.cd | CR0.nw) != 0 && cr4 & CR4.pae != 0 && efer & EFER.lma == 0 {
            try loadPointers(cr3: v.pointee.cr3)
        }
        v.pointee.efer = efer
        v.pointee.cr0 = new
        if changed & CR0.pe != 0 && new & CR0.pe == 0 {
            // Real mode: the code segment is readable and writable data again; base, limit and D stay until it is reloaded.
            var cs = segment(Seg.cs)
            cs.attributes = cs.attributes & 0xFF00 | 0x93
            v.pointee.seg[Seg.cs] = cs
            v.pointee.cpl = 0
        }
        if changed & (CR0.pg | CR0.pe | CR0.wp) != 0 { flushTLB(keepGlobal: false) }
        modeChanged()
    }

    func writeCR4(_ value: UInt32) throws(Fault) {
        let old = cr4
        guard value & ~t.pointee.processor.model.cr4Mask == 0 else { throw .generalProtection }
        if isLong && value & CR4.pae == 0 { throw .generalProtection }
        if value & CR4.pae != 0 && (old ^ value) & (CR4.pae | CR4.pge | CR4.pse) != 0 && cr0 & CR0.pg != 0 && !isLong {
            try loadPointers(cr3: v.pointee.cr3)
        }
        v.pointee.cr4 = value
        if (old ^ value) & (CR4.pse | CR4.pae | CR4.pge) != 0 { flushTLB(keepGlobal: false) }
        modeChanged()
    }

    /// Register number of CRn or DRn, REX.R included.
    fileprivate func systemRegister(_ o: OpPointer) -> Int { Int(o.pointee.a >> 3) }

    /// The general register: 32 bits, in 64-bit mode 64.
    fileprivate func systemOperand(_ o: OpPointer) -> UInt64 { is64 ? reg(o.pointee.b, UInt64.self) : UInt64(reg(o.pointee.b, UInt32.self)) }

    fileprivate func setSystemOperand(_ o: OpPointer, _ value: UInt64) {
        if is64 { setReg(o.pointee.b, value) } else { setReg(o.pointee.b, UInt32(truncatingIfNeeded: value)) }
    }

    /// #UD for DR4 and DR5 with CR4.DE, #GP(0) outside of CPL 0, #DB with BD while DR7.GD protects the registers.
    fileprivate func debugRegister(_ o: OpPointer) throws(Fault) -> Int {
        var number = systemRegister(o)
        if number > 7 { throw .invalidOpcode }
        if number == 4 || number == 5 {
            if cr4 & CR4.de != 0 { throw .invalidOpcode }
            number += 2
        }
        try requireCPL0()
        if v.pointee.dr[7] & DR7.gd != 0 {
            reportDebug(DR6.bd)
            throw .debug
        }
        return number
    }

    /// CR8 is bits 4–7 of the local APIC's task priority. SDM Vol. 3A, "Task Priority in IA-32e Mode".
    fileprivate var taskPriorityAddress: UInt64 { ((t.pointee.processor.bus.readMSR(0x1B) ?? 0xFEE0_0000) & ~0xFFF) + 0x80 }

    /// MOV CR3: drops translations, and under PAE reads the four pointers.
    fileprivate func writeCR3(_ value: UInt64) throws(Fault) {
        if isLong {
            guard value & ~0xFFF & ~t.pointee.processor.model.frameMask == 0 else { throw .generalProtection }
        } else if cr4 & CR4.pae != 0 && cr0 & CR0.pg != 0 {
            try loadPointers(cr3: value)
        }
        v.pointee.cr3 = value
        flushTLB(keepGlobal: true)
    }
}

/// MOV r32/r64, CRn.
func mov_RdCd(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = c.systemRegister(o)
    guard [0, 2, 3, 4].contains(number) || (number == 8 && c.is64) else { throw .invalidOpcode }
    try c.requireCPL0()
    let value: UInt64
    switch number {
    case 0: value = UInt64(c.cr0)
    case 2: value = c.v.pointee.cr2
    case 3: value = c.v.pointee.cr3
    case 4: value = UInt64(c.cr4)
    default: value = (c.t.pointee.processor.bus.readMMIO(c.taskPriorityAddress, size: 4) >> 4) & 0xF
    }
    c.setSystemOperand(o, value)
}

/// MOV CRn, r32/r64.
func mov_CdRd(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = c.systemRegister(o)
    guard [0, 2, 3, 4].contains(number) || (number == 8 && c.is64) else { throw .invalidOpcode }
    try c.requireCPL0()
    let value = c.systemOperand(o)
    if c.tells(.control) { c.tell(.controlRegister, number: UInt16(truncatingIfNeeded: number), value: value) }
    switch number {
    case 2: c.v.pointee.cr2 = value
    case 3: try c.writeCR3(value)
    case 8:
        guard value < 16 else { throw .generalProtection }
        c.t.pointee.processor.bus.writeMMIO(c.taskPriorityAddress, size: 4, value << 4)
    default:
        guard value >> 32 == 0 else { throw .generalProtection }
        if number == 0 { try c.writeCR0(UInt32(truncatingIfNeeded: value)) } else { try c.writeCR4(UInt32(truncatingIfNeeded: value)) }
    }
}

/// MOV r32/r64, DRn.
func mov_RdDd(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = try c.debugRegister(o)
    var value = c.v.pointee.dr[number]
    if number == 6 { value = value & UInt64(DR6.writable) | DR6.fixed }
    if number == 7 { value = value & DR7.writable | DR7.fixed }
    c.setSystemOperand(o, value)
}

/// MOV DRn, r32/r64. DR6 and DR7 keep their fixed bits; their upper halves must be 0.
func mov_DdRd(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = try c.debugRegister(o)
    let value = c.systemOperand(o)
    if number >= 6 && value >> 32 != 0 { throw .generalProtection }
    switch number {
    case 6: c.v.pointee.dr[6] = value & UInt64(DR6.writable) | DR6.fixed
    case 7: c.v.pointee.dr[7] = value & DR7.writable | DR7.fixed
    default: c.v.pointee.dr[number] = value
    }
    c.modeChanged()
}
