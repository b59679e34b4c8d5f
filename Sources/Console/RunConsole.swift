import DataFiles
import Glibc
import Machine
import Panels
import Terminal

/// Shows a running machine on the terminal until it ends, the user ends it, or a signal does. The terminal is given back on
/// every way out.
@MainActor
public func runConsole(machine: any MachineControl, options: ConsoleOptions) -> ConsoleResult {
    guard isatty(0) == 1, isatty(1) == 1 else {
        return .unusable("The console needs a terminal on standard input and output; use --headless where there is none.")
    }
    var settings = termios()
    guard tcgetattr(0, &settings) == 0 else { return .unusable("The terminal's settings cannot be read.") }
    let folders = DataFolders.standard(extra: options.dataFolder)
    let model: ConsoleModel
    do {
        model = try ConsoleModel(consoleSettings(options, folders))
    } catch {
        return .badData(error.description)
    }
    // Before curses: it only takes signals that are still at their defaults.
    let formerHandlers = SignalPipe.shared.install()
    defer { SignalPipe.shared.restore(formerHandlers) }
    let screen: CursesScreen
    do {
        screen = try CursesScreen(options: options, theme: model.theme)
    } catch {
        tcsetattr(0, TCSANOW, &settings)
        return .unusable(error.sentence)
    }
    CrashGuard.shared.divert()
    CrashGuard.shared.arm(
        settings: settings, restore: screen.takesPrivateModes ? ControlSequences.restore : ControlSequences.restorePlain)
    let loop = ConsoleLoop(machine: machine, options: options, folders: folders, screen: screen, model: model, settings: settings)
    let result = loop.run()
    screen.close()
    return result
}

/// Theme, keymap and layout by the options.
private func consoleSettings(_ options: ConsoleOptions, _ folders: DataFolders) throws(DataError) -> ConsoleModel.Settings {
    let vocabulary = Keymap.Vocabulary(actions: Set(ActionID.allCases.map(\.rawValue)), contexts: Set(Action.contexts))
    var keymap = try folders.keymap(options.keymap, vocabulary: vocabulary)
    if let text = options.hostKey {
        guard let chord = Chord(text) else {
            throw DataError(file: "host key", message: "'\(text)' is not a key; examples: C-], F12, RightCtrl")
        }
        keymap.host = chord
    }
    var settings = ConsoleModel.Settings(
        theme: try folders.theme(options.theme), keymap: keymap,
        layout: try folders.layout(keymap.guestLayout, positions: KeyPositions.names), themeNames: folders.names("Themes"))
    settings.capturesAtStart = options.captures
    settings.attached = options.attached
    settings.readOnly = options.readOnly
    settings.mouse = options.mouse
    return settings
}

/// What `--reset-terminal` prints: undoes everything that the console switches on.
public let terminalResetSequence = ControlSequences.restore
