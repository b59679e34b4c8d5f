import Primitives

/// A descriptor as it lies in the GDT, the LDT or the IDT.
///
/// Source: SDM Vol. 3A, "Segment Descriptors", "System Descriptor Types", "Call Gates", "IDT Descriptors".
struct Descriptor: Equatable {
    /// The eight bytes, little-endian.
    var raw: UInt64
    /// Linear address of the first byte: where the accessed and busy bits are written back.
    var address: UInt64

    /// Bytes 5 and 6 without the limit nibble: the layout of `Segment.attributes`.
    var attributes: UInt16 { UInt16(truncatingIfNeeded: raw >> 40) & 0xF0FF }
    /// Four type bits, see `SystemType` when `isSystem`.
    var type: UInt8 { UInt8(truncatingIfNeeded: raw >> 40) & 0xF }
    var isSystem: Bool { raw & (1 << 44) == 0 }
    var dpl: UInt8 { UInt8(truncatingIfNeeded: raw >> 45) & 3 }
    var isPresent: Bool { raw & (1 << 47) != 0 }
    var isCode: Bool { !isSystem && type & 8 != 0 }
    var isData: Bool { !isSystem && type & 8 == 0 }
    /// A code segment that keeps the caller's privilege level.
    var isConforming: Bool { type & 0xC == 0xC }
    var isWritableData: Bool { isData && type & 2 != 0 }
    /// Data, or code with the R bit: may be loaded into DS, ES, FS, GS.
    /// L and D of a code segment.
    var isLong: Bool { raw & (1 << 53) != 0 }
    var isBig: Bool { raw & (1 << 54) != 0 }
    var isReadable: Bool { isData || (isCode && type & 2 != 0) }

    var base: UInt64 { ((raw >> 16) & 0xFF_FFFF) | ((raw >> 32) & 0xFF00_0000) }
    /// Last valid offset in bytes, granularity applied.
    var limit: UInt32 {
        let field = UInt32(truncatingIfNeeded: raw) & 0xFFFF | UInt32(truncatingIfNeeded: raw >> 32) & 0xF_0000
        return raw & (1 << 55) != 0 ? field << 12 | 0xFFF : field
    }

    // Gates
    var gateSelector: UInt16 { UInt16(truncatingIfNeeded: raw >> 16) }
    /// True for the 32-bit gates and the 32-bit TSS.
    var is32: Bool { type & 8 != 0 }
    /// Entry point, 16 bits for the 286 gates.
    var gateOffset: UInt32 {
        let low = UInt32(truncatingIfNeeded: raw) & 0xFFFF
        return is32 ? low | UInt32(truncatingIfNeeded: raw >> 32) & 0xFFFF_0000 : low
    }
    /// Parameters that a call gate copies, in words or doublewords.
    var gateParameters: Int { Int(truncatingIfNeeded: raw >> 32) & 31 }

    func segment(_ selector: UInt16) -> Segment {
        var s = Segment()
        s.base = base
        s.limit = limit
        s.selector = selector
        s.attributes = attributes
        return s
    }
}

/// Type field of system descriptors. SDM Vol. 3A, table 3-2.
enum SystemType {
    static let tss16: UInt8 = 1, ldt: UInt8 = 2, busyTSS16: UInt8 = 3, callGate16: UInt8 = 4, taskGate: UInt8 = 5
    static let interruptGate16: UInt8 = 6, trapGate16: UInt8 = 7, tss32: UInt8 = 9, busyTSS32: UInt8 = 11, callGate32: UInt8 = 12
    static let interruptGate32: UInt8 = 14, trapGate32: UInt8 = 15

    static func isAvailableTSS(_ d: Descriptor) -> Bool { d.isSystem && (d.type == tss16 || d.type == tss32) }
    static func isBusyTSS(_ d: Descriptor) -> Bool { d.isSystem && (d.type == busyTSS16 || d.type == busyTSS32) }
}

@inline(__always) func isNull(_ selector: UInt16) -> Bool { selector & 0xFFFC == 0 }
@inline(__always) func rpl(_ selector: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: selector) & 3 }

extension Fault {
    /// A fault about a selector with a vector chosen by the caller: #TS during a task switch is #GP elsewhere.
    @inline(__always)
    static func about(_ selector: UInt16, _ vector: UInt8) -> Fault { Fault(vector, errorCode: selector & 0xFFFC) }
    static let gp: UInt8 = 13, ts: UInt8 = 10, np: UInt8 = 11, ss: UInt8 = 12
}

extension Core {
    // MARK: Reading descriptors

    /// The descriptor that a selector names; nil beyond the table's limit or without an LDT. The null selector is the caller's.
    func descriptor(_ selector: UInt16) throws(Fault) -> Descriptor? {
        let offset = UInt64(selector & 0xFFF8)
        let base: UInt64
        if selector & 4 == 0 {
            guard offset + 7 <= UInt64(v.pointee.gdtrLimit) else { return nil }
            base = v.pointee.gdtrBase
        } else {
            let ldt = segment(Seg.ldtr)
            guard ldt.isPresent, offset + 7 <= UInt64(ldt.limit) else { return nil }
            base = ldt.base
        }
        let address = base &+ offset
        return Descriptor(raw: try loadSystem(address, UInt64.self), address: address)
    }

    /// Null and out-of-table selectors become a fault with the given vector: error code 0 for null, else the selector.
    func requiredDescriptor(_ selector: UInt16, _ vector: UInt8 = Fault.gp) throws(Fault) -> Descriptor {
        if isNull(selector) { throw .about(0, vector) }
        guard let d = try descriptor(selector) else { throw .about(selector, vector) }
        return d
    }

    /// Sets the accessed bit in memory and in `d`.
    func markAccessed(_ d: inout Descriptor) throws(Fault) {
        guard d.raw & (1 << 40) == 0 else { return }
        d.raw |= 1 << 40
        try storeSystem(d.address &+ 5, UInt8(truncatingIfNeeded: d.raw >> 40))
    }

    // MARK: Checked loads that commit nothing

    /// Checks a selector for DS, ES, FS or GS and gives the segment; sets the accessed bit.
    func checkedData(_ selector: UInt16, cpl: UInt8, _ vector: UInt8 = Fault.gp) throws(Fault) -> Segment {
        if isNull(selector) { return nullSegment(selector) }
        var d = try requiredDescriptor(selector, vector)
        guard d.isReadable else { throw .about(selector, vector) }
        if !(d.isCode && d.isConforming) && (rpl(selector) > d.dpl || cpl > d.dpl) { throw .about(selector, vector) }
        guard d.isPresent else { throw .notPresent(selector) }
        try markAccessed(&d)
        return d.segment(selector)
    }

    /// Checks a selector for SS at privilege `cpl`. `extra` is the fault vector for everything but absence (#SS).
    func checkedStack(_ selector: UInt16, cpl: UInt8, _ vector: UInt8 = Fault.gp) throws(Fault) -> Segment {
        var d = try requiredDescriptor(selector, vector)
        guard rpl(selector) == cpl, d.isWritableData, d.dpl == cpl else { throw .about(selector, vector) }
        guard d.isPresent else { throw .stack(selector) }
        try markAccessed(&d)
        return d.segment(selector)
    }

    /// A data segment register that holds a null selector: unusable, the rest of the hidden part as it was defined at reset.
    func nullSegment(_ selector: UInt16) -> Segment {
        var s = Segment()
        s.selector = selector
        s.attributes = 0x0013
        return s
    }

    // MARK: Real-address and virtual-8086 mode

    /// Loads a segment register as real mode does: only the base changes. The limit and the attributes stay, which is what
    /// "unreal mode" lives on; a register that was made unusable in protected mode becomes usable.
    func loadRealSegment(_ number: Int, _ selector: UInt16) {
        var s = segment(number)
        s.selector = selector
        s.base = UInt64(selector) << 4
        if number == Seg.cs || !s.isPresent { s.attributes = s.attributes & 0xFF00 | 0x93 }
        v.pointee.seg[number] = s
    }

    /// A segment in virtual-8086 mode: 64 KiB, writable, privilege level 3.
    func virtual8086Segment(_ selector: UInt16) -> Segment {
        var s = Segment()
        s.selector = selector
        s.base = UInt64(selector) << 4
        s.limit = 0xFFFF
        s.attributes = 0x00F3
        return s
    }

    /// Loads DS, ES, FS, GS or SS. Nothing changes when it throws. The caller has excluded CS.
    func loadSegment(_ number: Int, _ selector: UInt16) throws(Fault) {
        if isV86 {
            v.pointee.seg[number] = virtual8086Segment(selector)
        } else if !isProtected {
            loadRealSegment(number, selector)
        } else if number == Seg.ss && is64 && cpl < 3 && isNull(selector) && rpl(selector) == cpl {
            v.pointee.seg[number] = nullSegment(selector)
        } else if number == Seg.ss {
            v.pointee.seg[number] = try checkedStack(selector, cpl: cpl)
        } else {
            v.pointee.seg[number] = try checkedData(selector, cpl: cpl)
        }
        modeChanged()
    }

    /// After a return to an outer level: data registers that the new level may not use become null.
    /// SDM Vol. 2, RET, "RETURN-TO-OUTER-PRIVILEGE-LEVEL".
    func dropInnerSegments(below level: UInt8) {
        for number in Seg.es...Seg.gs where number != Seg.cs && number != Seg.ss {
            let s = segment(number)
            let conforming = s.attributes & 0x1C == 0x1C
            // A null selector stays: FS and GS have their base from an MSR then.
            if s.isPresent && !conforming && s.dpl < level { v.pointee.seg[number] = nullSegment(0) }
        }
    }
}

/// A stack that is being written before SS and (E)SP are committed.
///
/// Every push checks the limit and the page; a fault leaves the registers alone.
struct StackBuilder {
    let core: Core
    let segment: Segment
    let mask: UInt64
    /// What a push beyond the limit throws: #SS(0), or #SS(selector) on a stack of another level.
    let overflow: Fault
    /// Written with supervisor rights (the stack of CPL 0–2).
    let supervisor: Bool
    /// The whole register; pushes change the part under `mask`.
    var pointer: UInt64

    /// The stack in use.
    init(current core: Core) {
        self.core = core
        segment = core.segment(Seg.ss)
        mask = core.stackMask
        overflow = .stackFault
        supervisor = core.cpl < 3
        pointer = core.rsp
    }

    /// The stack of level `cpl` that a gate switches to.
    init(_ core: Core, _ segment: Segment, pointer: UInt64, cpl: UInt8) {
        self.core = core
        self.segment = segment
        mask = segment.isBig ? 0xFFFF_FFFF : 0xFFFF
        overflow = .stack(segment.selector)
        supervisor = cpl < 3
        self.pointer = pointer
    }

    /// Pushes 2, 4 or 8 bytes.
    mutating func push(_ value: UInt64, _ bytes: Int) throws(Fault) {
        if bytes == 4 || bytes == 2 { return try push(UInt32(truncatingIfNeeded: value), bytes) }
        let offset = (pointer &- 8) & mask
        guard core.isCanonical(offset) else { throw overflow }
        if supervisor { try core.storeSystem(offset, value) } else { try core.store(offset, value) }
        pointer = offset
    }

    /// Pushes 2 or 4 bytes.
    mutating func push(_ value: UInt32, _ bytes: Int) throws(Fault) {
        let offset = (pointer &- UInt64(bytes)) & mask
        if core.is64 {
            guard core.isCanonical(offset) else { throw overflow }
            if bytes == 2 { try core.store(offset, UInt16(truncatingIfNeeded: value)) } else { try core.store(offset, value) }
            pointer = offset
            return
        }
        guard segment.isPresent, segment.contains(offset, bytes) else { throw overflow }
        let linear = (segment.base &+ offset) & core.t.pointee.addressMask
        switch (bytes, supervisor) {
        case (2, true): try core.storeSystem(linear, UInt16(truncatingIfNeeded: value))
        case (2, false): try core.store(linear, UInt16(truncatingIfNeeded: value))
        case (_, true): try core.storeSystem(linear, value)
        case (_, false): try core.store(linear, value)
        }
        pointer = pointer & ~mask | offset
    }
}

extension Segment {
    /// Limit check for `bytes` at `offset`, both directions of growth.
    func contains(_ offset: UInt64, _ bytes: Int) -> Bool {
        let last = offset &+ UInt64(bytes &- 1)
        if isExpandDown { return offset > UInt64(limit) && last <= (isBig ? 0xFFFF_FFFF : 0xFFFF) }
        return last <= UInt64(limit)
    }
}
