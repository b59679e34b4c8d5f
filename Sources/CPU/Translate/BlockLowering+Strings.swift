/// String instructions: one MOVS, STOS or LODS as loads and stores, a repeated one by the interpreter's handler, which works by pages; code
/// goes on behind it without the dispatcher.
extension BlockLowering {
    private static let si: UInt8 = 6, di: UInt8 = 7

    func stringPlan(_ o: Op) -> UnitPlan {
        let mnemonic = Mnemonic(rawValue: o.sub)
        guard o.flags & 0x30 == 0 else { return .none }
        switch mnemonic {
        case .movs: return .string(loads: true, stores: true)
        case .stos: return .string(loads: false, stores: true)
        case .lods: return .string(loads: true, stores: false)
        default: return .none
        }
    }

    mutating func string(loads: Bool, stores: Bool) {
        let size = op.operandBytes
        clobber()
        var code = ColdCode(kind: .one, op: now, flags: flags)
        if loads {
            stringOffset(BlockLowering.si)
            addBase(op.seg, size, &code)
            code.fills.0 = prove(Assembler.Memory(base: Host.address), size, write: false, nextShortcut(write: false))
            a.load(Host.rax, memory, size)
            if stores { a.store(StateField.scratch, Host.rax, 8) } else { writeBack(0, size) }
        }
        if stores {
            stringOffset(BlockLowering.di)
            addBase(0, size, &code)
            code.fills.1 = prove(Assembler.Memory(base: Host.address), size, write: true, nextShortcut(write: true))
            if loads {
                a.load(Host.rax, StateField.scratch, 8)
                a.store(memory, Host.rax, size)
            } else {
                a.store(memory, Host.pinned[0], size)
            }
        }
        // size - 2 * size * DF
        a.load(Host.rax, StateField.systemFlags, 4)
        a.byte(0x25)  // AND EAX, 400
        a.word32(Int32(bitPattern: EFlags.df))
        a.bytes(0xC1, 0xE8, UInt8(9 - size.trailingZeroBitCount))  // SHR EAX
        a.bytes(0xF7, 0xD8)  // NEG EAX
        a.aluImmediate(Lowering.add, Host.rax, Int32(size), 4)
        let step = op.addressMask == .max ? 8 : op.addressMask == 0xFFFF ? 2 : 4
        if step == 8 { a.bytes(0x48, 0x63, 0xC0) }  // MOVSXD RAX, EAX
        if loads { a.rr(0x01, Host.rax, Host.pinned[Int(BlockLowering.si)], step) }
        if stores { a.rr(0x01, Host.rax, Host.pinned[Int(BlockLowering.di)], step) }
        finish(code)
    }

    private mutating func stringOffset(_ register: UInt8) {
        let host = Host.pinned[Int(register)]
        switch op.addressMask {
        case .max: a.move(Host.address, host, 8)
        case 0xFFFF: a.rr(0x0FB7, Host.address, host, 4)
        default: a.move(Host.address, host, 4)
        }
    }

    /// A repeated string instruction ends its block, but when it is done code goes on behind it.
    mutating func repeatedString() -> Bool {
        guard op.kind == .slowEnd, op.isRepeatedString else { return false }
        block.mutableOps[now].disp = Int32(op.ipOffset) + Int32(op.length)
        call(.one)
        goOn()
        return true
    }
}

extension Op {
    /// A MOVS, STOS, LODS, CMPS or SCAS with a prefix that repeats it.
    var isRepeatedString: Bool {
        guard flags & 0x30 != 0 else { return false }
        switch Mnemonic(rawValue: sub) {
        case .movs, .stos, .lods, .cmps, .scas: return true
        default: return false
        }
    }
}
