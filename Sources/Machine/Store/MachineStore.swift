import DataFiles
import Foundation

/// The stored machines: a folder each, named as the machine, under one home.
public struct MachineStore: Sendable {
    public let home: String

    public init(home: String) { self.home = home }

    /// `VITRINE_HOME`, or `vitrine` in the user's data folder.
    public init(environment: [String: String]) {
        func named(_ key: String) -> String? { environment[key].flatMap { $0.isEmpty ? nil : $0 } }
        // XDG: relative paths there are invalid and ignored.
        let data = named("XDG_DATA_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil } ?? (named("HOME") ?? "/") + "/.local/share"
        home = named("VITRINE_HOME") ?? data + "/vitrine"
    }

    /// The folder of a machine of that name, whether there is one or not.
    public func folder(of name: String) -> String { home + "/" + name }

    // MARK: Looking

    /// Names of all machines, sorted as people count: `vm9` before `vm10`.
    /// - Throws: `.failed` when the home cannot be read; a home that is not there has no machines.
    public func names() throws(MachineError) -> [String] { MachineStore.sorted(try unsortedNames()) }

    static func sorted(_ names: [String]) -> [String] { names.sorted { $0.localizedStandardCompare($1) == .orderedAscending } }

    func unsortedNames() throws(MachineError) -> [String] {
        guard let directory = opendir(home) else {
            if errno == ENOENT { return [] }
            throw .failed("The folder of the machines '\(home)' cannot be read: \(WholeFile.reason()).")
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix("."), access(folder(of: name) + "/" + MachineFile.name, F_OK) == 0 { names.append(name) }
        }
        return names
    }

    /// - Throws: as `names()`. A machine whose file is bad is listed with its error.
    public func list() throws(MachineError) -> [MachineEntry] {
        sweep()
        return try names().map { name in
            FolderWork.sweepTemporaries(in: folder(of: name))
            return look(name)
        }
    }

    /// - Throws: `.wrongPlace` when there is no such machine.
    public func entry(_ name: String) throws(MachineError) -> MachineEntry {
        guard MachineName.isValid(name), access(folder(of: name) + "/" + MachineFile.name, F_OK) == 0 else { throw missing(name) }
        return look(name)
    }

    func missing(_ name: String) -> MachineError {
        let names = (try? names()) ?? []
        return MachineError(.wrongPlace, "There is no machine '\(name)'\(Nearest.suggestion(name, in: names)); 'vitrine list' shows all.")
    }

    func look(_ name: String) -> MachineEntry {
        let settings: Result<MachineSettings, DataError>
        do throws(DataError) {
            settings = .success(try readFile(folder(of: name)).settings)
        } catch {
            settings = .failure(error)
        }
        return look(name, settings: settings, diskBytes: nil)
    }

    /// - Parameter diskBytes: nil: they are added up.
    func look(_ name: String, settings: Result<MachineSettings, DataError>, diskBytes: UInt64?) -> MachineEntry {
        let folder = folder(of: name)
        let record = RunRecord.read(folder)
        return MachineEntry(
            name: name, folder: folder, settings: settings, state: MachineEntry.state(of: folder, record), run: record,
            diskBytes: diskBytes ?? FolderSize.bytes(folder))
    }

    func readFile(_ folder: String) throws(DataError) -> MachineFile {
        let path = folder + "/" + MachineFile.name
        let bytes: [UInt8]
        do throws(MachineError) {
            bytes = try WholeFile.read(path, what: "file", limit: MachineFile.maximumBytes)
        } catch {
            throw DataError(file: path, message: error.description)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw DataError(file: path, message: "is not UTF-8 text") }
        return try MachineFile(text: text, path: path)
    }
}

/// What the files in a folder take on the host's disk.
enum FolderSize {
    static func bytes(_ folder: String, depth: Int = 3) -> UInt64 {
        guard let directory = opendir(folder) else { return 0 }
        defer { closedir(directory) }
        var total: UInt64 = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard name != ".", name != ".." else { continue }
            var facts = stat()
            guard lstat(folder + "/" + name, &facts) == 0 else { continue }
            if facts.st_mode & S_IFMT == S_IFREG { total += UInt64(max(facts.st_blocks, 0)) * 512 }
            if facts.st_mode & S_IFMT == S_IFDIR, depth > 0 { total += bytes(folder + "/" + name, depth: depth - 1) }
        }
        return total
    }
}
