import CPU
import Primitives

/// IBM VGA with the Bochs display interface (DISPI) on PCI, 1 to 16 MiB of video memory.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem" (1992); Inmos *IMSG171 Color Look-Up Table* data
/// sheet (DAC); Bochs *VBE display interface* notes, `vbe_display_api.txt` (B0C0–B0C5); PCI identity as QEMU's "standard VGA" notes.
///
///     port        R/W  register
///     0x1CE       R/W  DISPI index (16 bits)
///     0x1CF,1D0   R/W  DISPI data (16 bits)
///     0x3B4/3D4   R/W  CRT controller index        0x3B5/3D5  R/W  CRT controller data
///     0x3BA/3DA    R   input status 1, resets the attribute flip-flop;  W  feature control
///     0x3C0       R/W  attribute index and data    0x3C1   R   attribute data
///     0x3C2        R   input status 0;  W  miscellaneous output         0x3C3  R/W  video subsystem enable
///     0x3C4/3C5   R/W  sequencer                   0x3C6  R/W  PEL mask
///     0x3C7        R   DAC state;  W  DAC read index                    0x3C8  R/W  DAC write index
///     0x3C9       R/W  DAC data                    0x3CA   R   feature control
///     0x3CC        R   miscellaneous output        0x3CE/3CF  R/W  graphics controller
///
/// The 0x3Bx ports answer when miscellaneous output bit 0 is clear, the 0x3Dx ports when it is set. Byte `n` of plane `p` is byte
/// `4n + p` of video memory, so chain-4 modes and the linear framebuffer see the same bytes. Palette registers may be written
/// while the palette address source bit is set (the IBM part wants it clear), as software for later parts expects.
///
/// Not implemented: vertical interrupt on IRQ9 (only its bit in status 0), light pen, monitor sense by the DAC comparator
/// (always "colour"), diagnostic bits of status 1 inside the picture, DISPI DDC register.
public struct VGA: PCIFunction {
    public static let name = "vga"
    public static let stateLimits: [String: ClosedRange<Int64>] = ["dacPlace": 0...2]
    public static var address: (device: Int, function: Int) { (2, 0) }
    /// How much video memory there may be: powers of two, as the framebuffer's base address decodes them.
    public static let memorySizesMiB = [1, 2, 4, 8, 16]
    /// Size of the expansion ROM window, in bytes.
    public static let romBytes = 64 << 10

    public var config: PCIConfig
    /// Arena offset and length of video memory, in bytes.
    public let vramOffset: Int
    public let vramBytes: Int

    // MARK: State

    /// Sequencer registers 0–7.
    var sequencer = [UInt8](repeating: 0, count: 8)
    var sequencerIndex: UInt8 = 0
    /// CRT controller registers 0x00–0x18.
    var crtc = [UInt8](repeating: 0, count: 0x19)
    var crtcIndex: UInt8 = 0
    /// Graphics controller registers 0–8.
    var graphics = [UInt8](repeating: 0, count: 9)
    var graphicsIndex: UInt8 = 0
    /// Attribute controller registers 0x00–0x14: 16 palette registers, mode, overscan, plane enable, panning, colour select.
    var attribute = [UInt8](repeating: 0, count: 0x15)
    /// Attribute index, bits 0–4, and palette address source (PAS), bit 5.
    var attributeIndex: UInt8 = 0
    /// The next write to 0x3C0 is data.
    var attributeData = false
    /// 256 entries of red, green, blue; 6 bits each, 8 bits when `dac8`.
    var dac = [UInt8](repeating: 0, count: 768)
    /// The DAC's address register, its three-byte holding register and the place in it.
    var dacIndex: UInt8 = 0
    var dacHolding: [UInt8] = [0, 0, 0]
    var dacPlace = 0
    /// Set up for reading (0x3C7 written last).
    var dacReads = false
    var pelMask: UInt8 = 0xFF
    /// DISPI switched the DAC to 8 bits a channel.
    var dac8 = false
    var misc: UInt8 = 0
    var featureControl: UInt8 = 0
    /// Port 0x3C3 bit 0.
    var subsystemEnabled = true
    /// The four plane latches, plane 0 in the low byte.
    var latch: UInt32 = 0
    /// When CRTC 0x11 bit 4 last rose: display ends after it set status 0 bit 7.
    var interruptArmed: Nanoseconds = 0
    /// Counts writes that may have changed a font (plane 2).
    var fontGeneration: UInt32 = 0

    var dispiIndex: UInt16 = 0
    /// DISPI registers 0–9: ID, X, Y, BPP, enable, bank, virtual width, virtual height, X offset, Y offset.
    var dispi: [UInt16] = VGA.dispiReset

    static let dispiReset: [UInt16] = [0xB0C5, 640, 480, 8, 0, 0, 640, 480, 0, 0]

    /// - Parameter vram: one of `memorySizesMiB` of the arena.
    public init(vram: GuestMemory.Block) {
        vramOffset = vram.offset
        vramBytes = vram.bytes
        config = VGA.freshConfig(vramBytes)
    }

    private static func freshConfig(_ vramBytes: Int) -> PCIConfig {
        var config = PCIConfig(vendor: 0x1234, device: 0x1111, classCode: 0x03_0000, revision: 2)
        config.set16(0x2C, 0x1AF4)
        config.set16(0x2E, 0x1100)
        config.mask16(0x04, 0x0003)
        config.writable[0x3C] = 0xFF
        config.declareBAR(0, size: UInt32(vramBytes), kind: 0x8)  // prefetchable
        config.declareBAR(2, size: 4096, kind: 0)
        config.declareBAR(6, size: UInt32(VGA.romBytes), kind: 0)
        return config
    }

    public var ports: [ClosedRange<Port>] {
        [0x1CE...0x1D1, 0x3B4...0x3B5, 0x3BA...0x3BA, 0x3C0...0x3CF, 0x3D4...0x3D5, 0x3DA...0x3DA]
    }

    /// The planar window with all its registers, and BAR 2. The framebuffer (BAR 0) and the ROM are memory, mapped by the board.
    public var windows: [ClosedRange<Physical>] {
        var all: [ClosedRange<Physical>] = [0xA0000...0xBFFFF]
        if let base = registersBase { all.append(base...(base + 0xFFF)) }
        return all
    }

    /// Guest-physical base of the linear framebuffer (BAR 0); nil while it is not decoded.
    public var framebufferBase: Physical? { decoded(0x10, mask: 0xFF00_0000) }
    /// Guest-physical base of the register window (BAR 2); nil while it is not decoded.
    public var registersBase: Physical? { decoded(0x18, mask: 0xFFFF_F000) }
    /// Guest-physical base of the expansion ROM; nil while it is not decoded.
    public var romBase: Physical? { config.bytes[0x30] & 1 != 0 ? decoded(0x30, mask: 0xFFFF_0000) : nil }

    private func decoded(_ offset: Int, mask: UInt32) -> Physical? {
        let base = config.get32(offset) & mask
        // Base 0 is "not assigned"; all ones is the size probe, under way with decoding still on.
        return config.memoryEnabled && base != 0 && base != mask ? Physical(base) : nil
    }

    public mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires) {
        if offsets.overlaps(0x04..<0x06) || offsets.overlaps(0x10..<0x28) || offsets.overlaps(0x30..<0x34) { wires.request(.remap) }
    }

    public mutating func reset() {
        sequencer = [UInt8](repeating: 0, count: 8)
        crtc = [UInt8](repeating: 0, count: 0x19)
        graphics = [UInt8](repeating: 0, count: 9)
        attribute = [UInt8](repeating: 0, count: 0x15)
        (sequencerIndex, crtcIndex, graphicsIndex, attributeIndex, attributeData) = (0, 0, 0, 0, false)
        dac = [UInt8](repeating: 0, count: 768)
        (dacIndex, dacHolding, dacPlace, dacReads, pelMask, dac8) = (0, [0, 0, 0], 0, false, 0xFF, false)
        (misc, featureControl, subsystemEnabled, latch, interruptArmed) = (0, 0, true, 0, 0)
        (dispiIndex, dispi) = (0, VGA.dispiReset)
        config = VGA.freshConfig(vramBytes)
    }

    // MARK: Ports

    /// The port as if miscellaneous output selected colour; nil when it is in the half that does not answer.
    @inline(__always)
    private func folded(_ port: Port) -> Port? {
        guard subsystemEnabled || port == 0x3C3 else { return nil }
        switch port & 0xFFF0 {
        case 0x3B0: return misc & 1 == 0 ? port + 0x20 : nil
        case 0x3D0: return misc & 1 != 0 ? port : nil
        default: return port
        }
    }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        if port < 0x3B0 { return peek(port) }
        guard let port = folded(port) else { return 0xFF }
        switch port {
        case 0x3C2: return 0x10 | (verticalInterruptPending(wires.now) ? 0x80 : 0)
        case 0x3C9:
            let value = dacHolding[dacPlace]
            dacPlace += 1
            if dacPlace == 3 { fetchDAC() }
            return value
        case 0x3DA:
            attributeData = false
            return inputStatus1(wires.now)
        default: return peekFolded(port)
        }
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x1CE: return UInt8(truncatingIfNeeded: dispiIndex)
        case 0x1CF, 0x1D0: return UInt8(truncatingIfNeeded: readDispi(dispiIndex))
        case 0x1D1: return UInt8(truncatingIfNeeded: readDispi(dispiIndex) >> 8)
        default:
            guard port >= 0x3B0, let port = folded(port) else { return 0xFF }
            return peekFolded(port)
        }
    }

    private func peekFolded(_ port: Port) -> UInt8 {
        switch port {
        case 0x3C0: return attributeIndex
        case 0x3C1:
            let index = Int(attributeIndex & 0x1F)
            return index < attribute.count ? attribute[index] : 0
        case 0x3C2: return 0x10
        case 0x3C3: return subsystemEnabled ? 1 : 0
        case 0x3C4: return sequencerIndex
        case 0x3C5: return sequencer[Int(sequencerIndex & 7)]
        case 0x3C6: return pelMask
        case 0x3C7: return dacReads ? 3 : 0
        case 0x3C8: return dacIndex
        case 0x3C9: return dacHolding[dacPlace]
        case 0x3CA: return featureControl
        case 0x3CC: return misc
        case 0x3CE: return graphicsIndex
        case 0x3CF: return graphicsIndex < 9 ? graphics[Int(graphicsIndex)] : 0
        case 0x3D4: return crtcIndex
        case 0x3D5: return readCRTC()
        default: return 0xFF
        }
    }

    private func readCRTC() -> UInt8 {
        switch crtcIndex {
        case 0x00...0x18: crtc[Int(crtcIndex)]
        case 0x22: UInt8(truncatingIfNeeded: latch >> UInt32(8 * (graphics[4] & 3)))
        case 0x24: attributeData ? 0x80 : 0
        case 0x26: attributeIndex
        default: 0
        }
    }

    private mutating func fetchDAC() {
        let entry = Int(dacIndex) * 3
        for i in 0..<3 { dacHolding[i] = dac[entry + i] }
        dacIndex &+= 1
        dacPlace = 0
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        if port < 0x3B0 {
            writeDispiByte(port, value, wires.memory)
            return
        }
        guard let port = folded(port) else { return }
        switch port {
        case 0x3C0: writeAttribute(value)
        case 0x3C2:
            misc = value
            wires.trace(.vga, .miscOutput, value: UInt64(value))
        case 0x3C3: subsystemEnabled = value & 1 != 0
        case 0x3C4: sequencerIndex = value & 7
        case 0x3C5: sequencer[Int(sequencerIndex & 7)] = value & VGA.sequencerMask[Int(sequencerIndex & 7)]
        case 0x3C6: pelMask = value
        case 0x3C7:
            dacIndex = value
            fetchDAC()
            dacReads = true
        case 0x3C8:
            dacIndex = value
            dacPlace = 0
            dacReads = false
        case 0x3C9:
            dacHolding[dacPlace] = dac8 ? value : value & 0x3F
            dacPlace += 1
            guard dacPlace == 3 else { return }
            let entry = Int(dacIndex) * 3
            for i in 0..<3 { dac[entry + i] = dacHolding[i] }
            dacIndex &+= 1
            dacPlace = 0
        case 0x3CE: graphicsIndex = value & 15
        case 0x3CF where graphicsIndex < 9:
            if graphicsIndex == 6, graphics[6] != value { wires.trace(.vga, .graphicsMode, value: UInt64(value)) }
            graphics[Int(graphicsIndex)] = value & VGA.graphicsMask[Int(graphicsIndex)]
        case 0x3D4: crtcIndex = value & 0x3F
        case 0x3D5:
            if crtcIndex == 0x0C || crtcIndex == 0x0D, crtc[Int(crtcIndex)] != value { noteStart(wires) }
            writeCRTC(value, wires.now)
        case 0x3DA: featureControl = value
        default: break
        }
    }

    private mutating func writeAttribute(_ value: UInt8) {
        attributeData.toggle()
        guard !attributeData else {
            attributeIndex = value & 0x3F
            return
        }
        let index = Int(attributeIndex & 0x1F)
        if index < attribute.count { attribute[index] = value & (index < 16 ? 0x3F : VGA.attributeMask[index - 16]) }
    }

    private mutating func writeCRTC(_ value: UInt8, _ now: Nanoseconds) {
        guard crtcIndex < 0x19 else { return }
        let index = Int(crtcIndex)
        if index < 8 && crtc[0x11] & 0x80 != 0 {  // protected: only the line compare bit of the overflow register
            if index == 7 { crtc[7] = (crtc[7] & ~0x10) | (value & 0x10) }
            return
        }
        if index == 0x11 && value & 0x10 != 0 && crtc[0x11] & 0x10 == 0 { interruptArmed = now }
        crtc[index] = value
    }

    public mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32 {
        if port < 0x3B0 { return readDispiWide(port, size: size) }
        var value: UInt32 = 0
        for i in 0..<size { value |= UInt32(read(port &+ Port(i), &wires)) << UInt32(8 * i) }
        return value
    }

    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        if port < 0x3B0 {
            writeDispiWide(port, size: size, value, wires.memory)
            if port == 0x1CF, dispiIndex == 4 { traceDispi(wires) }
            return
        }
        for i in 0..<size { write(port &+ Port(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)), &wires) }
    }

    // MARK: Writable bits

    static let sequencerMask: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0x00, 0x00, 0x00]
    static let graphicsMask: [UInt8] = [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]
    /// Attribute registers 0x10–0x14.
    static let attributeMask: [UInt8] = [0xEF, 0xFF, 0x3F, 0x0F, 0x0F]
}
