/// What we send to the terminal outside curses.
///
/// Source: *XTerm Control Sequences*; kitty *Comprehensive keyboard handling in terminals*; the synchronised output
/// specification (private mode 2026).
public enum ControlSequences {
    /// Undoes all that the console can have switched on. Harmless on a terminal where nothing was.
    public static let restore =
        "\u{1B}[?2026l\u{1B}[<u\u{1B}[>4m\u{1B}[?9001l\u{1B}[?1000l\u{1B}[?1002l\u{1B}[?1003l\u{1B}[?1006l\u{1B}[?1004l\u{1B}[?2004l"
        + "\u{1B}[0 q\u{1B}[?25h\u{1B}[0m\u{1B}[?1049l"

    /// The same for terminals that know nothing private: attributes off, cursor on.
    public static let restorePlain = "\u{1B}[0m\u{1B}[?25h"

    /// First questions: kitty flags, synchronised output, win32 input, name, and DA1, which every terminal answers, as a fence.
    public static let probe = "\u{1B}[?u\u{1B}[?2026$p\u{1B}[?9001$p\u{1B}[>0q\u{1B}[c"

    public static let beginSynchronised = "\u{1B}[?2026h"
    public static let endSynchronised = "\u{1B}[?2026l"
    /// Asks whether the terminal has caught up.
    public static let fence = "\u{1B}[5n"

    /// Press, repeat, release, alternate keys, all keys as sequences, text: 1 + 2 + 4 + 8 + 16.
    public static let pushKittyKeys = "\u{1B}[>31u\u{1B}[?u"
    public static let popKittyKeys = "\u{1B}[<u"
    public static let modifyOtherKeys = "\u{1B}[>4;2m"
    public static let win32Keys = "\u{1B}[?9001h"
    public static let bracketedPaste = "\u{1B}[?2004h"
    public static let focusReports = "\u{1B}[?1004h"

    /// Clicks only, or every motion, in SGR form; or nothing.
    public static func mouse(_ mode: MouseMode) -> String {
        switch mode {
        case .off: "\u{1B}[?1003l\u{1B}[?1000l\u{1B}[?1006l"
        case .clicks: "\u{1B}[?1003l\u{1B}[?1000h\u{1B}[?1006h"
        case .motion: "\u{1B}[?1000h\u{1B}[?1003h\u{1B}[?1006h"
        }
    }

    public static func cursorShape(_ shape: Surface.Cursor.Shape) -> String {
        switch shape {
        case .block: "\u{1B}[1 q"
        case .underline: "\u{1B}[3 q"
        case .bar: "\u{1B}[5 q"
        }
    }
}

/// What the terminal shall tell about the mouse.
public enum MouseMode: String, CaseIterable, Sendable { case off, clicks, motion }
