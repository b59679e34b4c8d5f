import ArgumentParser
import Foundation
import Machine

/// `vitrine start NAME`: runs a stored machine.
struct Start: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Run a stored machine.",
        discussion: """
            Without options: in a process of its own, with its screen here; leaving the screen leaves the machine running. With --headless: in \
            this process, until it ends; the exit status is as for 'run'. With --detach: in the background; returns when it runs. After a \
            Guru Meditation a machine in the background is stuck: its screen and log stay until it is reset or stopped.
            """)

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Run it here, without a screen.") var headless = false
    @Flag(help: "Leave it running in the background.") var detach = false
    @Option(
        help: ArgumentHelp(
            "Wait for a gdb there: a port of this computer alone, HOST:PORT, or the path of a socket.", valueName: "[host:]port|path"),
        transform: OptionValue.gdb)
    var gdb: GDBAddress?
    @Flag(help: "It stands before its first instruction; see 'vitrine debug'.") var debugStop = false
    @Option(help: .hidden) var readyDescriptor: Int32?
    @OptionGroup(title: "Screen") var screen: ScreenOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        if headless, !detach { return try runHere(host) }
        _ = try host.store.entry(name).checkedSettings()
        guard detach || host.isTerminal() && host.console != nil else {
            throw MachineError(.wrongPlace, "The screen needs a terminal on standard input and output; use --headless or --detach where there is none.")
        }
        var options = debugStop ? ["--debug-stop"] : []
        if let gdb { options += ["--gdb", gdb.text] }
        try DetachedStart.start(name, options: options, environment: host.environment)
        guard !detach else { return 0 }
        return try attach(name, readOnly: false, screen: screen.settings, in: host)
    }

    private func runHere(_ host: Host) throws(MachineError) -> Int32 {
        // A terminal that goes takes nothing with it, from the first moment on.
        if host.handlesSignals { signal(SIGHUP, SIG_IGN) }
        let run = try StoredRun(name, in: host.store, keepsStuck: readyDescriptor != nil) {
            host.standardError("vitrine: \($0)")
        } adjust: {
            $0.debugStop = debugStop
            $0.gdb = gdb
        }
        let signals = host.handlesSignals ? SignalWatch([SIGINT, SIGTERM]) { run.session.quit() } : nil
        for note in run.session.notes { host.standardError("vitrine: \(note)") }
        run.start()
        if let readyDescriptor {
            DetachedStart.announce(readyDescriptor, errors: host.store.folder(of: name) + "/" + MachineLog.folderName + "/errors.txt")
        }
        let status = run.finish()
        if let number = signals?.received { return 128 + number }
        return status
    }
}
