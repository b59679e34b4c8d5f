import CPU
import Primitives

/// IBM VGA, text view: the screen as character cells.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": CRT controller (cursor, start address, line
/// compare), sequencer character map select, attribute controller.
///
/// Not implemented: part rows at the bottom of the screen, pixel panning (the pixel view shows both).
extension VGA {
    /// The display now. In graphics modes and while blank the cells are spaces.
    public func textFrame(memory: GuestMemory) -> TextFrame {
        var frame = TextFrame()
        frame.cells = [UInt16](repeating: 0x0720, count: 80 * 25)
        frame.cursor.visible = false
        frame.fontGeneration = fontGeneration
        guard !isBlank, vramBytes >= 1 << 18, let block = memory.block(offset: vramOffset, bytes: vramBytes) else {
            frame.mode = .blank
            return frame
        }
        guard !isGraphics else {
            let mode = graphicsMode
            frame.mode = .graphics(width: mode.width, height: mode.height, name: mode.name)
            return frame
        }
        let picture = picture
        let rowLines = picture.cellHeight * (picture.doubleScan ? 2 : 1)
        let preset = min(picture.preset, picture.cellHeight - 1) * (picture.doubleScan ? 2 : 1)
        let topLines = min(picture.lines, picture.lineCompare + 1)
        let split = topLines < picture.lines
        // Above the split a row that is cut counts; below it and at the bottom only whole rows do.
        let wanted = split ? (topLines + preset + rowLines - 1) / rowLines : picture.lines / rowLines
        let topRows = min(max(wanted, 1), VGA.mostRows)
        let bottomRows = split ? min((picture.lines - topLines) / rowLines, VGA.mostRows - topRows) : 0

        frame.columns = picture.columns
        frame.rows = topRows + bottomRows
        frame.cellWidth = picture.cellWidth
        frame.cellHeight = picture.cellHeight
        frame.palette = palette16
        frame.blinkEnabled = attribute[0x10] & 8 != 0
        let fonts = fontOffsets
        frame.secondFont = fonts.first != fonts.second
        memory.withBytes(of: block) { vram in
            var cells = [UInt16](repeating: 0, count: frame.columns * frame.rows)
            for row in 0..<frame.rows {
                var counter = row < topRows ? picture.start + row * picture.pitch : (row - topRows) * picture.pitch
                for column in 0..<frame.columns {
                    let at = planeAddress(counter) * 4
                    cells[row * frame.columns + column] = UInt16(vram[at]) | UInt16(vram[at + 1]) << 8
                    counter += 1
                }
            }
            frame.cells = cells
            frame.fontIsStandard =
                fontIsStandard(fonts.first, picture.cellHeight, vram, memory)
                && (fonts.second == fonts.first || fontIsStandard(fonts.second, picture.cellHeight, vram, memory))
        }
        frame.cursor = cursor(picture, columns: frame.columns, topRows: topRows, bottomRows: bottomRows)
        return frame
    }

    /// More rows than this are not shown; 100 are the most in use (160x100 "graphics" of 2-line cells).
    private static let mostRows = 256

    /// Plane-2 offsets of the two fonts: for attribute bit 3 clear (map B) and set (map A). Sequencer 3.
    var fontOffsets: (first: Int, second: Int) {
        let select = Int(sequencer[3])
        let b = (select & 3) << 14 | (select >> 4 & 1) << 13
        let a = (select >> 2 & 3) << 14 | (select >> 5 & 1) << 13
        return (b, a)
    }

    private func cursor(_ picture: VGAPicture, columns: Int, topRows: Int, bottomRows: Int) -> TextFrame.Cursor {
        var cursor = TextFrame.Cursor()
        let start = Int(crtc[0x0A] & 31)
        let end = Int(crtc[0x0B] & 31)
        cursor.startLine = min(start, picture.cellHeight - 1)
        cursor.endLine = min(end, picture.cellHeight - 1)
        let position = Int(crtc[0x0E]) << 8 | Int(crtc[0x0F])
        let skew = Int(crtc[0x0B] >> 5 & 3)
        cursor.visible = false
        let shown = crtc[0x0A] & 0x20 == 0 && start <= end && start < picture.cellHeight
        for (base, first, rows) in [(picture.start, 0, topRows), (0, topRows, bottomRows)] where rows > 0 {
            let distance = (position - base) & 0xFFFF
            let row = picture.pitch > 0 ? distance / picture.pitch : 0
            let column = (picture.pitch > 0 ? distance % picture.pitch : distance) + skew
            guard row < rows, column < columns else { continue }
            (cursor.column, cursor.row, cursor.visible) = (column, first + row, shown)
            break
        }
        return cursor
    }

    // MARK: Fonts

    /// FNV-1a of SeaVGABIOS's three fonts, 256 glyphs of 8, 14 and 16 lines.
    private static let knownFonts: [UInt64] = [0xD9DB_BC3D_F2C7_B6B6, 0x6496_A654_283A_BDD1, 0xCDDA_5098_5EF5_1571]

    /// The font at a plane-2 offset shows CP437: it is the BIOS's, found in its ROM, cut or filled up to the cell's height.
    private func fontIsStandard(_ offset: Int, _ height: Int, _ vram: UnsafeMutableRawBufferPointer, _ memory: GuestMemory) -> Bool {
        var glyphs = [UInt8](repeating: 0, count: 256 * height)
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var any: UInt8 = 0
        for glyph in 0..<256 {
            for line in 0..<height {
                let byte = vram[((offset + glyph * 32 + line) & 0xFFFF) * 4 + 2]
                glyphs[glyph * height + line] = byte
                any |= byte
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
            }
        }
        // No font yet: nothing readable is displayed, and CP437 is what the text will be.
        if any == 0 || VGA.knownFonts.contains(hash) { return true }
        return VGA.find(glyphs, height: height, in: memory.read(0xC0000, count: VGA.romBytes))
    }

    /// Looks in a ROM for a font of 8, 14, 16 or `height` lines a glyph that agrees with 256 `glyphs` of `height` lines. Lines that
    /// the ROM's glyphs have not must be empty.
    static func find(_ glyphs: [UInt8], height: Int, in rom: [UInt8]) -> Bool {
        let key = 0x41  // "A" is looked for first
        let compared = min(height, 8)
        func agrees(_ base: Int, _ romHeight: Int) -> Bool {
            guard base >= 0, base + 256 * romHeight <= rom.count else { return false }
            for at in 0..<(256 * height) {
                let (glyph, line) = at.quotientAndRemainder(dividingBy: height)
                let expected = line < romHeight ? rom[base + glyph * romHeight + line] : 0
                guard glyphs[at] == expected else { return false }
            }
            return true
        }
        func word(_ bytes: [UInt8], _ at: Int) -> UInt64 { (0..<compared).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) } }
        let wanted = word(glyphs, key * height)
        let mask = UInt64.max >> UInt64(64 - 8 * compared)
        let places: [Int] = rom.withUnsafeBytes { rom in
            var places: [Int] = []
            // A ROM that is full of candidates is not searched to its end.
            for at in 0..<max(rom.count - 7, 0) where rom.loadUnaligned(fromByteOffset: at, as: UInt64.self) & mask == wanted {
                places.append(at)
                if places.count == 16 { break }
            }
            return places
        }
        let heights = Set([8, 14, 16, height])
        return places.contains { place in heights.contains { agrees(place - key * $0, $0) } }
    }
}
