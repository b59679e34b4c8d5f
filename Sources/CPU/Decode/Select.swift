/// Chooses the operation for a decoded row: a specialised kind where there is one, else the slow handler by mnemonic.
extension Decoder {
    mutating func select(_ op: inout Op, _ row: OpcodeRow, opcode: UInt8) {
        let size = Int(op.flags & 3)
        let bytes = 1 << size
        let register = op.isRegisterForm
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
        case .imul where row.operands.0 == .gv && size == 2:
            let immediate = row.operands.2 != .none
            if register {
                op.kind = immediate ? .imul_rri32 : .imul_rr32
            } else {
                memory(&op, 4, write: false)
                op.kind = immediate ? .imul_rmi32 : .imul_rm32
            }
            emit(op)
        case .mul where size == 2: wideArithmetic(&op, .mul_r32)
        case .imul where size == 2: wideArithmetic(&op, .imul_r32)
        case .div where size == 2: wideArithmetic(&op, .div_r32)
        case .idiv where size == 2: wideArithmetic(&op, .idiv_r32)
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
            op.kind = size == 2 && op.addressMask == 0xFFFF_FFFF ? .lea32 : .lea_
            emit(op)
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
            if size == 2 && flatStack {
                op.kind = .leave32f
                emit(op)
            } else {
                emitSlow(&op, .leave, ends: false)
            }
        case .nop:
            op.kind = .nop
            emit(op)
        case .cbw:
            op.kind = size == 1 ? .cbw : .cwde
            emit(op)
        case .cwd:
            op.kind = size == 1 ? .cwd : .cdq
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
        case .cmov where size == 2:
            if register { op.kind = .cmov_rr32 } else { memory(&op, 4, write: false); op.kind = .cmov_rm32 }
            op.sub = UInt16(row.condition)
            emit(op)
        case .cmov:
            op.imm = Int32(row.condition)
            emitSlow(&op, .cmov, ends: false)
        case .bt where register && size == 2:
            (op.a, op.b) = (op.b, op.a)
            op.kind = row.operands.1 == .ib ? .bt_ri32 : .bt_rr32
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
        if !op.isRegisterForm { memory(&op, 4, write: false) }
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
        let (rr, rm, mr, ri, mi) = (0, 3, 6, 9, 12)
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
            op.kind = group.offset(3 + size)
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
        op.imm &= 31
        if op.isRegisterForm {
            op.a = op.b
            if size == 2 && number >= 4 {
                let step = number == 4 ? 0 : number == 5 ? 1 : 2
                op.kind = byCL ? Kind.shl_rc32.offset(step) : op.imm == 0 ? .nop : Kind.shl_ri32.offset(step)
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
        let flat = flatStack && size == 2
        switch (row.mnemonic, row.operands.0) {
        case (.push, .zv): op.kind = flat ? .push_r32f : size == 1 ? .push_r16 : .push_r32
        case (.push, .iz), (.push, .ibs): op.kind = flat ? .push_i32f : size == 1 ? .push_i16 : .push_i32
        case (.pop, .zv): op.kind = flat ? .pop_r32f : size == 1 ? .pop_r16 : .pop_r32
        case (.push, _) where flat && op.isRegisterForm:
            op.a = op.b
            op.kind = .push_r32f
        case (.push, _) where flat:
            memory(&op, 4, write: false)
            op.kind = .push_m32f
        default: return emitSlow(&op, row.mnemonic, ends: false)
        }
        emit(op)
    }

    private mutating func branch(_ op: inout Op, _ row: OpcodeRow) {
        let relative = row.operands.0 == .jb || row.operands.0 == .jz
        if relative { target(&op) }
        let plain = plainBranch(op)
        switch row.mnemonic {
        case .jcc:
            guard plain else { return slowBranch(&op, row) }
            if let kind = fused(Int(row.condition)) { return fuse(kind, op) }
            op.kind = Kind.jo.offset(Int(row.condition))
            return emit(op)
        case .loop, .loope, .loopne, .jcxz:
            guard plain else { return slowBranch(&op, row) }
            let wide = op.addressMask == 0xFFFF_FFFF
            switch row.mnemonic {
            case .loop: op.kind = wide ? .loop32 : .loop16
            case .jcxz: op.kind = wide ? .jcxz32 : .jcxz16
            default:
                op.kind = wide ? .loopc32 : .loopc16
                op.sub = row.mnemonic == .loope ? 1 : 0
            }
            return emit(op)
        case .jmp where relative:
            guard plain else { return slowBranch(&op, row) }
            op.kind = .jmp
        case .call where relative:
            guard plain else { return slowBranch(&op, row) }
            op.kind = op.flags & 3 == 1 ? .call16 : flatStack ? .call32f : .call32
        case .ret where row.operands.0 == .none && plain: op.kind = op.flags & 3 == 1 ? .ret16 : flatStack ? .ret32f : .ret32
        case .jmp where plain && op.flags & 3 == 2:
            if op.isRegisterForm {
                op.a = op.b
                op.kind = .jmp_r32
            } else {
                memory(&op, 4, write: false)
                op.kind = .jmp_m32
            }
        case .call where plain && flatStack && op.flags & 3 == 2:
            if op.isRegisterForm {
                op.a = op.b
                op.kind = .call_r32f
            } else {
                memory(&op, 4, write: false)
                op.kind = .call_m32f
            }
        default: return slowBranch(&op, row)
        }
        emit(op)
        end()
    }

    /// A near branch with limit check; the absolute target is in `wide` for relative ones.
    private mutating func slowBranch(_ op: inout Op, _ row: OpcodeRow) {
        if row.operands.0 == .jb || row.operands.0 == .jz {
            op.wide = UInt64(UInt32(truncatingIfNeeded: Int64(rip) &+ Int64(op.disp)))
        }
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
