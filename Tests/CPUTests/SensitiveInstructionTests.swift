import Testing

@testable import CPU

/// Where an instruction runs.
enum Place: CaseIterable, CustomTestStringConvertible, Sendable {
    case real, ring0, ring3, v86, v86IOPL3
    var testDescription: String { String(describing: self) }

    func bench() -> Bench {
        let b = Bench()
        b.c.v.pointee.seg[Seg.ldtr] = b.descriptor(Sel.ldt).segment(Sel.ldt)
        switch self {
        case .real: b.enterReal()
        case .ring0: b.enter(ring: 0)
        case .ring3: b.enter(ring: 3)
        case .v86: b.enterV86(iopl: 0)
        case .v86IOPL3: b.enterV86(iopl: 3)
        }
        return b
    }

    var isProtected: Bool { self == .ring0 || self == .ring3 }
    var isV86: Bool { self == .v86 || self == .v86IOPL3 }
}

/// The seventeen instructions that look at or change privileged state without trapping in every ring, after Robin and Irvine,
/// "Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor" (2000): each in ring 0, in ring 3, in
/// virtual-8086 mode with and without IOPL 3, and in real mode.
@Suite("cpu · the 17 sensitive instructions") struct SensitiveInstructionTests {
    @Test("SGDT and SIDT store the table register everywhere", arguments: Place.allCases)
    func storeTables(place: Place) {
        let b = place.bench()
        b.c.v.pointee.gdtrBase = 0x1234_5678
        b.c.v.pointee.gdtrLimit = 0xABCD
        b.c.v.pointee.idtrBase = 0x9ABC_DEF0
        b.c.v.pointee.idtrLimit = 0x3FF
        let base = b.c.segment(Seg.ds).base
        #expect(b.run(sgdt, Bench.memory(0x7000, reg: 0)) == nil)
        #expect(b.run(sidt, Bench.memory(0x7008, reg: 1, 2)) == nil)
        #expect(b.memory.read(base + 0x7000, count: 6) == [0xCD, 0xAB, 0x78, 0x56, 0x34, 0x12])
        #expect(b.memory.read(base + 0x7008, count: 6) == [0xFF, 0x03, 0xF0, 0xDE, 0xBC, 0x9A])
        #expect(b.run(sgdt, Bench.register()) == .invalidOpcode)
    }

    @Test("SLDT and STR tell the selector in every ring and are undefined outside of protected mode", arguments: Place.allCases)
    func storeSelectors(place: Place) {
        let b = place.bench()
        b.c.eax = 0xFFFF_FFFF
        #expect(b.run(sldt, Bench.register()) == (place.isProtected ? nil : .invalidOpcode))
        #expect(b.c.eax == (place.isProtected ? UInt32(Sel.ldt) : 0xFFFF_FFFF))
        b.c.eax = 0xFFFF_FFFF
        #expect(b.run(str, Bench.register(2)) == (place.isProtected ? nil : .invalidOpcode))
        #expect(b.c.eax == (place.isProtected ? 0xFFFF_0000 | UInt32(Sel.tss) : 0xFFFF_FFFF))
    }

    @Test("SMSW reads CR0 everywhere", arguments: Place.allCases)
    func machineStatus(place: Place) {
        let b = place.bench()
        b.c.v.pointee.cr0 |= CR0.ts | CR0.ne
        let base = b.c.segment(Seg.ds).base
        #expect(b.run(smsw, Bench.register(reg: 4)) == nil)
        #expect(b.c.eax == b.c.cr0)
        b.memory.store(base + 0x7000, UInt32.max)
        #expect(b.run(smsw, Bench.memory(0x7000, reg: 4)) == nil)
        #expect(b.memory.load(base + 0x7000, as: UInt32.self) == 0xFFFF_0000 | (b.c.cr0 & 0xFFFF))
    }

    @Test("PUSHF shows IF and IOPL in ring 3, hides VM and RF, and is trapped in V86 below IOPL 3", arguments: Place.allCases)
    func pushFlags(place: Place) {
        let b = place.bench()
        b.c.v.pointee.systemFlags |= EFlags.if | EFlags.rf | EFlags.ac
        let expected = b.c.eflags & ~(EFlags.vm | EFlags.rf)
        let sp = b.c.rsp
        #expect(b.run(pushf) == (place == .v86 ? .generalProtection : nil))
        if place == .v86 {
            #expect(b.c.rsp == sp)
        } else {
            #expect(b.stack(1) == [expected])
        }
    }

    @Test("POPF silently keeps IF and IOPL where the ring may not change them", arguments: Place.allCases)
    func popFlags(place: Place) {
        let b = place.bench()
        let old = b.c.eflags
        b.setStack([0xFFFF_FFFF])
        #expect(b.run(popf) == (place == .v86 ? .generalProtection : nil))
        let all: UInt32 = EFlags.arithmetic | EFlags.tf | EFlags.if | EFlags.df | EFlags.iopl | EFlags.nt | EFlags.ac | EFlags.id | 2
        let expected: UInt32 =
            switch place {
            case .real, .ring0: all
            case .ring3: all & ~(EFlags.if | EFlags.iopl)
            case .v86: old
            case .v86IOPL3: all | EFlags.vm
            }
        #expect(b.c.eflags == expected)
        #expect(b.c.rsp & 0xFFF == (place == .v86 ? 0x800 : 0x804))
    }

    @Test("POPF in ring 3 with IOPL 3 may change IF but not IOPL")
    func popFlagsWithIOPL() {
        let b = Place.ring3.bench()
        b.c.v.pointee.systemFlags |= EFlags.iopl | EFlags.if
        b.setStack([0])
        #expect(b.run(popf) == nil)
        #expect(b.c.eflags == EFlags.iopl | 2)
    }

    @Test("a 16-bit POPF leaves AC and ID")
    func popFlags16() {
        let b = Place.ring0.bench()
        b.c.v.pointee.systemFlags |= EFlags.ac
        b.setStack([0xFFFF_0000])
        #expect(b.run(popf, Bench.op(2)) == nil)
        #expect(b.c.eflags == EFlags.ac | 2 && b.c.rsp & 0xFFF == 0x802)
    }

    /// Selector; what LAR, LSL, VERR, VERW find in ring 0 and in ring 3 (nil: ZF = 0).
    @Test("LAR, LSL, VERR and VERW see by privilege and type", arguments: [
        (Sel.data0, UInt32?(0x00C0_9300), UInt32?(0xFFFF_FFFF), true, true, false),
        (Sel.data3, 0x00C0_F300, 0xFFFF_FFFF, true, true, true),
        (Sel.code0, 0x00C0_9B00, 0xFFFF_FFFF, true, false, false),
        (Sel.conforming0, 0x00C0_9F00, 0xFFFF_FFFF, true, false, true),
        (Sel.executeOnly3, 0x00C0_F900, 0xFFFF_FFFF, false, false, true),
        (Sel.readOnly3, 0x00C0_F100, 0xFFFF_FFFF, true, false, true),
        (Sel.absentData3, 0x00C0_7300, 0xFFFF_FFFF, true, true, true),
        (Sel.tss, 0x0000_8B00, 0x1FF, false, false, false),
        (Sel.tss16, 0x0000_8100, 0x2B, false, false, false),
        (Sel.ldt, 0x0000_8200, 0x1F, false, false, false),
        (0, nil, nil, false, false, false),
        (Sel.beyond, nil, nil, false, false, false),
    ])
    func describe(selector: UInt16, rights: UInt32?, limit: UInt32?, readable: Bool, writable: Bool, visibleInRing3: Bool) {
        for place in [Place.ring0, .ring3] {
            let b = place.bench()
            let visible = place == .ring0 || visibleInRing3
            let s = selector & 0xFFFC
            func zero(_ handler: Bench.Handler, _ op: Op) -> Bool {
                b.c.setArithmeticFlags(EFlags.cf | EFlags.of)
                b.c.setGPR(3, UInt32(s))
                b.c.eax = 0xAAAA_AAAA
                #expect(b.run(handler, op) == nil)
                #expect(b.c.eflags & ~EFlags.zf & EFlags.arithmetic == EFlags.cf | EFlags.of)
                return b.c.eflags & EFlags.zf != 0
            }
            let operand = Bench.register(reg: 0, rm: 3)
            #expect(zero(lar, operand) == (visible && rights != nil))
            // Bits 16–19 are undefined (SDM Vol. 2A, "LAR"); processors leave the limit's there.
            #expect(b.c.eax & 0xFFF0_FFFF == ((visible ? rights : nil) ?? 0xAAAA_AAAA) & 0xFFF0_FFFF)
            #expect(zero(lsl, operand) == (visible && limit != nil))
            #expect(b.c.eax == (visible ? limit : nil) ?? 0xAAAA_AAAA)
            #expect(zero(verr, operand) == (visible && readable))
            #expect(zero(verw, operand) == (visible && writable))
        }
    }

    @Test("the selector's RPL counts as well")
    func describeWithRPL() {
        let b = Place.ring0.bench()
        b.c.setGPR(3, UInt32(Sel.data0 | 1))
        b.run(verr, Bench.register(rm: 3))
        #expect(b.c.eflags & EFlags.zf == 0)
        b.c.setGPR(3, UInt32(Sel.conforming0 | 3))
        b.run(verr, Bench.register(rm: 3))
        #expect(b.c.eflags & EFlags.zf != 0)
    }

    @Test("gates: LAR knows call and task gates, LSL none; interrupt gates are unknown to both", arguments: [
        (UInt8(0x8C), true), (0x84, true), (0x85, true), (0x8E, false), (0x86, false), (0x8F, false), (0x80, false), (0x8A, false),
    ])
    func describeGates(access: UInt8, known: Bool) {
        let b = Place.ring0.bench()
        b.setGate(Sel.slot, to: Sel.code0, access: access)
        b.c.setGPR(3, UInt32(Sel.slot))
        b.run(lar, Bench.register(reg: 0, rm: 3))
        #expect((b.c.eflags & EFlags.zf != 0) == known)
        b.run(lsl, Bench.register(reg: 0, rm: 3))
        #expect(b.c.eflags & EFlags.zf == 0)
    }

    @Test("LAR, LSL, VERR, VERW, ARPL, LLDT, LTR are undefined in real and virtual-8086 mode", arguments: [Place.real, .v86, .v86IOPL3])
    func undefinedOutside(place: Place) {
        let b = place.bench()
        for handler in [lar, lsl, verr, verw, arpl, lldt, ltr] as [Bench.Handler] {
            #expect(b.run(handler, Bench.register()) == .invalidOpcode)
        }
    }

    @Test("ARPL raises the RPL and says so", arguments: [Place.ring0, .ring3])
    func adjust(place: Place) {
        let b = place.bench()
        b.c.setGPR(0, UInt32(0xFFFF_0010))
        b.c.setGPR(1, UInt32(0x0003))
        #expect(b.run(arpl, Bench.register(reg: 1, rm: 0)) == nil)
        #expect(b.c.eax == 0xFFFF_0013 && b.c.eflags & EFlags.zf != 0)
        #expect(b.run(arpl, Bench.register(reg: 1, rm: 0)) == nil)
        #expect(b.c.eax == 0xFFFF_0013 && b.c.eflags & EFlags.zf == 0)
    }

    @Test("PUSH and MOV of CS show the real CPL in every ring", arguments: Place.allCases)
    func pushCS(place: Place) {
        let b = place.bench()
        var o = Bench.op()
        o.a = UInt8(Seg.cs)
        #expect(b.run(push_Sw, o) == nil)
        let expected: UInt32 = place == .ring0 ? 0x08 : place == .ring3 ? 0x1B : 0x1000
        #expect(b.stack(1) == [expected])
        #expect(b.run(mov_EwSw, Bench.register(reg: 1)) == nil)
        #expect(b.c.eax == expected)
    }

    @Test("POP and MOV to DS check privilege in ring 3 and nothing in V86", arguments: Place.allCases)
    func popDS(place: Place) {
        let b = place.bench()
        b.setStack([UInt32(Sel.data0)])
        var o = Bench.op()
        o.a = UInt8(Seg.ds)
        let fault: Fault? = place == .ring3 ? .protection(Sel.data0) : nil
        #expect(b.run(pop_Sw, o) == fault)
        b.c.eax = UInt32(Sel.data0)
        #expect(b.run(mov_SwEw, Bench.register(reg: 3)) == fault)
        if place != .ring3 { #expect(b.selector(Seg.ds) == Sel.data0) }
        if place.isV86 || place == .real { #expect(b.c.segment(Seg.ds).base == UInt64(Sel.data0) << 4) }
    }

    @Test("CALL and JMP FAR: a check in protected mode, a plain load elsewhere", arguments: Place.allCases)
    func farTransfers(place: Place) {
        for handler in [callFar_Ap, jmpFar_Ap] as [Bench.Handler] {
            let b = place.bench()
            #expect(b.run(handler, Bench.far(Sel.code0, 0x20)) == (place == .ring3 ? .protection(Sel.code0) : nil))
            if place != .ring3 { #expect(b.selector(Seg.cs) == Sel.code0 && b.c.rip == 0x20) }
        }
    }

    @Test("RETF cannot reach an inner ring", arguments: Place.allCases)
    func farReturn(place: Place) {
        let b = place.bench()
        b.setStack([0x20, UInt32(Sel.code0)])
        #expect(b.run(retFar) == (place == .ring3 ? .protection(Sel.code0) : nil))
        if place != .ring3 { #expect(b.selector(Seg.cs) == Sel.code0) }
    }

    @Test("INT n obeys the gate's DPL in ring 3 and IOPL in V86", arguments: Place.allCases)
    func interrupt(place: Place) {
        let b = place.bench()
        if place == .real {
            b.memory.store(0x30 * 4, UInt32(0x2000_0020))
        } else {
            b.setVector(0x30, to: Sel.code0, 0x20, access: 0x8E)
            b.setVector(0x31, to: Sel.code0, 0x20, access: 0xEE)
        }
        let gate = Fault(13, errorCode: 0x182)
        let fault: Fault? =
            switch place {
            case .real, .ring0: nil
            case .ring3, .v86IOPL3: gate
            case .v86: .generalProtection
            }
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == fault)
        if fault == gate {
            #expect(b.run(int_n, Bench.op(imm: 0x31)) == nil)
            #expect(b.c.cpl == 0)
        }
    }

    @Test("privileged instructions fault outside of ring 0", arguments: [Place.ring3, .v86, .v86IOPL3])
    func privileged(place: Place) {
        let b = place.bench()
        let memory = Bench.memory(0x100)
        let plain: [(Bench.Handler, Op)] = [
            (lgdt, memory), (lidt, memory), (lmsw, Bench.register()), (clts, Bench.op()), (hlt, Bench.op()), (invd, Bench.op()),
            (wbinvd, Bench.op()), (invlpg, memory), (rdmsr, Bench.op()), (wrmsr, Bench.op()), (mov_CdRd, Bench.register()),
            (mov_RdCd, Bench.register()), (mov_DdRd, Bench.register()), (mov_RdDd, Bench.register()), (rdpmc, Bench.op()), (sysexit, Bench.op()),
        ]
        let before = b.registers
        for (handler, op) in plain { #expect(b.run(handler, op) == .generalProtection) }
        if place == .ring3 {
            #expect(b.run(lldt, Bench.register()) == .generalProtection)
            #expect(b.run(ltr, Bench.register()) == .generalProtection)
        }
        #expect(b.registers == before)
    }

    @Test("CLI and STI follow IOPL, STI shades one instruction", arguments: [
        (Place.real, UInt32(0), true), (.ring0, 0, true), (.ring3, 0, false), (.ring3, 2, false), (.ring3, 3, true), (.v86, 0, false),
        (.v86IOPL3, 3, true),
    ])
    func interruptFlag(place: Place, iopl: UInt32, allowed: Bool) {
        let b = place.bench()
        b.c.v.pointee.systemFlags = b.c.v.pointee.systemFlags & ~EFlags.iopl | iopl << 12
        #expect(b.run(sti) == (allowed ? nil : .generalProtection))
        #expect((b.c.eflags & EFlags.if != 0) == allowed && (b.c.v.pointee.shadow == Shadow.sti) == allowed)
        b.c.v.pointee.shadow = 0
        b.run(sti)
        #expect(b.c.v.pointee.shadow == 0)
        #expect(b.run(cli) == (allowed ? nil : .generalProtection))
        #expect(b.c.eflags & EFlags.if == 0)
    }
}
