import Foundation

extension MachineStore {
    /// Copies a machine with its disks.
    /// - Throws: `.wrongPlace` while it runs. Cancelled: `.failed`, and nothing is left.
    @discardableResult
    public func clone(_ name: String, as new: String, progress: Progress = { _, _ in true }) throws(MachineError) -> MachineEntry {
        let folder = try existing(name)
        try MachineName.check(new)
        try checkFree(new)
        let lock = try MachineLock.take(.run, of: folder, name: name, shared: true)
        defer { withExtendedLifetime(lock) {} }
        let file = try stored(folder)
        try build(new) { target throws(MachineError) in
            for name in FolderWork.names(folder) where file.settings.run.disks.contains(name) {
                do {
                    try FileManager.default.copyItem(atPath: folder + "/" + name, toPath: target + "/" + name)
                } catch {
                    throw .failed("'\(name)' cannot be copied: \(error.localizedDescription).")
                }
            }
            guard progress(1, 1) else { throw .failed("Cancelled; nothing is left of the copy.") }
            try MachineStore.save(file, in: target)
        }
        return try entry(new)
    }
}
