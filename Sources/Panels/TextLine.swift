import Terminal

/// One line of text that is edited, with a cursor in it.
struct TextLine: Equatable, Sendable {
    private(set) var scalars: [Unicode.Scalar]
    private(set) var cursor: Int

    init(_ text: String = "") {
        scalars = Array(text.unicodeScalars)
        cursor = scalars.count
    }

    var text: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// - Returns: whether the command is one of editing.
    mutating func command(_ id: ActionID) -> Bool {
        switch id {
        case .menuLeft: cursor = max(0, cursor - 1)
        case .menuRight: cursor = min(scalars.count, cursor + 1)
        case .listFirst: cursor = 0
        case .listLast: cursor = scalars.count
        case .backspace:
            guard cursor > 0 else { return true }
            cursor -= 1
            scalars.remove(at: cursor)
        case .deleteForward: if cursor < scalars.count { scalars.remove(at: cursor) }
        case .clearText:
            scalars = []
            cursor = 0
        default: return false
        }
        return true
    }

    mutating func insert(_ scalar: Unicode.Scalar) {
        guard scalars.count < 4096 else { return }
        scalars.insert(scalar, at: cursor)
        cursor += 1
    }

    /// What is pasted loses its line ends.
    mutating func paste(_ text: String) {
        for scalar in text.unicodeScalars where Width.of(scalar) > 0 { insert(scalar) }
    }

    /// Draws the part around the cursor.
    /// - Parameter showsCursor: the line has the keyboard.
    func draw(column: Int, row: Int, width: Int, role: Role, showsCursor: Bool, on surface: inout Surface) {
        guard width > 1 else { return }
        surface.fill(Rect(x: column, y: row, width: width, height: 1), role)
        let before = scalars.prefix(cursor).reduce(0) { $0 + Width.of($1) }
        var skip = 0, skipped = 0
        while before - skipped > width - 1, skip < scalars.count {
            skipped += Width.of(scalars[skip])
            skip += 1
        }
        var view = String.UnicodeScalarView()
        var used = 0
        for scalar in scalars.dropFirst(skip) {
            used += Width.of(scalar)
            if used > width { break }
            view.append(scalar)
        }
        surface.put(String(view), role, column: column, row: row, limit: width)
        if showsCursor { surface.cursor = Surface.Cursor(column: column + before - skipped, row: row, shape: .bar) }
    }
}
