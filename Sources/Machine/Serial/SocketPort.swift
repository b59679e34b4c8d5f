import Glibc
import Synchronization

/// A listening UNIX socket; one client at a time, the next one is taken when it leaves.
final class SocketPort: SerialBackend {
    private struct State: Sendable {
        var client: Int32 = -1
        var output = PendingOutput()
    }
    private let path: String
    private let listener: Int32
    private let state = Mutex(State())
    private let wake: @Sendable () -> Void
    private let port: Int

    /// Takes over the path of a socket that nobody listens on any more.
    /// - Throws: `.failed` when the path is too long, in use, or something else than a socket.
    init(path: String, port: Int, wake: @escaping @Sendable () -> Void) throws(MachineError) {
        self.path = path
        self.port = port
        self.wake = wake
        guard var address = SocketPort.address(path) else {
            throw .failed("The socket path '\(path)' is too long: the host allows 107 bytes.")
        }
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else { throw .failed("The socket '\(path)' cannot be made: a file is in its place.") }
            guard !SocketPort.isAlive(&address) else { throw .failed("The socket '\(path)' is in use by another process.") }
            unlink(path)
        }
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(listener, 4) == 0
            }
        }
        guard bound else {
            let reason = WholeFile.reason()
            if listener >= 0 { close(listener) }
            throw .failed("The socket '\(path)' cannot be made: \(reason).")
        }
    }

    deinit {
        close(listener)
        state.withLock { if $0.client >= 0 { close($0.client) } }
    }

    var note: String? { "\(SerialPump.label(port)) is the socket \(path)." }

    func write(_ bytes: [UInt8]) {
        let waits = state.withLock { state in
            guard state.client >= 0 else { return false }
            state.output.append(bytes)
            if !state.output.flush(to: state.client) { SocketPort.drop(&state) }
            return !state.output.isEmpty
        }
        if waits { wake() }
    }

    func interest(wantsInput: Bool) -> (descriptor: Int32, events: Int16)? {
        state.withLock { state in
            guard state.client >= 0 else { return (listener, Int16(POLLIN)) }
            // Without room for input a hang-up is still reported.
            return (state.client, (wantsInput ? Int16(POLLIN) : 0) | (state.output.isEmpty ? 0 : Int16(POLLOUT)))
        }
    }

    func ready(_ events: Int16) -> [UInt8] {
        state.withLock { state in
            guard state.client >= 0 else {
                state.client = accept(listener, nil, nil)
                if state.client >= 0 {
                    _ = fcntl(state.client, F_SETFL, O_NONBLOCK)
                    _ = fcntl(state.client, F_SETFD, FD_CLOEXEC)
                }
                return []
            }
            if events & Int16(POLLOUT) != 0, !state.output.flush(to: state.client) { SocketPort.drop(&state) }
            guard state.client >= 0, events & Int16(POLLIN | POLLHUP | POLLERR) != 0 else { return [] }
            guard let bytes = readAvailable(state.client) else {
                SocketPort.drop(&state)
                return []
            }
            return bytes
        }
    }

    func finish() { unlink(path) }

    private static func drop(_ state: inout State) {
        close(state.client)
        state = State()
    }

    private static func address(_ path: String) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func isAlive(_ address: inout sockaddr_un) -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(probe) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(probe, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 }
        }
    }
}
