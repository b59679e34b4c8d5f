import Foundation
import Synchronization

/// What a control socket controls.
public struct ControlSubject: Sendable {
    public var machine: any MachineControl
    public var cpus: Int
    public var log: MachineLog?

    public init(machine: any MachineControl, cpus: Int = 1, log: MachineLog? = nil) {
        (self.machine, self.cpus, self.log) = (machine, cpus, log)
    }

    /// The real machine, where it is one.
    var running: RunningMachine? { machine as? RunningMachine }
}

/// A machine's control socket: a UNIX socket that speaks QMP, and carries Vitrine's console.
///
/// It has a thread of its own, which is also the reader of the machine's wake descriptor. Nothing that a client does holds the machine's
/// thread up: a client that does not read is dropped, one that sends too much is told so and dropped.
public final class ControlServer: Sendable {
    /// Bytes of a client's command.
    public static let lineLimit = 1 << 20
    public static let connectionLimit = 64
    /// A client that has so many bytes waiting is dropped; from the lower mark on its commands wait, and it has so long to read on.
    static let outputLimit = 32 << 20, outputMark = 1 << 18
    static let stallMilliseconds: UInt64 = 30_000

    typealias Errand = @Sendable (ControlLoop) -> Void
    private let errands = Mutex<[Errand]>([])
    private let isStopping = Atomic<Bool>(false)
    /// Done before the clients are let go: who sees the end of the connection finds the machine off.
    private let last = Mutex<(@Sendable () -> Void)?>(nil)
    private let ended = DispatchSemaphore(value: 0)
    let bell: WakePipe
    let listener: Int32
    public let path: String
    let subject: ControlSubject
    let silenceMilliseconds: UInt64

    /// Listens from now on; clients are served after `start`.
    /// - Throws: `.failed` when the socket cannot be made.
    /// - Parameter silenceMilliseconds: a client that does not begin to talk is dropped after this.
    public init(path: String, subject: ControlSubject, silenceMilliseconds: UInt64 = 10_000) throws(MachineError) {
        self.silenceMilliseconds = silenceMilliseconds
        let folder = WholeFile.directory(of: path)
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw .failed("The folder '\(folder)' cannot be made: \(WholeFile.reason()).") }
        bell = try WakePipe()
        listener = try UnixSocket.listen(path)
        self.path = path
        self.subject = subject
    }

    deinit { close(listener) }

    public func start() {
        let thread = Thread { [self] in
            ControlLoop(self).run()
            ended.signal()
        }
        thread.name = "control"
        // Replies may be nested as deep as the parser allows.
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// After the machine's end: tells the clients, and removes the socket.
    /// - Parameter last: done when the socket is gone and before the clients are let go.
    public func finish(last action: @escaping @Sendable () -> Void = {}) {
        last.withLock { $0 = action }
        isStopping.store(true, ordering: .releasing)
        bell.signal()
        ended.wait()
        ended.signal()  // for the next caller
    }

    func tidyUp() {
        unlink(path)
        last.withLock { $0 }?()
    }

    var stops: Bool { isStopping.load(ordering: .acquiring) }

    /// Something for the server's thread; from any thread.
    func deliver(_ errand: @escaping Errand) {
        errands.withLock { $0.append(errand) }
        bell.signal()
    }

    func takeErrands() -> [Errand] {
        errands.withLock { errands in
            defer { errands = [] }
            return errands
        }
    }
}
