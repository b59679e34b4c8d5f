import Foundation
import Hardware

/// A report of a machine at one moment, for whoever is to find out what went wrong: a tar archive with these files.
///
///     report.txt       what it is: machine, time, why it cannot go on
///     facts.json       `MachineFacts`: registers, tables, devices in words
///     facts.txt        the same to read
///     machine.toml     settings
///     log.txt          the end of the log
///     instructions.txt the last 10,000 instructions, when they were written down
///     screen.txt, screen.png, machine.state
public enum ReportFile {
    /// Bytes of the log that are kept, from its end.
    static let logBytes = 4 << 20
    static let what = "report"
    static let head = "Vitrine report"

    struct Contents {
        var name = ""
        var facts = MachineFacts()
        var configuration = ""
        var log: [UInt8] = []
        /// nil: nobody wrote them down.
        var lastInstructions: String?
        var screen = ""
        var picture: [UInt8]?
        /// A file that has it.
        var state: String?
        var created: Int64 = 0
        var guestSeconds = 0.0
        var instructions: UInt64 = 0
    }

    /// - Throws: `.failed`; nothing is left behind.
    static func write(_ contents: Contents, to path: String) throws(MachineError) {
        let writer = try TarWriter(path, what: what)
        let time = contents.created
        var head = "\(ReportFile.head)\nmachine: \(contents.name)\nprogram: \(StateInfo.programVersion)\n"
        head += "time: \(ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: Double(time))))\n"
        head += "instructions: \(contents.instructions)\nguest seconds: \(String(format: "%.6f", contents.guestSeconds))\n"
        if let sentence = contents.facts.sentence { head += "Guru Meditation: \(sentence).\n" }
        try writer.add("report.txt", Array(head.utf8), time: time)
        guard let json = try? JSONEncoder().encode(contents.facts) else { throw .failed("The report '\(path)' cannot be written.") }
        try writer.add("facts.json", [UInt8](json), time: time)
        try writer.add("facts.txt", Array(contents.facts.text.utf8), time: time)
        try writer.add("machine.toml", Array(contents.configuration.utf8), time: time)
        try writer.add("log.txt", contents.log, time: time)
        if let text = contents.lastInstructions { try writer.add("instructions.txt", Array(text.utf8), time: time) }
        try writer.add("screen.txt", Array(contents.screen.utf8), time: time)
        if let picture = contents.picture { try writer.add("screen.png", picture, time: time) }
        if let state = contents.state { try writer.add("machine.state", file: state, time: time) }
        try writer.finish()
    }

    /// The last bytes of a file, from the start of a line on.
    static func tail(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_size > 0 else { return [] }
        let count = min(Int(facts.st_size), logBytes), start = Int(facts.st_size) - count
        var bytes = [UInt8](repeating: 0, count: count)
        let got = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, count, off_t(start)) }
        bytes = Array(bytes.prefix(max(0, got)))
        if start > 0, let line = bytes.firstIndex(of: 0x0A) { bytes = Array(bytes[(line + 1)...]) }
        return bytes
    }
}

/// A report that somebody has saved.
public struct OpenedReport: Sendable {
    public let path: String
    /// Names of the files in it, in order, and their sizes.
    public var parts: [(name: String, bytes: UInt64)] { archive.entries.map { ($0.name, $0.bytes) } }
    /// `report.txt`.
    public let head: String
    public let facts: MachineFacts
    private let archive: TarReader

    /// - Throws: `.badInput` when it cannot be opened, or is no report.
    public init(_ path: String) throws(MachineError) {
        self.path = path
        archive = try TarReader(path, what: ReportFile.what)
        guard let entry = archive["report.txt"], let facts = archive["facts.json"] else { throw .badInput("'\(path)' is not a report of Vitrine.") }
        head = OpenedReport.plain(String(decoding: try archive.contents(entry, limit: 1 << 16), as: UTF8.self))
        guard head.hasPrefix(ReportFile.head) else { throw .badInput("'\(path)' is not a report of Vitrine.") }
        let bytes = try archive.contents(facts, limit: 16 << 20)
        guard var decoded = try? JSONDecoder().decode(MachineFacts.self, from: Data(bytes)) else {
            throw .badInput("The report '\(path)' is damaged in 'facts.json'.")
        }
        decoded.sentence = decoded.sentence.map(OpenedReport.plain)
        decoded.sections = decoded.sections.map { .init(OpenedReport.plain($0.title), $0.lines.map(OpenedReport.plain)) }
        self.facts = decoded
    }

    /// One of its files.
    /// - Throws: `.badInput` when it has none of that name.
    public func part(_ name: String) throws(MachineError) -> [UInt8] {
        guard let entry = archive[name] else {
            throw .badInput("The report '\(path)' has no '\(name)'; it has \(archive.entries.map(\.name).joined(separator: ", ")).")
        }
        return try archive.contents(entry, limit: 2 << 30)
    }

    /// What a file says must not steer the terminal.
    private static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\n" || $0.properties.generalCategory != .control ? $0 : "?" }))
    }
}
