import EmptyBoard
import Primitives

@testable import CPU

/// A bus with nothing on it but a clock and the APIC base register.
final class BenchBus: EmptyBoard {
    var time: Nanoseconds = 0
    var apicBase: UInt64 = 0xFEE0_0900
    /// What INTA gives, once.
    var vector: UInt8?
    /// Called at INTA: the line goes down.
    var acknowledged: () -> Void = {}
    func acknowledgeInterrupt() -> UInt8? {
        acknowledged()
        defer { vector = nil }
        return vector
    }
    func now() -> Nanoseconds { time }
    func readMSR(_ index: UInt32) -> UInt64? { index == 0x1B ? apicBase : nil }
    func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
        apicBase = value
        return true
    }
}

/// Selectors of the bench's GDT.
enum Sel {
    static let code0: UInt16 = 0x08, data0: UInt16 = 0x10, code3: UInt16 = 0x1B, data3: UInt16 = 0x23
    /// The current TSS (32-bit, busy), another one, an LDT, a 16-bit TSS.
    static let tss: UInt16 = 0x28, tss2: UInt16 = 0x30, ldt: UInt16 = 0x38, tss16: UInt16 = 0x78
    static let conforming0: UInt16 = 0x40, code1: UInt16 = 0x49, data1: UInt16 = 0x51, readOnly3: UInt16 = 0x5B
    static let executeOnly3: UInt16 = 0x63, absentData3: UInt16 = 0x6B, absentCode0: UInt16 = 0x70, conforming3: UInt16 = 0x8B
    /// For gates and whatever a test puts there; DPL is the test's.
    static let slot: UInt16 = 0x80
    /// 16-bit code and stack at level 0; code with limit 0xFFF; absent stack at level 0.
    static let code16: UInt16 = 0x90, stack16: UInt16 = 0x98, short0: UInt16 = 0xA0, absentStack0: UInt16 = 0xA8
    static let beyond: UInt16 = 0x200
}

/// A processor in protected mode whose handlers are called directly: tables, stacks and a task are at fixed places.
final class Bench {
    static let gdt: UInt64 = 0x1000, idt: UInt64 = 0x2000, ldt: UInt64 = 0x3000, tss: UInt64 = 0x4000, tss2: UInt64 = 0x5000
    static let tss16: UInt64 = 0x6000, directory: UInt64 = 0x8000
    static let stack0: UInt64 = 0x2_0000, stack1: UInt64 = 0x2_8000, stack3: UInt64 = 0x3_0000

    let bus = BenchBus()
    let memory: GuestMemory
    let processor: Processor
    let c: Core

    init() {
        guard let memory = try? GuestMemory(ramBytes: 1 << 20, extraBytes: 4096) else { preconditionFailure("no host memory") }
        memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        self.memory = memory
        processor = Processor(memory: memory, bus: bus, model: .pentiumPro)
        c = processor.core
        c.t.pointee.exact = true
        let v = c.v
        v.pointee.gdtrBase = Bench.gdt
        v.pointee.gdtrLimit = 0xAF
        v.pointee.idtrBase = Bench.idt
        v.pointee.idtrLimit = 0x7FF
        // Index: access byte; base 0, limit 4 GiB, 32-bit unless set apart below.
        let access: [(UInt16, UInt8)] = [
            (Sel.code0, 0x9B), (Sel.data0, 0x93), (Sel.code3, 0xFB), (Sel.data3, 0xF3), (Sel.conforming0, 0x9F), (Sel.code1, 0xBB),
            (Sel.data1, 0xB3), (Sel.readOnly3, 0xF1), (Sel.executeOnly3, 0xF9), (Sel.absentData3, 0x73), (Sel.absentCode0, 0x1B),
            (Sel.conforming3, 0xFF), (Sel.absentStack0, 0x13),
        ]
        for (selector, byte) in access { setSegment(selector, base: 0, limit: 0xFFFFF, access: byte, flags: 0xC) }
        setSegment(Sel.tss, base: Bench.tss, limit: 0x1FF, access: 0x8B, flags: 0)
        setSegment(Sel.tss2, base: Bench.tss2, limit: 0x67, access: 0x89, flags: 0)
        setSegment(Sel.tss16, base: Bench.tss16, limit: 0x2B, access: 0x81, flags: 0)
        setSegment(Sel.ldt, base: Bench.ldt, limit: 0x1F, access: 0x82, flags: 0)
        setSegment(Sel.code16, base: 0, limit: 0xFFFF, access: 0x9B, flags: 0)
        setSegment(Sel.stack16, base: 0, limit: 0xFFFF, access: 0x93, flags: 0)
        setSegment(Sel.short0, base: 0, limit: 0xFFF, access: 0x9B, flags: 4)
        v.pointee.cr0 = CR0.pe | CR0.et
        v.pointee.seg[Seg.tr] = descriptor(Sel.tss).segment(Sel.tss)
        v.pointee.seg[Seg.ldtr].attributes = 0
        memory.store(Bench.tss + 4, UInt32(Bench.stack0))
        memory.store(Bench.tss + 8, UInt32(Sel.data0))
        memory.store(Bench.tss + 0xC, UInt32(Bench.stack1))
        memory.store(Bench.tss + 0x10, UInt32(Sel.data1))
        memory.store(Bench.tss + 0x66, UInt16(0x68))
        enter(ring: 0)
    }

    // MARK: State

    /// Flat 32-bit segments at a level; CS:EIP 0x1_0000, stack of that level. Ring 1 too.
    func enter(ring: UInt8) {
        let v = c.v
        let (cs, ds, sp): (UInt16, UInt16, UInt64) =
            switch ring {
            case 0: (Sel.code0, Sel.data0, Bench.stack0 - 0x100)
            case 1: (Sel.code1, Sel.data1, Bench.stack1 - 0x100)
            default: (Sel.code3, Sel.data3, Bench.stack3)
            }
        v.pointee.seg[Seg.cs] = descriptor(cs).segment(cs)
        for n in [Seg.ss, Seg.ds, Seg.es, Seg.fs, Seg.gs] { v.pointee.seg[n] = descriptor(ds).segment(ds) }
        v.pointee.cpl = ring
        v.pointee.systemFlags = 2
        c.setArithmeticFlags(0)
        c.rsp = sp
        c.rip = 0x1_0000
        c.t.pointee.instructionRIP = c.rip
        c.modeChanged()
    }

    /// Virtual-8086 mode: CS 0x1000, other segments 0x3000, SP 0x1000.
    func enterV86(iopl: UInt32) {
        let v = c.v
        v.pointee.systemFlags = 2 | EFlags.vm | iopl << 12
        v.pointee.cpl = 3
        for n in 0..<6 { v.pointee.seg[n] = c.virtual8086Segment(n == Seg.cs ? 0x1000 : 0x3000) }
        c.rsp = 0x1000
        c.rip = 0x100
        c.t.pointee.instructionRIP = c.rip
        c.modeChanged()
    }

    func enterReal() {
        c.v.pointee.cr0 &= ~CR0.pe
        c.v.pointee.cpl = 0
        c.v.pointee.systemFlags = 2
        for n in 0..<6 {
            c.v.pointee.seg[n] = Segment()
            c.v.pointee.seg[n].selector = n == Seg.cs ? 0x1000 : 0x3000
            c.v.pointee.seg[n].base = n == Seg.cs ? 0x1_0000 : 0x3_0000
        }
        c.v.pointee.idtrBase = 0
        c.v.pointee.idtrLimit = 0x3FF
        c.rsp = 0x1000
        c.rip = 0x100
        c.t.pointee.instructionRIP = c.rip
        c.modeChanged()
    }

    /// Turns paging on: the first 4 MiB identity-mapped for user and supervisor, read-write.
    func enablePaging() {
        for n in 0..<1024 { memory.store(Bench.directory + 0x1000 + UInt64(n * 4), UInt32(n << 12 | 7)) }
        memory.store(Bench.directory, UInt32(Bench.directory + 0x1000) | 7)
        c.v.pointee.cr3 = Bench.directory
        c.v.pointee.cr0 |= CR0.pg
        c.flushTLB(keepGlobal: false)
        c.modeChanged()
    }

    func setPage(_ address: UInt64, flags: UInt32) {
        memory.store(Bench.directory + 0x1000 + (address >> 12) * 4, UInt32(address & 0xFFFF_F000) | flags)
        c.flushTLB(keepGlobal: false)
    }

    // MARK: Tables

    private func address(_ selector: UInt16) -> UInt64 { (selector & 4 == 0 ? Bench.gdt : Bench.ldt) + UInt64(selector & 0xFFF8) }

    func setSegment(_ selector: UInt16, base: UInt64, limit: UInt32, access: UInt8, flags: UInt8) {
        var raw = UInt64(limit & 0xFFFF) | (base & 0xFF_FFFF) << 16 | UInt64(access) << 40
        raw |= UInt64(limit >> 16 & 0xF) << 48 | UInt64(flags) << 52 | (base >> 24 & 0xFF) << 56
        memory.store(address(selector), raw)
    }

    /// A gate in the GDT or LDT. `access` holds P, DPL and type.
    func setGate(_ selector: UInt16, to target: UInt16, _ offset: UInt32 = 0, access: UInt8, count: UInt8 = 0) {
        memory.store(address(selector), Bench.gate(target, offset, access, count))
    }

    func setVector(_ vector: Int, to target: UInt16, _ offset: UInt32, access: UInt8) {
        memory.store(Bench.idt + UInt64(vector * 8), Bench.gate(target, offset, access, 0))
    }

    private static func gate(_ target: UInt16, _ offset: UInt32, _ access: UInt8, _ count: UInt8) -> UInt64 {
        UInt64(offset & 0xFFFF) | UInt64(target) << 16 | UInt64(count) << 32 | UInt64(access) << 40 | UInt64(offset >> 16) << 48
    }

    func descriptor(_ selector: UInt16) -> Descriptor {
        Descriptor(raw: memory.load(address(selector), as: UInt64.self), address: address(selector))
    }

    func accessByte(_ selector: UInt16) -> UInt8 { memory.load(address(selector) + 5, as: UInt8.self) }

    // MARK: Running

    typealias Handler = (Core, OpPointer) throws(Fault) -> Void

    /// Runs a handler as an instruction of two bytes. A fault leaves RIP at the instruction, as the engine does.
    @discardableResult
    func run(_ handler: Handler, _ op: Op = Bench.op()) -> Fault? {
        c.t.pointee.instructionRIP = c.rip
        c.rip = c.rip &+ 2
        do throws(Fault) {
            try withUnsafePointer(to: op) { p throws(Fault) in try handler(c, p) }
            return nil
        } catch {
            c.rip = c.t.pointee.instructionRIP
            return error
        }
    }

    /// Runs a handler and delivers what it throws.
    @discardableResult
    func runDelivering(_ handler: Handler, _ op: Op = Bench.op()) -> FaultOutcome {
        run(handler, op).map { c.handle($0) } ?? .delivered
    }

    /// No operands; 2 or 4 bytes.
    static func op(_ bytes: Int = 4, imm: Int32 = 0) -> Op {
        var o = Op(.slow)
        o.flags = (bytes == 2 ? 1 : 2) | 8
        o.imm = imm
        return o
    }

    /// ModR/M register form.
    static func register(reg: UInt8 = 0, rm: UInt8 = 0, _ bytes: Int = 4) -> Op {
        var o = op(bytes)
        o.flags |= 0x80
        o.modrm = 0xC0 | reg << 3 | rm
        o.a = reg * 8
        o.b = rm * 8
        return o
    }

    /// ModR/M memory form at DS:address.
    static func memory(_ address: Int32, reg: UInt8 = 0, _ bytes: Int = 4) -> Op {
        var o = op(bytes)
        o.disp = address
        o.modrm = reg << 3 | 6
        o.a = reg * 8
        return o
    }

    /// Far pointer in the instruction.
    static func far(_ selector: UInt16, _ offset: UInt32, _ bytes: Int = 4) -> Op {
        var o = op(bytes)
        o.wide = UInt64(selector) << 32 | UInt64(offset)
        return o
    }

    /// Puts code at a linear address.
    func code(_ address: UInt64, _ bytes: [UInt8]) { memory.write(address, bytes) }

    /// Lets the engine run from CS:EIP until HLT, shutdown or `budget` instructions.
    @discardableResult
    func execute(_ budget: Int64 = 1000) -> EngineExit {
        c.t.pointee.exact = false
        c.modeChanged()
        while true {
            let exit = processor.run(budget: budget)
            if exit != .attention { return exit }
        }
    }

    /// The processor asserts INTR with `vector` until it is acknowledged.
    func assertInterrupt(_ vector: UInt8) {
        bus.vector = vector
        bus.acknowledged = { [unowned self] in processor.setINTR(false) }
        processor.setINTR(true)
    }

    // MARK: Looking

    func selector(_ number: Int) -> UInt16 { c.segment(number).selector }
    /// Doublewords from the top of the stack.
    func stack(_ count: Int) -> [UInt32] {
        let base = c.segment(Seg.ss).base
        return (0..<count).map { memory.load(base + (c.rsp & c.stackMask) + UInt64($0 * 4), as: UInt32.self) }
    }
    func stack16(_ count: Int) -> [UInt16] {
        let base = c.segment(Seg.ss).base
        return (0..<count).map { memory.load(base + (c.rsp & c.stackMask) + UInt64($0 * 2), as: UInt16.self) }
    }
    /// Puts doublewords on the stack, first on top.
    func setStack(_ values: [UInt32]) {
        c.rsp = (c.rsp & ~0xFFF) | 0x800
        for (n, value) in values.enumerated() { memory.store(c.segment(Seg.ss).base + c.rsp + UInt64(n * 4), value) }
    }
    /// A comparable picture of everything that a faulting instruction must leave alone.
    var registers: [UInt64] {
        var all = (0..<16).map { c.gpr($0, UInt64.self) }
        all += [c.rip, UInt64(c.eflags), UInt64(c.cpl), UInt64(c.cr0)]
        for n in 0..<8 {
            let s = c.segment(n)
            all += [s.base, UInt64(s.limit), UInt64(s.selector), UInt64(s.attributes)]
        }
        return all
    }
}
