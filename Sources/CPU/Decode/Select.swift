/// Chooses the operation for a decoded row: a specialised kind where there is one, else the slow handler by mnemonic.
extension Decoder {
    mutating func select(_ op: inout Op, _ row: OpcodeRow, opcode: UInt8) {
        let size = Int(op.flags & 3)
        let bytes = 1 << size
        let register = op.isRegisterForm
        if !features.isSuperset(of: Decoder.needed(row.mnemonic, op, opcode)) { return emitUndefined(&op) }
        switch row.mnemonic {
        case .add, .or, .adc, .sbb, .and, .sub, .xor, .cmp: arithmetic(&op, row, size)
        case .test:
            switch row.operands.0 {
            case .al, .ax:
                op.a = 0
                op.kind = Kind.test_ri8.sized(size)
            default:
                let immediate = row.operands.1 == .ib || row.operands.1 == .iz
                if register {
                    (op.a, op.b) = (op.b, op.a)
                    op.kind = (immediate ? Kind.test_ri8 : .test_rr8).sized(size)
                } else {
                    memory(&op, bytes, write: false)
                    op.kind = (immediate ? Kind.test_mi8 : .test_mr8).sized(size)
                }
            }
            emit(op)
        case .mov: move(&op, row, size)
        case .inc, .dec, .neg, .not: unary(&op, row, size)
        case .rol, .ror, .rcl, .rcr, .shl, .shr, .sal, .sar: shift(&op, row, size)
        case .imul where row.operands.0 == .gv && size >= 2:
            let step = row.operands.2 != .none ? 2 : 0
            if !register { memory(&op, bytes, write: false) }
            op.kind = (size == 2 ? Kind.imul_rr32 : .imul_rr64).offset(step + (register ? 0 : 1))
            emit(op)
        case .mul where size >= 2: wideArithmetic(&op, size == 2 ? .mul_r32 : .mul_r64)
        case .imul where size >= 2: wideArithmetic(&op, size == 2 ? .imul_r32 : .imul_r64)
        case .div where size >= 2: wideArithmetic(&op, size == 2 ? .div_r32 : .div_r64)
        case .idiv where size >= 2: wideArithmetic(&op, size == 2 ? .idiv_r32 : .idiv_r64)
        case .movsxd:
            // Without REX.W it widens nothing.
            if !register { memory(&op, size == 1 ? 2 : 4, write: false) }
            let kinds: [Kind] = register ? [.mov_rr16, .mov_rr32, .movsx_r64r32] : [.mov_rm16, .mov_rm32, .movsx_r64m32]
            op.kind = kinds[max(size, 1) - 1]
            emit(op)
        case .movsx where size == 3:
            let fromByte = row.operands.1 == .eb
            if !register { memory(&op, fromByte ? 1 : 2, write: false) }
            op.kind = Kind.movsx_r64r8.offset((fromByte ? 0 : 1) + (register ? 0 : 3))
            emit(op)
        case .movzx, .movsx:
            let fromByte = row.operands.1 == .eb
            if size == 1 && !fromByte {
                // A 16-bit move that widens nothing.
                if register { op.kind = .mov_rr16 } else { memory(&op, 2, write: false); op.kind = .mov_rm16 }
                return emit(op)
            }
            let base: Kind = row.mnemonic == .movzx ? .movzx_r16r8 : .movsx_r16r8
            let shape = size == 1 ? 0 : fromByte ? 1 : 2
            if !register { memory(&op, fromByte ? 1 : 2, write: false) }
            op.kind = base.offset(shape + (register ? 0 : 3))
            emit(op)
        case .lea:
            if register { return emitUndefined(&op) }
            lea(&op, size)
        case .xchg:
            if row.operands.0 == .zv {
                op.b = 0
                op.kind = Kind.xchg_rr8.sized(size)
            } else if register {
                op.kind = Kind.xchg_rr8.sized(size)
            } else {
                memory(&op, bytes, write: true)
                op.kind = Kind.xchg_mr8.sized(size)
            }
            emit(op)
        case .push, .pop: stack(&op, row, size)
        case .leave:
            if size == nativeSize && flatStack {
                op.kind = .leave_f
                emit(op)
            } else {
                emitSlow(&op, .leave, ends: false)
            }
        case .nop:
            // 90 with REX.B is XCHG RAX, R8.
            if opcode == 0x90 && rex & 1 != 0 {
                (op.a, op.b) = (64, 0)
                op.kind = Kind.xchg_rr8.sized(size)
            } else if opcode == 0x90 && op.hasREP {
                return emitSlow(&op, .nop, ends: false)  // PAUSE
            } else {
                op.kind = .nop
            }
            emit(op)
        case .cbw:
            op.kind = Kind.cbw.offset(size - 1)
            emit(op)
        case .cwd:
            op.kind = Kind.cwd.offset(size - 1)
            emit(op)
        case .clc: simple(&op, .clc)
        case .stc: simple(&op, .stc)
        case .cmc: simple(&op, .cmc)
        case .cld: simple(&op, .cld)
        case .std: simple(&op, .std)
        case .set:
            if register {
                op.a = op.b
                op.kind = .set_r
            } else {
                memory(&op, 1, write: true)
                op.kind = .set_m
            }
            op.sub = UInt16(row.condition)
            emit(op)
        case .cmov where size >= 2:
            if !register { memory(&op, bytes, write: false) }
            op.kind = (size == 2 ? Kind.cmov_rr32 : .cmov_rr64).offset(register ? 0 : 1)
            op.sub = UInt16(row.condition)
            emit(op)
        case .cmov:
            op.imm = Int32(row.condition)
            emitSlow(&op, .cmov, ends: false)
        case .bt where register && size >= 2:
            (op.a, op.b) = (op.b, op.a)
            op.kind = (size == 2 ? Kind.bt_rr32 : .bt_rr64).offset(row.operands.1 == .ib ? 1 : 0)
            emit(op)
        case .jcc, .jmp, .call, .ret, .loop, .loope, .loopne, .jcxz: branch(&op, row)
        case .fpu:
            op.kind = .fpu
            op.sub = UInt16(opcode)
            emit(op)
        case .mmx, .emms:
            op.kind = .mmx
            op.sub = UInt16(opcode)
            emit(op)
        case .pushSeg, .popSeg:
            // Segment number in `a`.
            op.a = segmentNumber(row.operands.0)
            emitSlow(&op, row.mnemonic, ends: row.mnemonic == .popSeg)
        case .les, .lds, .lss, .lfs, .lgs:
            if register { return emitUndefined(&op) }
            op.imm =
                switch row.mnemonic {
                case .les: 0
                case .lds: 3
                case .lss: 2
                case .lfs: 4
                default: 5
                }
            emitSlow(&op, row.mnemonic, ends: true)
        case .invlpg where register:
            // 0F 01 F8 and F9 have no memory operand.
            switch op.modrm {
            case 0xF8 where is64: emitSlow(&op, .swapgs, ends: true)
            case 0xF9 where has(.rdtscp): emitSlow(&op, .rdtscp, ends: false)
            default: emitUndefined(&op)
            }
        case .cmpxchg8b where register: emitUndefined(&op)
        case .cmpxchg8b where size == 3 && !has(.cx16): emitUndefined(&op)
        case .jmpf, .callf, .bound, .cmpxchg8b, .sgdt, .sidt, .lgdt, .lidt, .invlpg, .fxsave, .fxrstor:
            if register && row.operands.0 != .ap { return emitUndefined(&op) }
            emitSlow(&op, row.mnemonic, ends: row.mnemonic != .bound && row.mnemonic != .cmpxchg8b)
        case .movs, .cmps, .stos, .lods, .scas:
            emitSlow(&op, row.mnemonic, ends: op.flags & 0x30 != 0)
        case .undefined: emitUndefined(&op)
        // Forms that share a mnemonic are told apart in `wide`.
        case .imul where row.operands.0 == .gv:
            op.wide = row.operands.2 == .none ? 1 : 2
            emitSlow(&op, .imul, ends: false)
        case .shld, .shrd:
            op.wide = row.operands.2 == .cl ? 1 : 0
            emitSlow(&op, row.mnemonic, ends: false)
        case .bt, .bts, .btr, .btc:
            op.wide = row.operands.1 == .ib ? 1 : 0
            emitSlow(&op, row.mnemonic, ends: false)
        case .in, .out:
            op.wide = row.operands.0 == .ib || row.operands.1 == .ib ? 1 : 0
            emitSlow(&op, row.mnemonic, ends: true)
        default: emitSlow(&op, row.mnemonic, ends: endsBlock(row.mnemonic))
        }
    }

    /// Instructions that change what decoding depends on, read time or ports, or transfer control.
    private func endsBlock(_ mnemonic: Mnemonic) -> Bool {
        switch mnemonic {
        case .mul, .imul, .div, .idiv, .shld, .shrd, .bswap, .xlat, .pusha, .popa, .pushf, .enter, .sahf, .lahf, .salc, .aaa, .aas, .aam, .aad, .daa, .das,
            .bt, .bts, .btr, .btc, .bsf, .bsr, .cmpxchg, .xadd, .movFromSeg, .wait, .verr, .verw, .lar, .lsl, .arpl, .sldt, .str, .smsw, .rdtsc, .cmov:
            false
        default: true
        }
    }

    /// log2 of the word of the code: 2, in 64-bit code 3.
    private var nativeSize: Int { is64 ? 3 : 2 }

    /// Features without which an instruction is undefined. SIMD has its own table.
    private static func needed(_ mnemonic: Mnemonic, _ op: Op, _ opcode: UInt8) -> CPUFeatures {
        switch mnemonic {
        case .cmov: .cmov
        case .cmpxchg8b: .cx8
        case .rdtsc: .tsc
        case .rdmsr, .wrmsr: .msr
        case .sysenter, .sysexit: .sep
        case .syscall, .sysret: .syscall
        case .rdpmc, .mmx, .emms: .mmx
        case .fxsave, .fxrstor: .fxsr
        case .nop where opcode != 0x90: .nopl
        case .fpu where op.isRegisterForm:
            switch (opcode, op.modrm) {
            // FCMOVcc, FUCOMI, FCOMI and their popping forms.
            case (0xDA, 0xC0...0xDF), (0xDB, 0xC0...0xDF), (0xDB, 0xE8...0xF7), (0xDF, 0xE8...0xF7): [.fpu, .cmov]
            default: []
            }
        default: []
        }
    }

    /// LEA: the address as a number, cut to the operand size.
    private mutating func lea(_ op: inout Op, _ size: Int) {
        if op.base == 136 {
            // The micro-operation in front holds it; reading the scratch register is as good.
            op.kind = size == 3 ? .lea64 : size == 2 ? .lea32 : .lea_
        } else if size == 3 && op.addressMask == .max {
            op.kind = .lea64
        } else {
            op.kind = size == 2 && op.addressMask == (is64 ? .max : 0xFFFF_FFFF) ? .lea32 : .lea_
        }
        emit(op)
    }

    var flatStack: Bool { mode & (Mode.flatSS | Mode.bigStack) == Mode.flatSS | Mode.bigStack }

    private mutating func simple(_ op: inout Op, _ kind: Kind) {
        op.kind = kind
        emit(op)
    }

    private mutating func emitUndefined(_ op: inout Op) {
        op.imm = 6
        emitSlow(&op, .undefined, ends: true)
    }

    private func segmentNumber(_ operand: Operand) -> UInt8 {
        switch operand {
        case .es: 0
        case .cs: 1
        case .ss: 2
        case .ds: 3
        case .fs: 4
        default: 5
        }
    }

    /// EDX:EAX with a 32-bit register or memory operand.
    private mutating func wideArithmetic(_ op: inout Op, _ kind: Kind) {
        if !op.isRegisterForm { memory(&op, op.operandBytes, write: false) }
        op.kind = kind.offset(op.isRegisterForm ? 0 : 1)
        emit(op)
    }

    private mutating func arithmetic(_ op: inout Op, _ row: OpcodeRow, _ size: Int) {
        let group: Kind =
            switch row.mnemonic {
            case .add: .add_rr8
            case .or: .or_rr8
            case .adc: .adc_rr8
            case .sbb: .sbb_rr8
            case .and: .and_rr8
            case .sub: .sub_rr8
            case .xor: .xor_rr8
            default: .cmp_rr8
            }
        let (rr, rm, mr, ri, mi) = (0, 4, 8, 12, 16)
        switch (row.operands.0, row.operands.1) {
        case (.al, _), (.ax, _):
            op.a = 0
            op.kind = group.offset(ri + size)
        case (.eb, .gb), (.ev, .gv):
            if op.isRegisterForm {
                (op.a, op.b) = (op.b, op.a)
                op.kind = group.offset(rr + size)
            } else {
                memory(&op, 1 << size, write: row.mnemonic != .cmp)
                op.kind = group.offset(mr + size)
            }
        case (.gb, _), (.gv, _):
            if op.isRegisterForm {
                op.kind = group.offset(rr + size)
            } else {
                memory(&op, 1 << size, write: false)
                op.kind = group.offset(rm + size)
            }
        default:
            if op.isRegisterForm {
                op.a = op.b
                op.kind = group.offset(ri + size)
            } else {
                memory(&op, 1 << size, write: row.mnemonic != .cmp)
                op.kind = group.offset(mi + size)
            }
        }
        emit(op)
    }

    private mutating func move(_ op: inout Op, _ row: OpcodeRow, _ size: Int) {
        let register = op.isRegisterForm
        let bytes = 1 << size
        switch (row.operands.0, row.operands.1) {
        case (.zv, _) where size == 3: op.kind = .mov_rw64
        case (.zb, _), (.zv, _): op.kind = Kind.mov_ri8.sized(size)
        case (.al, _), (.ax, _):
            op.a = 0
            memory(&op, bytes, write: false)
            op.kind = Kind.mov_rm8.sized(size)
        case (.ob, _), (.ov, _):
            op.a = 0
            memory(&op, bytes, write: true)
            op.kind = Kind.mov_mr8.sized(size)
        case (.eb, .gb), (.ev, .gv):
            if register {
                (op.a, op.b) = (op.b, op.a)
                op.kind = Kind.mov_rr8.sized(size)
            } else {
                memory(&op, bytes, write: true)
                op.kind = Kind.mov_mr8.sized(size)
            }
        case (.gb, _), (.gv, _):
            if register {
                op.kind = Kind.mov_rr8.sized(size)
            } else {
                memory(&op, bytes, write: false)
                op.kind = Kind.mov_rm8.sized(size)
            }
        default:
            if register {
                op.a = op.b
                op.kind = Kind.mov_ri8.sized(size)
            } else {
                memory(&op, bytes, write: true)
                op.kind = Kind.mov_mi8.sized(size)
            }
        }
        emit(op)
    }

    private mutating func unary(_ op: inout Op, _ row: OpcodeRow, _ size: Int) {
        let group: Kind =
            switch row.mnemonic {
            case .inc: .inc_r8
            case .dec: .dec_r8
            case .neg: .neg_r8
            default: .not_r8
            }
        if row.operands.0 == .zv {
            op.kind = group.sized(size)
        } else if op.isRegisterForm {
            op.a = op.b
            op.kind = group.sized(size)
        } else {
            memory(&op, 1 << size, write: true)
            op.kind = group.offset(4 + size)
        }
        emit(op)
    }

    private mutating func shift(_ op: inout Op, _ row: OpcodeRow, _ size: Int) {
        let number: UInt16 =
            switch row.mnemonic {
            case .rol: 0
            case .ror: 1
            case .rcl: 2
            case .rcr: 3
            case .shl, .sal: 4
            case .shr: 5
            default: 7
            }
        let byCL = row.operands.1 == .cl
        op.imm &= size == 3 ? 63 : 31
        if op.isRegisterForm {
            op.a = op.b
            if size >= 2 && number >= 4 {
                let step = (number == 4 || number == 6 ? 0 : number == 5 ? 1 : 2) + (size == 3 ? Int(Kind.shl_ri64.rawValue - Kind.shl_ri32.rawValue) : 0)
                // A 32-bit shift by 0 still clears the upper half of the register in 64-bit mode.
                if byCL || op.imm != 0 {
                    op.kind = (byCL ? Kind.shl_rc32 : .shl_ri32).offset(step)
                } else if is64 && size == 2 {
                    op.b = op.a
                    op.kind = .mov_rr32
                } else {
                    op.kind = .nop
                }
            } else {
                op.kind = (byCL ? Kind.shift_rc8 : .shift_ri8).sized(size)
                op.sub = number
            }
        } else {
            memory(&op, 1 << size, write: true)
            op.kind = (byCL ? Kind.shift_mc8 : .shift_mi8).sized(size)
            op.sub = number
        }
        emit(op)
    }

    private mutating func stack(_ op: inout Op, _ row: OpcodeRow, _ size: Int) {
        let flat = flatStack && size == nativeSize
        switch (row.mnemonic, row.operands.0) {
        case (.push, .zv): op.kind = flat ? .push_rf : size == 1 ? .push_r16 : .push_r32
        case (.push, .iz), (.push, .ibs): op.kind = flat ? .push_if : size == 1 ? .push_i16 : .push_i32
        case (.pop, .zv): op.kind = flat ? .pop_rf : size == 1 ? .pop_r16 : .pop_r32
        case (.push, _) where flat && op.isRegisterForm:
            op.a = op.b
            op.kind = .push_rf
        case (.push, _) where flat:
            memory(&op, 1 << size, write: false)
            op.kind = .push_mf
        default: return emitSlow(&op, row.mnemonic, ends: false)
        }
        emit(op)
    }

    private mutating func branch(_ op: inout Op, _ row: OpcodeRow) {
        let relative = row.operands.0 == .jb || row.operands.0 == .jz
        var absolute: UInt64 = 0
        if relative { absolute = target(&op) }
        // A target two gigabytes away from the block's start, or more, does not fit the operation.
        let near = !relative || rip &+ UInt64(bitPattern: Int64(op.disp)) == absolute || !is64
        let plain = plainBranch(op) && near
        let native = op.flags & 3 == UInt8(nativeSize)
        switch row.mnemonic {
        case .jcc:
            guard plain else { return slowBranch(&op, row, absolute) }
            if let kind = fused(Int(row.condition)) { return fuse(kind, op) }
            op.kind = Kind.jo.offset(Int(row.condition))
            return emit(op)
        case .loop, .loope, .loopne, .jcxz:
            let wide = op.addressMask == (is64 ? .max : 0xFFFF_FFFF)
            guard plain, wide || op.addressMask == 0xFFFF else { return slowBranch(&op, row, absolute) }
            switch row.mnemonic {
            case .loop: op.kind = wide ? .loop_w : .loop16
            case .jcxz: op.kind = wide ? .jcxz_w : .jcxz16
            default:
                op.kind = wide ? .loopc_w : .loopc16
                op.sub = row.mnemonic == .loope ? 1 : 0
            }
            return emit(op)
        case .jmp where relative:
            guard plain else { return slowBranch(&op, row, absolute) }
            op.kind = .jmp
        case .call where relative:
            guard plain else { return slowBranch(&op, row, absolute) }
            op.kind = op.flags & 3 == 1 ? .call16 : flatStack ? .call_f : .call32
        case .ret where row.operands.0 == .none && plain: op.kind = op.flags & 3 == 1 ? .ret16 : flatStack ? .ret_f : .ret32
        case .jmp where plain && native:
            if op.isRegisterForm {
                op.a = op.b
                op.kind = .jmp_rw
            } else {
                memory(&op, op.operandBytes, write: false)
                op.kind = .jmp_mw
            }
        case .call where plain && flatStack && native:
            if op.isRegisterForm {
                op.a = op.b
                op.kind = .call_rf
            } else {
                memory(&op, op.operandBytes, write: false)
                op.kind = .call_mf
            }
        default: return slowBranch(&op, row, absolute)
        }
        emit(op)
        end()
    }

    /// A near branch with limit check; the absolute target is in `wide` for relative ones.
    private mutating func slowBranch(_ op: inout Op, _ row: OpcodeRow, _ target: UInt64) {
        if row.operands.0 == .jb || row.operands.0 == .jz { op.wide = target }
        if row.mnemonic == .jcc { op.imm = Int32(row.condition) }
        emitSlow(&op, row.mnemonic, ends: true)
    }

    /// CMP, TEST or DEC just before this Jcc.
    private func fused(_ condition: Int) -> Kind? {
        guard let last = previous() else { return nil }
        let order: [Int] = [-1, -1, 2, 3, 0, 1, 4, 5, -1, -1, -1, -1, 6, 7, 8, 9]
        let step = order[condition]
        switch last {
        case .cmp_rr32: return step < 0 ? nil : Kind.cmp_rr32_jz.offset(step)
        case .cmp_ri32: return step < 0 ? nil : Kind.cmp_ri32_jz.offset(step)
        case .cmp_rr64: return step < 0 ? nil : Kind.cmp_rr64_jz.offset(step)
        case .cmp_ri64: return step < 0 ? nil : Kind.cmp_ri64_jz.offset(step)
        case .test_rr64:
            if condition == 4 || condition == 5 { return Kind.test_rr64_jz.offset(condition - 4) }
            return condition == 8 || condition == 9 ? Kind.test_rr64_js.offset(condition - 8) : nil
        case .dec_r64: return condition == 5 ? .dec_r64_jnz : nil
        case .cmp_ri8: return step < 0 ? nil : Kind.cmp_ri8_jz.offset(step)
        case .test_rr32:
            if condition == 4 || condition == 5 { return Kind.test_rr32_jz.offset(condition - 4) }
            return condition == 8 || condition == 9 ? Kind.test_rr32_js.offset(condition - 8) : nil
        case .test_rr8: return condition == 4 || condition == 5 ? Kind.test_rr8_jz.offset(condition - 4) : nil
        case .dec_r32: return condition == 5 ? .dec_r32_jnz : nil
        default: return nil
        }
    }
}
