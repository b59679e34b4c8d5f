import Foundation
import Primitives
import Synchronization

/// Pages as a PAGE section has them, filled by the machine's thread and packed by another one. One owner at a time.
final class PageChunk: @unchecked Sendable {
    private static let most = StateFormat.pagesPerSection
    private static let pagesAt = 4 + 4 * most
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: pagesAt + most * StateFormat.pageBytes, alignment: 16)
    private(set) var count = 0

    deinit { memory.deallocate() }

    var isFull: Bool { count == PageChunk.most }

    func add(_ number: Int, _ page: UnsafeRawBufferPointer) {
        guard !isFull, page.count == StateFormat.pageBytes, let source = page.baseAddress else { return }
        memory.storeBytes(of: UInt32(truncatingIfNeeded: number).littleEndian, toByteOffset: 4 + 4 * count, as: UInt32.self)
        (memory + PageChunk.pagesAt + count * StateFormat.pageBytes).copyMemory(from: source, byteCount: StateFormat.pageBytes)
        count += 1
    }

    /// The section's bytes; nothing may be added any more.
    func section() -> UnsafeRawBufferPointer {
        memory.storeBytes(of: UInt32(count).littleEndian, as: UInt32.self)
        if count < PageChunk.most {
            memmove(memory + 4 + 4 * count, memory + PageChunk.pagesAt, count * StateFormat.pageBytes)
        }
        return UnsafeRawBufferPointer(start: memory, count: 4 + count * (4 + StateFormat.pageBytes))
    }

    func empty() { count = 0 }
}

/// Pages on their way from the machine's thread to those that pack them. The machine waits when too many are on it.
final class PageQueue: Sendable {
    /// Of 64 pages each: 64 MiB.
    private static let room = 256
    private struct State: Sendable {
        var chunks: [PageChunk] = []
        /// Packed, to be filled again.
        var free: [PageChunk] = []
        var isClosed = false
    }
    private let state = Mutex(State())
    private let filled = DispatchSemaphore(value: 0), free = DispatchSemaphore(value: PageQueue.room)

    /// - Returns: an empty one in its place.
    func push(_ chunk: PageChunk) -> PageChunk {
        free.wait()
        let next = state.withLock { state in
            state.chunks.append(chunk)
            return state.free.popLast()
        }
        filled.signal()
        return next ?? PageChunk()
    }

    func close() {
        state.withLock { $0.isClosed = true }
        filled.signal()
    }

    /// nil: closed, and nothing is left. For any number of threads.
    func pop() -> PageChunk? {
        filled.wait()
        let chunk = state.withLock { $0.chunks.isEmpty ? nil : $0.chunks.removeFirst() }
        // The end is for all.
        if chunk == nil { filled.signal() } else { free.signal() }
        return chunk
    }

    func giveBack(_ chunk: PageChunk) {
        chunk.empty()
        state.withLock { if $0.free.count < 16 { $0.free.append(chunk) } }
    }
}

/// Which pages of a snapshot lie in older files: filled by the machine's thread, read by the one that writes when the queue is closed.
final class PageLedger: @unchecked Sendable {
    private(set) var known: KnownPages
    private let before: [UInt8]
    private let fresh: UInt8
    private(set) var sharedCount = 0

    /// - Parameter known: has room for one more file.
    init(_ known: KnownPages) {
        self.known = known
        before = known.places
        fresh = UInt8(known.files.count + 1)
        self.known.places = [UInt8](repeating: 0, count: before.count)
    }

    /// - Returns: whether the page lies in an older file.
    func isShared(_ number: Int, _ page: UnsafeRawBufferPointer) -> Bool {
        guard known.places.indices.contains(number) else { return false }
        let hash = PageHash(page)
        if before[number] != 0, known.hashes[number] == hash {
            known.places[number] = before[number]
            sharedCount += 1
            return true
        }
        (known.hashes[number], known.places[number]) = (hash, fresh)
        return false
    }

    var shared: [SharedPages] {
        var pages = [[Int]](repeating: [], count: known.files.count + 2)
        for (page, place) in known.places.enumerated() where place != 0 && place != fresh { pages[Int(place)].append(page) }
        return known.files.enumerated().compactMap { index, file in
            let mine = pages[index + 1]
            return mine.isEmpty ? nil : SharedPages(file: String(file.path.dropFirst(SnapshotTree.folderName.count + 1)), mark: file.mark, pages: mine)
        }
    }

    /// What is known once the new file is whole.
    func after(_ file: KnownPages.File) -> KnownPages {
        var known = known
        known.files.append(file)
        return known
    }
}

/// What the machine remembers of its last snapshot, from the end of one to the beginning of the next.
final class PageMemory: Sendable {
    private let known = Mutex<KnownPages?>(nil)

    func take() -> KnownPages? {
        known.withLock { known in
            defer { known = nil }
            return known
        }
    }

    func keep(_ pages: KnownPages) { known.withLock { $0 = pages } }
}

/// A snapshot whose disks have been frozen and whose memory is being written.
final class LiveCapture {
    let queue = PageQueue()
    let ended = DispatchSemaphore(value: 0)
    private let ledger: PageLedger?
    private var chunk = PageChunk()

    init(_ ledger: PageLedger?) { self.ledger = ledger }

    /// From the machine's thread.
    func take(_ number: Int, _ page: UnsafeRawBufferPointer) {
        guard !StateWriter.isZero(page), ledger?.isShared(number, page) != true else { return }
        chunk.add(number, page)
        if chunk.isFull { chunk = queue.push(chunk) }
    }

    func finish() {
        if chunk.count > 0 { chunk = queue.push(chunk) }
        queue.close()
    }
}

/// Packs what comes out of a queue into a state file, on two threads: there are two processors at least, and the machine needs part of one.
final class PagePacker: Sendable {
    private struct State {
        var failure: MachineError?
        var pages: UInt64 = 0
    }
    private let state = Mutex(State())
    private let queue: PageQueue
    /// Told how many pages are written.
    private let step: @Sendable (UInt64) throws(MachineError) -> Void

    init(_ queue: PageQueue, step: @escaping @Sendable (UInt64) throws(MachineError) -> Void) { (self.queue, self.step) = (queue, step) }

    /// Whatever has failed before, or fails now: the machine must not wait for room in the queue.
    /// - Returns: when the queue is closed and empty.
    /// - Throws: the first failure.
    func run(_ file: SharedWriter?, failure: MachineError?) throws(MachineError) {
        state.withLock { $0.failure = failure }
        let other = DispatchSemaphore(value: 0)
        FileRecorder.thread("snapshot") { [self] in
            work(file)
            other.signal()
        }
        work(file)
        other.wait()
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func work(_ file: SharedWriter?) {
        let zstd = Zstd(level: StateWriter.liveLevel)
        while let chunk = queue.pop() {
            defer { queue.giveBack(chunk) }
            guard let file, state.withLock({ $0.failure == nil }) else { continue }
            do throws(MachineError) {
                let section = chunk.section()
                guard let packed = zstd.compress(section) else { throw .failed("The memory cannot be packed.") }
                try file.put(packed, raw: section.count)
                let pages = state.withLock { state in
                    state.pages += UInt64(chunk.count)
                    return state.pages
                }
                try step(pages)
            } catch {
                state.withLock { $0.failure = $0.failure ?? error }
            }
        }
    }
}

/// A state file for several threads.
final class SharedWriter: @unchecked Sendable {
    let writer: StateWriter
    private let lock = NSLock()

    init(_ writer: StateWriter) { self.writer = writer }

    func put(_ packed: [UInt8], raw: Int) throws(MachineError) {
        lock.lock()
        defer { lock.unlock() }
        try writer.packed("PAGE", packed, raw: raw)
    }
}
