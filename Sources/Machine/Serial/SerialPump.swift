import Foundation
import Synchronization

/// The host's ends of all serial ports and of the virtio console, and the thread that waits for their input.
public final class SerialPump: Sendable {
    /// Number of the virtio console's port, behind COM1–COM4; how many there are.
    static let virtioConsole = 4, portCount = 5
    /// What the user calls a port.
    static func label(_ port: Int) -> String { port == virtioConsole ? "The virtio console" : "COM\(port + 1)" }

    private let ports: [any SerialBackend]
    private let wakePipe: WakePipe
    private let stopped = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)
    private let running = Atomic<Bool>(false)
    /// Bytes on their way to the guest, by port. A port is not read while it has more than this.
    private let backlog: Mutex<[Int]>
    private static let backlogLimit = 4096

    init(_ ports: [any SerialBackend], wakePipe: WakePipe) {
        self.ports = ports
        self.wakePipe = wakePipe
        backlog = Mutex([Int](repeating: 0, count: ports.count))
    }

    /// Opens the other ends.
    /// - Parameters:
    ///   - targets: of COM1–COM4 and then the virtio console.
    ///   - quit: the user asked for the end of the run on the terminal of `stdio`.
    ///   - abandoned: whether writes to a standard output that nobody reads should give up.
    /// - Throws: `.failed` when one cannot be opened; what was opened before is closed again.
    static func open(
        _ targets: [SerialTarget], quit: @escaping @Sendable () -> Void, abandoned: @escaping @Sendable () -> Bool
    ) throws(MachineError) -> SerialPump {
        let wakePipe = try WakePipe()
        var ports: [any SerialBackend] = []
        do {
            for (index, target) in targets.enumerated() {
                switch target {
                case .none: ports.append(NoPort())
                case .stdio: ports.append(StdioPort(quit: quit, abandoned: abandoned))
                case .pty: ports.append(try PTYPort(port: index, wake: { wakePipe.signal() }))
                case .file(let path): ports.append(try FilePort(path: path, what: "serial output"))
                case .socket(let path): ports.append(try SocketPort(path: path, port: index, wake: { wakePipe.signal() }))
                }
            }
        } catch {
            for port in ports { port.finish() }
            throw error
        }
        return SerialPump(ports, wakePipe: wakePipe)
    }

    /// Lines that tell the user where the ports are.
    public var notes: [String] { ports.compactMap(\.note) }

    /// Starts the thread; `deliver` gets the port and the bytes.
    func start(deliver: @escaping @Sendable (Int, [UInt8]) -> Void) {
        guard !running.exchange(true, ordering: .relaxed) else { return }
        let thread = Thread { [self] in
            while !stopped.load(ordering: .acquiring) { step(deliver) }
            ended.signal()
        }
        thread.name = "serial"
        thread.start()
    }

    /// From the machine's thread.
    func write(port: Int, _ bytes: [UInt8]) {
        if ports.indices.contains(port) { ports[port].write(bytes) }
    }

    /// The guest took bytes: there is room again.
    func taken(port: Int, _ count: Int) {
        guard ports.indices.contains(port), count > 0 else { return }
        let resumed = backlog.withLock {
            let full = $0[port] >= SerialPump.backlogLimit
            $0[port] = max(0, $0[port] - count)
            return full && $0[port] < SerialPump.backlogLimit
        }
        if resumed { wakePipe.signal() }
    }

    /// Ends the thread, flushes and closes.
    func finish() {
        stopped.store(true, ordering: .releasing)
        if running.load(ordering: .relaxed) {
            wakePipe.signal()
            ended.wait()
        }
        for port in ports { port.finish() }
    }

    /// One poll and what came of it.
    private func step(_ deliver: (Int, [UInt8]) -> Void) {
        var entries = [pollfd(fd: wakePipe.readDescriptor, events: Int16(POLLIN), revents: 0)]
        var owners = [-1]
        let levels = backlog.withLock { $0 }
        for (index, port) in ports.enumerated() {
            guard let interest = port.interest(wantsInput: levels[index] < SerialPump.backlogLimit) else { continue }
            entries.append(pollfd(fd: interest.descriptor, events: interest.events, revents: 0))
            owners.append(index)
        }
        guard poll(&entries, nfds_t(entries.count), -1) > 0 else { return }
        if entries[0].revents != 0 { wakePipe.drain() }
        for (entry, owner) in zip(entries, owners) where owner >= 0 && entry.revents != 0 {
            let bytes = ports[owner].ready(entry.revents)
            guard !bytes.isEmpty else { continue }
            backlog.withLock { $0[owner] += bytes.count }
            deliver(owner, bytes)
        }
    }
}

/// Nobody there.
private final class NoPort: SerialBackend {
    func write(_ bytes: [UInt8]) {}
}
