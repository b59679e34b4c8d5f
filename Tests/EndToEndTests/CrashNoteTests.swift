import Foundation
import Testing

/// A fault of ours that cannot be taken back: what a run without a screen says before it dies.
@Suite("last words") struct CrashNoteTests {
    @Test("one sentence on standard error and in the log, and the signal's own end", arguments: [SIGSEGV, SIGILL, SIGTRAP])
    func sentence(number: Int32) throws {
        try withFolder { folder in
            let log = folder + "/log.txt"
            let process = Process(), errors = Pipe()
            process.executableURL = URL(fileURLWithPath: Program.path)
            // A disk without a boot sector: the firmware waits for ever.
            try Data(count: 1 << 20).write(to: URL(fileURLWithPath: folder + "/hd.img"))
            process.arguments = ["run", "--headless", "--disk", folder + "/hd.img", "--log", log, "--timeout", "100"]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = errors
            try process.run()
            func logged() -> String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
            let end = Date().addingTimeInterval(60)
            while !logged().contains("SeaBIOS"), Date() < end, process.isRunning { usleep(20_000) }
            kill(process.processIdentifier, number)
            process.waitUntilExit()
            #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == number)
            let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            let name = [SIGSEGV: "SIGSEGV", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP"][number] ?? ""
            #expect(said.contains("vitrine: A fault of Vitrine itself has ended this program (\(name)). The machine"), "\(said)")
            #expect(said.contains("is off as if its power had been cut. Its log is '\(log)'."), "\(said)")
            #expect(logged().contains("!! A fault of Vitrine itself has ended this program (\(name))."))
        }
    }
}
