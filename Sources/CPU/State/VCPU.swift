import Primitives

/// A segment register with its hidden part.
///
/// `attributes` has the layout of descriptor bytes 5 and 6: bits 0–3 type, 4 S, 5–6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G.
/// `limit` is in bytes (granularity applied). Source: SDM Vol. 3A, "Segment Descriptors".
public struct Segment: Equatable, Sendable {
    public var base: UInt64 = 0
    public var limit: UInt32 = 0xFFFF
    public var selector: UInt16 = 0
    public var attributes: UInt16 = 0x0093

    public init() {}

    @inline(__always) public var type: UInt16 { attributes & 0xF }
    @inline(__always) public var isCodeOrData: Bool { attributes & 0x10 != 0 }
    @inline(__always) public var isCode: Bool { attributes & 0x18 == 0x18 }
    @inline(__always) public var isData: Bool { attributes & 0x18 == 0x10 }
    @inline(__always) public var dpl: UInt8 { UInt8(truncatingIfNeeded: attributes >> 5) & 3 }
    @inline(__always) public var isPresent: Bool { attributes & 0x80 != 0 }
    @inline(__always) public var isLong: Bool { attributes & 0x2000 != 0 }
    /// D of a code segment, B of a stack segment.
    @inline(__always) public var isBig: Bool { attributes & 0x4000 != 0 }
    /// Data segment that grows down.
    @inline(__always) public var isExpandDown: Bool { attributes & 0x1C == 0x14 }
    /// A null selector was loaded: any use faults. Kept as P = 0.
    @inline(__always) public var isUsable: Bool { isPresent }
}

/// Segment register numbers as the instruction encoding has them; LDTR and TR follow.
public enum Seg {
    public static let es = 0, cs = 1, ss = 2, ds = 3, fs = 4, gs = 5, ldtr = 6, tr = 7
}

/// The architectural state of one vCPU: what a snapshot holds, nothing else. A flat block without references: generated code
/// addresses its fields by displacement.
///
/// Registers are 64 bits wide from the start. A 32-bit write clears bits 63–32, as long mode wants it.
public struct VCPU: Sendable {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8–R15. Offset 0: operand bytes are addressed as displacements from here.
    public var gpr = InlineArray<16, UInt64>(repeating: 0)
    /// Constant 0: base or index "none". Displacement 128.
    public var zero: UInt64 = 0
    /// Linear address computed by the segment micro-operation, used as a base. Displacement 136. Not architectural.
    public var scratchAddress: UInt64 = 0
    /// Offset of the next instruction in CS.
    public var rip: UInt64 = 0xFFF0
    /// Lazy arithmetic flags, see `LazyFlags`.
    public var lazyResult: UInt64 = 1
    public var lazyAux: UInt64 = 0
    /// EFLAGS without CF PF AF ZF SF OF (bits 0, 2, 4, 6, 7, 11 are 0 here); bit 1 is 1.
    public var systemFlags: UInt32 = 2
    /// Current privilege level, 0–3.
    public var cpl: UInt8 = 0
    /// One instruction of interrupt shadow is left (after STI, MOV SS, POP SS).
    public var shadow: UInt8 = 0
    /// In HLT.
    public var halted: Bool = false
    /// Waiting for SIPI after INIT (application processors).
    public var waitingForStartup: Bool = false
    /// ES CS SS DS FS GS LDTR TR.
    public var seg = InlineArray<8, Segment>(repeating: Segment())
    public var gdtrBase: UInt64 = 0, idtrBase: UInt64 = 0
    public var gdtrLimit: UInt32 = 0xFFFF, idtrLimit: UInt32 = 0xFFFF
    public var cr0: UInt32 = 0x6000_0010
    public var cr4: UInt32 = 0
    public var cr2: UInt64 = 0, cr3: UInt64 = 0, cr8: UInt64 = 0
    public var xcr0: UInt64 = 1
    /// The four page-directory-pointer entries of PAE paging, as the last load of CR3 (or CR0, CR4) found them.
    public var pdpte = InlineArray<4, UInt64>(repeating: 0)
    /// DR0–DR3, DR6 at 6, DR7 at 7.
    public var dr = InlineArray<8, UInt64>(repeating: 0)
    public var efer: UInt64 = 0
    // MSRs
    public var sysenterCS: UInt64 = 0, sysenterESP: UInt64 = 0, sysenterEIP: UInt64 = 0
    public var star: UInt64 = 0, lstar: UInt64 = 0, cstar: UInt64 = 0, sfmask: UInt64 = 0, kernelGSBase: UInt64 = 0, tscAux: UInt64 = 0
    public var pat: UInt64 = 0x0007_0406_0007_0406
    /// Added to the TSC derived from guest time.
    public var tscOffset: UInt64 = 0
    public var mtrrDefType: UInt64 = 0
    /// IA32_MTRR_PHYSBASE0, PHYSMASK0, … 8 pairs.
    public var mtrrVariable = InlineArray<16, UInt64>(repeating: 0)
    /// IA32_MTRR_FIX64K_00000, FIX16K_80000, FIX16K_A0000, FIX4K_C0000 … FIX4K_F8000.
    public var mtrrFixed = InlineArray<11, UInt64>(repeating: 0)
    /// The two performance counters of the P6: event selects and counts as written. They do not count.
    public var eventSelect = InlineArray<2, UInt64>(repeating: 0)
    public var eventCount = InlineArray<2, UInt64>(repeating: 0)
    public var microcodeRevision: UInt64 = 0
    public var miscEnable: UInt64 = 1
    /// x87/MMX state; registers as 10-byte images in 16-byte slots, physical register order (not stack order).
    public var fpu = FPUState()
    /// XMM/YMM/ZMM-low lanes: 16 registers of 32 bytes.
    public var vector = InlineArray<64, UInt64>(repeating: 0)
    public var mxcsr: UInt32 = 0x1F80
    /// Fills the gap before the next field: digests and comparisons see every byte of the block.
    private var gap: UInt32 = 0
    /// Retired instructions since power-on: every instruction 1, each REP iteration 1 (a REP that runs zero times: 1),
    /// a faulting instruction 0 and the delivery of its exception 1, a halted vCPU 0.
    public var retired: UInt64 = 0
    /// The generator behind RDRAND.
    public var random: UInt64 = 0x5EED_0F0C_A1CA_D0E5

    public init() {}
}

/// The x87 in FXSAVE's terms.
///
/// Source: SDM Vol. 1, "x87 FPU State"; Vol. 2A, "FXSAVE".
public struct FPUState: Sendable {
    /// Physical registers R0–R7 (ST(i) is R[(TOP + i) & 7]): significand …
    public var significand = InlineArray<8, UInt64>(repeating: 0)
    /// … sign and exponent.
    public var signExponent = InlineArray<8, UInt16>(repeating: 0)
    /// FCW after FNINIT is 0x037F; after RESET 0x0040.
    public var control: UInt16 = 0x0040
    /// FSW without TOP (bits 11–13 are 0 here).
    public var status: UInt16 = 0
    /// TOP, 0–7.
    public var top: UInt8 = 0
    /// Bit n set: physical register n is empty.
    public var empty: UInt8 = 0
    /// Last non-control instruction: FOP (11 bits), FIP, FCS, FDP, FDS.
    public var opcode: UInt16 = 0
    public var instructionSelector: UInt16 = 0
    public var dataSelector: UInt16 = 0
    /// Fills the gap before the next field: digests and comparisons see every byte of the block.
    private var gap: UInt32 = 0
    public var instructionPointer: UInt64 = 0
    public var dataPointer: UInt64 = 0
    public init() {}
}

/// An architectural exception on its way to the guest. `vector` 0–31.
///
/// Source: SDM Vol. 3A, "Interrupt and Exception Handling".
public struct Fault: Error, Equatable, Sendable {
    public var vector: UInt8
    public var hasErrorCode: Bool
    public var errorCode: UInt16

    @inline(__always)
    public init(_ vector: UInt8, errorCode: UInt16? = nil) {
        self.vector = vector
        hasErrorCode = errorCode != nil
        self.errorCode = errorCode ?? 0
    }

    public static let divideError = Fault(0)
    public static let debug = Fault(1)
    public static let breakpoint = Fault(3)
    public static let overflow = Fault(4)
    public static let boundRange = Fault(5)
    public static let invalidOpcode = Fault(6)
    public static let deviceNotAvailable = Fault(7)
    public static let generalProtection = Fault(13, errorCode: 0)
    public static let stackFault = Fault(12, errorCode: 0)
    public static let x87 = Fault(16)
    public static let alignmentCheck = Fault(17, errorCode: 0)
    @inline(__always) public static func invalidTSS(_ selector: UInt16) -> Fault { Fault(10, errorCode: selector & 0xFFFC) }
    @inline(__always) public static func notPresent(_ selector: UInt16) -> Fault { Fault(11, errorCode: selector & 0xFFFC) }
    @inline(__always) public static func stack(_ selector: UInt16) -> Fault { Fault(12, errorCode: selector & 0xFFFC) }
    @inline(__always) public static func protection(_ selector: UInt16) -> Fault { Fault(13, errorCode: selector & 0xFFFC) }
    /// CR2 is set by whoever throws.
    @inline(__always) public static func page(_ code: UInt16) -> Fault { Fault(14, errorCode: code) }
}

/// Bits of the control and flag registers, by the manual's names. SDM Vol. 3A, chapter 2.
public enum CR0 {
    public static let pe: UInt32 = 1, mp: UInt32 = 2, em: UInt32 = 4, ts: UInt32 = 8, et: UInt32 = 16, ne: UInt32 = 32
    public static let wp: UInt32 = 1 << 16, am: UInt32 = 1 << 18, nw: UInt32 = 1 << 29, cd: UInt32 = 1 << 30, pg: UInt32 = 1 << 31
}
public enum CR4 {
    public static let vme: UInt32 = 1, pvi: UInt32 = 2, tsd: UInt32 = 4, de: UInt32 = 8, pse: UInt32 = 16, pae: UInt32 = 32
    public static let mce: UInt32 = 64, pge: UInt32 = 128, pce: UInt32 = 256, osfxsr: UInt32 = 512, osxmmexcpt: UInt32 = 1024
    public static let osxsave: UInt32 = 1 << 18
}
public enum EFlags {
    public static let cf: UInt32 = 1, pf: UInt32 = 4, af: UInt32 = 16, zf: UInt32 = 64, sf: UInt32 = 128
    public static let tf: UInt32 = 1 << 8, `if`: UInt32 = 1 << 9, df: UInt32 = 1 << 10, of: UInt32 = 1 << 11
    public static let iopl: UInt32 = 3 << 12, nt: UInt32 = 1 << 14, rf: UInt32 = 1 << 16, vm: UInt32 = 1 << 17
    public static let ac: UInt32 = 1 << 18, vif: UInt32 = 1 << 19, vip: UInt32 = 1 << 20, id: UInt32 = 1 << 21
    /// CF PF AF ZF SF OF.
    public static let arithmetic: UInt32 = 0x8D5
}
