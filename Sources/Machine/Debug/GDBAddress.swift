import Glibc

/// Where a gdb finds the machine: `[HOST:]PORT` or the path of a UNIX socket.
public enum GDBAddress: Equatable, Sendable {
    /// Host as the resolver takes it.
    case tcp(host: String, port: UInt16)
    case socket(path: String)

    public static let localHost = "127.0.0.1"

    /// - Throws: `.usage` without the option's name.
    public init(_ text: String) throws(MachineError) {
        if text.contains("/") {
            guard UnixSocket.address(text) != nil else { throw .usage("'\(text)' is no path of a socket: the host allows \(UnixSocket.longestPath) bytes.") }
            self = .socket(path: text)
            return
        }
        let colon = text.lastIndex(of: ":")
        let digits = colon.map { text[text.index(after: $0)...] } ?? text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let port = UInt16(digits) else {
            throw .usage("'\(text)' is not [HOST:]PORT, with a port up to 65535, nor a path with a / in it.")
        }
        var host = colon.map { String(text[..<$0]) } ?? ""
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self = .tcp(host: host.isEmpty ? GDBAddress.localHost : host, port: port)
    }

    /// As it was given, in full.
    public var text: String {
        switch self {
        case .tcp(let host, let port): (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
        case .socket(let path): path
        }
    }

    /// Listens.
    /// - Returns: the descriptor, and what a gdb has to be told.
    /// - Throws: `.failed` with one sentence.
    func listen() throws(MachineError) -> (descriptor: Int32, place: String) {
        switch self {
        case .socket(let path): return (try UnixSocket.listen(path, what: "socket for gdb"), path)
        case .tcp(let host, let port): return try GDBAddress.listen(host, port)
        }
    }

    private static func listen(_ host: String, _ port: UInt16) throws(MachineError) -> (descriptor: Int32, place: String) {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &found)
        guard status == 0, let info = found else {
            throw .failed("gdb cannot be waited for at '\(host)': \(gai_strerror(status).map { String(cString: $0) } ?? "it is not known").")
        }
        defer { freeaddrinfo(found) }
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = Glibc.socket(info.pointee.ai_family, flags, 0)
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard descriptor >= 0, bind(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0, Glibc.listen(descriptor, 4) == 0 else {
            let reason = WholeFile.reason()
            if descriptor >= 0 { close(descriptor) }
            throw .failed("gdb cannot be waited for at \(host):\(port): \(reason).")
        }
        return (descriptor, GDBAddress.tcp(host: host, port: port == 0 ? boundPort(descriptor) : port).text)
    }

    /// The port that the host has chosen.
    private static func boundPort(_ descriptor: Int32) -> UInt16 {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard status == 0 else { return 0 }
        // Both families have it in the same place.
        return withUnsafeBytes(of: storage) { UInt16($0[2]) << 8 | UInt16($0[3]) }
    }
}
