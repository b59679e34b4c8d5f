/// A grid of cells that panels draw on. A value: drawing is a function from state to cells, and tests compare cells.
public struct Surface: Equatable, Sendable {
    /// The terminal's own cursor, where it shall be shown.
    public struct Cursor: Equatable, Sendable {
        public enum Shape: Equatable, Sendable { case block, underline, bar }
        public var column: Int, row: Int
        public var shape: Shape
        public init(column: Int, row: Int, shape: Shape) {
            self.column = column
            self.row = row
            self.shape = shape
        }
    }

    public let width: Int, height: Int
    /// Row by row, `width * height`.
    public private(set) var cells: [Cell]
    public var cursor: Cursor?

    public init(width: Int, height: Int, filledWith cell: Cell = .blank) {
        self.width = max(0, width)
        self.height = max(0, height)
        cells = [Cell](repeating: cell, count: self.width * self.height)
    }

    public var bounds: Rect { Rect(x: 0, y: 0, width: width, height: height) }

    /// Out of bounds reads are blank and writes are dropped.
    @inline(__always)
    public subscript(column: Int, row: Int) -> Cell {
        get { column >= 0 && column < width && row >= 0 && row < height ? cells[row * width + column] : .blank }
        set {
            guard column >= 0, column < width, row >= 0, row < height else { return }
            cells[row * width + column] = newValue
        }
    }

    public func row(_ y: Int) -> ArraySlice<Cell> { cells[y * width..<(y + 1) * width] }

    public mutating func fill(_ rect: Rect, _ role: Role, scalar: UInt32 = 0x20) {
        let cell = Cell(scalar: scalar, ink: Ink(role))
        for y in max(0, rect.y)..<max(0, rect.y, min(height, rect.bottom)) {
            for x in max(0, rect.x)..<max(0, rect.x, min(width, rect.right)) { cells[y * width + x] = cell }
        }
    }

    /// Changes the ink and keeps the characters (shadows).
    public mutating func tint(_ rect: Rect, _ role: Role) {
        let ink = Ink(role)
        for y in max(0, rect.y)..<max(0, rect.y, min(height, rect.bottom)) {
            for x in max(0, rect.x)..<max(0, rect.x, min(width, rect.right)) { cells[y * width + x].ink = ink }
        }
    }

    /// Copies another grid into this one, its cursor too.
    public mutating func put(_ other: Surface, column: Int, row: Int) {
        for y in 0..<other.height { for x in 0..<other.width { self[column + x, row + y] = other[x, y] } }
        if var cursor = other.cursor {
            cursor.column += column
            cursor.row += row
            self.cursor = cursor
        }
    }

    /// Writes one line of text; controls vanish, what does not fit in `limit` columns is cut with an ellipsis.
    /// - Returns: the column after the text.
    @discardableResult
    public mutating func put(_ text: String, _ role: Role, column: Int, row: Int, limit: Int = .max) -> Int {
        let room = min(limit, width - column)
        guard room > 0 else { return column }
        let ink = Ink(role)
        let cut = Width.of(text) > room
        var x = column
        let end = column + room - (cut ? 1 : 0)
        for scalar in text.unicodeScalars {
            let w = Width.of(scalar)
            if w == 0 { continue }
            if x + w > end { break }
            self[x, row] = Cell(scalar: scalar.value, ink: ink)
            if w == 2 { self[x + 1, row] = Cell(scalar: 0, ink: ink) }
            x += w
        }
        if cut {
            self[x, row] = Cell(scalar: 0x2026, ink: ink)
            x += 1
        }
        return x
    }

    /// A frame, its inside cleared, with an optional title on the top edge.
    public mutating func box(_ rect: Rect, border: BorderStyle, frame: Role, inside: Role, title: String? = nil, titled: Role? = nil) {
        guard rect.width >= 2, rect.height >= 2 else { return fill(rect, inside) }
        fill(rect, inside)
        let g = border.glyphs, ink = Ink(frame)
        for x in rect.x + 1..<rect.right - 1 {
            self[x, rect.y] = Cell(scalar: g[0], ink: ink)
            self[x, rect.bottom - 1] = Cell(scalar: g[0], ink: ink)
        }
        for y in rect.y + 1..<rect.bottom - 1 {
            self[rect.x, y] = Cell(scalar: g[1], ink: ink)
            self[rect.right - 1, y] = Cell(scalar: g[1], ink: ink)
        }
        self[rect.x, rect.y] = Cell(scalar: g[2], ink: ink)
        self[rect.right - 1, rect.y] = Cell(scalar: g[3], ink: ink)
        self[rect.x, rect.bottom - 1] = Cell(scalar: g[4], ink: ink)
        self[rect.right - 1, rect.bottom - 1] = Cell(scalar: g[5], ink: ink)
        if let title, rect.width > 6 { put(" \(title) ", titled ?? frame, column: rect.x + 2, row: rect.y, limit: rect.width - 4) }
    }

    /// With characters that a terminal of fewer glyphs has.
    public func reduced(to set: GlyphSet) -> Surface {
        var result = self
        for i in cells.indices where cells[i].scalar != 0 { result.cells[i].scalar = Glyphs.reduce(cells[i].scalar, to: set) }
        return result
    }

    /// Rows as text, trailing blanks cut.
    public var text: String {
        (0..<height).map { y in
            var line = String.UnicodeScalarView()
            for cell in row(y) where cell.scalar != 0 { line.append(Unicode.Scalar(cell.scalar) ?? "?") }
            while line.last == " " { line.removeLast() }
            return String(line)
        }.joined(separator: "\n")
    }

    /// Rows as inks: runs of `count×attribute` (two hexadecimal digits) or `count×role`.
    public var inks: String {
        (0..<height).map { y in
            var runs: [(Int, Ink)] = []
            for cell in row(y) {
                if let last = runs.last, last.1 == cell.ink { runs[runs.count - 1].0 += 1 } else { runs.append((1, cell.ink)) }
            }
            return runs.map { "\($0.0)×" + ($0.1.role?.rawValue ?? hexByte($0.1.attribute ?? 0)) }.joined(separator: " ")
        }.joined(separator: "\n")
    }

    private func hexByte(_ value: UInt8) -> String { (value < 16 ? "0" : "") + String(value, radix: 16, uppercase: true) }
}

/// The lines of frames, by theme.
public enum BorderStyle: String, CaseIterable, Sendable {
    case single, double, rounded, ascii, none

    /// Horizontal, vertical, then the corners: top left, top right, bottom left, bottom right.
    var glyphs: [UInt32] {
        switch self {
        case .single: [0x2500, 0x2502, 0x250C, 0x2510, 0x2514, 0x2518]
        case .double: [0x2550, 0x2551, 0x2554, 0x2557, 0x255A, 0x255D]
        case .rounded: [0x2500, 0x2502, 0x256D, 0x256E, 0x2570, 0x256F]
        case .ascii: [0x2D, 0x7C, 0x2B, 0x2B, 0x2B, 0x2B]
        case .none: [0x20, 0x20, 0x20, 0x20, 0x20, 0x20]
        }
    }
}
