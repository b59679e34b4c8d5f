import Foundation
import Testing

/// The manager of the built program in a terminal, with machines of its own home.
final class ManagerSession {
    let folder: URL
    let tmux: Tmux

    /// - Parameter config: files of the user's folder, by name.
    init(width: Int, height: Int, arguments: String = "", config: [String: String] = ["settings.toml": "host-key = 'C-]'\n"]) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-tour-" + UUID().uuidString.prefix(8))
        for (name, text) in config {
            let file = folder.appendingPathComponent("config/vitrine/" + name)
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let home = folder.appendingPathComponent("home").path, own = folder.appendingPathComponent("config").path
        let runtime = folder.appendingPathComponent("run").path
        try FileManager.default.createDirectory(atPath: runtime, withIntermediateDirectories: true)
        tmux = try Tmux(
            command: "cd '\(folder.path)'; env TERM=tmux-256color VITRINE_HOME='\(home)' XDG_CONFIG_HOME='\(own)' XDG_RUNTIME_DIR='\(runtime)' "
                + "'\(Program.path)' \(arguments); echo DONE $?; exec cat",
            width: width, height: height)
    }

    deinit {
        // Machines outlive their viewers, so that somebody has to end them.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent("home").path)) ?? [] {
            _ = try? verb("stop", name, "--hard")
        }
        try? FileManager.default.removeItem(at: folder)
    }

    @discardableResult
    func verb(_ arguments: String...) throws -> Program.Result {
        try Program.run(
            arguments,
            environment: [
                "VITRINE_HOME": folder.appendingPathComponent("home").path, "XDG_CONFIG_HOME": folder.appendingPathComponent("config").path,
                "XDG_RUNTIME_DIR": folder.appendingPathComponent("run").path,
            ], seconds: 30)
    }

    func keys(_ names: String...) throws {
        for name in names {
            try tmux.tmux("send-keys", name)
            // A terminal sends Esc and what follows as one key when they come together.
            if name == "Escape" { usleep(60_000) }
        }
    }

    func type(_ text: String) throws { try tmux.tmux("send-keys", "-l", text) }
    func sees(_ text: String, _ seconds: Double = 15) throws -> Bool { try tmux.sees(text, seconds) }
    func lacks(_ text: String) throws -> Bool { try eventually(15) { try !tmux.screen().contains(text) } }
    var screen: String { (try? tmux.screen()) ?? "" }
}

@Suite("the manager in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct ManagerTourTests {
    @Test("the tour: create, set, start, capture, log, theme, keymap, clone, delete", arguments: [[80, 24], [160, 50]])
    func tour(size: [Int]) throws {
        let s = try ManagerSession(width: size[0], height: size[1])
        #expect(try s.sees("No machines yet. Press n to create one, or F1 for help"))

        // A DOS machine; it has no disk to boot from, the firmware says so.
        try s.keys("n")
        #expect(try s.sees("New machine 1/5"))
        try s.type("games")
        try s.keys("Down", "Left", "Left", "Left", "Down", "Left")
        #expect(try s.sees("< DOS >"))
        try s.keys("F3")
        #expect(try s.sees("vitrine create games --os-type dos"))
        try s.keys("Escape")
        #expect(try s.lacks("As a command"))
        try s.keys("NPage")
        #expect(try s.sees("New machine 2/5"))
        try s.keys("NPage", "NPage", "NPage")
        #expect(try s.sees("New machine 5/5"))
        try s.keys("Up", "Space", "Down", "Enter")
        #expect(try s.sees("games is there."), "\(s.screen)")

        // A Linux machine, started at once.
        try s.keys("n")
        #expect(try s.sees("New machine 1/5"))
        try s.type("server")
        try s.keys("NPage", "NPage")
        #expect(try s.sees("New machine 3/5"))
        try s.keys("NPage", "NPage")
        #expect(try s.sees("New machine 5/5"))
        try s.keys("Enter")
        #expect(try s.sees("Guest has"), "\(s.screen)")
        #expect(try s.sees("SeaBIOS"))
        #expect(try s.verb("list", "--json").output.contains("\"running\""))

        // Released, back to the list; the machine goes on.
        try s.keys("C-]", "q")
        #expect(try s.sees("You have the keyboard"))
        try s.keys("l")
        #expect(try s.sees("2 machines, 1 running"), "\(s.screen)")

        // Its log.
        try s.keys("l")
        #expect(try s.sees("Log: server"))
        #expect(try s.sees("BIOS:"))
        try s.keys("l", "l", "l")
        #expect(try s.sees("warn and worse"))
        #expect(try s.lacks("BIOS:"))
        try s.keys("q")
        #expect(try s.lacks("Log: server"))

        // Settings of the other one: a wrong value, a right one, the difference.
        try s.keys("k", "e")
        #expect(try s.sees("Settings: games"), "\(s.screen)")
        try s.keys("NPage", "C-u")
        try s.type("abc")
        #expect(try s.sees("Memory takes 1 to"))
        try s.keys("F2")
        #expect(try s.lacks("Save these changes?"))
        try s.keys("C-u")
        try s.type("48")
        #expect(try s.sees("1 change, not saved yet."))
        try s.keys("F2")
        #expect(try s.sees("Memory: 32 MiB -> 48 MiB"), "\(s.screen)")
        try s.keys("Enter")
        #expect(try s.sees("Saved the settings of games."))
        #expect(try s.verb("show", "games").output.contains("48 MiB"))

        // Another theme, another keymap: both are kept.
        try s.keys("t")
        #expect(try s.sees("high-contrast"))
        try s.type("amber")
        try s.keys("Enter")
        #expect(try eventually { try s.tmux.screen(colours: true).contains("38;5;214") })
        try s.keys("K")
        #expect(try s.sees("classic"))
        try s.type("classic")
        try s.keys("Enter")
        #expect(try s.sees("Keys: Classic"))
        let kept = try String(contentsOf: s.folder.appendingPathComponent("config/vitrine/settings.toml"), encoding: .utf8)
        #expect(kept.contains("theme = 'amber'") && kept.contains("keymap = 'classic'") && kept.contains("host-key = 'C-]'"))

        // A clone by the key of the new keymap, then it is deleted again.
        try s.keys("F5")
        #expect(try s.sees("Name of the copy:"))
        try s.keys("Enter")
        #expect(try s.sees("games 2 is there."), "\(s.screen)")
        try s.keys("F8")
        #expect(try s.sees("Lost for ever: games 2"))
        try s.type("games 2")
        try s.keys("Enter")
        #expect(try s.sees("games 2 is deleted."), "\(s.screen)")
        #expect(try s.verb("list", "--quiet").output == "games\nserver\n")

        // Quitting leaves the machine running.
        try s.keys("F10")
        #expect(try s.sees("server is running."))
        try s.keys("Enter")
        #expect(try s.sees("DONE 0"))
        #expect(try s.verb("list").output.contains("running"))
    }

    @Test("a theme that changes on disk is read again; a broken one keeps the last good and says where")
    func liveReload() throws {
        let s = try ManagerSession(
            width: 100, height: 24,
            config: [
                "settings.toml": "host-key = 'C-]'\ntheme = 'own'\nkeymap = 'own'\n", "themes/own.toml": "inherits = 'mono'\n",
                "keymaps/own.toml": "inherits = 'default'\n",
            ])
        #expect(try s.sees("No machines yet. Press n to create"))
        let theme = s.folder.appendingPathComponent("config/vitrine/themes/own.toml")
        try Data("inherits = 'dark'\n".utf8).write(to: theme)
        #expect(try s.sees("The theme was read again."))
        try Data("inherits = 'dark'\n'ui.menu' = 'blu'\n".utf8).write(to: theme)
        #expect(try s.sees("themes/own.toml:2:1 unknown colour 'blu'"), "\(s.screen)")
        let keymap = s.folder.appendingPathComponent("config/vitrine/keymaps/own.toml")
        try Data("inherits = 'default'\n[keys.machines]\n'N' = 'machine.new'\n'n' = 'no-op'\n".utf8).write(to: keymap)
        #expect(try s.sees("Press N to create one"))
        try Data("[keys.machines]\n'N' = 'machine.old'\n".utf8).write(to: keymap)
        #expect(try s.sees("keymaps/own.toml:2:1 unknown command 'machine.old'"), "\(s.screen)")
        try s.keys("N")
        #expect(try s.sees("New machine 1/5"))
    }

    @Test("the first run asks for the host key and keeps it; a terminal too small says both sizes") func firstRun() throws {
        let s = try ManagerSession(width: 80, height: 24, config: [:])
        #expect(try s.sees("Press the key that shall be it"))
        try s.keys("C-^")
        #expect(try s.sees("The host key is Ctrl-^."))
        #expect(try String(contentsOf: s.folder.appendingPathComponent("config/vitrine/settings.toml"), encoding: .utf8) == "host-key = 'C-^'\n")
        try s.tmux.resize(50, 12)
        #expect(try s.sees("Width = 50 Height = 12"))
        #expect(try s.sees("Width = 64 Height = 16"))
        try s.tmux.resize(80, 24)
        #expect(try s.sees("No machines yet"))
        try s.keys("q")
        #expect(try s.sees("DONE 0"))
    }

    @Test("a key that the user's keymap moves is in the bar, and works") func ownKeymap() throws {
        let s = try ManagerSession(
            width: 80, height: 24, arguments: "--keymap mine",
            config: [
                "settings.toml": "host-key = 'C-]'\n",
                "Keymaps/mine.toml": "name = 'Mine'\ninherits = 'default'\n[keys.machines]\n'n' = 'no-op'\n'C-t' = 'machine.new'\n",
            ])
        #expect(try s.sees("Press Ctrl-T to create one"), "\(s.screen)")
        #expect(try s.sees("Ctrl-T New"))
        try s.keys("C-t")
        #expect(try s.sees("New machine 1/5"))
    }

    @Test("a theme is read again when its file changes; a bad one keeps the old and says where") func liveTheme() throws {
        let s = try ManagerSession(
            width: 80, height: 24, arguments: "--theme mine",
            config: ["settings.toml": "host-key = 'C-]'\n", "Themes/mine.toml": "name = \"Mine\"\ninherits = \"dark\"\n"])
        #expect(try s.sees("No machines yet"))
        let file = s.folder.appendingPathComponent("config/vitrine/Themes/mine.toml")
        try Data("name = \"Mine\"\ninherits = \"amber\"\n".utf8).write(to: file)
        #expect(try eventually(8) { try s.tmux.screen(colours: true).contains("38;5;214") })
        try Data("name = \"Mine\"\ninherits = \"amber\"\n\"ui.menu\" = \"blu\"\n".utf8).write(to: file)
        #expect(try s.sees("mine.toml:3:1 unknown colour 'blu'", 8), "\(s.screen)")
        #expect(try s.tmux.screen(colours: true).contains("38;5;214"))
    }

    @Test("a log follows until one reads back; G takes it up again; level, component and search narrow it") func log() throws {
        let s = try ManagerSession(width: 80, height: 24, config: ["settings.toml": "host-key = 'C-]'\n"])
        #expect(try s.sees("No machines yet"))
        #expect(try s.verb("create", "m", "--os-type", "dos").status == 0)
        let folder = s.folder.appendingPathComponent("home/m/Logs")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appendingPathComponent("vitrine.log")
        func line(_ n: Int) -> String {
            let host = "2026-11-26T10:00:0\(n % 10).000Z", guest = "\(n < 10 ? " " : "")     \(n).000000"
            return "\(host) \(guest) \(n % 3 == 0 ? "warn " : "info ") VM         line number \(n).\n"
        }
        try Data((1...60).map(line).joined().utf8).write(to: file)
        #expect(try s.sees("2 m "))
        try s.keys("l")
        #expect(try s.sees("line number 60."), "\(s.screen)")
        func append(_ n: Int) throws {
            let handle = try FileHandle(forWritingTo: file)
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(line(n).utf8))
            try handle.close()
        }
        try append(61)
        #expect(try s.sees("line number 61."))
        try s.keys("Up", "Up")
        #expect(try s.lacks("following"))
        let top = try s.tmux.screen().split(separator: "\n")[2]
        try append(62)
        usleep(1_500_000)
        #expect(try s.tmux.screen().split(separator: "\n")[2] == top && !s.screen.contains("line number 62."))
        try s.keys("G")
        #expect(try s.sees("line number 62."))
        try s.keys("/")
        try s.type("number 17.")
        try s.keys("Enter")
        #expect(try s.sees("line number 17."))
    }

    @Test("without a terminal: one sentence and exit status 2; --dump prints a screen") func withoutTerminal() throws {
        try withFolder { folder in
            let environment = ["VITRINE_HOME": folder + "/home", "XDG_CONFIG_HOME": folder + "/config"]
            let plain = try Program.run([], environment: environment)
            #expect(plain.status == 2 && plain.errors.hasPrefix("vitrine: The machine manager needs a terminal"))
            let dump = try Program.run(["--screen", "100x30", "--keys", "n F2", "--dump"], environment: environment)
            #expect(dump.status == 0 && dump.output.contains("New machine 2/5"))
            #expect(dump.output.split(separator: "\n", omittingEmptySubsequences: false).count == 31)
            #expect(try Program.run(["--screen", "80", "--dump"], environment: environment).status == 66)
            let man = try Program.run(["man"])
            #expect(man.status == 0 && man.output.contains(".Ss create"))
            for shell in ["bash", "zsh", "fish"] {
                let script = try Program.run(["--generate-completion-script", shell])
                #expect(script.status == 0 && script.output.contains("create"))
            }
            try Data("'ui.menu' = 'blu'\n".utf8).write(to: URL(fileURLWithPath: folder + "/bad.toml"))
            let check = try Program.run(["theme", "check", folder + "/bad.toml"])
            #expect(check.status == 66 && check.errors.contains("bad.toml:1:1 unknown colour 'blu'"))
        }
    }
}
