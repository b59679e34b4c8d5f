import Foundation

/// Folders that are being made or removed, beside the machines and invisible among them.
enum FolderWork {
    enum Prefix: String, CaseIterable {
        case new = ".new-"
        case trash = ".trash-"
    }

    /// `.new-PID-XXXX`: a path that nobody else uses.
    static func freshName(_ prefix: Prefix, in home: String) -> String {
        home + "/" + prefix.rawValue + "\(getpid())-" + String(UInt64.random(in: 0...(.max)), radix: 36)
    }

    /// - Throws: `.failed` when it neither is there nor can be made.
    static func makeHome(_ home: String) throws(MachineError) {
        var path = ""
        for part in home.split(separator: "/", omittingEmptySubsequences: true) {
            path += (path.isEmpty && !home.hasPrefix("/") ? "" : "/") + part
            if mkdir(path, 0o700) != 0, errno != EEXIST, errno != EISDIR, access(path, F_OK) != 0 {
                throw .failed("The folder of the machines '\(home)' cannot be made: \(path): \(WholeFile.reason()).")
            }
        }
    }

    /// Names and renames in a folder are on the host's medium.
    static func sync(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
        FileRecorder.current?.note(.syncFolder(path: folder))
    }

    /// Names in a folder, without `.` and `..`.
    static func names(_ folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes a folder and all in it, never what links point to. The lock goes last: as long as it is there, others see who is at work.
    static func remove(_ folder: String) {
        var facts = stat()
        if lstat(folder, &facts) == 0, facts.st_mode & S_IFMT == S_IFLNK {
            // A machine that lies elsewhere.
            unlink(folder)
            return
        }
        for name in names(folder) where name != MachineLock.fileName { removeAny(folder + "/" + name) }
        unlink(folder + "/" + MachineLock.fileName)
        rmdir(folder)
    }

    private static func removeAny(_ path: String) {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return }
        if facts.st_mode & S_IFMT == S_IFDIR {
            for name in names(path) { removeAny(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }

    /// Removes the half-done work of dead processes.
    static func sweep(_ home: String) {
        for name in names(home) {
            guard let prefix = Prefix.allCases.first(where: { name.hasPrefix($0.rawValue) }) else { continue }
            let pid = name.dropFirst(prefix.rawValue.count).prefix { $0 != "-" }
            guard let pid = Int32(pid), pid > 0 else { continue }
            let folder = home + "/" + name
            let isAlive = kill(pid, 0) == 0 || errno == EPERM
            if !isAlive || isForsaken(folder) { remove(folder) }
        }
    }

    /// The number of the process has gone to another one: nobody holds the lock, though there was time to take it.
    private static func isForsaken(_ folder: String) -> Bool {
        let secondsToLock = 10
        var facts = stat()
        guard stat(folder + "/" + MachineLock.fileName, &facts) == 0, !MachineLock.isHeld(.run, of: folder) else { return false }
        return time(nil) - facts.st_mtim.tv_sec > secondsToLock
    }

    /// Removes what processes that were killed while they wrote a machine's settings have left in its folder.
    static func sweepTemporaries(in folder: String) {
        for name in names(folder) where name.hasPrefix(MachineFile.name + ".") && name.hasSuffix(".tmp") {
            let digits = name.dropFirst(MachineFile.name.utf8.count + 1).dropLast(4)
            guard let pid = Int32(digits), pid > 0 else { continue }
            let isAlive = kill(pid, 0) == 0 || errno == EPERM
            // The number may have gone to another process: who writes has the lock.
            guard !isAlive || (pid != getpid() && !MachineLock.isHeld(.settings, of: folder)) else { continue }
            unlink(folder + "/" + name)
        }
    }

    /// Temporary files that a killed process left beside `path` (`WholeFile.write`). The caller has the lock on it.
    static func removeTemporaries(of path: String) {
        let folder = WholeFile.directory(of: path), file = path.split(separator: "/").last.map(String.init) ?? path
        for name in names(folder) where name.hasPrefix(file + ".") && name.hasSuffix(".tmp") { HostFile.unlink(folder + "/" + name) }
    }
}
