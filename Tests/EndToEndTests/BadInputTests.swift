import Foundation
import Testing

/// The process as a shell sees it: exit status, one sentence on standard error, nothing on standard output, nothing written.
@Suite("program · bad input") struct BadInputTests {
    /// The arguments, `%` standing for a folder with the files below, and the exit status.
    ///
    ///     empty 0 bytes · three 3 bytes · odd 100,001 bytes · noise 4096 bytes that are nothing · blank 1.44M of zeros
    ///     short the first 20,000 bytes of a kernel whose header asks for more · dir a folder
    static let table: [(String, Int32)] = [
        // Missing files, folders, no bytes, three bytes, odd sizes: each option that reads one.
        ("--floppy %/missing", 66), ("--floppy %/dir", 66), ("--floppy %/empty", 66), ("--floppy %/three", 66), ("--floppy %/odd", 66),
        ("--disk %/missing", 66), ("--disk %/dir", 66), ("--disk %/empty", 66), ("--disk %/three", 66),
        ("--cdrom %/missing", 66), ("--cdrom %/dir", 66), ("--cdrom %/empty", 66), ("--cdrom %/three", 66),
        ("--kernel %/missing", 66), ("--kernel %/dir", 66), ("--kernel %/empty", 66), ("--kernel %/three", 66), ("--kernel %/noise", 66),
        ("--kernel %/short", 66), ("--bios %/missing", 66), ("--bios %/dir", 66), ("--bios %/empty", 66), ("--bios %/three", 66),
        ("--bios %/odd", 66), ("--script %/missing", 66), ("--script %/dir", 66),
        // Contradictions and nonsense.
        ("--initrd %/noise", 64), ("--append x", 64), ("--kernel %/short --boot c", 64), ("--disk %/blank --floppy %/blank", 64),
        ("--memory 0", 64), ("--memory x", 64), ("--cpus 9", 64), ("--engine warp", 64), ("--clock sundial", 64), ("--boot x", 64),
        ("--serial modem", 64), ("--serial stdio --serial stdio", 64), ("--serial stdio --script -", 64), ("--debug-exit 70000", 64),
        ("--debug-exit 1 --debug-console 1", 64), ("--timeout 0", 64), ("--max-instructions -1", 64), ("--rtc yesterday", 64), ("--frobnicate", 64),
        // Places that cannot be written.
        ("--stats %/no/file", 1), ("--screen-text %/dir", 1), ("--serial file:%/no/file", 1), ("--debug-console 0x402=%/no/file", 1),
    ]

    @Test("is refused with one sentence and the right status, and nothing is written", arguments: table.indices)
    func refused(index: Int) throws {
        let (line, status) = BadInputTests.table[index]
        try withFolder { folder in
            try BadInputTests.fill(folder)
            let before = try listing(folder)
            let arguments = line.split(separator: " ").map { $0.replacingOccurrences(of: "%", with: folder) }
            let result = try Program.run(["run", "--headless"] + arguments, environment: ["HOME": folder, "XDG_CACHE_HOME": folder + "/cache"], seconds: 60)
            #expect(result.status == status, "\(line): \(result.errors)")
            #expect(result.output.isEmpty)
            #expect(result.errors.hasPrefix("vitrine: "), "\(line): \(result.errors)")
            #expect(result.errors.hasSuffix(".\n") || result.errors.hasSuffix("?\n"), "\(line): \(result.errors)")
            #expect(result.errors.filter { $0 == "\n" }.count == 1, "\(line): \(result.errors)")
            #expect(try listing(folder) == before, "\(line)")
        }
    }

    @Test("without a terminal the screen and the manager are refused with 2", arguments: ["run", "run --floppy %/blank", "", "demo"])
    func noTerminal(line: String) throws {
        try withFolder { folder in
            try BadInputTests.fill(folder)
            let result = try Program.run(line.split(separator: " ").map { $0.replacingOccurrences(of: "%", with: folder) }, seconds: 60)
            #expect(result.status == 2, "\(result.errors)")
            #expect(result.errors.filter { $0 == "\n" }.count == 1, "\(result.errors)")
        }
    }

    @Test("--version and --help go to standard output with 0", arguments: [["--version"], ["--help"], ["run", "--help"], ["demo", "--list"]])
    func help(arguments: [String]) throws {
        let result = try Program.run(arguments, seconds: 60)
        #expect(result.status == 0)
        #expect(!result.output.isEmpty)
        #expect(result.errors.isEmpty)
    }

    @Test("a disk given with --disposable is not written to, and one that cannot be written is still readable", arguments: ["--disk", "--floppy"])
    func readOnly(option: String) throws {
        try withFolder { folder in
            // mov ax,0301; mov cx,1; mov dx,drive; mov bx,7C00; int 13h; mov al,ah; out F4h: writes its own sector, tells the BIOS's status.
            var image = [UInt8](repeating: 0, count: 1_474_560)
            let drive: UInt8 = option == "--disk" ? 0x80 : 0
            image.replaceSubrange(0..<20, with: [0x31, 0xC0, 0x8E, 0xC0, 0xB8, 1, 3, 0xB9, 2, 0, 0xBA, drive, 0, 0xBB, 0, 0x7C, 0xCD, 0x13, 0x88, 0xE0])
            image.replaceSubrange(20..<23, with: [0xE6, 0xF4, 0xF4])
            image.replaceSubrange(510..<512, with: [0x55, 0xAA])
            let path = folder + "/image"
            try Data(image).write(to: URL(fileURLWithPath: path))
            try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: path)
            let result = try Program.run(
                ["run", "--headless", option, path, "--disposable", "--clock", "virtual", "--debug-exit", "0xF4", "--timeout", "60"])
            #expect(result.status == 1, "the BIOS reports \(result.status >> 1): \(result.errors)")
            #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) == image)
        }
    }

    private func listing(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().map { name in
            let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/" + name)
            return "\(name) \(attributes[.size] ?? 0) \(attributes[.modificationDate] ?? 0)"
        }
    }

    static func fill(_ folder: String) throws {
        func put(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name)) }
        try put("empty", [])
        try put("three", [1, 2, 3])
        try put("odd", [UInt8](repeating: 0x5A, count: 100_001))
        try put("noise", (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 181 &+ $0 >> 3) | 0x80 })
        try put("blank", [UInt8](repeating: 0, count: 1_474_560))
        // Boot protocol 2.06 with 64 sectors of set-up code, of which the file has less.
        var short = [UInt8](repeating: 0x90, count: 20_000)
        short[0x1F1] = 64
        short.replaceSubrange(0x1FE..<0x208, with: [0x55, 0xAA, 0xEB, 0x40, 0x48, 0x64, 0x72, 0x53, 0x06, 0x02])
        try put("short", short)
        try FileManager.default.createDirectory(atPath: folder + "/dir", withIntermediateDirectories: true)
    }
}
