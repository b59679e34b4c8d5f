import Foundation
import Hardware
import Synchronization

/// The log of one run of a stored machine: `Logs/vitrine.log` in its folder, those of earlier runs beside it as `.1` to `.3`.
///
/// Lines are written by a thread of its own, so that a slow disk holds no machine up. Beside the file there is a ring of the last trace
/// events in shared memory of a file, `Logs/trace.ring`: it goes into the log when the machine fails, and when the process died, the next run
/// puts it there. Thread-safe.
public final class MachineLog: Sendable {
    public static let folderName = "Logs", fileName = "vitrine.log", ringName = "trace.ring"
    /// Logs of earlier runs that are kept.
    public static let kept = 3
    /// A log does not grow beyond this: a guest could fill the disk.
    public static let limitBytes = 64 << 20
    /// Lines waiting to be written beyond this are left out.
    private static let backlogBytes = 4 << 20

    private struct State: Sendable {
        var waiting: [UInt8] = []
        var left = 0
        var written = 0
        var isFull = false
        var closed = false
    }

    public let path: String
    private let descriptor: Int32
    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private let ring: MappedRing

    /// A log in a file that the user names: nothing is kept of an older one, and there is no file beside it.
    /// - Throws: `.failed` when it cannot be written.
    public convenience init(file path: String) throws(MachineError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failed("The log '\(path)' cannot be written: \(WholeFile.reason()).") }
        self.init(path: path, descriptor: descriptor, ring: MappedRing(nil))
    }

    private init(path: String, descriptor: Int32, ring: MappedRing) {
        (self.path, self.descriptor, self.ring) = (path, descriptor, ring)
        let thread = Thread { [self] in writeOut() }
        thread.name = "log"
        thread.start()
    }

    /// Makes room for a new log and opens it.
    /// - Parameter folder: the machine's.
    /// - Throws: `.failed` when the folder cannot be written.
    public convenience init(folder: String) throws(MachineError) {
        let logs = folder + "/" + MachineLog.folderName
        guard mkdir(logs, 0o700) == 0 || errno == EEXIST else { throw .failed("The log folder '\(logs)' cannot be made: \(WholeFile.reason()).") }
        let path = logs + "/" + MachineLog.fileName, ringPath = logs + "/" + MachineLog.ringName
        MachineLog.rescue(ringPath, into: path)
        for number in stride(from: MachineLog.kept - 1, through: 1, by: -1) { rename("\(path).\(number)", "\(path).\(number + 1)") }
        rename(path, path + ".1")
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .failed("The log '\(path)' cannot be written: \(WholeFile.reason()).") }
        self.init(path: path, descriptor: descriptor, ring: MappedRing(ringPath))
    }

    deinit { close(descriptor) }

    /// For the board; the log outlives it.
    var traceRing: TraceRing { ring.ring }

    public func write(_ level: LogLevel, _ component: String, _ text: String, guestTime: UInt64? = nil) {
        write(LogLine(level, component, text, guestTime: guestTime))
    }

    func write(_ line: LogLine) {
        state.withLock { state in
            guard !state.closed else { return }
            guard state.waiting.count < MachineLog.backlogBytes else {
                state.left += 1
                return
            }
            state.waiting += Array(line.formatted.utf8)
            state.waiting.append(0x0A)
        }
        bell.signal()
    }

    /// The last trace events as lines: the machine has failed.
    func writeRing(guestTime: UInt64?) {
        for line in MachineLog.lines(ring.ring) { write(line) }
    }

    /// Writes what waits and closes; the ring's file goes.
    public func finish() {
        let first = state.withLock { state in
            defer { state.closed = true }
            return !state.closed
        }
        guard first else { return }
        bell.signal()
        ended.wait()
        ring.remove()
    }

    // MARK: The writing thread

    private func writeOut() {
        while true {
            bell.wait()
            let (bytes, closed) = state.withLock { state -> ([UInt8], Bool) in
                if state.left > 0 {
                    let line = LogLine(.warn, "Log", "\(state.left) lines were left out: more came than could be written.", guestTime: nil)
                    state.waiting += Array((line.formatted + "\n").utf8)
                    state.left = 0
                }
                defer { state.waiting = [] }
                if state.isFull { return ([], state.closed) }
                state.written += state.waiting.count
                if state.written > MachineLog.limitBytes {
                    state.isFull = true
                    let line = LogLine(.warn, "Log", "The log has reached \(MachineLog.limitBytes >> 20) MiB; what follows is left out.", guestTime: nil)
                    state.waiting += Array((line.formatted + "\n").utf8)
                }
                return (state.waiting, state.closed)
            }
            // A full disk costs lines, not the machine.
            if !bytes.isEmpty { _ = WholeFile.writeAll(descriptor, bytes) }
            if closed { break }
        }
        ended.signal()
    }

    // MARK: After a crash

    /// What the last process left in its ring goes to the end of its log.
    private static func rescue(_ ringPath: String, into path: String) {
        guard let bytes = try? WholeFile.read(ringPath, what: "ring", limit: TraceRing.bytes), bytes.count == TraceRing.bytes else {
            unlink(ringPath)
            return
        }
        unlink(ringPath)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: TraceRing.bytes, alignment: 8)
        defer { memory.deallocate() }
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        var text = LogLine(.error, "VM", "The process ended without a word; the last trace events were:", guestTime: nil).formatted + "\n"
        for line in lines(TraceRing(memory)) { text += line.formatted + "\n" }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        _ = WholeFile.writeAll(descriptor, Array(text.utf8))
        close(descriptor)
    }

    private static func lines(_ ring: TraceRing) -> [LogLine] {
        let now = MachineEvent.wallClock()
        return ring.events(from: 0).map { LogLine(.trace, $0.component, $0.line, guestTime: $0.time, hostMicroseconds: now) }
    }
}

extension TraceEvent {
    /// The category's word.
    var component: String { TraceCategory(rawValue: category)?.name ?? "?" }
}

/// A trace ring in shared memory of a file, so that it survives the process; in plain memory where the host has no room for the file.
private final class MappedRing: @unchecked Sendable {
    let ring: TraceRing
    private let base: UnsafeMutableRawPointer
    private let isMapped: Bool
    private let path: String?

    /// - Parameter path: nil: plain memory.
    init(_ path: String?) {
        self.path = path
        let path = path ?? ""
        let descriptor = path.isEmpty ? -1 : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        defer { if descriptor >= 0 { close(descriptor) } }
        // Allocated, not sparse: a full disk must show itself here, and not as a signal later.
        if descriptor >= 0, posix_fallocate(descriptor, 0, off_t(TraceRing.bytes)) == 0,
            let mapped = mmap(nil, TraceRing.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED
        {
            (base, isMapped) = (mapped, true)
        } else {
            if !path.isEmpty { unlink(path) }
            base = .allocate(byteCount: TraceRing.bytes, alignment: 8)
            base.initializeMemory(as: UInt8.self, repeating: 0, count: TraceRing.bytes)
            isMapped = false
        }
        ring = TraceRing(base)
    }

    deinit {
        if isMapped { munmap(base, TraceRing.bytes) } else { base.deallocate() }
    }

    func remove() { if let path { unlink(path) } }
}
