import Testing

@testable import Terminal

@Suite("surface") struct SurfaceTests {
    @Test("text is cut with an ellipsis, wide characters take two cells, controls vanish")
    func put() {
        var surface = Surface(width: 10, height: 2)
        surface.put("a long sentence", .ui, column: 1, row: 0, limit: 6)
        let end = surface.put("日\u{7}本x", .ui, column: 0, row: 1)
        #expect(surface.text == " a lon…\n日本x")
        #expect(end == 5)
        #expect(surface[1, 1].scalar == 0)
    }

    @Test("drawing outside is dropped")
    func clipping() {
        var surface = Surface(width: 3, height: 1)
        surface.fill(Rect(x: -5, y: -5, width: 50, height: 50), .ui, scalar: 0x2E)
        surface.fill(Rect(x: 10, y: 10, width: 5, height: 5), .ui)
        surface.put("abc", .ui, column: 2, row: 0)
        surface.put("abc", .ui, column: 9, row: 9)
        #expect(surface.text == "..…")
    }

    @Test("widths agree with Unicode: box drawing is narrow, CJK wide, accents none")
    func widths() {
        for text in ["─", "█", "☺", "é", "ß", "●", "‖"] { #expect(Width.of(text) == 1, "\(text)") }
        for text in ["日", "😀", "한"] { #expect(Width.of(text) == 2, "\(text)") }
        #expect(Width.of("e\u{301}") == 1)
    }
}

@Suite("glyphs") struct GlyphTests {
    @Test("all of code page 437 is one narrow character, blanks are spaces")
    func page() {
        for code in 0...255 {
            let scalar = Glyphs.scalar(UInt8(code))
            #expect(Unicode.Scalar(scalar).map { Width.of($0) } == 1, "0x\(String(code, radix: 16))")
        }
        #expect(Glyphs.scalar(0) == 0x20 && Glyphs.scalar(0xFF) == 0x20)
        #expect(
            Glyphs.scalar(0x01) == 0x263A && Glyphs.scalar(0xDB) == 0x2588 && Glyphs.scalar(0xC9) == 0x2554 && Glyphs.scalar(0x7F) == 0x2302
        )
    }

    @Test("every character has a 7-bit stand-in of its own kind")
    func ascii() {
        for code in 1...254 {
            let reduced = Glyphs.reduce(Glyphs.scalar(UInt8(code)), to: .ascii)
            #expect(reduced >= 0x20 && reduced < 0x7F)
            #expect(reduced != 0x3F || [0x3F, 0xA8, 0xA9].contains(code), "0x\(String(code, radix: 16)) has none")
        }
        #expect(Glyphs.reduce(0x2500, to: .ascii) == 0x2D && Glyphs.reduce(0x255D, to: .ascii) == 0x2B)
    }

    @Test("a byte survives the way there and back")
    func inverse() { for code in 1...254 where code != 0x20 { #expect(Glyphs.byte(for: Glyphs.scalar(UInt8(code))) == UInt8(code)) } }
}

@Suite("ink table") struct InkTableTests {
    private func table(_ tier: ColourTier, palette: [UInt32] = Palette.vga, theme: Theme = .base) -> InkTable {
        InkTable(theme: theme, tier: tier, guestPalette: palette)
    }

    @Test("256 colours: the VGA's sixteen are fixed entries, all 256 attributes differ")
    func indexed() {
        let t = table(.indexed256)
        #expect(t[Ink(attribute: 0x1E)] == ResolvedInk(foreground: 227, background: 19))
        #expect(Set((0..<256).map { [t.inks[$0].foreground, t.inks[$0].background] }).count == 256)
    }

    @Test("24 bits: exact, and never a palette entry")
    func direct() {
        let t = table(.direct)
        #expect(t[Ink(attribute: 0x1E)] == ResolvedInk(foreground: 0xFFFF55, background: 0x0000AA))
        #expect(t.inks.allSatisfy { $0.foreground < 0 || $0.foreground >= 8 })
    }

    @Test("a changed DAC is followed by the nearest colour")
    func dac() {
        var palette = Palette.vga
        palette[1] = 0x204060
        #expect(table(.direct, palette: palette)[Ink(attribute: 0x17)].background == 0x204060)
        #expect(table(.indexed256, palette: palette)[Ink(attribute: 0x17)].background == Int32(Palette.nearest256(0x204060)))
        #expect(table(.indexed256, palette: [])[Ink(attribute: 0x17)].foreground == 16)
    }

    @Test("16 and 8 colours in ANSI order, bright text bold where there are 8")
    func few() {
        #expect(table(.sixteen)[Ink(attribute: 0x1E)] == ResolvedInk(foreground: 11, background: 4))
        #expect(table(.eight)[Ink(attribute: 0x1E)] == ResolvedInk(foreground: 3, background: 4, mods: .bold))
        #expect(table(.eight)[Ink(attribute: 0x9E)].background == 4)
    }

    @Test("no colours: reversed by brightness, bright is bold, the MDA's underline")
    func mono() {
        let t = table(.mono)
        #expect(t[Ink(attribute: 0x07)].mods == [])
        #expect(t[Ink(attribute: 0x0F)].mods == .bold)
        #expect(t[Ink(attribute: 0x70)].mods == .reverse)
        #expect(t[Ink(attribute: 0x01)].mods == .underline)
        #expect(t[Ink(attribute: 0x1F)].mods == .bold)
        #expect(t[Ink(attribute: 0x00)].mods == .hidden)
        #expect(t.inks.allSatisfy { $0.foreground == -1 && $0.background == -1 })
    }

    @Test("text in its background's colour does not show")
    func hidden() { #expect(table(.indexed256)[Ink(attribute: 0x11)].mods.contains(.hidden)) }
}
