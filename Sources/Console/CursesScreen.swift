import CNcursesW
import Glibc
import Terminal

/// The terminal's screen by ncurses: cells in, the fewest bytes out. Output only; keys are read elsewhere.
@MainActor
final class CursesScreen {
    let tier: ColourTier
    let glyphs: GlyphSet
    /// The description in use, when it is not the one that TERM names.
    let substitute: String?
    /// Private control sequences are harmless on this terminal.
    let takesPrivateModes: Bool

    /// The locale has no line graphics, though nobody asked for 7 bits.
    let lacksGlyphs: Bool

    private let screen: OpaquePointer
    private let files: [UnsafeMutablePointer<FILE>]
    private var window: UnsafeMutablePointer<WINDOW>
    private var table: InkTable
    private var pairs = [Int32](repeating: 0, count: Ink.count)
    private var attributes = [attr_t](repeating: 0, count: Ink.count)
    private let smallPairs: Bool
    private var shown: Surface?
    private var cursorShape: Surface.Cursor.Shape?
    private var row: [cchar_t] = []

    /// - Throws: a sentence when the terminal is none, unknown or cannot place a cursor.
    init(options: ConsoleOptions, theme: Theme) throws(ScreenError) {
        setlocale(LC_ALL, "")
        let utf8 = nl_langinfo(nl_item(cw_codeset())).map { String(cString: $0) == "UTF-8" } ?? false
        glyphs = utf8 && !options.ascii ? .full : .ascii
        lacksGlyphs = !utf8 && !options.ascii
        use_tioctl(true)
        guard let input = fdopen(dup(0), "r"), let output = fdopen(dup(1), "w") else {
            throw ScreenError(sentence: "The terminal cannot be opened.")
        }
        let name = getenv("TERM").map { String(cString: $0) } ?? ""
        let wantsColour = !options.mono && getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
        var candidates: [(name: String, description: String?)] = []
        if wantsColour, let description = TerminalDescription.direct(for: name) { candidates.append((name, description)) }
        candidates.append((name, nil))
        if TerminalDescription.isModern(name) { candidates.append(("xterm-256color", nil)) }
        var opened: (OpaquePointer, String)?
        for candidate in candidates where !candidate.name.isEmpty {
            let former = getenv("TERMINFO").map { String(cString: $0) }
            if let description = candidate.description { setenv("TERMINFO", description, 1) }
            let screen = newterm(candidate.name, output, input)
            if candidate.description != nil {
                if let former { setenv("TERMINFO", former, 1) } else { unsetenv("TERMINFO") }
            }
            if let screen {
                opened = (screen, candidate.name)
                break
            }
        }
        guard let (screen, used) = opened else {
            fclose(input)
            fclose(output)
            throw ScreenError(
                sentence: name.isEmpty
                    ? "TERM is not set; set it to the name of your terminal, for example TERM=xterm-256color."
                    : "The terminal '\(name)' is not known here; install the package ncurses-term, or set TERM=xterm-256color.")
        }
        self.screen = screen
        files = [input, output]
        substitute = used == name ? nil : used
        takesPrivateModes = !(name.hasPrefix("linux") || name.hasPrefix("vt"))
        guard let cup = tigetstr("cup"), Int(bitPattern: cup) != -1, let window = newwin(0, 0, 0, 0) else {
            endwin()
            delscreen(screen)
            throw ScreenError(sentence: "The terminal '\(name)' cannot place its cursor; the console needs a terminal that can.")
        }
        self.window = window
        raw()
        noecho()
        nonl()
        typeahead(-1)
        leaveok(window, false)
        idlok(window, true)
        tier = CursesScreen.startColour(wantsColour)
        smallPairs = tier != .mono && cw_color_pairs() <= 256
        if tier != .mono {
            // Few pairs: pair 0 is light grey on black, so that 8 times 8 fit. Many: pair 0 is the terminal's own.
            if smallPairs { assume_default_colors(7, 0) } else { use_default_colors() }
        }
        table = InkTable(theme: theme, tier: tier, guestPalette: Palette.vga)
        applyTable()
    }

    private static func startColour(_ wanted: Bool) -> ColourTier {
        guard wanted, has_colors() else { return .mono }
        start_color()
        switch cw_colors() {
        case ..<8: return .mono
        case ..<16: return .eight
        case ..<256: return .sixteen
        case ..<(1 << 24): return .indexed256
        default: return .direct
        }
    }

    var size: Size { Size(width: Int(getmaxx(window)), height: Int(getmaxy(window))) }

    /// Enters the alternate screen: newterm does not, the first refresh does.
    func enter() {
        werase(window)
        wnoutrefresh(window)
        doupdate()
    }

    func leave() {
        curs_set(1)
        endwin()
    }

    func close() {
        delwin(window)
        delscreen(screen)
        for file in files { fclose(file) }
    }

    /// After a stop: the next refresh enters the screen again.
    func reenter() {
        clearok(window, true)
        enter()
        invalidate()
    }

    func resize(_ size: Size) {
        resize_term(Int32(clamping: size.height), Int32(clamping: size.width))
        wresize(window, Int32(clamping: size.height), Int32(clamping: size.width))
        werase(window)
        invalidate()
    }

    /// The next picture is painted from nothing.
    func invalidate() {
        shown = nil
        clearok(window, true)
    }

    /// Colours changed: theme or the guest's palette.
    /// - Returns: whether anything is different.
    @discardableResult
    func setColours(theme: Theme, guestPalette: [UInt32]) -> Bool {
        let new = InkTable(theme: theme, tier: tier, guestPalette: guestPalette)
        guard new != table else { return false }
        table = new
        applyTable()
        shown = nil
        return true
    }

    private func applyTable() {
        for (i, ink) in table.inks.enumerated() {
            attributes[i] = CursesScreen.attributes(ink.mods)
            if tier == .mono || (ink.foreground < 0 && ink.background < 0) {
                pairs[i] = 0
            } else if smallPairs {
                let fg = ink.foreground < 0 ? 7 : ink.foreground, bg = ink.background < 0 ? 0 : ink.background
                pairs[i] = fg == 7 && bg == 0 ? 0 : max(0, alloc_pair(fg, bg))
            } else {
                pairs[i] = max(0, alloc_pair(ink.foreground, ink.background))
            }
        }
    }

    private static func attributes(_ mods: TextMods) -> attr_t {
        (mods.contains(.bold) ? cw_bold() : 0) | (mods.contains(.dim) ? cw_dim() : 0) | (mods.contains(.italic) ? cw_italic() : 0)
            | (mods.contains(.underline) ? cw_underline() : 0) | (mods.contains(.reverse) ? cw_reverse() : 0)
            | (mods.contains(.blink) ? cw_blink() : 0)
    }

    /// Whether `present` would send anything.
    func differs(_ surface: Surface) -> Bool { surface != shown }

    /// Brings the terminal to this picture.
    /// - Parameter bracket: sent before and after in the same breath.
    func present(_ surface: Surface, before: String, after: String) {
        writeRaw(before)
        for y in 0..<surface.height {
            if let shown, shown.width == surface.width, shown.height == surface.height, shown.row(y) == surface.row(y) { continue }
            row.removeAll(keepingCapacity: true)
            for cell in surface.row(y) where cell.scalar != 0 {
                let ink = Int(cell.ink.code)
                let scalar = table.inks[ink].mods.contains(.hidden) ? 0x20 : Glyphs.reduce(cell.scalar, to: glyphs)
                row.append(
                    cchar_t(attr: attributes[ink], chars: (wchar_t(bitPattern: scalar), 0, 0, 0, 0), ext_color: pairs[ink]))
            }
            mvwadd_wchnstr(window, Int32(y), 0, row, Int32(row.count))
        }
        if let cursor = surface.cursor {
            if shown?.cursor == nil { curs_set(1) }
            if cursor.shape != cursorShape, takesPrivateModes { writeRaw(ControlSequences.cursorShape(cursor.shape)) }
            cursorShape = cursor.shape
            wmove(window, Int32(cursor.row), Int32(cursor.column))
        } else {
            if shown == nil || shown?.cursor != nil { curs_set(0) }
            wmove(window, 0, 0)
        }
        wnoutrefresh(window)
        doupdate()
        shown = surface
        writeRaw(after)
    }

    func forgetCursor() { cursorShape = nil }

    /// Bytes for the terminal that curses knows nothing of.
    func writeRaw(_ text: String) {
        guard !text.isEmpty else { return }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let n = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
            if n < 0, errno == EINTR { continue }
            guard n > 0 else { return }
            bytes = bytes.dropFirst(n)
        }
    }
}
