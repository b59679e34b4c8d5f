import Testing

@testable import CPU

/// A gate in the IDT, who comes through it, and what must happen.
struct VectorCase: CustomTestStringConvertible, Sendable {
    var access: UInt8
    var target: UInt16
    var ring: UInt8
    var kind: EventKind
    /// For vector 0x30 the IDT code is 0x182.
    var fault: Fault?
    var lands: UInt16 = 0
    var testDescription: String { "ring \(ring): \(kind) through \(String(access, radix: 16)) to \(String(target, radix: 16))" }
    init(_ access: UInt8, _ target: UInt16, ring: UInt8, _ kind: EventKind, _ fault: Fault? = nil, lands: UInt16 = 0) {
        (self.access, self.target, self.ring, self.kind, self.fault, self.lands) = (access, target, ring, kind, fault, lands)
    }
}

@Suite("cpu · interrupts and exceptions") struct InterruptTests {
    static let gateCode: UInt16 = 0x30 * 8 + 2
    static let cases: [VectorCase] = [
        .init(0x8E, Sel.code0, ring: 0, .external, lands: Sel.code0),
        .init(0x8E, Sel.code0, ring: 3, .external, lands: Sel.code0),
        .init(0x8F, Sel.code1, ring: 3, .external, lands: Sel.code1),
        .init(0x8E, Sel.code3, ring: 3, .external, lands: Sel.code3),
        .init(0x8E, Sel.conforming0, ring: 3, .external, lands: Sel.conforming0 | 3),
        // INT n checks the gate's DPL; hardware does not.
        .init(0xEE, Sel.code0, ring: 3, .software, lands: Sel.code0),
        .init(0x8E, Sel.code0, ring: 3, .software, Fault(13, errorCode: gateCode)),
        .init(0x8E, Sel.code0, ring: 3, .int3, Fault(13, errorCode: gateCode)),
        .init(0x8E, Sel.code0, ring: 3, .icebp, lands: Sel.code0),
        .init(0x8E, Sel.code0, ring: 3, .exception, lands: Sel.code0),
        // Gate: type and presence, EXT by origin.
        .init(0x8C, Sel.code0, ring: 0, .software, Fault(13, errorCode: gateCode)),
        .init(0x8C, Sel.code0, ring: 0, .external, Fault(13, errorCode: gateCode | 1)),
        .init(0x9E, Sel.code0, ring: 0, .external, Fault(13, errorCode: gateCode | 1)),
        .init(0x6E, Sel.code0, ring: 3, .software, Fault(11, errorCode: gateCode)),
        .init(0x6E, Sel.code0, ring: 3, .exception, Fault(11, errorCode: gateCode | 1)),
        // Target: null, limit, type, level, presence.
        .init(0x8E, 0, ring: 0, .software, .generalProtection),
        .init(0x8E, 0, ring: 0, .external, Fault(13, errorCode: 1)),
        .init(0x8E, Sel.beyond, ring: 0, .software, .protection(Sel.beyond)),
        .init(0x8E, Sel.beyond, ring: 0, .nmi, Fault(13, errorCode: Sel.beyond | 1)),
        .init(0x8E, Sel.data0, ring: 0, .software, .protection(Sel.data0)),
        .init(0xEE, Sel.code3, ring: 0, .software, .protection(Sel.code3)),
        .init(0x8E, Sel.absentCode0, ring: 0, .external, Fault(11, errorCode: Sel.absentCode0 | 1)),
        .init(0x8E, Sel.absentCode0, ring: 0, .software, .notPresent(Sel.absentCode0)),
    ]

    @Test("gates of the IDT", arguments: cases)
    func gates(one: VectorCase) {
        let b = Bench()
        b.enter(ring: one.ring)
        b.c.v.pointee.systemFlags |= EFlags.if | EFlags.tf | EFlags.nt
        b.setVector(0x30, to: one.target, 0x5678, access: one.access)
        let before = b.registers, sp = b.c.rsp, cs = b.selector(Seg.cs), ss = b.selector(Seg.ss)
        let fault = b.fault { (c) throws(Fault) in try c.deliver(vector: 0x30, kind: one.kind, errorCode: nil) }
        #expect(fault == one.fault)
        if one.fault != nil {
            #expect(b.registers == before)
            return
        }
        #expect(b.selector(Seg.cs) == one.lands && b.c.rip == 0x5678 && b.c.cpl == UInt8(one.lands & 3))
        #expect(b.c.eflags & (EFlags.tf | EFlags.nt | EFlags.rf) == 0)
        #expect((b.c.eflags & EFlags.if != 0) == (one.access & 1 == 1))
        let image: UInt32 = 0x4302 | (one.kind == .exception ? EFlags.rf : 0)
        #expect(b.stack(3) == [0x1_0000, UInt32(cs), image])
        if b.c.cpl != one.ring { #expect(Array(b.stack(5)[3...]) == [UInt32(sp), UInt32(ss)]) }
    }

    @Test("beyond the IDT's limit is #GP with the IDT bit")
    func idtLimit() {
        let b = Bench()
        b.c.v.pointee.idtrLimit = 0x30 * 8 + 6
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == Fault(13, errorCode: 0x182))
        #expect(b.c.rip == 0x1_0000)
    }

    @Test("16-bit gates push words and truncate the entry point")
    func gate16() {
        let b = Bench()
        b.enter(ring: 3)
        b.setVector(13, to: Sel.code0, 0xABCD_5678, access: 0xE6)
        b.fault { (c) throws(Fault) in try c.deliver(vector: 13, kind: .exception, errorCode: 0x1234) }
        #expect(b.c.rip == 0x5678 && b.c.rsp == Bench.stack0 - 12)
        #expect(b.stack16(6) == [0x1234, 0, Sel.code3, 2, 0, Sel.data3])
    }

    @Test("error codes lie on top of the frame, and only exceptions have them")
    func errorCode() {
        let b = Bench()
        b.setVector(14, to: Sel.code0, 0x5678, access: 0x8E)
        #expect(b.c.handle(.page(2)) == .delivered)
        #expect(b.stack(4) == [2, 0x1_0000, UInt32(Sel.code0), 2 | EFlags.rf])
    }

    @Test("INT n, INT3 and INTO return behind the instruction")
    func returnAddresses() {
        for (handler, vector) in [(int_n as Bench.Handler, 0x40), (int3, 3), (into, 4)] {
            let b = Bench()
            b.setVector(vector, to: Sel.code0, 0x5678, access: 0x8F)
            b.c.setArithmeticFlags(EFlags.of)
            #expect(b.run(handler, Bench.op(imm: 0x40)) == nil)
            #expect(b.c.rip == 0x5678 && b.stack(1) == [0x1_0002])
        }
    }

    @Test("INTO without OF does nothing")
    func intoQuiet() {
        let b = Bench()
        #expect(b.run(into) == nil)
        #expect(b.c.rip == 0x1_0002)
    }

    @Test("BOUND compares signed, in both sizes", arguments: [(UInt32(5), false), (0xFFFF_FFFF, false), (11, true), (0xFFFF_FF00, true)])
    func boundRange(index: UInt32, outside: Bool) {
        let b = Bench()
        b.memory.store(0x7000, UInt32(bitPattern: -10))
        b.memory.store(0x7004, UInt32(10))
        b.memory.store(0x7010, UInt16(bitPattern: -10))
        b.memory.store(0x7012, UInt16(10))
        b.c.eax = index
        #expect(b.run(bound, Bench.memory(0x7000)) == (outside ? .boundRange : nil))
        #expect(b.run(bound, Bench.memory(0x7010, 2)) == (outside ? .boundRange : nil))
        #expect(b.run(bound, Bench.register()) == .invalidOpcode)
    }

    // MARK: Stack switch

    @Test("an inner stack without room is #SS with its selector and EXT")
    func smallInnerStack() {
        let b = Bench()
        b.enter(ring: 3)
        b.memory.store(Bench.tss + 8, Sel.slot + 0x18)
        b.memory.store(Bench.tss + 4, UInt32(0x10))
        b.setSegment(Sel.slot + 0x18, base: 0x2_0000, limit: 0xFF, access: 0x93, flags: 4)
        b.setVector(0x30, to: Sel.code0, 0x5678, access: 0xEE)
        #expect(b.fault { (c) throws(Fault) in try c.deliver(vector: 0x30, kind: .external, errorCode: nil) } == Fault(12, errorCode: (Sel.slot + 0x18) | 1))
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .stack(Sel.slot + 0x18))
    }

    @Test("an expand-down inner stack checks from the other side")
    func expandDown() {
        let b = Bench()
        b.enter(ring: 3)
        b.memory.store(Bench.tss + 8, Sel.slot + 0x18)
        b.memory.store(Bench.tss + 4, UInt32(0x2_0000))
        b.setSegment(Sel.slot + 0x18, base: 0, limit: 0x1_FFFF, access: 0x97, flags: 4)
        b.setVector(0x30, to: Sel.code0, 0x5678, access: 0xEE)
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .stack(Sel.slot + 0x18))
        b.memory.store(Bench.tss + 4, UInt32(0x2_0100))
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == nil)
        #expect(b.c.rsp == 0x2_0100 - 20)
    }

    @Test("no room on the same stack is #SS(0)")
    func smallSameStack() {
        let b = Bench()
        b.c.v.pointee.seg[Seg.ss].limit = 0xFFFF
        b.c.rsp = 0x1_0004
        b.setVector(0x30, to: Sel.code0, 0x5678, access: 0x8E)
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .stackFault)
    }

    @Test("an entry point beyond the code segment is #GP(0)")
    func entryLimit() {
        let b = Bench()
        b.setVector(0x30, to: Sel.short0, 0x1000, access: 0x8E)
        let before = b.registers
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .generalProtection)
        #expect(b.registers == before)
    }

    // MARK: Virtual-8086 mode

    @Test("from V86 the data segments are pushed and nulled, IRET brings them back", arguments: [0x8E, 0x86] as [UInt8])
    func fromV86(access: UInt8) {
        let b = Bench()
        b.enterV86(iopl: 3)
        b.setVector(0x30, to: Sel.code0, 0x5678, access: access | 0x60)
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == nil)
        #expect(b.c.cpl == 0 && !b.c.isV86 && b.selector(Seg.ss) == Sel.data0)
        #expect([Seg.es, Seg.ds, Seg.fs, Seg.gs].allSatisfy { b.selector($0) == 0 && !b.c.segment($0).isUsable })
        if access == 0x8E {
            #expect(b.stack(9) == [0x102, 0x1000, 0x2_3002, 0x1000, 0x3000, 0x3000, 0x3000, 0x3000, 0x3000])
            #expect(b.run(iret) == nil)
            #expect(b.c.isV86 && b.c.rip == 0x102 && b.selector(Seg.gs) == 0x3000)
        } else {
            #expect(b.stack16(9) == [0x102, 0x1000, 0x3002, 0x1000, 0x3000, 0x3000, 0x3000, 0x3000, 0x3000])
        }
    }

    @Test("from V86 only ring 0 may be entered", arguments: [Sel.code1, Sel.code3, Sel.conforming0])
    func fromV86ToOthers(target: UInt16) {
        let b = Bench()
        b.enterV86(iopl: 3)
        b.setVector(0x30, to: target, 0x5678, access: 0xEE)
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .protection(target))
        #expect(b.c.isV86)
    }

    @Test("INT n in V86 needs IOPL 3, INT3 does not")
    func v86IOPL() {
        let b = Bench()
        b.enterV86(iopl: 2)
        b.setVector(0x30, to: Sel.code0, 0x5678, access: 0xEE)
        b.setVector(3, to: Sel.code0, 0x5678, access: 0xEE)
        #expect(b.run(int_n, Bench.op(imm: 0x30)) == .generalProtection)
        #expect(b.run(int3) == nil)
        #expect(b.c.cpl == 0)
    }

    // MARK: Real mode

    @Test("real mode goes through the IVT and IRET comes back")
    func realMode() {
        let b = Bench()
        b.enterReal()
        b.memory.store(0x21 * 4, UInt32(0x2000_1234))
        b.c.v.pointee.systemFlags |= EFlags.if | EFlags.tf
        #expect(b.run(int_n, Bench.op(2, imm: 0x21)) == nil)
        #expect(b.selector(Seg.cs) == 0x2000 && b.c.segment(Seg.cs).base == 0x2_0000 && b.c.rip == 0x1234)
        #expect(b.c.eflags & (EFlags.if | EFlags.tf) == 0)
        #expect(b.stack16(3) == [0x102, 0x1000, 0x0302])
        #expect(b.run(iret, Bench.op(2)) == nil)
        #expect(b.selector(Seg.cs) == 0x1000 && b.c.rip == 0x102 && b.c.eflags == 0x302 && b.c.rsp == 0x1000)
    }

    @Test("real-mode exceptions push no error code")
    func realFault() {
        let b = Bench()
        b.enterReal()
        b.memory.store(13 * 4, UInt32(0x2000_1234))
        #expect(b.c.handle(.generalProtection) == .delivered)
        #expect(b.c.rsp == 0x1000 - 6)
    }

    @Test("a vector beyond the IVT's limit ends in shutdown when nothing else is there")
    func realShutdown() {
        let b = Bench()
        b.enterReal()
        b.c.v.pointee.idtrLimit = 0
        guard case .shutdown(let sentence) = b.c.handle(.divideError) else { return #expect(Bool(false)) }
        #expect(sentence.contains("triple fault") && sentence.contains("IDT limit is 0") && sentence.contains("#DE"))
    }

    // MARK: Fault chains

    /// First fault, second fault's vector as its gate's problem, the handler that must run.
    @Test("two faults make #DF by the table of classes", arguments: [
        // gate of `first` absent → #NP (contributory)
        (UInt8(13), true), (0, true), (10, true), (14, true), (6, false), (7, false), (1, false), (17, false),
    ])
    func doubleFault(first: UInt8, becomesDouble: Bool) {
        let b = Bench()
        b.setVector(8, to: Sel.code0, 0x8888, access: 0x8E)
        b.setVector(11, to: Sel.code0, 0xBBBB, access: 0x8E)
        b.setVector(Int(first), to: Sel.code0, 0, access: 0x0E)
        #expect(b.c.handle(Fault(first, errorCode: first == 14 || first == 13 ? 0 : nil)) == .delivered)
        #expect(b.c.rip == (becomesDouble ? 0x8888 : 0xBBBB))
        #expect(b.stack(2)[0] == (becomesDouble ? 0 : UInt32(first) * 8 + 3))
        #expect(b.stack(2)[1] == 0x1_0000)
    }

    @Test("a contributory fault followed by a page fault is a page fault")
    func pageFaultAfterContributory() {
        let b = Bench()
        b.enter(ring: 3)
        b.enablePaging()
        b.setPage(Bench.stack0 - 0x1000, flags: 0)
        // #GP switches to the absent stack of ring 0; #PF goes to ring 1.
        b.setVector(13, to: Sel.code0, 0xDDDD, access: 0x8E)
        b.setVector(14, to: Sel.code1, 0xEEEE, access: 0x8E)
        #expect(b.c.handle(.generalProtection) == .delivered)
        #expect(b.c.rip == 0xEEEE && b.c.cpl == 1 && b.stack(1) == [2])
        #expect(b.c.v.pointee.cr2 == Bench.stack0 - 4)
    }

    @Test("two page faults make #DF")
    func twoPageFaults() {
        let b = Bench()
        b.enter(ring: 3)
        b.enablePaging()
        b.setPage(Bench.stack0 - 0x1000, flags: 0)
        b.setVector(14, to: Sel.code0, 0xEEEE, access: 0x8E)
        b.setVector(8, to: Sel.code1, 0x8888, access: 0x8E)
        #expect(b.c.handle(.page(4)) == .delivered)
        #expect(b.c.rip == 0x8888 && b.stack(2) == [0, 0x1_0000])
    }

    @Test("a fault while #DF is delivered stops the processor and the sentence names the chain")
    func tripleFault() {
        let b = Bench()
        b.c.v.pointee.idtrLimit = 0
        let outcome = b.c.handle(.page(2))
        guard case .shutdown(let sentence) = outcome else { return #expect(Bool(false)) }
        #expect(sentence == "triple fault: #GP while delivering #DF, because the IDT limit is 0; it began with #PF writing 0 (not mapped) at 0008:00010000")
    }

    @Test("an external interrupt whose gate is broken raises the nested fault alone")
    func interruptFault() {
        let b = Bench()
        b.setVector(11, to: Sel.code0, 0xBBBB, access: 0x8E)
        b.setVector(0x30, to: Sel.code0, 0, access: 0x0E)
        #expect(b.c.interrupt(vector: 0x30, kind: .external) == .delivered)
        #expect(b.c.rip == 0xBBBB && b.stack(2) == [0x183, 0x1_0000])
    }

    @Test("an interrupt wakes HLT, and NMI blocks further NMIs")
    func wakes() {
        let b = Bench()
        b.setVector(2, to: Sel.code0, 0x2222, access: 0x8E)
        b.c.v.pointee.halted = true
        #expect(b.c.interrupt(vector: 2, kind: .nmi) == .delivered)
        #expect(!b.c.v.pointee.halted && b.c.t.pointee.nmiBlocked)
    }

    // MARK: Debug exceptions

    @Test("a debug trap reports in DR6 and pushes RF as it was; GD is cleared")
    func debugTrap() {
        let b = Bench()
        b.setVector(1, to: Sel.code0, 0x1111, access: 0x8E)
        b.c.v.pointee.dr[7] = 0x2400
        b.c.v.pointee.dr[6] = 0xFFFF_0FF0 | 0x2001
        #expect(b.fault { (c) throws(Fault) in try c.raiseDebug(dr6: DR6.bs, fault: false) } == nil)
        #expect(b.c.v.pointee.dr[6] == 0xFFFF_0FF0 | 0x6000)
        #expect(b.c.v.pointee.dr[7] == 0x400)
        #expect(b.stack(3) == [0x1_0000, UInt32(Sel.code0), 2])
    }

    @Test("instruction breakpoints match enabled execute registers and RF silences them")
    func instructionBreakpoints() {
        let b = Bench()
        b.c.v.pointee.dr[0] = 0x1_0000
        b.c.v.pointee.dr[1] = 0x1_0000
        b.c.v.pointee.dr[3] = 0x1_0000
        // L0; L1 is a write watch; G3.
        b.c.v.pointee.dr[7] = 0x400 | 0b10_00_01_01 | 1 << 20
        #expect(b.c.instructionBreakpoint(0x1_0000) == 0b1001)
        #expect(b.c.instructionBreakpoint(0x1_0001) == 0)
        b.c.v.pointee.systemFlags |= EFlags.rf
        #expect(b.c.instructionBreakpoint(0x1_0000) == 0)
    }
}

extension Bench {
    @discardableResult
    func fault(_ body: (Core) throws(Fault) -> Void) -> Fault? {
        do throws(Fault) {
            try body(c)
            return nil
        } catch { return error }
    }
}
