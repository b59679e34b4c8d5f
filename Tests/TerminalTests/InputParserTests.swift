import Terminal
import Testing

@Suite("input parser") struct InputParserTests {
    private func parse(_ text: String) -> [InputEvent] {
        var parser = InputParser()
        return parser.feed(Array(text.utf8)) + parser.expire()
    }

    private func key(_ text: String) -> KeyEvent? {
        let events = parse(text)
        guard events.count == 1, case .key(let key) = events[0] else { return nil }
        return key
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var bytes: String
        var expected: KeyEvent
        init(_ bytes: String, _ key: Key, _ modifiers: Modifiers = [], _ kind: KeyEvent.Kind = .press) {
            self.bytes = bytes
            expected = KeyEvent(key, modifiers, kind)
        }
        var testDescription: String { bytes.debugDescription }
    }

    static let legacy: [Case] = [
        Case("a", .character("a")), Case("B", .character("B")), Case("é", .character("é")), Case("€", .character("€")),
        Case("😀", .character("😀")), Case("\u{01}", .character("a"), .ctrl), Case("\u{1A}", .character("z"), .ctrl),
        Case("\u{1D}", .character("]"), .ctrl), Case("\u{1C}", .character("\\"), .ctrl), Case("\u{1E}", .character("^"), .ctrl),
        Case("\u{1F}", .character("_"), .ctrl), Case("\u{00}", .character(" "), .ctrl), Case("\t", .named(.tab)),
        Case("\r", .named(.ret)), Case("\n", .named(.ret)), Case("\u{7F}", .named(.bs)), Case("\u{08}", .character("h"), .ctrl),
        Case("\u{1B}", .named(.esc)), Case("\u{1B}x", .character("x"), .alt), Case("\u{1B}X", .character("X"), .alt),
        Case("\u{1B}\r", .named(.ret), .alt), Case("\u{1B}\u{03}", .character("c"), [.ctrl, .alt]), Case("\u{1B}é", .character("é"), .alt),
        Case("\u{1B}[A", .named(.up)), Case("\u{1B}OA", .named(.up)), Case("\u{1B}[1;5D", .named(.left), .ctrl),
        Case("\u{1B}[H", .named(.home)), Case("\u{1B}[1~", .named(.home)), Case("\u{1B}[7~", .named(.home)), Case("\u{1B}OF", .named(.end)),
        Case("\u{1B}[2~", .named(.ins)), Case("\u{1B}[3;7~", .named(.del), [.ctrl, .alt]), Case("\u{1B}[5~", .named(.pgup)),
        Case("\u{1B}OP", .named(.f1)), Case("\u{1B}[11~", .named(.f1)), Case("\u{1B}[[A", .named(.f1)), Case("\u{1B}[[E", .named(.f5)),
        Case("\u{1B}[1;3S", .named(.f4), .alt), Case("\u{1B}[15~", .named(.f5)), Case("\u{1B}[17;2~", .named(.f6), .shift),
        Case("\u{1B}[24~", .named(.f12)), Case("\u{1B}[25~", .named(.f13)), Case("\u{1B}[34~", .named(.f20)),
        Case("\u{1B}[1;2R", .named(.f3), .shift), Case("\u{1B}[Z", .named(.tab), .shift), Case("\u{1B}OM", .named(.kpEnter)),
        Case("\u{1B}Oq", .named(.kp1)), Case("\u{1B}[29~", .named(.menu)), Case("\u{1B}[", .character("["), .alt),
        Case("\u{1B}O", .character("O"), .alt), Case("\u{1B}P", .character("P"), .alt), Case("\u{1B}]", .character("]"), .alt),
    ]

    @Test("legacy bytes", arguments: legacy) func legacyBytes(_ c: Case) { #expect(key(c.bytes) == c.expected) }

    static let modifyOtherKeys: [Case] = [
        Case("\u{1B}[27;2;66~", .character("B"), .shift), Case("\u{1B}[27;5;105~", .character("i"), .ctrl),
        Case("\u{1B}[27;5;13~", .named(.ret), .ctrl), Case("\u{1B}[27;6;65~", .character("A"), [.ctrl, .shift]),
        Case("\u{1B}[27;3;9~", .named(.tab), .alt), Case("\u{1B}[27;5;127~", .named(.bs), .ctrl),
        Case("\u{1B}[27;5;27~", .named(.esc), .ctrl),
    ]

    @Test("modifyOtherKeys", arguments: modifyOtherKeys) func otherKeys(_ c: Case) { #expect(key(c.bytes) == c.expected) }

    static let kitty: [Case] = [
        Case("\u{1B}[97u", .character("a")), Case("\u{1B}[97;1:3u", .character("a"), [], .release),
        Case("\u{1B}[97;1:2u", .character("a"), [], .repeat), Case("\u{1B}[57442u", .named(.leftCtrl)),
        Case("\u{1B}[57442;5:3u", .named(.leftCtrl), .ctrl, .release), Case("\u{1B}[57448;5u", .named(.rightCtrl), .ctrl),
        Case("\u{1B}[57441;2:3u", .named(.leftShift), .shift, .release), Case("\u{1B}[27u", .named(.esc)),
        Case("\u{1B}[13;5u", .named(.ret), .ctrl), Case("\u{1B}[57361u", .named(.prtsc)), Case("\u{1B}[57362u", .named(.pause)),
        Case("\u{1B}[57363u", .named(.menu)), Case("\u{1B}[57358;65u", .named(.caps), .capsLock),
        Case("\u{1B}[57360;129:3u", .named(.num), .numLock, .release), Case("\u{1B}[57404u", .named(.kp5)),
        Case("\u{1B}[57413u", .named(.kpPlus)), Case("\u{1B}[57419u", .named(.kp8)), Case("\u{1B}[57426u", .named(.kpDot)),
        Case("\u{1B}[57376u", .named(.f13)), Case("\u{1B}[57453u", .named(.rightAlt)), Case("\u{1B}[57430u", .named(.other)),
        Case("\u{1B}[3;7:3~", .named(.del), [.ctrl, .alt], .release), Case("\u{1B}[1;1:3A", .named(.up), [], .release),
        Case("\u{1B}[13;2:1~", .named(.f3), .shift),
    ]

    @Test("kitty keyboard protocol", arguments: kitty) func kittyKeys(_ c: Case) { #expect(key(c.bytes) == c.expected) }

    @Test("kitty sub-fields: shifted key, base layout key, text")
    func kittyFields() {
        #expect(key("\u{1B}[98:66;2;66u") == KeyEvent(.character("b"), .shift, shifted: "B", text: "B"))
        #expect(key("\u{1B}[1092::97;1;1092u") == KeyEvent(.character("ф"), base: "a", text: "ф"))
        #expect(key("\u{1B}[97;;97u") == KeyEvent(.character("a"), text: "a"))
        #expect(key("\u{1B}[0;;233u") == KeyEvent(.character("é"), text: "é"), "composed text has no key of its own")
    }

    @Test("win32 input mode carries the scan code and the release")
    func win32() {
        #expect(key("\u{1B}[65;30;97;1;0;1_") == KeyEvent(.character("a"), text: "a", scanCode: 0x1E))
        #expect(key("\u{1B}[65;30;97;0;0;1_") == KeyEvent(.character("a"), [], .release, text: "a", scanCode: 0x1E))
        #expect(key("\u{1B}[17;29;0;1;264;1_") == KeyEvent(.named(.rightCtrl), .ctrl, scanCode: 0xE01D))
        #expect(key("\u{1B}[16;54;0;1;16;1_") == KeyEvent(.named(.rightShift), .shift, scanCode: 0x36))
        #expect(key("\u{1B}[67;46;3;1;8;1_") == KeyEvent(.character("c"), .ctrl, scanCode: 0x2E))
        #expect(key("\u{1B}[221;27;29;1;8;1_") == KeyEvent(.character("]"), .ctrl, scanCode: 0x1B))
        #expect(key("\u{1B}[81;16;64;1;9;1_") == KeyEvent(.character("@"), text: "@", scanCode: 0x10))
    }

    @Test("a paste is one event, line ends and escapes inside included")
    func paste() {
        #expect(parse("\u{1B}[200~one\rtwo\u{1B}[A\u{1B}[201~x") == [.paste("one\rtwo\u{1B}[A"), .key(KeyEvent(.character("x")))])
        #expect(parse("\u{1B}[200~\u{1B}[201~") == [.paste("")])
    }

    @Test("a paste over the limit is cut and its end still found")
    func hugePaste() {
        var parser = InputParser()
        var events = parser.feed(Array("\u{1B}[200~".utf8))
        events += parser.feed([UInt8](repeating: 0x61, count: InputParser.pasteLimit + 1000))
        events += parser.feed(Array("\u{1B}[201~b".utf8))
        guard events.count == 2, case .paste(let text) = events[0] else {
            Issue.record("not a paste and a key")
            return
        }
        #expect(text.utf8.count <= InputParser.pasteLimit && text.utf8.count > InputParser.pasteLimit - 10)
        #expect(events[1] == .key(KeyEvent(.character("b"))))
    }

    @Test("focus and SGR mouse")
    func mouse() {
        #expect(parse("\u{1B}[I\u{1B}[O") == [.focus(true), .focus(false)])
        #expect(parse("\u{1B}[<0;5;6M") == [.mouse(MouseEvent(.press, button: 0, column: 4, row: 5))])
        #expect(parse("\u{1B}[<2;5;6m") == [.mouse(MouseEvent(.release, button: 2, column: 4, row: 5))])
        #expect(parse("\u{1B}[<35;1;1M") == [.mouse(MouseEvent(.move, button: 3, column: 0, row: 0))])
        #expect(parse("\u{1B}[<65;2;2M") == [.mouse(MouseEvent(.wheelDown, button: 1, column: 1, row: 1))])
        #expect(parse("\u{1B}[<20;2;2M") == [.mouse(MouseEvent(.press, button: 0, column: 1, row: 1, modifiers: [.shift, .ctrl]))])
        #expect(parse("\u{1B}[<0;0;6M").isEmpty)
        #expect(parse("\u{1B}[<0;99999999;6M").isEmpty)
    }

    @Test("answers of the terminal are never keys")
    func replies() {
        #expect(parse("\u{1B}[?64;1;4c") == [.reply(.deviceAttributes([64, 1, 4]))])
        #expect(parse("\u{1B}[0n") == [.reply(.ready)])
        #expect(parse("\u{1B}[?31u") == [.reply(.keyboardFlags(31))])
        #expect(parse("\u{1B}[?2026;2$y") == [.reply(.mode(2026, 2))])
        #expect(parse("\u{1B}P>|tmux 3.3a\u{1B}\\") == [.reply(.version("tmux 3.3a"))])
        #expect(parse("\u{1B}]11;rgb:0000/0000/0000\u{7}") == [.reply(.other)])
        #expect(parse("\u{1B}]11;rgb:0000/0000/0000\u{1B}\\") == [.reply(.other)])
        #expect(parse("\u{1B}_Gi=31;OK\u{1B}\\") == [.reply(.other)])
        #expect(parse("\u{1B}[6;18;9t") == [.reply(.other)])
        #expect(parse("\u{1B}[>41;379;0c") == [.reply(.other)])
        #expect(parse("\u{1B}[24;80R") == [.reply(.other)])
    }

    @Test("any split of the bytes gives the same events")
    func splits() {
        let bytes = Array("a\u{1B}[98:66;2;66u\u{1B}[200~pä\u{1B}[201~€\u{1B}[<0;5;6M\u{1B}P>|x\u{1B}\\\u{1B}OP\u{1B}[3;7~".utf8)
        var whole = InputParser()
        let expected = whole.feed(bytes)
        for cut in 0...bytes.count {
            var parser = InputParser()
            #expect(parser.feed(bytes[..<cut]) + parser.feed(bytes[cut...]) == expected)
        }
    }

    @Test("ESC ESC [ A is Esc, then Up")
    func doubleEscape() {
        #expect(parse("\u{1B}\u{1B}[A") == [.key(KeyEvent(.named(.esc))), .key(KeyEvent(.named(.up)))])
        #expect(parse("\u{1B}\u{1B}") == [.key(KeyEvent(.named(.esc))), .key(KeyEvent(.named(.esc)))])
    }

    @Test("a lone ESC waits for the escape delay, a begun sequence longer")
    func waits() {
        var parser = InputParser()
        #expect(parser.timeoutMilliseconds == nil)
        #expect(parser.feed([0x1B]).isEmpty)
        #expect(parser.timeoutMilliseconds == 25)
        _ = parser.feed(Array("[1;".utf8))
        #expect(parser.timeoutMilliseconds == 250)
        #expect(parser.expire().isEmpty)
        #expect(parser.timeoutMilliseconds == nil)
    }

    @Test("the terminal's erase character decides what 0x08 is")
    func backspace() {
        var parser = InputParser()
        parser.backspaceIsControlH = true
        #expect(parser.feed([0x08]) == [.key(KeyEvent(.named(.bs)))])
    }

    @Test("random bytes neither trap nor grow without bound", arguments: 0..<40)
    func noise(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        var parser = InputParser()
        for _ in 0..<200 {
            var bytes: [UInt8] = []
            for _ in 0..<64 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                let r = UInt8(truncatingIfNeeded: state >> 32)
                // Half of them from the alphabet of control sequences.
                bytes.append(r & 1 == 0 ? Array("\u{1B}[<>?;:0123456789uM~_\\]PO".utf8)[Int(r >> 1) % 25] : r)
            }
            #expect(parser.feed(bytes).count <= 64)
        }
    }
}
