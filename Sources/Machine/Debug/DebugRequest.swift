import CPU
import Hardware

/// What is asked of the debugger of a machine, carried out in order between two slices of the machine's thread: what a panel shows is one
/// request, and so one round trip.
public struct DebugRequest: Codable, Equatable, Sendable {
    public var queries: [DebugQuery]
    /// The reply comes when the machine stands: after a step, at the next breakpoint.
    public var waits: Bool
    /// What file names in commands are relative to; nil: the machine's folder.
    public var folder: String?

    public init(_ queries: [DebugQuery], waits: Bool = false, folder: String? = nil) {
        (self.queries, self.waits, self.folder) = (queries, waits, folder)
    }

    /// Requests with more are refused.
    public static let queryLimit = 256
    /// Bytes of memory in one query.
    public static let memoryLimit = 1 << 16
}

/// A place in memory.
public enum DebugPlace: Codable, Hashable, Sendable {
    case linear(UInt64)
    case physical(UInt64)
    case far(selector: UInt16, offset: UInt64)
    /// `start_kernel+10`, `cs:eip`, `b800:0`, `phys:9fc00`, `[esp]`.
    case text(String)
}

/// `vcpu` nil: the one that stopped last.
public enum DebugQuery: Codable, Equatable, Sendable {
    /// A line as on the debugger's command line.
    case command(String)
    /// What the last word of a line may be.
    case complete(String)
    case registers(vcpu: Int?)
    /// By name: `eax`, `cs`, `eflags`, `cr0`, `xmm3` takes `setVector`.
    case setRegister(name: String, value: UInt64, vcpu: Int?)
    /// No register of a device is read, nothing in page tables changes.
    case memory(DebugPlace, count: Int, vcpu: Int?)
    case poke(DebugPlace, bytes: [UInt8], vcpu: Int?)
    /// `place` nil: the next instruction. `bits` nil: as the processor is now.
    case disassembly(DebugPlace?, before: Int, count: Int, bits: Int?, vcpu: Int?)
    case evaluate(String, vcpu: Int?)
    case breakpoints
    /// `number` 0: a new one.
    case setBreakpoint(Breakpoint)
    /// 0: all.
    case deleteBreakpoint(Int)
    case enableBreakpoint(Int, Bool)
    /// The last 64 branches that were taken, while they are recorded.
    case branches
    /// The last instructions, while they are recorded; at most 10,000.
    case history(count: Int)
    case table(DebugTableKind, vcpu: Int?)
    case walk(linear: UInt64, vcpu: Int?)
    case translations(vcpu: Int?)
    case pci
    case devices
    /// What has run, sensitive instructions by place.
    case census
    /// The last trace events; at most 4,096.
    case activity(count: Int)
    /// How far back the machine can go.
    case timeline
    /// Begins to record, or ends it.
    case record(Bool)
    case go(DebugRun)
}

public enum DebugTableKind: String, Codable, Sendable, CaseIterable { case gdt, ldt, idt, ivt, tss }

/// How the machine goes on.
public enum DebugRun: Codable, Equatable, Sendable {
    case pause
    case resume
    /// So many instructions; interrupts and faults come as they do.
    case step(count: UInt64)
    /// Calls, software interrupts, repeated string instructions and loops as one.
    case over
    /// Until the present function, or the handler of an interrupt, has returned.
    case out
    case to(DebugPlace)
    /// Until a branch has been taken.
    case untilBranch
    case untilRing
    case untilMode
    /// One instruction of a processor (nil: of any), and more as long as it is between these linear addresses.
    case within(first: UInt64, end: UInt64, vcpu: Int?)
    /// Back by so many instructions, those of all processors counted.
    case back(count: UInt64)
    /// Back to the last breakpoint.
    case backResume
    /// To the moment at which so many instructions have retired.
    case instruction(UInt64)
    /// The end of what is known.
    case present
    /// Back to the instruction that was the last to write there.
    case lastWrite(DebugPlace, length: UInt64)

    /// It leads to another moment, at once.
    var travels: Bool {
        switch self {
        case .back, .backResume, .instruction, .present, .lastWrite: true
        default: false
        }
    }
}

public struct DebugReply: Codable, Equatable, Sendable {
    /// One for each query; another one behind them with what scripts said when the machine stopped.
    public var answers: [DebugAnswer]
    /// Where the machine stands; nil: it runs.
    public var stop: DebugStop?
    public init(answers: [DebugAnswer], stop: DebugStop? = nil) { (self.answers, self.stop) = (answers, stop) }

    /// Nobody can answer.
    public static func refused(_ request: DebugRequest, _ sentence: String) -> DebugReply {
        DebugReply(answers: request.queries.map { _ in .failure(sentence) })
    }
}

public enum DebugAnswer: Codable, Equatable, Sendable {
    case done
    /// One sentence.
    case failure(String)
    case lines([String])
    case registers(DebugRegisters)
    case memory(DebugMemory)
    case instructions([DebugInstruction])
    case value(UInt64)
    case breakpoints([Breakpoint])
    case branches([DebugBranch])
    case table(DebugTable)
    case walk(PageWalk)
    case translations([HeldTranslation])
    case pci([PCIReport])
    case devices([ChipReport])
    case timeline(Timeline)
}

/// Why and where a machine stands.
public struct DebugStop: Codable, Equatable, Sendable {
    public enum Reason: String, Codable, Sendable {
        case pause, step, breakpoint, start, guru
    }
    /// Counts stops.
    public var serial: UInt64 = 0
    public var reason: Reason
    /// Of the breakpoint.
    public var number: Int?
    /// One sentence, such as "Breakpoint 2: INT 10 AH=0E at 0000:7C12".
    public var text: String
    public var vcpu: Int
    /// Instructions retired by all processors.
    public var retired: UInt64
    public var selector: UInt16
    public var offset: UInt64
    public var linear: UInt64
    public var mode: ExecutionMode
    /// Of a watched access: its first byte, size, and whether it wrote.
    public var access: Access?
    public struct Access: Codable, Equatable, Sendable {
        public var address: UInt64
        public var bytes: Int
        public var isWrite: Bool
    }
}
