import Glibc
import Terminal

/// Gives the terminal back on the ways out that no code of ours walks: crashes, traps, `exit` in another thread.
///
/// Everything that a handler needs is prepared before: bytes, terminal settings, descriptors, an own stack. After restoring, the
/// former handler is put back and the signal raised again, so that backtraces and core dumps happen as ever.
struct CrashGuard: @unchecked Sendable {
    static let shared = CrashGuard()

    struct State {
        var armed = false
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        var settings = termios()
        /// The real standard error, and the file that collects what is written there meanwhile; -1: not diverted.
        var realError: Int32 = -1
        var collected: Int32 = -1
        /// Bytes of it that have been looked at.
        var looked = 0
        var installed = false
    }

    static let fatal: [Int32] = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGQUIT, SIGSYS]

    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    private let old = UnsafeMutablePointer<sigaction>.allocate(capacity: CrashGuard.fatal.count)

    private init() {
        state.initialize(to: State())
        old.initialize(repeating: sigaction(), count: CrashGuard.fatal.count)
    }

    /// From now on `restore` is what undoes the screen.
    func arm(settings: termios, restore: String) {
        let bytes = Array(restore.utf8)
        state.pointee.bytes?.deallocate()
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        memory.initialize(from: bytes, count: bytes.count)
        state.pointee.bytes = memory
        state.pointee.count = bytes.count
        state.pointee.settings = settings
        install()
        state.pointee.armed = true
    }

    func disarm() { state.pointee.armed = false }

    /// False once the terminal has been given back: nothing may be painted any more.
    var isArmed: Bool { state.pointee.armed }

    private func install() {
        guard !state.pointee.installed else { return }
        state.pointee.installed = true
        let size = 64 << 10
        var stack = stack_t()
        stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        stack.ss_size = size
        sigaltstack(&stack, nil)
        for (i, number) in CrashGuard.fatal.enumerated() {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { CrashGuard.shared.crashed($0) }
            action.sa_flags = SA_ONSTACK
            sigemptyset(&action.sa_mask)
            sigaction(number, &action, old + i)
        }
        atexit { CrashGuard.shared.restore() }
    }

    /// Signal handler: only functions that POSIX allows there.
    private func crashed(_ number: Int32) {
        restore()
        for i in 0..<CrashGuard.fatal.count where CrashGuard.fatal[i] == number { sigaction(number, old + i, nil) }
        raise(number)
    }

    /// Puts the terminal back at once. Callable from a signal handler; does nothing when there is nothing to put back.
    func restore() {
        guard state.pointee.armed else { return }
        state.pointee.armed = false
        if let bytes = state.pointee.bytes { writeAll(1, bytes, state.pointee.count) }
        tcsetattr(0, TCSANOW, &state.pointee.settings)
        undivert()
    }

    // MARK: Standard error

    /// Collects standard error in a nameless file while the screen is up, when it would go to the terminal.
    func divert() {
        guard state.pointee.realError < 0, isatty(2) == 1 else { return }
        let real = fcntl(2, F_DUPFD_CLOEXEC, 3)
        var path = Array("/tmp/vitrine-stderr-XXXXXX".utf8CString)
        let file = mkstemp(&path)
        if file >= 0 {
            unlink(path)
            _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        }
        guard real >= 0, file >= 0, dup2(file, 2) >= 0 else {
            if real >= 0 { close(real) }
            if file >= 0 { close(file) }
            return
        }
        state.pointee.realError = real
        state.pointee.collected = file
        state.pointee.looked = 0
    }

    /// The last whole line that has come since the last call and begins with a prefix.
    func freshErrorLine(_ prefix: String) -> String? {
        guard state.pointee.realError >= 0 else { return nil }
        var info = stat()
        guard fstat(state.pointee.collected, &info) == 0, info.st_size > state.pointee.looked else { return nil }
        // The file's own position belongs to those who write.
        let start = max(state.pointee.looked, info.st_size - 4096)
        var bytes = [UInt8](repeating: 0, count: info.st_size - start)
        let n = pread(state.pointee.collected, &bytes, bytes.count, start)
        guard n > 0, let end = bytes[..<n].lastIndex(of: 0x0A) else { return nil }
        state.pointee.looked = start + end + 1
        return String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\n").last { $0.hasPrefix(prefix) }
            .map { String($0.dropFirst(prefix.count)) }
    }

    /// Gives standard error back and shows what was collected (of much only the last 256 KiB).
    func undivert() {
        let real = state.pointee.realError, file = state.pointee.collected
        guard real >= 0 else { return }
        state.pointee.realError = -1
        dup2(real, 2)
        let limit = 256 << 10, size = lseek(file, 0, SEEK_END)
        lseek(file, max(0, size - limit), SEEK_SET)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { buffer in
            guard let base = buffer.baseAddress else { return }
            while true {
                let n = read(file, base, 4096)
                guard n > 0 else { break }
                writeAll(2, base, n)
            }
        }
        close(file)
        close(real)
    }

    private func writeAll(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        var done = 0
        while done < count {
            let n = write(descriptor, bytes + done, count - done)
            if n < 0, errno == EINTR { continue }
            guard n > 0 else { return }
            done += n
        }
    }
}
