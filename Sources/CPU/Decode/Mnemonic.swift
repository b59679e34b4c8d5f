/// Every instruction that has a row in the opcode map. The case name is the mnemonic that the disassembler prints
/// (a trailing underscore avoids a Swift word).
enum Mnemonic: UInt16, CaseIterable {
    case undefined
    case add, or, adc, sbb, and, sub, xor, cmp, test
    case inc, dec, neg, not, mul, imul, div, idiv
    case rol, ror, rcl, rcr, shl, shr, sal, sar, shld, shrd
    case mov, movzx, movsx, movsxd, lea, xchg, bswap, cmov, set, xlat, nop
    case push, pop, pusha, popa, pushf, popf, enter, leave
    case jmp, call, ret, jcc, loop, loope, loopne, jcxz
    case jmpf, callf, retf, iret, int, int3, into, int1, bound, ud2
    case cbw, cwd, sahf, lahf, clc, stc, cmc, cld, std, cli, sti, hlt, salc
    case aaa, aas, aam, aad, daa, das
    case bt, bts, btr, btc, bsf, bsr, cmpxchg, cmpxchg8b, xadd
    case movs, cmps, stos, lods, scas, ins, outs, `in`, out
    case les, lds, lss, lfs, lgs, movSeg, movFromSeg, pushSeg, popSeg
    case lgdt, lidt, sgdt, sidt, lldt, ltr, sldt, str, smsw, lmsw, clts, verr, verw, lar, lsl, arpl
    case movToCR, movFromCR, movToDR, movFromDR, invlpg, invd, wbinvd
    case cpuid, rdtsc, rdpmc, rdmsr, wrmsr, sysenter, sysexit, syscall, sysret, swapgs, rdtscp, rsm
    case wait, fpu, mmx, emms, fxsave, fxrstor

    var text: String {
        switch self {
        case .jmpf: "jmp far"
        case .callf: "call far"
        case .movSeg, .movFromSeg, .movToCR, .movFromCR, .movToDR, .movFromDR: "mov"
        case .pushSeg: "push"
        case .popSeg: "pop"
        case .undefined: "(bad)"
        default: String(describing: self)
        }
    }
}

/// Operand kinds, in the letters of SDM Vol. 2, appendix A.
enum Operand: UInt8 {
    case none
    /// r/m of 8, 16 or operand-size bits; memory only (M), 16-bit r/m (Ew), 32-bit (Ed), far pointer in memory (Mp).
    case eb, ew, ev, ed, m, mp, mq
    case gb, gw, gv, sw, cd, dd
    /// Register in the opcode's low three bits.
    case zb, zv
    case ib, iw, iz, iv
    /// Byte immediate, sign-extended to the operand size.
    case ibs
    /// Branch displacements; far pointer in the instruction; absolute offset.
    case jb, jz, ap, ob, ov
    case al, ax, cl, dx, one
    /// Fixed segment registers.
    case es, cs, ss, ds, fs, gs
    /// MMX register and r/m.
    case pq, qq
}
