import CPU
import Primitives

/// Bochs display interface (DISPI) of the VGA, with its memory-mapped register window and the monitor's EDID.
///
/// Source: Bochs *VBE display interface* notes, `vbe_display_api.txt` (IDs B0C0–B0C5); QEMU *standard VGA* notes, `standard-vga.txt`
/// (PCI BAR 2); VESA *Enhanced EDID Standard*, release A revision 2 (2006).
///
///     index  register                     BAR 2   what
///     0      ID, B0C0–B0C5                0x000   EDID, 128 bytes
///     1–3    X, Y resolution, bits/pixel  0x400   ports 0x3C0–0x3DF
///     4      enable                       0x500   DISPI registers 0–10, 16 bits each
///     5      bank, 64 KiB each            0x600   size of this block (8), byte order of pixels
///     6, 7   virtual width, height
///     8, 9   X, Y offset
///     10     video memory in 64 KiB
///
/// While it is enabled the window at 0xA0000 is 64 KiB into the selected bank, and memory is straight or, with 4 bits, planar,
/// whatever the VGA registers say; they keep their values, so that switching it off brings the VGA's picture back.
///
/// Not implemented: DDC register (index 11), big-endian pixels.
extension VGA {
    static let dispiMaximum: (x: UInt16, y: UInt16, bits: UInt16) = (2560, 1600, 32)

    enum DispiEnable {
        static let enabled: UInt16 = 0x01
        static let capabilities: UInt16 = 0x02
        static let dac8: UInt16 = 0x20
        static let linear: UInt16 = 0x40
        static let keepMemory: UInt16 = 0x80
    }

    var dispiEnabled: Bool { dispi[4] & DispiEnable.enabled != 0 }
    /// The window at 0xA0000 goes straight to video memory.
    var dispiLinear: Bool { dispi[4] & DispiEnable.enabled != 0 && dispi[3] >= 8 }
    /// Offset of the bank behind the window: bytes of video memory, of a plane in 4-bit modes.
    var bankBase: Int { Int(dispi[5]) << 16 }
    /// Bytes of video memory from one line to the next.
    var dispiPitch: Int { VGA.pitch(width: Int(dispi[6]), bits: Int(dispi[3])) }

    static func pitch(width: Int, bits: Int) -> Int {
        bits == 4 ? width / 8 * 4 : width * ((bits + 7) / 8)
    }

    // MARK: Registers

    func readDispi(_ index: UInt16) -> UInt16 {
        let capabilities = dispi[4] & DispiEnable.capabilities != 0
        switch index {
        case 1 where capabilities: return VGA.dispiMaximum.x
        case 2 where capabilities: return VGA.dispiMaximum.y
        case 3 where capabilities: return VGA.dispiMaximum.bits
        case 0...9: return dispi[Int(index)]
        case 10: return UInt16(truncatingIfNeeded: vramBytes >> 16)
        default: return 0
        }
    }

    mutating func writeDispi(_ index: UInt16, _ value: UInt16, _ memory: GuestMemory) {
        switch index {
        case 0: if value >= 0xB0C0 && value <= 0xB0C5 { dispi[0] = value }
        case 1: if value <= VGA.dispiMaximum.x { dispi[1] = max(value & ~7, 8) }
        case 2: if value <= VGA.dispiMaximum.y { dispi[2] = max(value, 1) }
        case 3: setDepth(value)
        case 4: enableDispi(value, memory)
        case 5: dispi[5] = value & UInt16(truncatingIfNeeded: max(vramBytes >> (dispi[3] == 4 ? 18 : 16), 1) - 1)
        case 6: dispi[6] = value & ~7
        case 8: dispi[8] = value
        case 9: dispi[9] = value
        default: return
        }
        if dispiEnabled && index != 0 && index != 5 { fitDispi() }
    }

    private mutating func setDepth(_ bits: UInt16) {
        switch bits {
        case 0: dispi[3] = 8  // the interface's oldest users mean 8
        case 4, 8, 15, 16, 24, 32: dispi[3] = bits
        default: break
        }
    }

    private mutating func enableDispi(_ value: UInt16, _ memory: GuestMemory) {
        let was = dispiEnabled
        setDAC8(value & DispiEnable.dac8 != 0)
        dispi[4] = value & 0xE3
        guard dispiEnabled else {
            dispi[5] = 0
            return
        }
        guard !was else { return }
        (dispi[5], dispi[6], dispi[8], dispi[9]) = (0, dispi[1], 0, 0)
        fitDispi()
        if value & DispiEnable.keepMemory == 0 {
            memory.zeroArena(vramOffset, count: min(vramBytes, dispiPitch * Int(dispi[2])))
        }
    }

    /// Keeps the picture inside video memory: virtual size and offsets follow from what was asked.
    private mutating func fitDispi() {
        let bits = Int(dispi[3])
        if Int(dispi[6]) < Int(dispi[1]) { dispi[6] = dispi[1] }
        let widest = (bits == 4 ? vramBytes * 2 : vramBytes / ((bits + 7) / 8)) / max(Int(dispi[2]), 1) & ~7
        if Int(dispi[6]) > widest { dispi[6] = UInt16(clamping: max(widest, 8)) }
        let lines = vramBytes / max(dispiPitch, 1)
        dispi[7] = UInt16(clamping: lines)
        if Int(dispi[8]) + Int(dispi[1]) > Int(dispi[6]) { dispi[8] = UInt16(clamping: max(Int(dispi[6]) - Int(dispi[1]), 0)) }
        if Int(dispi[9]) + Int(dispi[2]) > lines { dispi[9] = UInt16(clamping: max(lines - Int(dispi[2]), 0)) }
    }

    /// Switching the DAC's width keeps the colours.
    private mutating func setDAC8(_ wide: Bool) {
        guard wide != dac8 else { return }
        dac8 = wide
        for i in 0..<dac.count { dac[i] = wide ? dac[i] << 2 | dac[i] >> 4 & 3 : dac[i] >> 2 }
    }

    // MARK: Ports 0x1CE–0x1D1

    mutating func writeDispiByte(_ port: Port, _ value: UInt8, _ memory: GuestMemory) {
        switch port {
        case 0x1CE: dispiIndex = UInt16(value)
        case 0x1CF, 0x1D0: writeDispi(dispiIndex, readDispi(dispiIndex) & 0xFF00 | UInt16(value), memory)
        case 0x1D1: writeDispi(dispiIndex, readDispi(dispiIndex) & 0x00FF | UInt16(value) << 8, memory)
        default: break
        }
    }

    func readDispiWide(_ port: Port, size: Int) -> UInt32 {
        guard size == 4 else { return UInt32(port == 0x1CE ? dispiIndex : readDispi(dispiIndex)) }
        let data = UInt32(readDispi(dispiIndex))
        return port == 0x1CE ? data << 16 | UInt32(dispiIndex) : 0xFFFF_0000 | data
    }

    mutating func writeDispiWide(_ port: Port, size: Int, _ value: UInt32, _ memory: GuestMemory) {
        let low = UInt16(truncatingIfNeeded: value)
        guard port == 0x1CE else {
            if port < 0x1D1 { writeDispi(dispiIndex, low, memory) }
            return
        }
        dispiIndex = low
        if size == 4 { writeDispi(dispiIndex, UInt16(truncatingIfNeeded: value >> 16), memory) }
    }

    // MARK: BAR 2

    mutating func readRegisters(_ offset: Int, size: Int, _ wires: inout Wires) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<size { value |= UInt64(readRegister(offset + i, &wires)) << UInt64(8 * i) }
        return value
    }

    private mutating func readRegister(_ offset: Int, _ wires: inout Wires) -> UInt8 {
        switch offset {
        case 0x000..<0x400: return offset < VGA.edid.count ? VGA.edid[offset] : 0
        case 0x400..<0x420: return read(0x3C0 + Port(offset - 0x400), &wires)
        case 0x500..<0x516: return UInt8(truncatingIfNeeded: readDispi(UInt16((offset - 0x500) / 2)) >> (offset & 1 == 0 ? 0 : 8))
        case 0x600: return 8
        case 0x601..<0x604: return 0
        case 0x604..<0x608: return 0x1E  // little-endian
        default: return 0xFF
        }
    }

    mutating func writeRegisters(_ offset: Int, size: Int, _ value: UInt64, _ wires: inout Wires) {
        var done = 0
        while done < size {
            let at = offset + done
            let rest = value >> UInt64(8 * done)
            switch at {
            case 0x400..<0x420: write(0x3C0 + Port(at - 0x400), UInt8(truncatingIfNeeded: rest), &wires)
            case 0x500..<0x516:
                let index = UInt16((at - 0x500) / 2)
                if at & 1 == 0 && size - done >= 2 {
                    writeDispi(index, UInt16(truncatingIfNeeded: rest), wires.memory)
                    done += 1
                } else {
                    let old = readDispi(index)
                    let byte = UInt16(truncatingIfNeeded: rest & 0xFF)
                    writeDispi(index, at & 1 == 0 ? old & 0xFF00 | byte : old & 0x00FF | byte << 8, wires.memory)
                }
            default: break
            }
            done += 1
        }
    }

    // MARK: EDID

    /// EDID 1.4 of a digital monitor "Vitrine": 1024x768 at 60 Hz preferred; 640x480, 800x600, 1280x720, 1280x1024 and 1600x1200 too.
    static let edid: [UInt8] = {
        var block: [UInt8] = [
            0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00,
            0x5A, 0x92, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00,  // "VTR", product 1, serial 1
            0x01, 0x24, 0x01, 0x04,  // week 1 of 2026, EDID 1.4
            0xA5, 0x20, 0x18, 0x78, 0x06,  // digital 8 bits a colour, 32x24 cm, gamma 2.2, sRGB, first timing preferred
            0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54,  // sRGB chromaticities
            0x21, 0x08, 0x00,  // 640x480, 800x600, 1024x768 at 60 Hz
            0x81, 0xC0, 0x81, 0x80, 0xA9, 0x40, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
            // 65.00 MHz, 1024+320, 768+38, sync 24/136 and 3/6, 320x240 mm
            0x64, 0x19, 0x00, 0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x40, 0xF0, 0x10, 0x00, 0x00, 0x18,
            0x00, 0x00, 0x00, 0xFC, 0x00,  // name
        ]
        block += Array("Vitrine\n     ".utf8)
        block += [0x00, 0x00, 0x00, 0xFD, 0x00, 0x32, 0x4B, 0x1E, 0x53, 0x11, 0x01, 0x0A] + [UInt8](repeating: 0x20, count: 6)
        block += [0x00, 0x00, 0x00, 0x10, 0x00] + [UInt8](repeating: 0, count: 13)
        block.append(0)  // no extension
        block.append(0 &- block.reduce(0, &+))
        return block
    }()
}
