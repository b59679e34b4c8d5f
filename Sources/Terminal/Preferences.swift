import DataFiles
import Foundation
import TOMLKit

/// What the user has chosen in the program: `settings.toml` in the user's folder.
public struct Preferences: Equatable, Sendable {
    public var theme: String?
    public var keymap: String?
    public var hostKey: String?

    static let keys = ["theme", "keymap", "host-key"]

    private static func file(_ folders: DataFolders) -> URL? { folders.user?.appendingPathComponent("settings.toml") }

    /// - Returns: nothing where there is no file or it cannot be used; `check` says why.
    public static func read(_ folders: DataFolders) -> Preferences { (try? check(folders)) ?? Preferences() }

    /// - Throws: the first thing that is wrong with the file, with its place.
    public static func check(_ folders: DataFolders) throws(DataError) -> Preferences {
        guard let file = file(folders), let text = try? String(contentsOf: file, encoding: .utf8) else { return Preferences() }
        let source = try TOMLSource(file: "settings.toml", text: text)
        var result = Preferences()
        for key in source.keys(of: source.root, at: []) {
            guard let value = source.root[key] else { continue }
            guard keys.contains(key) else { throw source.error([key], "unknown key '\(key)'" + Nearest.suggestion(key, in: keys)) }
            let word = try source.string(value, [key])
            switch key {
            case "theme": result.theme = word
            case "keymap": result.keymap = word
            default: result.hostKey = word
            }
        }
        return result
    }

    /// Puts values into the file; comments and all else in it stay.
    /// - Throws: one sentence when it cannot be written.
    public static func keep(_ values: [String: String], _ folders: DataFolders) throws(DataError) {
        guard let file = file(folders) else { return }
        var lines = ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        if lines.last == "" { lines.removeLast() }
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            let line = "\(key) = '\(value)'"
            if let i = lines.firstIndex(where: { $0.split(separator: "=").first?.trimmingCharacters(in: .whitespaces) == key }) {
                lines[i] = line
            } else {
                lines.append(line)
            }
        }
        do {
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file, options: .atomic)
        } catch {
            throw DataError(file: file.path, message: "cannot be written: \(error.localizedDescription)")
        }
    }
}
