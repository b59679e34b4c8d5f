import CPU
import Foundation
import Hardware

// What is known of the machine, for people.
extension RunLoop {
    var facts: MachineFacts { pc.facts(sentence: stuck, screen: screen.textRows, debugger: debugger) }

    /// All that was written down of what was carried out, the oldest first; nil: nothing was.
    private var instructionText: String? {
        guard let debugger, let board = pc as? PC else { return nil }
        let number = board.runningProcessor
        let digits = debugger.processor(number)?.executionMode.bits == 64 ? 16 : 8
        let lines = debugger.history(ExecutionRecorder.instructionLimit, vcpu: number).map { CodeText.line($0, digits: digits) }
        return lines.isEmpty ? nil : lines.joined(separator: "\n") + "\n"
    }

    /// Everything into one file. The machine stands meanwhile.
    /// - Returns: why it could not be.
    func report(to path: String) -> MachineError? {
        let state = path + ".\(getpid()).state"
        defer { unlink(state) }
        do throws(MachineError) {
            var contents = ReportFile.Contents()
            contents.name = parts.name
            contents.facts = facts
            contents.configuration = parts.configuration
            contents.lastInstructions = instructionText
            if let log = parts.logPath { contents.log = ReportFile.tail(log) }
            contents.screen = screen.text
            contents.picture = pc.pixels()?.png
            contents.created = Int64(time(nil))
            contents.guestSeconds = Double(pc.now()) / 1e9
            contents.instructions = pc.retired
            if pc.savedBoard != nil {
                try save(to: state)
                contents.state = state
            }
            try ReportFile.write(contents, to: path)
            log(.info, "VM", "A report is saved in '\(path)'.")
            return nil
        } catch {
            return error
        }
    }
}
