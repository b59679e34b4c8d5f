import CPU
import Foundation
import Hardware
import Primitives

@testable import Machine

/// A board that runs `Tests/Fixtures/State/busy.asm`: real mode, interrupts, a disk that is read and written.
enum BusyMachine {
    static let assembler: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":")
        .map { $0 + "/nasm" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/State")

    static func image() throws -> [UInt8] {
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("busy-\(UUID().uuidString).bin")
        defer { try? FileManager.default.removeItem(at: output) }
        let nasm = Process()
        nasm.executableURL = URL(fileURLWithPath: assembler ?? "/usr/bin/nasm")
        nasm.arguments = ["-w+error", "-f", "bin", "-o", output.path, fixtures.appendingPathComponent("busy.asm").path]
        try nasm.run()
        nasm.waitUntilExit()
        return [UInt8](try Data(contentsOf: output))
    }

    /// The image and a disk of 1 MiB in a folder.
    static func prepare(_ folder: String) throws {
        try Data(image()).write(to: URL(fileURLWithPath: folder + "/busy.bin"))
        let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ ($0 >> 9)) }
        try Data(bytes).write(to: URL(fileURLWithPath: folder + "/disk.img"))
    }

    static func settings(_ folder: String, cpus: Int, interface: RunSettings.DiskInterface = .ide) -> RunSettings {
        var settings = RunSettings()
        settings.bios = folder + "/busy.bin"
        settings.disks = [folder + "/disk.img"]
        settings.disposable = true
        settings.memoryMiB = 4
        settings.videoMemoryMiB = 1
        settings.cpus = cpus
        settings.clock = .virtual
        settings.headless = true
        return settings
    }

    /// Runs a script to its end.
    static func run(_ settings: RunSettings, _ script: String, in folder: String) throws -> (status: Int32, said: String) {
        var settings = settings
        let path = folder + "/script-\(UUID().uuidString).txt"
        try script.write(toFile: path, atomically: true, encoding: .utf8)
        settings.script = path
        let said = Said()
        let session = try RunSession(settings, diagnose: { said.add($0) })
        session.start()
        return (session.finish(), said.text)
    }

    private final class Said: @unchecked Sendable {
        private let lock = NSLock()
        private var lines: [String] = []
        func add(_ line: String) { lock.withLock { lines.append(line) } }
        var text: String { lock.withLock { lines.joined(separator: "\n") } }
    }
}
