import Foundation
import Machine

/// The world that a verb runs in; tests put their own in its place.
public struct Host: Sendable {
    /// nil: built without a screen.
    public var console: ConsoleHook?
    /// Manager, themes and keymaps; nil: built without a screen.
    public var screens: ScreenHook?
    /// Standard input and output are a terminal.
    public var isTerminal: @Sendable () -> Bool
    public var standardOutput: @Sendable (String) -> Void
    /// Diagnostics; the newline is added.
    public var standardError: @Sendable (String) -> Void
    /// A line that the user types; nil at the end of the input.
    public var standardInputLine: @Sendable () -> String?
    public var environment: [String: String]
    /// SIGINT, SIGTERM and SIGHUP end a headless run in good order.
    public var handlesSignals: Bool

    public init(
        console: ConsoleHook?, isTerminal: @escaping @Sendable () -> Bool, standardOutput: @escaping @Sendable (String) -> Void,
        standardError: @escaping @Sendable (String) -> Void, standardInputLine: @escaping @Sendable () -> String? = { nil },
        environment: [String: String], handlesSignals: Bool
    ) {
        self.console = console
        self.isTerminal = isTerminal
        self.standardOutput = standardOutput
        self.standardError = standardError
        self.standardInputLine = standardInputLine
        self.environment = environment
        self.handlesSignals = handlesSignals
    }

    /// The stored machines.
    var store: MachineStore { MachineStore(environment: environment) }

    /// Where relative paths begin.
    var currentFolder: String { FileManager.default.currentDirectoryPath }

    /// This process.
    public static func process(console: ConsoleHook?) -> Host {
        Host(
            console: console, isTerminal: { isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 },
            standardOutput: { FileHandle.standardOutput.write(Data($0.utf8)) },
            standardError: { FileHandle.standardError.write(Data(($0 + "\n").utf8)) },
            standardInputLine: { readLine() }, environment: ProcessInfo.processInfo.environment, handlesSignals: true)
    }
}

/// The screen, passed in from outside: nothing here knows what it looks like.
public struct ConsoleHook: Sendable {
    /// Shows a machine that has been started until it ends, or the user goes.
    public var run: @MainActor @Sendable (any MachineControl, ConsoleSettings) -> ConsoleEnd

    public init(run: @escaping @MainActor @Sendable (any MachineControl, ConsoleSettings) -> ConsoleEnd) { self.run = run }
}

/// How the screen shall be; the words are the console's own.
public struct ConsoleSettings: Equatable, Sendable {
    public var theme: String?
    public var keymap: String?
    public var hostKey: String?
    public var ascii = false
    public var mono = false
    /// No frames, linear menus, the cursor where the attention is.
    public var screenReader = false
    /// Another process runs the machine: leaving does not end it.
    public var attached = false
    public var readOnly = false
    public init() {}
}

/// Why the console came back; the terminal is as it was before.
public enum ConsoleEnd: Equatable, Sendable {
    /// The machine has ended.
    case ended
    /// The user has left a machine that goes on.
    case detached
    case signalled(Int32)
    /// The terminal has gone.
    case hangup
    /// It cannot work here: one sentence, exit status 2.
    case unusable(String)
    /// A theme or keymap is not usable: one sentence, exit status 66.
    case badData(String)
}
