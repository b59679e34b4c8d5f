import Primitives

extension VCPU {
    /// Every stored field but the lazy flags and the scratch address. Field by field: the bytes between fields are not defined.
    func combine(into digest: inout Digest) {
        for n in 0..<16 { digest.combine(gpr[n]) }
        for word in [rip, UInt64(systemFlags), UInt64(cpl), UInt64(shadow), halted ? 1 : 0, waitingForStartup ? 1 : 0] { digest.combine(word) }
        for n in 0..<8 {
            digest.combine(seg[n].base)
            digest.combine(UInt64(seg[n].limit) << 32 | UInt64(seg[n].selector) << 16 | UInt64(seg[n].attributes))
        }
        for word in [gdtrBase, idtrBase, UInt64(gdtrLimit), UInt64(idtrLimit), UInt64(cr0), UInt64(cr4), cr2, cr3, cr8, xcr0, efer] { digest.combine(word) }
        for n in 0..<8 { digest.combine(dr[n]) }
        for word in [sysenterCS, sysenterESP, sysenterEIP, star, lstar, cstar, sfmask, kernelGSBase, tscAux, pat, tscOffset] { digest.combine(word) }
        digest.combine(mtrrDefType)
        for n in 0..<16 { digest.combine(mtrrVariable[n]) }
        for n in 0..<11 { digest.combine(mtrrFixed[n]) }
        for n in 0..<2 {
            digest.combine(eventSelect[n])
            digest.combine(eventCount[n])
        }
        for word in [microcodeRevision, miscEnable] { digest.combine(word) }
        fpu.combine(into: &digest)
        for n in 0..<64 { digest.combine(vector[n]) }
        digest.combine(UInt64(mxcsr))
        digest.combine(retired)
        digest.combine(random)
    }
}

extension FPUState {
    func combine(into digest: inout Digest) {
        for n in 0..<8 {
            digest.combine(significand[n])
            digest.combine(UInt64(signExponent[n]))
        }
        digest.combine(UInt64(control) << 48 | UInt64(status) << 32 | UInt64(top) << 16 | UInt64(empty))
        digest.combine(UInt64(opcode) << 32 | UInt64(instructionSelector) << 16 | UInt64(dataSelector))
        digest.combine(instructionPointer)
        digest.combine(dataPointer)
    }
}
