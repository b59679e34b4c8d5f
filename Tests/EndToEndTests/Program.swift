import Foundation
import Machine

/// The built `vitrine`, run as a process of its own.
struct Program {
    /// What a run came to.
    struct Result {
        /// -1: killed, because it did not end in time.
        var status: Int32
        var output: String
        var errors: String
    }

    /// Beside the test bundle, where the build put it.
    static let path: String = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? own
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("vitrine").path
    }()

    /// Starts a verb on a store and does not wait for it; what it says is dropped.
    static func start(_ arguments: [String], in store: MachineStore) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["VITRINE_HOME": store.home]) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// - Parameters:
    ///   - input: for standard input, which is no terminal.
    ///   - seconds: of host time, then the process is killed.
    static func run(_ arguments: [String], input: String = "", environment: [String: String] = [:], seconds: Double = 300) throws -> Result {
        try withFolder { folder in
            let files = ["in", "out", "err"].map { URL(fileURLWithPath: folder + "/" + $0) }
            try Data(input.utf8).write(to: files[0])
            for file in files[1...] { try Data().write(to: file) }
            let process = Process()
            process.executableURL = URL(fileURLWithPath: path)
            process.arguments = arguments
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
            process.standardInput = try FileHandle(forReadingFrom: files[0])
            process.standardOutput = try FileHandle(forWritingTo: files[1])
            process.standardError = try FileHandle(forWritingTo: files[2])
            let ended = DispatchSemaphore(value: 0)
            process.terminationHandler = { _ in ended.signal() }
            try process.run()
            let inTime = ended.wait(timeout: .now() + seconds) == .success
            if !inTime {
                kill(process.processIdentifier, SIGKILL)
                ended.wait()
            }
            func text(_ file: URL) throws -> String { String(decoding: try Data(contentsOf: file), as: UTF8.self) }
            // A signal is not an exit status; what the shell makes of it is.
            let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
            return Result(status: inTime ? status : -1, output: try text(files[1]), errors: try text(files[2]))
        }
    }

    /// Runs a script headless with the virtual clock and checks that it came to its end.
    /// - Returns: the run's `--stats`.
    static func script(_ script: String, _ arguments: [String], seconds: Double = 600) throws -> Stats {
        try withFolder { folder in
            try Data(script.utf8).write(to: URL(fileURLWithPath: folder + "/script"))
            let result = try run(
                ["run", "--headless", "--clock", "virtual", "--script", folder + "/script", "--stats", folder + "/stats"] + arguments, seconds: seconds)
            guard let data = FileManager.default.contents(atPath: folder + "/stats") else {
                throw Failure(description: "status \(result.status): \(result.errors)")
            }
            var stats = try JSONDecoder().decode(Stats.self, from: data)
            stats.errors = result.errors
            return stats
        }
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// `--stats`, the part that tests look at.
    struct Stats: Decodable {
        var instructions: UInt64
        var state_digest: String
        var outcome: String
        var exit_status: Int32
        var errors = ""
        enum CodingKeys: CodingKey { case instructions, state_digest, outcome, exit_status }
    }
}

/// Gives the body a folder of its own, and removes it.
func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-end-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}

/// Guests of the host's packages; a suite without them is left out.
enum Guest {
    static let floppy = "/usr/lib/grub-rescue/grub-rescue-floppy.img"
    static let cdrom = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
    static let ipxe = "/boot/ipxe.lkrn"
    static let memtest = "/usr/lib/memtest86+/memtest86+ia32.iso"
    static let cache: String = {
        let environment = ProcessInfo.processInfo.environment
        let base = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? (environment["HOME"] ?? "/tmp") + "/.cache"
        return base + "/vitrine/guests/"
    }()
    static let kernel = cache + "vmlinuz", initrd = cache + "initrd.img", iso = cache + "linux.iso"

    static func has(_ paths: String...) -> Bool { paths.allSatisfy { access($0, R_OK) == 0 } }
}
