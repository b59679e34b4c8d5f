import DataFiles
import Foundation

extension MachineStore {
    /// Copies a machine with everything in its folder but what belongs to its runs, and with the disks outside that its guest may write.
    /// - Throws: `.wrongPlace` while it runs, `.failed` on the host's refusal or when cancelled; nothing is left then.
    @discardableResult
    public func clone(_ name: String, as new: String, progress: @escaping Progress = { _, _ in true }) throws(MachineError) -> MachineEntry
    {
        let folder = try existing(name)
        try MachineName.check(new)
        try checkFree(new)
        do {
            let writing = try MachineLock.take(.settings, of: folder, name: name)
            defer { withExtendedLifetime(writing) {} }
            try settleSnapshots(name, folder)
        }
        let lock = try MachineLock.take(.run, of: folder, name: name, shared: true)
        defer { withExtendedLifetime(lock) {} }
        var file = try stored(folder)
        var work = try CloneWork(folder, &file)
        // Nobody writes them while they are copied, not even a `run` that knows no machine.
        let held = try work.files.filter(\.isDisk).map { file throws(MachineError) in try MachineStore.hold(file.source) }
        defer { withExtendedLifetime(held) {} }
        work.copy = FileCopy(total: work.files.reduce(0) { $0 + FileCopy.cost($1.source) }, progress: progress)
        try build(new) { target throws(MachineError) in
            for folder in work.folders where mkdir(target + "/" + folder, 0o700) != 0 {
                throw .failed("'\(target)/\(folder)' cannot be made: \(WholeFile.reason()).")
            }
            for file in work.files { try work.copy.copy(file.source, to: target + "/" + file.target) }
            try MachineStore.save(file, in: target)
        }
        return try entry(new)
    }

    private static func hold(_ path: String) throws(MachineError) -> HostFile {
        do {
            return try HostFile(path: path, writable: false)
        } catch {
            throw .badInput(error.description)
        }
    }
}

/// What a clone has to copy.
private struct CloneWork {
    struct File {
        var source: String
        /// In the new folder.
        var target: String
        var isDisk: Bool
    }
    var folders: [String] = []
    var files: [File] = []
    var copy = FileCopy(total: 0) { _, _ in true }

    /// Of one run, or of this folder alone.
    private static let left: Set<String> = [
        MachineLock.fileName, RunRecord.fileName, MachineFile.name, "control.sock", "Logs", SavedState.fileName, SavedState.recordName,
    ]

    /// - Parameter file: what it says of disks outside becomes names of their copies.
    init(_ folder: String, _ file: inout MachineFile) throws(MachineError) {
        var settings = file.settings
        add(folder, "", disks: Set(settings.run.disks.map { HostPath.inside($0, folder: folder) }))
        for (index, path) in settings.run.disks.enumerated() where path.hasPrefix("/") && !path.hasPrefix(folder + "/") {
            // What is only read may be shared.
            guard settings.run.access(ofDisk: index).isWritable else { continue }
            let name = freeName(path.split(separator: "/").last.map(String.init) ?? "disk")
            files.append(File(source: path, target: name, isDisk: true))
            settings.run.disks[index] = name
        }
        settings = settings.mappingPaths { HostPath.inside($0, folder: folder) }
        do throws(DataError) {
            try file.change(to: settings)
        } catch {
            throw .failed("\(error).")
        }
    }

    private mutating func add(_ folder: String, _ prefix: String, disks: Set<String>) {
        for name in FolderWork.names(folder).sorted() {
            let path = folder + "/" + name
            let target = prefix + name
            if prefix.isEmpty, CloneWork.left.contains(name) || name.hasSuffix(".tmp") { continue }
            var facts = stat()
            guard lstat(path, &facts) == 0 else { continue }
            switch facts.st_mode & S_IFMT {
            case S_IFREG: files.append(File(source: path, target: target, isDisk: disks.contains(target)))
            case S_IFDIR where prefix.filter { $0 == "/" }.count < 8:
                folders.append(target)
                add(path, target + "/", disks: disks)
            case S_IFLNK:
                // The copy is whole by itself: it has what the link points to.
                guard let real = realpath(path, nil) else { continue }
                defer { free(real) }
                guard stat(real, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else { continue }
                files.append(File(source: String(cString: real), target: target, isDisk: disks.contains(target)))
            default: continue
            }
        }
    }

    private func freeName(_ wish: String) -> String {
        let taken = Set(files.map(\.target))
        guard taken.contains(wish) || CloneWork.left.contains(wish) else { return wish }
        var number = 2
        while taken.contains("\(number)-\(wish)") { number += 1 }
        return "\(number)-\(wish)"
    }
}
