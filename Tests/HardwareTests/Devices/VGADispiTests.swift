import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("VGA · DISPI and BAR 2") struct VGADispiTests {
    @Test("IDs B0C0 to B0C5 are taken, others are not") func ids() throws {
        let rig = try VGARig()
        #expect(rig.dispi(0) == 0xB0C5)
        rig.dispi(0, 0xB0C0)
        #expect(rig.dispi(0) == 0xB0C0)
        rig.dispi(0, 0xB0C6)
        #expect(rig.dispi(0) == 0xB0C0)
        #expect(rig.dispi(10) == 256)
    }

    @Test("capabilities show the maxima") func capabilities() throws {
        let rig = try VGARig()
        rig.dispi(1, 800)
        rig.dispi(4, 2)
        #expect([1, 2, 3].map { rig.dispi($0) } == [2560, 1600, 32])
        rig.dispi(4, 0)
        #expect(rig.dispi(1) == 800)
        rig.dispi(1, 4000)
        #expect(rig.dispi(1) == 800)
    }

    @Test("a mode set clears the picture unless told not to, and sets up virtual size and offsets") func modeSet() throws {
        let rig = try VGARig()
        rig.set(.text80)
        for i in [0, 1000, 1024 * 768 * 4 - 1, 1024 * 768 * 4] { rig.setVRAM(i, 0x5A) }
        rig.dispi(1, 1024)
        rig.dispi(2, 768)
        rig.dispi(3, 32)
        rig.dispi(4, 0xC1)
        #expect(rig.vram(0) == 0x5A)
        rig.dispi(4, 0)
        rig.dispi(4, 0x41)
        #expect(rig.vram(0) == 0 && rig.vram(1000) == 0 && rig.vram(1024 * 768 * 4 - 1) == 0)
        #expect(rig.vram(1024 * 768 * 4) == 0x5A)
        #expect([5, 6, 7, 8, 9].map { rig.dispi($0) } == [0, 1024, 4096, 0, 0])
        rig.dispi(6, 512)  // not narrower than the picture
        #expect(rig.dispi(6) == 1024)
        rig.dispi(9, 4000)  // not past the end of memory
        #expect(rig.dispi(9) == 4096 - 768)
    }

    @Test("banks of 64 KiB lead to all of video memory, without chain-4 or masks") func banks() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.dispi(1, 1280)
        rig.dispi(2, 1024)
        rig.dispi(3, 24)
        rig.dispi(4, 1)
        rig.dispi(5, 37)
        rig.sequencer(2, 0)
        rig.sequencer(4, 6)
        rig.store(0xA0003, 0x1234_5678, size: 4)
        #expect(rig.vram(37 << 16 | 3) == 0x78)
        #expect(rig.load(0xA0004, size: 2) == 0x3456)
        rig.dispi(5, 256)
        #expect(rig.dispi(5) == 0)
        rig.dispi(5, 255)
        rig.store(0xAFFFF, 0x99)
        #expect(rig.vram(rig.vga.vramBytes - 1) == 0x99)
    }

    @Test("four planes from text mode without a word to the VGA registers; off again, the text is back") func planarFromText() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.clearText()
        rig.print("text", row: 24)
        let before = rig.vga
        rig.dispi(1, 800)
        rig.dispi(2, 600)
        rig.dispi(3, 4)
        rig.dispi(4, 0x81)  // keeps memory: the first bytes of both planes are the screen
        rig.sequencer(2, 15)
        rig.store(0xA0000 + 50_001, 0x80)
        #expect((0..<4).map { rig.vram(50_001 * 4 + $0) } == [0x80, 0x80, 0x80, 0x80])
        #expect(rig.load(0xA0000 + 50_001) == 0x80)
        #expect(rig.vga.textFrame(memory: rig.memory).mode == .graphics(width: 800, height: 600, name: "800x600x4 planar"))
        rig.dispi(5, 1)
        rig.store(0xA0000, 0x77)
        #expect(rig.vram(0x10000 * 4) == 0x77)
        rig.dispi(4, 0)
        rig.sequencer(2, 3)
        #expect(rig.vga.crtc == before.crtc && rig.vga.sequencer == before.sequencer && rig.vga.graphics == before.graphics)
        #expect(rig.vga.textFrame(memory: rig.memory).textRows[24] == "text")
    }

    @Test("the eight-bit DAC keeps the colours when it is switched") func dac8() throws {
        let rig = try VGARig()
        rig.set(.chain320)
        let six = rig.vga.palette16
        rig.dispi(4, 0x20)
        #expect(rig.vga.palette16 == six)
        rig.out(0x3C8, 1)
        for level in [0xFE, 0x81, 0x01] as [UInt8] { rig.out(0x3C9, level) }
        #expect(rig.vga.palette16[1] == 0xFE8101)
        rig.dispi(4, 0)
        rig.out(0x3C7, 1)
        #expect(rig.in(0x3C9) == 0x3F)
    }

    @Test("BAR 2 shows EDID, the VGA ports and the DISPI registers") func registers() throws {
        let rig = try VGARig()
        rig.vga.config.write(4, 3)
        rig.vga.config.set32(0x18, 0xFEBF_0000)
        let base: Physical = 0xFEBF_0000
        let edid = (0..<128).map { UInt8(rig.load(base + $0)) }
        #expect(Array(edid[0..<8]) == [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0])
        #expect(edid.reduce(0, &+) == 0)
        #expect(edid[126] == 0)
        rig.store(base + 0x402, 0x67)
        rig.store(base + 0x414, 0x1234 | 0x0E, size: 2)
        #expect(rig.in(0x3CC) == 0x67)
        #expect(rig.load(base + 0x40C) == 0x67)
        rig.out(0x3D4, 0x3E)
        #expect(rig.load(base + 0x414) == 0x3E)
        rig.store(base + 0x502, 1152, size: 2)
        #expect(rig.dispi(1) == 1152)
        rig.store(base + 0x504, 8 << 16 | 864, size: 4)
        #expect(rig.load(base + 0x500, size: 8) == 0x0008_0360_0480_B0C5)
        #expect(rig.load(base + 0x514, size: 2) == 256)
        #expect(rig.load(base + 0x600, size: 4) == 8)
        #expect(rig.load(base + 0x604, size: 4) == 0x1E1E_1E1E)
        #expect(rig.load(base + 0x700, size: 4) == 0xFFFF_FFFF)
    }
}
