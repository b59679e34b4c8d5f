/// What follows from segments, control registers and flags: recomputed when one of them changes.
extension Core {
    /// Call after any change of CS, SS, DS, ES, CPL, CR0, CR4, EFER, EFLAGS.VM/TF/AC or DR7.
    func modeChanged() {
        let cs = v.pointee.seg[Seg.cs]
        var mode: UInt32 = 0
        let long = is64
        t.pointee.addressMask = long ? .max : 0xFFFF_FFFF
        if long { mode = Mode.long | Mode.big | Mode.bigStack | Mode.flatDS | Mode.flatES | Mode.flatSS }
        if cs.isBig { mode |= Mode.big }
        if !long && cs.base != 0 { mode |= Mode.based }
        if v.pointee.seg[Seg.ss].isBig { mode |= Mode.bigStack }
        if isFlat(Seg.ds) { mode |= Mode.flatDS }
        if isFlat(Seg.es) { mode |= Mode.flatES }
        if isFlat(Seg.ss) { mode |= Mode.flatSS }
        let odd = long ? false : cs.isBig ? cs.limit != 0xFFFF_FFFF : cs.limit < 0xFFFF
        if odd { mode |= Mode.oddLimit }
        let dr7 = v.pointee.dr[7]
        let armed = dr7 & 0xFF != 0
        var watching = false
        for n in 0..<4 where dr7 & (3 &<< UInt64(2 &* n)) != 0 && (dr7 &>> UInt64(16 &+ 4 &* n)) & 1 != 0 { watching = true }
        if watching || t.pointee.watching {
            t.pointee.watching = watching
            t.pointee.processor.flushTLB(keepGlobal: false)
        }
        t.pointee.careful = odd || armed || v.pointee.systemFlags & EFlags.tf != 0 || t.pointee.recording
        let user = v.pointee.cpl == 3
        t.pointee.alignmentChecked = user && cr0 & CR0.am != 0 && v.pointee.systemFlags & EFlags.ac != 0
        t.pointee.tlb = t.pointee.alignmentChecked ? t.pointee.missTLB : user ? t.pointee.userTLB : t.pointee.systemTLB
        t.pointee.mode = mode
        refreshGenerations()
        if t.pointee.debugs.contains(.modes) { t.pointee.processor.noteMode() }
    }

    /// Keys of the jump cache: mode and privilege class in bits 52–63, a flush count in 32–50.
    func refreshGenerations() {
        // Privilege is no part of decoding, but a jump must not land where only the other class may execute.
        let mode = UInt64(t.pointee.mode | (v.pointee.cpl == 3 ? Mode.user : 0)) &<< 52
        let before = (t.pointee.modeGeneration, t.pointee.globalGeneration, t.pointee.codeBase)
        t.pointee.modeGeneration = mode | (UInt64(t.pointee.generation) &<< 32)
        t.pointee.globalGeneration = mode | (UInt64(t.pointee.globalFlushes) &<< 32) | 1 &<< 51
        t.pointee.codeBase = is64 ? 0 : v.pointee.seg[Seg.cs].base
        let flat = t.pointee.codeBase == 0
        t.pointee.pageEpoch = flat ? t.pointee.flushCount : Core.unlinkable
        t.pointee.globalEpoch = flat ? t.pointee.globalFlushCount : Core.unlinkable
        if before != (t.pointee.modeGeneration, t.pointee.globalGeneration, t.pointee.codeBase) { forgetReturns() }
    }

    /// An epoch that no branch was linked in.
    static let unlinkable: UInt32 = .max

    private func isFlat(_ number: Int) -> Bool {
        let s = v.pointee.seg[number]
        return s.base == 0 && s.limit == 0xFFFF_FFFF && s.attributes & 0x9E == 0x92
    }
}
