import Primitives

/// RDMSR and WRMSR.
///
/// Source: SDM Vol. 4, "MSRs in the P6 Family Processors", "Architectural MSRs"; Vol. 3A, "Memory Cache Control" (MTRR, PAT).
/// Not implemented: machine check (a 64-bit model says that it has no banks), performance counters that count, last-branch records. Memory
/// types are stored, not acted on.
private enum MSR {
    static let tsc: UInt32 = 0x10, platformID: UInt32 = 0x17, apicBase: UInt32 = 0x1B, powerOn: UInt32 = 0x2A
    static let machineCheckCap: UInt32 = 0x179, machineCheckStatus: UInt32 = 0x17A
    static let updateTrigger: UInt32 = 0x79, updateSignature: UInt32 = 0x8B, mtrrCap: UInt32 = 0xFE
    static let sysenterCS: UInt32 = 0x174, sysenterESP: UInt32 = 0x175, sysenterEIP: UInt32 = 0x176
    static let eventCount: UInt32 = 0xC1, eventSelect: UInt32 = 0x186
    static let miscEnable: UInt32 = 0x1A0, debugControl: UInt32 = 0x1D9, pat: UInt32 = 0x277, mtrrDefaultType: UInt32 = 0x2FF
    static let efer: UInt32 = 0xC000_0080, star: UInt32 = 0xC000_0081, lstar: UInt32 = 0xC000_0082, cstar: UInt32 = 0xC000_0083
    static let sfmask: UInt32 = 0xC000_0084, fsBase: UInt32 = 0xC000_0100, gsBase: UInt32 = 0xC000_0101
    static let kernelGSBase: UInt32 = 0xC000_0102, tscAux: UInt32 = 0xC000_0103
    /// Eight variable ranges, fixed ranges, write combining.
    static let mtrrCapability: UInt64 = 0x508
    /// Nothing is speculated here, so none of the leaks is that a kernel would pay for closing: RDCL, L1D, SSB, MDS, page size change, TAA, MMIO stale
    /// data, BHI, PBRSB, GDS, RFDS. Source: Intel, *Speculative Execution Side Channel Mitigations*, "IA32_ARCH_CAPABILITIES".
    static let archCapabilities: UInt32 = 0x10A
    static let harmless: UInt64 = 0xD10_E179
    /// Numbers of the fixed-range registers, in the order of `VCPU.mtrrFixed`.
    static func fixedRange(_ index: UInt32) -> Int? {
        switch index {
        case 0x250: 0
        case 0x258: 1
        case 0x259: 2
        case 0x268...0x26F: Int(index - 0x268) + 3
        default: nil
        }
    }
    /// UC, WC, WT, WP, WB.
    static func isMemoryType(_ type: UInt64) -> Bool { [0, 1, 4, 5, 6].contains(type) }
    static func areMemoryTypes(_ value: UInt64, pat: Bool) -> Bool {
        (0..<8).allSatisfy { n in
            let type = value >> UInt64(n * 8) & 0xFF
            return isMemoryType(type) || (pat && type == 7)
        }
    }
}

extension Core {
    /// Family 6 with the counters of the Pentium Pro.
    private var hasP6Counters: Bool { t.pointee.processor.model.signature >> 8 & 0xF == 6 }
    private func has(_ feature: CPUFeatures) -> Bool { t.pointee.processor.model.has(feature) }

    /// nil: no such register, #GP(0).
    func readMSR(_ index: UInt32) -> UInt64? {
        typealias F = CPUFeatures
        switch index {
        case MSR.tsc where has(F.tsc): return timeStamp
        case MSR.apicBase where has(F.apic): return t.pointee.processor.bus.readMSR(index)
        case MSR.eventSelect where hasP6Counters, MSR.eventSelect + 1 where hasP6Counters:
            return v.pointee.eventSelect[Int(index - MSR.eventSelect)]
        case MSR.eventCount where hasP6Counters, MSR.eventCount + 1 where hasP6Counters: return v.pointee.eventCount[Int(index - MSR.eventCount)]
        case MSR.platformID, MSR.powerOn, MSR.debugControl: return 0
        // No banks. Every 64-bit processor has this register, and Xen reads it without asking CPUID.
        // No banks: nothing is ever reported.
        case MSR.machineCheckCap where has(F.mca), MSR.machineCheckStatus where has(F.mca): return 0
        case MSR.archCapabilities where has(F.archCapabilities): return MSR.harmless
        case MSR.updateSignature: return v.pointee.microcodeRevision
        case MSR.sysenterCS where has(F.sep): return v.pointee.sysenterCS
        case MSR.sysenterESP where has(F.sep): return v.pointee.sysenterESP
        case MSR.sysenterEIP where has(F.sep): return v.pointee.sysenterEIP
        case MSR.miscEnable: return v.pointee.miscEnable
        case MSR.pat where has(F.pat): return v.pointee.pat
        case MSR.mtrrCap where has(F.mtrr): return MSR.mtrrCapability
        case MSR.mtrrDefaultType where has(F.mtrr): return v.pointee.mtrrDefType
        case 0x200...0x20F where has(F.mtrr): return v.pointee.mtrrVariable[Int(index - 0x200)]
        case 0x250...0x26F where has(F.mtrr): return MSR.fixedRange(index).map { v.pointee.mtrrFixed[$0] }
        case MSR.efer where t.pointee.processor.model.eferMask != 0: return v.pointee.efer
        case MSR.star where has(F.lm): return v.pointee.star
        case MSR.lstar where has(F.lm): return v.pointee.lstar
        case MSR.cstar where has(F.lm): return v.pointee.cstar
        case MSR.sfmask where has(F.lm): return v.pointee.sfmask
        case MSR.fsBase where has(F.lm): return v.pointee.seg[Seg.fs].base
        case MSR.gsBase where has(F.lm): return v.pointee.seg[Seg.gs].base
        case MSR.kernelGSBase where has(F.lm): return v.pointee.kernelGSBase
        case MSR.tscAux where has(F.rdtscp): return v.pointee.tscAux
        default: return nil
        }
    }

    /// False: no such register or a reserved bit, #GP(0); nothing changed.
    func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
        typealias F = CPUFeatures
        let processor = t.pointee.processor
        switch index {
        case MSR.tsc where has(F.tsc): v.pointee.tscOffset = value &- processor.model.ticks(processor.bus.now())
        case MSR.apicBase where has(F.apic): return processor.bus.writeMSR(index, value)
        case MSR.eventSelect where hasP6Counters, MSR.eventSelect + 1 where hasP6Counters:
            v.pointee.eventSelect[Int(index - MSR.eventSelect)] = value & 0xFFFF_FFFF
        // 40 bits wide, of which 31–0 are written and sign-extended.
        case MSR.eventCount where hasP6Counters, MSR.eventCount + 1 where hasP6Counters:
            let extended = UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: value)))
            v.pointee.eventCount[Int(index - MSR.eventCount)] = extended & 0xFF_FFFF_FFFF
        // Microcode updates are accepted and do nothing; the signature register is cleared before it is read back.
        case MSR.updateTrigger: break
        case MSR.updateSignature: v.pointee.microcodeRevision = 0
        case MSR.powerOn: break
        case MSR.debugControl: return value & ~0x7F == 0
        case MSR.sysenterCS where has(F.sep): v.pointee.sysenterCS = value & 0xFFFF_FFFF
        case MSR.sysenterESP where has(F.sep), MSR.sysenterEIP where has(F.sep):
            guard isCanonical(value) else { return false }
            if index == MSR.sysenterESP { v.pointee.sysenterESP = value } else { v.pointee.sysenterEIP = value }
        case MSR.miscEnable: v.pointee.miscEnable = value
        case MSR.pat where has(F.pat):
            guard MSR.areMemoryTypes(value, pat: true) else { return false }
            v.pointee.pat = value
        case MSR.mtrrDefaultType where has(F.mtrr):
            guard value & ~0xCFF == 0, MSR.isMemoryType(value & 0xFF) else { return false }
            v.pointee.mtrrDefType = value
        case 0x200...0x20F where has(F.mtrr): return writeVariableRange(Int(index - 0x200), value)
        case 0x250...0x26F where has(F.mtrr):
            guard let number = MSR.fixedRange(index), MSR.areMemoryTypes(value, pat: false) else { return false }
            v.pointee.mtrrFixed[number] = value
        case MSR.efer: return writeEFER(value)
        case MSR.machineCheckStatus where has(F.mca): return value == 0
        case MSR.star...MSR.sfmask where has(F.lm), MSR.fsBase...MSR.kernelGSBase where has(F.lm): return writeLongMode(index, value)
        case MSR.tscAux where has(F.rdtscp):
            guard value >> 32 == 0 else { return false }
            v.pointee.tscAux = value
        default: return false
        }
        return true
    }

    /// PHYSBASEn (even) has a type, PHYSMASKn (odd) a valid bit.
    private func writeVariableRange(_ number: Int, _ value: UInt64) -> Bool {
        let address = (UInt64(1) << t.pointee.processor.model.physicalBits) - 0x1000
        if number & 1 == 0 {
            guard value & ~(address | 0xFF) == 0, MSR.isMemoryType(value & 0xFF) else { return false }
        } else {
            guard value & ~(address | 0x800) == 0 else { return false }
        }
        v.pointee.mtrrVariable[number] = value
        return true
    }

    /// Addresses must be canonical.
    private func writeLongMode(_ index: UInt32, _ value: UInt64) -> Bool {
        switch index {
        case MSR.star: v.pointee.star = value
        case MSR.sfmask:
            guard value >> 32 == 0 else { return false }
            v.pointee.sfmask = value
        default:
            guard isCanonical(value) else { return false }
            switch index {
            case MSR.lstar: v.pointee.lstar = value
            case MSR.cstar: v.pointee.cstar = value
            case MSR.fsBase: v.pointee.seg[Seg.fs].base = value
            case MSR.gsBase: v.pointee.seg[Seg.gs].base = value
            default: v.pointee.kernelGSBase = value
            }
        }
        return true
    }

    /// LMA follows CR0.PG; LME may not change under paging.
    private func writeEFER(_ value: UInt64) -> Bool {
        let mask = t.pointee.processor.model.eferMask
        guard mask != 0, value & ~mask == 0 else { return false }
        let old = v.pointee.efer
        if cr0 & CR0.pg != 0 && (old ^ value) & EFER.lme != 0 { return false }
        v.pointee.efer = value & ~EFER.lma | old & EFER.lma
        if (old ^ value) & EFER.nxe != 0 { flushTLB(keepGlobal: false) }
        modeChanged()
        return true
    }
}

/// RDMSR: #GP(0) outside of CPL 0 and for registers that do not exist.
func rdmsr(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.requireCPL0()
    guard let value = c.readMSR(c.ecx) else { throw .generalProtection }
    c.eax = UInt32(truncatingIfNeeded: value)
    c.edx = UInt32(truncatingIfNeeded: value >> 32)
}

/// WRMSR: #GP(0) outside of CPL 0, for registers that do not exist and for reserved bits.
func wrmsr(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.requireCPL0()
    guard c.writeMSR(c.ecx, UInt64(c.edx) << 32 | UInt64(c.eax)) else { throw .generalProtection }
}
