import CPU
import Primitives

/// Vitrine CD-ROM, the packet commands of a CD/DVD-ROM drive with one data track.
///
/// Source: *SFF-8020i*, revision 2.6, chapter 10; *MMC-3* (T10/1363D), chapters 5 and 6.
///
/// Not implemented: audio (commands refused), raw sectors of READ CD (user data only), MODE SELECT, DVD structures and authentication,
/// changers, sub-channel data beyond the header and a fixed position.
extension IDEDrive {
    /// Carries out a packet: leaves its answer in `buffer`, or sectors to send in `lba` and `remaining`, or calls `check`.
    mutating func perform(_ cdb: [UInt8], _ wires: inout Wires) {
        guard cdb.count == 12 else { return check(0x05, 0x20) }
        let always: [UInt8] = [0x03, 0x12, 0x46, 0x4A]
        if !always.contains(cdb[0]) {
            if packet.attention {
                packet.attention = false
                return check(0x06, 0x28)  // the medium may have changed
            }
        }
        if cdb[0] != 0x03 { (packet.senseKey, packet.senseCode, packet.senseQualifier) = (0, 0, 0) }
        switch cdb[0] {
        case 0x03: requestSense(cdb)
        case 0x12: inquiry(cdb)
        case 0x1A: modeSense(cdb[2], short: true, limit: Int(cdb[4]), wires)
        case 0x5A: modeSense(cdb[2], short: false, limit: be16(cdb, 7), wires)
        case 0x1B: startStop(cdb)
        case 0x1E: packet.locked = cdb[4] & 1 != 0
        case 0x46: getConfiguration(cdb, wires)
        case 0x4A: getEventStatus(cdb, wires)
        case 0xBD: answer([0, packet.trayOpen ? 0x10 : 0, 0, 0, 0, 0, 0, 0], limit: be16(cdb, 8))
        case 0xBB, 0x35, 0x4E: break  // SET CD SPEED, SYNCHRONIZE CACHE, STOP PLAY: nothing to do
        case 0x00, 0x25, 0x28, 0xA8, 0xBE, 0x2B, 0x2F, 0x42, 0x43, 0x51, 0x52:
            guard let disc = disc(wires) else { return check(0x02, 0x3A, packet.trayOpen ? 2 : 0) }
            performOnDisc(cdb, disc)
        default: check(0x05, 0x20)
        }
    }

    private mutating func performOnDisc(_ cdb: [UInt8], _ disc: any Medium) {
        switch cdb[0] {
        case 0x25: answer(be(disc.sectorCount - 1, 4) + be(2048, 4), limit: 8)
        case 0x28: send(at: be32(cdb, 2), sectors: be16(cdb, 7), disc)
        case 0xA8: send(at: be32(cdb, 2), sectors: be32(cdb, 6), disc)
        case 0xBE: readCD(cdb, disc)
        case 0x2B: if UInt64(be32(cdb, 2)) >= disc.sectorCount { check(0x05, 0x21) }
        case 0x2F:
            let (at, sectors) = (UInt64(be32(cdb, 2)), UInt64(be16(cdb, 7)))
            if at > disc.sectorCount || sectors > disc.sectorCount - at { check(0x05, 0x21) }
        case 0x42: readSubChannel(cdb)
        case 0x43: readTOC(cdb, disc)
        case 0x51: readDiscInformation(cdb)
        case 0x52: readTrackInformation(cdb, disc)
        default: break  // TEST UNIT READY
        }
    }

    /// At most `limit` bytes of an answer, as the command's allocation length says.
    private mutating func answer(_ bytes: [UInt8], limit: Int) { buffer = Array(bytes.prefix(limit)) }

    // MARK: Reading

    private mutating func send(at start: Int, sectors: Int, _ disc: any Medium) {
        guard UInt64(start) <= disc.sectorCount, UInt64(sectors) <= disc.sectorCount - UInt64(start) else { return check(0x05, 0x21) }
        (lba, remaining) = (UInt64(start), sectors)
    }

    private mutating func readCD(_ cdb: [UInt8], _ disc: any Medium) {
        let sectors = Int(cdb[6]) << 16 | be16(cdb, 7)
        let expected = cdb[1] >> 2 & 7
        guard expected == 0 || expected == 2 else { return check(0x05, 0x64) }  // any type, mode 1
        switch cdb[9] & 0xF8 {
        case 0x10: send(at: be32(cdb, 2), sectors: sectors, disc)
        case 0x00: break
        default: check(0x05, 0x24)
        }
    }

    // MARK: Identity and state

    private mutating func requestSense(_ cdb: [UInt8]) {
        if packet.senseKey == 0 && packet.attention {
            packet.attention = false
            (packet.senseKey, packet.senseCode) = (0x06, 0x28)
        }
        var data = [UInt8](repeating: 0, count: 18)
        (data[0], data[2], data[7], data[12], data[13]) = (0x70, packet.senseKey, 10, packet.senseCode, packet.senseQualifier)
        (packet.senseKey, packet.senseCode, packet.senseQualifier) = (0, 0, 0)
        answer(data, limit: Int(cdb[4]))
    }

    private mutating func inquiry(_ cdb: [UInt8]) {
        guard cdb[1] & 1 == 0 else { return check(0x05, 0x24) }  // vital product data
        let head: [UInt8] = [0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0]
        answer(head + Array("VITRINE CD-ROM          1.0 ".utf8), limit: Int(cdb[4]))
    }

    private mutating func startStop(_ cdb: [UInt8]) {
        switch cdb[4] & 3 {
        case 2:
            if packet.locked { return check(0x05, 0x53, 0x02) }
            packet.trayOpen = true
            packet.mediaEvent = 3
        case 3:
            if packet.trayOpen { packet.mediaEvent = 2 }
            packet.trayOpen = false
        default: break
        }
    }

    private mutating func getEventStatus(_ cdb: [UInt8], _ wires: Wires) {
        guard cdb[1] & 1 != 0 else { return check(0x05, 0x24) }  // asynchronous notification
        guard cdb[4] & 0x10 != 0 else { return answer([0, 2, 0x80, 0x10], limit: be16(cdb, 7)) }
        let state: UInt8 = packet.trayOpen ? 1 : disc(wires) != nil ? 2 : 0
        answer([0, 6, 4, 0x10, packet.mediaEvent, state, 0, 0], limit: be16(cdb, 7))
        packet.mediaEvent = 0
    }

    private mutating func getConfiguration(_ cdb: [UInt8], _ wires: Wires) {
        let current: UInt16 = disc(wires).map { $0.sectorCount > IDEDrive.largestCD ? 0x0010 : 0x0008 } ?? 0
        let (onDVD, onCD): (UInt8, UInt8) = (current == 0x10 ? 1 : 0, current == 0x08 ? 1 : 0)
        let features: [[UInt8]] = [
            [0, 0, 0x03, 8, 0, 0x10, onDVD, 0, 0, 0x08, onCD, 0],  // profiles: DVD-ROM, CD-ROM
            [0, 1, 0x07, 4, 0, 0, 0, 2],  // core, ATAPI
            [0, 3, 0x03, 4, 0x29, 0, 0, 0],  // removable: tray, eject, lock
            [0, 0x10, onCD | onDVD, 8, 0, 0, 8, 0, 0, 1, 0, 0],  // random readable: blocks of 2048 bytes
            [0, 0x1E, onCD, 4, 0, 0, 0, 0],  // CD read
            [0, 0x1F, onDVD, 0],  // DVD read
        ]
        let (from, type) = (be16(cdb, 2), cdb[1] & 3)
        var body: [UInt8] = []
        for feature in features {
            let number = Int(feature[0]) << 8 | Int(feature[1])
            guard type == 2 ? number == from : number >= from else { continue }
            if type == 1 && feature[2] & 1 == 0 { continue }
            body += feature
        }
        let head = be(UInt64(body.count + 4), 4) + [0, 0, UInt8(current >> 8), UInt8(current & 0xFF)]
        answer(head + body, limit: be16(cdb, 7))
    }

    /// Sectors of a 99-minute CD; what is longer is a DVD.
    private static let largestCD: UInt64 = 99 * 60 * 75

    private mutating func modeSense(_ select: UInt8, short: Bool, limit: Int, _ wires: Wires) {
        guard select >> 6 != 3 else { return check(0x05, 0x39) }  // saved pages
        let page = select & 0x3F
        let all: [[UInt8]] = [
            [0x01, 6, 0, 5, 0, 0, 0, 0],  // error recovery: 5 retries
            [0x0D, 6, 0, 0, 0, 60, 0, 75],  // seconds a minute, frames a second
            [0x0E, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0],  // audio control
            [0x1A, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],  // power
            // Capabilities: reads CD-R, CD-RW, DVD; mode 2, multi-session; tray, eject, lock; 7056 kB/s, 512 KiB of cache.
            [0x2A, 18, 0x0B, 0, 0x70, 0, packet.locked ? 0x2B : 0x29, 0, 0x1B, 0x90, 0, 0, 2, 0, 0x1B, 0x90, 0, 0, 0, 0],
        ]
        let pages = page == 0x3F ? all : all.filter { $0[0] == page }
        guard !pages.isEmpty else { return check(0x05, 0x24) }
        // Changeable values (1): none.
        let body = pages.flatMap { select >> 6 == 1 ? [$0[0], $0[1]] + [UInt8](repeating: 0, count: $0.count - 2) : $0 }
        let medium: UInt8 = disc(wires) != nil ? 0x01 : packet.trayOpen ? 0x71 : 0x70
        let head = short ? [UInt8(body.count + 3), medium, 0, 0] : be(UInt64(body.count + 6), 2) + [medium, 0, 0, 0, 0, 0]
        answer(head + body, limit: limit)
    }

    // MARK: Contents

    /// A disc address: as a sector number, or as minutes, seconds and frames from 150 sectors before the first.
    private func discAddress(_ at: UInt64, msf: Bool) -> [UInt8] {
        guard msf else { return be(at, 4) }
        let frames = at + 150
        return [0, UInt8(min(frames / 4500, 255)), UInt8(frames / 75 % 60), UInt8(frames % 75)]
    }

    private mutating func readTOC(_ cdb: [UInt8], _ disc: any Medium) {
        let msf = cdb[1] & 2 != 0
        // SFF-8020i has the format in byte 9, MMC in byte 2.
        let format = cdb[2] & 0x0F != 0 ? cdb[2] & 0x0F : cdb[9] >> 6
        var body: [UInt8]
        switch format {
        case 0:
            guard cdb[6] <= 1 || cdb[6] == 0xAA else { return check(0x05, 0x24) }
            body = [1, 1]
            if cdb[6] <= 1 { body += [0, 0x14, 1, 0] + discAddress(0, msf: msf) }
            body += [0, 0x14, 0xAA, 0] + discAddress(disc.sectorCount, msf: msf)
        case 1: body = [1, 1, 0, 0x14, 1, 0] + discAddress(0, msf: msf)
        case 2:
            body = [1, 1]
            let end = discAddress(disc.sectorCount, msf: true)
            let start = discAddress(0, msf: true)
            body += [1, 0x14, 0, 0xA0, 0, 0, 0, 0, 1, 0, 0]
            body += [1, 0x14, 0, 0xA1, 0, 0, 0, 0, 1, 0, 0]
            body += [1, 0x14, 0, 0xA2, 0, 0, 0] + end
            body += [1, 0x14, 0, 1, 0, 0, 0] + start
        default: return check(0x05, 0x24)
        }
        answer(be(UInt64(body.count), 2) + body, limit: be16(cdb, 7))
    }

    private mutating func readSubChannel(_ cdb: [UInt8]) {
        let msf = cdb[1] & 2 != 0
        var data: [UInt8] = [0, 0x15, 0, 0]  // no audio status
        if cdb[2] & 0x40 != 0 {
            switch cdb[3] {
            case 1: data += [1, 0x14, 1, 1] + discAddress(lba, msf: msf) + discAddress(lba, msf: msf)
            case 2, 3: data += [cdb[3], cdb[3] == 3 ? 0x14 : 0] + [UInt8](repeating: 0, count: 18)
            default: return check(0x05, 0x24)
            }
            data[3] = UInt8(data.count - 4)
        }
        answer(data, limit: be16(cdb, 7))
    }

    private mutating func readDiscInformation(_ cdb: [UInt8]) {
        var data = [UInt8](repeating: 0, count: 34)
        (data[1], data[2]) = (32, 0x0E)  // finished disc, complete last session
        for i in 3...6 { data[i] = 1 }
        data[7] = 0x20
        for i in 16...23 { data[i] = 0xFF }  // no further lead-in or lead-out
        answer(data, limit: be16(cdb, 7))
    }

    private mutating func readTrackInformation(_ cdb: [UInt8], _ disc: any Medium) {
        var data: [UInt8] = [0, 26, 1, 1, 0, 4, 1, 0]
        data += be(0, 4) + be(0, 4) + be(0, 4) + be(0, 4) + be(disc.sectorCount, 4)
        answer(data, limit: be16(cdb, 7))
    }

    // MARK: Big-endian fields

    private func be16(_ cdb: [UInt8], _ at: Int) -> Int { Int(cdb[at]) << 8 | Int(cdb[at + 1]) }
    private func be32(_ cdb: [UInt8], _ at: Int) -> Int { be16(cdb, at) << 16 | be16(cdb, at + 2) }
    private func be(_ value: UInt64, _ bytes: Int) -> [UInt8] {
        (0..<bytes).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (bytes - 1 - $0))) }
    }
}
