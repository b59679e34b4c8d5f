/// One line of the opcode map: what the decoder fetches, the interpreter runs and the disassembler prints.
struct OpcodeRow {
    var mnemonic: Mnemonic = .undefined
    var operands: (Operand, Operand, Operand) = (.none, .none, .none)
    /// LOCK is allowed when the destination is memory.
    var lockable = false
    /// The three bits of /digit select the row: index of the group's first row.
    var group: Int = -1
    var needsModRM = false
    /// Condition number for jcc, set, cmov.
    var condition: UInt8 = 0
}

/// The opcode map of 16- and 32-bit x86 up to the Pentium Pro with MMX.
///
/// Source: SDM Vol. 2, appendix A "Opcode Map"; Intel *Pentium Pro Family Developer's Manual* vol. 2 (1996), appendix A.
/// Written as text because literal tables of structs are slow to compile; parsed once at start.
///
/// A line is `opcode[/digit] mnemonic operands [L]`; `0F` opcodes have four digits; `+r` spans eight opcodes (register in the
/// low bits), `+c` sixteen (condition). `L`: lockable.
struct OpcodeMap: @unchecked Sendable {
    /// 0x000–0x0FF one byte, 0x100–0x1FF after 0F, then groups of eight.
    let rows: [OpcodeRow]
    /// The same for 64-bit mode.
    let rows64: [OpcodeRow]
    static let shared = OpcodeMap()

    private static let text = """
        06 pushSeg es
        07 popSeg es
        0E pushSeg cs
        16 pushSeg ss
        17 popSeg ss
        1E pushSeg ds
        1F popSeg ds
        27 daa
        2F das
        37 aaa
        3F aas
        40+r inc zv
        48+r dec zv
        50+r push zv
        58+r pop zv
        60 pusha
        61 popa
        62 bound gv m
        63 arpl ew gw
        68 push iz
        69 imul gv ev iz
        6A push ibs
        6B imul gv ev ibs
        6C ins
        6D ins
        6E outs
        6F outs
        70+c jcc jb
        80/0 add eb ib L
        80/1 or eb ib L
        80/2 adc eb ib L
        80/3 sbb eb ib L
        80/4 and eb ib L
        80/5 sub eb ib L
        80/6 xor eb ib L
        80/7 cmp eb ib
        81/0 add ev iz L
        81/1 or ev iz L
        81/2 adc ev iz L
        81/3 sbb ev iz L
        81/4 and ev iz L
        81/5 sub ev iz L
        81/6 xor ev iz L
        81/7 cmp ev iz
        82/0 add eb ib L
        82/1 or eb ib L
        82/2 adc eb ib L
        82/3 sbb eb ib L
        82/4 and eb ib L
        82/5 sub eb ib L
        82/6 xor eb ib L
        82/7 cmp eb ib
        83/0 add ev ibs L
        83/1 or ev ibs L
        83/2 adc ev ibs L
        83/3 sbb ev ibs L
        83/4 and ev ibs L
        83/5 sub ev ibs L
        83/6 xor ev ibs L
        83/7 cmp ev ibs
        84 test eb gb
        85 test ev gv
        86 xchg eb gb L
        87 xchg ev gv L
        88 mov eb gb
        89 mov ev gv
        8A mov gb eb
        8B mov gv ev
        8C movFromSeg ev sw
        8D lea gv m
        8E movSeg sw ew
        8F/0 pop ev
        90 nop
        91 xchg zv ax
        92 xchg zv ax
        93 xchg zv ax
        94 xchg zv ax
        95 xchg zv ax
        96 xchg zv ax
        97 xchg zv ax
        98 cbw
        99 cwd
        9A callf ap
        9B wait
        9C pushf
        9D popf
        9E sahf
        9F lahf
        A0 mov al ob
        A1 mov ax ov
        A2 mov ob al
        A3 mov ov ax
        A4 movs
        A5 movs
        A6 cmps
        A7 cmps
        A8 test al ib
        A9 test ax iz
        AA stos
        AB stos
        AC lods
        AD lods
        AE scas
        AF scas
        B0+r mov zb ib
        B8+r mov zv iv
        C0/0 rol eb ib
        C0/1 ror eb ib
        C0/2 rcl eb ib
        C0/3 rcr eb ib
        C0/4 shl eb ib
        C0/5 shr eb ib
        C0/6 sal eb ib
        C0/7 sar eb ib
        C1/0 rol ev ib
        C1/1 ror ev ib
        C1/2 rcl ev ib
        C1/3 rcr ev ib
        C1/4 shl ev ib
        C1/5 shr ev ib
        C1/6 sal ev ib
        C1/7 sar ev ib
        C2 ret iw
        C3 ret
        C4 les gv mp
        C5 lds gv mp
        C6/0 mov eb ib
        C7/0 mov ev iz
        C8 enter iw ib
        C9 leave
        CA retf iw
        CB retf
        CC int3
        CD int ib
        CE into
        CF iret
        D0/0 rol eb one
        D0/1 ror eb one
        D0/2 rcl eb one
        D0/3 rcr eb one
        D0/4 shl eb one
        D0/5 shr eb one
        D0/6 sal eb one
        D0/7 sar eb one
        D1/0 rol ev one
        D1/1 ror ev one
        D1/2 rcl ev one
        D1/3 rcr ev one
        D1/4 shl ev one
        D1/5 shr ev one
        D1/6 sal ev one
        D1/7 sar ev one
        D2/0 rol eb cl
        D2/1 ror eb cl
        D2/2 rcl eb cl
        D2/3 rcr eb cl
        D2/4 shl eb cl
        D2/5 shr eb cl
        D2/6 sal eb cl
        D2/7 sar eb cl
        D3/0 rol ev cl
        D3/1 ror ev cl
        D3/2 rcl ev cl
        D3/3 rcr ev cl
        D3/4 shl ev cl
        D3/5 shr ev cl
        D3/6 sal ev cl
        D3/7 sar ev cl
        D4 aam ib
        D5 aad ib
        D6 salc
        D7 xlat
        D8+r fpu ev
        E0 loopne jb
        E1 loope jb
        E2 loop jb
        E3 jcxz jb
        E4 in al ib
        E5 in ax ib
        E6 out ib al
        E7 out ib ax
        E8 call jz
        E9 jmp jz
        EA jmpf ap
        EB jmp jb
        EC in al dx
        ED in ax dx
        EE out dx al
        EF out dx ax
        F1 int1
        F4 hlt
        F5 cmc
        F6/0 test eb ib
        F6/1 test eb ib
        F6/2 not eb L
        F6/3 neg eb L
        F6/4 mul eb
        F6/5 imul eb
        F6/6 div eb
        F6/7 idiv eb
        F7/0 test ev iz
        F7/1 test ev iz
        F7/2 not ev L
        F7/3 neg ev L
        F7/4 mul ev
        F7/5 imul ev
        F7/6 div ev
        F7/7 idiv ev
        F8 clc
        F9 stc
        FA cli
        FB sti
        FC cld
        FD std
        FE/0 inc eb L
        FE/1 dec eb L
        FF/0 inc ev L
        FF/1 dec ev L
        FF/2 call ev
        FF/3 callf mp
        FF/4 jmp ev
        FF/5 jmpf mp
        FF/6 push ev
        0F00/0 sldt ev
        0F00/1 str ev
        0F00/2 lldt ew
        0F00/3 ltr ew
        0F00/4 verr ew
        0F00/5 verw ew
        0F01/0 sgdt m
        0F01/1 sidt m
        0F01/2 lgdt m
        0F01/3 lidt m
        0F01/4 smsw ev
        0F01/6 lmsw ew
        0F01/7 invlpg m
        0F02 lar gv ew
        0F03 lsl gv ew
        0F05 syscall
        0F06 clts
        0F07 sysret
        0F08 invd
        0F09 wbinvd
        0F0B ud2
        0F0D nop ev
        0F18 nop ev
        0F19 nop ev
        0F1A nop ev
        0F1B nop ev
        0F1C nop ev
        0F1D nop ev
        0F1E nop ev
        0F1F nop ev
        0F20 movFromCR ed cd
        0F21 movFromDR ed dd
        0F22 movToCR cd ed
        0F23 movToDR dd ed
        0F30 wrmsr
        0F31 rdtsc
        0F32 rdmsr
        0F33 rdpmc
        0F34 sysenter
        0F35 sysexit
        0F40+c cmov gv ev
        0F60 mmx pq qq
        0F61 mmx pq qq
        0F62 mmx pq qq
        0F63 mmx pq qq
        0F64 mmx pq qq
        0F65 mmx pq qq
        0F66 mmx pq qq
        0F67 mmx pq qq
        0F68 mmx pq qq
        0F69 mmx pq qq
        0F6A mmx pq qq
        0F6B mmx pq qq
        0F6E mmx pq ed
        0F6F mmx pq qq
        0F71 mmx qq ib
        0F72 mmx qq ib
        0F73 mmx qq ib
        0F74 mmx pq qq
        0F75 mmx pq qq
        0F76 mmx pq qq
        0F77 emms
        0F7E mmx ed pq
        0F7F mmx qq pq
        0F80+c jcc jz
        0F90+c set eb
        0FA0 pushSeg fs
        0FA1 popSeg fs
        0FA2 cpuid
        0FA3 bt ev gv
        0FA4 shld ev gv ib
        0FA5 shld ev gv cl
        0FA8 pushSeg gs
        0FA9 popSeg gs
        0FAA rsm
        0FAB bts ev gv L
        0FAC shrd ev gv ib
        0FAD shrd ev gv cl
        0FAE/0 fxsave m
        0FAE/1 fxrstor m
        0FAF imul gv ev
        0FB0 cmpxchg eb gb L
        0FB1 cmpxchg ev gv L
        0FB2 lss gv mp
        0FB3 btr ev gv L
        0FB4 lfs gv mp
        0FB5 lgs gv mp
        0FB6 movzx gv eb
        0FB7 movzx gv ew
        0FBA/4 bt ev ib
        0FBA/5 bts ev ib L
        0FBA/6 btr ev ib L
        0FBA/7 btc ev ib L
        0FBB btc ev gv L
        0FBC bsf gv ev
        0FBD bsr gv ev
        0FBE movsx gv eb
        0FBF movsx gv ew
        0FC0 xadd eb gb L
        0FC1 xadd ev gv L
        0FC7/1 cmpxchg8b mq L
        0FC8+r bswap zv
        0FD1 mmx pq qq
        0FD2 mmx pq qq
        0FD3 mmx pq qq
        0FD5 mmx pq qq
        0FD8 mmx pq qq
        0FD9 mmx pq qq
        0FDB mmx pq qq
        0FDC mmx pq qq
        0FDD mmx pq qq
        0FDF mmx pq qq
        0FE1 mmx pq qq
        0FE2 mmx pq qq
        0FE5 mmx pq qq
        0FE8 mmx pq qq
        0FE9 mmx pq qq
        0FEB mmx pq qq
        0FEC mmx pq qq
        0FED mmx pq qq
        0FEF mmx pq qq
        0FF1 mmx pq qq
        0FF2 mmx pq qq
        0FF3 mmx pq qq
        0FF5 mmx pq qq
        0FF8 mmx pq qq
        0FF9 mmx pq qq
        0FFA mmx pq qq
        0FFC mmx pq qq
        0FFD mmx pq qq
        0FFE mmx pq qq
        """

    /// What 64-bit mode has in place of others. SDM Vol. 2, appendix A, superscripts i64, o64, d64, f64.
    private static let text64 = """
        63 movsxd gv ed
        """
    /// One-byte opcodes that 64-bit mode does not have; 40–4F and C4, C5 are prefixes there.
    private static let invalid64: [Int] =
        [0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x60, 0x61, 0x62, 0x82, 0x9A, 0xCE, 0xD4, 0xD5, 0xD6, 0xEA]

    /// Operand spellings of the text.
    private static let operandNames: [String: Operand] = [
        "eb": .eb, "ew": .ew, "ev": .ev, "ed": .ed, "m": .m, "mp": .mp, "mq": .mq, "gb": .gb, "gw": .gw, "gv": .gv, "sw": .sw,
        "cd": .cd, "dd": .dd, "zb": .zb, "zv": .zv, "ib": .ib, "iw": .iw, "iz": .iz, "iv": .iv, "ibs": .ibs, "jb": .jb, "jz": .jz,
        "ap": .ap, "ob": .ob, "ov": .ov, "al": .al, "ax": .ax, "cl": .cl, "dx": .dx, "one": .one, "es": .es, "cs": .cs, "ss": .ss,
        "ds": .ds, "fs": .fs, "gs": .gs, "pq": .pq, "qq": .qq,
    ]

    private init() {
        var names: [String: Mnemonic] = [:]
        for m in Mnemonic.allCases { names[String(describing: m)] = m }
        var rows = [OpcodeRow](repeating: OpcodeRow(), count: 512)
        // The eight classic operations share one shape: 00–05, 08–0D, … 38–3D.
        var lines: [String] = []
        for (i, name) in ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"].enumerated() {
            let lock = name == "cmp" ? "" : " L"
            for (offset, operands) in ["eb gb\(lock)", "ev gv\(lock)", "gb eb", "gv ev", "al ib", "ax iz"].enumerated() {
                lines.append("\(hex2(i * 8 + offset)) \(name) \(operands)")
            }
        }
        for line in OpcodeMap.text.split(separator: "\n") { lines.append(String(line)) }
        for line in lines { OpcodeMap.parse(line, names, &rows) }
        self.rows = rows
        for opcode in OpcodeMap.invalid64 { rows[opcode] = OpcodeRow() }
        for line in OpcodeMap.text64.split(separator: "\n") { OpcodeMap.parse(String(line), names, &rows) }
        rows64 = rows
    }

    private static func parse(_ line: String, _ names: [String: Mnemonic], _ rows: inout [OpcodeRow]) {
        let words = line.split(separator: " ")
        var place = words[0]
        var digit = -1
        var span = 1
        if let slash = place.firstIndex(of: "/") {
            digit = Int(place[place.index(after: slash)...]) ?? 0
            place = place[..<slash]
        } else if place.hasSuffix("+r") {
            span = 8
            place = place.dropLast(2)
        } else if place.hasSuffix("+c") {
            span = 16
            place = place.dropLast(2)
        }
        let two = place.count == 4
        var slot = Int(two ? place.dropFirst(2) : place, radix: 16) ?? 0
        if two { slot += 256 }
        var row = OpcodeRow()
        row.mnemonic = names[String(words[1])] ?? .undefined
        precondition(row.mnemonic != .undefined, "the opcode map names an unknown mnemonic")
        var operands: [Operand] = []
        for word in words.dropFirst(2) {
            if word == "L" {
                row.lockable = true
            } else if let operand = OpcodeMap.operandNames[String(word)] {
                operands.append(operand)
            } else {
                preconditionFailure("the opcode map names an unknown operand")
            }
        }
        if operands.count > 0 { row.operands.0 = operands[0] }
        if operands.count > 1 { row.operands.1 = operands[1] }
        if operands.count > 2 { row.operands.2 = operands[2] }
        row.needsModRM = operands.contains { OpcodeMap.usesModRM($0) } || row.mnemonic == .fpu
        if digit >= 0 {
            if rows[slot].group < 0 {
                rows[slot].group = rows.count
                rows[slot].needsModRM = true
                rows.append(contentsOf: [OpcodeRow](repeating: OpcodeRow(), count: 8))
            }
            row.needsModRM = true
            rows[rows[slot].group + digit] = row
        } else {
            for i in 0..<span {
                row.condition = UInt8(i)
                rows[slot + i] = row
            }
        }
    }

    static func usesModRM(_ operand: Operand) -> Bool {
        switch operand {
        case .eb, .ew, .ev, .ed, .m, .mp, .mq, .gb, .gw, .gv, .sw, .cd, .dd, .pq, .qq: true
        default: false
        }
    }
}

private func hex2(_ value: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return text.count < 2 ? "0" + text : text
}
