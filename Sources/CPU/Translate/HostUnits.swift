// Where the guest's x87, MMX and SSE state is while translated code runs.
//
// The x87: a block with x87 or MMX instructions asks at its start that the guest's registers, tags, TOP, control and status word be the
// host's (`Transient.x87Resident`); they stay there, over blocks, until something looks at `VCPU.fpu`, or the run ends. Only
// the pointers to the last instruction and its operand are kept in the state block, by the code itself. MXCSR likewise, but it goes back before any call of
// Swift code, whose floating point it would bend. Both only while the guest masks all exceptions: the host's own would be signals.
//
// XMM registers: each instruction stores its result into the state block too, so that nothing has to be written back; within a block, and around a
// loop of one block, the host's registers hold what has been read or made.

/// What translating a block keeps about the host's units.
struct HostUnits {
    /// The block has such instructions and they are lowered.
    var usesX87 = false, usesFloat = false, usesSSE = false, usesAVX = false
    var isUsed: Bool { usesX87 || usesSSE || usesAVX }
    /// By operation: how it is lowered.
    var plans: [UnitPlan] = []
    /// Guest registers whose host register holds their value: bit n.
    var valid: UInt16 = 0
    /// The same behind each operation.
    var validAfter: [UInt16] = []
    /// By operation: the last x87 instruction before it whose pointers are not in the state block, and the last with a memory operand; -1: none.
    var noted: [(instruction: Int16, data: Int16)] = []
    var lastNoted: Int16 = -1
    var lastData: Int16 = -1
    /// Registers that are valid where the loop begins, and its place; -1: the block does not lead to itself.
    var preloaded: UInt16 = 0
    var loopStart = -1
    /// Branches of the block's start that lead to `writeRefusal`.
    var refused: [Int] = []
}

/// How one operation of the host's units is lowered.
enum UnitPlan {
    /// No such operation, or the interpreter's handler does it.
    case none
    /// The same instruction on the host's x87; with bytes of memory operand (0: none).
    case x87(first: UInt8, second: UInt8, bytes: UInt8, writes: Bool)
    case x87Status, x87Flags(UInt8, UInt8), x87Conditional(UInt8, UInt8), x87Control
    /// FNOP only leaves its address; WAIT does nothing.
    case x87Nothing(noted: Bool)
    case mmx(MMXShape)
    case vector(VectorShape)
    case string(loads: Bool, stores: Bool)

    enum MMXShape {
        /// mm, mm/m64 with the bytes of memory; an immediate byte follows or not.
        case operation(map: UInt8, bytes: UInt8, immediate: Bool)
        case fromGeneral, toGeneral, store, empty
        case mask
    }
    enum VectorShape {
        /// Register or memory into a register; a register into memory.
        case load, store
        /// The instruction itself on registers and memory; with a general register or memory as r/m.
        case compute, fromGeneral
        /// The result is a general register (reg, or r/m), or flags.
        case toGeneral, extract, flags
        /// Half a register, or one lane of 128 bits, into memory or a register.
        case storeHigh, extract128
        case zeroUpper, nothing
    }

    var isLowered: Bool { if case .none = self { false } else { true } }
}

// MARK: The x87 comes and goes

private typealias ImageRoutine = @convention(c) (UnsafeMutableRawPointer) -> Void

/// FRSTOR [RDI] and FNSAVE [RDI]; 0: the host gives no executable memory.
private let restoreRoutine = HostVector.fixed([0xDD, 0x27, 0xC3], 3)
private let saveRoutine = HostVector.fixed([0xDD, 0x37, 0xC3], 4)

extension Core {
    /// Moves the guest's x87 registers into the host's. False: an exception is unmasked or pending, or the x87 is not to be used.
    func takeX87() -> Bool {
        if t.pointee.x87Resident { return true }
        let f = withUnsafeMutablePointer(to: &v.pointee.fpu) { $0 }
        guard cr0 & (CR0.em | CR0.ts) == 0, f.pointee.status & (FSW.es | FSW.busy) == 0, f.pointee.control & FSW.exceptions == FSW.exceptions,
            let routine = UnsafeRawPointer(bitPattern: restoreRoutine)
        else { return false }
        let image = vectorScratch
        image.storeBytes(of: UInt32(f.pointee.control), as: UInt32.self)
        image.storeBytes(of: UInt32(statusWord), toByteOffset: 4, as: UInt32.self)
        var tags = UInt32(f.pointee.empty)
        tags = (tags | tags &<< 4) & 0x0F0F
        tags = (tags | tags &<< 2) & 0x3333
        tags = (tags | tags &<< 1) & 0x5555
        image.storeBytes(of: UInt64(tags &* 3), toByteOffset: 8, as: UInt64.self)
        image.storeBytes(of: 0, toByteOffset: 16, as: UInt64.self)
        image.storeBytes(of: 0, toByteOffset: 24, as: UInt32.self)
        for i in 0..<8 {
            let n = fpuPhysical(i)
            image.storeBytes(of: f.pointee.significand[unchecked: n], toByteOffset: 28 &+ 10 &* i, as: UInt64.self)
            image.storeBytes(of: f.pointee.signExponent[unchecked: n], toByteOffset: 36 &+ 10 &* i, as: UInt16.self)
        }
        unsafeBitCast(routine, to: ImageRoutine.self)(image)
        t.pointee.x87Resident = true
        return true
    }

    /// Moves them back; the host's x87 is then as the ABI wants it.
    @inline(__always)
    func giveX87Back() { if _slowPath(t.pointee.x87Resident) { storeX87() } }

    @inline(never)
    private func storeX87() {
        guard let routine = UnsafeRawPointer(bitPattern: saveRoutine) else { return }
        t.pointee.x87Resident = false
        let image = vectorScratch
        unsafeBitCast(routine, to: ImageRoutine.self)(image)
        let f = withUnsafeMutablePointer(to: &v.pointee.fpu) { $0 }
        f.pointee.control = image.load(as: UInt16.self)
        let status = image.load(fromByteOffset: 4, as: UInt16.self)
        f.pointee.status = status & ~0x3800
        f.pointee.top = UInt8(truncatingIfNeeded: status &>> 11) & 7
        var tags = UInt32(image.load(fromByteOffset: 8, as: UInt16.self))
        tags = tags & (tags &>> 1) & 0x5555
        tags = (tags | tags &>> 1) & 0x3333
        tags = (tags | tags &>> 2) & 0x0F0F
        f.pointee.empty = UInt8(truncatingIfNeeded: tags | tags &>> 4)
        for i in 0..<8 {
            let n = fpuPhysical(i)
            f.pointee.significand[unchecked: n] = image.loadUnaligned(fromByteOffset: 28 &+ 10 &* i, as: UInt64.self)
            f.pointee.signExponent[unchecked: n] = image.loadUnaligned(fromByteOffset: 36 &+ 10 &* i, as: UInt16.self)
        }
    }

    /// A handler is about to run that may look at the x87, or change whether it may be used.
    @inline(__always)
    func giveX87Back(before o: OpPointer) {
        if _slowPath(t.pointee.x87Resident), o.pointee.kind != .slow { giveX87Back() }
    }
}

// MARK: At the edges of a block

extension BlockLowering {
    /// Finds out which operations of the units are lowered.
    mutating func planUnits(_ c: Core) {
        var any = false
        for n in 0..<count {
            switch ops[n].kind {
            case .fpu, .mmx, .vector, .slow: any = true
            default: break
            }
            if any { break }
        }
        guard any else { return }
        units.plans = (0..<count).map { plan($0, c) }
        for n in 0..<count {
            switch units.plans[n] {
            case .none, .string: break
            case .vector(let shape):
                if ops[n].isVEX { units.usesAVX = true } else { units.usesSSE = true }
                if case .nothing = shape { break }
                if VectorWord(raw: ops[n].wide).isFloat { units.usesFloat = true }
            default: units.usesX87 = true
            }
        }
        guard units.isUsed else { return }
        units.validAfter = [UInt16](repeating: 0, count: count)
        units.noted = [(instruction: Int16, data: Int16)](repeating: (-1, -1), count: count)
    }

    func isLowered(_ n: Int) -> Bool { !units.plans.isEmpty && units.plans[n].isLowered }

    private func plan(_ n: Int, _ c: Core) -> UnitPlan {
        switch ops[n].kind {
        case .fpu: x87Plan(ops[n])
        case .mmx: mmxPlan(ops[n])
        case .vector: vectorPlan(ops + n, c)
        case .slow: ops[n].sub == Mnemonic.wait.rawValue ? .x87Nothing(noted: false) : stringPlan(ops[n])
        default: .none
        }
    }

    /// Whether the units are the guest's and may be used; if not, the interpreter does the whole block.
    mutating func beginUnits() {
        guard units.isUsed else { return }
        var refused: [Int] = []
        if units.usesSSE || units.usesAVX {
            a.rm(0xF7, 0, StateField.cr0, 4)  // TEST [CR0], TS or EM and TS
            a.word32(Int32(bitPattern: units.usesSSE ? CR0.em | CR0.ts : CR0.ts))
            refused.append(a.jump(Condition.notZero))
            a.rm(0xF7, 0, StateField.cr4, 4)
            a.word32(Int32(bitPattern: units.usesSSE ? CR4.osfxsr : CR4.osxsave))
            refused.append(a.jump(Condition.zero))
        }
        if units.usesAVX {
            if units.usesSSE {
                a.rm(0xF7, 0, StateField.cr4, 4)
                a.word32(Int32(bitPattern: CR4.osxsave))
                refused.append(a.jump(Condition.zero))
            }
            a.load(Host.rax, StateField.xcr0, 4)
            a.bytes(0xF7, 0xD0, 0xA8, 0x06)  // NOT EAX; TEST AL, 6
            refused.append(a.jump(Condition.notZero))
            if !is64 {
                a.rm(0xF7, 0, StateField.cr0, 4)
                a.word32(Int32(bitPattern: CR0.pe))
                refused.append(a.jump(Condition.zero))
                a.rm(0xF7, 0, StateField.systemFlags, 4)
                a.word32(Int32(bitPattern: EFlags.vm))
                refused.append(a.jump(Condition.notZero))
            }
        }
        if units.usesX87 { refused += claimX87() }
        if units.usesFloat { refused += claimMXCSR() }
        units.refused = refused
        for n in 0..<count where leadsToStart(n) { units.loopStart = 0 }
        if units.loopStart == 0 {
            units.preloaded = registersUsed()
            for register in 0..<UInt8(16) where units.preloaded & (1 << UInt16(register)) != 0 { loadVector(register, register) }
            units.valid = units.preloaded
            units.loopStart = a.count
        }
    }

    /// A conditional branch to the start of its own block.
    private func leadsToStart(_ n: Int) -> Bool {
        switch row(n).form {
        case .branch, .fusedRR, .fusedRI, .fusedDec, .loop: ops[n].disp == 0
        default: false
        }
    }

    /// CMP [resident], 0; the rare way asks for the registers. Returns the branches of refusal.
    private mutating func claimX87() -> [Int] {
        a.rm(0x80, 7, StateField.x87Resident, 1)
        a.byte(0)
        let there = a.jump(Condition.notZero)
        a.constant(Host.rax, 0)
        let place = a.call()
        a.patch(place, to: area.calls[4] - area.used)
        a.bytes(0x85, 0xC0)
        let refused = a.jump(Condition.notZero)
        a.patch(there, to: a.count)
        return [refused]
    }

    private mutating func claimMXCSR() -> [Int] {
        a.rm(0x80, 7, StateField.mxcsrResident, 1)
        a.byte(0)
        let there = a.jump(Condition.notZero)
        a.load(Host.rax, StateField.mxcsr, 4)
        a.bytes(0xF7, 0xD0, 0xA9)  // NOT EAX; TEST EAX, masks
        a.word32(Int32(bitPattern: MXCSR.masks))
        let refused = a.jump(Condition.notZero)
        takeMXCSR()
        a.patch(there, to: a.count)
        return [refused]
    }

    private mutating func takeMXCSR() {
        a.rm(0x0FAE, 2, StateField.mxcsr, 4)  // LDMXCSR
        a.rm(0xC6, 0, StateField.mxcsrResident, 1)
        a.byte(1)
    }

    /// Behind the block: the whole block is the interpreter's.
    mutating func writeRefusal() {
        guard !units.refused.isEmpty else { return }
        for place in units.refused { a.patch(place, to: a.count) }
        a.constant(Host.rax, block.pointee.rip)
        a.store(StateField.rip, Host.rax, 8)
        a.constant(Host.rax, UInt64(UInt(bitPattern: block)))
        a.store(StateField.scratch, Host.rax, 8)
        a.constant(Host.rax, UInt64(TranslatedExit.interpret))
        let out = a.jump()
        a.patch(out, to: area.exit - area.used)
    }

    /// The operation is lowered: what is true behind it.
    mutating func endUnit() {
        guard units.isUsed else { return }
        units.validAfter[now] = units.valid
        if now + 1 < count { units.noted[now + 1] = (units.lastNoted, units.lastData) }
    }

    // MARK: Leaving

    /// Before the block is left, or a handler called, at operation `n`: the pointers of the last x87 instruction. Clobbers RAX, not flags.
    mutating func settleUnits(_ n: Int) {
        guard units.isUsed else { return }
        if units.usesX87 { writeNote(units.noted[n]) }
        if units.usesAVX { a.bytes(0xC5, 0xF8, 0x77) }  // VZEROUPPER
    }

    private mutating func writeNote(_ note: (instruction: Int16, data: Int16)) {
        guard note.instruction >= 0 else { return }
        let o = ops[Int(note.instruction)]
        a.rm(0xC7, 0, StateField.fpuOpcode, 2)
        a.immediate(Int32((o.sub & 7) << 8 | UInt16(o.modrm)), 2)
        a.constant(Host.rax, block.pointee.rip &+ UInt64(o.ipOffset))
        a.store(StateField.fpuInstructionPointer, Host.rax, 8)
        a.rm(0x0FB7, Host.rax, StateField.segmentSelector(1), 4)
        a.store(StateField.fpuInstructionSelector, Host.rax, 2)
        guard note.data >= 0 else { return }
        a.rm(0x0FB7, Host.rax, StateField.segmentSelector(ops[Int(note.data)].seg), 4)
        a.store(StateField.fpuDataSelector, Host.rax, 2)
    }

    /// A handler has done operation `n` off the usual way: the units as the code behind it finds them. Flags are in memory.
    mutating func resumeUnits(_ n: Int) {
        guard units.isUsed else { return }
        var failed: [Int] = []
        // Handlers of these give the registers back; of others they stay.
        switch ops[n].kind {
        case .fpu, .mmx, .vector: if units.usesX87 { failed += claimX87() }
        default: break
        }
        if units.usesFloat { takeMXCSR() }
        reloadVectors(units.validAfter[n])
        leaveBehind(n, failed)
    }

    /// A handler has been called for operation `now` on the usual way: it may have changed anything about the units.
    mutating func reclaimUnits() {
        guard units.isUsed else { return }
        units.valid = 0
        if ops[now].kind == .fpu || ops[now].kind == .mmx || ops[now].kind == .vector { (units.lastNoted, units.lastData) = (-1, -1) }
        var failed: [Int] = []
        if units.usesX87 { failed += claimX87() }
        if units.usesFloat { failed += claimMXCSR() }
        leaveBehind(now, failed)
    }

    /// Leaves behind operation `n` where the units are not to be had any more.
    private mutating func leaveBehind(_ n: Int, _ ways: [Int]) {
        guard !ways.isEmpty else { return }
        let on = a.jump()
        for way in ways { a.patch(way, to: a.count) }
        let o = ops[n]
        a.constant(Host.rax, (block.pointee.rip &+ UInt64(o.ipOffset) &+ UInt64(o.length)) & block.pointee.nextMask)
        a.store(StateField.rip, Host.rax, 8)
        a.aluImmediate(Lowering.sub, Host.budget, Int32(o.n) + 1, 8)
        let out = a.jump()
        a.patch(out, to: area.lookUp - area.used)
        a.patch(on, to: a.count)
    }

    /// The way back to the start of the block's own loop; the host's registers stay as they are. Behind it: the rare end of the budget.
    mutating func writeLoop(_ code: ColdCode) {
        if units.usesX87 { writeNote(units.noted[code.op]) }
        reloadVectors(units.preloaded & ~units.validAfter[code.op])
        a.aluImmediate(Lowering.sub, Host.budget, Int32(code.count), 8)
        let over = a.jump(Condition.sign)
        let again = a.jump()
        a.patch(again, to: units.loopStart)
        a.patch(over, to: a.count)
        if units.usesAVX { a.bytes(0xC5, 0xF8, 0x77) }
        if code.saves != .all { remake(flags) }
        a.constant(Host.rax, code.target)
        a.store(StateField.rip, Host.rax, 8)
        let out = a.jump()
        a.patch(out, to: area.lookUp - area.used)
    }

    func closesLoop(_ code: ColdCode) -> Bool { units.loopStart >= 0 && code.isTaken && code.site >= 0 && code.target == block.pointee.rip }
}

extension CodeArea {
    /// The guest's MXCSR back into the state block, before Swift code runs. Clobbers RCX and flags.
    static func giveMXCSRBack(_ a: inout Assembler) {
        a.rm(0x80, 7, StateField.mxcsrResident, 1)
        a.byte(0)
        let absent = a.jump(Condition.zero)
        a.rm(0x0FAE, 3, StateField.mxcsr, 4)  // STMXCSR
        a.rm(0xC6, 0, StateField.mxcsrResident, 1)
        a.byte(0)
        a.load(Host.rcx, StateField.mxcsr, 4)
        a.aluImmediate(Lowering.and, Host.rcx, ~0x3F, 4)
        a.aluImmediate(Lowering.cmp, Host.rcx, Int32(MXCSR.initial), 4)
        let usual = a.jump(Condition.zero)
        a.rm(0x0FAE, 2, StateField.hostMXCSR, 4)
        a.patch(usual, to: a.count)
        a.patch(absent, to: a.count)
    }
}

extension StateField {
    static let cr0 = vcpu(\.cr0), cr4 = vcpu(\.cr4), xcr0 = vcpu(\.xcr0), mxcsr = vcpu(\.mxcsr)
    static let x87Resident = transient(\.x87Resident), mxcsrResident = transient(\.mxcsrResident), hostMXCSR = transient(\.hostMXCSR)
    static let fpuOpcode = vcpu(\.fpu.opcode)
    static let fpuInstructionPointer = vcpu(\.fpu.instructionPointer), fpuInstructionSelector = vcpu(\.fpu.instructionSelector)
    static let fpuDataPointer = vcpu(\.fpu.dataPointer), fpuDataSelector = vcpu(\.fpu.dataSelector)
    private static let vectors = vcpu(\.vector)

    static func segmentSelector(_ number: UInt8) -> Assembler.Memory { segment(number, MemoryLayout<Segment>.offset(of: \.selector) ?? 0) }

    /// XMM or YMM register `number`.
    static func vector(_ number: UInt8) -> Assembler.Memory {
        var m = vectors
        m.disp += Int32(number & 15) * 32
        return m
    }
}
