import Foundation
import Testing

/// Where the built programs are: beside the test program.
let products: URL = {
    let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let beside = URL(fileURLWithPath: program).deletingLastPathComponent()
    if FileManager.default.fileExists(atPath: beside.appendingPathComponent("consoleprobe").path) { return beside }
    return URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../.build/debug").standardizedFileURL
}()

let probe = products.appendingPathComponent("consoleprobe").path

/// Runs a program to its end, its output collected in a file.
///
/// By posix_spawn: Foundation's Process waits until every descendant has closed a socket of its own, and a tmux server is a
/// descendant that stays.
@discardableResult
func shell(_ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment) throws -> (
    status: Int32, output: String
) {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-output-" + UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: file) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, file.path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // The threads of test runners block signals; what they start must not.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var argv = arguments.map { strdup($0) } + [nil], envp = environment.map { strdup("\($0)=\($1)") } + [nil]
    defer { for string in argv + envp { free(string) } }
    var pid: pid_t = 0
    guard posix_spawnp(&pid, arguments[0], &actions, &attributes, &argv, &envp) == 0 else {
        return (127, "\(arguments[0]) cannot be started")
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    return (status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F), try String(contentsOf: file, encoding: .utf8))
}

/// Waits for something to become true.
func eventually(_ seconds: Double = 10, _ what: String = "", _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if try condition() { return true }
        usleep(15_000)
    }
    return try condition()
}

/// Why the tests with a terminal cannot run here; nil when they can.
let tmuxIsMissing: String? = {
    guard let found = try? shell(["sh", "-c", "command -v tmux"]), found.status == 0 else { return "tmux is not installed" }
    return FileManager.default.isExecutableFile(atPath: probe) ? nil : "consoleprobe is not built"
}()

/// A tmux server of its own with one window in which a shell runs one program.
final class Tmux {
    let socket: String
    /// A folder for logs, gone with the server.
    let folder: URL
    let log: URL

    private static let environment: [String: String] = {
        var environment = ProcessInfo.processInfo.environment
        environment["TMUX"] = nil
        environment["LANG"] = "C.UTF-8"
        environment["LC_ALL"] = nil
        environment["COLORTERM"] = nil
        environment["NO_COLOR"] = nil
        // The backtracer would ask what to do.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        environment["XDG_CONFIG_HOME"] = "/nonexistent"
        return environment
    }()

    /// - Parameters:
    ///   - variables: set for the program.
    ///   - after: run by the shell when the program has ended.
    ///   - command: in place of all that; `$LOG`, `$PROBE` and `$FOLDER` are set.
    init(
        _ arguments: String = "", command: String? = nil, width: Int = 80, height: Int = 25, variables: String = "TERM=tmux-256color",
        after: String = "echo DONE $?; exec cat"
    ) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-test-" + UUID().uuidString.prefix(8))
        socket = folder.appendingPathComponent("socket").path
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        log = folder.appendingPathComponent("log")
        let command =
            command.map { "export PROBE='\(probe)' LOG='\(log.path)' FOLDER='\(folder.path)'; \($0)" }
            ?? "env \(variables) '\(probe)' --log '\(log.path)' \(arguments) 2>'\(folder.path)/error'; \(after)"
        try tmux("-f", "/dev/null", "new-session", "-d", "-x", "\(width)", "-y", "\(height)", command)
        try tmux("set-option", "-g", "window-size", "manual")
    }

    deinit {
        _ = try? tmux("kill-server")
        try? FileManager.default.removeItem(at: folder)
    }

    @discardableResult
    func tmux(_ arguments: String...) throws -> String {
        try shell(["tmux", "-S", socket] + arguments, environment: Tmux.environment).output
    }

    func keys(_ names: String...) throws { for name in names { try tmux("send-keys", name) } }

    func resize(_ width: Int, _ height: Int) throws { try tmux("resize-window", "-x", "\(width)", "-y", "\(height)") }

    func screen(colours: Bool = false) throws -> String { try colours ? tmux("capture-pane", "-pe") : tmux("capture-pane", "-p") }

    func display(_ format: String) throws -> String {
        try tmux("display-message", "-p", format).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Waits until the screen contains a text.
    func sees(_ text: String, _ seconds: Double = 10) throws -> Bool { try eventually(seconds) { try screen().contains(text) } }

    var logged: [String] {
        ((try? String(contentsOf: log, encoding: .utf8)) ?? "").split(separator: "\n").map { String($0) }.filter { $0 != "release-all" }
    }

    var errors: String { (try? String(contentsOf: folder.appendingPathComponent("error"), encoding: .utf8)) ?? "" }

    /// Process number of the program.
    func pid() throws -> Int32 {
        let pane = try display("#{pane_pid}")
        let found = try shell(["pgrep", "-P", pane, "consoleprobe"]).output
        return try #require(Int32(found.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    /// The machine's screen is up and the console says who has the keyboard.
    func isUp() throws -> Bool { try eventually { try screen().contains("Running") } }
}
