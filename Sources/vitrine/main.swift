import Commands
import Console
import Foundation
import Machine

func options(_ settings: ConsoleSettings) -> ConsoleOptions {
    var options = ConsoleOptions()
    if let theme = settings.theme { options.theme = theme }
    if let keymap = settings.keymap { options.keymap = keymap }
    options.hostKey = settings.hostKey
    options.ascii = settings.ascii
    options.mono = settings.mono
    options.screenReader = settings.screenReader
    options.attached = settings.attached
    options.readOnly = settings.readOnly
    return options
}

func end(_ result: ConsoleResult) -> ConsoleEnd {
    switch result {
    case .ended: .ended
    case .detached: .detached
    case .signalled(let number): .signalled(number)
    case .hangup: .hangup
    case .unusable(let sentence): .unusable(sentence)
    case .badData(let sentence): .badData(sentence)
    }
}

func text(_ body: () throws -> String) -> TextResult {
    do { return .text(try body()) } catch { return .bad("\(error)") }
}

/// The screen for the verbs, which know nothing of terminals.
let console = ConsoleHook { end(runConsole(machine: $0, options: options($1))) }
let screens = ScreenHook(
    manager: { end(runManager(library: StoreLibrary(), options: options($0))) },
    screenText: { size, keys, settings in text { try dumpManager(library: StoreLibrary(), size: size, keys: keys, options: options(settings)) } },
    checkTheme: { path in text { try themeReport(path) } }, themes: { text { try themeList() } },
    keys: { keymap in text { try keyTable(keymap) } }, testKeys: { end(runKeyTest(options: options($0))) })

signal(SIGPIPE, SIG_IGN)
CrashNote.install()
let arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["--reset-terminal"] {
    // For a terminal that a kill -9 left in our modes.
    FileHandle.standardOutput.write(Data(terminalResetSequence.utf8))
    exit(0)
}
var host = Host.process(console: console)
host.screens = screens
exit(Vitrine.execute(arguments, in: host))
