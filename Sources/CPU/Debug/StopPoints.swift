import Primitives

/// Where and on what a processor stops for a debugger. Empty: it costs nothing.
///
/// Places are planted in decoded code: a block ends before one, and the block that begins there leads to the dispatcher. Watches mark
/// entries of the TLB, so that accesses to their pages take the slow way. The rest are tests on ways that are slow already.
public struct StopPoints: Equatable, Sendable {
    /// CS selector and offset.
    public struct FarPlace: Hashable, Sendable {
        public var selector: UInt16
        public var offset: UInt64
        public init(selector: UInt16, offset: UInt64) { (self.selector, self.offset) = (selector, offset) }
    }

    /// Bytes whose reading or writing by an instruction is of interest.
    public struct Watch: Equatable, Sendable {
        public var isPhysical: Bool
        /// The first and the last byte.
        public var first, last: UInt64
        public var reads, writes: Bool
        public init(isPhysical: Bool = false, first: UInt64, last: UInt64, reads: Bool, writes: Bool) {
            (self.isPhysical, self.first, self.last, self.reads, self.writes) = (isPhysical, first, max(first, last), reads, writes)
        }
    }

    public struct PortWatch: Equatable, Sendable {
        public var ports: ClosedRange<Port>
        public var reads, writes: Bool
        public init(ports: ClosedRange<Port>, reads: Bool, writes: Bool) { (self.ports, self.reads, self.writes) = (ports, reads, writes) }
    }

    public var linear: Set<Linear> = []
    public var physical: Set<Physical> = []
    public var far: Set<FarPlace> = []
    /// `xchg bx, bx`.
    public var magic = false
    public var watches: [Watch] = []
    public var ports: [PortWatch] = []
    /// Vectors of INT n and its like, of external interrupts, of exceptions.
    public var software: Set<UInt8> = [], external: Set<UInt8> = [], exceptions: Set<UInt8> = []
    public var taskSwitches = false
    public var modes = false
    public var rings = false
    /// Those of the seventeen that do not trap.
    public var sensitive: Set<SensitiveInstruction> = []

    public init() {}

    var hasPlaces: Bool { magic || !linear.isEmpty || !physical.isEmpty || !far.isEmpty }

    var interests: DebugInterests {
        var result: DebugInterests = []
        if !watches.isEmpty { result.insert(.watches) }
        if !ports.isEmpty { result.insert(.ports) }
        if !software.isEmpty || !external.isEmpty || !exceptions.isEmpty { result.insert(.events) }
        if taskSwitches { result.insert(.tasks) }
        if modes || rings { result.insert(.modes) }
        if !sensitive.isEmpty { result.insert(.sensitive) }
        return result
    }
}

/// What a debugger wants to hear of that is tested for where it happens.
struct DebugInterests: OptionSet, Sendable {
    let rawValue: UInt8
    static let watches = DebugInterests(rawValue: 1), ports = DebugInterests(rawValue: 2), events = DebugInterests(rawValue: 4)
    static let tasks = DebugInterests(rawValue: 8), modes = DebugInterests(rawValue: 16), sensitive = DebugInterests(rawValue: 128)
}

/// Which of its stop points a processor has come to.
public enum DebugHit: Equatable, Sendable {
    public enum EventKind: String, Sendable, Codable { case software, external, exception }

    /// The next instruction is at one of the places.
    case place(linear: Linear)
    /// `xchg bx, bx` has been carried out.
    case magic
    /// After the access. `physical` is known for register windows only.
    case memory(linear: Linear, physical: Physical?, bytes: Int, write: Bool)
    case port(Port, bytes: Int, write: Bool, value: UInt32)
    /// A device has written over watched memory by itself (DMA), from the first watched byte on. The address is as the watch has it.
    case device(address: UInt64, isPhysical: Bool, bytes: Int)
    /// The handler's first instruction is next. `selector` and `offset` are of the instruction, `rax` is as it was there.
    case event(EventKind, vector: UInt8, errorCode: UInt16?, selector: UInt16, offset: UInt64, rax: UInt64)
    case task(selector: UInt16)
    case mode(from: ExecutionMode, to: ExecutionMode)
    case ring(from: UInt8, to: UInt8)
    /// After it, or before the handler of its fault. The place of the instruction.
    case sensitive(SensitiveInstruction, CensusPlace, selector: UInt16, offset: UInt64)
}

/// How the processor reads code and addresses.
public enum ExecutionMode: String, Codable, Sendable {
    case real, virtual8086 = "v86", protected16, protected32, compatibility16, compatibility32, long

    /// Width of addresses and operands.
    public var bits: Int {
        switch self {
        case .real, .virtual8086, .protected16, .compatibility16: 16
        case .protected32, .compatibility32: 32
        case .long: 64
        }
    }
    /// Segments are selector * 16.
    public var isRealLike: Bool { self == .real || self == .virtual8086 }
}

/// The places of `StopPoints` as the decoder asks for them: at every instruction.
final class StopMap {
    /// One bit for each of the low 12 bits of linear and physical addresses; behind them, of offsets in CS.
    let bits: UnsafeMutablePointer<UInt64>
    private static let words = 64
    let linear: Set<Linear>
    /// Arena offsets of the physical places.
    let storage: Set<Int>
    let offsets: Set<UInt64>
    let magic: Bool

    init(_ points: StopPoints, memory: GuestMemory) {
        linear = points.linear
        storage = Set(points.physical.compactMap { address in
            let page = memory.page(address).read
            return page >= 0 ? page + Int(address & 0xFFF) : nil
        })
        offsets = Set(points.far.map(\.offset))
        magic = points.magic
        bits = .allocate(capacity: 2 * StopMap.words)
        bits.initialize(repeating: 0, count: 2 * StopMap.words)
        for address in points.linear.union(points.physical) { bits[Int(address & 0xFFF) >> 6] |= 1 << (address & 63) }
        for offset in offsets { bits[StopMap.words + Int(offset & 0xFFF) >> 6] |= 1 << (offset & 63) }
    }

    deinit { bits.deallocate() }

    /// Nothing is there, as far as the low bits say. What almost every instruction is answered.
    @inline(__always)
    static func isFree(_ bits: UnsafePointer<UInt64>, linear: Linear, offset: UInt64) -> Bool {
        let page = bits[Int(truncatingIfNeeded: linear & 0xFFF) &>> 6] &>> (linear & 63)
        let far = bits[words &+ Int(truncatingIfNeeded: offset & 0xFFF) &>> 6] &>> (offset & 63)
        return (page | far) & 1 == 0
    }

    /// A block must not run over this instruction. `loosely`: the same code may be met at several linear addresses.
    func stops(linear address: Linear, storage place: Int, offset: UInt64, loosely: Bool) -> Bool {
        if StopMap.isFree(bits, linear: address, offset: offset) { return false }
        if bits[Int(address & 0xFFF) >> 6] >> (address & 63) & 1 != 0, loosely || linear.contains(address) || storage.contains(place) { return true }
        return offsets.contains(offset)
    }

    /// Low 12 bits of addresses, and offsets, where blocks are cut otherwise than with another map.
    static func changes(_ old: StopMap?, _ new: StopMap?) -> (pages: Set<Int>, offsets: Set<UInt64>, all: Bool) {
        let linear = (old?.linear ?? []).symmetricDifference(new?.linear ?? [])
        let storage = (old?.storage ?? []).symmetricDifference(new?.storage ?? [])
        let pages = Set(linear.map { Int($0 & 0xFFF) }).union(storage.map { $0 & 0xFFF })
        return (pages, (old?.offsets ?? []).symmetricDifference(new?.offsets ?? []), (old?.magic ?? false) != (new?.magic ?? false))
    }

    /// `xchg bx, bx` with 16-bit operands: 87 DB, or 66 87 DB where operands are of 32 bits.
    static func isMagic(_ code: UnsafeRawPointer, count: Int, big: Bool) -> Bool {
        let prefix = big ? 1 : 0
        guard count >= 2 + prefix else { return false }
        if big && code.load(as: UInt8.self) != 0x66 { return false }
        return code.load(fromByteOffset: prefix, as: UInt8.self) == 0x87 && code.load(fromByteOffset: prefix + 1, as: UInt8.self) == 0xDB
    }
}

/// The places within reach of one decoding.
struct StopWindow {
    private let map: Unmanaged<StopMap>
    private let bits: UnsafePointer<UInt64>
    private let magic: Bool
    /// Of the first byte.
    let linear: Linear, storage: Int, rip: UInt64, mask: UInt64
    let loosely: Bool, big: Bool

    init(_ c: Core, _ map: StopMap, storage: Int, rip: UInt64, mode: UInt32) {
        self.map = Unmanaged.passUnretained(map)
        bits = UnsafePointer(map.bits)
        magic = map.magic
        self.storage = storage
        self.rip = rip
        let base = c.segment(Seg.cs).base
        mask = mode & Mode.long != 0 ? .max : 0xFFFF_FFFF
        linear = (base &+ rip) & mask
        // A block is keyed by offset and place: under paging code with another base may be the same block.
        loosely = base != 0 && c.cr0 & CR0.pg != 0
        big = mode & Mode.big != 0
    }

    /// The instruction `position` bytes on, where the rest of the page is `code`, is not to be run over.
    @inline(__always)
    func stops(at position: Int, _ code: UnsafeRawBufferPointer) -> Bool {
        let at = UInt64(truncatingIfNeeded: position)
        if !StopMap.isFree(bits, linear: linear &+ at, offset: rip &+ at),
            map._withUnsafeGuaranteedRef({
                $0.stops(linear: (linear &+ at) & mask, storage: storage &+ position, offset: rip &+ at, loosely: loosely)
            })
        {
            return true
        }
        guard magic, let start = code.baseAddress else { return false }
        return StopMap.isMagic(start + position, count: code.count - position, big: big)
    }
}
