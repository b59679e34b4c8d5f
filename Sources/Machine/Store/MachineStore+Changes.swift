import DataFiles
import Foundation
import Hardware

/// A disk that is made with a machine.
public struct NewDisk: Equatable, Sendable {
    public typealias Format = NewImage.Format

    public var bytes: UInt64
    public var format = Format.dynamic
    /// In the machine's folder, with the extension.
    public var fileName: String

    public init(bytes: UInt64, format: Format = .dynamic, fileName: String? = nil) {
        self.bytes = bytes
        self.format = format
        self.fileName = fileName ?? "disk." + format.fileExtension
    }
}

extension MachineStore {
    /// Progress of a long work: bytes done and in all; false cancels it.
    public typealias Progress = (_ done: UInt64, _ total: UInt64) -> Bool

    /// Makes a machine, as a whole or not at all.
    /// - Parameter disk: made in its folder and put before the disks that the settings name.
    /// - Throws: `.usage` for a bad name or settings, `.wrongPlace` when there is one of that name, `.failed` on the host's refusal.
    @discardableResult
    public func create(_ name: String, _ settings: MachineSettings, disk: NewDisk? = nil) throws(MachineError) -> MachineEntry {
        try MachineName.check(name)
        var settings = settings
        if let disk { settings.run.disks.insert(disk.fileName, at: 0) }
        settings = MachineStore.tidied(settings, folder(of: name))
        try settings.validate()
        try checkFree(name)
        try build(name) { folder throws(MachineError) in
            if let disk { try NewImage.make(folder + "/" + disk.fileName, bytes: disk.bytes, format: disk.format) }
            try MachineStore.save(try MachineStore.file(settings, folder), in: folder)
        }
        return try entry(name)
    }

    /// Changes a machine's settings. What a running machine cannot take is refused.
    /// - Parameter dryRun: looks only.
    /// - Returns: what has changed.
    /// - Throws: what `change` throws, `.usage` when the result contradicts itself, `.wrongPlace` for a running machine; nothing is changed.
    @discardableResult
    public func edit(
        _ name: String, dryRun: Bool = false, _ change: (inout MachineSettings) throws(MachineError) -> Void
    ) throws(MachineError) -> [SettingChange] {
        let folder = try existing(name)
        let lock = dryRun ? nil : try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime(lock) {} }
        if !dryRun { try settleSnapshots(name, folder) }
        var file = try stored(folder)
        let before = file.settings
        var after = before
        try change(&after)
        after = MachineStore.tidied(after, folder)
        try after.validate()
        let changes = SettingChange.all(from: before, to: after)
        guard !changes.isEmpty else { return [] }
        if MachineLock.isHeld(.run, of: folder), let first = changes.first(where: { !$0.field.changesWhileRunning }) {
            throw MachineError(.wrongPlace, "\(first.field.title) of '\(name)' cannot be changed while the machine runs; stop it first.")
        }
        if !MachineLock.isHeld(.run, of: folder), SavedState.exists(in: folder), let first = changes.first(where: { !$0.field.changesWhileSaved }) {
            throw MachineError(
                .wrongPlace, "\(first.field.title) of '\(name)' cannot be changed while its state is saved; start it, or 'vitrine discard-state \(name)'.")
        }
        guard !dryRun else { return changes }
        do throws(DataError) {
            try file.change(to: after)
        } catch {
            throw .failed("\(error.description).")
        }
        let live = try MachineStore.liveMedia(changes, after.resolved(in: folder, name: name), folder)
        try MachineStore.save(file, in: folder)
        try live?.hand(over: name)
        return changes
    }

    /// - Throws: `.usage` for a bad name, `.wrongPlace` while it runs, or when there is one of the new name.
    public func rename(_ name: String, to new: String) throws(MachineError) {
        let folder = try existing(name)
        try MachineName.check(new)
        guard new != name else { return }
        try checkFree(new)
        let lock = try MachineLock.take(.run, of: folder, name: name)
        let writing = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime((lock, writing)) {} }
        try LinkedClone.checkNone(on: folder, name: name, what: "renamed")
        try makeRelative(folder)
        guard Glibc.rename(folder, self.folder(of: new)) == 0 else {
            if errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR { throw taken(new) }
            throw .failed("The machine '\(name)' cannot be renamed: \(WholeFile.reason()).")
        }
        FolderWork.sync(home)
    }

    /// Removes the machine with everything in its folder.
    /// - Throws: `.wrongPlace` while it runs; `.failed` when it cannot be removed, and then it is still there.
    public func delete(_ name: String) throws(MachineError) {
        let folder = try existing(name)
        let lock = try MachineLock.take(.run, of: folder, name: name)
        let writing = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime((lock, writing)) {} }
        try LinkedClone.checkNone(on: folder, name: name, what: "deleted")
        let trash = FolderWork.freshName(.trash, in: home)
        guard Glibc.rename(folder, trash) == 0 else {
            throw .failed("The machine '\(name)' cannot be deleted: \(WholeFile.reason()).")
        }
        FolderWork.sync(home)
        FolderWork.remove(trash)
    }

    /// Gives a machine's saved state up: the next start is one from power-on.
    /// - Throws: `.wrongPlace` while it runs, or when there is none.
    public func discardState(_ name: String) throws(MachineError) {
        let folder = try existing(name)
        let lock = try MachineLock.take(.run, of: folder, name: name)
        defer { withExtendedLifetime(lock) {} }
        guard SavedState.exists(in: folder) else { throw MachineError(.wrongPlace, "The machine '\(name)' has no saved state.") }
        SavedState.remove(from: folder)
        RunRecord.remove(from: folder)
    }

    /// Removes what processes that were killed in the middle of their work have left. Called before anything is listed or made.
    public func sweep() { FolderWork.sweep(home) }

    // MARK: Steps

    /// Paths into the folder, as an editor may have put them into the file, would be wrong after a rename. A file with errors stays as it is.
    private func makeRelative(_ folder: String) throws(MachineError) {
        guard var file = try? readFile(folder) else { return }
        let tidied = MachineStore.tidied(file.settings, folder)
        guard tidied != file.settings else { return }
        do throws(DataError) {
            try file.change(to: tidied)
        } catch {
            throw .failed("\(error.description).")
        }
        try MachineStore.save(file, in: folder)
    }

    /// Paths into the machine's folder are relative; no access is kept for disks that there are not.
    private static func tidied(_ settings: MachineSettings, _ folder: String) -> MachineSettings {
        var tidied = settings.mappingPaths { HostPath.inside($0, folder: folder) }
        tidied.run.diskAccess.removeLast(max(0, tidied.run.diskAccess.count - tidied.run.disks.count))
        return tidied
    }

    func existing(_ name: String) throws(MachineError) -> String {
        guard MachineName.isValid(name), access(folder(of: name) + "/" + MachineFile.name, F_OK) == 0 else { throw missing(name) }
        return folder(of: name)
    }

    func checkFree(_ name: String) throws(MachineError) {
        var facts = stat()
        if lstat(folder(of: name), &facts) == 0 { throw taken(name) }
    }

    private func taken(_ name: String) -> MachineError {
        MachineError(.wrongPlace, "There is already a machine '\(name)', or a file of that name, in '\(home)'; choose another name.")
    }

    /// Fills a folder under a name that nobody looks at, and gives it its name in one step.
    func build(_ name: String, _ fill: (String) throws(MachineError) -> Void) throws(MachineError) {
        try FolderWork.makeHome(home)
        sweep()
        let folder = FolderWork.freshName(.new, in: home)
        guard mkdir(folder, 0o700) == 0 else { throw .failed("The machine '\(name)' cannot be made in '\(home)': \(WholeFile.reason()).") }
        var finished = false
        defer { if !finished { FolderWork.remove(folder) } }
        // Tells others that somebody is at work here.
        let lock = try MachineLock.take(.run, of: folder, name: name)
        defer { withExtendedLifetime(lock) {} }
        try fill(folder)
        FolderWork.sync(folder)
        guard Glibc.rename(folder, self.folder(of: name)) == 0 else {
            if errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR { throw taken(name) }
            throw .failed("The machine '\(name)' cannot be made in '\(home)': \(WholeFile.reason()).")
        }
        finished = true
        FolderWork.sync(home)
    }

    func stored(_ folder: String) throws(MachineError) -> MachineFile {
        do throws(DataError) {
            return try readFile(folder)
        } catch {
            throw .badInput("\(error).")
        }
    }

    static func file(_ settings: MachineSettings, _ folder: String) throws(MachineError) -> MachineFile {
        do throws(DataError) {
            return try MachineFile(settings, path: folder + "/" + MachineFile.name)
        } catch {
            throw .failed("\(error.description).")
        }
    }

    /// Media that a running machine is given, or has to give back.
    private struct LiveMedia {
        var socket: String
        var drives: [(bay: Bay, path: String?)]

        /// - Throws: `.wrongPlace` when the machine does not answer or refuses; the settings are changed then, and hold from the next start on.
        func hand(over name: String) throws(MachineError) {
            let client = try ControlClient(path: socket, name: name)
            for (bay, path) in drives {
                let device = JSONValue.string(bay.qemuName)
                if let path {
                    try client.ask("blockdev-change-medium", ["device": device, "filename": .string(path)])
                } else {
                    try client.ask("eject", ["device": device])
                }
            }
        }
    }

    /// nil: nothing to hand over, or nobody to take it.
    /// - Throws: `.badInput` for a file that cannot be read; nothing has been changed.
    private static func liveMedia(_ changes: [SettingChange], _ settings: RunSettings, _ folder: String) throws(MachineError) -> LiveMedia? {
        guard MachineLock.isHeld(.run, of: folder), let record = RunRecord.read(folder), !record.socket.isEmpty else { return nil }
        let all: [(key: String, bay: Bay, path: String?)] = [
            ("storage.floppy", .floppyA, settings.floppy), ("storage.cdrom", .ide1Master, settings.cdrom),
        ]
        let changed = all.filter { drive in changes.contains { $0.field.key == drive.key } }
        for case let path? in changed.map(\.path) where access(path, R_OK) != 0 {
            throw .badInput("'\(path)' cannot be put into the drive: \(WholeFile.reason()).")
        }
        return changed.isEmpty ? nil : LiveMedia(socket: record.socket, drives: changed.map { ($0.bay, $0.path) })
    }

    static func save(_ file: MachineFile, in folder: String) throws(MachineError) {
        guard file.text.utf8.count <= MachineFile.maximumBytes else {
            let limit = ByteSize.text(UInt64(MachineFile.maximumBytes))
            throw .usage("The settings would have \(file.text.utf8.count) bytes, and at most \(limit) make sense; shorten the notes.")
        }
        FolderWork.removeTemporaries(of: folder + "/" + MachineFile.name)
        try WholeFile.write(Array(file.text.utf8), to: folder + "/" + MachineFile.name, what: "machine's file")
        FolderWork.sync(folder)
    }
}
