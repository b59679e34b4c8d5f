import CannedMachine
import Foundation
import Machine
import Panels
import Terminal
import Testing

@Suite("manager · machines") struct ManagerMachinesTests {
    @Test("an empty home says how to go on") func empty() throws {
        let bench = try ManagerBench([])
        #expect(bench.screen.contains("No machines yet. Press n to create one, or F1 for help"))
        #expect(bench.bar.contains("n New"))
    }

    @Test("Enter starts a machine that is off and opens its console") func open() throws {
        var bench = try ManagerBench()
        bench.select("debian", .open)
        #expect(bench.library.asked == [.start(["debian"])])
        #expect(bench.model.screen == .console)
        #expect(bench.bar.contains("Guest has"))
    }

    @Test("the console's host key leads back to the list; the machine runs on") func home() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .open)
        try bench.press("C-]", "l")
        #expect(bench.model.screen == .machines)
        #expect(bench.library.rows().first { $0.name == "DOS games" }?.state == .running)
        #expect(bench.posted.allSatisfy { !$0.contains("off") })
    }

    @Test("keys go to the machine that is in view, and to no other") func keys() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .open)
        try bench.press("a")
        #expect(bench.library.machine("DOS games").log.contains("+a"))
        #expect(!bench.library.machine("buildbox").log.contains("+a"))
        // Next console, by one key after the host key; that machine is paused.
        try bench.press("C-]", "tab")
        #expect(bench.model.current == "buildbox")
        try bench.press("C-]", "2")
        #expect(bench.model.current == "DOS games")
    }

    @Test("a command acts on all marked machines") func marked() throws {
        var bench = try ManagerBench()
        bench.select("debian", .mark)
        bench.select("nt4", .mark)
        bench.run(.start)
        #expect(bench.library.asked == [.start(["debian", "nt4"])])
        bench.run(.powerOff)
        #expect(bench.screen.contains("Power off debian, nt4?"))
        // The default destroys nothing.
        try bench.press("ret")
        #expect(bench.library.rows().filter { $0.state == .running }.count == 3)
    }

    @Test("the filter looks at name, state, system, group and tags; Esc brings all back") func filter() throws {
        var bench = try ManagerBench()
        for (text, names) in [("serv", ["buildbox", "debian"]), ("aborted", ["nt4"]), ("web", ["debian"]), ("windows", ["nt4"]), ("nothing", [])] {
            bench.run(.filter)
            bench.type(text)
            #expect(bench.model.list.shown.map { bench.model.list.rows[$0].name } == names, "\(text)")
            try bench.press("esc")
        }
        #expect(bench.model.list.shown.count == 5)
    }

    @Test("machines stand under their groups' headings; a group folds, is marked and acted upon as a whole") func groups() throws {
        var rows = CannedLibrary.sample
        rows.append(CannedLibrary.row("deep", "dos", group: "servers/old"))
        var bench = try ManagerBench(rows)
        func lines() -> [String] {
            bench.model.list.lines.map { line in
                switch line {
                case .heading(let path, let depth, let count, let alive): "\(depth) [\(path)] \(count) \(alive)"
                case .machine(let index, let depth): "\(depth) \(bench.model.list.rows[index].name)"
                }
            }
        }
        let all = [
            "0 broken", "0 [retro] 2 1", "1 DOS games", "1 nt4", "0 [servers] 3 1", "1 buildbox", "1 debian", "1 [servers/old] 1 0", "2 deep",
        ]
        #expect(lines() == all)
        bench.select("deep")
        bench.run(.fold)
        #expect(bench.model.list.selectedGroup == "servers/old" && lines().last == "1 [servers/old] 1 0")
        bench.run(.fold)
        #expect(bench.model.list.selectedGroup == "servers" && lines().count == 5)
        #expect(bench.screen.contains("▸ servers 3 machines, 1 running"))
        // Commands are for all of them.
        #expect(Set(bench.model.list.chosen.map(\.name)) == ["buildbox", "debian", "deep"])
        bench.run(.start)
        #expect(bench.library.asked == [.start(["debian", "deep"])])
        // What is looked for is not hidden.
        bench.run(.filter)
        bench.type("deep")
        #expect(lines().contains("2 deep"))
        try bench.press("ret", "esc")
        bench.select("deep")
        #expect(lines().contains("2 deep"), "what is selected from elsewhere comes into view")
        bench.run(.groups)
        #expect(lines() == ["0 broken", "0 buildbox", "0 debian", "0 deep", "0 DOS games", "0 nt4"])
        bench.run(.groups)
        #expect(lines().count == all.count)
    }

    @Test("a stuck machine says so, and is reset or switched off") func stuck() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .open)
        bench.library.machine("DOS games").change { ($0.state, $0.problem) = (.stuck, "triple fault at 0:7c0a") }
        bench.settle()
        #expect(bench.screen.contains("Guru Meditation") && bench.screen.contains("triple fault at 0:7c0a"))
        // Esc looks at the screen; keys are explained and reach nobody.
        try bench.press("esc")
        bench.posted = []
        try bench.press("a")
        #expect(bench.screen.contains("Ctrl-] r resets it, Ctrl-] o switches it off") && bench.posted.isEmpty)
        try bench.press("C-]", "r", "tab", "ret")
        #expect(bench.posted.contains("DOS games: reset"), "\(bench.posted)")
    }

    @Test("every order sorts, names as people count") func sort() throws {
        let rows = [
            CannedLibrary.row("vm10", "dos"), CannedLibrary.row("vm9", "linux-64", .running, load: 5),
            CannedLibrary.row("VM1", "dos", .paused, load: 50),
        ]
        var bench = try ManagerBench(rows)
        func names() -> [String] { bench.model.list.shown.map { bench.model.list.rows[$0].name } }
        #expect(names() == ["VM1", "vm9", "vm10"])
        bench.run(.sort)
        bench.type("load")
        try bench.press("ret")
        #expect(names() == ["VM1", "vm9", "vm10"])
        bench.run(.sort)
        bench.type("state")
        try bench.press("ret")
        #expect(names() == ["vm9", "VM1", "vm10"])
    }

    @Test("deleting says what is lost, wants the name typed, and does nothing without it") func delete() throws {
        var bench = try ManagerBench()
        bench.select("debian", .delete)
        #expect(bench.screen.contains("Lost for ever: debian, 1 disk, 3 GiB, settings and logs."))
        bench.type("debia")
        try bench.press("tab", "ret")
        #expect(bench.library.rows().count == 5)
        bench.type("n")
        try bench.press("ret")
        #expect(!bench.library.rows().contains { $0.name == "debian" })
    }

    @Test("a machine that runs is neither deleted, cloned nor renamed", arguments: [ActionID.delete, .clone, .rename])
    func live(id: ActionID) throws {
        var bench = try ManagerBench()
        bench.select("DOS games", id)
        #expect(bench.model.overlay == nil)
        #expect(bench.bar.contains("DOS games runs; stop it first: a Shutdown, X Power off."))
    }

    @Test("renaming is undone by one key, and the undoing is not undone") func undo() throws {
        var bench = try ManagerBench()
        bench.select("debian", .rename)
        bench.rename("debian13")
        #expect(bench.model.list.selectedName == "debian13")
        #expect(bench.bar.contains("u undoes it"))
        bench.run(.undo)
        #expect(bench.library.rows().contains { $0.name == "debian" })
        bench.run(.undo)
        #expect(bench.bar.contains("nothing to undo"))
    }

    @Test("a name that is taken is refused with the library's own sentence") func taken() throws {
        var bench = try ManagerBench()
        bench.select("debian", .rename)
        bench.rename("nt4")
        #expect(bench.screen.contains("There is already a machine 'nt4'."))
    }

    @Test("a clone gets a free name, a progress dialog, and Esc stops it") func clone() throws {
        var bench = try ManagerBench()
        bench.select("debian", .clone)
        #expect(bench.screen.contains("debian 2"))
        try bench.press("ret")
        #expect(bench.library.rows().contains { $0.name == "debian 2" })
        bench.progress()
        #expect(bench.screen.contains("37%  286 MiB/s  7s left"))
        try bench.press("esc")
        #expect(bench.library.asked.last == .cancel)
    }

    @Test("quitting with running machines asks; keeping them is the default", arguments: [0, 1, 2, 3, 4])
    func quit(choice: Int) throws {
        var bench = try ManagerBench()
        bench.run(.quit)
        for word in ["Keep running", "Save state", "ACPI off", "Power off", "Cancel"] { #expect(bench.screen.contains(word)) }
        for _ in 0..<choice { try bench.press("tab") }
        try bench.press("ret")
        #expect(bench.finished == (choice < 4))
        let alive = bench.library.rows().filter { $0.state.isAlive }.count
        #expect(alive == (choice == 0 || choice == 4 ? 2 : 0))
    }

    @Test("a machine whose file is bad says where, and opens nothing") func broken() throws {
        var bench = try ManagerBench()
        bench.select("broken", .open)
        #expect(bench.model.screen == .machines)
        #expect(bench.screen.contains("machine.toml:3:10"))
        bench.run(.settings)
        #expect(bench.model.screen == .machines)
    }

    @Test("a click selects, a second one opens; the wheel moves; a click on the bar's key runs it") func mouse() throws {
        var bench = try ManagerBench()
        bench.mouse(.press, column: 6, row: 4)
        #expect(bench.model.list.selectedGroup == "retro")
        bench.mouse(.wheelDown, column: 6, row: 5)
        #expect(bench.model.list.selectedName == "DOS games")
        let text = Array(bench.bar)
        let x = try #require(text.indices.first { String(text[$0...]).hasPrefix("New") })
        bench.mouse(.press, column: x, row: 23)
        #expect(bench.model.screen == .wizard)
        try bench.press("esc")
        bench.mouse(.press, column: 6, row: 5)
        bench.mouse(.press, column: 6, row: 5)
        #expect(bench.model.screen == .console)
    }

    @Test("from 120 columns the console stands beside the list; below, the key goes to and fro") func split() throws {
        var bench = try ManagerBench(size: Size(width: 160, height: 50))
        bench.select("DOS games", .split)
        #expect(bench.screen.contains("C:\\>") && bench.screen.contains("1 Machines"))
        try bench.press("C-]", "l")
        #expect(bench.model.screen == .machines)
        #expect(bench.screen.contains("C:\\>"))
        try bench.press("tab")
        #expect(bench.model.screen == .console)
        try bench.press("C-]", "|")
        #expect(!bench.screen.contains("1 Machines"))
        var small = try ManagerBench()
        small.select("DOS games", .split)
        #expect(small.model.screen == .console)
        try small.press("C-]", "|")
        #expect(small.model.screen == .machines)
    }

    @Test("a machine that ends while its console is open leads back to the list and says so") func ends() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .open)
        bench.library.machine("DOS games").change { view in
            view.state = .off
            view.outcome = .poweredOff
        }
        bench.settle()
        #expect(bench.model.screen == .machines)
        #expect(bench.bar.contains("DOS games has switched itself off."))
    }
}

@Suite("manager · forms and texts") struct ManagerFormTests {
    @Test("Save is refused until every value is good; the diff names what changes; nothing else is written") func form() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        bench.run(.nextSection, .clearText)
        bench.type("abc")
        #expect(bench.screen.contains("Memory takes 1 to 65536 MiB, not 'abc'."))
        bench.run(.save)
        #expect(bench.model.overlay == nil && bench.beeps > 0)
        bench.run(.clearText)
        bench.type("256")
        bench.run(.save)
        #expect(bench.screen.contains("Memory: 1024 MiB -> 256 MiB"))
        try bench.press("ret")
        #expect(bench.model.screen == .machines)
        guard case .apply("debian", let settings, _) = bench.library.asked.last else {
            Issue.record("not saved")
            return
        }
        #expect(settings.run.memoryMiB == 256)
    }

    @Test("every setting of the registry is in the form and can be reached") func complete() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        var seen: Set<String> = []
        for _ in 0..<60 {
            if let key = bench.model.form?.currentKey { seen.insert(String(key.split(separator: "#")[0])) }
            bench.run(.listDown)
        }
        #expect(seen == Set(SettingField.all.map(\.key)))
    }

    @Test("what a running machine cannot take is not to be had") func live() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .settings)
        for _ in 0..<40 {
            let key = try #require(bench.model.form?.currentKey).split(separator: "#")[0]
            #expect(SettingField.named(String(key))?.changesWhileRunning == true, "\(key)")
            bench.run(.listDown)
        }
    }

    /// The store hands it to the machine: the model must not do so a second time.
    @Test("a floppy put in while the machine runs goes to the machine with the settings") func media() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .settings)
        for _ in 0..<40 where bench.model.form?.currentKey != "storage.floppy" { bench.run(.listDown) }
        bench.type("/images/a.img")
        bench.run(.save)
        try bench.press("ret")
        func floppy() -> String? { bench.library.rows().first { $0.name == "DOS games" }?.settings?.run.floppy }
        #expect(floppy() == "/images/a.img")
        bench.run(.undo)
        #expect(floppy() == nil)
        #expect(bench.posted.isEmpty)
    }

    @Test("Tab completes the name of a file as far as it is clear, then goes on; the browser goes through folders") func files() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        for _ in 0..<60 where bench.model.form?.currentKey != "storage.cdrom" { bench.run(.listDown) }
        bench.type("/images/deb")
        try bench.press("tab")
        #expect(bench.model.form?.settings.run.cdrom == "/images/debian.iso")
        try bench.press("tab")
        #expect(bench.model.form?.currentKey != "storage.cdrom")
        bench.run(.listUp, .clearText)
        bench.type("/images/d")
        try bench.press("tab")
        #expect(bench.screen.contains("4 names begin so: debian.iso  dos/  dos-1.img  dos-2.img"), "\(bench.screen)")
        bench.type("os-")
        try bench.press("C-o")
        #expect(bench.screen.contains("CD image: /images") && bench.screen.contains("../") && bench.screen.contains("647 MiB"), "\(bench.screen)")
        bench.type("dos/")
        try bench.press("ret")
        #expect(bench.screen.contains("/images/dos"))
        bench.type("boot")
        try bench.press("ret")
        #expect(bench.model.form?.settings.run.cdrom == "/images/dos/boot.img")
        #expect(bench.model.overlay == nil)
    }

    @Test("a long sentence under a field is whole") func longProblem() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        for _ in 0..<60 where bench.model.form?.currentKey != "system.rtc" { bench.run(.listDown) }
        bench.type("yesterday")
        let wanted = bench.model.form?.obstacle ?? "?"
        // The words stand in the column of fields, one line below the other.
        let column = bench.screen.split(separator: "\n").map { String($0.prefix(48).drop { "│└ ".contains($0) }) }.joined(separator: " ")
        let words = wanted.split(separator: " ").map { String($0) }
        #expect(words.count > 6 && words.allSatisfy { column.contains($0) }, "\(wanted)\n\(bench.screen)")
    }

    @Test("leaving a changed form asks") func leave() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        bench.run(.nextSection, .clearText)
        bench.type("64")
        bench.run(.back)
        #expect(bench.screen.contains("The changes have not been saved."))
        try bench.press("ret")
        #expect(bench.model.screen == .form)
        bench.run(.back)
        try bench.press("tab", "ret")
        #expect(bench.model.screen == .machines && !bench.library.asked.contains { if case .apply = $0 { true } else { false } })
    }

    @Test("the boot order is changed by moving its entries") func order() throws {
        var bench = try ManagerBench()
        bench.select("debian", .settings)
        for _ in 0..<40 where bench.model.form?.currentKey != "system.boot" { bench.run(.listDown) }
        #expect(bench.model.form?.settings.run.boot == [.cdrom, .disk])
        bench.run(.menuRight, .moveUp)
        #expect(bench.model.form?.settings.run.boot == [.disk, .cdrom])
        bench.run(.accept)
        #expect(bench.model.form?.settings.run.boot == [.cdrom])
    }

    @Test("the wizard makes a machine in five steps; the command that it shows makes the same") func wizard() throws {
        var bench = try ManagerBench()
        bench.run(.newMachine)
        bench.type("old times")
        bench.run(.listDown, .menuLeft, .menuLeft, .menuLeft, .listDown, .menuLeft)
        bench.run(.showCommand)
        #expect(bench.screen.contains("vitrine create 'old times' --os-type dos"))
        try bench.press("esc")
        for _ in 0..<4 { bench.run(.nextStep) }
        #expect(bench.screen.contains("5/5"))
        bench.run(.accept)
        #expect(bench.library.rows().contains { $0.name == "old times" && $0.osType == "DOS" })
        // It starts at once and its console opens.
        #expect(bench.model.current == "old times" && bench.model.screen == .console)
    }

    @Test("a step with something wrong is not left") func wizardProblem() throws {
        var bench = try ManagerBench()
        bench.run(.newMachine)
        bench.type("debian")
        bench.run(.nextStep)
        #expect(bench.screen.contains("1/5"))
        #expect(bench.screen.contains("There is already a machine"))
    }

    @Test("the log follows, filters by level and component, and is searched") func log() throws {
        var bench = try ManagerBench()
        bench.select("debian", .log)
        #expect(bench.screen.contains("following"))
        bench.run(.listUp)
        #expect(!bench.screen.contains("following"))
        bench.run(.listLast, .level, .level, .level)
        #expect(bench.screen.contains("warn and worse"))
        #expect(!bench.screen.contains(" info "))
        bench.run(.component)
        bench.type("fdc")
        try bench.press("ret")
        #expect(bench.screen.contains("FDC") && !bench.screen.contains("IDE"))
        bench.run(.search)
        bench.type("line 25")
        try bench.press("ret")
        bench.run(.select, .copyText)
        #expect(bench.copied?.contains("Line 25 of the sample") == true)
    }

    @Test("trace events are switched on and off from the log of a running machine") func trace() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .log)
        bench.run(.trace)
        bench.type("fdc")
        try bench.press("ret")
        #expect(bench.library.asked.last == .trace("DOS games", ["fdc"]))
        bench.type("fdc")
        try bench.press("ret", "esc")
        #expect(bench.library.asked.last == .trace("DOS games", []))
    }

    @Test("200 machines: how long a first picture and a key of the filter take") func many() throws {
        let rows = (0..<200).map { CannedLibrary.row("machine \($0)", $0 % 2 == 0 ? "dos" : "linux-64", group: "g\($0 % 7)") }
        let clock = ContinuousClock()
        var bench: ManagerBench?
        let first = try clock.measure {
            bench = try ManagerBench(rows, size: Size(width: 160, height: 50))
            _ = bench?.screen
        }
        var worst = Duration.zero
        for scalar in "linux g3 7".unicodeScalars {
            worst = max(worst, clock.measure {
                if bench?.model.list.isFiltering != true { bench?.run(.filter) }
                bench?.type(String(scalar))
                _ = bench?.screen
            })
        }
        #expect(bench?.model.list.shown.isEmpty == false)
        FileHandle.standardError.write(Data("200 machines: first picture \(first), a key of the filter at most \(worst)\n".utf8))
    }

    @Test("the first run asks for the host key; a plain letter is refused") func hostKey() throws {
        var bench = try ManagerBench(asksHostKey: true)
        #expect(bench.screen.contains("Press the key that shall be it"))
        try bench.press("x")
        #expect(bench.hostKey == nil && bench.screen.contains("would be missing in every text"))
        try bench.press("F12")
        #expect(bench.hostKey == "F12")
        bench.select("DOS games", .open)
        #expect(bench.bar.contains("F12 q Release"))
    }

    @Test("scrollback: searched from the newest line, lines selected and copied") func scrollback() throws {
        var bench = try ManagerBench()
        bench.select("DOS games", .open)
        try bench.press("C-]", "pgup", "/")
        bench.type("line 150 ")
        try bench.press("ret", "space", "down", "y")
        #expect(bench.copied == "line 150 of the past\nline 151 of the past\n")
        try bench.press("esc")
        #expect(bench.bar.contains("Guest has"))
    }

    @Test("Esc never quits") func escape() throws {
        for scene in ManagerScene.allCases {
            var bench = try scene.bench(Size(width: 80, height: 24), theme: "dark")
            for _ in 0..<12 { try bench.press("esc") }
            #expect(!bench.finished, "\(scene)")
        }
    }

    @Test("Alt with a key that means nothing only beeps") func alt() throws {
        var bench = try ManagerBench()
        try bench.press("A-up", "A-ß")
        bench.select("DOS games", .open)
        try bench.press("C-]", "q", "A-ß")
        #expect(bench.model.screen == .console)
    }

    @Test("any keys in any order end in some picture and never in a trap", arguments: 0..<6)
    func random(seed: Int) throws {
        var bench = try ManagerBench()
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        func next(_ n: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(n))
        }
        let ids = ActionID.allCases
        let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789/?:.-_ €日".unicodeScalars)
        for _ in 0..<400 {
            switch next(4) {
            case 0: bench.type(String(letters[next(letters.count)]))
            case 1: try bench.press(["ret", "esc", "tab", "S-tab", "up", "down", "left", "right", "bs", "F9", "C-]", "pgup", "space", "A-up"][next(14)])
            case 2: bench.mouse(.press, column: next(90), row: next(26))
            default:
                let id = ids[next(ids.count)]
                if id != .quit { bench.run(id) }
            }
            if bench.finished { return }
            #expect(bench.model.draw(at: bench.now).cells.count == 80 * 24)
        }
    }
}
