import Primitives

/// An instruction that got #UD because the processor does not know its bytes, or knows them and has nothing that carries them out.
public struct UndefinedInstruction: Equatable, Sendable {
    public var selector: UInt16
    public var offset: UInt64
    public var mode: ExecutionMode
    /// 15, or those up to where memory ends.
    public var bytes: [UInt8]
    /// The processor's model has the instruction.
    public var isModels: Bool

    public init(selector: UInt16, offset: UInt64, mode: ExecutionMode, bytes: [UInt8], isModels: Bool = false) {
        (self.selector, self.offset, self.mode, self.bytes, self.isModels) = (selector, offset, mode, bytes, isModels)
    }

    /// The oldest model that has the instruction; nil: none of ours.
    public var model: CPUModel? { CPUModel.all.first { UndefinedInstruction.isKnown(bytes, mode, $0.features) } }

    /// A decoder with these features finds an instruction.
    static func isKnown(_ bytes: [UInt8], _ mode: ExecutionMode, _ features: CPUFeatures) -> Bool {
        guard !bytes.isEmpty else { return false }
        var bits = Mode.single
        switch mode {
        case .long where features.contains(.lm): bits |= Mode.long | Mode.big
        case .long: return false
        case .protected32, .compatibility32: bits |= Mode.big
        case .real, .virtual8086, .protected16, .compatibility16: break
        }
        return withUnsafeTemporaryAllocation(of: Op.self, capacity: 16) { operations in
            guard let first = operations.baseAddress else { return false }
            // What is missing at the end is as good as zeros: no decoder decides by it.
            let window = bytes + [UInt8](repeating: 0, count: max(0, 16 - bytes.count))
            return window.withUnsafeBytes { code in
                var decoder = Decoder(code: code, rip: 0, mode: bits, features: features)
                decoder.decodeBlock(into: first, limit: 16)
                guard decoder.instructions > 0 else { return false }
                return !(0..<decoder.operations).contains { first[$0].isUndefined }
            }
        }
    }
}

extension Op {
    /// Raises #UD whatever the state of the processor is.
    var isUndefined: Bool { (kind == .slow || kind == .slowEnd) && sub == Mnemonic.undefined.rawValue && imm == 6 }
}

/// What a processor keeps of them.
struct UndefinedInstructions {
    /// Linear addresses that have been looked at: a guest may run into the same one without end.
    var seen: Set<Linear> = []
    var waiting: [UndefinedInstruction] = []
    /// The one that the last shutdown began with.
    var fatal: UndefinedInstruction?
    static let limit = 256
}

extension Processor {
    /// Those that have been met since the last call, each place once.
    public func takeUndefined() -> [UndefinedInstruction] {
        defer { undefined.waiting = [] }
        return undefined.waiting
    }

    /// What the last shutdown began with, when that was one.
    public var fatalUndefined: UndefinedInstruction? { undefined.fatal }

    /// The instruction at CS:RIP gets #UD. Nothing that the guest could notice happens.
    /// - Parameter lacking: the decoder knows it.
    @inline(never)
    func noteUndefined(lacking: Bool) {
        guard undefined.seen.count < UndefinedInstructions.limit, undefined.seen.insert(linearRIP).inserted else { return }
        if let new = undefinedInstruction(lacking: lacking) { undefined.waiting.append(new) }
    }

    /// nil: the decoder knows it, so that the state of the processor is the reason.
    func undefinedInstruction(lacking: Bool) -> UndefinedInstruction? {
        let found = peek(linearRIP, count: 15), mode = executionMode
        let bytes = found.missing.first.map { Array(found.bytes[..<$0.lowerBound]) } ?? found.bytes
        guard !bytes.isEmpty, lacking || !UndefinedInstruction.isKnown(bytes, mode, model.features) else { return nil }
        return UndefinedInstruction(selector: core.segment(Seg.cs).selector, offset: core.rip, mode: mode, bytes: bytes, isModels: lacking)
    }
}
