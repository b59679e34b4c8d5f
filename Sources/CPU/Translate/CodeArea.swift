import Glibc

/// Memory for translated code: an anonymous file mapped twice, once writable and once executable, never both.
///
/// The first bytes are thunks: ways in, out, and to the interpreter's handlers.
final class CodeArea {
    let writable: UnsafeMutableRawPointer
    let executable: UInt
    let bytes: Int
    private(set) var used = 0
    /// Offsets of the thunks.
    private(set) var enter = 0, exit = 0, lookUp = 0
    private(set) var calls = InlineArray<5, Int>(repeating: 0)
    private var firstBlock = 0

    /// nil: the host gives no executable memory.
    init?(bytes: Int) {
        let length = (max(bytes, 1 << 16) + 4095) & ~4095
        guard let area = ExecutableCode.area(length) else { return nil }
        (writable, executable, self.bytes) = (area.writable, area.executable, length)
        makeThunks()
        firstBlock = used
    }

    deinit {
        munmap(writable, bytes)
        if let pointer = UnsafeMutableRawPointer(bitPattern: executable) { munmap(pointer, bytes) }
    }

    /// Forgets all code but the thunks.
    func clear() { used = firstBlock }

    var left: Int { bytes - used }

    /// The place where the next block goes; `commit` says how long it has become.
    func assembler() -> Assembler { Assembler(writable + used, capacity: left) }
    func commit(_ count: Int) { used += (count + 15) & ~15 }

    /// Lets the rel32 field at offset `place` lead to offset `target`.
    func patch(_ place: Int, to target: Int) {
        guard place >= 0, place <= bytes - 4 else { return }
        (writable + place).storeBytes(of: Int32(truncatingIfNeeded: target - place - 4), as: Int32.self)
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

    private func makeThunks() {
        var a = assembler()
        let first = used
        // In: RDI the state block, RSI the code. RSP is a multiple of 16 while translated code runs.
        enter = first + a.count
        a.bytes(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57)  // PUSH RBX RBP R12–R15
        a.bytes(0x48, 0x83, 0xEC, 0x08)  // SUB RSP, 8
        a.move(Host.state, Host.rdi, 8)
        a.move(Host.rax, Host.rsi, 8)
        CodeArea.reload(&a)
        a.bytes(0xFF, 0xE0)  // JMP RAX
        // Out, with EAX = TranslatedExit.lookUp, and with what is in EAX
        lookUp = first + a.count
        a.constant(Host.rax, UInt64(TranslatedExit.lookUp))
        exit = first + a.count
        CodeArea.spill(&a)
        CodeArea.giveMXCSRBack(&a)
        a.bytes(0x48, 0x83, 0xC4, 0x08)  // ADD RSP, 8
        a.bytes(0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xC3)
        // A call of helper n: RAX the operation, R11 the block; EAX comes back.
        for n in 0..<5 {
            calls[n] = first + a.count
            CodeArea.spill(&a)
            CodeArea.giveMXCSRBack(&a)
            a.bytes(0x48, 0x83, 0xEC, 0x08)
            a.move(Host.rdi, Host.state, 8)
            a.move(Host.rsi, Host.rax, 8)
            a.move(Host.rdx, Host.page, 8)
            var helper = StateField.helpers
            helper.disp += Int32(n * 8)
            a.rm(0xFF, 2, helper, 4)  // CALL [helper]
            CodeArea.reload(&a)
            a.bytes(0x48, 0x83, 0xC4, 0x08, 0xC3)
        }
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
