import Foundation
import Primitives
import Testing

@testable import Terminal

@Suite("keys that a terminal can send") struct KeyReachTests {
    @Test(
        "what cannot arrive is known", arguments: [
            ("a", nil, nil, nil), ("A-x", nil, nil, nil), ("C-]", nil, nil, nil), ("S-tab", "it arrives", nil, nil), ("F5", nil, nil, nil),
            ("C-F2", "without modifiers", nil, nil), ("C-i", "it arrives as Tab", "it arrives as Tab", nil),
            ("C-m", "it arrives as Enter", "it arrives as Enter", nil), ("C-ret", "without its modifiers", "without its modifiers", nil),
            ("C-S-a", "it arrives as Ctrl-A", "it arrives as Ctrl-A", nil), ("C-1", "no byte", "no byte", nil),
            ("RightCtrl", "kitty", "kitty", "kitty"), ("W-a", "kitty", "kitty", "kitty"), ("prtsc", "kitty", "kitty", "kitty"),
        ] as [(String, String?, String?, String?)])
    func reach(spelling: String, plain: String?, legacy: String?, modified: String?) throws {
        let chord = try #require(Chord(spelling))
        for (reach, wanted) in [(KeyReach.plain, plain), (.legacy, legacy), (.modified, modified), (.full, nil)] {
            let found = chord.obstacle(on: reach)
            #expect((found == nil) == (wanted == nil), "\(spelling) on \(reach): \(found ?? "-")")
            if let wanted { #expect(found?.contains(wanted) == true, "\(spelling) on \(reach): \(found ?? "-")") }
        }
    }

    @Test("the environment says which kind it is") func environment() {
        #expect(KeyReach(environment: ["TERM": "linux"]) == .plain && KeyReach(environment: ["TERM": "vt220"]) == .plain)
        #expect(KeyReach(environment: ["TERM": "xterm-256color"]) == .modified && KeyReach(environment: ["TERM": "xterm-kitty"]) == .full)
        #expect(KeyReach(environment: ["TERM": "xterm-256color", "TMUX": "/x"]) == .legacy && KeyReach(environment: [:]) == .legacy)
    }

    @Test("the shipped keymaps can be typed on any terminal with function keys", arguments: ["default", "vi", "classic", "dosbox"])
    func shipped(name: String) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").standardizedFileURL
        let text = try String(contentsOf: root.appendingPathComponent("Keymaps/\(name).toml"), encoding: .utf8)
        for match in text.matches(of: /(?m)^"([^"]+)" +=/) {
            for part in match.output.1.split(separator: " ") {
                let chord = try #require(Chord(String(part)), "\(part)")
                #expect(chord.obstacle(on: .legacy) == nil, "\(part)")
            }
        }
    }
}

@Suite("code pages") struct CodePageTests {
    @Test("have 256 characters that a terminal can show, and the lower half of CP437", arguments: CodePage.allCases)
    func whole(page: CodePage) {
        #expect(page.codePoints.count == 256)
        #expect(page.codePoints[..<0x80] == CP437.codePoints[..<0x80])
        for point in page.codePoints {
            #expect(Unicode.Scalar(point).map { Width.of($0) } == 1)
            // In 7 bits everything has a stand-in.
            let reduced = Glyphs.reduce(UInt32(point), to: .ascii)
            #expect(reduced >= 0x20 && reduced < 0x7F)
        }
    }

    @Test("some characters are where their tables have them") func some() {
        #expect(CodePage.cp850.scalar(0xD5) == "ı" && CodePage.cp852.scalar(0xA5) == "ą" && CodePage.cp866.scalar(0x80) == "А")
        #expect(CodePage.koi8r.scalar(0xC1) == "а" && CodePage.latin1.scalar(0xE9) == "é" && CodePage.cp737.scalar(0x98) == "α")
        #expect(CodePage.cp866.scalar(0xC9) == "╔" && CodePage.latin2.scalar(0xB1) == "ą" && CodePage.cp865.scalar(0x9B) == "ø")
    }
}
