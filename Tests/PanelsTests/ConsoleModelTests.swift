import CannedMachine
import Hardware
import Machine
import Panels
import Terminal
import Testing

/// A model with a canned machine behind it: keys by command name, never by letter, so that keymaps may change.
private struct Bench {
    var model: ConsoleModel
    let machine: CannedMachine
    var now: UInt64 = 1000
    var beeps = 0
    var copied: String?
    var pictures = 0
    var outcome: RunOutcome?
    var mouse: MouseMode?

    init(scene: CannedMachine.Scene = .prompt, captured: Bool = true) throws {
        model = try sampleModel(scene: scene, captured: captured)
        machine = CannedMachine(scene: scene)
        take(model.update(machine.view(), at: now))
    }

    mutating func take(_ effects: [ConsoleModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(let command): machine.post(command)
            case .beep: beeps += 1
            case .copy(let text): copied = text
            case .savePicture: pictures += 1
            case .finish(let outcome): self.outcome = outcome
            case .mouse(let mode): mouse = mode
            case .suspend, .redraw, .loadTheme, .manager, .detach, .saveText: break
            case .ask(let question): take(model.take(machine.answer(question), at: now))
            case .readScrollback: model.showScrollback((1...100).map { "line \($0)" }, at: now)
            }
        }
    }

    mutating func press(_ event: KeyEvent) {
        now += 100
        take(model.handle(.key(event), at: now))
        take(model.update(machine.view(), at: now))
    }

    mutating func press(_ spelling: String) throws {
        let chord = try #require(Chord(spelling))
        press(KeyEvent(chord.key, chord.modifiers))
    }

    mutating func type(_ text: String) { for scalar in text.unicodeScalars { press(KeyEvent(.character(scalar))) } }

    /// The keys that a context has for a command.
    mutating func press(_ id: ActionID, in context: String) throws {
        let binding = try #require(model.keymap.bindings(context).first { $0.target == .action(id.rawValue) })
        for chord in binding.keys { press(KeyEvent(chord.key, chord.modifiers)) }
    }

    mutating func host() { press(KeyEvent(model.keymap.host.key, model.keymap.host.modifiers)) }

    mutating func wait(_ milliseconds: UInt64) {
        let end = now + milliseconds
        while let deadline = model.nextDeadline(after: now), deadline <= end {
            now = max(now + 1, deadline)
            take(model.tick(at: now))
            take(model.update(machine.view(), at: now))
        }
        now = end
    }

    var bar: String { model.draw(at: now).text.split(separator: "\n", omittingEmptySubsequences: false).last.map { String($0) } ?? "" }
    var screen: String { model.draw(at: now).text }
    var keys: [String] { machine.log.filter { $0 != "release-all" } }
}

@Suite("console") struct ConsoleModelTests {
    @Test("the bar says machine, state, who has the keyboard and how to get it back")
    func bar() throws {
        var bench = try Bench()
        #expect(bench.bar.contains("demo"))
        #expect(bench.bar.contains("Running"))
        #expect(bench.bar.contains("Ctrl-] q Release"))
        bench.host()
        try bench.press(.release, in: "host")
        #expect(bench.bar.contains("You have the keyboard"))
        #expect(bench.bar.contains("Enter to guest"))
        try bench.press(.capture, in: "console")
        #expect(bench.model.isCaptured)
        let surface = bench.model.draw(at: 0)
        #expect(surface[0, surface.height - 1].ink.role == .statusCaptured)
    }

    @Test("captured, everything goes to the guest", arguments: ["C-c", "C-z", "A-x", "esc", "F10", "F1", ":"])
    func captured(_ key: String) throws {
        var bench = try Bench()
        try bench.press(key)
        #expect(!bench.keys.isEmpty)
        #expect(bench.model.overlay == nil && bench.model.isCaptured)
    }

    @Test("the host key twice is the host key")
    func literal() throws {
        var bench = try Bench()
        bench.host()
        bench.host()
        #expect(bench.keys == ["+leftCtrl", "+rightBracket", "-rightBracket", "-leftCtrl"])
    }

    @Test("host d is Ctrl-Alt-Del")
    func ctrlAltDel() throws {
        var bench = try Bench()
        bench.host()
        try bench.press("d")
        #expect(bench.keys == ["+leftCtrl", "+leftAlt", "+delete", "-delete", "-leftAlt", "-leftCtrl"])
    }

    @Test("an unknown key after the host key beeps, explains and is never sent")
    func unknown() throws {
        var bench = try Bench()
        bench.host()
        try bench.press("g")
        #expect(bench.beeps == 1)
        #expect(bench.screen.contains("Ctrl-] and then"))
        #expect(bench.keys.isEmpty)
        try bench.press(.release, in: "host")
        #expect(!bench.model.isCaptured && bench.keys.isEmpty)
    }

    @Test("two seconds after the host key the list pops up, not before")
    func whichKey() throws {
        var bench = try Bench()
        bench.host()
        bench.wait(1900)
        #expect(!bench.screen.contains("Ctrl-] and then ─"))
        bench.wait(200)
        #expect(bench.screen.contains("Send Ctrl-Alt-Del"))
    }

    @Test("Right Ctrl as the host key works where the terminal reports it")
    func rightCtrl() throws {
        var model = try sampleModel()
        var keymap = model.keymap
        keymap.host = try #require(Chord("RightCtrl"))
        model = ConsoleModel(ConsoleModel.Settings(theme: .base, keymap: keymap, layout: model.keyboard.layout))
        _ = model.setReportsReleases(true, at: 0)
        _ = model.handle(.key(KeyEvent(.named(.rightCtrl), .ctrl)), at: 1)
        _ = model.handle(.key(KeyEvent(.named(.rightCtrl), .ctrl, .release)), at: 2)
        _ = model.handle(.key(KeyEvent(.character("q"))), at: 3)
        #expect(!model.isCaptured)
    }

    @Test("a bare modifier as the host key where the terminal cannot see it: Ctrl-] stands in and is what the bar says")
    func unseenHostKey() throws {
        let sample = try sampleModel()
        var keymap = sample.keymap
        keymap.host = try #require(Chord("RightCtrl"))
        var model = ConsoleModel(ConsoleModel.Settings(theme: .base, keymap: keymap, layout: sample.keyboard.layout))
        _ = model.update(CannedMachine().view(), at: 0)
        #expect(model.draw(at: 0).text.contains("Ctrl-] q Release"))
        _ = model.handle(.key(KeyEvent(.character("]"), .ctrl)), at: 1)
        _ = model.handle(.key(KeyEvent(.character("q"))), at: 2)
        #expect(!model.isCaptured)
    }

    @Test("modifiers of the terminal's paste key are up before the text is typed or asked about")
    func pasteKey() throws {
        var bench = try Bench()
        bench.take(bench.model.setReportsReleases(true, at: 0))
        bench.press(KeyEvent(.named(.leftCtrl)))
        bench.take(bench.model.handle(.paste("dir"), at: bench.now))
        #expect(bench.keys == ["+leftCtrl", "-leftCtrl", "type dir"])
        bench.press(KeyEvent(.named(.leftCtrl), .ctrl, .release))
        #expect(bench.keys.count == 3)
    }

    @Test("a floppy is put in by its path and taken out by name")
    func drives() throws {
        var bench = try Bench()
        bench.host()
        try bench.press(.drives, in: "host")
        #expect(bench.screen.contains("Floppy A") && bench.screen.contains("empty"))
        try bench.press(.accept, in: "list")
        bench.take(bench.model.handle(.paste("/tmp/disk two.img\n"), at: bench.now))
        try bench.press(.accept, in: "dialog")
        #expect(bench.keys == ["insert floppyA /tmp/disk two.img"])
        bench.wait(400)
        #expect(bench.bar.contains("did not take"), "the machine has not said that it is there")
        bench.machine.change { $0.media[.floppyA] = "/tmp/disk two.img" }
        bench.take(bench.model.update(bench.machine.view(), at: bench.now))
        bench.model.run(.drives)
        #expect(bench.screen.contains("disk two.img"))
        try bench.press(.accept, in: "list")
        try bench.press(.nextButton, in: "dialog")
        try bench.press(.accept, in: "dialog")
        #expect(bench.keys.last == "eject floppyA")
    }

    @Test("40-column modes take two columns a cell when the theme says so, lines unbroken")
    func wide() throws {
        var model = try sampleModel(scene: .forty)
        model.theme.guest.wide = true
        _ = model.update(CannedMachine(scene: .forty).view(), at: 0)
        let text = model.draw(at: 0).text
        #expect(text.hasPrefix("W e l c o m e"))
        #expect(model.draw(at: 0).cursor?.column == 8)
    }

    @Test("the release of the key that captured never reaches the guest; focus loss releases what is down")
    func hazards() throws {
        var bench = try Bench(captured: false)
        bench.take(bench.model.setReportsReleases(true, at: 0))
        bench.press(KeyEvent(.named(.ret)))
        bench.press(KeyEvent(.named(.ret), [], .release))
        #expect(bench.keys.isEmpty)
        bench.press(KeyEvent(.named(.leftShift)))
        bench.press(KeyEvent(.character("a"), .shift))
        bench.take(bench.model.handle(.focus(false), at: bench.now))
        #expect(bench.keys == ["+leftShift", "+a", "-a", "-leftShift"])
        #expect(bench.machine.log.last == "release-all")
    }

    @Test("a long paste asks first, then is typed without loss and shows its progress")
    func paste() throws {
        var bench = try Bench()
        let text = String(repeating: "lorem ipsum ", count: 25)
        bench.take(bench.model.handle(.paste(text), at: bench.now))
        #expect(bench.screen.contains("300 characters will be typed into demo."))
        #expect(bench.keys.isEmpty)
        try bench.press(.accept, in: "dialog")
        #expect(bench.bar.contains("typing ") && bench.bar.contains("/300"))
        for _ in 0..<2000 where bench.bar.contains("typing") {
            bench.wait(40)
            bench.take(bench.model.update(bench.machine.view(), at: bench.now))
        }
        let typed = bench.machine.log.filter { $0.hasPrefix("type ") }.map { $0.dropFirst(5) }.joined()
        #expect(typed == text)
    }

    @Test("a short paste is typed at once; Esc stops a running one")
    func stopTyping() throws {
        var bench = try Bench()
        bench.take(bench.model.handle(.paste("dir"), at: bench.now))
        #expect(bench.keys == ["type dir"])
        var other = try Bench()
        other.take(other.model.handle(.paste(String(repeating: "x", count: 150)), at: other.now))
        try other.press("esc")
        other.wait(1000)
        #expect(other.keys == ["type " + String(repeating: "x", count: 24)])
        #expect(!other.bar.contains("typing 24"))
    }

    @Test("a paste with line ends asks even when it is short; Esc forgets it")
    func pasteLines() throws {
        var bench = try Bench()
        bench.take(bench.model.handle(.paste("rm -rf /\n"), at: bench.now))
        #expect(bench.screen.contains("One line end is typed as Enter."))
        try bench.press(.cancel, in: "dialog")
        #expect(bench.keys.isEmpty && bench.model.overlay == nil)
    }

    @Test("what destroys asks with Cancel first: Enter and Esc change nothing", arguments: [ActionID.powerOff, .reset, .quit])
    func destructive(id: ActionID) throws {
        for key in [ActionID.accept, .cancel] {
            var bench = try Bench(captured: false)
            bench.take(bench.model.tick(at: bench.now))
            bench.model.run(id)
            #expect(bench.screen.contains("demo"))
            try bench.press(key, in: "dialog")
            #expect(bench.machine.view().state == .running && bench.keys.isEmpty)
        }
    }

    @Test("power off after yes ends the console with the machine's outcome")
    func powerOff() throws {
        var bench = try Bench()
        bench.host()
        try bench.press(.powerOff, in: "host")
        try bench.press(.nextButton, in: "dialog")
        try bench.press(.accept, in: "dialog")
        #expect(bench.machine.log.contains("power-off"))
        #expect(bench.outcome == .poweredOffByUser)
    }

    @Test("a machine that does not answer power off is left after three seconds")
    func hungMachine() throws {
        var model = try sampleModel()
        model.run(.powerOff)
        let next = try #require(model.keymap.bindings("dialog").first { $0.target == .action("button.next") }).keys[0]
        let accept = try #require(model.keymap.bindings("dialog").first { $0.target == .action("accept") }).keys[0]
        _ = model.handle(.key(KeyEvent(next.key, next.modifiers)), at: 10)
        _ = model.handle(.key(KeyEvent(accept.key, accept.modifiers)), at: 20)
        var ended = false
        for case .finish in model.tick(at: 3100) { ended = true }
        #expect(ended)
    }

    @Test("pause and resume are one key; keys while paused are explained, not queued")
    func pause() throws {
        var bench = try Bench()
        bench.host()
        try bench.press(.pause, in: "host")
        #expect(bench.machine.view().state == .paused && bench.bar.contains("Paused"))
        try bench.press("x")
        #expect(!bench.keys.contains("+x") && bench.bar.contains("resumes"))
        bench.host()
        try bench.press(.pause, in: "host")
        #expect(bench.machine.view().state == .running)
    }

    @Test("Esc and a digit are a function key for terminals without them")
    func escDigit() throws {
        var bench = try Bench(captured: false)
        try bench.press("esc")
        try bench.press("1")
        #expect(bench.screen.contains("Keys"))
        var fast = try Bench(captured: false)
        try fast.press("A-9")
        #expect(fast.screen.contains("Machine") && fast.screen.contains("Power off…"))
    }

    @Test("the palette finds a command by letters and runs it")
    func palette() throws {
        var bench = try Bench(captured: false)
        try bench.press(.palette, in: "console")
        bench.type("pau")
        #expect(bench.screen.contains("Pause"))
        try bench.press(.accept, in: "list")
        #expect(bench.machine.view().state == .paused)
    }

    @Test("every command is in the help list, with its key")
    func help() throws {
        var bench = try Bench()
        bench.model.resize(Size(width: 100, height: 100), at: 0)
        bench.model.run(.help)
        for binding in bench.model.keymap.bindings("host") + bench.model.keymap.bindings("console") {
            guard case .action(let name) = binding.target, let id = ActionID(rawValue: name), Action[id].scope.contains(.console) else { continue }
            #expect(bench.screen.contains(Action[id].title), "\(name)")
        }
    }

    @Test("Send Keys: Ctrl-Alt-F1 by its name, SysRq asks for the letter, a held modifier goes with the next key")
    func sendKeys() throws {
        var bench = try Bench()
        bench.model.run(.sendKeys)
        bench.type("ctrl-alt-f1")
        try bench.press(.accept, in: "list")
        #expect(bench.keys == ["+leftCtrl", "+leftAlt", "+f1", "-f1", "-leftAlt", "-leftCtrl"])
        var second = try Bench()
        second.model.run(.sendKeys)
        second.type("sysrq")
        try second.press(.accept, in: "list")
        try second.press("b")
        #expect(second.keys == ["+leftAlt", "+printScreen", "+b", "-b", "-printScreen", "-leftAlt"])
        var third = try Bench()
        third.model.run(.sendKeys)
        third.type("hold alt")
        try third.press(.accept, in: "list")
        #expect(third.bar.contains("Alt+"))
        try third.press("x")
        #expect(third.keys == ["+leftAlt", "+x", "-x", "-leftAlt"])
    }

    @Test("the copy is the text of the screen without trailing blanks")
    func copy() throws {
        var bench = try Bench()
        bench.model.run(.copyScreen)
        bench.take(bench.model.tick(at: bench.now))
        #expect(bench.copied == "Welcome to the canned guest.\n\nC:\\>\n")
    }

    @Test("in a graphics mode bar and notice say so, name the way back to text and the key that saves the picture, which it then does")
    func graphicsMode() throws {
        var bench = try Bench(scene: .graphics)
        #expect(bench.bar.contains("GFX 640x480"))
        #expect(bench.screen.contains("nomodeset") && bench.screen.contains("Ctrl-] s saves one as a PNG file"))
        #expect(bench.screen.contains("640x480x4 planar, which is not drawn"))
        bench.host()
        try bench.press(.savePicture, in: "host")
        #expect(bench.pictures == 1)
        bench.model.run(.copyScreen)
        #expect(bench.bar.contains("no text on the screen"))
    }

    @Test("on a smaller terminal the cursor's row is in view; the host key's arrows pan; the next key follows again")
    func panning() throws {
        var bench = try Bench(scene: .bottom)
        bench.model.resize(Size(width: 80, height: 24), at: bench.now)
        #expect(!bench.screen.contains("first row") && bench.screen.contains("C:\\>"))
        #expect(bench.bar.contains("rows 3-25/25"))
        bench.host()
        try bench.press(.panUp, in: "host")
        #expect(bench.bar.contains("rows 2-24/25"))
        // The arrow again, without the host key.
        try bench.press(.panUp, in: "host")
        #expect(bench.screen.contains("first row"))
        #expect(bench.keys.isEmpty)
        bench.wait(2000)
        try bench.press("x")
        #expect(bench.bar.contains("rows 3-25/25") && bench.keys.contains("+x"))
    }

    @Test("a machine's own colours and characters are shown; the theme's come back with another machine") func wishes() throws {
        var model = try sampleModel()
        var view = CannedMachine(scene: .prompt).view()
        (view.palette, view.frame.codePage) = (.green, .cp866)
        view.frame.cells[0] = 0x0780
        _ = model.update(view, at: 1)
        #expect(model.shownTheme.guest.palette == .green && model.theme.guest.palette == .vga)
        #expect(model.draw(at: 1)[0, 0].scalar == 0x0410, "CP866 80: А")
        #expect(model.draw(at: 1).reduced(to: .ascii)[0, 0].scalar == 0x41)
        #expect(ScreenPanel.text(view.frame).hasPrefix("А"))
        view.palette = .theme
        _ = model.update(view, at: 2)
        #expect(model.shownTheme.guest.palette == .vga)
    }

    @Test("the detach key leaves a machine that another process runs, and explains itself elsewhere", arguments: [true, false])
    func detach(attached: Bool) throws {
        let keymap = try sampleModel().keymap
        var settings = ConsoleModel.Settings(
            theme: try shipped.theme("dark"), keymap: keymap, layout: try shipped.layout("us", positions: KeyPositions.names))
        settings.attached = attached
        var model = ConsoleModel(settings)
        _ = model.update(CannedMachine().view(), at: 0)
        var left = false
        for key in [KeyEvent(.character("]"), .ctrl), KeyEvent(.character("x"))] {
            for effect in model.handle(.key(key), at: 10) { if case .detach = effect { left = true } }
        }
        #expect(left == attached)
        if !attached { #expect(model.draw(at: 11).text.contains("runs in this terminal and ends with it")) }
    }

    @Test("graphics and a dark display are explained")
    func notices() throws {
        #expect(try Bench(scene: .graphics).screen.contains("The guest has left text mode"))
        #expect(try Bench(scene: .blank).screen.contains("switched its display off"))
    }

    @Test("blinking text is redrawn at 1.9 Hz, steady text never")
    func blink() throws {
        let bench = try Bench(scene: .blink)
        #expect(bench.model.draw(at: 0).text.contains("blinking"))
        #expect(!bench.model.draw(at: 266).text.contains("blinking"))
        #expect(bench.model.nextDeadline(after: 10) == 266)
        #expect(try Bench().model.nextDeadline(after: 10) == nil)
    }

    @Test("clicks on the bar run what they show, a click on the screen captures")
    func clicks() throws {
        var bench = try Bench(captured: false)
        let row = bench.model.size.height - 1
        let column = try #require(bench.bar.range(of: "Help")).lowerBound
        let x = Width.of(bench.bar[..<column])
        bench.take(bench.model.handle(.mouse(MouseEvent(.press, button: 0, column: x, row: row)), at: bench.now))
        #expect(bench.screen.contains("Keys"))
        var other = try Bench(captured: false)
        other.take(other.model.handle(.mouse(MouseEvent(.press, button: 0, column: 5, row: 5)), at: other.now))
        #expect(other.model.isCaptured)
    }

    @Test("the guest's mouse: cells become counts, buttons are the PS/2's, the edges drive the pointer home")
    func guestMouse() throws {
        var bench = try Bench()
        bench.model.run(.guestMouse)
        bench.take(bench.model.tick(at: bench.now))
        #expect(bench.mouse == .motion)
        for event in [
            MouseEvent(.move, button: 3, column: 10, row: 10), MouseEvent(.move, button: 3, column: 12, row: 9),
            MouseEvent(.press, button: 2, column: 12, row: 9), MouseEvent(.release, button: 2, column: 12, row: 9),
            MouseEvent(.wheelDown, button: 1, column: 12, row: 9), MouseEvent(.move, button: 3, column: 0, row: 9),
        ] { bench.take(bench.model.handle(.mouse(event), at: bench.now)) }
        #expect(bench.keys == ["mouse 16 -16 0 0", "mouse 0 0 2 0", "mouse 0 0 0 0", "mouse 0 0 0 1", "mouse -255 0 0 0"])
    }

    @Test("keys typed faster than the keyboard's wire are held back, in order")
    func pacing() throws {
        var bench = try Bench()
        for scalar in "abcdefghij".unicodeScalars { bench.take(bench.model.handle(.key(KeyEvent(.character(scalar))), at: bench.now)) }
        #expect(bench.keys.count < 20)
        bench.wait(200)
        #expect(bench.keys == "abcdefghij".flatMap { ["+\($0)", "-\($0)"] })
    }

    @Test("a guest that lies about its screen is drawn as far as it goes")
    func nonsense() throws {
        var model = try sampleModel()
        var view = CannedMachine().view()
        view.frame.cells = [0x0741]
        _ = model.update(view, at: 0)
        _ = model.draw(at: 0)
        view.frame.columns = Int.max / 4
        view.frame.rows = -5
        view.frame.cursor.column = .max
        view.frame.cursor.row = .min
        _ = model.update(view, at: 0)
        _ = model.draw(at: 0)
        view.frame = CannedMachine.frame(.prompt)
        view.frame.cursor.startLine = .min
        view.frame.cursor.endLine = .max
        view.frame.palette = []
        _ = model.update(view, at: 0)
        #expect(model.draw(at: 0).width == 80)
    }
}
