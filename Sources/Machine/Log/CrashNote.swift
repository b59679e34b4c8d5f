import Glibc

/// The last words of a process that a fault of ours ends: one plain sentence on standard error and in the machine's log.
///
/// A trap cannot be taken back: memory may be in any state. Everything that the handler needs is prepared before, and it calls only what POSIX
/// allows there. The former handler, or the default, comes after it, so that core dumps and exit statuses are as ever.
public struct CrashNote: Sendable {
    private struct State {
        /// One sentence for each signal, as bytes.
        var words: [UnsafeMutableBufferPointer<UInt8>] = []
        var old: UnsafeMutablePointer<sigaction>
        /// Of the log; -1: there is none.
        var log: Int32 = -1
        var isInstalled = false, isSaid = false
        /// Puts a terminal back.
        var before: (@convention(c) () -> Void)?
    }

    public static let signals: [(number: Int32, name: String)] = [
        (SIGSEGV, "SIGSEGV"), (SIGBUS, "SIGBUS"), (SIGILL, "SIGILL"), (SIGFPE, "SIGFPE"), (SIGTRAP, "SIGTRAP"), (SIGABRT, "SIGABRT"),
    ]
    nonisolated(unsafe) private static let state: UnsafeMutablePointer<State> = {
        let old = UnsafeMutablePointer<sigaction>.allocate(capacity: signals.count)
        old.initialize(repeating: sigaction(), count: signals.count)
        let pointer = UnsafeMutablePointer<State>.allocate(capacity: 1)
        pointer.initialize(to: State(old: old))
        return pointer
    }()

    /// At the start of the process, before anybody else takes these signals: whoever does so later comes first, and passes them on.
    public static func install() {
        guard !state.pointee.isInstalled else { return }
        state.pointee.isInstalled = true
        describe(machine: nil, log: nil)
        coverThread()
        for (n, one) in signals.enumerated() {
            var action = sigaction()
            action.__sigaction_handler.sa_sigaction = { number, info, _ in CrashNote.crashed(number, isSent: (info?.pointee.si_code ?? 0) <= 0) }
            action.sa_flags = SA_ONSTACK | SA_SIGINFO
            sigemptyset(&action.sa_mask)
            sigaction(one.number, &action, state.pointee.old + n)
        }
    }

    /// What puts a terminal back, from a signal handler.
    static var beforeWords: (@convention(c) () -> Void)? {
        get { state.pointee.before }
        set { state.pointee.before = newValue }
    }

    /// What the sentence tells from now on.
    static func describe(machine: String?, log: String?) {
        guard state.pointee.isInstalled else { return }
        let former = state.pointee.log
        state.pointee.log = -1
        if former >= 0 { close(former) }
        let descriptor = log.map { open($0, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY) } ?? -1
        let words = signals.map { one in
            var text = "A fault of Vitrine itself has ended this program (\(one.name))."
            if let machine { text += " The machine '\(machine)' is off as if its power had been cut." }
            if let log, descriptor >= 0 { text += " Its log is '\(log)'." }
            let bytes = Array(text.utf8) + [0x0A]
            let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = memory.initialize(from: bytes)
            return memory
        }
        // The old sentences stay: a handler may be reading them.
        state.pointee.words = words
        state.pointee.log = descriptor
    }

    /// A stack of its own for handlers on this thread: the fault may be that the thread has none left.
    static func coverThread() {
        let size = 64 << 10
        var stack = stack_t()
        guard sigaltstack(nil, &stack) == 0, stack.ss_flags & Int32(SS_DISABLE) != 0 else { return }
        stack = stack_t()
        stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        stack.ss_size = size
        sigaltstack(&stack, nil)
    }

    /// Signal handler.
    /// - Parameter isSent: by `raise` or `kill`, not by an instruction.
    private static func crashed(_ number: Int32, isSent: Bool) {
        let state = state
        for n in 0..<signals.count where signals[n].number == number {
            if !state.pointee.isSaid {
                state.pointee.isSaid = true
                state.pointee.before?()
                let words = state.pointee.words[n]
                say(2, "vitrine: ")
                _ = write(2, words.baseAddress, words.count)
                if state.pointee.log >= 0 {
                    say(state.pointee.log, "!! ")
                    _ = write(state.pointee.log, words.baseAddress, words.count)
                }
            }
            sigaction(number, state.pointee.old + n, nil)
        }
        // The instruction is carried out again, now under the former handler.
        guard isSent else { return }
        var only = sigset_t()
        sigemptyset(&only)
        sigaddset(&only, number)
        pthread_sigmask(SIG_UNBLOCK, &only, nil)
        raise(number)
        // It counted on an instruction that is not there.
        signal(number, SIG_DFL)
        raise(number)
    }

    private static func say(_ descriptor: Int32, _ text: StaticString) { _ = write(descriptor, text.utf8Start, text.utf8CodeUnitCount) }
}
