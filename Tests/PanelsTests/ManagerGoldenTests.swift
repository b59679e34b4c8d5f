import CannedMachine
import Machine
import Panels
import Terminal
import Testing

/// What the manager shows, panel by panel.
enum ManagerScene: String, CaseIterable, Sendable {
    case empty, machines, running, filter, menu, palette, help, clone, delete, group, powerOff, quit, sort, theme
    case wizard1, wizard2, wizard3, wizard4, wizard5, wizardProblem, command
    case form, formProblem, formDiff, formLive
    case log, logFilter, scrollback, console, whichKey, progress, hostKey, failed
    case folded, ungrouped, split, browser, completion, stuck, message
    case snapshots, snapshotNow, takeSnapshot, restoreSnapshot, deleteSnapshot, discard

    func bench(_ size: Size, theme: String, linear: Bool = false) throws -> ManagerBench {
        var bench = try ManagerBench(self == .empty ? [] : CannedLibrary.sample, size: size, theme: theme, linear: linear, asksHostKey: self == .hostKey)
        if self != .empty, self != .hostKey { bench.select("debian") }
        switch self {
        case .empty, .machines, .hostKey: break
        case .running: bench.select("DOS games")
        case .filter:
            bench.run(.filter)
            bench.type("serv")
        case .menu: bench.run(.menu)
        case .palette:
            bench.run(.palette)
            bench.type("pau")
        case .help: bench.run(.help)
        case .clone: bench.run(.clone)
        case .delete: bench.select("nt4", .delete)
        case .group: bench.run(.group)
        case .powerOff: bench.select("DOS games", .powerOff)
        case .quit: bench.run(.quit)
        case .sort: bench.run(.sort)
        case .theme: bench.run(.chooseTheme)
        case .wizard1, .wizard2, .wizard3, .wizard4, .wizard5, .command:
            bench.run(.newMachine)
            bench.type("old times")
            bench.run(.listDown, .menuLeft, .menuLeft, .menuLeft)
            for _ in 0..<((ManagerScene.allCases.firstIndex(of: self) ?? 0) - (ManagerScene.allCases.firstIndex(of: .wizard1) ?? 0)) where self != .command {
                bench.run(.nextStep)
            }
            if self == .command { bench.run(.showCommand) }
        case .wizardProblem:
            bench.run(.newMachine)
            bench.type("debian")
        case .form: bench.run(.settings)
        case .formProblem, .formDiff:
            bench.run(.settings, .nextSection)
            bench.run(.clearText)
            bench.type(self == .formProblem ? "abc" : "256")
            if self == .formDiff { bench.run(.save) }
        case .formLive: bench.select("DOS games", .settings)
        case .log: bench.run(.log)
        case .logFilter:
            bench.run(.log, .level, .level, .component)
            bench.type("fdc")
            try bench.press("ret", "/")
            bench.type("Line 1")
        case .snapshots:
            bench.run(.snapshots)
            for _ in 0..<3 { bench.run(.listUp) }
        case .snapshotNow: bench.select("DOS games", .snapshots)
        case .takeSnapshot:
            bench.run(.snapshots, .takeSnapshot)
            try bench.press("tab")
            bench.type("before the move")
        case .restoreSnapshot: bench.run(.snapshots, .listUp, .listUp, .restoreSnapshot)
        case .deleteSnapshot: bench.run(.snapshots, .listUp, .deleteSnapshot)
        case .discard:
            bench.select("buildbox", .saveState, .discardState)
        case .folded:
            bench.select("DOS games")
            bench.run(.fold)
        case .ungrouped: bench.run(.groups)
        case .split: bench.select("DOS games", .split)
        case .browser, .completion:
            bench.run(.settings)
            for _ in 0..<60 where bench.model.form?.currentKey != "storage.cdrom" { bench.run(.listDown) }
            bench.type("/images/d")
            bench.run(self == .browser ? .browse : .complete)
        case .stuck:
            bench.select("DOS games", .open)
            bench.library.machine("DOS games").change { view in
                (view.state, view.problem) = (.stuck, "triple fault at 0:7c0a: #GP(0x1a) while delivering #DF(0x0); IDT limit is 0")
            }
            bench.settle()
        case .message:
            bench.notify("/srv/config/vitrine/Themes/mine.toml:12:8 unknown colour 'blu' (did you mean 'blue'?); the theme stays as it was.")
        case .scrollback:
            bench.select("DOS games", .open)
            bench.run(.scrollback)
            try bench.press("/")
            bench.type("line 17")
            try bench.press("ret", "space", "down", "down")
        case .console: bench.select("DOS games", .open)
        case .whichKey:
            bench.select("DOS games", .open)
            try bench.press("C-]")
            bench.wait(2500)
        case .progress:
            bench.progress()
        case .failed:
            bench.run(.rename, .clearText)
            bench.rename("buildbox")
        }
        return bench
    }
}

extension ManagerBench {
    mutating func select(_ name: String, _ ids: ActionID...) {
        for _ in 0..<20 where model.list.selectedName != name { run(.listDown) }
        for id in ids { run(id) }
    }

    /// In the middle of a copy.
    mutating func progress() {
        let request = LibraryRequest.clone("debian", to: "debian 2")
        model.begin(request, title: "Cloning debian as debian 2", at: now)
        now += 4000
        _ = model.handle(.progress(done: 1_200_000_000, total: 3_221_225_472), at: now)
    }

    mutating func rename(_ name: String) {
        for _ in 0..<40 { try? press("bs") }
        type(name)
        try? press("ret")
    }
}

/// How a screen is looked at: all of the picture, what is left of it without colours, what is left in 7 bits.
enum GoldenLook: String, CaseIterable, Sendable {
    case dark, mono, ascii

    var theme: String { self == .dark ? "dark" : "mono" }

    func text(_ surface: Surface, theme: Theme) -> String {
        switch self {
        case .dark: return planes(surface)
        case .ascii:
            let text = surface.reduced(to: .ascii).text
            #expect(text.unicodeScalars.allSatisfy { $0.value < 0x7F })
            return text
        case .mono:
            let table = InkTable(theme: theme, tier: .mono, guestPalette: Palette.vga)
            let mods = (0..<surface.height).map { y in
                surface.row(y).map { cell in
                    let mods = table[cell.ink].mods
                    return mods.contains(.reverse) ? "R" : mods.contains(.bold) ? "B" : mods.contains(.underline) ? "U" : "."
                }.joined()
            }
            return surface.text + "\n--- attributes\n" + mods.joined(separator: "\n")
        }
    }
}

/// The sizes that every panel is looked at in.
let goldenSizes = [Size(width: 80, height: 24), Size(width: 160, height: 50)]

@Suite("golden screens of the manager") struct ManagerGoldenTests {
    @Test("every panel, in colours, without them, in 7 bits", arguments: ManagerScene.allCases, goldenSizes)
    func scenes(scene: ManagerScene, size: Size) throws {
        for look in GoldenLook.allCases {
            let bench = try scene.bench(size, theme: look.theme)
            let text = look.text(bench.model.draw(at: bench.now), theme: bench.model.theme)
            try expectGolden(text, "manager/\(scene.rawValue)-\(size.width)x\(size.height)-\(look.rawValue)")
        }
    }

    @Test("too small is said, whatever would be there") func tooSmall() throws {
        let bench = try ManagerScene.machines.bench(Size(width: 50, height: 12), theme: "dark")
        try expectGolden(planes(bench.model.draw(at: bench.now)), "manager/too-small-50x12")
    }

    @Test("without colours, what is selected and what is wrong stays visible", arguments: [ManagerScene.machines, .form, .formProblem, .delete, .menu, .log])
    func mono(scene: ManagerScene) throws {
        let bench = try scene.bench(Size(width: 80, height: 24), theme: "mono")
        #expect(GoldenLook.mono.text(bench.model.draw(at: bench.now), theme: bench.model.theme).split(separator: "---").last?.contains("R") == true)
    }

    @Test(
        "for screen readers there are no frames, and the cursor is where the attention is",
        arguments: [ManagerScene.machines, .menu, .form, .delete, .log, .wizard1])
    func linear(scene: ManagerScene) throws {
        let bench = try scene.bench(Size(width: 80, height: 24), theme: "dark", linear: true)
        let surface = bench.model.draw(at: bench.now)
        #expect(surface.cursor != nil)
        #expect(!surface.cells.contains { (0x2500...0x259F).contains($0.scalar) })
        try expectGolden(planes(surface), "manager/\(scene.rawValue)-reader")
    }

    @Test("no scene draws outside a screen of any size", arguments: ManagerScene.allCases) func anySize(scene: ManagerScene) throws {
        let bench = try scene.bench(Size(width: 80, height: 24), theme: "dark")
        for width in [1, 40, 64, 79, 100, 200] {
            for height in [1, 10, 16, 24, 60] {
                var model = bench.model
                model.resize(Size(width: width, height: height), at: bench.now)
                #expect(model.draw(at: bench.now).cells.count == width * height)
            }
        }
    }
}
