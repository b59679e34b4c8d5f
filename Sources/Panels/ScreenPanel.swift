import Hardware
import Terminal

/// The guest's text screen, cell by cell.
public struct ScreenPanel {
    public struct Look: Equatable, Sendable {
        public var glyphs = GlyphSet.full
        public var blink = Theme.Blink.software
        /// 40-column modes take two columns a cell.
        public var wide = false
        public init() {}
        public init(_ guest: Theme.Guest) {
            glyphs = guest.glyphs
            blink = guest.blink
            wide = guest.wide
        }
    }

    public let frame: TextFrame
    public let look: Look
    /// Upper left cell that is shown, when the terminal is smaller.
    public let origin: (column: Int, row: Int)
    /// Blinking cells show now.
    public let blinkIsOn: Bool

    public init(frame: TextFrame, look: Look, origin: (column: Int, row: Int) = (0, 0), blinkIsOn: Bool = true) {
        self.frame = frame
        self.look = look
        self.origin = origin
        self.blinkIsOn = blinkIsOn
    }

    /// Columns on the terminal for a column of the guest.
    public static func scale(_ frame: TextFrame, _ look: Look) -> Int { look.wide && frame.columns <= 40 ? 2 : 1 }

    /// Where the guest's screen lies in an area: in the middle, or all of it when the guest's is bigger.
    public func place(in area: Rect) -> Rect {
        area.centred(width: max(0, frame.columns) * ScreenPanel.scale(frame, look), height: max(0, frame.rows))
    }

    public func draw(in area: Rect, on surface: inout Surface) {
        surface.fill(area, .desktop)
        let columns = frame.columns, rows = frame.rows
        guard columns > 0, rows > 0, rows <= frame.cells.count / columns else { return }
        let place = place(in: area)
        let scale = ScreenPanel.scale(frame, look), glyphs = frame.codePage.codePoints
        for y in 0..<place.height {
            let row = y + origin.row
            guard row >= 0, row < rows else { continue }
            for x in 0..<place.width / scale {
                let column = x + origin.column
                guard column >= 0, column < columns else { continue }
                var cell = resolve(frame.cells[row * columns + column], glyphs)
                surface[place.x + x * scale, place.y + y] = cell
                if scale == 2 {
                    cell.scalar = ScreenPanel.extends(cell.scalar) ? cell.scalar : 0x20
                    surface[place.x + x * 2 + 1, place.y + y] = cell
                }
            }
        }
        drawCursor(place, scale, on: &surface)
    }

    /// Character and attribute to what is shown: attribute bit 7 is blink or a bright background, as the guest has set.
    private func resolve(_ word: UInt16, _ glyphs: [UInt16]) -> Cell {
        let attribute = UInt8(truncatingIfNeeded: word >> 8)
        let full = UInt32(glyphs[Int(word & 0xFF)]), scalar = look.glyphs == .safe ? Glyphs.reduce(full, to: .safe) : full
        guard frame.blinkEnabled, attribute & 0x80 != 0 else { return Cell(scalar: scalar, ink: Ink(attribute: attribute)) }
        let steady = attribute & 0x7F
        switch look.blink {
        case .off: return Cell(scalar: scalar, ink: Ink(attribute: steady))
        case .terminal: return Cell(scalar: scalar, ink: Ink(attribute: steady, blinking: true))
        case .software: return Cell(scalar: blinkIsOn ? scalar : 0x20, ink: Ink(attribute: steady))
        }
    }

    /// Box lines and blocks that must not be torn by the second column of a wide cell.
    private static func extends(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x2500, 0x2550, 0x2580, 0x2584, 0x2588, 0x2591, 0x2592, 0x2593: true
        default: false
        }
    }

    private func drawCursor(_ place: Rect, _ scale: Int, on surface: inout Surface) {
        let cursor = frame.cursor
        guard cursor.visible, cursor.startLine <= cursor.endLine, cursor.startLine < max(1, frame.cellHeight) else { return }
        let x = (cursor.column &- origin.column), y = cursor.row &- origin.row
        guard x >= 0, y >= 0, x < place.width / scale, y < place.height else { return }
        let height = max(1, frame.cellHeight), lines = min(cursor.endLine, height - 1) - max(0, cursor.startLine) + 1
        let shape: Surface.Cursor.Shape = lines >= height / 2 ? .block : .underline
        surface.cursor = Surface.Cursor(column: place.x + x * scale, row: place.y + y, shape: shape)
    }

    /// Whether anything in the frame blinks by our redrawing.
    public static func blinks(_ frame: TextFrame, _ look: Look) -> Bool {
        guard look.blink == .software, frame.blinkEnabled, frame.mode == .text else { return false }
        return frame.cells.contains { $0 & 0x8000 != 0 && $0 & 0xFF != 0x20 && $0 & 0xFF != 0 }
    }

    /// The upper left cell to show so that the cursor is in view, moving as little as possible.
    public static func follow(_ frame: TextFrame, from origin: (column: Int, row: Int), shown: Size) -> (column: Int, row: Int) {
        let clamp = { (n: Int, size: Int, room: Int) -> Int in max(0, min(n, size - room)) }
        var column = clamp(origin.column, frame.columns, shown.width), row = clamp(origin.row, frame.rows, shown.height)
        if frame.cursor.visible, frame.cursor.row >= 0, frame.cursor.row < frame.rows, frame.cursor.column >= 0,
            frame.cursor.column < frame.columns
        {
            if frame.cursor.row < row { row = frame.cursor.row }
            if frame.cursor.row >= row + shown.height { row = frame.cursor.row - shown.height + 1 }
            if frame.cursor.column < column { column = frame.cursor.column }
            if frame.cursor.column >= column + shown.width { column = frame.cursor.column - shown.width + 1 }
        }
        return (clamp(column, frame.columns, shown.width), clamp(row, frame.rows, shown.height))
    }

    /// The guest's screen as text: rows with trailing blanks cut, trailing empty rows dropped.
    public static func text(_ frame: TextFrame) -> String {
        guard frame.columns > 0, frame.rows > 0, frame.rows <= frame.cells.count / frame.columns else { return "" }
        let glyphs = frame.codePage.codePoints
        var lines: [String] = (0..<frame.rows).map { row in
            var line = String.UnicodeScalarView()
            for column in 0..<frame.columns {
                line.append(Unicode.Scalar(glyphs[Int(frame.cells[row * frame.columns + column] & 0xFF)]) ?? " ")
            }
            while line.last == " " { line.removeLast() }
            return String(line)
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { $0 + "\n" }.joined()
    }
}
