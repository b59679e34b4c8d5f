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
    let features: CPUFeatures
    /// Places that a block must not run over.
    var stops: StopWindow?
    /// Bytes consumed by complete instructions.
    private(set) var position = 0
    private(set) var operations = 0
    private(set) var instructions = 0
    private var at = 0
    private var ranOut = false
    private var ops: UnsafeMutablePointer<Op>!
    private var ended = false
    /// REX prefix of the instruction, 0: none.
    private(set) var rex: UInt8 = 0
    /// The memory operand is relative to RIP.
    private var ripRelative = false
    /// The address has 64 bits of its own (MOV AL, moffs64).
    private var wideAddress: UInt64?

    /// Longest instruction. SDM Vol. 2A, "Instruction Format".
    private static let maximumLength = 15

    init(code: UnsafeRawBufferPointer, rip: UInt64, mode: UInt32, features: CPUFeatures) {
        self.features = features
        self.code = code.baseAddress!.assumingMemoryBound(to: UInt8.self)
        codeCount = code.count
        self.rip = rip
        self.mode = mode
    }

    private var big: Bool { mode & Mode.big != 0 }
    var is64: Bool { mode & Mode.long != 0 }
    func has(_ feature: CPUFeatures) -> Bool { features.contains(feature) }
    private var single: Bool { mode & Mode.single != 0 }

    /// Decodes until a block-ending instruction, the window's end or `limit` operations.
    mutating func decodeBlock(into ops: UnsafeMutablePointer<Op>, limit: Int) {
        self.ops = ops
        (is64 ? OpcodeMap.shared.rows64 : OpcodeMap.shared.rows).withUnsafeBufferPointer { rows in decodeRun(rows, limit) }
        if instructions > 0 && !ended { emitNext() }
        if !single { dropDeadFlags() }
    }

    private mutating func decodeRun(_ rows: UnsafeBufferPointer<OpcodeRow>, _ limit: Int) {
        while !ended {
            at = position
            // Sequential code never runs over 64 KiB inside a block: the next fetch checks the limit there.
            if !big && rip &+ UInt64(position) > 0xFFFF && position > 0 { break }
            if let stops, position > 0, stops.stops(at: position, UnsafeRawBufferPointer(start: code, count: codeCount)) { break }
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
        var p = Prefixes()
        rex = 0
        ripRelative = false
        wideAddress = nil
        guard let first = prefixes(&p, &op) else { return }
        let operand16 = p.operandSize ? big : !big
        if p.lock { op.flags |= 0x40 }
        op.flags |= rex & 8 != 0 ? 3 : operand16 ? 1 : 2
        op.flags |= (is64 ? (p.addressSize ? 2 : 3) : (p.addressSize ? !big : big) ? 2 : 1) << 2
        if let override = p.segment { op.seg = override }
        var opcode = first
        var index = Int(opcode)
        if opcode == 0x0F {
            opcode = byte()
            index = 256 + Int(opcode)
            var encoding = VectorEncoding(map: 1, prefix: p.mandatory, opcode: opcode, modrm: 0, wide: rex & 8 != 0, is64: is64)
            if opcode == 0x38 || opcode == 0x3A {
                encoding.map = opcode == 0x38 ? 2 : 3
                opcode = byte()
                encoding.opcode = opcode
            }
            if ranOut { return }
            if vector(&encoding, &op, p) { return }
            if encoding.map > 1 { return emitFault(6, &op) }
        } else if isVEX(opcode) {
            return vex(&op, p, first)
        }
        var row = rows[index]
        if row.needsModRM {
            op.modrm = byte()
            if ranOut { return }
            if row.group >= 0 { row = rows[row.group + op.regField] }
            if row.needsModRM { modRM(&op, row, p) }
        }
        if is64 { adjustSize(&op, row, p) }
        let isRegister = op.isRegisterForm
        immediates(&op, row)
        if ranOut { return }
        op.length = UInt8(truncatingIfNeeded: at - position)
        if at - position > Decoder.maximumLength { return emitFault(13, &op) }
        if row.mnemonic == .undefined { return emitFault(6, &op) }
        if p.lock && (isRegister || !row.lockable) { return emitFault(6, &op) }
        registers(&op, row, opcode: opcode)
        resolveAddress(&op)
        select(&op, row, opcode: opcode)
    }

    /// What the prefixes said.
    private struct Prefixes {
        var operandSize = false, addressSize = false, lock = false
        var segment: UInt8?
        /// The last of F3 (2) and F2 (3).
        var rep: UInt8 = 0
        /// As SIMD encodings count them: 66 has no say beside F2 and F3.
        var mandatory: UInt8 { rep != 0 ? rep : operandSize ? 1 : 0 }
    }

    /// The first byte that is no prefix; nil when the window ended or the instruction is too long (then it is emitted).
    private mutating func prefixes(_ p: inout Prefixes, _ op: inout Op) -> UInt8? {
        while true {
            let value = byte()
            if ranOut { return nil }
            if at - position > Decoder.maximumLength {
                emitFault(13, &op)
                return nil
            }
            switch value {
            case 0x66: p.operandSize = true
            case 0x67: p.addressSize = true
            // ES, CS, SS and DS mean nothing in 64-bit mode.
            case 0x26: if !is64 { p.segment = 0 }
            case 0x2E: if !is64 { p.segment = 1 }
            case 0x36: if !is64 { p.segment = 2 }
            case 0x3E: if !is64 { p.segment = 3 }
            case 0x64: p.segment = 4
            case 0x65: p.segment = 5
            case 0xF0: p.lock = true
            case 0xF2:
                op.flags = op.flags & ~0x10 | 0x20
                p.rep = 3
            case 0xF3:
                op.flags = op.flags & ~0x20 | 0x10
                p.rep = 2
            case 0x40...0x4F where is64:
                // Counts only right before the opcode.
                rex = value
                continue
            default: return value
            }
            rex = 0
        }
    }

    /// Instructions whose operand size in 64-bit mode is not the usual one. SDM Vol. 2A, "Default 64-Bit Operand Size";
    /// Vol. 1, "Instructions Defaulting to 64-Bit Operand Size in 64-Bit Mode".
    private func adjustSize(_ op: inout Op, _ row: OpcodeRow, _ p: Prefixes) {
        switch row.mnemonic {
        case .push, .pop, .pushf, .popf, .enter, .leave, .pushSeg, .popSeg: op.flags = op.flags & ~3 | (p.operandSize && rex & 8 == 0 ? 1 : 3)
        // The operand-size prefix is ignored.
        case .call, .ret, .jmp, .jcc, .loop, .loope, .loopne, .jcxz, .movToCR, .movFromCR, .movToDR, .movFromDR: op.flags |= 3
        // REX.W is ignored.
        case .in, .out, .ins, .outs: if op.flags & 3 == 3 { op.flags = op.flags & ~3 | 2 }
        default: break
        }
    }

    // MARK: SIMD

    /// C4, C5: VEX; outside of 64-bit mode only where LES and LDS would have a register operand.
    private func isVEX(_ opcode: UInt8) -> Bool {
        guard opcode == 0xC4 || opcode == 0xC5 else { return false }
        return is64 || (at < codeCount && code[at] & 0xC0 == 0xC0)
    }

    /// SDM Vol. 2A, "The VEX Prefix".
    private mutating func vex(_ op: inout Op, _ p: Prefixes, _ first: UInt8) {
        let one = byte()
        var encoding = VectorEncoding(map: 1, prefix: 0, opcode: 0, modrm: 0, isVEX: true, is64: is64)
        var last = one
        var bits: UInt8 = is64 ? (~one >> 5) & 4 : 0
        if first == 0xC4 {
            last = byte()
            encoding.map = one & 0x1F
            if is64 { bits = (~one >> 5) & 7 }
            encoding.wide = last & 0x80 != 0
        }
        encoding.prefix = last & 3
        encoding.long = last & 4 != 0
        encoding.vvvv = (~last >> 3) & 15
        encoding.opcode = byte()
        if ranOut { return }
        // An earlier prefix of the other kinds is an error.
        let forbidden = p.lock || p.operandSize || p.rep != 0 || rex != 0
        rex = 0x40 | bits | (is64 && encoding.wide ? 8 : 0)
        if !is64 { encoding.vvvv &= 7 }
        if forbidden || !(1...3).contains(encoding.map) { return emitFault(6, &op) }
        op.flags &= ~0x33
        op.flags |= encoding.wide && is64 ? 3 : 2
        if !vector(&encoding, &op, p) { emitFault(6, &op) }
    }

    /// Emits a SIMD instruction; false: it is none.
    private mutating func vector(_ encoding: inout VectorEncoding, _ op: inout Op, _ p: Prefixes) -> Bool {
        let known = at < codeCount
        encoding.modrm = known ? code[at] : 0
        switch VectorMap.lookUp(encoding, features) {
        case .none:
            if known || !VectorMap.isPossible(encoding, features) { return false }
            ranOut = true
        case .undefined:
            // Without the ModR/M byte nothing is certain.
            if !known && !(encoding.map == 1 && encoding.opcode == 0x77) { ranOut = true } else { emitFault(6, &op) }
        case .form(let form):
            let bare = encoding.map == 1 && encoding.opcode == 0x77
            if bare {
                op.flags |= 0x80
            } else {
                op.modrm = byte()
                if ranOut { return true }
                address(&op, mod: op.modrm >> 6, p, vectorIndex: VectorMap.isVSIB(form))
            }
            if VectorMap.hasImmediate(form) { op.imm = Int32(byte()) }
            if ranOut { return true }
            op.length = UInt8(truncatingIfNeeded: at - position)
            if at - position > Decoder.maximumLength {
                emitFault(13, &op)
                return true
            }
            if p.lock {
                emitFault(6, &op)
                return true
            }
            op.imm |= Int32(encoding.vvvv) << 8 | (encoding.long ? 1 << 12 : 0) | (encoding.wide ? 1 << 13 : 0) | (encoding.isVEX ? 1 << 14 : 0)
            if rex == 0 { op.imm |= Op.noREX }
            op.a = UInt8(truncatingIfNeeded: op.regField) | (rex & 4) << 1
            op.b = UInt8(truncatingIfNeeded: op.rmField) | (rex & 1) << 3
            op.sub = form
            resolveAddress(&op)
            op.kind = .vector
            emit(op)
        }
        return true
    }

    /// ModR/M, SIB and displacement. SDM Vol. 2A, tables 2-1 to 2-3.
    private mutating func modRM(_ op: inout Op, _ row: OpcodeRow, _ p: Prefixes) {
        switch row.mnemonic {
        case .movToCR, .movFromCR, .movToDR, .movFromDR:
            // Bits 7 and 6 are ignored.
            op.flags |= 0x80
        default: address(&op, mod: op.modrm >> 6, p)
        }
    }

    private mutating func address(_ op: inout Op, mod: UInt8, _ p: Prefixes, vectorIndex: Bool = false) {
        let rm = Int(op.modrm & 7)
        if mod == 3 {
            op.flags |= 0x80
            return
        }
        if (op.flags >> 2) & 3 == 1 {
            address16(&op, mod, rm)
        } else {
            address32(&op, mod, rm, vectorIndex)
        }
        if let override = p.segment { op.seg = override }
    }

    private mutating func address16(_ op: inout Op, _ mod: UInt8, _ rm: Int) {
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
    }

    /// 32- and 64-bit addresses. `vectorIndex`: the index is the number of a vector register.
    private mutating func address32(_ op: inout Op, _ mod: UInt8, _ rm: Int, _ vectorIndex: Bool) {
        var base = rm
        if rm == 4 {
            let sib = byte()
            base = Int(sib & 7)
            let index = Int(sib >> 3) & 7 | Int(rex & 2) << 2
            if vectorIndex {
                op.index = UInt8(index)
                op.scale = sib >> 6
            } else if index != 4 {
                op.index = UInt8(index * 8)
                op.scale = sib >> 6
            }
        }
        if base == 5 && mod == 0 {
            op.disp = Int32(bitPattern: dword())
            ripRelative = is64 && rm == 5
            return
        }
        if base == 4 || base == 5, rex & 1 == 0 { op.seg = 2 }
        op.base = UInt8((base | Int(rex & 1) << 3) * 8)
        if mod == 1 {
            op.disp = Int32(Int8(bitPattern: byte()))
        } else if mod == 2 {
            op.disp = Int32(bitPattern: dword())
        }
    }

    /// Addresses that are known now: relative to RIP, or 64 bits in the instruction. Where 32 bits do not hold one, a
    /// micro-operation in front puts it into the scratch register.
    private mutating func resolveAddress(_ op: inout Op) {
        var known = wideAddress
        if ripRelative { known = (rip &+ UInt64(at) &+ UInt64(bitPattern: Int64(op.disp))) & op.addressMask }
        guard let target = known else { return }
        if UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: target))) == target {
            op.disp = Int32(truncatingIfNeeded: target)
            return
        }
        var load = Op(.ripAddr)
        (load.ipOffset, load.n, load.length) = (op.ipOffset, op.n, op.length)
        load.wide = target
        emit(load)
        op.base = 136
        op.index = 128
        op.disp = 0
    }

    private mutating func immediates(_ op: inout Op, _ row: OpcodeRow) {
        immediate(row.operands.0, &op, row.mnemonic)
        immediate(row.operands.1, &op, row.mnemonic)
        immediate(row.operands.2, &op, row.mnemonic)
    }

    private mutating func immediate(_ operand: Operand, _ op: inout Op, _ mnemonic: Mnemonic) {
        let operand16 = op.flags & 3 == 1
        switch operand {
        case .ib where mnemonic == .enter: op.wide |= UInt64(byte()) << 16
        case .ib, .ibs: op.imm = Int32(Int8(bitPattern: byte()))
        case .iw:
            op.imm = Int32(word())
            op.wide = UInt64(op.imm)
        case .iv where op.flags & 3 == 3:
            let low = UInt64(dword())
            op.wide = low | UInt64(dword()) << 32
        case .iz, .iv: op.imm = operand16 ? Int32(Int16(bitPattern: word())) : Int32(bitPattern: dword())
        case .jb: op.disp = Int32(Int8(bitPattern: byte()))
        case .jz: op.disp = operand16 ? Int32(Int16(bitPattern: word())) : Int32(bitPattern: dword())
        case .ap:
            let offset = operand16 ? UInt32(word()) : dword()
            op.wide = UInt64(offset) | UInt64(word()) << 32
        case .ob, .ov:
            switch (op.flags >> 2) & 3 {
            case 1: op.disp = Int32(word())
            case 2 where is64: wideAddress = UInt64(dword())
            case 2: op.disp = Int32(bitPattern: dword())
            default:
                let low = UInt64(dword())
                wideAddress = low | UInt64(dword()) << 32
            }
        case .one: op.imm = 1
        default: break
        }
    }

    /// Register displacement of register `number` for operands of 8 bits or more. With REX there is no AH.
    private func displacement(_ number: Int, byte: Bool) -> UInt8 {
        byte && number >= 4 && rex == 0 ? UInt8((number - 4) * 8 + 1) : UInt8(number * 8)
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
        let reg = op.regField | Int(rex & 4) << 1
        let rm = op.rmField | Int(rex & 1) << 3
        let low = Int(opcode & 7) | Int(rex & 1) << 3
        switch operand {
        case .gb: op.a = displacement(reg, byte: true)
        case .gv, .gw, .sw, .cd, .dd: op.a = displacement(reg, byte: false)
        case .pq: op.a = displacement(op.regField, byte: false)
        case .eb: op.b = displacement(rm, byte: true)
        case .ev, .ew, .ed: op.b = displacement(rm, byte: false)
        case .qq: op.b = displacement(op.rmField, byte: false)
        case .zb: op.a = displacement(low, byte: true)
        case .zv: op.a = displacement(low, byte: false)
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
        // The ModR/M byte may be why: when it is written over, the instruction is decoded anew.
        if vector == 6 && at < codeCount { at += 1 }
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
        if flat && (op.flags >> 2) & 3 == (is64 ? 3 : 2) { return }
        var check = op
        // 64-bit mode has no limits: only the bases of FS and GS, and addresses of 32 bits.
        check.kind = is64 ? .segBase : .segAddr
        if is64 && op.seg < 4 { check.seg = Decoder.noSegment }
        check.sub = UInt16(bytes) | (write ? 0x100 : 0)
        emit(check)
        op.base = 136
        op.index = 128
        op.scale = 0
        op.disp = 0
    }

    /// A segment whose base is always 0 in 64-bit mode (CS).
    private static let noSegment: UInt8 = 1

    /// Absolute target of a near branch, masked to the operand size, kept as distance from the block's start too.
    mutating func target(_ op: inout Op) -> UInt64 {
        let next = rip &+ UInt64(at)
        let mask: UInt64 = is64 ? .max : op.flags & 3 == 1 ? 0xFFFF : 0xFFFF_FFFF
        let target = (next &+ UInt64(bitPattern: Int64(op.disp))) & mask
        op.disp = Int32(truncatingIfNeeded: Int64(bitPattern: target &- rip))
        op.wide = 0
        return target
    }

    /// Near branches in code of the usual limit with the code's own operand size need no check.
    func plainBranch(_ op: Op) -> Bool { is64 || mode & Mode.oddLimit == 0 && (op.flags & 3 == 2) == big }

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
                .sar_ri32, .add_rr64, .or_rr64, .and_rr64, .sub_rr64, .xor_rr64, .add_ri64, .or_ri64, .and_ri64, .sub_ri64, .xor_ri64, .shl_ri64,
                .shr_ri64, .sar_ri64:
                if !live { ops[i].kind = withoutFlags(ops[i].kind) }
                live = false
            case .add_rr8, .or_rr8, .and_rr8, .sub_rr8, .xor_rr8, .cmp_rr8, .add_ri8, .or_ri8, .and_ri8, .sub_ri8, .xor_ri8, .cmp_ri8, .cmp_rr32,
                .cmp_ri32, .test_rr32, .test_ri32, .test_rr8, .test_ri8, .neg_r32, .test_rr32_jz, .test_rr32_jnz, .test_rr32_js, .test_rr32_jns,
                .test_rr8_jz, .test_rr8_jnz, .imul_rr32, .imul_rri32, .mul_r32, .imul_r32, .cmp_rr64, .cmp_ri64, .test_rr64, .test_ri64, .neg_r64,
                .test_rr64_jz, .test_rr64_jnz, .test_rr64_js, .test_rr64_jns, .imul_rr64, .imul_rri64, .mul_r64, .imul_r64:
                live = false
            case let kind where kind.rawValue >= Kind.cmp_rr32_jz.rawValue && kind.rawValue <= Kind.cmp_ri32_jg.rawValue: live = false
            case let kind where kind.rawValue >= Kind.cmp_ri8_jz.rawValue && kind.rawValue <= Kind.cmp_ri8_jg.rawValue: live = false
            case let kind where kind.rawValue >= Kind.cmp_rr64_jz.rawValue && kind.rawValue <= Kind.cmp_ri64_jg.rawValue: live = false
            case .add_rm32, .or_rm32, .and_rm32, .sub_rm32, .xor_rm32, .add_rm64, .or_rm64, .and_rm64, .sub_rm64, .xor_rm64:
                // The load may fault: the flags before it are wanted then.
                if !live { ops[i].kind = withoutFlags(ops[i].kind) }
                live = true
            case .inc_r32: if !live { ops[i].kind = .inc_r32n }
            case .dec_r32: if !live { ops[i].kind = .dec_r32n }
            case .inc_r64: if !live { ops[i].kind = .inc_r64n }
            case .dec_r64: if !live { ops[i].kind = .dec_r64n }
            case .mov_rr64, .mov_ri64, .mov_rw64, .lea64, .movsx_r64r8, .movsx_r64r16, .movsx_r64r32, .not_r64, .xchg_rr64, .cqo, .cdqe: break
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
        case .add_rr64: .add_rr64n
        case .or_rr64: .or_rr64n
        case .and_rr64: .and_rr64n
        case .sub_rr64: .sub_rr64n
        case .xor_rr64: .xor_rr64n
        case .add_rm64: .add_rm64n
        case .or_rm64: .or_rm64n
        case .and_rm64: .and_rm64n
        case .sub_rm64: .sub_rm64n
        case .xor_rm64: .xor_rm64n
        case .add_ri64: .add_ri64n
        case .or_ri64: .or_ri64n
        case .and_ri64: .and_ri64n
        case .sub_ri64: .sub_ri64n
        case .xor_ri64: .xor_ri64n
        case .shl_ri64: .shl_ri64n
        case .shr_ri64: .shr_ri64n
        case .sar_ri64: .sar_ri64n
        default: kind
        }
    }
}
