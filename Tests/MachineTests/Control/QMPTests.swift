import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("control socket · QMP") struct QMPTests {
    @Test("the greeting comes first, and no command before capabilities are negotiated") func negotiation() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        let greeting = try #require(raw.json())
        #expect(greeting["QMP"]?["capabilities"] == [])
        #expect(greeting["QMP"]?["version"]?["qemu"]?["major"]?.integer != nil)
        #expect(raw.ask(#"{"execute": "query-status", "id": 7}"#)?["error"]?["class"] == "CommandNotFound")
        #expect(raw.ask(#"{"execute": "qmp_capabilities", "id": {"a": [1]}}"#) == ["return": [:], "id": ["a": [1]]])
        #expect(raw.ask(#"{"execute": "qmp_capabilities"}"#)?["error"]?["class"] == "CommandNotFound")
        #expect(raw.ask(#"{"execute": "query-status"}"#)?["return"]?["status"] == "running")
    }

    @Test(
        "what is not a command is answered with an error, and the next command works",
        arguments: [
            ("garbage\n", "GenericError"), ("[1, 2]", "GenericError"), ("{\"execute\": 5}", "GenericError"), ("{\"exec\": \"stop\"}", "GenericError"),
            ("{\"arguments\": {}}", "GenericError"), ("{\"execute\": \"stop\", \"arguments\": []}", "GenericError"),
            ("{\"execute\": \"nothing\"}", "CommandNotFound"), ("{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}", "GenericError"),
            ("{\"execute\": \"send-key\"}", "GenericError"), ("{\"execute\": \"send-key\", \"arguments\": {\"keys\": 1}}", "GenericError"),
            ("{\"execute\": \"send-key\", \"arguments\": {\"keys\": [{\"type\": \"qcode\", \"data\": \"zz\"}]}}", "GenericError"),
            ("{\"execute\": \"eject\", \"arguments\": {\"device\": \"nowhere\"}}", "DeviceNotFound"),
            ("{\"execute\": \"eject\", \"arguments\": {\"device\": \"ide0-hd0\"}}", "GenericError"),
            ("{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"\"}}", "GenericError"),
            ("{\"execute\": \"query-status\" \"x\"}", "GenericError"), ("\u{1}\u{2}\u{ff}\n", "GenericError"),
        ])
    func errors(text: String, kind: String) throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        #expect(raw.ask(text)?["error"]?["class"] == .string(kind))
        #expect(raw.ask(#"{"execute": "query-status"}"#)?["return"]?["running"] == true)
    }

    @Test("brackets as deep as they fit in a command are an error, no more") func nesting() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        for depth in [400, 2000, 100_000] {
            let text = "{\"execute\": \"stop\", \"arguments\": {\"a\": " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}}"
            var bytes = Array(text.utf8)
            while !bytes.isEmpty {
                let sent = raw.send(bytes)
                if sent > 0 { bytes.removeFirst(sent) } else { try #require(raw.waitForRoom()) }
            }
            #expect(raw.json()?["error"] != nil)
        }
        #expect(raw.ask(#"{"execute": "query-status"}"#)?["return"]?["running"] == true)
    }

    @Test("commands are carried out in order, and events come before the reply of what caused them") func order() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        raw.send(#"{"execute": "stop", "id": 1}{"execute": "query-status", "id": 2} {"execute": "cont", "id": 3}{"execute": "query-status", "id": 4}"#)
        #expect(raw.json()?["event"] == "STOP")
        #expect(raw.json() == ["return": [:], "id": 1])
        #expect(raw.json()?["return"]?["status"] == "paused")
        let resume = try #require(raw.json())
        #expect(resume["event"] == "RESUME")
        #expect((resume["timestamp"]?["seconds"]?.integer ?? 0) > 1_600_000_000)
        #expect(raw.json()?["id"] == 3)
        #expect(raw.json()?["return"]?["running"] == true)
    }

    @Test("reset, power button and quit are events and reach the machine") func events() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        raw.send(#"{"execute": "system_reset"}"#)
        let reset = try #require(raw.json())
        #expect(reset["event"] == "RESET" && reset["data"]?["guest"] == false)
        #expect(raw.json()?["return"] == [:])
        raw.send(#"{"execute": "system_powerdown"}"#)
        #expect(raw.json()?["event"] == "POWERDOWN")
        #expect(raw.json()?["return"] == [:])
        raw.send(#"{"execute": "quit"}"#)
        #expect(raw.json()?["return"] == [:])
        #expect(served.machine.waitForEnd().outcome == .poweredOffByUser)
        let shutdown = try #require(raw.json())
        #expect(shutdown["event"] == "SHUTDOWN" && shutdown["data"]?["guest"] == false)
    }

    @Test("a triple fault is GUEST_PANICKED and then SHUTDOWN") func panic() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        served.stop(.shutdown("Triple fault."))
        #expect(raw.json()?["event"] == "GUEST_PANICKED")
        #expect(raw.json()?["event"] == "SHUTDOWN")
    }

    @Test("send-key presses all keys, and lets go in the opposite order when the time is over") func sendKey() throws {
        let served = try ServedMachine()
        let client = try served.client()
        let keys: JSONValue = [["type": "qcode", "data": "ctrl"], ["type": "qcode", "data": "alt"], ["type": "number", "data": 0xD3]]
        try client.ask("send-key", ["keys": keys, "hold-time": 20])
        #expect(eventually { served.keys == ["+leftCtrl", "+leftAlt", "+delete", "-delete", "-leftAlt", "-leftCtrl"] })
    }

    @Test("input-send-event moves keys; a bad event among them moves none") func inputEvents() throws {
        let served = try ServedMachine()
        let client = try served.client()
        let key: JSONValue = ["type": "key", "data": ["down": true, "key": ["type": "qcode", "data": "a"]]]
        #expect(throws: MachineError.self) { try client.ask("input-send-event", ["events": [key, ["type": "abs", "data": ["axis": "x", "value": 1]]]]) }
        try client.ask("input-send-event", ["events": [key, ["type": "rel", "data": ["axis": "x", "value": 3]]]])
        #expect(eventually { served.keys == ["+a"] })
    }

    @Test("media are changed, and what is no image is refused with its sentence") func media() throws {
        try withTemporaryFolder { folder in
            let served = try ServedMachine()
            let client = try served.client()
            let path = folder + "/a.img"
            try Data(count: 1_474_560).write(to: URL(fileURLWithPath: path))
            try client.ask("blockdev-change-medium", ["device": "floppy0", "filename": .string(path)])
            let block = try client.ask("query-block").array?.first { $0["device"] == "floppy0" }
            #expect(block?["inserted"]?["file"] == .string(path))
            let text = try client.ask("human-monitor-command", ["command-line": "info block"]).string
            #expect(text?.contains("floppy0: \(path) (raw)") == true)
            #expect(throws: MachineError(.wrongPlace, "'x.txt' is no image.")) {
                try client.ask("blockdev-change-medium", ["id": "floppy0", "filename": "x.txt"])
            }
            #expect(try client.ask("human-monitor-command", ["command-line": "change floppy0 x.txt"]).string == "Error: 'x.txt' is no image.\r\n")
            try client.ask("eject", ["device": "floppy0", "force": true])
            #expect(served.machine.view().media[.floppyA] == nil)
        }
    }

    @Test("screendump writes PPM and PNG") func screendump() throws {
        try withTemporaryFolder { folder in
            let served = try ServedMachine()
        defer { withExtendedLifetime(served) {} }
        let client = try served.client()
            try client.ask("screendump", ["filename": .string(folder + "/a.ppm")])
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/a.ppm")) == Data("P6\n1 1\n255\n".utf8) + Data([0x12, 0x34, 0x56]))
            try client.ask("screendump", ["filename": .string(folder + "/a.png"), "format": "png"])
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/a.png")).prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
            #expect(throws: MachineError.self) { try client.ask("screendump", ["filename": .string(folder + "/no/a.png")]) }
        }
    }

    @Test("the human monitor answers in text, mistakes included") func monitor() throws {
        let served = try ServedMachine()
        let client = try served.client()
        func monitor(_ line: String) throws -> String { try client.ask("human-monitor-command", ["command-line": .string(line)]).string ?? "no text" }
        #expect(try monitor("info status") == "VM status: running\r\n")
        #expect(try monitor("stop") == "")
        #expect(try monitor("info status") == "VM status: paused\r\n")
        #expect(try monitor("c") == "")
        #expect(try monitor("sendkey ctrl-alt-f1 10") == "")
        #expect(eventually { served.keys.count == 6 })
        #expect(try monitor("help").contains("system_powerdown"))
        #expect(try monitor("flyaway").hasPrefix("Error: unknown command"))
        #expect(try monitor("info what").hasPrefix("Error: "))
        #expect(try monitor("") == "")
    }

    @Test("every command of the list is known, and each refuses an argument that it does not take") func commands() throws {
        let served = try ServedMachine()
        defer { withExtendedLifetime(served) {} }
        let client = try served.client()
        let names = try client.ask("query-commands").array?.compactMap { $0["name"]?.string } ?? []
        let wanted = [
            "query-status", "stop", "cont", "system_reset", "system_powerdown", "quit", "send-key", "input-send-event", "screendump", "query-block",
            "eject", "blockdev-change-medium", "human-monitor-command", "query-commands", "query-name", "query-version", "query-kvm", "query-cpus-fast",
        ]
        #expect(Set(wanted).isSubset(of: names))
        #expect(try client.ask("query-cpus-fast").array?.count == 2)
        for name in names where name != "blockdev-change-medium" {
            #expect(throws: MachineError.self, "\(name)") { try client.ask(name, ["no-such-argument": 1]) }
        }
    }
}

@Suite("control socket · place") struct ControlPathTests {
    @Test("a path that the host takes is in the machine's folder; a longer one in a folder that is the user's alone") func places() throws {
        try withTemporaryFolder { folder in
            #expect(try ControlPath.socket(folder: folder, name: "m", environment: [:]) == folder + "/control.sock")
            let long = folder + "/" + String(repeating: "x", count: 120)
            mkdir(long, 0o700)
            let path = try ControlPath.socket(folder: long, name: "m", environment: ["XDG_RUNTIME_DIR": folder])
            #expect(path.hasPrefix(folder + "/vitrine/") && path.utf8.count <= UnixSocket.longestPath)
            var facts = stat()
            #expect(stat(folder + "/vitrine", &facts) == 0 && facts.st_mode & 0o777 == 0o700)
            chmod(folder + "/vitrine", 0o755)
            #expect(throws: MachineError.self) { try ControlPath.socket(folder: long, name: "m", environment: ["XDG_RUNTIME_DIR": folder]) }
        }
    }
}
