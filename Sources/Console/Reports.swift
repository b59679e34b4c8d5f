import DataFiles
import Foundation
import Panels
import Terminal

// What verbs print about themes and keymaps.

/// What is to say about a theme file.
/// - Throws: the first thing that is wrong, with its place.
public func themeReport(_ path: String) throws(DataError) -> String {
    let theme = try DataFolders.standard().themeFile(path)
    let warnings = theme.warnings()
    return warnings.isEmpty ? "\(path) is good.\n" : warnings.map { "\(path): warning: \($0)\n" }.joined()
}

/// Names of all themes, the chosen one marked.
public func themeList() throws(DataError) -> String {
    let folders = DataFolders.standard(), chosen = try Preferences.check(folders).theme ?? ConsoleOptions().theme
    return folders.names("Themes").map { ($0 == chosen ? "* " : "  ") + $0 + "\n" }.joined()
}

/// The keys that are in force, context by context.
/// - Parameter name: of a keymap; nil: the chosen one.
public func keyTable(_ name: String?) throws(DataError) -> String {
    let folders = DataFolders.standard(), preferences = try Preferences.check(folders)
    let keymap = try folders.keymap(name ?? preferences.keymap ?? ConsoleOptions().keymap, vocabulary: consoleVocabulary)
    let host = preferences.hostKey.flatMap { Chord($0) } ?? keymap.host
    var lines = ["Keymap: \(keymap.name)", "Host key: \(host.label)"]
    for context in Action.contexts {
        let rows = keymap.bindings(context).compactMap { binding -> (String, String)? in
            switch binding.target {
            case .action(let name): (binding.label, ActionID(rawValue: name).map { Action[$0].title } ?? name)
            case .send(let chord): (binding.label, "Send \(chord.label)")
            case .type(let text): (binding.label, "Type \(text.filter { !$0.isNewline })")
            case .nothing: nil
            }
        }
        guard !rows.isEmpty else { continue }
        let width = rows.map(\.0.count).max() ?? 0
        lines += ["", "[\(context)]"] + rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 }
    }
    let environment = ProcessInfo.processInfo.environment
    var own = keymap
    own.host = host
    let missing = own.unreachable(on: KeyReach(environment: environment), contexts: Action.contexts)
    if !missing.isEmpty { lines += ["", "This terminal (TERM=\(environment["TERM"] ?? "")) may not send:"] + missing.map { "  warning: " + $0 } }
    return lines.joined(separator: "\n") + "\n"
}
