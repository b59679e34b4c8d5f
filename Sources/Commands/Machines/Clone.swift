import ArgumentParser
import Foundation
import Machine

/// `vitrine clone NAME NEW`: copies a machine with its disks.
struct Clone: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Copy a machine with its disks.",
        discussion:
            "Ctrl-C cancels and leaves nothing behind. Disks outside of the machine's folder are copied too when the guest may write them.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "What the copy is called.") var new: String
    @Flag(help: "Share the disks with a snapshot of the first machine.") var linked = false
    @Option(help: ArgumentHelp("The snapshot for --linked; one is taken when none is named.", valueName: "name")) var snapshot: String?
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard linked || snapshot == nil else { throw .usage("--snapshot is for --linked.") }
        guard !linked else {
            let entry = try host.store.linkedClone(name, as: new, of: snapshot)
            if output.json {
                try host.say(MachineReport(entry, whole: true), output)
            } else {
                try host.say(DoneReport(name: new, folder: entry.folder, sentence: "The linked clone '\(new)' is in '\(entry.folder)'."), output)
            }
            return 0
        }
        let signals = host.handlesSignals ? HeldSignals() : nil
        defer { signals?.release() }
        let line = CopyLine(isTerminal: host.handlesSignals && isatty(STDERR_FILENO) == 1)
        var signal: Int32?
        defer { line.end() }
        do throws(MachineError) {
            let entry = try host.store.clone(name, as: new) { done, total in
                line.update(done, total)
                signal = signal ?? signals?.pending()
                return signal == nil
            }
            line.end()
            if output.json {
                try host.say(MachineReport(entry, whole: true), output)
            } else {
                try host.say(DoneReport(name: new, folder: entry.folder, sentence: "The copy '\(new)' is in '\(entry.folder)'."), output)
            }
            return 0
        } catch {
            guard let signal else { throw error }
            line.end()
            host.standardError("Cancelled; nothing is left behind.")
            return 128 + signal
        }
    }
}

/// How far a copy is, on one line of the terminal.
final class CopyLine {
    private let isTerminal: Bool
    private let started = ContinuousClock.now
    private var shown = ContinuousClock.now - .seconds(1)
    private var isOpen = false

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

    func update(_ done: UInt64, _ total: UInt64) {
        let now = ContinuousClock.now
        guard isTerminal, now - shown >= .milliseconds(100) else { return }
        shown = now
        isOpen = true
        FileHandle.standardError.write(Data("\r\(CopyLine.text(done, total, seconds: (now - started) / .seconds(1)))\u{1B}[K".utf8))
    }

    /// `42 %  420M of 1G  210M/s  0:03 left`
    static func text(_ done: UInt64, _ total: UInt64, seconds: Double) -> String {
        let percent = total == 0 ? 100 : Int(Double(done) / Double(total) * 100)
        var text = "\(percent) %  \(ByteSize.text(done)) of \(ByteSize.text(total))"
        guard seconds > 0.5, done > 0, done <= total else { return text }
        let rate = Double(done) / seconds
        text += "  \(ByteSize.text(UInt64(rate)))/s"
        let left = Int(min(Double(total - done) / rate, 1e6))
        return text + String(format: "  %d:%02d left", left / 60, left % 60)
    }

    func end() {
        if isOpen { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        isOpen = false
    }
}
