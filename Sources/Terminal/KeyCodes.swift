/// Numbers that terminals use for keys.
///
/// Source: kitty *Comprehensive keyboard handling in terminals*, "Functional key definitions"; *XTerm Control Sequences*, "PC-Style
/// Function Keys"; Microsoft *Virtual-Key Codes*.
enum KeyCodes {
    /// Code of `CSI code u`: a Unicode scalar, an ASCII control, or 57344 and up.
    static func kitty(_ code: Int) -> Key? {
        switch code {
        case 27: return .named(.esc)
        case 13: return .named(.ret)
        case 9: return .named(.tab)
        case 127, 8: return .named(.bs)
        case 57358: return .named(.caps)
        case 57359: return .named(.scroll)
        case 57360: return .named(.num)
        case 57361: return .named(.prtsc)
        case 57362: return .named(.pause)
        case 57363: return .named(.menu)
        case 57376...57387: return .named(NamedKey.functionKeys[code - 57376 + 12])
        case 57399...57408: return .named(NamedKey.keypadDigits[code - 57399])
        case 57409: return .named(.kpDot)
        case 57410: return .named(.kpSlash)
        case 57411: return .named(.kpStar)
        case 57412: return .named(.kpMinus)
        case 57413: return .named(.kpPlus)
        case 57414: return .named(.kpEnter)
        case 57415: return .named(.kpEqual)
        case 57416: return .named(.kpComma)
        // With Num Lock off the keypad reports what it means; the position is the same key.
        case 57417: return .named(.kp4)
        case 57418: return .named(.kp6)
        case 57419: return .named(.kp8)
        case 57420: return .named(.kp2)
        case 57421: return .named(.kp9)
        case 57422: return .named(.kp3)
        case 57423: return .named(.kp7)
        case 57424: return .named(.kp1)
        case 57425: return .named(.kp0)
        case 57426: return .named(.kpDot)
        case 57427: return .named(.kp5)
        case 57441: return .named(.leftShift)
        case 57442: return .named(.leftCtrl)
        case 57443: return .named(.leftAlt)
        case 57444: return .named(.leftSuper)
        case 57447: return .named(.rightShift)
        case 57448: return .named(.rightCtrl)
        case 57449, 57453: return .named(.rightAlt)
        case 57450: return .named(.rightSuper)
        case 57344...63743: return .named(.other)
        case 32...0x10FFFF: return Unicode.Scalar(UInt32(code)).map { .character($0) }
        default: return nil
        }
    }

    /// First parameter of `CSI n ~`.
    static func tilde(_ code: Int) -> NamedKey? {
        switch code {
        case 1, 7: .home
        case 2: .ins
        case 3: .del
        case 4, 8: .end
        case 5: .pgup
        case 6: .pgdn
        case 11...15: NamedKey.functionKeys[code - 11]
        case 17...21: NamedKey.functionKeys[code - 12]
        case 23, 24: NamedKey.functionKeys[code - 13]
        case 25, 26: NamedKey.functionKeys[code - 13]
        case 28: .f15
        case 29: .menu
        case 31...34: NamedKey.functionKeys[code - 15]
        default: nil
        }
    }

    /// Final byte of `CSI 1 ; modifiers X`.
    static func letter(_ final: UInt8) -> NamedKey? {
        switch final {
        case UInt8(ascii: "A"): .up
        case UInt8(ascii: "B"): .down
        case UInt8(ascii: "C"): .right
        case UInt8(ascii: "D"): .left
        case UInt8(ascii: "E"): .kp5
        case UInt8(ascii: "F"): .end
        case UInt8(ascii: "H"): .home
        case UInt8(ascii: "P"): .f1
        case UInt8(ascii: "Q"): .f2
        case UInt8(ascii: "R"): .f3
        case UInt8(ascii: "S"): .f4
        default: nil
        }
    }

    /// Final byte of `SS3 X`: function keys and the application keypad.
    static func application(_ final: UInt8) -> NamedKey? {
        switch final {
        case UInt8(ascii: "M"): .kpEnter
        case UInt8(ascii: "X"): .kpEqual
        case UInt8(ascii: "j"): .kpStar
        case UInt8(ascii: "k"): .kpPlus
        case UInt8(ascii: "l"): .kpComma
        case UInt8(ascii: "m"): .kpMinus
        case UInt8(ascii: "n"): .kpDot
        case UInt8(ascii: "o"): .kpSlash
        case UInt8(ascii: "p")...UInt8(ascii: "y"): NamedKey.keypadDigits[Int(final - UInt8(ascii: "p"))]
        default: letter(final)
        }
    }

    /// A Windows virtual key that has no character.
    static func virtualKey(_ code: Int, enhanced: Bool) -> NamedKey? {
        switch code {
        case 0x08: .bs
        case 0x09: .tab
        case 0x0D: enhanced ? .kpEnter : .ret
        case 0x10: .leftShift
        case 0x11: enhanced ? .rightCtrl : .leftCtrl
        case 0x12: enhanced ? .rightAlt : .leftAlt
        case 0x13: .pause
        case 0x14: .caps
        case 0x1B: .esc
        case 0x21: .pgup
        case 0x22: .pgdn
        case 0x23: .end
        case 0x24: .home
        case 0x25: .left
        case 0x26: .up
        case 0x27: .right
        case 0x28: .down
        case 0x2C: .prtsc
        case 0x2D: .ins
        case 0x2E: .del
        case 0x5B: .leftSuper
        case 0x5C: .rightSuper
        case 0x5D: .menu
        case 0x60...0x69: NamedKey.keypadDigits[code - 0x60]
        case 0x6A: .kpStar
        case 0x6B: .kpPlus
        case 0x6D: .kpMinus
        case 0x6E: .kpDot
        case 0x6F: .kpSlash
        case 0x70...0x87: NamedKey.functionKeys[code - 0x70]
        case 0x90: .num
        case 0x91: .scroll
        default: nil
        }
    }
}
