import CPU
import Primitives

/// Vitrine HARDDISK, the commands of an ATA hard disk with 512-byte sectors.
///
/// Source: *ATA/ATAPI-6* (T13/1410D), chapter 8 "Command descriptions"; the older CHS commands after *ATA-1* (X3.221-1994).
///
/// A range that does not lie wholly on the disk is refused before anything moves, with "ID not found" and the first address beyond.
///
/// Not implemented: READ LONG, WRITE LONG, FORMAT TRACK, security, host protected area (SET MAX), advanced power management, SMART logs and
/// self-tests, queued DMA, media card pass-through.
extension IDEDrive {
    func disk(_ wires: Wires) -> (any Medium)? {
        guard let medium = wires.media[bay], medium.sectorBytes == 512, medium.sectorCount > 0 else { return nil }
        return medium
    }

    /// Commands that both kinds of drive know.
    /// - Returns: false: not one of them.
    mutating func runShared() -> Bool {
        switch command {
        case 0x00: fail(Bit.aborted)  // NOP always aborts
        case 0x94...0x97, 0x98, 0x99, 0xE0...0xE3, 0xE5, 0xE6:
            // Power management: the drive is always active. CHECK POWER MODE answers in the count register.
            if command == 0x98 || command == 0xE5 { count = 0xFF }
            done()
        case 0xEF: setFeatures()
        default: return false
        }
        return true
    }

    private mutating func setFeatures() {
        switch feature & 0xFF {
        case 0x02: writeCache = true
        case 0x82: writeCache = false
        case 0xAA: lookAhead = true
        case 0x55: lookAhead = false
        case 0x66, 0xCC: break  // keep or revert settings at a reset: they are kept
        case 0x03:
            let mode = UInt8(truncatingIfNeeded: count)
            switch mode {
            case 0x00, 0x01, 0x08...0x0C, 0x20...0x22, 0x40...0x45: transferMode = mode
            default: return fail(Bit.aborted)
            }
        default: return fail(Bit.aborted)
        }
        done()
    }

    mutating func runDisk(_ busMaster: BusMaster, _ wires: inout Wires) {
        if runShared() { return }
        guard let medium = disk(wires) else { return fail(Bit.aborted) }
        switch command {
        case 0x20, 0x21, 0x24: if begin(medium, blocks: 1) { loadBlock(&wires) }
        case 0xC4, 0x29: if begin(medium, blocks: multiple) { loadBlock(&wires) }
        case 0x30, 0x31, 0x34, 0x3C: if begin(medium, blocks: 1, writing: true) { openBlock(interrupt: false) }
        case 0xC5, 0x39: if begin(medium, blocks: multiple, writing: true) { openBlock(interrupt: false) }
        case 0xC8, 0xC9, 0x25: if begin(medium, blocks: 1) { startDMA(bytes: remaining * 512, busMaster, wires) }
        case 0xCA, 0xCB, 0x35: if begin(medium, blocks: 1, writing: true) { startDMA(bytes: remaining * 512, busMaster, wires) }
        case 0x40, 0x41, 0x42: if begin(medium, blocks: 1) { endRange() }
        case 0x70...0x7F:
            if let at = address(count: 1, medium) {
                (lba, remaining) = (at, 0)
                done()
            }
        case 0x10...0x1F: done()
        case 0x91:
            let sectors = Int(count & 0xFF)
            guard sectors > 0 else { return fail(Bit.aborted) }
            (sectorsPerTrack, heads) = (sectors, Int(device & 0x0F) + 1)
            done()
        case 0xC6:
            let sectors = Int(count & 0xFF)
            guard [0, 1, 2, 4, 8, 16].contains(sectors) else { return fail(Bit.aborted) }
            multiple = sectors
            done()
        case 0xE7, 0xEA: if medium.flush() { done() } else { fail(Bit.aborted) }
        case 0xE4: reply([UInt8](repeating: 0, count: 512))
        case 0xE8:
            buffer = [UInt8](repeating: 0, count: 512)
            offer(.dataOut, upTo: 512, interrupt: false)
        case 0xEC: reply(identifyDisk(medium))
        case 0xF8, 0x27:
            let last = medium.sectorCount - 1
            setAddress(command == 0xF8 ? min(last, 0x0FFF_FFFF) : last, lba48: command == 0x27, chs: false)
            done()
        case 0xB0: runSMART()
        default: fail(Bit.aborted)
        }
    }

    mutating func reply(_ bytes: [UInt8]) {
        buffer = bytes
        position = 0
        offer(.dataIn, upTo: bytes.count, interrupt: true)
    }

    // MARK: Addresses

    private var isExtended: Bool {
        switch command {
        case 0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x42: true
        default: false
        }
    }

    /// The sector that the registers name, when `count` sectors from there are on the disk; else the command has failed.
    private mutating func address(count: Int, _ medium: any Medium) -> UInt64? {
        var at: UInt64
        if isExtended {
            at = UInt64(lbaLow & 0xFF) | UInt64(lbaMid & 0xFF) << 8 | UInt64(lbaHigh & 0xFF) << 16
            at |= UInt64(lbaLow >> 8) << 24 | UInt64(lbaMid >> 8) << 32 | UInt64(lbaHigh >> 8) << 40
        } else if device & 0x40 != 0 {
            at = UInt64(lbaLow & 0xFF) | UInt64(lbaMid & 0xFF) << 8 | UInt64(lbaHigh & 0xFF) << 16 | UInt64(device & 0x0F) << 24
        } else {
            let cylinder = Int(lbaMid & 0xFF) | Int(lbaHigh & 0xFF) << 8
            let (head, sector) = (Int(device & 0x0F), Int(lbaLow & 0xFF))
            guard head < heads, sector >= 1, sector <= sectorsPerTrack else {
                fail(Bit.notFound)
                return nil
            }
            at = UInt64((cylinder * heads + head) * sectorsPerTrack + sector - 1)
        }
        guard at < medium.sectorCount, UInt64(count) <= medium.sectorCount - at else {
            setAddress(max(at, medium.sectorCount))
            fail(Bit.notFound)
            return nil
        }
        return at
    }

    /// Writes a sector's address back into the registers, in the form that the command used.
    private mutating func setAddress(_ at: UInt64) { setAddress(at, lba48: isExtended, chs: !isExtended && device & 0x40 == 0) }

    private mutating func setAddress(_ at: UInt64, lba48: Bool, chs: Bool) {
        if chs {
            let track = at / UInt64(sectorsPerTrack)
            let cylinder = track / UInt64(heads)
            lbaLow = UInt16(truncatingIfNeeded: at % UInt64(sectorsPerTrack) + 1)
            lbaMid = UInt16(truncatingIfNeeded: cylinder & 0xFF)
            lbaHigh = UInt16(truncatingIfNeeded: cylinder >> 8 & 0xFF)
            device = device & 0xF0 | UInt8(truncatingIfNeeded: track % UInt64(heads))
        } else {
            let high = { (low: UInt64, upper: UInt64) in
                UInt16(truncatingIfNeeded: at >> low & 0xFF) | (lba48 ? UInt16(truncatingIfNeeded: at >> upper & 0xFF) << 8 : 0)
            }
            lbaLow = high(0, 24)
            lbaMid = high(8, 32)
            lbaHigh = high(16, 40)
            if !lba48 { device = device & 0xF0 | UInt8(truncatingIfNeeded: at >> 24 & 0x0F) }
        }
    }

    /// Takes address and count from the registers.
    private mutating func begin(_ medium: any Medium, blocks: Int, writing: Bool = false) -> Bool {
        guard blocks > 0, !(writing && medium.readOnly) else {
            fail(Bit.aborted)
            return false
        }
        let sectors = isExtended ? (count == 0 ? 0x1_0000 : Int(count)) : (count & 0xFF == 0 ? 256 : Int(count & 0xFF))
        guard let at = address(count: sectors, medium) else { return false }
        (lba, remaining, blockSectors) = (at, sectors, blocks)
        return true
    }

    /// All sectors have passed: the registers hold the last one, the count is 0.
    private mutating func endRange() {
        setAddress(lba &+ UInt64(remaining) &- 1)
        count = 0
        remaining = 0
        done()
    }

    // MARK: PIO

    /// Reads the next DRQ block from the medium.
    mutating func loadBlock(_ wires: inout Wires) {
        let sectors = min(blockSectors, remaining)
        guard let medium = disk(wires) else { return fail(Bit.aborted) }
        buffer = [UInt8](repeating: 0, count: sectors * 512)
        guard buffer.withUnsafeMutableBytes({ medium.read(sector: lba, into: $0) }) else { return failTransfer(Bit.uncorrectable) }
        lba &+= UInt64(sectors)
        remaining -= sectors
        setAddress(lba &- 1)
        if remaining == 0 { count = 0 }
        position = 0
        offer(.dataIn, upTo: buffer.count, interrupt: true)
    }

    /// Asks for the next DRQ block of a write; the first comes without an interrupt.
    private mutating func openBlock(interrupt raised: Bool) {
        let sectors = min(blockSectors, remaining)
        buffer = [UInt8](repeating: 0, count: sectors * 512)
        position = 0
        offer(.dataOut, upTo: buffer.count, interrupt: raised)
    }

    mutating func commitBlock(_ wires: inout Wires) {
        guard command != 0xE8 else { return done() }
        guard let medium = disk(wires), !medium.readOnly else { return fail(Bit.aborted) }
        let sectors = buffer.count / 512
        guard buffer.withUnsafeBytes({ medium.write(sector: lba, from: $0) }) else { return failTransfer(Bit.uncorrectable) }
        lba &+= UInt64(sectors)
        remaining -= sectors
        guard remaining > 0 else {
            setAddress(lba &- 1)
            count = 0
            return done()
        }
        openBlock(interrupt: true)
    }

    private mutating func failTransfer(_ code: UInt8) {
        setAddress(lba)
        fail(code)
    }

    // MARK: DMA

    mutating func startDMA(bytes: Int, _ busMaster: BusMaster, _ wires: Wires) {
        wait(.dma, until: busMaster.active ? wires.now &+ IDEDrive.dmaTime(bytes) : nil)
    }

    /// Bytes that one step moves at most.
    static let dmaStepBytes = 128 << 10

    static func dmaTime(_ bytes: Int) -> Nanoseconds { Time.dma &+ Nanoseconds(min(bytes, dmaStepBytes)) / Time.dmaBytes }

    mutating func diskDMA(_ busMaster: inout BusMaster, _ wires: inout Wires) {
        guard busMaster.active else { return }  // it starts again at `busMasterStarted`
        guard let medium = disk(wires) else { return fail(Bit.aborted) }
        let toMemory = command == 0xC8 || command == 0xC9 || command == 0x25
        let sectors = min(remaining, IDEDrive.dmaStepBytes / 512)
        let (at, memory) = (lba, wires.memory)
        // nil: table or memory ended first, the drive keeps waiting; false: the medium failed.
        let moved: Bool? = withUnsafeTemporaryAllocation(byteCount: sectors * 512, alignment: 16) { bytes in
            if toMemory {
                guard medium.read(sector: at, into: bytes) else { return false }
                return busMaster.move(bytes, toMemory: true, memory) ? true : nil
            }
            guard busMaster.move(bytes, toMemory: false, memory) else { return nil }
            return medium.write(sector: at, from: UnsafeRawBufferPointer(bytes))
        }
        guard let moved else { return }
        guard moved else { return failTransfer(Bit.uncorrectable) }
        lba &+= UInt64(sectors)
        remaining -= sectors
        guard remaining == 0 else {
            deadline = wires.now &+ IDEDrive.dmaTime(remaining * 512)
            return
        }
        busMaster.driveFinished()
        setAddress(lba &- 1)
        count = 0
        done()
    }

    // MARK: Identity

    private func identifyDisk(_ medium: any Medium) -> [UInt8] {
        let total = medium.sectorCount
        var words = [UInt16](repeating: 0, count: 256)
        let cylinders = UInt16(max(1, min(total / (16 * 63), 16383)))
        (words[0], words[1], words[3], words[6]) = (0x0040, cylinders, 16, 63)
        identifyCommon(&words, model: "VITRINE HARDDISK")
        words[47] = 0x8010
        words[49] |= 0x3000
        let translated = UInt64(max(1, heads * sectorsPerTrack))
        let current = UInt64(min(total / translated, 65535))
        (words[54], words[55], words[56]) = (UInt16(current), UInt16(heads), UInt16(sectorsPerTrack))
        let chs = min(current * translated, 0x0FFF_FFFF)
        (words[57], words[58]) = (UInt16(truncatingIfNeeded: chs), UInt16(truncatingIfNeeded: chs >> 16))
        if multiple > 0 { words[59] = 0x0100 | UInt16(multiple) }
        let short = min(total, 0x0FFF_FFFF)
        (words[60], words[61]) = (UInt16(truncatingIfNeeded: short), UInt16(truncatingIfNeeded: short >> 16))
        words[82] = 0x7069  // NOP, read and write buffer, look-ahead, write cache, power management, SMART
        words[83] = 0x7400  // FLUSH CACHE and EXT, 48-bit addresses
        words[84] = 0x4000
        words[85] = 0x7008 | (smart ? 1 : 0) | (writeCache ? 0x20 : 0) | (lookAhead ? 0x40 : 0)
        words[86] = 0x3400
        words[87] = 0x4000
        for i in 0..<4 { words[100 + i] = UInt16(truncatingIfNeeded: total >> UInt64(16 * i)) }
        return IDEDrive.bytes(words)
    }

    /// What both kinds of drive say of themselves.
    func identifyCommon(_ words: inout [UInt16], model: String) {
        IDEDrive.put("VT\(bay.rawValue)0000000001", into: &words, at: 10, count: 10)
        IDEDrive.put("1.0", into: &words, at: 23, count: 4)
        IDEDrive.put(model, into: &words, at: 27, count: 20)
        words[49] = 0x0F00  // IORDY, LBA, DMA
        words[50] = 0x4000
        words[53] = 7
        words[63] = 0x0007
        words[64] = 0x0003
        for i in 65...68 { words[i] = 120 }
        words[80] = 0x007E  // ATA-1 to ATA/ATAPI-6
        words[88] = 0x003F
        switch transferMode {
        case 0x20...0x22: words[63] |= 0x0100 << UInt16(transferMode & 7)
        case 0x40...0x45: words[88] |= 0x0100 << UInt16(transferMode & 7)
        default: break
        }
        // Hardware reset result: 80-conductor cable; device 0 says whether it answers for device 1.
        words[93] = slave ? 0x6B00 : 0x600B | (alone ? 0x0040 : 0x0030)
    }

    static func bytes(_ words: [UInt16]) -> [UInt8] {
        words.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    /// An ATA string: padded with blanks, the first character in a word's high byte.
    private static func put(_ text: String, into words: inout [UInt16], at: Int, count: Int) {
        var characters = Array(text.utf8.prefix(2 * count))
        while characters.count < 2 * count { characters.append(0x20) }
        for i in 0..<count { words[at + i] = UInt16(characters[2 * i]) << 8 | UInt16(characters[2 * i + 1]) }
    }

    // MARK: SMART

    private mutating func runSMART() {
        guard lbaMid & 0xFF == 0x4F, lbaHigh & 0xFF == 0xC2 else { return fail(Bit.aborted) }
        switch feature & 0xFF {
        case 0xD8: smart = true
        case _ where !smart: return fail(Bit.aborted)
        case 0xD9: smart = false
        case 0xD2: break  // attribute autosave
        case 0xDA: break  // status: the registers still hold 0x4F and 0xC2, no threshold is exceeded
        case 0xD0, 0xD1:
            var page = [UInt8](repeating: 0, count: 512)
            page[0] = 0x10
            page[511] = 0 &- page.reduce(0, &+)
            return reply(page)
        default: return fail(Bit.aborted)
        }
        done()
    }
}
