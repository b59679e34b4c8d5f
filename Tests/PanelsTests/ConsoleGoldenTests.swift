import CannedMachine
import Hardware
import Machine
import Panels
import Terminal
import Testing

/// What the console shows, panel by panel.
enum ConsoleScene: String, CaseIterable, Sendable {
    case prompt, glyphs, attributes, graphics, blank, blink, forty, big, bottom
    case released, readOnly, paused, stuck, typing
    case help, menu, palette, sendKeys, sysRq, powerOff, quit, quitAttached, typeText, pasteQuestion, theme, drives, medium, browser
    case whichKey, prefix, scrollback, search, message

    private var screen: CannedMachine.Scene { CannedMachine.Scene(rawValue: rawValue) ?? .prompt }

    func model(_ size: Size, theme: String) throws -> ConsoleModel {
        let keymap = try Shipped.keymap("default")
        var settings = ConsoleModel.Settings(
            theme: try Shipped.theme(theme), keymap: keymap, layout: try Shipped.layout(keymap.guestLayout),
            themeNames: ["borland", "dark", "light", "mono"])
        settings.capturesAtStart = self != .released
        settings.readOnly = self == .readOnly
        settings.attached = self == .quitAttached
        settings.listFolder = { CannedLibrary().listFolder($0, machine: $1) }
        var model = ConsoleModel(settings)
        model.resize(size, at: 0)
        var view = CannedMachine(scene: screen).view()
        switch self {
        case .paused: view.state = .paused
        case .stuck: (view.state, view.problem) = (.stuck, "triple fault at 0:7c0a: #GP(0x1a) while delivering #DF(0x0); IDT limit is 0")
        default: break
        }
        _ = model.update(view, at: 0)
        if self == .stuck { _ = model.take(.facts(CannedMachine.facts), at: 0) }
        func press(_ spelling: String, at time: UInt64) {
            if let chord = Chord(spelling) { _ = model.handle(.key(KeyEvent(chord.key, chord.modifiers)), at: time) }
        }
        switch self {
        case .help: model.run(.help)
        case .menu: model.run(.menu)
        case .palette: model.run(.palette)
        case .sendKeys, .sysRq:
            model.run(.sendKeys)
            guard self == .sysRq else { break }
            for letter in "sysrq and" where letter != " " { press(String(letter), at: 0) }
            press("ret", at: 0)
        case .powerOff: model.run(.powerOff)
        case .quit, .quitAttached: model.run(.quit)
        case .typeText: model.run(.typeText)
        case .pasteQuestion: _ = model.handle(.paste("dir\ncopy a: b:\n"), at: 0)
        case .typing: _ = model.handle(.paste(String(repeating: "abc ", count: 40)), at: 0)
        case .theme: model.run(.chooseTheme)
        case .drives, .medium, .browser:
            model.run(.drives)
            if self != .drives { press("ret", at: 0) }
            if self == .browser {
                _ = model.handle(.paste("/images/"), at: 0)
                for key in ["tab", "tab", "ret"] { press(key, at: 0) }
            }
        case .whichKey, .prefix:
            press("C-]", at: 0)
            if self == .whichKey { _ = model.tick(at: 2500) }
        case .scrollback, .search:
            model.run(.scrollback)
            model.showScrollback((1...200).map { "line \($0) of the past" }, at: 0)
            if self == .search { for key in ["/", "l", "i", "n", "e"] { press(key, at: 0) } }
        case .message: model.notify("/srv/config/vitrine/Themes/mine.toml:12:8 unknown colour 'blu' (did you mean 'blue'?)", at: 0)
        default: break
        }
        return model
    }
}

@Suite("golden screens of the console") struct ConsoleGoldenTests {
    @Test("every panel, in colours, without them, in 7 bits", arguments: ConsoleScene.allCases, goldenSizes)
    func scenes(scene: ConsoleScene, size: Size) throws {
        for look in GoldenLook.allCases {
            let model = try scene.model(size, theme: look.theme)
            let time: UInt64 = scene == .whichKey ? 2500 : 0
            let text = look.text(model.draw(at: time), theme: model.theme)
            try expectGolden(text, "console/\(scene.rawValue)-\(size.width)x\(size.height)-\(look.rawValue)")
        }
    }
}
