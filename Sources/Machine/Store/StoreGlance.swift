import DataFiles
import Foundation

/// Looks at all machines again and again, and at what has not changed only from afar: a list of hundreds costs little.
///
/// A machine is looked at whole when its file or its folder has changed since, and always while a process has it. A run writes its record into
/// the folder, so that its beginning changes the folder.
public struct StoreGlance: Sendable {
    private struct Stamp: Equatable, Sendable {
        var inode: UInt64, bytes: Int64, seconds: Int, nanoseconds: Int

        init?(_ path: String) {
            var facts = stat()
            guard stat(path, &facts) == 0 else { return nil }
            (inode, bytes) = (UInt64(facts.st_ino), Int64(facts.st_size))
            (seconds, nanoseconds) = (facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec)
        }
    }
    private struct Kept: Sendable {
        var entry: MachineEntry
        var file: Stamp, folder: Stamp
        /// When it was looked at, and when its files were added up, in seconds.
        var at: Int, sizedAt: Int
    }

    /// Times of files are as coarse as the host's timer: what is as young as this may change without a new time.
    private static let settlingSeconds = 2
    /// Between two sums of what the files of a machine take.
    private static let sizeSeconds = 10

    public let store: MachineStore
    private var kept: [String: Kept] = [:]
    private var names: [String] = []
    private var hasSwept = false

    public init(_ store: MachineStore) { self.store = store }

    /// - Throws: as `MachineStore.list`.
    public mutating func list() throws(MachineError) -> [MachineEntry] {
        guard hasSwept else {
            hasSwept = true
            let entries = try store.list()
            let now = time(nil)
            for entry in entries { remember(entry, now, sizedAt: now) }
            names = entries.map(\.name)
            return entries
        }
        let found = try store.unsortedNames()
        if found.count != names.count || Set(found) != Set(names) { names = MachineStore.sorted(found) }
        let now = time(nil)
        var entries: [MachineEntry] = []
        for name in names { entries.append(look(name, now)) }
        if kept.count != names.count { kept = kept.filter { names.contains($0.key) } }
        return entries
    }

    private mutating func look(_ name: String, _ now: Int) -> MachineEntry {
        let folder = store.folder(of: name)
        let file = Stamp(folder + "/" + MachineFile.name), around = Stamp(folder)
        if let old = kept[name], let file, let around, old.file == file {
            let isQuiet = old.folder == around && old.at - around.seconds > StoreGlance.settlingSeconds
            if isQuiet, old.at - file.seconds > StoreGlance.settlingSeconds, !old.entry.state.isLive, now - old.sizedAt < 6 * StoreGlance.sizeSeconds {
                return old.entry
            }
            if old.at - file.seconds > StoreGlance.settlingSeconds {
                // The settings are known; what its process does is not.
                let resizes = now - old.sizedAt >= StoreGlance.sizeSeconds
                let entry = store.look(name, settings: old.entry.settings, diskBytes: resizes ? nil : old.entry.diskBytes)
                remember(entry, now, sizedAt: resizes ? now : old.sizedAt)
                return entry
            }
        }
        let entry = store.look(name)
        remember(entry, now, sizedAt: now)
        return entry
    }

    private mutating func remember(_ entry: MachineEntry, _ now: Int, sizedAt: Int) {
        guard let file = Stamp(entry.folder + "/" + MachineFile.name), let folder = Stamp(entry.folder) else { return kept[entry.name] = nil }
        kept[entry.name] = Kept(entry: entry, file: file, folder: folder, at: now, sizedAt: sizedAt)
    }
}
