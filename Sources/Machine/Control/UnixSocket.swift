import Glibc

/// Calls on UNIX stream sockets, with checks and sentences.
enum UnixSocket {
    /// Longest path that the host takes.
    static let longestPath = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// nil: the path is empty, too long or holds a NUL.
    static func address(_ path: String) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= longestPath, !bytes.contains(0) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func open() -> Int32 {
        socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    }

    /// A connected, non-blocking descriptor; negative with `errno` when there is nobody.
    static func connect(_ path: String) -> Int32 {
        guard var address = address(path) else {
            errno = ENAMETOOLONG
            return -1
        }
        let descriptor = open()
        guard descriptor >= 0 else { return -1 }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            let reason = errno
            close(descriptor)
            errno = reason
            return -1
        }
        return descriptor
    }

    /// Listens at a path that nobody listens at any more, for this user alone.
    /// - Throws: `.failed` when the path is too long, in use, or something else than a socket.
    static func listen(_ path: String, what: String = "control socket") throws(MachineError) -> Int32 {
        guard var address = address(path) else {
            throw .failed("The \(what) '\(path)' cannot be made: the host allows \(longestPath) bytes.")
        }
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else {
                throw .failed("The \(what) '\(path)' cannot be made: a file is in its place.")
            }
            let probe = connect(path)
            if probe >= 0 {
                close(probe)
                throw .failed("The \(what) '\(path)' is in use by another process.")
            }
            unlink(path)
        }
        let descriptor = open()
        // Made with its final mode: nobody else gets in before a chmod. The file mode mask is the process's, so only at start.
        let mask = umask(0o177)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && Glibc.listen(descriptor, 64) == 0
            }
        }
        let reason = WholeFile.reason()
        umask(mask)
        guard bound else {
            if descriptor >= 0 { close(descriptor) }
            throw .failed("The \(what) '\(path)' cannot be made: \(reason).")
        }
        return descriptor
    }

    /// Who is at the other end; nil when the host does not say.
    static func peerUser(_ descriptor: Int32) -> uid_t? {
        // struct ucred, which the Glibc module hides: process, user, group.
        var credentials: (pid_t, uid_t, gid_t) = (0, 0, 0)
        var length = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, length == 12 else { return nil }
        return credentials.1
    }
}

/// Bytes on their way out of a non-blocking socket.
struct OutBuffer {
    private var bytes: [UInt8] = []
    private var offset = 0

    var count: Int { bytes.count - offset }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ line: JSONValue) {
        bytes += Array(line.text.utf8)
        bytes.append(0x0A)
    }

    /// Sends what goes now; false when the other end has gone.
    mutating func flush(to descriptor: Int32) -> Bool {
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress! + offset, $0.count - offset, Int32(MSG_NOSIGNAL)) }
            if sent < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN || errno == EWOULDBLOCK { break }
                return false
            }
            offset += sent
        }
        if offset == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
            offset = 0
        } else if offset > 1 << 20 {
            bytes.removeFirst(offset)
            offset = 0
        }
        return true
    }
}

/// Lines out of what a socket delivers in pieces.
struct LineBuffer {
    private var bytes: [UInt8] = []
    /// Bytes that hold no line end.
    private var scanned = 0
    let limit: Int

    init(limit: Int) { self.limit = limit }

    /// The unfinished line is longer than the limit.
    var isOverlong: Bool { bytes.count > limit && scanned >= bytes.count }

    mutating func append(_ more: ArraySlice<UInt8>) { bytes += more }

    /// The next whole line without its end; nil: none yet.
    mutating func next() -> [UInt8]? {
        guard let end = bytes[scanned...].firstIndex(of: 0x0A) else {
            scanned = bytes.count
            return nil
        }
        let line = Array(bytes[..<end])
        bytes.removeFirst(end + 1)
        scanned = 0
        return line
    }
}

/// JSON values out of what a client sends in pieces. They need no line ends: clients of QMP send objects one after another.
struct MessageBuffer {
    private var bytes: [UInt8] = []
    /// Where the next byte to look at is, and where the value under way begins.
    private var at = 0, start = 0
    private var depth = 0
    private var isInString = false, isEscaped = false
    let limit: Int

    init(limit: Int) { self.limit = limit }

    /// The unfinished value is longer than the limit.
    var isOverlong: Bool { bytes.count - start > limit && at >= bytes.count }

    mutating func append(_ more: ArraySlice<UInt8>) {
        if start > 0 {
            bytes.removeFirst(start)
            at -= start
            start = 0
        }
        bytes += more
    }

    /// The next object or array as it is; where something else stands, that line; nil: nothing whole yet.
    mutating func next() -> [UInt8]? {
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth <= 0 { return take() }
            case UInt8(ascii: "\"") where depth > 0: isInString = true
            case 0x0A where depth == 0:
                if let line = take() { return line }
            default: break
            }
        }
        return nil
    }

    /// nil: blanks only.
    private mutating func take() -> [UInt8]? {
        let value = bytes[start..<at].drop { $0 <= 0x20 }
        start = at
        (depth, isInString, isEscaped) = (0, false, false)
        return value.isEmpty ? nil : Array(value)
    }
}
