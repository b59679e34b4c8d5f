import Glibc
import Synchronization

/// A pseudo-terminal whose name the user is told.
final class PTYPort: SerialBackend {
    let path: String
    private let master: Int32
    /// Kept open, so that the master does not hang up when a reader leaves.
    private let slave: Int32
    private let pending = Mutex(PendingOutput())
    private let wake: @Sendable () -> Void
    private let port: Int

    /// TIOCSPTLCK and TIOCGPTN of <asm-generic/ioctls.h>.
    private static let setLock: UInt = 0x4004_5431, getNumber: UInt = 0x8004_5430

    /// - Parameter wake: makes the pump poll again.
    /// - Throws: `.failed` when the host gives no pty.
    init(port: Int, wake: @escaping @Sendable () -> Void) throws(MachineError) {
        self.port = port
        self.wake = wake
        // posix_openpt and its relatives are not visible through the Glibc module; these are the calls that they make.
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var number: CUnsignedInt = 0
        var unlock: CInt = 0
        guard master >= 0, ioctl(master, PTYPort.setLock, &unlock) == 0, ioctl(master, PTYPort.getNumber, &number) == 0 else {
            let reason = WholeFile.reason()
            if master >= 0 { close(master) }
            throw .failed("The host gives no pseudo-terminal: \(reason).")
        }
        path = "/dev/pts/\(number)"
        self.master = master
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        var settings = termios()
        if slave >= 0, tcgetattr(slave, &settings) == 0 {
            cfmakeraw(&settings)
            tcsetattr(slave, TCSANOW, &settings)
        }
        _ = fcntl(master, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(master)
        if slave >= 0 { close(slave) }
    }

    var note: String? { "\(SerialPump.label(port)) is \(path)." }

    func write(_ bytes: [UInt8]) {
        let waits = pending.withLock {
            $0.append(bytes)
            _ = $0.flush(to: master)
            return !$0.isEmpty
        }
        if waits { wake() }
    }

    func interest(wantsInput: Bool) -> (descriptor: Int32, events: Int16)? {
        let output = pending.withLock { !$0.isEmpty }
        let events = (wantsInput ? Int16(POLLIN) : 0) | (output ? Int16(POLLOUT) : 0)
        return events == 0 ? nil : (master, events)
    }

    func ready(_ events: Int16) -> [UInt8] {
        if events & Int16(POLLOUT) != 0 { pending.withLock { _ = $0.flush(to: master) } }
        return events & Int16(POLLIN) != 0 ? readAvailable(master) ?? [] : []
    }
}
