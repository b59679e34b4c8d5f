import CPU
import Foundation

/// What a run came to: the JSON object of `--stats`.
public struct RunReport: Codable, Equatable, Sendable {
    /// Retired instructions since power-on.
    public var instructions: UInt64 = 0
    /// From power-on to the end, pauses included.
    public var hostSeconds = 0.0
    /// Processor time of the machine's own thread.
    public var cpuSeconds = 0.0
    public var guestSeconds = 0.0
    /// Millions of retired instructions per second of host time.
    public var mips = 0.0
    public var engine = ""
    /// What the translator did; nil: everything was interpreted.
    public var translation: TranslationStatistics?
    /// Of all instructions the part that ran as host code, 0 to 1.
    public var directShare: Double?
    public var clock = ""
    /// Of processor, RAM and chips.
    public var stateDigest = ""
    /// Where the processor stood: selector and offset of the next instruction, hexadecimal.
    public var position = ""
    public var memoryMiB = 0
    /// One of: power-off, user, debug-exit, reset, script-stop, saved, script-failed, instruction-limit, timeout, guru-meditation, refused, failed.
    public var outcome = ""
    public var exitStatus: Int32 = 0
    /// Which sensitive instructions ran where, and what share of all ran as host code.
    public var census = CensusReport()

    public init() {}

    enum CodingKeys: String, CodingKey {
        case directShare = "direct_share"
        case instructions, mips, engine, clock, outcome, position, translation, census
        case hostSeconds = "host_seconds"
        case cpuSeconds = "cpu_seconds"
        case guestSeconds = "guest_seconds"
        case stateDigest = "state_digest"
        case memoryMiB = "memory_mib"
        case exitStatus = "exit_status"
    }

    /// One JSON object with sorted keys and a newline.
    public func json() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Numbers and strings only: cannot fail, except for a number that is not finite.
        guard let data = try? encoder.encode(self) else { return Array("{}\n".utf8) }
        return Array(data) + [0x0A]
    }
}

extension RunOutcome {
    /// Name in `RunReport.outcome`.
    public var word: String {
        switch self {
        case .poweredOff: "power-off"
        case .poweredOffByUser: "user"
        case .debugExit: "debug-exit"
        case .resetWithNoReboot: "reset"
        case .scriptStopped: "script-stop"
        case .saved: "saved"
        case .scriptFailed: "script-failed"
        case .instructionLimit: "instruction-limit"
        case .timeout: "timeout"
        case .guru: "guru-meditation"
        case .refused: "refused"
        case .failed: "failed"
        }
    }

    /// What the user should read on standard error; nil when the exit status says it all.
    public var message: String? {
        switch self {
        case .scriptFailed(let text): text
        case .guru(let sentence): "Guru Meditation: \(sentence)\(sentence.hasSuffix(".") ? "" : ".")"
        case .refused(let sentence), .failed(let sentence): sentence
        case .timeout: "The time limit was reached."
        default: nil
        }
    }
}
