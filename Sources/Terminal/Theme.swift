/// Colours and attributes of every role, and how the guest's screen looks. Read from `Themes/*.toml`.
public struct Theme: Equatable, Sendable {
    public struct Style: Equatable, Sendable {
        public var foreground: Colour, background: Colour
        public var mods: TextMods
    }

    /// A style with gaps, as one line of a theme file gives it.
    struct PartialStyle: Equatable, Sendable {
        var foreground: Colour?, background: Colour?
        var mods: TextMods?
    }

    public enum GuestPalette: String, CaseIterable, Sendable {
        /// The guest's own DAC, exactly or as near as the terminal can.
        case vga
        /// The sixteen colours of the user's terminal.
        case terminal
        case amber, green, mono
    }
    public enum Blink: String, CaseIterable, Sendable {
        /// We redraw blinking cells; works everywhere.
        case software
        /// SGR 5; many terminals ignore it.
        case terminal
        case off
    }

    public struct Guest: Equatable, Sendable {
        public var palette = GuestPalette.vga
        public var blink = Blink.software
        public var glyphs = GlyphSet.full
        /// 40-column modes take two columns a cell.
        public var wide = false
    }

    public var name: String
    public var border = BorderStyle.single
    public var shadow = false
    public var guest = Guest()
    var styles: [String: PartialStyle] = [:]
    var mono: [String: TextMods] = [:]

    /// The built-in root of inheritance: the terminal's own colours, selections reversed.
    public static let base: Theme = {
        var theme = Theme(name: "base")
        for scope in ["ui.list.selected", "ui.menu.selected", "ui.button.selected", "ui.status", "ui.menu"] {
            theme.styles[scope] = PartialStyle(mods: .reverse)
        }
        theme.styles["ui.menu.selected"] = PartialStyle(mods: [])
        theme.styles["ui.menu.hotkey"] = PartialStyle(mods: [.reverse, .underline])
        theme.styles["ui.menu.disabled"] = PartialStyle(mods: [.reverse, .dim])
        theme.styles["ui.status.key"] = PartialStyle(mods: [.reverse, .bold])
        theme.styles["ui.status.captured"] = PartialStyle(mods: [.reverse, .bold])
        theme.styles["ui.status.host"] = PartialStyle(mods: [.bold])
        theme.styles["ui.dialog.danger"] = PartialStyle(mods: [.bold])
        theme.styles["ui.list.key"] = PartialStyle(mods: [.bold])
        theme.styles["ui.panel.title"] = PartialStyle(mods: [.bold])
        theme.styles["state.error"] = PartialStyle(mods: [.bold, .reverse])
        theme.mono = theme.styles.compactMapValues(\.mods)
        return theme
    }()

    /// The style of a role; parts that its scope leaves out come from the scope above, in the end from `ui`.
    public func style(_ role: Role) -> Style {
        var foreground: Colour?, background: Colour?, mods: TextMods?
        for scope in Theme.chain(role.rawValue) {
            guard let partial = styles[scope] else { continue }
            foreground = foreground ?? partial.foreground
            background = background ?? partial.background
            mods = mods ?? partial.mods
        }
        return Style(foreground: foreground ?? .terminalDefault, background: background ?? .terminalDefault, mods: mods ?? [])
    }

    /// Attributes of a role where there are no colours.
    func monoMods(_ role: Role) -> TextMods {
        for scope in Theme.chain(role.rawValue) {
            if let mods = mono[scope] { return mods }
        }
        return []
    }

    private static func chain(_ scope: String) -> [String] {
        var parts = scope.split(separator: ".")
        var result: [String] = []
        while !parts.isEmpty {
            result.append(parts.joined(separator: "."))
            parts.removeLast()
        }
        if result.last != "ui" { result.append("ui") }
        return result
    }

    /// What a careful author would like to know: text that is hard to read, selections invisible without colours.
    public func warnings() -> [String] {
        var result: [String] = []
        for role in Role.allCases where ![.shadow, .desktop, .panelBorder, .panelBorderFocus, .dialogBorder].contains(role) {
            let style = style(role)
            if let fg = style.foreground.rgb, let bg = style.background.rgb, Palette.contrast(fg, bg) < 3 {
                result.append("\(role.rawValue): contrast is below 3:1")
            }
        }
        for role in [Role.listSelected, .menuSelected, .buttonSelected, .statusCaptured]
        where monoMods(role) == monoMods(Role(rawValue: Theme.chain(role.rawValue)[1]) ?? .ui) {
            result.append("\(role.rawValue): [mono] does not set it apart")
        }
        return result
    }
}
