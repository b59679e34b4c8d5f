import Foundation
import Synchronization

@testable import Commands

/// A host that remembers what was said.
final class TestHost: Sendable {
    private let output = Mutex("")
    private let errors = Mutex("")
    let terminal: Bool
    let console: ConsoleHook?
    let environment: [String: String]
    /// What the user types when asked.
    let typed: String?

    init(terminal: Bool = false, console: ConsoleHook? = nil, environment: [String: String] = [:], typed: String? = nil) {
        self.terminal = terminal
        self.console = console
        self.environment = environment
        self.typed = typed
    }

    var standardOutput: String { output.withLock { $0 } }
    var standardError: String { errors.withLock { $0 } }

    @MainActor
    func execute(_ arguments: [String]) -> Int32 {
        let host = Host(
            console: console, isTerminal: { [terminal] in terminal }, standardOutput: { [self] text in output.withLock { $0 += text } },
            standardError: { [self] text in errors.withLock { $0 += text + "\n" } }, standardInputLine: { [typed] in typed },
            environment: environment, handlesSignals: false)
        return Vitrine.execute(arguments, in: host)
    }
}

/// Gives the body a folder of its own, and removes it.
@MainActor
func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}
