import Glibc
import Primitives

/// How code is translated.
public struct TranslationSettings: Sendable {
    /// Executions after which a block is translated.
    public var threshold: UInt32
    /// Room for code; when it is full all is dropped.
    public var codeBytes: Int
    /// For tests: `VITRINE_CODE_MIB` in the environment is an upper limit.
    private static let limit: Int = getenv("VITRINE_CODE_MIB").flatMap { Int(String(cString: $0)) }.map { min(max($0, 1), 1 << 20) << 20 } ?? .max

    public init(threshold: UInt32 = 24, codeBytes: Int = 64 << 20) {
        let threshold = getenv("VX_T").flatMap { UInt32(String(cString: $0)) } ?? threshold
        (self.threshold, self.codeBytes) = (threshold, min(codeBytes, TranslationSettings.limit))
    }
}

/// Turns decoded blocks into host code and runs it.
///
/// Most of the guest's registers live in the host's while translated code runs (`Host.pinned`), flags in the host's flags, or as the word that LAHF
/// and SETO make (`Transient.packedFlags`), or nowhere while the operation that made them can be done again. A memory access looks
/// into the software TLB inline; whatever is not plain goes to the interpreter's handler for that one operation, so that faults,
/// device registers and self-modifying code have one implementation. Blocks of a page jump to each other directly; other branches look
/// into the jump cache inline.
///
/// Instructions are counted at every exit of a block. Where fewer than `reserve` are left the interpreter does the rest, so that a budget
/// is met exactly.
final class Translator {
    /// No block has more instructions.
    static let reserve = 128
    /// Stores to pages of code before a block's habit is judged.
    private static let patientWrites: UInt8 = 64

    /// A direct branch within a page that can be linked to its target.
    struct Site {
        /// Offset of its rel32, and of the code that it leads to while it is not linked.
        var place: Int
        var stub: Int
        var source: BlockPointer
        /// What the branch has saved of the flags: only to be linked to a block that needs no more.
        var saves: FlagNeed
        var isLinked = false
        var target: BlockPointer?
        /// A branch to another page: where it compares the epoch, -1: none. The displacement of the field, then the number.
        var epochPlace: Int32 = -1
        /// The same in user mode: where it compares what the TLB adds to addresses of the page.
        var addendPlace: Int32 = -1
        /// The next branch to the same target, -1: none.
        var next: Int32 = -1
    }

    let area: CodeArea
    private var sites: [Site] = []
    /// Executions after which a block is translated.
    var threshold: UInt32
    private let blocks: BlockCache
    /// The shortcut that was dealt out last.
    private var shortcut = Shortcut.first
    private let single: BlockPointer
    private var cold: [ColdCode] = []
    private let needs: UnsafeMutablePointer<UInt8>
    /// Instructions retired between entry and exit of translated code, handlers included; the other counts.
    private(set) var translated: UInt64 = 0
    private(set) var counts = TranslationStatistics()

    /// nil: the host gives no executable memory.
    init?(_ c: Core, blocks: BlockCache, threshold: UInt32, bytes: Int) {
        guard let area = CodeArea(bytes: bytes) else { return nil }
        self.area = area
        self.blocks = blocks
        self.threshold = threshold
        single = UnsafeMutableRawPointer.allocate(byteCount: BlockPointer.headerBytes + 2 * 32, alignment: 64).assumingMemoryBound(to: Block.self)
        single.initialize(to: Block(rip: 0, storage: -1, cost: 1, mode: 0, bytes: 0, operations: 2, crossesPage: false))
        single.mutableOps[1] = Op(.bail)
        needs = .allocate(capacity: BlockCache.maximumOperations + 16)
        needs.initialize(repeating: 0, count: BlockCache.maximumOperations + 16)
        c.t.pointee.noCode = area.executable + UInt(area.lookUpAddress)
        c.t.pointee.helpers = (
            address(of: translatedOne), address(of: translatedPush), address(of: translatedTarget), address(of: translatedReturn),
            address(of: translatedX87))
        for n in 0..<JumpEntry.entries { c.t.pointee.jumpCache[n].code = c.t.pointee.noCode }
        c.t.pointee.single = single
        (c.t.pointee.returnTop, c.t.pointee.returnStack) = (area.returnTop, area.returnTop)
        c.t.pointee.translating = true
        (c.t.pointee.systemShortcuts, c.t.pointee.userShortcuts) = (UInt32(Shortcut.listed), UInt32(Shortcut.listed))
        c.dropShortcuts()
    }

    deinit {
        UnsafeMutableRawPointer(single).deallocate()
        needs.deallocate()
    }

    // MARK: Running

    private typealias Enter = @convention(c) (UnsafeMutableRawPointer, UInt) -> Int32

    /// Runs from `first`, which has code for the current privilege class. As `execute`: nil when the dispatcher is to look up.
    func run(_ c: Core, _ first: BlockPointer) -> Fault? {
        let enter = unsafeBitCast(area.executable + UInt(area.enter), to: Enter.self)
        var code = first.pointee.code[c.isUserClass]
        while true {
            c.packFlags()
            let budget = c.t.pointee.budget
            let result = enter(c.base, code)
            translated &+= UInt64(bitPattern: budget &- c.t.pointee.budget)
            c.unpackFlags()
            if result == TranslatedExit.lookUp { return nil }
            if result == TranslatedExit.interpret {
                return UnsafeMutableRawPointer(bitPattern: UInt(c.t.pointee.translatedValue)).flatMap { execute(c, $0.assumingMemoryBound(to: Block.self)) }
            }
            if result == TranslatedExit.fault { return c.t.pointee.translatedFault }
            guard let next = link(c, Int(result &- TranslatedExit.firstSite)) else { return nil }
            code = next
        }
    }

    /// A branch reached its unlinked end; `c.rip` is the target. Its code, when the branch may go there at once.
    private func link(_ c: Core, _ number: Int) -> UInt? {
        guard sites.indices.contains(number) else { return nil }
        let source = sites[number].source.pointee
        let target = c.rip
        guard source.cost != .max, c.t.pointee.budget > 0, target <= source.ripMask else { return nil }
        var place = source.storage &+ Int(truncatingIfNeeded: Int64(bitPattern: target &- source.rip))
        var epoch: (value: UInt32, isGlobal: Bool)?
        if sites[number].epochPlace >= 0 || sites[number].addendPlace >= 0 {
            guard c.t.pointee.codeBase == 0, let found = c.withProcessor({ $0.linkable(target) }) else { return nil }
            (place, epoch) = (found.storage, found.isGlobal ? (c.t.pointee.globalEpoch, true) : (c.t.pointee.pageEpoch, false))
        }
        // Mostly the one of before: only the epoch is another.
        var known = sites[number].target
        if let block = known, block.pointee.storage != place || block.pointee.mode != source.mode || block.pointee.rip != target { known = nil }
        guard let block = known ?? blocks.find(c, storage: place, rip: target, mode: source.mode) else { return nil }
        let user = c.isUserClass
        guard let code = self.code(c, block, user) else { return nil }
        // A translation may have made room by dropping all others.
        if sites.indices.contains(number), sites[number].source.pointee.code[user] != 0, sites[number].saves >= needs(block) {
            connect(number, block, code, user)
            if sites[number].addendPlace >= 0 {
                let host = c.t.pointee.arena &+ UInt(bitPattern: place)
                area.store(Int(sites[number].addendPlace), host &- UInt(truncatingIfNeeded: target))
            } else if let epoch {
                let field = epoch.isGlobal ? StateField.globalEpoch : StateField.pageEpoch
                area.store(Int(sites[number].epochPlace), field.disp)
                area.store(Int(sites[number].epochPlace) + 4, Int32(bitPattern: epoch.value))
            }
        }
        return c.t.pointee.budget >= Int64(Translator.reserve) ? code : nil
    }

    /// Lets a branch lead to a block.
    private func connect(_ number: Int, _ block: BlockPointer, _ code: UInt, _ user: Bool) {
        if sites[number].isLinked {
            if sites[number].target == block { return }
            unlink(number, user)
        }
        area.patch(sites[number].place, to: Int(code - area.executable) + CodeArea.entryBytes)
        sites[number].isLinked = true
        sites[number].target = block
        sites[number].next = block.pointee.incoming[user]
        block.pointee.incoming[user] = Int32(truncatingIfNeeded: number)
    }

    /// Takes a branch out of the list of those that lead to its target.
    private func unlink(_ number: Int, _ user: Bool) {
        guard let target = sites[number].target else { return }
        var link = target.pointee.incoming[user]
        if Int(link) == number {
            target.pointee.incoming[user] = sites[number].next
            return
        }
        while link >= 0 {
            let next = sites[Int(link)].next
            if Int(next) == number {
                sites[Int(link)].next = sites[number].next
                return
            }
            link = next
        }
    }

    /// The code of a block, made when it has been executed often enough.
    func code(_ c: Core, _ block: BlockPointer, _ user: Bool) -> UInt? {
        let present = block.pointee.code[user]
        if present != 0 { return present }
        if block.pointee.barred || block.pointee.isSingle || block.pointee.crossesPage { return nil }
        block.pointee.heat &+= 1
        let late = threshold > 1 && blocks.isRestless(block.pointee.storage)
        return block.pointee.heat >= (late ? threshold &<< 2 : threshold) &<< UInt32(block.pointee.patience) ? translate(c, block, user) : nil
    }

    /// A store of this block went to a page that holds code, by the long way. Where most of what it does is that, the interpreter is the faster engine: it
    /// gets the block for a while.
    func noteCodeWrite(_ block: BlockPointer, retired: UInt64) {
        if block.pointee.codeWrites == 0 { block.pointee.writesSince = retired }
        block.pointee.codeWrites &+= 1
        guard block.pointee.codeWrites == Translator.patientWrites else { return }
        block.pointee.codeWrites = 0
        guard retired &- block.pointee.writesSince < UInt64(Translator.patientWrites) * 48, threshold > 1 else { return }
        drop(block)
        block.pointee.heat = 0
        block.pointee.patience = min(block.pointee.patience + 5, 15)
    }

    // MARK: Making and dropping

    private func translate(_ c: Core, _ block: BlockPointer, _ user: Bool) -> UInt? {
        if area.left < 64 << 10 || sites.count > 1 << 20 { flush(c) }
        var work = BlockLowering(
            area: area, block: block, user: user, flatCode: block.pointee.mode & Mode.based == 0, needs: needs, firstSite: sites.count, shortcut: shortcut,
            cold: cold)
        work.planUnits(c)
        let usable = work.run { place, rip in
            guard let target = self.blocks.find(c, storage: place, rip: rip, mode: block.pointee.mode) else { return .all }
            return self.needs(target)
        }
        (cold, shortcut) = (work.cold, work.shortcut)
        guard usable else {
            block.pointee.barred = true
            counts.refused &+= 1
            return nil
        }
        sites.append(contentsOf: work.sites)
        let entry = area.executable + UInt(area.used)
        area.commit(work.hotBytes, cold: work.coldBytes)
        block.pointee.code[user] = entry
        counts.blocks &+= 1
        return entry
    }

    /// Which of the flags that are there when this block is entered anything can see.
    private func needs(_ block: BlockPointer) -> FlagNeed {
        let ops = block.ops
        var need = FlagNeed.all
        for n in 0..<Int(block.pointee.operations) {
            let row = Lowering.table[Int(ops[n].kind.rawValue)]
            if row.form == .unaryR && row.operation < 2 {
                // INC, DEC
                need = .carry
            } else if row.readsFlags || row.mayFault {
                return need
            } else if row.killsFlags {
                return .none
            }
        }
        return need
    }

    /// The block's bytes have changed: no branch leads there any more.
    func drop(_ block: BlockPointer) {
        for user in [false, true] where block.pointee.code[user] != 0 {
            counts.dropped &+= 1
            area.redirect(Int(block.pointee.code[user] - area.executable), to: area.lookUpAddress)
            var number = block.pointee.incoming[user]
            while number >= 0 {
                let site = sites[Int(number)]
                area.patch(site.place, to: site.stub)
                (sites[Int(number)].isLinked, sites[Int(number)].target) = (false, nil)
                number = site.next
            }
            block.pointee.incoming[user] = -1
            block.pointee.code[user] = 0
        }
    }

    /// Drops all code. Only between blocks.
    func flush(_ c: Core) {
        blocks.forgetCode()
        blocksFlushed(c)
    }

    /// The decoded blocks are gone.
    func blocksFlushed(_ c: Core) {
        counts.flushes &+= 1
        area.clear()
        sites.removeAll(keepingCapacity: true)
        c.forgetReturns()
        for n in 0..<JumpEntry.entries { c.t.pointee.jumpCache[n].code = c.t.pointee.noCode }
    }
}

extension CodeArea {
    /// A NOP that becomes a jump when the block dies; direct branches go behind it.
    static let entryBytes = 5
}

/// A value for supervisor and one for user mode.
struct ByClass<Value> {
    private var system: Value, user: Value
    init(_ value: Value) { (system, user) = (value, value) }
    @inline(__always)
    subscript(_ isUser: Bool) -> Value {
        get { isUser ? user : system }
        set { if isUser { user = newValue } else { system = newValue } }
    }
}

// MARK: Helpers

private typealias Helper = @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer, UnsafeMutableRawPointer) -> Int32

private func address(of helper: Helper) -> UInt { UInt(bitPattern: unsafeBitCast(helper, to: UnsafeRawPointer.self)) }

/// One operation by the interpreter. 0: go on behind it; else a `TranslatedExit`.
private let translatedOne: Helper = { state, op, block in
    Core(base: state).translatedOne(op.assumingMemoryBound(to: Op.self), block.assumingMemoryBound(to: Block.self))
}

/// The guest's x87 registers into the host's. 0: they are there.
private let translatedX87: Helper = { state, _, _ in Core(base: state).takeX87() ? 0 : 1 }

/// The push of a CALL.
private let translatedPush: Helper = { state, op, block in
    let c = Core(base: state)
    return c.translatedPart(op.assumingMemoryBound(to: Op.self), block.assumingMemoryBound(to: Block.self)) { (o, b) throws(Fault) in
        let back = b.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)
        switch o.pointee.kind {
        case .call16: try c.push(UInt16(truncatingIfNeeded: back))
        case .call32: try c.push(UInt32(truncatingIfNeeded: back))
        default:
            if b.pointee.mode & Mode.long != 0 {
                let sp = c.rsp &- 8
                try c.store(sp, back)
                c.rsp = sp
            } else {
                let sp = c.reg(32, UInt32.self) &- 4
                try c.store(UInt64(sp), UInt32(truncatingIfNeeded: back))
                c.setReg(32, sp)
            }
        }
    }
}

/// The target of an indirect branch from the memory at `scratchAddress`, into `rip`.
private let translatedTarget: Helper = { state, op, block in
    let c = Core(base: state)
    return c.translatedPart(op.assumingMemoryBound(to: Op.self), block.assumingMemoryBound(to: Block.self)) { (o, b) throws(Fault) in
        let linear = c.v.pointee.scratchAddress
        c.rip = b.pointee.mode & Mode.long != 0 ? try c.load(linear, UInt64.self) : UInt64(try c.load(linear, UInt32.self))
    }
}

/// RET, its target into `rip`.
private let translatedReturn: Helper = { state, op, block in
    let c = Core(base: state)
    return c.translatedPart(op.assumingMemoryBound(to: Op.self), block.assumingMemoryBound(to: Block.self)) { (o, b) throws(Fault) in
        switch o.pointee.kind {
        case .ret16: c.rip = UInt64(try c.pop(UInt16.self))
        case .ret32: c.rip = UInt64(try c.pop(UInt32.self))
        default:
            if b.pointee.mode & Mode.long != 0 {
                let target = try c.load(c.rsp, UInt64.self)
                c.rsp = c.rsp &+ 8
                c.rip = target
            } else {
                let target = try c.load(UInt64(c.reg(32, UInt32.self)), UInt32.self)
                c.setReg(32, c.reg(32, UInt32.self) &+ 4)
                c.rip = UInt64(target)
            }
        }
    }
}

extension Core {
    /// The code that is translated and the TLB that it looks into are those of user mode.
    @inline(__always) var isUserClass: Bool { v.pointee.cpl == 3 }

    /// Handlers that are functions of their own are called with the operation itself, which some keep an address in.
    private func translatedHandler(_ op: OpPointer, _ block: BlockPointer) -> Int32 {
        // A repeated string instruction takes its iterations but one out of the budget.
        let budget = t.pointee.budget
        let touchesFlags = op.pointee.touchesFlags
        if touchesFlags { unpackFlags() }
        defer { if touchesFlags { packFlags() } }
        enterSlow(self, block, op)
        do throws(Fault) {
            switch op.pointee.kind {
            case .fpu: try executeFPU(self, op)
            case .mmx: try executeMMX(self, op)
            case .vector: try executeVector(self, op)
            default: try executeSlow(self, op)
            }
        } catch {
            return leave(with: error, op, block)
        }
        t.pointee.exact = false
        t.pointee.handled &+= UInt64(bitPattern: 1 &+ (budget &- t.pointee.budget))
        // The last: the operation wrote over the code that it is in.
        let ends = op.pointee.kind == .slowEnd && (!op.pointee.isRepeatedString || rip == t.pointee.instructionRIP)
        guard ends || t.pointee.leaveBlock || block.pointee.cost == .max else { return 0 }
        t.pointee.budget &-= Int64(op.pointee.n) &+ 1
        return TranslatedExit.lookUp
    }

    fileprivate func translatedOne(_ op: OpPointer, _ block: BlockPointer) -> Int32 {
        switch op.pointee.kind {
        case .fpu, .mmx, .vector, .slow, .slowEnd: return translatedHandler(op, block)
        default: break
        }
        unpackFlags()
        defer { packFlags() }
        let single = t.pointee.single
        single.pointee.rip = block.pointee.rip
        single.pointee.storage = block.pointee.storage
        single.pointee.mode = block.pointee.mode
        single.mutableOps[0] = op.pointee
        let n = Int64(op.pointee.n)
        if op.pointee.kind == .bail {
            rip = block.pointee.rip &+ UInt64(op.pointee.ipOffset)
            t.pointee.budget &-= n
            return TranslatedExit.lookUp
        }
        let budget = t.pointee.budget
        let writes = withProcessor { $0.blocks.codeWrites }
        if let fault = execute(self, single) {
            t.pointee.translatedFault = fault
            return TranslatedExit.fault
        }
        withProcessor { processor in
            if processor.blocks.codeWrites != writes { processor.translator?.noteCodeWrite(block, retired: processor.retired) }
        }
        t.pointee.handled &+= 1
        if t.pointee.budget != budget { return TranslatedExit.lookUp }
        // The operation wrote over the code that it is in.
        if block.pointee.cost == .max && op.pointee.kind != .segAddr {
            rip = (block.pointee.rip &+ UInt64(op.pointee.ipOffset) &+ UInt64(op.pointee.length)) & block.pointee.nextMask
            t.pointee.budget &-= n &+ 1
            return TranslatedExit.lookUp
        }
        return 0
    }

    /// The fault of the instruction that `op` belongs to, as the interpreter's loop leaves it.
    private func leave(with fault: Fault, _ op: OpPointer, _ block: BlockPointer) -> Int32 {
        rip = t.pointee.taskSwitched ? t.pointee.instructionRIP : block.pointee.rip &+ UInt64(op.pointee.ipOffset)
        t.pointee.taskSwitched = false
        t.pointee.instructionRIP = rip
        t.pointee.budget &-= Int64(op.pointee.n)
        t.pointee.exact = false
        t.pointee.translatedFault = fault == .nonCanonical ? (usesStack(op) ? .stackFault : .generalProtection) : fault
        return TranslatedExit.fault
    }

    /// Part of a branch; a fault is that of the whole instruction.
    @inline(__always)
    fileprivate func translatedPart(
        _ op: OpPointer, _ block: BlockPointer, _ body: (OpPointer, BlockPointer) throws(Fault) -> Void
    ) -> Int32 {
        do throws(Fault) {
            try body(op, block)
            return 0
        } catch {
            return leave(with: error, op, block)
        }
    }

    // MARK: Flags as LAHF and SETO leave them in AX

    @inline(__always)
    func packFlags() {
        let result = v.pointee.lazyResult, aux = v.pointee.lazyAux
        let odd = UInt64(truncatingIfNeeded: ((result ^ (aux &>> 8)) & 0xFF).nonzeroBitCount) & 1
        let zero: UInt64 = result == 0 ? 0x4000 : 0
        let sign = (result ^ (aux &<< 63)) &>> 63
        let value = (aux &>> 63) &<< 8 | (odd ^ 1) &<< 10 | (aux & 8) &<< 9 | sign &<< 15 | (aux ^ (aux &<< 1)) &>> 63 | zero | 0x200
        t.pointee.packedFlags = UInt16(truncatingIfNeeded: value)
    }

    @inline(__always)
    func unpackFlags() {
        let value = UInt64(t.pointee.packedFlags)
        let (carry, overflow) = ((value &>> 8) & 1, value & 1)
        let zero = (value &>> 14) & 1
        let result = 1 &- zero
        // The result's parity is odd when it is 1.
        let odd = ((value &>> 10) & 1) ^ 1
        v.pointee.lazyResult = result
        v.pointee.lazyAux = carry &<< 63 | (carry ^ overflow) &<< 62 | (value &>> 9) & 8 | (value &>> 15) & 1 | (odd ^ result) &<< 8
    }
}

extension Op {
    /// Its handler reads or writes arithmetic flags, or may.
    fileprivate var touchesFlags: Bool {
        switch kind {
        case .mmx: return false
        // FCMOVcc, FCOMI and their kin.
        case .fpu: return isRegisterForm && (sub == 0xDA || sub == 0xDB || sub == 0xDF)
        case .vector:
            guard wide != 0 else { return true }
            switch VectorWord(raw: wide).action {
            case .flags, .stringMask, .stringIndex, .popcnt, .tzcnt, .lzcnt, .rdrand, .andNot, .blsr, .blsmsk, .blsi, .bzhi, .bextr: return true
            default: return false
            }
        case .slow:
            switch unsafeBitCast(UInt8(truncatingIfNeeded: sub), to: Mnemonic.self) {
            case .bswap, .movs, .stos, .lods, .movFromSeg, .xlat, .pusha, .push, .pop: return false
            default: return true
            }
        default: return true
        }
    }
}
