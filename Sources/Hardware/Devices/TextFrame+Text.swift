import Primitives

extension TextFrame {
    /// The rows as Unicode, glyph by glyph, trailing blanks cut. No rows while the display is blank or in a graphics mode.
    public var textRows: [String] { rows(cut: true) }

    private func rows(cut: Bool) -> [String] {
        guard mode == .text, columns > 0, cells.count >= columns * rows else { return [] }
        let table = codePage.codePoints
        return (0..<rows).map { row in
            var line = String.UnicodeScalarView()
            var blanks = 0
            for column in 0..<columns {
                let scalar = Unicode.Scalar(table[Int(cells[row * columns + column] & 0xFF)]) ?? " "
                if scalar == " " {
                    blanks += 1
                } else {
                    for _ in 0..<blanks { line.append(" ") }
                    blanks = 0
                    line.append(scalar)
                }
            }
            if !cut { for _ in 0..<blanks { line.append(" ") } }
            return String(line)
        }
    }

    /// `textRows`, each ended by a newline.
    public var text: String { textRows.map { $0 + "\n" }.joined() }

    /// The same with rows of full width.
    public var fullText: String { rows(cut: false).map { $0 + "\n" }.joined() }
}

extension PixelFrame {
    /// The picture as a PNG file.
    public var png: [UInt8] { PNG.encode(width: width, height: height, rgb: pixels) }
}
