import Foundation
import Machine

/// Makes a guest's disk, with its progress on one line of the terminal, or a line for each step where there is none.
struct GuestBuilder {
    var host: Host

    /// - Returns: the signal that cancelled it, nil when the disk is there.
    @MainActor
    func run(_ build: DebianBuild) throws(MachineError) -> Int32? {
        host.standardError("Making a Debian disk from its packages, in some minutes; Ctrl-C cancels.")
        let signals = host.handlesSignals ? HeldSignals() : nil
        defer { signals?.release() }
        var line = ProgressLine(isTerminal: isatty(STDERR_FILENO) == 1, started: ContinuousClock.now)
        var latest = DebianBuild.Progress(title: "", percent: 0)
        let write = { (text: String) in FileHandle.standardError.write(Data(text.utf8)) }
        let outcome: DebianBuild.Outcome
        do throws(MachineError) {
            outcome = try build.run(
                progress: {
                    latest = $0
                    line.update($0, at: .now).map(write)
                },
                cancelled: {
                    line.update(latest, at: .now).map(write)
                    return signals?.pending()
                })
        } catch {
            line.end().map(write)
            throw error
        }
        line.end().map(write)
        switch outcome {
        case .built:
            host.standardError("The disk is '\(build.image)'; log in as root with the password \(DebianDisk.rootPassword).")
            return nil
        case .cancelled(let signal):
            host.standardError("Cancelled; nothing is left behind.")
            return signal
        }
    }
}

/// The text of one line that says how far something is.
struct ProgressLine {
    var isTerminal: Bool
    var started: ContinuousClock.Instant
    private var shown = ""

    init(isTerminal: Bool, started: ContinuousClock.Instant) {
        self.isTerminal = isTerminal
        self.started = started
    }

    /// - Returns: what to write now; nil: nothing has changed.
    mutating func update(_ progress: DebianBuild.Progress, at now: ContinuousClock.Instant) -> String? {
        guard !progress.title.isEmpty else { return nil }
        let seconds = (now - started).components.seconds
        let text = isTerminal ? String(format: "%3d %%  %d:%02d  %@", Int(progress.percent), seconds / 60, seconds % 60, progress.title) : progress.title
        guard text != shown else { return nil }
        shown = text
        // To the start of the line; what is left of an older, longer text is erased.
        return isTerminal ? "\r\(text)\u{1B}[K" : String(format: "%3d %%  %@\n", Int(progress.percent), text)
    }

    /// - Returns: what takes the cursor off the line.
    mutating func end() -> String? {
        guard isTerminal, !shown.isEmpty else { return nil }
        shown = ""
        return "\n"
    }
}

/// The signals that ask a process to end, kept from ending it until somebody looks.
struct HeldSignals {
    private var before = sigset_t()
    private var held = sigset_t()

    init() {
        sigemptyset(&held)
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&held, signal) }
        pthread_sigmask(SIG_BLOCK, &held, &before)
    }

    /// - Returns: the number of one that has come.
    func pending() -> Int32? {
        var set = held, none = timespec()
        let signal = sigtimedwait(&set, nil, &none)
        return signal > 0 ? signal : nil
    }

    func release() {
        var mask = before
        pthread_sigmask(SIG_SETMASK, &mask, nil)
    }
}
