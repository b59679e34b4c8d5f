import Foundation
import Panels

/// Folders of the host, for those who look for a file.
enum Folder {
    /// More than this are not shown.
    private static let limit = 5000

    /// - Parameter path: absolute.
    static func list(_ path: String) -> FolderListing? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var entries: [FolderListing.Entry] = []
        while let entry = readdir(directory), entries.count < limit {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard name != ".", name != ".." else { continue }
            var facts = stat()
            guard stat(path + "/" + name, &facts) == 0 else { continue }
            let isFolder = facts.st_mode & S_IFMT == S_IFDIR
            entries.append(.init(name, isFolder: isFolder, bytes: isFolder ? 0 : Int(facts.st_size)))
        }
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        return FolderListing(path: absolute, entries: entries.sorted { $0.name < $1.name })
    }

    /// As a `FolderLister` without machines: relative paths begin where vitrine was started.
    static func lister(_ folder: String, _ machine: String?) -> FolderListing? {
        let path = folder.hasPrefix("~/") || folder == "~" ? NSHomeDirectory() + folder.dropFirst() : folder
        return list(path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path)
    }
}
