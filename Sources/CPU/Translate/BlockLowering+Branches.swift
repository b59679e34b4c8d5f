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
            produced(again: again)
            taken(row.condition, n + 2)
        case .callNear:
            pushReturn()
            leave(n + 1, mask: block.pointee.ripMask)
        case .callStack:
            call(.push)
            leave(n + 1, mask: block.pointee.ripMask)
        case .ret:
            stackTop()
            var code = accessStack(write: false)
            code.kind = .ret
            a.rm(0x8D, Host.pinned[4], Assembler.Memory(base: Host.address, disp: Int32(word)), word)
            a.load(Host.address, memory, word)
            finish(code)
            flagsToMemory()
            indirect(n + 1)
        case .retStack:
            call(.ret)
            a.load(Host.address, StateField.rip, 8)
            indirect(n + 1)
        case .jumpR:
            flagsToMemory()
            a.move(Host.address, source(op.a, word, Host.rax), word)
            indirect(n + 1)
        case .jumpM:
            linear()
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
            indirect(n + 1)
        case .callM:
            var code = access(word, write: false)
            (code.kind, code.savesAddress) = (.target, true)
            a.load(Host.rax, memory, word)
            a.store(StateField.rip, Host.rax, 8)
            finish(code)
            pushReturn()
            flagsToMemory()
            a.load(Host.address, StateField.rip, 8)
            indirect(n + 1)
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
        stackBelow()
        var code = accessStack(write: true)
        code.kind = .push
        let back = block.pointee.rip &+ UInt64(op.ipOffset) &+ UInt64(op.length)
        if word == 4 || Int64(bitPattern: back) == Int64(Int32(truncatingIfNeeded: Int64(bitPattern: back))) {
            a.rm(0xC7, 0, memory, word)
            a.word32(Int32(truncatingIfNeeded: Int64(bitPattern: back)))
        } else {
            a.constant(Host.rax, back)
            a.store(memory, Host.rax, 8)
        }
        a.move(Host.pinned[4], Host.address, word)
        finish(code)
    }

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
        code.from.0 = a.jump(condition)
        (code.target, code.count, code.isTaken) = (to.rip, count, true)
        if to.isNear {
            code.site = newSite()
            code.dropsFlags = canDrop(to)
        }
        cold.append(code)
    }

    /// The end of the block: the target is known.
    private mutating func leave(_ count: Int, mask: UInt64) {
        let to = target(mask)
        guard to.isNear else {
            flagsToMemory()
            return far(to.rip, count)
        }
        var code = ColdCode(kind: .exit, op: now, flags: flags)
        code.dropsFlags = canDrop(to)
        if !code.dropsFlags { flagsToMemory() }
        code.flags = flags
        (code.target, code.site) = (to.rip, newSite())
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        code.from.0 = a.jump(Condition.sign)
        code.from.1 = a.jump()
        sites[code.site].place = place(code.from.1)
        cold.append(code)
    }

    /// Offset in the area of a place in this block's code.
    private func place(_ offset: Int) -> Int { area.used + offset }

    private mutating func newSite() -> Int {
        sites.append(Translator.Site(place: 0, stub: 0, source: block, dropsFlags: false))
        return sites.count - 1
    }

    /// The branch need not save the flags: they can be made again on the way to the dispatcher, and the target sets its own.
    private func canDrop(_ to: (rip: UInt64, place: Int, isNear: Bool)) -> Bool {
        switch flags.place {
        case .host, .again: flags.producer >= 0 && targetDropsFlags(to.place, to.rip)
        case .memory, .dead: false
        }
    }

    /// A branch to another page, or beyond the code's limit. Flags are in memory.
    private mutating func far(_ rip: UInt64, _ count: Int) {
        a.constant(Host.address, rip)
        if rip <= block.pointee.ripMask { return indirect(count) }
        a.store(StateField.rip, Host.address, 8)
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        let place = a.jump()
        a.patch(place, to: area.lookUp - area.used)
    }

    /// A branch to the offset in R10, through the jump cache. Flags are in memory.
    private mutating func indirect(_ count: Int) {
        a.store(StateField.rip, Host.address, 8)
        a.aluImmediate(Lowering.sub, Host.budget, Int32(count), 8)
        lookUpJump(Condition.sign)
        if is64 {
            a.move(Host.rax, Host.address, 8)
        } else {
            a.load(Host.rax, StateField.segmentBase(1), 8)
            a.rr(0x03, Host.rax, Host.address, 4)
        }
        a.move(Host.page, Host.rax, 8)
        a.rr(0xC1, 5, Host.page, 8)
        a.byte(12)
        a.rr(0x33, Host.page, Host.rax, 4)
        a.aluImmediate(Lowering.and, Host.page, Int32(JumpEntry.entries - 1), 4)
        a.rr(0xC1, 4, Host.page, 4)
        a.byte(5)
        var entry = Assembler.Memory(base: Host.state, index: Host.page, disp: Int32(Core.jumpOffset))
        a.rm(0x3B, Host.rax, entry, 8)
        lookUpJump(Condition.notZero)
        entry.disp += 8
        a.move(Host.rax, Host.address, 4)
        a.rm(0x33, Host.rax, entry, 8)
        a.rm(0x3B, Host.rax, StateField.globalGeneration, 8)
        let hit = a.jump(Condition.zero)
        a.rm(0x3B, Host.rax, StateField.modeGeneration, 8)
        lookUpJump(Condition.notZero)
        a.patch(hit, to: a.count)
        entry.disp += 16
        a.rm(0xFF, 4, entry, 4)  // JMP [entry]
    }

    private mutating func lookUpJump(_ condition: UInt8) {
        let place = a.jump(condition)
        a.patch(place, to: area.lookUp - area.used)
    }

    // MARK: Off the usual way

    mutating func writeCold(_ n: Int) {
        let code = cold[n]
        now = code.op
        if code.kind == .exit { return writeExit(code) }
        let start = a.count
        if code.restoresRDX {
            a.patch(code.from.2, to: a.count)
            a.move(Host.rdx, Host.address, 8)
        } else if code.from.2 >= 0 {
            a.patch(code.from.2, to: start)
        }
        if code.from.0 >= 0 { a.patch(code.from.0, to: a.count) }
        if code.from.1 >= 0 { a.patch(code.from.1, to: a.count) }
        if code.savesAddress { a.store(StateField.scratchAddress, Host.address, 8) }
        if code.flags.place == .again {
            redo(code.flags.producer)
            saveFlags()
        }
        settleUnits(code.op)
        helper(code.kind, code.op)
        a.bytes(0x85, 0xC0)
        let failed = a.jump(Condition.notZero)
        a.patch(failed, to: area.exit - area.used)
        resumeUnits(code.op)
        if code.reloadsAddress { a.load(Host.address, StateField.scratchAddress, 8) }
        if code.kind == .target || code.kind == .ret { a.load(Host.address, StateField.rip, 8) }
        if code.restoresFlags { restoreFlags() }
        let back = a.jump()
        a.patch(back, to: code.resume)
    }

    private mutating func writeExit(_ code: ColdCode) {
        flags = code.flags
        var ways = [code.from.0, code.from.1]
        if code.isTaken {
            a.patch(code.from.0, to: a.count)
            if code.site < 0 {
                flagsToMemory()
                settleUnits(code.op)
                return far(code.target, code.count)
            }
            if !code.dropsFlags { flagsToMemory() }
            if closesLoop(code) { return writeLoop(code) }
            settleUnits(code.op)
            a.aluImmediate(Lowering.sub, Host.budget, Int32(code.count), 8)
            ways = [a.jump(Condition.sign), a.jump()]
            sites[code.site].place = place(ways[1])
        }
        for way in ways where way >= 0 { a.patch(way, to: a.count) }
        sites[code.site].stub = place(a.count)
        sites[code.site].dropsFlags = code.dropsFlags
        if code.dropsFlags {
            redo(flags.producer)
            saveFlags()
        }
        a.constant(Host.rax, code.target)
        a.store(StateField.rip, Host.rax, 8)
        a.constant(Host.rax, UInt64(Int(TranslatedExit.firstSite) + firstSite + code.site))
        let out = a.jump()
        a.patch(out, to: area.exit - area.used)
    }
}
