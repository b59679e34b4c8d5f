import Terminal

/// How panels of the manager are framed: by the theme, or for screen readers without any lines.
struct PanelLook: Sendable {
    var border = BorderStyle.single
    var shadow = false
    /// No frames, one thing below the other, the terminal's cursor where the attention is.
    var linear = false

    init(_ theme: Theme, linear: Bool) {
        border = linear ? .none : theme.border
        shadow = theme.shadow && !linear
        self.linear = linear
    }

    func frame(_ area: Rect, title: String, focused: Bool, inside: Role = .list, on surface: inout Surface) {
        surface.box(
            area, border: border, frame: focused ? .panelBorderFocus : .panelBorder, inside: inside, title: title,
            titled: focused ? .panelTitle : .panelBorder)
    }

    /// A note in the lower right of a frame.
    func note(_ text: String, _ area: Rect, on surface: inout Surface) {
        surface.put(text, .panelBorderFocus, column: area.right - 2 - Width.of(text), row: area.bottom - 1)
    }

    /// Where a screen reader shall read.
    func point(_ column: Int, _ row: Int, on surface: inout Surface) {
        guard linear else { return }
        surface.cursor = Surface.Cursor(column: column, row: row, shape: .block)
    }

    /// Words in lines of a width, broken at blanks; words that are longer are cut.
    static func wrap(_ text: String, _ width: Int) -> [String] {
        guard width > 0 else { return [] }
        var lines: [String] = []
        for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var line = ""
            for word in paragraph.split(separator: " ") {
                var word = String(word)
                while Width.of(word) > width {
                    if !line.isEmpty { lines.append(line) }
                    line = ""
                    var piece = "", rest = Substring(word)
                    while let c = rest.first, Width.of(piece) + Width.of(String(c)) <= width {
                        piece.append(c)
                        rest = rest.dropFirst()
                    }
                    guard !piece.isEmpty else { break }
                    lines.append(piece)
                    word = String(rest)
                }
                if line.isEmpty { line = word } else if Width.of(line) + 1 + Width.of(word) <= width { line += " " + word } else {
                    lines.append(line)
                    line = word
                }
            }
            lines.append(line)
        }
        return lines
    }
}
