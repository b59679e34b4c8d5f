import Foundation

/// A program of the host: run with a list of arguments, no shell, no terminal, in a process group of its own, read line by line.
struct HostTool {
    enum End: Equatable {
        case exited(Int32)
        /// The program was killed by a signal.
        case killed(Int32)
        /// `cancelled` said so; the program and its children have ended.
        case cancelled(Int32)
    }

    /// How long a cancelled program may tidy up before it is killed.
    static let graceSeconds = 30

    let path: String
    var environment: [String: String]

    /// Looks the program up. The folders for administrators count too: they hold `mke2fs`, and are not in every user's path.
    /// - Returns: nil when it is not there.
    init?(_ name: String, environment: [String: String]) {
        let folders = HostTool.searchPath(environment).split(separator: ":").map(String.init)
        guard let folder = folders.first(where: { $0.hasPrefix("/") && access($0 + "/" + name, X_OK) == 0 }) else { return nil }
        path = folder + "/" + name
        self.environment = environment
        self.environment["PATH"] = HostTool.searchPath(environment)
        // What the program says is read by us.
        self.environment["LC_ALL"] = "C"
    }

    private static func searchPath(_ environment: [String: String]) -> String {
        (environment["PATH"].map { $0 + ":" } ?? "") + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    }

    /// Runs the program to its end.
    /// - Parameters:
    ///   - line: called for each line of its output and of its complaints.
    ///   - cancelled: asked ten times a second; a signal's number stops the program and its children.
    /// - Throws: `.failed` when the program cannot be started.
    func run(_ arguments: [String], line: (Substring) -> Void, cancelled: () -> Int32?) throws(MachineError) -> End {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .failed("The program '\(path)' cannot be started: \(WholeFile.reason()).") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let reader = ends[0]
        defer { close(reader) }
        _ = fcntl(reader, F_SETFL, O_NONBLOCK)
        let child: pid_t
        do {
            defer { close(ends[1]) }
            child = try start(arguments, output: ends[1])
        }
        var buffer: [UInt8] = []
        var status: Int32 = 0
        while true {
            var waiting = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            // Also the pace of `cancelled`. A program that closed its output and runs on is waited for all the same.
            _ = poll(&waiting, 1, 100)
            let ended = waitpid(child, &status, WNOHANG) == child
            read(reader, into: &buffer, line)
            if ended {
                if !buffer.isEmpty { line(Substring(decoding: buffer, as: UTF8.self)) }
                return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .killed(status & 0x7F)
            }
            if let signal = cancelled() {
                stop(child, reader)
                return .cancelled(signal)
            }
        }
    }

    /// With the signals and the mask of a program that a shell starts: ours are for ourselves.
    private func start(_ arguments: [String], output: Int32) throws(MachineError) -> pid_t {
        var actions = posix_spawn_file_actions_t(), attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        var none = sigset_t(), usual = sigset_t()
        sigemptyset(&none)
        sigemptyset(&usual)
        for signal in [SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT] { sigaddset(&usual, signal) }
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &usual)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var argv: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in argv + envp { free(text) } }
        var child: pid_t = 0
        let failure = posix_spawn(&child, path, &actions, &attributes, &argv, &envp)
        guard failure == 0 else { throw .failed("The program '\(path)' cannot be started: \(WholeFile.reason(failure)).") }
        return child
    }

    private func read(_ reader: Int32, into buffer: inout [UInt8], _ line: (Substring) -> Void) {
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = Glibc.read(reader, &chunk, chunk.count)
            guard count > 0 else { break }
            buffer += chunk[..<count]
        }
        while let end = buffer.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
            line(Substring(decoding: buffer[..<end], as: UTF8.self))
            buffer.removeSubrange(...end)
        }
    }

    /// Asks the whole group to end, and kills it when it does not.
    private func stop(_ child: pid_t, _ reader: Int32) {
        kill(-child, SIGTERM)
        var buffer: [UInt8] = []
        var status: Int32 = 0
        for _ in 0..<HostTool.graceSeconds * 10 {
            var waiting = pollfd(fd: -1, events: 0, revents: 0)
            _ = poll(&waiting, 1, 100)
            read(reader, into: &buffer) { _ in }
            if waitpid(child, &status, WNOHANG) == child {
                kill(-child, SIGKILL)
                return
            }
        }
        kill(-child, SIGKILL)
        waitpid(child, &status, 0)
    }
}
