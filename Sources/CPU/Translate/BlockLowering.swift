/// Code that is off the usual way of a block, written behind it.
struct ColdCode {
    enum Kind: Equatable {
        /// The interpreter's handler does the operation.
        case one
        /// Only the push of a CALL, the load of a target, a RET.
        case push, target, ret
        /// A shortcut does not hold the operand's page. It is filled from the TLB, or the operation is done the slow way.
        case fill
        /// The stack of return addresses is full.
        case emptyReturns
        /// The way out of a branch; `site` counts from the block's first one, -1: not linkable, looked up.
        case exit
        /// The operands of a span do not lie on one page that may be used: its operations one by one.
        case span
    }
    var kind: Kind
    /// Index of the operation.
    var op: Int
    /// rel32 fields that lead here; -1: none.
    var from: (Int, Int, Int, Int) = (-1, -1, -1, -1)
    var resume = 0
    /// Where the flags from before the operation are.
    var flags = FlagState()
    /// The usual way leaves flags in the host's flags.
    var restoresFlags = false
    /// Entries of kind `fill` that lead here, -1: none.
    var fills: (Int, Int) = (-1, -1)
    /// What `fill` is about: the operand's address, bytes, shortcut.
    var operand = Assembler.Memory(base: Host.address)
    var bytes = 0
    var shortcut = 0
    var stores = false
    /// R10 holds the address that the handler finds in `scratchAddress`, and is loaded from there again.
    var savesAddress = false
    var reloadsAddress = false
    /// What the operation reads is kept beside the flags: behind the handler it is done once more, or the block is left.
    var repeats = false
    /// R10 holds RDX from before a division.
    var restoresRDX = false
    var target: UInt64 = 0
    var count = 0
    var site = -1
    /// The exit is jumped to by a condition: it counts and goes on here.
    var isTaken = false
    /// What the exit has written of the flags; all the rest can be made again on the way to the dispatcher.
    var saves = FlagNeed.all
    /// Of a span: the flags behind it. Of an access: a span has proved it.
    var flagsAfter = FlagState()
    var isProved = false
}

/// What of the flags can be seen behind a place.
enum FlagNeed: UInt8, Comparable {
    case none, carry, all
    static func < (a: FlagNeed, b: FlagNeed) -> Bool { a.rawValue < b.rawValue }
}

/// Where the guest's flags are at a point of the code.
struct FlagState {
    enum Place { case dead, memory, host, again }
    var place = Place.memory
    /// The operation that made them, when it can be done again (`again`, and `host`); -1: none.
    var producer = -1
    /// With `host`: what is not as the guest's. OF and AF behind a shift; CF, which is in memory still, behind INC and DEC; CF and OF of a product.
    enum Missing { case none, overflow, carry, product }
    var missing = Missing.none
    /// For INC and DEC: the operation that CF is from and that is done again for it; -1: CF is in memory.
    var source = -1
}

/// Translates one block.
struct BlockLowering {
    let area: CodeArea
    let block: BlockPointer
    let ops: OpPointer
    let count: Int
    let user: Bool
    let is64: Bool
    /// 4 or 8: addresses, near branches, flat stack.
    let word: Int
    let firstSite: Int
    var a: Assembler
    var flags = FlagState()
    var cold: [ColdCode]
    var sites: [Translator.Site] = []
    /// Bit 0: flags are needed behind the operation, bit 1: before it.
    private let needs: UnsafeMutablePointer<UInt8>
    /// Displacement of the privilege class's shortcuts.
    private let shortcuts: Int
    /// The next one to be dealt out.
    var shortcut: Int
    /// CS has no base, so that branches to other pages can be linked.
    let flatCode: Bool
    /// Where the operand of the last `prove` lies.
    var memory = Assembler.Memory(base: Host.page)
    /// What the usual way and the rest have become.
    private(set) var hotBytes = 0, coldBytes = 0
    /// Which flags the block at an arena offset and CS offset lets anything see.
    private(set) var targetNeeds: (Int, UInt64) -> FlagNeed = { _, _ in .all }
    var now = 0
    var units = HostUnits()
    var span = Span()

    init(
        area: CodeArea, block: BlockPointer, user: Bool, flatCode: Bool, needs: UnsafeMutablePointer<UInt8>, firstSite: Int, shortcut: Int,
        cold: [ColdCode]
    ) {
        self.area = area
        self.block = block
        self.user = user
        self.needs = needs
        self.firstSite = firstSite
        self.cold = cold
        self.cold.removeAll(keepingCapacity: true)
        ops = block.ops
        count = Int(block.pointee.operations)
        is64 = block.pointee.mode & Mode.long != 0
        word = is64 ? 8 : 4
        a = area.assembler()
        self.flatCode = flatCode
        self.shortcut = shortcut
        shortcuts = Core.shortcutOffset + (user ? Shortcut.count * MemoryLayout<Shortcut>.stride : 0)
    }

    func row(_ n: Int) -> Lowering { Lowering.of(ops[n]) }
    var op: Op { ops[now] }
    private func neededAfter(_ n: Int) -> Bool { needs[n] & 1 != 0 }
    private func neededBefore(_ n: Int) -> Bool { needs[n] & 2 != 0 }
    var flagsNeeded: Bool { neededAfter(now) }

    /// False: the block is better interpreted.
    mutating func run(_ targetNeeds: @escaping (Int, UInt64) -> FlagNeed) -> Bool {
        self.targetNeeds = targetNeeds
        guard isWorthwhile else { return false }
        findNeeds()
        a.bytes(0x0F, 0x1F, 0x44, 0x00, 0x00)  // NOP, `CodeArea.entryBytes`
        beginUnits()
        while now < count {
            if now >= span.end { beginSpan() }
            lower(row(now))
            endUnit()
            if now < span.end { passSpan() }
            now += 1
            if now == span.end { endSpan() }
        }
        hotBytes = a.count
        let start = area.coldUsed - area.used
        a.move(to: start, capacity: area.bytes - area.used)
        var n = 0
        while n < cold.count {
            writeCold(n)
            n += 1
        }
        writeRefusal()
        coldBytes = a.count - start
        return !a.overflowed
    }

    private var isWorthwhile: Bool {
        var calls = 0
        for n in 0..<count {
            if row(n).form == .call && ops[n].kind != .slowEnd && !isLowered(n) { calls += 1 }
            // The push would move the target.
            if row(n).form == .callR && ops[n].a >> 3 == 4 { return false }
        }
        return calls * 3 <= count
    }

    // MARK: Flags

    private func findNeeds() {
        var after = true
        var n = count - 1
        while n >= 0 {
            let row = row(n)
            let before = (row.readsFlags && !row.keepsSomeFlags) || row.mayFault || (!row.killsFlags && after)
            needs[n] = (after ? 1 : 0) | (before ? 2 : 0)
            after = before
            n -= 1
        }
        // A fused branch may leave with its own flags.
        for n in 0..<count {
            switch row(n).form {
            case .fusedRR, .fusedRI, .fusedDec: needs[n] |= 1
            default: break
            }
        }
    }

    /// The six flags are in the host's flags, made by this operation. `again`: it can be done again from registers.
    mutating func produced(again: Bool = false) {
        guard neededAfter(now) else {
            flags = FlagState(place: .dead)
            return
        }
        flags = FlagState(place: .host, producer: again && survives(now) ? now : -1)
    }

    /// The host's flags are about to be overwritten.
    mutating func clobber() {
        guard flags.place == .host else { return }
        if !neededBefore(now) {
            flags = FlagState(place: .dead)
        } else if flags.producer >= 0 {
            flags.place = .again
        } else {
            saveFlags()
            flags = FlagState(place: .memory)
        }
    }

    /// Flags as the word in memory, for whoever reads or changes them there.
    mutating func flagsToMemory() {
        switch flags.place {
        case .host: if flags.missing == .none { saveFlags() } else { remake(flags) }
        case .again: remake(flags)
        case .memory, .dead: break
        }
        flags = FlagState(place: .memory)
    }

    /// Before an exit: what its target needs is written. Unless that is all, `flags` stays: the rest can be made again.
    mutating func save(_ need: FlagNeed) {
        switch (need, flags.place) {
        case (.none, _), (.carry, .memory), (.carry, .dead): break
        case (.carry, .host) where flags.missing == .none || flags.missing == .overflow: a.rm(0x0F92, 0, StateField.packedHigh, 1)  // SETC
        // INC and DEC without a source have left CF in memory.
        case (.carry, _): if !isCounted(flags.producer) || flags.source >= 0 { remake(flags) }
        case (.all, _): flagsToMemory()
        }
    }

    /// LAHF; SETO AL; MOV [packed], AX.
    mutating func saveFlags() {
        a.bytes(0x9F, 0x0F, 0x90, 0xC0)
        a.store(StateField.packedFlags, Host.rax, 2)
    }

    /// MOVZX EAX, [packed]; ADD AL, 127; SAHF.
    mutating func restoreFlags() {
        a.rm(0x0FB7, Host.rax, StateField.packedFlags, 4)
        a.bytes(0x04, 0x7F, 0x9E)
    }

    /// CF from the word in memory.
    mutating func restoreCarry() {
        a.rm(0x0FBA, 4, StateField.packedFlags, 2)  // BT [packed], 8
        a.byte(8)
    }

    /// Prepares a condition of the guest's flags; returns the condition to test on the host's.
    mutating func condition(_ code: UInt8) -> UInt8 {
        switch flags.place {
        case .host:
            switch (flags.missing, code >> 1) {
            case (.overflow, 0), (.overflow, 6), (.overflow, 7), (.carry, 1), (.carry, 3), (.product, 0), (.product, 1), (.product, 3), (.product, 6),
                (.product, 7):
                flagsToMemory()
                return condition(code)
            default: return code
            }
        case .again:
            redo(flags)
            flags.place = .host
            flags.missing = missing(flags.producer)
            return condition(code)
        case .memory, .dead:
            let mask: UInt8
            switch code >> 1 {
            case 0:
                a.rm(0xF6, 0, StateField.packedFlags, 1)
                a.byte(1)
                return Condition.notZero ^ (code & 1)
            case 1: mask = 0x01
            case 2: mask = 0x40
            case 3: mask = 0x41
            case 4: mask = 0x80
            case 5: mask = 0x04
            default:
                restoreFlags()
                return code
            }
            a.rm(0xF6, 0, StateField.packedHigh, 1)
            a.byte(mask)
            return Condition.notZero ^ (code & 1)
        }
    }

    /// Registers by number that an operation writes.
    func written(_ n: Int) -> UInt32 {
        let (row, op) = (row(n), ops[n])
        let own: UInt32 = row.writesA ? 1 << UInt32(op.a >> 3) : 0
        switch row.form {
        case .exchangeRR: return own | 1 << UInt32(op.b >> 3)
        case .pushR, .pushI, .pushM, .callNear, .callR, .callM, .ret: return 1 << 4
        case .popR: return own | 1 << 4
        case .leave: return 1 << 4 | 1 << 5
        case .wideR, .wideM: return 1 | 1 << 2
        case .compareExchange: return 1
        case .doubleShift, .bitChange: return 1 << UInt32(ops[n].b >> 3)
        case .widenAL: return 1
        case .widenAX: return 1 << 2
        case .loop, .loopCondition: return 1 << 1
        case .call, .callStack, .retStack: return .max
        default: return own
        }
    }

    /// The registers that would be needed to make the flags of operation `n` again keep their values as long as somebody may want them.
    func survives(_ n: Int) -> Bool { keep(inputs(n), from: n + 1) }

    /// Registers by number that `redo` reads.
    func inputs(_ n: Int) -> UInt32 {
        let own: UInt32 = 1 << UInt32(ops[n].a >> 3)
        switch row(n).form {
        case .aluRR, .fusedRR: return own | 1 << UInt32(ops[n].b >> 3)
        case .aluMI, .shiftRI: return 0
        default: return own
        }
    }

    /// These registers keep their values from operation `first` on, as long as somebody may want the flags from before it.
    func keep(_ inputs: UInt32, from first: Int) -> Bool {
        var lost = false
        var j = first
        while j < count {
            let row = row(j)
            if lost && (row.readsFlags || row.mayFault) { return false }
            if row.killsFlags { return true }
            switch row.form {
            // They read flags and leave them where they are.
            case .branch, .setR, .conditionalRR, .loop, .jcxz: break
            // The flags are wanted behind what these write too.
            case .callNear, .callR, .callM, .ret: return written(j) & inputs == 0
            default: if row.readsFlags { return true }
            }
            if written(j) & inputs != 0 { lost = true }
            j += 1
        }
        return !lost
    }

    /// Between an operation that makes flags and the next that does, branches aside, memory is used.
    func wantedAgain(_ n: Int) -> Bool {
        var j = n + 1
        while j < count {
            let row = row(j)
            switch row.form {
            case .branch, .setR, .conditionalRR: break
            default:
                if row.mayFault { return true }
                if row.killsFlags || row.readsFlags { return false }
            }
            j += 1
        }
        return false
    }

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

    // MARK: Registers

    func pinned(_ displacement: UInt8) -> UInt8 { displacement >= 128 ? Host.none : Host.pinned[Int(displacement >> 3)] }

    /// The operand is a whole register, or its low part, of the host.
    func isDirect(_ displacement: UInt8) -> Bool { pinned(displacement) != Host.none && displacement & 7 == 0 }

    /// A host register with the value of a guest one; `scratch` (RAX or R11) where it is not pinned. AH CH DH BH pass through RAX. Leaves flags alone.
    mutating func source(_ displacement: UInt8, _ size: Int, _ scratch: UInt8) -> UInt8 {
        let host = pinned(displacement)
        if displacement & 7 == 0 {
            if host != Host.none { return host }
            a.load(scratch, StateField.register(displacement), 8)
            return scratch
        }
        let number = displacement >> 3
        if number == 0 {
            a.move(Host.rax, host, 4)
            a.bytes(0x0F, 0xB6, 0xC4)  // MOVZX EAX, AH
        } else {
            a.bytes(0x0F, 0xB6, 0xC0 | (4 + number))  // MOVZX EAX, CH DH BH
        }
        if scratch != Host.rax { a.move(scratch, Host.rax, 4) }
        return scratch
    }

    /// Writes RAX's low part to a guest register. Leaves flags alone.
    mutating func writeBack(_ displacement: UInt8, _ size: Int) {
        let host = pinned(displacement)
        if displacement & 7 != 0 {
            let number = displacement >> 3
            if number == 0 {
                a.rr(0x87, host, Host.rbx, 8)  // XCHG: RBX is RAX for a moment
                a.bytes(0x88, 0xC7)  // MOV BH, AL
                a.rr(0x87, host, Host.rbx, 8)
            } else {
                a.bytes(0x88, 0xC0 | (4 + number))  // MOV CH DH BH, AL
            }
        } else if host == Host.none {
            a.store(StateField.register(displacement), Host.rax, size == 4 ? 8 : size)
        } else {
            a.rr(size == 1 ? 0x8A : 0x8B, host, Host.rax, size, byteReg: size == 1, byteRM: size == 1)
        }
    }

    // MARK: Addresses

    /// Base plus index plus displacement into `to`, `size` 4 or 8. Leaves flags alone.
    mutating func effective(_ to: UInt8, _ size: Int) {
        let o = op
        var base = Host.none, index = Host.none
        if o.base == 136 {
            a.load(Host.address, StateField.scratchAddress, 8)
            base = Host.address
        } else if o.base != 128 {
            base = source(o.base, 8, Host.address)
        }
        if o.index != 128 { index = source(o.index, 8, Host.page) }
        if base == Host.none && index == Host.none {
            a.constant(to, size == 4 ? UInt64(UInt32(bitPattern: o.disp)) : UInt64(bitPattern: Int64(o.disp)))
        } else if index == Host.none && o.disp == 0 {
            a.move(to, base, size)
        } else if base == Host.none {
            a.leaIndex(to, index, o.scale, o.disp, size)
        } else {
            a.rm(0x8D, to, Assembler.Memory(base: base, index: index, scale: o.scale, disp: o.disp), size)
        }
    }

    /// Offset in the segment, wrapped to the address size, into R10.
    mutating func offset() {
        let mask = op.addressMask
        effective(Host.address, mask == .max ? 8 : 4)
        if mask == 0xFFFF { a.rr(0x0FB7, Host.address, Host.address, 4) }
    }

    /// The memory operand as an address of the host: a register with a displacement, or R10 with the whole address. The sum of the former may
    /// leave the guest's address space, where no page is; the slow way wraps it.
    mutating func operand() -> Assembler.Memory {
        let o = op
        if o.base == 136 { return Assembler.Memory(base: Host.address) }
        if o.index == 128, o.base != 128, pinned(o.base) != Host.none, word == 8 || o.disp >= -0x10000 {
            return Assembler.Memory(base: pinned(o.base), disp: o.disp)
        }
        effective(Host.address, word)
        return Assembler.Memory(base: Host.address)
    }

    /// A shortcut that few other operands use: even for loads, odd for stores, since what a load has filled says nothing of stores.
    mutating func nextShortcut(write: Bool) -> Int {
        shortcut = shortcut + 3 < Shortcut.count ? shortcut + 2 : Shortcut.first
        return shortcut + (write ? 1 : 0)
    }

    /// Lets `memory` be where `size` bytes at a linear address lie; the answer is for `ColdCode.fills`. RAX, R11 and flags are lost.
    mutating func prove(_ place: Assembler.Memory, _ size: Int, write: Bool, _ number: Int) -> Int {
        var entry = Assembler.Memory(base: Host.state, disp: Int32(shortcuts + number * MemoryLayout<Shortcut>.stride))
        if place.disp == 0 { a.move(Host.rax, place.base, 8) } else { a.rm(0x8D, Host.rax, place, 8) }
        a.rm(0x2B, Host.rax, entry, 8)
        a.aluImmediate(Lowering.cmp, Host.rax, Int32(4096 - size), 8)
        var code = ColdCode(kind: .fill, op: now, operand: place, bytes: size, shortcut: Int(entry.disp), stores: write)
        code.from.0 = a.jump(Condition.above)
        code.resume = a.count
        entry.disp += 8
        a.load(Host.page, entry, 8)
        memory = Assembler.Memory(base: place.base, index: Host.page, disp: place.disp)
        cold.append(code)
        return cold.count - 1
    }

    /// Address, clobbered flags and page of the memory operand; the slow way does the whole operation and goes on at `finish`.
    mutating func access(_ size: Int, write: Bool) -> ColdCode {
        if now < span.end { return accessSpan(Assembler.Memory(base: pinned(op.base), disp: op.disp)) }
        let place = operand()
        clobber()
        var code = ColdCode(kind: .one, op: now, flags: flags, savesAddress: op.base == 136)
        code.fills.0 = prove(place, size, write: write, nextShortcut(write: write))
        return code
    }

    /// The end of what `access` began.
    mutating func finish(_ code: ColdCode) {
        if code.isProved && code.from.1 < 0 && code.from.2 < 0 { return }
        var code = code
        code.resume = a.count
        code.restoresFlags = flags.place == .host
        cold.append(code)
    }
}
