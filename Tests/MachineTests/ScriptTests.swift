import Hardware
import Testing

@testable import Machine

@Suite("script · parser") struct ScriptParserTests {
    private func only(_ line: String) throws -> Script.Command {
        let script = try Script(line, name: "t")
        try #require(script.steps.count == 1)
        return script.steps[0].command
    }

    @Test(
        "wait-for takes a pattern with blanks, quotes, and a time limit at the end",
        arguments: [
            ("wait-for grub>", "grub>", 30.0), ("wait-for grub> 60", "grub>", 60), ("wait-for \"page 42\"", "page 42", 30),
            ("wait-for 'a b' 2.5", "a b", 2.5), ("wait-for a  b\t7", "a  b", 7), ("wait-for 42", "42", 30), ("wait-for / # 90", "/ #", 90),
            ("wait-for \"/ # \" 90", "/ # ", 90), ("  wait-for x -5", "x -5", 30), ("wait-for x 1e999", "x 1e999", 30),
        ])
    func waitFor(line: String, source: String, limit: Double) throws {
        guard case .waitFor(let pattern, let seconds) = try only(line) else { return #expect(Bool(false), "not a wait-for") }
        #expect(pattern.source == source)
        #expect(seconds == limit)
    }

    @Test(
        "wait-for-serial takes a port number only when a pattern follows",
        arguments: [
            ("wait-for-serial login:", 0, "login:", 30.0), ("wait-for-serial 2 login: 5", 1, "login:", 5),
            ("wait-for-serial 2", 0, "2", 30),
            ("wait-for-serial 4 30", 3, "30", 30), ("wait-for-serial 9 x", 0, "9 x", 30),
        ])
    func waitForSerial(line: String, port: Int, source: String, limit: Double) throws {
        guard case .waitForSerial(let at, let pattern, let seconds) = try only(line) else {
            return #expect(Bool(false), "not a wait-for-serial")
        }
        #expect(at == port)
        #expect(pattern.source == source)
        #expect(seconds == limit)
    }

    @Test(
        "type knows \\n, \\t and \\e, keeps blanks and quotes, and leaves other backslashes alone",
        arguments: [
            (#"type ls -l\n"#, "ls -l\n"), (#"type  two"#, " two"), (#"type echo "a b"\t\e"#, "echo \"a b\"\t\u{1B}"),
            (#"type C:\dos\\new"#, "C:\\dos\\new"), (#"type a # b"#, "a # b"), (#"type \x41"#, "A"), (#"type \xZZ"#, "\\xZZ"),
            (#"type end\"#, "end\\"),
        ])
    func type(line: String, text: String) throws {
        guard case .type(let typed) = try only(line) else { return #expect(Bool(false), "not a type") }
        #expect(typed == text)
    }

    @Test("bytes for the serial port need not be UTF-8")
    func typeSerial() throws {
        guard case .typeSerial(let port, let bytes) = try only(#"type-serial \xFFq\r"#) else {
            return #expect(Bool(false), "not a type-serial")
        }
        #expect(port == 0)
        #expect(bytes == [0xFF, 0x71, 0x0D])
    }

    @Test("the console's commands name its port; balloon takes MiB")
    func console() throws {
        guard case .typeSerial(SerialPump.virtioConsole, let bytes) = try only(#"type-console x\n"#),
            case .waitForSerial(SerialPump.virtioConsole, let pattern, let seconds) = try only("wait-for-console 2 ready 5"),
            case .balloon(let mib) = try only("balloon 32")
        else { return #expect(Bool(false), "not the console's commands") }
        #expect(bytes == [0x78, 0x0A])
        #expect(pattern.source == "2 ready")
        #expect(seconds == 5)
        #expect(mib == 32)
    }

    @Test("comments, blank lines and Windows line ends are no commands; lines are counted from 1")
    func lines() throws {
        let script = try Script("# one\r\n\r\n  stop\r\n   # four\nwait 1.5\n", name: "t")
        #expect(script.steps.map(\.line) == [3, 5])
    }

    @Test(
        "a mistake is reported with the script's name and the line",
        arguments: [
            "frobnicate", "balloon", "balloon x", "balloon -1", "balloon 99999999",
            "wait", "wait x", "wait -1", "wait inf", "wait nan", "wait-for", "wait-for (", "wait-for \"\"", "wait-for-serial",
            "type",
            "type-serial", "type-console", "wait-for-console",
            "keys", "keys ctrl-frob", "screen", "screenshot", "stop now", "WAIT 3", "wait-for [z-a] 3",
        ])
    func mistakes(line: String) {
        let error = #expect(throws: MachineError.self) { try Script("stop\n\(line)\n", name: "boot.txt") }
        #expect(error?.kind == .usage)
        #expect(error?.description.hasPrefix("boot.txt, line 2: ") == true, "\(error?.description ?? "")")
    }
}

@Suite("script · execution") struct ScriptExecutionTests {
    @Test("a screen that matches later lets the script go on, and stop ends the run with 0")
    func waitsForScreen() throws {
        let pc = try FakePC()
        pc.onSlice = { pc, _ in
            if pc.retired > 2_000_000 { pc.show("GRUB ready") }
            return nil
        }
        let result = try run(pc, script: "wait-for ^GRUB.*ready$\nstop\n")
        #expect(result.outcome == .scriptStopped)
        #expect(result.outcome.exitStatus == 0)
        #expect(pc.retired > 2_000_000)
        #expect(pc.retired < 10_000_000)
    }

    @Test("a row matches with its trailing blanks and without", arguments: ["\"^/ # \"", "^/ #$", "\"^/ # +$\""])
    func trailingBlanks(pattern: String) throws {
        let pc = try FakePC()
        pc.show("/ #")
        #expect(try run(pc, script: "wait-for \(pattern) 2\nstop\n").outcome == .scriptStopped)
    }

    @Test("a wait that fails ends the run with 4 and says line, pattern and screen")
    func fails() throws {
        let pc = try FakePC()
        pc.show("No bootable device.", row: 3)
        let result = try run(pc, script: "# x\nwait-for login: 2\n")
        guard case .scriptFailed(let text) = result.outcome else { return #expect(Bool(false), "\(result.outcome)") }
        #expect(result.outcome.exitStatus == 4)
        #expect(text.contains("test, line 2: the screen did not match 'login:' within 2 seconds."))
        #expect(text.contains("| No bootable device."))
        // With the virtual clock the limit is guest time: 2 s are two million instructions of the fake.
        #expect(pc.time >= 2_000_000_000 && pc.time < 2_200_000_000)
    }

    @Test("serial output is used up by a match, so that the next wait needs new output")
    func serialPosition() throws {
        let pc = try FakePC()
        pc.onSlice = { pc, _ in
            if pc.retired == 50_000 { pc.output.append((.serial(0), Array("boot: ready boot: ".utf8))) }
            if pc.retired == 10_000_000 { pc.output.append((.serial(1), Array("other".utf8))) }
            return nil
        }
        let result = try run(
            pc, script: "wait-for-serial boot: 1\nwait-for-serial boot: 1\nwait-for-serial 2 other\nwait-for-serial boot: 1\n")
        guard case .scriptFailed(let text) = result.outcome else { return #expect(Bool(false), "\(result.outcome)") }
        #expect(text.contains("line 4: COM1 did not say 'boot:'"))
    }

    @Test("wait lets exactly so much guest time pass, within a slice")
    func waits() throws {
        let pc = try FakePC()
        let result = try run(pc, script: "wait 0.5\nstop")
        #expect(result.outcome == .scriptStopped)
        #expect(pc.time >= 500_000_000)
        #expect(pc.time <= 500_000_000 + 2 * RunLoop.quantum * FakePC.instruction)
    }

    @Test("type loses no key with a guest that is slow to take them, and stop waits for the last")
    func types() throws {
        let pc = try FakePC()
        var sinceKey = 0
        var seen = 0
        pc.onSlice = { pc, _ in
            if pc.keys.count != seen { (seen, sinceKey) = (pc.keys.count, 0) }
            sinceKey += 1
            pc.typingReady = sinceKey >= 3
            return nil
        }
        let text = String(repeating: "Hello, World! ", count: 20)
        let result = try run(pc, script: "type \(text)\nstop")
        #expect(result.outcome == .scriptStopped)
        let typed = pc.keys.filter { $0.down && $0.key != .leftShift }.count
        #expect(typed == text.count)
        for (earlier, later) in zip(pc.keys, pc.keys.dropFirst()) { #expect(later.time - earlier.time >= 1_000_000) }
        #expect(pc.keys.filter(\.down).count == pc.keys.filter { !$0.down }.count)
    }

    @Test("a guest that never takes a key fails the script instead of hanging it")
    func stuckTyping() throws {
        let pc = try FakePC()
        pc.typingReady = false
        let result = try run(pc, script: "type x\nstop")
        guard case .scriptFailed(let text) = result.outcome else { return #expect(Bool(false), "\(result.outcome)") }
        #expect(text.contains("the guest has not taken the keys typed"))
    }

    @Test("keys presses chords in order and releases them backwards")
    func chords() throws {
        let pc = try FakePC()
        let result = try run(pc, script: "keys ctrl-alt-del F2\nstop")
        #expect(result.outcome == .scriptStopped)
        #expect(pc.keys.map(\.key) == [.leftCtrl, .leftAlt, .delete, .delete, .leftAlt, .leftCtrl, .f2, .f2])
        #expect(pc.keys.map(\.down) == [true, true, true, false, false, false, true, false])
    }

    @Test("two runs of a script on the virtual clock are the same to the instruction")
    func deterministic() throws {
        func once() throws -> (UInt64, [UInt64]) {
            let pc = try FakePC()
            pc.onSlice = { pc, _ in
                if pc.retired > 700_000 { pc.show("a>") }
                return pc.retired % 3 == 0 ? .halted(until: pc.time) : nil
            }
            _ = try run(pc, script: "wait-for a>\ntype dir\\n\nwait 0.01\nstop")
            return (pc.retired, pc.keys.map(\.time))
        }
        let first = try once()
        let second = try once()
        #expect(first == second)
        #expect(first.1.count == 8)
    }

    @Test("a guest that has halted for ever still lets waits end")
    func haltedForEver() throws {
        let pc = try FakePC()
        pc.onSlice = { _, _ in .halted(until: nil) }
        let result = try run(pc, script: "wait 3\nwait-for never 5")
        guard case .scriptFailed = result.outcome else { return #expect(Bool(false), "\(result.outcome)") }
    }

    @Test("type-serial reaches COM1 whole although its receiver is small")
    func typesSerial() throws {
        let pc = try FakePC()
        pc.serialRoom = 3
        pc.onSlice = { pc, _ in
            if pc.received[0].count == 12 { pc.show("done") }
            return nil
        }
        let result = try run(pc, script: "type-serial Hello World\\n\nwait-for done 5\nstop")
        #expect(result.outcome == .scriptStopped)
        #expect(pc.received[0] == Array("Hello World\n".utf8))
    }

    @Test("type-console and wait-for-console speak with the virtio console, balloon with the balloon")
    func console() throws {
        let pc = try FakePC()
        pc.onSlice = { pc, _ in
            if pc.received[4] == Array("hi\n".utf8), pc.output.isEmpty { pc.output = [(.virtioConsole, Array("you said hi".utf8))] }
            return nil
        }
        let result = try run(pc, script: "type-console hi\\n\nwait-for-console \"said hi\" 5\nballoon 16\nstop")
        #expect(result.outcome == .scriptStopped)
        #expect(pc.received[0].isEmpty)
        #expect(pc.balloonMiB == 16)
    }

    @Test("screen writes the rows with trailing blanks cut")
    func screen() throws {
        try withTemporaryFolder { folder in
            let pc = try FakePC()
            pc.show("one  ")
            pc.show(" two", row: 24)
            let result = try run(pc, script: "screen \(folder)/s.txt\nstop")
            #expect(result.outcome == .scriptStopped)
            let text = String(decoding: try WholeFile.read("\(folder)/s.txt", what: "file"), as: UTF8.self)
            #expect(text == "one\n" + String(repeating: "\n", count: 23) + " two\n")
        }
    }

    @Test("a file that cannot be written is a failure of ours")
    func unwritable() throws {
        let pc = try FakePC()
        let result = try run(pc, script: "screen /nonexistent/s.txt\nstop")
        #expect(result.outcome.exitStatus == 1)
    }
}
