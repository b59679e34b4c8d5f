import Foundation
import Testing

/// `vitrine debug` on a stored machine: a boot sector from FFFF:0 through SeaBIOS to 7C00 and on.
@Suite("program · debugger", .serialized) struct DebugVerbTests {
    /// For 7C00h:
    ///
    ///     7C00  mov ax, B800 / mov es, ax / mov ax, 0E48 / mov bx, 7 / int 10h
    ///     7C0D  mov byte [es:0], 58 / xchg bx, bx / mov al, 5 / mov dx, 501 / out dx, al
    static let code: [UInt8] = [
        0xB8, 0x00, 0xB8, 0x8E, 0xC0, 0xB8, 0x48, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10, 0x26, 0xC6, 0x06, 0x00, 0x00, 0x58, 0x87, 0xDB, 0xB0, 0x05, 0xBA, 0x01,
        0x05, 0xEE, 0xF4,
    ]

    @Test("stands before the first instruction, meets breakpoints, keeps them, goes on to the end") func session() throws {
        try StoredGuest.with(code: DebugVerbTests.code) { guest in
            let started = try guest.vitrine("start", guest.name, "--detach", "--debug-stop")
            try #require(started.status == 0, "\(started.errors)")
            try Data("7c00 start\n7c0d mark\n".utf8).write(to: URL(fileURLWithPath: guest.home + "/symbols"))
            let first = try guest.vitrine(
                "debug", guest.name, "--timeout", "60", "-c", "r", "-c", "ldsym \(guest.home)/symbols", "-c", "b start",
                "-c", "bpint 10 0e", "-c", "bpd 2", "-c", "c",
                "-c", "bpe 2", "-c", "c")
            #expect(first.status == 0, "\(first.errors)")
            #expect(first.output.contains("F000:FFF0") && first.output.contains("EIP=0000FFF0"), "\(first.output)")
            #expect(first.output.contains("0000:7C00 (start)") && first.output.contains("INT 10 AX=0E48 at 0000:7C0B"), "\(first.output)")
            let script = "watch w b800:0\nfinish\nc\nmagic on\nc\nblist\n# the end\ns\n"
            let second = try guest.vitrine("debug", guest.name, "--timeout", "60", "--script", "-", input: script)
            #expect(second.status == 0, "\(second.errors)")
            for text in ["0000:7C0D", "write of 1 at 000B8000 = 58", "xchg bx, bx before 0000:7C15", "INT 10 AH=0E, hit 1 time", "mov dx, 0x501"] {
                #expect(second.output.contains(text), "no '\(text)' in \(second.output)")
            }
            let wrong = try guest.vitrine("debug", guest.name, "-c", "frobnicate", "-c", "calc 6*7")
            #expect(wrong.status == 1 && wrong.errors.contains("There is no command 'frobnicate'") && !wrong.output.contains("42"))
            #expect(FileManager.default.fileExists(atPath: "\(guest.home)/\(guest.name)/debugger.json"))
            let listed = try guest.vitrine("debug", guest.name, input: "calc 6*7\n\nbl\nquit\n")
            #expect(listed.status == 0 && listed.output.contains("0x2a  42") && listed.output.contains("at start"), "\(listed.output)\(listed.errors)")
            let end = try guest.vitrine("debug", guest.name, "--timeout", "60", "-c", "delete *", "-c", "c")
            #expect(end.status == 0 || end.status == 2, "\(end.status) \(end.errors)")
            #expect(try guest.vitrine("debug", guest.name, "-c", "r").status == 2)
            #expect(!FileManager.default.fileExists(atPath: "\(guest.home)/\(guest.name)/debugger.json.tmp"))
        }
    }

    @Test("a script of a run asks the debugger; a run with breakpoints ends like one without") func script() throws {
        try withFolder { folder in
            var image = [UInt8](repeating: 0, count: 1_474_560)
            image.replaceSubrange(0..<DebugVerbTests.code.count, with: DebugVerbTests.code)
            (image[510], image[511]) = (0x55, 0xAA)
            try Data(image).write(to: URL(fileURLWithPath: folder + "/a.img"))
            let script =
                "debug bpint 10\ndebug bpgo 1 on\ndebug b f000:e05b\ndebug c\ndebug step 100\ndebug delete 2\n"
                + "debug until 0:7c00\ndebug calc ip\ndebug c\n"
            try Data(script.utf8).write(to: URL(fileURLWithPath: folder + "/script"))
            func run(_ more: [String]) throws -> (Program.Result, Program.Stats) {
                let result = try Program.run(
                    ["run", "--headless", "--clock", "virtual", "--memory", "8", "--floppy", folder + "/a.img", "--disposable",
                        "--max-instructions", "40000000"]
                        + ["--stats", folder + "/stats", "--timeout", "120"] + more)
                return (result, try JSONDecoder().decode(Program.Stats.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/stats"))))
            }
            let plain = try run([])
            for engine in ["interpreter", "translator"] {
                let debugged = try run(["--script", folder + "/script", "--debug-stop", "--engine", engine])
                #expect(debugged.0.status == plain.0.status && debugged.0.errors.contains("0x7c00"), "\(debugged.0.errors)")
                #expect(debugged.1.instructions == plain.1.instructions && debugged.1.state_digest == plain.1.state_digest)
            }
        }
    }
}
