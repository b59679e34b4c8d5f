import Glibc

/// Which terminal description to open.
enum TerminalDescription {
    /// Terminals that understand what xterm-256color describes, though their own description may be missing here.
    static func isModern(_ name: String) -> Bool {
        ["xterm", "kitty", "foot", "alacritty", "ghostty", "wezterm", "contour", "rio", "tmux", "screen", "konsole", "gnome", "vte", "iterm"]
            .contains { name.hasPrefix($0) }
    }

    /// Descriptions with 24-bit colours for this terminal, when it says that it can.
    static func direct(for name: String) -> [(name: String, description: String?)] {
        let colourTerm = getenv("COLORTERM").map { String(cString: $0) } ?? ""
        guard colourTerm == "truecolor" || colourTerm == "24bit" else { return [] }
        let base = name.split(separator: "-").first.map { String($0) } ?? name
        return [(base + "-direct", nil)]
    }

    static func restoreEnvironment() {}
}
