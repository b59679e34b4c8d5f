import Glibc

/// An open file or block device of the host with a lock on it, closed when the last reference goes.
///
/// A file opened for writing is locked against every other user, one opened for reading against writers. The lock belongs to this open file
/// (an "open file description" lock), so it also works between two machines in one process; file systems without locks are used unlocked.
final class HostFile {
    let path: String
    let writable: Bool
    /// When opened.
    let bytes: UInt64
    private let descriptor: Int32
    private let recorder = FileRecorder.current

    /// - Parameter locks: false: whoever writes it stands still.
    init(path: String, writable: Bool, locks: Bool = true) throws(MediaError) {
        var facts = stat()
        // Looked at before it is opened: a pipe would block, a tape would rewind.
        guard stat(path, &facts) == 0 else { throw .cannotOpen(path: path, reason: HostFile.reason(errno)) }
        guard facts.st_mode & S_IFMT == S_IFREG || facts.st_mode & S_IFMT == S_IFBLK else { throw .notAFile(path: path) }
        let opened = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK)
        guard opened >= 0 else {
            let code = errno
            if writable && (code == EACCES || code == EROFS || code == EPERM) {
                throw .notWritable(path: path, reason: HostFile.reason(code))
            }
            throw .cannotOpen(path: path, reason: HostFile.reason(code))
        }
        let end = lseek(opened, 0, SEEK_END)
        guard end >= 0 else {
            let code = errno
            close(opened)
            throw .cannotOpen(path: path, reason: HostFile.reason(code))
        }
        guard !locks || HostFile.lock(opened, writable ? F_WRLCK : F_RDLCK) else {
            close(opened)
            throw .locked(path: path)
        }
        (self.path, self.writable, descriptor, bytes) = (path, writable, opened, UInt64(end))
    }

    /// A nameless file of `bytes` bytes, all holes, in the directory for large temporary files.
    init(scratchBytes: UInt64) throws(MediaError) {
        let directory = HostFile.scratchDirectory
        var template = Array((directory + "/vitrine-XXXXXX").utf8CString)
        let opened = mkstemp(&template)
        guard opened >= 0 else { throw .noScratchFile(directory: directory, reason: HostFile.reason(errno)) }
        Glibc.unlink(template)
        _ = fcntl(opened, F_SETFD, FD_CLOEXEC)
        guard let length = Int(exactly: scratchBytes), ftruncate(opened, length) == 0 else {
            let code = errno
            close(opened)
            throw .noScratchFile(directory: directory, reason: HostFile.reason(code))
        }
        (path, writable, descriptor, bytes) = (directory, true, opened, scratchBytes)
    }

    /// A new, empty file, for reading and writing.
    /// - Throws: `.cannotMake`; a file that was there is untouched.
    init(creating path: String, mode: mode_t = 0o600) throws(MediaError) {
        let opened = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard opened >= 0 else { throw .cannotMake(path: path, reason: HostFile.reason(errno)) }
        guard HostFile.lock(opened, F_WRLCK) else {
            close(opened)
            throw .locked(path: path)
        }
        (self.path, writable, descriptor, bytes) = (path, true, opened, 0)
        recorder?.note(.create(path: path))
    }

    deinit {
        // As in `MachineLock`: a process that is just being started may have a copy of the descriptor.
        _ = HostFile.lock(descriptor, F_UNLCK)
        close(descriptor)
    }

    private static var scratchDirectory: String {
        if let named = getenv("TMPDIR"), named.pointee != 0 { return String(cString: named) }
        return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp"
    }

    /// - Returns: false when somebody else holds the file.
    private static func lock(_ descriptor: Int32, _ type: Int32) -> Bool {
        var request = flock()
        request.l_type = Int16(type)
        request.l_whence = Int16(SEEK_SET)
        let setOpenFileLock: Int32 = 37  // F_OFD_SETLK, fcntl(2); visible in C only with _GNU_SOURCE
        if fcntl(descriptor, setOpenFileLock, &request) == 0 { return true }
        return errno != EAGAIN && errno != EACCES
    }

    static func reason(_ code: Int32) -> String {
        let text = String(cString: strerror(code))
        return text.prefix(1).lowercased() + text.dropFirst()
    }

    /// Fills the buffer from `offset`; what lies beyond the end of the file reads as zeros when `padded`.
    /// - Returns: false when the host failed.
    func read(_ offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, padded: Bool = false) -> Bool {
        guard let start = Int(exactly: offset), let base = buffer.baseAddress else { return buffer.isEmpty }
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, base + done, buffer.count - done, start + done)
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            if count == 0 {
                guard padded else { return false }
                memset(base + done, 0, buffer.count - done)
                return true
            }
            done += count
        }
        return true
    }

    func write(_ offset: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard let start = Int(exactly: offset), let base = buffer.baseAddress else { return buffer.isEmpty }
        var done = 0
        while done < buffer.count {
            let count = pwrite(descriptor, base + done, buffer.count - done, start + done)
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            done += count
        }
        recorder?.note(.write(path: path, offset: offset, bytes: Array(buffer)))
        return true
    }

    func write(_ offset: UInt64, _ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { write(offset, from: $0) } }

    private typealias Allocate = @convention(c) (Int32, Int32, Int, Int) -> Int32
    /// fallocate(2) is not visible through the Glibc module (it wants _GNU_SOURCE).
    private static let allocate: Allocate? = dlsym(nil, "fallocate").map { unsafeBitCast($0, to: Allocate.self) }

    private typealias BeginWriting = @convention(c) (Int32, Int64, Int64, UInt32) -> Int32
    /// sync_file_range(2), as `allocate`.
    private static let syncRange: BeginWriting? = dlsym(nil, "sync_file_range").map { unsafeBitCast($0, to: BeginWriting.self) }

    /// The host begins to write a range to its medium; nobody waits for it, and nothing is promised.
    static func beginWriting(_ descriptor: Int32, _ offset: UInt64, _ count: UInt64) {
        let write: UInt32 = 2  // SYNC_FILE_RANGE_WRITE
        _ = syncRange?(descriptor, Int64(clamping: offset), Int64(clamping: count), write)
    }

    /// Makes a range read as zeros, as a hole when `discard`; where the host's file system cannot, zeros are written.
    func zero(_ offset: UInt64, bytes count: UInt64, discard: Bool) -> Bool {
        guard let start = Int(exactly: offset), let length = Int(exactly: count) else { return false }
        guard length > 0 else { return true }
        let keepSize: Int32 = 0x01, punchHole: Int32 = 0x02, zeroRange: Int32 = 0x10
        if let allocate = HostFile.allocate, allocate(descriptor, keepSize | (discard ? punchHole : zeroRange), start, length) == 0 {
            recorder?.note(.zero(path: path, offset: offset, count: count))
            return true
        }
        let zeros = [UInt8](repeating: 0, count: min(length, 1 << 20))
        return zeros.withUnsafeBytes { zeros in
            stride(from: 0, to: length, by: zeros.count).allSatisfy { done in
                write(offset + UInt64(done), from: UnsafeRawBufferPointer(rebasing: zeros[0..<min(zeros.count, length - done)]))
            }
        }
    }

    /// Changes the file's length; what is new are holes.
    func truncate(_ bytes: UInt64) -> Bool {
        guard let length = Int(exactly: bytes), ftruncate(descriptor, length) == 0 else { return false }
        recorder?.note(.truncate(path: path, bytes: bytes))
        return true
    }

    /// Takes the room from the host at once.
    func fill(_ bytes: UInt64) -> Bool {
        guard let length = Int(exactly: bytes) else { return false }
        let code = posix_fallocate(descriptor, 0, length)
        errno = code
        if code == 0 { recorder?.note(.truncate(path: path, bytes: bytes)) }
        return code == 0
    }

    func flush() -> Bool {
        guard fdatasync(descriptor) == 0 else { return false }
        recorder?.note(.sync(path: path))
        return true
    }

    /// Whether the range begins in data or in a hole, and how long that goes on.
    func extent(_ offset: UInt64, limit: UInt64) -> (isData: Bool, bytes: UInt64) {
        guard let start = Int(exactly: offset) else { return (true, limit) }
        // SEEK_DATA and SEEK_HOLE, lseek(2); visible in C only with _GNU_SOURCE. Where there are none, all is data.
        let data = lseek(descriptor, start, 3)
        if data < 0 { return (errno != ENXIO, limit) }
        if data > start { return (false, min(limit, UInt64(data - start))) }
        let hole = lseek(descriptor, start, 4)
        return (true, hole > start ? min(limit, UInt64(hole - start)) : limit)
    }

    /// What the host has taken of its disk for the file, and the file's length now.
    var sizes: (host: UInt64, length: UInt64) {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { return (0, 0) }
        return (UInt64(max(facts.st_blocks, 0)) * 512, UInt64(max(facts.st_size, 0)))
    }

    /// Which file it is, whatever its name.
    var number: [UInt64] {
        var facts = stat()
        return fstat(descriptor, &facts) == 0 ? [UInt64(facts.st_dev), UInt64(facts.st_ino)] : []
    }

    // MARK: Names

    static func rename(_ old: String, _ new: String) -> Bool {
        guard Glibc.rename(old, new) == 0 else { return false }
        FileRecorder.current?.note(.rename(from: old, to: new))
        return true
    }

    /// Never replaces what is there.
    static func move(_ old: String, toFree new: String) -> Bool {
        // Where the file system has no links, rename does it if nothing is there.
        if Glibc.link(old, new) != 0 {
            let code = errno
            guard code == EPERM || code == ENOTSUP || code == EMLINK, Glibc.access(new, F_OK) != 0 else {
                errno = code
                return false
            }
            return rename(old, new)
        }
        Glibc.unlink(old)
        FileRecorder.current?.note(.rename(from: old, to: new))
        return true
    }

    @discardableResult
    static func unlink(_ path: String) -> Bool {
        guard Glibc.unlink(path) == 0 else { return false }
        FileRecorder.current?.note(.unlink(path: path))
        return true
    }

    /// One more name for a file; what is there is not replaced.
    static func link(_ old: String, _ new: String) -> Bool {
        guard Glibc.link(old, new) == 0 else { return false }
        FileRecorder.current?.note(.link(from: old, to: new))
        return true
    }

    static func syncFolder(of path: String) {
        let folder = WholeFile.directory(of: path)
        FolderWork.sync(folder)
    }

    /// Up to `count` bytes from `offset`, for looking at a file's signature; fewer at its end.
    func peek(_ offset: UInt64, count: Int) -> [UInt8] {
        guard offset < bytes else { return [] }
        var data = [UInt8](repeating: 0, count: Int(min(UInt64(count), bytes - offset)))
        return data.withUnsafeMutableBytes { read(offset, into: $0, padded: true) } ? data : []
    }
}
