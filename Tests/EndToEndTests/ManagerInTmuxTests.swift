import Foundation
import Testing

/// The checks of the manager that need a terminal, with canned machines behind it; those with real ones are in the tour.
@Suite("manager's screens in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct ManagerInTmuxTests {
    private func start(_ arguments: String = "sample", width: Int = 80, height: Int = 24, variables: String = "TERM=tmux-256color") throws -> Tmux {
        let t = try Tmux("--manager \(arguments)", width: width, height: height, variables: variables)
        #expect(try t.sees("1 Machines"))
        return t
    }

    private func expectGone(_ t: Tmux, _ text: String, _ place: SourceLocation = #_sourceLocation) throws {
        #expect(try eventually { try !t.screen().contains(text) }, sourceLocation: place)
    }

    @Test("200 machines: the first picture is there in 300 ms, a key of the filter is answered in 50") func firstFrame() throws {
        // What else the host does may spoil a round; not all of them.
        var first = Double.infinity, key = Double.infinity
        for _ in 0..<6 where first > 0.3 || key > 0.05 {
            let began = Date()
            let t = try FakeTerminal(["--manager", "200"], answers: ["\u{1B}[c": "\u{1B}[?64;1;2c", "\u{1B}[5n": "\u{1B}[0n"])
            while !t.output.contains("1 Machines"), Date().timeIntervalSince(began) < 5 { usleep(1000) }
            first = min(first, Date().timeIntervalSince(began))
            t.send("/")
            #expect(eventually { t.output.contains("Enter") })
            for letter in "machine 19" {
                let before = t.outputCount, sent = Date()
                t.send(String(letter))
                while t.outputCount == before, Date().timeIntervalSince(sent) < 1 { usleep(200) }
                key = min(key, Date().timeIntervalSince(sent))
                usleep(30_000)
            }
        }
        #expect(first < 0.3 && key < 0.05, "first picture \(first) s, a key \(key) s")
    }

    @Test("F1 lists every key of the list; typing narrows it; Esc brings the same picture back") func help() throws {
        let t = try start()
        #expect(try t.sees("F1 Help") || t.sees("? Help"))
        let before = try t.screen()
        try t.keys("F1")
        #expect(try t.sees("ACPI shutdown"))
        try t.keys("/", "c", "l", "o", "n", "e")
        #expect(try t.sees("Keys: clone"))
        try expectGone(t, "ACPI shutdown")
        try t.keys("Escape")
        #expect(try eventually { try t.screen() == before })
    }

    @Test("the palette finds a command by letters, shows its key and runs it") func palette() throws {
        let t = try start()
        try t.keys("Down", "Down")
        #expect(try t.sees("2 DOS games"))
        try t.keys(":", "p", "a", "u")
        #expect(try eventually { try t.screen().contains(/Pause +p/) })
        try t.keys("Enter")
        #expect(try t.sees("‖ Paused"))
    }

    @Test("what destroys names the thing, and Enter keeps it; quitting offers four ways") func questions() throws {
        let t = try start()
        try t.keys("Down", "Down", "X")
        #expect(try t.sees("Power off DOS games?"))
        try t.keys("Enter")
        try expectGone(t, "Power off DOS games?")
        #expect(try t.sees("● Running"))
        try t.keys("X")
        #expect(try t.sees("Power off DOS games?"))
        try t.keys("Escape")
        try expectGone(t, "Power off DOS games?")
        try t.keys("q")
        for word in ["Keep running", "ACPI off", "Power off", "Cancel"] { #expect(try t.sees(word)) }
        try t.keys("Escape")
        try expectGone(t, "Keep running")
        try t.keys("q", "Enter")
        #expect(try t.sees("DONE 0"))
    }

    @Test("long work shows how far it is and how long still; Esc stops it") func progress() throws {
        let t = try start("slow")
        try t.keys("Down", "Down", "Down", "c")
        #expect(try t.sees("Name of the copy"))
        try t.keys("Enter")
        #expect(try eventually { try t.screen().contains(/[0-9]+%  [0-9.]+ MiB\/s  [0-9]+s left/) })
        try t.keys("Escape")
        #expect(try t.sees("Stopped; nothing was left."))
        try expectGone(t, "s left")
    }

    @Test("too small: both sizes are said; bigger again, the picture is that of a fresh start, also after fifty sizes") func sizes() throws {
        let t = try start()
        try t.resize(60, 15)
        #expect(try t.sees("Width = 60 Height = 15"))
        #expect(try t.sees("Width = 64 Height = 16"))
        for i in 0..<50 { try t.resize(50 + i * 37 % 110, 12 + i * 13 % 40) }
        try t.resize(110, 35)
        let fresh = try start(width: 110, height: 35)
        #expect(try eventually { try t.screen(colours: true) == fresh.screen(colours: true) })
    }

    @Test("rows, wheel and the bar take the mouse; a second click opens") func mouse() throws {
        let t = try start()
        #expect(try t.display("#{mouse_any_flag}") == "1")
        func click(_ column: Int, _ row: Int, times: Int = 1) throws {
            try t.tmux("send-keys", "-l", String(repeating: "\u{1B}[<0;\(column);\(row)M\u{1B}[<0;\(column);\(row)m", count: times))
        }
        let lines = try t.screen().split(separator: "\n", omittingEmptySubsequences: false)
        let row = try #require(lines.firstIndex { $0.contains("buildbox") }) + 1
        try click(8, row)
        #expect(try t.sees("2 buildbox"))
        try t.tmux("send-keys", "-l", "\u{1B}[<65;8;\(row)M")
        #expect(try t.sees("2 debian"))
        let bar = try #require(try t.screen().split(separator: "\n").last)
        let column = try #require(bar.firstRange(of: "New")).lowerBound
        try click(bar.distance(from: bar.startIndex, to: column) + 1, 24)
        #expect(try t.sees("New machine 1/5"))
        // A field, by its row.
        let form = try t.screen().split(separator: "\n", omittingEmptySubsequences: false)
        let family = try #require(form.firstIndex { $0.contains("Family") }) + 1
        try click(8, family)
        #expect(try t.sees("< Linux >"))
        try t.keys("Escape")
        #expect(try t.sees("2 debian"))
        try click(8, row)
        #expect(try t.sees("2 buildbox"))
        usleep(500_000)
        try click(8, row, times: 2)
        #expect(try t.sees("Guest has"))
        #expect(try t.sees("C:\\>"))
    }

    @Test("a paste goes into the field that is being filled in, without its line ends") func paste() throws {
        let t = try start(width: 160)
        try t.keys("n")
        #expect(try t.sees("New machine 1/5"))
        try t.tmux("set-buffer", "pasted machine\n")
        try t.tmux("paste-buffer", "-p")
        #expect(try t.sees("pasted machine"))
        #expect(try t.sees("New machine 1/5"))
    }

    @Test("wide and combining characters keep their columns") func wide() throws {
        let t = try start("wide", width: 100)
        #expect(try t.sees("漢字の棚"))
        try t.keys("End")
        #expect(try t.sees("2 kanji"))
        // The frames at the right end stand in one column, whatever is before them.
        let screen = try t.screen().split(separator: "\n").filter { $0.contains("│") }
        #expect(screen.count > 10)
        for line in screen { #expect(ManagerInTmuxTests.columns(line) == 100, "\(line)") }
    }

    /// Columns of a terminal that a line takes.
    private static func columns(_ line: Substring) -> Int {
        line.unicodeScalars.reduce(0) { sum, scalar in
            switch scalar.value {
            case 0x300...0x36F: sum
            case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60: sum + 2
            default: sum + 1
            }
        }
    }

    @Test("in the C locale no byte above 0x7E leaves; vt100 has no colours") func sevenBits() throws {
        let t = try Tmux(
            "--manager sample", width: 80, height: 24, variables: "TERM=xterm-256color LANG=C LC_ALL=C", after: "echo DONE; exec cat")
        let raw = t.folder.appendingPathComponent("raw").path
        try t.tmux("pipe-pane", "cat > '\(raw)'")
        #expect(try t.sees("1 Machines"))
        try t.keys("?")
        #expect(try t.sees("Type to search"))
        try t.keys("Escape", "n")
        #expect(try t.sees("New machine"))
        let bytes = FileManager.default.contents(atPath: raw) ?? Data()
        #expect(bytes.count > 500)
        #expect(!bytes.contains { $0 > 0x7E })
        for name in ["vt100", "linux", "xterm"] {
            let plain = try start(variables: "TERM=\(name)")
            if name == "vt100" {
                let cells = ANSIScreen(try plain.screen(colours: true)).rows.joined()
                #expect(cells.allSatisfy { $0.foreground.isEmpty && $0.background.isEmpty })
            }
            try plain.keys("Down", "Down")
            #expect(try plain.sees("2 DOS games"))
        }
        let unknown = try Tmux("--manager sample", variables: "TERM=nonesuch")
        #expect(try unknown.sees("DONE 2"))
        #expect(unknown.errors.contains("is not known here"))
    }

    @Test("idle, nothing is sent and next to nothing is used", arguments: ["sample", "200"]) func idle(rows: String) throws {
        let t = try start(rows)
        try t.keys("Down")
        usleep(500_000)
        let raw = t.folder.appendingPathComponent("raw").path
        try t.tmux("pipe-pane", "cat > '\(raw)'")
        let pid = try t.pid()
        func ticks() throws -> Int {
            let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            let fields = stat.split(separator: ")").last.map { $0.split(separator: " ") } ?? []
            return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
        }
        let before = try ticks()
        usleep(3_000_000)
        #expect((FileManager.default.contents(atPath: raw) ?? Data()).isEmpty)
        #expect(try ticks() - before <= 6, "6 of 300 ticks are 2 %")
    }

    @Test("the terminal comes back, whichever way out is taken", arguments: [SIGTERM, SIGINT, SIGHUP, SIGSEGV, SIGABRT, SIGBUS, SIGQUIT])
    func restored(number: Int32) throws {
        let t = try Tmux("--manager sample", width: 80, height: 24, after: "echo DONE; exec cat")
        #expect(try t.sees("1 Machines"))
        #expect(try eventually { try t.display("#{alternate_on}#{mouse_any_flag}") == "11" })
        kill(try t.pid(), number)
        #expect(try t.sees("DONE"))
        #expect(try eventually { try t.display("#{alternate_on}#{mouse_any_flag}#{cursor_flag}") == "001" })
        try t.keys("echo-test", "Enter")
        #expect(try eventually { try t.screen().components(separatedBy: "echo-test").count == 3 })
    }

    @Test("stopped and continued, from the keyboard and from outside") func suspend() throws {
        let t = try Tmux(command: "PS1='ready> ' TERM=tmux-256color exec bash --norc --noprofile -i", width: 80, height: 24)
        #expect(try t.sees("ready>"))
        try t.keys("stty -g > $FOLDER/before; $PROBE --manager sample 2>/dev/null", "Enter")
        #expect(try t.sees("1 Machines"))
        try t.keys("C-z")
        #expect(try t.sees("Stopped"))
        #expect(try t.display("#{alternate_on}#{mouse_any_flag}") == "00")
        try t.keys("stty -g > $FOLDER/after; echo com''pared", "Enter")
        #expect(try t.sees("compared"))
        let before = try String(contentsOf: t.folder.appendingPathComponent("before"), encoding: .utf8)
        #expect(try eventually { try String(contentsOf: t.folder.appendingPathComponent("after"), encoding: .utf8) == before })
        try t.keys("fg", "Enter")
        #expect(try t.sees("1 Machines"))
        let pane = try t.display("#{pane_pid}")
        let found = try shell(["pgrep", "-P", pane, "consoleprobe"]).output
        kill(try #require(Int32(found.trimmingCharacters(in: .whitespacesAndNewlines))), SIGTSTP)
        #expect(try t.sees("Stopped"))
        try t.keys("fg", "Enter")
        #expect(try t.sees("1 Machines"))
        try t.keys("Down", "Down")
        #expect(try t.sees("2 DOS games"))
    }

    @Test("lines of a log are copied into tmux's buffer") func copy() throws {
        let t = try start()
        try t.keys("l")
        #expect(try t.sees("Log: broken"))
        try t.keys("Home", "Space", "Down", "y")
        #expect(try t.sees("Copied 2 lines."))
        #expect(try eventually { try t.tmux("show-buffer").contains("Line 1 of the sample") })
    }

    @Test("a screen reader's cursor is where the attention is, and there are no lines") func reader() throws {
        let t = try start("sample --reader")
        #expect(!(try t.screen().contains("│")))
        let before = try t.display("#{cursor_y}")
        try t.keys("Down")
        #expect(try eventually { try t.display("#{cursor_y}") != before })
    }
}
