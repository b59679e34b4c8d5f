import Hardware

/// Which keys the guest's layout wants for a character.
public struct KeyboardLayout: Sendable {
    /// One key with its modifiers.
    public struct Keystroke: Codable, Equatable, Sendable {
        public var key: PCKey
        public var shift = false
        public var altGr = false
    }

    public let name: String
    private let strokes: [Character: Keystroke]

    /// - Parameter rows: one line for each key: its name in `PCKey`, then the characters plain, with Shift and with AltGr.
    init(name: String, rows: String) {
        self.name = name
        var table: [Character: Keystroke] = [:]
        for row in rows.split(separator: "\n") {
            let fields = row.split(separator: " ")
            guard let first = fields.first, let key = PCKey(rawValue: String(first)) else { continue }
            for (level, field) in fields.dropFirst().enumerated() {
                guard let character = field.first else { continue }
                table[character] = Keystroke(key: key, shift: level == 1, altGr: level == 2)
            }
        }
        table[" "] = Keystroke(key: .space)
        table["\n"] = Keystroke(key: .enter)
        table["\r"] = Keystroke(key: .enter)
        table["\r\n"] = Keystroke(key: .enter)
        table["\t"] = Keystroke(key: .tab)
        table["\u{1B}"] = Keystroke(key: .esc)
        table["\u{8}"] = Keystroke(key: .backspace)
        table["\u{7F}"] = Keystroke(key: .backspace)
        strokes = table
    }

    /// nil: the layout has no key for it.
    public func keystroke(for character: Character) -> Keystroke? { strokes[character] }

    /// The US layout of the 101-key keyboard, which firmware and boot loaders use.
    public static let us = KeyboardLayout(
        name: "us",
        rows: """
            grave ` ~
            digit1 1 !
            digit2 2 @
            digit3 3 #
            digit4 4 $
            digit5 5 %
            digit6 6 ^
            digit7 7 &
            digit8 8 *
            digit9 9 (
            digit0 0 )
            minus - _
            equal = +
            q q Q
            w w W
            e e E
            r r R
            t t T
            y y Y
            u u U
            i i I
            o o O
            p p P
            leftBracket [ {
            rightBracket ] }
            backslash \\ |
            a a A
            s s S
            d d D
            f f F
            g g G
            h h H
            j j J
            k k K
            l l L
            semicolon ; :
            quote ' "
            z z Z
            x x X
            c c C
            v v V
            b b B
            n n N
            m m M
            comma , <
            period . >
            slash / ?
            """)
}
