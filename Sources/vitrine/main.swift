import Commands
import Console
import Foundation

/// The screen for the verbs, which know nothing of terminals.
let console = ConsoleHook { machine, settings in
    var options = ConsoleOptions()
    options.theme = settings.theme ?? options.theme
    options.keymap = settings.keymap ?? options.keymap
    options.hostKey = settings.hostKey
    options.ascii = settings.ascii
    options.mono = settings.mono
    options.attached = settings.attached
    options.readOnly = settings.readOnly
    return switch runConsole(machine: machine, options: options) {
    case .ended: .ended
    case .detached: .detached
    case .signalled(let number): .signalled(number)
    case .hangup: .hangup
    case .unusable(let sentence): .unusable(sentence)
    case .badData(let sentence): .badData(sentence)
    }
}

signal(SIGPIPE, SIG_IGN)
let arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["--reset-terminal"] {
    // For a terminal that a kill -9 left in our modes.
    FileHandle.standardOutput.write(Data(terminalResetSequence.utf8))
    exit(0)
}
exit(Vitrine.execute(arguments, in: .process(console: console)))
