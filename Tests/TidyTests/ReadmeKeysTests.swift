import Foundation
import Panels
import Terminal
import Testing

/// README's tables of keys are made from `Keymaps/default.toml` and the registry of commands. `UPDATE_README=1` writes them anew.
@Suite("tidy · README's keys", .serialized) struct ReadmeKeysTests {
    private func rows(_ context: String, _ heading: String) throws -> [String] {
        let vocabulary = Keymap.Vocabulary(actions: Set(ActionID.allCases.map(\.rawValue)), contexts: Set(Action.contexts))
        let keymap = try DataFolders(folders: [URL(fileURLWithPath: House.root)]).keymap("default", vocabulary: vocabulary)
        var order: [String] = [], keys: [String: [String]] = [:]
        for binding in keymap.bindings(context) {
            let meaning: String
            switch binding.target {
            case .action(let name):
                guard let id = ActionID(rawValue: name), Action[id].isCommand else { continue }
                meaning = Action[id].title.replacingOccurrences(of: "…", with: "")
            case .send(let chord): meaning = "Send \(chord.label)"
            case .type, .nothing: continue
            }
            if keys[meaning] == nil { order.append(meaning) }
            keys[meaning, default: []].append("`\(binding.label.replacingOccurrences(of: "|", with: "\\|"))`")
        }
        return ["| \(heading) | |", "|---|---|"] + order.map { "| \((keys[$0] ?? []).joined(separator: " ")) | \($0) |" }
    }

    @Test("are those of the default keymap", arguments: [
        ("console", "while you have the keyboard"), ("host", "after `Ctrl-]`"), ("machines", "in the list of machines"),
        ("form", "in the settings"), ("wizard", "in the wizard"), ("log", "in a log"), ("snapshots", "in the snapshots"),
        ("scrollback", "in what has scrolled off"), ("debugger", "in the debugger"),
    ])
    func keys(context: String, heading: String) throws {
        let expected = try rows(context, heading)
        var readme = House.read("README.md").lines
        let start = try #require(readme.firstIndex(of: expected[0]), "README has no table '\(heading)'")
        let end = readme[start...].firstIndex { !$0.hasPrefix("|") } ?? readme.endIndex
        if ProcessInfo.processInfo.environment["UPDATE_README"] != nil {
            readme.replaceSubrange(start..<end, with: expected)
            try readme.joined(separator: "\n").write(toFile: House.root + "/README.md", atomically: true, encoding: .utf8)
        } else {
            #expect(Array(readme[start..<end]) == expected, "run UPDATE_README=1 swift test --filter ReadmeKeysTests")
        }
    }
}
