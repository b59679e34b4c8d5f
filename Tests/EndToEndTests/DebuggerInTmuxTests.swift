import Foundation
import Testing

/// The debugger's panels over a real guest in a terminal: SeaBIOS from its first instruction, then a boot sector.
@Suite("debugger in tmux", .enabled(if: tmuxIsMissing == nil, "\(tmuxIsMissing ?? "")"), .serialized) struct DebuggerInTmuxTests {
    /// For 7C00h:
    ///
    ///     7C00  mov ax, B800h / mov es, ax / mov cx, 5 / mov dx, 'A'
    ///     7C0B  mov ax, dx / mov ah, 0Eh / mov bx, 7
    ///     7C12  int 10h / inc dx / loop 7C0Bh
    ///     7C17  mov word es:[0], 1F21h
    ///     7C1E  hlt / jmp 7C1Eh
    private static let code: [UInt8] = [
        0xB8, 0x00, 0xB8, 0x8E, 0xC0, 0xB9, 0x05, 0x00, 0xBA, 0x41, 0x00, 0x89, 0xD0, 0xB4, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10, 0x42, 0xE2, 0xF4, 0x26,
        0xC7, 0x06, 0x00, 0x00, 0x21, 0x1F, 0xF4, 0xEB, 0xFD,
    ]

    private static func session(_ body: (Tmux) throws -> Void) throws {
        try withFolder { folder in
            var image = code + [UInt8](repeating: 0, count: 1_474_560 - code.count)
            (image[510], image[511]) = (0x55, 0xAA)
            try Data(image).write(to: URL(fileURLWithPath: folder + "/a.img"))
            let command = "export TERM=tmux-256color; '\(Program.path)' run --floppy '\(folder)/a.img' --memory 16 --clock virtual --rtc 2026-01-01T00:00:00 "
                + "--disposable --record --debug-stop 2>'\(folder)/error'; echo DONE $?; exec cat"
            let t = try Tmux(command: command, width: 160, height: 50)
            try body(t)
        }
    }

    private static func type(_ t: Tmux, _ line: String) throws {
        try t.tmux("send-keys", "-l", line)
        try t.keys("Enter")
    }

    /// The line of the code panel that is next.
    private static func here(_ t: Tmux) throws -> String {
        try t.screen().split(separator: "\n").first { $0.contains("▸") }.map { String($0.prefix(80)) } ?? ""
    }

    private static func comes(_ t: Tmux, to place: String) throws -> Bool { try eventually(30) { try here(t).contains(place) } }

    @Test("from the reset vector through SeaBIOS to the boot sector; INT 10h with a condition and an action; a watch on the screen; and back over it")
    func bootSector() throws {
        try DebuggerInTmuxTests.session { t in
            #expect(try eventually(30) { try t.screen().contains("Guest has") || t.screen().contains("Paused") })
            try t.keys("C-]", "b")
            #expect(try DebuggerInTmuxTests.comes(t, to: "F000:FFF0"), "\((try? t.screen()) ?? "")")
            try t.keys("F7")
            #expect(try DebuggerInTmuxTests.comes(t, to: "F000:E05B"), "\((try? t.screen()) ?? "")")
            // What the jump has changed is marked: the instruction pointer.
            let coloured = try t.screen(colours: true).split(separator: "\n").first { $0.contains("EIP") } ?? ""
            #expect(coloured.contains("\u{1B}["))
            try t.keys("F8")
            #expect(try eventually(10) { try !DebuggerInTmuxTests.here(t).contains("F000:E05B") })

            try DebuggerInTmuxTests.type(t, "break 0:7c00")
            #expect(try t.sees("0:7c00"))
            try t.keys("F9")
            #expect(try DebuggerInTmuxTests.comes(t, to: "0000:7C00"), "\((try? t.screen()) ?? "")")
            #expect(try t.sees("Booting from Floppy"))

            try DebuggerInTmuxTests.type(t, "bpint 10 0e if al == 0x43")
            #expect(try t.sees("INT 10"))
            try t.keys("F9")
            #expect(try t.sees("00000E43", 30), "\((try? t.screen()) ?? "")")
            #expect(try t.sees("AB"))
            // From now on each of them leaves a line and goes on.
            try DebuggerInTmuxTests.type(t, "condition 2")
            try DebuggerInTmuxTests.type(t, "bplog 2 char {al:c}")
            try DebuggerInTmuxTests.type(t, "watch w b800:0 2")
            try t.keys("F9")
            #expect(try DebuggerInTmuxTests.comes(t, to: "0000:7C1E"), "\((try? t.screen()) ?? "")")
            #expect(try t.sees("ABCDE"))
            let after = try t.screen()
            #expect(after.contains("!eaBIOS"), "\(after)")

            try t.keys("M-F4")
            #expect(try DebuggerInTmuxTests.comes(t, to: "0000:7C17"), "\((try? t.screen()) ?? "")")
            #expect(try t.sees("SeaBIOS"))
            try t.keys("F7")
            #expect(try DebuggerInTmuxTests.comes(t, to: "0000:7C1E"))
            #expect(try t.sees("!eaBIOS"))
            try t.keys("Escape")
            #expect(try eventually { try !t.screen().contains("Registers") })
        }
    }

    @Test("a guest that has died fills the screen with what is known; a report of it opens") func guru() throws {
        try withFolder { folder in
            // lidt [7C10h] / int3
            var image: [UInt8] = [0x0F, 0x01, 0x1E, 0x10, 0x7C, 0xCC, 0xEB, 0xFE] + [UInt8](repeating: 0, count: 1_474_552)
            (image[510], image[511]) = (0x55, 0xAA)
            try Data(image).write(to: URL(fileURLWithPath: folder + "/a.img"))
            let command = "cd '\(folder)'; export TERM=tmux-256color; '\(Program.path)' run --floppy a.img --memory 16 --disposable 2>error; "
                + "echo DONE $?; exec cat"
            let t = try Tmux(command: command, width: 160, height: 40)
            #expect(try t.sees("Guru Meditation", 60))
            for words in ["IDT limit is 0", "What is known", "EAX"] { #expect(try t.sees(words)) }
            try t.keys("Right", "Right", "Right", "Enter")
            #expect(try t.sees("Saved vitrine", 30), "\((try? t.screen()) ?? "")")
            let report = try FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix("-report.tar") }
            let shown = try Program.run(["debug", "--report", folder + "/" + (report ?? "none")])
            #expect(shown.status == 0, "\(shown.errors)")
            #expect(shown.output.contains("Guru Meditation: triple fault: #GP while delivering #DF, because the IDT limit is 0; it began with"))
            #expect(shown.output.contains("--- Registers ---") && shown.output.contains("--- Device pit"))
            let part = try Program.run(["debug", "--report", folder + "/" + (report ?? "none"), "--part", "machine.toml"])
            #expect(part.output.contains("floppy = "))
            // The screen can be looked at, and the guest is still dead.
            try t.keys("C-]", "o", "Right", "Enter")
            #expect(try t.sees("DONE 3", 20), "\((try? t.screen()) ?? "")")
        }
    }
}
