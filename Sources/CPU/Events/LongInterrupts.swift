import Primitives

/// Interrupts, exceptions and IRET in long mode.
///
/// Source: SDM Vol. 3A, "Exception and Interrupt Handling in 64-bit Mode" (gates, stack frame, IST), "TSS in 64-bit Mode"; Vol. 2, IRET.
extension Core {
    /// Through a 16-byte gate: SS and RSP are always pushed, the frame is aligned to 16 bytes, the handler is 64-bit code.
    /// Nothing has changed when it throws.
    func deliverLong(_ vector: UInt8, _ kind: EventKind, _ errorCode: UInt16?) throws(Fault) {
        let gateCode = UInt16(vector) << 3 | 2
        let offset = UInt64(vector) * 16
        at(.limit)
        guard offset + 15 <= UInt64(v.pointee.idtrLimit) else { throw Fault(Fault.gp, errorCode: gateCode) }
        let address = v.pointee.idtrBase &+ offset
        at(.entry, address)
        let gate = Descriptor(raw: try loadSystem(address, UInt64.self), address: address)
        at(.gate, gate.raw)
        guard gate.isSystem, gate.type == SystemType.interruptGate32 || gate.type == SystemType.trapGate32 else {
            throw Fault(Fault.gp, errorCode: gateCode)
        }
        if kind.checksGateDPL && gate.dpl < cpl { throw Fault(Fault.gp, errorCode: gateCode) }
        guard gate.isPresent else { throw Fault(Fault.np, errorCode: gateCode) }
        let target = try longTarget(gate)

        let selector = gate.gateSelector
        at(.code, UInt64(selector))
        var code = try requiredDescriptor(selector)
        guard code.isCode, code.dpl <= cpl, code.isLong, !code.isBig else { throw .protection(selector) }
        guard code.isPresent else { throw .notPresent(selector) }
        let inner = !code.isConforming && code.dpl < cpl
        let level = inner ? code.dpl : cpl

        var image = eflags
        if kind == .exception { image |= EFlags.rf }
        let stackTable = UInt64(gate.raw >> 32) & 7
        var pointer = rsp
        if stackTable != 0 {
            pointer = try stackFromTSS(0x24 + (stackTable - 1) * 8)
        } else if inner {
            pointer = try stackFromTSS(4 + UInt64(level) * 8)
        }
        pointer &= ~15
        at(.push, pointer)
        try pushLong(&pointer, UInt64(segment(Seg.ss).selector), level)
        try pushLong(&pointer, rsp, level)
        try pushLong(&pointer, UInt64(image), level)
        try pushLong(&pointer, UInt64(segment(Seg.cs).selector), level)
        try pushLong(&pointer, rip, level)
        if let errorCode { try pushLong(&pointer, UInt64(errorCode), level) }
        at(.target, target)
        guard isCanonical(target) else { throw .generalProtection }
        try markAccessed(&code)

        // Nothing faults from here on.
        if inner { v.pointee.seg[Seg.ss] = nullSegment(UInt16(level)) }
        rsp = pointer
        enterLongCode(selector, code, target, level)
        v.pointee.systemFlags &= ~(EFlags.tf | EFlags.nt | EFlags.vm | EFlags.rf | (gate.type & 1 == 0 ? EFlags.if : 0))
        modeChanged()
    }

    /// Bits 0–63 of the entry point of a 16-byte gate.
    func longTarget(_ gate: Descriptor) throws(Fault) -> UInt64 {
        UInt64(gate.gateOffset) | UInt64(try loadSystem(gate.address &+ 8, UInt32.self)) << 32
    }

    /// RSPn or ISTn of the 64-bit TSS. Throws #TS beyond its limit, #SS(0) for a non-canonical address.
    func stackFromTSS(_ offset: UInt64) throws(Fault) -> UInt64 {
        let tss = segment(Seg.tr)
        at(.taskState, offset)
        guard tss.isPresent, offset + 7 <= UInt64(tss.limit) else { throw .invalidTSS(tss.selector) }
        let pointer = try loadSystem(tss.base &+ offset, UInt64.self)
        at(.push, pointer)
        guard isCanonical(pointer) else { throw .stackFault }
        return pointer
    }

    /// Eight bytes onto the stack of a level, before anything is committed.
    func pushLong(_ pointer: inout UInt64, _ value: UInt64, _ level: UInt8) throws(Fault) {
        let next = pointer &- 8
        guard isCanonical(next) else { throw .stackFault }
        if level < 3 { try storeSystem(next, value) } else { try store(next, value) }
        pointer = next
    }

    /// CS of 64-bit code has no base.
    func enterLongCode(_ selector: UInt16, _ code: Descriptor, _ target: UInt64, _ level: UInt8) {
        var cs = code.segment(selector & 0xFFFC | UInt16(level))
        cs.base = 0
        v.pointee.seg[Seg.cs] = cs
        v.pointee.cpl = level
        rip = target
    }

    /// IRET in long mode. In 64-bit code SS and RSP are popped whatever the level.
    func returnFromInterruptLong(_ bytes: Int) throws(Fault) {
        if v.pointee.systemFlags & EFlags.nt != 0 { throw .generalProtection }
        guard is64 else { return try returnFromInterruptProtected(bytes) }
        let size = UInt64(bytes)
        let offset = try peekOperand(0, bytes)
        let selector = UInt16(truncatingIfNeeded: try peekOperand(size, bytes))
        let flags = UInt32(truncatingIfNeeded: try peekOperand(2 * size, bytes))
        let pointer = try peekOperand(3 * size, bytes)
        let stack = UInt16(truncatingIfNeeded: try peekOperand(4 * size, bytes))
        let mask = interruptReturnMask(bytes)
        let code = try checkReturnSegment(selector)
        let level = rpl(selector)
        let ss = try returnStack(stack, level, code)
        let outer = level != cpl
        try enterCode(selector, code, offset, level) {
            returnToOuterStack(ss, pointer, long: code.isLong)
            if outer { dropInnerSegments(below: level) }
            writeFlags(flags, mask: mask)
        }
    }

    /// SS of a return to `level`: 64-bit code of levels 0–2 may have a null one.
    func returnStack(_ selector: UInt16, _ level: UInt8, _ code: Descriptor) throws(Fault) -> Segment {
        if isLong && isNull(selector) && code.isLong && level != 3 {
            guard rpl(selector) == level else { throw .protection(selector) }
            return nullSegment(selector)
        }
        return try checkedStack(selector, cpl: level)
    }
}
