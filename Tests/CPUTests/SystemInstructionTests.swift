import Testing

@testable import CPU

@Suite("cpu · control registers, MSRs and ports") struct SystemInstructionTests {
    func write(_ b: Bench, cr number: UInt8, _ value: UInt32) -> Fault? {
        b.c.setGPR(1, value)
        return b.run(mov_CdRd, Bench.register(reg: number, rm: 1))
    }

    @Test("CR0 refuses PG without PE and NW without CD, and keeps ET", arguments: [
        (CR0.pg, true), (CR0.pg | CR0.pe, false), (CR0.nw | CR0.pe, true), (CR0.nw | CR0.cd | CR0.pe, false), (CR0.pe, false),
        (0xFFFF_FFFF, false),
    ])
    func cr0(value: UInt32, refused: Bool) {
        let b = Bench()
        b.enablePaging()
        let before = b.c.cr0
        #expect(write(b, cr: 0, value) == (refused ? .generalProtection : nil))
        #expect(b.c.cr0 == (refused ? before : value & CR0.writable | CR0.et))
        #expect(b.run(mov_RdCd, Bench.register(reg: 0, rm: 2)) == nil)
        #expect(b.c.edx == b.c.cr0)
    }

    @Test("leaving protected mode makes CS writable data and CPL 0, base and limit stay")
    func leave() {
        let b = Bench()
        #expect(write(b, cr: 0, CR0.et) == nil)
        let cs = b.c.segment(Seg.cs)
        #expect(cs.attributes & 0xFF == 0x93 && cs.limit == 0xFFFF_FFFF && cs.isBig && b.c.cpl == 0)
    }

    @Test("CR1, CR5–CR7 are undefined; CR2 and CR3 hold what was written", arguments: [1, 5, 6, 7] as [UInt8])
    func otherRegisters(number: UInt8) {
        let b = Bench()
        #expect(write(b, cr: number, 0) == .invalidOpcode)
        #expect(b.run(mov_RdCd, Bench.register(reg: number)) == .invalidOpcode)
        #expect(write(b, cr: 2, 0x1234_5678) == nil)
        #expect(write(b, cr: 3, 0x8018) == nil)
        #expect(b.c.v.pointee.cr2 == 0x1234_5678 && b.c.v.pointee.cr3 == 0x8018)
    }

    @Test("CR4 takes only the bits that CPUID offers", arguments: [
        (CR4.pse | CR4.pae | CR4.pge | CR4.de | CR4.tsd | CR4.pce, false), (CR4.vme, true), (CR4.mce, true), (CR4.osfxsr, true), (1 << 11, true),
    ])
    func cr4(value: UInt32, refused: Bool) {
        let b = Bench()
        #expect(write(b, cr: 4, value) == (refused ? .generalProtection : nil))
        #expect(b.c.cr4 == (refused ? 0 : value))
    }

    @Test("a new CR3 is seen at the next access, and CR0.WP too")
    func translationChanges() throws {
        let b = Bench()
        b.enablePaging()
        b.setPage(0x7000, flags: 1)
        #expect(b.fault { (c) throws(Fault) in try c.store(0x7000, UInt8(1)) } == nil)
        #expect(write(b, cr: 0, b.c.cr0 | CR0.wp) == nil)
        #expect(b.fault { (c) throws(Fault) in try c.store(0x7000, UInt8(1)) } == .page(3))
        b.memory.store(Bench.directory + 0x1000 + 7 * 4, UInt32(0))
        #expect(write(b, cr: 3, UInt32(Bench.directory)) == nil)
        #expect(b.fault { (c) throws(Fault) in _ = try c.load(0x7000, UInt8.self) } == .page(0))
    }

    @Test("LMSW sets PE but cannot clear it; CLTS clears TS")
    func machineStatusWord() {
        let b = Bench()
        b.c.eax = 0xFFF0
        #expect(b.run(lmsw, Bench.register()) == nil)
        #expect(b.c.cr0 == CR0.pe | CR0.et)
        b.c.eax = 0xE
        b.run(lmsw, Bench.register())
        #expect(b.c.cr0 == CR0.pe | CR0.et | 0xE)
        b.run(clts)
        #expect(b.c.cr0 == CR0.pe | CR0.et | 6)
    }

    @Test("LGDT and LIDT load 24 base bits in the 16-bit form", arguments: [(2, UInt64(0x34_5678)), (4, 0x1234_5678)])
    func tables(bytes: Int, base: UInt64) {
        let b = Bench()
        b.memory.store(0x7000, UInt16(0xABCD))
        b.memory.store(0x7002, UInt32(0x1234_5678))
        #expect(b.run(lgdt, Bench.memory(0x7000, bytes)) == nil)
        #expect(b.run(lidt, Bench.memory(0x7000, bytes)) == nil)
        #expect(b.c.v.pointee.gdtrBase == base && b.c.v.pointee.gdtrLimit == 0xABCD)
        #expect(b.c.v.pointee.idtrBase == base && b.c.v.pointee.idtrLimit == 0xABCD)
    }

    /// Selector for LTR; fault.
    @Test("LTR marks the TSS busy and checks its descriptor", arguments: [
        (Sel.tss2, Fault?.none), (Sel.tss16, nil), (Sel.tss, .protection(Sel.tss)), (0, .generalProtection), (Sel.ldt, .protection(Sel.ldt)),
        (Sel.beyond, .protection(Sel.beyond)), (Sel.tss2 | 4, .protection(Sel.tss2 | 4)), (Sel.slot, .notPresent(Sel.slot)),
    ])
    func loadTask(selector: UInt16, fault: Fault?) {
        let b = Bench()
        b.setSegment(Sel.slot, base: 0, limit: 0x67, access: 0x09, flags: 0)
        b.c.eax = UInt32(selector)
        #expect(b.run(ltr, Bench.register()) == fault)
        if fault == nil {
            #expect(b.accessByte(selector) & 2 != 0 && b.selector(Seg.tr) == selector && b.c.segment(Seg.tr).type & 2 != 0)
        } else {
            #expect(b.selector(Seg.tr) == Sel.tss)
        }
    }

    @Test("LLDT takes null, refuses other types", arguments: [
        (Sel.ldt, Fault?.none), (0, nil), (3, nil), (Sel.tss2, .protection(Sel.tss2)), (Sel.ldt | 4, .protection(Sel.ldt | 4)),
        (Sel.slot, .notPresent(Sel.slot)),
    ])
    func loadLDT(selector: UInt16, fault: Fault?) {
        let b = Bench()
        b.setSegment(Sel.slot, base: 0, limit: 0x67, access: 0x02, flags: 0)
        b.c.eax = UInt32(selector)
        #expect(b.run(lldt, Bench.register()) == fault)
        if fault == nil { #expect(b.selector(Seg.ldtr) == selector && b.c.segment(Seg.ldtr).isPresent == (selector > 3)) }
    }

    // MARK: Debug registers

    @Test("DR4 and DR5 are DR6 and DR7, or undefined with CR4.DE; fixed bits stay")
    func debugRegisters() {
        let b = Bench()
        b.c.eax = 0xFFFF_FFFF
        b.run(mov_DdRd, Bench.register(reg: 4))
        #expect(b.c.v.pointee.dr[6] == 0xFFFF_EFFF)
        b.run(mov_DdRd, Bench.register(reg: 3))
        #expect(b.c.v.pointee.dr[3] == 0xFFFF_FFFF)
        b.c.eax = 0xFFFF_DFFF
        b.run(mov_DdRd, Bench.register(reg: 7))
        b.run(mov_RdDd, Bench.register(reg: 5, rm: 2))
        #expect(b.c.edx == 0xFFFF_07FF)
        b.c.v.pointee.cr4 = CR4.de
        #expect(b.run(mov_DdRd, Bench.register(reg: 4)) == .invalidOpcode)
        #expect(b.run(mov_RdDd, Bench.register(reg: 5)) == .invalidOpcode)
    }

    @Test("GD makes every access a #DB with BD, once")
    func generalDetect() {
        let b = Bench()
        b.setVector(1, to: Sel.code0, 0x1111, access: 0x8E)
        b.c.v.pointee.dr[7] = 0x2400
        #expect(b.runDelivering(mov_RdDd, Bench.register(reg: 0)) == .delivered)
        #expect(b.c.rip == 0x1111 && b.c.v.pointee.dr[6] == 0xFFFF_0FF0 | 0x2000 && b.stack(1) == [0x1_0000])
        #expect(b.run(mov_RdDd, Bench.register(reg: 0)) == nil)
    }

    // MARK: MSRs, CPUID, TSC

    func read(_ b: Bench, _ index: UInt32) -> UInt64? {
        b.c.ecx = index
        return b.run(rdmsr) == nil ? UInt64(b.c.edx) << 32 | UInt64(b.c.eax) : nil
    }

    func write(_ b: Bench, _ index: UInt32, _ value: UInt64) -> Fault? {
        b.c.ecx = index
        b.c.eax = UInt32(truncatingIfNeeded: value)
        b.c.edx = UInt32(truncatingIfNeeded: value >> 32)
        return b.run(wrmsr)
    }

    @Test("registers hold what was written", arguments: [
        (UInt32(0x174), UInt64(0x60)), (0x175, 0x1234_5678), (0x176, 0xC000_0000), (0x277, 0x0001_0406_0007_0506), (0x2FF, 0xC06),
        (0x200, 0xF_FFFF_F006), (0x20F, 0xF_8000_0800), (0x250, 0x0606_0606_0606_0606), (0x26F, 0x0505_0505_0505_0505), (0x1A0, 1),
        (0xC1, 0xFFFF), (0xC2, 0xFF_8000_0000), (0x186, 0x0053_0079), (0x187, 0),
    ])
    func plain(index: UInt32, value: UInt64) {
        let b = Bench()
        #expect(write(b, index, value) == nil)
        #expect(read(b, index) == value)
    }

    @Test("reserved bits, read-only and unknown registers are #GP", arguments: [
        (UInt32(0x277), UInt64(2)), (0x277, 8), (0x2FF, 2), (0x2FF, 0x1000), (0x200, 0x100), (0x200, 2), (0x201, 0x400), (0x201, 0x10_0000_0000),
        (0x250, 7), (0xFE, 0), (0x210, 0), (0x251, 0), (0xC000_0080, 0), (0x4567, 0), (0x1D9, 0x80),
    ])
    func refused(index: UInt32, value: UInt64) {
        let b = Bench()
        let before = read(b, index)
        #expect(write(b, index, value) == .generalProtection)
        #expect(read(b, index) == before)
    }

    @Test("MTRRcap tells eight variable ranges; APIC base goes to the bus")
    func capabilities() {
        let b = Bench()
        #expect(read(b, 0xFE) == 0x508)
        #expect(read(b, 0x1B) == 0xFEE0_0900)
        #expect(write(b, 0x1B, 0xFEE0_0100) == nil)
        b.c.eax = 1
        b.run(cpuid)
        #expect(b.c.edx & (1 << 9) == 0)
    }

    @Test("the time-stamp counter follows guest time and what the guest wrote; TSD closes it to ring 3")
    func timeStamp() {
        let b = Bench()
        b.bus.time = 5_000_000_123
        b.run(rdtsc)
        #expect(UInt64(b.c.edx) << 32 | UInt64(b.c.eax) == 5_000_000_123)
        #expect(write(b, 0x10, 1000) == nil)
        b.bus.time += 77
        #expect(read(b, 0x10) == 1077)
        b.c.v.pointee.cr4 = CR4.tsd
        #expect(b.run(rdtsc) == nil)
        b.enter(ring: 3)
        #expect(b.run(rdtsc) == .generalProtection)
    }

    @Test("ticks scale without overflow")
    func ticks() {
        var model = CPUModel.pentiumPro
        model.tscHertz = 2_400_000_000
        #expect(model.ticks(10) == 24)
        #expect(model.ticks(3_600_000_000_000) == 8_640_000_000_000)
        model.tscHertz = .max
        _ = model.ticks(.max)
    }

    @Test("CPUID: vendor, signature, brand, and the highest basic leaf beyond the end")
    func identification() {
        let b = Bench()
        func leaf(_ n: UInt32) -> [UInt32] {
            b.c.eax = n
            #expect(b.run(cpuid) == nil)
            return [b.c.eax, b.c.ebx, b.c.ecx, b.c.edx]
        }
        #expect(leaf(0) == [2, 0x756E_6547, 0x6C65_746E, 0x4965_6E69])
        #expect(leaf(1) == [0x652, 0, 0, 0x0081_BB7D])
        #expect(leaf(0x4000_0000) == leaf(2) && leaf(2)[0] & 0xFF == 1)
        #expect(leaf(0x8000_0000)[0] == 0x8000_0004)
        #expect(leaf(0x8000_0002)[0] == 0x7274_6956)
        #expect(leaf(0xFFFF_FFFF) == leaf(2))
    }

    // MARK: SYSENTER

    @Test("SYSENTER and SYSEXIT load flat segments around IA32_SYSENTER_CS")
    func fastCalls() {
        let b = Bench()
        b.enter(ring: 3)
        #expect(b.run(sysenter) == .generalProtection)
        b.c.v.pointee.sysenterCS = 0x08
        b.c.v.pointee.sysenterESP = Bench.stack0
        b.c.v.pointee.sysenterEIP = 0x5678
        b.c.v.pointee.systemFlags |= EFlags.if
        #expect(b.run(sysenter) == nil)
        #expect(b.c.cpl == 0 && b.selector(Seg.cs) == 0x08 && b.selector(Seg.ss) == 0x10 && b.c.rip == 0x5678 && b.c.rsp == Bench.stack0)
        #expect(b.c.eflags & EFlags.if == 0 && b.c.segment(Seg.cs).limit == .max && b.c.segment(Seg.cs).attributes == 0xC09B)
        b.c.edx = 0x9000
        b.c.ecx = 0x3_0000
        #expect(b.run(sysexit) == nil)
        #expect(b.c.cpl == 3 && b.selector(Seg.cs) == 0x1B && b.selector(Seg.ss) == 0x23 && b.c.rip == 0x9000 && b.c.rsp == 0x3_0000)
        #expect(b.run(sysexit) == .generalProtection)
    }

    @Test("INVLPG forgets one page and refuses registers")
    func invalidate() {
        let b = Bench()
        b.enablePaging()
        #expect(b.fault { (c) throws(Fault) in _ = try c.load(0x7000, UInt8.self) } == nil)
        b.memory.store(Bench.directory + 0x1000 + 7 * 4, UInt32(0))
        #expect(b.run(invlpg, Bench.memory(0x7123, reg: 7)) == nil)
        #expect(b.fault { (c) throws(Fault) in _ = try c.load(0x7000, UInt8.self) } == .page(0))
        #expect(b.run(invlpg, Bench.register(reg: 7)) == .invalidOpcode)
    }

    // MARK: Ports

    /// Port, bytes, allowed. The bitmap lies at TSS + 0x68: ports 0x10–0x13 are open, 0x17 too.
    @Test("the I/O bitmap decides above IOPL and always in V86", arguments: [
        (UInt16(0x10), 1, true), (0x10, 4, true), (0x12, 2, true), (0x13, 2, false), (0x11, 4, false), (0x14, 1, false), (0x17, 1, true),
        (0x17, 2, false), (0xFFFF, 1, false), (0xCB0, 1, false),
    ])
    func permissions(port: UInt16, bytes: Int, allowed: Bool) {
        for v86 in [false, true] {
            let b = Bench()
            for n in 0..<0x198 { b.memory.store(Bench.tss + 0x68 + UInt64(n), UInt8(0xFF)) }
            b.memory.store(Bench.tss + 0x68 + 2, UInt8(0x70))
            if v86 { b.enterV86(iopl: 3) } else { b.enter(ring: 3) }
            #expect(b.fault { (c) throws(Fault) in try c.checkIO(port, bytes) } == (allowed ? nil : .generalProtection))
            if !v86 {
                b.c.v.pointee.systemFlags |= EFlags.iopl
                #expect(b.fault { (c) throws(Fault) in try c.checkIO(port, bytes) } == nil)
            }
            b.enter(ring: 0)
            #expect(b.fault { (c) throws(Fault) in try c.checkIO(port, bytes) } == nil)
        }
    }

    @Test("no bitmap: a 16-bit TSS, a short TSS, a base beyond the limit", arguments: [0, 1, 2])
    func noBitmap(kind: Int) {
        let b = Bench()
        b.enter(ring: 3)
        switch kind {
        case 0: b.c.v.pointee.seg[Seg.tr].attributes = 0x83
        case 1: b.c.v.pointee.seg[Seg.tr].limit = 0x66
        default: b.memory.store(Bench.tss + 0x66, UInt16(0xFFFF))
        }
        #expect(b.fault { (c) throws(Fault) in try c.checkIO(0, 1) } == .generalProtection)
    }

    @Test("I/O breakpoints need CR4.DE and overlap")
    func ioBreakpoints() {
        let b = Bench()
        b.c.v.pointee.dr[1] = 0x3F8
        b.c.v.pointee.dr[7] = 0x400 | 1 << 2 | 0b0110 << 20
        #expect(b.fault { (c) throws(Fault) in try c.checkIO(0x3F9, 1) } == nil)
        #expect(b.c.t.pointee.pendingDebug == 0)
        b.c.v.pointee.cr4 = CR4.de
        for (port, bytes, hit) in [(UInt16(0x3F9), 1, true), (0x3F7, 1, false), (0x3F7, 2, true), (0x3FA, 4, false)] {
            b.c.t.pointee.pendingDebug = 0
            _ = b.fault { (c) throws(Fault) in try c.checkIO(port, bytes) }
            #expect((b.c.t.pointee.pendingDebug == 2) == hit)
        }
    }
}
