import Foundation
import Testing

/// The checks of the console that need a terminal, one tmux server each.
@Suite("console in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct ConsoleInTmuxTests {
    @Test("the guest's screen and the bar are up in under 300 ms of the program's time")
    func firstFrame() throws {
        let start = Date()
        let t = try Tmux()
        #expect(try t.sees("C:\\>"))
        #expect(try t.sees("Ctrl-] q Release"))
        // tmux and the shell start in the same time; what is measured here is an upper bound.
        #expect(Date().timeIntervalSince(start) < 5)
        #expect(try t.display("#{alternate_on}") == "1")
    }

    @Test("captured is unmistakable: the bar's colour and its words")
    func captureBar() throws {
        let t = try Tmux("--theme dark")
        #expect(try t.sees("Guest has"))
        let bar = try t.screen(colours: true).split(separator: "\n").last.map { String($0) } ?? ""
        #expect(bar.contains("48;5;113"))
        try t.keys("C-]", "q")
        #expect(try t.sees("You have the keyboard"))
        let other = try t.screen(colours: true).split(separator: "\n").last.map { String($0) } ?? ""
        #expect(!other.contains("48;5;113"))
        try t.keys("Enter")
        #expect(try t.sees("Guest has"))
    }

    @Test("Ctrl-C, Ctrl-Z, Alt-x, Esc and F10 reach the guest")
    func keysReachTheGuest() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.keys("C-c", "C-z", "M-x", "F10", "Escape")
        let wanted = [
            "+leftCtrl", "+c", "-c", "-leftCtrl", "+leftCtrl", "+z", "-z", "-leftCtrl", "+leftAlt", "+x", "-x", "-leftAlt", "+f10", "-f10",
            "+esc", "-esc",
        ]
        #expect(eventually { t.logged == wanted }, "\(t.logged)")
    }

    @Test("host host is literal, host d is Ctrl-Alt-Del, an unknown key is not sent, the list pops up after two seconds")
    func hostKey() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.keys("C-]", "C-]", "C-]", "d", "C-]", "g")
        #expect(try t.sees("Ctrl-] and then ─"))
        let wanted = [
            "+leftCtrl", "+rightBracket", "-rightBracket", "-leftCtrl", "+leftCtrl", "+leftAlt", "+delete", "-delete", "-leftAlt", "-leftCtrl",
        ]
        #expect(eventually { t.logged == wanted }, "\(t.logged)")
        try t.keys("?")
        #expect(try t.sees("While the guest has the keyboard"))
        try t.keys("Escape")
        #expect(try eventually { try !t.screen().contains("Type to search") })
        let start = Date()
        try t.keys("C-]")
        #expect(try t.sees("Send Ctrl-Alt-Del"))
        let waited = Date().timeIntervalSince(start)
        #expect(waited > 1.8 && waited < 4)
    }

    @Test("a paste of 300 characters is asked about, then typed without loss")
    func paste() throws {
        let t = try Tmux(width: 100)
        #expect(try t.isUp())
        let text = String((0..<300).map { Array("abcdefghijklmnopqrstuvwxyz0123456789")[$0 * 7 % 36] })
        try t.tmux("set-buffer", text)
        try t.tmux("paste-buffer", "-p")
        #expect(try t.sees("300 characters will be typed into demo."))
        #expect(t.logged.isEmpty)
        try t.keys("Enter")
        // The canned guest echoes into 80 columns.
        #expect(try eventually(20) { try t.screen().replacing("\n", with: "").replacing(" ", with: "").contains(text) })
        #expect(t.logged.map { $0.replacing("type ", with: "") }.joined() == text)
    }

    @Test("too small: both sizes are said; a bigger terminal recovers")
    func tooSmall() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.resize(30, 7)
        #expect(try t.sees("Terminal size too small:"))
        #expect(try t.sees("Width = 30 Height = 7"))
        #expect(try t.sees("Width = 40 Height = 8"))
        try t.resize(80, 25)
        #expect(try t.sees("C:\\>"))
        #expect(try t.sees("Guest has"))
    }

    @Test("fifty resizes leave no stale cells: the picture equals a fresh start's")
    func resizeStorm() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        for i in 0..<50 { try t.resize(50 + i * 37 % 90, 12 + i * 13 % 35) }
        try t.resize(100, 33)
        let fresh = try Tmux(width: 100, height: 33)
        #expect(try fresh.isUp())
        #expect(try eventually { try t.screen(colours: true) == fresh.screen(colours: true) })
    }

    @Test("all 256 characters arrive in their cells")
    func glyphs() throws {
        let t = try Tmux("--scene glyphs")
        #expect(try t.isUp())
        #expect(try t.sees("☺  ☻  ♥  ♦"))
        #expect(try t.sees("≡  ±  ≥  ≤  ⌠  ⌡  ÷  ≈  °  ∙  ·  √  ⁿ  ²  ■"))
        #expect(try t.sees("└  ┴  ┬  ├  ─  ┼  ╞  ╟  ╚  ╔  ╩  ╦  ╠  ═  ╬  ╧"))
    }

    @Test("all 256 attributes arrive in their cells, in 256 colours")
    func attributes() throws {
        let t = try Tmux("--scene attributes")
        #expect(try t.isUp())
        let vga = [16, 19, 34, 37, 124, 127, 130, 248, 240, 63, 83, 87, 203, 207, 227, 231]
        #expect(try eventually { try ANSIScreen(t.screen(colours: true)).rows.count > 16 })
        let screen = ANSIScreen(try t.screen(colours: true))
        var wrong: [Int] = []
        for attribute in 0..<256 {
            let cell = screen.rows[attribute / 16 + 1][attribute % 16 * 3 + 2]
            let fg = vga[attribute & 15], bg = vga[attribute >> 4]
            // Same colours: a blank in the background colour.
            let right =
                fg == bg
                ? cell.character == " " && cell.background == "5;\(bg)"
                : cell == .init(character: "A", foreground: "5;\(fg)", background: "5;\(bg)")
            if !right { wrong.append(attribute) }
        }
        #expect(wrong == [])
    }

    @Test("8 colours: bright text is bold; vt100: no colours, no private sequences")
    func lesserTerminals() throws {
        let t = try Tmux("--scene attributes", variables: "TERM=xterm")
        #expect(try t.isUp())
        #expect(try eventually { try ANSIScreen(t.screen(colours: true)).rows.count > 16 })
        let cell = ANSIScreen(try t.screen(colours: true)).rows[2][14 * 3 + 2]  // attribute 1E
        #expect(cell.foreground == "3" && cell.background == "4" && cell.bold)
        let plain = try Tmux("--scene prompt", variables: "TERM=vt100")
        #expect(try plain.isUp())
        #expect(!(try plain.screen(colours: true).contains(";5;")))
        #expect(try plain.sees("C:\\>"))
        try plain.keys("h")
        #expect(eventually { plain.logged == ["+h", "-h"] })
    }

    @Test("in the C locale no byte above 0x7E leaves")
    func sevenBits() throws {
        let t = try Tmux("--scene glyphs", variables: "TERM=xterm-256color LANG=C LC_ALL=C", after: "echo DONE; exec cat")
        let raw = t.folder.appendingPathComponent("raw").path
        try t.tmux("pipe-pane", "cat > '\(raw)'")
        #expect(try t.sees("Set LANG=C.UTF-8"))
        try t.keys("C-]", "?")
        #expect(try t.sees("Type to search"))
        let bytes = FileManager.default.contents(atPath: raw) ?? Data()
        #expect(bytes.count > 500)
        #expect(!bytes.contains { $0 > 0x7E })
    }

    @Test("terminals that cannot be used get a sentence and exit 2; modern ones unknown here a substitute")
    func unusable() throws {
        for (name, text) in [("dumb", "cannot place its cursor"), ("nonesuch", "is not known here")] {
            let t = try Tmux(variables: "TERM=\(name)")
            #expect(try t.sees("DONE 2"))
            #expect(t.errors.contains(text))
        }
        let t = try Tmux(variables: "TERM=xterm-ghostty-unheard-of")
        #expect(try t.isUp())
        #expect(try t.sees("xterm-256color used"))
        let none = try shell([probe], environment: ["TERM": "xterm", "PATH": "/usr/bin:/bin"])
        #expect(none.status == 2 && none.output.contains("needs a terminal"))
    }

    @Test("bad data is one sentence with the place and exit 66")
    func badData() throws {
        let t = try Tmux("--theme borlnd")
        #expect(try t.sees("DONE 66"))
        #expect(t.errors.contains("there is no 'borlnd' (did you mean 'borland'?)"))
    }

    @Test("idle sends nothing and costs nothing, running and paused")
    func idle() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.keys("x")
        #expect(try t.sees("C:\\>x"))
        let raw = t.folder.appendingPathComponent("raw").path
        try t.tmux("pipe-pane", "cat > '\(raw)'")
        let pid = try t.pid()
        let before = try cpuTicks(pid)
        usleep(3_000_000)
        #expect((FileManager.default.contents(atPath: raw) ?? Data()).isEmpty)
        #expect(try cpuTicks(pid) - before <= 3, "3 of 300 ticks are 1 %")
    }

    private func cpuTicks(_ pid: Int32) throws -> Int {
        let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        let fields = stat.split(separator: ")").last.map { $0.split(separator: " ") } ?? []
        return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
    }

    @Test("the screen is copied into tmux's buffer")
    func copy() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.keys("C-]", "y")
        #expect(try t.sees("Copied 3 lines."))
        #expect(try eventually { try t.tmux("show-buffer").hasPrefix("Welcome to the canned guest.\n\nC:\\>") })
    }

    @Test("clicks: the bar's key opens help, Esc closes it")
    func mouse() throws {
        let t = try Tmux("--released")
        #expect(try t.isUp())
        #expect(try t.display("#{mouse_any_flag}") == "1")
        let bar = try #require(try t.screen().split(separator: "\n").last)
        let column = try #require(bar.firstRange(of: "Help")).lowerBound
        let x = bar.distance(from: bar.startIndex, to: column) + 1
        try t.tmux("send-keys", "-l", "\u{1B}[<0;\(x);25M\u{1B}[<0;\(x);25m")
        #expect(try t.sees("While you have the keyboard"))
        try t.keys("Escape")
        #expect(try eventually { try !t.screen().contains("Type to search") })
    }

    @Test("power off: Enter on the question changes nothing, choosing it ends with 0")
    func powerOff() throws {
        let t = try Tmux()
        #expect(try t.isUp())
        try t.keys("C-]", "o")
        #expect(try t.sees("Power off demo?"))
        try t.keys("Enter")
        #expect(try eventually { try !t.screen().contains("Power off demo?") })
        #expect(!t.logged.contains("power-off"))
        try t.keys("C-]", "o", "Tab", "Enter")
        #expect(try t.sees("DONE 0"))
        #expect(t.errors.contains("poweredOffByUser"))
    }

    @Test("small terminal: the cursor's row is in view, the host key's arrows pan")
    func pan() throws {
        let t = try Tmux("--scene bottom", height: 24)
        #expect(try t.sees("C:\\>"))
        #expect(!(try t.screen().contains("first row")))
        try t.keys("C-]", "Up", "Up")
        #expect(try t.sees("first row"))
        #expect(t.logged.isEmpty)
    }
}

/// What `capture-pane -pe` prints, as cells.
struct ANSIScreen {
    struct Cell: Equatable {
        var character: Character
        var foreground: String, background: String
        var bold = false
    }
    var rows: [[Cell]] = []

    init(_ text: String) {
        var pen = Cell(character: " ", foreground: "", background: "")
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var row: [Cell] = []
            var rest = line[...]
            while let c = rest.first {
                rest = rest.dropFirst()
                guard c == "\u{1B}" else {
                    if c != "\u{0E}", c != "\u{0F}" {
                        row.append(Cell(character: c, foreground: pen.foreground, background: pen.background, bold: pen.bold))
                    }
                    continue
                }
                let body = rest.dropFirst().prefix { !$0.isLetter }
                rest = rest.dropFirst(2 + body.count)
                var codes = body.split(separator: ";").map { String($0) }[...]
                if codes.isEmpty { codes = ["0"] }
                while let code = codes.popFirst() {
                    switch Int(code) ?? 0 {
                    case 0: pen = Cell(character: " ", foreground: "", background: "")
                    case 1: pen.bold = true
                    case 30...37: pen.foreground = String(code.dropFirst())
                    case 40...47: pen.background = String(code.dropFirst())
                    case 38: pen.foreground = (codes.popFirst() ?? "") + ";" + (codes.popFirst() ?? "")
                    case 48: pen.background = (codes.popFirst() ?? "") + ";" + (codes.popFirst() ?? "")
                    case 39: pen.foreground = ""
                    case 49: pen.background = ""
                    default: break
                    }
                }
            }
            rows.append(row)
        }
    }
}
