import ArgumentParser
import Foundation
import Machine

/// `vitrine attach NAME`: the console of a machine that another process runs.
struct Attach: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Show the screen of a running machine.",
        discussion: """
            Leaving it, or losing the terminal, leaves the machine running. When the guest ends while it is shown, the exit status says how, as \
            for 'run'.
            """)

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Look only: no keys, no commands.") var readOnly = false
    @OptionGroup(title: "Screen") var screen: ScreenOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard host.console != nil, host.isTerminal() else {
            _ = try host.live(name)
            throw MachineError(.wrongPlace, "The screen needs a terminal on standard input and output.")
        }
        return try attach(name, readOnly: readOnly, screen: screen.settings, in: host)
    }
}

/// Shows a running machine until it ends or the user goes.
/// - Returns: the exit status.
@MainActor
func attach(_ name: String, readOnly: Bool, screen: ConsoleSettings, in host: Host) throws(MachineError) -> Int32 {
    guard let console = host.console else { throw MachineError(.wrongPlace, "There is no screen here.") }
    let machine = try RemoteMachine(path: try host.live(name).socket, name: name, readOnly: readOnly)
    var screen = screen
    screen.attached = true
    screen.readOnly = readOnly
    let end = console.run(machine, screen)
    let outcome = machine.view().outcome
    machine.leave()
    switch end {
    case .ended:
        if let message = outcome?.message { host.standardError("vitrine: \(message)") }
        return outcome?.exitStatus ?? 1
    case .detached:
        host.standardError("vitrine: '\(name)' goes on; 'vitrine attach \(name)' shows it again.")
        return 0
    case .signalled(let number): return 128 + number
    case .hangup: return 128 + SIGHUP
    case .unusable(let sentence): throw MachineError(.wrongPlace, sentence)
    case .badData(let sentence): throw .badInput(sentence)
    }
}
