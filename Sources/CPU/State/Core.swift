import Glibc
import Primitives

/// Engine-side companion of `VCPU`: caches and counters that a snapshot leaves out. Rebuilt by `Core.modeChanged()` and the MMU.
struct Transient {
    /// The TLB of the current privilege class: `userTLB` at CPL 3, else `systemTLB`.
    var tlb: UnsafeMutablePointer<TLBEntry>
    var userTLB: UnsafeMutablePointer<TLBEntry>
    var systemTLB: UnsafeMutablePointer<TLBEntry>
    var jumpCache: UnsafeMutablePointer<JumpEntry>
    /// 0xFFFF_FFFF outside 64-bit mode: effective addresses wrap.
    var addressMask: UInt64 = 0xFFFF_FFFF
    /// Instructions left until the engine must look up. `vcpu.retired` is current when the engine is outside of `run`.
    var budget: Int64 = 0
    /// Retired instructions + budget at the last time the budget was set: retired = base - budget.
    var retiredBase: UInt64 = 0
    /// Mode bits of decoded blocks, see `Mode`.
    var mode: UInt32 = 0
    /// Low 32 bits: 0. High 32: mode in 12 bits, flush generation in 20; makes stale jump-cache entries miss.
    var modeGeneration: UInt64 = 0
    /// The same for entries on global pages, whose generation a MOV CR3 leaves alone; bit 51 set.
    var globalGeneration: UInt64 = 0
    /// Counts flushes that drop global pages too, 19 bits.
    var globalFlushes: UInt32 = 0
    var generation: UInt32 = 0
    /// Start of the instruction being executed by a slow handler; its fault address.
    var instructionRIP: UInt64 = 0
    /// Instructions of the current block before the one in a slow handler (exact time of bus accesses).
    var blockProgress: Int64 = 0
    /// Execute one instruction at a time: TF, debug registers, odd CS limits.
    var careful = false
    /// A slow handler sets it when the engine must return to the dispatcher after this instruction.
    var leaveBlock = false
    /// Linear range that large-page translations in the TLB lie in (low > high: none).
    var largeLow: UInt64 = .max
    var largeHigh: UInt64 = 0
    /// The instruction runs alone or in a slow handler: guest time is exact, device registers may be touched.
    var exact = false
    /// A data breakpoint is armed (DR7).
    var watching = false
    /// Every access goes the slow way and is checked for alignment (#AC).
    var alignmentChecked = false
    /// A task switch is past its commit point: a fault now belongs to the new task, whose EIP is in `instructionRIP`.
    var taskSwitched = false
    /// The instruction was a software interrupt: its single-step trap is dropped.
    var dropsTrap = false
    /// DR6 bits of data breakpoints hit by the current instruction.
    var pendingDebug: UInt32 = 0
    /// INTR from the interrupt controller, NMI latch, and "lines or deadlines changed".
    var intr = false
    var nmi = false
    var exitRequested = false
    var nmiBlocked = false
    /// Events that the board wants to hear of.
    var told = ProcessorEvents()
    /// What the debugger wants to hear of.
    var debugs = DebugInterests()
    /// Every instruction is written down.
    var recording = false
    /// Never filled: selected while every access must go the slow way.
    var missTLB: UnsafeMutablePointer<TLBEntry>
    unowned(unsafe) var processor: Processor
    /// The same, and its memory, where counting references would cost more than the work: see `Core.withProcessor`.
    var owner: Unmanaged<Processor>
    var memory: Unmanaged<GuestMemory>
    /// Of the model: see there.
    var frameMask: UInt64 = 0
    var hasGigabytePages = false
    /// See `GuestMemory.flatTop`.
    var flatTop: UInt64 = 0
    // MARK: Translated code
    /// Taken branches leave the interpreter, so that blocks are counted and translated ones entered.
    var translating = false
    /// The arithmetic flags as LAHF and SETO leave them in AX; current while translated code runs.
    var packedFlags: UInt16 = 0
    /// A value between two accesses of one instruction.
    var translatedValue: UInt64 = 0
    var translatedFault = Fault(0)
    /// Writes to code by page: where there were many, code is left to the interpreter for longer. nil: nowhere.
    var deferring: UnsafePointer<UInt8>?
    /// Instructions done by handlers that translated code has called.
    var handled: UInt64 = 0
    /// What translated code calls: see `Translator`.
    var helpers: (UInt, UInt, UInt, UInt, UInt) = (0, 0, 0, 0, 0)
    /// The guest's x87 and MMX registers are the host's: of `VCPU.fpu` only the instruction and operand pointers are current.
    var x87Resident = false
    /// The host's MXCSR is the guest's.
    var mxcsrResident = false
    /// What the host's is otherwise.
    var hostMXCSR: UInt32 = 0x1F80
    /// Where a jump-cache entry without code leads.
    var noCode: UInt = 0
    /// Room for one operation and its end. Only valid with a translator.
    var single: UnsafeMutablePointer<Block>
    /// The host's stack pointer while translated code runs on the stack of return addresses; that one's while it does not; its top.
    var hostStack: UInt = 0
    var returnStack: UInt = 0
    var returnTop: UInt = 0
    /// Where a helper's thunk returns to.
    var thunkReturn: UInt = 0
    /// What a branch to another page compares before it goes there at once: counts of flushes of everything, and of all but global pages.
    /// `Core.unlinkable` where CS has a base.
    var globalEpoch: UInt32 = 0
    var pageEpoch: UInt32 = 0
    var globalFlushCount: UInt32 = 0
    var flushCount: UInt32 = 0
    var codeBase: UInt64 = 0
    // MARK: Deliveries
    /// How far the last delivery came, and what it was about to use: see `DeliveryStage`.
    var stage = DeliveryStage.entry
    var stageValue: UInt64 = 0
    // MARK: Census
    /// By instruction and place.
    var census: UnsafeMutablePointer<CensusCell>
    /// For code that looks again at a jump-cache entry of before a flush: the arena, and one bit for each page that jumps may lead to.
    var arena: UInt = 0
    var jumpPages: UInt = 0
    /// Shortcuts that were filled, by privilege class: see `Shortcut`.
    var systemShortcuts: UInt32 = 0
    var userShortcuts: UInt32 = 0
    /// Operands of the operation that made the flags, where they can be made again from them only.
    var flagOperand: UInt64 = 0
}

/// One entry of the software TLB, 32 bytes, direct-mapped by linear page number.
///
/// A tag equals the linear page address when the access may go straight to `addend + linear`; any other value (low bits set) misses.
struct TLBEntry {
    var read: UInt64
    var write: UInt64
    var execute: UInt64
    /// Host address minus linear address.
    var addend: UInt
    static let entries = 1024
    static let invalid: UInt64 = 1
}

/// Handle of one vCPU: a pointer to its state block. Everything hot is a method of it; it has no state of its own.
struct Core {
    let base: UnsafeMutableRawPointer

    static let transientOffset = 0x2000
    static let tlbOffset = 0x3000
    static let jumpOffset = tlbOffset + 3 * TLBEntry.entries * 32
    static let blockBytes = shortcutEnd

    /// The architectural state.
    @inline(__always) var v: UnsafeMutablePointer<VCPU> { base.assumingMemoryBound(to: VCPU.self) }
    @inline(__always) var t: UnsafeMutablePointer<Transient> { (base + Core.transientOffset).assumingMemoryBound(to: Transient.self) }

    // MARK: Registers

    /// Low `T` of the register at a byte displacement (AH is displacement 1).
    @inline(__always)
    func reg<T: FixedWidthInteger & UnsignedInteger>(_ displacement: UInt8, _: T.Type) -> T {
        (base + Int(displacement)).loadUnaligned(as: T.self)
    }

    /// Writes a register; a 32-bit write clears bits 63–32.
    @inline(__always)
    func setReg<T: FixedWidthInteger & UnsignedInteger>(_ displacement: UInt8, _ value: T) {
        if T.bitWidth == 32 {
            (base + Int(displacement)).storeBytes(of: UInt64(truncatingIfNeeded: value), as: UInt64.self)
        } else {
            (base + Int(displacement)).storeBytes(of: value, as: T.self)
        }
    }

    /// General register by number 0–15 (RAX RCX RDX RBX RSP RBP RSI RDI …).
    @inline(__always) func gpr<T: FixedWidthInteger & UnsignedInteger>(_ number: Int, _: T.Type) -> T { reg(UInt8(truncatingIfNeeded: number &* 8), T.self) }
    @inline(__always) func setGPR<T: FixedWidthInteger & UnsignedInteger>(_ number: Int, _ value: T) { setReg(UInt8(truncatingIfNeeded: number &* 8), value) }

    @inline(__always) var al: UInt8 { get { reg(0, UInt8.self) } nonmutating set { setReg(0, newValue) } }
    @inline(__always) var ah: UInt8 { get { reg(1, UInt8.self) } nonmutating set { setReg(1, newValue) } }
    @inline(__always) var ax: UInt16 { get { reg(0, UInt16.self) } nonmutating set { setReg(0, newValue) } }
    @inline(__always) var eax: UInt32 { get { reg(0, UInt32.self) } nonmutating set { setReg(0, newValue) } }
    @inline(__always) var ecx: UInt32 { get { reg(8, UInt32.self) } nonmutating set { setReg(8, newValue) } }
    @inline(__always) var edx: UInt32 { get { reg(16, UInt32.self) } nonmutating set { setReg(16, newValue) } }
    @inline(__always) var ebx: UInt32 { get { reg(24, UInt32.self) } nonmutating set { setReg(24, newValue) } }
    @inline(__always) var rsp: UInt64 { get { reg(32, UInt64.self) } nonmutating set { setReg(32, newValue) } }
    /// Offset of the *next* instruction while a slow handler runs.
    @inline(__always) var rip: UInt64 { get { v.pointee.rip } nonmutating set { v.pointee.rip = newValue } }
    @inline(__always) var cpl: UInt8 { v.pointee.cpl }
    @inline(__always) var cr0: UInt32 { v.pointee.cr0 }
    @inline(__always) var cr4: UInt32 { v.pointee.cr4 }
    @inline(__always) var isProtected: Bool { v.pointee.cr0 & CR0.pe != 0 }
    @inline(__always) var isV86: Bool { v.pointee.systemFlags & EFlags.vm != 0 }
    /// Real-address mode or V86: segments are selector * 16.
    @inline(__always) var isRealOrV86: Bool { !isProtected || isV86 }
    /// EFER.LMA.
    @inline(__always) var isLong: Bool { v.pointee.efer & 0x400 != 0 }
    /// 64-bit code segment in long mode.
    @inline(__always) var is64: Bool { isLong && v.pointee.seg[Seg.cs].isLong }
    @inline(__always) var iopl: UInt8 { UInt8(truncatingIfNeeded: v.pointee.systemFlags >> 12) & 3 }

    /// Bits 63–47 are equal (SDM Vol. 1, "Canonical Addressing").
    @inline(__always)
    func isCanonical(_ address: UInt64) -> Bool { Int64(bitPattern: address &<< 16) &>> 16 == Int64(bitPattern: address) }

    @inline(__always)
    func segment(_ number: Int) -> Segment { v.pointee.seg[unchecked: number] }

    // MARK: Memory by linear address, at the current privilege

    /// A read at the current privilege. Throws #PF (CR2 set), or #AC; never touches memory half-way.
    @inline(__always)
    func load<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _: T.Type) throws(Fault) -> T {
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        if _fastPath(entry.pointee.read == (linear &+ UInt64(T.bitWidth / 8 - 1)) & ~0xFFF) {
            return UnsafeRawPointer(bitPattern: entry.pointee.addend &+ UInt(truncatingIfNeeded: linear)).unsafelyUnwrapped.loadUnaligned(as: T.self)
        }
        return T(truncatingIfNeeded: try loadSlow(linear, T.bitWidth / 8))
    }

    @inline(__always)
    func store<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _ value: T) throws(Fault) {
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        if _fastPath(entry.pointee.write == (linear &+ UInt64(T.bitWidth / 8 - 1)) & ~0xFFF) {
            UnsafeMutableRawPointer(bitPattern: entry.pointee.addend &+ UInt(truncatingIfNeeded: linear)).unsafelyUnwrapped.storeBytes(of: value, as: T.self)
            return
        }
        try storeSlow(linear, T.bitWidth / 8, UInt64(truncatingIfNeeded: value))
    }

    /// Read-modify-write in one: the page is proved writable before `body` runs, so a fault leaves everything untouched.
    @inline(__always)
    func modify<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _: T.Type, _ body: (T) -> T) throws(Fault) {
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        if _fastPath(entry.pointee.write == (linear &+ UInt64(T.bitWidth / 8 - 1)) & ~0xFFF) {
            let p = UnsafeMutableRawPointer(bitPattern: entry.pointee.addend &+ UInt(truncatingIfNeeded: linear)).unsafelyUnwrapped
            p.storeBytes(of: body(p.loadUnaligned(as: T.self)), as: T.self)
            return
        }
        let old = try loadForWrite(linear, T.bitWidth / 8)
        try storeSlow(linear, T.bitWidth / 8, UInt64(truncatingIfNeeded: body(T(truncatingIfNeeded: old))))
    }

    /// Proves that `bytes` at `linear` can be written at the current privilege (sets A and D); writes nothing.
    func probeWrite(_ linear: UInt64, _ bytes: Int) throws(Fault) { try proveWrite(linear, bytes) }

    // MARK: Memory by segment and offset (slow, complete checks)

    /// Linear address of `bytes` at `offset` in `segment`, with limit, type, presence and canonical checks.
    /// Throws #GP(0), or #SS(0) for SS.
    @inline(__always)
    func linear(_ number: Int, _ offset: UInt64, _ bytes: Int, write: Bool) throws(Fault) -> UInt64 {
        let s = v.pointee.seg[unchecked: number]
        if is64 {
            // Only FS and GS have a base, none a limit.
            let linear = number < 4 ? offset : s.base &+ offset
            guard isCanonical(linear) else { throw number == Seg.ss ? .stackFault : .generalProtection }
            return linear
        }
        try checkSegment(number, s, offset, bytes, write: write)
        return (s.base &+ offset) & t.pointee.addressMask
    }

    @inline(__always)
    func load<T: FixedWidthInteger & UnsignedInteger>(_ number: Int, _ offset: UInt64, _: T.Type) throws(Fault) -> T {
        try load(linear(number, offset, T.bitWidth / 8, write: false), T.self)
    }

    @inline(__always)
    func store<T: FixedWidthInteger & UnsignedInteger>(_ number: Int, _ offset: UInt64, _ value: T) throws(Fault) {
        try store(linear(number, offset, T.bitWidth / 8, write: true), value)
    }

    // MARK: Supervisor accesses that the processor makes itself (descriptor tables, TSS, inner stacks)

    /// Runs `body` with supervisor rights and the processor's own address width: in compatibility mode tables lie anywhere.
    @inline(__always)
    private func asSystem<R>(_ body: () throws(Fault) -> R) throws(Fault) -> R {
        let (user, mask) = (t.pointee.tlb, t.pointee.addressMask)
        t.pointee.tlb = t.pointee.systemTLB
        t.pointee.addressMask = isLong ? .max : 0xFFFF_FFFF
        defer { (t.pointee.tlb, t.pointee.addressMask) = (user, mask) }
        return try body()
    }

    @inline(__always)
    func loadSystem<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _: T.Type) throws(Fault) -> T {
        try asSystem { () throws(Fault) -> T in try load(linear & t.pointee.addressMask, T.self) }
    }

    @inline(__always)
    func storeSystem<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _ value: T) throws(Fault) {
        try asSystem { () throws(Fault) -> Void in try store(linear & t.pointee.addressMask, value) }
    }

    func probeWriteSystem(_ linear: UInt64, _ bytes: Int) throws(Fault) {
        try asSystem { () throws(Fault) -> Void in try probeWrite(linear & t.pointee.addressMask, bytes) }
    }

    // MARK: Stack

    /// Mask of the stack pointer: SP, ESP or RSP by SS.B and mode.
    @inline(__always)
    var stackMask: UInt64 { is64 ? .max : v.pointee.seg[Seg.ss].isBig ? 0xFFFF_FFFF : 0xFFFF }

    /// Replaces the part of RSP that `stackMask` covers.
    @inline(__always)
    func setStackPointer(_ value: UInt64) {
        let mask = stackMask
        rsp = mask == 0xFFFF ? (rsp & ~mask) | (value & mask) : value & mask
    }

    /// Pushes onto SS:(E)SP; the stack pointer moves only when the store succeeded.
    @inline(__always)
    func push<T: FixedWidthInteger & UnsignedInteger>(_ value: T) throws(Fault) {
        let sp = (rsp &- UInt64(T.bitWidth / 8)) & stackMask
        try store(Seg.ss, sp, value)
        setStackPointer(sp)
    }

    /// Reads the item `depth` bytes above the top of the stack; does not move the pointer.
    @inline(__always)
    func peekStack<T: FixedWidthInteger & UnsignedInteger>(_ depth: UInt64, _: T.Type) throws(Fault) -> T {
        try load(Seg.ss, (rsp &+ depth) & stackMask, T.self)
    }

    @inline(__always)
    func pop<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) throws(Fault) -> T {
        let value = try peekStack(0, T.self)
        setStackPointer(rsp &+ UInt64(T.bitWidth / 8))
        return value
    }

    // MARK: Operands of slow handlers

    /// Offset within the segment of the memory operand, wrapped to the address size.
    @inline(__always)
    func effectiveOffset(_ o: UnsafePointer<Op>) -> UInt64 {
        let index = reg(o.pointee.index, UInt64.self) &<< UInt64(o.pointee.scale)
        let sum = reg(o.pointee.base, UInt64.self) &+ index &+ UInt64(bitPattern: Int64(o.pointee.disp))
        return sum & o.pointee.addressMask
    }

    /// Linear address of the memory operand with all checks.
    @inline(__always)
    func effectiveLinear(_ o: UnsafePointer<Op>, _ bytes: Int, write: Bool) throws(Fault) -> UInt64 {
        try linear(Int(o.pointee.seg), effectiveOffset(o), bytes, write: write)
    }

    /// The r/m operand, register or memory.
    @inline(__always)
    func loadRM<T: FixedWidthInteger & UnsignedInteger>(_ o: UnsafePointer<Op>, _: T.Type) throws(Fault) -> T {
        o.pointee.isRegisterForm ? reg(o.pointee.b, T.self) : try load(effectiveLinear(o, T.bitWidth / 8, write: false), T.self)
    }

    @inline(__always)
    func storeRM<T: FixedWidthInteger & UnsignedInteger>(_ o: UnsafePointer<Op>, _ value: T) throws(Fault) {
        if o.pointee.isRegisterForm { setReg(o.pointee.b, value) } else { try store(effectiveLinear(o, T.bitWidth / 8, write: true), value) }
    }
}

/// An entry of the jump cache: where a near indirect or page-crossing jump landed last time.
struct JumpEntry {
    /// Linear address.
    var linear: UInt64
    /// Offset in CS (low 32 bits) and `Transient.modeGeneration`.
    var key: UInt64
    var block: UnsafeMutablePointer<Block>?
    /// The translation, or `Transient.noCode`: either is jumped to with the target in R10, not in `rip`.
    var code: UInt = 0
    static let entries = 8192
}
