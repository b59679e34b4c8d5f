import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("control socket · console") struct ConsoleStreamTests {
    @Test("a remote view becomes the machine's, whatever changes on the screen", arguments: [1, 2, 3] as [UInt64])
    func frames(seed: UInt64) throws {
        let served = try ServedMachine()
        let remote = try RemoteMachine(path: served.path, name: "served", readOnly: false)
        defer { remote.leave() }
        var random = TestNumbers(seed)
        var frame = TextFrame()
        frame.cells = [UInt16](repeating: 0x0720, count: 2000)
        for _ in 0..<25 {
            switch Int.random(in: 0..<7, using: &random) {
            case 0:
                frame.columns = Int.random(in: 1...132, using: &random)
                frame.rows = Int.random(in: 1...60, using: &random)
                frame.cells = (0..<frame.columns * frame.rows).map { _ in UInt16.random(in: 0...0xFFFF, using: &random) }
                frame.mode = .text
            case 1: frame.palette[Int.random(in: 0..<16, using: &random)] = UInt32.random(in: 0...0xFF_FFFF, using: &random)
            case 2: frame.cursor.column = Int.random(in: 0..<80, using: &random)
            case 3: frame.mode = .graphics(width: 640, height: 480, name: "640x480x4 planar")
            case 4:
                frame.mode = .blank
                frame.blinkEnabled.toggle()
            default:
                frame.mode = .text
                if !frame.cells.isEmpty { frame.cells[Int.random(in: 0..<frame.cells.count, using: &random)] ^= 0x0101 }
            }
            served.show(frame)
            let wanted = frame
            #expect(eventually { remote.view().frame == wanted }, "the remote frame does not become the machine's")
        }
    }

    @Test("a machine's wishes for its display and a Guru Meditation reach the viewer, and go again") func wishes() throws {
        var view = MachineView()
        view.frame.cells = [UInt16](repeating: 0x0720, count: 2000)
        var encoder = ViewEncoder(), remote = MachineView()
        func send() { if let change = encoder.update(view) { remote.apply(change) } }
        send()
        #expect(remote.palette == .theme && remote.frame.codePage == .cp437 && remote.problem == nil)
        (view.palette, view.frame.codePage, view.state, view.problem) = (.amber, .cp866, .stuck, "triple fault")
        send()
        #expect(remote.palette == .amber && remote.frame.codePage == .cp866 && remote.state == .stuck && remote.problem == "triple fault")
        (view.palette, view.state, view.problem) = (.theme, .running, nil)
        send()
        #expect(remote.palette == .theme && remote.problem == nil && remote.frame == view.frame)
        // A viewer that comes late gets it all.
        view.problem = "late"
        var late = ViewEncoder(), other = MachineView()
        if let whole = late.update(view) { other.apply(whole) }
        #expect(other.problem == "late" && other.frame.codePage == .cp866)
    }

    @Test("keys, text and commands go in, and answers come out") func input() throws {
        let served = try ServedMachine()
        let remote = try RemoteMachine(path: served.path, name: "served", readOnly: false)
        remote.post(.key(.a, down: true))
        remote.post(.key(.a, down: false))
        #expect(eventually { served.keys == ["+a", "-a"] })
        remote.post(.pause)
        #expect(eventually { remote.view().state == .paused })
        remote.post(.resume)
        #expect(eventually { remote.view().state == .running })
        let refusal = Box<MachineError?>(nil)
        remote.perform(.insert(.floppyA, path: "/no/such.txt")) { refusal.set($0) }
        #expect(eventually { refusal.value?.description == "'/no/such.txt' is no image." })
        #expect(remote.pixels() == PixelFrame(width: 1, height: 1, pixels: [0x123456]))
        served.scroll((1...30).map { "line \($0)" })
        #expect(remote.scrolledLines(from: 10, count: 5).texts == ["line 11", "line 12", "line 13", "line 14", "line 15"])
        #expect(remote.scrolledLines(from: 0, count: 0).end == 30)
        #expect(eventually { remote.view().scrolled == 30 })
        remote.leave()
    }

    @Test("keys that a viewer held go up when it goes away without a word") func heldKeys() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        _ = raw.ask(#"{"execute": "x-vitrine-attach"}"#)
        _ = raw.ask(#"{"execute": "x-vitrine-input", "arguments": {"command": "key", "key": "leftCtrl", "down": true}}"#)
        #expect(eventually { served.keys == ["+leftCtrl"] })
        shutdown(raw.descriptor, Int32(SHUT_RDWR))
        #expect(eventually { served.keys == ["+leftCtrl", "-leftCtrl"] })
    }

    @Test("a viewer that only looks sees everything and changes nothing") func readOnly() throws {
        let served = try ServedMachine()
        let remote = try RemoteMachine(path: served.path, name: "served", readOnly: true)
        let error = Box<MachineError?>(nil)
        remote.perform(.pause) { error.set($0) }
        #expect(error.value != nil)
        served.show("seen")
        #expect(eventually { remote.view().frame.text.hasPrefix("seen") })
        remote.leave()
        let raw = try served.raw()
        raw.negotiate()
        _ = raw.ask(#"{"execute": "x-vitrine-attach", "arguments": {"read-only": true}}"#)
        for command in ["stop", "quit", "system_reset", "x-vitrine-type", "human-monitor-command"] {
            #expect(raw.ask("{\"execute\": \"\(command)\"}")?["error"] != nil, "\(command)")
        }
        #expect(raw.ask(#"{"execute": "query-status"}"#)?["return"]?["running"] == true)
    }

    @Test("the end of the machine is the remote's outcome, and so is the end of its process") func end() throws {
        let served = try ServedMachine()
        let remote = try RemoteMachine(path: served.path, name: "served", readOnly: false)
        served.stop(.debugExit(0x21))
        #expect(eventually { remote.view().outcome == .debugExit(0x21) })

        let other = try ServedMachine()
        let lost = try RemoteMachine(path: other.path, name: "served", readOnly: false)
        other.server.finish()
        #expect(eventually { lost.view().outcome != nil })
        guard case .failed(let sentence) = lost.view().outcome else {
            Issue.record("\(String(describing: lost.view().outcome))")
            return
        }
        #expect(sentence.contains("has gone"))
    }

    @Test("wait-for is answered when the screen matches, also by a line that has scrolled past since") func waitFor() throws {
        let served = try ServedMachine()
        served.show("one\nprompt> ")
        #expect(eventually { served.machine.view().frame.text.contains("prompt") })
        let client = try served.client()
        #expect(try client.ask("x-vitrine-wait-for", ["pattern": "^prompt> $|^prompt>$"])["matched"] == true)
        let before = served.slices
        let late = try client.ask("x-vitrine-wait-for", ["pattern": "never", "seconds": 0.2])
        #expect(late["matched"] == false)
        #expect(late["screen"]?.string?.contains("prompt>") == true)
        #expect(served.slices - before < 3, "the guest is not polled")

        let raw = try served.raw()
        raw.negotiate()
        raw.send(#"{"execute": "x-vitrine-wait-for", "arguments": {"pattern": "^gone\nthen$"}, "id": 9}"#)
        // The connection takes other commands meanwhile.
        #expect(raw.ask(#"{"execute": "query-status", "id": 10}"#)?["id"] == 10)
        served.scroll(["gone", "then", "more"])
        #expect(raw.json() == ["return": ["matched": true], "id": 9])
        #expect(throws: MachineError.self) { try client.ask("x-vitrine-wait-for", ["pattern": "("]) }
    }

    @Test("wait-for ends with the machine") func waitForEnd() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        raw.send(#"{"execute": "x-vitrine-wait-for", "arguments": {"pattern": "never", "seconds": 60}, "id": 1}"#)
        #expect(raw.ask(#"{"execute": "query-name"}"#)?["return"]?["name"] == "served")
        served.stop(.powerOff)
        _ = served.machine.waitForEnd()
        served.server.finish()
        var reply: JSONValue?
        while let message = raw.json() { if message["id"] == 1 { reply = message["return"] } }
        #expect(reply?["matched"] == false)
        #expect(reply?["ended"] == true)
    }

    @Test("scripts run beside everything else: typed text has reached the guest when they are over") func scripts() throws {
        try withTemporaryFolder { folder in
            let served = try ServedMachine()
            let client = try served.client()
            #expect(try client.ask("x-vitrine-type", ["text": "ab\n"])["done"] == true)
            #expect(eventually { served.keys == ["+a", "-a", "+b", "-b", "+enter", "-enter"] })
            served.show("ready")
            let script: JSONValue = "wait-for ready 5\nscreen out.txt\nkeys ctrl-c\n"
            #expect(try client.ask("x-vitrine-script", ["text": script, "folder": .string(folder)])["done"] == true)
            #expect(try String(contentsOfFile: folder + "/out.txt", encoding: .utf8).hasPrefix("ready\n"))
            let failed = try client.ask("x-vitrine-script", ["text": "wait-for nothing 0.1", "name": "s.txt"])
            #expect(failed["done"] == false)
            #expect(failed["text"]?.string?.hasPrefix("s.txt, line 1: the screen did not match 'nothing'") == true)
            #expect(throws: MachineError.self) { try client.ask("x-vitrine-script", ["text": "fly away"]) }
            #expect(served.machine.view().outcome == nil, "a script that fails ends no machine")
        }
    }
}

/// Something that a callback leaves for the test.
final class Box<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var content: T
    init(_ value: T) { content = value }
    var value: T { lock.withLock { content } }
    func set(_ value: T) { lock.withLock { content = value } }
}
