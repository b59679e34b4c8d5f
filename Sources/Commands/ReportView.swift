import Foundation
import Machine

/// `vitrine debug --report FILE`: a report that was saved after a Guru Meditation, or of a machine that runs.
struct ReportView {
    var host: Host

    /// - Parameter part: one of its files; nil: what it is, and all that was known of the machine.
    /// - Throws: `.badInput` when it is no report, has no such part, or the part is nothing to read.
    func show(_ path: String, part: String?) throws(MachineError) {
        let report = try OpenedReport(path)
        guard let part else {
            host.standardOutput(report.head)
            let parts = report.parts.map { "\($0.name) (\(ByteSize.text(UInt64($0.bytes))))" }
            host.standardOutput("parts: \(parts.joined(separator: ", "))\n\n")
            host.standardOutput(MachineFacts(sections: report.facts.sections).text)
            return
        }
        let bytes = try report.part(part)
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw .badInput("'\(part)' is nothing to read; 'tar -xf \(path) \(part)' takes it out.")
        }
        // What a file says must not steer the terminal.
        let plain = text.unicodeScalars.map { $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control ? $0 : "?" }
        host.standardOutput(String(String.UnicodeScalarView(plain)))
    }
}
