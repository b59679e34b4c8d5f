import Hardware

/// The text screen in failure reports.
public enum ScreenText {
    /// The rows between two rules, blank ones at the end left out, or what is shown instead of text.
    public static func report(_ frame: TextFrame) -> String {
        var rows = frame.textRows
        while rows.last?.isEmpty == true { rows.removeLast() }
        switch frame.mode {
        case .text: return rows.isEmpty ? "The screen was empty." : "On the screen was:\n" + rows.map { "| " + $0 }.joined(separator: "\n")
        case .graphics(_, _, let name): return "The screen was in graphics mode \(name)."
        case .blank: return "The display was off."
        }
    }
}
