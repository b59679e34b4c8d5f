import Foundation
import Testing

/// A home with one stored machine whose guest is a boot sector: every key prints forty lines, `q` ends the run with status 11.
struct StoredGuest {
    let home: String
    let name = "m"

    /// Code for 7C00h:
    ///
    ///     key:  mov ah, 0 / int 16h / cmp al, 'q' / je quit
    ///           mov cx, 40 / mov si, 'A'
    ///     line: mov ax, si / mov ah, 0Eh / mov bx, 7 / int 10h, then the same with carriage return and line feed
    ///           inc si / loop line / jmp key
    ///     quit: mov dx, 501h / mov al, 5 / out dx, al
    static let code: [UInt8] = [
        0xB4, 0x00, 0xCD, 0x16, 0x3C, 0x71, 0x74, 0x1E, 0xB9, 0x28, 0x00, 0xBE, 0x41, 0x00, 0x89, 0xF0, 0xB4, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10, 0xB8,
        0x0D, 0x0E, 0xCD, 0x10, 0xB8, 0x0A, 0x0E, 0xCD, 0x10, 0x46, 0xE2, 0xEA, 0xEB, 0xDA, 0xBA, 0x01, 0x05, 0xB0, 0x05, 0xEE, 0xF4, 0xEB, 0xFD,
    ]

    /// For 7C00h: a key, then a triple fault: mov ah, 0 / int 16h / lidt [7C10h] / int3, and a table without entries at 7C10h.
    static let stuckCode: [UInt8] = [0xB4, 0x00, 0xCD, 0x16, 0x0F, 0x01, 0x1E, 0x10, 0x7C, 0xCC, 0xEB, 0xFE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]

    /// - Parameter home: an empty folder.
    init(_ home: String, floppy: String? = nil, code: [UInt8] = StoredGuest.code) throws {
        self.home = home
        let folder = home + "/" + name
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var image = [UInt8](repeating: 0, count: 1_474_560)
        image.replaceSubrange(0..<code.count, with: code)
        (image[510], image[511]) = (0x55, 0xAA)
        try Data(image).write(to: URL(fileURLWithPath: folder + "/a.img"))
        let settings = """
            [system]
            memory = 8

            [storage]
            floppy = "\(floppy ?? "a.img")"

            [debug]
            exit = "0x501"
            """
        try Data((settings + "\n").utf8).write(to: URL(fileURLWithPath: folder + "/machine.toml"))
    }

    /// `vitrine` with arguments on this home.
    @discardableResult
    func vitrine(_ arguments: String..., input: String = "", seconds: Double = 60) throws -> Program.Result {
        try Program.run(arguments, input: input, environment: ["VITRINE_HOME": home, "SWIFT_BACKTRACE": "enable=no"], seconds: seconds)
    }

    /// What a shell in tmux runs.
    func command(_ arguments: String) -> String {
        "export VITRINE_HOME='\(home)' TERM=tmux-256color; '\(Program.path)' \(arguments) 2>'\(home)/error'; echo DONE $?; exec cat"
    }

    /// Started in the background, and the boot sector waits for keys.
    func start() throws {
        let started = try vitrine("start", name, "--detach")
        try #require(started.status == 0, "\(started.errors)")
        let booted = try vitrine("wait-for", name, "Booting from Floppy", "30")
        try #require(booted.status == 0, "\(booted.errors)")
    }

    var pid: Int32? {
        guard let data = FileManager.default.contents(atPath: "\(home)/\(name)/run.json"),
            let record = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        else { return nil }
        return (record["pid"] as? Int).map { Int32($0) }
    }

    /// What `screen --json` says.
    func screen() throws -> [String: Any] {
        let result = try vitrine("screen", name, "--json")
        return (try JSONSerialization.jsonObject(with: Data(result.output.utf8))) as? [String: Any] ?? [:]
    }

    var isRunning: Bool { pid.map { kill($0, 0) == 0 } ?? false }

    /// The end of a test: nothing stays behind.
    func end() { if let pid { kill(pid, SIGKILL) } }

    /// Gives the body a stored guest, and ends it.
    static func with(floppy: String? = nil, code: [UInt8] = StoredGuest.code, _ body: (StoredGuest) throws -> Void) throws {
        try withFolder { folder in
            let guest = try StoredGuest(folder, floppy: floppy, code: code)
            defer { guest.end() }
            try body(guest)
        }
    }
}
