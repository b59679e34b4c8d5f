import Testing

@testable import CPU

/// One case of a segment load: where, what, and the fault that must come.
struct SegmentCase: CustomTestStringConvertible, Sendable {
    var register: Int
    var selector: UInt16
    var ring: UInt8
    var fault: Fault?
    var testDescription: String { "ring \(ring): \(["ES", "CS", "SS", "DS", "FS", "GS"][register]) = \(String(selector, radix: 16))" }
    init(_ register: Int, _ selector: UInt16, ring: UInt8, _ fault: Fault?) {
        (self.register, self.selector, self.ring, self.fault) = (register, selector, ring, fault)
    }
}

@Suite("cpu · segment loads") struct SegmentLoadTests {
    static let cases: [SegmentCase] = [
        .init(Seg.ds, Sel.data0, ring: 0, nil),
        .init(Seg.ds, Sel.data3, ring: 0, nil),
        .init(Seg.ds, Sel.data0 | 3, ring: 0, .protection(Sel.data0)),
        .init(Seg.ds, Sel.data0, ring: 3, .protection(Sel.data0)),
        .init(Seg.es, Sel.data3, ring: 3, nil),
        .init(Seg.es, Sel.data3 & 0xFFFC, ring: 3, nil),
        .init(Seg.fs, Sel.readOnly3, ring: 3, nil),
        .init(Seg.gs, Sel.executeOnly3, ring: 3, .protection(Sel.executeOnly3)),
        .init(Seg.gs, Sel.conforming0, ring: 3, nil),
        .init(Seg.gs, Sel.conforming0 | 3, ring: 3, nil),
        .init(Seg.ds, Sel.code3, ring: 3, nil),
        .init(Seg.ds, Sel.code0, ring: 3, .protection(Sel.code0)),
        .init(Seg.ds, Sel.absentData3, ring: 3, .notPresent(Sel.absentData3)),
        .init(Seg.ds, Sel.tss, ring: 0, .protection(Sel.tss)),
        .init(Seg.ds, Sel.beyond, ring: 0, .protection(Sel.beyond)),
        .init(Seg.ds, 0x0004, ring: 0, .protection(0x0004)),
        .init(Seg.ds, 0, ring: 3, nil),
        .init(Seg.ds, 3, ring: 3, nil),
        .init(Seg.ss, Sel.data0, ring: 0, nil),
        .init(Seg.ss, 0, ring: 0, .generalProtection),
        .init(Seg.ss, Sel.data3, ring: 0, .protection(Sel.data3)),
        .init(Seg.ss, Sel.data0 | 3, ring: 0, .protection(Sel.data0)),
        .init(Seg.ss, Sel.data3, ring: 3, nil),
        .init(Seg.ss, Sel.data0 | 3, ring: 3, .protection(Sel.data0)),
        .init(Seg.ss, Sel.readOnly3, ring: 3, .protection(Sel.readOnly3)),
        .init(Seg.ss, Sel.code3, ring: 3, .protection(Sel.code3)),
        .init(Seg.ss, Sel.absentData3, ring: 3, .stack(Sel.absentData3)),
        .init(Seg.ss, Sel.absentStack0, ring: 0, .stack(Sel.absentStack0)),
        .init(Seg.ss, Sel.beyond, ring: 0, .protection(Sel.beyond)),
    ]

    @Test("MOV Sreg checks type, privilege and presence in that order", arguments: cases)
    func moves(one: SegmentCase) {
        let b = Bench()
        b.enter(ring: one.ring)
        b.c.setGPR(0, UInt32(one.selector))
        let before = b.registers
        #expect(b.run(mov_SwEw, Bench.register(reg: UInt8(one.register))) == one.fault)
        if one.fault == nil {
            #expect(b.selector(one.register) == one.selector)
            #expect(b.c.segment(one.register).isUsable == !isNull(one.selector))
        } else {
            #expect(b.registers == before)
        }
    }

    @Test("the accessed bit is written to the table, once the checks passed")
    func accessedBit() {
        let b = Bench()
        b.setSegment(Sel.slot, base: 0x1234_5678, limit: 0x12345, access: 0x92, flags: 0xC)
        #expect(b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.fs, Sel.slot) } == nil)
        #expect(b.accessByte(Sel.slot) == 0x93)
        let s = b.c.segment(Seg.fs)
        #expect(s.base == 0x1234_5678 && s.limit == 0x1234_5FFF && s.attributes == 0xC093)
        b.setSegment(Sel.slot, base: 0, limit: 0, access: 0x12, flags: 0)
        #expect(b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.fs, Sel.slot) } == .notPresent(Sel.slot))
        #expect(b.accessByte(Sel.slot) == 0x12)
    }

    @Test("selectors with TI look in the LDT and its limit counts")
    func localTable() {
        let b = Bench()
        b.c.setGPR(0, UInt32(Sel.ldt))
        #expect(b.run(lldt, Bench.register()) == nil)
        b.setSegment(0x0C, base: 0x500, limit: 0xFF, access: 0x93, flags: 0)
        #expect(b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.es, 0x0C) } == nil)
        #expect(b.c.segment(Seg.es).base == 0x500)
        #expect(b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.es, 0x24) } == .protection(0x24))
    }

    @Test("real mode keeps the limit: unreal mode")
    func unreal() {
        let b = Bench()
        b.c.v.pointee.cr0 &= ~CR0.pe
        #expect(b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.fs, 0x1234) } == nil)
        #expect(b.c.segment(Seg.fs).base == 0x12340)
        #expect(b.c.segment(Seg.fs).limit == 0xFFFF_FFFF)
    }

    @Test("a null selector from protected mode is usable again after a load in real mode")
    func nullThenReal() {
        let b = Bench()
        b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.ds, 0) }
        #expect(!b.c.segment(Seg.ds).isUsable)
        b.c.v.pointee.cr0 &= ~CR0.pe
        b.run { (c, _) throws(Fault) in try c.loadSegment(Seg.ds, 0x40) }
        #expect(b.c.segment(Seg.ds).isUsable && b.c.segment(Seg.ds).base == 0x400 && b.c.segment(Seg.ds).limit >= 0xFFFF)
    }

    @Test("virtual-8086 mode loads 64 KiB writable segments without looking at a table")
    func virtual8086() {
        let b = Bench()
        b.enterV86(iopl: 0)
        b.c.setGPR(0, UInt32(0xFFFF))
        #expect(b.run(mov_SwEw, Bench.register(reg: 3)) == nil)
        let s = b.c.segment(Seg.ds)
        #expect(s.base == 0xF_FFF0 && s.limit == 0xFFFF && s.attributes == 0xF3)
    }

    @Test("MOV to CS and numbers 6 and 7 are undefined", arguments: [1, 6, 7])
    func undefinedRegisters(number: Int) {
        #expect(Bench().run(mov_SwEw, Bench.register(reg: UInt8(number))) == .invalidOpcode)
    }

    @Test("MOV r32, Sreg zero-extends; MOV r16 leaves the upper half; memory gets two bytes")
    func storeForms() {
        let b = Bench()
        b.c.setGPR(0, UInt32(0xAAAA_AAAA))
        b.run(mov_EwSw, Bench.register(reg: 3, rm: 0, 2))
        #expect(b.c.eax == 0xAAAA_0000 | UInt32(Sel.data0))
        b.run(mov_EwSw, Bench.register(reg: 3, rm: 0))
        #expect(b.c.eax == UInt32(Sel.data0))
        b.memory.store(0x7000, UInt32.max)
        b.run(mov_EwSw, Bench.memory(0x7000, reg: 1))
        #expect(b.memory.load(0x7000, as: UInt32.self) == 0xFFFF_0000 | UInt32(Sel.code0))
    }

    @Test("MOV SS and POP SS shade the next instruction from interrupts, other registers do not")
    func shadow() {
        let b = Bench()
        b.c.setGPR(0, UInt32(Sel.data0))
        b.run(mov_SwEw, Bench.register(reg: 3))
        #expect(b.c.v.pointee.shadow == 0)
        b.run(mov_SwEw, Bench.register(reg: 2))
        #expect(b.c.v.pointee.shadow == Shadow.movSS)
    }

    @Test("POP Sreg moves the stack pointer by the operand size, and not at all when the load faults", arguments: [2, 4])
    func popSegment(bytes: Int) {
        let b = Bench()
        b.setStack([UInt32(Sel.data3)])
        let sp = b.c.rsp
        var o = Bench.op(bytes)
        o.a = UInt8(Seg.gs)
        #expect(b.run(pop_Sw, o) == nil)
        #expect(b.selector(Seg.gs) == Sel.data3 && b.c.rsp == sp + UInt64(bytes))
        b.setStack([UInt32(Sel.beyond)])
        #expect(b.run(pop_Sw, o) == .protection(Sel.beyond))
        #expect(b.c.rsp == sp)
    }

    @Test("LSS loads both halves or none")
    func farPointers() {
        let b = Bench()
        b.memory.store(0x7000, UInt32(0x1234_5678))
        b.memory.store(0x7004, UInt16(Sel.data3))
        var o = Bench.memory(0x7000, reg: 4)
        o.imm = Int32(Seg.ss)
        let before = b.registers
        #expect(b.run(lss, o) == .protection(Sel.data3))
        #expect(b.registers == before)
        b.memory.store(0x7004, UInt16(Sel.stack16))
        #expect(b.run(lss, o) == nil)
        #expect(b.c.rsp == 0x1234_5678 && b.selector(Seg.ss) == Sel.stack16)
    }
}
