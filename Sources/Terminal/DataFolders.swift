import DataFiles
import Foundation

/// Where themes and keymaps are looked for.
public struct DataFolders: Sendable {
    /// Folders that hold `Themes/` and `Keymaps/`, first wins.
    public var folders: [URL]
    /// The user's folder, with `themes/` and `keymaps/`, in lower case or written as here.
    public var user: URL?

    public init(folders: [URL], user: URL? = nil) {
        self.folders = folders
        self.user = user
    }

    /// `$XDG_CONFIG_HOME/vitrine`, then `extra`, then beside the program and in `../share/vitrine`.
    public static func standard(extra: String? = nil, environment: [String: String] = ProcessInfo.processInfo.environment) -> DataFolders {
        var folders: [URL] = extra.map { [URL(fileURLWithPath: $0)] } ?? []
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")).map {
            URL(fileURLWithPath: $0).deletingLastPathComponent()
        }
        if let program {
            folders.append(program.appendingPathComponent("vitrine_Terminal.resources"))
            folders.append(program.appendingPathComponent("../share/vitrine").standardizedFileURL)
        }
        let home = environment["HOME"].map { URL(fileURLWithPath: $0).appendingPathComponent(".config") }
        let config = environment["XDG_CONFIG_HOME"].flatMap { $0.hasPrefix("/") ? URL(fileURLWithPath: $0) : nil } ?? home
        return DataFolders(folders: folders, user: config?.appendingPathComponent("vitrine"))
    }

    /// The user's folders of a kind.
    private func own(_ kind: String) -> [URL] { user.map { user in [kind.lowercased(), kind].map { user.appendingPathComponent($0) } } ?? [] }

    private func candidates(_ kind: String, _ name: String) -> [URL] {
        own(kind).map { $0.appendingPathComponent(name + ".toml") }
            + folders.map { $0.appendingPathComponent(kind).appendingPathComponent(name + ".toml") }
    }

    /// Text of the first file of that name, and what to call it in messages.
    /// - Parameter skipping: files that are being read already: a user's `dark` may inherit the `dark` that it replaces.
    private func read(_ kind: String, _ name: String, skipping: Set<String> = []) throws(DataError) -> (URL, String) {
        guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            throw DataError(file: name, message: "'\(name)' is not the name of a file in \(kind)")
        }
        for url in candidates(kind, name) where !skipping.contains(url.path) && FileManager.default.fileExists(atPath: url.path) {
            do { return (url, try String(contentsOf: url, encoding: .utf8)) } catch {
                throw DataError(file: shortName(url), message: "cannot be read: it is not a UTF-8 text file that you may open")
            }
        }
        if !skipping.isEmpty, candidates(kind, name).contains(where: { skipping.contains($0.path) }) {
            throw DataError(file: name, message: "'\(name)' inherits itself")
        }
        throw DataError(file: name, message: "there is no '\(name)'" + Nearest.suggestion(name, in: names(kind)))
    }

    private func shortName(_ url: URL) -> String {
        url.pathComponents.suffix(url.path.contains("/layouts/") ? 3 : 2).joined(separator: "/")
    }

    /// Path, size and time of change of every file that a theme or keymap of that name may be made of.
    public func stamps(_ kind: String, _ name: String) -> [String] {
        // What it inherits may be any other file of the kind in the user's folder; those are few.
        let others = own(kind).flatMap { folder in
            ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted().map { folder.appendingPathComponent($0) }
        }
        let files = candidates(kind, name) + others
        return files.compactMap { url in
            guard let facts = try? FileManager.default.attributesOfItem(atPath: url.path) else { return nil }
            let time = (facts[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(url.path) \(facts[.size] as? Int ?? 0) \(time) \(facts[.systemFileNumber] as? Int ?? 0)"
        }
    }

    /// Names of all files of a kind (`Themes`, `Keymaps`, `Keymaps/layouts`).
    public func names(_ kind: String) -> [String] {
        var result: Set<String> = []
        let places = folders.map { $0.appendingPathComponent(kind) } + own(kind)
        for place in places {
            for file in (try? FileManager.default.contentsOfDirectory(atPath: place.path)) ?? [] where file.hasSuffix(".toml") {
                result.insert(String(file.dropLast(5)))
            }
        }
        return result.sorted()
    }

    /// A theme from any file; what it inherits is looked for as ever.
    public func themeFile(_ path: String) throws(DataError) -> Theme {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw DataError(file: path, message: "cannot be read: it is not a UTF-8 text file that you may open")
        }
        return try Theme.parse(file: path, text: text) { (parent) throws(DataError) in try theme(parent, [path]) }
    }

    public func theme(_ name: String) throws(DataError) -> Theme { try theme(name, []) }

    private func theme(_ name: String, _ open: Set<String>) throws(DataError) -> Theme {
        let (url, text) = try read("Themes", name, skipping: open)
        let deeper = open.union([url.path])
        return try Theme.parse(file: shortName(url), text: text) { (parent) throws(DataError) in try theme(parent, deeper) }
    }

    public func keymap(_ name: String, vocabulary: Keymap.Vocabulary) throws(DataError) -> Keymap {
        let (url, text) = try read("Keymaps", name)
        return try Keymap.parse(file: shortName(url), text: text, vocabulary: vocabulary) { (parent) throws(DataError) in
            try rawKeymap(parent, vocabulary, [url.path])
        }
    }

    private func rawKeymap(_ name: String, _ vocabulary: Keymap.Vocabulary, _ open: Set<String>) throws(DataError) -> Keymap {
        let (url, text) = try read("Keymaps", name, skipping: open)
        let deeper = open.union([url.path])
        return try Keymap.read(file: shortName(url), text: text, vocabulary: vocabulary) { (parent) throws(DataError) in
            try rawKeymap(parent, vocabulary, deeper)
        }
    }

    public func layout(_ name: String, positions: Set<String>) throws(DataError) -> KeyLayout {
        let (url, text) = try read("Keymaps/layouts", name)
        return try KeyLayout.parse(file: shortName(url), text: text, positions: positions)
    }
}
