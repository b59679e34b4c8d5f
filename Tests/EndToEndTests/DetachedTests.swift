import Foundation
import Testing

/// Machines in processes of their own, and viewers that come and go.
@Suite("detached machines", .serialized) struct DetachedTests {
    @Test("start --detach returns when it runs; verbs work on it; stop puts everything away") func verbs() throws {
        try StoredGuest.with { guest in
            try guest.start()
            let second = try guest.vitrine("start", "m", "--detach")
            #expect(second.status == 2 && second.errors.contains("running (process \(guest.pid ?? 0))"), "\(second.errors)")

            #expect(try guest.vitrine("type", "m", "x").status == 0)
            #expect(try guest.vitrine("wait-for", "m", "^h$", "20").status == 0)
            let text = try guest.vitrine("screen", "m", "--scrollback", "100").output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            let letters = (0x41...0x68).map { String(UnicodeScalar(UInt8($0))) }
            #expect(text.contains("A") && text.filter { letters.contains($0) } == letters, "no line is lost, none comes twice")

            let shot = guest.home + "/s.png"
            #expect(try guest.vitrine("screenshot", "m", shot).status == 0)
            #expect(FileManager.default.contents(atPath: shot)?.prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))

            #expect(try guest.vitrine("pause", "m").status == 0)
            #expect(try guest.screen()["state"] as? String == "paused")
            #expect(try guest.vitrine("resume", "m").status == 0)
            #expect(try guest.screen()["state"] as? String == "running")
            #expect(try guest.vitrine("reset", "m").status == 0)

            let log = try guest.vitrine("log", "m").output
            for words in ["Settings   system.memory = 8", "'starting' to 'running'", "BIOS: SeaBIOS", "The machine is reset."] {
                #expect(log.contains(words), "\(words) is not in the log")
            }
            #expect(try guest.vitrine("stop", "m", "--hard").status == 0)
            #expect(!FileManager.default.fileExists(atPath: guest.home + "/m/run.json"))
            #expect(!FileManager.default.fileExists(atPath: guest.home + "/m/control.sock"))
            for verb in ["stop", "pause", "screen", "attach"] {
                let late = try guest.vitrine(verb, "m")
                #expect(late.status == 2 && late.errors.contains("is off, not running"), "\(verb): \(late.errors)")
            }
        }
    }

    @Test("a wait that fails prints the screen and ends with 4, by itself and in a script") func waits() throws {
        try StoredGuest.with { guest in
            try guest.start()
            let late = try guest.vitrine("wait-for", "m", "never", "0.3")
            #expect(late.status == 4 && late.errors.contains("Booting from Floppy"), "\(late.errors)")
            let script = try guest.vitrine("script", "m", "-", input: "wait-for Booting\ntype x\nwait-for ^h$ 20\nwait-for never 0.2\n")
            #expect(script.status == 4 && script.errors.contains("standard input, line 4: the screen did not match"), "\(script.errors)")
            #expect(try guest.vitrine("script", "m", "-", input: "fly\n").status == 64)
            #expect(try guest.vitrine("wait-for", "m", "(").status == 64)
            #expect(try guest.vitrine("keys", "m", "no-such-key").status == 64)
            #expect(try guest.vitrine("script", "m", "/no/script").status == 66)
            #expect(try guest.vitrine("script", "m", "-", input: "stop\n").status == 0)
            #expect(eventually { !guest.isRunning })
        }
    }

    @Test("what keeps it from running is said where it was started, with its status") func failures() throws {
        try StoredGuest.with(floppy: "/no/floppy.img") { guest in
            let failed = try guest.vitrine("start", "m", "--detach")
            #expect(failed.status == 66 && failed.errors.contains("/no/floppy.img"), "\(failed.errors)")
            #expect(try guest.vitrine("start", "nobody", "--detach").status == 2)
            #expect(try guest.vitrine("start", "m").status == 2, "without a terminal")
            #expect(guest.pid == nil)
        }
    }

    @Test("--headless runs it here: a hang-up does not stop it, SIGTERM does in good order") func headless() throws {
        try StoredGuest.with { guest in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Program.path)
            process.arguments = ["start", "m", "--headless"]
            process.environment = ProcessInfo.processInfo.environment.merging(["VITRINE_HOME": guest.home]) { $1 }
            process.standardInput = FileHandle.nullDevice
            try process.run()
            #expect(try eventually(30) { try guest.vitrine("wait-for", "m", "Booting from Floppy", "20").status == 0 })
            kill(process.processIdentifier, SIGHUP)
            #expect(try guest.vitrine("type", "m", "x").status == 0)
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 128 + SIGTERM)
            #expect(!FileManager.default.fileExists(atPath: guest.home + "/m/run.json"))
        }
    }

    @Test("a machine whose process was killed starts again, and its last trace events are in the log") func killed() throws {
        try StoredGuest.with { guest in
            try guest.start()
            let pid = try #require(guest.pid)
            kill(pid, SIGKILL)
            #expect(eventually { kill(pid, 0) != 0 })
            #expect(try guest.vitrine("screen", "m").errors.contains("is aborted"))
            try guest.start()
            let log = try guest.vitrine("log", "m", "--run", "1").output
            #expect(log.contains("the last trace events were") && log.contains(" trace kbd "))
        }
    }

    @Test("after a Guru Meditation a machine in the background is stuck, its screen and log readable, until it is reset or stopped")
    func stuck() throws {
        try StoredGuest.with(code: StoredGuest.stuckCode) { guest in
            try guest.start()
            // Its answer may be that the machine is stuck.
            _ = try guest.vitrine("type", "m", "x")
            #expect(try eventually(20) { try guest.vitrine("list", "--state", "stuck", "--quiet").output == "m\n" })
            #expect(try guest.vitrine("screen", "m").output.contains("Booting from Floppy"))
            #expect(try guest.vitrine("log", "m").output.contains("VCPU0: Guru Meditation: triple fault"))
            let paused = try guest.vitrine("pause", "m")
            #expect(paused.status != 0 && paused.errors.contains("stuck"), "\(paused.errors)")
            let typed = try guest.vitrine("type", "m", "y")
            #expect(typed.status != 0 && typed.errors.contains("stuck"), "\(typed.errors)")
            #expect(try guest.vitrine("reset", "m").status == 0)
            #expect(try eventually(20) { try guest.vitrine("list", "--state", "running", "--quiet").output == "m\n" })
            #expect(try guest.vitrine("wait-for", "m", "Booting from Floppy", "20").status == 0)
            // Its answer may be that the machine is stuck.
            _ = try guest.vitrine("type", "m", "x")
            #expect(try eventually(20) { try guest.vitrine("list", "--state", "stuck", "--quiet").output == "m\n" })
            #expect(try guest.vitrine("stop", "m").status == 0)
            #expect(try guest.vitrine("list", "--state", "off", "--quiet").output == "m\n")
            // Without a background it ends, with the status of the contract.
            let script = guest.home + "/s"
            try Data("wait-for Booting 20\ntype x\nwait 5\n".utf8).write(to: URL(fileURLWithPath: script))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Program.path)
            process.arguments = ["start", "m", "--headless"]
            process.environment = ProcessInfo.processInfo.environment.merging(["VITRINE_HOME": guest.home]) { $1 }
            process.standardInput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            #expect(try eventually(30) { try guest.vitrine("wait-for", "m", "Booting from Floppy", "20").status == 0 })
            _ = try guest.vitrine("type", "m", "x")
            process.waitUntilExit()
            #expect(process.terminationStatus == 3)
        }
    }

    @Test("trace events are switched on live and off again") func trace() throws {
        try StoredGuest.with { guest in
            try guest.start()
            #expect(try guest.vitrine("log", "m", "--trace", "kbd,irq").status == 0)
            #expect(try guest.vitrine("type", "m", "x").status == 0)
            #expect(try eventually { try guest.vitrine("log", "m", "--component", "kbd").output.contains("read value=0x2d") })
            #expect(try guest.vitrine("log", "m", "--level", "trace", "--component", "irq", "--json").output.contains("\"component\": \"irq\""))
            #expect(try guest.vitrine("log", "m", "--trace", "none").status == 0)
            #expect(try guest.vitrine("log", "m", "--trace", "nonsense").status == 64)
        }
    }
}

@Suite("viewers in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct ViewerTests {
    /// Seconds that the guest has lived.
    private func uptime(_ guest: StoredGuest) throws -> Double { try guest.screen()["guest_seconds"] as? Double ?? -1 }

    private func viewer(_ guest: StoredGuest, _ t: Tmux) throws -> Int32 {
        let pane = try t.display("#{pane_pid}")
        return try #require(Int32(try shell(["pgrep", "-P", pane, "vitrine"]).output.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    @Test("a terminal that goes, in whatever way, leaves the guest running with its screen", arguments: ["SIGKILL", "SIGHUP", "kill-window"])
    func viewerGoes(how: String) throws {
        try StoredGuest.with { guest in
            try guest.start()
            let t = try Tmux(command: guest.command("attach m"))
            #expect(try t.sees("Booting from Floppy"))
            try t.keys("x")
            #expect(try eventually { try t.screen().split(separator: "\n").contains { $0.hasPrefix("h ") || $0 == "h" } })
            let before = try uptime(guest)
            switch how {
            case "SIGKILL": kill(try viewer(guest, t), SIGKILL)
            case "SIGHUP":
                kill(try viewer(guest, t), SIGHUP)
                #expect(try t.sees("DONE \(128 + SIGHUP)"))
            default: try t.tmux("kill-window")
            }
            #expect(try eventually { try uptime(guest) > before + 0.2 }, "the guest's time goes on")
            let again = try Tmux(command: guest.command("attach m"))
            #expect(try eventually { try again.screen().split(separator: "\n").contains { $0.hasPrefix("h ") || $0 == "h" } })
            #expect(try guest.vitrine("screen", "m", "--scrollback", "100").output.contains("\nA\n"))
        }
    }

    @Test("start on a terminal attaches; quitting keeps it running; the guest's end is the viewer's status") func startAndQuit() throws {
        try StoredGuest.with { guest in
            let t = try Tmux(command: guest.command("start m"))
            #expect(try t.sees("Booting from Floppy", 30))
            try t.keys("C-]", "q", "q")
            for words in ["Keep running", "ACPI", "Power off", "Cancel"] { #expect(try t.sees(words), "\(words)") }
            try t.keys("Enter")
            #expect(try t.sees("DONE 0"))
            #expect(guest.isRunning)
            let again = try Tmux(command: guest.command("attach m"))
            #expect(try again.sees("Booting from Floppy"))
            try again.keys("q")
            #expect(try again.sees("DONE 11"))
            #expect(eventually { !guest.isRunning })
        }
    }

    @Test("a key of its own leaves the screen; a stuck guest says so there, and its status is 3 when it is switched off") func leave() throws {
        try StoredGuest.with(code: StoredGuest.stuckCode) { guest in
            let t = try Tmux(command: guest.command("start m"))
            #expect(try t.sees("Booting from Floppy", 30))
            try t.keys("C-]", "x")
            #expect(try t.sees("DONE 0"))
            #expect(guest.isRunning)
            let again = try Tmux(command: guest.command("attach m"))
            #expect(try again.sees("Booting from Floppy"))
            try again.keys("x")
            #expect(try again.sees("Guru Meditation"))
            #expect(try again.sees("triple fault"))
            try again.keys("Enter")
            #expect(try again.sees("─ Code"))
            try again.keys("C-]", "o", "Tab", "Enter")
            #expect(try again.sees("DONE 3"))
            #expect(eventually { !guest.isRunning })
        }
    }

    @Test("a machine whose process hangs holds neither the manager nor the others", arguments: [false, true]) func hangs(opened: Bool) throws {
        try StoredGuest.with { guest in
            try guest.start()
            try guest.vitrine("create", "other", "--os-type", "dos")
            let pid = try #require(guest.pid)
            defer { kill(pid, SIGCONT) }
            if !opened { kill(pid, SIGSTOP) }
            let own = "cd '\(guest.home)'; export XDG_CONFIG_HOME='\(guest.home)/config'; "
            let t = try Tmux(command: own + guest.command("--host-key C-]"), width: 80, height: 24)
            if try t.sees("Press the key that shall be it", 3) { try t.keys("Enter") }
            #expect(try t.sees("1 Machines"))
            if opened {
                // The console is in view when it stops.
                try t.keys("Enter")
                #expect(try t.sees("Booting from Floppy"))
                kill(pid, SIGSTOP)
                try t.keys("x", "C-]", "PageUp")
                #expect(try t.sees("Scrollback: m"))
                try t.keys("q", "C-]", "s", "C-]", "l")
                #expect(try t.sees("1 Machines"))
            } else {
                // Asked for, and not answered.
                try t.keys("p", "Enter")
                #expect(try t.sees("has not shown its screen yet"))
                try t.keys("C-]", "l")
                #expect(try t.sees("1 Machines"))
            }
            // Keys are answered at once, and other machines do what they are told.
            for _ in 0..<4 {
                let began = Date()
                try t.keys("n")
                #expect(try t.sees("New machine 1/5", 7))
                usleep(30_000)
                try t.keys("Escape")
                #expect(try t.sees("1 Machines", 7))
                usleep(60_000)
                #expect(Date().timeIntervalSince(began) < 8, "what waits for the machine waits for ten seconds")
            }
            try t.keys("End", "g")
            #expect(try t.sees("Group of other"))
            try t.keys("z", "Enter")
            #expect(try eventually(8) { try guest.vitrine("list", "--group", "z", "--quiet").output == "other\n" })
            kill(pid, SIGCONT)
            #expect(try eventually(20) { try guest.vitrine("wait-for", "m", opened ? "^h$" : "Booting", "5").status == 0 })
            try t.keys("q")
            #expect(try t.sees("Keep running"))
            try t.keys("Enter")
            #expect(try t.sees("DONE 0"))
        }
    }

    @Test("two viewers see the same; one that only looks sends nothing") func second() throws {
        try StoredGuest.with { guest in
            try guest.start()
            let first = try Tmux(command: guest.command("attach m"))
            #expect(try first.sees("Booting from Floppy"))
            let second = try Tmux(command: guest.command("attach m --read-only"), width: 120, height: 40)
            #expect(try second.sees("Booting from Floppy"))
            try second.keys("q")
            #expect(try second.sees("DONE 0"), "q leaves a console that only looks")
            let third = try Tmux(command: guest.command("attach m --read-only"))
            #expect(try third.sees("Booting from Floppy"))
            try first.keys("x")
            #expect(try eventually { try third.screen().contains("\nh") })
            #expect(guest.isRunning)
        }
    }
}
