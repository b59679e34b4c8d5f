/// SSE to AVX2 as the same instructions of the host, on registers of the host that hold the guest's.
///
/// Guest register n is the host's n while n < 13; the others are loaded into XMM13–XMM15 for one instruction. Left to the handlers: masked
/// moves and gathers, PCMPxSTRx, VCVTPS2PH, conversions between MMX and XMM, MXCSR and XSAVE, VZEROALL.
extension BlockLowering {
    private static let direct: UInt8 = 13

    // MARK: What there is

    func vectorPlan(_ o: OpPointer, _ c: Core) -> UnitPlan {
        // The handler's checks of the encoding, and the form that works on registers.
        if o.pointee.wide == 0 {
            do throws(Fault) { _ = try resolveVector(c, o) } catch { return .none }
        }
        let word = VectorWord(raw: o.pointee.wide)
        let row = VectorMap.rows[Int(o.pointee.sub)]
        let register = o.pointee.isRegisterForm
        let shape: UnitPlan.VectorShape
        switch word.action {
        case .compute, .computeFloat, .and, .andn, .or, .xor, .merge4, .merge8, .loadLow, .loadHigh, .highToLow, .lowToHigh: shape = .compute
        case .load: shape = .load
        case .broadcast128: shape = .compute
        case .store, .storeQuad: shape = .store
        case .storeHigh: shape = .storeHigh
        case .loadGeneral, .fromGeneral, .insert: shape = .fromGeneral
        case .storeGeneral, .extract: shape = .extract
        case .toGeneral, .extractWord: shape = .toGeneral
        case .extract128: shape = .extract128
        case .flags: shape = .flags
        case .zeroUpper: shape = .zeroUpper
        case .fence: return .vector(.nothing)
        case .mmx, .mmxPairs, .mmxShuffle, .mmxAlign:
            guard row.map == 1 || row.map == 2 || row.map == 3 else { return .none }
            return .mmx(.operation(map: row.map, bytes: 8, immediate: row.hasImmediate))
        case .mmxMask: return .mmx(.mask)
        case .movntq: return .none
        default: return .none
        }
        // A memory operand of none of these sizes is not met.
        guard register || [1, 2, 4, 8, 16, 32].contains(word.bytes) else { return .none }
        return .vector(shape)
    }

    /// Registers that the block's instructions name, of those that are kept in the host's.
    func registersUsed() -> UInt16 {
        var used: UInt16 = 0
        for n in 0..<count {
            guard case .vector(let shape) = units.plans[n] else { continue }
            switch shape {
            case .nothing, .zeroUpper: continue
            default: break
            }
            let (o, row) = (ops[n], VectorMap.rows[Int(ops[n].sub)])
            switch shape {
            case .toGeneral: break
            default: used |= 1 << UInt16(o.a & 15)
            }
            if o.isRegisterForm && shape != .fromGeneral && shape != .extract { used |= 1 << UInt16(o.b & 15) }
            if o.isVEX && row.usesVVVV { used |= 1 << UInt16(o.vvvv) }
            if row.has("L") { used |= 1 << (UInt16(truncatingIfNeeded: o.imm) >> 4 & 15) }
            if row.has("Z") { used |= 1 }
        }
        return used & (1 << UInt16(BlockLowering.direct) - 1)
    }

    // MARK: Registers

    /// The guest's register into a host register.
    mutating func loadVector(_ to: UInt8, _ number: UInt8) {
        if units.usesAVX {
            vex(prefix: 0, map: 1, opcode: 0x10, reg: to, memory: StateField.vector(number), vvvv: 0, long: true, wide: false)
        } else {
            encode(prefix: 0, map: 1, opcode: 0x10, reg: to, memory: StateField.vector(number))
        }
    }

    mutating func reloadVectors(_ set: UInt16) {
        for number in 0..<BlockLowering.direct where set & (1 << UInt16(number)) != 0 { loadVector(number, number) }
    }

    /// A host register that holds the guest's; `scratch` for those that have none.
    private mutating func vectorSource(_ number: UInt8, _ scratch: UInt8) -> UInt8 {
        if number >= BlockLowering.direct {
            loadVector(scratch, number)
            return scratch
        }
        if units.valid & (1 << UInt16(number)) == 0 {
            loadVector(number, number)
            units.valid |= 1 << UInt16(number)
        }
        return number
    }

    /// The host register for a result; `reads`: its old value counts.
    private mutating func vectorDestination(_ number: UInt8, reads: Bool) -> UInt8 {
        // A legacy instruction leaves what is above its 128 bits.
        if reads || (units.usesAVX && !op.isVEX) { return vectorSource(number, 13) }
        return number >= BlockLowering.direct ? 13 : number
    }

    /// The result goes into the state block too: 16 bytes, with VEX 32.
    private mutating func keepVector(_ number: UInt8, _ host: UInt8) {
        if op.isVEX {
            vex(prefix: 0, map: 1, opcode: 0x11, reg: host, memory: StateField.vector(number), vvvv: 0, long: true, wide: false)
        } else {
            encode(prefix: 0, map: 1, opcode: 0x11, reg: host, memory: StateField.vector(number))
        }
        if number < BlockLowering.direct { units.valid |= 1 << UInt16(number) }
    }

    // MARK: Encoding

    private static let prefixes: [UInt8] = [0, 0x66, 0xF3, 0xF2]

    private mutating func opening(_ prefix: UInt8, _ map: UInt8, _ opcode: UInt8, rex: UInt8) {
        if prefix != 0 { a.byte(BlockLowering.prefixes[Int(prefix & 3)]) }
        if rex != 0 { a.byte(0x40 | rex) }
        a.byte(0x0F)
        if map == 2 { a.byte(0x38) } else if map == 3 { a.byte(0x3A) }
        a.byte(opcode)
    }

    mutating func encode(prefix: UInt8, map: UInt8, opcode: UInt8, reg: UInt8, rm: UInt8, wide: Bool = false) {
        opening(prefix, map, opcode, rex: (wide ? 8 : 0) | (reg >> 3) << 2 | rm >> 3)
        a.byte(0xC0 | (reg & 7) << 3 | rm & 7)
    }

    mutating func encode(prefix: UInt8, map: UInt8, opcode: UInt8, reg: UInt8, memory m: Assembler.Memory, wide: Bool = false) {
        let index = m.index == Host.none ? 0 : m.index
        opening(prefix, map, opcode, rex: (wide ? 8 : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | m.base >> 3)
        a.modRM(reg, m)
    }

    private mutating func vexOpening(_ prefix: UInt8, _ map: UInt8, _ opcode: UInt8, rxb: UInt8, vvvv: UInt8, long: Bool, wide: Bool) {
        a.bytes(0xC4, (~rxb & 7) << 5 | map, (wide ? 0x80 : 0) | (~vvvv & 15) << 3 | (long ? 4 : 0) | prefix, opcode)
    }

    mutating func vex(prefix: UInt8, map: UInt8, opcode: UInt8, reg: UInt8, rm: UInt8, vvvv: UInt8, long: Bool, wide: Bool) {
        vexOpening(prefix, map, opcode, rxb: (reg >> 3) << 2 | rm >> 3, vvvv: vvvv, long: long, wide: wide)
        a.byte(0xC0 | (reg & 7) << 3 | rm & 7)
    }

    mutating func vex(
        prefix: UInt8, map: UInt8, opcode: UInt8, reg: UInt8, memory m: Assembler.Memory, vvvv: UInt8, long: Bool, wide: Bool
    ) {
        let index = m.index == Host.none ? 0 : m.index
        vexOpening(prefix, map, opcode, rxb: (reg >> 3) << 2 | (index >> 3) << 1 | m.base >> 3, vvvv: vvvv, long: long, wide: wide)
        a.modRM(reg, m)
    }

    /// The row's own instruction with these registers; nil for `rm`: the memory of the last look-up.
    private mutating func instruction(_ row: VectorRow, reg: UInt8, rm: UInt8?, vvvv: UInt8 = 0, fourth: UInt8 = 0) {
        let wide = row.wide == 1 || (op.operandBytes == 8 && row.widthMatters)
        if op.isVEX {
            if let rm {
                vex(prefix: row.prefix, map: row.map, opcode: row.opcode, reg: reg, rm: rm, vvvv: vvvv, long: op.isLong, wide: wide)
            } else {
                vex(prefix: row.prefix, map: row.map, opcode: row.opcode, reg: reg, memory: memory, vvvv: vvvv, long: op.isLong, wide: wide)
            }
        } else if let rm {
            encode(prefix: row.prefix, map: row.map, opcode: row.opcode, reg: reg, rm: rm, wide: wide)
        } else {
            encode(prefix: row.prefix, map: row.map, opcode: row.opcode, reg: reg, memory: memory, wide: wide)
        }
        if row.has("L") {
            a.byte(fourth << 4 | UInt8(truncatingIfNeeded: op.imm) & 15)
        } else if row.hasImmediate {
            a.byte(UInt8(truncatingIfNeeded: op.imm))
        }
    }

    // MARK: Code

    mutating func vector(_ shape: UnitPlan.VectorShape) {
        let (o, word) = (op, VectorWord(raw: op.wide))
        let row = VectorMap.rows[Int(o.sub)]
        switch shape {
        case .nothing: break
        case .load: vectorLoad(word)
        case .store: vectorStore(word)
        case .storeHigh:
            let code = unitAccess(8, write: true)
            encode(prefix: 0, map: 1, opcode: 0x17, reg: vectorSource(o.a, 13), memory: memory)
            finish(code)
        case .compute where row.isShiftGroup:
            let digit = UInt8(row.digit)
            if o.isVEX {
                let from = vectorSource(o.b, 15)
                let to = vectorDestination(o.a, reads: false)
                instruction(row, reg: digit, rm: from, vvvv: to)
                keepVector(o.a, to)
            } else {
                let to = vectorDestination(o.a, reads: true)
                instruction(row, reg: digit, rm: to)
                keepVector(o.a, to)
            }
        case .compute: vectorCompute(row, word)
        case .fromGeneral:
            let second = o.isVEX && row.usesVVVV ? vectorSource(o.vvvv, 14) : 0
            if o.isRegisterForm {
                let to = vectorDestination(o.a, reads: !o.isVEX && word.action != .loadGeneral)
                let general = source(o.b << 3, 8, Host.rax)
                instruction(row, reg: to, rm: general, vvvv: second)
                keepVector(o.a, to)
            } else {
                let code = unitAccess(word.bytes, write: false)
                let to = vectorDestination(o.a, reads: !o.isVEX && word.action != .loadGeneral)
                instruction(row, reg: to, rm: nil, vvvv: second)
                keepVector(o.a, to)
                finish(code)
            }
        case .toGeneral:
            let bytes = op.operandBytes == 8 && row.widthMatters ? 8 : 4
            if o.isRegisterForm {
                instruction(row, reg: Host.rax, rm: vectorSource(o.b, 15))
                writeBack(o.a << 3, bytes)
            } else {
                let code = unitAccess(word.bytes, write: false, aligned: word.isAligned)
                instruction(row, reg: Host.rax, rm: nil)
                writeBack(o.a << 3, bytes)
                finish(code)
            }
        case .extract:
            if o.isRegisterForm {
                instruction(row, reg: vectorSource(o.a, 13), rm: Host.rax)
                writeBack(o.b << 3, word.bytes == 8 ? 8 : 4)
            } else {
                let code = unitAccess(word.bytes, write: true)
                instruction(row, reg: vectorSource(o.a, 13), rm: nil)
                finish(code)
            }
        case .extract128:
            if o.isRegisterForm {
                let from = vectorSource(o.a, 13)
                let to = vectorDestination(o.b, reads: false) == 13 ? 14 : o.b
                instruction(row, reg: from, rm: to)
                keepVector(o.b, to)
            } else {
                let code = unitAccess(16, write: true)
                instruction(row, reg: vectorSource(o.a, 13), rm: nil)
                finish(code)
            }
        case .flags:
            if o.isRegisterForm {
                let (first, second) = (vectorSource(o.a, 13), vectorSource(o.b, 15))
                clobber()
                instruction(row, reg: first, rm: second)
                produced()
            } else {
                let code = unitAccess(word.bytes, write: false, aligned: word.isAligned)
                instruction(row, reg: vectorSource(o.a, 13), rm: nil)
                produced()
                finish(code)
            }
        case .zeroUpper:
            encode(prefix: 0, map: 1, opcode: 0x57, reg: 15, rm: 15)
            for number in 0..<UInt8(is64 ? 16 : 8) {
                var place = StateField.vector(number)
                place.disp += 16
                encode(prefix: 0, map: 1, opcode: 0x11, reg: 15, memory: place)
            }
            a.bytes(0xC5, 0xF8, 0x77)
        }
    }

    private mutating func vectorCompute(_ row: VectorRow, _ word: VectorWord) {
        let o = op
        // Without a second source the result is whole, but for scalars, which keep what is above them.
        let whole = !row.has("H") && !row.has("Z") && row.operands.first?.size == "x"
        let reads = o.isVEX ? row.readsDestination : !whole
        let second = o.isVEX && row.usesVVVV ? vectorSource(o.vvvv, 14) : 0
        if row.has("Z") { _ = vectorSource(0, 0) }
        if o.isRegisterForm {
            let from = vectorSource(o.b, 15)
            // The fourth operand and the destination may share a scratch register: it is read first.
            let fourth = row.has("L") ? vectorSource(UInt8(truncatingIfNeeded: o.imm) >> 4 & 15, 13) : 0
            let to = vectorDestination(o.a, reads: reads)
            vectorForm(row, word, to, from, second, fourth)
            keepVector(o.a, to)
        } else {
            let code = unitAccess(word.bytes, write: false, aligned: word.isAligned)
            let fourth = row.has("L") ? vectorSource(UInt8(truncatingIfNeeded: o.imm) >> 4 & 15, 13) : 0
            let to = vectorDestination(o.a, reads: reads)
            instruction(row, reg: to, rm: nil, vvvv: second, fourth: fourth)
            keepVector(o.a, to)
            finish(code)
        }
    }

    /// MOVSS and MOVSD between registers have one form that loads and one that stores: operands are in the order of the first.
    private mutating func vectorForm(_ row: VectorRow, _ word: VectorWord, _ to: UInt8, _ from: UInt8, _ second: UInt8, _ fourth: UInt8) {
        guard word.action == .merge4 || word.action == .merge8 else { return instruction(row, reg: to, rm: from, vvvv: second, fourth: fourth) }
        if op.isVEX {
            vex(prefix: row.prefix, map: 1, opcode: 0x10, reg: to, rm: from, vvvv: second, long: false, wide: false)
        } else {
            encode(prefix: row.prefix, map: 1, opcode: 0x10, reg: to, rm: from)
        }
    }

    /// What moves `bytes` between a register and memory: prefix and opcodes of load and store.
    private func mover(_ bytes: Int) -> (prefix: UInt8, load: UInt8, store: UInt8) {
        switch bytes {
        case 4: (2, 0x10, 0x11)
        case 8: (3, 0x10, 0x11)
        default: (0, 0x10, 0x11)
        }
    }

    private mutating func vectorLoad(_ word: VectorWord) {
        let o = op
        if o.isRegisterForm {
            let from = vectorSource(o.b, 15)
            let to = vectorDestination(o.a, reads: false)
            // MOVQ clears what is above.
            let (prefix, opcode): (UInt8, UInt8) = word.bytes == 8 ? (2, 0x7E) : (0, 0x28)
            if o.isVEX {
                vex(prefix: prefix, map: 1, opcode: opcode, reg: to, rm: from, vvvv: 0, long: word.bytes == 32, wide: false)
            } else {
                encode(prefix: prefix, map: 1, opcode: opcode, reg: to, rm: from)
            }
            keepVector(o.a, to)
            return
        }
        let code = unitAccess(word.bytes, write: false, aligned: word.isAligned)
        let to = vectorDestination(o.a, reads: false)
        let how = mover(word.bytes)
        if o.isVEX {
            vex(prefix: how.prefix, map: 1, opcode: how.load, reg: to, memory: memory, vvvv: 0, long: word.bytes == 32, wide: false)
        } else {
            encode(prefix: how.prefix, map: 1, opcode: how.load, reg: to, memory: memory)
        }
        keepVector(o.a, to)
        finish(code)
    }

    private mutating func vectorStore(_ word: VectorWord) {
        let code = unitAccess(word.bytes, write: true, aligned: word.isAligned)
        let how = mover(word.bytes)
        let from = vectorSource(op.a, 13)
        if op.isVEX {
            vex(prefix: how.prefix, map: 1, opcode: how.store, reg: from, memory: memory, vvvv: 0, long: word.bytes == 32, wide: false)
        } else {
            encode(prefix: how.prefix, map: 1, opcode: how.store, reg: from, memory: memory)
        }
        finish(code)
    }
}
