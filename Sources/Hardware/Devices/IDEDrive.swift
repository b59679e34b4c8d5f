import CPU
import Primitives

/// Vitrine HARDDISK and CD-ROM, the drive at one end of an IDE cable: registers, data port and sequence; commands in `ATADisk`, `ATAPICD`.
///
/// Source: *ATA/ATAPI-6* (T13/1410D), chapters 7 and 9 (protocols); *SFF-8020i* for the packet drive.
///
/// Every command makes the drive busy for a few microseconds of guest time: interrupts come after the command that causes them.
///
/// Not implemented: overlapped and queued commands, 8-bit PIO, security and host protected area.
struct IDEDrive: Codable, Equatable, Sendable {
    let kind: IDEDriveKind
    let bay: Bay
    let slave: Bool
    /// No other drive on the cable.
    var alone = true

    // Command block. Two bytes deep: the last write in the low half, the one before in the high half.
    var feature: UInt16 = 0
    var count: UInt16 = 1
    var lbaLow: UInt16 = 1
    var lbaMid: UInt16 = 0
    var lbaHigh: UInt16 = 0
    var device: UInt8 = 0
    var error: UInt8 = 1
    var status: UInt8
    /// INTRQ before nIEN and selection.
    var interrupt = false

    var phase = Phase.idle
    /// Guest time of the next step; nil when the drive waits for the host.
    var deadline: Nanoseconds?
    var command: UInt8 = 0
    /// The data that pass through the data register.
    var buffer: [UInt8] = []
    /// Next byte of `buffer` for the host, and the end of this DRQ block.
    var position = 0
    var blockEnd = 0
    /// Next sector, sectors left to load or commit, and sectors in a DRQ block.
    var lba: UInt64 = 0
    var remaining = 0
    var blockSectors = 1
    /// A reset that ends with an interrupt: EXECUTE DEVICE DIAGNOSTIC.
    var selfTest = false

    // Settings.
    /// SET MULTIPLE MODE; 0: disabled. On at power-on, as in most drives: libata's PIO takes the setting that it finds.
    var multiple = 16
    /// Translation of CHS addresses.
    var heads = 16
    var sectorsPerTrack = 63
    /// Subcommand 03 of SET FEATURES: 0x20–0x22 multiword DMA, 0x40–0x45 Ultra DMA, else PIO.
    var transferMode: UInt8 = 0x0C
    var writeCache = true
    var lookAhead = true
    var smart = true

    var packet = PacketState()
    /// `MediaBays.generation` when the CD drive last looked; nil before that.
    var seenGeneration: UInt32?

    enum Phase: String, Codable, Sendable {
        case idle
        /// Busy; the command begins at `deadline`.
        case starting
        /// DRQ, the host reads or writes `buffer`.
        case dataIn, dataOut, packet
        /// Busy between DRQ blocks.
        case nextIn, commit
        /// Busy; a packet command begins, or ends.
        case packetStart, packetEnd
        /// Busy with DMA; without deadline it waits for the bus master.
        case dma
        case resetting
    }

    init(kind: IDEDriveKind, bay: Bay, slave: Bool) {
        (self.kind, self.bay, self.slave) = (kind, bay, slave)
        status = kind == .disk ? Bit.ready | Bit.seekComplete : 0
        setSignature()
    }

    var busy: Bool { status & Bit.busy != 0 }

    // MARK: Registers

    func register(_ number: Int, highOrder: Bool) -> UInt8 {
        let shift: UInt16 = highOrder ? 8 : 0
        switch number {
        case 1: return error
        case 2: return UInt8(truncatingIfNeeded: count >> shift)
        case 3: return UInt8(truncatingIfNeeded: lbaLow >> shift)
        case 4: return UInt8(truncatingIfNeeded: lbaMid >> shift)
        case 5: return UInt8(truncatingIfNeeded: lbaHigh >> shift)
        case 6: return device
        case 7, 8: return status
        default: return position < buffer.count ? buffer[position] : 0
        }
    }

    /// Both drives of a cable take every write to the command block.
    mutating func latch(_ number: Int, _ value: UInt8) {
        guard kind != .none, !busy else {
            if number == 6 { device = value }  // selection always works
            return
        }
        switch number {
        case 1: feature = feature << 8 | UInt16(value)
        case 2: count = count << 8 | UInt16(value)
        case 3: lbaLow = lbaLow << 8 | UInt16(value)
        case 4: lbaMid = lbaMid << 8 | UInt16(value)
        case 5: lbaHigh = lbaHigh << 8 | UInt16(value)
        default: device = value
        }
    }

    mutating func setSignature() {
        (count, lbaLow) = (1, 1)
        (lbaMid, lbaHigh) = kind == .cd ? (0x14, 0xEB) : (0, 0)
    }

    // MARK: Sequence

    mutating func start(_ value: UInt8, _ wires: inout Wires) {
        if kind == .cd && value == 0x08 {  // DEVICE RESET gets through a busy drive and gives no interrupt
            let selection = device & 0x10
            startReset(at: wires.now &+ Time.reset, selfTest: false)
            device = selection
            return
        }
        guard !busy else { return }
        interrupt = false
        error = 0
        command = value
        buffer = []
        (position, blockEnd, remaining) = (0, 0, 0)
        if kind == .cd && value == 0xA0 { return startPacket() }
        wait(.starting, until: wires.now &+ Time.command)
    }

    /// Busy until `at`; nil: until somebody sets a deadline.
    mutating func wait(_ next: Phase, until at: Nanoseconds?) {
        phase = next
        deadline = at
        status = Bit.busy | Bit.ready | Bit.seekComplete
    }

    mutating func startReset(at: Nanoseconds?, selfTest: Bool) {
        guard kind != .none else { return }
        self.selfTest = selfTest
        interrupt = false
        buffer = []
        (position, blockEnd, remaining) = (0, 0, 0)
        device = 0
        wait(.resetting, until: at)
        status = Bit.busy
    }

    mutating func fire(_ busMaster: inout BusMaster, _ wires: inout Wires) {
        deadline = nil
        switch phase {
        case .starting: kind == .cd ? runCD(&wires) : runDisk(busMaster, &wires)
        case .nextIn: kind == .cd ? nextPacketBlock(&wires) : loadBlock(&wires)
        case .commit: commitBlock(&wires)
        case .packetStart: runPacket(busMaster, &wires)
        case .packetEnd: endPacket()
        case .dma: kind == .cd ? packetDMA(&busMaster, &wires) : diskDMA(&busMaster, &wires)
        case .resetting:
            setSignature()
            packet.settle()
            error = 1
            phase = .idle
            status = kind == .disk ? Bit.ready | Bit.seekComplete : 0
            interrupt = selfTest
            selfTest = false
        case .idle, .dataIn, .dataOut, .packet: break
        }
    }

    /// The command is over, with an interrupt.
    mutating func done() {
        phase = .idle
        status = Bit.ready | Bit.seekComplete
        interrupt = true
    }

    mutating func fail(_ code: UInt8) {
        done()
        error = code
        status |= Bit.error
        buffer = []
    }

    /// Offers bytes of `buffer` up to `end` to the host.
    mutating func offer(_ next: Phase, upTo end: Int, interrupt raised: Bool) {
        phase = next
        blockEnd = end
        status = Bit.ready | Bit.seekComplete | Bit.dataRequest
        interrupt = raised
    }

    mutating func busMasterStarted(_ now: Nanoseconds) {
        if phase == .dma && deadline == nil { deadline = now &+ Time.dma }
    }

    // MARK: Data register

    mutating func readData(size: Int, _ now: Nanoseconds) -> UInt32 {
        guard phase == .dataIn else { return 0 }
        var value: UInt32 = 0
        if position + size <= buffer.count {
            for i in 0..<size { value |= UInt32(buffer[position + i]) << UInt32(8 * i) }
        } else {
            for i in 0..<size where position + i < buffer.count { value |= UInt32(buffer[position + i]) << UInt32(8 * i) }
        }
        position += size
        if position >= blockEnd { blockRead(now) }
        return value
    }

    mutating func writeData(_ value: UInt32, size: Int, _ now: Nanoseconds) {
        guard phase == .dataOut || phase == .packet else { return }
        for i in 0..<size where position + i < min(blockEnd, buffer.count) { buffer[position + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
        position += size
        if position >= blockEnd { blockWritten(now) }
    }

    /// As many whole elements as the DRQ block still holds. 0: the caller goes element by element.
    mutating func readString(size: Int, into target: UnsafeMutableRawBufferPointer, _ now: Nanoseconds) -> Int {
        guard phase == .dataIn else { return 0 }
        let room = min(target.count, min(blockEnd, buffer.count) - position)
        guard room >= size else { return 0 }
        let bytes = room - room % size
        buffer.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + bytes])) }
        position += bytes
        if position >= blockEnd { blockRead(now) }
        return bytes
    }

    mutating func writeString(size: Int, from source: UnsafeRawBufferPointer, _ now: Nanoseconds) -> Int {
        guard phase == .dataOut || phase == .packet else { return 0 }
        let room = min(source.count, min(blockEnd, buffer.count) - position)
        guard room >= size else { return 0 }
        let bytes = room - room % size
        buffer.withUnsafeMutableBytes { target in
            UnsafeMutableRawBufferPointer(rebasing: target[position..<position + bytes])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[0..<bytes]))
        }
        position += bytes
        if position >= blockEnd { blockWritten(now) }
        return bytes
    }

    /// The host has read a DRQ block.
    private mutating func blockRead(_ now: Nanoseconds) {
        position = min(blockEnd, buffer.count)
        if kind == .cd && command == 0xA0 {
            let more = position < buffer.count || remaining > 0
            return wait(more ? .nextIn : .packetEnd, until: now &+ Time.block)
        }
        guard remaining > 0 else {  // PIO data-in ends without an interrupt
            phase = .idle
            status = Bit.ready | Bit.seekComplete
            return
        }
        wait(.nextIn, until: now &+ Time.block)
    }

    /// The host has written a DRQ block.
    private mutating func blockWritten(_ now: Nanoseconds) {
        position = blockEnd
        wait(phase == .packet ? .packetStart : .commit, until: now &+ Time.command)
    }

    enum Bit {
        // Status
        static let busy: UInt8 = 0x80, ready: UInt8 = 0x40, seekComplete: UInt8 = 0x10, dataRequest: UInt8 = 0x08, error: UInt8 = 0x01
        // Error
        static let uncorrectable: UInt8 = 0x40, notFound: UInt8 = 0x10, aborted: UInt8 = 0x04
    }

    /// Nanoseconds.
    enum Time {
        /// From a command, packet or written block to its effect; between two DRQ blocks; reset; DMA's first word.
        static let command: Nanoseconds = 2_000, block: Nanoseconds = 2_000, reset: Nanoseconds = 100_000, dma: Nanoseconds = 2_000
        /// Bytes by DMA in a nanosecond; far more than the cable had: the guest waits for the host's copying as well.
        static let dmaBytes: Nanoseconds = 32
    }
}

/// What sits at one end of an IDE cable.
public enum IDEDriveKind: String, Codable, Sendable {
    case none
    /// ATA hard disk.
    case disk
    /// ATAPI CD/DVD-ROM drive.
    case cd
}
