import Machine
import Terminal

/// How the console shall be.
public struct ConsoleOptions: Sendable {
    /// Name of a file in `Themes`.
    public var theme = "dark" { didSet { isThemeGiven = true } }
    /// Name of a file in `Keymaps`.
    public var keymap = "default" { didSet { isKeymapGiven = true } }
    /// The host key in place of the keymap's, spelled as in keymaps.
    public var hostKey: String?
    /// A folder with `Themes` and `Keymaps`, looked at after the user's own.
    public var dataFolder: String?
    /// 7-bit characters whatever the locale says.
    public var ascii = false
    /// No colours whatever the terminal can.
    public var mono = false
    /// Ask the terminal what it can; without, the least is assumed.
    public var probe = true
    public var mouse = true
    /// The guest has the keyboard from the start.
    public var captures = true
    /// No frames, linear menus, the cursor where the attention is.
    public var screenReader = false
    /// A first run asks for the host key.
    public var asksHostKey = true
    /// Somebody has named them: the user's own choice in the program does not count.
    private(set) var isThemeGiven = false, isKeymapGiven = false
    /// Another process runs the machine: leaving does not end it.
    public var attached = false
    /// Nothing that is done here changes the machine.
    public var readOnly = false
    public init() {}
}

/// Why the console came back. The terminal is as it was before.
public enum ConsoleResult: Equatable, Sendable {
    case ended(RunOutcome)
    /// The user has left a machine that goes on.
    case detached
    /// SIGTERM, SIGINT: the caller powers the machine off and ends as the signal asks.
    case signalled(Int32)
    /// The terminal has gone.
    case hangup
    /// The console cannot work here: one sentence, nothing has been drawn (exit status 2).
    case unusable(String)
    /// A theme, keymap or layout is not usable (exit status 66).
    case badData(String)
}

/// A problem before the screen is up.
struct ScreenError: Error { var sentence: String }
