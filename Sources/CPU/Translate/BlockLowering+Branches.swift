/// Branches, ways out of a block, and the code off its usual way.
extension BlockLowering {
    mutating func lowerBranch(_ row: Lowering) {
        let n = Int(op.n)
        switch row.form {
        case .branch, .fusedRR, .fusedRI, .fusedDec, .loop, .loopCondition, .jcxz: break
        default:
            settleUnits(now)
            units.valid = 0
        }
        switch row.form {
        case .next: leave(n, mask: block.pointee.nextMask)
        case .jump: leave(n + 1, mask: block.pointee.ripMask)
        case .branch: taken(condition(row.condition), n + 1)
        case .fusedRR, .fusedRI:
            let right = row.form == .fusedRR ? source(op.b, row.size, Host.page) : Host.none
            let left = source(op.a, row.size, Host.rax)
            alu(row.operation, left, right, op.imm, row.size)
            produced(again: true)
            taken(row.condition, n + 2)
        case .fusedDec:
            let again = keepCarry()
            if isDirect(op.a) {
                a.rr(0xFF, 1, pinned(op.a), row.size)
            } else {
                a.rr(0xFF, 1, source(op.a, row.size, Host.rax), row.size)
                writeBack(op.a, row.size)
            }
            counted(again)
            taken(row.condition, n + 2)
        case .callNear:
            pushReturn()
            leave(n + 1, mask: block.pointee.ripMask, calls: true)
        case .callStack:
            call(.push)
            leave(n + 1, mask: block.pointee.ripMask, calls: true)
        case .ret:
            var code = accessStack(write: false)
            code.kind = .ret
            a.load(Host.address, memory, word)
            moveStack(Host.pinned[4], Int32(word))
            finish(code)
            flagsToMemory()
            ret(n + 1)
        case .retStack:
            call(.ret)
            a.load(Host.address, StateField.rip, 8)
            ret(n + 1)
        case .jumpR:
            flagsToMemory()
            a.move(Host.address, source(op.a, word, Host.rax), word)
            indirect(n + 1)
        case .jumpM:
            var code = access(word, write: false)
            (code.kind, code.savesAddress) = (.target, true)
            a.load(Host.address, memory, word)
            finish(code)
            flagsToMemory()
            indirect(n + 1)
        case .callR:
            pushReturn()
            flagsToMemory()
            a.move(Host.address, source(op.a, word, Host.rax), word)
            indirect(n + 1, calls: true)
        case .callM:
            var code = access(word, write: false)
            (code.kind, code.savesAddress) = (.target, true)
            a.load(Host.rax, memory, word)
            a.store(StateField.rip, Host.rax, 8)
            finish(code)
            pushReturn()
            flagsToMemory()
            a.load(Host.address, StateField.rip, 8)
            indirect(n + 1, calls: true)
        case .loop, .jcxz, .loopCondition:
            if row.form == .loopCondition { flagsToMemory() } else { clobber() }
            let size = row.size == 2 ? 2 : word
            if row.form != .jcxz {
                a.rm(0x8D, size == 2 ? Host.rax : Host.rcx, Assembler.Memory(base: Host.rcx, disp: -1), word)
                if size == 2 { a.rr(0x8B, Host.rcx, Host.rax, 2) }
            }
            a.rr(0x85, Host.rcx, Host.rcx, size)
            if row.form != .loopCondition { return taken(row.form == .jcxz ? Condition.zero : Condition.notZero, n + 1) }
            let skip = a.jump(Condition.zero)
            a.rm(0xF6, 0, StateField.packedHigh, 1)
            a.byte(0x40)
            taken(op.sub != 0 ? Condition.notZero : Condition.zero, n + 1)
            a.patch(skip, to: a.count)
        default:
            // `bail` stands in dead blocks only.
            break
        }
    }

    /// To the next instruction, behind one that ends its block.
    mutating func goOn() { leave(Int(op.n) + 1, mask: block.pointee.nextMask) }

    /// The return address onto a flat stack.
    private mutating func pushReturn() {
        var code = accessStack(write: true)
        code.kind = .push
        let back = returnTarget
        if word == 4 || Int64(bitPattern: back) == Int64(Int32(truncatingIfNeeded: Int64(bitPattern: back))) {
            a.rm(0xC7, 0, memory, word)
            a.word32(Int32(truncatingIfNeeded: Int64(bitPattern: back)))
        } else {
            a.constant(Host.rax, back)
            a.store(memory, Host.rax, 8)
        }
        moveStack(Host.pinned[4], -Int32(word))
        finish(code)
    }

    /// Behind this CALL.
    private var returnTarget: UInt64 { block.pointee.rip &+ UInt64(op.ipOffset) &+ UInt64(op.length) }

    // MARK: Ways out

    /// Target of the branch and whether it can be linked: on this page, where offset and place go together.
    private func target(_ mask: UInt64) -> (rip: UInt64, place: Int, isNear: Bool) {
        let here = block.pointee
        let sequential = here.rip &+ UInt64(bitPattern: Int64(op.disp))
        let rip = sequential & mask
        let delta = Int(truncatingIfNeeded: Int64(bitPattern: rip &- here.rip))
        let place = here.storage &+ delta
        return (rip, place, here.storage >= 0 && (place ^ here.storage) & ~0xFFF == 0 && abs(delta) < 4096 && rip <= here.ripMask)
    }

    /// A conditional way out; the host's flags are tested now.
    private mutating func taken(_ condition: UInt8, _ count: Int) {
        let to = target(block.pointee.ripMask)
        var code = ColdCode(kind: .exit, op: now, flags: flags)
        if to.isNear {
            code.site = newSite()
            code.saves = needed(to)
            if to.rip <= block.pointee.rip &+ UInt64(op.ipOffset) && !units.isUsed {
                // Backwards: a loop, mostly gone on with.
                let before = flags, out = a.jump(condition ^ 1)
                endExit(code, to.rip, count)
                a.patch(out, to: a.count)
                flags = before
                return
            }
        }
        code.from.0 = a.jump(condition)
        (code.target, code.count, code.isTaken) = (to.rip, count, true)
        cold.append(code)
    }

    /// The end of the block: the target is known.
    private mutating func leave(_ count: Int, mask: UInt64, calls: Bool = false) {
        let to = target(mask)
        guard to.isNear else {
            flagsToMemory()
            return far(to.rip, count, calls: calls)
        }
        var code = ColdCode(kind: .exit, op: now)
        (code.saves, code.site) = (needed(to), newSite())
        endExit(code, to.rip, count, calls: calls)
        if calls { landing() }
    }

    /// Flags, count, and the jump that is linked.
    private mutating func endExit(_ code: ColdCode, _ rip: UInt64, _ count: Int, calls: Bool = false) {
        var code = code
        save(code.saves)
        (code.flags, code.target) = (flags, rip)
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        code.from.0 = a.jump(calls ? Condition.sign : Condition.notSign)
        code.from.1 = calls ? hostCall() : a.jump()
        sites[code.site].place = place(calls ? code.from.1 : code.from.0)
        cold.append(code)
    }

    /// A direct call of the host; returns the place of its rel32. What it leaves on the stack of return addresses leads to the landing, which must
    /// follow. A full stack is emptied.
    private mutating func hostCall() -> Int {
        guardReturns()
        return a.call()
    }

    private mutating func guardReturns() {
        a.bytes(0xF7, 0xC4)  // TEST ESP, returnBytes - 1
        a.word32(Int32(CodeArea.returnBytes - 1))
        var code = ColdCode(kind: .emptyReturns, op: now)
        code.from.0 = a.jump(Condition.zero)
        code.resume = a.count
        cold.append(code)
    }

    /// Where a CALL returns to, when it does: the target is in R10, flags are in memory.
    private mutating func landing() {
        let back = returnTarget & block.pointee.ripMask
        if Int64(bitPattern: back) == Int64(Int32(truncatingIfNeeded: Int64(bitPattern: back))) || word == 4 {
            a.rr(0x81, 7, Host.address, word)
            a.word32(Int32(truncatingIfNeeded: Int64(bitPattern: back)))
        } else {
            a.constant(Host.rax, back)
            a.rr(0x3B, Host.address, Host.rax, 8)
        }
        out(a.jump(Condition.notZero), area.jump)
        flags = FlagState()
        let here = block.pointee
        let place = here.storage &+ Int(op.ipOffset) &+ Int(op.length)
        guard back == returnTarget, here.storage >= 0, (place ^ here.storage) & ~0xFFF == 0 else { return out(a.jump(), area.jump) }
        var code = ColdCode(kind: .exit, op: now, flags: flags)
        (code.target, code.site) = (back, newSite())
        code.from.0 = a.jump()
        sites[code.site].place = self.place(code.from.0)
        cold.append(code)
    }

    /// A RET to the offset in R10. Flags are in memory.
    private mutating func ret(_ count: Int) {
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        out(a.jump(Condition.sign), area.lookUpAddress)
        a.byte(0xC3)
    }

    /// Lets a jump lead to a thunk.
    mutating func out(_ place: Int, _ thunk: Int) { a.patch(place, to: thunk - area.used) }

    /// Offset in the area of a place in this block's code.
    private func place(_ offset: Int) -> Int { area.used + offset }

    private mutating func newSite() -> Int {
        sites.append(Translator.Site(place: 0, stub: 0, source: block, saves: .all))
        return sites.count - 1
    }

    /// What the branch has to save of the flags: not what the target sets itself, when it can be made again on the way to the dispatcher.
    private func needed(_ to: (rip: UInt64, place: Int, isNear: Bool)) -> FlagNeed {
        switch flags.place {
        case .host, .again: flags.producer >= 0 ? targetNeeds(to.place, to.rip) : .all
        case .memory, .dead: .all
        }
    }

    /// A branch to another page, or beyond the code's limit. Flags are in memory.
    private mutating func far(_ rip: UInt64, _ count: Int, calls: Bool = false) {
        let inside = rip <= block.pointee.ripMask
        guard inside && flatCode else {
            a.constant(Host.address, rip)
            if inside { return indirect(count, calls: calls) }
            a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
            return out(a.jump(), area.lookUpAddress)
        }
        // Linked for as long as the epoch is the same, which for user code it seldom is: there the TLB is asked.
        var code = ColdCode(kind: .exit, op: now, flags: flags)
        (code.target, code.site) = (rip, newSite())
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        code.from.0 = a.jump(Condition.sign)
        if user {
            let slot = Int(truncatingIfNeeded: (rip &>> 12) & UInt64(TLBEntry.entries - 1))
            let entry = Int32(Core.tlbOffset + (TLBEntry.entries + slot) * MemoryLayout<TLBEntry>.stride)
            a.constant(Host.rax, rip & ~0xFFF)
            a.rm(0x3B, Host.rax, Assembler.Memory(base: Host.state, disp: entry + 16), 8)
            code.from.2 = a.jump(Condition.notZero)
            a.bytes(0x48, 0xB8)  // MOV RAX, addend
            a.word64(0)
            sites[code.site].addendPlace = Int32(truncatingIfNeeded: place(a.count - 8))
            a.rm(0x3B, Host.rax, Assembler.Memory(base: Host.state, disp: entry + 24), 8)
            code.from.3 = a.jump(Condition.notZero)
        } else {
            a.rm(0x81, 7, StateField.globalEpoch, 4)
            a.word32(Int32(bitPattern: Core.unlinkable))
            sites[code.site].epochPlace = Int32(truncatingIfNeeded: place(a.count - 8))
            code.from.2 = a.jump(Condition.notZero)
        }
        code.from.1 = calls ? hostCall() : a.jump()
        sites[code.site].place = place(code.from.1)
        cold.append(code)
        if calls { landing() }
    }

    /// A branch to the offset in R10, through the jump cache. Flags are in memory.
    private mutating func indirect(_ count: Int, calls: Bool = false) {
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        out(a.jump(Condition.sign), area.lookUpAddress)
        if calls { guardReturns() }
        if flatCode {
            a.move(Host.rax, Host.address, word)
        } else {
            a.load(Host.rax, StateField.segmentBase(1), 8)
            a.rr(0x03, Host.rax, Host.address, 4)
        }
        let miss = area.lookUpAddress - area.used
        CodeArea.lookUpJump(&a, user: user, call: calls, renew: area.renew - area.used) { a in
            let place = a.jump(Condition.notZero)
            a.patch(place, to: miss)
        }
        if calls { landing() }
    }

    // MARK: Off the usual way

    mutating func writeCold(_ n: Int) {
        let code = cold[n]
        now = code.op
        switch code.kind {
        case .exit: return writeExit(code)
        case .fill: return writeFill(n)
        case .emptyReturns:
            a.patch(code.from.0, to: a.count)
            a.load(Host.rsp, StateField.returnTop, 8)
            let back = a.jump()
            return a.patch(back, to: code.resume)
        case .span: return writeSpan(code)
        default: break
        }
        let start = a.count
        if code.restoresRDX {
            a.patch(code.from.2, to: a.count)
            a.move(Host.rdx, Host.address, 8)
        } else if code.from.2 >= 0 {
            a.patch(code.from.2, to: start)
        }
        if code.from.0 >= 0 { a.patch(code.from.0, to: a.count) }
        if code.from.1 >= 0 { a.patch(code.from.1, to: a.count) }
        for fill in [code.fills.0, code.fills.1] where fill >= 0 { a.patch(cold[fill].from.1, to: a.count) }
        if code.savesAddress { a.store(StateField.scratchAddress, Host.address, 8) }
        if code.flags.place == .again {
            remake(code.flags)
        }
        settleUnits(code.op)
        helper(code.kind, code.op)
        a.bytes(0x85, 0xC0)
        let failed = a.jump(Condition.notZero)
        a.patch(failed, to: area.exit - area.used)
        if code.repeats { return repeatRead(code) }
        resumeUnits(code.op)
        if code.reloadsAddress { a.load(Host.address, StateField.scratchAddress, 8) }
        if code.kind == .target || code.kind == .ret { a.load(Host.address, StateField.rip, 8) }
        if code.restoresFlags { restoreFlags() }
        let back = a.jump()
        a.patch(back, to: code.resume)
    }

    /// The handler has done a comparison with memory, which left only its flags. It is done again when the TLB has the page now.
    private mutating func repeatRead(_ code: ColdCode) {
        resumeUnits(code.op)
        let fill = cold[code.fills.0]
        if op.base == 136 {
            a.load(Host.address, StateField.scratchAddress, 8)
        } else if fill.operand.base == Host.address {
            effective(Host.address, word)
        } else {
            a.rm(0x8D, Host.address, fill.operand, 8)
        }
        a.rm(0x8D, Host.page, Assembler.Memory(base: Host.address, disp: Int32(fill.bytes - 1)), 8)
        a.constant(Host.rax, UInt64(fill.shortcut))
        out(a.call(), area.fill(write: false, user: user))
        let back = a.jump(Condition.zero)
        a.patch(back, to: fill.resume)
        settleUnits(code.op)
        a.constant(Host.rax, (block.pointee.rip &+ UInt64(op.ipOffset) &+ UInt64(op.length)) & block.pointee.nextMask)
        a.store(StateField.rip, Host.rax, 8)
        a.aluImmediate(Lowering.sub, Host.budget, Int32(op.n) + 1, 8)
        out(a.jump(), area.lookUp)
    }

    /// See `prove`.
    private mutating func writeFill(_ n: Int) {
        let code = cold[n]
        a.patch(code.from.0, to: a.count)
        if code.operand.base != Host.address { a.rm(0x8D, Host.address, code.operand, 8) }
        a.rm(0x8D, Host.page, Assembler.Memory(base: Host.address, disp: Int32(code.bytes - 1)), 8)
        a.constant(Host.rax, UInt64(code.shortcut))
        let fill = a.call()
        out(fill, area.fill(write: code.stores, user: user))
        cold[n].from.1 = a.jump(Condition.notZero)
        let back = a.jump()
        a.patch(back, to: code.resume)
    }

    private mutating func writeExit(_ code: ColdCode) {
        flags = code.flags
        var ways = [code.from.0, code.from.1, code.from.2, code.from.3]
        if code.isTaken {
            a.patch(code.from.0, to: a.count)
            if code.site < 0 {
                flagsToMemory()
                settleUnits(code.op)
                return far(code.target, code.count)
            }
            save(code.saves)
            if closesLoop(code) { return writeLoop(code) }
            settleUnits(code.op)
            a.aluImmediate(Lowering.sub, Host.budget, Int32(code.count), 8)
            // Not linked, or at the budget's end, it goes on right behind.
            ways = [a.jump(Condition.notSign), -1, -1, -1]
            sites[code.site].place = place(ways[0])
        }
        for way in ways where way >= 0 { a.patch(way, to: a.count) }
        sites[code.site].stub = place(a.count)
        sites[code.site].saves = code.saves
        if code.saves != .all { remake(flags) }
        a.constant(Host.rax, code.target)
        a.store(StateField.rip, Host.rax, 8)
        a.constant(Host.rax, UInt64(Int(TranslatedExit.firstSite) + firstSite + code.site))
        let out = a.jump()
        a.patch(out, to: area.exit - area.used)
    }
}
