import Terminal
import Testing

@Suite("chord") struct ChordTests {
    @Test(
        "spellings go there and back",
        arguments: [
            "C-]", "C-A-del", "S-tab", "F1", "A-F12", "space", "C-space", "a", "A", "?", ":", "-", "C--", "RightCtrl", "kp-plus", "W-left",
        ])
    func spelling(_ text: String) throws {
        let chord = try #require(Chord(text))
        #expect(Chord(chord.spelling) == chord)
    }

    @Test("what is no key is none", arguments: ["", "C-", "Q-a", "F99", "foo", "C-A-", "ab"])
    func refused(_ text: String) { #expect(Chord(text) == nil) }

    @Test("one key has one spelling in all protocols")
    func protocols() {
        let b = Chord("B")
        #expect(Chord(KeyEvent(.character("B"))) == b)
        #expect(Chord(KeyEvent(.character("b"), .shift, shifted: "B")) == b)
        #expect(Chord(KeyEvent(.character("B"), .shift)) == b)
        #expect(Chord(KeyEvent(.character("b"), [.shift, .capsLock, .numLock], shifted: "B")) == b)
        let question = Chord("?")
        #expect(Chord(KeyEvent(.character("/"), .shift, shifted: "?")) == question)
        let caret = Chord("C-^")
        #expect(Chord(KeyEvent(.character("^"), .ctrl)) == caret)
        #expect(Chord(KeyEvent(.character("6"), [.ctrl, .shift], shifted: "^")) == caret)
        #expect(Chord(KeyEvent(.character("A"), [.ctrl, .shift])) == Chord("C-S-a"))
        #expect(Chord(KeyEvent(.character("X"), .alt)) == Chord("A-X"))
        #expect(Chord(KeyEvent(.character("x"), [.alt, .shift], shifted: "X")) == Chord("A-X"))
    }

    @Test("a binding by position: Ctrl and the key where a US keyboard has the bracket")
    func position() {
        #expect(Chord.position(of: KeyEvent(.character("+"), .ctrl, base: "]")) == Chord("C-]"))
        #expect(Chord.position(of: KeyEvent(.character("]"), .ctrl)) == nil)
    }

    @Test("labels are for people")
    func labels() {
        #expect(Chord("C-]")?.label == "Ctrl-]")
        #expect(Chord("C-A-del")?.label == "Ctrl-Alt-Del")
        #expect(Chord("C-l")?.label == "Ctrl-L")
        #expect(Chord("ret")?.label == "Enter")
        #expect(Chord("q")?.label == "q")
    }
}
