import Hardware
import Primitives

/// The text screen as Unicode lines, for scripts, `--screen-text` and failure reports.
public enum ScreenText {
    /// One string a row, trailing blanks cut. In graphics modes and with the display off there are no rows.
    public static func rows(_ frame: TextFrame) -> [String] {
        guard frame.mode == .text, frame.columns > 0 else { return [] }
        let count = min(frame.rows, frame.cells.count / frame.columns)
        return (0..<max(0, count)).map { row in
            let cells = frame.cells[row * frame.columns..<(row + 1) * frame.columns]
            var line = String(cells.map { CodePage437.character(UInt8(truncatingIfNeeded: $0)) })
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// Rows joined by newlines, each ended by one; empty in graphics modes.
    public static func text(_ frame: TextFrame) -> String { rows(frame).map { $0 + "\n" }.joined() }

    /// For a failure report: the rows between two rules, blank ones at the end left out, or what is shown instead of text.
    public static func report(_ frame: TextFrame) -> String {
        var rows = rows(frame)
        while rows.last?.isEmpty == true { rows.removeLast() }
        switch frame.mode {
        case .text: return rows.isEmpty ? "The screen was empty." : "On the screen was:\n" + rows.map { "| " + $0 }.joined(separator: "\n")
        case .graphics(_, _, let name): return "The screen was in graphics mode \(name)."
        case .blank: return "The display was off."
        }
    }
}
