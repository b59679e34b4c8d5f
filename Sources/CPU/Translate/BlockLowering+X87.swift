/// x87 and MMX instructions as the same instructions of the host, on the guest's own registers.
///
/// Left to the handlers: environment and state images, FNINIT and FNCLEX, packed decimals, FISTTP, and encodings that nobody documents.
extension BlockLowering {
    // MARK: What there is

    func x87Plan(_ o: Op) -> UnitPlan {
        let row = Int(o.sub & 7) << 3 | o.regField
        let (first, second) = (0xD8 | UInt8(truncatingIfNeeded: o.sub & 7), o.modrm)
        guard o.isRegisterForm else {
            guard let operand = x87Operand(row) else { return .none }
            if row == 13 { return .x87Control }
            return .x87(first: first, second: second, bytes: operand.bytes, writes: operand.writes)
        }
        let i = UInt8(o.rmField)
        let plain = UnitPlan.x87(first: first, second: second, bytes: 0, writes: false)
        switch row {
        case 0...7, 8, 9, 32, 33, 36...39, 40, 42...45, 48, 49, 52...55: return plain
        // Aliases by their documented names: FCOM, FCOMP, FXCH, FSTP.
        case 34: return .x87(first: 0xD8, second: 0xD0 | i, bytes: 0, writes: false)
        case 35, 50: return .x87(first: 0xD8, second: 0xD8 | i, bytes: 0, writes: false)
        case 41, 57: return .x87(first: 0xD9, second: 0xC8 | i, bytes: 0, writes: false)
        case 58, 59: return .x87(first: 0xDD, second: 0xD8 | i, bytes: 0, writes: false)
        case 10: return i == 0 ? .x87Nothing(noted: true) : .none
        case 12: return i == 0 || i == 1 || i == 4 || i == 5 ? plain : .none
        case 13: return i < 7 ? plain : .none
        case 14, 15: return plain
        case 16...19, 24...27: return .x87Conditional(first, second)
        case 21, 51: return i == 1 ? plain : .none
        case 29, 30, 61, 62: return .x87Flags(first, second)
        case 60: return i == 0 ? .x87Status : .none
        default: return .none
        }
    }

    /// Bytes of a memory operand, and whether it is written.
    private func x87Operand(_ row: Int) -> (bytes: UInt8, writes: Bool)? {
        switch row {
        case 0...7, 8, 16...23, 24: (4, false)
        case 10, 11, 26, 27: (4, true)
        case 32...39, 40, 61: (8, false)
        case 42, 43, 63: (8, true)
        case 13, 48...55, 56: (2, false)
        case 15, 47, 58, 59: (2, true)
        case 29: (10, false)
        case 31: (10, true)
        default: nil
        }
    }

    func mmxPlan(_ o: Op) -> UnitPlan {
        let opcode = UInt8(truncatingIfNeeded: o.sub)
        switch opcode {
        case 0x6E: return .mmx(.fromGeneral)
        case 0x7E: return .mmx(.toGeneral)
        case 0x6F: return .mmx(.operation(map: 1, bytes: 8, immediate: false))
        case 0x7F: return o.isRegisterForm ? .mmx(.operation(map: 1, bytes: 8, immediate: false)) : .mmx(.store)
        case 0x71, 0x72, 0x73:
            guard o.isRegisterForm else { return .none }
            switch (opcode, o.regField) {
            case (0x71, 2), (0x71, 4), (0x71, 6), (0x72, 2), (0x72, 4), (0x72, 6), (0x73, 2), (0x73, 6):
                return .mmx(.operation(map: 1, bytes: 8, immediate: true))
            default: return .none
            }
        case 0x77: return .mmx(.empty)
        case 0x60, 0x61, 0x62: return .mmx(.operation(map: 1, bytes: 4, immediate: false))
        default: return MMX.isDefined(opcode) ? .mmx(.operation(map: 1, bytes: 8, immediate: false)) : .none
        }
    }

    // MARK: Code

    /// False: there is no plan for the operation.
    mutating func lowerUnit() -> Bool {
        guard !units.plans.isEmpty else { return false }
        let plan = units.plans[now]
        if case .none = plan { return false }
        // Nothing is said of these operations in the table: their flags are not made again from registers that they may change.
        if flags.place == .again || flags.missing != .none { flagsToMemory() } else { flags.producer = -1 }
        switch plan {
        case .none: break
        case .x87(let first, let second, let bytes, let writes):
            if bytes == 0 {
                a.bytes(first, second)
                note(data: false)
            } else {
                let code = unitAccess(Int(bytes), write: writes)
                let row = Int(op.sub & 7) << 3 | op.regField
                a.rm(Int(first), UInt8(op.regField), memory, 4)
                // FNSTCW and FNSTSW leave the pointers alone.
                if row != 15 && row != 47 {
                    storeDataPointer()
                    note(data: true)
                }
                finish(code)
            }
        case .x87Status:
            a.bytes(0xDF, 0xE0)
            a.rr(0x8B, Host.pinned[0], Host.rax, 2)
        case .x87Flags(let first, let second):
            clobber()
            a.bytes(first, second)
            note(data: false)
            produced()
        case .x87Conditional(let first, let second):
            flagsToMemory()
            restoreFlags()
            a.bytes(first, second)
            note(data: false)
        case .x87Control:
            var code = unitAccess(2, write: false)
            a.rm(0x0FB7, Host.rax, memory, 4)
            a.bytes(0xF7, 0xD0, 0xA8, 0x3F)  // NOT EAX; TEST AL, 3F
            code.from.2 = a.jump(Condition.notZero)
            a.rm(0xD9, 5, memory, 4)
            finish(code)
        case .x87Nothing(let noted): if noted { note(data: false) }
        case .mmx(let shape): mmx(shape)
        case .vector(let shape): vector(shape)
        case .string(let loads, let stores): string(loads: loads, stores: stores)
        }
        return true
    }

    private mutating func note(data: Bool) {
        units.lastNoted = Int16(now)
        if data { units.lastData = Int16(now) }
    }

    /// The operand's offset in its segment goes into the data pointer.
    private mutating func storeDataPointer() {
        a.rm(0x8D, Host.rax, Assembler.Memory(base: memory.base, disp: memory.disp), word)
        if hasBase(op.seg) {
            a.rm(0x2B, Host.rax, StateField.segmentBase(op.seg), word)
            if op.addressMask == 0xFFFF { a.rr(0x0FB7, Host.rax, Host.rax, 4) }
        }
        a.store(StateField.fpuDataPointer, Host.rax, 8)
    }

    private mutating func mmx(_ shape: UnitPlan.MMXShape) {
        let (reg, rm) = (UInt8(op.regField), UInt8(op.rmField))
        let fromVector = op.kind == .vector
        let opcode = fromVector ? Int(VectorMap.rows[Int(op.sub)].opcode) : Int(op.sub & 0xFF)
        switch shape {
        case .operation(let map, let bytes, let immediate):
            if op.isRegisterForm {
                encode(prefix: 0, map: map, opcode: UInt8(opcode), reg: reg, rm: rm)
                if immediate { a.byte(UInt8(truncatingIfNeeded: op.imm)) }
            } else {
                let code = unitAccess(Int(bytes), write: false)
                encode(prefix: 0, map: map, opcode: UInt8(opcode), reg: reg, memory: memory)
                if immediate { a.byte(UInt8(truncatingIfNeeded: op.imm)) }
                finish(code)
            }
        case .fromGeneral, .toGeneral:
            let wide = op.operandBytes == 8
            let store = if case .toGeneral = shape { true } else { false }
            if !op.isRegisterForm {
                let code = unitAccess(wide ? 8 : 4, write: store)
                a.rm(store ? 0x0F7E : 0x0F6E, reg, memory, wide ? 8 : 4)
                finish(code)
            } else if store {
                a.rr(0x0F7E, reg, Host.rax, wide ? 8 : 4)
                writeBack(op.b, wide ? 8 : 4)
            } else {
                a.rr(0x0F6E, reg, source(op.b, wide ? 8 : 4, Host.rax), wide ? 8 : 4)
            }
        case .store:
            let code = unitAccess(8, write: true)
            a.rm(0x0F7F, reg, memory, 4)
            finish(code)
        case .mask:
            a.rr(0x0FD7, Host.rax, rm, 4)
            writeBack(op.a << 3, 4)
        case .empty: a.bytes(0x0F, 0x77)
        }
    }

    // MARK: Memory operands that no address operation has made linear

    /// The segment adds a base that is not known to be 0.
    func hasBase(_ segment: UInt8) -> Bool {
        if is64 { return segment >= 4 }
        let mode = block.pointee.mode
        switch segment {
        case 0: return mode & Mode.flatES == 0
        case 2: return mode & Mode.flatSS == 0
        case 3: return mode & Mode.flatDS == 0
        default: return true
        }
    }

    /// As `access`: address, page, and the handler for whatever is not plain. `aligned`: other addresses are the handler's too.
    mutating func unitAccess(_ size: Int, write: Bool, aligned: Bool = false) -> ColdCode {
        let plain = !hasBase(op.seg) && op.addressMask == (is64 ? .max : 0xFFFF_FFFF)
        var place = Assembler.Memory(base: Host.address)
        if plain { place = operand() } else if op.base != 136 { offset() }
        clobber()
        var code = ColdCode(kind: .one, op: now, flags: flags)
        if !plain { addBase(op.seg, size, &code) }
        if aligned {
            if place.disp & Int32(size - 1) == 0 {
                a.rr(0xF6, 0, place.base, 1, byteRM: true)  // TEST base, size - 1
                a.byte(UInt8(size - 1))
            } else {
                a.rm(0x8D, Host.rax, place, 4)
                a.bytes(0xA8, UInt8(size - 1))  // TEST AL, size - 1
            }
            code.from.2 = a.jump(Condition.notZero)
        }
        code.fills.0 = prove(place, size, write: write, nextShortcut(write: write))
        return code
    }

    /// R10 from an offset in the segment to a linear address; what its checks stop goes to `code`, through one jump for both operands of MOVS.
    mutating func addBase(_ segment: UInt8, _ size: Int, _ code: inout ColdCode) {
        guard hasBase(segment) else { return }
        if is64 {
            a.load(Host.page, StateField.segmentBase(segment), 8)
            a.rm(0x8D, Host.address, Assembler.Memory(base: Host.address, index: Host.page), 8)
            return
        }
        a.load(Host.rax, StateField.segmentLimit(segment), 4)
        a.rm(0x8D, Host.page, Assembler.Memory(base: Host.address, disp: Int32(size - 1)), 8)
        a.rr(0x3B, Host.page, Host.rax, 8)
        let above = a.jump(Condition.above)
        a.rm(0x0FB7, Host.rax, StateField.segmentAttributes(segment), 4)
        a.byte(0x25)  // AND EAX, 9E
        a.word32(0x9E)
        a.byte(0x3D)  // CMP EAX, 92
        a.word32(0x92)
        let plain = a.jump(Condition.zero)
        a.patch(above, to: a.count)
        let out = a.jump()
        if code.from.1 < 0 { code.from.1 = out } else { a.patch(out, to: code.from.1 - 1) }
        a.patch(plain, to: a.count)
        a.load(Host.page, StateField.segmentBase(segment), 8)
        a.rm(0x8D, Host.address, Assembler.Memory(base: Host.address, index: Host.page), 4)
    }
}
