import Testing

@testable import CPU

/// One far JMP or CALL: selector, level, expected fault (nil: arrives).
struct TransferCase: CustomTestStringConvertible, Sendable {
    var call: Bool
    var selector: UInt16
    var ring: UInt8
    var fault: Fault?
    /// CS afterwards.
    var lands: UInt16 = 0
    var testDescription: String { "ring \(ring): \(call ? "CALL" : "JMP") \(String(selector, radix: 16))" }
    init(_ call: Bool, _ selector: UInt16, ring: UInt8, _ fault: Fault?, lands: UInt16 = 0) {
        (self.call, self.selector, self.ring, self.fault, self.lands) = (call, selector, ring, fault, lands)
    }
}

/// A call gate in the slot: its access byte, its target, the caller's level and RPL.
struct GateCase: CustomTestStringConvertible, Sendable {
    var call = true
    var access: UInt8
    var target: UInt16
    var ring: UInt8
    var rpl: UInt16 = 0
    var fault: Fault?
    var lands: UInt16 = 0
    var testDescription: String {
        "ring \(ring): \(call ? "CALL" : "JMP") gate \(String(access, radix: 16)) to \(String(target, radix: 16)), RPL \(rpl)"
    }
}

@Suite("cpu · far transfers") struct FarTransferTests {
    static let direct: [TransferCase] = [false, true].flatMap { call in
        [
            TransferCase(call, Sel.code0, ring: 0, nil, lands: Sel.code0),
            .init(call, Sel.code0 | 3, ring: 0, .protection(Sel.code0)),
            .init(call, Sel.code0, ring: 3, .protection(Sel.code0)),
            .init(call, Sel.code3, ring: 3, nil, lands: Sel.code3),
            .init(call, Sel.code3 & 0xFFFC, ring: 3, nil, lands: Sel.code3),
            .init(call, Sel.code3, ring: 0, .protection(Sel.code3)),
            .init(call, Sel.conforming0, ring: 3, nil, lands: Sel.conforming0 | 3),
            .init(call, Sel.conforming0 | 3, ring: 0, nil, lands: Sel.conforming0),
            .init(call, Sel.conforming3, ring: 0, .protection(Sel.conforming3)),
            .init(call, Sel.absentCode0, ring: 0, .notPresent(Sel.absentCode0)),
            .init(call, Sel.data0, ring: 0, .protection(Sel.data0)),
            .init(call, Sel.beyond, ring: 0, .protection(Sel.beyond)),
            .init(call, 0, ring: 0, .generalProtection),
            .init(call, 3, ring: 3, .generalProtection),
            .init(call, Sel.short0, ring: 0, .generalProtection),
            .init(call, Sel.ldt, ring: 0, .protection(Sel.ldt)),
            .init(call, Sel.tss, ring: 0, .protection(Sel.tss)),
        ]
    }

    @Test("direct transfers", arguments: direct)
    func directTransfers(one: TransferCase) {
        let b = Bench()
        b.enter(ring: one.ring)
        let before = b.registers, sp = b.c.rsp, cs = b.selector(Seg.cs)
        #expect(b.run(one.call ? callFar_Ap : jmpFar_Ap, Bench.far(one.selector, 0x5678)) == one.fault)
        if one.fault != nil {
            #expect(b.registers == before)
            return
        }
        #expect(b.selector(Seg.cs) == one.lands && b.c.rip == 0x5678 && b.c.cpl == one.ring)
        if one.call {
            #expect(b.c.rsp == sp - 8 && b.stack(2) == [0x1_0002, UInt32(cs)])
        } else {
            #expect(b.c.rsp == sp)
        }
    }

    static let gates: [GateCase] = [
        // CALL to more privilege, equal privilege, conforming code.
        GateCase(access: 0xEC, target: Sel.code0, ring: 3, lands: Sel.code0),
        GateCase(access: 0xEC, target: Sel.code1, ring: 3, lands: Sel.code1),
        GateCase(access: 0xEC, target: Sel.code3, ring: 3, lands: Sel.code3),
        GateCase(access: 0xEC, target: Sel.conforming0, ring: 3, lands: Sel.conforming0 | 3),
        GateCase(access: 0x8C, target: Sel.code0, ring: 0, lands: Sel.code0),
        // Gate privilege: CPL and RPL against its DPL.
        GateCase(access: 0x8C, target: Sel.code0, ring: 3, fault: .protection(Sel.slot)),
        GateCase(access: 0xAC, target: Sel.code0, ring: 1, lands: Sel.code0),
        GateCase(access: 0xAC, target: Sel.code0, ring: 1, rpl: 2, fault: .protection(Sel.slot)),
        // Outward, absent, wrong types.
        GateCase(access: 0xEC, target: Sel.code3, ring: 0, fault: .protection(Sel.code3)),
        GateCase(access: 0x6C, target: Sel.code0, ring: 3, fault: .notPresent(Sel.slot)),
        GateCase(access: 0xEC, target: Sel.absentCode0, ring: 3, fault: .notPresent(Sel.absentCode0)),
        GateCase(access: 0xEC, target: Sel.data0, ring: 3, fault: .protection(Sel.data0)),
        GateCase(access: 0xEC, target: Sel.beyond, ring: 3, fault: .protection(Sel.beyond)),
        GateCase(access: 0xEC, target: 0, ring: 3, fault: .generalProtection),
        GateCase(access: 0xEE, target: Sel.code0, ring: 3, fault: .protection(Sel.slot)),
        // JMP through a gate never changes the level.
        GateCase(call: false, access: 0xEC, target: Sel.code0, ring: 3, fault: .protection(Sel.code0)),
        GateCase(call: false, access: 0xEC, target: Sel.code3, ring: 3, lands: Sel.code3),
        GateCase(call: false, access: 0xEC, target: Sel.conforming0, ring: 3, lands: Sel.conforming0 | 3),
        GateCase(call: false, access: 0x8C, target: Sel.code0, ring: 0, lands: Sel.code0),
    ]

    @Test("call gates", arguments: gates)
    func callGates(one: GateCase) {
        let b = Bench()
        b.enter(ring: one.ring)
        b.setGate(Sel.slot, to: one.target, 0x4_5678, access: one.access)
        let before = b.registers
        #expect(b.run(one.call ? callFar_Ap : jmpFar_Ap, Bench.far(Sel.slot | one.rpl, 0xDEAD_BEEF)) == one.fault)
        if one.fault == nil {
            #expect(b.selector(Seg.cs) == one.lands && b.c.rip == 0x4_5678 && b.c.cpl == UInt8(one.lands & 3))
        } else {
            #expect(b.registers == before)
        }
    }

    @Test("a call gate to ring 0 switches stacks and copies its parameters, and RETF undoes it", arguments: [2, 4])
    func parameters(bytes: Int) {
        let b = Bench()
        b.enter(ring: 3)
        let sp = b.c.rsp
        b.setGate(Sel.slot, to: Sel.code0, 0x5678, access: bytes == 4 ? 0xEC : 0xE4, count: 3)
        for n in 0..<3 {
            let at = sp + UInt64(n * bytes)
            if bytes == 4 { b.memory.store(at, UInt32(0x1111 * (n + 1))) } else { b.memory.store(at, UInt16(0x1111 * (n + 1))) }
        }
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == nil)
        #expect(b.c.cpl == 0 && b.selector(Seg.ss) == Sel.data0)
        #expect(b.c.rsp == Bench.stack0 - UInt64(7 * bytes))
        if bytes == 4 {
            #expect(b.stack(7) == [0x1_0002, UInt32(Sel.code3), 0x1111, 0x2222, 0x3333, UInt32(sp), UInt32(Sel.data3)])
        } else {
            #expect(b.stack16(7) == [0x0002, Sel.code3, 0x1111, 0x2222, 0x3333, UInt16(truncatingIfNeeded: sp), Sel.data3])
        }
        #expect(b.run(retFar, Bench.op(bytes, imm: Int32(3 * bytes))) == nil)
        #expect(b.c.cpl == 3 && b.selector(Seg.cs) == Sel.code3 && b.selector(Seg.ss) == Sel.data3)
        #expect(b.c.rsp == (bytes == 4 ? sp : sp & 0xFFFF) + UInt64(3 * bytes))
    }

    /// What is wrong with the inner stack, and the fault: SS selector, RPL/DPL, presence, room, TSS limit.
    @Test("bad inner stacks", arguments: [
        (0, Fault.invalidTSS(0)), (1, .invalidTSS(Sel.data3)), (2, .stack(Sel.absentStack0)), (3, .invalidTSS(Sel.beyond)),
        (4, .invalidTSS(Sel.code0)), (5, .stack(Sel.slot + 0x18)), (6, .invalidTSS(Sel.tss)), (7, .invalidTSS(Sel.data0)),
    ])
    func badStacks(kind: Int, fault: Fault) {
        let b = Bench()
        b.enter(ring: 3)
        b.setGate(Sel.slot, to: Sel.code0, 0x5678, access: 0xEC)
        switch kind {
        case 0: b.memory.store(Bench.tss + 8, UInt16(0))
        case 1: b.memory.store(Bench.tss + 8, Sel.data3)
        case 2: b.memory.store(Bench.tss + 8, Sel.absentStack0)
        case 3: b.memory.store(Bench.tss + 8, Sel.beyond)
        case 4: b.memory.store(Bench.tss + 8, Sel.code0)
        case 5:
            b.memory.store(Bench.tss + 8, Sel.slot + 0x18)
            b.memory.store(Bench.tss + 4, UInt32(8))
            b.setSegment(Sel.slot + 0x18, base: 0, limit: 3, access: 0x93, flags: 4)
        case 6: b.c.v.pointee.seg[Seg.tr].limit = 8
        default: b.memory.store(Bench.tss + 8, Sel.data0 | 1)
        }
        let before = b.registers
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == fault)
        #expect(b.registers == before)
    }

    @Test("a 16-bit TSS gives a 16-bit inner stack pointer")
    func innerStackOfTSS16() {
        let b = Bench()
        b.enter(ring: 3)
        b.c.v.pointee.seg[Seg.tr] = b.descriptor(Sel.tss16).segment(Sel.tss16)
        b.memory.store(Bench.tss16 + 2, UInt16(0xF000))
        b.memory.store(Bench.tss16 + 4, Sel.stack16)
        b.setGate(Sel.slot, to: Sel.code0, 0x5678, access: 0xEC)
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == nil)
        #expect(b.c.rsp == 0xF000 - 16 && b.selector(Seg.ss) == Sel.stack16)
    }

    @Test("a page fault on the inner stack leaves the caller as it was")
    func pageFaultOnInnerStack() {
        let b = Bench()
        b.enter(ring: 3)
        b.enablePaging()
        b.setPage(Bench.stack0 - 0x1000, flags: 0)
        b.setGate(Sel.slot, to: Sel.code0, 0x5678, access: 0xEC)
        let before = b.registers
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == .page(2))
        #expect(b.registers == before)
        #expect(b.c.v.pointee.cr2 == Bench.stack0 - 4)
    }

    @Test("supervisor-only pages serve descriptor tables, TSS and inner stack of a ring-3 caller")
    func supervisorPages() {
        let b = Bench()
        b.enter(ring: 3)
        b.enablePaging()
        for page: UInt64 in [0x1000, 0x2000, 0x4000, Bench.stack0 - 0x1000] { b.setPage(page, flags: 3) }
        b.setGate(Sel.slot, to: Sel.code0, 0x5678, access: 0xEC)
        #expect(b.run(callFar_Ap, Bench.far(Sel.slot, 0)) == nil)
        #expect(b.c.cpl == 0)
    }

    // MARK: RETF

    /// CS selector on the stack, level, fault. SS on the stack is right for the level.
    @Test("RETF checks the return segment", arguments: [
        (Sel.code0, UInt8(0), Fault?.none), (Sel.code3, 0, nil), (Sel.code1, 0, nil), (Sel.conforming0, 0, nil),
        (Sel.conforming0 | 3, 0, nil), (Sel.code0 | 3, 0, .protection(Sel.code0)), (Sel.code3 & 0xFFFC, 0, .protection(Sel.code3)),
        (Sel.code0, 3, .protection(Sel.code0)), (Sel.code1, 3, .protection(Sel.code1)), (Sel.conforming3 & 0xFFFC, 0, .protection(Sel.conforming3)),
        (0, 0, .generalProtection), (Sel.data0, 0, .protection(Sel.data0)), (Sel.absentCode0, 0, .notPresent(Sel.absentCode0)),
        (Sel.beyond, 0, .protection(Sel.beyond)), (Sel.short0, 0, .generalProtection),
    ])
    func returns(selector: UInt16, ring: UInt8, fault: Fault?) {
        let b = Bench()
        b.enter(ring: ring)
        let ss = [Sel.data0, Sel.data1, 0, Sel.data3][Int(selector & 3)]
        b.setStack([0x5678, UInt32(selector) | 0xABCD_0000, 0x2_F000, UInt32(ss)])
        let before = b.registers
        #expect(b.run(retFar) == fault)
        if fault == nil {
            #expect(b.selector(Seg.cs) == selector && b.c.rip == 0x5678 && b.c.cpl == UInt8(selector & 3))
            if selector & 3 != UInt16(ring) { #expect(b.c.rsp == 0x2_F000 && b.selector(Seg.ss) == ss) }
        } else {
            #expect(b.registers == before)
        }
    }

    @Test("RETF to ring 3 checks the outer stack", arguments: [
        (UInt16(0), Fault.generalProtection), (Sel.data0, .protection(Sel.data0)), (Sel.data3 & 0xFFFC, .protection(Sel.data3)),
        (Sel.readOnly3, .protection(Sel.readOnly3)), (Sel.absentData3, .stack(Sel.absentData3)), (Sel.code3, .protection(Sel.code3)),
    ])
    func outerStack(ss: UInt16, fault: Fault) {
        let b = Bench()
        b.setStack([0x5678, UInt32(Sel.code3), 0x2_F000, UInt32(ss)])
        let before = b.registers
        #expect(b.run(retFar) == fault)
        #expect(b.registers == before)
    }

    @Test("a return outward nulls data segments that the outer level may not have, and keeps the rest")
    func nulling() {
        let b = Bench()
        for (n, s) in [(Seg.ds, Sel.data0), (Seg.es, Sel.data3), (Seg.fs, Sel.conforming0), (Seg.gs, Sel.code0)] {
            b.c.v.pointee.seg[n] = b.descriptor(s).segment(s)
        }
        b.setStack([0x5678, UInt32(Sel.code3), 0x2_F000, UInt32(Sel.data3)])
        #expect(b.run(retFar) == nil)
        #expect(b.selector(Seg.ds) == 0 && !b.c.segment(Seg.ds).isUsable)
        #expect(b.selector(Seg.es) == Sel.data3 && b.selector(Seg.fs) == Sel.conforming0)
        #expect(b.selector(Seg.gs) == 0)
    }

    // MARK: IRET

    @Test("IRET changes IF by IOPL and IOPL by level 0 only", arguments: [
        (UInt8(0), UInt32(0), UInt32(0x3202)), (3, 0, 0x0002), (3, 3, 0x3202),
    ])
    func iretFlags(ring: UInt8, iopl: UInt32, expected: UInt32) {
        let b = Bench()
        b.enter(ring: ring)
        b.c.v.pointee.systemFlags |= iopl << 12
        b.setStack([0x5678, UInt32(b.selector(Seg.cs)), 0x3200])
        #expect(b.run(iret) == nil)
        #expect(b.c.eflags == expected)
    }

    @Test("a 16-bit IRET leaves the upper flags and takes words")
    func iret16() {
        let b = Bench()
        b.c.v.pointee.systemFlags |= EFlags.ac | EFlags.id
        let sp = b.c.rsp
        for (n, word) in [UInt16(0x5678), Sel.code0, 0x0AD7].enumerated() { b.memory.store(sp + UInt64(n * 2), word) }
        #expect(b.run(iret, Bench.op(2)) == nil)
        #expect(b.c.rip == 0x5678 && b.c.rsp == sp + 6 && b.c.eflags == EFlags.ac | EFlags.id | 0x0AD7)
    }

    @Test("IRET to ring 3 and the 16-bit stack keeps the upper half of ESP")
    func iretTo16BitStack() {
        let b = Bench()
        b.setSegment(Sel.slot, base: 0x3_0000, limit: 0xFFFF, access: 0xF3, flags: 0)
        b.setStack([0x5678, UInt32(Sel.code3), 2, 0x1234_5678, UInt32(Sel.slot | 3)])
        let upper = b.c.rsp & 0xFFFF_0000
        #expect(b.run(iret) == nil)
        #expect(b.c.rsp == upper | 0x5678)
    }

    @Test("IRET with VM in the image enters virtual-8086 mode from ring 0 and ignores VM elsewhere")
    func toVirtual8086() {
        let b = Bench()
        b.setStack([0x0100, 0x1000, 0x2_3202, 0xFFE, 0x3000, 0x10, 0x20, 0x30, 0x40])
        #expect(b.run(iret) == nil)
        #expect(b.c.isV86 && b.c.cpl == 3 && b.c.iopl == 3 && b.c.rip == 0x100 && b.c.rsp == 0xFFE)
        #expect((0..<6).map { b.selector($0) } == [0x10, 0x1000, 0x3000, 0x20, 0x30, 0x40])
        #expect(b.c.segment(Seg.cs).base == 0x1_0000 && b.c.segment(Seg.gs).limit == 0xFFFF)

        let user = Bench()
        user.enter(ring: 3)
        user.setStack([0x5678, UInt32(Sel.code3), 0x2_0002])
        #expect(user.run(iret) == nil)
        #expect(!user.c.isV86)
    }

    @Test("the V86 entry point must lie below 64 KiB")
    func v86Limit() {
        let b = Bench()
        b.setStack([0x1_0000, 0x1000, 0x2_3202, 0xFFE, 0x3000, 0, 0, 0, 0])
        #expect(b.run(iret) == .generalProtection)
        #expect(!b.c.isV86 && b.c.cpl == 0)
    }

    @Test("IRET unblocks NMIs")
    func unblocksNMI() {
        let b = Bench()
        b.c.t.pointee.nmiBlocked = true
        b.setStack([0x5678, UInt32(Sel.code0), 2])
        b.run(iret)
        #expect(!b.c.t.pointee.nmiBlocked)
    }

    // MARK: Real and virtual-8086 mode

    @Test("real-mode CALL FAR and RETF", arguments: [2, 4])
    func realCall(bytes: Int) {
        let b = Bench()
        b.enterReal()
        #expect(b.run(callFar_Ap, Bench.far(0x2000, 0x0200, bytes)) == nil)
        #expect(b.c.segment(Seg.cs).base == 0x2_0000 && b.c.rip == 0x200 && b.c.rsp == 0x1000 - UInt64(2 * bytes))
        #expect(b.run(retFar, Bench.op(bytes, imm: 4)) == nil)
        #expect(b.selector(Seg.cs) == 0x1000 && b.c.rip == 0x102 && b.c.rsp == 0x1004)
    }

    @Test("real-mode offsets beyond the limit fault")
    func realLimit() {
        let b = Bench()
        b.enterReal()
        #expect(b.run(jmpFar_Ap, Bench.far(0x2000, 0x1_0000)) == .generalProtection)
        #expect(b.selector(Seg.cs) == 0x1000)
    }

    @Test("virtual-8086 far jumps load real-mode segments")
    func v86Jump() {
        let b = Bench()
        b.enterV86(iopl: 0)
        #expect(b.run(jmpFar_Ap, Bench.far(0x4321, 0x10, 2)) == nil)
        #expect(b.c.segment(Seg.cs).base == 0x4_3210 && b.c.cpl == 3 && b.c.rip == 0x10)
    }

    @Test("JMP through memory takes the offset size from the operand size")
    func throughMemory() {
        let b = Bench()
        b.memory.store(0x7000, UInt32(0x5678) | UInt32(Sel.code0) << 16)
        #expect(b.run(jmpFar_Ep, Bench.memory(0x7000, reg: 5, 2)) == nil)
        #expect(b.c.rip == 0x5678)
        b.memory.store(0x7000, UInt32(0x1_5678))
        b.memory.store(0x7004, Sel.code0)
        #expect(b.run(callFar_Ep, Bench.memory(0x7000, reg: 3)) == nil)
        #expect(b.c.rip == 0x1_5678 && b.stack(2) == [0x567A, UInt32(Sel.code0)])
        #expect(b.run(jmpFar_Ep, Bench.register()) == .invalidOpcode)
    }
}
