import Foundation
import Hardware
import Synchronization

/// The saved state of a stored machine: `saved.state` in its folder, and beside it `saved.json`, which says what its disks were like.
///
/// It is kept until the machine that goes on from it writes to a disk for the first time, or ends: a start that fails, or a host that dies
/// before that, loses nothing, and no state ever meets a disk that has been written since.
public final class SavedState: Sendable {
    public static let fileName = "saved.state", recordName = "saved.json"

    struct Disk: Codable, Equatable {
        /// From the machine's folder, which may be renamed.
        var path: String
        var bytes: Int64
        /// Of the last change.
        var seconds: Int64, nanoseconds: Int64
    }
    struct Record: Codable {
        var saved: Double
        var disks: [Disk]
    }

    let folder: String
    /// Files that the guest writes; snapshots put others in their place.
    private let files: Mutex<[String]>
    private let isSpent = Mutex(false)

    init(folder: String, disks: [String]) {
        self.folder = folder
        files = Mutex(disks)
    }

    var disks: [String] {
        get { files.withLock { $0 } }
        set { files.withLock { $0 = newValue } }
    }

    public var path: String { folder + "/" + SavedState.fileName }

    public static func exists(in folder: String) -> Bool { access(folder + "/" + fileName, F_OK) == 0 }

    /// Removes it; nothing happens when there is none.
    public static func remove(from folder: String) {
        HostFile.unlink(folder + "/" + fileName)
        HostFile.unlink(folder + "/" + recordName)
        FolderWork.removeTemporaries(of: folder + "/" + fileName)
        FolderWork.sync(folder)
    }

    /// Notes what the disks are like.
    func note() throws(MachineError) {
        let record = Record(saved: Date().timeIntervalSince1970, disks: disks.compactMap { look(HostPath.inside($0, folder: folder)) })
        FolderWork.removeTemporaries(of: folder + "/" + SavedState.recordName)
        guard let data = try? JSONEncoder().encode(record) else { throw .failed("The saved state of '\(folder)' cannot be noted.") }
        try WholeFile.write([UInt8](data) + [0x0A], to: folder + "/" + SavedState.recordName, what: "note on the saved state")
        FolderWork.sync(folder)
    }

    /// - Throws: `.wrongPlace` when a disk is not as it was when the state was saved.
    func check(_ name: String) throws(MachineError) {
        guard let bytes = try? WholeFile.read(folder + "/" + SavedState.recordName, what: "note", limit: 1 << 20),
            let record = try? JSONDecoder().decode(Record.self, from: Data(bytes))
        else { return }
        for disk in record.disks where look(disk.path) != disk {
            throw MachineError(
                .wrongPlace,
                "The disk '\(disk.path)' has changed since the state of '\(name)' was saved; going on would damage what is on it. "
                    + "'vitrine discard-state \(name)' gives the saved state up.")
        }
    }

    private func look(_ path: String) -> Disk? {
        var facts = stat()
        guard stat(path.hasPrefix("/") ? path : folder + "/" + path, &facts) == 0 else { return nil }
        return Disk(path: path, bytes: Int64(facts.st_size), seconds: Int64(facts.st_mtim.tv_sec), nanoseconds: Int64(facts.st_mtim.tv_nsec))
    }

    /// The machine goes on in a way that the saved state knows nothing of.
    func spend() {
        let first = isSpent.withLock { spent in
            defer { spent = true }
            return !spent
        }
        if first { SavedState.remove(from: folder) }
    }

    /// A new state has been saved in its place.
    func keep() { isSpent.withLock { $0 = true } }
}

/// A medium of a machine that goes on from saved state: its first change gives the state up.
final class GuardedMedium: Medium {
    let inner: any Medium
    private let state: SavedState

    init(_ inner: any Medium, _ state: SavedState) { (self.inner, self.state) = (inner, state) }

    var sectorBytes: Int { inner.sectorBytes }
    var sectorCount: UInt64 { inner.sectorCount }
    var readOnly: Bool { inner.readOnly }
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool { inner.read(sector: sector, into: buffer) }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        state.spend()
        return inner.write(sector: sector, from: buffer)
    }
    func flush() -> Bool { inner.flush() }
    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        state.spend()
        return inner.zero(sector: sector, count: count, discard: discard)
    }
}
