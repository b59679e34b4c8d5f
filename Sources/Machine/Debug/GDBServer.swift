import Foundation
import Glibc
import Synchronization

/// Waits for a gdb and serves one at a time, on a thread of its own.
final class GDBServer: Sendable {
    /// What gdb's `target remote` wants.
    let place: String
    private let listener: Int32
    private let socketPath: String?
    private let wake: WakePipe
    private let stops = Mutex<[DebugReply]>([])
    private let isEnding = Atomic<Bool>(false)
    private let hint: GDBArchitecture?
    /// A client that does not read is dropped when so much waits for it, in bytes.
    private static let outputLimit = 4 << 20

    /// - Parameter hint: what the machine is going to start.
    /// - Throws: `.failed`: nobody can connect there.
    init(_ address: GDBAddress, hint: GDBArchitecture?) throws(MachineError) {
        wake = try WakePipe()
        (listener, place) = try address.listen()
        if case .socket(let path) = address { socketPath = path } else { socketPath = nil }
        self.hint = hint
    }

    func start(_ machine: any GDBMachine) {
        let thread = Thread { [self] in run(machine) }
        thread.name = "gdb"
        thread.start()
    }

    /// The run is over.
    func finish() {
        isEnding.store(true, ordering: .relaxed)
        wake.signal()
    }

    private struct Client {
        let descriptor: Int32
        let session: GDBSession
        let output: Output
    }
    /// Bytes for the client, in the server's thread.
    private final class Output {
        var bytes: [UInt8] = []
    }

    private func run(_ machine: any GDBMachine) {
        var client: Client?
        let wishes = GDBWishes(hint: hint)
        defer {
            if let client { close(client.descriptor) }
            close(listener)
            if let socketPath { unlink(socketPath) }
        }
        while true {
            var set = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0), pollfd(fd: wake.readDescriptor, events: Int16(POLLIN), revents: 0)]
            if let client {
                let events = POLLIN | (client.output.bytes.isEmpty ? 0 : POLLOUT)
                set.append(pollfd(fd: client.descriptor, events: Int16(events), revents: 0))
            }
            if poll(&set, nfds_t(set.count), -1) < 0, errno != EINTR { return }
            if set[1].revents != 0 { wake.drain() }
            for stop in stops.withLock({ waiting in
                defer { waiting = [] }
                return waiting
            }) { client?.session.stopped(stop) }
            if let present = client, set.count > 2, set[2].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0, !read(present) {
                present.session.leave()
                close(present.descriptor)
                client = nil
            }
            if let present = client, !flush(present) || present.session.isClosed {
                present.session.leave()
                close(present.descriptor)
                client = nil
            }
            if isEnding.load(ordering: .relaxed) {
                if let client { _ = flush(client) }
                return
            }
            if set[0].revents != 0 { accept(&client, machine, wishes) }
        }
    }

    private func accept(_ client: inout Client?, _ machine: any GDBMachine, _ wishes: GDBWishes) {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else { return }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        guard client == nil else {
            close(descriptor)
            return
        }
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        let output = Output()
        let session = GDBSession(machine, wishes: wishes, send: { output.bytes += $0 }) { [weak self] reply in
            self?.stops.withLock { $0.append(reply) }
            self?.wake.signal()
        }
        // What a client before it has waited for is not for this one.
        stops.withLock { $0 = [] }
        client = Client(descriptor: descriptor, session: session, output: output)
    }

    /// False: it has gone.
    private func read(_ client: Client) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = buffer.withUnsafeMutableBytes { recv(client.descriptor, $0.baseAddress, $0.count, 0) }
        if count < 0 { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR }
        guard count > 0 else { return false }
        client.session.receive(buffer[..<count])
        return client.output.bytes.count <= GDBServer.outputLimit
    }

    /// False: it has gone.
    private func flush(_ client: Client) -> Bool {
        while !client.output.bytes.isEmpty {
            let sent = client.output.bytes.withUnsafeBytes { send(client.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if sent < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN || errno == EWOULDBLOCK
            }
            client.output.bytes.removeFirst(sent)
        }
        return true
    }
}
