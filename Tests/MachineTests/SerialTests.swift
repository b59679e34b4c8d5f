import Foundation
import Synchronization
import Testing

@testable import Machine

@Suite("serial ports on the host") struct SerialTests {
    /// What a pump delivered; `wait` blocks until a condition holds.
    private final class Delivered: Sendable {
        private let bytes = Mutex<[UInt8]>([])
        private let more = DispatchSemaphore(value: 0)
        func add(_ new: [UInt8]) {
            bytes.withLock { $0 += new }
            more.signal()
        }
        var all: [UInt8] { bytes.withLock { $0 } }
        func wait(count: Int) {
            while all.count < count, more.wait(timeout: .now() + 10) == .success {}
        }
    }

    private func pump(_ targets: [SerialTarget]) throws -> (SerialPump, Delivered) {
        let pump = try SerialPump.open(targets, quit: {}, abandoned: { true })
        let delivered = Delivered()
        pump.start { _, bytes in delivered.add(bytes) }
        return (pump, delivered)
    }

    private func connect(_ path: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return descriptor
    }

    @Test(
        "the forms of --serial",
        arguments: [("stdio", .stdio), ("none", .none), ("pty", .pty), ("file:/tmp/a:b", .file("/tmp/a:b")), ("socket:s", .socket("s"))]
            as [(String, SerialTarget)])
    func forms(text: String, target: SerialTarget) throws { #expect(try SerialTarget(text) == target) }

    @Test("other forms are wrong usage", arguments: ["", "tcp:1", "file:", "socket:", "STDIO", "file"])
    func wrong(text: String) {
        let error = #expect(throws: MachineError.self) { try SerialTarget(text) }
        #expect(error?.kind == .usage)
    }

    @Test("a pty carries every byte value both ways")
    func pty() throws {
        let (pump, delivered) = try pump([.none, .pty])
        defer { pump.finish() }
        let note = try #require(pump.notes.first)
        #expect(note.hasPrefix("COM2 is /dev/pts/"))
        let slave = open(String(note.dropFirst(8).dropLast()), O_RDWR | O_NOCTTY)
        try #require(slave >= 0)
        defer { close(slave) }
        let every = (0...255).map { UInt8($0) }
        #expect(WholeFile.writeAll(slave, every))
        delivered.wait(count: 256)
        #expect(delivered.all == every)
        pump.write(port: 1, every)
        var back: [UInt8] = []
        while back.count < 256 {
            var chunk = [UInt8](repeating: 0, count: 256)
            let count = read(slave, &chunk, 256)
            guard count > 0 else { break }
            back += chunk[0..<count]
        }
        #expect(back == every)
    }

    @Test("a socket takes one client after the other, and a stale one is replaced")
    func socketClients() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/com1"
            do {
                // A socket that nobody listens on, as a crash leaves it.
                let stale = try SocketPort(path: path, port: 0, wake: {})
                _ = stale
            }
            let (pump, delivered) = try pump([.socket(path)])
            for round in 1...2 {
                let client = connect(path)
                #expect(WholeFile.writeAll(client, [UInt8](repeating: UInt8(round), count: 3)))
                delivered.wait(count: 3 * round)
                pump.write(port: 0, [0x41])
                var byte: UInt8 = 0
                #expect(read(client, &byte, 1) == 1)
                #expect(byte == 0x41)
                close(client)
            }
            #expect(delivered.all == [1, 1, 1, 2, 2, 2])
            pump.finish()
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test("a socket in use, or a file in its place, is not taken over")
    func inUse() throws {
        try withTemporaryFolder { folder in
            let (first, _) = try pump([.socket(folder + "/s")])
            defer { first.finish() }
            #expect(throws: MachineError.self) { try SerialPump.open([.socket(folder + "/s")], quit: {}, abandoned: { true }) }
            try WholeFile.write([1], to: folder + "/file", what: "file")
            #expect(throws: MachineError.self) { try SerialPump.open([.socket(folder + "/file")], quit: {}, abandoned: { true }) }
            #expect(try WholeFile.read(folder + "/file", what: "file") == [1])
        }
    }

    @Test("a guest that does not read stops the sender, and nothing is lost when it goes on")
    func backpressure() throws {
        try withTemporaryFolder { folder in
            let (pump, delivered) = try pump([.socket(folder + "/s")])
            defer { pump.finish() }
            let client = connect(folder + "/s")
            defer { close(client) }
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            var sent = 0
            let block = (0..<4096).map { UInt8(truncatingIfNeeded: $0) }
            while true {
                let count = write(client, block, block.count)
                if count <= 0 { break }
                sent += count
                if sent > 64 << 20 { break }
            }
            #expect(sent < 64 << 20)
            delivered.wait(count: 4096)
            let before = delivered.all.count
            #expect(before <= 8192)
            var taken = 0
            while taken < sent {
                delivered.wait(count: taken + 1)
                let now = delivered.all.count
                guard now > taken else { break }
                pump.taken(port: 0, now - taken)
                taken = now
            }
            #expect(delivered.all.count == sent)
        }
    }

    @Test("output to a file arrives whole; a path that cannot be written is refused")
    func file() throws {
        try withTemporaryFolder { folder in
            let (pump, _) = try pump([.file(folder + "/log")])
            pump.write(port: 0, Array("hello ".utf8))
            pump.write(port: 0, [0, 0xFF])
            pump.finish()
            #expect(try WholeFile.read(folder + "/log", what: "log") == Array("hello ".utf8) + [0, 0xFF])
            #expect(throws: MachineError.self) { try SerialPump.open([.file(folder + "/no/log")], quit: {}, abandoned: { true }) }
        }
    }
}

@Suite("files of the host") struct HostFileTests {
    @Test("a missing file, a directory and too large a file are named with the reason")
    func reading() throws {
        try withTemporaryFolder { folder in
            let missing = #expect(throws: MachineError.self) { try WholeFile.read(folder + "/x", what: "kernel") }
            #expect(missing?.description == "The kernel '\(folder)/x' cannot be opened: no such file or directory.")
            #expect(missing?.kind == .badInput)
            #expect(throws: MachineError.self) { try WholeFile.read(folder, what: "kernel") }
            try WholeFile.write([1, 2, 3], to: folder + "/f", what: "f")
            #expect(throws: MachineError.self) { try WholeFile.read(folder + "/f", what: "kernel", limit: 2) }
        }
    }

    @Test("writing replaces the file in one step and leaves nothing else behind")
    func writing() throws {
        try withTemporaryFolder { folder in
            try WholeFile.write([1], to: folder + "/f", what: "f")
            try WholeFile.write([2, 3], to: folder + "/f", what: "f")
            #expect(try WholeFile.read(folder + "/f", what: "f") == [2, 3])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["f"])
            #expect(throws: MachineError.self) { try WholeFile.write([1], to: folder, what: "f") }
            try WholeFile.write([1], to: "/dev/null", what: "f")
        }
    }
}
