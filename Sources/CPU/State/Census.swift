import Primitives

/// The instructions that look at or change privileged state and yet run in every ring without a trap: what keeps this processor from being
/// virtualised by trapping alone.
///
/// Source: Robin and Irvine, "Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor" (USENIX Security 2000);
/// Popek and Goldberg, "Formal Requirements for Virtualizable Third Generation Architectures" (1974). Their seventeen: VERR and VERW are
/// one, PUSH, POP and MOV are those of segment registers, CALL, JMP and RET the far ones (IRET is a RET), and INT is the one with a number.
public enum SensitiveInstruction: UInt8, CaseIterable, Sendable {
    case sgdt, sidt, sldt, smsw, pushf, popf
    case lar, lsl, verify, pop, push, call, jump, interrupt, `return`, str, move

    /// As people write it.
    public var name: String {
        switch self {
        case .verify: "VERR/VERW"
        case .pop: "POP sreg"
        case .push: "PUSH sreg"
        case .call: "CALL far"
        case .jump: "JMP far"
        case .interrupt: "INT n"
        case .return: "RET far/IRET"
        case .move: "MOV sreg"
        default: String(describing: self).uppercased()
        }
    }

    public init?(word: String) {
        guard let found = SensitiveInstruction.allCases.first(where: { $0.word == word }) else { return nil }
        self = found
    }

    /// Key in JSON and on command lines.
    public var word: String {
        switch self {
        case .verify: "verr"
        case .pop: "pop-sreg"
        case .push: "push-sreg"
        case .call: "call-far"
        case .jump: "jmp-far"
        case .interrupt: "int"
        case .return: "ret-far"
        case .move: "mov-sreg"
        default: String(describing: self)
        }
    }
}

/// Where a sensitive instruction ran.
public enum CensusPlace: UInt8, CaseIterable, Sendable {
    case ring0, ring1, ring2, ring3, v86, real

    public var name: String {
        switch self {
        case .v86: "V86"
        case .real: "real"
        default: "ring \(rawValue)"
        }
    }
}

/// How often one sensitive instruction ran in one place, and where it was last.
public struct CensusCell: Equatable, Sendable {
    /// Executions that came to their end.
    public var executed: UInt64 = 0
    /// Executions that ended in a fault instead.
    public var faulted: UInt64 = 0
    /// The last of either: CS, the offset, and both together.
    public var selector: UInt16 = 0
    public var offset: UInt64 = 0
    public var linear: UInt64 = 0

    public init() {}
}

/// What ran, and what of it was sensitive. Statistics of a run: no part of saved state, and nothing that the guest can notice.
public struct Census: Equatable, Sendable {
    static let places = CensusPlace.allCases.count
    static let count = SensitiveInstruction.allCases.count * places
    private var cells = [CensusCell](repeating: CensusCell(), count: Census.count)
    /// Retired instructions: all, and those that ran as host code without help of the interpreter.
    public var instructions: UInt64 = 0
    public var direct: UInt64 = 0

    public init() {}

    public subscript(_ what: SensitiveInstruction, _ place: CensusPlace) -> CensusCell {
        get { cells[Int(what.rawValue) * Census.places + Int(place.rawValue)] }
        set { cells[Int(what.rawValue) * Census.places + Int(place.rawValue)] = newValue }
    }

    /// In all places.
    public func executed(_ what: SensitiveInstruction) -> UInt64 {
        CensusPlace.allCases.reduce(0) { $0 &+ self[what, $1].executed }
    }

    public func faulted(_ what: SensitiveInstruction) -> UInt64 { CensusPlace.allCases.reduce(0) { $0 &+ self[what, $1].faulted } }

    /// Instructions that the interpreter carried out, deliveries of exceptions and interrupts among them.
    public var emulated: UInt64 { instructions &- min(direct, instructions) }
    /// 0…1.
    public var directShare: Double { instructions == 0 ? 0 : Double(instructions - emulated) / Double(instructions) }

    /// Another processor's beside this one's. Its places hide ours.
    mutating func add(_ other: Census) {
        instructions &+= other.instructions
        direct &+= other.direct
        for n in 0..<Census.count where other.cells[n] != CensusCell() {
            let (executed, faulted) = (cells[n].executed, cells[n].faulted)
            cells[n] = other.cells[n]
            cells[n].executed &+= executed
            cells[n].faulted &+= faulted
        }
    }

    /// Of several processors together.
    public static func sum(_ parts: [Census]) -> Census { parts.reduce(into: Census()) { $0.add($1) } }

    fileprivate init(cells: UnsafeMutablePointer<CensusCell>) {
        self.cells = Array(UnsafeBufferPointer(start: cells, count: Census.count))
    }
}

extension Processor {
    /// Since this object was made. Between two calls of `run`.
    public var census: Census {
        var census = Census(cells: core.t.pointee.census)
        census.instructions = ran
        census.direct = translationStatistics?.direct ?? 0
        return census
    }
}

extension Core {
    /// Carries a sensitive instruction out and counts it. What is rolled back to be repeated exactly counts when it is repeated.
    @inline(__always)
    func sensitive(
        _ what: SensitiveInstruction, _ o: OpPointer, _ handler: (Core, OpPointer) throws(Fault) -> Void
    ) throws(Fault) {
        let place = isProtected ? (isV86 ? 4 : Int(cpl)) : 5
        let cell = t.pointee.census + (Int(what.rawValue) &* Census.places &+ place)
        let code = segment(Seg.cs)
        cell.pointee.selector = code.selector
        cell.pointee.offset = t.pointee.instructionRIP
        cell.pointee.linear = (code.base &+ t.pointee.instructionRIP) & t.pointee.addressMask
        do throws(Fault) {
            try handler(self, o)
        } catch {
            if error != .repeatExactly {
                cell.pointee.faulted &+= 1
                if t.pointee.debugs.contains(.sensitive) { t.pointee.processor.noteSensitive(what, place, cell.pointee) }
            }
            throw error
        }
        cell.pointee.executed &+= 1
        if t.pointee.debugs.contains(.sensitive) { t.pointee.processor.noteSensitive(what, place, cell.pointee) }
    }
}
