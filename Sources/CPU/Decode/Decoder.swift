import Primitives

/// Turns code bytes into operations, one block at a time.
///
/// Works on a window of bytes of one page; what does not fit into the window is left to the caller, who knows about page faults.
struct Decoder {
    private let code: UnsafePointer<UInt8>
    private let codeCount: Int
    /// CS offset of `code[0]`.
    let rip: UInt64
    let mode: UInt32
    /// Bytes consumed by complete instructions.
    private(set) var position = 0
    private(set) var operations = 0
    private(set) var instructions = 0
    private var at = 0
    private var ranOut = false
    private var ops: UnsafeMutablePointer<Op>!
    private var ended = false

    /// Longest instruction. SDM Vol. 2A, "Instruction Format".
    private static let maximumLength = 15

    init(code: UnsafeRawBufferPointer, rip: UInt64, mode: UInt32) {
        self.code = code.baseAddress!.assumingMemoryBound(to: UInt8.self)
        codeCount = code.count
        self.rip = rip
        self.mode = mode
    }

    private var big: Bool { mode & Mode.big != 0 }
    private var single: Bool { mode & Mode.single != 0 }

    /// Decodes until a block-ending instruction, the window's end or `limit` operations.
    mutating func decodeBlock(into ops: UnsafeMutablePointer<Op>, limit: Int) {
        self.ops = ops
        OpcodeMap.shared.rows.withUnsafeBufferPointer { rows in decodeRun(rows, limit) }
        if instructions > 0 && !ended { emitNext() }
        if !single { dropDeadFlags() }
    }

    private mutating func decodeRun(_ rows: UnsafeBufferPointer<OpcodeRow>, _ limit: Int) {
        while !ended {
            at = position
            // Sequential code never runs over 64 KiB inside a block: the next fetch checks the limit there.
            if !big && rip &+ UInt64(position) > 0xFFFF && position > 0 { break }
            decodeOne(rows)
            if ranOut { break }
            position = at
            instructions += 1
            if single || operations >= limit - 4 { break }
        }
    }

    // MARK: Fetching

    private mutating func byte() -> UInt8 {
        guard at < codeCount else {
            ranOut = true
            return 0
        }
        defer { at += 1 }
        return code[at]
    }

    private mutating func word() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
    private mutating func dword() -> UInt32 { UInt32(word()) | UInt32(word()) << 16 }

    // MARK: One instruction

    private mutating func decodeOne(_ rows: UnsafeBufferPointer<OpcodeRow>) {
        var op = Op(.slow)
        op.ipOffset = UInt16(truncatingIfNeeded: position)
        op.n = UInt8(truncatingIfNeeded: instructions)
        var operand16 = !big
        var address16 = !big
        var override: UInt8?
        var lock = false
        var opcode: UInt8 = 0
        prefixes: while true {
            opcode = byte()
            if ranOut { return }
            if at - position > Decoder.maximumLength { return emitFault(13, &op) }
            switch opcode {
            case 0x66: operand16 = big
            case 0x67: address16 = big
            case 0x26: override = 0
            case 0x2E: override = 1
            case 0x36: override = 2
            case 0x3E: override = 3
            case 0x64: override = 4
            case 0x65: override = 5
            case 0xF0: lock = true
            case 0xF2: op.flags = op.flags & ~0x10 | 0x20
            case 0xF3: op.flags = op.flags & ~0x20 | 0x10
            default: break prefixes
            }
        }
        var index = Int(opcode)
        if opcode == 0x0F {
            opcode = byte()
            index = 256 + Int(opcode)
        }
        var row = rows[index]
        op.flags |= operand16 ? 1 : 2
        op.flags |= (address16 ? 1 : 2) << 2
        if lock { op.flags |= 0x40 }
        if row.needsModRM {
            op.modrm = byte()
            if ranOut { return }
            if row.group >= 0 { row = rows[row.group + op.regField] }
            if row.needsModRM { modRM(&op, row, address16: address16) }
        }
        if let override { op.seg = override }
        let isRegister = op.isRegisterForm
        immediates(&op, row, operand16: operand16, address16: address16)
        if ranOut { return }
        op.length = UInt8(truncatingIfNeeded: at - position)
        if at - position > Decoder.maximumLength { return emitFault(13, &op) }
        if row.mnemonic == .undefined { return emitFault(6, &op) }
        if lock && (isRegister || !row.lockable) { return emitFault(6, &op) }
        registers(&op, row, opcode: opcode)
        select(&op, row, opcode: opcode)
    }

    /// ModR/M, SIB and displacement. SDM Vol. 2A, tables 2-1 to 2-3.
    private mutating func modRM(_ op: inout Op, _ row: OpcodeRow, address16: Bool) {
        let mod = op.modrm >> 6
        let rm = Int(op.modrm & 7)
        switch row.mnemonic {
        case .movToCR, .movFromCR, .movToDR, .movFromDR:
            // Bits 7 and 6 are ignored.
            op.flags |= 0x80
            return
        default: break
        }
        if mod == 3 {
            op.flags |= 0x80
            return
        }
        if address16 {
            // BX+SI BX+DI BP+SI BP+DI SI DI BP BX, as displacements, first in the low byte.
            op.base = UInt8(truncatingIfNeeded: 0x1828_3830_2828_1818 as UInt64 >> UInt64(8 * rm))
            op.index = UInt8(truncatingIfNeeded: 0x8080_8080_3830_3830 as UInt64 >> UInt64(8 * rm))
            if op.base == 40 { op.seg = 2 }
            if mod == 0 && rm == 6 {
                op.base = 128
                op.seg = 3
                op.disp = Int32(word())
            } else if mod == 1 {
                op.disp = Int32(Int8(bitPattern: byte()))
            } else if mod == 2 {
                op.disp = Int32(Int16(bitPattern: word()))
            }
            return
        }
        var base = rm
        if rm == 4 {
            let sib = byte()
            base = Int(sib & 7)
            let index = Int(sib >> 3) & 7
            if index != 4 {
                op.index = UInt8(index * 8)
                op.scale = sib >> 6
            }
        }
        if base == 5 && mod == 0 {
            op.disp = Int32(bitPattern: dword())
        } else {
            op.base = UInt8(base * 8)
            if base == 4 || base == 5 { op.seg = 2 }
            if mod == 1 {
                op.disp = Int32(Int8(bitPattern: byte()))
            } else if mod == 2 {
                op.disp = Int32(bitPattern: dword())
            }
        }
    }

    private mutating func immediates(_ op: inout Op, _ row: OpcodeRow, operand16: Bool, address16: Bool) {
        immediate(row.operands.0, &op, row.mnemonic, operand16, address16)
        immediate(row.operands.1, &op, row.mnemonic, operand16, address16)
        immediate(row.operands.2, &op, row.mnemonic, operand16, address16)
    }

    private mutating func immediate(_ operand: Operand, _ op: inout Op, _ mnemonic: Mnemonic, _ operand16: Bool, _ address16: Bool) {
        switch operand {
        case .ib where mnemonic == .enter: op.wide |= UInt64(byte()) << 16
        case .ib, .ibs: op.imm = Int32(Int8(bitPattern: byte()))
        case .iw:
            op.imm = Int32(word())
            op.wide = UInt64(op.imm)
        case .iz, .iv: op.imm = operand16 ? Int32(Int16(bitPattern: word())) : Int32(bitPattern: dword())
        case .jb: op.disp = Int32(Int8(bitPattern: byte()))
        case .jz: op.disp = operand16 ? Int32(Int16(bitPattern: word())) : Int32(bitPattern: dword())
        case .ap:
            let offset = operand16 ? UInt32(word()) : dword()
            op.wide = UInt64(offset) | UInt64(word()) << 32
        case .ob, .ov: op.disp = address16 ? Int32(word()) : Int32(bitPattern: dword())
        case .one: op.imm = 1
        default: break
        }
    }

    /// Register displacement of register `number` for operands of 8 bits or more.
    private func displacement(_ number: Int, byte: Bool) -> UInt8 {
        byte && number >= 4 ? UInt8((number - 4) * 8 + 1) : UInt8(number * 8)
    }

    private func isByte(_ operand: Operand) -> Bool { operand == .eb || operand == .gb || operand == .al || operand == .zb || operand == .ob }

    /// Fills `a` (G operand or the register in the opcode) and `b` (E operand), and the size of byte operations.
    private func registers(_ op: inout Op, _ row: OpcodeRow, opcode: UInt8) {
        register(row.operands.0, &op, opcode)
        register(row.operands.1, &op, opcode)
        if isByte(row.operands.0) || (isByte(row.operands.1) && row.mnemonic != .movzx && row.mnemonic != .movsx) { op.flags &= ~3 }
        switch row.mnemonic {
        case .movs, .cmps, .stos, .lods, .scas, .ins, .outs: if opcode & 1 == 0 { op.flags &= ~3 }
        case .in, .out: if opcode & 1 == 0 { op.flags &= ~3 }
        default: break
        }
    }

    private func register(_ operand: Operand, _ op: inout Op, _ opcode: UInt8) {
        switch operand {
        case .gb: op.a = displacement(op.regField, byte: true)
        case .gv, .gw, .sw, .cd, .dd, .pq: op.a = displacement(op.regField, byte: false)
        case .eb: op.b = displacement(op.rmField, byte: true)
        case .ev, .ew, .ed, .qq: op.b = displacement(op.rmField, byte: false)
        case .zb: op.a = displacement(Int(opcode & 7), byte: true)
        case .zv: op.a = displacement(Int(opcode & 7), byte: false)
        default: break
        }
    }

    // MARK: Emission

    mutating func emit(_ op: Op) {
        ops[operations] = op
        operations += 1
    }

    mutating func end() { ended = true }

    private mutating func emitNext() {
        var op = Op(.next)
        op.ipOffset = UInt16(truncatingIfNeeded: position)
        op.disp = Int32(position)
        op.n = UInt8(truncatingIfNeeded: instructions)
        emit(op)
    }

    /// An instruction that only faults: 6 #UD, 13 #GP(0).
    private mutating func emitFault(_ vector: Int32, _ op: inout Op) {
        op.kind = .slowEnd
        op.sub = Mnemonic.undefined.rawValue
        op.imm = vector
        op.length = UInt8(truncatingIfNeeded: min(at - position, 15))
        emit(op)
        end()
    }

    /// The cold way: by mnemonic.
    mutating func emitSlow(_ op: inout Op, _ mnemonic: Mnemonic, ends: Bool) {
        op.kind = ends ? .slowEnd : .slow
        op.sub = mnemonic.rawValue
        emit(op)
        if ends { end() }
    }

    /// Makes the memory operand linear: nothing in flat segments, else a checking micro-operation in front.
    mutating func memory(_ op: inout Op, _ bytes: Int, write: Bool) {
        let flat =
            switch op.seg {
            case 0: mode & Mode.flatES != 0
            case 2: mode & Mode.flatSS != 0
            case 3: mode & Mode.flatDS != 0
            default: false
            }
        if flat && (op.flags >> 2) & 3 == 2 { return }
        var check = op
        check.kind = .segAddr
        check.sub = UInt16(bytes) | (write ? 0x100 : 0)
        emit(check)
        op.base = 136
        op.index = 128
        op.scale = 0
        op.disp = 0
    }

    /// Absolute target of a near branch, masked to the operand size, kept as distance from the block's start.
    mutating func target(_ op: inout Op) {
        let next = rip &+ UInt64(at)
        let mask: UInt64 = op.flags & 3 == 1 ? 0xFFFF : 0xFFFF_FFFF
        let target = (next &+ UInt64(bitPattern: Int64(op.disp))) & mask
        op.disp = Int32(truncatingIfNeeded: Int64(bitPattern: target &- rip))
        op.wide = 0
    }

    /// Near branches in code of the usual limit with the code's own operand size need no check.
    func plainBranch(_ op: Op) -> Bool { mode & Mode.oddLimit == 0 && (op.flags & 3 == 2) == big }

    /// The operation before, if this instruction may be fused with it.
    func previous() -> Kind? { operations > 0 && !single ? ops[operations - 1].kind : nil }

    /// Replaces the last operation by a fused one that branches.
    mutating func fuse(_ kind: Kind, _ branch: Op) {
        ops[operations - 1].kind = kind
        ops[operations - 1].disp = branch.disp
        ops[operations - 1].wide = 0
    }

    // MARK: Flag liveness

    /// Register-only writers whose flags are overwritten before anything reads them, faults or leaves lose their flag work.
    private func dropDeadFlags() {
        var live = true
        var i = operations - 1
        while i >= 0 {
            switch ops[i].kind {
            case .add_rr32, .or_rr32, .and_rr32, .sub_rr32, .xor_rr32, .add_ri32, .or_ri32, .and_ri32, .sub_ri32, .xor_ri32, .shl_ri32, .shr_ri32,
                .sar_ri32:
                if !live { ops[i].kind = withoutFlags(ops[i].kind) }
                live = false
            case .add_rr8, .or_rr8, .and_rr8, .sub_rr8, .xor_rr8, .cmp_rr8, .add_ri8, .or_ri8, .and_ri8, .sub_ri8, .xor_ri8, .cmp_ri8, .cmp_rr32,
                .cmp_ri32, .test_rr32, .test_ri32, .test_rr8, .test_ri8, .neg_r32, .test_rr32_jz, .test_rr32_jnz, .test_rr32_js, .test_rr32_jns,
                .test_rr8_jz, .test_rr8_jnz, .imul_rr32, .imul_rri32, .mul_r32, .imul_r32:
                live = false
            case let kind where kind.rawValue >= Kind.cmp_rr32_jz.rawValue && kind.rawValue <= Kind.cmp_ri32_jg.rawValue: live = false
            case let kind where kind.rawValue >= Kind.cmp_ri8_jz.rawValue && kind.rawValue <= Kind.cmp_ri8_jg.rawValue: live = false
            case .add_rm32, .or_rm32, .and_rm32, .sub_rm32, .xor_rm32:
                // The load may fault: the flags before it are wanted then.
                if !live { ops[i].kind = withoutFlags(ops[i].kind) }
                live = true
            case .inc_r32: if !live { ops[i].kind = .inc_r32n }
            case .dec_r32: if !live { ops[i].kind = .dec_r32n }
            case .mov_rr8, .mov_rr16, .mov_rr32, .mov_ri8, .mov_ri16, .mov_ri32, .lea32, .nop, .movzx_r32r8, .movzx_r32r16, .movsx_r32r8, .movsx_r32r16,
                .not_r32, .xchg_rr32, .cdq, .cwde:
                break
            default: live = true
            }
            i -= 1
        }
    }

    private func withoutFlags(_ kind: Kind) -> Kind {
        switch kind {
        case .add_rr32: .add_rr32n
        case .or_rr32: .or_rr32n
        case .and_rr32: .and_rr32n
        case .sub_rr32: .sub_rr32n
        case .xor_rr32: .xor_rr32n
        case .add_rm32: .add_rm32n
        case .or_rm32: .or_rm32n
        case .and_rm32: .and_rm32n
        case .sub_rm32: .sub_rm32n
        case .xor_rm32: .xor_rm32n
        case .add_ri32: .add_ri32n
        case .or_ri32: .or_ri32n
        case .and_ri32: .and_ri32n
        case .sub_ri32: .sub_ri32n
        case .xor_ri32: .xor_ri32n
        case .shl_ri32: .shl_ri32n
        case .shr_ri32: .shr_ri32n
        case .sar_ri32: .sar_ri32n
        default: kind
        }
    }
}
