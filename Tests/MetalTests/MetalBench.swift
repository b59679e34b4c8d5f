import CPU
import Foundation
import Hardware
import Primitives

/// One run of a bare-metal image on the board: what its checks said and how it ended.
struct MetalReport {
    var lines: [String] = []
    var stop: PCStop = .sliceDone
    var digest = ""
    /// What the stop points met.
    var hits: [DebugHit] = []

    var passed: [String] { lines.filter { $0.hasPrefix("ok ") } }
    /// Everything that is neither a passed check nor the end marker.
    var complaints: [String] { lines.filter { !$0.hasPrefix("ok ") && !$0.hasPrefix("end ") } }
    /// The count of the end marker.
    var total: Int? { lines.last.flatMap { $0.hasPrefix("end ") ? Int($0.dropFirst(4)) : nil } }
}

/// Assembles the images of `Tests/Fixtures/Metal` and runs them without firmware, the image in the place of the BIOS.
enum MetalBench {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/Metal")

    /// nasm, where it is installed.
    static let assembler: URL? = {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":")
        return folders.map { URL(fileURLWithPath: String($0)).appendingPathComponent("nasm") }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }()

    struct AssemblyError: Error, CustomStringConvertible { let description: String }

    /// Names of the images.
    static func sources() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".asm") }.map { String($0.dropLast(4)) }
    }

    static func assemble(_ name: String, defines: [String] = []) throws -> [UInt8] {
        guard let assembler else { throw AssemblyError(description: "nasm is not installed") }
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("metal-\(UUID().uuidString).bin")
        defer { try? FileManager.default.removeItem(at: output) }
        let nasm = Process()
        nasm.executableURL = assembler
        nasm.currentDirectoryURL = folder
        nasm.arguments = defines.map { "-D" + $0 } + ["-w+error", "-f", "bin", "-o", output.path, name + ".asm"]
        let messages = Pipe()
        nasm.standardError = messages
        try nasm.run()
        let text = messages.fileHandleForReading.readDataToEndOfFile()
        nasm.waitUntilExit()
        guard nasm.terminationStatus == 0 else { throw AssemblyError(description: String(decoding: text, as: UTF8.self)) }
        return [UInt8](try Data(contentsOf: output))
    }

    /// Runs until the image writes to the exit port or the machine stops.
    static func run(
        _ image: [UInt8], cpus: Int = 1, slice: Int64 = 1_000_000, instructions limit: UInt64 = 50_000_000, translated: Bool = false,
        model: String? = nil, stops: StopPoints = StopPoints(), look: (PC) -> Void = { _ in }
    ) throws -> MetalReport {
        var settings = BoardSettings(bios: image)
        settings.ramMiB = 64
        if let model = model.flatMap(CPUModel.named) { settings.processor = model }
        settings.cpus = cpus
        if translated { settings.translation = TranslationSettings(threshold: 1, codeBytes: 4 << 20) }
        settings.debugConsolePorts = [0xE9]
        settings.debugExitPort = 0xF4
        let pc = try PC(settings)
        pc.setStopPoints(stops)
        var report = MetalReport()
        var text: [UInt8] = []
        while pc.retired < limit {
            report.stop = pc.run(instructions: slice)
            for case (.debugConsole, let bytes) in pc.drainOutput() { text += bytes }
            switch report.stop {
            case .sliceDone: continue
            case .debug:
                report.hits += pc.takeHits().map(\.hit)
                continue
            case .halted(let until) where until != nil && pc.now() < 20_000_000_000: continue
            default: break
            }
            break
        }
        report.digest = pc.digest()
        look(pc)
        report.lines = text.split(separator: 10).map { String(decoding: $0, as: UTF8.self) }
        return report
    }
}
