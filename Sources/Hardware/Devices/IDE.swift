import CPU
import Primitives

/// Intel 82371SB (PIIX3), IDE function: two channels in compatibility mode with bus masters.
///
/// Source: Intel *82371FB/82371SB (PIIX/PIIX3)* data sheet (order number 290550), chapter "IDE Controller"; *PCI IDE Controller
/// Specification*, revision 1.0; drives: see `IDEDrive`.
///
///     ports              IRQ  registers
///     0x1F0–0x1F7, 0x3F6  14  primary channel: command block, control
///     0x170–0x177, 0x376  15  secondary channel
///     BAR4 +0, +8             bus masters, 16 ports
///
/// Not implemented: the effect of IDETIM, SIDETIM and UDMA timings and of IDETIM's decode enable (the registers store what is written,
/// drives answer always); native PCI mode.
public struct IDE: PCIFunction {
    public static let name = "ide"
    public static let stateLimits: [String: ClosedRange<Int64>] = [
        "selected": 0...1, "position": 0...1 << 20, "blockEnd": 0...1 << 20, "remaining": 0...1 << 20, "blockSectors": 0...256, "multiple": 0...256,
        "heads": 1...16, "sectorsPerTrack": 1...255, "lba": 0...1 << 48,
    ]
    public static let address = (device: 1, function: 1)

    public var config: PCIConfig
    var channels: [IDEChannel]

    /// - Parameter drives: what is fitted: primary master, primary slave, secondary master, secondary slave. The media are those of the
    ///   bays of the same order.
    public init(drives: [IDEDriveKind] = [.none, .none, .cd, .none]) {
        let bays: [Bay] = [.ide0Master, .ide0Slave, .ide1Master, .ide1Slave]
        let fitted = bays.indices.map { IDEDrive(kind: $0 < drives.count ? drives[$0] : .none, bay: bays[$0], slave: $0 & 1 == 1) }
        channels = [
            IDEChannel(number: 0, master: fitted[0], slave: fitted[1]), IDEChannel(number: 1, master: fitted[2], slave: fitted[3]),
        ]
        config = IDE.powerOnConfig()
    }

    /// Drives for the media at hand: a hard disk where a medium has 512-byte sectors, and a CD drive, full or empty, as secondary master
    /// unless a disk sits there.
    public static func drives(for media: MediaBays) -> [IDEDriveKind] {
        let bays: [Bay] = [.ide0Master, .ide0Slave, .ide1Master, .ide1Slave]
        return bays.map { bay in
            guard let medium = media[bay] else { return bay == .ide1Master ? .cd : .none }
            return medium.sectorBytes == 2048 ? .cd : .disk
        }
    }

    private static func powerOnConfig() -> PCIConfig {
        var config = PCIConfig(vendor: 0x8086, device: 0x7010, classCode: 0x01_01_80)
        config.mask16(0x04, 0x0005)
        config.set16(0x06, 0x0280)
        config.writeOneToClear[0x07] = 0x38
        config.writable[0x0D] = 0xF0
        config.declareBAR(4, size: 16, kind: 1)
        for offset in 0x40...0x44 { config.writable[offset] = 0xFF }  // IDETIM, SIDETIM
        for offset in [0x48, 0x4A, 0x4B] { config.writable[offset] = 0x33 }  // UDMACTL, UDMATIM
        config.writable[0x48] = 0x0F
        return config
    }

    public mutating func reset() {
        config = IDE.powerOnConfig()
        for i in channels.indices { channels[i].powerOn() }
    }

    public mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires) {
        if offsets.overlaps(0x04..<0x06) || offsets.overlaps(0x20..<0x24) { wires.request(.remap) }
    }

    // MARK: Ports

    /// First port of the bus masters; nil where they are not decoded.
    private var busMasterBase: Port? {
        guard config.ioEnabled else { return nil }
        let bar = config.get32(0x20) & 0xFFFF_FFF0
        guard let base = Port(exactly: bar), base != 0 else { return nil }
        return base
    }

    public var ports: [ClosedRange<Port>] {
        let legacy: [ClosedRange<Port>] = [0x1F0...0x1F7, 0x3F6...0x3F6, 0x170...0x177, 0x376...0x376]
        guard let base = busMasterBase else { return legacy }
        return legacy + [base...base | 15]
    }

    /// The channel and register that a port addresses: 0–7 command block, 8 control, 16–23 bus master.
    private func decode(_ port: Port) -> (channel: Int, register: Int)? {
        switch port {
        case 0x1F0...0x1F7: return (0, Int(port & 7))
        case 0x170...0x177: return (1, Int(port & 7))
        case 0x3F6: return (0, 8)
        case 0x376: return (1, 8)
        default:
            guard let base = busMasterBase, port & 0xFFF0 == base else { return nil }
            return (Int(port >> 3 & 1), 16 + Int(port & 7))
        }
    }

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        guard let (channel, register) = decode(port) else { return 0xFF }
        return channels[channel].read(register, &wires)
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard let (channel, register) = decode(port) else { return }
        channels[channel].write(register, value, &wires)
    }

    public mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32 {
        if let channel = IDE.dataPort(port) { return channels[channel].readData(size: size, &wires) }
        var value: UInt32 = 0
        for i in 0..<size { value |= UInt32(read(port &+ Port(i), &wires)) << UInt32(8 * i) }
        return value
    }

    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        if let channel = IDE.dataPort(port) { return channels[channel].writeData(value, size: size, &wires) }
        for i in 0..<size { write(port &+ Port(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)), &wires) }
    }

    public func peek(_ port: Port) -> UInt8 {
        guard let (channel, register) = decode(port) else { return 0xFF }
        return channels[channel].peek(register)
    }

    private static func dataPort(_ port: Port) -> Int? { port == 0x1F0 ? 0 : port == 0x170 ? 1 : nil }

    public mutating func readString(_ port: Port, size: Int, into buffer: UnsafeMutableRawBufferPointer, _ wires: inout Wires) -> Int {
        guard let channel = IDE.dataPort(port), size == 2 || size == 4 else { return 0 }
        return channels[channel].readString(size: size, into: buffer, &wires)
    }

    public mutating func writeString(_ port: Port, size: Int, from buffer: UnsafeRawBufferPointer, _ wires: inout Wires) -> Int {
        guard let channel = IDE.dataPort(port), size == 2 || size == 4 else { return 0 }
        return channels[channel].writeString(size: size, from: buffer, &wires)
    }

    // MARK: Time

    public var deadline: Nanoseconds? {
        var first: Nanoseconds?
        // By index: no copies of the drives and their buffers.
        for i in 0..<2 {
            for j in 0..<2 { if let at = channels[i].drives[j].deadline { first = min(first ?? .max, at) } }
        }
        return first
    }

    public mutating func fire(_ wires: inout Wires) {
        for i in channels.indices { channels[i].fire(&wires) }
    }
}
