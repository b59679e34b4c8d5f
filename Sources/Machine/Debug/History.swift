import CPU
import Glibc
import Hardware

/// Checkpoints of a running machine: the chips at some moments, and of memory and disks what has changed since.
///
/// A checkpoint holds the old contents of what was written for the first time after it (`old`). What a page was at checkpoint K is what the
/// first checkpoint from K on holds of it; when none does, the page has not changed since, and the machine itself has it. So pages that
/// nobody writes are never copied, and those that stay alike between checkpoints are there once. Blocks of disks are pages too.
final class History {
    struct Checkpoint {
        let number: UInt64
        let moment: Moment
        let board: BoardState
        let media: MediaBays
        /// Inputs that were given before it, since recording began.
        let given: UInt64
        /// The log leads here: it must not be thinned out.
        let isKept: Bool
        /// By key: a page of `pool`.
        var old: [UInt64: Int32] = [:]
    }

    private let pc: any GuestPC
    private(set) var checkpoints: [Checkpoint] = []
    /// The machine is at this checkpoint, or on the way to the next one.
    private(set) var here = 0
    /// Keys of what was written since `here`.
    private var written: [UInt64] = []
    private var writtenBlocks = Set<UInt64>()
    private var media: [UInt64: JournaledMedium] = [:]
    private var nextMedium: UInt64 = 1
    private var nextNumber: UInt64 = 0
    private let pool = PagePool()
    /// What we write ourselves is not told of.
    private var isMuted = false
    /// More was written in one go than may be remembered, or an old block could not be read: the way back is lost.
    private(set) var isLost = false
    /// Bytes of old contents.
    let limit: Int

    init(_ pc: any GuestPC, limit: Int) {
        (self.pc, self.limit) = (pc, limit)
        pc.memory.beginJournal { [unowned self] page, bytes in note(UInt64(page), bytes) }
        watchMedia()
    }

    /// The machine goes on without.
    func end() {
        pc.memory.endJournal()
        for bay in Bay.allCases {
            if let medium = pc.media[bay] as? JournaledMedium { pc.replace(bay, with: medium.inner) }
        }
    }

    var bytes: Int { pool.bytes }

    // MARK: What is written

    private static let mediumShift: UInt64 = 40

    /// Media in the bays tell of what is written to them from now on. Those that do already stay as they are.
    func watchMedia() {
        for bay in Bay.allCases {
            guard let medium = pc.media[bay], !(medium is JournaledMedium) else { continue }
            pc.replace(bay, with: watched(medium))
        }
    }

    func watched(_ medium: any Medium) -> any Medium {
        guard !(medium is JournaledMedium), PagePool.pageBytes % max(1, medium.sectorBytes) == 0 else { return medium }
        let new = JournaledMedium(medium, number: nextMedium) { [weak self] medium, blocks in self?.noteBlocks(medium, blocks) }
        media[nextMedium] = new
        nextMedium += 1
        return new
    }

    private func note(_ key: UInt64, _ bytes: UnsafeRawBufferPointer) {
        guard !isMuted else { return }
        written.append(key)
        guard !isLost, !checkpoints.isEmpty, checkpoints[here].old[key] == nil else { return }
        guard pool.bytes < limit + limit / 2 else { return isLost = true }
        checkpoints[here].old[key] = pool.store(bytes)
    }

    private func noteBlocks(_ medium: JournaledMedium, _ blocks: ClosedRange<UInt64>) {
        guard !isMuted, !isLost else { return }
        for block in blocks {
            let key = medium.number << History.mediumShift | block
            guard writtenBlocks.insert(key).inserted else { continue }
            withCurrent(key) { bytes in if let bytes { note(key, bytes) } else { isLost = true } }
            if isLost { return }
        }
    }

    /// What is there now; nil: it cannot be read.
    private func withCurrent(_ key: UInt64, _ body: (UnsafeRawBufferPointer?) -> Void) {
        let number = key >> History.mediumShift
        guard number > 0 else {
            if pc.memory.withPage(Int(key), { body($0) }) == nil { body(nil) }
            return
        }
        withUnsafeTemporaryAllocation(byteCount: PagePool.pageBytes, alignment: 16) { buffer in
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            let isRead = media[number]?.read(block: key & (1 << History.mediumShift - 1), into: buffer) ?? false
            body(isRead ? UnsafeRawBufferPointer(buffer) : nil)
        }
    }

    private func put(_ key: UInt64, _ content: Int32) {
        let number = key >> History.mediumShift
        if number == 0 {
            pc.memory.put(page: Int(key), pool.contents(content))
        } else if media[number]?.put(block: key & (1 << History.mediumShift - 1), pool.contents(content)) != true {
            isLost = true
        }
    }

    private func markAgain() {
        pc.memory.markAgain(written.lazy.filter { $0 >> History.mediumShift == 0 }.map { Int($0) })
        written.removeAll(keepingCapacity: true)
        writtenBlocks.removeAll(keepingCapacity: true)
    }

    // MARK: Checkpoints

    /// The last checkpoint before an instruction; the first one is good for its own moment too.
    func index(before instruction: UInt64) -> Int? {
        var low = 0, high = checkpoints.count
        while low < high {
            let middle = (low + high) / 2
            if checkpoints[middle].moment.instruction < instruction { low = middle + 1 } else { high = middle }
        }
        if low > 0 { return low - 1 }
        return checkpoints.first?.moment.instruction == instruction ? 0 : nil
    }

    func index(number: UInt64) -> Int? { checkpoints.firstIndex { $0.number == number } }

    /// Takes one here and now.
    /// - Returns: its number; nil: this machine has no state.
    @discardableResult
    func take(_ moment: Moment, given: UInt64, isKept: Bool = false) -> UInt64? {
        guard let board = pc.savedBoard else { return nil }
        let number = nextNumber
        nextNumber += 1
        var new = Checkpoint(number: number, moment: moment, board: board, media: pc.media, given: given, isKept: isKept)
        if checkpoints.isEmpty {
            checkpoints = [new]
            here = 0
        } else {
            // In the middle: what changes before the next one is known already, but not whether before or after this moment.
            if here + 1 < checkpoints.count {
                for key in checkpoints[here].old.keys { withCurrent(key) { if let bytes = $0 { new.old[key] = pool.store(bytes) } } }
            }
            here += 1
            checkpoints.insert(new, at: here)
        }
        markAgain()
        return number
    }

    /// The machine, on its way forward, is at the next checkpoint.
    func arrive() {
        here += 1
        markAgain()
    }

    /// Brings the machine to a checkpoint, from wherever it is.
    /// - Throws: the way is lost.
    func restore(_ index: Int) throws(MachineError) {
        let target = checkpoints[index]
        var keys = Set(written)
        for between in min(index, here)..<max(index, here) { keys.formUnion(checkpoints[between].old.keys) }
        if index < here { keepPresent(keys) }
        let contents = contents(of: keys, at: index)
        isMuted = true
        for (key, content) in contents { put(key, content) }
        isMuted = false
        for bay in Bay.allCases where pc.media[bay] !== target.media[bay] { pc.replace(bay, with: target.media[bay]) }
        do throws(BoardStateError) {
            try pc.goOn(from: target.board)
        } catch {
            throw .failed("The machine cannot go back: \(error.reason).")
        }
        pc.firings = target.moment.firings
        here = index
        written.append(contentsOf: contents.keys)
        markAgain()
        if isLost { throw .failed("What a disk held cannot be put back.") }
    }

    /// What only the machine itself has, and is about to be written over, is what it was from the present checkpoint on.
    private func keepPresent(_ keys: Set<UInt64>) {
        var missing = keys.subtracting(written)
        for later in here..<checkpoints.count where !missing.isEmpty {
            missing = missing.filter { checkpoints[later].old[$0] == nil }
        }
        let last = checkpoints.count - 1
        for key in missing { withCurrent(key) { if let bytes = $0 { checkpoints[last].old[key] = pool.store(bytes) } } }
    }

    private func contents(of keys: Set<UInt64>, at index: Int) -> [UInt64: Int32] {
        var result: [UInt64: Int32] = [:]
        var missing = keys
        for checkpoint in checkpoints[index...] where !missing.isEmpty {
            for key in missing {
                guard let content = checkpoint.old[key] else { continue }
                result[key] = content
                missing.remove(key)
            }
        }
        return result
    }

    /// What was to come will not come.
    func cutFuture() {
        while checkpoints.count > here + 1 { release(checkpoints.removeLast()) }
    }

    // MARK: Bounds

    /// Removes checkpoints until there are so few and memory suffices: where they are close for their age, and at last the oldest ones.
    func thin(to count: Int, head: UInt64) {
        while checkpoints.count > 2, checkpoints.count > count || pool.bytes > limit {
            if checkpoints.count > 8, let index = leastMissed(head) { remove(index) } else if here > 0 { dropOldest() } else { return }
        }
    }

    private func leastMissed(_ head: UInt64) -> Int? {
        var best: (index: Int, loss: Double)?
        for index in 1..<checkpoints.count - 1 where index != here && !checkpoints[index].isKept {
            let before = checkpoints[index - 1].moment.instruction, after = checkpoints[index + 1].moment.instruction
            let loss = Double(after &- before) / Double(max(1, head &- before))
            if loss < best?.loss ?? .infinity { best = (index, loss) }
        }
        return best?.index
    }

    private func remove(_ index: Int) {
        let gone = checkpoints.remove(at: index)
        for (key, content) in gone.old {
            if checkpoints[index - 1].old[key] == nil { checkpoints[index - 1].old[key] = content } else { pool.release(content) }
        }
        if here > index { here -= 1 }
    }

    private func dropOldest() {
        release(checkpoints.removeFirst())
        here -= 1
    }

    private func release(_ checkpoint: Checkpoint) { for content in checkpoint.old.values { pool.release(content) } }

    /// Forgets all of it.
    func clear() {
        for checkpoint in checkpoints { release(checkpoint) }
        checkpoints = []
        here = 0
        isLost = false
        markAgain()
    }

    /// Lets go of media that are in no drive, in no checkpoint and not named by the log.
    func forgetMedia(_ logged: [any Medium]) {
        var wanted = Set(logged.compactMap { ($0 as? JournaledMedium)?.number })
        for bay in Bay.allCases {
            for bays in checkpoints.map(\.media) + [pc.media] { if let medium = bays[bay] as? JournaledMedium { wanted.insert(medium.number) } }
        }
        media = media.filter { wanted.contains($0.key) }
    }
}
