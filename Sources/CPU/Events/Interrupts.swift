import Primitives

/// Delivery of interrupts and exceptions through the IVT or the IDT.
///
/// Source: SDM Vol. 3A, chapter "Interrupt and Exception Handling"; Vol. 3B, "8086 Emulation"; Vol. 2, INT n, pseudo code.
/// Not implemented: virtual-8086 mode extensions (CR4.VME). Long mode is in `LongInterrupts.swift`.
extension Core {
    /// Transfers to the handler of `vector`. `rip` is the return address. Nothing has changed when it throws, except after the
    /// commit point of a task switch: then `rip` and `instructionRIP` are in the new task.
    ///
    /// Selector faults carry EXT unless the program asked for the event.
    func deliver(vector: UInt8, kind: EventKind, errorCode: UInt16?) throws(Fault) {
        if !t.pointee.told.isEmpty { tellDelivery(vector, kind, errorCode) }
        if t.pointee.debugs.contains(.events) { t.pointee.processor.noteEvent(vector, kind, errorCode) }
        do throws(Fault) {
            if isLong {
                try deliverLong(vector, kind, errorCode)
            } else if isProtected {
                try deliverProtected(vector, kind, errorCode)
            } else {
                try deliverReal(vector)
            }
        } catch {
            throw kind.setsEXT ? error.external : error
        }
        t.pointee.taskSwitched = false
        v.pointee.halted = false
        v.pointee.shadow = Shadow.none
        if kind.checksGateDPL || kind == .icebp { t.pointee.dropsTrap = true }
        if kind == .nmi { t.pointee.nmiBlocked = true }
        if vector == 1 && (kind == .exception || kind == .trap) && v.pointee.dr[7] & DR7.gd != 0 {
            v.pointee.dr[7] &= ~DR7.gd
            modeChanged()
        }
    }

    // MARK: Real-address mode

    /// Four bytes of the IVT at IDTR: IP, CS. Error codes are not pushed.
    private func deliverReal(_ vector: UInt8) throws(Fault) {
        let offset = UInt64(vector) * 4
        at(.limit)
        guard offset + 3 <= UInt64(v.pointee.idtrLimit) else { throw .generalProtection }
        at(.entry, v.pointee.idtrBase &+ offset)
        let entry = try loadSystem(v.pointee.idtrBase &+ offset, UInt32.self)
        at(.push, rsp & stackMask)
        var stack = StackBuilder(current: self)
        try stack.push(eflags, 2)
        try stack.push(UInt32(segment(Seg.cs).selector), 2)
        try stack.push(UInt32(truncatingIfNeeded: rip), 2)
        let ip = UInt64(entry & 0xFFFF)
        at(.target, ip)
        guard ip <= UInt64(segment(Seg.cs).limit) else { throw .generalProtection }
        rsp = stack.pointer
        loadRealSegment(Seg.cs, UInt16(entry >> 16))
        rip = ip
        v.pointee.systemFlags &= ~(EFlags.if | EFlags.tf | EFlags.ac | EFlags.rf)
        modeChanged()
    }

    // MARK: Protected and virtual-8086 mode

    private func deliverProtected(_ vector: UInt8, _ kind: EventKind, _ errorCode: UInt16?) throws(Fault) {
        // Error code of faults about the gate: index, IDT bit.
        let gateCode = UInt16(vector) << 3 | 2
        let offset = UInt64(vector) * 8
        at(.limit)
        guard offset + 7 <= UInt64(v.pointee.idtrLimit) else { throw Fault(Fault.gp, errorCode: gateCode) }
        let address = v.pointee.idtrBase &+ offset
        at(.entry, address)
        let gate = Descriptor(raw: try loadSystem(address, UInt64.self), address: address)
        // Task, interrupt and trap gates.
        at(.gate, gate.raw)
        guard gate.isSystem, 0b1100_0000_1110_0000 & (1 << UInt16(gate.type)) != 0 else { throw Fault(Fault.gp, errorCode: gateCode) }
        if kind.checksGateDPL && gate.dpl < cpl { throw Fault(Fault.gp, errorCode: gateCode) }
        guard gate.isPresent else { throw Fault(Fault.np, errorCode: gateCode) }

        var image = eflags
        if kind == .exception { image |= EFlags.rf }
        if gate.type == SystemType.taskGate {
            at(.task, UInt64(gate.gateSelector))
            try enterTaskByGate(gate, by: .interrupt, flags: image, errorCode: errorCode)
            return
        }

        let selector = gate.gateSelector
        at(.code, UInt64(selector))
        var code = try requiredDescriptor(selector)
        guard code.isCode, code.dpl <= cpl else { throw .protection(selector) }
        guard code.isPresent else { throw .notPresent(selector) }
        let target = gate.gateOffset
        let bytes = gate.is32 ? 4 : 2
        let clear = EFlags.tf | EFlags.nt | EFlags.vm | EFlags.rf | (gate.type & 1 == 0 ? EFlags.if : 0)
        let inner = !code.isConforming && code.dpl < cpl
        // From virtual-8086 mode only level 0 may be entered.
        at(.level, UInt64(code.dpl))
        if isV86 && !(inner && code.dpl == 0) { throw .protection(selector) }

        let newCPL = inner ? code.dpl : cpl
        var stack: StackBuilder
        var newSS: Segment?
        if inner {
            let (ss, pointer) = try innerStack(newCPL)
            newSS = ss
            stack = StackBuilder(self, ss, pointer: pointer, cpl: newCPL)
            at(.push, pointer)
            if isV86 {
                try stack.push(UInt32(segment(Seg.gs).selector), bytes)
                try stack.push(UInt32(segment(Seg.fs).selector), bytes)
                try stack.push(UInt32(segment(Seg.ds).selector), bytes)
                try stack.push(UInt32(segment(Seg.es).selector), bytes)
            }
            try stack.push(UInt32(segment(Seg.ss).selector), bytes)
            try stack.push(UInt32(truncatingIfNeeded: rsp), bytes)
        } else {
            stack = StackBuilder(current: self)
            at(.push, rsp & stackMask)
        }
        try stack.push(image, bytes)
        try stack.push(UInt32(segment(Seg.cs).selector), bytes)
        try stack.push(UInt32(truncatingIfNeeded: rip), bytes)
        if let errorCode { try stack.push(UInt32(errorCode), bytes) }
        at(.target, UInt64(target))
        guard target <= code.limit else { throw .generalProtection }
        try markAccessed(&code)

        // Nothing faults from here on.
        if isV86 {
            v.pointee.seg[Seg.es] = nullSegment(0)
            for number in Seg.ds...Seg.gs { v.pointee.seg[number] = nullSegment(0) }
        }
        if let newSS { v.pointee.seg[Seg.ss] = newSS }
        rsp = stack.pointer
        v.pointee.cpl = newCPL
        v.pointee.seg[Seg.cs] = code.segment(selector & 0xFFFC | UInt16(newCPL))
        rip = UInt64(target)
        v.pointee.systemFlags &= ~clear
        modeChanged()
    }

    /// SS and (E)SP of an inner level from the TSS, checked. Throws #TS, #SS.
    func innerStack(_ level: UInt8) throws(Fault) -> (Segment, UInt64) {
        let tss = segment(Seg.tr)
        let selector: UInt16
        let pointer: UInt64
        at(.taskState, UInt64(level))
        if tss.type & 8 != 0 {
            let at = UInt64(level) * 8 + 4
            guard at + 5 <= UInt64(tss.limit) else { throw .invalidTSS(tss.selector) }
            pointer = UInt64(try loadSystem(tss.base &+ at, UInt32.self))
            selector = try loadSystem(tss.base &+ at &+ 4, UInt16.self)
        } else {
            let at = UInt64(level) * 4 + 2
            guard at + 3 <= UInt64(tss.limit) else { throw .invalidTSS(tss.selector) }
            pointer = UInt64(try loadSystem(tss.base &+ at, UInt16.self))
            selector = try loadSystem(tss.base &+ at &+ 2, UInt16.self)
        }
        at(.stack, UInt64(selector))
        return (try checkedStack(selector, cpl: level, Fault.ts), pointer)
    }
}

// MARK: Instructions

/// INT n.
func int_n(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.isV86 && c.iopl < 3 { throw .generalProtection }
    try c.deliver(vector: UInt8(truncatingIfNeeded: o.pointee.imm), kind: .software, errorCode: nil)
}

/// INT3 (CC).
func int3(_ c: Core, _ o: OpPointer) throws(Fault) { try c.deliver(vector: 3, kind: .int3, errorCode: nil) }

/// INTO.
func into(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.eflags & EFlags.of != 0 { try c.deliver(vector: 4, kind: .int3, errorCode: nil) }
}

/// INT1 (F1, ICEBP).
func int1(_ c: Core, _ o: OpPointer) throws(Fault) { try c.deliver(vector: 1, kind: .icebp, errorCode: nil) }

/// BOUND r, m: #BR outside of the signed bounds.
func bound(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    let offset = c.effectiveOffset(o), seg = Int(o.pointee.seg), mask = o.pointee.addressMask
    if o.pointee.operandBytes == 2 {
        let low = Int16(bitPattern: try c.load(seg, offset, UInt16.self))
        let high = Int16(bitPattern: try c.load(seg, (offset &+ 2) & mask, UInt16.self))
        let index = Int16(bitPattern: c.reg(o.pointee.a, UInt16.self))
        if index < low || index > high { throw .boundRange }
    } else {
        let low = Int32(bitPattern: try c.load(seg, offset, UInt32.self))
        let high = Int32(bitPattern: try c.load(seg, (offset &+ 4) & mask, UInt32.self))
        let index = Int32(bitPattern: c.reg(o.pointee.a, UInt32.self))
        if index < low || index > high { throw .boundRange }
    }
}

/// UD2 and every other undefined opcode.
func ud2(_ c: Core, _ o: OpPointer) throws(Fault) { throw .invalidOpcode }

/// RSM outside of system-management mode, which this processor never enters.
func rsm(_ c: Core, _ o: OpPointer) throws(Fault) { throw .invalidOpcode }
