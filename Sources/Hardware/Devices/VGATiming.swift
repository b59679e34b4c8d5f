import Primitives

/// IBM VGA, raster timing: where the beam is at a given guest time.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": CRT controller, sequencer clocking mode, input
/// status registers; dot clocks 25.175 and 28.322 MHz.
///
/// Not implemented: skew of display enable and retrace, blanking apart from display enable, interlace.
struct VGATiming {
    /// Dot clock in kHz (after the sequencer's divider).
    var clock: UInt64
    /// Dots of a whole line, of its displayed part.
    var lineDots: UInt64, shownDots: UInt64
    /// Lines of a whole frame, of its displayed part.
    var lines: UInt64, shownLines: UInt64
    /// Vertical retrace: first line, number of lines.
    var retraceStart: UInt64, retraceLines: UInt64

    /// Dots since power-on. Fits: 2^64 ns times 28322 kHz, divided by 10^6, is less than 2^59.
    func dots(at now: Nanoseconds) -> UInt64 {
        UInt64(1_000_000).dividingFullWidth(now.multipliedFullWidth(by: clock)).quotient
    }

    /// Whole frames whose picture has ended by now.
    func displayEnds(at now: Nanoseconds) -> UInt64 {
        let frame = lineDots * lines
        return (dots(at: now) &+ frame &- lineDots * shownLines) / frame
    }
}

extension VGA {
    /// Timing as programmed, made possible where it is not: a polling guest always sees display and retrace alternate.
    var timing: VGATiming {
        if dispiEnabled {  // the DISPI has no timing registers: 60 Hz with 1/20 of the frame blank
            let lines = UInt64(max(dispi[2], 1))
            let dots = UInt64(max(dispi[1], 8))
            let all = lines + lines / 20 + 4
            let whole = dots + dots / 4
            return VGATiming(
                clock: max(whole * all * 60 / 1000, 1), lineDots: whole, shownDots: dots, lines: all, shownLines: lines,
                retraceStart: lines + 1, retraceLines: 2)
        }
        let overflow = UInt64(crtc[7])
        let dotsPerCharacter: UInt64 = sequencer[1] & 1 != 0 ? 8 : 9
        let shown = UInt64(crtc[1]) + 1
        let total = max(UInt64(crtc[0]) + 5, shown + 1)
        let shownLines = (UInt64(crtc[0x12]) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1
        let lines = max((UInt64(crtc[0x06]) | (overflow & 0x01) << 8 | (overflow & 0x20) << 4) + 2, shownLines + 2)
        var start = UInt64(crtc[0x10]) | (overflow & 0x04) << 6 | (overflow & 0x80) << 2
        var length = (UInt64(crtc[0x11] & 15) &- start) & 15
        if length == 0 { length = 16 }
        if start >= lines || length >= lines { (start, length) = (lines - 2, 2) }
        let crystal: UInt64 = misc & 0x0C == 0x04 ? 28_322 : 25_175
        return VGATiming(
            clock: sequencer[1] & 8 != 0 ? crystal / 2 : crystal, lineDots: total * dotsPerCharacter, shownDots: shown * dotsPerCharacter,
            lines: lines, shownLines: shownLines, retraceStart: start, retraceLines: length)
    }

    /// Port 0x3DA: bit 0 not displaying, bit 3 vertical retrace, bits 4 and 5 two colour bits of the border for diagnostics.
    func inputStatus1(_ now: Nanoseconds) -> UInt8 {
        let timing = timing
        let at = timing.dots(at: now) % (timing.lineDots * timing.lines)
        let line = at / timing.lineDots
        if line < timing.shownLines && at % timing.lineDots < timing.shownDots { return 0 }
        let retrace = (line &+ timing.lines &- timing.retraceStart) % timing.lines < timing.retraceLines
        if retrace { return 0x09 }
        let border = attribute[0x11]
        let pair: (UInt8, UInt8) =
            switch attribute[0x12] >> 4 & 3 {
            case 0: (2, 0)
            case 1: (5, 4)
            case 2: (3, 1)
            default: (7, 6)
            }
        return 0x01 | (border >> pair.0 & 1) << 5 | (border >> pair.1 & 1) << 4
    }

    /// Status 0 bit 7: the picture ended since the interrupt was armed (CRTC 0x11 bit 4; writing 0 there clears it).
    func verticalInterruptPending(_ now: Nanoseconds) -> Bool {
        guard crtc[0x11] & 0x10 != 0 else { return false }
        let timing = timing
        return timing.displayEnds(at: now) != timing.displayEnds(at: interruptArmed)
    }
}
