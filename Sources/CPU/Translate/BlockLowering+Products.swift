/// Shifts by a constant or CL of whole registers, products and quotients.
extension BlockLowering {
    mutating func shift(_ row: Lowering) {
        let (byCL, needed, direct) = (row.form == .shiftRC, flagsNeeded, isDirect(op.a))
        if byCL { if needed { flagsToMemory() } else { clobber() } }
        let register = direct ? pinned(op.a) : source(op.a, row.size, Host.page)
        guard byCL else {
            // From its operand it can be done again, whatever becomes of the register.
            if needed { a.store(StateField.flagOperand, register, 8) }
            shiftImmediate(row, register, op.imm)
            if !direct { keep(Host.page, row.size) }
            flags = needed ? FlagState(place: .host, producer: now, missing: .overflow) : FlagState(place: .dead)
            return
        }
        var skip = -1
        if needed {
            if is64 && row.size == 4 { a.move(register, register, 4) }
            a.bytes(0xF6, 0xC1, row.size == 8 ? 63 : 31)  // TEST CL, 31
            skip = a.jump(Condition.zero)
        }
        a.rr(0xD3, row.operation, register, row.size)
        if needed {
            shiftFlags(row.operation, register, row.size, Host.address)
            a.patch(skip, to: a.count)
            flags = FlagState(place: .memory)
        } else {
            flags = FlagState(place: .dead)
        }
        if !direct { keep(Host.page, row.size) }
    }

    mutating func shiftImmediate(_ row: Lowering, _ register: UInt8, _ count: Int32) {
        a.rr(row.size == 1 ? 0xC0 : 0xC1, row.operation, register, row.size, byteRM: row.size == 1)
        a.byte(UInt8(truncatingIfNeeded: count))
    }

    /// Writes a working register to the guest's.
    private mutating func keep(_ register: UInt8, _ size: Int) {
        a.move(Host.rax, register, 8)
        writeBack(op.a, size)
    }

    mutating func multiply(_ row: Lowering) {
        let size = row.size
        let memoryForm = row.form == .multiplyRM || row.form == .multiplyRMI
        var code: ColdCode?
        if memoryForm { code = access(size, write: false) }
        let immediate = row.form == .multiplyRRI || row.form == .multiplyRMI
        let to = isDirect(op.a) ? pinned(op.a) : Host.rax
        if immediate {
            if memoryForm {
                a.rm(0x69, to, memory, size)
            } else {
                a.rr(0x69, to, source(op.b, size, Host.page), size)
            }
            a.word32(op.imm)
        } else {
            let right = memoryForm ? Host.none : source(op.b, size, Host.page)
            if to == Host.rax { _ = source(op.a, size, Host.rax) }
            if memoryForm { a.rm(0x0FAF, to, memory, size) } else { a.rr(0x0FAF, to, right, size) }
        }
        if flagsNeeded && !memoryForm && isDirect(op.a) && survives(now) {
            a.rm(0x0F90, 0, StateField.flagOperand, 1)  // SETO
            flags = FlagState(place: .again, producer: now)
        } else if flagsNeeded {
            a.rr(0x0F90, 0, Host.address, 1, byteRM: true)  // SETO R10B
            a.rr(0x85, to, to, size)
            if to == Host.rax {
                a.move(Host.page, Host.rax, 8)
                productFlags()
                a.move(Host.rax, Host.page, 8)
            } else {
                productFlags()
            }
            flags = FlagState(place: .memory)
        } else {
            flags = FlagState(place: .dead)
        }
        if to == Host.rax { writeBack(op.a, size) }
        if let code { finish(code) }
    }

    /// SF ZF PF are the host's, CF and OF in R10B.
    private mutating func productFlags() {
        a.byte(0x9F)  // LAHF
        a.rr(0x8A, Host.rax, Host.address, 1, byteReg: true, byteRM: true)  // MOV AL, R10B
        a.bytes(0x08, 0xC4)  // OR AH, AL
        a.store(StateField.packedFlags, Host.rax, 2)
    }

    /// MUL, IMUL, DIV, IDIV of the accumulator.
    mutating func wide(_ row: Lowering) {
        let size = row.size
        let (accumulator, divides) = (Host.pinned[0], row.operation >= 6)
        var code: ColdCode
        var operand = Host.none
        if row.form == .wideM {
            // A division uses R10 before it is known to be plain.
            if divides && op.base == 136 { a.store(StateField.scratchAddress, Host.address, 8) }
            code = access(size, write: false)
            if divides {
                code.savesAddress = false
                a.load(Host.page, memory, size)
                operand = Host.page
            }
        } else {
            clobberFor(row)
            code = ColdCode(kind: .one, op: now, flags: flags)
            operand = source(op.b, size, Host.page)
            if divides && operand != Host.page {
                a.move(Host.page, operand, size)
                operand = Host.page
            }
        }
        guard divides else {
            a.move(Host.rax, accumulator, size)
            if operand == Host.none { a.rm(0xF7, row.operation, memory, size) } else { a.rr(0xF7, row.operation, operand, size) }
            a.move(accumulator, Host.rax, size)
            if flagsNeeded {
                a.rr(0x0F90, 0, Host.address, 1, byteRM: true)
                a.rr(0x85, accumulator, accumulator, size)
                productFlags()
                flags = FlagState(place: .memory)
            } else {
                flags = FlagState(place: .dead)
            }
            if row.form == .wideM { finish(code) }
            return
        }
        // The quotient must fit: else the handler does it, and the fault.
        if row.operation == 6 {
            a.rr(0x3B, Host.rdx, operand, size)
            code.from.1 = a.jump(Condition.notCarry)
            a.move(Host.rax, accumulator, size)
            a.rr(0xF7, 6, operand, size)
        } else {
            // 0 and -1
            a.rm(0x8D, Host.rax, Assembler.Memory(base: operand, disp: 1), size)
            a.aluImmediate(Lowering.cmp, Host.rax, 1, size)
            code.from.1 = a.jump(6)  // JBE
            if size == 4 {
                a.rr(0x63, Host.page, operand, 8)
                a.move(Host.rax, Host.rdx, 8)
                a.rr(0xC1, 4, Host.rax, 8)
                a.byte(32)
                a.move(Host.address, accumulator, 4)
                a.rr(0x0B, Host.rax, Host.address, 8)
                a.move(Host.address, Host.rdx, 8)
                a.bytes(0x48, 0x99)  // CQO
                a.rr(0xF7, 7, Host.page, 8)
                a.rr(0x63, Host.page, Host.rax, 8)
                a.rr(0x3B, Host.page, Host.rax, 8)
                code.from.2 = a.jump(Condition.notZero)
                code.restoresRDX = true
                a.move(Host.rdx, Host.rdx, 4)
            } else {
                a.move(Host.rax, accumulator, 8)
                a.rr(0xC1, 7, Host.rax, 8)
                a.byte(63)
                a.rr(0x3B, Host.rax, Host.rdx, 8)
                code.from.2 = a.jump(Condition.notZero)
                a.move(Host.rax, accumulator, 8)
                a.rr(0xF7, 7, operand, 8)
            }
        }
        a.move(accumulator, Host.rax, size)
        finish(code)
    }

    /// A division keeps the guest's flags and destroys the host's; a product makes new ones.
    private mutating func clobberFor(_ row: Lowering) { if row.operation >= 6 { clobber() } }
}
