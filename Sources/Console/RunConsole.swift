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
    var options = options
    let model: ConsoleModel
    do {
        options.adopt(try Preferences.check(folders))
        model = try ConsoleModel(consoleSettings(options, folders))
    } catch {
        return .badData(error.description)
    }
    return show(options: options, theme: model.theme, settings: settings) { screen in
        let front = ConsoleFront(machine: machine, folders: folders, model: model)
        let loop = TerminalLoop(client: front, options: options, screen: screen, settings: settings)
        front.loop = loop
        return loop.run()
    }
}

/// Shows the manager of stored machines on the terminal until the user leaves.
@MainActor
public func runManager(library: any MachineLibrary, options: ConsoleOptions) -> ConsoleResult {
    guard isatty(0) == 1, isatty(1) == 1 else { return .unusable("The machine manager needs a terminal on standard input and output.") }
    var settings = termios()
    guard tcgetattr(0, &settings) == 0 else { return .unusable("The terminal's settings cannot be read.") }
    let folders = DataFolders.standard(extra: options.dataFolder)
    var options = options
    let model: ManagerModel
    do {
        let preferences = try Preferences.check(folders)
        let asks = options.asksHostKey && options.hostKey == nil && preferences.hostKey == nil
        options.adopt(preferences)
        model = ManagerModel(try managerSettings(options, folders, library, asksHostKey: asks))
    } catch {
        return .badData(error.description)
    }
    return show(options: options, theme: model.theme, settings: settings) { screen in
        let front = ManagerFront(library: library, options: options, folders: folders, model: model)
        let loop = TerminalLoop(client: front, options: options, screen: screen, settings: settings)
        front.loop = loop
        return loop.run()
    }
}

func managerSettings(
    _ options: ConsoleOptions, _ folders: DataFolders, _ library: any MachineLibrary, asksHostKey: Bool
) throws(DataError) -> ManagerModel.Settings {
    let console = try consoleSettings(options, folders)
    var result = ManagerModel.Settings(theme: console.theme, keymap: console.keymap, layout: console.layout)
    result.themeNames = console.themeNames
    result.keymapNames = folders.names("Keymaps")
    result.mouse = options.mouse
    result.isLinear = options.screenReader
    result.asksHostKey = asksHostKey
    result.listFolder = { library.listFolder($0, machine: $1) }
    result.fileProblem = { library.fileProblem($0, machine: $1) }
    return result
}

/// Opens the terminal for a loop and gives it back.
@MainActor
func show(options: ConsoleOptions, theme: Theme, settings: termios, _ body: (CursesScreen) -> ConsoleResult) -> ConsoleResult {
    // Before curses: it only takes signals that are still at their defaults.
    let formerHandlers = SignalPipe.shared.install()
    defer { SignalPipe.shared.restore(formerHandlers) }
    let screen: CursesScreen
    do {
        screen = try CursesScreen(options: options, theme: theme)
    } catch {
        var settings = settings
        tcsetattr(0, TCSANOW, &settings)
        return .unusable(error.sentence)
    }
    CrashGuard.shared.divert()
    CrashGuard.shared.arm(
        settings: settings, restore: screen.takesPrivateModes ? ControlSequences.restore : ControlSequences.restorePlain)
    let result = body(screen)
    screen.close()
    return result
}

/// The words that keymaps may use.
let consoleVocabulary = Keymap.Vocabulary(actions: Set(ActionID.allCases.map(\.rawValue)), contexts: Set(Action.contexts))

extension ConsoleOptions {
    /// What the user has chosen in the program stands in for what the command line leaves open.
    mutating func adopt(_ preferences: Preferences) {
        if !isThemeGiven { theme = preferences.theme ?? theme }
        if !isKeymapGiven { keymap = preferences.keymap ?? keymap }
        hostKey = hostKey ?? preferences.hostKey
    }
}

/// Theme, keymap and layout by the options.
func consoleSettings(_ options: ConsoleOptions, _ folders: DataFolders) throws(DataError) -> ConsoleModel.Settings {
    var keymap = try folders.keymap(options.keymap, vocabulary: consoleVocabulary)
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
    settings.isLinear = options.screenReader
    settings.attached = options.attached
    settings.readOnly = options.readOnly
    settings.mouse = options.mouse
    settings.listFolder = { Folder.lister($0, $1) }
    return settings
}

/// What `--reset-terminal` prints: undoes everything that the console switches on.
public let terminalResetSequence = ControlSequences.restore
