import Hardware
import Machine

extension CannedMachine {
    /// A screen by name.
    public static func frame(_ scene: Scene) -> TextFrame {
        var frame = TextFrame()
        switch scene {
        case .forty: frame.columns = 40
        case .big: (frame.columns, frame.rows, frame.cellHeight) = (132, 50, 8)
        default: break
        }
        frame.cells = [UInt16](repeating: 0x0720, count: frame.columns * frame.rows)
        switch scene {
        case .prompt, .forty:
            put("Welcome to the canned guest.", 0, 0, &frame)
            put("C:\\>", 0, 2, &frame)
            (frame.cursor.column, frame.cursor.row) = (4, 2)
        case .bottom:
            put("first row", 0, 0, &frame)
            put("C:\\>", 0, 24, &frame)
            (frame.cursor.column, frame.cursor.row) = (4, 24)
        case .glyphs:
            // 16 rows of 16 characters, in columns two apart.
            for code in 0..<256 { frame.cells[(code / 16 + 1) * 80 + code % 16 * 3 + 2] = 0x0700 | UInt16(code) }
            frame.cursor.visible = false
        case .attributes:
            frame.blinkEnabled = false
            for attribute in 0..<256 {
                let at = (attribute / 16 + 1) * 80 + attribute % 16 * 3 + 2
                frame.cells[at] = UInt16(attribute) << 8 | 0x41
                frame.cells[at + 1] = UInt16(attribute) << 8 | 0xB1
            }
            frame.cursor.visible = false
        case .graphics: frame.mode = .graphics(width: 640, height: 480, name: "640x480x4 planar")
        case .blank: frame.mode = .blank
        case .blink:
            put("steady", 0, 0, &frame)
            put("blinking", 10, 0, &frame, attribute: 0x87)
        case .big:
            for row in 0..<50 { put("row \(row)", 0, row, &frame) }
            put("right edge", 122, 0, &frame)
            (frame.cursor.column, frame.cursor.row) = (0, 49)
        case .palette:
            put("tinted", 0, 0, &frame, attribute: 0x1F)
            frame.palette[1] = 0x203040
            frame.palette[15] = 0xE0D0C0
        }
        return frame
    }

    private static func put(_ text: String, _ column: Int, _ row: Int, _ frame: inout TextFrame, attribute: UInt16 = 0x07) {
        for (i, byte) in text.utf8.enumerated() { frame.cells[row * frame.columns + column + i] = attribute << 8 | UInt16(byte) }
    }
}
