import Terminal

/// What lies in a folder of the host.
public struct FolderListing: Equatable, Sendable {
    public struct Entry: Equatable, Sendable {
        public var name: String, isFolder: Bool, bytes: Int
        public init(_ name: String, isFolder: Bool = false, bytes: Int = 0) {
            (self.name, self.isFolder, self.bytes) = (name, isFolder, bytes)
        }
    }
    /// Absolute, without a slash at its end.
    public var path: String
    /// Sorted by name.
    public var entries: [Entry]
    public init(path: String, entries: [Entry]) { (self.path, self.entries) = (path, entries) }
}

/// Looks into a folder; relative paths begin in the machine's folder, or where vitrine was started. nil: it cannot be read.
public typealias FolderLister = @Sendable (_ folder: String, _ machine: String?) -> FolderListing?

/// A path that is being typed.
struct PathCompletion {
    enum Outcome: Equatable {
        /// Nothing to add.
        case none
        case text(String)
        /// As far as all agree; the names that begin so.
        case several(String, [String])
    }

    /// The folder with its slash, and the beginning of a name.
    static func split(_ text: String) -> (folder: String, name: String) {
        guard let slash = text.lastIndex(of: "/") else { return ("", text) }
        return (String(text[...slash]), String(text[text.index(after: slash)...]))
    }

    static func complete(_ text: String, _ list: (String) -> FolderListing?) -> Outcome {
        if text == "~" { return .text("~/") }
        let (folder, name) = split(text)
        guard let listing = list(folder) else { return .none }
        let matching = listing.entries.filter { $0.name.hasPrefix(name) && (!$0.name.hasPrefix(".") || name.hasPrefix(".")) }
        guard let first = matching.first else { return .none }
        var common = first.name
        for entry in matching.dropFirst() {
            while !entry.name.hasPrefix(common) { common.removeLast() }
        }
        if matching.count == 1 {
            let whole = folder + common + (first.isFolder ? "/" : "")
            return whole == text ? .none : .text(whole)
        }
        return .several(folder + common, matching.map { $0.name + ($0.isFolder ? "/" : "") })
    }

    /// A folder as a list to choose from: folders first, then what looks like the kind of file that is wanted, then the rest.
    /// - Parameters:
    ///   - endings: of wanted files, lower case, without the dot.
    ///   - chosen: what a file means.
    static func browser(_ title: String, _ listing: FolderListing, endings: Set<String>, chosen: (String) -> Request) -> ListPanel {
        func ending(_ name: String) -> String { name.split(separator: ".").last.map { $0.lowercased() } ?? "" }
        let base = listing.path == "/" ? "" : listing.path
        let visible = listing.entries.filter { !$0.name.hasPrefix(".") }
        var items: [ListPanel.Item] = []
        if let slash = base.lastIndex(of: "/") {
            items.append(.init("../", .browse(slash == base.startIndex ? "/" : String(base[..<slash]))))
        }
        items += visible.filter(\.isFolder).map { .init($0.name + "/", .browse(base + "/" + $0.name)) }
        let files = visible.filter { !$0.isFolder }
        for wanted in [true, false] {
            items += files.filter { endings.contains(ending($0.name)) == wanted }.map {
                .init($0.name, key: Amount.bytes($0.bytes), chosen(base + "/" + $0.name))
            }
        }
        var path = listing.path
        while Width.of(path) > 48, let slash = path.dropFirst(2).firstIndex(of: "/") { path = "…" + path[slash...] }
        var panel = ListPanel(title: "\(title): \(path)", hint: "Type to search  Enter opens or chooses  Esc closes", items: items)
        panel.selected = items.count > 1 && items[0].title == "../" ? 1 : 0
        return panel
    }
}
