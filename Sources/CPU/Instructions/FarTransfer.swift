import Primitives

/// Far JMP, CALL, RET and IRET: real mode, virtual-8086 mode, segments, gates and tasks.
///
/// Source: SDM Vol. 2, CALL, JMP, RET, IRET (pseudo code); Vol. 3A, "Privilege Level Checking When Transferring Program Control".
/// Task switches and 16-bit gates do not exist in long mode: #GP(selector).

// MARK: Instructions

/// JMP ptr16:16/32, pointer in `wide`.
func jmpFar_Ap(_ c: Core, _ o: OpPointer) throws(Fault) {
    let (offset, selector) = immediatePointer(o)
    try c.transfer(0) { () throws(Fault) in try c.jumpFar(selector, offset) }
}

/// JMP m16:16/32.
func jmpFar_Ep(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    let (offset, selector) = try c.farPointer(o, o.pointee.operandBytes)
    try c.transfer(0) { () throws(Fault) in try c.jumpFar(selector, offset) }
}

/// CALL ptr16:16/32, pointer in `wide`.
func callFar_Ap(_ c: Core, _ o: OpPointer) throws(Fault) {
    let (offset, selector) = immediatePointer(o)
    try c.transfer(1) { () throws(Fault) in try c.callFar(selector, offset, o.pointee.operandBytes) }
}

/// CALL m16:16/32.
func callFar_Ep(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    let (offset, selector) = try c.farPointer(o, o.pointee.operandBytes)
    try c.transfer(1) { () throws(Fault) in try c.callFar(selector, offset, o.pointee.operandBytes) }
}

/// RETF and RETF imm16: `imm` bytes are released behind the return address.
func retFar(_ c: Core, _ o: OpPointer) throws(Fault) {
    try c.transfer(2) { () throws(Fault) in
        try c.returnFar(o.pointee.operandBytes, release: UInt64(UInt16(truncatingIfNeeded: o.pointee.imm)))
    }
}

/// IRET/IRETD. NMIs are unblocked even if it faults.
func iret(_ c: Core, _ o: OpPointer) throws(Fault) {
    c.t.pointee.nmiBlocked = false
    let bytes = o.pointee.operandBytes
    try c.transfer(3) { () throws(Fault) in
        if !c.isProtected {
            try c.returnFromInterruptReal(bytes)
        } else if c.isV86 {
            try c.checkV86Sensitive()
            try c.returnFromInterruptReal(bytes)
        } else if c.isLong {
            try c.returnFromInterruptLong(bytes)
        } else if c.v.pointee.systemFlags & EFlags.nt != 0 {
            try c.returnToLinkedTask()
        } else {
            try c.returnFromInterruptProtected(bytes)
        }
    }
}

@inline(__always)
private func immediatePointer(_ o: OpPointer) -> (UInt64, UInt16) {
    let wide = o.pointee.wide
    return (wide & (o.pointee.operandBytes == 2 ? 0xFFFF : 0xFFFF_FFFF), UInt16(truncatingIfNeeded: wide >> 32))
}

extension Core {
    // MARK: Real and virtual-8086 mode

    /// CS and IP as real mode loads them; the offset must lie within the limit.
    private func enterReal(_ selector: UInt16, _ offset: UInt64) {
        if isV86 {
            v.pointee.seg[Seg.cs] = virtual8086Segment(selector)
        } else {
            loadRealSegment(Seg.cs, selector)
        }
        rip = offset
        modeChanged()
    }

    private func checkRealOffset(_ offset: UInt64) throws(Fault) {
        if offset > UInt64(segment(Seg.cs).limit) { throw .generalProtection }
    }

    // MARK: JMP

    func jumpFar(_ selector: UInt16, _ offset: UInt64) throws(Fault) {
        if isRealOrV86 {
            try checkRealOffset(offset)
            enterReal(selector, offset)
            return
        }
        let d = try requiredDescriptor(selector)
        if d.isCode {
            try checkDirectTransfer(selector, d)
            try enterCode(selector, d, offset, cpl)
            return
        }
        switch try gateOrTask(selector, d) {
        case .call(let gate):
            let (target, code) = try codeBehind(gate)
            guard code.isConforming ? code.dpl <= cpl : code.dpl == cpl else { throw .protection(target) }
            guard code.isPresent else { throw .notPresent(target) }
            try enterCode(target, code, gateTarget(gate), cpl)
        case .task(let gate): try enterTaskByGate(gate, by: .jump, flags: eflags)
        case .tss: try switchTask(selector, d, by: .jump, flags: eflags)
        }
    }

    // MARK: CALL

    func callFar(_ selector: UInt16, _ offset: UInt64, _ bytes: Int) throws(Fault) {
        if isRealOrV86 {
            var stack = StackBuilder(current: self)
            try stack.push(UInt32(segment(Seg.cs).selector), bytes)
            try stack.push(UInt32(truncatingIfNeeded: rip), bytes)
            try checkRealOffset(offset)
            rsp = stack.pointer
            enterReal(selector, offset)
            return
        }
        let d = try requiredDescriptor(selector)
        if d.isCode {
            try checkDirectTransfer(selector, d)
            try callSameLevel(selector, d, offset, bytes)
            return
        }
        switch try gateOrTask(selector, d) {
        case .call(let gate):
            let (target, code) = try codeBehind(gate)
            guard code.dpl <= cpl else { throw .protection(target) }
            guard code.isPresent else { throw .notPresent(target) }
            if !code.isConforming && code.dpl < cpl {
                if isLong { try callInnerLevelLong(gate, target, code) } else { try callInnerLevel(gate, target, code) }
            } else {
                try callSameLevel(target, code, gateTarget(gate), isLong ? 8 : gate.is32 ? 4 : 2)
            }
        case .task(let gate): try enterTaskByGate(gate, by: .call, flags: eflags)
        case .tss: try switchTask(selector, d, by: .call, flags: eflags)
        }
    }

    private func callSameLevel(_ selector: UInt16, _ code: Descriptor, _ offset: UInt64, _ bytes: Int) throws(Fault) {
        var stack = StackBuilder(current: self)
        try stack.push(UInt64(segment(Seg.cs).selector), bytes)
        try stack.push(rip, bytes)
        try enterCode(selector, code, offset, cpl)
        rsp = stack.pointer
    }

    /// The entry point of a call gate: 64 bits in long mode.
    private func gateTarget(_ gate: Descriptor) throws(Fault) -> UInt64 {
        isLong ? try longTarget(gate) : UInt64(gate.gateOffset)
    }

    /// The same in long mode: RSP from the TSS, a null SS, no parameters, eight bytes each.
    private func callInnerLevelLong(_ gate: Descriptor, _ selector: UInt16, _ code: Descriptor) throws(Fault) {
        let level = code.dpl
        let target = try longTarget(gate)
        var pointer = try stackFromTSS(4 + UInt64(level) * 8)
        try pushLong(&pointer, UInt64(segment(Seg.ss).selector), level)
        try pushLong(&pointer, rsp, level)
        try pushLong(&pointer, UInt64(segment(Seg.cs).selector), level)
        try pushLong(&pointer, rip, level)
        try enterCode(selector, code, target, level) {
            v.pointee.seg[Seg.ss] = nullSegment(UInt16(level))
            rsp = pointer
        }
    }

    /// A call gate to a more privileged level: stack from the TSS, parameters copied, SS:ESP and CS:EIP pushed.
    private func callInnerLevel(_ gate: Descriptor, _ selector: UInt16, _ code: Descriptor) throws(Fault) {
        let level = code.dpl
        let bytes = gate.is32 ? 4 : 2
        let (ss, pointer) = try innerStack(level)
        var stack = StackBuilder(self, ss, pointer: pointer, cpl: level)
        try stack.push(UInt32(segment(Seg.ss).selector), bytes)
        try stack.push(UInt32(truncatingIfNeeded: rsp), bytes)
        for n in (0..<gate.gateParameters).reversed() {
            let depth = UInt64(n * bytes)
            try stack.push(bytes == 4 ? peekStack(depth, UInt32.self) : UInt32(peekStack(depth, UInt16.self)), bytes)
        }
        try stack.push(UInt32(segment(Seg.cs).selector), bytes)
        try stack.push(UInt32(truncatingIfNeeded: rip), bytes)
        try enterCode(selector, code, UInt64(gate.gateOffset), level) {
            v.pointee.seg[Seg.ss] = ss
            rsp = stack.pointer
        }
    }

    // MARK: Common parts of JMP and CALL

    private enum Gate {
        case call(Descriptor), task(Descriptor), tss
    }

    /// Privilege of a direct far JMP or CALL to a code segment.
    private func checkDirectTransfer(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
        if d.isConforming {
            guard d.dpl <= cpl else { throw .protection(selector) }
        } else {
            guard rpl(selector) <= cpl, d.dpl == cpl else { throw .protection(selector) }
        }
        guard d.isPresent else { throw .notPresent(selector) }
    }

    /// Type, privilege and presence of a system descriptor that JMP or CALL named.
    private func gateOrTask(_ selector: UInt16, _ d: Descriptor) throws(Fault) -> Gate {
        guard d.isSystem else { throw .protection(selector) }
        let kind: Gate
        switch d.type {
        // Only 64-bit call gates are left.
        case let type where isLong && type != SystemType.callGate32: throw .protection(selector)
        case SystemType.callGate16, SystemType.callGate32: kind = .call(d)
        case SystemType.taskGate: kind = .task(d)
        case SystemType.tss16, SystemType.tss32:
            guard selector & 4 == 0 else { throw .protection(selector) }
            kind = .tss
        default: throw .protection(selector)
        }
        guard d.dpl >= cpl, d.dpl >= rpl(selector) else { throw .protection(selector) }
        guard d.isPresent else { throw .notPresent(selector) }
        return kind
    }

    /// The code segment that a call gate names.
    private func codeBehind(_ gate: Descriptor) throws(Fault) -> (UInt16, Descriptor) {
        let selector = gate.gateSelector
        let code = try requiredDescriptor(selector)
        guard code.isCode, !isLong || code.isLong && !code.isBig else { throw .protection(selector) }
        return (selector, code)
    }

    /// Last step of a transfer: limit, accessed bit, then CS:EIP and CPL. `commit` runs between the last fault and the change.
    func enterCode(
        _ selector: UInt16, _ d: Descriptor, _ offset: UInt64, _ level: UInt8, commit: () -> Void = {}
    ) throws(Fault) {
        let long = isLong && d.isLong
        if long {
            // L and D together are reserved.
            guard !d.isBig else { throw .protection(selector) }
            guard isCanonical(offset) else { throw .generalProtection }
        } else {
            guard offset <= UInt64(d.limit) else { throw .generalProtection }
        }
        var d = d
        try markAccessed(&d)
        commit()
        if long {
            enterLongCode(selector, d, offset, level)
        } else {
            v.pointee.seg[Seg.cs] = d.segment(selector & 0xFFFC | UInt16(level))
            v.pointee.cpl = level
            rip = offset
        }
        modeChanged()
    }

    // MARK: RET

    func returnFar(_ bytes: Int, release: UInt64) throws(Fault) {
        let size = UInt64(bytes)
        let offset = try peekOperand(0, bytes)
        let selector = UInt16(truncatingIfNeeded: try peekOperand(size, bytes))
        if isRealOrV86 {
            try checkRealOffset(offset)
            setStackPointer(rsp &+ 2 * size &+ release)
            enterReal(selector, offset)
            return
        }
        let code = try checkReturnSegment(selector)
        let level = rpl(selector)
        if level == cpl {
            let pointer = advanced(2 * size + release)
            try enterCode(selector, code, offset, level)
            rsp = pointer
        } else {
            let pointer = try peekOperand(2 * size + release, bytes)
            let ssSelector = UInt16(truncatingIfNeeded: try peekOperand(3 * size + release, bytes))
            let ss = try returnStack(ssSelector, level, code)
            try enterCode(selector, code, offset, level) {
                returnToOuterStack(ss, pointer &+ release, long: isLong && code.isLong)
                dropInnerSegments(below: level)
            }
        }
    }

    /// The return CS of RET and IRET: RPL not below CPL, privilege, presence.
    func checkReturnSegment(_ selector: UInt16) throws(Fault) -> Descriptor {
        let code = try requiredDescriptor(selector)
        let level = rpl(selector)
        guard code.isCode, level >= cpl else { throw .protection(selector) }
        guard code.isConforming ? code.dpl <= level : code.dpl == level else { throw .protection(selector) }
        guard code.isPresent else { throw .notPresent(selector) }
        return code
    }

    /// SS and (E)SP of the outer level. A 16-bit stack gets SP only and keeps the upper half of the inner ESP, as processors do.
    func returnToOuterStack(_ ss: Segment, _ pointer: UInt64, long: Bool = false) {
        v.pointee.seg[Seg.ss] = ss
        if long {
            rsp = pointer
            return
        }
        rsp = ss.isBig ? pointer & 0xFFFF_FFFF : rsp & 0xFFFF_0000 | pointer & 0xFFFF
    }

    @inline(__always)
    private func advanced(_ by: UInt64) -> UInt64 {
        let mask = stackMask
        return rsp & ~mask | (rsp &+ by) & mask
    }

    func peekOperand(_ depth: UInt64, _ bytes: Int) throws(Fault) -> UInt64 {
        switch bytes {
        case 2: UInt64(try peekStack(depth, UInt16.self))
        case 4: UInt64(try peekStack(depth, UInt32.self))
        default: try peekStack(depth, UInt64.self)
        }
    }

    // MARK: IRET

    /// IRET in real mode, and in virtual-8086 mode with IOPL 3: there IOPL and VM stay.
    func returnFromInterruptReal(_ bytes: Int) throws(Fault) {
        let size = UInt64(bytes)
        let offset = try peekOperand(0, bytes)
        let selector = UInt16(truncatingIfNeeded: try peekOperand(size, bytes))
        let flags = UInt32(truncatingIfNeeded: try peekOperand(2 * size, bytes))
        try checkRealOffset(offset)
        rsp = advanced(3 * size)
        var mask = EFlags.arithmetic | EFlags.tf | EFlags.if | EFlags.df | EFlags.nt
        if !isV86 { mask |= EFlags.iopl }
        if bytes >= 4 { mask |= EFlags.rf | EFlags.ac | EFlags.id }
        writeFlags(flags, mask: mask)
        enterReal(selector, offset)
    }

    /// Flags that IRET may change at the current level.
    func interruptReturnMask(_ bytes: Int) -> UInt32 {
        var mask = EFlags.arithmetic | EFlags.tf | EFlags.df | EFlags.nt
        if cpl <= iopl { mask |= EFlags.if }
        if cpl == 0 { mask |= EFlags.iopl }
        if bytes >= 4 {
            mask |= EFlags.rf | EFlags.ac | EFlags.id
            if cpl == 0 { mask |= EFlags.vif | EFlags.vip }
        }
        return mask
    }

    func returnFromInterruptProtected(_ bytes: Int) throws(Fault) {
        let size = UInt64(bytes)
        let offset = try peekOperand(0, bytes)
        let selector = UInt16(truncatingIfNeeded: try peekOperand(size, bytes))
        let flags = UInt32(truncatingIfNeeded: try peekOperand(2 * size, bytes))
        if bytes >= 4 && flags & EFlags.vm != 0 && cpl == 0 && !isLong {
            try returnToVirtual8086(selector, offset, flags)
            return
        }
        let mask = interruptReturnMask(bytes)
        let code = try checkReturnSegment(selector)
        let level = rpl(selector)
        if level == cpl {
            let pointer = advanced(3 * size)
            try enterCode(selector, code, offset, level) {
                rsp = pointer
                writeFlags(flags, mask: mask)
            }
        } else {
            let pointer = try peekOperand(3 * size, bytes)
            let ss = try checkedStack(UInt16(truncatingIfNeeded: try peekOperand(4 * size, bytes)), cpl: level)
            try enterCode(selector, code, offset, level) {
                returnToOuterStack(ss, pointer)
                dropInnerSegments(below: level)
                writeFlags(flags, mask: mask)
            }
        }
    }

    /// IRETD at CPL 0 with VM set in the image: EIP CS EFLAGS ESP SS ES DS FS GS.
    private func returnToVirtual8086(_ cs: UInt16, _ offset: UInt64, _ flags: UInt32) throws(Fault) {
        let pointer = try peekStack(12, UInt32.self)
        var selectors = InlineArray<5, UInt16>(repeating: 0)
        for n in 0..<5 { selectors[n] = UInt16(truncatingIfNeeded: try peekStack(16 + UInt64(n) * 4, UInt32.self)) }
        guard offset <= 0xFFFF else { throw .generalProtection }
        writeFlags(flags, mask: ~0)
        v.pointee.cpl = 3
        v.pointee.seg[Seg.cs] = virtual8086Segment(cs)
        v.pointee.seg[Seg.ss] = virtual8086Segment(selectors[0])
        v.pointee.seg[Seg.es] = virtual8086Segment(selectors[1])
        v.pointee.seg[Seg.ds] = virtual8086Segment(selectors[2])
        v.pointee.seg[Seg.fs] = virtual8086Segment(selectors[3])
        v.pointee.seg[Seg.gs] = virtual8086Segment(selectors[4])
        rsp = UInt64(pointer)
        rip = offset
        modeChanged()
    }
}
