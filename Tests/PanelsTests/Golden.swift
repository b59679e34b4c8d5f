import CannedMachine
import Foundation
import Machine
import Panels
import Terminal
import Synchronization
import Testing

let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
let shipped = DataFolders(folders: [repository])

/// Files that are read once: reading them takes longer than any test of a panel.
enum Shipped {
    private static let themes = Mutex<[String: Theme]>([:])
    private static let keymaps = Mutex<[String: Keymap]>([:])
    private static let layouts = Mutex<[String: KeyLayout]>([:])

    private static func kept<T: Sendable>(_ all: borrowing Mutex<[String: T]>, _ name: String, _ read: () throws -> T) throws -> T {
        if let known = all.withLock({ $0[name] }) { return known }
        let new = try read()
        all.withLock { $0[name] = new }
        return new
    }

    static func theme(_ name: String) throws -> Theme { try kept(themes, name) { try shipped.theme(name) } }

    static func keymap(_ name: String) throws -> Keymap {
        try kept(keymaps, name) {
            let vocabulary = Keymap.Vocabulary(actions: Set(ActionID.allCases.map(\.rawValue)), contexts: Set(Action.contexts))
            return try shipped.keymap(name, vocabulary: vocabulary)
        }
    }

    static func layout(_ name: String) throws -> KeyLayout { try kept(layouts, name) { try shipped.layout(name, positions: KeyPositions.names) } }
}

/// The shipped keymap and theme, a canned machine's view.
func sampleModel(scene: CannedMachine.Scene = .prompt, captured: Bool = true, keymap name: String = "default") throws -> ConsoleModel {
    let keymap = try Shipped.keymap(name)
    var settings = ConsoleModel.Settings(
        theme: try Shipped.theme("borland"), keymap: keymap, layout: try Shipped.layout(keymap.guestLayout), themeNames: ["borland", "dark", "light", "mono"])
    settings.capturesAtStart = captured
    settings.listFolder = { CannedLibrary().listFolder($0, machine: $1) }
    var model = ConsoleModel(settings)
    _ = model.update(CannedMachine(scene: scene).view(), at: 0)
    return model
}

/// Compares text with a file under `Golden`; `UPDATE_GOLDEN=1` writes it.
func expectGolden(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden/\(name).txt")
    if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] == "1" {
        try Data((text + "\n").utf8).write(to: file)
        return
    }
    let wanted = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    guard wanted != text + "\n" else { return }
    let (a, b) = (
        wanted.split(separator: "\n", omittingEmptySubsequences: false),
        (text + "\n").split(separator: "\n", omittingEmptySubsequences: false)
    )
    var difference = ""
    for i in 0..<max(a.count, b.count) where (i < a.count ? a[i] : "") != (i < b.count ? b[i] : "") {
        if i < a.count { difference += "\n-\(a[i])" }
        if i < b.count { difference += "\n+\(b[i])" }
    }
    Issue.record("\(name) differs from its golden file (UPDATE_GOLDEN=1 rewrites it):\(difference)", sourceLocation: sourceLocation)
}

/// Text plane, then ink plane.
func planes(_ surface: Surface) -> String {
    let cursor = surface.cursor.map { "cursor \($0.column),\($0.row) \($0.shape)" } ?? "no cursor"
    return surface.text + "\n--- inks\n" + surface.inks + "\n--- \(cursor)"
}
