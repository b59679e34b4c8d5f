import Foundation
import Hardware
import Primitives

/// What of a machine is saved beside its memory, taken at one moment between two slices.
struct SavedMachine: Sendable {
    var board: StateValue
    var runner: StateValue
    var info: StateInfo
}

/// What a state file says about itself before all the rest.
public struct StateInfo: Codable, Equatable, Sendable {
    /// Of the program that wrote it.
    public var program = StateInfo.programVersion
    /// Seconds since 1970.
    public var created: Int64 = 0
    public var machine = ""
    public var cpus = 0
    public var memoryMiB = 0
    /// Bytes of the arena: RAM, firmware and video memory in board order.
    public var arenaBytes: UInt64 = 0
    public var ramBytes: UInt64 = 0
    public var instructions: UInt64 = 0
    /// Nanoseconds since power-on.
    public var guestTime: UInt64 = 0
    public var virtualClock = false
    /// Rows of the text screen.
    public var screen: [String] = []
    /// What the file calls itself, for those that stand on it.
    var mark: UInt64?
    /// Names of the files in the machine's folder of snapshots that it stands on.
    var shared: [String]?

    public static let programVersion = "0.1.0"

    public init() {}

    /// Of a file; the rest is not read.
    /// - Throws: `.badInput`.
    public static func read(_ path: String) throws(MachineError) -> StateInfo {
        let reader = try StateReader(path)
        return try read(reader)
    }

    static func read(_ reader: StateReader) throws(MachineError) -> StateInfo {
        guard let (kind, bytes) = try reader.next(), kind == "INFO" else { throw reader.damaged("it does not begin with section INFO") }
        let value = try reader.parsed(kind, bytes)
        do throws(StateDecoder.Mismatch) {
            return try StateDecoder.decode(StateInfo.self, from: value)
        } catch {
            throw reader.damaged("section INFO: \(error.reason)")
        }
    }
}

/// Brings a board to the state that a file has.
enum StateLoader {
    /// - Returns: what surrounds the board.
    /// - Throws: `.badInput`; the board is then of no use when the file was damaged in the middle, and unchanged otherwise.
    /// - Parameter catchesUp: the guest's battery-backed clock shows the time that has passed.
    static func load(
        _ path: String, into pc: any GuestPC, clock: HostClock?, catchesUp: Bool = false
    ) throws(MachineError) -> (info: StateInfo, runner: StateValue) {
        let reader = try StateReader(path)
        let info = try StateInfo.read(reader)
        guard let own = pc.savedBoard else { throw .failed("This machine has no state that could be restored.") }
        guard info.arenaBytes == UInt64(pc.memory.arenaBytes), info.ramBytes == pc.memory.ramBytes else {
            throw .badInput("'\(path)' is of a machine with \(info.memoryMiB) MiB, or with other firmware or video memory; this one does not fit.")
        }
        guard info.virtualClock == (clock == nil) else {
            throw .badInput("'\(path)' was saved with the \(info.virtualClock ? "virtual" : "host") clock; run it with that one.")
        }
        var board: BoardState?
        var runner = StateValue.null
        var layers: [Bay: DisposableLayer] = [:]
        for bay in Bay.allCases { layers[bay] = DisposableLayer.of(pc.media[bay]) }
        while let (kind, bytes) = try reader.next() {
            switch kind {
            case "BORD":
                guard board == nil else { throw reader.damaged("it has two boards") }
                let value = try reader.parsed(kind, bytes)
                do throws(StateDecoder.Mismatch) {
                    board = try BoardCodec.decode(value, for: own)
                } catch {
                    throw .badInput("The state in '\(path)' does not fit this machine: \(error.reason).")
                }
                pc.memory.clear()
                for layer in layers.values { layer.forget() }
            case "RUNR": runner = try reader.parsed(kind, bytes)
            case "DISK":
                guard board != nil else { throw reader.damaged("sectors come before the board") }
                try reader.sectors(bytes) { bay, sector, data in
                    guard let layer = layers[bay], data.count == layer.sectorBytes else { return false }
                    return layer.write(sector: sector, from: data)
                }
            case "PAGE", "REFS":
                guard board != nil else { throw reader.damaged("memory comes before the board") }
                _ = try reader.eachRun(kind, bytes) { first, pages in pc.memory.restore(page: first, from: pages) }
            default: break
            }
        }
        guard var board else { throw reader.damaged("it has no board") }
        if catchesUp, clock != nil { passTime(since: info.created, &board) }
        do throws(BoardStateError) {
            try pc.goOn(from: board)
        } catch {
            throw .badInput("The state in '\(path)' does not fit this machine: \(error.reason).")
        }
        clock?.set(board.wiring.time)
        return (info, runner)
    }
}

extension StateLoader {
    private static func passTime(since created: Int64, _ board: inout BoardState) {
        let now = Int64(time(nil)), century: Int64 = 100 * 366 * 86_400
        guard created > 0, now > created, now - created < century,
            let index = board.chips.firstIndex(where: { $0.chip is CMOSClock }), var clock = board.chips[index].chip as? CMOSClock
        else { return }
        clock.pass(seconds: UInt64(now - created))
        board.chips[index].chip = clock
    }
}

extension DisposableLayer {
    /// The layer that a medium is, or guards.
    static func of(_ medium: (any Medium)?) -> DisposableLayer? {
        switch medium {
        case let guarded as GuardedMedium: of(guarded.inner)
        case let journaled as JournaledMedium: of(journaled.inner)
        default: medium as? DisposableLayer
        }
    }
}
