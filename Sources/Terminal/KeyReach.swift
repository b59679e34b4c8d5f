/// How much of a keyboard a terminal tells of.
public enum KeyReach: Sendable {
    /// Bytes as of old, without modifiers on function keys: the Linux console, VT terminals.
    case plain
    /// The same with modifiers on arrows and function keys: most terminals, and what tmux passes on.
    case legacy
    /// xterm's modifyOtherKeys.
    case modified
    /// The keyboard protocol of kitty: every key, pressed and released.
    case full

    /// What the environment lets expect; the terminal itself may do better.
    public init(environment: [String: String]) {
        let name = environment["TERM"] ?? ""
        if name == "linux" || name.hasPrefix("vt") {
            self = .plain
        } else if environment["TMUX"] != nil || name.hasPrefix("tmux") || name.hasPrefix("screen") {
            self = .legacy
        } else if ["kitty", "xterm-kitty", "foot", "ghostty", "xterm-ghostty", "wezterm"].contains(where: { name.hasPrefix($0) }) {
            self = .full
        } else if name.hasPrefix("xterm") {
            self = .modified
        } else {
            self = .legacy
        }
    }
}

extension Chord {
    /// Why such a terminal cannot send the chord, as the end of a sentence; nil: it can.
    public func obstacle(on reach: KeyReach) -> String? {
        guard reach != .full else { return nil }
        let needsFull = "only terminals with kitty's keyboard protocol tell of it"
        if modifiers.contains(.super) { return needsFull }
        switch key {
        case .character(let scalar): return obstacle(scalar, reach)
        case .named(let name):
            if name.modifier != nil { return needsFull }
            switch name {
            case .caps, .num, .scroll, .prtsc, .pause: return needsFull
            case .esc, .bs, .ret, .tab:
                if modifiers.isEmpty || modifiers == .alt || (name == .tab && modifiers == .shift && reach != .plain) { return nil }
                return reach == .modified ? nil : "it arrives without its modifiers"
            default: return reach == .plain && !modifiers.isEmpty ? "this terminal sends function keys without modifiers" : nil
            }
        }
    }

    private func obstacle(_ scalar: Unicode.Scalar, _ reach: KeyReach) -> String? {
        guard modifiers.contains(.ctrl), reach != .modified else { return nil }
        let twins: [Unicode.Scalar: String] = ["i": "Tab", "m": "Enter", "[": "Esc"]
        if modifiers.contains(.shift) { return "it arrives as \(Chord(key, modifiers.subtracting(.shift)).label)" }
        if let twin = twins[scalar] { return "it arrives as \(twin)" }
        switch scalar {
        case "a"..."z", "@", "\\", "]", "^", "_", " ": return nil
        default: return "there is no byte for it"
        }
    }
}

extension Keymap {
    /// Keys of all contexts, and the host key, that such a terminal cannot send: one sentence each.
    public func unreachable(on reach: KeyReach, contexts: [String]) -> [String] {
        var result: [String] = []
        if let why = host.obstacle(on: reach) { result.append("\(host.label), the host key: \(why)") }
        for context in contexts {
            for binding in bindings(context) where binding.target != .nothing {
                guard let why = binding.keys.lazy.compactMap({ $0.obstacle(on: reach) }).first else { continue }
                let line = "\(binding.label) in [\(context)]: \(why)"
                if !result.contains(line) { result.append(line) }
            }
        }
        return result
    }
}
