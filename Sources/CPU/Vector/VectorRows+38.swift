/// The rows of maps 0F 38 and 0F 3A. The columns are explained at `VectorRows`.
extension VectorRows {
    static let map38 = """
        NP.38.00 pshufb Pq,Qq ssse3 - - M mmxShuffle
        66.38.00 pshufb Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.01 phaddw Pq,Qq ssse3 - - M mmxPairs
        66.38.01 phaddw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.02 phaddd Pq,Qq ssse3 - - M mmxPairs
        66.38.02 phaddd Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.03 phaddsw Pq,Qq ssse3 - - M mmxPairs
        66.38.03 phaddsw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.04 pmaddubsw Pq,Qq ssse3 - - M mmx
        66.38.04 pmaddubsw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.05 phsubw Pq,Qq ssse3 - - M mmxPairs
        66.38.05 phsubw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.06 phsubd Pq,Qq ssse3 - - M mmxPairs
        66.38.06 phsubd Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.07 phsubsw Pq,Qq ssse3 - - M mmxPairs
        66.38.07 phsubsw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.08 psignb Pq,Qq ssse3 - - M mmx
        66.38.08 psignb Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.09 psignw Pq,Qq ssse3 - - M mmx
        66.38.09 psignw Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.0A psignd Pq,Qq ssse3 - - M mmx
        66.38.0A psignd Vx,Hx,Wx ssse3 avx avx2 4 compute
        NP.38.0B pmulhrsw Pq,Qq ssse3 - - M mmx
        66.38.0B pmulhrsw Vx,Hx,Wx ssse3 avx avx2 4 compute
        66.38.0C vpermilps Vx,Hx,Wx - avx avx 4 compute w0
        66.38.0D vpermilpd Vx,Hx,Wx - avx avx 4 compute w0
        66.38.0E vtestps Vx,Wx - avx avx 4 flags w0
        66.38.0F vtestpd Vx,Wx - avx avx 4 flags w0
        66.38.10 pblendvb Vx,Wx,Zx sse41 - - 4 compute
        66.38.13 vcvtph2ps Vx,Wh - avx+f16c avx+f16c 11 compute w0
        66.38.14 blendvps Vx,Wx,Zx sse41 - - 4 compute
        66.38.15 blendvpd Vx,Wx,Zx sse41 - - 4 compute
        66.38.16 vpermps Vx,Hx,Wx - - avx2 4 compute w0
        66.38.17 ptest Vx,Wx sse41 avx avx 4 flags
        66.38.18m vbroadcastss Vx,Md - avx avx 6 compute w0
        66.38.18r vbroadcastss Vx,Ud - avx2 avx2 6 compute w0
        66.38.19m vbroadcastsd Vx,Mq - - avx 6 compute w0
        66.38.19r vbroadcastsd Vx,Uq - - avx2 6 compute w0
        66.38.1Am vbroadcastf128 Vx,Mo - - avx 6 broadcast128 w0
        NP.38.1C pabsb Pq,Qq ssse3 - - M mmx
        66.38.1C pabsb Vx,Wx ssse3 avx avx2 4 compute
        NP.38.1D pabsw Pq,Qq ssse3 - - M mmx
        66.38.1D pabsw Vx,Wx ssse3 avx avx2 4 compute
        NP.38.1E pabsd Pq,Qq ssse3 - - M mmx
        66.38.1E pabsd Vx,Wx ssse3 avx avx2 4 compute
        66.38.20 pmovsxbw Vx,Wh sse41 avx avx2 5 compute
        66.38.21 pmovsxbd Vx,Wf sse41 avx avx2 5 compute
        66.38.22 pmovsxbq Vx,We sse41 avx avx2 5 compute
        66.38.23 pmovsxwd Vx,Wh sse41 avx avx2 5 compute
        66.38.24 pmovsxwq Vx,Wf sse41 avx avx2 5 compute
        66.38.25 pmovsxdq Vx,Wh sse41 avx avx2 5 compute
        66.38.28 pmuldq Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.29 pcmpeqq Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.2Am movntdqa Vx,Mx sse41 avx avx2 1 load
        66.38.2B packusdw Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.2Cm vmaskmovps Vx,Hx,Mx - avx avx 6 maskLoad4 w0
        66.38.2Dm vmaskmovpd Vx,Hx,Mx - avx avx 6 maskLoad8 w0
        66.38.2Em vmaskmovps Mx,Hx,Vx - avx avx 6 maskStore4 w0
        66.38.2Fm vmaskmovpd Mx,Hx,Vx - avx avx 6 maskStore8 w0
        66.38.30 pmovzxbw Vx,Wh sse41 avx avx2 5 compute
        66.38.31 pmovzxbd Vx,Wf sse41 avx avx2 5 compute
        66.38.32 pmovzxbq Vx,We sse41 avx avx2 5 compute
        66.38.33 pmovzxwd Vx,Wh sse41 avx avx2 5 compute
        66.38.34 pmovzxwq Vx,Wf sse41 avx avx2 5 compute
        66.38.35 pmovzxdq Vx,Wh sse41 avx avx2 5 compute
        66.38.36 vpermd Vx,Hx,Wx - - avx2 4 compute w0
        66.38.37 pcmpgtq Vx,Hx,Wx sse42 avx avx2 4 compute
        66.38.38 pminsb Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.39 pminsd Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3A pminuw Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3B pminud Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3C pmaxsb Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3D pmaxsd Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3E pmaxuw Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.3F pmaxud Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.40 pmulld Vx,Hx,Wx sse41 avx avx2 4 compute
        66.38.41 phminposuw Vx,Wx sse41 avx - 4 compute
        66.38.45 vpsrlvd Vx,Hx,Wx - avx2 avx2 4 compute w0
        66.38.45 vpsrlvq Vx,Hx,Wx - avx2 avx2 4 compute w1
        66.38.46 vpsravd Vx,Hx,Wx - avx2 avx2 4 compute w0
        66.38.47 vpsllvd Vx,Hx,Wx - avx2 avx2 4 compute w0
        66.38.47 vpsllvq Vx,Hx,Wx - avx2 avx2 4 compute w1
        66.38.58 vpbroadcastd Vx,Wd - avx2 avx2 6 compute w0
        66.38.59 vpbroadcastq Vx,Wq - avx2 avx2 6 compute w0
        66.38.5Am vbroadcasti128 Vx,Mo - - avx2 6 broadcast128 w0
        66.38.78 vpbroadcastb Vx,Wb - avx2 avx2 6 compute w0
        66.38.79 vpbroadcastw Vx,Ww - avx2 avx2 6 compute w0
        66.38.8Cm vpmaskmovd Vx,Hx,Mx - avx2 avx2 6 maskLoad4 w0
        66.38.8Cm vpmaskmovq Vx,Hx,Mx - avx2 avx2 6 maskLoad8 w1
        66.38.8Em vpmaskmovd Mx,Hx,Vx - avx2 avx2 6 maskStore4 w0
        66.38.8Em vpmaskmovq Mx,Hx,Vx - avx2 avx2 6 maskStore8 w1
        66.38.90m vpgatherdd Vx,Md,Hx - avx2 avx2 12 gather44 w0
        66.38.90m vpgatherdq Vx,Mq,Hx - avx2 avx2 12 gather48 w1
        66.38.91m vpgatherqd Vx,Md,Hx - avx2 avx2 12 gather84 w0
        66.38.91m vpgatherqq Vx,Mq,Hx - avx2 avx2 12 gather88 w1
        66.38.92m vgatherdps Vx,Md,Hx - avx2 avx2 12 gather44 w0
        66.38.92m vgatherdpd Vx,Mq,Hx - avx2 avx2 12 gather48 w1
        66.38.93m vgatherqps Vx,Md,Hx - avx2 avx2 12 gather84 w0
        66.38.93m vgatherqpd Vx,Mq,Hx - avx2 avx2 12 gather88 w1
        66.38.DB aesimc Vx,Wx aes aes+avx - 4 compute
        66.38.DC aesenc Vx,Hx,Wx aes aes+avx - 4 compute
        66.38.DD aesenclast Vx,Hx,Wx aes aes+avx - 4 compute
        66.38.DE aesdec Vx,Hx,Wx aes aes+avx - 4 compute
        66.38.DF aesdeclast Vx,Hx,Wx aes aes+avx - 4 compute
        *.38.F0m movbe Gv,Mv movbe - - 13 movbeLoad
        F2.38.F0 crc32 Gy,Eb sse42 - - 13 crc32
        *.38.F1m movbe Mv,Gv movbe - - 13 movbeStore
        F2.38.F1 crc32 Gy,Ev sse42 - - 13 crc32
        NP.38.F2 andn Gy,By,Ey - bmi1 - 13 andNot
        NP.38.F3/1 blsr By,Ey - bmi1 - 13 blsr
        NP.38.F3/2 blsmsk By,Ey - bmi1 - 13 blsmsk
        NP.38.F3/3 blsi By,Ey - bmi1 - 13 blsi
        NP.38.F5 bzhi Gy,Ey,By - bmi2 - 13 bzhi
        F3.38.F5 pext Gy,By,Ey - bmi2 - 13 pext
        F2.38.F5 pdep Gy,By,Ey - bmi2 - 13 pdep
        F2.38.F6 mulx Gy,By,Ey - bmi2 - 13 mulx
        NP.38.F7 bextr Gy,Ey,By - bmi1 - 13 bextr
        66.38.F7 shlx Gy,Ey,By - bmi2 - 13 shlx
        F3.38.F7 sarx Gy,Ey,By - bmi2 - 13 sarx
        F2.38.F7 shrx Gy,Ey,By - bmi2 - 13 shrx
        """

    static let map3A = """
        66.3A.00 vpermq Vx,Wx,Ib - - avx2 4 compute w1
        66.3A.01 vpermpd Vx,Wx,Ib - - avx2 4 compute w1
        66.3A.02 vpblendd Vx,Hx,Wx,Ib - avx2 avx2 4 compute w0
        66.3A.04 vpermilps Vx,Wx,Ib - avx avx 4 compute w0
        66.3A.05 vpermilpd Vx,Wx,Ib - avx avx 4 compute w0
        66.3A.06 vperm2f128 Vx,Hx,Wx,Ib - - avx 6 compute w0
        66.3A.08 roundps Vx,Wx,Ib sse41 avx avx 2 compute
        66.3A.09 roundpd Vx,Wx,Ib sse41 avx avx 2 compute
        66.3A.0A roundss Vd,Hd,Wd,Ib sse41 avx lig 3 compute
        66.3A.0B roundsd Vq,Hq,Wq,Ib sse41 avx lig 3 compute
        66.3A.0C blendps Vx,Hx,Wx,Ib sse41 avx avx 4 compute
        66.3A.0D blendpd Vx,Hx,Wx,Ib sse41 avx avx 4 compute
        66.3A.0E pblendw Vx,Hx,Wx,Ib sse41 avx avx2 4 compute
        NP.3A.0F palignr Pq,Qq,Ib ssse3 - - M mmxAlign
        66.3A.0F palignr Vx,Hx,Wx,Ib ssse3 avx avx2 4 compute
        66.3A.14 pextrb Eb,Vx,Ib sse41 avx - 5 extract
        66.3A.15 pextrw Ew,Vx,Ib sse41 avx - 5 extract
        66.3A.16 pextrd Ey,Vx,Ib sse41 avx - 5 extract
        66.3A.17 extractps Ed,Vx,Ib sse41 avx - 5 extract
        66.3A.18 vinsertf128 Vx,Hx,Wo,Ib - - avx 6 compute w0
        66.3A.19 vextractf128 Wo,Vx,Ib - - avx 6 extract128 w0
        66.3A.1D vcvtps2ph Wh,Vx,Ib - avx+f16c avx+f16c 11 halfStore w0 un2
        66.3A.20 pinsrb Vx,Hx,Eb,Ib sse41 avx - 5 insert
        66.3A.21 insertps Vx,Hx,Wd,Ib sse41 avx - 5 compute
        66.3A.22 pinsrd Vx,Hx,Ey,Ib sse41 avx - 5 insert
        66.3A.38 vinserti128 Vx,Hx,Wo,Ib - - avx2 6 compute w0
        66.3A.39 vextracti128 Wo,Vx,Ib - - avx2 6 extract128 w0
        66.3A.40 dpps Vx,Hx,Wx,Ib sse41 avx avx 2 compute un4
        66.3A.41 dppd Vx,Hx,Wx,Ib sse41 avx - 2 compute un8
        66.3A.42 mpsadbw Vx,Hx,Wx,Ib sse41 avx avx2 4 compute
        66.3A.44 pclmulqdq Vx,Hx,Wx,Ib pclmulqdq pclmulqdq+avx - 4 compute
        66.3A.46 vperm2i128 Vx,Hx,Wx,Ib - - avx2 6 compute w0
        66.3A.4A vblendvps Vx,Hx,Wx,Lx - avx avx 4 compute w0
        66.3A.4B vblendvpd Vx,Hx,Wx,Lx - avx avx 4 compute w0
        66.3A.4C vpblendvb Vx,Hx,Wx,Lx - avx avx2 4 compute w0
        66.3A.60 pcmpestrm Vx,Wx,Ib sse42 avx - 4 stringMask ua
        66.3A.61 pcmpestri Vx,Wx,Ib sse42 avx - 4 stringIndex ua
        66.3A.62 pcmpistrm Vx,Wx,Ib sse42 avx - 4 stringMask ua
        66.3A.63 pcmpistri Vx,Wx,Ib sse42 avx - 4 stringIndex ua
        66.3A.DF aeskeygenassist Vx,Wx,Ib aes aes+avx - 4 compute
        F2.3A.F0 rorx Gy,Ey,Ib - bmi2 - 13 rorx
        """

    /// FMA: three orders of the operands in opcodes 9x, Ax, Bx; VEX.W chooses the precision.
    static var fma: [String] {
        var rows: [String] = []
        let operations: [(Int, String, Bool)] = [
            (6, "vfmaddsub", false), (7, "vfmsubadd", false), (8, "vfmadd", false), (9, "vfmadd", true), (10, "vfmsub", false), (11, "vfmsub", true),
            (12, "vfnmadd", false), (13, "vfnmadd", true), (14, "vfnmsub", false), (15, "vfnmsub", true),
        ]
        for (high, order) in [(9, "132"), (10, "213"), (11, "231")] {
            for (low, name, scalar) in operations {
                let opcode = String(high * 16 + low, radix: 16, uppercase: true)
                let key = "66.38.\(opcode) \(name)\(order)"
                let tail = scalar ? "fma lig 3 compute rd" : "fma fma 2 compute rd"
                let (single, double) = scalar ? ("Vd,Hd,Wd", "Vq,Hq,Wq") : ("Vx,Hx,Wx", "Vx,Hx,Wx")
                rows.append("\(key)\(scalar ? "ss" : "ps") \(single) - \(tail) w0 un4")
                rows.append("\(key)\(scalar ? "sd" : "pd") \(double) - \(tail) w1 un8")
            }
        }
        return rows
    }
}
