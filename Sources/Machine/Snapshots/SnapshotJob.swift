import Foundation
import Synchronization

/// Work on the snapshots of a machine that runs, on its way through the machine's own process. How it went is told once.
final class SnapshotJob: Sendable {
    enum Work: Sendable {
        case take(name: String, description: String)
        /// The guest stands still meanwhile.
        case delete(name: String)
        /// What could be undone goes.
        case commit
        /// The state into a file; the machine stands still until it is released.
        case hold(String)
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
        if case .hold = work {
            // In order with what follows on the same connection.
            if !machine.send(.snapshot(self)) { end(.failure(MachineError(.wrongPlace, "The machine has ended."))) }
            return
        }
        let paths = machine.diskPaths
        FileRecorder.thread("snapshot") { [self] in
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
