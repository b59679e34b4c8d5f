/// The SIMD rows of the opcode map, maps 0F and the general-register extensions. `VectorMap` parses them once.
///
/// Source: SDM Vol. 2, appendix A "Opcode Map", and each instruction's page; exception classes of Vol. 2A, "Exception Specifications".
///
/// A row is `prefix.map.opcode mnemonic operands legacy vex128 vex256 class action [attributes]`.
///
/// - prefix: NP none, 66, F3, F2; `*` NP or 66 (operand size). map: 0F, 38, 3A. The opcode may carry `/n` (reg field), `:nn` (whole ModR/M byte),
///   `m` (memory form only), `r` (register form only).
/// - operands, in the letters of the appendix: V reg, H vvvv, W r/m, U r/m register, M memory, L immediate bits 7–4, Z XMM0; G, E, B general
///   registers in reg, r/m, vvvv; P, Q, N MMX register in reg, r/m, r/m register; I immediate byte. The small letter is the size in memory:
///   x the whole vector, h half, f a quarter, e an eighth, o 16 bytes, t 32, q 8, d 4, w 2, b 1, y 4 or 8 by REX.W or VEX.W, v by operand size.
/// - legacy, vex128, vex256: the features that bring the form without VEX, with VEX.L = 0 and 1; `-` none; `lig`: L is ignored.
/// - class: 1 aligned always, 2 aligned and floating point, 3 scalar floating point, 4 aligned, 5 scalar, 6 AVX only, 7 registers only, 11 VCVTPH2PS
///   and VCVTPS2PH, 12 gather, 13 general registers, M MMX registers, S state. Legacy operands of 16 bytes of classes 1, 2, 4 are aligned.
/// - attributes: `ua` never aligned; `w0`, `w1` VEX.W must be so; `rd` the VEX form reads its destination; `un` can underflow to results of 4 bytes
///   (`un4`) or 8 (`un8`) or 2 (`un2`); `or` without the feature the row of `OpcodeMap` rules; `as=prefix.map.opcode` the instruction on XMM registers
///   that does the work of an MMX form.
enum VectorRows {
    static let map0F = """
        NP.0F.01:D0 xgetbv - xsave - - S xgetbv
        NP.0F.01:D1 xsetbv - xsave - - S xsetbv
        NP.0F.10 movups Vx,Wx sse avx avx 4 load ua
        66.0F.10 movupd Vx,Wx sse2 avx avx 4 load ua
        F3.0F.10m movss Vd,Md sse avx lig 5 load
        F3.0F.10r movss Vd,Hd,Ud sse avx lig 5 merge4
        F2.0F.10m movsd Vq,Mq sse2 avx lig 5 load
        F2.0F.10r movsd Vq,Hq,Uq sse2 avx lig 5 merge8
        NP.0F.11 movups Wx,Vx sse avx avx 4 store ua
        66.0F.11 movupd Wx,Vx sse2 avx avx 4 store ua
        F3.0F.11m movss Md,Vd sse avx lig 5 store
        F3.0F.11r movss Ud,Hd,Vd sse avx lig 5 merge4 reversed
        F2.0F.11m movsd Mq,Vq sse2 avx lig 5 store
        F2.0F.11r movsd Uq,Hq,Vq sse2 avx lig 5 merge8 reversed
        NP.0F.12m movlps Vx,Hx,Mq sse avx - 5 loadLow
        NP.0F.12r movhlps Vx,Hx,Uq sse avx - 7 highToLow
        66.0F.12m movlpd Vx,Hx,Mq sse2 avx - 5 loadLow
        F3.0F.12 movsldup Vx,Wx sse3 avx avx 4 compute
        F2.0F.12 movddup Vx,Wm sse3 avx avx 5 compute
        NP.0F.13m movlps Mq,Vq sse avx - 5 store
        66.0F.13m movlpd Mq,Vq sse2 avx - 5 store
        NP.0F.14 unpcklps Vx,Hx,Wx sse avx avx 4 compute
        66.0F.14 unpcklpd Vx,Hx,Wx sse2 avx avx 4 compute
        NP.0F.15 unpckhps Vx,Hx,Wx sse avx avx 4 compute
        66.0F.15 unpckhpd Vx,Hx,Wx sse2 avx avx 4 compute
        NP.0F.16m movhps Vx,Hx,Mq sse avx - 5 loadHigh
        NP.0F.16r movlhps Vx,Hx,Uq sse avx - 7 lowToHigh
        66.0F.16m movhpd Vx,Hx,Mq sse2 avx - 5 loadHigh
        F3.0F.16 movshdup Vx,Wx sse3 avx avx 4 compute
        NP.0F.17m movhps Mq,Vq sse avx - 5 storeHigh
        66.0F.17m movhpd Mq,Vq sse2 avx - 5 storeHigh
        NP.0F.28 movaps Vx,Wx sse avx avx 1 load
        66.0F.28 movapd Vx,Wx sse2 avx avx 1 load
        NP.0F.29 movaps Wx,Vx sse avx avx 1 store
        66.0F.29 movapd Wx,Vx sse2 avx avx 1 store
        NP.0F.2A cvtpi2ps Vq,Qq sse - - M mmxToSingle as=NP.0F.5B fp
        66.0F.2A cvtpi2pd Vo,Qq sse2 - - M mmxToDouble as=F3.0F.E6 fp
        F3.0F.2A cvtsi2ss Vd,Hd,Ey sse avx lig 3 fromGeneral
        F2.0F.2A cvtsi2sd Vq,Hq,Ey sse2 avx lig 3 fromGeneral
        NP.0F.2Bm movntps Mx,Vx sse avx avx 1 store
        66.0F.2Bm movntpd Mx,Vx sse2 avx avx 1 store
        NP.0F.2C cvttps2pi Pq,Wq sse - - M vectorToMMX as=F3.0F.5B fp
        66.0F.2C cvttpd2pi Pq,Wo sse2 - - M vectorToMMX as=66.0F.E6 fp
        F3.0F.2C cvttss2si Gy,Wd sse avx lig 3 toGeneral
        F2.0F.2C cvttsd2si Gy,Wq sse2 avx lig 3 toGeneral
        NP.0F.2D cvtps2pi Pq,Wq sse - - M vectorToMMX as=66.0F.5B fp
        66.0F.2D cvtpd2pi Pq,Wo sse2 - - M vectorToMMX as=F2.0F.E6 fp
        F3.0F.2D cvtss2si Gy,Wd sse avx lig 3 toGeneral
        F2.0F.2D cvtsd2si Gy,Wq sse2 avx lig 3 toGeneral
        NP.0F.2E ucomiss Vd,Wd sse avx lig 3 flags
        66.0F.2E ucomisd Vq,Wq sse2 avx lig 3 flags
        NP.0F.2F comiss Vd,Wd sse avx lig 3 flags
        66.0F.2F comisd Vq,Wq sse2 avx lig 3 flags
        NP.0F.50r movmskps Gd,Ux sse avx avx 7 toGeneral
        66.0F.50r movmskpd Gd,Ux sse2 avx avx 7 toGeneral
        NP.0F.51 sqrtps Vx,Wx sse avx avx 2 compute
        66.0F.51 sqrtpd Vx,Wx sse2 avx avx 2 compute
        F3.0F.51 sqrtss Vd,Hd,Wd sse avx lig 3 compute
        F2.0F.51 sqrtsd Vq,Hq,Wq sse2 avx lig 3 compute
        NP.0F.52 rsqrtps Vx,Wx sse avx avx 4 compute
        F3.0F.52 rsqrtss Vd,Hd,Wd sse avx lig 5 compute
        NP.0F.53 rcpps Vx,Wx sse avx avx 4 compute
        F3.0F.53 rcpss Vd,Hd,Wd sse avx lig 5 compute
        NP.0F.54 andps Vx,Hx,Wx sse avx avx 4 and
        66.0F.54 andpd Vx,Hx,Wx sse2 avx avx 4 and
        NP.0F.55 andnps Vx,Hx,Wx sse avx avx 4 andn
        66.0F.55 andnpd Vx,Hx,Wx sse2 avx avx 4 andn
        NP.0F.56 orps Vx,Hx,Wx sse avx avx 4 or
        66.0F.56 orpd Vx,Hx,Wx sse2 avx avx 4 or
        NP.0F.57 xorps Vx,Hx,Wx sse avx avx 4 xor
        66.0F.57 xorpd Vx,Hx,Wx sse2 avx avx 4 xor
        NP.0F.58 addps Vx,Hx,Wx sse avx avx 2 compute un4
        66.0F.58 addpd Vx,Hx,Wx sse2 avx avx 2 compute un8
        F3.0F.58 addss Vd,Hd,Wd sse avx lig 3 compute un4
        F2.0F.58 addsd Vq,Hq,Wq sse2 avx lig 3 compute un8
        NP.0F.59 mulps Vx,Hx,Wx sse avx avx 2 compute un4
        66.0F.59 mulpd Vx,Hx,Wx sse2 avx avx 2 compute un8
        F3.0F.59 mulss Vd,Hd,Wd sse avx lig 3 compute un4
        F2.0F.59 mulsd Vq,Hq,Wq sse2 avx lig 3 compute un8
        NP.0F.5A cvtps2pd Vx,Wh sse2 avx avx 3 compute
        66.0F.5A cvtpd2ps Vx,Wx sse2 avx avx 2 compute un4
        F3.0F.5A cvtss2sd Vq,Hq,Wd sse2 avx lig 3 compute
        F2.0F.5A cvtsd2ss Vd,Hd,Wq sse2 avx lig 3 compute un4
        NP.0F.5B cvtdq2ps Vx,Wx sse2 avx avx 2 compute
        66.0F.5B cvtps2dq Vx,Wx sse2 avx avx 2 compute
        F3.0F.5B cvttps2dq Vx,Wx sse2 avx avx 2 compute
        NP.0F.5C subps Vx,Hx,Wx sse avx avx 2 compute un4
        66.0F.5C subpd Vx,Hx,Wx sse2 avx avx 2 compute un8
        F3.0F.5C subss Vd,Hd,Wd sse avx lig 3 compute un4
        F2.0F.5C subsd Vq,Hq,Wq sse2 avx lig 3 compute un8
        NP.0F.5D minps Vx,Hx,Wx sse avx avx 2 compute
        66.0F.5D minpd Vx,Hx,Wx sse2 avx avx 2 compute
        F3.0F.5D minss Vd,Hd,Wd sse avx lig 3 compute
        F2.0F.5D minsd Vq,Hq,Wq sse2 avx lig 3 compute
        NP.0F.5E divps Vx,Hx,Wx sse avx avx 2 compute un4
        66.0F.5E divpd Vx,Hx,Wx sse2 avx avx 2 compute un8
        F3.0F.5E divss Vd,Hd,Wd sse avx lig 3 compute un4
        F2.0F.5E divsd Vq,Hq,Wq sse2 avx lig 3 compute un8
        NP.0F.5F maxps Vx,Hx,Wx sse avx avx 2 compute
        66.0F.5F maxpd Vx,Hx,Wx sse2 avx avx 2 compute
        F3.0F.5F maxss Vd,Hd,Wd sse avx lig 3 compute
        F2.0F.5F maxsd Vq,Hq,Wq sse2 avx lig 3 compute
        66.0F.60 punpcklbw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.61 punpcklwd Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.62 punpckldq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.63 packsswb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.64 pcmpgtb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.65 pcmpgtw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.66 pcmpgtd Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.67 packuswb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.68 punpckhbw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.69 punpckhwd Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.6A punpckhdq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.6B packssdw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.6C punpcklqdq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.6D punpckhqdq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.6E movd Vx,Ey sse2 avx - 5 loadGeneral
        66.0F.6F movdqa Vx,Wx sse2 avx avx 1 load
        F3.0F.6F movdqu Vx,Wx sse2 avx avx 4 load ua
        NP.0F.70 pshufw Pq,Qq,Ib sse - - M mmx as=F2.0F.70
        66.0F.70 pshufd Vx,Wx,Ib sse2 avx avx2 4 compute
        F3.0F.70 pshufhw Vx,Wx,Ib sse2 avx avx2 4 compute
        F2.0F.70 pshuflw Vx,Wx,Ib sse2 avx avx2 4 compute
        66.0F.71/2r psrlw Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.71/4r psraw Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.71/6r psllw Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.72/2r psrld Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.72/4r psrad Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.72/6r pslld Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.73/2r psrlq Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.73/3r psrldq Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.73/6r psllq Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.73/7r pslldq Hx,Ux,Ib sse2 avx avx2 7 compute
        66.0F.74 pcmpeqb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.75 pcmpeqw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.76 pcmpeqd Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.77 vzeroupper - - avx - 8 zeroUpper
        NP.0F.77 vzeroall - - - avx 8 zeroAll
        66.0F.7C haddpd Vx,Hx,Wx sse3 avx avx 2 compute un8
        F2.0F.7C haddps Vx,Hx,Wx sse3 avx avx 2 compute un4
        66.0F.7D hsubpd Vx,Hx,Wx sse3 avx avx 2 compute un8
        F2.0F.7D hsubps Vx,Hx,Wx sse3 avx avx 2 compute un4
        66.0F.7E movd Ey,Vx sse2 avx - 5 storeGeneral
        F3.0F.7E movq Vx,Wq sse2 avx - 5 load
        66.0F.7F movdqa Wx,Vx sse2 avx avx 1 store
        F3.0F.7F movdqu Wx,Vx sse2 avx avx 4 store ua
        NP.0F.AE/2m ldmxcsr Md sse avx - 5 ldmxcsr
        NP.0F.AE/3m stmxcsr Md sse avx - 5 stmxcsr
        NP.0F.AE/4m xsave M xsave - - S xsave
        NP.0F.AE/5m xrstor M xsave - - S xrstor
        NP.0F.AE/5r lfence - sse2 - - S fence
        NP.0F.AE/6r mfence - sse2 - - S fence
        NP.0F.AE/7m clflush Mb clfsh - - S clflush
        NP.0F.AE/7r sfence - sse - - S fence
        F3.0F.B8 popcnt Gv,Ev popcnt - - 13 popcnt
        F3.0F.BC tzcnt Gv,Ev bmi1 - - 13 tzcnt or
        F3.0F.BD lzcnt Gv,Ev lzcnt - - 13 lzcnt or
        NP.0F.C2 cmpps Vx,Hx,Wx,Ib sse avx avx 2 compute
        66.0F.C2 cmppd Vx,Hx,Wx,Ib sse2 avx avx 2 compute
        F3.0F.C2 cmpss Vd,Hd,Wd,Ib sse avx lig 3 compute
        F2.0F.C2 cmpsd Vq,Hq,Wq,Ib sse2 avx lig 3 compute
        NP.0F.C3m movnti My,Gy sse2 - - 13 movnti
        NP.0F.C4 pinsrw Pq,Ew,Ib sse - - M mmxInsert
        66.0F.C4 pinsrw Vx,Hx,Ew,Ib sse2 avx - 5 insert
        NP.0F.C5r pextrw Gd,Nq,Ib sse - - M mmxExtract
        66.0F.C5r pextrw Gd,Ux,Ib sse2 avx - 5 extractWord
        NP.0F.C6 shufps Vx,Hx,Wx,Ib sse avx avx 4 compute
        66.0F.C6 shufpd Vx,Hx,Wx,Ib sse2 avx avx 4 compute
        *.0F.C7/6r rdrand Ev rdrand - - 13 rdrand
        66.0F.D0 addsubpd Vx,Hx,Wx sse3 avx avx 2 compute un8
        F2.0F.D0 addsubps Vx,Hx,Wx sse3 avx avx 2 compute un4
        66.0F.D1 psrlw Vx,Hx,Wo sse2 avx avx2 4 compute
        66.0F.D2 psrld Vx,Hx,Wo sse2 avx avx2 4 compute
        66.0F.D3 psrlq Vx,Hx,Wo sse2 avx avx2 4 compute
        NP.0F.D4 paddq Pq,Qq sse2 - - M mmx
        66.0F.D4 paddq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.D5 pmullw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.D6 movq Wq,Vq sse2 avx - 5 storeQuad
        F3.0F.D6r movq2dq Vo,Nq sse2 - - M movq2dq
        F2.0F.D6r movdq2q Pq,Uq sse2 - - M movdq2q
        NP.0F.D7r pmovmskb Gd,Nq sse - - M mmxMask
        66.0F.D7r pmovmskb Gd,Ux sse2 avx avx2 7 toGeneral
        66.0F.D8 psubusb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.D9 psubusw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.DA pminub Pq,Qq sse - - M mmx
        66.0F.DA pminub Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.DB pand Vx,Hx,Wx sse2 avx avx2 4 and
        66.0F.DC paddusb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.DD paddusw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.DE pmaxub Pq,Qq sse - - M mmx
        66.0F.DE pmaxub Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.DF pandn Vx,Hx,Wx sse2 avx avx2 4 andn
        NP.0F.E0 pavgb Pq,Qq sse - - M mmx
        66.0F.E0 pavgb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.E1 psraw Vx,Hx,Wo sse2 avx avx2 4 compute
        66.0F.E2 psrad Vx,Hx,Wo sse2 avx avx2 4 compute
        NP.0F.E3 pavgw Pq,Qq sse - - M mmx
        66.0F.E3 pavgw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.E4 pmulhuw Pq,Qq sse - - M mmx
        66.0F.E4 pmulhuw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.E5 pmulhw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.E6 cvttpd2dq Vx,Wx sse2 avx avx 2 compute
        F3.0F.E6 cvtdq2pd Vx,Wh sse2 avx avx 5 compute
        F2.0F.E6 cvtpd2dq Vx,Wx sse2 avx avx 2 compute
        NP.0F.E7m movntq Mq,Pq sse - - M movntq
        66.0F.E7m movntdq Mx,Vx sse2 avx avx 1 store
        66.0F.E8 psubsb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.E9 psubsw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.EA pminsw Pq,Qq sse - - M mmx
        66.0F.EA pminsw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.EB por Vx,Hx,Wx sse2 avx avx2 4 or
        66.0F.EC paddsb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.ED paddsw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.EE pmaxsw Pq,Qq sse - - M mmx
        66.0F.EE pmaxsw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.EF pxor Vx,Hx,Wx sse2 avx avx2 4 xor
        F2.0F.F0m lddqu Vx,Mx sse3 avx avx 4 load ua
        66.0F.F1 psllw Vx,Hx,Wo sse2 avx avx2 4 compute
        66.0F.F2 pslld Vx,Hx,Wo sse2 avx avx2 4 compute
        66.0F.F3 psllq Vx,Hx,Wo sse2 avx avx2 4 compute
        NP.0F.F4 pmuludq Pq,Qq sse2 - - M mmx
        66.0F.F4 pmuludq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.F5 pmaddwd Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.F6 psadbw Pq,Qq sse - - M mmx
        66.0F.F6 psadbw Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.F7r maskmovq Pq,Nq sse - - M mmxMaskStore
        66.0F.F7r maskmovdqu Vo,Uo sse2 avx - 4 byteMaskStore
        66.0F.F8 psubb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.F9 psubw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.FA psubd Vx,Hx,Wx sse2 avx avx2 4 compute
        NP.0F.FB psubq Pq,Qq sse2 - - M mmx
        66.0F.FB psubq Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.FC paddb Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.FD paddw Vx,Hx,Wx sse2 avx avx2 4 compute
        66.0F.FE paddd Vx,Hx,Wx sse2 avx avx2 4 compute
        """
}
