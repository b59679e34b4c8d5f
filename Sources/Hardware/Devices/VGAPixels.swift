import CPU
import Primitives

/// IBM VGA with DISPI, pixel view: the picture as RGB pixels.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": graphics controller shift modes, attribute
/// controller, character generator; Bochs *VBE display interface* notes (pixel formats).
///
/// Lines that repeat (double scanning) are given once in graphics modes; 40-column text is widened to square-ish pixels. Blinking
/// text and the cursor are drawn in their visible phase.
///
/// Not implemented: overscan border, blink phases.
extension VGA {
    /// The picture; nil while the display is blank.
    public func pixels(memory: GuestMemory) -> PixelFrame? {
        guard !isBlank, vramBytes >= 1 << 18, let block = memory.block(offset: vramOffset, bytes: vramBytes) else { return nil }
        return memory.withBytes(of: block) { bytes in
            let vram = UnsafeRawBufferPointer(bytes)
            if dispiEnabled { return dispi[3] == 4 ? dispiPlanar(vram) : dispiPacked(vram) }
            return isGraphics ? graphicsPixels(vram) : textPixels(vram)
        }
    }

    // MARK: Text

    private func textPixels(_ vram: UnsafeRawBufferPointer) -> PixelFrame {
        let picture = picture
        let cell = picture.cellWidth
        let widen = picture.wideDots && picture.columns <= 80 ? 2 : 1
        let width = picture.columns * cell
        var frame = PixelFrame(
            width: width * widen, height: picture.lines, pixels: [UInt32](repeating: 0, count: width * widen * picture.lines))
        let palette = palette16
        let fonts = fontOffsets
        let blink = attribute[0x10] & 8 != 0
        let lineGraphics = attribute[0x10] & 4 != 0
        let underline = Int(crtc[0x14] & 31)
        let cursorStart = Int(crtc[0x0A] & 31)
        let cursorEnd = Int(crtc[0x0B] & 31)
        let cursorOn = crtc[0x0A] & 0x20 == 0
        let cursorAt = (Int(crtc[0x0E]) << 8 | Int(crtc[0x0F])) + Int(crtc[0x0B] >> 5 & 3)
        // One character more than is shown, for panning.
        var dots = [UInt32](repeating: 0, count: (picture.columns + 1) * cell)
        for (y, line) in picture.walk(every: 1).enumerated() {
            for column in 0...picture.columns {
                let counter = line.address + column
                let at = planeAddress(counter) * 4
                let character = Int(vram[at])
                let colours = vram[at + 1]
                let font = colours & 8 != 0 ? fonts.second : fonts.first
                var glyph = vram[((font + character * 32 + line.scan) & 0xFFFF) * 4 + 2]
                if line.scan == underline && colours & 7 == 1 { glyph = 0xFF }
                var ninth = lineGraphics && character & 0xE0 == 0xC0 && glyph & 1 != 0
                if line.scan == underline && colours & 7 == 1 { ninth = true }
                if cursorOn && line.scan >= cursorStart && line.scan <= cursorEnd && counter & 0xFFFF == cursorAt & 0xFFFF {
                    (glyph, ninth) = (0xFF, true)
                }
                let front = palette[Int(colours & 15)]
                let back = palette[Int(blink ? colours >> 4 & 7 : colours >> 4)]
                let base = column * cell
                for dot in 0..<8 { dots[base + dot] = glyph & (0x80 >> UInt8(dot)) != 0 ? front : back }
                if cell == 9 { dots[base + 8] = ninth ? front : back }
            }
            let shift = line.belowSplit && picture.panningStops ? 0 : min(picture.panning, cell - 1)
            let target = y * width * widen
            if widen == 1 {
                for x in 0..<width { frame.pixels[target + x] = dots[x + shift] }
            } else {
                for x in 0..<width {
                    frame.pixels[target + 2 * x] = dots[x + shift]
                    frame.pixels[target + 2 * x + 1] = dots[x + shift]
                }
            }
        }
        return frame
    }

    // MARK: VGA graphics

    private func graphicsPixels(_ vram: UnsafeRawBufferPointer) -> PixelFrame {
        let picture = picture
        let kind = graphicsKind
        let (width, height) = graphicsSize
        let pairs = attribute[0x10] & 0x40 != 0 && kind == .packed256
        var frame = PixelFrame(width: width, height: height, pixels: [UInt32](repeating: 0, count: width * height))
        let palette = palette16
        let wide = pairs ? palette256 : []
        let slow = crtc[0x14] & 0x20 != 0 ? 2 : crtc[0x17] & 0x08 != 0 ? 1 : 0  // address counter: every 4th, 2nd or each clock
        let perClock = pairs ? 4 : 8
        var dots = [UInt32](repeating: 0, count: (picture.columns + 1) * perClock)
        let lines = picture.walk(every: lineRepeat)
        for y in 0..<min(height, lines.count) {
            let line = lines[y]
            for column in 0...picture.columns {
                var at = planeAddress(line.address + column >> slow)
                if crtc[0x17] & 1 == 0 { at = (at & ~0x2000) | (line.scan & 1) << 13 }
                if crtc[0x17] & 2 == 0 { at = (at & ~0x4000) | (line.scan & 2) << 13 }
                let planes = vram.loadUnaligned(fromByteOffset: at * 4, as: UInt32.self)
                let base = column * perClock
                switch kind {
                case .planar:
                    for dot in 0..<8 {
                        let bits = planes >> UInt32(7 - dot) & 0x0101_0101
                        // Bits 0, 8, 16, 24 gathered into 0–3.
                        dots[base + dot] = palette[Int((bits | bits >> 7 | bits >> 14 | bits >> 21) & 15)]
                    }
                case .interleaved:
                    for dot in 0..<8 {
                        let half = dot < 4 ? planes : planes >> 8
                        let place = UInt32(6 - 2 * (dot & 3))
                        dots[base + dot] = palette[Int((half >> place & 3) | (half >> (place + 16) & 3) << 2)]
                    }
                case .packed256 where pairs:
                    for dot in 0..<4 { dots[base + dot] = wide[Int(planes >> UInt32(8 * dot) & 0xFF)] }
                case .packed256:
                    for dot in 0..<8 {
                        let byte = planes >> UInt32(8 * (dot / 2))
                        dots[base + dot] = palette[Int(dot & 1 == 0 ? byte >> 4 & 15 : byte & 15)]
                    }
                }
            }
            var shift = line.belowSplit && picture.panningStops ? 0 : Int(attribute[0x13] & 7)
            if pairs { shift /= 2 }
            let target = y * width
            for x in 0..<width { frame.pixels[target + x] = dots[x + shift] }
        }
        return frame
    }

    // MARK: DISPI

    private func dispiPlanar(_ vram: UnsafeRawBufferPointer) -> PixelFrame {
        let (width, height) = graphicsSize
        var frame = PixelFrame(width: width, height: height, pixels: [UInt32](repeating: 0, count: width * height))
        let palette = palette16
        for y in 0..<height {
            let line = (Int(dispi[9]) + y) * dispiPitch
            for x in 0..<width {
                let column = Int(dispi[8]) + x
                let at = line + column / 8 * 4
                guard at + 4 <= vram.count else { break }
                let bits = vram.loadUnaligned(fromByteOffset: at, as: UInt32.self) >> UInt32(7 - column & 7) & 0x0101_0101
                frame.pixels[y * width + x] = palette[Int((bits | bits >> 7 | bits >> 14 | bits >> 21) & 15)]
            }
        }
        return frame
    }

    private func dispiPacked(_ vram: UnsafeRawBufferPointer) -> PixelFrame {
        let (width, height) = graphicsSize
        let bits = Int(dispi[3])
        let bytes = (bits + 7) / 8
        var frame = PixelFrame(width: width, height: height, pixels: [UInt32](repeating: 0, count: width * height))
        let palette = bits == 8 ? palette256 : []
        for y in 0..<height {
            let line = (Int(dispi[9]) + y) * dispiPitch + Int(dispi[8]) * bytes
            let shown = min(width, (vram.count - line) / bytes)
            guard line < vram.count, shown > 0 else { break }
            let target = y * width
            switch bits {
            case 8:
                for x in 0..<shown { frame.pixels[target + x] = palette[Int(vram[line + x])] }
            case 15:
                for x in 0..<shown {
                    let p = UInt32(vram.loadUnaligned(fromByteOffset: line + 2 * x, as: UInt16.self))
                    frame.pixels[target + x] = VGA.widen(p >> 10 & 31, 5) << 16 | VGA.widen(p >> 5 & 31, 5) << 8 | VGA.widen(p & 31, 5)
                }
            case 16:
                for x in 0..<shown {
                    let p = UInt32(vram.loadUnaligned(fromByteOffset: line + 2 * x, as: UInt16.self))
                    frame.pixels[target + x] = VGA.widen(p >> 11, 5) << 16 | VGA.widen(p >> 5 & 63, 6) << 8 | VGA.widen(p & 31, 5)
                }
            case 24:
                for x in 0..<shown {
                    let at = line + 3 * x
                    frame.pixels[target + x] = UInt32(vram[at]) | UInt32(vram[at + 1]) << 8 | UInt32(vram[at + 2]) << 16
                }
            default:
                for x in 0..<shown {
                    frame.pixels[target + x] = vram.loadUnaligned(fromByteOffset: line + 4 * x, as: UInt32.self) & 0xFF_FFFF
                }
            }
        }
        return frame
    }

    /// A level of `bits` bits as 8 bits, full scale on full scale.
    @inline(__always)
    private static func widen(_ level: UInt32, _ bits: UInt32) -> UInt32 { level << (8 - bits) | level >> (2 * bits - 8) }
}
