import CPU
import Primitives

/// Vitrine CD-ROM, the ATA side of an ATAPI CD/DVD-ROM drive: registers, PACKET protocol, DMA. Packet commands: `ATAPICommands`.
///
/// Source: *SFF-8020i*, revision 2.6; *ATA/ATAPI-6* (T13/1410D), 9.8 "PACKET command protocol".
///
/// Not implemented: the interrupt before the packet (the drive is of the kind that raises DRQ within 50 µs), overlap.
extension IDEDrive {
    /// What a packet drive remembers between commands.
    struct PacketState: Codable, Equatable, Sendable {
        /// Sense data of the last command: key, additional code, qualifier.
        var senseKey: UInt8 = 0
        var senseCode: UInt8 = 0
        var senseQualifier: UInt8 = 0
        /// Byte count limit of the command at hand, 2–65534.
        var limit = 0
        /// The command at hand moves its data by DMA.
        var dma = false
        /// Ejected by START STOP UNIT; a medium put in closes the tray.
        var trayOpen = false
        /// PREVENT ALLOW MEDIUM REMOVAL.
        var locked = false
        /// Another medium since the last command: unit attention, once.
        var attention = false
        /// Media event for GET EVENT STATUS NOTIFICATION: 0 none, 1 eject request, 2 new medium, 3 removal.
        var mediaEvent: UInt8 = 0

        /// A reset on the cable: sense data and lock go, the tray stays where it is.
        mutating func settle() {
            (senseKey, senseCode, senseQualifier, locked) = (0, 0, 0, false)
        }
    }

    func disc(_ wires: Wires) -> (any Medium)? {
        guard !packet.trayOpen, let medium = wires.media[bay], medium.sectorBytes == 2048, medium.sectorCount > 0 else { return nil }
        return medium
    }

    // MARK: ATA commands

    mutating func runCD(_ wires: inout Wires) {
        if runShared() { return }
        switch command {
        case 0xA1: reply(identifyCD())
        case 0x20, 0xEC:  // the drive makes itself known as a packet device
            setSignature()
            fail(Bit.aborted)
        default: fail(Bit.aborted)
        }
    }

    private func identifyCD() -> [UInt8] {
        var words = [UInt16](repeating: 0, count: 256)
        words[0] = 0x85C0  // packet device, CD, removable, DRQ within 50 µs, packets of 12 bytes
        identifyCommon(&words, model: "VITRINE CD-ROM")
        words[71] = 30
        words[72] = 30
        words[82] = 0x4210  // NOP, DEVICE RESET, PACKET
        words[83] = 0x4000
        words[84] = 0x4000
        words[85] = 0x4210
        words[87] = 0x4000
        return IDEDrive.bytes(words)
    }

    // MARK: PACKET protocol

    mutating func startPacket() {
        guard feature & 0x02 == 0 else { return fail(Bit.aborted) }  // overlap
        packet.dma = feature & 0x01 != 0
        let asked = Int(lbaMid & 0xFF) | Int(lbaHigh & 0xFF) << 8
        packet.limit = asked == 0 ? 0xFFFE : max(2, asked & ~1)
        buffer = [UInt8](repeating: 0, count: 12)
        count = 1  // interrupt reason: C/D
        offer(.packet, upTo: 12, interrupt: false)
    }

    mutating func runPacket(_ busMaster: BusMaster, _ wires: inout Wires) {
        noticeMedium(wires)
        let cdb = buffer
        wires.trace(.ide, .drivePacket, size: slave ? 1 : 0, place: UInt32(cdb.count), value: UInt64(cdb.first ?? 0))
        buffer = []
        (position, blockEnd, remaining) = (0, 0, 0)
        perform(cdb, &wires)
        guard phase == .packetStart else { return }  // it has failed
        if buffer.isEmpty && remaining == 0 { return endPacket() }
        if packet.dma { return startDMA(bytes: buffer.count + remaining * 2048, busMaster, wires) }
        nextPacketBlock(&wires)
    }

    /// Notices another medium in the bay.
    private mutating func noticeMedium(_ wires: Wires) {
        let generation = wires.media.generation[bay.rawValue]
        defer { seenGeneration = generation }
        guard let seen = seenGeneration, seen != generation else { return }
        packet.trayOpen = false
        packet.attention = wires.media[bay] != nil
        packet.mediaEvent = wires.media[bay] != nil ? 2 : 3
    }

    /// Offers the next DRQ block of at most `limit` bytes, after reading sectors when `buffer` is used up.
    mutating func nextPacketBlock(_ wires: inout Wires) {
        if position >= buffer.count {
            guard remaining > 0 else { return endPacket() }
            guard loadSectors(upTo: max(1, packet.limit / 2048), wires) else { return }
        }
        let left = buffer.count - position
        let bytes = min(left, packet.limit)
        lbaMid = UInt16(bytes & 0xFF)
        lbaHigh = UInt16(bytes >> 8)
        count = 2  // interrupt reason: I/O
        offer(.dataIn, upTo: position + bytes, interrupt: true)
    }

    /// Reads sectors into `buffer`; on failure the command has ended with a medium error.
    private mutating func loadSectors(upTo most: Int, _ wires: Wires) -> Bool {
        let sectors = min(remaining, most, 32)
        buffer = [UInt8](repeating: 0, count: sectors * 2048)
        position = 0
        guard let disc = disc(wires) else {
            check(0x02, 0x3A)
            return false
        }
        guard buffer.withUnsafeMutableBytes({ disc.read(sector: lba, into: $0) }) else {
            check(0x03, 0x11)
            return false
        }
        lba &+= UInt64(sectors)
        remaining -= sectors
        return true
    }

    mutating func packetDMA(_ busMaster: inout BusMaster, _ wires: inout Wires) {
        guard busMaster.active else { return }
        // A stalled engine finds the same bytes again when it is started anew.
        if buffer.isEmpty { guard loadSectors(upTo: 32, wires) else { return } }
        let memory = wires.memory
        guard buffer.withUnsafeMutableBytes({ busMaster.move($0, toMemory: true, memory) }) else { return }
        buffer = []
        guard remaining == 0 else {
            deadline = wires.now &+ IDEDrive.dmaTime(remaining * 2048)
            return
        }
        busMaster.driveFinished()
        endPacket()
    }

    mutating func endPacket() {
        buffer = []
        remaining = 0
        count = 3  // interrupt reason: I/O and C/D
        done()
    }

    /// Ends the command with CHECK CONDITION.
    mutating func check(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8 = 0) {
        (packet.senseKey, packet.senseCode, packet.senseQualifier) = (key, code, qualifier)
        remaining = 0
        fail(key << 4)
        count = 3
    }
}
