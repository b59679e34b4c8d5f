import Foundation
import Machine
import Testing

@testable import Commands

@Suite("run · bad input") @MainActor struct BadInputTests {
    /// The arguments, `%` standing for a folder with the files below, and the exit status.
    ///
    ///     empty 0 bytes · three 3 bytes · odd 100,001 bytes · noise 4096 bytes that are nothing · blank 1.44M of zeros
    ///     good.txt a script · bad.txt a script with a mistake in line 2 · dir a folder
    nonisolated static let table: [(String, Int32)] = [
        // Wrong usage.
        ("run --frobnicate", 64), ("run stray", 64), ("frobnicate", 64), ("run --headless --memory", 64), ("run --headless --memory x", 64),
        ("run --headless --memory 0", 64), ("run --headless --memory -5", 64), ("run --headless --memory 99999999", 64),
        ("run --headless --memory 99999999999999999999", 64), ("run --headless --cpus 0", 64), ("run --headless --cpus 9", 64),
        ("run --headless --engine warp", 64), ("run --headless --clock sundial", 64),
        ("run --headless --rtc yesterday", 64), ("run --headless --rtc 2001-02-29", 64), ("run --headless --rtc 2001-02-03T25:00:00", 64),
        ("run --headless --rtc 1066-10-14", 64), ("run --headless --boot x", 64), ("run --headless --boot aa", 64),
        ("run --headless --boot=", 64), ("run --headless --serial modem", 64), ("run --headless --serial file:", 64),
        ("run --headless --serial none --serial none --serial none --serial none --serial none", 64),
        ("run --headless --serial stdio --serial stdio", 64), ("run --serial stdio", 64),
        ("run --headless --serial file:%/a --serial file:%/a", 64),
        ("run --headless --debug-console", 64), ("run --headless --debug-console 0x10000", 64), ("run --headless --debug-console 402=", 64),
        ("run --headless --debug-console x=%/a", 64), ("run --headless --debug-console 1 --debug-console 0x1", 64),
        ("run --headless --debug-exit", 64), ("run --headless --debug-exit 70000", 64),
        ("run --headless --debug-exit 1 --debug-console 1", 64),
        ("run --headless --timeout 0", 64), ("run --headless --timeout -1", 64), ("run --headless --timeout soon", 64),
        ("run --headless --timeout nan", 64), ("run --headless --max-instructions -1", 64), ("run --headless --max-instructions 1.5", 64),
        ("run --headless --initrd %/noise", 64), ("run --headless --append x", 64), ("run --headless --kernel %/noise --boot c", 64),
        ("run --headless --disk %/blank --disk %/blank", 64), ("run --headless --disk a --disk b --disk c --disk d", 64),
        ("run --headless --disk-interface scsi", 64), ("run --headless --virtio-console modem", 64), ("run --virtio-console stdio", 64),
        ("run --headless --virtio-console stdio --serial stdio", 64), ("run --headless --script - --virtio-console stdio", 64),
        ("run --headless --virtio-console file:%/a --serial file:%/a", 64),
        ("run --headless --disk-interface virtio --disk a --disk b --disk c --disk d --disk e --disk f --disk g --disk h --disk i", 64),
        ("run --headless --disk-interface virtio --disk %/missing", 66),
        ("run --headless --floppy=", 64), ("run --script - --headless --serial stdio", 64), ("run --script -", 64),
        ("run --headless --script %/bad.txt", 64), ("run --headless --script %/noise", 64), ("demo nobody", 64), ("demo --frob", 64),
        // Inputs.
        ("run --headless --floppy %/missing", 66), ("run --headless --floppy %/empty", 66), ("run --headless --floppy %/odd", 66),
        ("run --headless --floppy %/three", 66), ("run --headless --floppy %/dir", 66), ("run --headless --disk %/missing", 66),
        ("run --headless --disk %/empty", 66), ("run --headless --disk %/three", 66), ("run --headless --disk %/dir", 66),
        ("run --headless --cdrom %/missing", 66), ("run --headless --cdrom %/empty", 66), ("run --headless --cdrom %/three", 66),
        ("run --headless --cdrom %/dir", 66), ("run --headless --kernel %/missing", 66), ("run --headless --kernel %/empty", 66),
        ("run --headless --kernel %/three", 66), ("run --headless --kernel %/noise", 66), ("run --headless --kernel %/dir", 66),
        ("run --headless --kernel %/elf --initrd %/missing", 66), ("run --headless --kernel %/elf --initrd %/empty", 66),
        ("run --headless --bios %/missing", 66), ("run --headless --bios %/empty", 66), ("run --headless --bios %/three", 66),
        ("run --headless --bios %/odd", 66), ("run --headless --bios %/dir", 66), ("run --headless --script %/missing", 66),
        ("run --headless --script %/dir", 66),
        // Outputs.
        ("run --headless --screen-text %/no/file", 1), ("run --headless --screen-text %/dir", 1), ("run --headless --stats %/no/file", 1),
        ("run --headless --serial file:%/no/file", 1), ("run --headless --serial socket:%/no/file", 1),
        ("run --headless --serial socket:%/blank", 1),
        ("run --headless --debug-console 0x402=%/no/file", 1),
        // The wrong place.
        ("run --floppy %/blank", 2), ("run", 2), ("", 2), ("demo", 2),
    ]

    @Test("gets one sentence and the right exit status, and writes nothing", arguments: table.indices)
    func refused(index: Int) throws {
        let (line, status) = BadInputTests.table[index]
        try withFolder { folder in
            try BadInputTests.fill(folder)
            let before = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            let host = TestHost(environment: ["HOME": folder])
            let arguments = line.split(separator: " ").map { $0.replacingOccurrences(of: "%", with: folder) }
            #expect(host.execute(arguments) == status, "\(line): \(host.standardError)")
            #expect(host.standardOutput.isEmpty)
            let said = host.standardError
            #expect(said.hasPrefix("vitrine: "), "\(line)")
            #expect(said.hasSuffix(".\n") || said.hasSuffix("?\n"), "\(line): \(said)")
            #expect(said.filter(\.isNewline).count == 1, "\(line): \(said)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == before, "\(line)")
        }
    }

    nonisolated static func fill(_ folder: String) throws {
        func put(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name)) }
        try put("empty", [])
        try put("three", [1, 2, 3])
        try put("odd", [UInt8](repeating: 0x5A, count: 100_001))
        try put("noise", (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 181 &+ $0 >> 3) | 0x80 })
        try put("blank", [UInt8](repeating: 0, count: 1_474_560))
        try put("good.txt", Array("stop\n".utf8))
        try put("bad.txt", Array("stop\nfrobnicate\n".utf8))
        // The smallest ELF32 kernel: one page at 1 MiB.
        var elf = [UInt8](repeating: 0, count: 4096)
        for (at, byte) in [
            (0, 0x7F), (1, 0x45), (2, 0x4C), (3, 0x46), (4, 1), (5, 1), (16, 2), (18, 3), (26, 0x10), (28, 52), (42, 32), (44, 1),
        ] {
            elf[at] = UInt8(byte)
        }
        for (at, byte) in [(52, 1), (62, 0x10), (66, 0x10), (69, 0x10), (73, 0x10)] { elf[at] = UInt8(byte) }
        try put("elf", elf)
        try FileManager.default.createDirectory(atPath: folder + "/dir", withIntermediateDirectories: true)
    }

    @Test("the mistakes of a script come with file and line")
    func scriptMistake() throws {
        try withFolder { folder in
            try BadInputTests.fill(folder)
            let host = TestHost()
            #expect(host.execute(["run", "--headless", "--script", folder + "/bad.txt"]) == 64)
            #expect(host.standardError.contains("/bad.txt, line 2: 'frobnicate' is not a command"))
        }
    }

    @Test("missing firmware is told with the package to install")
    func firmware() {
        let error = #expect(throws: (any Error).self) { try FirmwareFiles.load("no-such-bios.bin", folders: ["/nonexistent"]) }
        #expect("\(error as Any)".contains("Debian package 'seabios'"))
    }
}
