import CPU
import Primitives

/// A board at one moment, without its memory: the chips as they are, the processors, and the board's own latches.
public struct BoardState: Sendable {
    /// In board order, with the names of `PC.chipNames`.
    public var chips: [(name: String, chip: any Device)]
    public var processors: [ProcessorState]
    public var wiring: Wiring

    public init(chips: [(name: String, chip: any Device)], processors: [ProcessorState], wiring: Wiring) {
        self.chips = chips
        self.processors = processors
        self.wiring = wiring
    }

    /// What is between the chips.
    public struct Wiring: Codable, Equatable, Sendable {
        /// Lines and deadlines of each chip, in board order.
        public var driven: [UInt32]
        public var deadlines: [UInt64]
        public var nextDeadline: UInt64
        public var intr: UInt32
        public var linesChanged: Bool
        public var dreq: UInt8
        public var dreqOwner: [Int]
        public var pci: PCIBus
        public var a20: Bool
        /// The processor whose turn it is, and what is left of the turn.
        public var current: Int
        public var turnLeft: Int64
        /// Virtual clock: time passed in halts.
        public var skipped: UInt64
        /// Guest time.
        public var time: UInt64
        public var resets: UInt64
        public var pendingReset: Bool
        public var pendingINIT: UInt32
        public var pendingStop: SavedStop?
        /// `MediaBays.generation`.
        public var mediaGeneration: [UInt32]
    }

    public struct SavedStop: Codable, Equatable, Sendable {
        public var kind: String
        public var value: UInt8
        public var sentence: String
    }
}

/// Why a board cannot take a saved state, in a few words: `chip pit#2 is missing`.
public struct BoardStateError: Error, Equatable, Sendable {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

extension PC {
    /// The board as it is between two runs. Chips are values: this copies nothing large.
    public var state: BoardState {
        BoardState(
            chips: Array(zip(chipNames, devices)).map { ($0, $1) }, processors: engines.compactMap(\.saved),
            wiring: .init(
                driven: driven, deadlines: deadlines, nextDeadline: nextDeadline, intr: intr, linesChanged: linesChanged, dreq: wires.dreq,
                dreqOwner: dreqOwner, pci: pci, a20: memory.a20, current: current, turnLeft: turnLeft, skipped: skipped, time: now(), resets: resets,
                pendingReset: pendingReset, pendingINIT: pendingINIT, pendingStop: pendingStop.flatMap(BoardState.SavedStop.init),
                mediaGeneration: wires.media.generation))
    }

    /// Goes on from a saved state. Memory has been put back before, media are in their bays.
    /// - Throws: what does not fit this board; the board is unchanged then.
    public func restore(_ state: BoardState) throws(BoardStateError) {
        let names = chipNames
        for (name, saved) in zip(names, state.chips) where name != saved.name {
            throw BoardStateError("it has the chip '\(saved.name)' where this machine has '\(name)'")
        }
        guard state.chips.count == names.count else { throw BoardStateError("it has \(state.chips.count) chips, this machine \(names.count)") }
        for (own, saved) in zip(devices, state.chips) where type(of: own) != type(of: saved.chip) {
            throw BoardStateError("its chip '\(saved.name)' is of another kind")
        }
        guard state.processors.count == engines.count else {
            throw BoardStateError("it has \(state.processors.count) processors, this machine \(engines.count)")
        }
        let wiring = state.wiring
        let sizes = [wiring.driven.count, wiring.deadlines.count].allSatisfy { $0 == devices.count }
        guard sizes, wiring.dreqOwner.count == 8, wiring.dreqOwner.allSatisfy({ (-1..<devices.count).contains($0) }),
            engines.indices.contains(wiring.current), (Int64.min / 2...PC.turn).contains(wiring.turnLeft),
            wiring.mediaGeneration.count == Bay.allCases.count, wiring.time < 1 << 62, wiring.skipped < 1 << 62
        else { throw BoardStateError("its wiring is not that of a board") }
        let old = engines.compactMap(\.saved)
        for (number, (engine, saved)) in zip(engines, state.processors).enumerated() {
            do {
                try engine.restore(saved)
            } catch {
                for (engine, saved) in zip(engines[..<number], old) { try? engine.restore(saved) }
                throw BoardStateError("'\(error.field)' of processor \(number) is not one")
            }
        }
        devices = state.chips.map(\.chip)
        put(wiring, engineStates: state.processors)
    }

    private func put(_ wiring: BoardState.Wiring, engineStates: [ProcessorState]) {
        retiredElsewhere = engines.reduce(0) { $0 &+ $1.retired } &- engine.retired
        select(wiring.current)
        turnLeft = wiring.turnLeft
        alone = engines.count == 1
        pci = wiring.pci
        driven = wiring.driven
        lines = driven.reduce(0, |)
        intr = wiring.intr
        skipped = wiring.skipped
        paced.pointee = PacedTime(time: wiring.time, retired: retired)
        paced.pointee.elsewhere = retiredElsewhere
        resets = wiring.resets
        pendingReset = wiring.pendingReset
        pendingINIT = wiring.pendingINIT
        pendingStop = wiring.pendingStop.flatMap(\.stop)
        dreqOwner = wiring.dreqOwner
        wires.dreq = wiring.dreq
        wires.requests.removeAll()
        wires.media.restore(generation: wiring.mediaGeneration)
        wires.tap?.text = TextHistory()
        _ = drainOutput()
        memory.setA20(wiring.a20)
        bus.reconnect(devices)
        mapMemory()
        // Flushed with the map.
        for (engine, saved) in zip(engines, engineStates) { try? engine.restore(saved) }
        deadlines = wiring.deadlines
        nextDeadline = wiring.nextDeadline
        linesChanged = wiring.linesChanged
    }
}

extension BoardState.SavedStop {
    init?(_ stop: PCStop) {
        switch stop {
        case .powerOff: self.init(kind: "power-off", value: 0, sentence: "")
        case .reset: self.init(kind: "reset", value: 0, sentence: "")
        case .shutdown(let sentence): self.init(kind: "shutdown", value: 0, sentence: sentence)
        case .debugExit(let value): self.init(kind: "debug-exit", value: value, sentence: "")
        case .bootHook(let value): self.init(kind: "boot-hook", value: value, sentence: "")
        case .sliceDone, .halted, .debug, .failed: return nil
        }
    }

    var stop: PCStop? {
        switch kind {
        case "power-off": .powerOff
        case "reset": .reset
        case "shutdown": .shutdown(sentence)
        case "debug-exit": .debugExit(value)
        case "boot-hook": .bootHook(value)
        default: nil
        }
    }
}
