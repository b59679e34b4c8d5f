import Foundation
import Machine
import Synchronization

/// Runs a machine to its end, on the screen or without one.
/// - Returns: the exit status.
@MainActor
func runMachine(_ settings: RunSettings, screen: ConsoleSettings, in host: Host) throws(MachineError) -> Int32 {
    // Where somebody looks, a guest that has died stays to be looked at.
    let keepsStuck = !settings.headless && settings.script == nil
    let session = try RunSession(settings, keepsStuck: keepsStuck, diagnose: { host.standardError("vitrine: \($0)") }) { () throws(MachineError) in
        guard !settings.headless else { return }
        guard host.console != nil, host.isTerminal() else {
            throw MachineError(.wrongPlace, "The screen needs a terminal on standard input and output; use --headless where there is none.")
        }
    }
    for note in session.notes { host.standardError("vitrine: \(note)") }
    guard !settings.headless, let console = host.console else { return runHeadless(session, in: host) }
    session.start()
    let end = console.run(session.machine, screen)
    if session.machine.view().outcome == nil { session.quit() }
    let status = session.finish()
    switch end {
    case .ended, .detached: return status
    case .signalled(let number): return 128 + number
    case .hangup: return 128 + SIGHUP
    case .unusable(let sentence): throw MachineError(.wrongPlace, sentence)
    case .badData(let sentence): throw .badInput(sentence)
    }
}

private func runHeadless(_ session: RunSession, in host: Host) -> Int32 {
    let signals = host.handlesSignals ? SignalWatch { session.quit() } : nil
    session.start()
    let status = session.finish()
    if let number = signals?.received { return 128 + number }
    return status
}

/// Turns the signals that ask a process to end into one call, on a thread of its own.
final class SignalWatch: Sendable {
    private let number = Mutex<Int32?>(nil)

    var received: Int32? { number.withLock { $0 } }

    init(_ signals: [Int32] = [SIGINT, SIGTERM, SIGHUP], _ action: @escaping @Sendable () -> Void) {
        // Blocked in every thread that starts from now on; the watching one waits for them.
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let thread = Thread { [weak self] in
            var set = sigset_t()
            sigemptyset(&set)
            for signal in signals { sigaddset(&set, signal) }
            while true {
                var signal: Int32 = 0
                guard sigwait(&set, &signal) == 0 else { return }
                self?.number.withLock { $0 = $0 ?? signal }
                action()
            }
        }
        thread.name = "signals"
        thread.start()
    }
}
