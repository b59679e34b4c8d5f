import CPU
import Foundation
import Hardware
import Primitives

// What the machine tells of itself: log, trace events, lines that scrolled off the screen.
extension RunLoop {
    func log(_ level: LogLevel, _ component: String, _ text: String) {
        parts.log?.write(level, component, text, guestTime: pc.now())
    }

    func logState(_ state: MachineState) {
        guard state != loggedState else { return }
        log(.info, "VM", "Changing the VM state from '\(loggedState.rawValue)' to '\(state.rawValue)'")
        loggedState = state
    }

    /// Bytes of the firmware's debug port: whole lines.
    func logGuest(_ bytes: [UInt8]) {
        guard parts.log != nil else { return }
        for byte in bytes {
            if byte == 0x0A || guestLine.count >= 1024 { flushGuestLine() }
            if byte != 0x0A, byte != 0x0D { guestLine.append(byte) }
        }
    }

    private func flushGuestLine() {
        if !guestLine.isEmpty { log(.info, "Guest Log", "BIOS: " + String(decoding: guestLine, as: UTF8.self)) }
        guestLine = []
    }

    // MARK: Tap

    /// Which trace events are written down as they come.
    func setTrace(_ categories: TraceCategories) {
        guard let tap = pc.tap, parts.log != nil else { return }
        trace.categories = categories
        trace.next = tap.ring.count
        tap.readUpTo = trace.next
        tap.isFollowed = !categories.isEmpty
        pc.trace(categories)
        if !categories.isEmpty { log(.info, "Log", "Trace events are on: \(categories.names.joined(separator: ", ")).") }
    }

    /// After a slice: lines that scrolled off, events that somebody wants.
    func takeTap() {
        guard let tap = pc.tap else { return }
        let lines = tap.text.take()
        if !lines.isEmpty {
            machine.scrollback.append(lines)
            if let transcript = parts.transcript {
                transcript.write(Array(lines.map { ScrolledLines.text($0, parts.codePage) + "\n" }.joined().utf8))
            }
        }
        guard tap.isFollowed, tap.ring.count != trace.next else { return }
        let events = tap.ring.events(from: trace.next), end = tap.ring.count
        let lost = end - trace.next - UInt64(events.count)
        if lost > 0 { log(.warn, "Log", "\(lost) trace events were left out: more came than the ring holds.") }
        for event in events {
            guard let category = TraceCategory(rawValue: event.category), trace.categories.contains(category) else { continue }
            parts.log?.write(.trace, event.component, event.line, guestTime: event.time)
        }
        trace.next = end
        tap.readUpTo = end
    }

    // MARK: End

    func logEnd(_ outcome: RunOutcome, _ report: RunReport, _ frame: TextFrame) {
        if let transcript = parts.transcript {
            var rows = frame.textRows
            while rows.last?.isEmpty == true { rows.removeLast() }
            transcript.write(Array(rows.map { $0 + "\n" }.joined().utf8))
            transcript.finish()
        }
        guard parts.log != nil else { return }
        flushGuestLine()
        switch outcome {
        case .guru where stuck != nil: break
        case .guru(let sentence):
            logState(.stuck)
            logGuru(sentence)
        case .failed(let sentence), .refused(let sentence):
            log(.error, "VM", sentence)
            parts.log?.writeRing(guestTime: pc.now())
        default: break
        }
        logState(.off)
        log(.info, "VM", "The run is over: \(outcome.word), status \(outcome.exitStatus).")
        let times = [("guest seconds", report.guestSeconds), ("host seconds", report.hostSeconds), ("processor seconds", report.cpuSeconds)]
        log(.info, "Statistics", RunLoop.words("instructions \(report.instructions)", times + [("MIPS", report.mips)]))
        log(.info, "Statistics", "next instruction at \(report.position)")
        log(.info, "Statistics", "lines that scrolled off the screen \(machine.scrollback.end)")
    }

    private static func words(_ first: String, _ numbers: [(String, Double)]) -> String {
        ([first] + numbers.map { "\($0.0) " + String(format: "%.3f", $0.1) }).joined(separator: ", ")
    }

    func logGuru(_ sentence: String) {
        let rule = String(repeating: "!", count: 70)
        log(.error, "VM", rule)
        log(.error, "VM", "!!         VCPU0: Guru Meditation: \(sentence)")
        log(.error, "VM", "!! {registers}")
        for line in (facts["Registers"] ?? pc.registers.split(separator: "\n").map(String.init)) { log(.error, "VM", "!! \(line)") }
        for section in facts.sections where !["Screen", "Events"].contains(section.title) && !section.title.hasPrefix("Registers") && !section.lines.isEmpty {
            log(.error, "VM", "!! {\(section.title.lowercased())}")
            for line in section.lines { log(.error, "VM", "!! \(line)") }
        }
        log(.error, "VM", "!! {screen}")
        for row in screen.textRows where !row.isEmpty { log(.error, "VM", "!! \(row)") }
        log(.error, "VM", "!! {trace}")
        parts.log?.writeRing(guestTime: pc.now())
        log(.error, "VM", rule)
    }
}

/// How far the run loop has read the board's events.
struct TraceReader {
    var categories = TraceCategories()
    var next: UInt64 = 0
}

extension MachineLog {
    /// What a run begins with: who runs what on which host, and every setting.
    func writeHead(_ settings: RunSettings) {
        write(.info, "VM", "Vitrine runs '\(settings.displayName)', process \(HostFacts.process), on \(HostFacts.system)")
        var machine = MachineSettings()
        machine.run = settings
        for field in SettingField.all {
            let value = field.get(machine)
            if !value.isEmpty { write(.info, "Settings", "\(field.key) = \(value.split(separator: "\n").joined(separator: ", "))") }
        }
        for bay in settings.mediaPaths { write(.info, "Storage", bay) }
        write(.info, "CPU", "\(settings.cpus) × \(settings.cpuModel), interpreter, \(settings.clock.rawValue) clock")
    }
}

extension RunSettings {
    /// What is in the drives at the start, in words.
    fileprivate var mediaPaths: [String] {
        let disks = disks.enumerated().map { "disk \($0 + 1): '\($1)'" }
        return [floppy.map { "floppy A: '\($0)'" }, cdrom.map { "CD drive: '\($0)'" }].compactMap { $0 } + disks
    }
}
