import Primitives

/// A processor as saved state has it: the architectural state field by field, what waits at its pins, and its translations.
///
/// Translations are saved because a guest can tell them from fresh ones: a page table that was changed without a flush, an accessed bit that
/// was cleared behind the processor's back. Decoded code is not; it follows from memory.
public struct ProcessorState: Codable, Equatable, Sendable {
    public var registers: Registers
    /// Arithmetic flags in their places in EFLAGS.
    public var arithmeticFlags: UInt32
    public var intr, nmi, nmiBlocked: Bool
    /// DR6 bits of a debug exception that is due.
    public var pendingDebug: UInt32
    public var translations: Translations

    /// `VCPU` by name.
    public struct Registers: Codable, Equatable, Sendable {
        public var rip: UInt64
        public var systemFlags: UInt32
        public var cpl: UInt8
        public var shadow: UInt8
        public var halted: Bool
        public var waitingForStartup: Bool
        public var gdtrBase: UInt64
        public var idtrBase: UInt64
        public var gdtrLimit: UInt32
        public var idtrLimit: UInt32
        public var cr0: UInt32
        public var cr4: UInt32
        public var cr2: UInt64
        public var cr3: UInt64
        public var cr8: UInt64
        public var xcr0: UInt64
        public var efer: UInt64
        public var sysenterCS: UInt64
        public var sysenterESP: UInt64
        public var sysenterEIP: UInt64
        public var star: UInt64
        public var lstar: UInt64
        public var cstar: UInt64
        public var sfmask: UInt64
        public var kernelGSBase: UInt64
        public var tscAux: UInt64
        public var pat: UInt64
        public var tscOffset: UInt64
        public var mtrrDefType: UInt64
        public var microcodeRevision: UInt64
        public var miscEnable: UInt64
        public var mxcsr: UInt32
        public var retired: UInt64
        public var random: UInt64
        public var gpr: [UInt64]
        public var pdpte: [UInt64]
        public var dr: [UInt64]
        public var mtrrVariable: [UInt64]
        public var mtrrFixed: [UInt64]
        public var eventSelect: [UInt64]
        public var eventCount: [UInt64]
        public var vector: [UInt64]
        /// ES CS SS DS FS GS LDTR TR.
        public var segments: [SavedSegment]
        public var fpu: FPU
    }

    public struct SavedSegment: Codable, Equatable, Sendable {
        public var selector: UInt16
        public var attributes: UInt16
        public var base: UInt64
        public var limit: UInt32
    }

    public struct FPU: Codable, Equatable, Sendable {
        /// By physical register.
        public var significand: [UInt64]
        public var signExponent: [UInt16]
        public var control: UInt16
        public var status: UInt16
        public var top: UInt8
        public var empty: UInt8
        public var opcode: UInt16
        public var instructionSelector: UInt16
        public var dataSelector: UInt16
        public var instructionPointer: UInt64
        public var dataPointer: UInt64
    }

    /// The TLB: slots that hold something.
    public struct Translations: Codable, Equatable, Sendable {
        public var slots: [UInt16] = []
        /// Linear address of the page.
        public var linear: [UInt64] = []
        /// Arena offset of the page.
        public var arena: [UInt64] = []
        /// Bit 0 read, 1 write, 2 execute, 3 global, 4 reads watched, 5 writes watched.
        public var rights: [UInt8] = []
        /// Kept for states of versions that went by them.
        public var filled: [UInt16] = []
        public var filledOverflow = false
        public var largeLow: UInt64 = .max
        public var largeHigh: UInt64 = 0
    }
}

/// Why a processor cannot take a saved state.
public struct ProcessorStateError: Error, Equatable, Sendable {
    /// The field that is wrong.
    public let field: String
    public init(field: String) { self.field = field }
}

extension ProcessorState.Registers {
    init(_ v: VCPU) {
        rip = v.rip
        systemFlags = v.systemFlags
        cpl = v.cpl
        shadow = v.shadow
        halted = v.halted
        waitingForStartup = v.waitingForStartup
        gdtrBase = v.gdtrBase
        idtrBase = v.idtrBase
        gdtrLimit = v.gdtrLimit
        idtrLimit = v.idtrLimit
        cr0 = v.cr0
        cr4 = v.cr4
        cr2 = v.cr2
        cr3 = v.cr3
        cr8 = v.cr8
        xcr0 = v.xcr0
        efer = v.efer
        sysenterCS = v.sysenterCS
        sysenterESP = v.sysenterESP
        sysenterEIP = v.sysenterEIP
        star = v.star
        lstar = v.lstar
        cstar = v.cstar
        sfmask = v.sfmask
        kernelGSBase = v.kernelGSBase
        tscAux = v.tscAux
        pat = v.pat
        tscOffset = v.tscOffset
        mtrrDefType = v.mtrrDefType
        microcodeRevision = v.microcodeRevision
        miscEnable = v.miscEnable
        mxcsr = v.mxcsr
        retired = v.retired
        random = v.random
        gpr = (0..<16).map { v.gpr[$0] }
        pdpte = (0..<4).map { v.pdpte[$0] }
        dr = (0..<8).map { v.dr[$0] }
        mtrrVariable = (0..<16).map { v.mtrrVariable[$0] }
        mtrrFixed = (0..<11).map { v.mtrrFixed[$0] }
        eventSelect = (0..<2).map { v.eventSelect[$0] }
        eventCount = (0..<2).map { v.eventCount[$0] }
        vector = (0..<64).map { v.vector[$0] }
        segments = (0..<8).map {
            .init(selector: v.seg[$0].selector, attributes: v.seg[$0].attributes, base: v.seg[$0].base, limit: v.seg[$0].limit)
        }
        fpu = ProcessorState.FPU(v.fpu)
    }

    /// - Throws: the first field that is not of its size.
    func vcpu() throws(ProcessorStateError) -> VCPU {
        func fill<let count: Int>(_ array: inout InlineArray<count, UInt64>, _ words: [UInt64], _ name: String) throws(ProcessorStateError) {
            guard words.count == count else { throw ProcessorStateError(field: name) }
            for n in 0..<count { array[n] = words[n] }
        }
        var v = VCPU()
        v.rip = rip
        v.systemFlags = systemFlags
        v.cpl = cpl
        v.shadow = shadow
        v.halted = halted
        v.waitingForStartup = waitingForStartup
        v.gdtrBase = gdtrBase
        v.idtrBase = idtrBase
        v.gdtrLimit = gdtrLimit
        v.idtrLimit = idtrLimit
        v.cr0 = cr0
        v.cr4 = cr4
        v.cr2 = cr2
        v.cr3 = cr3
        v.cr8 = cr8
        v.xcr0 = xcr0
        v.efer = efer
        v.sysenterCS = sysenterCS
        v.sysenterESP = sysenterESP
        v.sysenterEIP = sysenterEIP
        v.star = star
        v.lstar = lstar
        v.cstar = cstar
        v.sfmask = sfmask
        v.kernelGSBase = kernelGSBase
        v.tscAux = tscAux
        v.pat = pat
        v.tscOffset = tscOffset
        v.mtrrDefType = mtrrDefType
        v.microcodeRevision = microcodeRevision
        v.miscEnable = miscEnable
        v.mxcsr = mxcsr
        v.retired = retired
        v.random = random
        try fill(&v.gpr, gpr, "gpr")
        try fill(&v.pdpte, pdpte, "pdpte")
        try fill(&v.dr, dr, "dr")
        try fill(&v.mtrrVariable, mtrrVariable, "mtrrVariable")
        try fill(&v.mtrrFixed, mtrrFixed, "mtrrFixed")
        try fill(&v.eventSelect, eventSelect, "eventSelect")
        try fill(&v.eventCount, eventCount, "eventCount")
        try fill(&v.vector, vector, "vector")
        guard segments.count == 8 else { throw ProcessorStateError(field: "segments") }
        for n in 0..<8 {
            v.seg[n].selector = segments[n].selector
            v.seg[n].attributes = segments[n].attributes
            v.seg[n].base = segments[n].base
            v.seg[n].limit = segments[n].limit
        }
        guard cpl < 4, fpu.top < 8, fpu.significand.count == 8, fpu.signExponent.count == 8 else { throw ProcessorStateError(field: "fpu") }
        for n in 0..<8 {
            v.fpu.significand[n] = fpu.significand[n]
            v.fpu.signExponent[n] = fpu.signExponent[n]
        }
        v.fpu.control = fpu.control
        v.fpu.status = fpu.status
        v.fpu.top = fpu.top
        v.fpu.empty = fpu.empty
        v.fpu.opcode = fpu.opcode
        v.fpu.instructionSelector = fpu.instructionSelector
        v.fpu.dataSelector = fpu.dataSelector
        v.fpu.instructionPointer = fpu.instructionPointer
        v.fpu.dataPointer = fpu.dataPointer
        return v
    }
}

extension ProcessorState.FPU {
    init(_ f: FPUState) {
        significand = (0..<8).map { f.significand[$0] }
        signExponent = (0..<8).map { f.signExponent[$0] }
        control = f.control
        status = f.status
        top = f.top
        empty = f.empty
        opcode = f.opcode
        instructionSelector = f.instructionSelector
        dataSelector = f.dataSelector
        instructionPointer = f.instructionPointer
        dataPointer = f.dataPointer
    }
}
