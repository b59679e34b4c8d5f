import Foundation

/// Starts a stored machine in a process of its own that outlives this one and its terminal.
public enum DetachedStart {
    /// What the child writes to the descriptor that it is given, when the machine runs.
    private static let readyWord = Array("ready\n".utf8)

    /// Vitrine's program file, so that the child is called as it is in lists of processes.
    public static let ownPath: String = {
        var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = path.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { readlink("/proc/self/exe", $0, bytes.count) } ?? -1 }
        let name = String(decoding: path.prefix(max(0, count)), as: UTF8.self)
        // The file may have been replaced since.
        return count > 0 && access(name, X_OK) == 0 ? name : "/proc/self/exe"
    }()

    /// Returns when the machine runs.
    /// - Parameters:
    ///   - program: Vitrine itself.
    ///   - options: more options of `start`.
    ///   - environment: of the child.
    /// - Throws: what the child says, with its exit status as far as `MachineError` has it.
    public static func start(
        _ name: String, program: String = DetachedStart.ownPath, options: [String] = [], environment: [String: String]
    ) throws(MachineError) {
        var errors: [Int32] = [-1, -1], ready: [Int32] = [-1, -1]
        guard pipe(&errors) == 0, pipe(&ready) == 0 else { throw .failed("The host has no descriptors left: \(WholeFile.reason()).") }
        // The child gets the ends that the actions below give it, and nothing else.
        for descriptor in 3..<1024 as Range<Int32> where fcntl(descriptor, F_GETFD) >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let arguments = ["vitrine", "start", "--headless", "--ready-descriptor", "3"] + options + ["--", name]
        var child: pid_t = 0
        let failure = spawn(&child, program, arguments, environment, errors: errors[1], ready: ready[1])
        close(errors[1])
        close(ready[1])
        defer {
            close(errors[0])
            close(ready[0])
        }
        guard failure == 0 else { throw .failed("'\(name)' cannot be started: \(WholeFile.reason(failure)).") }
        let (isReady, text) = follow(errors: errors[0], ready: ready[0])
        if isReady {
            // Somebody has to hear of its end while this process lives.
            let pid = child
            Thread.detachNewThread {
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            }
            return
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        throw sentence(text, status, name)
    }

    /// Called by the child when the machine runs: says so, and lets go of the terminal.
    /// - Parameter errors: a file for what goes to standard error from now on, such as a trap's backtrace.
    public static func announce(_ descriptor: Int32, errors path: String) {
        _ = WholeFile.writeAll(descriptor, readyWord)
        close(descriptor)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        let target = file >= 0 ? file : open("/dev/null", O_WRONLY | O_CLOEXEC)
        guard target >= 0 else { return }
        dup2(target, STDERR_FILENO)
        close(target)
    }

    private static func spawn(
        _ child: inout pid_t, _ program: String, _ arguments: [String], _ environment: [String: String], errors: Int32, ready: Int32
    ) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        // The order matters: 3 may be one of our own ends.
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        posix_spawn_file_actions_adddup2(&actions, ready, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: no terminal's hang-up reaches it. Signals as in a fresh process.
        var none = sigset_t(), all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        let setsid: Int32 = 0x80  // POSIX_SPAWN_SETSID, visible in C only with _GNU_SOURCE
        posix_spawnattr_setflags(&attributes, Int16(Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | setsid))
        var argv = arguments.map { strdup($0) } + [nil], envp = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        return posix_spawn(&child, program, &actions, &attributes, &argv, &envp)
    }

    /// Waits until the child is ready or has ended; what it wrote to standard error.
    private static func follow(errors: Int32, ready: Int32) -> (isReady: Bool, text: String) {
        var text: [UInt8] = [], word: [UInt8] = []
        while true {
            var entries = [pollfd(fd: errors, events: Int16(POLLIN), revents: 0), pollfd(fd: ready, events: Int16(POLLIN), revents: 0)]
            if poll(&entries, 2, -1) < 0, errno != EINTR { return (false, String(decoding: text, as: UTF8.self)) }
            if entries[0].revents != 0, let bytes = readAvailable(errors), text.count < 1 << 16 { text += bytes }
            guard entries[1].revents != 0 else { continue }
            if let bytes = readAvailable(ready) {
                word += bytes
                if word == readyWord { return (true, "") }
                continue
            }
            // It has closed both: the rest of its words.
            while let bytes = readAvailable(errors), !bytes.isEmpty, text.count < 1 << 16 { text += bytes }
            return (false, String(decoding: text, as: UTF8.self))
        }
    }

    private static func sentence(_ text: String, _ status: Int32, _ name: String) -> MachineError {
        let code = status & 0x7F == 0 ? status >> 8 & 0xFF : -1
        var lines = text.split(whereSeparator: \.isNewline).map(String.init)
        lines = lines.map { $0.hasPrefix("vitrine: ") ? String($0.dropFirst(9)) : $0 }
        let reason = lines.isEmpty ? "'\(name)' ended before it ran." : lines.joined(separator: "\n")
        return MachineError(MachineError.Kind(rawValue: code) ?? .failed, reason)
    }
}

extension DetachedStart {
    /// Work for which a machine has to be off: one that runs is switched off before it and started again after it.
    /// - Parameters:
    ///   - client: of the machine that runs; nil: it is off.
    ///   - keeps: the present state matters.
    public static func whileOff(
        _ name: String, client: ControlClient?, keeps: Bool, _ body: () throws(MachineError) -> Void, start: () throws(MachineError) -> Void
    ) throws(MachineError) {
        guard let client else { return try body() }
        // Who looks at it waits for it. An older process does not know the word; then they leave.
        _ = try? client.ask("x-vitrine-comes-back")
        do throws(MachineError) {
            // With its memory; what is kept of it without is as if the power had been cut.
            try client.ask(keeps ? "x-vitrine-save-state" : "quit", within: nil)
        } catch {
            // One that is stuck has no state that could go on.
            guard try client.ask("x-vitrine-view")["state"]?.string == "stuck" else {
                _ = try? client.ask("x-vitrine-comes-back", ["comes-back": false])
                throw error
            }
            try client.ask("quit", within: nil)
        }
        guard try client.waitForEnd(within: 60) else { throw .failed("The machine '\(name)' does not end.") }
        do throws(MachineError) {
            try body()
        } catch {
            // It goes on from the state that was just saved.
            if keeps { try? start() }
            throw error
        }
        try start()
    }
}
