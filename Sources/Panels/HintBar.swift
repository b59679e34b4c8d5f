import Terminal

/// The bottom line of the manager: keys that work now, from the keymap; a short message in their place.
struct HintBar {
    var hints: [(key: String, action: ActionID, title: String)]
    var toast: String?
    /// At the right end.
    var note = ""

    private struct Piece { var text: String, role: Role, action: ActionID?, column: Int }

    private func pieces(_ width: Int) -> [Piece] {
        if let toast { return [Piece(text: " \(toast) ", role: .statusAlert, action: nil, column: 0)] }
        var result: [Piece] = []
        var x = 1
        for hint in hints {
            let wide = Width.of(hint.key) + Width.of(hint.title) + 1
            if x + wide + Width.of(note) > width { break }
            result.append(Piece(text: hint.key, role: .statusKey, action: hint.action, column: x))
            x += Width.of(hint.key)
            result.append(Piece(text: " " + hint.title, role: .status, action: hint.action, column: x))
            x += Width.of(hint.title) + 3
        }
        if !note.isEmpty { result.append(Piece(text: note, role: .status, action: nil, column: width - Width.of(note))) }
        return result
    }

    func draw(row: Int, on surface: inout Surface) {
        surface.fill(Rect(x: 0, y: row, width: surface.width, height: 1), .status)
        for piece in pieces(surface.width) { surface.put(piece.text, piece.role, column: piece.column, row: row) }
    }

    func action(column: Int, width: Int) -> ActionID? {
        pieces(width).first { column >= $0.column && column < $0.column + Width.of($0.text) }?.action
    }
}
