/// What the translator makes of each kind of operation: the one table that says what exists.
///
/// A kind without an entry is executed by its interpreter handler, called from the translated code.
struct Lowering {
    enum Form: UInt8 {
        /// The interpreter's handler, called.
        case call
        case bail, next, segAddr, segBase, ripAddr
        case aluRR, aluRM, aluMR, aluRI, aluMI
        case moveRR, moveRM, moveMR, moveRI, moveMI, moveWide
        /// Zero or sign extension (`operation` 0 or 1) from `from` bytes.
        case extendR, extendM
        case lea, leaNarrow, exchangeRR, exchangeMR
        /// INC DEC NEG NOT: `operation` 0–3.
        case unaryR, unaryM
        case pushR, pushI, pushM, popR, leave
        /// ROL ROR RCL RCR SHL SHR - SAR by ModR/M's number.
        case shiftRI, shiftRC
        case multiplyRR, multiplyRM, multiplyRRI, multiplyRMI
        /// MUL, IMUL, DIV, IDIV of the accumulator: `operation` 4–7 as in ModR/M.
        case wideR, wideM
        case nop, widenAL, widenAX, clearCarry, setCarry, flipCarry, direction
        case setR, setM, conditionalRR, conditionalRM, bitRR, bitRI
        /// Jcc: condition in `operation`.
        case branch
        /// CMP, TEST or DEC, fused with a Jcc; `operation` has the ALU number, `condition` the condition.
        case fusedRR, fusedRI, fusedDec
        case jump, callNear, ret, jumpR, jumpM, callR, callM
        /// CALL and RET through a stack that is not flat.
        case callStack, retStack
        case loop, loopCondition, jcxz
        /// Not by kind alone: see `Lowering.of`. `operation` as in ModR/M.
        case rotateRI, rotateRC, shiftMI, shiftMC, bitScan, byteSwap, compareExchange, exchangeAdd, bitChange, doubleShift
    }

    var form = Form.call
    /// Operand size in bytes.
    var size = 0
    /// Source size of extensions.
    var from = 0
    var operation: UInt8 = 0
    var condition: UInt8 = 0
    /// Writes all six flags and reads none.
    var killsFlags = false
    /// Reads flags, or changes some and keeps others.
    var readsFlags = false
    /// May fault, or leave the block.
    var mayFault = false
    /// Writes the register `a`.
    var writesA = false
    /// Reads flags only to keep some as they are: when nobody wants them behind it, it wants none.
    var keepsSomeFlags: Bool {
        switch form {
        case .unaryR, .shiftRC, .bitRR, .bitRI: !mayFault
        default: false
        }
    }

    /// ADD OR ADC SBB AND SUB XOR CMP by number; TEST is 8 here.
    static let add: UInt8 = 0, or: UInt8 = 1, adc: UInt8 = 2, sbb: UInt8 = 3, and: UInt8 = 4, sub: UInt8 = 5, xor: UInt8 = 6, cmp: UInt8 = 7, test: UInt8 = 8

    /// By raw value of `Kind`.
    static let table: [Lowering] = makeTable()

    private static func makeTable() -> [Lowering] {
        var table = [Lowering](repeating: Lowering(readsFlags: true, mayFault: true), count: Int(Kind.dec_r64_jnz.rawValue) + 1)
        func set(_ kind: Kind, _ step: Int, _ row: Lowering) { table[Int(kind.rawValue) + step] = row }
        // Arithmetic: five forms of four sizes
        let groups: [Kind] = [.add_rr8, .or_rr8, .adc_rr8, .sbb_rr8, .and_rr8, .sub_rr8, .xor_rr8, .cmp_rr8]
        let forms: [Form] = [.aluRR, .aluRM, .aluMR, .aluRI, .aluMI]
        for (number, group) in groups.enumerated() {
            let operation = UInt8(number)
            let withCarry = operation == adc || operation == sbb
            for (n, form) in forms.enumerated() {
                for log in 0..<4 {
                    let memory = form == .aluRM || form == .aluMR || form == .aluMI
                    set(group, n * 4 + log, Lowering(
                        form: form, size: 1 << log, operation: operation, killsFlags: !withCarry, readsFlags: withCarry, mayFault: memory,
                        writesA: (form == .aluRR || form == .aluRM || form == .aluRI) && operation != cmp))
                }
            }
        }
        for (n, form) in [Form.aluRR, .aluMR, .aluRI, .aluMI].enumerated() {
            for log in 0..<4 {
                set(.test_rr8, n * 4 + log, Lowering(
                    form: form, size: 1 << log, operation: test, killsFlags: true, mayFault: form == .aluMR || form == .aluMI))
            }
        }
        let short: [UInt8] = [add, or, and, sub, xor]
        for (first, size) in [(Kind.add_rr32n, 4), (.add_rr64n, 8)] {
            for (n, form) in [Form.aluRR, .aluRI, .aluRM].enumerated() {
                for (m, operation) in short.enumerated() {
                    set(first, n * 5 + m, Lowering(
                        form: form, size: size, operation: operation, killsFlags: true, mayFault: form == .aluRM, writesA: true))
                }
            }
        }
        for (inc, shift, size) in [(Kind.inc_r32n, Kind.shl_ri32n, 4), (.inc_r64n, .shl_ri64n, 8)] {
            for n in 0..<2 { set(inc, n, Lowering(form: .unaryR, size: size, operation: UInt8(n), readsFlags: true, writesA: true)) }
            for (n, operation) in [UInt8(4), 5, 7].enumerated() {
                set(shift, n, Lowering(form: .shiftRI, size: size, operation: operation, killsFlags: true, writesA: true))
            }
        }
        // Moves
        for (n, form) in [Form.moveRR, .moveRM, .moveMR, .moveRI, .moveMI].enumerated() {
            for log in 0..<4 {
                set(.mov_rr8, n * 4 + log, Lowering(
                    form: form, size: 1 << log, mayFault: form == .moveRM || form == .moveMR || form == .moveMI,
                    writesA: form == .moveRR || form == .moveRM || form == .moveRI))
            }
        }
        let pairs = [(2, 1), (4, 1), (4, 2)]
        for (first, operation) in [(Kind.movzx_r16r8, UInt8(0)), (.movsx_r16r8, 1)] {
            for (n, pair) in pairs.enumerated() {
                set(first, n, Lowering(form: .extendR, size: pair.0, from: pair.1, operation: operation, writesA: true))
                set(first, n + 3, Lowering(form: .extendM, size: pair.0, from: pair.1, operation: operation, mayFault: true, writesA: true))
            }
        }
        for (n, from) in [1, 2, 4].enumerated() {
            set(.movsx_r64r8, n, Lowering(form: .extendR, size: 8, from: from, operation: 1, writesA: true))
            set(.movsx_r64r8, n + 3, Lowering(form: .extendM, size: 8, from: from, operation: 1, mayFault: true, writesA: true))
        }
        set(.mov_rw64, 0, Lowering(form: .moveWide, size: 8, writesA: true))
        set(.lea32, 0, Lowering(form: .lea, size: 4, writesA: true))
        set(.lea64, 0, Lowering(form: .lea, size: 8, writesA: true))
        set(.lea_, 0, Lowering(form: .leaNarrow, writesA: true))
        for log in 0..<4 {
            set(.xchg_rr8, log, Lowering(form: .exchangeRR, size: 1 << log, writesA: true))
            set(.xchg_mr8, log, Lowering(form: .exchangeMR, size: 1 << log, mayFault: true, writesA: true))
        }
        // One operand
        for (number, group) in [Kind.inc_r8, .dec_r8, .neg_r8, .not_r8].enumerated() {
            let (neg, not) = (number == 2, number == 3)
            for log in 0..<4 {
                set(group, log, Lowering(
                    form: .unaryR, size: 1 << log, operation: UInt8(number), killsFlags: neg, readsFlags: !neg && !not, writesA: true))
                set(group, log + 4, Lowering(
                    form: .unaryM, size: 1 << log, operation: UInt8(number), killsFlags: neg, readsFlags: !neg && !not, mayFault: true))
            }
        }
        // Stack
        set(.push_rf, 0, Lowering(form: .pushR, mayFault: true))
        set(.push_if, 0, Lowering(form: .pushI, mayFault: true))
        set(.push_mf, 0, Lowering(form: .pushM, mayFault: true))
        set(.pop_rf, 0, Lowering(form: .popR, mayFault: true, writesA: true))
        set(.leave_f, 0, Lowering(form: .leave, mayFault: true))
        // Shifts and multiplication
        for (byImmediate, byCL, size) in [(Kind.shl_ri32, Kind.shl_rc32, 4), (.shl_ri64, .shl_rc64, 8)] {
            for (n, operation) in [UInt8(4), 5, 7].enumerated() {
                set(byImmediate, n, Lowering(form: .shiftRI, size: size, operation: operation, killsFlags: true, writesA: true))
                set(byCL, n, Lowering(form: .shiftRC, size: size, operation: operation, readsFlags: true, writesA: true))
            }
        }
        for (n, size) in [4, 8].enumerated() {
            let step = n * 4
            set(.imul_rr32, step, Lowering(form: .multiplyRR, size: size, killsFlags: true, writesA: true))
            set(.imul_rr32, step + 1, Lowering(form: .multiplyRM, size: size, killsFlags: true, mayFault: true, writesA: true))
            set(.imul_rr32, step + 2, Lowering(form: .multiplyRRI, size: size, killsFlags: true, writesA: true))
            set(.imul_rr32, step + 3, Lowering(form: .multiplyRMI, size: size, killsFlags: true, mayFault: true, writesA: true))
            for operation in 0..<4 {
                // Divisions leave the flags alone, and may fault.
                let divides = operation >= 2
                for memory in 0..<2 {
                    set(.mul_r32, n * 8 + operation * 2 + memory, Lowering(
                        form: memory == 0 ? .wideR : .wideM, size: size, operation: UInt8(operation + 4), killsFlags: !divides,
                        mayFault: divides || memory == 1))
                }
            }
        }
        // Small ones
        set(.nop, 0, Lowering(form: .nop))
        for (n, row) in [(1, 2), (2, 4), (4, 8)].enumerated() {
            set(.cbw, n, Lowering(form: .widenAL, size: row.1, from: row.0))
            set(.cwd, n, Lowering(form: .widenAX, size: row.1))
        }
        set(.clc, 0, Lowering(form: .clearCarry, readsFlags: true))
        set(.stc, 0, Lowering(form: .setCarry, readsFlags: true))
        set(.cmc, 0, Lowering(form: .flipCarry, readsFlags: true))
        set(.cld, 0, Lowering(form: .direction, operation: 0))
        set(.std, 0, Lowering(form: .direction, operation: 1))
        set(.set_r, 0, Lowering(form: .setR, size: 1, readsFlags: true, writesA: true))
        set(.set_m, 0, Lowering(form: .setM, size: 1, readsFlags: true, mayFault: true))
        for (first, size) in [(Kind.cmov_rr32, 4), (.cmov_rr64, 8)] {
            set(first, 0, Lowering(form: .conditionalRR, size: size, readsFlags: true, writesA: true))
            set(first, 1, Lowering(form: .conditionalRM, size: size, readsFlags: true, mayFault: true, writesA: true))
            set(first, 2, Lowering(form: .bitRR, size: size, readsFlags: true))
            set(first, 3, Lowering(form: .bitRI, size: size, readsFlags: true))
        }
        // Branches
        for condition in 0..<16 { set(.jo, condition, Lowering(form: .branch, condition: UInt8(condition), readsFlags: true, mayFault: true)) }
        for (kind, form) in [
            (Kind.jmp, Form.jump), (.call_f, .callNear), (.call16, .callStack), (.call32, .callStack), (.ret_f, .ret), (.ret16, .retStack),
            (.ret32, .retStack), (.jmp_rw, .jumpR), (.jmp_mw, .jumpM), (.call_rf, .callR), (.call_mf, .callM), (.next, .next), (.bail, .bail),
        ] { set(kind, 0, Lowering(form: form, readsFlags: true, mayFault: true)) }
        set(.segAddr, 0, Lowering(form: .segAddr, mayFault: true))
        set(.segBase, 0, Lowering(form: .segBase))
        set(.ripAddr, 0, Lowering(form: .ripAddr))
        set(.loop16, 0, Lowering(form: .loop, size: 2, readsFlags: true, mayFault: true))
        set(.loop_w, 0, Lowering(form: .loop, readsFlags: true, mayFault: true))
        set(.loopc16, 0, Lowering(form: .loopCondition, size: 2, readsFlags: true, mayFault: true))
        set(.loopc_w, 0, Lowering(form: .loopCondition, readsFlags: true, mayFault: true))
        set(.jcxz16, 0, Lowering(form: .jcxz, size: 2, readsFlags: true, mayFault: true))
        set(.jcxz_w, 0, Lowering(form: .jcxz, readsFlags: true, mayFault: true))
        // Fused; a block goes on behind them, so that what they leave may be wanted.
        let conditions: [UInt8] = [4, 5, 2, 3, 6, 7, 12, 13, 14, 15]
        for (first, form, size) in [
            (Kind.cmp_rr32_jz, Form.fusedRR, 4), (.cmp_ri32_jz, .fusedRI, 4), (.cmp_ri8_jz, .fusedRI, 1), (.cmp_rr64_jz, .fusedRR, 8),
            (.cmp_ri64_jz, .fusedRI, 8),
        ] {
            for (n, condition) in conditions.enumerated() {
                set(first, n, Lowering(form: form, size: size, operation: cmp, condition: condition, killsFlags: true))
            }
        }
        for (first, size) in [(Kind.test_rr32_jz, 4), (.test_rr64_jz, 8)] {
            for (n, condition) in [UInt8(4), 5, 8, 9].enumerated() {
                set(first, n, Lowering(form: .fusedRR, size: size, operation: test, condition: condition, killsFlags: true))
            }
            set(first, 4, Lowering(form: .fusedDec, size: size, condition: 5, readsFlags: true, writesA: true))
        }
        for n in 0..<2 {
            set(.test_rr8_jz, n, Lowering(form: .fusedRR, size: 1, operation: test, condition: UInt8(4 + n), killsFlags: true))
        }
        return table
    }
}
