import Hardware
import Panels
import Terminal
import Testing

@Suite("guest keyboard") struct GuestKeyboardTests {
    private func keyboard(releases: Bool, layout: String = "us") throws -> GuestKeyboard {
        var keyboard = GuestKeyboard(layout: try shipped.layout(layout, positions: KeyPositions.names))
        keyboard.reportsReleases = releases
        return keyboard
    }

    private func words(_ changes: [KeyChange]?) -> String { (changes ?? []).map(\.description).joined(separator: " ") }

    @Test("without releases every key is a whole chord")
    func chords() throws {
        var k = try keyboard(releases: false)
        #expect(words(k.take(KeyEvent(.character("a")))) == "+a -a")
        #expect(words(k.take(KeyEvent(.character("A")))) == "+leftShift +a -a -leftShift")
        #expect(words(k.take(KeyEvent(.character("?")))) == "+leftShift +slash -slash -leftShift")
        #expect(words(k.take(KeyEvent(.character("c"), .ctrl))) == "+leftCtrl +c -c -leftCtrl")
        #expect(words(k.take(KeyEvent(.named(.del), [.ctrl, .alt]))) == "+leftCtrl +leftAlt +delete -delete -leftAlt -leftCtrl")
        #expect(words(k.take(KeyEvent(.character("^"), .ctrl))) == "+leftCtrl +leftShift +digit6 -digit6 -leftShift -leftCtrl")
        #expect(words(k.take(KeyEvent(.named(.f13)))) == "+leftShift +f1 -f1 -leftShift")
        #expect(words(k.take(KeyEvent(.named(.up), .shift))) == "+leftShift +up -up -leftShift")
        #expect(words(k.take(KeyEvent(.character("B"), .shift))) == "+leftShift +b -b -leftShift")
        #expect(k.down.isEmpty)
        #expect(words(k.releaseAll()) == "")
    }

    @Test("a German guest gets its own positions, AltGr and dead keys")
    func german() throws {
        var k = try keyboard(releases: false, layout: "de")
        #expect(words(k.take(KeyEvent(.character("z")))) == "+y -y")
        #expect(words(k.take(KeyEvent(.character("@")))) == "+rightAlt +q -q -rightAlt")
        #expect(words(k.take(KeyEvent(.character("ü")))) == "+leftBracket -leftBracket")
        #expect(words(k.take(KeyEvent(.character("^")))) == "+grave -grave +space -space")
    }

    @Test("a character without a key goes as Alt and its code, one without a code not at all")
    func altCode() throws {
        var k = try keyboard(releases: false)
        // ä is 132 in code page 437.
        #expect(words(k.take(KeyEvent(.character("ä")))) == "+leftAlt +kp1 -kp1 +kp3 -kp3 +kp2 -kp2 -leftAlt")
        #expect(k.take(KeyEvent(.character("中"))) == nil)
    }

    @Test("with the guest's Caps Lock on, letters still come out as typed")
    func capsLock() throws {
        var k = try keyboard(releases: false)
        k.capsLockIsOn = true
        #expect(words(k.take(KeyEvent(.character("a")))) == "+leftShift +a -a -leftShift")
        #expect(words(k.take(KeyEvent(.character("A")))) == "+a -a")
        #expect(words(k.take(KeyEvent(.character("1")))) == "+digit1 -digit1")
        #expect(words(k.take(KeyEvent(.character("c"), .ctrl))) == "+leftCtrl +c -c -leftCtrl")
    }

    @Test("with releases keys go down and up as they do, bare modifiers too")
    func positions() throws {
        var k = try keyboard(releases: true)
        #expect(words(k.take(KeyEvent(.named(.leftCtrl)))) == "+leftCtrl")
        #expect(words(k.take(KeyEvent(.named(.leftAlt), .ctrl))) == "+leftAlt")
        #expect(words(k.take(KeyEvent(.named(.del), [.ctrl, .alt]))) == "+delete")
        #expect(words(k.take(KeyEvent(.named(.del), [.ctrl, .alt], .release))) == "-delete")
        #expect(words(k.take(KeyEvent(.named(.leftAlt), [.ctrl, .alt], .release))) == "-leftAlt")
        #expect(words(k.take(KeyEvent(.named(.leftCtrl), .ctrl, .release))) == "-leftCtrl")
        #expect(words(k.take(KeyEvent(.named(.rightCtrl), .ctrl))) == "+rightCtrl")
        #expect(k.down == [.rightCtrl])
    }

    @Test("positions come from the base layout key")
    func baseLayout() throws {
        var k = try keyboard(releases: true)
        #expect(words(k.take(KeyEvent(.character("ф"), base: "a"))) == "+a")
        #expect(words(k.take(KeyEvent(.character("ф"), [], .release, base: "a"))) == "-a")
        #expect(words(k.take(KeyEvent(.character("@"), scanCode: 0x10))) == "+q")
        #expect(words(k.take(KeyEvent(.named(.rightCtrl), .ctrl, scanCode: 0xE01D))) == "+rightCtrl")
    }

    @Test("repair 1: a release without a press is dropped")
    func strayRelease() throws {
        var k = try keyboard(releases: true)
        #expect(words(k.take(KeyEvent(.named(.ret), [], .release))) == "")
    }

    @Test("repair 2: modifiers follow the mask when their own events were swallowed")
    func reconcile() throws {
        var k = try keyboard(releases: true)
        #expect(words(k.take(KeyEvent(.named(.leftShift)))) == "+leftShift")
        // The terminal's own shortcut took A and the release of Shift; the next key says that nothing is held.
        #expect(words(k.take(KeyEvent(.character("x")))) == "-leftShift +x")
        #expect(words(k.take(KeyEvent(.character("x"), .ctrl, .release))) == "+leftCtrl -x")
        #expect(words(k.take(KeyEvent(.character("y")))) == "-leftCtrl +y")
    }

    @Test("AltGr is no Alt in the mask and stays down")
    func altGr() throws {
        var k = try keyboard(releases: true)
        #expect(words(k.take(KeyEvent(.named(.rightAlt)))) == "+rightAlt")
        #expect(words(k.take(KeyEvent(.character("q")))) == "+q")
        #expect(words(k.take(KeyEvent(.named(.rightAlt), [], .release))) == "-rightAlt")
    }

    @Test("repair 3: everything goes up when the keyboard is taken away, modifiers last")
    func releaseAll() throws {
        var k = try keyboard(releases: true)
        _ = k.take(KeyEvent(.named(.leftShift)))
        _ = k.take(KeyEvent(.character("a"), .shift))
        _ = k.take(KeyEvent(.character("b"), .shift))
        #expect(words(k.releaseAll()) == "-b -a -leftShift")
        #expect(k.down.isEmpty)
    }

    @Test("a repeat is the guest keyboard's own business")
    func repeats() throws {
        var k = try keyboard(releases: true)
        _ = k.take(KeyEvent(.character("a")))
        #expect(words(k.take(KeyEvent(.character("a"), [], .repeat))) == "")
    }

    @Test("held modifiers go with the next key and no further, with and without releases", arguments: [false, true])
    func hold(releases: Bool) throws {
        var k = try keyboard(releases: releases)
        k.toggleHold(.leftCtrl)
        k.toggleHold(.leftAlt)
        var all = words(k.take(KeyEvent(.named(.f1))))
        if releases { all += " " + words(k.take(KeyEvent(.named(.f1), [], .release))) }
        #expect(all == "+leftCtrl +leftAlt +f1 -f1 -leftAlt -leftCtrl")
        #expect(words(k.take(KeyEvent(.named(.f2)))).hasPrefix("+f2"))
        #expect(k.held.isEmpty)
    }

    @Test("SysRq and a letter")
    func sysRq() throws {
        var k = try keyboard(releases: false)
        #expect(words(k.sysRq("b")) == "+leftAlt +printScreen +b -b -printScreen -leftAlt")
    }

    @Test("every PC key has a way in: a name, a character or a scan code")
    func complete() {
        var reached = Set(NamedKey.allCases.compactMap { KeyPositions.named($0) })
        for scalar in "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./ ".unicodeScalars {
            if let key = KeyPositions.us(scalar) { reached.insert(key) }
        }
        for code in (0x01...0x58).map({ UInt16($0) }) + (0xE010...0xE05D).map({ UInt16($0) }) {
            if let key = KeyPositions.scanCode(code) { reached.insert(key) }
        }
        #expect(Set(PCKey.allCases).subtracting(reached) == [])
    }
}
