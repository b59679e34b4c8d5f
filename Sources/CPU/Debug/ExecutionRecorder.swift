import Primitives

/// The last instructions and branches of a processor. While one is attached every instruction is carried out alone, which is slow.
public final class ExecutionRecorder {
    public struct Instruction: Equatable, Sendable {
        public var linear: Linear
        public var offset: UInt64
        public var selector: UInt16
        public var mode: ExecutionMode
        public var cpl: UInt8
        /// Instructions that the processor had retired before this one.
        public var retired: UInt64
        /// Code bytes, the first in the lowest byte of `low`.
        public var low, high: UInt64
        public var count: UInt8

        public var bytes: [UInt8] {
            (0..<Int(count)).map { (n: Int) -> UInt8 in
                let word = n < 8 ? low : high
                return UInt8(truncatingIfNeeded: word >> UInt64(8 * (n & 7)))
            }
        }
    }
    public struct Branch: Equatable, Sendable {
        public var from: Instruction
        public var to: Linear
        /// Instructions retired when it had been taken.
        public var retired: UInt64
    }
    public enum Event {
        /// Before it is carried out.
        case instruction(Instruction)
        case port(Port, bytes: Int, write: Bool, value: UInt32)
        case delivery(DebugHit.EventKind, vector: UInt8, errorCode: UInt16?)
    }

    public static let instructionLimit = 10_000, branchLimit = 64

    private var ring: [Instruction] = []
    private var next = 0
    private var branchRing: [Branch] = []
    /// Told of everything as it happens; it must not touch the processor.
    public var sink: ((Event) -> Void)?

    public init() { ring.reserveCapacity(ExecutionRecorder.instructionLimit) }

    /// The oldest first.
    public var instructions: [Instruction] { ring.count < ExecutionRecorder.instructionLimit ? ring : Array(ring[next...] + ring[..<next]) }
    public var branches: [Branch] { branchRing }

    public func clear() {
        ring = []
        next = 0
        branchRing = []
    }

    func add(_ new: Instruction) {
        if let last = ring.isEmpty ? nil : ring[(next + ring.count - 1) % max(ring.count, 1)] {
            let isNext = new.linear == last.linear &+ UInt64(last.count) || new.linear == last.linear
            if !isNext {
                if branchRing.count == ExecutionRecorder.branchLimit { branchRing.removeFirst() }
                branchRing.append(Branch(from: last, to: new.linear, retired: new.retired))
            }
        }
        if ring.count < ExecutionRecorder.instructionLimit {
            ring.append(new)
        } else {
            ring[next] = new
            next = (next + 1) % ExecutionRecorder.instructionLimit
        }
        sink?(.instruction(new))
    }
}

extension Processor {
    /// Who writes down what is carried out; nil: nobody.
    public var recorder: ExecutionRecorder? {
        get { debug.recorder }
        set {
            guard newValue !== debug.recorder else { return }
            debug.recorder = newValue
            core.t.pointee.recording = newValue != nil
            refreshInterests()
            core.modeChanged()
        }
    }

    @inline(never)
    func record(_ c: Core, _ block: BlockPointer) {
        guard let recorder = debug.recorder else { return }
        // How long what is not known is only others can say.
        let isUndefined = block.ops.pointee.isUndefined
        var count = isUndefined ? 15 : min(Int(block.pointee.bytes), 15)
        var low: UInt64 = 0, high: UInt64 = 0
        let linear = (c.segment(Seg.cs).base &+ c.rip) & c.t.pointee.addressMask
        let storage = block.pointee.storage
        let isWhole = storage >= 0 && (storage & 0xFFF) + count <= 4096
        let peeked = isWhole ? PeekedBytes() : peek(linear, count: count)
        if isUndefined, let gap = peeked.missing.first { count = gap.lowerBound }
        let far = peeked.bytes
        for n in 0..<count {
            let byte = UInt64(isWhole ? memory.base.load(fromByteOffset: storage + n, as: UInt8.self) : far[n])
            if n < 8 { low |= byte << UInt64(8 * n) } else { high |= byte << UInt64(8 * (n - 8)) }
        }
        recorder.add(
            .init(
                linear: linear, offset: c.rip, selector: c.segment(Seg.cs).selector, mode: executionMode, cpl: c.cpl, retired: retired, low: low,
                high: high, count: UInt8(count)))
    }
}
