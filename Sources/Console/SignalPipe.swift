import Glibc

/// Signals as bytes in a pipe, for the poll loop.
///
/// A handler may do next to nothing; ours writes the signal's number. The descriptor lives in plain memory because a handler must
/// not run into the runtime's exclusivity checks.
struct SignalPipe: @unchecked Sendable {
    static let shared = SignalPipe()

    /// Read end, write end; -1 when not open.
    private let ends = UnsafeMutablePointer<Int32>.allocate(capacity: 2)

    private init() { ends.initialize(repeating: -1, count: 2) }

    static let caught: [Int32] = [SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT]

    var readDescriptor: Int32 { ends[0] }

    func note(_ signal: Int32) {
        let saved = errno
        var byte = UInt8(truncatingIfNeeded: signal)
        _ = write(ends[1], &byte, 1)
        errno = saved
    }

    /// Takes the signals over; the former handlers come back.
    func install() -> [(Int32, sigaction)] {
        if ends[0] < 0 {
            guard pipe(ends) == 0 else { return [] }
            for end in 0..<2 {
                _ = fcntl(ends[end], F_SETFL, O_NONBLOCK)
                _ = fcntl(ends[end], F_SETFD, FD_CLOEXEC)
            }
        }
        // Whoever started us may have blocked them.
        var wanted = sigset_t()
        sigemptyset(&wanted)
        for number in SignalPipe.caught + CrashGuard.fatal { sigaddset(&wanted, number) }
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
        var old: [(Int32, sigaction)] = []
        for number in SignalPipe.caught {
            var action = sigaction(), former = sigaction()
            action.__sigaction_handler.sa_handler = { SignalPipe.shared.note($0) }
            action.sa_flags = SA_RESTART
            sigemptyset(&action.sa_mask)
            sigaction(number, &action, &former)
            old.append((number, former))
        }
        return old
    }

    func restore(_ old: [(Int32, sigaction)]) {
        for (number, former) in old {
            var action = former
            sigaction(number, &action, nil)
        }
        _ = drain()
    }

    func drain() -> [Int32] {
        var bytes = [UInt8](repeating: 0, count: 64)
        var result: [Int32] = []
        while true {
            let n = read(ends[0], &bytes, bytes.count)
            guard n > 0 else { return result }
            result += bytes[0..<n].map { Int32($0) }
        }
    }
}
