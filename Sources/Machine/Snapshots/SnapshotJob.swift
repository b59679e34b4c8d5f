import Foundation
import Synchronization

/// Work on the snapshots of a machine that runs, on its way through the machine's own process. How it went is told once.
final class SnapshotJob: Sendable {
    enum Work: Sendable {
        case take(name: String, description: String)
        /// The guest stands still meanwhile.
        case delete(name: String)
    }
    struct Facts: Sendable {
        var id = ""
        /// How long the guest stood still.
        var pauseMilliseconds = 0.0
        /// From the request to the end.
        var seconds = 0.0
        /// Of its memory, in the file.
        var bytes: UInt64 = 0
    }
    typealias Result = Swift.Result<Facts, MachineError>

    let work: Work
    private let progress: @Sendable (UInt64, UInt64) -> Void
    private let told: Mutex<(@Sendable (Result) -> Void)?>
    private let isCancelled = Atomic<Bool>(false)
    private let shown = Mutex<UInt64>(0)
    let begun = HostClock.monotonic()

    init(_ work: Work, progress: @escaping @Sendable (UInt64, UInt64) -> Void, tell: @escaping @Sendable (Result) -> Void) {
        self.work = work
        self.progress = progress
        told = Mutex(tell)
    }

    func cancel() { isCancelled.store(true, ordering: .relaxed) }
    var isCalledOff: Bool { isCancelled.load(ordering: .relaxed) }

    func end(_ result: Result) {
        let tell = told.withLock { told in
            defer { told = nil }
            return told
        }
        tell?(result)
    }

    /// Ten times a second at most.
    func update(_ done: UInt64, _ total: UInt64) {
        let now = HostClock.monotonic()
        let due = shown.withLock { shown in
            guard now &- shown >= 100_000_000 else { return false }
            shown = now
            return true
        }
        if due { progress(done, total) }
    }

    /// What the guest's disks have waiting in the host is written first, so that the guest need not stand still for it.
    func start(_ machine: RunningMachine) {
        let paths = machine.diskPaths
        Thread.detachNewThread { [self] in
            for path in paths {
                let descriptor = open(path, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else { continue }
                fdatasync(descriptor)
                close(descriptor)
            }
            if !machine.send(.snapshot(self)) { end(.failure(MachineError(.wrongPlace, "The machine has ended."))) }
        }
    }
}

/// Pages on their way from the machine's thread to the one that writes them. The machine waits when too many are on it.
final class PageQueue: Sendable {
    struct Chunk: Sendable {
        var numbers: [Int] = []
        var bytes: [UInt8] = []
    }
    /// Of 64 pages each: 64 MiB.
    private static let room = 256
    private struct State: Sendable {
        var chunks: [Chunk] = []
        var isClosed = false
    }
    private let state = Mutex(State())
    private let filled = DispatchSemaphore(value: 0), free = DispatchSemaphore(value: PageQueue.room)

    func push(_ chunk: Chunk) {
        free.wait()
        state.withLock { $0.chunks.append(chunk) }
        filled.signal()
    }

    func close() {
        state.withLock { $0.isClosed = true }
        filled.signal()
    }

    /// nil: closed, and nothing is left.
    func pop() -> Chunk? {
        while true {
            filled.wait()
            let (chunk, isOver) = state.withLock { state -> (Chunk?, Bool) in
                state.chunks.isEmpty ? (nil, state.isClosed) : (state.chunks.removeFirst(), false)
            }
            if let chunk {
                free.signal()
                return chunk
            }
            if isOver { return nil }
        }
    }
}

/// A snapshot whose disks have been frozen and whose memory is being written.
final class LiveCapture {
    let queue = PageQueue()
    let ended = DispatchSemaphore(value: 0)
    private var chunk = PageQueue.Chunk()

    /// From the machine's thread.
    func take(_ number: Int, _ page: UnsafeRawBufferPointer) {
        guard !StateWriter.isZero(page) else { return }
        chunk.numbers.append(number)
        chunk.bytes += page
        if chunk.numbers.count == StateFormat.pagesPerSection { flush() }
    }

    private func flush() {
        queue.push(chunk)
        chunk = PageQueue.Chunk()
        chunk.bytes.reserveCapacity(StateFormat.pagesPerSection * StateFormat.pageBytes)
    }

    func finish() {
        if !chunk.numbers.isEmpty { flush() }
        queue.close()
    }
}
