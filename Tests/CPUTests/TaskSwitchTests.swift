import Testing

@testable import CPU

@Suite("cpu · task switches") struct TaskSwitchTests {
    /// A complete 32-bit task in `Bench.tss2`.
    static func prepare(_ b: Bench, cs: UInt16 = Sel.code3, ds: UInt16 = Sel.data3, flags: UInt32 = 0x0202) {
        let m = b.memory, base = Bench.tss2
        m.store(base + 0x20, UInt32(0x7_7000))
        m.store(base + 0x24, flags)
        for n in 0..<8 { m.store(base + 0x28 + UInt64(n * 4), UInt32(0x0101_0101) &* UInt32(n + 1)) }
        m.store(base + 0x38, UInt32(Bench.stack3))
        for n in 0..<6 { m.store(base + 0x48 + UInt64(n * 4), n == Seg.cs ? cs : ds) }
        m.store(base + 0x60, UInt16(0))
        m.store(base + 0x64, UInt16(0))
        m.store(base + 0x66, UInt16(0x68))
    }

    static func link(_ b: Bench) -> UInt16 { b.memory.load(Bench.tss2, as: UInt16.self) }

    @Test("JMP to a TSS saves everything, loads everything and moves the busy bit")
    func jump() {
        let b = Bench()
        Self.prepare(b)
        for n in 0..<8 where n != 4 { b.c.setGPR(n, UInt32(0xA0 + n)) }
        b.c.setArithmeticFlags(EFlags.cf)
        b.c.v.pointee.dr[7] = 0x7FF
        let sp = UInt32(b.c.rsp)
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == nil)

        let old = (0x20..<0x60).filter { $0 % 4 == 0 }.map { b.memory.load(Bench.tss + UInt64($0), as: UInt32.self) }
        #expect(old[0] == 0x1_0002 && old[1] == 3)
        #expect(Array(old[2..<10]) == [0xA0, 0xA1, 0xA2, 0xA3, sp, 0xA5, 0xA6, 0xA7])
        #expect(Array(old[10...]) == [0x10, 0x08, 0x10, 0x10, 0x10, 0x10])
        #expect(b.accessByte(Sel.tss) == 0x89 && b.accessByte(Sel.tss2) == 0x8B)

        #expect(b.selector(Seg.tr) == Sel.tss2 && b.c.segment(Seg.tr).base == Bench.tss2 && b.c.segment(Seg.tr).type == 11)
        #expect(b.c.rip == 0x7_7000 && b.c.cpl == 3 && b.c.rsp == Bench.stack3 && b.c.eax == 0x0101_0101)
        #expect(b.selector(Seg.cs) == Sel.code3 && b.selector(Seg.ss) == Sel.data3 && b.selector(Seg.gs) == Sel.data3)
        #expect(b.c.eflags == 0x202 && b.c.cr0 & CR0.ts != 0)
        #expect(b.c.v.pointee.dr[7] == 0x6AA)
        #expect(Self.link(b) == 0)
    }

    @Test("CALL nests: link, NT, both busy; IRET comes back and clears NT in the task it leaves")
    func callAndReturn() {
        let b = Bench()
        Self.prepare(b)
        #expect(b.run(callFar_Ap, Bench.far(Sel.tss2, 0)) == nil)
        #expect(b.accessByte(Sel.tss) == 0x8B && b.accessByte(Sel.tss2) == 0x8B)
        #expect(Self.link(b) == Sel.tss && b.c.eflags == 0x4202)
        #expect(b.run(iret) == nil)
        #expect(b.selector(Seg.tr) == Sel.tss && b.c.rip == 0x1_0002 && b.c.cpl == 0)
        #expect(b.accessByte(Sel.tss) == 0x8B && b.accessByte(Sel.tss2) == 0x89)
        #expect(b.memory.load(Bench.tss2 + 0x24, as: UInt32.self) == 0x202)
        #expect(b.memory.load(Bench.tss2 + 0x20, as: UInt32.self) == 0x7_7002)
        #expect(b.c.eflags == 2)
    }

    @Test("a task gate in the GDT and one in the IDT lead to the task; the error code lies on its stack")
    func gates() {
        let b = Bench()
        Self.prepare(b)
        b.setGate(Sel.slot, to: Sel.tss2, access: 0xE5)
        b.enter(ring: 3)
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot | 3, 0)) == nil)
        #expect(b.selector(Seg.tr) == Sel.tss2 && Self.link(b) == Sel.tss)

        let e = Bench()
        Self.prepare(e)
        e.setVector(14, to: Sel.tss2, 0, access: 0x85)
        #expect(e.c.handle(.page(6)) == .delivered)
        #expect(e.c.rip == 0x7_7000 && e.c.rsp == Bench.stack3 - 4 && e.stack(1) == [6])
        #expect(e.memory.load(Bench.tss + 0x20, as: UInt32.self) == 0x1_0000)
        #expect(e.memory.load(Bench.tss + 0x24, as: UInt32.self) == 2 | EFlags.rf)
        #expect(e.c.eflags & EFlags.nt != 0)
    }

    /// Privilege and state of the TSS descriptor before anything is saved.
    @Test("refused before the switch", arguments: [
        (UInt8(0x8B), UInt8(0), UInt32(0x67), Fault.protection(Sel.tss2)), (0x89, 3, 0x67, .protection(Sel.tss2)),
        (0x09, 0, 0x67, .notPresent(Sel.tss2)), (0x89, 0, 0x66, .invalidTSS(Sel.tss2)), (0x82, 0, 0x67, .protection(Sel.tss2)),
    ])
    func refused(access: UInt8, ring: UInt8, limit: UInt32, fault: Fault) {
        let b = Bench()
        Self.prepare(b)
        b.enter(ring: ring)
        b.setSegment(Sel.tss2, base: Bench.tss2, limit: limit, access: access, flags: 0)
        let before = b.registers
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == fault)
        #expect(b.registers == before && b.accessByte(Sel.tss) == 0x8B && b.accessByte(Sel.tss2) == access)
    }

    @Test("task gates check their own privilege and presence, then the TSS", arguments: [
        (UInt8(0x85), Sel.tss2, UInt8(3), Fault.protection(Sel.slot)), (0x65, Sel.tss2, 3, .notPresent(Sel.slot)),
        (0xE5, Sel.tss, 3, .protection(Sel.tss)), (0xE5, Sel.tss2 | 4, 3, .protection(Sel.tss2 | 4)), (0xE5, 0, 3, .generalProtection),
        (0xE5, Sel.beyond, 3, .protection(Sel.beyond)), (0xE5, Sel.code0, 3, .protection(Sel.code0)),
    ])
    func refusedGate(access: UInt8, target: UInt16, ring: UInt8, fault: Fault) {
        let b = Bench()
        b.enter(ring: ring)
        b.setGate(Sel.slot, to: target, access: access)
        let before = b.registers
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == fault)
        #expect(b.registers == before)
    }

    /// Segment number to spoil (6: LDT), its selector, the fault in the new task.
    @Test("bad segments fault in the new task", arguments: [
        (Seg.cs, UInt16(0), Fault.invalidTSS(0)), (Seg.cs, Sel.data3, .invalidTSS(Sel.data3)), (Seg.cs, Sel.code0 | 3, .invalidTSS(Sel.code0)),
        (Seg.cs, Sel.absentCode0, .notPresent(Sel.absentCode0)), (Seg.ss, 0, .invalidTSS(0)), (Seg.ss, Sel.data0, .invalidTSS(Sel.data0)),
        (Seg.ss, Sel.absentData3, .stack(Sel.absentData3)), (Seg.ds, Sel.data0, .invalidTSS(Sel.data0)),
        (Seg.es, Sel.executeOnly3, .invalidTSS(Sel.executeOnly3)), (Seg.fs, Sel.absentData3, .notPresent(Sel.absentData3)),
        (Seg.gs, Sel.beyond, .invalidTSS(Sel.beyond)), (6, Sel.beyond, .invalidTSS(Sel.beyond)), (6, Sel.data0, .invalidTSS(Sel.data0)),
        (6, 0x0C, .invalidTSS(0x0C)),
    ])
    func badSegments(number: Int, selector: UInt16, fault: Fault) {
        let b = Bench()
        Self.prepare(b)
        b.memory.store(Bench.tss2 + (number == 6 ? 0x60 : 0x48 + UInt64(number * 4)), selector)
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == fault)
        // The new task is in charge and its EIP is what a handler returns to.
        #expect(b.selector(Seg.tr) == Sel.tss2 && b.c.rip == 0x7_7000 && b.c.t.pointee.instructionRIP == 0x7_7000)
        #expect(b.accessByte(Sel.tss2) == 0x8B && b.accessByte(Sel.tss) == 0x89)
        if number < 6 { #expect(b.selector(number) == selector) }
    }

    @Test("an entry point beyond the code segment faults in the new task")
    func entryLimit() {
        let b = Bench()
        Self.prepare(b, cs: Sel.short0, ds: Sel.data0)
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == .generalProtection)
        #expect(b.selector(Seg.tr) == Sel.tss2)
    }

    @Test("with paging the task's CR3 and LDT are loaded, without it CR3 stays")
    func spaces() {
        let b = Bench()
        Self.prepare(b)
        b.memory.store(Bench.tss2 + 0x1C, UInt32(Bench.directory) | 8)
        b.memory.store(Bench.tss2 + 0x60, Sel.ldt)
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == nil)
        #expect(b.c.v.pointee.cr3 == 0 && b.c.segment(Seg.ldtr).base == Bench.ldt && b.c.segment(Seg.ldtr).isPresent)

        let p = Bench()
        p.enablePaging()
        Self.prepare(p)
        p.memory.store(Bench.tss2 + 0x1C, UInt32(Bench.directory) | 8)
        #expect(p.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == nil)
        #expect(p.c.v.pointee.cr3 == Bench.directory | 8)
    }

    @Test("a page fault on either TSS happens before anything changes", arguments: [Bench.tss, Bench.tss2])
    func pageFaults(page: UInt64) {
        let b = Bench()
        b.enablePaging()
        Self.prepare(b)
        b.setPage(page, flags: 0)
        let before = b.registers
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0))?.vector == 14)
        #expect(b.registers == before && b.accessByte(Sel.tss) == 0x8B && b.accessByte(Sel.tss2) == 0x89)
    }

    @Test("the T bit raises #DB with BT in the new task")
    func trapBit() {
        let b = Bench()
        Self.prepare(b)
        b.memory.store(Bench.tss2 + 0x64, UInt16(1))
        b.setVector(1, to: Sel.code0, 0x1111, access: 0x8E)
        b.memory.store(Bench.tss2 + 4, UInt32(Bench.stack0))
        b.memory.store(Bench.tss2 + 8, Sel.data0)
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == nil)
        #expect(b.c.rip == 0x1111 && b.c.v.pointee.dr[6] & 0x8000 != 0 && b.stack(1) == [0x7_7000])
    }

    @Test("a task may be in virtual-8086 mode")
    func v86Task() {
        let b = Bench()
        Self.prepare(b, cs: 0x1234, ds: 0x2345, flags: 0x2_0202)
        b.memory.store(Bench.tss2 + 0x20, UInt32(0x10))
        #expect(b.run(jmpFar_Ap, Bench.far(Sel.tss2, 0)) == nil)
        #expect(b.c.isV86 && b.c.cpl == 3 && b.c.segment(Seg.cs).base == 0x1_2340 && b.c.segment(Seg.gs).base == 0x2_3450)
    }

    @Test("16-bit tasks: words, no FS and GS, upper halves zero")
    func sixteenBit() {
        let b = Bench()
        let m = b.memory, base = Bench.tss16
        m.store(base + 0x0E, UInt16(0x5678))
        m.store(base + 0x10, UInt16(0x0202))
        for n in 0..<8 { m.store(base + 0x12 + UInt64(n * 2), UInt16(0x1111 * (n + 1))) }
        for (n, s) in [Sel.data0, Sel.code16, Sel.stack16, Sel.data0].enumerated() { m.store(base + 0x22 + UInt64(n * 2), s) }
        m.store(base + 0x2A, UInt16(0))
        b.c.eax = 0xDEAD_BEEF
        #expect(b.run(callFar_Ap, Bench.far(Sel.tss16, 0)) == nil)
        #expect(b.c.rip == 0x5678 && b.c.eax == 0x1111 && b.c.rsp == 0x5555 && b.selector(Seg.cs) == Sel.code16)
        #expect(b.selector(Seg.fs) == 0 && !b.c.segment(Seg.gs).isUsable && b.accessByte(Sel.tss16) == 0x83)
        #expect(m.load(base, as: UInt16.self) == Sel.tss)
        b.c.eax = 0x9999
        #expect(b.run(iret, Bench.op(2)) == nil)
        #expect(b.c.eax == 0xDEAD_BEEF && b.selector(Seg.tr) == Sel.tss && m.load(base + 0x12, as: UInt16.self) == 0x9999)
        #expect(b.accessByte(Sel.tss16) == 0x81)
    }

    @Test("IRET with NT checks the back link", arguments: [
        (UInt16(0), Fault.invalidTSS(0)), (Sel.tss2, .invalidTSS(Sel.tss2)), (Sel.beyond, .invalidTSS(Sel.beyond)),
        (Sel.ldt | 4, .invalidTSS(Sel.ldt | 4)), (Sel.code0, .invalidTSS(Sel.code0)),
    ])
    func backLink(link: UInt16, fault: Fault) {
        let b = Bench()
        b.c.v.pointee.systemFlags |= EFlags.nt
        b.memory.store(Bench.tss, link)
        #expect(b.run(iret) == fault)
        #expect(b.selector(Seg.tr) == Sel.tss)
    }

    @Test("a fault in the new task is delivered there, with EXT when hardware started the switch")
    func faultInNewTask() {
        let b = Bench()
        Self.prepare(b, cs: Sel.code0, ds: Sel.data0)
        b.memory.store(Bench.tss2 + 0x5C, Sel.absentData3)
        b.setVector(0x30, to: Sel.tss2, 0, access: 0x85)
        b.setVector(11, to: Sel.code0, 0xBBBB, access: 0x8E)
        #expect(b.c.interrupt(vector: 0x30, kind: .external) == .delivered)
        #expect(b.c.rip == 0xBBBB && b.stack(2) == [UInt32(Sel.absentData3 & 0xFFFC) | 1, 0x7_7000])
    }
}
