import Primitives

/// Why a task switch happens: decides busy bits, NT and the back link.
enum TaskSwitch {
    case jump, call, interrupt, iret

    /// CALL and events nest: the old task stays busy and is linked.
    var nests: Bool { self == .call || self == .interrupt }
}

/// Hardware task management.
///
/// Source: SDM Vol. 3A, chapter "Task Management", sections "Task Switching" (steps 1–15, table 7-1) and "Task Linking".
/// Upper register halves are 0 after a switch to a 16-bit TSS, FS and GS null (the manual leaves both undefined).
extension Core {
    /// Offsets in a TSS of either size.
    private struct Layout {
        let width: Int  // bytes of a register
        let ip: UInt64, flags: UInt64, registers: UInt64, segments: UInt64, ldt: UInt64
        let segmentCount: Int
        /// Smallest limit, and the first and last byte of the dynamic part.
        let limit: UInt32

        static let tss32 = Layout(width: 4, ip: 0x20, flags: 0x24, registers: 0x28, segments: 0x48, ldt: 0x60, segmentCount: 6, limit: 0x67)
        static let tss16 = Layout(width: 2, ip: 0x0E, flags: 0x10, registers: 0x12, segments: 0x22, ldt: 0x2A, segmentCount: 4, limit: 0x2B)
    }

    // MARK: Ways in

    /// JMP or CALL through a task gate, or an event through one in the IDT. The gate itself has been checked.
    func enterTaskByGate(_ gate: Descriptor, by reason: TaskSwitch, flags: UInt32, errorCode: UInt16? = nil) throws(Fault) {
        let selector = gate.gateSelector
        // A TSS descriptor lives in the GDT only.
        if isNull(selector) { throw .generalProtection }
        guard selector & 4 == 0, let d = try descriptor(selector), SystemType.isAvailableTSS(d) else { throw .protection(selector) }
        guard d.isPresent else { throw .notPresent(selector) }
        try switchTask(selector, d, by: reason, flags: flags, errorCode: errorCode)
    }

    /// IRET with NT: back to the task in the link field.
    func returnToLinkedTask() throws(Fault) {
        let selector = try loadSystem(segment(Seg.tr).base, UInt16.self)
        if isNull(selector) { throw .invalidTSS(0) }
        guard selector & 4 == 0, let d = try descriptor(selector), SystemType.isBusyTSS(d) else { throw .invalidTSS(selector) }
        guard d.isPresent else { throw .notPresent(selector) }
        try switchTask(selector, d, by: .iret, flags: eflags & ~EFlags.nt)
    }

    // MARK: The switch

    /// Saves the current task and loads another. `flags` is what the old TSS gets as EFLAGS; `rip` what it gets as EIP.
    ///
    /// Faults before the commit point belong to the old task; later ones to the new task, whose EIP is then in `instructionRIP`.
    func switchTask(_ selector: UInt16, _ d: Descriptor, by reason: TaskSwitch, flags: UInt32, errorCode: UInt16? = nil) throws(Fault) {
        if tells(.control) { tell(.taskSwitch, number: selector) }
        if t.pointee.debugs.contains(.tasks) { t.pointee.processor.note(.task(selector: selector)) }
        let new = d.is32 ? Layout.tss32 : Layout.tss16
        at(.taskLimit, UInt64(d.limit))
        guard d.limit >= new.limit else { throw .invalidTSS(selector) }
        let oldTR = segment(Seg.tr)
        at(.oldTaskLimit, UInt64(oldTR.limit))
        let old = oldTR.type & 8 != 0 ? Layout.tss32 : Layout.tss16
        guard oldTR.limit >= old.limit else { throw .invalidTSS(oldTR.selector) }
        let oldDescriptor = v.pointee.gdtrBase &+ UInt64(oldTR.selector & 0xFFF8)

        // Everything that the switch touches is proved before anything changes.
        at(.taskMemory)
        try probeWriteSystem(oldTR.base &+ old.ip, 1)
        try probeWriteSystem(oldTR.base &+ UInt64(old.limit), 1)
        _ = try loadSystem(d.base, UInt8.self)
        _ = try loadSystem(d.base &+ UInt64(new.limit), UInt8.self)
        if reason.nests { try probeWriteSystem(d.base, 2) }
        if reason != .iret { try probeWriteSystem(d.address &+ 5, 1) }
        if !reason.nests { try probeWriteSystem(oldDescriptor &+ 5, 1) }

        if !reason.nests {
            let type = try loadSystem(oldDescriptor &+ 5, UInt8.self)
            try storeSystem(oldDescriptor &+ 5, type & ~2)
        }
        try saveTask(oldTR, old, flags: flags)

        // New state, read after the old one was saved: a task may return to itself.
        var image = TaskImage()
        try readTask(d.base, new, into: &image)
        if reason.nests { try storeSystem(d.base, oldTR.selector) }
        if reason != .iret { try storeSystem(d.address &+ 5, UInt8(truncatingIfNeeded: d.raw >> 40) | 2) }

        if let cr3 = image.cr3, cr0 & CR0.pg != 0, cr4 & CR4.pae != 0, !isLong { try loadPointers(cr3: UInt64(cr3)) }
        commitTask(selector, d, image, nested: reason.nests)
        at(.taskSegments, UInt64(selector))
        try loadTaskSegments(image)
        at(.push, rsp & stackMask)
        if let errorCode {
            var stack = StackBuilder(current: self)
            try stack.push(UInt32(errorCode), new.width)
            rsp = stack.pointer
        }
        guard rip <= UInt64(segment(Seg.cs).limit) else { throw .generalProtection }
        if image.trap {
            reportDebug(DR6.bt)
            try deliver(vector: 1, kind: .trap, errorCode: nil)
        }
        t.pointee.taskSwitched = false
    }

    private func saveTask(_ tr: Segment, _ layout: Layout, flags: UInt32) throws(Fault) {
        func put(_ offset: UInt64, _ value: UInt32) throws(Fault) {
            if layout.width == 4 {
                try storeSystem(tr.base &+ offset, value)
            } else {
                try storeSystem(tr.base &+ offset, UInt16(truncatingIfNeeded: value))
            }
        }
        try put(layout.ip, UInt32(truncatingIfNeeded: rip))
        try put(layout.flags, flags)
        for n in 0..<8 { try put(layout.registers &+ UInt64(n * layout.width), gpr(n, UInt32.self)) }
        for n in 0..<layout.segmentCount {
            try storeSystem(tr.base &+ layout.segments &+ UInt64(n * layout.width), segment(n).selector)
        }
    }

    /// What a TSS holds, widened to 32 bits.
    private struct TaskImage {
        var cr3: UInt32?
        var ip: UInt32 = 0
        var flags: UInt32 = 0
        var registers = InlineArray<8, UInt32>(repeating: 0)
        /// ES CS SS DS FS GS.
        var segments = InlineArray<6, UInt16>(repeating: 0)
        var ldt: UInt16 = 0
        /// The T bit.
        var trap = false
    }

    private func readTask(_ base: UInt64, _ layout: Layout, into image: inout TaskImage) throws(Fault) {
        func get(_ offset: UInt64) throws(Fault) -> UInt32 {
            layout.width == 4 ? try loadSystem(base &+ offset, UInt32.self) : UInt32(try loadSystem(base &+ offset, UInt16.self))
        }
        image.ip = try get(layout.ip)
        image.flags = try get(layout.flags)
        for n in 0..<8 { image.registers[n] = try get(layout.registers &+ UInt64(n * layout.width)) }
        for n in 0..<layout.segmentCount {
            image.segments[n] = try loadSystem(base &+ layout.segments &+ UInt64(n * layout.width), UInt16.self)
        }
        image.ldt = try loadSystem(base &+ layout.ldt, UInt16.self)
        if layout.width == 4 {
            image.cr3 = try loadSystem(base &+ 0x1C, UInt32.self)
            image.trap = try loadSystem(base &+ 0x64, UInt16.self) & 1 != 0
        }
    }

    /// The commit point: registers, TR, CR3, EFLAGS. Segment registers hold only their selectors afterwards.
    private func commitTask(_ selector: UInt16, _ d: Descriptor, _ image: TaskImage, nested: Bool) {
        var tr = d.segment(selector)
        tr.attributes |= 2
        v.pointee.seg[Seg.tr] = tr
        v.pointee.cr0 |= CR0.ts
        v.pointee.dr[7] &= ~DR7.local
        if let cr3 = image.cr3, cr0 & CR0.pg != 0 {
            v.pointee.cr3 = UInt64(cr3)
            flushTLB(keepGlobal: true)
        }
        rip = UInt64(image.ip)
        t.pointee.instructionRIP = rip
        t.pointee.taskSwitched = true
        writeFlags(image.flags | (nested ? EFlags.nt : 0), mask: ~0)
        for n in 0..<8 { setGPR(n, image.registers[n]) }
        for n in 0..<6 {
            var s = nullSegment(image.segments[n])
            s.limit = 0
            v.pointee.seg[n] = s
        }
        v.pointee.cpl = isV86 ? 3 : rpl(image.segments[Seg.cs])
        var ldt = nullSegment(image.ldt)
        ldt.attributes = 0
        v.pointee.seg[Seg.ldtr] = ldt
        modeChanged()
    }

    /// LDTR and the segment registers, in the context of the new task. Throws #TS, #NP, #SS with the selector.
    private func loadTaskSegments(_ image: TaskImage) throws(Fault) {
        if !isNull(image.ldt) {
            guard image.ldt & 4 == 0, let d = try descriptor(image.ldt), d.isSystem, d.type == SystemType.ldt, d.isPresent else {
                throw .invalidTSS(image.ldt)
            }
            v.pointee.seg[Seg.ldtr] = d.segment(image.ldt)
        }
        if isV86 {
            for n in 0..<6 { v.pointee.seg[n] = virtual8086Segment(image.segments[n]) }
            modeChanged()
            return
        }
        let cs = image.segments[Seg.cs]
        var code = try requiredDescriptor(cs, Fault.ts)
        guard code.isCode, code.isConforming ? code.dpl <= rpl(cs) : code.dpl == rpl(cs) else { throw .invalidTSS(cs) }
        guard code.isPresent else { throw .notPresent(cs) }
        try markAccessed(&code)
        v.pointee.seg[Seg.cs] = code.segment(cs)
        // Mode bits follow CS and SS at once: a fault in the rest is delivered on them.
        defer { modeChanged() }
        v.pointee.seg[Seg.ss] = try checkedStack(image.segments[Seg.ss], cpl: cpl, Fault.ts)
        for n in [Seg.ds, Seg.es, Seg.fs, Seg.gs] { v.pointee.seg[n] = try checkedData(image.segments[n], cpl: cpl, Fault.ts) }
    }
}
