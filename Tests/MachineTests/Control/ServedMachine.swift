import Foundation
import Hardware
import Synchronization
import Testing

@testable import Machine

/// A machine with a fake board behind a control socket. Its guest sleeps; a test writes on its screen.
final class ServedMachine {
    let machine: RunningMachine
    let server: ControlServer
    let folder: String
    private let screen: Screen
    var path: String { server.path }

    /// What the guest will do when it is woken next.
    final class Screen: Sendable {
        let frame = Mutex<TextFrame?>(nil)
        let stop = Mutex<GuestStop?>(nil)
        let slices = Atomic<Int>(0)
        /// Key events that reached the board.
        let keys = Mutex<[String]>([])
    }

    init(silenceMilliseconds: UInt64 = 10_000, busy: Bool = false, log: MachineLog? = nil) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-ctl-\(UUID().uuidString.prefix(8))").path
        mkdir(folder, 0o700)
        let screen = Screen()
        self.screen = screen
        let pc = try FakePC()
        pc.onSlice = { pc, _ in
            screen.slices.wrappingAdd(1, ordering: .relaxed)
            if let frame = screen.frame.withLock({ $0 }) { pc.frame = frame }
            screen.keys.withLock { $0 = pc.keys.map { "\($0.down ? "+" : "-")\($0.key.rawValue)" } }
            if let stop = screen.stop.withLock({ $0 }) { return stop }
            return busy ? nil : .halted(until: nil)
        }
        var parts = RunParts()
        parts.name = "served"
        parts.hostClock = HostClock()
        parts.hasViewer = true
        parts.timeout = 120_000_000_000
        parts.log = log
        parts.openMedium = { bay, path throws(MachineError) in
            guard path.hasSuffix(".img") else { throw .badInput("'\(path)' is no image.") }
            return try MediaShelf.open(bay, path, disposable: true)
        }
        machine = try RunningMachine(pc: pc, parts: parts)
        server = try ControlServer(
            path: folder + "/control.sock", subject: ControlSubject(machine: machine, cpus: 2, log: log), silenceMilliseconds: silenceMilliseconds)
        server.start()
        machine.start()
        let running = eventually { self.machine.view().state == .running }
        guard running else { throw MachineError.failed("the machine does not start") }
    }

    deinit {
        machine.post(.powerOff)
        _ = machine.waitForEnd()
        server.finish()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// The guest wakes and shows this.
    func show(_ frame: TextFrame) {
        screen.frame.withLock { $0 = frame }
        machine.post(.releaseAllKeys)
    }

    func show(_ text: String) {
        var frame = TextFrame()
        frame.cells = [UInt16](repeating: 0x0720, count: 2000)
        for (row, line) in text.split(separator: "\n", omittingEmptySubsequences: false).prefix(25).enumerated() {
            for (column, byte) in line.utf8.prefix(80).enumerated() { frame.cells[row * 80 + column] = 0x0700 | UInt16(byte) }
        }
        show(frame)
    }

    /// The guest wakes and the machine stops for this reason.
    func stop(_ reason: GuestStop) {
        screen.stop.withLock { $0 = reason }
        machine.post(.releaseAllKeys)
    }

    /// Lines scroll off the top, as the board's tap would tell.
    func scroll(_ lines: [String]) {
        machine.scrollback.append(lines.map { $0.utf8.map { 0x0700 | UInt16($0) } })
        machine.publish { $0.scrolled = self.machine.scrollback.end }
    }

    var slices: Int { screen.slices.load(ordering: .relaxed) }
    var keys: [String] { screen.keys.withLock { $0 } }

    func client() throws -> ControlClient { try ControlClient(path: path, name: "served") }
    func raw() throws -> RawClient { try RawClient(path) }
}

/// A client that says what it likes.
final class RawClient {
    let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ path: String) throws {
        descriptor = UnixSocket.connect(path)
        guard descriptor >= 0 else { throw MachineError.failed("no connection: \(WholeFile.reason())") }
    }

    deinit { close(descriptor) }

    /// What the socket took at once.
    @discardableResult func send(_ text: String) -> Int { send(Array(text.utf8)) }
    @discardableResult func send(_ bytes: [UInt8]) -> Int { Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// Waits until the socket takes more; false: the other end has gone.
    func waitForRoom() -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 10_000) > 0 && entry.revents & Int16(POLLHUP | POLLERR) == 0
    }

    /// The next line; nil when the connection ends, or nothing comes for ten seconds.
    func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 0x0A) {
                defer { buffer.removeFirst(end + 1) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 10_000) > 0, let bytes = readAvailable(descriptor, atMost: 1 << 16) else { return nil }
            buffer += bytes
        }
    }

    func json() -> JSONValue? { line().flatMap { try? JSONValue(parsing: Array($0.utf8)) } }

    func negotiate() {
        _ = line()
        send(#"{"execute": "qmp_capabilities"}"#)
        _ = line()
    }

    /// Sends and returns the reply, events before it put aside.
    func ask(_ text: String) -> JSONValue? {
        send(text)
        while let message = json() { if message["event"] == nil { return message } }
        return nil
    }
}

/// Waits for something to become true.
func eventually(_ seconds: Double = 10, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if try condition() { return true }
        usleep(2000)
    }
    return try condition()
}
