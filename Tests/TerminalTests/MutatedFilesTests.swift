import DataFiles
import Foundation
import Terminal
import Testing

/// Themes and keymaps with random mistakes: an error names file and line, nothing traps. `VITRINE_MUTATIONS` says how many variants of each.
@Suite("data files · mistakes") struct MutatedFilesTests {
    private static let count = ProcessInfo.processInfo.environment["VITRINE_MUTATIONS"].flatMap { Int($0) } ?? 150
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// A xorshift generator with a seed that is printed by the failing argument.
    private struct Dice {
        var state: UInt64
        mutating func roll(_ n: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(max(1, n)))
        }
    }

    private static let scraps = [
        "\"", "'", "[", "]", "{", "}", "=", ",", ".", "#", "\n", "\\", "\u{0}", "é", "[[", "\"\"\"", "1e999", "0x", "inf", "-", "true",
        "1979-05-27",
    ]

    private static func mutated(_ text: String, _ dice: inout Dice) -> String {
        var bytes = Array(text.utf8)
        for _ in 0...dice.roll(4) {
            let at = dice.roll(bytes.count)
            switch dice.roll(5) {
            case 0: if !bytes.isEmpty { bytes.remove(at: at) }
            case 1: bytes.insert(contentsOf: Array(scraps[dice.roll(scraps.count)].utf8), at: at)
            case 2: if !bytes.isEmpty { bytes[at] = UInt8(truncatingIfNeeded: dice.roll(128)) }
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + dice.roll(40)))
            default:
                let from = dice.roll(bytes.count), part = bytes[from..<min(bytes.count, from + dice.roll(60))]
                bytes.insert(contentsOf: part, at: at)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("themes", arguments: ["dark", "borland", "mono", "high-contrast"]) func themes(name: String) throws {
        let text = try String(contentsOf: Self.root.appendingPathComponent("Themes/\(name).toml"), encoding: .utf8)
        try check(text, "themes", name) { folders throws(DataError) in _ = try folders.theme(name) }
    }

    @Test("keymaps", arguments: ["default", "vi", "classic", "dosbox"]) func keymaps(name: String) throws {
        let text = try String(contentsOf: Self.root.appendingPathComponent("Keymaps/\(name).toml"), encoding: .utf8)
        let words = text.split(whereSeparator: { $0 == "\"" }).map(String.init) + ["list.first", "list.last"]
        let vocabulary = Keymap.Vocabulary(
            actions: Set(words), contexts: ["global", "console", "host", "machines", "form", "wizard", "log", "scrollback", "menu", "list", "dialog"])
        try check(text, "keymaps", name) { folders throws(DataError) in _ = try folders.keymap(name, vocabulary: vocabulary) }
    }

    private func check(_ text: String, _ kind: String, _ name: String, _ load: (DataFolders) throws(DataError) -> Void) throws {
        let user = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-mutated-" + UUID().uuidString.prefix(8))
        defer { try? FileManager.default.removeItem(at: user) }
        let file = user.appendingPathComponent(kind + "/" + name + ".toml")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        let folders = DataFolders(folders: [Self.root], user: user)
        var dice = Dice(state: 0x5EED_0000 + UInt64(name.utf8.reduce(0) { $0 &* 31 &+ Int($1) } & 0xFFFF))
        for round in 0..<Self.count {
            let variant = Self.mutated(text, &dice)
            try Data(variant.utf8).write(to: file)
            do throws(DataError) {
                try load(folders)
            } catch {
                #expect(!error.file.isEmpty && !error.message.isEmpty, "round \(round)")
                #expect(error.line > 0, "round \(round): \(error)")
            }
        }
    }
}
