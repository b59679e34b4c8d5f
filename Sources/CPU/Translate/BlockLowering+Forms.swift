/// How each form of `Lowering` is written as host code.
extension BlockLowering {
    mutating func lower(_ row: Lowering) {
        switch row.form {
        case .call: if !lowerUnit() && !repeatedString() { call(.one) }
        case .bail, .next, .jump, .branch, .callNear, .ret, .jumpR, .jumpM, .callR, .callM, .callStack, .retStack, .loop, .loopCondition, .jcxz,
            .fusedRR, .fusedRI, .fusedDec:
            lowerBranch(row)
        case .segAddr: segmentAddress()
        case .segBase:
            offset()
            if op.seg != 1 {
                a.load(Host.page, StateField.segmentBase(op.seg), 8)
                a.rm(0x8D, Host.address, Assembler.Memory(base: Host.address, index: Host.page), 8)
            }
            passAddress()
        case .ripAddr:
            a.constant(Host.address, op.wide)
            passAddress()
        case .aluRR, .aluRI: arithmetic(row)
        case .aluRM, .aluMR, .aluMI: arithmeticMemory(row)
        case .moveRR, .moveRM, .moveMR, .moveRI, .moveMI, .moveWide, .extendR, .extendM: move(row)
        case .lea:
            if op.base == 136 {
                a.move(Host.rax, Host.address, 8)
                a.move(Host.rax, Host.rax, row.size)
                writeBack(op.a, row.size)
            } else if isDirect(op.a) {
                effective(pinned(op.a), row.size)
            } else {
                effective(Host.rax, row.size)
                writeBack(op.a, row.size)
            }
        case .leaNarrow:
            if op.base != 136 { offset() }
            a.move(Host.rax, Host.address, 8)
            let size = op.operandBytes
            if size == 4 { a.move(Host.rax, Host.rax, 4) }
            writeBack(op.a, size)
        case .exchangeRR: exchange(row.size)
        case .exchangeMR: exchangeMemory(row.size)
        case .unaryR: unary(row)
        case .unaryM: unaryMemory(row)
        case .pushR, .pushI, .pushM: push(row)
        case .popR:
            let code = accessStack(write: false)
            if isDirect(op.a) && op.a >> 3 != 4 {
                a.load(pinned(op.a), memory, word)
                moveStack(Host.pinned[4], Int32(word))
            } else {
                a.load(Host.rax, memory, word)
                moveStack(Host.pinned[4], Int32(word))
                writeBack(op.a, word)
            }
            finish(code)
        case .leave:
            clobber()
            var code = ColdCode(kind: .one, op: now, flags: flags)
            code.fills.0 = prove(Assembler.Memory(base: Host.rbp), word, write: false, Shortcut.stackLoad)
            moveStack(Host.rbp, Int32(word))
            a.load(Host.rbp, memory, word)
            finish(code)
        case .shiftRI, .shiftRC: shift(row)
        case .rotateRI, .rotateRC, .shiftMI, .shiftMC, .bitScan, .byteSwap, .compareExchange, .exchangeAdd, .bitChange, .doubleShift: lowerBits(row)
        case .multiplyRR, .multiplyRRI, .multiplyRM, .multiplyRMI: multiply(row)
        case .wideR, .wideM: wide(row)
        case .nop: break
        case .widenAL: a.rr(row.from == 4 ? 0x63 : row.from == 2 ? 0x0FBF : 0x0FBE, Host.pinned[0], Host.pinned[0], row.size)
        case .widenAX:
            a.move(Host.rax, Host.pinned[0], 8)
            if row.size == 2 { a.byte(0x66) } else if row.size == 8 { a.byte(0x48) }
            a.byte(0x99)
        case .clearCarry, .setCarry, .flipCarry:
            flagsToMemory()
            let digit: UInt8 = row.form == .clearCarry ? Lowering.and : row.form == .setCarry ? Lowering.or : Lowering.xor
            a.aluImmediate(digit, StateField.packedHigh, row.form == .clearCarry ? ~1 : 1, 1)
        case .direction:
            clobber()
            a.aluImmediate(row.operation == 0 ? Lowering.and : Lowering.or, StateField.systemFlags, row.operation == 0 ? ~0x400 : 0x400, 4)
        case .setR:
            let code = condition(op.sub8)
            if isDirect(op.a) {
                a.rr(0x0F90 | Int(code), 0, pinned(op.a), 1, byteRM: true)
            } else {
                a.rr(0x0F90 | Int(code), 0, Host.rax, 1)
                writeBack(op.a, 1)
            }
        case .setM:
            flagsToMemory()
            let code = access(1, write: true)
            a.rm(0x0F90 | Int(condition(op.sub8)), 0, memory, 1)
            finish(code)
        case .conditionalRR:
            let code = condition(op.sub8)
            let right = source(op.b, row.size, Host.page)
            if isDirect(op.a) {
                a.rr(0x0F40 | Int(code), pinned(op.a), right, row.size)
            } else {
                let left = source(op.a, row.size, Host.rax)
                a.rr(0x0F40 | Int(code), left, right, row.size)
                writeBack(op.a, row.size)
            }
        case .conditionalRM:
            flagsToMemory()
            let code = access(row.size, write: false)
            let tested = condition(op.sub8)
            if isDirect(op.a) {
                a.rm(0x0F40 | Int(tested), pinned(op.a), memory, row.size)
            } else {
                let left = source(op.a, row.size, Host.rax)
                a.rm(0x0F40 | Int(tested), left, memory, row.size)
                writeBack(op.a, row.size)
            }
            finish(code)
        case .bitRR, .bitRI:
            guard flagsNeeded else { return }
            flagsToMemory()
            let left = source(op.a, row.size, Host.page)
            if row.form == .bitRR {
                a.rr(0x0FA3, source(op.b, row.size, Host.rax), left, row.size)
            } else {
                a.rr(0x0FBA, 4, left, row.size)
                a.byte(UInt8(truncatingIfNeeded: op.imm) & UInt8(row.size * 8 - 1))
            }
            a.rr(0x0F92, 0, Host.rax, 1)  // SETC AL
            a.aluImmediate(Lowering.and, StateField.packedHigh, ~1, 1)
            a.rm(0x08, Host.rax, StateField.packedHigh, 1)
        }
    }

    /// The interpreter's handler for the whole operation, or a helper for a part of it.
    mutating func call(_ kind: ColdCode.Kind) {
        flagsToMemory()
        settleUnits(now)
        helper(kind, now)
        if ops[now].kind == .slowEnd && !ops[now].isRepeatedString {
            let place = a.jump()
            a.patch(place, to: area.exit - area.used)
            return
        }
        a.bytes(0x85, 0xC0)  // TEST EAX, EAX
        let place = a.jump(Condition.notZero)
        a.patch(place, to: area.exit - area.used)
        if kind == .one && ops[now].kind != .slowEnd { reclaimUnits() }
    }

    /// Calls a helper; its answer is in EAX.
    mutating func helper(_ kind: ColdCode.Kind, _ n: Int) {
        let number = kind == .one ? 0 : kind == .push ? 1 : kind == .target ? 2 : 3
        a.constant(Host.rax, UInt64(UInt(bitPattern: ops + n)))
        a.constant(Host.page, UInt64(UInt(bitPattern: block)))
        let place = a.call()
        a.patch(place, to: area.calls[number] - area.used)
    }

    /// An address operation has its result in R10; a handler that comes next wants it in memory, and so does what adds a base to it.
    private mutating func passAddress() {
        guard now + 1 < count else { return }
        switch row(now + 1).form {
        case .call, .lea, .leaNarrow, .segAddr, .segBase, .bitScan, .bitChange, .compareExchange, .exchangeAdd:
            a.store(StateField.scratchAddress, Host.address, 8)
        default: break
        }
    }

    /// Offset, limit and type check, base: what `Core.linear` does for the usual segments.
    private mutating func segmentAddress() {
        clobber()
        offset()
        var code = ColdCode(kind: .one, op: now, flags: flags, reloadsAddress: true)
        let bytes = Int32(op.sub & 0xFF)
        a.load(Host.rax, StateField.segmentLimit(op.seg), 4)
        if bytes > 1 {
            a.rm(0x8D, Host.page, Assembler.Memory(base: Host.address, disp: bytes - 1), 8)
            a.rr(0x3B, Host.page, Host.rax, 8)
        } else {
            a.rr(0x3B, Host.address, Host.rax, 8)
        }
        code.from.0 = a.jump(Condition.above)
        a.rm(0x0FB7, Host.rax, StateField.segmentAttributes(op.seg), 4)
        a.byte(0x25)  // AND EAX, 9E
        a.word32(0x9E)
        a.byte(0x3D)  // CMP EAX, 92
        a.word32(0x92)
        code.from.1 = a.jump(Condition.notZero)
        a.load(Host.page, StateField.segmentBase(op.seg), 8)
        a.rm(0x8D, Host.address, Assembler.Memory(base: Host.address, index: Host.page), 4)
        finish(code)
        passAddress()
    }

    // MARK: Arithmetic

    private mutating func carryIn() {
        switch flags.place {
        case .again where !isProduct(flags.producer): redo(flags)
        case .again:
            flagsToMemory()
            restoreCarry()
        case .memory: restoreCarry()
        case .host:
            if flags.missing == .product { flagsToMemory() }
            if flags.place == .memory || (flags.missing == .carry && flags.source < 0) { restoreCarry() } else if flags.missing == .carry { redo(flags) }
        case .dead: break
        }
    }

    private mutating func arithmetic(_ row: Lowering) {
        let withCarry = row.operation == Lowering.adc || row.operation == Lowering.sbb
        if withCarry { carryIn() }
        let right = row.form == .aluRR ? source(op.b, row.size, Host.page) : Host.none
        let result = row.operation != Lowering.cmp && row.operation != Lowering.test
        if isDirect(op.a) {
            alu(row.operation, pinned(op.a), right, op.imm, row.size)
        } else {
            let left = source(op.a, row.size, Host.rax)
            alu(row.operation, left, right, op.imm, row.size)
            if result { writeBack(op.a, row.size) }
        }
        // ADD of a register to itself cannot be undone.
        let again = !withCarry && !(row.form == .aluRR && op.a == op.b && row.operation == Lowering.add) && !overlaps(row)
        produced(again: again)
    }

    /// The result overwrites part of the other operand (ADD AL, AH).
    private func overlaps(_ row: Lowering) -> Bool { row.form == .aluRR && op.a != op.b && op.a >> 3 == op.b >> 3 }

    private mutating func arithmeticMemory(_ row: Lowering) {
        let withCarry = row.operation == Lowering.adc || row.operation == Lowering.sbb
        if withCarry { flagsToMemory() }
        let result = row.operation != Lowering.cmp && row.operation != Lowering.test
        let code = access(row.size, write: result && row.form != .aluRM)
        if !result && flagsNeeded && (row.form == .aluMI || isDirect(op.a)) && wantedAgain(now) && survives(now) {
            // Its flags can be made again from what was read.
            if row.size < 4 { a.rm(row.size == 1 ? 0x0FB6 : 0x0FB7, Host.rax, memory, 4) } else { a.load(Host.rax, memory, row.size) }
            a.store(StateField.flagOperand, Host.rax, 8)
            compareLoaded(row, op)
            produced(again: true)
            var repeating = code
            repeating.repeats = true
            return finish(repeating)
        }
        switch row.form {
        case .aluRM:
            if isDirect(op.a) {
                if withCarry { restoreCarry() }
                a.rm(Int(row.operation) * 8 + (row.size == 1 ? 2 : 3), pinned(op.a), memory, row.size, byteReg: row.size == 1)
            } else {
                let left = source(op.a, row.size, Host.rax)
                if withCarry { restoreCarry() }
                a.rm(Int(row.operation) * 8 + (row.size == 1 ? 2 : 3), left, memory, row.size, byteReg: row.size == 1)
                if result { writeBack(op.a, row.size) }
            }
        case .aluMR:
            let right = source(op.a, row.size, Host.rax)
            if withCarry { restoreCarry() }
            if row.operation == Lowering.test {
                a.rm(row.size == 1 ? 0x84 : 0x85, right, memory, row.size, byteReg: row.size == 1)
            } else {
                a.rm(Int(row.operation) * 8 + (row.size == 1 ? 0 : 1), right, memory, row.size, byteReg: row.size == 1)
            }
        default:
            if withCarry { restoreCarry() }
            if row.operation == Lowering.test {
                a.rm(row.size == 1 ? 0xF6 : 0xF7, 0, memory, row.size)
                a.immediate(op.imm, row.size)
            } else {
                a.aluImmediate(row.operation, memory, op.imm, row.size)
            }
        }
        produced()
        finish(code)
    }

    /// CMP or TEST with the memory operand's value in RAX.
    mutating func compareLoaded(_ row: Lowering, _ o: Op) {
        switch row.form {
        case .aluRM: alu(row.operation, pinned(o.a), Host.rax, 0, row.size)
        case .aluMR: alu(row.operation, Host.rax, pinned(o.a), 0, row.size)
        default: alu(row.operation, Host.rax, Host.none, o.imm, row.size)
        }
    }

    private mutating func unary(_ row: Lowering) {
        let (opcode, digit): (Int, UInt8) =
            row.operation < 2 ? (row.size == 1 ? 0xFE : 0xFF, row.operation) : (row.size == 1 ? 0xF6 : 0xF7, row.operation == 2 ? 3 : 2)
        var again = false
        if row.operation < 2 && flagsNeeded { again = keepCarry() }
        if isDirect(op.a) {
            a.rr(opcode, digit, pinned(op.a), row.size, byteRM: row.size == 1)
        } else {
            let value = source(op.a, row.size, Host.rax)
            a.rr(opcode, digit, value, row.size, byteRM: row.size == 1)
            writeBack(op.a, row.size)
        }
        if row.operation < 2 { counted(again) } else if row.operation == 2 { produced(again: again) }
    }

    /// Behind INC or DEC.
    mutating func counted(_ again: Bool) {
        let (missing, source) = (flags.missing, flags.source)
        produced(again: again)
        guard flags.place == .host else { return }
        if missing == .carry { flags.missing = .carry }
        if flags.producer >= 0 { flags.source = source }
    }

    /// Before INC or DEC, which keep CF: it survives in the host's flags, or stays where it can be had again. True: INC or DEC can be done again
    /// with it, `flags.source` saying from where.
    mutating func keepCarry() -> Bool {
        if flags.missing == .product || (flags.place == .again && isProduct(flags.producer)) { flagsToMemory() }
        let before = flags
        (flags.missing, flags.source) = (.none, -1)
        switch before.place {
        case .dead: return true
        case .memory: if survives(now) { flags.missing = .carry } else { restoreCarry() }
        case .host where before.missing != .carry:
            guard let source = carrySource(before) else { return false }
            flags.source = source
        case .host, .again:
            let source = carrySource(before)
            flags.source = source ?? -1
            if source != nil && survives(now) {
                flags.missing = .carry
            } else if before.place == .host && before.source < 0 {
                restoreCarry()
            } else {
                redo(before)
            }
            return source != nil
        }
        return true
    }

    /// The operation that CF is from, when it can be done again as long as the flags of INC or DEC `now` can be wanted; -1: CF is in memory.
    private func carrySource(_ before: FlagState) -> Int? {
        guard before.producer >= 0 else { return nil }
        let source = isCounted(before.producer) ? before.source : before.producer
        if source < 0 { return -1 }
        return inputs(source) & (1 << UInt32(op.a >> 3)) == 0 && keep(inputs(source), from: now + 1) ? source : nil
    }

    private mutating func unaryMemory(_ row: Lowering) {
        let keeps = row.operation < 2 && flagsNeeded
        if keeps { flagsToMemory() }
        let code = access(row.size, write: true)
        if keeps { restoreCarry() }
        let (opcode, digit): (Int, UInt8) =
            row.operation < 2 ? (row.size == 1 ? 0xFE : 0xFF, row.operation) : (row.size == 1 ? 0xF6 : 0xF7, row.operation == 2 ? 3 : 2)
        a.rm(opcode, digit, memory, row.size)
        if row.operation < 3 { produced() }
        finish(code)
    }

    // MARK: Moves

    private mutating func move(_ row: Lowering) {
        let size = row.size
        switch row.form {
        case .moveRR:
            let from = source(op.b, size, Host.rax)
            if isDirect(op.a) {
                a.rr(size == 1 ? 0x8A : 0x8B, pinned(op.a), from, size, byteReg: size == 1, byteRM: size == 1)
            } else {
                a.move(Host.rax, from, size == 8 ? 8 : 4)
                writeBack(op.a, size)
            }
        case .moveRI:
            if isDirect(op.a) {
                if size >= 4 {
                    a.constant(pinned(op.a), size == 4 ? UInt64(UInt32(bitPattern: op.imm)) : UInt64(bitPattern: Int64(op.imm)))
                } else {
                    a.rr(size == 1 ? 0xC6 : 0xC7, 0, pinned(op.a), size, byteRM: size == 1)
                    a.immediate(op.imm, size)
                }
            } else {
                a.constant(Host.rax, size == 8 ? UInt64(bitPattern: Int64(op.imm)) : UInt64(UInt32(bitPattern: op.imm)))
                writeBack(op.a, size)
            }
        case .moveWide:
            if isDirect(op.a) {
                a.constant(pinned(op.a), op.wide)
            } else {
                a.constant(Host.rax, op.wide)
                writeBack(op.a, 8)
            }
        case .moveRM:
            let code = access(size, write: false)
            if isDirect(op.a) {
                a.load(pinned(op.a), memory, size)
            } else {
                a.load(Host.rax, memory, size)
                writeBack(op.a, size)
            }
            finish(code)
        case .moveMR:
            let code = access(size, write: true)
            a.store(memory, source(op.a, size, Host.rax), size)
            finish(code)
        case .moveMI:
            let code = access(size, write: true)
            a.rm(size == 1 ? 0xC6 : 0xC7, 0, memory, size)
            a.immediate(op.imm, size)
            finish(code)
        case .extendR:
            let from = source(op.b, row.from, Host.rax)
            let to = isDirect(op.a) ? pinned(op.a) : Host.rax
            a.rr(extending(row), to, from, size, byteRM: row.from == 1)
            if to == Host.rax { writeBack(op.a, size) }
        default:
            let code = access(row.from, write: false)
            let to = isDirect(op.a) ? pinned(op.a) : Host.rax
            a.rm(extending(row), to, memory, size)
            if to == Host.rax { writeBack(op.a, size) }
            finish(code)
        }
    }

    private func extending(_ row: Lowering) -> Int {
        row.from == 4 ? 0x63 : (row.operation == 0 ? 0x0FB6 : 0x0FBE) + (row.from == 2 ? 1 : 0)
    }

    private mutating func exchange(_ size: Int) {
        if isDirect(op.a) && isDirect(op.b) {
            a.rr(size == 1 ? 0x86 : 0x87, pinned(op.a), pinned(op.b), size, byteReg: size == 1, byteRM: size == 1)
            return
        }
        let right = source(op.b, size, Host.page)
        if right != Host.page { a.move(Host.page, right, 8) }
        let left = source(op.a, size, Host.rax)
        a.move(Host.rax, left, size == 8 ? 8 : 4)
        writeBack(op.b, size)
        a.move(Host.rax, Host.page, size == 8 ? 8 : 4)
        writeBack(op.a, size)
    }

    private mutating func exchangeMemory(_ size: Int) {
        let code = access(size, write: true)
        if isDirect(op.a) {
            a.load(Host.rax, memory, size)
            a.store(memory, pinned(op.a), size)
            if size == 4 { a.move(Host.rax, Host.rax, 4) }
            writeBack(op.a, size)
        } else {
            a.rm(0x8D, Host.address, memory, 8)
            let value = source(op.a, size, Host.page)
            if value != Host.page { a.move(Host.page, value, 8) }
            let place = Assembler.Memory(base: Host.address)
            a.load(Host.rax, place, size)
            a.store(place, Host.page, size)
            if size == 4 { a.move(Host.rax, Host.rax, 4) }
            writeBack(op.a, size)
        }
        finish(code)
    }

    // MARK: Stack

    /// The stack pointer becomes a register plus a displacement.
    mutating func moveStack(_ from: UInt8, _ disp: Int32) { a.rm(0x8D, Host.pinned[4], Assembler.Memory(base: from, disp: disp), word) }

    /// Where the next push goes, or what the next pop takes.
    mutating func accessStack(write: Bool) -> ColdCode {
        let place = Assembler.Memory(base: Host.pinned[4], disp: write ? -Int32(word) : 0)
        if now < span.end { return accessSpan(place) }
        clobber()
        var code = ColdCode(kind: .one, op: now, flags: flags)
        code.fills.0 = prove(place, word, write: write, write ? Shortcut.stackStore : Shortcut.stackLoad)
        return code
    }

    private mutating func push(_ row: Lowering) {
        switch row.form {
        case .pushR:
            let code = accessStack(write: true)
            a.store(memory, source(op.a, word, Host.rax), word)
            moveStack(Host.pinned[4], -Int32(word))
            finish(code)
        case .pushI:
            let code = accessStack(write: true)
            a.rm(0xC7, 0, memory, word)
            a.word32(op.imm)
            moveStack(Host.pinned[4], -Int32(word))
            finish(code)
        default:
            // The slow way wants the address even when only the second access is slow.
            if op.base == 136 { a.store(StateField.scratchAddress, Host.address, 8) }
            var code = access(word, write: false)
            code.savesAddress = false
            a.load(Host.rax, memory, word)
            a.store(StateField.scratch, Host.rax, 8)
            code.fills.1 = prove(Assembler.Memory(base: Host.pinned[4], disp: -Int32(word)), word, write: true, Shortcut.stackStore)
            a.load(Host.rax, StateField.scratch, 8)
            a.store(memory, Host.rax, word)
            moveStack(Host.pinned[4], -Int32(word))
            finish(code)
        }
    }
}

extension Op {
    /// The condition of SETcc and CMOVcc.
    var sub8: UInt8 { UInt8(truncatingIfNeeded: sub) & 15 }
}
