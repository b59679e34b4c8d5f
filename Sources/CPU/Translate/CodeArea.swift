import Glibc

/// Memory for translated code: an anonymous file mapped twice, once writable and once executable, never both.
///
/// The first bytes are thunks: ways in, out, and to the interpreter's handlers.
final class CodeArea {
    let writable: UnsafeMutableRawPointer
    let executable: UInt
    let bytes: Int
    /// Where the next block goes, and where what is off the usual way of it: apart, so that the usual ways lie close together.
    private(set) var used = 0
    private(set) var coldUsed = 0
    private let coldStart: Int
    /// Offsets of the thunks.
    private(set) var enter = 0, exit = 0, lookUp = 0
    /// R10 is a branch target: out to look it up; or through the jump cache.
    private(set) var lookUpAddress = 0, jump = 0, renew = 0
    private(set) var calls = InlineArray<5, Int>(repeating: 0)
    /// Fill a shortcut: for loads and stores, supervisor and user.
    private var fills = InlineArray<4, Int>(repeating: 0)
    private var firstBlock = 0
    /// The stack of return addresses lies in the upper half; the lower one is for the kernel's signal frames.
    private let returns: UnsafeMutableRawPointer
    static let returnBytes = 1 << 16

    /// nil: the host gives no executable memory.
    init?(bytes: Int) {
        let length = (max(bytes, 1 << 18) + 4095) & ~4095
        guard let area = ExecutableCode.area(length) else { return nil }
        guard let returns = mmap(nil, 3 * CodeArea.returnBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), returns != MAP_FAILED else {
            munmap(area.writable, length)
            if let pointer = UnsafeMutableRawPointer(bitPattern: area.executable) { munmap(pointer, length) }
            return nil
        }
        (writable, executable, self.bytes, self.returns) = (area.writable, area.executable, length, returns)
        coldStart = (length / 5 * 2) & ~4095
        coldUsed = coldStart
        let aligned = (UInt(bitPattern: returns) + UInt(2 * CodeArea.returnBytes) - 1) & ~UInt(CodeArea.returnBytes - 1)
        returnTop = aligned + UInt(CodeArea.returnBytes) - 16
        makeThunks()
        firstBlock = used
    }

    deinit {
        munmap(writable, bytes)
        if let pointer = UnsafeMutableRawPointer(bitPattern: executable) { munmap(pointer, bytes) }
        munmap(returns, 3 * CodeArea.returnBytes)
    }

    /// The top of the stack of return addresses, where an empty one points: at the way for returns that it knows nothing of. The stack is
    /// full where its address is a multiple of `returnBytes`.
    let returnTop: UInt

    func fill(write: Bool, user: Bool) -> Int { fills[(write ? 1 : 0) + (user ? 2 : 0)] }

    /// Forgets all code but the thunks.
    func clear() { (used, coldUsed) = (firstBlock, coldStart) }

    var left: Int { min(coldStart - used, bytes - coldUsed) }
    var usedBytes: Int { used + coldUsed - coldStart }

    /// The place where the next block goes; `commit` says how long it has become, and how long the code off its usual way.
    func assembler() -> Assembler { Assembler(writable + used, capacity: coldStart - used) }
    func commit(_ count: Int, cold: Int = 0) {
        used += (count + 15) & ~15
        coldUsed += (cold + 15) & ~15
    }

    /// Lets the rel32 field at offset `place` lead to offset `target`.
    func patch(_ place: Int, to target: Int) {
        guard place >= 0, place <= bytes - 4 else { return }
        (writable + place).storeBytes(of: Int32(truncatingIfNeeded: target - place - 4), as: Int32.self)
    }

    func store(_ place: Int, _ value: UInt) {
        guard place >= 0, place <= bytes - 8 else { return }
        (writable + place).storeBytes(of: value, as: UInt.self)
    }

    func store(_ place: Int, _ value: Int32) {
        guard place >= 0, place <= bytes - 4 else { return }
        (writable + place).storeBytes(of: value, as: Int32.self)
    }

    /// Replaces the five bytes at `place` by a jump to `target`.
    func redirect(_ place: Int, to target: Int) {
        guard place >= 0, place <= bytes - 5 else { return }
        (writable + place).storeBytes(of: 0xE9, as: UInt8.self)
        patch(place + 1, to: target)
    }

    private static func slot(_ number: Int) -> Assembler.Memory { Assembler.Memory(base: Host.state, disp: Int32(number * 8)) }

    private static func spill(_ a: inout Assembler) {
        for n in 0..<16 where Host.pinned[n] != Host.none { a.store(slot(n), Host.pinned[n], 8) }
        a.rm(0x8D, Host.budget, Assembler.Memory(base: Host.budget, disp: Int32(Translator.reserve)), 8)
        a.store(StateField.budget, Host.budget, 8)
    }

    private static func reload(_ a: inout Assembler) {
        for n in 0..<16 where Host.pinned[n] != Host.none { a.load(Host.pinned[n], slot(n), 8) }
        a.load(Host.budget, StateField.budget, 8)
        a.rm(0x8D, Host.budget, Assembler.Memory(base: Host.budget, disp: -Int32(Translator.reserve)), 8)
    }

    /// From the stack of return addresses to the host's, and back.
    private static func toHostStack(_ a: inout Assembler) {
        a.store(StateField.returnStack, Host.rsp, 8)
        a.load(Host.rsp, StateField.hostStack, 8)
    }
    private static func toReturnStack(_ a: inout Assembler) { a.load(Host.rsp, StateField.returnStack, 8) }

    /// Jumps to the code for the linear address in RAX and the offset in R10; `miss` writes a jump for the case that ZF is 0. RAX, R11 and flags
    /// are lost. `user`: which kind of page is more likely.
    static func lookUpJump(_ a: inout Assembler, user: Bool, call: Bool, renew: Int, _ miss: (inout Assembler) -> Void) {
        a.move(Host.page, Host.rax, 8)
        a.rr(0xC1, 5, Host.page, 8)
        a.byte(12)
        a.rr(0x33, Host.page, Host.rax, 4)
        a.aluImmediate(Lowering.and, Host.page, Int32(JumpEntry.entries - 1), 4)
        a.rr(0xC1, 4, Host.page, 4)
        a.byte(5)
        var entry = Assembler.Memory(base: Host.state, index: Host.page, disp: Int32(Core.jumpOffset))
        a.rm(0x3B, Host.rax, entry, 8)
        miss(&a)
        entry.disp += 8
        a.move(Host.rax, Host.address, 4)
        a.rm(0x33, Host.rax, entry, 8)
        a.rm(0x3B, Host.rax, user ? StateField.modeGeneration : StateField.globalGeneration, 8)
        var code = entry
        code.disp += 16
        var hit = -1
        if call {
            hit = a.jump(Condition.zero)
        } else {
            let unlikely = a.jump(Condition.notZero)
            a.rm(0xFF, 4, code, 4)  // JMP [entry]
            a.patch(unlikely, to: a.count)
        }
        a.rm(0x3B, Host.rax, user ? StateField.globalGeneration : StateField.modeGeneration, 8)
        let other = a.jump(Condition.zero)
        let place = a.call()
        a.patch(place, to: renew)
        miss(&a)
        if hit >= 0 { a.patch(hit, to: a.count) }
        a.patch(other, to: a.count)
        a.rm(0xFF, call ? 2 : 4, code, 4)  // CALL, JMP [entry]
    }

    private func makeThunks() {
        var a = assembler()
        let first = used
        // In: RDI the state block, RSI the code. The host's RSP is a multiple of 16 then.
        enter = first + a.count
        a.bytes(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57)  // PUSH RBX RBP R12–R15
        a.bytes(0x48, 0x83, 0xEC, 0x08)  // SUB RSP, 8
        a.move(Host.state, Host.rdi, 8)
        a.move(Host.rax, Host.rsi, 8)
        a.store(StateField.hostStack, Host.rsp, 8)
        CodeArea.toReturnStack(&a)
        CodeArea.reload(&a)
        a.bytes(0xFF, 0xE0)  // JMP RAX
        // Out, with EAX = TranslatedExit.lookUp, and with what is in EAX
        lookUpAddress = first + a.count
        a.store(StateField.rip, Host.address, 8)
        lookUp = first + a.count
        a.constant(Host.rax, UInt64(TranslatedExit.lookUp))
        exit = first + a.count
        CodeArea.spill(&a)
        CodeArea.giveMXCSRBack(&a)
        CodeArea.toHostStack(&a)
        a.bytes(0x48, 0x83, 0xC4, 0x08)  // ADD RSP, 8
        a.bytes(0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xC3)
        // A call of helper n: RAX the operation, R11 the block; EAX comes back.
        for n in 0..<5 {
            calls[n] = first + a.count
            a.rm(0x8F, 0, StateField.thunkReturn, 4)  // POP
            CodeArea.spill(&a)
            CodeArea.giveMXCSRBack(&a)
            CodeArea.toHostStack(&a)
            a.move(Host.rdi, Host.state, 8)
            a.move(Host.rsi, Host.rax, 8)
            a.move(Host.rdx, Host.page, 8)
            var helper = StateField.helpers
            helper.disp += Int32(n * 8)
            a.rm(0xFF, 2, helper, 4)  // CALL [helper]
            CodeArea.toReturnStack(&a)
            CodeArea.reload(&a)
            a.rm(0xFF, 6, StateField.thunkReturn, 4)  // PUSH
            a.byte(0xC3)
        }
        // Fill the shortcut at displacement EAX for the address in R10, whose operand's last byte is at R11. ZF: the TLB has the page.
        for n in 0..<4 {
            fills[n] = first + a.count
            let table = n & 2 != 0 ? TLBEntry.entries : 0
            a.byte(0x51)  // PUSH RCX
            a.move(Host.rcx, Host.address, 4)
            a.rr(0xC1, 5, Host.rcx, 4)
            a.byte(12)
            a.aluImmediate(Lowering.and, Host.rcx, Int32(TLBEntry.entries - 1), 4)
            a.rr(0xC1, 4, Host.rcx, 4)
            a.byte(5)
            a.aluImmediate(Lowering.and, Host.page, -4096, 8)
            var entry = Assembler.Memory(base: Host.state, index: Host.rcx, disp: Int32(Core.tlbOffset + table * 32 + (n & 1) * 8))
            a.rm(0x3B, Host.page, entry, 8)
            let miss = a.jump(Condition.notZero)
            var unreadable = -1
            if n & 1 != 0 {
                // A span reads through what was proved for stores: not where reads lead elsewhere, or are watched.
                var read = entry
                read.disp -= 8
                a.rm(0x3B, Host.page, read, 8)
                unreadable = a.jump(Condition.notZero)
            }
            a.store(Assembler.Memory(base: Host.state, index: Host.rax), Host.page, 8)
            entry.disp = Int32(Core.tlbOffset + table * 32 + 24)
            a.load(Host.page, entry, 8)
            a.store(Assembler.Memory(base: Host.state, index: Host.rax, disp: 8), Host.page, 8)
            // Listed, to be dropped by itself (see `ShortcutFill`); ZF is 1 at the end.
            let filled = n & 2 != 0 ? StateField.userShortcuts : StateField.systemShortcuts
            a.load(Host.page, filled, 4)
            a.aluImmediate(Lowering.cmp, Host.page, Int32(Shortcut.listed), 4)
            let full = a.jump(Condition.notCarry)
            var fill = Assembler.Memory(base: Host.state, index: Host.page, scale: 3, disp: Int32(Core.shortcutFills + (n & 2 != 0 ? Shortcut.listed * 8 : 0)))
            a.store(fill, Host.rax, 4)
            a.rr(0xC1, 5, Host.rcx, 4)
            a.byte(3)
            let head = Assembler.Memory(base: Host.state, index: Host.rcx, disp: Int32(Core.shortcutHeads + table * 4))
            a.load(Host.rax, head, 4)
            fill.disp += 4
            a.store(fill, Host.rax, 4)
            a.aluImmediate(Lowering.add, Host.page, 1, 4)
            a.store(head, Host.page, 4)
            a.store(filled, Host.page, 4)
            a.patch(full, to: a.count)
            a.rr(0x3B, Host.rcx, Host.rcx, 4)
            a.patch(miss, to: a.count)
            if unreadable >= 0 { a.patch(unreadable, to: a.count) }
            a.bytes(0x59, 0xC3)  // POP RCX; RET
        }
        // A jump-cache entry of before a flush of the TLB: RAX its generation, R11 32 times its number, R10 the target. It is as good as new when the
        // page is executable now and still leads to the block. ZF: it is.
        renew = first + a.count
        a.bytes(0x51, 0x52)  // PUSH RCX, RDX
        var fails: [Int] = []
        let base = Assembler.Memory(base: Host.state, index: Host.page, disp: Int32(Core.jumpOffset))
        func field(_ offset: Int) -> Assembler.Memory {
            var m = base
            m.disp += Int32(offset)
            return m
        }
        a.bytes(0x85, 0xC0)  // TEST EAX, EAX: another offset in CS
        fails.append(a.jump(Condition.notZero))
        a.move(Host.rcx, Host.rax, 8)
        a.rm(0x33, Host.rcx, StateField.modeGeneration, 8)
        a.rr(0xC1, 5, Host.rcx, 8)
        a.byte(52)
        fails.append(a.jump(Condition.notZero))
        a.load(Host.rdx, field(0), 8)
        a.move(Host.rcx, Host.rdx, 4)
        a.rr(0xC1, 5, Host.rcx, 4)
        a.byte(12)
        a.aluImmediate(Lowering.and, Host.rcx, Int32(TLBEntry.entries - 1), 4)
        a.rr(0xC1, 4, Host.rcx, 4)
        a.byte(5)
        a.rm(0x03, Host.rcx, StateField.tlb, 8)
        a.move(Host.rax, Host.rdx, 8)
        a.aluImmediate(Lowering.and, Host.rax, -4096, 8)
        a.rm(0x3B, Host.rax, Assembler.Memory(base: Host.rcx, disp: 16), 8)
        fails.append(a.jump(Condition.notZero))
        a.move(Host.rax, Host.rdx, 8)
        a.rm(0x03, Host.rax, Assembler.Memory(base: Host.rcx, disp: 24), 8)
        a.rm(0x2B, Host.rax, StateField.arena, 8)
        a.load(Host.rcx, field(16), 8)
        a.rr(0x85, Host.rcx, Host.rcx, 8)
        fails.append(a.jump(Condition.zero))
        a.rm(0x3B, Host.rax, Assembler.Memory(base: Host.rcx, disp: Int32(MemoryLayout<Block>.offset(of: \.storage) ?? 0)), 8)
        fails.append(a.jump(Condition.notZero))
        // INVLPG has to know; see `Processor.noteJump`.
        a.rr(0xC1, 5, Host.rdx, 4)
        a.byte(12)
        a.aluImmediate(Lowering.and, Host.rdx, Int32(Processor.jumpPageMask), 4)
        a.load(Host.rcx, StateField.jumpPages, 8)
        a.rm(0x0FAB, Host.rdx, Assembler.Memory(base: Host.rcx), 4)  // BTS
        a.load(Host.rax, StateField.modeGeneration, 8)
        a.move(Host.rcx, Host.address, 4)
        a.rr(0x0B, Host.rax, Host.rcx, 8)
        a.store(field(8), Host.rax, 8)
        a.rr(0x3B, Host.rax, Host.rax, 8)
        let good = a.jump()
        for place in fails { a.patch(place, to: a.count) }
        a.aluImmediate(Lowering.or, Host.rax, 1, 4)
        a.patch(good, to: a.count)
        a.bytes(0x5A, 0x59, 0xC3)  // POP RDX, RCX; RET
        // A RET for which the stack of return addresses has nothing: what lies at its top leads here. The target is in R10.
        let unknown = first + a.count
        a.rm(0x8D, Host.rsp, Assembler.Memory(base: Host.rsp, disp: -8), 8)
        jump = first + a.count
        a.store(StateField.rip, Host.address, 8)
        a.load(Host.rax, StateField.codeBase, 8)
        a.rr(0x03, Host.rax, Host.address, 8)
        a.rm(0x23, Host.rax, StateField.addressMask, 8)
        CodeArea.lookUpJump(&a, user: true, call: false, renew: renew - first) { a in
            let place = a.jump(Condition.notZero)
            a.patch(place, to: self.lookUp - first)
        }
        UnsafeMutableRawPointer(bitPattern: returnTop)?.storeBytes(of: executable + UInt(unknown), as: UInt.self)
        commit(a.count)
    }
}

/// What translated code returns in EAX: one of these, or `firstSite` plus the number of a branch that is not linked yet.
enum TranslatedExit {
    /// A fault, in `Transient.translatedFault`.
    static let fault: Int32 = 1
    /// Look up `rip`.
    static let lookUp: Int32 = 2
    /// Interpret the block in `Transient.translatedValue`: the host's units are not to be had for it.
    static let interpret: Int32 = 3
    static let firstSite: Int32 = 16
}

/// Fields of the state block as memory operands.
enum StateField {
    static func transient(_ path: PartialKeyPath<Transient>) -> Assembler.Memory {
        Assembler.Memory(base: Host.state, disp: Int32(Core.transientOffset + (MemoryLayout<Transient>.offset(of: path) ?? 0)))
    }
    static func vcpu(_ path: PartialKeyPath<VCPU>) -> Assembler.Memory {
        Assembler.Memory(base: Host.state, disp: Int32(MemoryLayout<VCPU>.offset(of: path) ?? 0))
    }

    static let budget = transient(\.budget)
    static let packedFlags = transient(\.packedFlags)
    /// AH of the packed flags.
    static var packedHigh: Assembler.Memory {
        var m = packedFlags
        m.disp += 1
        return m
    }
    static let scratch = transient(\.translatedValue)
    static let helpers = transient(\.helpers)
    static let modeGeneration = transient(\.modeGeneration)
    static let globalGeneration = transient(\.globalGeneration)
    static let hostStack = transient(\.hostStack)
    static let returnStack = transient(\.returnStack)
    static let returnTop = transient(\.returnTop)
    static let thunkReturn = transient(\.thunkReturn)
    static let codeBase = transient(\.codeBase)
    static let tlb = transient(\.tlb), arena = transient(\.arena), jumpPages = transient(\.jumpPages)
    static let addressMask = transient(\.addressMask)
    static let systemShortcuts = transient(\.systemShortcuts), userShortcuts = transient(\.userShortcuts)
    static let flagOperand = transient(\.flagOperand)
    static let globalEpoch = transient(\.globalEpoch)
    static let pageEpoch = transient(\.pageEpoch)
    static let rip = vcpu(\.rip)
    static let systemFlags = vcpu(\.systemFlags)
    static let scratchAddress = vcpu(\.scratchAddress)
    private static let segments = vcpu(\.seg)

    static func segmentBase(_ number: UInt8) -> Assembler.Memory { segment(number, MemoryLayout<Segment>.offset(of: \.base) ?? 0) }
    static func segmentLimit(_ number: UInt8) -> Assembler.Memory { segment(number, MemoryLayout<Segment>.offset(of: \.limit) ?? 0) }
    static func segmentAttributes(_ number: UInt8) -> Assembler.Memory { segment(number, MemoryLayout<Segment>.offset(of: \.attributes) ?? 0) }

    static func segment(_ number: UInt8, _ field: Int) -> Assembler.Memory {
        var m = segments
        m.disp += Int32(Int(number & 7) * MemoryLayout<Segment>.stride + field)
        return m
    }

    static func register(_ displacement: UInt8) -> Assembler.Memory { Assembler.Memory(base: Host.state, disp: Int32(displacement)) }
}
