import EmptyBoard
import Primitives

@testable import CPU

/// Our processor in the same place as the host's: ring 3, flat 32-bit segments, paging with the same pages present and writable,
/// descriptor tables like Linux's. Exceptions go through real gates to ring 0, where each handler is one HLT.
final class GuestProcessor {
    private let bus = NoBoard()
    let memory: GuestMemory
    let processor: Processor
    private let c: Core
    private var template = VCPU()

    /// Guest-physical addresses.
    private enum Place {
        static let directory: UInt64 = 0, lowTable: UInt64 = 0x1000, highTable: UInt64 = 0x2000, systemTable: UInt64 = 0x3000
        static let gdt: UInt64 = 0x4000, ldt: UInt64 = 0x4100, tss: UInt64 = 0x4200, idt: UInt64 = 0x4400
        static let handlers: UInt64 = 0x5000, stackTop: UInt64 = 0x7000
        static let data: UInt64 = 0x1_0000, code: UInt64 = 0x2_0000
        /// Linear minus physical address of the pages from `gdt` on; nothing of the host lies there.
        static let system: UInt64 = 0xE3A5_0000
    }
    static let dataPhysical = Place.data

    init(hasLow: Bool, has16: Bool, translation: TranslationSettings?) throws(HostMemoryError) {
        memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 4096)
        memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        processor = Processor(memory: memory, bus: bus, model: .pentiumPro, translation: translation)
        c = processor.core
        mapPages(hasLow: hasLow)
        makeTables(has16: has16)
        template.cr0 = CR0.pe | CR0.pg | CR0.am | CR0.wp | CR0.ne | CR0.et | CR0.mp
        template.cr3 = Place.directory
        template.cpl = 3
        template.dr[6] = 0xFFFF_0FF0
        template.dr[7] = 0x400
        template.gdtrBase = Place.system + Place.gdt
        template.gdtrLimit = 0x7F
        template.idtrBase = Place.system + Place.idt
        template.idtrLimit = 0x7FF
        for n in 0..<6 {
            var segment = Segment()
            segment.base = 0
            if n < 4 {
                segment.limit = 0xFFFF_FFFF
                segment.selector = n == Seg.cs ? Layout.code32 : Layout.flat
                segment.attributes = n == Seg.cs ? 0xC0FB : 0xC0F3
            } else {
                segment.limit = 0
                segment.attributes = 0x13
            }
            template.seg[n] = segment
        }
        template.seg[Seg.tr].selector = 0x40
        template.seg[Seg.tr].base = Place.system + Place.tss
        template.seg[Seg.tr].limit = 0x67
        template.seg[Seg.tr].attributes = 0x8B
        template.seg[Seg.ldtr].selector = has16 ? 0x50 : 0
        template.seg[Seg.ldtr].base = Place.system + Place.ldt
        template.seg[Seg.ldtr].limit = 15
        template.seg[Seg.ldtr].attributes = has16 ? 0x82 : 0
    }

    private func mapPages(hasLow: Bool) {
        func map(_ table: UInt64, _ linear: UInt32, _ physical: UInt64, _ flags: UInt32) {
            memory.store(Place.directory + UInt64(linear >> 22) * 4, UInt32(table) | 7)
            memory.store(table + UInt64(linear >> 12 & 0x3FF) * 4, UInt32(physical) | flags)
        }
        for (table, window) in [(Place.highTable, Layout.high), (Place.lowTable, 0)] where window != 0 || hasLow {
            for page in 0..<(Layout.dataBytes >> 12) {
                map(table, window + Layout.data + UInt32(page << 12), Place.data + UInt64(page << 12), 7)
            }
            map(table, window + Layout.code, Place.code, 5)
        }
        for page: UInt64 in 4..<7 { map(Place.systemTable, UInt32(Place.system + page << 12), page << 12, 3) }
    }

    private func makeTables(has16: Bool) {
        // As Linux has them (arch/x86/kernel/cpu/common.c); entry 6, its 64-bit code, is absent here: the exit jump faults.
        let gdt: [UInt64] = [
            0, 0x00CF_9B00_0000_FFFF, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00CF_FB00_0000_FFFF, 0x00CF_F300_0000_FFFF, 0, 0,
        ]
        for (n, entry) in gdt.enumerated() { memory.store(Place.gdt + UInt64(8 * n), entry) }
        let tss = Place.system + Place.tss
        memory.store(Place.gdt + 0x40, 0x0000_8B00_0000_0067 | (tss & 0xFF_FFFF) << 16 | (tss >> 24) << 56)
        let ldt = Place.system + Place.ldt
        if has16 { memory.store(Place.gdt + 0x50, 0x0000_8200_0000_000F | (ldt & 0xFF_FFFF) << 16 | (ldt >> 24) << 56) }
        let base = UInt64(Layout.high)
        let based = 0xFFFF | (base & 0xFF_FFFF) << 16 | (base >> 24) << 56
        memory.store(Place.ldt, based | 0x0000_FB00_0000_0000)
        memory.store(Place.ldt + 8, based | 0x0000_F300_0000_0000)
        memory.store(Place.tss + 4, UInt32(Place.system + Place.stackTop))
        memory.store(Place.tss + 8, UInt16(0x18))
        memory.store(Place.tss + 102, UInt16(0x68))  // no I/O permission bitmap
        for vector: UInt64 in 0..<256 {
            let target = Place.system + Place.handlers + vector * 16
            let access: UInt64 = vector == 3 || vector == 4 ? 0xEE : 0x8E
            memory.store(Place.idt + vector * 8, target & 0xFFFF | 0x10 << 16 | access << 40 | (target >> 16) << 48)
            memory.store(Place.handlers + vector * 16, UInt8(0xF4))
        }
    }

    // MARK: State

    func load(_ s: MachineState) {
        var v = template
        for n in 0..<8 { v.gpr[n] = UInt64(s.gpr[n]) }
        v.rip = UInt64(s.eip)
        v.retired = processor.retired
        v.systemFlags = s.eflags & ~EFlags.arithmetic | 2
        v.fpu.status = UInt16(truncatingIfNeeded: s.x87[1]) & ~0x3800
        v.fpu.top = UInt8(truncatingIfNeeded: s.x87[1] >> 11) & 7
        var empty: UInt8 = 0
        for n in 0..<8 where s.x87[2] >> UInt32(2 * n) & 3 == 3 { empty |= 1 << UInt8(n) }
        v.fpu.empty = empty
        v.fpu.instructionPointer = UInt64(s.x87[3])
        v.fpu.instructionSelector = UInt16(truncatingIfNeeded: s.x87[4])
        v.fpu.opcode = UInt16(truncatingIfNeeded: s.x87[4] >> 16) & 0x7FF
        v.fpu.dataPointer = UInt64(s.x87[5])
        v.fpu.dataSelector = UInt16(truncatingIfNeeded: s.x87[6])
        for i in 0..<8 {
            let (significand, signExponent) = s.st(i)
            let n = (Int(v.fpu.top) + i) & 7
            v.fpu.significand[n] = significand
            v.fpu.signExponent[n] = signExponent
        }
        processor.state = v
        c.setArithmeticFlags(s.eflags)
        c.setFPUControl(UInt16(truncatingIfNeeded: s.x87[0]))
    }

    /// The test is over: the vCPU is in a handler.
    var isOver: Bool { c.cpl == 0 }

    /// What the test sees, at an instruction boundary or, when it is over, as the gate pushed it.
    func capture() -> MachineState {
        var s = MachineState()
        for n in 0..<8 { s.gpr[n] = c.gpr(n, UInt32.self) }
        s.eip = UInt32(truncatingIfNeeded: c.rip)
        s.eflags = c.eflags
        for n in 0..<4 { s.segments[n] = c.segment(n).selector }
        captureX87(&s)
        if isOver {
            let vector = Int((c.rip - Place.system - Place.handlers) >> 4)
            s.vector = vector
            var at = c.rsp - Place.system
            if [8, 10, 11, 12, 13, 14, 17].contains(vector) {
                s.errorCode = memory.load(at, as: UInt32.self)
                at += 4
            }
            if vector == 14 { s.cr2 = UInt32(truncatingIfNeeded: c.v.pointee.cr2) }
            s.eip = memory.load(at, as: UInt32.self)
            s.segments[1] = memory.load(at + 4, as: UInt16.self)
            s.eflags = memory.load(at + 8, as: UInt32.self)
            s.gpr[4] = memory.load(at + 12, as: UInt32.self)
            s.segments[2] = memory.load(at + 16, as: UInt16.self)
        }
        return s
    }

    private func captureX87(_ s: inout MachineState) {
        let f = c.v.pointee.fpu
        s.x87[0] = 0xFFFF_0000 | UInt32(c.fpuControl)
        s.x87[1] = 0xFFFF_0000 | UInt32(c.statusWord)
        s.x87[2] = 0xFFFF_0000 | UInt32(c.tagWord)
        s.x87[3] = UInt32(truncatingIfNeeded: f.instructionPointer)
        s.x87[4] = UInt32(f.instructionSelector) | UInt32(f.opcode) << 16
        s.x87[5] = UInt32(truncatingIfNeeded: f.dataPointer)
        s.x87[6] = 0xFFFF_0000 | UInt32(f.dataSelector)
        for i in 0..<8 { s.setST(i, c.st(i).significand, c.st(i).signExponent) }
    }

    // MARK: Running

    /// One instruction, all iterations of a REP. - Returns: false when it faulted.
    func step() -> Bool {
        let before = c.rip
        // A fault leaves one instruction of the budget for the handler's HLT.
        repeat { _ = processor.run(budget: 1) } while c.rip == before && !isOver
        return !isOver
    }

    /// To the end, in blocks.
    func run() { _ = processor.run(budget: 100_000) }

    func register(_ n: Int) -> UInt32 { c.gpr(n, UInt32.self) }
    var eflags: UInt32 { c.eflags }
    var eip: UInt32 { UInt32(truncatingIfNeeded: c.rip) }
    /// ES of the x87's status word.
    var hasPendingException: Bool { c.statusWord & 0x80 != 0 }
    func selector(_ n: Int) -> UInt16 { c.segment(n).selector }

    // MARK: Memory

    var data: UnsafeMutableRawPointer { memory.base + Int(Place.data) }
    var code: UnsafeMutableRawPointer { memory.base + Int(Place.code) }

    /// Goes through the check for decoded code.
    func writeCode(_ offset: Int, _ bytes: [UInt8]) { memory.write(Place.code + UInt64(offset), bytes) }
    func writeCode(_ offset: Int, _ bytes: UnsafeRawBufferPointer) { memory.write(Place.code + UInt64(offset), from: bytes) }
}
