import DataFiles
import Foundation
import Testing

@testable import Terminal

/// The repository's own folder with Themes and Keymaps.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
let shipped = DataFolders(folders: [repository])
let vocabulary = Keymap.Vocabulary(
    actions: ["help", "menu", "quit", "guest.release", "machine.pause"], contexts: ["global", "console", "host", "list"])

/// A folder that is gone when the test is.
final class TemporaryFolder {
    let url: URL
    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }
    func write(_ path: String, _ text: String) throws {
        let file = url.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
    deinit { try? FileManager.default.removeItem(at: url) }
}

@Suite("theme files") struct ThemeFileTests {
    private func parse(_ text: String) throws -> Theme {
        try Theme.parse(file: "Themes/x.toml", text: text) { (name) throws(DataError) in
            throw DataError(file: name, message: "there is no '\(name)'")
        }
    }

    private func complaint(_ text: String) -> String {
        do {
            _ = try parse(text)
            return "none"
        } catch { return "\(error)" }
    }

    @Test(
        "a zero character is refused with its place, and never cuts a text", arguments: [
            ("a = \"x\\u0000y\"", "1:7"), ("\nb = 1\na = \"\\U00000000\"", "3:6"), ("a = 'x\u{0}y'", "1:7"), ("# \u{0}", "1:3"),
        ])
    func zero(text: String, place: String) {
        #expect(performing: { try TOMLSource(file: "f", text: text) }, throws: { "\($0)".hasPrefix("f:\(place) a zero character") })
    }

    @Test("every shipped theme loads and its text can be read", arguments: shipped.names("Themes"))
    func shippedThemes(_ name: String) throws {
        let theme = try shipped.theme(name)
        #expect(theme.warnings() == [])
    }

    @Test("the four that must be there are")
    func all() { #expect(Set(shipped.names("Themes")).isSuperset(of: ["dark", "light", "mono", "borland"])) }

    @Test("a scope falls back to the one above, part by part")
    func fallback() throws {
        let theme = try parse(
            """
            "ui" = { fg = "#111111", bg = "#222222" }
            "ui.menu" = { bg = "#333333", mods = ["bold"] }
            "ui.menu.hotkey" = "#ff0000"
            """)
        let style = theme.style(.menuHotkey)
        #expect(style.foreground.rgb == 0xFF0000 && style.background.rgb == 0x333333)
        #expect(theme.style(.menu).foreground.rgb == 0x111111 && theme.style(.menu).mods == .bold)
        #expect(theme.style(.dialogTitle).background.rgb == 0x222222)
    }

    @Test("palette names carry their fallbacks; others are computed")
    func palette() throws {
        let theme = try parse(
            """
            "ui" = { fg = "lime", bg = "navy" }
            [palette]
            navy = { rgb = "#0000aa", c256 = 19, c16 = "blue", c8 = "blue" }
            lime = "#5f5"
            """)
        let style = theme.style(.ui)
        #expect(style.background == Colour(rgb: 0x0000AA, c256: 19, c16: 4, c8: 4))
        #expect(style.foreground.rgb == 0x55FF55 && style.foreground.c16 == 10 && style.foreground.c8 == 2)
    }

    @Test("mistakes are named with their place")
    func mistakes() {
        #expect(complaint("\"ui.menu\" = \"blu\"") == "Themes/x.toml:1:1 unknown colour 'blu' (did you mean 'blue'?)")
        #expect(
            complaint("name = \"x\"\n\n  \"ui.menue\" = \"blue\"") == "Themes/x.toml:3:3 unknown key 'ui.menue' (did you mean 'ui.menu'?)")
        #expect(complaint("[guest]\npalete = \"vga\"") == "Themes/x.toml:2:1 unknown key 'palete' (did you mean 'palette'?)")
        #expect(complaint("[guest]\nblink = \"hard\"").hasPrefix("Themes/x.toml:2:1 'hard' is not one of software, terminal, off"))
        #expect(
            complaint("\"ui\" = { fg = \"red\", mods = [\"bolt\"] }") == "Themes/x.toml:1:1 unknown attribute 'bolt' (did you mean 'bold'?)"
        )
        #expect(complaint("[mono]\n\"ui.list\" = \"bold\"") == "Themes/x.toml:2:1 attributes must be a list such as [\"bold\"]")
        #expect(complaint("[palette]\nx = { c256 = 3 }") == "Themes/x.toml:2:1 'x' needs rgb = \"#rrggbb\"")
        #expect(complaint("ui = \n").hasPrefix("Themes/x.toml:1:6 "))
        #expect(complaint("inherits = \"drak\"") == "Themes/x.toml:1:1 there is no 'drak'")
    }

    @Test("a theme that inherits itself through another is refused; a user's theme may build on the one it replaces")
    func inheritance() throws {
        let folder = try TemporaryFolder()
        try folder.write("Themes/a.toml", "inherits = \"b\"")
        try folder.write("Themes/b.toml", "inherits = \"a\"")
        #expect(throws: DataError(file: "Themes/b.toml", line: 1, column: 1, message: "'a' inherits itself")) {
            try DataFolders(folders: [folder.url]).theme("a")
        }
        try folder.write("user/themes/dark.toml", "inherits = \"dark\"\n\"ui\" = { fg = \"#010203\" }")
        let both = DataFolders(folders: [repository], user: folder.url.appendingPathComponent("user"))
        let theme = try both.theme("dark")
        #expect(theme.style(.ui).foreground.rgb == 0x010203)
        #expect(theme.border == .rounded)
    }

    @Test("an unknown name is answered with the nearest")
    func unknown() {
        #expect(throws: DataError(file: "borlnd", message: "there is no 'borlnd' (did you mean 'borland'?)")) {
            try shipped.theme("borlnd")
        }
        #expect(throws: DataError.self) { try shipped.theme("../Themes/dark") }
    }

    @Test("a file that is not UTF-8 is refused by name")
    func binary() throws {
        let folder = try TemporaryFolder()
        try folder.write("Themes/x.toml", "")
        try Data([0xFF, 0xFE, 0x00]).write(to: folder.url.appendingPathComponent("Themes/x.toml"))
        #expect(throws: DataError.self) { try DataFolders(folders: [folder.url]).theme("x") }
    }
}

@Suite("keymap files") struct KeymapFileTests {
    private func parse(_ text: String) throws -> Keymap {
        try Keymap.parse(file: "k.toml", text: text, vocabulary: vocabulary) { (name) throws(DataError) in
            throw DataError(file: name, message: "there is no '\(name)'")
        }
    }

    private func complaint(_ text: String) -> String {
        do {
            _ = try parse(text)
            return "none"
        } catch { return "\(error)" }
    }

    @Test("contexts inherit the global keys unless they say no; the host table never does")
    func inheritance() throws {
        let map = try parse(
            """
            host = "C-\\\\"
            [keys.global]
            "F1" = "help"
            "F10" = "quit"
            [keys.console]
            "F10" = "no-op"
            "esc 1" = "help"
            [keys.list]
            no-inherit = true
            "ret" = "menu"
            [keys.host]
            "q" = "guest.release"
            "d" = { send = "C-A-del" }
            "t" = { type = "dir\\n" }
            "X" = { do = "quit", confirm = "Really, {machine}?" }
            """)
        #expect(map.host == Chord("C-\\"))
        let f1 = try #require(Chord("F1")), f10 = try #require(Chord("F10")), esc = try #require(Chord("esc")),
            one = try #require(Chord("1"))
        #expect(map.match([f1], in: "console") == .found(.init(keys: [f1], target: .action("help"))))
        #expect(map.match([f10], in: "console") == .none)
        #expect(map.match([esc], in: "console") == .prefix)
        #expect(map.match([esc, one], in: "console") == .found(.init(keys: [esc, one], target: .action("help"))))
        #expect(map.match([f1], in: "list") == .none)
        #expect(map.match([f1], in: "host") == .none)
        let d = try #require(Chord("d")), del = try #require(Chord("C-A-del"))
        #expect(map.match([d], in: "host") == .found(.init(keys: [d], target: .send(del))))
        #expect(map.bindings("host").map(\.label) == ["q", "d", "t", "X"])
        #expect(map.bindings("host").last?.confirm == "Really, {machine}?")
        #expect(map.label(for: "guest.release", in: "host") == "q")
    }

    @Test("mistakes are named with their place")
    func mistakes() {
        #expect(complaint("[keys.hots]\n\"q\" = \"quit\"") == "k.toml:1:1 unknown context 'hots' (did you mean 'host'?)")
        #expect(complaint("[keys.host]\n\"q\" = \"quti\"") == "k.toml:2:1 unknown command 'quti' (did you mean 'quit'?)")
        #expect(complaint("[keys.host]\n\n\"C-delt\" = \"quit\"") == "k.toml:3:1 'C-delt' is not a key (did you mean 'del'?)")
        #expect(complaint("hots = \"C-a\"") == "k.toml:1:1 unknown key 'hots' (did you mean 'host'?)")
        #expect(complaint("host-timeout-ms = 5") == "k.toml:1:1 'host-timeout-ms' must be a number from 100 to 60000")
        #expect(complaint("[keys.host]\n\"q\" = { sned = \"a\" }") == "k.toml:2:1 unknown key 'sned' (did you mean 'send'?)")
        #expect(complaint("[keys.host]\n\"q\" = 3") == "k.toml:2:1 'q' must be a table")
    }

    @Test("the shipped keymap's layouts exist")
    func layouts() throws {
        let positions: Set<String> = Set(
            ([
                "grave", "minus", "equal", "leftBracket", "rightBracket", "backslash", "semicolon", "quote", "comma", "period", "slash",
                "space", "iso102",
            ]
                + (0...9).map { "digit\($0)" } + "abcdefghijklmnopqrstuvwxyz".map { String($0) }))
        for name in shipped.names("Keymaps/layouts") {
            let layout = try shipped.layout(name, positions: positions)
            for scalar in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".unicodeScalars
            {
                #expect(layout[scalar] != nil, "\(name) cannot type \(scalar)")
            }
        }
        let us = try shipped.layout("us", positions: positions)
        #expect(us["A"] == [.init(position: "a", shift: true)])
        let de = try shipped.layout("de", positions: positions)
        #expect(de["z"] == [.init(position: "y")])
        #expect(de["@"] == [.init(position: "q", altGr: true)])
        #expect(de["^"] == [.init(position: "grave"), .init(position: "space")])
        let fr = try shipped.layout("fr", positions: positions)
        #expect(fr["1"] == [.init(position: "digit1", shift: true)])
        #expect(fr["â"] == [.init(position: "leftBracket"), .init(position: "q")])
    }

    @Test("layout mistakes are named")
    func layoutMistakes() {
        #expect(throws: DataError(file: "l.toml", line: 2, column: 1, message: "unknown key position 'graev' (did you mean 'grave'?)")) {
            try KeyLayout.parse(file: "l.toml", text: "[keys]\ngraev = \"`~\"", positions: ["grave", "a"])
        }
        #expect(throws: DataError.self) { try KeyLayout.parse(file: "l.toml", text: "[keys]\na = \"abcde\"", positions: ["a"]) }
        #expect(throws: DataError.self) { try KeyLayout.parse(file: "l.toml", text: "[compose]\nab = \"a\"", positions: ["a"]) }
    }
}
