import CPU
import Primitives

@testable import Hardware

/// A VGA with memory around it, driven as a guest would.
final class VGARig {
    let memory: GuestMemory
    let block: GuestMemory.Block
    var vga: VGA
    var wires: Wires

    init() throws {
        memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 16 << 20)
        block = memory.allocate(bytes: 16 << 20)
        memory.setMap([GuestMemory.Window(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        vga = VGA(vram: block)
        wires = Wires(now: 0, memory: memory)
    }

    func out(_ port: Port, _ value: UInt8) { vga.write(port, value, &wires) }
    func `in`(_ port: Port) -> UInt8 { vga.read(port, &wires) }
    /// Index in the low byte, data in the high one, as `out dx, ax`.
    func outWord(_ port: Port, _ index: UInt8, _ value: UInt8) {
        vga.writeWide(port, size: 2, UInt32(value) << 8 | UInt32(index), &wires)
    }
    func sequencer(_ index: UInt8, _ value: UInt8) { outWord(0x3C4, index, value) }
    func graphics(_ index: UInt8, _ value: UInt8) { outWord(0x3CE, index, value) }
    var crtcPort: Port { vga.misc & 1 != 0 ? 0x3D4 : 0x3B4 }
    func crtc(_ index: UInt8, _ value: UInt8) { outWord(crtcPort, index, value) }
    func attribute(_ index: UInt8, _ value: UInt8) {
        _ = self.in(crtcPort + 6)
        out(0x3C0, index)
        out(0x3C0, value)
        out(0x3C0, 0x20)
    }
    func dispi(_ index: UInt16, _ value: UInt16) {
        vga.writeWide(0x1CE, size: 2, UInt32(index), &wires)
        vga.writeWide(0x1CF, size: 2, UInt32(value), &wires)
    }
    func dispi(_ index: UInt16) -> UInt16 {
        vga.writeWide(0x1CE, size: 2, UInt32(index), &wires)
        return UInt16(truncatingIfNeeded: vga.readWide(0x1CF, size: 2, &wires))
    }
    func at(_ now: Nanoseconds) { wires = Wires(now: now, memory: memory) }

    func store(_ address: Physical, _ value: UInt64, size: Int = 1) { vga.writeMemory(address, size: size, value, &wires) }
    func load(_ address: Physical, size: Int = 1) -> UInt64 { vga.readMemory(address, size: size, &wires) }
    func vram(_ index: Int) -> UInt8 { memory.withBytes(of: block) { $0[index] } }
    func setVRAM(_ index: Int, _ value: UInt8) { memory.withBytes(of: block) { $0[index] = value } }

    /// Writes all registers as a mode set does, and the 64 EGA colours into the DAC.
    func set(_ mode: Mode) {
        let r = mode.registers
        out(0x3C2, r[0])
        sequencer(0, 1)
        for i in 1...4 { sequencer(UInt8(i), r[i]) }
        sequencer(0, 3)
        crtc(0x11, 0)
        for i in 0..<25 { crtc(UInt8(i), r[5 + i]) }
        for i in 0..<9 { graphics(UInt8(i), r[30 + i]) }
        for i in 0..<21 { attribute(UInt8(i), r[39 + i]) }
        out(0x3C6, 0xFF)
        out(0x3C8, 0)
        for i in 0..<64 {
            for bit in [2, 1, 0] {
                let strong = i >> bit & 1
                let weak = i >> (bit + 3) & 1
                out(0x3C9, UInt8(strong * 42 + weak * 21))
            }
        }
    }

    /// Text at a row and column of an 80- or 40-column screen at 0xB8000.
    func print(_ text: String, row: Int, column: Int = 0, colours: UInt8 = 0x07, columns: Int = 80) {
        for (i, byte) in text.utf8.enumerated() {
            store(0xB8000 + Physical((row * columns + column + i) * 2), UInt64(colours) << 8 | UInt64(byte), size: 2)
        }
    }

    func clearText(_ cells: Int = 2000) {
        for i in 0..<cells { store(0xB8000 + Physical(i * 2), 0x0720, size: 2) }
    }

    /// Loads glyph rows into a font as the BIOS does: planar access to plane 2, then back to text.
    func loadFont(height: Int, at base: Int = 0, _ row: (Int, Int) -> UInt8) {
        sequencer(2, 4)
        sequencer(4, 7)
        graphics(5, 0)
        graphics(6, 4)
        for glyph in 0..<256 {
            for line in 0..<height { store(0xA0000 + Physical(base + glyph * 32 + line), UInt64(row(glyph, line))) }
        }
        sequencer(2, 3)
        sequencer(4, 2)
        graphics(5, 0x10)
        graphics(6, vga.misc & 1 != 0 ? 0x0E : 0x0A)
    }

    /// Register values of the IBM BIOS's modes: miscellaneous, sequencer 1–4, CRTC 0–18h, graphics 0–8, attribute 0–14h.
    enum Mode: String, CaseIterable {
        case text40, text80, mono, cga320, cga640, ega320, vga640, chain320, unchained320

        var registers: [UInt8] {
            let colours: [UInt8] = [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F]
            let plain: [UInt8] = (0..<16).map { $0 }
            let text: [UInt8] = [0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF]
            switch self {
            case .text80:
                return [0x67, 0x00, 3, 0, 2] + crtc("5F4F508255 81BF1F004F0D0E00000000 9C8E8F281F96B9A3FF") + text + colours
                    + [0x0C, 0, 15, 8, 0]
            case .text40:
                return [0x67, 0x08, 3, 0, 2] + crtc("2D2728902B A0BF1F004F0D0E00000000 9C8E8F141F96B9A3FF") + text + colours
                    + [0x0C, 0, 15, 8, 0]
            case .mono:
                return [0x66, 0x00, 3, 0, 2] + crtc("5F4F508255 81BF1F004F0D0E00000000 9C8E8F280F96B9A3FF")
                    + [0, 0, 0, 0, 0, 0x10, 0x0A, 0, 0xFF, 0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18]
                    + [0x0E, 0, 15, 8, 0]
            case .cga320:
                return [0x63, 0x09, 3, 0, 2] + crtc("2D2728902B 80BF1F00C1000000000000 9C8E8F140096B9A2FF")
                    + [0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF, 0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]
                    + [1, 0, 3, 0, 0]
            case .cga640:
                return [0x63, 0x01, 1, 0, 6] + crtc("5F4F508254 80BF1F00C1000000000000 9C8E8F280096B9C2FF")
                    + [0, 0, 0, 0, 0, 0, 0x0D, 0, 0xFF, 0] + [UInt8](repeating: 0x17, count: 15) + [1, 0, 1, 0, 0]
            case .ega320:
                return [0x63, 0x09, 15, 0, 6] + crtc("2D2728902B 80BF1F00C0000000000000 9C8E8F140096B9E3FF")
                    + [0, 0, 0, 0, 0, 0, 5, 15, 0xFF] + colours + [1, 0, 15, 0, 0]
            case .vga640:
                return [0xE3, 0x01, 15, 0, 6] + crtc("5F4F508254 800B3E0040000000000000 EA8CDF2800E704E3FF")
                    + [0, 0, 0, 0, 0, 0, 5, 15, 0xFF] + colours + [1, 0, 15, 0, 0]
            case .chain320:
                return [0x63, 0x01, 15, 0, 14] + crtc("5F4F508254 80BF1F0041000000000000 9C8E8F284096B9A3FF")
                    + [0, 0, 0, 0, 0, 0x40, 5, 15, 0xFF] + plain + [0x41, 0, 15, 0, 0]
            case .unchained320:
                return [0xE3, 0x01, 15, 0, 6] + crtc("5F4F508254 800D3E0041000000000000 EAACDF2800E706E3FF")
                    + [0, 0, 0, 0, 0, 0x40, 5, 15, 0xFF] + plain + [0x41, 0, 15, 0, 0]
            }
        }

        private func crtc(_ hex: String) -> [UInt8] {
            let digits = hex.compactMap { $0.hexDigitValue.map { UInt8($0) } }
            return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        }
    }
}

/// A small generator for tests: the same numbers on every run.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &* 6364136223846793005 &+ 1442695040888963407
        let x = state ^ state >> 33
        return x &* 0xFF51AFD7ED558CCD ^ x >> 29
    }
}
