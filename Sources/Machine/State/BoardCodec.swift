import CPU
import Hardware

/// A board's state as a `StateValue`, and back into chips of a board that is there.
enum BoardCodec {
    /// - Throws: what some chip cannot encode; ours all can.
    static func encode(_ state: BoardState) throws -> StateValue {
        .map([
            .init("processors", .list(try state.processors.map { try StateEncoder.encode($0) })),
            .init("wiring", try StateEncoder.encode(state.wiring)),
            .init("chips", .map(try state.chips.map { StateValue.Pair($0.name, try StateEncoder.encode($0.chip)) })),
        ])
    }

    /// - Parameter board: what the state is to be put into; its chips say what each must look like.
    /// - Throws: chip and field that are wrong.
    static func decode(_ value: StateValue, for board: BoardState) throws(StateDecoder.Mismatch) -> BoardState {
        guard let processors = value["processors"]?.list, let wiring = value["wiring"], let chips = value["chips"]?.pairs else {
            throw StateDecoder.Mismatch(reason: "processors, wiring and chips are not all there")
        }
        guard processors.count == board.processors.count else {
            throw StateDecoder.Mismatch(reason: "it has \(processors.count) processors, this machine \(board.processors.count)")
        }
        var result = BoardState(chips: [], processors: [], wiring: try StateDecoder.decode(BoardState.Wiring.self, from: wiring))
        for processor in processors { result.processors.append(try StateDecoder.decode(ProcessorState.self, from: processor)) }
        let names = Set(board.chips.map(\.name))
        if let stranger = chips.first(where: { !names.contains($0.key) }) {
            throw StateDecoder.Mismatch(reason: "it has a chip '\(stranger.key)', which this machine has not")
        }
        for (name, chip) in board.chips {
            guard let saved = chips.first(where: { $0.key == name }) else { throw StateDecoder.Mismatch(reason: "it has no chip '\(name)'") }
            do throws(StateDecoder.Mismatch) {
                result.chips.append((name, try decode(like: chip, saved.value)))
            } catch {
                throw StateDecoder.Mismatch(reason: "chip '\(name)': \(error.reason)")
            }
        }
        return result
    }

    /// Fields that an older version did not know have what a chip has after power-on.
    private static func decode<D: Device>(like chip: D, _ saved: StateValue) throws(StateDecoder.Mismatch) -> any Device {
        // As after power-on: this one may have run, and its queues be full.
        var fresh = chip
        fresh.reset()
        guard let own = try? StateEncoder.encode(fresh) else { throw StateDecoder.Mismatch(reason: "it cannot be compared") }
        if let path = misshapen(saved, own, "") { throw StateDecoder.Mismatch(reason: "\(path) has another size") }
        if let path = rewired(saved, own, D.name, "") { throw StateDecoder.Mismatch(reason: "\(path) is not that of this machine") }
        if let path = beyond(saved, D.stateLimits, "") { throw StateDecoder.Mismatch(reason: "\(path) has a value that it cannot have") }
        do throws(StateDecoder.Mismatch) {
            return try StateDecoder.decode(D.self, from: saved)
        } catch {
            guard let whole = try? StateDecoder.decode(D.self, from: completed(saved, own)) else { throw error }
            return whole
        }
    }

    /// What is missing in `saved`, from `own`.
    static func completed(_ saved: StateValue, _ own: StateValue) -> StateValue {
        switch (saved, own) {
        case (.map(var pairs), .map(let fields)):
            // One key on each side that differ: two cases of an enumeration.
            if pairs.count == 1, fields.count == 1, pairs[0].key != fields[0].key { return saved }
            for field in fields {
                if let index = pairs.firstIndex(where: { $0.key == field.key }) {
                    pairs[index].value = completed(pairs[index].value, field.value)
                } else {
                    pairs.append(field)
                }
            }
            return .map(pairs)
        case (.list(let values), .list(let fields)) where values.count == fields.count:
            return .list(zip(values, fields).map { completed($0, $1) })
        default: return saved
        }
    }

    /// - Returns: the path of the first number that is out of its limits; nil: none is.
    private static func beyond(_ saved: StateValue, _ limits: [String: ClosedRange<Int64>], _ path: String) -> String? {
        guard !limits.isEmpty else { return nil }
        switch saved {
        case .map(let pairs):
            for pair in pairs {
                let inner = path.isEmpty ? pair.key : "\(path).\(pair.key)"
                switch (pair.value, limits[pair.key]) {
                case (.unsigned(let number), let limit?): if number > UInt64(max(0, limit.upperBound)) || Int64(number) < limit.lowerBound { return inner }
                case (.negative(let number), let limit?): if !limit.contains(number) { return inner }
                default: if let found = beyond(pair.value, limits, inner) { return found }
                }
            }
            return nil
        case .list(let values):
            for (index, value) in values.enumerated() { if let found = beyond(value, limits, path.isEmpty ? "\(index)" : "\(path).\(index)") { return found } }
            return nil
        default: return nil
        }
    }

    /// What the board gives a chip when it is built, and no guest changes.
    private static let wired: Set<String> = ["port", "consoles", "number", "bay", "irq", "vramOffset", "vramBytes", "slot", "maximum"]
    /// The same, where the name means something else in other chips.
    private static let wiredThere: [String: Set<String>] = [
        "uart": ["index", "base"], "lpt": ["base"], "lapic": ["index"], "ide": ["kind", "slave"],
    ]

    /// - Returns: the path of the first of these that is another than in this machine; nil: none is.
    private static func rewired(_ saved: StateValue, _ own: StateValue, _ chip: String, _ path: String) -> String? {
        func inner(_ key: some CustomStringConvertible) -> String { path.isEmpty ? key.description : "\(path).\(key)" }
        switch (saved, own) {
        case (.map(let a), .map(let b)):
            for field in b {
                guard let match = a.first(where: { $0.key == field.key }) else { continue }
                if wired.contains(field.key) || wiredThere[chip]?.contains(field.key) == true {
                    if match.value != field.value { return inner(field.key) }
                } else if let found = rewired(match.value, field.value, chip, inner(field.key)) {
                    return found
                }
            }
            return nil
        case (.list(let a), .list(let b)) where a.count == b.count:
            for (index, pair) in zip(a, b).enumerated() { if let found = rewired(pair.0, pair.1, chip, inner(index)) { return found } }
            return nil
        default: return nil
        }
    }

    /// Registers and tables have fixed sizes; what is empty after power-on is a queue.
    /// - Returns: the path of the first that has not the size that it must have; nil: all have.
    private static func misshapen(_ saved: StateValue, _ own: StateValue, _ path: String) -> String? {
        switch (saved, own) {
        case (.bytes(let a), .bytes(let b)): return b.isEmpty || a.count == b.count ? nil : path
        case (.words16(let a), .words16(let b)): return b.isEmpty || a.count == b.count ? nil : path
        case (.words32(let a), .words32(let b)): return b.isEmpty || a.count == b.count ? nil : path
        case (.words64(let a), .words64(let b)): return b.isEmpty || a.count == b.count ? nil : path
        case (.list(let a), .list(let b)):
            guard b.isEmpty || a.count == b.count else { return path }
            for (index, pair) in zip(a, b).enumerated() { if let found = misshapen(pair.0, pair.1, "\(path).\(index)") { return found } }
            return nil
        case (.map(let a), .map(let b)):
            for field in b {
                guard let match = a.first(where: { $0.key == field.key }) else { continue }
                if let found = misshapen(match.value, field.value, path.isEmpty ? field.key : "\(path).\(field.key)") { return found }
            }
            return nil
        default: return nil
        }
    }
}
