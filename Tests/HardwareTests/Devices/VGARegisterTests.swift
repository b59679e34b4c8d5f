import CPU
import Foundation
import Primitives
import Testing

@testable import Hardware

@Suite("VGA · registers") struct VGARegisterTests {
    @Test("a mode set reads back register by register", arguments: VGARig.Mode.allCases)
    func readback(mode: VGARig.Mode) throws {
        let rig = try VGARig()
        rig.set(mode)
        let r = mode.registers
        #expect(rig.in(0x3CC) == r[0])
        for i in 1...4 {
            rig.out(0x3C4, UInt8(i))
            #expect(rig.in(0x3C5) == r[i])
        }
        for i in 0..<25 {
            rig.out(rig.crtcPort, UInt8(i))
            #expect(rig.in(rig.crtcPort + 1) == r[5 + i])
        }
        for i in 0..<9 {
            rig.out(0x3CE, UInt8(i))
            #expect(rig.in(0x3CF) == r[30 + i])
        }
        for i in 0..<21 {
            _ = rig.in(rig.crtcPort + 6)
            rig.out(0x3C0, UInt8(i) | 0x20)
            #expect(rig.in(0x3C1) == r[39 + i])
            #expect(rig.in(0x3C0) == UInt8(i) | 0x20)
        }
    }

    @Test("CRTC 0x11 bit 7 protects registers 0-7 but for the line compare bit")
    func protection() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.crtc(0x11, 0x8E)
        for i in 0...7 { rig.crtc(UInt8(i), 0) }
        rig.out(0x3D4, 0)
        #expect(rig.in(0x3D5) == 0x5F)
        rig.out(0x3D4, 7)
        #expect(rig.in(0x3D5) == 0x0F)
        rig.crtc(0x11, 0x0E)
        rig.crtc(7, 0)
        #expect(rig.in(0x3D5) == 0)
    }

    @Test("only the half that miscellaneous output selects answers")
    func colourAndMono() throws {
        let rig = try VGARig()
        rig.out(0x3C2, 0x67)
        rig.crtc(0x0E, 0x12)
        rig.out(0x3B4, 0x0F)
        #expect(rig.in(0x3B5) == 0xFF)
        #expect(rig.in(0x3D4) == 0x0E)
        rig.out(0x3C2, 0x66)
        #expect(rig.in(0x3D5) == 0xFF)
        #expect(rig.in(0x3B5) == 0x12)
        rig.out(0x3BA, 0x02)
        #expect(rig.in(0x3CA) == 0x02)
        rig.out(0x3C3, 0)
        #expect(rig.in(0x3B4) == 0xFF)
        #expect(rig.load(0xB0000) == 0xFF)
        rig.out(0x3C3, 1)
        #expect(rig.in(0x3B4) == 0x0E)
    }

    @Test("reading input status 1 makes the next attribute write an index; peeking does not")
    func flipFlop() throws {
        let rig = try VGARig()
        rig.set(.text80)
        _ = rig.in(0x3DA)
        rig.out(0x3C0, 0x10)
        _ = rig.vga.peek(0x3DA)
        rig.out(0x3C0, 0x08)
        rig.out(0x3C0, 0x12)
        _ = rig.in(0x3DA)
        rig.out(0x3C0, 0x30)
        #expect(rig.in(0x3C1) == 0x08)
        #expect(rig.in(0x3C0) == 0x30)
        rig.out(0x3D4, 0x24)
        #expect(rig.in(0x3D5) == 0x80)
    }

    @Test("the DAC counts through triples, masks to six bits and tells its direction")
    func dac() throws {
        let rig = try VGARig()
        rig.out(0x3C8, 254)
        for value in [1, 2, 0xFF, 4, 5, 6, 7, 8, 9] as [UInt8] { rig.out(0x3C9, value) }
        #expect(rig.in(0x3C7) == 0)
        #expect(rig.in(0x3C8) == 1)
        rig.out(0x3C7, 254)
        #expect(rig.in(0x3C7) == 3)
        #expect((0..<9).map { _ in rig.in(0x3C9) } == [1, 2, 0x3F, 4, 5, 6, 7, 8, 9])
        rig.out(0x3C8, 0)
        rig.out(0x3C9, 0x30)
        rig.out(0x3C9, 0x31)
        rig.out(0x3C7, 0)
        #expect(rig.in(0x3C9) == 7)  // two of three bytes change nothing
    }

    @Test("the raster of mode 3 has 70 retraces a second, each of two lines, and shows 64 % of the time")
    func retrace() throws {
        let rig = try VGARig()
        rig.set(.text80)
        var edges = 0
        var retrace = 0
        var shown = 0
        var last: UInt8 = 0
        for step in 0..<100_000 {
            rig.at(Nanoseconds(step) * 10_000)
            let status = rig.in(0x3DA)
            if status & ~last & 8 != 0 { edges += 1 }
            if status & 8 != 0 { retrace += 1 }
            if status & 1 == 0 { shown += 1 }
            #expect(status & 9 != 8)  // retrace lies outside the picture
            last = status
        }
        #expect(edges == 70)
        #expect((400...500).contains(retrace))  // 2 of 449 lines
        #expect((70_000...72_500).contains(shown))  // 720/900 of 400/449
    }

    @Test(
        "a guest that polls sees display and retrace alternate whatever the timing registers say",
        arguments: [0x00, 0xFF, 0x5A] as [UInt8])
    func retraceNeverHangs(fill: UInt8) throws {
        let rig = try VGARig()
        rig.out(0x3C2, 0x67)
        for i in 0..<0x19 where i != 0x11 { rig.crtc(UInt8(i), fill) }
        var seen: Set<UInt8> = []
        for step in 0..<200_000 {
            rig.at(Nanoseconds(step) * 1_000)
            seen.insert(rig.in(0x3DA) & 9)
        }
        #expect(seen.contains(0) && seen.contains(9))
    }

    @Test("the vertical interrupt bit is set by the end of a picture and cleared through CRTC 0x11")
    func verticalInterrupt() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.crtc(0x11, 0x0E)
        rig.crtc(0x11, 0x1E)
        #expect(rig.in(0x3C2) & 0x80 == 0)
        rig.at(15_000_000)
        #expect(rig.in(0x3C2) & 0x80 != 0)
        rig.crtc(0x11, 0x0E)
        rig.crtc(0x11, 0x1E)
        #expect(rig.in(0x3C2) & 0x80 == 0)
    }

    @Test("PCI identity, BAR sizes and what they decode")
    func pci() throws {
        let rig = try VGARig()
        #expect(rig.vga.config.get32(0) == 0x1111_1234)
        #expect(rig.vga.config.get32(8) >> 8 == 0x03_0000)
        #expect(rig.vga.config.get32(0x2C) == 0x1100_1AF4)
        func size(_ offset: Int) -> UInt32 {
            for i in 0..<4 { rig.vga.config.write(offset + i, 0xFF) }
            return ~(rig.vga.config.get32(offset) & ~15) &+ 1
        }
        #expect(size(0x10) == 16 << 20)
        #expect(size(0x18) == 4096)
        #expect(size(0x30) & ~1 == 64 << 10)
        #expect(rig.vga.framebufferBase == nil)
        rig.vga.config.write(4, 3)
        rig.vga.config.set32(0x10, 0xFD00_0008)
        rig.vga.config.set32(0x18, 0xFEBF_0000)
        rig.vga.config.set32(0x30, 0xFEBE_0000)
        #expect(rig.vga.framebufferBase == 0xFD00_0000)
        #expect(rig.vga.romBase == nil)
        rig.vga.config.set32(0x30, 0xFEBE_0001)
        #expect(rig.vga.romBase == 0xFEBE_0000)
        #expect(rig.vga.windows == [0xA0000...0xBFFFF, 0xFEBF_0000...0xFEBF_0FFF])
        rig.vga.configWritten(0x10..<0x14, &rig.wires)
        #expect(rig.wires.requests == [.remap])
    }

    @Test("reset clears the registers, the BARs and DISPI, and keeps the memory")
    func reset() throws {
        let rig = try VGARig()
        let fresh = rig.vga
        rig.set(.text80)
        rig.print("x", row: 0)
        rig.dispi(4, 0x81)
        rig.vga.config.write(4, 3)
        rig.vga.config.set32(0x10, 0xFD00_0008)
        rig.vga.reset()
        var expected = fresh
        expected.fontGeneration = rig.vga.fontGeneration
        #expect(rig.vga == expected)
        #expect(rig.vram(0) == 0x78)
    }

    @Test("the state survives JSON") func codable() throws {
        let rig = try VGARig()
        rig.set(.chain320)
        rig.dispi(1, 1024)
        rig.out(0x3C9, 5)
        _ = rig.load(0xA0010)
        let copy = try JSONDecoder().decode(VGA.self, from: JSONEncoder().encode(rig.vga))
        #expect(copy == rig.vga)
        #expect(copy != VGA(vram: rig.block))
    }
}
