@testable import CPU

/// Which flags an execution of an instruction reads, sets, and leaves undefined.
///
/// An undefined flag is not compared, and no later instruction may read it: the generator drops such an instruction.
struct FlagEffect {
    var reads: UInt32 = 0
    var sets: UInt32 = 0
    var undefined: UInt32 = 0
    /// The result itself is undefined: the execution is not generated.
    var undefinedResult = false
}

/// The rules, each with its place in SDM Vol. 2, "Flags Affected" of the instruction's page. The same bits are undefined in AMD's
/// *Architecture Programmer's Manual* vol. 3; where the two makers' processors agree with ours anyway, nothing is lost but a comparison.
enum FlagRule: Int, CaseIterable {
    case logic, multiply, divide, shift, rotate, doubleShift, bitTest, bitScan, decimalAdjust, asciiAdjust, asciiMultiply

    var text: String {
        switch self {
        case .logic: "AND OR XOR TEST: AF"
        case .multiply: "MUL IMUL: SF ZF AF PF"
        case .divide: "DIV IDIV: all six, also when #DE"
        case .shift: "SHL SHR SAR: AF; OF unless the masked count is 1; CF when SHL or SHR shifts by the operand's width or more"
        case .rotate: "ROL ROR RCL RCR: OF unless the masked count is 1"
        case .doubleShift: "SHLD SHRD: AF; OF unless the count is 1; everything when the count exceeds the operand's width"
        case .bitTest: "BT BTS BTR BTC: OF SF AF PF"
        case .bitScan: "BSF BSR: all but ZF"
        case .decimalAdjust: "DAA DAS: OF"
        case .asciiAdjust: "AAA AAS: OF SF ZF PF"
        case .asciiMultiply: "AAM AAD: OF AF CF"
        }
    }
}

enum Flags {
    static let cf = EFlags.cf, pf = EFlags.pf, af = EFlags.af, zf = EFlags.zf, sf = EFlags.sf, of = EFlags.of
    static let all = EFlags.arithmetic

    /// What a condition code reads.
    static func condition(_ code: UInt8) -> UInt32 {
        [of, cf, zf, cf | zf, sf, pf, sf | of, zf | sf | of][Int(code >> 1) & 7]
    }

    /// `bits`: operand size. `count`: raw count of shifts, or iterations a REP was asked for.
    static func effect(_ mnemonic: Mnemonic, condition code: UInt8, bits: Int, count: Int) -> (FlagEffect, FlagRule?) {
        var e = FlagEffect()
        var rule: FlagRule?
        switch mnemonic {
        case .add, .sub, .cmp, .neg, .cmpxchg, .xadd: e.sets = all
        case .adc, .sbb:
            e.reads = cf
            e.sets = all
        case .and, .or, .xor, .test:
            e.sets = all & ~af
            e.undefined = af
            rule = .logic
        case .inc, .dec: e.sets = all & ~cf
        case .mul, .imul:
            e.sets = cf | of
            e.undefined = sf | zf | af | pf
            rule = .multiply
        case .div, .idiv:
            e.undefined = all
            rule = .divide
        case .rol, .ror, .rcl, .rcr:
            let c = count & 31
            if mnemonic == .rcl || mnemonic == .rcr { e.reads = cf }
            if c == 0 { break }
            e.sets = cf
            if c == 1 { e.sets |= of } else { (e.undefined, rule) = (of, .rotate) }
        case .shl, .sal, .shr, .sar:
            let c = count & 31
            if c == 0 { break }
            e.sets = sf | zf | pf
            e.undefined = af
            if c == 1 { e.sets |= of } else { e.undefined |= of }
            if mnemonic != .sar && c >= bits { e.undefined |= cf } else { e.sets |= cf }
            rule = .shift
        case .shld, .shrd:
            let c = count & 31
            if c == 0 { break }
            rule = .doubleShift
            e.sets = sf | zf | pf | cf
            e.undefined = af
            if c == 1 { e.sets |= of } else { e.undefined |= of }
            e.undefinedResult = c > bits
        case .bt, .bts, .btr, .btc:
            e.sets = cf
            e.undefined = of | sf | af | pf
            rule = .bitTest
        case .bsf, .bsr:
            e.sets = zf
            e.undefined = all & ~zf
            rule = .bitScan
        case .daa, .das:
            e.reads = cf | af
            e.sets = all & ~of
            e.undefined = of
            rule = .decimalAdjust
        case .aaa, .aas:
            e.reads = af
            e.sets = af | cf
            e.undefined = of | sf | zf | pf
            rule = .asciiAdjust
        case .aam, .aad:
            e.sets = sf | zf | pf
            e.undefined = of | af | cf
            rule = .asciiMultiply
        case .salc: e.reads = cf
        case .cmc:
            e.reads = cf
            e.sets = cf
        case .clc, .stc: e.sets = cf
        case .sahf: e.sets = all & ~of
        case .lahf: e.reads = all & ~of
        case .popf, .iret: e.sets = all
        case .pushf: e.reads = all
        case .into: e.reads = of
        case .cmov, .set, .jcc: e.reads = condition(code)
        case .loope, .loopne: e.reads = zf
        case .cmps, .scas: if count > 0 { e.sets = all }
        case .arpl, .lar, .lsl, .verr, .verw, .cmpxchg8b: e.sets = zf
        default: break
        }
        return (e, rule)
    }

    /// x87 instructions in register form that read or write EFLAGS: FCMOVcc, FCOMI and relatives.
    static func effect(x87 opcode: UInt8, _ modrm: UInt8) -> FlagEffect {
        var e = FlagEffect()
        guard modrm >= 0xC0 else { return e }
        switch (opcode, (modrm >> 3) & 7) {
        case (0xDA, 0...3), (0xDB, 0...3): e.reads = [cf, zf, cf | zf, pf][Int(modrm >> 3) & 3]
        case (0xDB, 5), (0xDB, 6), (0xDF, 5), (0xDF, 6): e.sets = all
        default: break
        }
        return e
    }

    static func text(_ flags: UInt32) -> String {
        var words: [String] = []
        for (bit, name) in [(11, "OF"), (7, "SF"), (6, "ZF"), (4, "AF"), (2, "PF"), (0, "CF"), (10, "DF"), (14, "NT"), (18, "AC"), (21, "ID"), (8, "TF")]
        where flags >> UInt32(bit) & 1 != 0 { words.append(name) }
        return words.joined(separator: " ")
    }
}
