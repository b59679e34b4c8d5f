import CPU
import Primitives

/// IBM VGA, picture: how the registers say that video memory is walked and coloured, shared by the text and pixel views.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": CRT controller address generation, attribute
/// controller, colour look-up table.
///
/// Not implemented: horizontal and vertical blanking inside the display, overscan border.
struct VGAPicture {
    /// Character clocks of a line, 1–256.
    var columns: Int
    /// Displayed scan lines, 1–2048.
    var lines: Int
    /// Scan lines of a character row (maximum scan line + 1), before double scanning.
    var cellHeight: Int
    /// Every line is shown twice.
    var doubleScan: Bool
    /// Dots of a character clock, 8 or 9.
    var cellWidth: Int
    /// Dot clock halved: 320 and 360 dots a line.
    var wideDots: Bool
    /// Address counter at the top, and its step from row to row.
    var start: Int, pitch: Int
    /// Row scan of the first line, 0–31.
    var preset: Int
    /// Last scan line before the address counter returns to 0.
    var lineCompare: Int
    /// Dots that the picture is moved to the left; 0 below the split when `panningStops`.
    var panning: Int
    var panningStops: Bool

    /// One displayed line: address counter of its first character, scan line within the row, and whether it is below the split.
    struct Line {
        var address: Int
        var scan: Int
        var belowSplit: Bool
    }

    /// The lines as the CRT controller walks them, every `step`th one.
    func walk(every step: Int) -> [Line] {
        var all: [Line] = []
        all.reserveCapacity(lines / step + 1)
        var (address, scan, again, below) = (start, preset, false, false)
        for line in 0..<lines {
            if line % step == 0 { all.append(Line(address: address & 0xFFFF, scan: scan, belowSplit: below)) }
            if line == lineCompare {
                (address, scan, again, below) = (0, 0, false, true)
            } else if doubleScan && !again {
                again = true
            } else {
                again = false
                scan = (scan + 1) & 31
                if scan == cellHeight & 31 {
                    scan = 0
                    address = (address + pitch) & 0xFFFF
                }
            }
        }
        return all
    }
}

extension VGA {
    /// The raster as the registers describe it; every value is possible, none is trusted further than the ranges above.
    var picture: VGAPicture {
        let overflow = Int(crtc[7])
        var lines = (Int(crtc[0x12]) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1
        var compare = Int(crtc[0x18]) | (overflow & 0x10) << 4 | (Int(crtc[0x09]) & 0x40) << 3
        if crtc[0x17] & 0x04 != 0 {  // vertical counters run at half the line rate
            lines *= 2
            compare = compare * 2 + 1
        }
        let nine = sequencer[1] & 1 == 0
        let pan = Int(attribute[0x13] & 15)
        return VGAPicture(
            columns: Int(crtc[1]) + 1, lines: lines, cellHeight: Int(crtc[0x09] & 31) + 1, doubleScan: crtc[0x09] & 0x80 != 0,
            cellWidth: nine ? 9 : 8, wideDots: sequencer[1] & 8 != 0,
            start: (Int(crtc[0x0C]) << 8 | Int(crtc[0x0D])) + Int(crtc[0x08] >> 5 & 3), pitch: Int(crtc[0x13]) * 2,
            preset: Int(crtc[0x08] & 31), lineCompare: compare,
            panning: nine ? (pan >= 8 ? 0 : pan + 1) : pan & 7, panningStops: attribute[0x10] & 0x20 != 0)
    }

    /// Plane offset, 0–65535, of an address counter value: byte, word and doubleword mode (CRTC 0x17 bit 6, 0x14 bit 6).
    @inline(__always)
    func planeAddress(_ counter: Int) -> Int {
        if crtc[0x14] & 0x40 != 0 {
            // Chain-4 puts its bytes where a plain counter finds them; see VGAMemory.swift.
            return sequencer[4] & 8 != 0 ? counter & 0xFFFF : (counter << 2 | counter >> 14 & 3) & 0xFFFF
        }
        if crtc[0x17] & 0x40 != 0 { return counter & 0xFFFF }
        return (counter << 1 | counter >> (crtc[0x17] & 0x20 != 0 ? 15 : 13) & 1) & 0xFFFF
    }

    /// Nothing is displayed: in reset, switched off, or the palette belongs to the processor.
    var isBlank: Bool {
        if attributeIndex & 0x20 == 0 || !subsystemEnabled { return true }
        if dispiEnabled { return false }
        return sequencer[0] & 3 != 3 || sequencer[1] & 0x20 != 0 || crtc[0x17] & 0x80 == 0
    }

    var isGraphics: Bool { dispiEnabled || graphics[6] & 1 != 0 }

    // MARK: Colours

    /// A DAC entry as 0xRRGGBB.
    func dacColour(_ index: UInt8) -> UInt32 {
        let at = Int(index & pelMask) * 3
        var rgb: UInt32 = 0
        for i in 0..<3 {
            let level = UInt32(dac[at + i])
            rgb = rgb << 8 | (dac8 ? level : (level << 2 | level >> 4) & 0xFF)
        }
        return rgb
    }

    /// The 16 colours of the attribute controller through plane enable, palette, colour select and DAC.
    var palette16: [UInt32] {
        let mode = attribute[0x10]
        let select = attribute[0x14]
        return (0..<16).map { i in
            let entry = attribute[i & Int(attribute[0x12] & 15)] & 0x3F
            let low = mode & 0x80 != 0 ? (entry & 0x0F) | (select & 3) << 4 : entry  // P54S
            return dacColour(low | (select & 0x0C) << 4)
        }
    }

    var palette256: [UInt32] { (0..<256).map { dacColour(UInt8($0)) } }

    // MARK: Names

    /// Size in pixels and a name of the graphics mode.
    var graphicsMode: (width: Int, height: Int, name: String) {
        let size = graphicsSize
        let extent = "\(size.width)x\(size.height)"
        if dispiEnabled { return (size.width, size.height, "\(extent)x\(dispi[3])" + (dispi[3] == 4 ? " planar" : " linear")) }
        switch graphicsKind {
        case .packed256: return (size.width, size.height, "\(extent)x8" + (sequencer[4] & 8 != 0 ? " chained" : " planar"))
        case .interleaved: return (size.width, size.height, "\(extent)x2")
        case .planar:
            let single = attribute[0x12] & 15 == 1 || crtc[0x17] & 1 == 0
            return (size.width, size.height, single ? "\(extent)x1" : "\(extent)x4 planar")
        }
    }

    enum GraphicsKind {
        /// Four planes, one bit each: 16 colours.
        case planar
        /// Two bits of a byte make a pixel: CGA's four colours.
        case interleaved
        /// A byte makes a pixel.
        case packed256
    }

    var graphicsKind: GraphicsKind {
        if graphics[5] & 0x40 != 0 { return .packed256 }
        return graphics[5] & 0x20 != 0 ? .interleaved : .planar
    }

    /// Scan lines that show the same memory: double scanning, and character rows that do not reach the address.
    var lineRepeat: Int {
        let picture = picture
        let rows = crtc[0x17] & 3 == 3 ? picture.cellHeight : 1
        return rows * (picture.doubleScan ? 2 : 1)
    }

    /// Pixels of the picture, lines shown several times counted once.
    var graphicsSize: (width: Int, height: Int) {
        if dispiEnabled { return (Int(dispi[1]), Int(dispi[2])) }
        let picture = picture
        let dots = picture.columns * 8
        let pairs = attribute[0x10] & 0x40 != 0 && graphicsKind == .packed256
        return (pairs ? dots / 2 : dots, max(picture.lines / lineRepeat, 1))
    }
}
