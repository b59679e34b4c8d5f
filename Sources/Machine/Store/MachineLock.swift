import Glibc

/// A lock on a stored machine: on one byte of the file `lock` in its folder, gone with the process whatever ends it.
///
/// Byte 0 says that the machine runs (exclusive) or is being copied (shared), byte 1 that its settings are being written. The locks belong to
/// the open file, as those of disk images do: they work between two users in one process, and looking whether one is held disturbs nobody.
public final class MachineLock: Sendable {
    public enum Part: Int, Sendable {
        case run = 0
        case settings = 1
    }

    public static let fileName = "lock"
    private let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        // Unlocked by name: a process that is just being started has a copy of every descriptor until it becomes its program,
        // and the lock would live as long as that copy.
        var request = MachineLock.request(.run, F_UNLCK)
        request.l_len = 0
        _ = fcntl(descriptor, 37, &request)  // F_OFD_SETLK
        close(descriptor)
    }

    /// - Parameter shared: others may hold it shared too.
    /// - Throws: `.wrongPlace` when somebody else holds it; `.failed` when the file system refuses.
    public static func take(_ part: Part, of folder: String, name: String, shared: Bool = false) throws(MachineError) -> MachineLock {
        guard let lock = try attempt(part, of: folder, name: name, shared: shared) else {
            throw MachineError(.wrongPlace, "The machine '\(name)' is \(busy(part, folder)).")
        }
        return lock
    }

    /// nil: somebody else holds it.
    static func attempt(_ part: Part, of folder: String, name: String, shared: Bool = false) throws(MachineError) -> MachineLock? {
        let path = folder + "/" + fileName
        while true {
            let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard opened >= 0 else {
                if errno == ENOENT || errno == ENOTDIR { throw MachineError(.wrongPlace, "There is no machine '\(name)' any more.") }
                throw .failed("The machine '\(name)' cannot be locked: \(path): \(WholeFile.reason()).")
            }
            let lock = MachineLock(opened)
            guard lock.set(part, shared ? F_RDLCK : F_WRLCK) else {
                if errno == EAGAIN || errno == EACCES { return nil }
                throw .failed("The machine '\(name)' cannot be locked: \(path): \(WholeFile.reason()).")
            }
            // While it was waited for, the folder may have been renamed or deleted.
            var held = stat()
            var there = stat()
            if fstat(opened, &held) == 0, stat(path, &there) == 0, held.st_ino == there.st_ino, held.st_dev == there.st_dev { return lock }
        }
    }

    /// Somebody holds it exclusively.
    public static func isHeld(_ part: Part, of folder: String) -> Bool { holder(part, of: folder, F_RDLCK) }

    private static func busy(_ part: Part, _ folder: String) -> String {
        guard part == .run else { return "being changed by another process; try again" }
        guard isHeld(.run, of: folder) else { return "being copied; wait until that is done" }
        guard let record = RunRecord.read(folder) else { return "in use by another process" }
        return "running (process \(record.pid)); stop it first"
    }

    private static func holder(_ part: Part, of folder: String, _ type: Int32) -> Bool {
        let opened = open(folder + "/" + fileName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard opened >= 0 else { return false }
        defer { close(opened) }
        var request = request(part, type)
        // F_OFD_GETLK, fcntl(2); visible in C only with _GNU_SOURCE
        return fcntl(opened, 36, &request) == 0 && Int32(request.l_type) != F_UNLCK
    }

    private static func request(_ part: Part, _ type: Int32) -> flock {
        var request = flock()
        request.l_type = Int16(type)
        request.l_whence = Int16(SEEK_SET)
        request.l_start = part.rawValue
        request.l_len = 1
        return request
    }

    private func set(_ part: Part, _ type: Int32) -> Bool {
        var request = MachineLock.request(part, type)
        return fcntl(descriptor, 37, &request) == 0  // F_OFD_SETLK
    }
}
