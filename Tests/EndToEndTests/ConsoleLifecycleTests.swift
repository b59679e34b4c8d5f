import Foundation
import Testing

/// The terminal comes back as it was, whichever way out is taken.
@Suite("terminal restored", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct ConsoleLifecycleTests {
    /// After the program: the settings of the terminal before and after, then a shell that echoes.
    private func start(_ arguments: String = "") throws -> Tmux {
        let t = try Tmux(arguments, after: "echo DONE $?; stty -g; exec cat")
        #expect(try t.isUp())
        #expect(try t.display("#{alternate_on}#{mouse_any_flag}") == "11")
        return t
    }

    private func expectRestored(_ t: Tmux, status: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try t.sees("DONE \(status)"), sourceLocation: sourceLocation)
        #expect(try eventually { try t.display("#{alternate_on}#{mouse_any_flag}#{cursor_flag}") == "001" }, sourceLocation: sourceLocation)
        // icanon and echo: what is typed shows, and cat repeats it at the end of the line.
        try t.keys("echo-test", "Enter")
        #expect(try eventually { try t.screen().components(separatedBy: "echo-test").count == 3 }, sourceLocation: sourceLocation)
    }

    @Test("by quitting")
    func quit() throws {
        let t = try start()
        try t.keys("C-]", "q")
        #expect(try t.sees("You have"))
        try t.keys("q")
        #expect(try t.sees("Powering off loses"))
        try t.keys("Tab", "Tab", "Enter")
        try expectRestored(t, status: "0")
    }

    @Test("by signals that ask to end", arguments: [(SIGTERM, "143"), (SIGINT, "130"), (SIGHUP, "129")])
    func signals(number: Int32, status: String) throws {
        let t = try start()
        kill(try t.pid(), number)
        try expectRestored(t, status: status)
    }

    @Test("by signals that kill", arguments: [(SIGSEGV, "139"), (SIGABRT, "134"), (SIGBUS, "135"), (SIGQUIT, "131")])
    func fatalSignals(number: Int32, status: String) throws {
        let t = try start()
        kill(try t.pid(), number)
        try expectRestored(t, status: status)
    }

    @Test(
        "by crashes of our own: a segmentation fault, abort, a Swift trap",
        arguments: [("segv", "139"), ("abort", "134"), ("trap", "132|133|134")])
    func crashes(kind: String, status: String) throws {
        let t = try start("--crash-on-f11 \(kind)")
        try t.keys("F11")
        #expect(try t.sees("DONE 1"))
        let screen = try t.screen()
        #expect(status.split(separator: "|").contains { screen.contains("DONE \($0)") }, "\(screen)")
        try expectRestored(t, status: "1")
    }

    @Test("what was written to standard error meanwhile is shown afterwards, not over the guest")
    func standardError() throws {
        // Here standard error is the terminal itself.
        let t = try Tmux(command: "TERM=tmux-256color \"$PROBE\" --say 'vitrine: a word from the engine'; echo DONE; exec cat")
        #expect(try t.isUp())
        try t.keys("F12")
        try t.keys("y")
        #expect(try t.sees("C:\\>y"))
        // In the bar, for a while, and nowhere over the guest.
        #expect(try t.sees(" a word from the engine"))
        #expect(!(try t.screen().contains("vitrine:")))
        try t.keys("C-]", "o", "Tab", "Enter")
        #expect(try t.sees("vitrine: a word from the engine"))
    }

    @Test("stopped and continued by the shell: cooked in between, captured again afterwards")
    func suspend() throws {
        let t = try Tmux(command: "PS1='ready> ' TERM=tmux-256color exec bash --norc --noprofile -i")
        #expect(try t.sees("ready>"))
        try t.keys("stty -g > $FOLDER/before; $PROBE --log $LOG 2>/dev/null", "Enter")
        #expect(try t.isUp())
        try t.keys("C-]", "z")
        #expect(try t.sees("Stopped"))
        #expect(try t.display("#{alternate_on}#{mouse_any_flag}") == "00")
        try t.keys("stty -g > $FOLDER/after; echo com''pared", "Enter")
        #expect(try t.sees("compared"))
        let before = try String(contentsOf: t.folder.appendingPathComponent("before"), encoding: .utf8)
        #expect(try eventually { try String(contentsOf: t.folder.appendingPathComponent("after"), encoding: .utf8) == before })
        try t.keys("fg", "Enter")
        #expect(try t.isUp())
        #expect(try eventually { try t.display("#{alternate_on}#{mouse_any_flag}") == "11" })
        try t.keys("k")
        #expect(try t.sees("C:\\>k"))
        // From outside, as another process would.
        let pane = try t.display("#{pane_pid}")
        let pid = try #require(
            Int32(try shell(["pgrep", "-P", pane, "consoleprobe"]).output.trimmingCharacters(in: .whitespacesAndNewlines)))
        kill(pid, SIGTSTP)
        #expect(try t.sees("Stopped"))
        try t.keys("fg", "Enter")
        #expect(try t.isUp())
        try t.keys("m")
        #expect(try t.sees("C:\\>km"))
    }
}
