import Glibc
import Primitives

/// Why the engine returned.
public enum EngineExit: Equatable, Sendable {
    case budgetUsed
    /// In HLT (or waiting for SIPI) with nothing to wake it.
    case halted
    /// The board asked for a look-up: lines, deadlines or the map changed, or a reset or power-off is pending.
    case attention
    /// PAUSE, where `yieldsOnPause`: the guest spins, another processor may go on.
    case paused
    /// Triple fault, in one plain sentence.
    case shutdown(String)
    /// At a stop point of the debugger: see `Processor.takeHits`.
    case debug
    /// A fault of ours: what does not fit, in one plain sentence. The state is not to be trusted.
    case failed(String)
}

/// One vCPU with its caches: the interpreter engine. Several may share one memory; each has its own caches over it.
///
/// Confined to the thread that runs the machine.
public final class Processor {
    let core: Core
    public let memory: GuestMemory
    public unowned(unsafe) let bus: any CPUBus
    public let model: CPUModel
    /// Initial APIC ID; 0: the bootstrap processor.
    public let apicID: UInt8
    private let tscIsNanoseconds: Bool
    /// Where guest time follows the instructions: so that RDTSC, of which a boot does millions, need not ask the board.
    public var countedTime: UnsafePointer<CountedTime>?
    /// The same where it follows the host.
    public var pacedTime: UnsafeMutablePointer<PacedTime>?
    let blocks: BlockCache
    private(set) var translator: Translator?
    /// The same, for the path that every look-up takes: counting references costs as much as the rest of it.
    private var hot: Unmanaged<Translator>?
    /// PAUSE makes `run` return.
    public var yieldsOnPause = false
    private var paused = false
    var debug = DebugState()
    var undefined = UndefinedInstructions()

    /// For `census`: instructions of all calls of `run`.
    var ran: UInt64 = 0

    /// TLB entries that were filled with pages that are not global since the last flush, each once.
    private let filled: UnsafeMutablePointer<UInt16>
    private let isFilled: UnsafeMutablePointer<Bool>
    private var filledCount = 0
    /// Some page was global.
    private var hasGlobal = false
    let globalSlots: UnsafeMutablePointer<Bool>
    /// One bit for each linear page modulo 65,536 that the jump cache may lead to, since the last flush that made it forget them; global pages have
    /// their own.
    private let jumpPages: UnsafeMutablePointer<UInt64>, globalJumpPages: UnsafeMutablePointer<UInt64>
    static let jumpPageMask = 65_535

    /// - Parameter translation: hot code is translated; nil: all is interpreted.
    public init(memory: GuestMemory, bus: any CPUBus, model: CPUModel, apicID: UInt8 = 0, translation: TranslationSettings? = nil) {
        self.memory = memory
        self.bus = bus
        self.model = model
        self.apicID = apicID
        tscIsNanoseconds = model.tscHertz == 1_000_000_000
        blocks = BlockCache(features: model.features, memory: memory)
        let block = UnsafeMutableRawPointer.allocateLarge(byteCount: Core.blockBytes)
        memset(block, 0, Core.blockBytes)
        core = Core(base: block)
        filled = .allocate(capacity: 2 * TLBEntry.entries)
        isFilled = .allocate(capacity: 2 * TLBEntry.entries)
        isFilled.initialize(repeating: false, count: 2 * TLBEntry.entries)
        jumpPages = .allocate(capacity: (Processor.jumpPageMask + 1) / 64)
        jumpPages.initialize(repeating: 0, count: (Processor.jumpPageMask + 1) / 64)
        globalJumpPages = .allocate(capacity: (Processor.jumpPageMask + 1) / 64)
        globalJumpPages.initialize(repeating: 0, count: (Processor.jumpPageMask + 1) / 64)
        globalSlots = .allocate(capacity: 2 * TLBEntry.entries)
        globalSlots.initialize(repeating: false, count: 2 * TLBEntry.entries)
        let tlb = (block + Core.tlbOffset).assumingMemoryBound(to: TLBEntry.self)
        tlb.initialize(repeating: .none, count: 3 * TLBEntry.entries)
        let jumps = (block + Core.jumpOffset).assumingMemoryBound(to: JumpEntry.self)
        jumps.initialize(repeating: JumpEntry(linear: 0, key: .max, block: nil), count: JumpEntry.entries)
        core.v.initialize(to: VCPU())
        let census = UnsafeMutablePointer<CensusCell>.allocate(capacity: Census.count)
        census.initialize(repeating: CensusCell(), count: Census.count)
        core.t.initialize(
            to: Transient(
                tlb: tlb, userTLB: tlb + TLBEntry.entries, systemTLB: tlb, jumpCache: jumps, missTLB: tlb + 2 * TLBEntry.entries, processor: self,
                owner: Unmanaged.passUnretained(self), memory: Unmanaged.passUnretained(memory), single: blocks.scratchBlock, census: census))
        core.t.pointee.arena = UInt(bitPattern: memory.base)
        core.t.pointee.frameMask = model.frameMask
        core.t.pointee.hasGigabytePages = model.has(.gbpages)
        core.t.pointee.jumpPages = UInt(bitPattern: jumpPages)
        if let translation {
            translator = Translator(core, blocks: blocks, threshold: translation.threshold, bytes: translation.codeBytes)
            blocks.translator = translator
            // Not where everything is to be translated at once, as in tests.
            if translation.threshold > 1 && translator != nil { core.t.pointee.deferring = UnsafePointer(blocks.writes) }
            hot = translator.map { Unmanaged.passUnretained($0) }
        }
        memory.attach(self)
        reset()
    }

    deinit {
        memory.detach(self)
        core.t.pointee.census.deallocate()
        core.base.deallocate()
        filled.deallocate()
        isFilled.deallocate()
        globalSlots.deallocate()
        jumpPages.deallocate()
        globalJumpPages.deallocate()
    }

    /// Power-on or RESET#: F000:FFF0 with CS base 0xFFFF0000. SDM Vol. 3A, "Processor State After Reset".
    /// Retired instructions go on counting.
    public func reset() {
        let retired = self.retired
        var state = VCPU()
        for n in 0..<6 { state.seg[n].attributes = 0x93 }
        state.seg[Seg.cs].selector = 0xF000
        state.seg[Seg.cs].base = 0xFFFF_0000
        state.seg[Seg.cs].attributes = 0x9B
        state.seg[Seg.ldtr].attributes = 0x82
        state.seg[Seg.tr].attributes = 0x8B
        state.gpr[2] = UInt64(model.signature)
        state.dr[6] = 0xFFFF_0FF0
        state.dr[7] = 0x400
        state.retired = retired
        state.random ^= UInt64(apicID) &* 0x9E37_79B9_7F4A_7C15  // no two processors draw the same numbers
        core.v.pointee = state
        setBudget(0)
        core.t.pointee.nmi = false
        core.t.pointee.nmiBlocked = false
        core.flushTLB(keepGlobal: false)
        core.modeChanged()
    }

    /// INIT#: starts anew, but FPU, vector registers, MSRs, MTRRs, time-stamp counter and the cache bits of CR0 stay. SDM Vol. 3A, "Processor
    /// State After Reset", column INIT.
    /// - Parameter waiting: an application processor: it waits for SIPI.
    public func initialise(waiting: Bool) {
        let old = core.v.pointee
        reset()
        var new = core.v.pointee
        new.cr0 = new.cr0 & ~(CR0.cd | CR0.nw) | old.cr0 & (CR0.cd | CR0.nw)
        (new.fpu, new.vector, new.mxcsr, new.xcr0) = (old.fpu, old.vector, old.mxcsr, old.xcr0)
        (new.sysenterCS, new.sysenterESP, new.sysenterEIP, new.pat) = (old.sysenterCS, old.sysenterESP, old.sysenterEIP, old.pat)
        (new.star, new.lstar, new.cstar, new.sfmask) = (old.star, old.lstar, old.cstar, old.sfmask)
        (new.kernelGSBase, new.tscAux, new.tscOffset) = (old.kernelGSBase, old.tscAux, old.tscOffset)
        (new.mtrrDefType, new.mtrrVariable, new.mtrrFixed) = (old.mtrrDefType, old.mtrrVariable, old.mtrrFixed)
        (new.microcodeRevision, new.miscEnable) = (old.microcodeRevision, old.miscEnable)
        (new.eventSelect, new.eventCount, new.random) = (old.eventSelect, old.eventCount, old.random)
        new.waitingForStartup = waiting
        core.v.pointee = new
        core.modeChanged()
    }

    /// SIPI: starts at page `vector` of the first MiB. False: the processor was not waiting for it, nothing happened.
    public func startUp(vector: UInt8) -> Bool {
        guard core.v.pointee.waitingForStartup else { return false }
        core.v.pointee.waitingForStartup = false
        core.v.pointee.seg[Seg.cs].selector = UInt16(vector) << 8
        core.v.pointee.seg[Seg.cs].base = UInt64(vector) << 12
        core.v.pointee.rip = 0
        core.modeChanged()
        return true
    }

    // MARK: Counting

    /// Retired instructions, exact even inside a bus call.
    public var retired: UInt64 {
        core.t.pointee.retiredBase &+ UInt64(bitPattern: core.t.pointee.blockProgress &- core.t.pointee.budget)
    }

    private func setBudget(_ budget: Int64) {
        core.t.pointee.blockProgress = 0
        core.t.pointee.retiredBase = core.v.pointee.retired &+ UInt64(bitPattern: budget)
        core.t.pointee.budget = budget
    }

    /// Writes the count back into the state block.
    private func settle() {
        core.giveX87Back()
        core.t.pointee.blockProgress = 0
        core.v.pointee.retired = retired
    }

    // MARK: Lines

    public func setINTR(_ level: Bool) { core.t.pointee.intr = level; if level { core.t.pointee.leaveBlock = true } }
    public func raiseNMI() { core.t.pointee.nmi = true; core.t.pointee.leaveBlock = true }
    /// Leaves `run` at the next instruction boundary.
    public func requestExit() { core.t.pointee.exitRequested = true; core.t.pointee.leaveBlock = true }
    public var isHalted: Bool { core.v.pointee.halted }
    /// In HLT or waiting for SIPI, and nothing that has arrived ends it.
    public var isIdle: Bool {
        if core.v.pointee.waitingForStartup { return true }
        guard core.v.pointee.halted, core.t.pointee.pendingDebug == 0 else { return false }
        if core.t.pointee.nmi && !core.t.pointee.nmiBlocked { return false }
        return !core.t.pointee.intr || core.v.pointee.systemFlags & EFlags.if == 0
    }

    func pause() {
        guard yieldsOnPause else { return }
        paused = true
        requestExit()
    }

    // MARK: Running

    /// Runs up to `budget` instructions, exactly that many unless it returns for another reason.
    public func run(budget: Int64) -> EngineExit {
        let c = core
        let before = c.v.pointee.retired
        setBudget(budget)
        defer {
            settle()
            ran &+= c.v.pointee.retired &- before
        }
        while true {
            c.t.pointee.blockProgress = 0
            c.t.pointee.leaveBlock = false
            if c.t.pointee.exitRequested {
                c.t.pointee.exitRequested = false
                if !debug.hits.isEmpty {
                    c.t.pointee.exitRequested = paused
                    return .debug
                }
                defer { paused = false }
                return paused ? .paused : .attention
            }
            if c.v.pointee.waitingForStartup { return .halted }
            if let exit = takeEvents(c) { return exit }
            if c.t.pointee.exitRequested { continue }
            if c.v.pointee.halted { return .halted }
            if c.t.pointee.budget <= 0 { return .budgetUsed }
            if let exit = step(c) { return exit }
        }
    }

    /// Delivers what waits at an instruction boundary; returns what ends the run.
    /// SDM Vol. 3A, "Priority Among Simultaneous Exceptions and Interrupts".
    private func takeEvents(_ c: Core) -> EngineExit? {
        if c.t.pointee.pendingDebug != 0 && c.v.pointee.shadow != Shadow.movSS, let exit = raiseDebug(c, c.t.pointee.pendingDebug, fault: false) { return exit }
        guard c.v.pointee.shadow == 0 else { return nil }
        if c.t.pointee.nmi && !c.t.pointee.nmiBlocked {
            c.t.pointee.nmi = false
            c.t.pointee.nmiBlocked = true
            c.v.pointee.halted = false
            if let exit = end(exactly(c) { c.interrupt(vector: 2, kind: .nmi) }) { return exit }
        }
        if c.t.pointee.intr && c.v.pointee.systemFlags & EFlags.if != 0, let vector = bus.acknowledgeInterrupt() {
            c.v.pointee.halted = false
            return end(exactly(c) { c.interrupt(vector: vector, kind: .external) })
        }
        return nil
    }

    private func raiseDebug(_ c: Core, _ bits: UInt32, fault: Bool) -> EngineExit? {
        c.t.pointee.pendingDebug = 0
        if fault { c.t.pointee.budget &-= 1 }
        let outcome = exactly(c) { () -> FaultOutcome in
            do throws(Fault) {
                try c.raiseDebug(dr6: bits, fault: fault)
                return .delivered
            } catch {
                return c.handle(error)
            }
        }
        return end(outcome)
    }

    /// Event delivery may touch device registers (a stack in MMIO space): time is exact between instructions.
    private func exactly(_ c: Core, _ body: () -> FaultOutcome) -> FaultOutcome {
        c.giveX87Back()
        c.t.pointee.exact = true
        defer { c.t.pointee.exact = false }
        return body()
    }

    /// nil: the guest's handler is next.
    private func end(_ outcome: FaultOutcome) -> EngineExit? {
        switch outcome {
        case .delivered: nil
        case .shutdown(let sentence): .shutdown(sentence)
        case .failed(let sentence): .failed(sentence)
        }
    }

    /// Delivers a fault of the instruction at `rip`. The delivery counts as one instruction: a handler that itself faults for ever
    /// must not stop guest time, and with it the host's loop.
    private func fault(_ c: Core, _ raised: Fault) -> EngineExit? {
        c.t.pointee.instructionRIP = c.rip
        var fault = raised
        // A fetch from a non-canonical address.
        if raised == .nonCanonical { fault = .generalProtection }
        let isUndefined = raised.vector == 6 || raised == .lacking
        if isUndefined {
            fault = .invalidOpcode
            noteUndefined(lacking: raised == .lacking)
        }
        c.t.pointee.pendingDebug = 0
        c.t.pointee.blockProgress = 0
        c.t.pointee.budget &-= 1
        let exit = end(exactly(c) { c.handle(fault) })
        if case .shutdown = exit { undefined.fatal = isUndefined ? undefinedInstruction(lacking: raised == .lacking) : nil }
        return exit
    }

    /// Runs one block (or one instruction); returns what ends the run.
    private func step(_ c: Core) -> EngineExit? {
        let careful = c.t.pointee.careful
        let resume = c.v.pointee.systemFlags & EFlags.rf != 0
        if careful {
            let hits = c.instructionBreakpoint((c.v.pointee.seg[Seg.cs].base &+ c.rip) & c.t.pointee.addressMask)
            if hits != 0 { return raiseDebug(c, hits, fault: true) }
        }
        // INTR that is still up here (behind a trap gate) is taken after the next instruction, however the code is cut into blocks.
        let asked = c.t.pointee.intr && c.v.pointee.systemFlags & EFlags.if != 0
        let alone = careful || resume || c.v.pointee.shadow != 0 || asked
        var failure: Fault?
        do throws(Fault) {
            var block = try locate(c, single: alone)
            if alone || block.pointee.isSingle || block.pointee.cost > c.t.pointee.budget {
                if blocks.stops != nil, stopsHere(c, block.pointee.storage) { return nil }
                if !block.pointee.isSingle { block = try locate(c, single: true) }
                if c.t.pointee.recording { record(c, block) }
            }
            let traps = c.v.pointee.systemFlags & EFlags.tf != 0
            c.t.pointee.dropsTrap = false
            // RF is cleared at the start of the instruction: IRET may set it anew. A fault pushes it as 1 anyway.
            if resume { c.v.pointee.systemFlags &= ~EFlags.rf }
            c.v.pointee.shadow = 0
            c.t.pointee.exact = block.pointee.isSingle
            failure = alone ? execute(c, block) : runHot(c, block)
            if failure == .repeatExactly {
                // Rolled back to the instruction that met a device register; now alone.
                c.v.pointee.shadow = 0
                // What ran is in the budget; a slow instruction before this one has left its own count here.
                c.t.pointee.blockProgress = 0
                block = try locate(c, single: true)
                c.t.pointee.exact = true
                failure = execute(c, block)
            }
            c.t.pointee.exact = false
            if failure == nil {
                // A trap after MOV SS waits until the next instruction is done; INT n runs its handler untrapped.
                if traps && c.v.pointee.shadow != Shadow.movSS && !c.t.pointee.dropsTrap { c.t.pointee.pendingDebug |= DR6.bs }
            }
        } catch {
            failure = error
        }
        c.t.pointee.exact = false
        if let failure { return fault(c, failure) }
        return nil
    }

    /// Runs the block's translation, or interprets it.
    @inline(__always)
    private func runHot(_ c: Core, _ block: BlockPointer) -> Fault? {
        guard let hot, c.t.pointee.budget >= Int64(Translator.reserve), !c.t.pointee.alignmentChecked, !c.t.pointee.watching,
            let code = hot._withUnsafeGuaranteedRef({ $0.code(c, block, c.isUserClass) })
        else { return execute(c, block) }
        let entry = c.t.pointee.jumpCache + JumpEntry.index((c.v.pointee.seg[Seg.cs].base &+ c.rip) & c.t.pointee.addressMask)
        if entry.pointee.block == block { entry.pointee.code = code }
        return hot._withUnsafeGuaranteedRef { $0.run(c, block) }
    }

    /// The block at CS:RIP: translation, limit, cache, decoding. Throws #PF, #GP.
    private func locate(_ c: Core, single: Bool) throws(Fault) -> BlockPointer {
        let cs = c.v.pointee.seg[Seg.cs]
        let rip = c.rip
        let long = c.is64
        guard long || rip <= UInt64(cs.limit) else { throw .generalProtection }
        let linear = (cs.base &+ rip) & c.t.pointee.addressMask
        let mode = c.t.pointee.mode | (single ? Mode.single : 0)
        let entry = c.t.pointee.jumpCache + JumpEntry.index(linear)
        let generation = entry.pointee.key ^ (rip & 0xFFFF_FFFF)
        if !single, entry.pointee.linear == linear, generation == c.t.pointee.globalGeneration || generation == c.t.pointee.modeGeneration,
            let block = entry.pointee.block, block.pointee.cost != .max
        {
            return block
        }
        let storage = try fetchOffset(c, linear)
        if blocks.isFull {
            blocks.flush()
            for n in 0..<JumpEntry.entries { c.t.pointee.jumpCache[n].block = nil }
            translator?.blocksFlushed(c)
            // Not the translations: when this happens depends on how code was cut, and the guest must not notice.
            c.bumpGeneration(keepGlobal: false)
            fastStores()
        }
        if storage & 0xFFF > 0xFF0, storage >= 0, blocks.remembersCrossing(storage: storage, rip: rip, mode: mode) {
            return try assemble(c, linear, storage, rip, mode)
        }
        // Mostly the one of before the last flush of the TLB.
        var known = entry.pointee.block
        if let block = known, block.pointee.storage != storage || block.pointee.rip != rip || block.pointee.mode != mode || block.pointee.cost == .max {
            known = nil
        }
        if storage >= 0, let block = known ?? blocks.find(c, storage: storage, rip: rip, mode: mode) {
            if mode & Mode.oddLimit != 0 && rip &+ UInt64(block.pointee.bytes) &- 1 > UInt64(cs.limit) { throw .generalProtection }
            if !single {
                let key = isGlobal(c, linear) ? c.t.pointee.globalGeneration : c.t.pointee.modeGeneration
                entry.pointee = JumpEntry(
                    linear: linear, key: key | (rip & 0xFFFF_FFFF), block: block, code: c.t.pointee.noCode)
                noteJump(to: linear, global: key == c.t.pointee.globalGeneration)
            }
            return block
        }
        return try assemble(c, linear, storage, rip, mode)
    }

    /// An instruction that runs over a page end, or is not in memory: its bytes are gathered one after the other.
    private func assemble(_ c: Core, _ linear: UInt64, _ storage: Int, _ rip: UInt64, _ mode: UInt32) throws(Fault) -> BlockPointer {
        var bytes = InlineArray<16, UInt8>(repeating: 0x90)
        var pageFault: Fault?
        var count = 0
        var page: UInt64 = .max
        var place = 0
        let system = c.isSystemAccess
        let faultAddress = c.v.pointee.cr2
        if storage >= 0, let second = try? secondPage(c, linear) {
            // The usual case: both pages are memory.
            let left = 4096 - Int(linear & 0xFFF)
            withUnsafeMutableBytes(of: &bytes) { raw in
                raw.baseAddress?.copyMemory(from: memory.base + storage, byteCount: left)
                raw.baseAddress?.advanced(by: left).copyMemory(from: memory.base + second, byteCount: 15 - left)
            }
            count = 15
        }
        while count < 15 {
            let at = (linear &+ UInt64(count)) & c.t.pointee.addressMask
            if at & ~0xFFF != page {
                do throws(Fault) { place = try fetchOffset(c, at & ~0xFFF) } catch {
                    if error.vector == 14 { c.v.pointee.cr2 = at }
                    pageFault = error
                    break
                }
                page = at & ~0xFFF
            }
            if place >= 0 {
                bytes[count] = memory.base.load(fromByteOffset: place + Int(at & 0xFFF), as: UInt8.self)
            } else {
                let found = try c.translate(at, .execute, system: system)
                c.t.pointee.exact = true
                bytes[count] = UInt8(truncatingIfNeeded: readMMIO(found.physical | (at & 0xFFF), size: 1))
                c.t.pointee.exact = false
            }
            count += 1
        }
        var block: BlockPointer!
        withUnsafeBytes(of: &bytes) { raw in
            block = blocks.crossing(c, storage: storage, rip: rip, mode: mode, bytes: UnsafeRawBufferPointer(rebasing: raw[0..<count]))
        }
        // Nothing decodes from what could be fetched: the missing byte's fault, or a real one longer than 15 bytes.
        if block.pointee.cost == 0 {
            if let pageFault { throw pageFault }
            throw .generalProtection
        }
        // The instruction did not need the page that is missing.
        if pageFault != nil { c.v.pointee.cr2 = faultAddress }
        if !c.is64 && rip &+ UInt64(block.pointee.bytes) &- 1 > UInt64(c.v.pointee.seg[Seg.cs].limit) { throw .generalProtection }
        return block
    }

    /// Arena offset of the page behind the one of an instruction near its end; nil: it is on the bus, or not near.
    private func secondPage(_ c: Core, _ linear: UInt64) throws(Fault) -> Int? {
        guard 4096 - Int(linear & 0xFFF) < 15 else { return nil }
        let found = try fetchOffset(c, ((linear | 0xFFF) &+ 1) & c.t.pointee.addressMask)
        return found >= 0 ? found : nil
    }

    /// Arena offset of an instruction byte; -1: on the bus.
    private func fetchOffset(_ c: Core, _ linear: UInt64) throws(Fault) -> Int {
        let slot = c.t.pointee.tlb == c.t.pointee.systemTLB ? c.t.pointee.systemTLB : c.t.pointee.userTLB
        let hit = slot + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        let addend: UInt
        if hit.pointee.execute == linear & ~0xFFF {
            addend = hit.pointee.addend
        } else {
            addend = try c.entry(for: linear, .execute).addend
        }
        if addend == 0 { return -1 }
        return Int(bitPattern: addend &+ UInt(truncatingIfNeeded: linear) &- UInt(bitPattern: memory.base))
    }

    /// The page of code that was just fetched is global (or there is no paging).
    private func isGlobal(_ c: Core, _ linear: UInt64) -> Bool {
        if c.cr0 & CR0.pg == 0 { return true }
        let tlb = c.isSystemAccess ? 0 : TLBEntry.entries
        return globalSlots[tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))]
    }

    /// The arena offset of code at a linear address, and whether it stays there as long as global pages do. Notes that a branch is to be linked to
    /// the page. nil: it is not in memory, or a fetch faults.
    func linkable(_ linear: UInt64) -> (storage: Int, isGlobal: Bool)? {
        let faultAddress = core.v.pointee.cr2
        guard let storage = try? fetchOffset(core, linear), storage >= 0 else {
            core.v.pointee.cr2 = faultAddress
            return nil
        }
        let global = isGlobal(core, linear)
        noteJump(to: linear, global: global)
        return (storage, global)
    }

    private func noteJump(to linear: UInt64, global: Bool) {
        let page = Int(truncatingIfNeeded: linear &>> 12) & Processor.jumpPageMask
        (global ? globalJumpPages : jumpPages)[page >> 6] |= 1 &<< UInt64(page & 63)
    }

    /// The jump cache, or a branch, may lead to this page: as one that is global, or as another.
    func mayJump(to page: UInt64, global: Bool) -> Bool {
        let bit = Int(truncatingIfNeeded: page &>> 12) & Processor.jumpPageMask
        return (global ? globalJumpPages : jumpPages)[bit >> 6] & (1 &<< UInt64(bit & 63)) != 0
    }

    func forgetJumpPages(global: Bool) {
        jumpPages.update(repeating: 0, count: (Processor.jumpPageMask + 1) / 64)
        if global { globalJumpPages.update(repeating: 0, count: (Processor.jumpPageMask + 1) / 64) }
    }

    // MARK: Bus

    func readMMIO(_ address: Physical, size: Int) -> UInt64 { bus.readMMIO(memory.gate(address), size: size) }
    func writeMMIO(_ address: Physical, size: Int, _ value: UInt64) { bus.writeMMIO(memory.gate(address), size: size, value) }

    // MARK: TLB bookkeeping

    /// A slot got a new page: remembered so that a flush need not sweep the whole table.
    func noteFilled(_ index: Int, global: Bool) {
        globalSlots[index] = global
        if global {
            hasGlobal = true
        } else if !isFilled[index] {
            isFilled[index] = true
            filled[filledCount] = UInt16(truncatingIfNeeded: index)
            filledCount += 1
        }
    }

    func flushTLB(keepGlobal: Bool) {
        let tlb = core.t.pointee.systemTLB
        let all = !keepGlobal && hasGlobal
        if all {
            core.dropShortcuts()
            tlb.update(repeating: .none, count: 2 * TLBEntry.entries)
            hasGlobal = false
        }
        for i in 0..<filledCount {
            let index = Int(filled[i])
            isFilled[index] = false
            if all || (keepGlobal && globalSlots[index]) { continue }
            core.forgetShortcut(index)
            tlb[index] = .none
        }
        filledCount = 0
        if !keepGlobal {
            core.t.pointee.largeLow = .max
            core.t.pointee.largeHigh = 0
        }
    }

    /// The physical map changed: translations are stale.
    func mapChanged() {
        noteMap()
        core.flushTLB(keepGlobal: false)
        core.t.pointee.leaveBlock = true
        if debug.points.hasPlaces || core.t.pointee.debugs.contains(.watches) { refreshStops() }
    }

    func noteMap() { core.t.pointee.flatTop = memory.flatTop }

    /// Ticks of the time-stamp counter since power-on.
    var ticks: UInt64 {
        let now = countedTime.map { $0.pointee.time(at: retired) } ?? pacedTime?.pointee.ahead(retired: retired) ?? bus.now()
        return tscIsNanoseconds ? now : model.ticks(now)
    }

    /// First code on an arena page: stores to it must take the slow way from now on.
    func markCodePage(_ page: Int) {
        let host = UInt(bitPattern: memory.base) &+ UInt(page << 12)
        let tlb = core.t.pointee.systemTLB
        for i in 0..<(2 * TLBEntry.entries) where tlb[i].write & TLBEntry.invalid == 0 {
            guard tlb[i].addend &+ UInt(truncatingIfNeeded: tlb[i].write & ~0xFFF) == host else { continue }
            core.forgetShortcut(i)
            tlb[i].write |= 2
        }
    }

    // MARK: State for tests, debuggers, snapshots

    /// The architectural state, copied out. `rip` is the next instruction's offset.
    public var state: VCPU {
        get { core.v.pointee }
        set {
            core.v.pointee = newValue
            setBudget(0)
            core.flushTLB(keepGlobal: false)
            core.modeChanged()
        }
    }

    /// EFLAGS in full.
    public var eflags: UInt32 {
        get { core.eflags }
        set {
            core.setArithmeticFlags(newValue)
            core.v.pointee.systemFlags = newValue & ~EFlags.arithmetic | 2
            core.modeChanged()
        }
    }

    /// Blocks decoded, dropped by writes, and whole flushes so far.
    public var blockStatistics: (decoded: UInt64, dropped: UInt64, flushes: UInt64) { (blocks.decoded, blocks.dropped, blocks.flushes) }

    /// The architectural state for `state_digest`; flags in EFLAGS form, so that lazy representations compare equal.
    public func digest(into digest: inout Digest) {
        digest.combine(UInt64(core.eflags))
        core.v.pointee.combine(into: &digest)
    }
}
