import Primitives

// What a debugger may change of a processor between two runs.
extension Processor {
    /// Base of a segment as the processor would load it now; nil: there is no such descriptor. No side effects.
    public func peekSegment(_ selector: UInt16) -> Segment? {
        if executionMode.isRealLike {
            var segment = Segment()
            segment.selector = selector
            segment.base = UInt64(selector) << 4
            return segment
        }
        for number in 0..<6 where core.segment(number).selector == selector { return core.segment(number) }
        let isLocal = selector & 4 != 0
        let table = isLocal ? core.segment(Seg.ldtr).base : core.v.pointee.gdtrBase
        let limit = isLocal ? core.segment(Seg.ldtr).limit : core.v.pointee.gdtrLimit
        let offset = UInt64(selector & 0xFFF8)
        guard selector & 0xFFFC != 0, offset + 7 <= UInt64(limit) else { return nil }
        let raw = peek(table &+ offset, count: 8)
        guard raw.isWhole else { return nil }
        let low = raw.bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        var segment = Segment()
        segment.selector = selector
        segment.base = (low >> 16 & 0xFF_FFFF) | (low >> 32 & 0xFF00_0000)
        segment.attributes = UInt16(truncatingIfNeeded: low >> 40) & 0xF0FF
        let short = UInt32(truncatingIfNeeded: low & 0xFFFF | (low >> 32 & 0xF_0000))
        segment.limit = low >> 55 & 1 != 0 ? short << 12 | 0xFFF : short
        return segment
    }

    /// The condition of a Jcc by the low four bits of its opcode.
    public func meets(_ condition: UInt8) -> Bool { core.condition(Int(condition & 15)) }

    /// Changes the state and keeps what waits and what is translated, unless paging itself changes.
    public func edit(_ change: (inout VCPU) -> Void) {
        let flags = core.eflags
        var new = core.v.pointee
        let old = new
        change(&new)
        core.v.pointee = new
        if new.lazyResult == old.lazyResult && new.lazyAux == old.lazyAux { core.setArithmeticFlags(flags) }
        if new.cr0 != old.cr0 || new.cr3 != old.cr3 || new.cr4 != old.cr4 || new.efer != old.efer { core.flushTLB(keepGlobal: false) }
        core.modeChanged()
        (debug.mode, debug.ring) = (executionMode, core.cpl)
        debug.hits = []
    }

    /// Selector of a segment register, with the hidden part that goes with it now.
    public func setSegment(_ number: Int, selector: UInt16) -> Bool {
        guard (0..<8).contains(number), let segment = peekSegment(selector) else { return false }
        edit { state in
            if executionMode.isRealLike {
                state.seg[number].selector = selector
                state.seg[number].base = segment.base
            } else {
                state.seg[number] = segment
            }
        }
        return true
    }
}
