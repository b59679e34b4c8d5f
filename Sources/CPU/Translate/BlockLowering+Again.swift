/// Operations that are done again, for their flags alone.
extension BlockLowering {
    /// Does the operation that made these flags again, and saves them. RAX and R11 are lost.
    mutating func remake(_ flags: FlagState) {
        let n = flags.producer, row = row(n)
        if isProduct(n) {
            redo(flags)
            a.byte(0x9F)  // LAHF
            a.load(Host.rax, StateField.flagOperand, 1)
            a.bytes(0x08, 0xC4)  // OR AH, AL
            return a.store(StateField.packedFlags, Host.rax, 2)
        }
        guard row.form == .shiftRI else {
            redo(flags)
            return saveFlags()
        }
        a.load(Host.page, StateField.flagOperand, 8)
        shiftImmediate(row, Host.page, ops[n].imm)
        shiftFlags(row.operation, Host.page, row.size, Host.page)
    }

    /// What `redo` does not make as the guest's.
    func missing(_ n: Int) -> FlagState.Missing { row(n).form == .shiftRI ? .overflow : isProduct(n) ? .product : .none }

    func isProduct(_ n: Int) -> Bool {
        switch row(n).form {
        case .multiplyRR, .multiplyRRI: true
        default: false
        }
    }

    /// INC and DEC of a register.
    func isCounted(_ n: Int) -> Bool {
        switch row(n).form {
        case .unaryR, .fusedDec: true
        default: false
        }
    }

    /// Does the operation that made these flags again, in RAX; of a shift OF and AF are the host's, of a product CF and OF are 0.
    mutating func redo(_ flags: FlagState) {
        let n = flags.producer
        let (row, o) = (row(n), ops[n])
        let size = row.size
        switch (row.form, row.operation) {
        case (.shiftRI, _):
            a.load(Host.rax, StateField.flagOperand, 8)
            shiftImmediate(row, Host.rax, o.imm)
        case (.aluRM, _), (.aluMR, _), (.aluMI, _):
            a.load(Host.rax, StateField.flagOperand, 8)
            compareLoaded(row, o)
        case (.multiplyRR, _), (.multiplyRRI, _):
            let register = pinned(o.a)
            a.rr(0x85, register, register, size)
        case (.unaryR, _), (.fusedDec, _):
            // CF from before is in memory, or made again; LEA leaves it alone.
            if flags.source >= 0 {
                redo(FlagState(producer: flags.source))
            } else {
                a.load(Host.rax, StateField.packedFlags, 2)
                a.bytes(0x0F, 0xBA, 0xE0, 0x08)  // BT EAX, 8
            }
            let down = row.form == .fusedDec || row.operation == 1
            let register = source(o.a, size, Host.page)
            a.rm(0x8D, Host.rax, Assembler.Memory(base: register, disp: down ? 1 : -1), 8)
            a.rr(size == 1 ? 0xFE : 0xFF, down ? 1 : 0, Host.rax, size)
        case (_, Lowering.add), (_, Lowering.sub):
            let right = rightOperand(n)
            if row.form == .aluRR && o.a == o.b {
                // SUB of a register from itself left 0.
                let register = source(o.a, size, Host.rax)
                a.rr(size == 1 ? 0x84 : 0x85, register, register, size, byteReg: size == 1, byteRM: size == 1)
                return
            }
            let first = source(o.a, size, Host.rax)
            a.move(Host.rax, first, 8)
            let back: UInt8 = row.operation == Lowering.add ? Lowering.sub : Lowering.add
            alu(back, Host.rax, right, o.imm, size)
            alu(row.operation, Host.rax, right, o.imm, size)
        case (_, Lowering.and), (_, Lowering.or), (_, Lowering.xor):
            let register = source(o.a, size, Host.rax)
            a.rr(size == 1 ? 0x84 : 0x85, register, register, size, byteReg: size == 1, byteRM: size == 1)
        default:
            // CMP and TEST
            let right = rightOperand(n)
            let first = source(o.a, size, Host.rax)
            alu(row.operation, first, right, o.imm, size)
        }
    }

    /// The second operand of a two-operand form: a register, or `Host.none` for the immediate.
    private mutating func rightOperand(_ n: Int) -> UInt8 {
        switch row(n).form {
        case .aluRR, .fusedRR: source(ops[n].b, row(n).size, Host.page)
        default: Host.none
        }
    }

    /// ADD … CMP, TEST with a register or the immediate.
    mutating func alu(_ operation: UInt8, _ left: UInt8, _ right: UInt8, _ immediate: Int32, _ size: Int) {
        if right == Host.none {
            if operation == Lowering.test {
                a.rr(size == 1 ? 0xF6 : 0xF7, 0, left, size, byteRM: size == 1)
                a.immediate(immediate, size)
            } else {
                a.aluImmediate(operation, left, immediate, size)
            }
        } else if operation == Lowering.test {
            a.rr(size == 1 ? 0x84 : 0x85, right, left, size, byteReg: size == 1, byteRM: size == 1)
        } else {
            a.rr(Int(operation) * 8 + (size == 1 ? 2 : 3), left, right, size, byteReg: size == 1, byteRM: size == 1)
        }
    }
}
