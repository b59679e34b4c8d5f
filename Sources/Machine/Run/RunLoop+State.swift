import Foundation
import Hardware
import Primitives

// Saved state: writing it in one go, and going on from it.
extension RunLoop {
    /// What surrounds the board.
    private struct Surroundings: Codable {
        var typing: TypingQueue.Saved
        var keysDown: [PCKey]
        /// COM1–COM4 and the virtio console.
        var serialInput: [[UInt8]]
        var aheadOfGuest: UInt64
        var bufferFullSince: UInt64?
    }

    /// The machine as it is now, without its memory.
    func savedMachine() throws(MachineError) -> SavedMachine {
        guard let state = pc.savedBoard else { throw .failed("This machine has no state that could be saved.") }
        var info = StateInfo()
        info.created = Int64(time(nil))
        info.machine = parts.name
        info.cpus = state.processors.count
        info.memoryMiB = parts.memoryMiB
        info.arenaBytes = UInt64(pc.memory.arenaBytes)
        info.ramBytes = pc.memory.ramBytes
        info.instructions = pc.retired
        info.guestTime = pc.now()
        info.virtualClock = isVirtual
        info.screen = pc.textFrame().textRows
        let around = Surroundings(
            typing: typing.saved, keysDown: keysDown, serialInput: serialInput, aheadOfGuest: aheadOfGuest, bufferFullSince: bufferFullSince)
        do {
            return SavedMachine(board: try BoardCodec.encode(state), runner: try StateEncoder.encode(around), info: info)
        } catch {
            throw .failed("The machine's state cannot be saved: \(error).")
        }
    }

    /// Writes the machine's state into a file while the machine stands.
    func save(to path: String) throws(MachineError) {
        for bay in Bay.allCases {
            if let medium = pc.media[bay], !medium.flush() { throw .failed("The medium in \(bay.label) could not be written; nothing is saved.") }
        }
        let saved = try savedMachine()
        let writer = try StateWriter(path)
        do throws(MachineError) {
            try writer.begin(saved)
            for bay in Bay.allCases {
                guard let layer = DisposableLayer.of(pc.media[bay]) else { continue }
                guard try layer.eachPiece({ (sectors, data) throws(MachineError) in try writer.sectors(bay, sectors, data) }) else {
                    throw .failed("What was written to \(bay.label) cannot be read.")
                }
            }
            for range in pc.memory.usedPages {
                for page in range { try writer.page(page, UnsafeRawBufferPointer(start: pc.memory.base + page << 12, count: 4096)) }
            }
            try writer.finish()
        } catch {
            writer.cancel()
            throw error
        }
        log(.info, "State", "The state is saved in '\(path)': \(writer.pages) pages, \(writer.bytes) bytes.")
    }

    /// One more line in a file: instructions and digest.
    func noteDigest(_ path: String) throws(MachineError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failed("The digest cannot be written to '\(path)': \(WholeFile.reason()).") }
        defer { close(descriptor) }
        guard WholeFile.writeAll(descriptor, Array("\(pc.retired) \(pc.digest())\n".utf8)) else {
            throw .failed("The digest cannot be written to '\(path)': \(WholeFile.reason()).")
        }
    }

    /// Saves the state of a stored machine and ends the run.
    func saveState() throws(MachineError) {
        guard outcome == nil else { throw .failed("The machine is just ending.") }
        guard let place = parts.savedState else { throw .failed("Only a stored machine has a place for its state.") }
        let began = parts.hostTime()
        for bay in Bay.allCases {
            if let medium = pc.media[bay], !medium.flush() { throw .failed("The medium in \(bay.label) could not be written; nothing is saved.") }
        }
        // The note first: a state without a note would be believed.
        try place.note()
        try save(to: place.path)
        place.keep()
        log(.info, "State", "Saving took \((parts.hostTime() &- began) / 1_000_000) ms.")
        outcome = .saved
    }

    /// Goes on from a file's state, in place of the present one.
    func restore(from path: String) throws(MachineError) {
        do throws(MachineError) {
            let (_, runner) = try StateLoader.load(path, into: pc, clock: parts.hostClock)
            goOn(with: runner)
            travel?.begin()
            log(.info, "State", "The state in '\(path)' is restored.")
        } catch {
            // Memory may be half overwritten.
            throw MachineError(error.kind, error.description)
        }
    }

    /// The board has been restored: what surrounded it.
    func goOn(with runner: StateValue) {
        guard let around = try? StateDecoder.decode(Surroundings.self, from: runner) else { return }
        typing.restore(around.typing)
        keysDown = around.keysDown
        if around.serialInput.count == serialInput.count { serialInput = around.serialInput }
        aheadOfGuest = around.aheadOfGuest
        bufferFullSince = around.bufferFullSince
        frameFetched = nil
        ranSinceFrame = true
        rateSample = (parts.hostTime(), pc.retired)
        // Nobody holds a key of the saved moment any more; what a script types goes on.
        if !isVirtual { for key in keysDown.reversed() { pc.key(key, down: false) } }
        if !isVirtual { keysDown = [] }
    }
}

extension StateWriter {
    /// Everything but memory.
    func begin(_ saved: SavedMachine) throws(MachineError) {
        guard let info = try? StateEncoder.encode(saved.info) else { throw .failed("The machine's state cannot be saved.") }
        try section("INFO", info)
        try section("BORD", saved.board)
        try section("RUNR", saved.runner)
    }
}
