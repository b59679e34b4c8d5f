/// What the interpreter's switch dispatches on: one case per specialised shape of the frequent instructions; the rest goes
/// through `slow` and `slowEnd` by mnemonic.
///
/// Names: operand forms `rr` register ← register, `rm` register ← memory, `mr` memory ← register, `ri`/`mi` with immediate, then
/// the operand size in bits; `n` at the end: flags are dead. Memory forms take a linear address without further checks: outside
/// flat segments a `segAddr` micro-operation has computed and checked it. `f`: through a flat stack of the code's own word, `w`: of that
/// word; the interpreter exists twice, for 32- and for 64-bit code.
/// The order inside the groups is relied on by the decoder (`Kind.sized`).
enum Kind: UInt16 {
    // Engine
    case bail, next, segAddr, segBase, ripAddr, slow, slowEnd, fpu, mmx, vector
    // Arithmetic and logic: five forms of four sizes
    case add_rr8, add_rr16, add_rr32, add_rr64, add_rm8, add_rm16, add_rm32, add_rm64, add_mr8, add_mr16, add_mr32, add_mr64, add_ri8,
        add_ri16, add_ri32, add_ri64, add_mi8, add_mi16, add_mi32, add_mi64
    case or_rr8, or_rr16, or_rr32, or_rr64, or_rm8, or_rm16, or_rm32, or_rm64, or_mr8, or_mr16, or_mr32, or_mr64, or_ri8, or_ri16,
        or_ri32, or_ri64, or_mi8, or_mi16, or_mi32, or_mi64
    case adc_rr8, adc_rr16, adc_rr32, adc_rr64, adc_rm8, adc_rm16, adc_rm32, adc_rm64, adc_mr8, adc_mr16, adc_mr32, adc_mr64, adc_ri8,
        adc_ri16, adc_ri32, adc_ri64, adc_mi8, adc_mi16, adc_mi32, adc_mi64
    case sbb_rr8, sbb_rr16, sbb_rr32, sbb_rr64, sbb_rm8, sbb_rm16, sbb_rm32, sbb_rm64, sbb_mr8, sbb_mr16, sbb_mr32, sbb_mr64, sbb_ri8,
        sbb_ri16, sbb_ri32, sbb_ri64, sbb_mi8, sbb_mi16, sbb_mi32, sbb_mi64
    case and_rr8, and_rr16, and_rr32, and_rr64, and_rm8, and_rm16, and_rm32, and_rm64, and_mr8, and_mr16, and_mr32, and_mr64, and_ri8,
        and_ri16, and_ri32, and_ri64, and_mi8, and_mi16, and_mi32, and_mi64
    case sub_rr8, sub_rr16, sub_rr32, sub_rr64, sub_rm8, sub_rm16, sub_rm32, sub_rm64, sub_mr8, sub_mr16, sub_mr32, sub_mr64, sub_ri8,
        sub_ri16, sub_ri32, sub_ri64, sub_mi8, sub_mi16, sub_mi32, sub_mi64
    case xor_rr8, xor_rr16, xor_rr32, xor_rr64, xor_rm8, xor_rm16, xor_rm32, xor_rm64, xor_mr8, xor_mr16, xor_mr32, xor_mr64, xor_ri8,
        xor_ri16, xor_ri32, xor_ri64, xor_mi8, xor_mi16, xor_mi32, xor_mi64
    case cmp_rr8, cmp_rr16, cmp_rr32, cmp_rr64, cmp_rm8, cmp_rm16, cmp_rm32, cmp_rm64, cmp_mr8, cmp_mr16, cmp_mr32, cmp_mr64, cmp_ri8,
        cmp_ri16, cmp_ri32, cmp_ri64, cmp_mi8, cmp_mi16, cmp_mi32, cmp_mi64
    case test_rr8, test_rr16, test_rr32, test_rr64, test_mr8, test_mr16, test_mr32, test_mr64, test_ri8, test_ri16, test_ri32,
        test_ri64, test_mi8, test_mi16, test_mi32, test_mi64
    // Same, flags dead
    case add_rr32n, or_rr32n, and_rr32n, sub_rr32n, xor_rr32n, add_ri32n, or_ri32n, and_ri32n, sub_ri32n, xor_ri32n, add_rm32n,
        or_rm32n, and_rm32n, sub_rm32n, xor_rm32n
    case inc_r32n, dec_r32n, shl_ri32n, shr_ri32n, sar_ri32n
    case add_rr64n, or_rr64n, and_rr64n, sub_rr64n, xor_rr64n, add_ri64n, or_ri64n, and_ri64n, sub_ri64n, xor_ri64n, add_rm64n,
        or_rm64n, and_rm64n, sub_rm64n, xor_rm64n
    case inc_r64n, dec_r64n, shl_ri64n, shr_ri64n, sar_ri64n
    // Moves
    case mov_rr8, mov_rr16, mov_rr32, mov_rr64, mov_rm8, mov_rm16, mov_rm32, mov_rm64, mov_mr8, mov_mr16, mov_mr32, mov_mr64, mov_ri8,
        mov_ri16, mov_ri32, mov_ri64, mov_mi8, mov_mi16, mov_mi32, mov_mi64
    case movzx_r16r8, movzx_r32r8, movzx_r32r16, movzx_r16m8, movzx_r32m8, movzx_r32m16, movsx_r16r8, movsx_r32r8, movsx_r32r16,
        movsx_r16m8, movsx_r32m8, movsx_r32m16
    case movsx_r64r8, movsx_r64r16, movsx_r64r32, movsx_r64m8, movsx_r64m16, movsx_r64m32, mov_rw64
    case lea32, lea64, lea_, xchg_rr8, xchg_rr16, xchg_rr32, xchg_rr64, xchg_mr8, xchg_mr16, xchg_mr32, xchg_mr64
    // One operand
    case inc_r8, inc_r16, inc_r32, inc_r64, inc_m8, inc_m16, inc_m32, inc_m64
    case dec_r8, dec_r16, dec_r32, dec_r64, dec_m8, dec_m16, dec_m32, dec_m64
    case neg_r8, neg_r16, neg_r32, neg_r64, neg_m8, neg_m16, neg_m32, neg_m64
    case not_r8, not_r16, not_r32, not_r64, not_m8, not_m16, not_m32, not_m64
    // Stack
    case push_rf, push_if, push_mf, pop_rf, push_r16, push_r32, push_i16, push_i32, pop_r16, pop_r32, leave_f
    // Shifts and multiplication
    case shl_ri32, shr_ri32, sar_ri32, shl_rc32, shr_rc32, sar_rc32
    case shl_ri64, shr_ri64, sar_ri64, shl_rc64, shr_rc64, sar_rc64
    case shift_ri8, shift_ri16, shift_ri32, shift_ri64, shift_rc8, shift_rc16, shift_rc32, shift_rc64, shift_mi8, shift_mi16,
        shift_mi32, shift_mi64, shift_mc8, shift_mc16, shift_mc32, shift_mc64
    case imul_rr32, imul_rm32, imul_rri32, imul_rmi32
    case imul_rr64, imul_rm64, imul_rri64, imul_rmi64
    case mul_r32, mul_m32, imul_r32, imul_m32, div_r32, div_m32, idiv_r32, idiv_m32
    case mul_r64, mul_m64, imul_r64, imul_m64, div_r64, div_m64, idiv_r64, idiv_m64
    // Small ones
    case nop, cbw, cwde, cdqe, cwd, cdq, cqo, clc, stc, cmc, cld, std, set_r, set_m, cmov_rr32, cmov_rm32, bt_rr32, bt_ri32, cmov_rr64,
        cmov_rm64, bt_rr64, bt_ri64
    // Branches; `wide` is the linked block
    case jo, jno, jb, jae, jz, jnz, jbe, ja, js, jns, jp, jnp, jl, jge, jle, jg
    case jmp, call_f, call16, call32, ret_f, ret16, ret32, jmp_rw, jmp_mw, call_rf, call_mf, loop16, loop_w, loopc16, loopc_w, jcxz16,
        jcxz_w
    // Fused: CMP/TEST/DEC and Jcc
    case cmp_rr32_jz, cmp_rr32_jnz, cmp_rr32_jb, cmp_rr32_jae, cmp_rr32_jbe, cmp_rr32_ja, cmp_rr32_jl, cmp_rr32_jge, cmp_rr32_jle,
        cmp_rr32_jg
    case cmp_ri32_jz, cmp_ri32_jnz, cmp_ri32_jb, cmp_ri32_jae, cmp_ri32_jbe, cmp_ri32_ja, cmp_ri32_jl, cmp_ri32_jge, cmp_ri32_jle,
        cmp_ri32_jg
    case test_rr32_jz, test_rr32_jnz, test_rr32_js, test_rr32_jns, dec_r32_jnz
    case cmp_ri8_jz, cmp_ri8_jnz, cmp_ri8_jb, cmp_ri8_jae, cmp_ri8_jbe, cmp_ri8_ja, cmp_ri8_jl, cmp_ri8_jge, cmp_ri8_jle, cmp_ri8_jg
    case test_rr8_jz, test_rr8_jnz
    case cmp_rr64_jz, cmp_rr64_jnz, cmp_rr64_jb, cmp_rr64_jae, cmp_rr64_jbe, cmp_rr64_ja, cmp_rr64_jl, cmp_rr64_jge, cmp_rr64_jle,
        cmp_rr64_jg
    case cmp_ri64_jz, cmp_ri64_jnz, cmp_ri64_jb, cmp_ri64_jae, cmp_ri64_jbe, cmp_ri64_ja, cmp_ri64_jl, cmp_ri64_jge, cmp_ri64_jle,
        cmp_ri64_jg
    case test_rr64_jz, test_rr64_jnz, test_rr64_js, test_rr64_jns, dec_r64_jnz

    /// The kind `step` places after this one in the declaration.
    @inline(__always)
    func offset(_ step: Int) -> Kind { Kind(rawValue: rawValue &+ UInt16(truncatingIfNeeded: step)).unsafelyUnwrapped }

    /// The 8-, 16- or 32-bit member of a group that starts here; `log2` 0–3.
    @inline(__always)
    func sized(_ log2: Int) -> Kind { offset(log2) }
}
