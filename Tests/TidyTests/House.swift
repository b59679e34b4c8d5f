import Foundation

/// The working copy as files: what the tests of this target look at.
enum House {
    /// Top folder, found from this file's own place.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// A text file, its path relative to the top.
    struct Text: Sendable, CustomStringConvertible {
        var path: String
        var lines: [String]
        var description: String { path }
    }

    /// Text files below `folder` with one of the extensions, build folders left out, sorted.
    static func files(_ folder: String, _ extensions: Set<String>) -> [Text] {
        guard let walk = FileManager.default.enumerator(atPath: root + "/" + folder) else { return [] }
        var result: [Text] = []
        while let path = walk.nextObject() as? String {
            let name = (path as NSString).lastPathComponent
            if name.hasPrefix(".") {
                walk.skipDescendants()
                continue
            }
            guard extensions.contains((path as NSString).pathExtension) else { continue }
            result.append(read(folder.isEmpty ? path : folder + "/" + path))
        }
        return result.sorted { $0.path < $1.path }
    }

    static func read(_ path: String) -> Text {
        let text = (try? String(contentsOfFile: root + "/" + path, encoding: .utf8)) ?? ""
        return Text(path: path, lines: text.components(separatedBy: "\n"))
    }

    /// Names in a folder, folders only, hidden ones left out.
    static func folders(_ folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []
        return names.filter { name in
            var isFolder: ObjCBool = false
            return !name.hasPrefix(".") && FileManager.default.fileExists(atPath: "\(root)/\(folder)/\(name)", isDirectory: &isFolder) && isFolder.boolValue
        }.sorted()
    }

    static let swift = files("Sources", ["swift"]) + files("Tests", ["swift"])

    /// A line of code without its comment; strings stay.
    static func code(_ line: String) -> String {
        let trimmed = line.drop { $0 == " " }
        if trimmed.hasPrefix("//") { return "" }
        guard let comment = line.range(of: " //") else { return line }
        return String(line[..<comment.lowerBound])
    }
}

extension House.Text {
    /// `path:line: text` of every line whose code part matches.
    func findings(_ pattern: String, comments: Bool = false) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern) else { return ["\(pattern) is not a regular expression"] }
        return lines.enumerated().compactMap { index, line in
            let part = comments ? line : House.code(line)
            guard expression.firstMatch(in: part, range: NSRange(part.startIndex..., in: part)) != nil else { return nil }
            return "\(path):\(index + 1): \(line.drop { $0 == " " })"
        }
    }
}
