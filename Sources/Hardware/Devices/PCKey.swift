/// A key of the 104-key PC keyboard by its position, named after the US legend.
///
/// What the host's terminal delivers is mapped to these; the keyboard chip turns them into scan codes.
public enum PCKey: String, CaseIterable, Codable, Sendable {
    case esc, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12
    case grave, digit1, digit2, digit3, digit4, digit5, digit6, digit7, digit8, digit9, digit0, minus, equal, backspace
    case tab, q, w, e, r, t, y, u, i, o, p, leftBracket, rightBracket, backslash
    case capsLock, a, s, d, f, g, h, j, k, l, semicolon, quote, enter
    case leftShift, z, x, c, v, b, n, m, comma, period, slash, rightShift
    case leftCtrl, leftWin, leftAlt, space, rightAlt, rightWin, menu, rightCtrl
    case printScreen, scrollLock, pause
    case insert, home, pageUp, delete, end, pageDown, up, left, down, right
    case numLock, kpDivide, kpMultiply, kpMinus, kpPlus, kpEnter, kpPeriod
    case kp0, kp1, kp2, kp3, kp4, kp5, kp6, kp7, kp8, kp9
    /// The extra key of ISO keyboards, between left Shift and Z.
    case iso102
}
