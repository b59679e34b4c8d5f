import Foundation
import Synchronization

/// A terminal made of code: a pseudo-terminal with the console on it, every byte it writes, and answers to its questions.
final class FakeTerminal: Sendable {
    struct State: Sendable {
        var output: [UInt8] = []
        var ended = false
        var searched = 0
    }

    private let master: Int32
    private let pid: pid_t
    /// Shared with the reading thread, which must not keep the terminal itself alive.
    private final class Shared: Sendable { let state = Mutex(State()) }
    private let shared = Shared()
    let log: URL
    private let folder: URL

    /// - Parameter answers: what the program writes, what the terminal replies.
    init(_ arguments: [String] = [], term: String = "xterm-256color", variables: [String: String] = [:], answers: [String: String] = [:])
        throws
    {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-test-" + UUID().uuidString.prefix(8))
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        log = folder.appendingPathComponent("log")
        // What posix_openpt and unlockpt do, which Swift does not import: TIOCSPTLCK and TIOCGPTN of asm-generic/ioctls.h.
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var unlocked: Int32 = 0, number: Int32 = 0
        guard ioctl(master, 0x4004_5431, &unlocked) == 0, ioctl(master, 0x8004_5430, &number) == 0 else { throw POSIXError(.ENOTTY) }
        var size = winsize(ws_row: 25, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that a session leader opens is its own.
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/pts/\(number)", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_addopen(&actions, 2, folder.appendingPathComponent("error").path, O_WRONLY | O_CREAT, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | 0x80)  // POSIX_SPAWN_SETSID, not imported
        var environment = [
            "TERM": term, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "XDG_CONFIG_HOME": "/nonexistent", "SWIFT_BACKTRACE": "enable=no",
        ]
        environment.merge(variables) { $1 }
        var argv = ([probe, "--log", log.path] + arguments).map { strdup($0) } + [nil]
        var envp = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child: pid_t = 0
        guard posix_spawn(&child, probe, &actions, &attributes, &argv, &envp) == 0 else { throw POSIXError(.ENOENT) }
        pid = child
        let thread = Thread { [master, shared] in
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                let n = read(master, &buffer, buffer.count)
                guard n > 0 else { break }
                let replies = shared.state.withLock { state in
                    state.output += buffer[0..<n]
                    return FakeTerminal.replies(&state, answers)
                }
                if !replies.isEmpty { FakeTerminal.send(replies, to: master) }
            }
            shared.state.withLock { $0.ended = true }
        }
        thread.start()
    }

    deinit {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        close(master)
        try? FileManager.default.removeItem(at: folder)
    }

    private static func replies(_ state: inout State, _ answers: [String: String]) -> String {
        let questions = answers.map { (Array($0.key.utf8), $0.value) }
        var result = "", at = state.searched
        scan: while at < state.output.count {
            if state.output[at] == 0x1B {
                for (question, answer) in questions {
                    let there = state.output[at..<min(state.output.count, at + question.count)]
                    guard there.elementsEqual(question.prefix(there.count)) else { continue }
                    // The end of a read may cut a question: the rest comes with the next.
                    if there.count < question.count { break scan }
                    result += answer
                }
            }
            at += 1
        }
        state.searched = at
        return result
    }

    func send(_ text: String) { FakeTerminal.send(text, to: master) }

    private static func send(_ text: String, to master: Int32) {
        let bytes = Array(text.utf8)
        _ = write(master, bytes, bytes.count)
    }

    func terminate() { kill(pid, SIGTERM) }

    var output: String { shared.state.withLock { String(decoding: $0.output, as: UTF8.self) } }
    var outputCount: Int { shared.state.withLock { $0.output.count } }
    var hasEnded: Bool { shared.state.withLock { $0.ended } }

    func sees(_ text: String, _ seconds: Double = 10) -> Bool { eventually(seconds) { output.contains(text) } }

    var logged: [String] {
        ((try? String(contentsOf: log, encoding: .utf8)) ?? "").split(separator: "\n").map { String($0) }.filter { $0 != "release-all" }
    }

    /// Where a sequence first is in the output.
    func position(_ text: String) -> Int? {
        let all = output
        return all.firstRange(of: text).map { all.utf8.distance(from: all.startIndex, to: $0.lowerBound) }
    }
}
