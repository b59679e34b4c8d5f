import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("VGA · pixel view") struct VGAPixelTests {
    private func picture(_ rig: VGARig) throws -> PixelFrame { try #require(rig.vga.pixels(memory: rig.memory)) }
    private let ega = TextFrame.defaultPalette

    @Test("text: glyph, ninth dot, underline, cursor, bright background") func text() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.clearText()
        rig.loadFont(height: 16) { glyph, line in glyph == 0x20 ? 0 : line == 3 ? 0x81 : 0 }
        rig.crtc(0x0A, 0x20)
        rig.store(0xB8000, 0x9EC4_1E41, size: 4)
        var p = try picture(rig)
        #expect((p.width, p.height) == (720, 400))
        func row(_ y: Int, _ x: Int) -> [UInt32] { (0..<9).map { p.pixels[y * 720 + x + $0] } }
        let (blue, yellow) = (ega[1], ega[14])
        #expect(row(3, 0) == [yellow, blue, blue, blue, blue, blue, blue, yellow, blue])
        #expect(row(3, 9) == [yellow, blue, blue, blue, blue, blue, blue, yellow, yellow])
        #expect(row(4, 0).allSatisfy { $0 == blue })
        rig.attribute(0x10, 0x04)  // no blinking: background 9
        p = try picture(rig)
        #expect(row(4, 9).allSatisfy { $0 == ega[9] })
        rig.crtc(0x14, 0x0C)
        rig.store(0xB8000, 0x0120, size: 2)
        p = try picture(rig)
        #expect(row(12, 0).allSatisfy { $0 == ega[1] })
        #expect(row(11, 0).allSatisfy { $0 == 0 })
        rig.crtc(0x0A, 0x0E)
        rig.crtc(0x0B, 0x0F)
        rig.crtc(0x0F, 2)
        p = try picture(rig)
        #expect(row(14, 18).allSatisfy { $0 == ega[7] })
        #expect(row(13, 18).allSatisfy { $0 == 0 })
        rig.attribute(0x13, 0)  // nine-dot text: one dot to the left
        p = try picture(rig)
        #expect(p.pixels[14 * 720 + 17] == ega[7])
        #expect(p.pixels[14 * 720 + 26] == 0)
    }

    @Test("CGA 320x200: pairs of bits, even and odd lines 8 KiB apart") func cga320() throws {
        let rig = try VGARig()
        rig.set(.cga320)
        rig.store(0xB8000, 0b00_01_10_11)
        rig.store(0xB8001, 0b11_00_00_00)
        rig.store(0xB8000 + 0x2000, 0b10_00_00_00)
        rig.store(0xB8000 + 80, 0b01_00_00_00)
        let p = try picture(rig)
        #expect((p.width, p.height) == (320, 200))
        let colours = rig.vga.palette16
        #expect(Set(colours[0..<4]).count == 4)
        #expect((0..<5).map { p.pixels[$0] } == [colours[0], colours[1], colours[2], colours[3], colours[3]])
        #expect(p.pixels[320] == colours[2])
        #expect(p.pixels[640] == colours[1])
    }

    @Test("CGA 640x200: one bit a pixel in plane 0") func cga640() throws {
        let rig = try VGARig()
        rig.set(.cga640)
        rig.store(0xB8000, 0xA0)
        rig.store(0xBA000, 0x01)
        let p = try picture(rig)
        #expect((p.width, p.height) == (640, 200))
        #expect((0..<4).map { p.pixels[$0] == 0 } == [false, true, false, true])
        #expect(p.pixels[640 + 7] != 0 && p.pixels[640 + 6] == 0)
    }

    @Test("planar 16 colours, panned and split") func planar() throws {
        let rig = try VGARig()
        rig.set(.vga640)
        for plane in 0..<4 {
            rig.sequencer(2, 1 << UInt8(plane))
            rig.store(0xA0000, UInt64([0xAA, 0xCC, 0xF0, 0x80][plane]))
            rig.store(0xA0000 + 80, UInt64([0xFF, 0, 0, 0][plane]))
        }
        var p = try picture(rig)
        #expect((p.width, p.height) == (640, 480))
        #expect((0..<8).map { p.pixels[$0] } == [15, 6, 5, 4, 3, 2, 1, 0].map { ega[$0] })
        #expect(p.pixels[640] == ega[1])
        rig.attribute(0x13, 3)
        p = try picture(rig)
        #expect((0..<5).map { p.pixels[$0] } == [4, 3, 2, 1, 0].map { ega[$0] })
        rig.attribute(0x10, 0x21)  // panning stops at the split
        rig.crtc(0x0D, 80)
        rig.crtc(0x18, 9)
        rig.crtc(0x07, 0x3E & ~0x10)
        rig.crtc(0x09, 0)
        p = try picture(rig)
        #expect(p.pixels[0] == ega[1] && p.pixels[5] == 0)
        #expect(p.pixels[10 * 640] == ega[15] && p.pixels[9 * 640] == 0)
        rig.set(.ega320)
        p = try picture(rig)
        #expect((p.width, p.height) == (320, 200))
        #expect(p.pixels[1] == ega[6])
    }

    @Test("256 colours, chained and not") func bytes() throws {
        let rig = try VGARig()
        rig.set(.chain320)
        rig.out(0x3C8, 200)
        for level in [63, 21, 0] as [UInt8] { rig.out(0x3C9, level) }
        rig.store(0xA0000 + 320 * 199 + 319, 200)
        rig.store(0xA0000 + 320 + 5, 200)
        var p = try picture(rig)
        #expect((p.width, p.height) == (320, 200))
        #expect(p.pixels.indices.filter { p.pixels[$0] == 0xFF5500 } == [325, 63_999])
        rig.set(.unchained320)
        rig.sequencer(2, 0b0100)
        rig.store(0xA0000 + 80 * 239 + 79, 200)
        p = try picture(rig)
        #expect((p.width, p.height) == (320, 240))
        #expect(p.pixels[239 * 320 + 318] == 0xFF5500)
        #expect(p.pixels[239 * 320 + 319] == 0)
    }

    @Test(
        "DISPI pixels of every depth",
        arguments: [
            (8, [UInt8(4)], UInt32(0xAA0000)), (15, [0x1F, 0x7C], 0xFF00FF), (16, [0xE0, 0x07], 0x00FF00), (24, [1, 2, 3], 0x030201),
            (32, [0x11, 0x22, 0x33, 0xFF], 0x332211),
        ])
    func dispi(bits: Int, bytes: [UInt8], colour: UInt32) throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.dispi(1, 1024)
        rig.dispi(2, 768)
        rig.dispi(3, UInt16(bits))
        rig.dispi(4, 0x41)
        let size = (bits + 7) / 8
        for (i, byte) in bytes.enumerated() { rig.setVRAM((767 * 1024 + 1023) * size + i, byte) }
        let p = try picture(rig)
        #expect((p.width, p.height) == (1024, 768))
        #expect(p.pixels.last == colour)
        #expect(p.pixels.filter { $0 != 0 }.count == 1)
        let frame = rig.vga.textFrame(memory: rig.memory)
        #expect(frame.mode == .graphics(width: 1024, height: 768, name: "1024x768x\(bits) linear"))
        rig.dispi(8, 8)
        rig.dispi(6, 2048)
        rig.dispi(9, 1)
        #expect(try picture(rig).pixels.last == 0)
    }

    @Test("DISPI with four planes") func dispiPlanar() throws {
        let rig = try VGARig()
        rig.set(.vga640)
        rig.dispi(1, 800)
        rig.dispi(2, 600)
        rig.dispi(3, 4)
        rig.dispi(4, 1)
        rig.sequencer(2, 0b1001)
        rig.store(0xA0000 + 100 + 99, 0x01)
        let p = try picture(rig)
        #expect((p.width, p.height) == (800, 600))
        #expect(p.pixels[799 + 800] == ega[9])
        #expect(p.pixels.filter { $0 != 0 }.count == 1)
    }

    @Test("whatever the guest writes, nothing traps and pictures stay in bounds", arguments: 1...4)
    func fuzz(seed: Int) throws {
        let rig = try VGARig()
        var random = TestRandom(UInt64(seed))
        let ports: [Port] = rig.vga.ports.flatMap { Array($0) }
        for round in 0..<60 {
            if round % 3 == 0 { rig.set(VGARig.Mode.allCases.randomElement(using: &random)!) }
            for _ in 0..<2000 {
                let value = random.next()
                let size = [1, 2, 4].randomElement(using: &random)!
                switch random.next() % 8 {
                case 0: rig.crtc(UInt8(truncatingIfNeeded: value & 0x1F), UInt8(truncatingIfNeeded: value >> 8))
                case 1: rig.graphics(UInt8(truncatingIfNeeded: value & 15), UInt8(truncatingIfNeeded: value >> 8))
                case 2: rig.vga.writeWide(ports.randomElement(using: &random)!, size: size, UInt32(truncatingIfNeeded: value), &rig.wires)
                case 3: _ = rig.vga.readWide(ports.randomElement(using: &random)!, size: size, &rig.wires)
                case 4: rig.store(0x9FFF8 + value % 0x20010, random.next(), size: size * 2)
                case 5: _ = rig.load(0x9FFF8 + value % 0x20010, size: size * 2)
                case 6: rig.dispi(UInt16(truncatingIfNeeded: value & 15), UInt16(truncatingIfNeeded: value >> 8 & 0xFFF))
                default:
                    rig.at(value)
                    rig.vga.config.set32(0x18, 0x1000_0000)
                    rig.vga.config.write(4, 3)
                    rig.store(0x1000_0000 + value >> 8 % 4096, value, size: size * 2)
                    _ = rig.load(0x1000_0000 + value >> 8 % 4096, size: size * 2)
                }
            }
            if round % 2 == 0 { rig.dispi(4, 0) }
            rig.sequencer(0, 3)
            rig.out(0x3C3, 1)
            if round % 5 == 0 {
                rig.attribute(0x10, UInt8(truncatingIfNeeded: random.next()))
                rig.crtc(0x17, UInt8(truncatingIfNeeded: random.next()) | 0x80)
            }
            let frame = rig.vga.textFrame(memory: rig.memory)
            #expect(frame.cells.count == frame.columns * frame.rows && frame.columns <= 256 && frame.rows <= 256)
            #expect(frame.cursor.column < frame.columns && frame.cursor.row < frame.rows)
            _ = frame.text
            if let p = rig.vga.pixels(memory: rig.memory) {
                #expect(p.pixels.count == p.width * p.height && p.width <= 4096 && p.height <= 4096 && p.width > 0 && p.height > 0)
            }
        }
    }

    @Test("video memory named by a damaged snapshot outside the arena is never touched") func damaged() throws {
        let rig = try VGARig()
        let small = try GuestMemory(ramBytes: 1 << 20, extraBytes: 0)
        rig.set(.text80)
        var wires = Wires(now: 0, memory: small)
        rig.vga.writeMemory(0xB8000, size: 8, 0, &wires)
        _ = rig.vga.readMemory(0xB8000, size: 8, &wires)
        #expect(rig.vga.textFrame(memory: small).mode == .blank)
        #expect(rig.vga.pixels(memory: small) == nil)
    }
}
