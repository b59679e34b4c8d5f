import CPU
import Primitives
import Testing

@testable import Hardware

/// The graphics controller bit by bit, as the manual words it: one pixel, one plane at a time.
private struct PlaneModel {
    var planes = [[UInt8]](repeating: [UInt8](repeating: 0, count: 65536), count: 4)
    var latches: [UInt8] = [0, 0, 0, 0]

    mutating func write(_ offset: Int, _ value: UInt8, _ g: [UInt8], enabled: UInt8) {
        let count = g[3] & 7
        var rotated = value
        for _ in 0..<count { rotated = rotated >> 1 | rotated << 7 }
        for plane in 0..<4 where enabled >> plane & 1 != 0 {
            var result: UInt8 = 0
            for bit in 0..<8 {
                func of(_ byte: UInt8) -> Bool { byte >> bit & 1 != 0 }
                let old = of(latches[plane])
                var data: Bool
                var taken = of(g[8])
                switch g[5] & 3 {
                case 0: data = g[1] >> plane & 1 != 0 ? g[0] >> plane & 1 != 0 : of(rotated)
                case 1: (data, taken) = (old, false)
                case 2: data = value >> plane & 1 != 0
                default:
                    data = g[0] >> plane & 1 != 0
                    taken = taken && of(rotated)
                }
                switch g[3] >> 3 & 3 {
                case 1: data = data && old
                case 2: data = data || old
                case 3: data = data != old
                default: break
                }
                if taken ? data : old { result |= 1 << bit }
            }
            planes[plane][offset] = result
        }
    }

    mutating func read(_ offset: Int, _ g: [UInt8], plane: Int) -> UInt8 {
        for p in 0..<4 { latches[p] = planes[p][offset] }
        guard g[5] & 8 != 0 else { return latches[plane] }
        var result: UInt8 = 0
        for bit in 0..<8 {
            let equal = (0..<4).allSatisfy { p in g[7] >> p & 1 == 0 || latches[p] >> bit & 1 == g[2] >> p & 1 }
            if equal { result |= 1 << bit }
        }
        return result
    }
}

@Suite("VGA · memory") struct VGAMemoryTests {
    @Test("every write mode, read mode, function and mask agrees with the bitwise model", arguments: [false, true])
    func model(oddEven: Bool) throws {
        let rig = try VGARig()
        rig.set(.vga640)
        var model = PlaneModel()
        var random = TestRandom(oddEven ? 7 : 3)
        var g: [UInt8] = [0, 0, 0, 0, 0, 0, 5, 15, 0xFF]
        var mask: UInt8 = 15
        if oddEven {
            rig.sequencer(4, 2)
            g[6] = 7
            rig.graphics(6, 7)
        }
        for _ in 0..<60_000 {
            switch random.next() % 8 {
            case 0:
                let index = [0, 1, 2, 3, 4, 5, 7, 8].randomElement(using: &random)!
                var value = UInt8(truncatingIfNeeded: random.next())
                if index == 5 { value = value & 0x0B | (oddEven ? 0x10 : 0) }
                if index == 8 && random.next() % 2 == 0 { value = 0xFF }
                if index < 4 && random.next() % 2 == 0 { value = 0 }
                g[index] = value & VGA.graphicsMask[index]
                rig.graphics(UInt8(index), value)
            case 1:
                mask = UInt8(truncatingIfNeeded: random.next()) & 15
                if random.next() % 2 == 0 { mask = oddEven ? 3 : 15 }
                rig.sequencer(2, mask)
            case 2, 3, 4:
                let size = [1, 2, 4, 8].randomElement(using: &random)!
                let at = Int(random.next() % 64)
                let value = random.next()
                rig.store(0xA0000 + Physical(at), value & (.max >> UInt64(64 - 8 * size)), size: size)
                for i in 0..<size {
                    let a = at + i
                    let enabled = oddEven ? mask & (a & 1 == 0 ? 5 : 10) : mask
                    model.write(oddEven ? a & ~1 : a, UInt8(truncatingIfNeeded: value >> UInt64(8 * i)), g, enabled: enabled)
                }
            default:
                let size = [1, 2, 4, 8].randomElement(using: &random)!
                let at = Int(random.next() % 64)
                var expected: UInt64 = 0
                for i in 0..<size {
                    let a = at + i
                    let plane = oddEven ? Int(g[4] & 2) | a & 1 : Int(g[4] & 3)
                    expected |= UInt64(model.read(oddEven ? a & ~1 : a, g, plane: plane)) << UInt64(8 * i)
                }
                let actual = rig.load(0xA0000 + Physical(at), size: size)
                guard actual == expected else {
                    Issue.record("read \(size) at \(at): \(actual) instead of \(expected), registers \(g)")
                    return
                }
            }
        }
        for offset in 0..<80 { for plane in 0..<4 { #expect(rig.vram(offset * 4 + plane) == model.planes[plane][offset]) } }
    }

    @Test("chain-4 bytes are linear in video memory and obey the map mask")
    func chain4() throws {
        let rig = try VGARig()
        rig.set(.chain320)
        rig.store(0xA0001, 0x8877_6655_4433_2211, size: 8)
        #expect((0..<10).map { rig.vram($0) } == [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0])
        #expect(rig.load(0xA0003, size: 4) == 0x6655_4433)
        rig.sequencer(2, 0b0010)
        rig.store(0xA0000, 0xFFFF_FFFF, size: 4)
        #expect((0..<4).map { rig.vram($0) } == [0, 0xFF, 0x22, 0x33])
        rig.sequencer(2, 15)
        rig.graphics(8, 0x0F)  // the bit mask takes the rest from the latches, loaded by the read
        _ = rig.load(0xA0004)
        rig.store(0xA0004, 0xEE)
        #expect(rig.vram(4) == 0x4E)
    }

    @Test("text cells lie at even offsets of planes 0 and 1, in wide accesses too")
    func text() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.store(0xB8000, 0x1F42_0741_1E44_0E43, size: 8)
        #expect([0, 8, 16, 24].map { rig.vram($0) } == [0x43, 0x44, 0x41, 0x42])
        #expect([1, 9, 17, 25].map { rig.vram($0) } == [0x0E, 0x1E, 0x07, 0x1F])
        #expect(rig.load(0xB8002, size: 4) == 0x0741_1E44)
        #expect(rig.load(0xB8003, size: 2) == 0x411E)
        rig.store(0xB8003, 0x55AA, size: 2)
        #expect(rig.load(0xB8002, size: 4) == 0x0755_AA44)
    }

    @Test("only the selected part of the window answers, and only with memory enabled")
    func maps() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.store(0xB8000, 0x41)
        #expect(rig.load(0xB0000) == 0xFF)
        #expect(rig.load(0xA0000, size: 4) == 0xFFFF_FFFF)
        #expect(rig.load(0xB7FFF, size: 2) == 0x41FF)
        #expect(rig.load(0xBFFFF, size: 2) >> 8 == 0xFF)
        rig.graphics(6, 0x0A)
        rig.store(0xB0000, 0x42)
        #expect(rig.load(0xB8000) == 0xFF)
        #expect(rig.load(0xB0000) == 0x42)
        rig.graphics(6, 0x02)
        rig.store(0xB0000, 0x43)  // 128 KiB: address bit 16 becomes bit 0
        #expect(rig.load(0xA0000) == 0x42)
        #expect(rig.vram(4) == 0x43)
        rig.out(0x3C2, 0x65)
        #expect(rig.load(0xA0000) == 0xFF)
        rig.store(0xA0000, 0)
        rig.out(0x3C2, 0x67)
        #expect(rig.load(0xA0000) == 0x42)
    }

    @Test("a font write counts, a text write does not")
    func fontGeneration() throws {
        let rig = try VGARig()
        rig.set(.text80)
        let before = rig.vga.textFrame(memory: rig.memory).fontGeneration
        rig.print("hello", row: 1)
        #expect(rig.vga.textFrame(memory: rig.memory).fontGeneration == before)
        rig.loadFont(height: 16) { _, _ in 1 }
        #expect(rig.vga.textFrame(memory: rig.memory).fontGeneration != before)
    }
}
