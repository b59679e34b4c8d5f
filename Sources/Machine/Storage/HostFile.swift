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

    init(path: String, writable: Bool) throws(MediaError) {
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
        guard HostFile.lock(opened, writable ? F_WRLCK : F_RDLCK) else {
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
        unlink(template)
        _ = fcntl(opened, F_SETFD, FD_CLOEXEC)
        guard let length = Int(exactly: scratchBytes), ftruncate(opened, length) == 0 else {
            let code = errno
            close(opened)
            throw .noScratchFile(directory: directory, reason: HostFile.reason(code))
        }
        (path, writable, descriptor, bytes) = (directory, true, opened, scratchBytes)
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
        return true
    }

    private typealias Allocate = @convention(c) (Int32, Int32, Int, Int) -> Int32
    /// fallocate(2) is not visible through the Glibc module (it wants _GNU_SOURCE).
    private static let allocate: Allocate? = dlsym(nil, "fallocate").map { unsafeBitCast($0, to: Allocate.self) }

    /// Makes a range read as zeros, as a hole when `discard`; where the host's file system cannot, zeros are written.
    func zero(_ offset: UInt64, bytes count: UInt64, discard: Bool) -> Bool {
        guard let start = Int(exactly: offset), let length = Int(exactly: count) else { return false }
        guard length > 0 else { return true }
        let keepSize: Int32 = 0x01, punchHole: Int32 = 0x02, zeroRange: Int32 = 0x10
        if let allocate = HostFile.allocate, allocate(descriptor, keepSize | (discard ? punchHole : zeroRange), start, length) == 0 {
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
    func truncate(_ bytes: UInt64) -> Bool { Int(exactly: bytes).map { ftruncate(descriptor, $0) == 0 } ?? false }

    func flush() -> Bool { fdatasync(descriptor) == 0 }

    /// Up to `count` bytes from `offset`, for looking at a file's signature; fewer at its end.
    func peek(_ offset: UInt64, count: Int) -> [UInt8] {
        guard offset < bytes else { return [] }
        var data = [UInt8](repeating: 0, count: Int(min(UInt64(count), bytes - offset)))
        return data.withUnsafeMutableBytes { read(offset, into: $0, padded: true) } ? data : []
    }
}
