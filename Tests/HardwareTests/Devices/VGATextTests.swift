import CPU
import Foundation
import Primitives
import Testing

@testable import Hardware

@Suite("VGA · text view") struct VGATextTests {
    private func frame(_ rig: VGARig) -> TextFrame { rig.vga.textFrame(memory: rig.memory) }

    private func screen(_ mode: VGARig.Mode = .text80) throws -> VGARig {
        let rig = try VGARig()
        rig.set(mode)
        if mode != .mono { rig.clearText() }
        return rig
    }

    @Test("an 80x25 screen reads as its rows") func golden() throws {
        let rig = try screen()
        rig.print("SeaBIOS (version 1.16.2)", row: 0)
        rig.print("Press ESC for boot menu.", row: 2)
        rig.print("grub>", row: 24, column: 3)
        rig.store(0xB8000 + 2 * 81, 0x07DB_0701, size: 4)
        let frame = frame(rig)
        #expect(frame.mode == .text)
        #expect((frame.columns, frame.rows, frame.cellWidth, frame.cellHeight) == (80, 25, 9, 16))
        let top = "SeaBIOS (version 1.16.2)\n ☺█\nPress ESC for boot menu.\n"
        #expect(frame.text == top + String(repeating: "\n", count: 21) + "   grub>\n")
        #expect(frame.palette == TextFrame.defaultPalette)
        #expect(frame.blinkEnabled && !frame.secondFont && frame.fontIsStandard)
    }

    /// Registers changed from 80x25, then the geometry they make.
    @Test(
        "every geometry has its columns, rows and cell",
        arguments: [
            ("80x25 of 8 dots", [0x101, 1], 80, 25, 8, 16),
            ("80x50", [0x309, 0x47], 80, 50, 9, 8),
            ("80x43", [0x309, 0x47, 0x312, 0x5D], 80, 43, 9, 8),
            ("80x30", [0x312, 0xDF, 0x307, 0x3E], 80, 30, 9, 16),
            ("80x60", [0x312, 0xDF, 0x307, 0x3E, 0x309, 0x47], 80, 60, 9, 8),
            ("80x28", [0x309, 0x4D], 80, 28, 9, 14),
            ("90x25", [0x301, 89, 0x313, 45], 90, 25, 9, 16),
            ("132x25", [0x301, 131, 0x313, 66, 0x101, 1], 132, 25, 8, 16),
            ("132x43", [0x301, 131, 0x313, 66, 0x101, 1, 0x309, 0x47, 0x312, 0x5D], 132, 43, 8, 8),
            ("cells of two lines", [0x309, 0x41, 0x312, 0x8F], 80, 200, 9, 2),
            ("200 lines doubled", [0x309, 0xC7], 80, 25, 9, 8),
        ] as [(String, [Int], Int, Int, Int, Int)])
    func geometry(_ name: String, _ changes: [Int], _ columns: Int, _ rows: Int, _ width: Int, _ height: Int) throws {
        let rig = try screen()
        rig.crtc(0x11, 0x0E)
        for i in stride(from: 0, to: changes.count, by: 2) {
            let (register, value) = (changes[i], UInt8(truncatingIfNeeded: changes[i + 1]))
            if register >> 8 == 1 { rig.sequencer(UInt8(register & 0xFF), value) } else { rig.crtc(UInt8(register & 0xFF), value) }
        }
        let last = 0xB8000 + Physical((rows * columns - 1) * 2)
        rig.store(last, 0x0758, size: 2)
        let frame = frame(rig)
        #expect((frame.columns, frame.rows) == (columns, rows))
        #expect((frame.cellWidth, frame.cellHeight) == (width, height))
        #expect(frame.cells.count == columns * rows)
        #expect(frame.cells.last == 0x0758)
        let pixels = try #require(rig.vga.pixels(memory: rig.memory))
        #expect(pixels.width == columns * width)
        #expect(pixels.pixels.count == pixels.width * pixels.height)
    }

    @Test("40 columns and the monochrome screen at 0xB0000") func otherModes() throws {
        let forty = try screen(.text40)
        forty.print("forty", row: 24, column: 35, columns: 40)
        #expect(frame(forty).columns == 40)
        #expect(frame(forty).textRows.last == String(repeating: " ", count: 35) + "forty")
        #expect(forty.vga.pixels(memory: forty.memory)?.width == 720)
        let mono = try screen(.mono)
        mono.store(0xB0000, 0x0748_0749, size: 4)
        #expect(frame(mono).textRows[0] == "IH")
    }

    @Test("start address, byte panning and pitch move the picture") func scrolling() throws {
        let rig = try screen()
        rig.print("row one", row: 1)
        rig.crtc(0x0D, 80)
        #expect(frame(rig).textRows[0] == "row one")
        rig.crtc(0x08, 0x60)  // three bytes to the left
        #expect(frame(rig).textRows[0] == " one")
        rig.crtc(0x08, 0)
        rig.crtc(0x0D, 0)
        rig.crtc(0x13, 20)
        #expect(frame(rig).textRows[2] == "row one")
        rig.crtc(0x13, 40)
        rig.crtc(0x0C, 0x3F)  // the last four cells of 32 KiB; then memory goes on at 0xC000
        rig.crtc(0x0D, 0xFC)
        rig.store(0xBFFF8, 0x0741, size: 2)
        #expect(frame(rig).cells[0] == 0x0741)
    }

    @Test("below the line compare the picture starts again at address 0") func split() throws {
        let rig = try screen()
        rig.print("status line", row: 0)
        rig.print("scrolled", row: 10)
        rig.crtc(0x0D, UInt8(truncatingIfNeeded: 800))
        rig.crtc(0x0C, UInt8(800 >> 8))
        let compare = 24 * 16 - 1
        rig.crtc(0x18, UInt8(truncatingIfNeeded: compare))
        rig.crtc(0x07, 0x1F & ~0x10 | UInt8(compare >> 4 & 0x10))
        rig.crtc(0x09, 0x0F)
        let rows = frame(rig).textRows
        #expect(rows.count == 25)
        #expect(rows[0] == "scrolled")
        #expect(rows[24] == "status line")
        rig.crtc(0x0E, 0)
        rig.crtc(0x0F, 3)
        #expect(frame(rig).cursor.row == 24)
        #expect(frame(rig).cursor.column == 3)
    }

    @Test(
        "the cursor is where and as the registers say",
        arguments: [
            (0x0D, 0x0E, 0, 85, true, 1, 5), (0x2D, 0x0E, 0, 85, false, 1, 5), (0x0E, 0x0D, 0, 85, false, 1, 5),
            (0x00, 0x0F, 0, 1999, true, 24, 79), (0x00, 0x0F, 0, 2000, false, 0, 0), (0x10, 0x1F, 0, 85, false, 1, 5),
            (0x0D, 0x2E, 0, 85, true, 1, 6), (0x0D, 0x0E, 80, 85, true, 0, 5), (0x0D, 0x0E, 100, 85, false, 0, 0),
        ])
    func cursor(_ start: Int, _ end: Int, _ origin: Int, _ position: Int, _ visible: Bool, _ row: Int, _ column: Int) throws {
        let rig = try screen()
        rig.crtc(0x0A, UInt8(start))
        rig.crtc(0x0B, UInt8(end))
        rig.crtc(0x0D, UInt8(origin))
        rig.crtc(0x0E, UInt8(position >> 8))
        rig.crtc(0x0F, UInt8(position & 0xFF))
        let cursor = frame(rig).cursor
        #expect(cursor.visible == visible)
        #expect((cursor.row, cursor.column) == (row, column))
        if visible { #expect((cursor.startLine, cursor.endLine) == (start & 31, end & 31)) }
    }

    @Test("colours go through palette, colour select, PEL mask and DAC") func colours() throws {
        let rig = try screen()
        rig.attribute(0x10, 0x04)
        #expect(!frame(rig).blinkEnabled)
        rig.attribute(1, 0x3F)
        #expect(frame(rig).palette[1] == 0xFFFFFF)
        rig.out(0x3C8, 0x7F)
        for level in [63, 0, 32] as [UInt8] { rig.out(0x3C9, level) }
        rig.attribute(0x14, 0x04)  // DAC entries 64 and up
        #expect(frame(rig).palette[1] == 0xFF0082)
        rig.attribute(0x10, 0x84)  // P54S: bits 5 and 4 from colour select too
        rig.attribute(0x14, 0x07)
        rig.attribute(2, 0x0F)
        #expect(frame(rig).palette[2] == 0xFF0082)
        rig.attribute(0x12, 0x0D)
        #expect(frame(rig).palette[2] == frame(rig).palette[0])
        rig.attribute(0x12, 0x0F)
        rig.out(0x3C6, 0x3F)
        #expect(frame(rig).palette[2] == 0xFFFFFF)
    }

    @Test("blank while off, in reset, or with the palette taken away; graphics modes have a name")
    func modes() throws {
        let rig = try screen()
        rig.sequencer(1, 0x20)
        #expect(frame(rig).mode == .blank)
        rig.sequencer(1, 0)
        _ = rig.in(0x3DA)
        rig.out(0x3C0, 0)
        #expect(frame(rig).mode == .blank)
        #expect(frame(rig).text.isEmpty)
        rig.out(0x3C0, 0)
        rig.out(0x3C0, 0x20)
        #expect(frame(rig).mode == .text)
        rig.sequencer(0, 1)
        #expect(frame(rig).mode == .blank)
        #expect(try VGARig().vga.pixels(memory: rig.memory) == nil)
        for (mode, width, height, name) in [
            (.cga320, 320, 200, "320x200x2"), (.cga640, 640, 200, "640x200x1"), (.ega320, 320, 200, "320x200x4 planar"),
            (.vga640, 640, 480, "640x480x4 planar"), (.chain320, 320, 200, "320x200x8 chained"),
            (.unchained320, 320, 240, "320x240x8 planar"),
        ] as [(VGARig.Mode, Int, Int, String)] {
            rig.set(mode)
            #expect(frame(rig).mode == .graphics(width: width, height: height, name: name))
            #expect(frame(rig).cells.count == frame(rig).columns * frame(rig).rows)
        }
    }

    @Test("a font is standard when the BIOS's ROM holds it at this height") func fonts() throws {
        let rig = try screen()
        var random = TestRandom(11)
        let font = (0..<4096).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        rig.memory.write(0xC3000, font)
        rig.loadFont(height: 16) { font[$0 * 16 + $1] }
        #expect(frame(rig).fontIsStandard)
        rig.crtc(0x09, 0x4E)  // 15 lines of the 16
        #expect(frame(rig).fontIsStandard)
        rig.crtc(0x09, 0x4F)
        rig.loadFont(height: 16) { $0 == 0xF0 && $1 == 9 ? ~font[$0 * 16 + $1] : font[$0 * 16 + $1] }
        #expect(!frame(rig).fontIsStandard)
        rig.loadFont(height: 16) { font[$0 * 16 + $1] }
        #expect(frame(rig).fontIsStandard)
        rig.sequencer(3, 0x04)  // attribute bit 3 selects the font at 16 KiB
        rig.loadFont(height: 16, at: 0x4000) { _, line in UInt8(line) }
        #expect(frame(rig).secondFont && !frame(rig).fontIsStandard)
    }

    @Test("SeaVGABIOS's own fonts are known without its ROM", arguments: [(16, 0x73C0), (14, 0x83C0), (8, 0x91C0)])
    func knownFonts(height: Int, place: Int) throws {
        let path = "/usr/share/seabios/vgabios-stdvga.bin"
        guard let rom = FileManager.default.contents(atPath: path).map([UInt8].init), rom.count == 39936 else { return }
        let rig = try screen()
        rig.crtc(0x09, 0x40 | UInt8(height - 1))
        rig.loadFont(height: height) { rom[place + $0 * height + $1] }
        #expect(frame(rig).fontIsStandard)
    }
}
