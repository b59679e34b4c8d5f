import Glibc
import Synchronization

/// The process's own standard input and output: only the guest's bytes go there.
///
/// When standard input is a terminal it is switched to raw mode, so that every key reaches the guest; Ctrl-A x then ends the
/// run and Ctrl-A Ctrl-A sends one Ctrl-A. Bytes from a pipe or a file are passed on untouched.
final class StdioPort: SerialBackend {
    private let terminal: RawTerminal?
    private let ended = Atomic<Bool>(false)
    private let broken = Atomic<Bool>(false)
    private let prefix = Atomic<Bool>(false)
    /// The user asked for the end; also set when the run must not wait for the reader of standard output any more.
    private let quit: @Sendable () -> Void
    private let abandoned: @Sendable () -> Bool

    init(quit: @escaping @Sendable () -> Void, abandoned: @escaping @Sendable () -> Bool) {
        self.quit = quit
        self.abandoned = abandoned
        terminal = isatty(STDIN_FILENO) == 1 ? RawTerminal(descriptor: STDIN_FILENO) : nil
    }

    var note: String? { terminal == nil ? nil : "COM1 is this terminal; Ctrl-A x ends the run." }

    func write(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count, !broken.load(ordering: .relaxed) {
            var entry = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, 100) > 0 else {
                if abandoned() { return }
                continue
            }
            // A pipe that polls writable takes PIPE_BUF bytes without blocking.
            let count = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress! + done, min(4096, $0.count - done)) }
            if count > 0 {
                done += count
            } else if errno != EINTR, errno != EAGAIN {
                broken.store(true, ordering: .relaxed)
            }
        }
    }

    func interest(wantsInput: Bool) -> (descriptor: Int32, events: Int16)? {
        wantsInput && !ended.load(ordering: .relaxed) ? (STDIN_FILENO, Int16(POLLIN)) : nil
    }

    func ready(_ events: Int16) -> [UInt8] {
        guard let bytes = readAvailable(STDIN_FILENO) else {
            ended.store(true, ordering: .relaxed)
            return []
        }
        return terminal == nil ? bytes : bytes.compactMap(filter)
    }

    /// Ctrl-A (0x01) and what follows it.
    private func filter(_ byte: UInt8) -> UInt8? {
        if prefix.exchange(false, ordering: .relaxed) {
            if byte == UInt8(ascii: "x") || byte == UInt8(ascii: "X") { quit() }
            return byte == 0x01 ? byte : nil
        }
        if byte == 0x01 {
            prefix.store(true, ordering: .relaxed)
            return nil
        }
        return byte
    }

    func finish() { terminal?.restore() }
}

/// A terminal in raw mode; put back on every way out of the process, crashes included.
final class RawTerminal: Sendable {
    /// What the terminal was like; `valid` guards the signal handler against a terminal that is not raw.
    private struct Saved {
        var valid = false
        var descriptor: Int32 = -1
        var settings = termios()
    }
    nonisolated(unsafe) private static let saved: UnsafeMutablePointer<Saved> = {
        let pointer = UnsafeMutablePointer<Saved>.allocate(capacity: 1)
        pointer.initialize(to: Saved())
        return pointer
    }()

    /// nil: not a terminal, or one is raw already.
    init?(descriptor: Int32) {
        let saved = RawTerminal.saved
        guard !saved.pointee.valid, tcgetattr(descriptor, &saved.pointee.settings) == 0 else { return nil }
        saved.pointee.descriptor = descriptor
        var raw = saved.pointee.settings
        cfmakeraw(&raw)
        raw.c_oflag |= tcflag_t(OPOST)  // what we and the guest print with \n alone still begins a new line
        guard tcsetattr(descriptor, TCSANOW, &raw) == 0 else { return nil }
        saved.pointee.valid = true
        atexit { RawTerminal.putBack() }
        // `CrashNote` is told of these; it gives the terminal back.
        CrashNote.beforeWords = { RawTerminal.putBack() }
        CrashNote.install()
    }

    func restore() { RawTerminal.putBack() }

    private static func putBack() {
        guard saved.pointee.valid else { return }
        saved.pointee.valid = false
        tcsetattr(saved.pointee.descriptor, TCSANOW, &saved.pointee.settings)
    }
}
