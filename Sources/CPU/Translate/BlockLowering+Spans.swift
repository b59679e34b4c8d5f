/// Several memory operands that one register leads to, by constant displacements: proved once for all to lie on one page.
///
/// Behind the proof nothing faults up to the span's end and no handler is called, so that what was proved stays true: only operations that cannot do
/// either belong to it. Where the proof fails, they are done one by one, off the usual way.
extension BlockLowering {
    struct Span {
        /// Operations before this one belong to it; 0: there is none.
        var end = 0
        /// R11 holds what is to be added to addresses; else it is in `addend`.
        var isLoaded = false
        var addend = Assembler.Memory(base: Host.state)
        /// Where its `ColdCode` is.
        var code = 0
        /// The last operation ends the block.
        var endsBlock = false
        /// Off the usual way there are none.
        var isOff = false
        /// The distance that its operands may have: over the end of a page the way is long.
        static let reach = 256
    }

    private struct Member {
        var disp: Int
        var size: Int
        var write = false
        /// The stack pointer moves by so much.
        var moves = 0
        var isLast = false
    }

    /// What operation `n` reads or writes at a displacement from the register `base`, as far as a span can do it.
    private func member(_ n: Int, _ base: UInt8) -> Member? {
        let (row, o) = (row(n), ops[n])
        let stack = base == 32
        switch row.form {
        case .pushR, .pushI: return stack ? Member(disp: -word, size: word, write: true, moves: -word) : nil
        case .popR: return stack && o.a >> 3 != 4 ? Member(disp: 0, size: word, moves: word) : nil
        case .callNear, .callR: return stack ? Member(disp: -word, size: word, write: true, isLast: true) : nil
        case .ret: return stack ? Member(disp: 0, size: word, isLast: true) : nil
        default: break
        }
        guard o.base == base, o.index == 128 else { return nil }
        let last = row.writesA && o.a >> 3 == base >> 3
        switch row.form {
        case .moveRM, .aluRM, .conditionalRM, .multiplyRM, .multiplyRMI: return Member(disp: Int(o.disp), size: row.size, isLast: last)
        case .extendM: return Member(disp: Int(o.disp), size: row.from, isLast: last)
        case .wideM: return Member(disp: Int(o.disp), size: row.size, isLast: true)
        case .moveMR, .moveMI, .unaryM, .shiftMI, .setM: return Member(disp: Int(o.disp), size: row.size, write: true)
        case .aluMR, .aluMI:
            return Member(disp: Int(o.disp), size: row.size, write: row.operation != Lowering.cmp && row.operation != Lowering.test)
        default: return nil
        }
    }

    /// Operation `n` neither faults nor calls anything; the answer is by how much it moves the register `base`, nil: it does not belong to a span.
    private func passes(_ n: Int, _ base: UInt8) -> Int? {
        let (row, o) = (row(n), ops[n])
        switch row.form {
        case .moveRR, .moveRI, .moveWide, .extendR, .aluRR, .aluRI, .unaryR, .shiftRI, .multiplyRR, .multiplyRRI, .nop, .setR, .conditionalRR, .widenAL,
            .widenAX:
            break
        case .lea where o.base != 136: break
        case .wideR where row.operation < 6: break
        default: return nil
        }
        if written(n) & 1 << UInt32(base >> 3) == 0 { return 0 }
        guard o.a == base, row.size == word else { return nil }
        switch (row.form, row.operation) {
        case (.aluRI, Lowering.add): return Int(o.imm)
        case (.aluRI, Lowering.sub): return -Int(o.imm)
        case (.lea, _) where o.base == base && o.index == 128: return Int(o.disp)
        default: return nil
        }
    }

    /// The register that operation `now` has a memory operand off.
    private var spanBase: UInt8? {
        switch row(now).form {
        case .pushR, .pushI, .popR, .callNear, .callR, .ret: 32
        default: op.base < 128 && op.base & 7 == 0 && op.index == 128 && pinned(op.base) != Host.none ? op.base : nil
        }
    }

    /// Proves the operands from operation `now` on, when there are several.
    mutating func beginSpan() {
        guard !span.isOff, let base = spanBase, member(now, base) != nil else { return }
        var (low, high, moved, members, write, end, endsBlock) = (Int.max, Int.min, 0, 0, false, now, false)
        var n = now
        while n < count {
            if let m = member(n, base) {
                let (first, last) = (min(low, moved + m.disp), max(high, moved + m.disp + m.size))
                // See `operand`.
                guard last - first <= Span.reach, first <= 0x7FFF_0000, first >= (word == 8 ? -0x7FFF_0000 : -0x10000) else { break }
                (low, high, write, end, moved) = (first, last, write || m.write, n + 1, moved + m.moves)
                members += 1
                if m.isLast {
                    switch row(n).form {
                    case .callNear, .callR, .ret: endsBlock = true
                    default: break
                    }
                    break
                }
            } else if let moves = passes(n, base), abs(moved + moves) < 0x10000 {
                moved += moves
            } else {
                break
            }
            n += 1
        }
        guard members > 1 else { return }
        clobber()
        var code = ColdCode(kind: .span, op: now, flags: flags)
        let number = base == 32 ? (write ? Shortcut.stackStore : Shortcut.stackLoad) : nextShortcut(write: write)
        code.fills.0 = prove(Assembler.Memory(base: pinned(base), disp: Int32(low)), high - low, write: write, number)
        code.count = end
        span.addend = Assembler.Memory(base: Host.state, disp: Int32(cold[code.fills.0].shortcut) + 8)
        (span.end, span.isLoaded, span.code, span.endsBlock) = (end, true, cold.count, endsBlock)
        cold.append(code)
    }

    /// The operand of a member of the span.
    mutating func accessSpan(_ place: Assembler.Memory) -> ColdCode {
        // A division leaves no flags, and may call its handler all the same.
        if row(now).form == .wideM { clobber() }
        // What the others use R11 for, before this and behind it, is not looked at.
        if !span.isLoaded || !leavesAddend { a.load(Host.page, span.addend, 8) }
        span.isLoaded = leavesAddend
        memory = Assembler.Memory(base: place.base, index: Host.page, disp: place.disp)
        var code = ColdCode(kind: .one, op: now, flags: flags)
        code.isProved = true
        return code
    }

    /// Operation `now` does not use R11 but for its operand.
    private var leavesAddend: Bool {
        switch row(now).form {
        case .moveRR, .moveRI, .nop, .moveRM, .moveMR, .moveMI, .extendM, .pushR, .pushI, .popR: true
        default: false
        }
    }

    /// Behind an operation of the span.
    mutating func passSpan() { if !leavesAddend { span.isLoaded = false } }

    mutating func endSpan() {
        if span.endsBlock { cold[span.code].resume = -1 } else { (cold[span.code].resume, cold[span.code].flagsAfter) = (a.count, flags) }
        span.end = 0
    }

    /// The operations of a span one by one.
    mutating func writeSpan(_ code: ColdCode) {
        a.patch(cold[code.fills.0].from.1, to: a.count)
        (flags, span.isOff, span.end) = (code.flags, true, 0)
        for n in code.op..<code.count {
            now = n
            lower(row(n))
        }
        guard code.resume >= 0 else { return }
        reach(code.flagsAfter)
        let back = a.jump()
        a.patch(back, to: code.resume)
    }

    /// Brings the flags to where the code that is jumped to has them.
    private mutating func reach(_ there: FlagState) {
        if there.producer >= 0 && isCounted(there.producer) && there.source < 0 && flags.source >= 0 {
            // There CF is expected in memory.
            flagsToMemory()
        }
        switch (there.place, flags.place) {
        case (.dead, _), (.again, _), (.host, .dead): break
        case (.memory, _): flagsToMemory()
        case (.host, .host) where flags.missing == there.missing || flags.missing == .none: break
        case (.host, .again): redo(flags)
        case (.host, _):
            flagsToMemory()
            restoreFlags()
        }
    }
}
