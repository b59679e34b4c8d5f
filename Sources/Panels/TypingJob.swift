import Hardware
import Machine
import Terminal

/// A text on its way into the guest, in pieces, so that it can be stopped and its progress told.
struct TypingJob: Sendable {
    let text: [Character]
    /// Characters handed to the machine.
    var sent = 0
    /// A piece is with the machine; it has been seen at work; when it was handed over.
    var isWaiting = false, wasBusy = false
    var since: UInt64 = 0
    /// Typed by us through a layout that the machine does not know.
    let ownLayout: Bool

    /// Characters handed over at a time: what still comes after Esc.
    static let piece = 24

    init(_ text: String, ownLayout: Bool) {
        self.text = Array(text.replacing("\r\n", with: "\n").replacing("\r", with: "\n"))
        self.ownLayout = ownLayout
    }

    func done(_ view: MachineView) -> Int { max(0, sent - view.typingLeft) }
}

extension ConsoleModel {
    /// Types a text after asking, when it is long or has line ends.
    mutating func requestTyping(_ text: String) {
        let lineEnds = text.filter(\.isNewline).count
        guard !text.isEmpty else { return }
        if text.count <= 200, lineEnds == 0 { return startTyping(text) }
        var lines = ["\(text.count) characters will be typed into \(view.name)."]
        if lineEnds > 0 { lines.append(lineEnds == 1 ? "One line end is typed as Enter." : "\(lineEnds) line ends are typed as Enter.") }
        let first = text.split(whereSeparator: \.isNewline).first.map { String($0) } ?? ""
        lines += ["", first.count > 50 ? String(first.prefix(49)) + "…" : first]
        overlay = .dialog(
            DialogPanel(title: "Type this text?", lines: lines, buttons: [.init("Type it", .typeNow(text)), .init("Cancel")]))
    }

    mutating func startTyping(_ text: String) {
        guard view.state == .running || view.state == .paused else { return say("\(view.name) is not running.") }
        typing = TypingJob(text, ownLayout: keymap.guestLayout != "us")
        if view.state == .paused { say("Paused: the text is typed after resume.") }
        stepTyping()
    }

    mutating func stopTyping() {
        guard let job = typing else { return }
        say("Typing stopped after \(job.done(view)) of \(job.text.count) characters.")
        typing = nil
    }

    mutating func stepTyping() {
        guard var job = typing, view.state != .paused else { return }
        defer { if typing != nil { typing = job } }
        if job.ownLayout {
            while keysOut.count < 4, job.sent < job.text.count {
                let character = job.text[job.sent]
                job.sent += 1
                let key: Key =
                    character.isNewline
                    ? .named(.ret) : character == "\t" ? .named(.tab) : .character(character.unicodeScalars.first ?? " ")
                if let changes = keyboard.chord(Chord(key)) { send(changes) }
            }
            if job.sent == job.text.count, keysOut.isEmpty { typing = nil }
            return
        }
        if job.isWaiting {
            if view.typingLeft > 0 {
                job.wasBusy = true
            } else if job.wasBusy || now >= job.since + 250 {
                job.isWaiting = false
            }
        }
        guard !job.isWaiting else { return }
        guard job.sent < job.text.count else {
            typing = nil
            return
        }
        let piece = job.text[job.sent..<min(job.text.count, job.sent + TypingJob.piece)]
        post(.type(String(piece)))
        job.sent += piece.count
        (job.isWaiting, job.wasBusy, job.since) = (true, false, now)
    }
}
