import Primitives

// Whether what the engine keeps fits the processor's state. What does not is a fault of ours, and is told before it makes more of them.
extension Processor {
    /// What does not fit, in words for whoever mends it; nil: nothing is seen. Between two calls of `run`.
    public var inconsistency: String? {
        let c = core, v = c.v, t = c.t
        if v.pointee.cpl > 3 { return "the privilege level is \(v.pointee.cpl)" }
        if t.pointee.addressMask != (c.is64 ? .max : 0xFFFF_FFFF) { return "addresses have the wrong width for \(executionMode.rawValue) mode" }
        if (t.pointee.mode & Mode.long != 0) != c.is64 { return "code is decoded for another mode than \(executionMode.rawValue)" }
        let tlb = t.pointee.alignmentChecked ? t.pointee.missTLB : v.pointee.cpl == 3 ? t.pointee.userTLB : t.pointee.systemTLB
        if t.pointee.tlb != tlb { return "the translations of another privilege level than \(v.pointee.cpl) are in use" }
        if retired != v.pointee.retired { return "instructions are counted wrongly: \(retired) and \(v.pointee.retired)" }
        if t.pointee.x87Resident { return "the registers of the x87 were left in the host's" }
        return nil
    }

    /// Everything that was decoded and translated is made anew. Between two calls of `run`.
    public func forgetDecoded() {
        core.t.pointee.x87Resident = false
        blocks.flush()
        for n in 0..<JumpEntry.entries { core.t.pointee.jumpCache[n].block = nil }
        translator?.blocksFlushed(core)
        core.flushTLB(keepGlobal: false)
        core.modeChanged()
    }
}
