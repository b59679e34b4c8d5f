import Hardware
import Terminal

/// Positions on a PC keyboard for what terminals report.
public enum KeyPositions {
    /// All position names, as layout files spell them.
    public static let names = Set(PCKey.allCases.map(\.rawValue))

    private static let usPlain = "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./ "
    private static let usPositions: [PCKey] = [
        .grave, .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9, .digit0, .minus, .equal,
        .q, .w, .e, .r, .t, .y, .u, .i, .o, .p, .leftBracket, .rightBracket, .backslash,
        .a, .s, .d, .f, .g, .h, .j, .k, .l, .semicolon, .quote, .z, .x, .c, .v, .b, .n, .m, .comma, .period, .slash, .space,
    ]
    private static let us: [Unicode.Scalar: PCKey] = Dictionary(uniqueKeysWithValues: zip(usPlain.unicodeScalars, usPositions))

    /// The position of a character without Shift on a US keyboard.
    public static func us(_ scalar: Unicode.Scalar) -> PCKey? { us[scalar] }

    /// The position of a named key; nil for what a PC keyboard has not.
    public static func named(_ name: NamedKey) -> PCKey? { table[name] }

    private static let table: [NamedKey: PCKey] = [
        .esc: .esc, .ret: .enter, .tab: .tab, .bs: .backspace, .ins: .insert, .del: .delete, .home: .home, .end: .end,
        .pgup: .pageUp, .pgdn: .pageDown, .up: .up, .down: .down, .left: .left, .right: .right,
        .f1: .f1, .f2: .f2, .f3: .f3, .f4: .f4, .f5: .f5, .f6: .f6, .f7: .f7, .f8: .f8, .f9: .f9, .f10: .f10, .f11: .f11, .f12: .f12,
        .caps: .capsLock, .num: .numLock, .scroll: .scrollLock, .prtsc: .printScreen, .pause: .pause, .menu: .menu,
        .kp0: .kp0, .kp1: .kp1, .kp2: .kp2, .kp3: .kp3, .kp4: .kp4, .kp5: .kp5, .kp6: .kp6, .kp7: .kp7, .kp8: .kp8, .kp9: .kp9,
        .kpDot: .kpPeriod, .kpSlash: .kpDivide, .kpStar: .kpMultiply, .kpMinus: .kpMinus, .kpPlus: .kpPlus, .kpEnter: .kpEnter,
        .leftShift: .leftShift, .leftCtrl: .leftCtrl, .leftAlt: .leftAlt, .leftSuper: .leftWin,
        .rightShift: .rightShift, .rightCtrl: .rightCtrl, .rightAlt: .rightAlt, .rightSuper: .rightWin,
    ]

    /// F13 and up are what old terminals send for Shift with F1 and up.
    static func shifted(_ name: NamedKey) -> PCKey? {
        let list: [NamedKey] = [.f13, .f14, .f15, .f16, .f17, .f18, .f19, .f20, .f21, .f22, .f23, .f24]
        let keys: [PCKey] = [.f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .f11, .f12]
        return list.firstIndex(of: name).map { keys[$0] }
    }

    /// The position of a set 1 scan code (make code without bit 7); 0xE0 in the high byte for the grey keys.
    /// Source: IBM *PS/2 Hardware Interface Technical Reference*, keyboard scan code set 1.
    public static func scanCode(_ code: UInt16) -> PCKey? {
        switch code {
        case 0x01...0x58: return set1[Int(code)]
        case 0xE01C: return .kpEnter
        case 0xE01D: return .rightCtrl
        case 0xE035: return .kpDivide
        case 0xE037: return .printScreen
        case 0xE038: return .rightAlt
        case 0xE045: return .numLock
        case 0xE046: return .pause
        case 0xE047: return .home
        case 0xE048: return .up
        case 0xE049: return .pageUp
        case 0xE04B: return .left
        case 0xE04D: return .right
        case 0xE04F: return .end
        case 0xE050: return .down
        case 0xE051: return .pageDown
        case 0xE052: return .insert
        case 0xE053: return .delete
        case 0xE05B: return .leftWin
        case 0xE05C: return .rightWin
        case 0xE05D: return .menu
        default: return nil
        }
    }

    private static let set1: [PCKey?] = [
        nil, .esc, .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9, .digit0, .minus, .equal, .backspace,
        .tab, .q, .w, .e, .r, .t, .y, .u, .i, .o, .p, .leftBracket, .rightBracket, .enter, .leftCtrl,
        .a, .s, .d, .f, .g, .h, .j, .k, .l, .semicolon, .quote, .grave, .leftShift, .backslash,
        .z, .x, .c, .v, .b, .n, .m, .comma, .period, .slash, .rightShift, .kpMultiply, .leftAlt, .space, .capsLock,
        .f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .pause, .scrollLock,
        .kp7, .kp8, .kp9, .kpMinus, .kp4, .kp5, .kp6, .kpPlus, .kp1, .kp2, .kp3, .kp0, .kpPeriod, .printScreen, nil, .iso102, .f11, .f12,
    ]
}
