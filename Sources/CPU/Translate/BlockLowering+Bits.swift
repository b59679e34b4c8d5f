/// Shifts and rotates of all sizes, bit tests and scans, exchanges: what `Lowering.table` cannot say by the kind alone.
extension Lowering {
    /// How an operation is lowered.
    @inline(__always)
    static func of(_ op: Op) -> Lowering {
        let row = table[Int(op.kind.rawValue)]
        guard row.form == .call else { return row }
        switch op.kind {
        case .shift_ri8, .shift_ri16, .shift_ri32, .shift_ri64, .shift_rc8, .shift_rc16, .shift_rc32, .shift_rc64, .shift_mi8, .shift_mi16, .shift_mi32,
            .shift_mi64, .shift_mc32, .shift_mc64:
            return shift(op) ?? row
        case .slow: return rare(op) ?? row
        default: return row
        }
    }

    private static func shift(_ op: Op) -> Lowering? {
        let step = Int(op.kind.rawValue - Kind.shift_ri8.rawValue)
        let size = 1 << (step & 3)
        let operation = UInt8(truncatingIfNeeded: op.sub)
        let count = Int(op.imm) & (size == 8 ? 63 : 31)
        let rotates = operation < 4
        switch step >> 2 {
        case 0:
            guard count != 0, rotates || count < size * 8, operation != 2 && operation != 3 else { return nil }
            return Lowering(form: rotates ? .rotateRI : .shiftRI, size: size, operation: operation, killsFlags: !rotates, writesA: true)
        case 1:
            // What a count beyond 8 or 16 bits leaves in CF is nobody's promise.
            guard operation < 2 || (operation >= 4 && size >= 4) else { return nil }
            return Lowering(form: rotates ? .rotateRC : .shiftRC, size: size, operation: operation, readsFlags: !rotates, writesA: true)
        case 3:
            guard !rotates else { return nil }
            return Lowering(form: .shiftMC, size: size, operation: operation, readsFlags: true, mayFault: true)
        default:
            guard count != 0, count < size * 8, !rotates else { return nil }
            return Lowering(form: .shiftMI, size: size, operation: operation, killsFlags: true, mayFault: true)
        }
    }

    private static func rare(_ op: Op) -> Lowering? {
        let size = op.operandBytes, register = op.isRegisterForm
        // The decoder only ever stores raw values of cases, which are their tags.
        switch unsafeBitCast(UInt8(truncatingIfNeeded: op.sub), to: Mnemonic.self) {
        case .bsf: return Lowering(form: .bitScan, size: size, operation: 0, readsFlags: true, mayFault: !register, writesA: true)
        case .bsr: return Lowering(form: .bitScan, size: size, operation: 1, readsFlags: true, mayFault: !register, writesA: true)
        case .bswap where size >= 4: return Lowering(form: .byteSwap, size: size, writesA: true)
        case .cmpxchg where !register && isPlain(op.a): return Lowering(form: .compareExchange, size: size, killsFlags: true, mayFault: true)
        case .xadd where !register && isPlain(op.a): return Lowering(form: .exchangeAdd, size: size, killsFlags: true, mayFault: true, writesA: true)
        case .bt: return Lowering(form: .bitChange, size: size, operation: 4, readsFlags: true, mayFault: !register)
        case .bts: return Lowering(form: .bitChange, size: size, operation: 5, readsFlags: true, mayFault: !register)
        case .btr: return Lowering(form: .bitChange, size: size, operation: 6, readsFlags: true, mayFault: !register)
        case .btc: return Lowering(form: .bitChange, size: size, operation: 7, readsFlags: true, mayFault: !register)
        case .shld where register && size >= 4 && op.wide != 1 && Int(op.imm) & (size == 8 ? 63 : 31) != 0:
            return Lowering(form: .doubleShift, size: size, operation: 4, killsFlags: true)
        case .shrd where register && size >= 4 && op.wide != 1 && Int(op.imm) & (size == 8 ? 63 : 31) != 0:
            return Lowering(form: .doubleShift, size: size, operation: 5, killsFlags: true)
        default: return nil
        }
    }

    /// A register of the host as it is.
    private static func isPlain(_ displacement: UInt8) -> Bool {
        displacement < 128 && displacement & 7 == 0 && Host.pinned[Int(displacement >> 3)] != Host.none
    }
}

extension BlockLowering {
    mutating func lowerBits(_ row: Lowering) {
        switch row.form {
        case .rotateRI, .rotateRC: rotate(row)
        case .shiftMI:
            let code = access(row.size, write: true)
            a.rm(row.size == 1 ? 0xC0 : 0xC1, row.operation, memory, row.size)
            a.byte(UInt8(truncatingIfNeeded: op.imm))
            if flagsNeeded {
                a.bytes(0x9F)  // LAHF; a load leaves flags alone
                if row.size < 4 { a.rm(row.size == 1 ? 0x0FB6 : 0x0FB7, Host.page, memory, 4) } else { a.load(Host.page, memory, row.size) }
                shiftFlags(row.operation, Host.page, row.size, Host.page, loaded: true)
                flags = FlagState(place: .memory)
            } else {
                flags = FlagState(place: .dead)
            }
            finish(code)
        case .shiftMC:
            let needed = flagsNeeded
            if needed { flagsToMemory() }
            let code = access(row.size, write: true)
            var skip = -1
            if needed {
                a.bytes(0xF6, 0xC1, row.size == 8 ? 63 : 31)  // TEST CL, 31
                skip = a.jump(Condition.zero)
            }
            a.rm(0xD3, row.operation, memory, row.size)
            if needed {
                a.byte(0x9F)
                a.load(Host.page, memory, row.size)
                shiftFlags(row.operation, Host.page, row.size, Host.page, loaded: true)
                a.patch(skip, to: a.count)
            }
            flags = FlagState(place: needed ? .memory : .dead)
            finish(code)
        case .bitScan: bitScan(row)
        case .byteSwap:
            let register = isDirect(op.a) ? pinned(op.a) : source(op.a, row.size, Host.rax)
            a.byte((row.size == 8 ? 0x48 : 0x40) | register >> 3)
            a.bytes(0x0F, 0xC8 | register & 7)
            if register == Host.rax { writeBack(op.a, row.size) }
        case .compareExchange:
            let code = unitAccess(row.size, write: true)
            a.move(Host.rax, Host.pinned[0], 8)
            a.rm(row.size == 1 ? 0x0FB0 : 0x0FB1, pinned(op.a), memory, row.size, byteReg: row.size == 1)
            let equal = a.jump(Condition.zero)
            a.rr(row.size == 1 ? 0x8A : 0x8B, Host.pinned[0], Host.rax, row.size, byteReg: row.size == 1, byteRM: row.size == 1)
            a.patch(equal, to: a.count)
            produced()
            finish(code)
        case .exchangeAdd:
            let code = unitAccess(row.size, write: true)
            a.rm(row.size == 1 ? 0x0FC0 : 0x0FC1, pinned(op.a), memory, row.size, byteReg: row.size == 1)
            produced()
            finish(code)
        case .bitChange: bitChange(row)
        default:
            // SHLD, SHRD
            let direct = isDirect(op.b)
            let to = direct ? pinned(op.b) : source(op.b, row.size, Host.page)
            a.rr(row.operation == 4 ? 0x0FA4 : 0x0FAC, source(op.a, row.size, Host.rax), to, row.size)
            a.byte(UInt8(truncatingIfNeeded: op.imm))
            if flagsNeeded {
                a.byte(0x9F)
                shiftFlags(row.operation, to, row.size, Host.address, loaded: true)
                flags = FlagState(place: .memory)
            } else {
                flags = FlagState(place: .dead)
            }
            if !direct {
                a.move(Host.rax, to, 8)
                writeBack(op.b, row.size)
            }
        }
    }

    /// The flags that a shift by a constant has left, with AF 0 and OF as if the last step were a shift by 1, into the word in memory: see
    /// `ShiftRotate`. `result` is not changed unless it is `temporary`. `loaded`: AH has them already.
    mutating func shiftFlags(_ operation: UInt8, _ result: UInt8, _ size: Int, _ temporary: UInt8, loaded: Bool = false) {
        if !loaded { a.byte(0x9F) }
        a.bytes(0x80, 0xE4, 0xEF)  // AND AH, EF
        switch operation {
        case 4, 6: a.bytes(0x88, 0xE0, 0xC0, 0xE8, 0x07, 0x30, 0xE0, 0x24, 0x01)  // MOV AL, AH; SHR AL, 7; XOR AL, AH; AND AL, 1
        case 5:
            topBits(result, size, temporary)
            a.rr(0x88, temporary, Host.rax, 1, byteReg: true, byteRM: true)
            a.bytes(0x24, 0x01)
        default: a.bytes(0xB0, 0x00)  // MOV AL, 0
        }
        a.store(StateField.packedFlags, Host.rax, 2)
    }

    /// Bit 0 of `temporary`: the two top bits of `result` differ.
    private mutating func topBits(_ result: UInt8, _ size: Int, _ temporary: UInt8) {
        switch size {
        case 1: a.rr(0x0FB6, temporary, result, 4, byteRM: true)
        case 2: a.rr(0x0FB7, temporary, result, 4)
        default: a.rr(0x8B, temporary, result, size)
        }
        a.rr(0xC1, 5, temporary, max(size, 4))
        a.byte(UInt8(size * 8 - 2))
        a.rm(0x8D, temporary, Assembler.Memory(base: temporary, disp: 1), 4)
        a.rr(0xC1, 5, temporary, 4)
        a.byte(1)
    }

    /// ROL, ROR. CF and OF change alone, and not for a count of 0.
    private mutating func rotate(_ row: Lowering) {
        let (byCL, needed) = (row.form == .rotateRC, flagsNeeded)
        if needed { flagsToMemory() } else { clobber() }
        let direct = isDirect(op.a)
        let register = direct ? pinned(op.a) : source(op.a, row.size, Host.page)
        var skip = -1
        if byCL {
            if needed {
                if row.size == 4 { a.move(register, register, 4) }
                a.bytes(0xF6, 0xC1, row.size == 8 ? 63 : 31)  // TEST CL, 31
                skip = a.jump(Condition.zero)
            }
            a.rr(row.size == 1 ? 0xD2 : 0xD3, row.operation, register, row.size, byteRM: row.size == 1)
        } else {
            a.rr(row.size == 1 ? 0xC0 : 0xC1, row.operation, register, row.size, byteRM: row.size == 1)
            a.byte(UInt8(truncatingIfNeeded: op.imm))
        }
        if needed {
            a.rr(0x0F92, 0, Host.rax, 1)  // SETC AL
            a.aluImmediate(Lowering.and, StateField.packedHigh, ~1, 1)
            a.rm(0x08, Host.rax, StateField.packedHigh, 1)
            if row.operation == 0 {
                switch row.size {
                case 1: a.rr(0x0FB6, Host.address, register, 4, byteRM: true)
                case 2: a.rr(0x0FB7, Host.address, register, 4)
                default: a.rr(0x8B, Host.address, register, row.size)
                }
                a.rr(0xC1, 5, Host.address, max(row.size, 4))
                a.byte(UInt8(row.size * 8 - 1))
                a.rr(0x32, Host.address, Host.rax, 1, byteReg: true, byteRM: true)
            } else {
                topBits(register, row.size, Host.address)
                a.aluImmediate(Lowering.and, Host.address, 1, 4)
            }
            a.rm(0x88, Host.address, StateField.packedFlags, 1, byteReg: true)
            if skip >= 0 { a.patch(skip, to: a.count) }
            flags = FlagState(place: .memory)
        }
        if !direct {
            a.move(Host.rax, register, 8)
            writeBack(op.a, row.size)
        }
    }

    /// BSF, BSR: ZF alone changes; the destination stays when there is no bit.
    private mutating func bitScan(_ row: Lowering) {
        let needed = flagsNeeded
        if needed { flagsToMemory() } else { clobber() }
        var code: ColdCode?
        if op.isRegisterForm {
            let from = source(op.b, row.size, Host.page)
            if row.size == 2 { a.rr(0x0FB7, Host.page, from, 4) } else { a.move(Host.page, from, row.size) }
        } else {
            code = unitAccess(row.size, write: false)
            if row.size == 2 { a.rm(0x0FB7, Host.page, memory, 4) } else { a.load(Host.page, memory, row.size) }
        }
        let size = max(row.size, 4)
        if needed {
            a.aluImmediate(Lowering.and, StateField.packedHigh, ~0x40, 1)
            a.rr(0x85, Host.page, Host.page, size)
            a.rr(0x0F94, 0, Host.rax, 1)  // SETZ AL
            a.bytes(0xC0, 0xE0, 0x06)  // SHL AL, 6
            a.rm(0x08, Host.rax, StateField.packedHigh, 1)
        }
        a.rr(row.operation == 0 ? 0x0FBC : 0x0FBD, Host.rax, Host.page, size)
        let none = a.jump(Condition.zero)
        writeBack(op.a, row.size == 2 ? 2 : 8)
        a.patch(none, to: a.count)
        flags = FlagState(place: needed ? .memory : .dead)
        if let code { finish(code) }
    }

    /// BT, BTS, BTR, BTC: CF alone changes.
    private mutating func bitChange(_ row: Lowering) {
        let needed = flagsNeeded
        if needed { flagsToMemory() } else { clobber() }
        let immediate = op.wide == 1
        let bit = UInt8(truncatingIfNeeded: op.imm) & UInt8(row.size * 8 - 1)
        var code: ColdCode?
        if op.isRegisterForm {
            let direct = isDirect(op.b)
            let register = direct ? pinned(op.b) : source(op.b, row.size, Host.page)
            if immediate {
                a.rr(0x0FBA, row.operation, register, row.size)
                a.byte(bit)
            } else {
                a.rr(0x0F83 | Int(row.operation) << 3, source(op.a, row.size, Host.rax), register, row.size)
            }
            if needed { carryToMemory() }
            if !direct && row.operation != 4 {
                a.move(Host.rax, register, row.size == 8 ? 8 : 4)
                writeBack(op.b, row.size)
            }
        } else if immediate {
            let access = unitAccess(row.size, write: row.operation != 4)
            a.rm(0x0FBA, row.operation, memory, row.size)
            a.byte(bit)
            if needed { carryToMemory() }
            code = access
        } else {
            // The register reaches beyond the operand: it moves the address by whole operands.
            offset()
            let register = source(op.a, row.size, Host.rax)
            switch row.size {
            case 2: a.rr(0x0FBF, Host.rax, register, 8)
            case 4: a.rr(0x63, Host.rax, register, 8)
            default: a.move(Host.rax, register, 8)
            }
            let log = row.size == 2 ? 1 : row.size == 4 ? 2 : 3
            a.rr(0xC1, 7, Host.rax, 8)
            a.byte(UInt8(log + 3))
            a.rm(0x8D, Host.address, Assembler.Memory(base: Host.address, index: Host.rax, scale: UInt8(log)), op.addressMask == .max ? 8 : 4)
            if op.addressMask == 0xFFFF { a.rr(0x0FB7, Host.address, Host.address, 4) }
            var slow = ColdCode(kind: .one, op: now, flags: flags)
            addBase(op.seg, row.size, &slow)
            slow.fills.0 = prove(Assembler.Memory(base: Host.address), row.size, write: row.operation != 4, nextShortcut(write: row.operation != 4))
            a.move(Host.rax, source(op.a, row.size, Host.rax), 4)
            a.aluImmediate(Lowering.and, Host.rax, Int32(row.size * 8 - 1), 4)
            a.rm(0x0F83 | Int(row.operation) << 3, Host.rax, memory, row.size)
            if needed { carryToMemory() }
            code = slow
        }
        flags = FlagState(place: needed ? .memory : .dead)
        if let code { finish(code) }
    }

    /// The host's CF into the word in memory.
    private mutating func carryToMemory() {
        a.rr(0x0F92, 0, Host.rax, 1)  // SETC AL
        a.aluImmediate(Lowering.and, StateField.packedHigh, ~1, 1)
        a.rm(0x08, Host.rax, StateField.packedHigh, 1)
    }
}
