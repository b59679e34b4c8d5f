import CannedMachine
import Machine
import Panels
import Terminal
import Testing

@Suite("debugger beside the console") struct DebuggerTests {
    @Test("it opens beside the guest, which goes on; sampled while it runs, at once when it stops; closed, it asks nothing") func opening() throws {
        var bench = try DebuggerBench(opens: false)
        #expect(bench.model.isCaptured)
        bench.asked = 0
        bench.wait(5000)
        #expect(bench.asked == 0)
        try bench.press("C-]", "b")
        #expect(bench.machine.view().state == .running && bench.asked > 0 && !bench.model.isCaptured)
        #expect(bench.screen.contains("Running"))
        bench.asked = 0
        bench.wait(100)
        #expect(bench.asked == 0)
        for _ in 0..<10 { bench.wait(100) }
        #expect((2...4).contains(bench.asked), "a few times a second: \(bench.asked)")
        try bench.press("F9")
        #expect(bench.machine.view().state == .paused && bench.screen.contains("Paused."))
        bench.asked = 0
        bench.wait(5000)
        #expect(bench.asked == 0)
        try bench.press("F9")
        #expect(bench.machine.view().state == .running)
        try bench.press("esc")
        #expect(bench.model.debug == nil && bench.screen.contains("Welcome"))
        bench.asked = 0
        bench.wait(5000)
        #expect(bench.asked == 0)
    }

    @Test("a step marks what it has changed, and only that") func steps() throws {
        var bench = try DebuggerBench(Size(width: 160, height: 50))
        try bench.press("F7")
        #expect(bench.screen.contains("EAX 00001235"))
        #expect(bench.inks(of: "EAX 00001235").contains("8×debug.changed"))
        #expect(!bench.inks(of: "ESI").contains("debug.changed"))
        #expect(bench.machine.debugger.log.contains("go step(count: 1)"))
        try bench.press("F8", "A-F8")
        #expect(bench.machine.debugger.log.contains("go over") && bench.machine.debugger.log.contains("go out"))
    }

    @Test("F2 sets a breakpoint at the line and takes it away; F4 goes to the line; their list switches and deletes") func breakpoints() throws {
        var bench = try DebuggerBench()
        try bench.press("down", "down", "F2")
        #expect(bench.model.debug?.breakpoints.map(\.kind) == [.execution(.linear(0x7C03))])
        #expect(bench.screen.contains("●"))
        try bench.press("F4")
        #expect(bench.machine.debugger.log.contains("go to(Machine.DebugPlace.linear(31747))"))
        try bench.press("A-5")
        #expect(bench.screen.contains("at linear 00007C03"))
        try bench.press("F2")
        #expect(bench.model.debug?.breakpoints.first?.isEnabled == false)
        try bench.press("C-x")
        #expect(bench.model.debug?.breakpoints.isEmpty == true && bench.screen.contains("There are no breakpoints."))
    }

    @Test("code scrolls both ways and comes back to the next instruction") func code() throws {
        var bench = try DebuggerBench(Size(width: 80, height: 12))
        for _ in 0..<9 { try bench.press("down") }
        #expect(bench.inks(of: "7C12 50").contains("ui.list.selected") && bench.screen.contains("push ax"))
        #expect(!bench.screen.contains("cli"))
        for _ in 0..<9 { try bench.press("up") }
        #expect(bench.inks(of: "cli").contains("ui.list.selected"))
        try bench.press("pgdn", "C-o")
        #expect(bench.screen.contains("cli"))
        try bench.press("C-g")
        bench.type("nowhere")
        try bench.press("ret")
        #expect(bench.screen.contains("cli"), "a place that is none changes nothing that is seen")
    }

    @Test("memory: goes to an address, moves, changes, searches, watches; what changed is marked") func memory() throws {
        var bench = try DebuggerBench()
        try bench.press("A-3", "C-g")
        bench.type("600")
        try bench.press("ret")
        #expect(bench.screen.contains("linear 00000600"))
        try bench.press("right", "C-e")
        bench.type("55 aa")
        try bench.press("ret")
        #expect(bench.machine.debugger.log.contains("poke linear(1537) [85, 170]"))
        #expect(bench.screen.contains("55 AA"))
        try bench.press("F7")
        #expect(bench.inks(of: "00000600 0").contains("debug.changed"))
        try bench.press("C-f")
        bench.type("55 AA")
        try bench.press("ret")
        #expect(bench.screen.contains("It does not occur") || bench.screen.contains("Found at"))
        try bench.press("C-w")
        #expect(bench.model.debug?.breakpoints.first?.kind == .memory(.linear(0x601), length: 1, reads: false, writes: true))
        try bench.press("C-e")
        bench.type("no bytes")
        try bench.press("ret")
        #expect(bench.screen.contains("neither bytes"))
        try bench.press("C-g")
        bench.type("nowhere")
        try bench.press("ret")
        #expect(bench.screen.contains("There is no symbol 'nowhere'."))
    }

    @Test("the command line: answers, completion, history; an empty line steps; Esc clears, then leaves") func commands() throws {
        var bench = try DebuggerBench()
        bench.type("help")
        try bench.press("ret")
        #expect(bench.screen.contains("step [N]  carry out N instructions") && bench.screen.contains("> help"))
        bench.type("ste")
        try bench.press("tab")
        #expect(bench.lines.contains { $0.hasPrefix("> step") })
        try bench.press("esc")
        #expect(bench.lines.contains { $0 == ">" } && bench.model.debug != nil)
        bench.type("nonsense")
        try bench.press("ret", "C-p", "C-p")
        #expect(bench.lines.contains { $0.hasPrefix("> help") })
        try bench.press("C-n", "C-n")
        let before = bench.machine.debugger.log.count { $0 == "go step(count: 1)" }
        try bench.press("ret")
        #expect(bench.machine.debugger.log.count { $0 == "go step(count: 1)" } == before + 1)
        try bench.press("esc")
        #expect(bench.model.debug == nil)
    }

    @Test("the guest's keys go to it while it has the keyboard, and F-keys with them") func capture() throws {
        var bench = try DebuggerBench(Size(width: 160, height: 50))
        try bench.press("F9", "F12")
        #expect(bench.model.isCaptured && bench.model.debug != nil)
        let steps = bench.machine.debugger.log.count
        try bench.press("F7", "x")
        #expect(bench.posted.contains("+f7") || bench.posted.contains("+F7"))
        #expect(!bench.machine.debugger.log[steps...].contains { $0.hasPrefix("go") })
        #expect(bench.screen.contains("C:\\>x"))
    }

    @Test("every panel can be chosen from the list, and shows something") func panels() throws {
        for kind in DebugPanelKind.allCases where kind != .output {
            var bench = try DebuggerBench()
            try bench.press("C-t")
            bench.type(kind.title.lowercased())
            try bench.press("ret")
            #expect(bench.lines.contains { $0.contains(kind.title) }, "\(kind)")
            #expect(bench.lines.dropFirst(3).prefix(16).contains { $0.contains { $0.isLetter || $0.isNumber } }, "\(kind)")
        }
    }

    @Test("DOSBox's keys, where they are chosen") func dosbox() throws {
        var bench = try DebuggerBench(keymap: "dosbox")
        try bench.press("F11", "F10", "F9")
        #expect(bench.machine.debugger.log.contains("go step(count: 1)") && bench.machine.debugger.log.contains("go over"))
        #expect(bench.model.debug?.breakpoints.count == 1)
        try bench.press("F5")
        #expect(bench.machine.view().state == .running)
    }

    @Test("registers and bytes are changed where they are shown: a digit on one, and Enter") func editing() throws {
        var bench = try DebuggerBench(Size(width: 160, height: 50))
        try bench.press("A-2")
        // Without a place a digit is the command line's.
        bench.type("7")
        #expect(bench.screen.contains("> 7") && !bench.screen.contains("Change"))
        try bench.press("esc", "down")
        #expect(bench.model.debug?.registerCursor == "EAX")
        try bench.press("right")
        #expect(bench.model.debug?.registerCursor == "ECX")
        bench.type("1")
        #expect(bench.screen.contains("Change ECX"))
        bench.type("2ab")
        try bench.press("ret")
        #expect(bench.machine.debugger.log.last { $0.hasPrefix("command") } == "command sr ECX 12ab", "\(bench.machine.debugger.log)")
        // Down stays in the column; the end of the list is its end, in view.
        try bench.press("down")
        #expect(bench.model.debug.map { ["EBX", "ESP", "EBP", "ESI"].contains($0.registerCursor ?? "") } == true)
        try bench.press("end", "right")
        let last = try #require(bench.model.debug?.registerCursor)
        #expect(last.hasPrefix("DR"), "\(last)")
        try bench.press("home", "left")
        #expect(bench.model.debug?.registerCursor == "EAX")
        // A letter goes into the command line, whatever is chosen.
        bench.type("c")
        #expect(bench.screen.contains("> c"))
        try bench.press("esc")
        try bench.press("A-3")
        bench.type("9")
        #expect(bench.screen.contains("Change memory"))
        bench.type("0 55")
        try bench.press("ret")
        #expect(bench.machine.debugger.log.contains { $0.hasPrefix("poke") }, "\(bench.machine.debugger.log)")
    }

    @Test("another size keeps what is looked at; none draws outside", arguments: [1, 40, 64, 79, 118, 160, 220], [1, 9, 14, 24, 40, 70])
    func sizes(width: Int, height: Int) throws {
        var bench = try DebuggerBench(Size(width: 160, height: 50))
        bench.model.resize(Size(width: width, height: height), at: bench.now)
        bench.settle()
        #expect(bench.model.draw(at: bench.now).cells.count == width * height)
        try bench.press("F6", "F6", "F5", "F7", "down", "pgdn", "end")
        #expect(bench.model.draw(at: bench.now).cells.count == width * height)
    }

    @Test("a fault of ours is called one") func ours() throws {
        var bench = try DebuggerBench(Size(width: 80, height: 16), opens: false)
        bench.machine.change { ($0.state, $0.problem) = (.stuck, "a fault of Vitrine, not of the guest: processor 0 does not go on, at 0008:1234") }
        bench.settle()
        #expect(bench.screen.contains("Vitrine has stopped the guest: a fault of Vitrine, not of the guest:"))
        #expect(bench.screen.contains("Please save a report.") && !bench.screen.contains("The guest's processor has stopped"))
    }

    @Test("a machine that has died: its sentence, what is known of it, and what can be done") func guru() throws {
        var bench = try DebuggerBench(Size(width: 80, height: 16), opens: false)
        bench.machine.change { ($0.state, $0.problem) = (.stuck, "triple fault: #GP while delivering #DF, because the IDT limit is 0") }
        bench.settle()
        #expect(bench.screen.contains("Guru Meditation") && bench.screen.contains("because the IDT limit is 0"))
        #expect(bench.screen.contains("EAX 00001234"))
        try bench.press("end")
        #expect(!bench.screen.contains("EAX 00001234") && bench.screen.contains("counter.0 FFFF"))
        try bench.press("right", "right", "right", "ret")
        #expect(bench.screen.contains("Saved vitrine-demo-report.tar"))
        // It is still dead: the same key that pauses shows why.
        bench.run(.pause)
        try bench.press("ret")
        #expect(bench.model.debug != nil)
        bench.run(.debugger, .pause)
        try bench.press("right", "ret")
        #expect(bench.posted.last == "reset")
    }
}

/// The debugger's panels, one by one.
@Suite("golden screens of the debugger") struct DebuggerGoldenTests {
    @Test("every panel, in colours, without them, in 7 bits", arguments: DebugPanelKind.allCases, goldenSizes)
    func scenes(kind: DebugPanelKind, size: Size) throws {
        for look in GoldenLook.allCases {
            var bench = try DebuggerBench(size, theme: look.theme)
            try bench.press("down", "F2", "up", "F7", "F7")
            if kind == .output {
                bench.type("help")
                try bench.press("ret")
            }
            try bench.press("C-t")
            bench.type(kind.title.lowercased())
            try bench.press("ret")
            bench.wait(10_000)
            let text = look.text(bench.model.draw(at: bench.now), theme: bench.model.theme)
            try expectGolden(text, "debugger/\(kind.rawValue)-\(size.width)x\(size.height)-\(look.rawValue)")
        }
    }

    @Test("the layout of 120 columns, and a machine that runs") func wide() throws {
        var bench = try DebuggerBench(Size(width: 120, height: 40))
        try expectGolden(planes(bench.model.draw(at: bench.now)), "debugger/layout-120x40")
        try bench.press("F9")
        try expectGolden(planes(bench.model.draw(at: bench.now)), "debugger/running-120x40")
        try bench.press("F10")
        try expectGolden(planes(bench.model.draw(at: bench.now)), "debugger/menu-120x40")
    }
}
