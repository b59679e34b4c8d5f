import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("control socket · hostile clients", .serialized) struct HostileClientTests {
    /// The machine answers another client.
    private func lives(_ served: ServedMachine) throws {
        #expect(try served.client().ask("query-status", within: 5000)["running"] == true)
    }

    @Test("a command without an end is cut off at the limit, with an error") func endless() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        raw.send("{\"execute\": \"")
        let chunk = [UInt8](repeating: 0x41, count: 1 << 20)
        var sent = 0
        // Up to 1 GiB, if anybody took it.
        while sent < 1 << 30 {
            let count = raw.send(chunk)
            if count > 0 { sent += count } else if !raw.waitForRoom() { break }
        }
        #expect(sent < 8 << 20, "\(sent) bytes were taken")
        try lives(served)
    }

    @Test("1,000 connections: the first ones are served, the others told, and when they go others get in") func many() throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        if limit.rlim_cur < 2000, limit.rlim_max >= 2000 {
            limit.rlim_cur = 2000
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        let served = try ServedMachine()
        var clients: [RawClient] = []
        var refused = 0, greeted = 0
        for _ in 0..<1000 {
            let client = try served.raw()
            clients.append(client)
            guard let line = client.line() else { continue }
            if line.contains("too many") { refused += 1 } else if line.contains("QMP") { greeted += 1 }
        }
        #expect(greeted == ControlServer.connectionLimit)
        #expect(refused == 1000 - greeted)
        // One that was served is served on.
        clients[0].send(#"{"execute": "qmp_capabilities"}"#)
        #expect(clients[0].json()?["return"] == [:])
        clients = []
        #expect(eventually { (try? served.client()) != nil })
    }

    @Test("a client that never says anything is dropped, one that half closes too") func silent() throws {
        let served = try ServedMachine(silenceMilliseconds: 100)
        let silent = try served.raw()
        #expect(silent.line() != nil)
        #expect(silent.line() == nil, "the connection ends")
        let half = try served.raw()
        half.negotiate()
        shutdown(half.descriptor, Int32(SHUT_WR))
        #expect(half.line() == nil)
        try lives(served)
    }

    @Test("a viewer that does not read holds nothing up, and later gets the latest frame only") func slowViewer() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        #expect(raw.ask(#"{"execute": "x-vitrine-attach"}"#)?["return"]?["view"] != nil)
        var random = TestNumbers(3)
        for number in 0..<120 {
            var frame = TextFrame()
            frame.cells = (0..<2000).map { _ in UInt16.random(in: 0...0xFFFF, using: &random) }
            if number == 119 { frame.cells[0] = 0x0741 }
            served.show(frame)
            let before = served.machine.view().generation
            #expect(eventually { served.machine.view().generation > before })
        }
        try lives(served)
        var messages = 0, view = MachineView()
        while view.frame != served.machine.view().frame {
            let message = try #require(raw.json())
            if let data = message["data"] { view.apply(data) }
            messages += 1
            // The whole first frame was in the reply; palettes and sizes are compared at the end.
            if messages == 1 { view = MachineView(); view.frame.cells = [UInt16](repeating: 0x0720, count: 2000); view.apply(message["data"] ?? [:]) }
            view.frame.palette = served.machine.view().frame.palette
            view.frame.cursor = served.machine.view().frame.cursor
        }
        #expect(messages < 120)
    }

    @Test("a client that asks and asks and never reads is left waiting, and others are served") func neverReads() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        let command = Array(#"{"execute": "query-commands"}"#.utf8)
        var stuck = false
        for _ in 0..<200_000 {
            if raw.send(command) < 0 {
                stuck = true
                break
            }
        }
        #expect(stuck, "its commands are no longer taken")
        try lives(served)
    }

    @Test("random bytes and mutated commands disturb nothing") func fuzz() throws {
        let served = try ServedMachine()
        var random = TestNumbers(11)
        let seeds = [
            #"{"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "a"}], "hold-time": 1}, "id": 4}"#,
            #"{"execute": "x-vitrine-input", "arguments": {"command": "mouse", "dx": 4, "buttons": 1}}"#,
            #"{"execute": "x-vitrine-scrollback", "arguments": {"from": 0, "count": 10}}"#,
            #"{"execute": "input-send-event", "arguments": {"events": [{"type": "btn", "data": {"button": "left", "down": true}}]}}"#,
            #"{"execute": "x-vitrine-wait-for", "arguments": {"pattern": "x", "seconds": 0.01}}"#,
            #"{"execute": "human-monitor-command", "arguments": {"command-line": "info block"}}"#,
        ]
        for round in 0..<60 {
            let raw = try served.raw()
            raw.negotiate()
            for _ in 0..<30 {
                var bytes = Array(seeds[Int.random(in: 0..<seeds.count, using: &random)].utf8)
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                if round % 7 == 0 { bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) } }
                if raw.send(bytes + [0x0A]) < 0 { break }
            }
        }
        try lives(served)
    }

    @Test("a process of another user is refused, even where the file system lets it in") func otherUser() throws {
        guard geteuid() == 0, access("/usr/bin/setpriv", X_OK) == 0, access("/usr/bin/perl", X_OK) == 0 else {
            FileHandle.standardError.write(Data("left out: another user's client needs root, setpriv and perl\n".utf8))
            return
        }
        let served = try ServedMachine()
        chmod(served.folder, 0o755)
        chmod(served.path, 0o666)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
        let program = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"no: $!\"; print scalar <$s>; print defined(<$s>) ? 1 : 0"
        process.arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/perl", "-e", program, served.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(text.contains("belongs to another user"))
        #expect(text.hasSuffix("0"), "the connection ends")
        try lives(served)
    }

    @Test("the socket is its user's alone, and its folder is made so") func modes() throws {
        let served = try ServedMachine()
        var facts = stat()
        #expect(stat(served.path, &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o600)
        #expect(throws: MachineError.self, "in use") {
            _ = try ControlServer(path: served.path, subject: ControlSubject(machine: served.machine))
        }
    }
}

/// The same numbers on every run.
struct TestNumbers: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &* 6364136223846793005 &+ 1442695040888963407
        return state ^ state >> 29
    }
}
