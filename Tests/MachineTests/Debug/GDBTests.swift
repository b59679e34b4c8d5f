import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("debugger · gdb packets") struct GDBPacketTests {
    @Test("what is framed is read back, bytes with a meaning of their own too") func roundTrip() {
        let contents = (0...255).map { UInt8($0) } + Array("$#}*".utf8)
        var reader = GDBPacketReader(limit: 1000)
        #expect(reader.read(GDBPacketReader.frame(contents)) == [.packet(contents)])
        // In pieces, and after noise.
        var events: [GDBPacketReader.Event] = []
        for byte in Array("noise+".utf8) + GDBPacketReader.frame(Array("g".utf8)) + [3] { events += reader.read([byte]) }
        #expect(events == [.acknowledged(true), .packet(Array("g".utf8)), .interrupt])
    }

    @Test("wrong checksums and packets that are too long are not taken") func damaged() {
        var reader = GDBPacketReader(limit: 8)
        #expect(reader.read(Array("$g#00".utf8)) == [.damaged])
        #expect(reader.read(Array("$g#xy".utf8)) == [.damaged])
        #expect(reader.read(GDBPacketReader.frame([UInt8](repeating: 0x61, count: 9))) == [.damaged])
        #expect(reader.read(Array("$abc$g#67".utf8)) == [.packet(Array("g".utf8))])
    }

    @Test(
        "addresses",
        arguments: [
            ("1234", GDBAddress.tcp(host: "127.0.0.1", port: 1234)), (":1234", .tcp(host: "127.0.0.1", port: 1234)),
            ("0.0.0.0:1", .tcp(host: "0.0.0.0", port: 1)), ("[::1]:9", .tcp(host: "::1", port: 9)), ("./x", .socket(path: "./x")),
        ])
    func addresses(text: String, address: GDBAddress) throws { #expect(try GDBAddress(text) == address) }

    @Test("what is no address is told", arguments: ["", "x", "host:", "1:65536", "-1", "a:b", "/" + String(repeating: "x", count: 200)])
    func noAddress(text: String) { #expect(throws: MachineError.self) { try GDBAddress(text) } }
}

/// A machine whose debugger is spoken to in packets.
private final class GDBRig {
    let session: RunSession
    private let inbox = Inbox()
    private(set) var gdb: GDBSession!
    private var sent: [UInt8] = []
    private var reader = GDBPacketReader(limit: 1 << 20)

    final class Inbox: @unchecked Sendable {
        private let lock = NSLock()
        private let arrived = DispatchSemaphore(value: 0)
        private var replies: [DebugReply] = []
        func put(_ reply: DebugReply) {
            lock.withLock { replies.append(reply) }
            arrived.signal()
        }
        func take(seconds: Double) -> DebugReply? {
            guard arrived.wait(timeout: .now() + seconds) == .success else { return nil }
            return lock.withLock { replies.removeFirst() }
        }
    }

    init(_ folder: String, cpus: Int = 1) throws {
        try BusyMachine.prepare(folder)
        var settings = BusyMachine.settings(folder, cpus: cpus)
        settings.debugStop = true
        session = try RunSession(settings, keepsStuck: true, diagnose: { _ in })
        session.start()
        gdb = GDBSession(
            session.machine, wishes: GDBWishes(hint: nil), send: { [unowned self] in sent += $0 }, whenStopped: { [inbox] in inbox.put($0) })
    }

    func end() {
        gdb.leave()
        session.quit()
        _ = session.finish()
    }

    func send(raw bytes: [UInt8]) { gdb.receive(bytes) }

    /// The contents of the answers to a packet, `O` packets too; waits for the machine where gdb would.
    func ask(_ text: String) -> [String] {
        gdb.receive(GDBPacketReader.frame(Array(text.utf8)))
        if gdb.isWaiting, let reply = inbox.take(seconds: 60) { gdb.stopped(reply) }
        return answers()
    }

    func answer(_ text: String) -> String { ask(text).last ?? "" }

    func answers() -> [String] {
        defer { sent = [] }
        return reader.read(sent).compactMap { if case .packet(let body) = $0 { String(decoding: body, as: UTF8.self) } else { nil } }
    }

    func settle() {
        gdb.receive([3])
        while gdb.isWaiting, let reply = inbox.take(seconds: 60) { gdb.stopped(reply) }
        _ = answers()
    }
}

@Suite("debugger · gdb session") struct GDBSessionTests {
    /// The register of `p` as a number.
    private func value(_ hex: String) -> UInt64 { (GDBHex.bytes(hex[...]) ?? []).reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    @Test("registers, memory, breakpoints, steps and the ways back, at the reset vector of a real-mode machine") func realMode() throws {
        try withTemporaryFolder { folder in
            let rig = try GDBRig(folder)
            defer { rig.end() }
            #expect(rig.answer("qSupported:swbreak+;hwbreak+;xmlRegisters=i386").contains("ReverseContinue+"))
            #expect(rig.answer("?").hasPrefix("T05thread:1;"))
            let description = rig.answer("qXfer:features:read:target.xml:0,ffff")
            #expect(description.hasPrefix("l<?xml") && description.contains("<architecture>i8086</architecture>"))
            #expect(rig.answer("qXfer:features:read:target.xml:0,10") == "m" + description.dropFirst().prefix(16))
            // Register 8 is the linear pc, in front of the firmware's end.
            #expect(value(rig.answer("p8")) == 0xFFFF_FFF0)
            #expect(rig.answer("g").count == rig.answer("g").count && rig.answer("g").count > 2 * 16 * 4)
            #expect(rig.answer("pffff") == "E22" && rig.answer("p") == "E22")
            #expect(rig.answer("mfffffff0,3").count == 6)
            #expect(rig.answer("me0000000,4") == "E14" && rig.answer("m,") == "E22")
            #expect(rig.answer("M500,2:1234") == "OK" && rig.answer("m500,2") == "1234")
            #expect(rig.answer("P0=78563412") == "OK" && value(rig.answer("p0")) == 0x1234_5678)
            #expect(rig.answer("qfThreadInfo") == "m1" && rig.answer("qsThreadInfo") == "l" && rig.answer("T2") == "E22")
            #expect(rig.answer("vCont?") == "vCont;c;C;s;S;t;r" && rig.answer("vMustReplyEmpty").isEmpty)

            #expect(rig.answer("vCont;s:1").hasPrefix("T05"))
            let first = value(rig.answer("p8"))
            #expect(first != 0xFFFF_FFF0)
            for _ in 0..<20 { _ = rig.answer("s") }
            let later = value(rig.answer("p8"))
            #expect(rig.answer("Z0,\(String(first, radix: 16)),1") == "OK")
            #expect(rig.answer("bc").hasPrefix("T05swbreak:;thread:1"))
            #expect(value(rig.answer("p8")) == first)
            for _ in 0..<20 { _ = rig.answer("s") }
            #expect(value(rig.answer("p8")) == later)
            #expect(rig.answer("bs").hasPrefix("T05"))
            #expect(rig.answer("z0,\(String(first, radix: 16)),1") == "OK")
            #expect(rig.answer("bc").contains("replaylog:begin"))
            // The program mixes what lies at 0510 in; it is written by nobody, 0502 is by its interrupts.
            #expect(rig.answer("Z2,502,1") == "OK")
            #expect(rig.answer("c").hasPrefix("T05watch:502;"))
            #expect(rig.answer("z2,502,1") == "OK")
            let said = rig.ask("qRcmd,\(GDBHex.text("timeline".utf8))")
            #expect(said.count > 1 && said.last == "OK")
            #expect(rig.answer("vKill;1") == "OK")
        }
    }

    @Test("each processor is a thread") func threads() throws {
        try withTemporaryFolder { folder in
            let rig = try GDBRig(folder, cpus: 2)
            defer { rig.end() }
            _ = rig.answer("?")
            #expect(rig.answer("qfThreadInfo") == "m1,2")
            #expect(rig.answer("Hg2") == "OK" && rig.answer("qC") == "QC2" && rig.answer("Hg3") == "E22")
            let said = String(decoding: GDBHex.bytes(rig.answer("qThreadExtraInfo,2")[...]) ?? [], as: UTF8.self)
            #expect(said.hasPrefix("CPU 1"))
            // The second one is started by the first, and can be stepped alone then.
            _ = rig.answer("Hg1")
            _ = rig.ask("qRcmd,\(GDBHex.text("timeline".utf8))")
            #expect(rig.answer("Z0,f8000,1") == "OK")
            #expect(rig.answer("vCont;c").contains("thread:2;"))
            #expect(rig.answer("vCont;s:2").contains("thread:2;"))
        }
    }

    @Test("whatever packets come, the session answers and goes on") func hostile() throws {
        try withTemporaryFolder { folder in
            let rig = try GDBRig(folder)
            defer { rig.end() }
            let count = ProcessInfo.processInfo.environment["VITRINE_GDB_PACKETS"].flatMap { Int($0) } ?? 2_000
            let seed = UInt64.random(in: .min ... .max)
            var random = SeededRandom(state: seed)
            // No k, no vKill: the machine is to stay.
            let heads = ["?", "g", "G", "p", "P", "m", "M", "x", "X", "H", "T", "c", "s", "C", "S", "bs", "bc", "Z", "z", "q", "Q", "D?", "v", "!"]
            let names = [
                "Xfer:features:read:target.xml:", "Rcmd,", "ThreadExtraInfo,", "Supported:", "fThreadInfo", "Cont;s:", "Cont;r", "Cont;c:", "Cont;t",
                "Symbol::",
            ]
            let alphabet = Array("0123456789abcdef,:;=-*#$}qZzmMxc \u{1}".utf8)
            for _ in 0..<count {
                var body = Array((heads.randomElement(using: &random) ?? "?").utf8)
                if body == [0x71] || body == [0x76], let name = names.randomElement(using: &random) { body += Array(name.utf8) }
                for _ in 0..<Int.random(in: 0...40, using: &random) { body.append(alphabet.randomElement(using: &random) ?? 0) }
                if Int.random(in: 0..<10, using: &random) == 0 { body = (0..<100).map { _ in UInt8.random(in: .min ... .max, using: &random) } }
                if body.first == UInt8(ascii: "k") || body.starts(with: Array("vKill".utf8)) || body.first == UInt8(ascii: "D") { continue }
                var bytes = GDBPacketReader.frame(body)
                if Int.random(in: 0..<5, using: &random) == 0 {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
                }
                // What a broken frame holds must not be one of these either.
                if bytes.contains(UInt8(ascii: "k")) || bytes.contains(UInt8(ascii: "D")) { continue }
                rig.send(raw: bytes)
                if rig.gdb.isWaiting { rig.settle() }
                _ = rig.answers()
            }
            rig.settle()
            _ = rig.ask("qSupported:swbreak+")
            #expect(rig.answer("qfThreadInfo") == "m1", "seed \(seed)")
            #expect(!rig.gdb.isClosed, "seed \(seed)")
        }
    }
}
