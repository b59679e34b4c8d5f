/// Keys by context, read from `Keymaps/*.toml`.
public struct Keymap: Equatable, Sendable {
    public struct Binding: Equatable, Sendable {
        public enum Target: Equatable, Sendable {
            /// A command by its name.
            case action(String)
            /// A chord for the guest.
            case send(Chord)
            /// Text for the guest.
            case type(String)
            /// Takes an inherited binding away.
            case nothing
        }
        public var keys: [Chord]
        public var target: Target
        /// Question to ask first.
        public var confirm: String?

        /// As people read it: `Ctrl-]`, `Esc 1`.
        public var label: String { keys.map(\.label).joined(separator: " ") }
    }

    public enum Match: Equatable, Sendable {
        case found(Binding)
        /// The beginning of a longer sequence.
        case prefix
        case none
    }

    public var name = "keymap"
    /// The prefix while the guest has the keyboard.
    public var host = Chord(.character("]"), .ctrl)
    public var hostTimeoutMilliseconds = 2000
    public var escapeMilliseconds = 25
    /// Name of the layout that the guest believes in.
    public var guestLayout = "us"
    /// Bindings by context, in the order of the file, inheritance resolved.
    public var contexts: [String: [Binding]] = [:]

    public init() {}

    public func bindings(_ context: String) -> [Binding] { contexts[context] ?? [] }

    public func match(_ keys: [Chord], in context: String) -> Match {
        var isPrefix = false
        for binding in bindings(context) {
            if binding.keys == keys { return binding.target == .nothing ? .none : .found(binding) }
            if binding.keys.count > keys.count, binding.keys.starts(with: keys) { isPrefix = true }
        }
        return isPrefix ? .prefix : .none
    }

    /// The first key for a command in a context, as people read it.
    public func label(for action: String, in context: String) -> String? {
        bindings(context).first { $0.target == .action(action) }?.label
    }
}
