import DataFiles
import Foundation
import Glibc
import Panels
import Terminal

/// Shows every event of the terminal as it comes, until Ctrl-D comes twice.
@MainActor
public func runKeyTest(options: ConsoleOptions) -> ConsoleResult {
    guard isatty(0) == 1, isatty(1) == 1 else { return .unusable("The key test needs a terminal on standard input and output.") }
    var settings = termios()
    guard tcgetattr(0, &settings) == 0 else { return .unusable("The terminal's settings cannot be read.") }
    let folders = DataFolders.standard(extra: options.dataFolder)
    var options = options
    let front: KeyTestFront
    do {
        options.adopt(try Preferences.check(folders))
        let console = try consoleSettings(options, folders)
        front = KeyTestFront(theme: console.theme, keymap: console.keymap)
    } catch {
        return .badData(error.description)
    }
    return show(options: options, theme: front.theme, settings: settings) { screen in
        let loop = TerminalLoop(client: front, options: options, screen: screen, settings: settings)
        front.loop = loop
        return loop.run()
    }
}

@MainActor
private final class KeyTestFront: TerminalClient {
    let theme: Theme
    private let keymap: Keymap
    private var lines: [String] = []
    private var size = Size(width: 80, height: 24)
    private var reportsReleases = false
    private var lastWasEnd = false
    weak var loop: TerminalLoop?

    init(theme: Theme, keymap: Keymap) {
        self.theme = theme
        self.keymap = keymap
        let missing = keymap.unreachable(on: KeyReach(environment: ProcessInfo.processInfo.environment), contexts: Action.contexts)
        lines += missing.map { "warning  " + $0 }
    }

    var mouseMode: MouseMode { .clicks }
    var escapeMilliseconds: Int { keymap.escapeMilliseconds }
    var wakeDescriptors: [Int32] { [] }
    var colours: (theme: Theme, palette: [UInt32]) { (theme, Palette.vga) }
    func woken(by descriptors: Set<Int32>, at time: UInt64) {}
    func tick(at time: UInt64) {}
    func nextDeadline(after time: UInt64) -> UInt64? { nil }
    func resize(_ size: Size, at time: UInt64) { self.size = size }
    func setReportsReleases(_ flag: Bool, at time: UInt64) {
        reportsReleases = flag
        // It tells of all keys, whatever its name let expect.
        if flag { lines.removeAll { $0.hasPrefix("warning") } }
    }
    func releaseAll(at time: UInt64) {}
    func notify(_ text: String, at time: UInt64, milliseconds: UInt64) { lines.append(text) }

    func handle(_ event: InputEvent, at time: UInt64) {
        switch event {
        case .key(let key):
            let chord = Chord(key)
            var words = "\(key.kind)"
            words += String(repeating: " ", count: max(1, 9 - words.count)) + chord.spelling
            words += String(repeating: " ", count: max(1, 22 - chord.spelling.count)) + chord.label
            if let position = Chord.position(of: key), position != chord { words += "  position \(position.spelling)" }
            if chord == keymap.host { words += "  (the host key)" }
            lines.append(words)
            let isEnd = chord == Chord(.character("d"), .ctrl)
            if key.kind == .press, !key.isModifier {
                if isEnd, lastWasEnd { loop?.finish(.ended(.poweredOff)) }
                lastWasEnd = isEnd
            }
        case .paste(let text): lines.append("paste    \(text.count) characters")
        case .mouse(let mouse): lines.append("mouse    \(mouse.kind) button \(mouse.button) column \(mouse.column) row \(mouse.row)")
        case .focus(let isIn): lines.append("focus    \(isIn ? "in" : "out")")
        case .reply: break
        }
        if lines.count > 1000 { lines.removeFirst(lines.count - 1000) }
    }

    func draw(at time: UInt64) -> Surface {
        var surface = Surface(width: size.width, height: size.height)
        surface.fill(surface.bounds, .list)
        surface.fill(Rect(x: 0, y: 0, width: size.width, height: 1), .menu)
        surface.put("Key test: press keys, paste, click. Ctrl-D twice ends it.", .menu, column: 1, row: 0)
        let room = max(0, size.height - 2)
        for (y, line) in lines.suffix(room).enumerated() { surface.put(line, .list, column: 1, row: 1 + y, limit: size.width - 2) }
        surface.fill(Rect(x: 0, y: size.height - 1, width: size.width, height: 1), .status)
        let how = reportsReleases ? "This terminal tells presses and releases." : "This terminal sends keys as whole chords, without releases."
        surface.put(how, .status, column: 1, row: size.height - 1)
        return surface
    }
}
