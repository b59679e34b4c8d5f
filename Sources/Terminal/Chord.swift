/// A key with modifiers as keymaps spell it: `C-A-del`, `S-tab`, `F1`, `]`.
public struct Chord: Hashable, Sendable {
    public var key: Key
    public var modifiers: Modifiers

    public init(_ key: Key, _ modifiers: Modifiers = []) {
        self.key = key
        self.modifiers = modifiers
    }

    /// Parses `C-`, `A-`, `S-`, `W-` in any order and a name or a character; nil when it is not one.
    public init?(_ text: String) {
        var rest = Substring(text)
        var modifiers: Modifiers = []
        while rest.count > 2, rest[rest.index(after: rest.startIndex)] == "-" {
            switch rest.first {
            case "C", "c": modifiers.insert(.ctrl)
            case "A", "a", "M", "m": modifiers.insert(.alt)
            case "S", "s": modifiers.insert(.shift)
            case "W", "w": modifiers.insert(.super)
            default: return nil
            }
            rest = rest.dropFirst(2)
        }
        if let name = Chord.names[rest.lowercased()], rest.unicodeScalars.count > 1 {
            self.init(name, modifiers)
        } else if let scalar = rest.unicodeScalars.first, rest.unicodeScalars.count == 1, Width.of(scalar) > 0 {
            self = Chord(.character(scalar), modifiers).normalised(shifted: nil)
        } else {
            return nil
        }
    }

    /// The chord that an event means, one spelling for all keyboard protocols: `B` whether it came as a byte, as `b` with Shift
    /// and its shifted form, or as `B` with Shift.
    public init(_ event: KeyEvent) {
        self = Chord(event.key, event.modifiers.chord).normalised(shifted: event.shifted)
    }

    /// The chord of the same position on a US keyboard, for bindings that name positions (`C-]` on a German keyboard).
    public static func position(of event: KeyEvent) -> Chord? {
        guard let base = event.base else { return nil }
        return Chord(.character(base), event.modifiers.chord).normalised(shifted: nil)
    }

    private func normalised(shifted: Unicode.Scalar?) -> Chord {
        guard case .character(let scalar) = key else { return self }
        var result = self
        let isLetter = scalar.properties.isAlphabetic
        if modifiers.isDisjoint(with: [.ctrl, .alt, .super]) {
            if modifiers.contains(.shift) {
                result.key = .character(shifted ?? (isLetter ? upper(scalar) : scalar))
                if scalar != " " { result.modifiers.remove(.shift) }
            }
        } else if isLetter {
            // Ctrl and Alt chords name the key in lower case; Alt-B as a byte pair says Shift only by the capital.
            if upper(scalar) == scalar, lower(scalar) != scalar, !modifiers.contains(.ctrl) { result.modifiers.insert(.shift) }
            result.key = .character(lower(scalar))
        } else if let shifted, modifiers.contains(.shift) {
            result.key = .character(shifted)
            result.modifiers.remove(.shift)
        } else if scalar != " " {
            result.modifiers.remove(.shift)
        }
        return result
    }

    private func upper(_ s: Unicode.Scalar) -> Unicode.Scalar {
        let m = s.properties.uppercaseMapping.unicodeScalars
        return m.count == 1 ? m.first ?? s : s
    }

    private func lower(_ s: Unicode.Scalar) -> Unicode.Scalar {
        let m = s.properties.lowercaseMapping.unicodeScalars
        return m.count == 1 ? m.first ?? s : s
    }

    /// As keymap files spell it.
    public var spelling: String { prefix("C-", "A-", "S-", "W-") + (spelledName ?? "") }

    /// As people read it: `Ctrl-]`, `Ctrl-Alt-Del`, `F1`.
    public var label: String {
        let name: String
        switch key {
        case .character(let s) where s == " ": name = "Space"
        case .character(let s):
            name = modifiers.isDisjoint(with: [.ctrl, .alt]) ? String(s) : String(upper(s))
        case .named(let n): name = Chord.labels[n] ?? n.rawValue
        }
        return prefix("Ctrl-", "Alt-", "Shift-", "Win-") + name
    }

    private func prefix(_ c: String, _ a: String, _ s: String, _ w: String) -> String {
        (modifiers.contains(.ctrl) ? c : "") + (modifiers.contains(.alt) ? a : "") + (modifiers.contains(.shift) ? s : "")
            + (modifiers.contains(.super) ? w : "")
    }

    private var spelledName: String? {
        switch key {
        case .character(let s): s == " " ? "space" : String(s)
        case .named(let n): n.rawValue
        }
    }

    /// Names accepted for keys, lower case.
    static let names: [String: Key] = {
        var result: [String: Key] = [:]
        for name in NamedKey.allCases where name != .other { result[name.rawValue.lowercased()] = .named(name) }
        result["space"] = .character(" ")
        for (alias, name): (String, NamedKey) in [
            ("enter", .ret), ("return", .ret), ("escape", .esc), ("backspace", .bs), ("insert", .ins), ("delete", .del),
            ("pageup", .pgup), ("pagedown", .pgdn), ("print", .prtsc), ("printscreen", .prtsc),
        ] { result[alias] = .named(name) }
        return result
    }()

    private static let labels: [NamedKey: String] = [
        .esc: "Esc", .ret: "Enter", .tab: "Tab", .bs: "Backspace", .ins: "Ins", .del: "Del", .home: "Home", .end: "End",
        .pgup: "PgUp", .pgdn: "PgDn", .up: "Up", .down: "Down", .left: "Left", .right: "Right", .caps: "CapsLock", .num: "NumLock",
        .scroll: "ScrollLock", .prtsc: "PrtSc", .pause: "Pause", .menu: "Menu", .leftShift: "Shift", .leftCtrl: "Ctrl",
        .leftAlt: "Alt", .leftSuper: "Win", .rightShift: "Right Shift", .rightCtrl: "Right Ctrl", .rightAlt: "Right Alt",
        .rightSuper: "Right Win",
    ]
}
