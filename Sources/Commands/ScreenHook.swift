import Machine

/// What verbs want of screens, themes and keymaps, passed in from outside: nothing here knows what they look like.
public struct ScreenHook: Sendable {
    /// The manager of stored machines, until the user leaves.
    public var manager: @MainActor @Sendable (ConsoleSettings) -> ConsoleEnd
    /// The manager's screen as text after some keys, without a terminal.
    public var screenText: @MainActor @Sendable (_ size: String, _ keys: String, ConsoleSettings) -> TextResult
    /// What is to say about a theme file; nothing: it is good.
    public var checkTheme: @Sendable (_ path: String) -> TextResult
    /// Names of the themes or keymaps, the chosen one marked.
    public var themes: @Sendable () -> TextResult
    /// The keys that are in force, context by context.
    public var keys: @Sendable (_ keymap: String?) -> TextResult
    /// Shows every event of the terminal until Ctrl-D is pressed twice.
    public var testKeys: @MainActor @Sendable (ConsoleSettings) -> ConsoleEnd

    public init(
        manager: @escaping @MainActor @Sendable (ConsoleSettings) -> ConsoleEnd,
        screenText: @escaping @MainActor @Sendable (String, String, ConsoleSettings) -> TextResult,
        checkTheme: @escaping @Sendable (String) -> TextResult, themes: @escaping @Sendable () -> TextResult,
        keys: @escaping @Sendable (String?) -> TextResult, testKeys: @escaping @MainActor @Sendable (ConsoleSettings) -> ConsoleEnd
    ) {
        self.manager = manager
        self.screenText = screenText
        self.checkTheme = checkTheme
        self.themes = themes
        self.keys = keys
        self.testKeys = testKeys
    }
}

/// Text for standard output, or one sentence that ends the verb with 66.
public enum TextResult: Equatable, Sendable {
    case text(String)
    case bad(String)

    func get() throws(MachineError) -> String {
        switch self {
        case .text(let text): return text
        case .bad(let sentence): throw .badInput(sentence)
        }
    }
}
