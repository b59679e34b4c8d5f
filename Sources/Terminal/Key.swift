/// Modifier keys held during an event, in the order of the kitty and xterm mask (value on the wire is 1 + mask).
public struct Modifiers: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let shift = Modifiers(rawValue: 1)
    public static let alt = Modifiers(rawValue: 2)
    public static let ctrl = Modifiers(rawValue: 4)
    public static let `super` = Modifiers(rawValue: 8)
    public static let hyper = Modifiers(rawValue: 16)
    public static let meta = Modifiers(rawValue: 32)
    public static let capsLock = Modifiers(rawValue: 64)
    public static let numLock = Modifiers(rawValue: 128)

    /// Without the locks, which must not make bindings fail.
    public var chord: Modifiers { intersection([.shift, .alt, .ctrl, .super]) }
}

/// Keys that have a name instead of a character. The raw value is the name in keymap files.
public enum NamedKey: String, CaseIterable, Hashable, Sendable {
    case esc, ret, tab, bs, ins, del, home, end, pgup, pgdn, up, down, left, right
    case f1 = "F1", f2 = "F2", f3 = "F3", f4 = "F4", f5 = "F5", f6 = "F6", f7 = "F7", f8 = "F8", f9 = "F9", f10 = "F10"
    case f11 = "F11", f12 = "F12", f13 = "F13", f14 = "F14", f15 = "F15", f16 = "F16", f17 = "F17", f18 = "F18", f19 = "F19"
    case f20 = "F20", f21 = "F21", f22 = "F22", f23 = "F23", f24 = "F24"
    case caps, num, scroll, prtsc, pause, menu
    case kp0, kp1, kp2, kp3, kp4, kp5, kp6, kp7, kp8, kp9
    case kpDot = "kp-dot", kpSlash = "kp-slash", kpStar = "kp-star", kpMinus = "kp-minus", kpPlus = "kp-plus", kpEnter = "kp-enter"
    case kpEqual = "kp-equal", kpComma = "kp-comma"
    case leftShift = "LeftShift", leftCtrl = "LeftCtrl", leftAlt = "LeftAlt", leftSuper = "LeftSuper"
    case rightShift = "RightShift", rightCtrl = "RightCtrl", rightAlt = "RightAlt", rightSuper = "RightSuper"
    /// Media keys and others without a place on a PC keyboard of 104 keys.
    case other

    /// The modifier that this key is.
    public var modifier: Modifiers? {
        switch self {
        case .leftShift, .rightShift: .shift
        case .leftCtrl, .rightCtrl: .ctrl
        case .leftAlt, .rightAlt: .alt
        case .leftSuper, .rightSuper: .super
        default: nil
        }
    }

    static let functionKeys: [NamedKey] = [
        .f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .f11, .f12, .f13, .f14, .f15, .f16, .f17, .f18, .f19, .f20, .f21, .f22,
        .f23, .f24,
    ]
    static let keypadDigits: [NamedKey] = [.kp0, .kp1, .kp2, .kp3, .kp4, .kp5, .kp6, .kp7, .kp8, .kp9]
}

public enum Key: Hashable, Sendable {
    case character(Unicode.Scalar)
    case named(NamedKey)
}

/// One key as the terminal told it.
public struct KeyEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case press, `repeat`, release }

    public var key: Key
    public var modifiers: Modifiers
    public var kind: Kind
    /// The character that the key makes with Shift (kitty: alternate keys).
    public var shifted: Unicode.Scalar?
    /// The character of the same position on a US keyboard (kitty: base layout key).
    public var base: Unicode.Scalar?
    /// The text that the key makes (kitty: associated text).
    public var text: String?
    /// Set 1 scan code, 0xE0 in the high byte for the grey keys (Windows console).
    public var scanCode: UInt16?

    public init(
        _ key: Key, _ modifiers: Modifiers = [], _ kind: Kind = .press, shifted: Unicode.Scalar? = nil, base: Unicode.Scalar? = nil,
        text: String? = nil, scanCode: UInt16? = nil
    ) {
        self.key = key
        self.modifiers = modifiers
        self.kind = kind
        self.shifted = shifted
        self.base = base
        self.text = text
        self.scanCode = scanCode
    }

    /// The key is a modifier alone.
    public var isModifier: Bool {
        if case .named(let name) = key { return name.modifier != nil || name == .caps || name == .num || name == .scroll }
        return false
    }
}

/// A mouse report, in cells from 0.
public struct MouseEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case press, release, move, wheelUp, wheelDown }
    public var kind: Kind
    /// 0 left, 1 middle, 2 right, 3 none.
    public var button: Int
    public var column: Int, row: Int
    public var modifiers: Modifiers

    public init(_ kind: Kind, button: Int, column: Int, row: Int, modifiers: Modifiers = []) {
        self.kind = kind
        self.button = button
        self.column = column
        self.row = row
        self.modifiers = modifiers
    }
}

/// What the terminal answers to questions. Never a key, however late it comes.
public enum Reply: Hashable, Sendable {
    /// DA1: the parameters.
    case deviceAttributes([Int])
    /// DSR 5: the terminal has caught up with our output.
    case ready
    /// Kitty keyboard flags in force.
    case keyboardFlags(Int)
    /// DECRQM: private mode and 0 unknown, 1 set, 2 reset, 3 and 4 for ever.
    case mode(Int, Int)
    /// XTVERSION.
    case version(String)
    /// Anything else, swallowed.
    case other
}

public enum InputEvent: Hashable, Sendable {
    case key(KeyEvent)
    case paste(String)
    case mouse(MouseEvent)
    case focus(Bool)
    case reply(Reply)
}
