import CPU
import Primitives

/// Intel 82077AA, commands that move data: read, write, verify, format, read ID.
///
/// Source: Intel *82077AA* data sheet, chapter 5 "Commands", tables 5-3 to 5-9 (MT and N, SK, result phase, VERIFY).
///
/// Not implemented: see `FDC`.
extension FDC {
    /// A data command in execution. Only its stage and position decide what the host may do.
    struct Transfer: Codable, Equatable, Sendable {
        enum Kind: String, Codable, Sendable {
            case read, readDeleted, readTrack, verify, write, format, readID
            var toHost: Bool { self == .read || self == .readDeleted || self == .readTrack }
            var fromHost: Bool { self == .write || self == .format }
        }

        var kind = Kind.read
        /// Command byte 0, with MT, MFM and SK.
        var opcode: UInt8 = 0
        var unit = 0
        /// Head that the drive selects, 0 or 1.
        var head: UInt8 = 0
        // Sector ID looked for.
        var c: UInt8 = 0
        var h: UInt8 = 0
        var r: UInt8 = 0
        var n: UInt8 = 0
        var eot: UInt8 = 0
        /// Sectors left: SC of VERIFY with EC and of FORMAT; sectors of READ TRACK.
        var left = 0
        /// VERIFY's EC bit: `left` counts.
        var counted = false
        /// FORMAT's filler byte.
        var filler: UInt8 = 0
        var st1: UInt8 = 0
        var st2: UInt8 = 0
        /// The sector or ID on its way; bytes before `position` have passed.
        var buffer: [UInt8] = []
        var position = 0
        /// The host may move bytes of `buffer`.
        var moving = false
        /// As `moving`, by DMA.
        var waitsForDMA = false
        /// Guest time when the FIFO overruns unless DMA is acknowledged.
        var overrunAt: Nanoseconds = 0

        var mt: Bool { opcode & 0x80 != 0 }
        var mfm: Bool { opcode & 0x40 != 0 }
        var sk: Bool { opcode & 0x20 != 0 }
    }

    mutating func startTransfer(_ kind: Transfer.Kind, _ bytes: [UInt8], _ wires: Wires) {
        var new = Transfer()
        new.kind = kind
        new.opcode = bytes[0]
        new.unit = Int(bytes[1] & 3)
        new.head = bytes[1] >> 2 & 1
        switch kind {
        case .readID: break
        case .format:
            new.n = bytes[2]
            new.left = Int(bytes[3])
            new.filler = bytes[5]
            lastEOT = bytes[3]
        default:
            (new.c, new.h, new.r, new.n, new.eot) = (bytes[2], bytes[3], bytes[4], bytes[5], bytes[6])
            new.counted = kind == .verify && bytes[1] & 0x80 != 0
            new.left = kind == .readTrack ? Int(bytes[6]) : bytes[8] == 0 ? 256 : Int(bytes[8])
            lastEOT = bytes[6]
        }
        transfer = new
        phase = .execution
        resetSenses = 0
        let ready = readable(wires) != nil
        stepDeadline = wires.now &+ (ready ? Time.firstSector : Time.notFound)
    }

    /// The medium under the heads and its layout, when it can be read at the selected rate and recording.
    private func readable(_ wires: Wires) -> (medium: any Medium, geometry: FloppyGeometry)? {
        guard motorOn(transfer.unit), let medium = medium(transfer.unit, wires), medium.sectorBytes == 512,
            let geometry = FloppyGeometry(sectorCount: medium.sectorCount), geometry.rates & (1 << rate) != 0, transfer.mfm,
            Int(transfer.head) < geometry.heads
        else { return nil }
        return (medium, geometry)
    }

    /// Where a sector lies on the medium; nil where its track has no such sector.
    private func position(_ c: UInt8, _ h: UInt8, _ r: UInt8, _ n: UInt8, _ geometry: FloppyGeometry) -> UInt64? {
        guard Int(c) < geometry.cylinders, h == transfer.head, n == 2, r >= 1, Int(r) <= geometry.sectors else { return nil }
        return UInt64((Int(c) * geometry.heads + Int(transfer.head)) * geometry.sectors + Int(r) - 1)
    }

    /// What comes next when `stepDeadline` is due.
    mutating func step(_ wires: inout Wires) {
        guard phase == .execution else { return }
        if transfer.waitsForDMA {  // nobody has acknowledged DRQ
            guard wires.now < transfer.overrunAt else { return fail(st1: Bit.overrun, wires) }
            stepDeadline = wires.now &+ Time.renew
            return
        }
        guard let (medium, geometry) = readable(wires) else { return fail(st1: Bit.missingMark, wires) }
        switch transfer.kind {
        case .readID: stepReadID(geometry, wires)
        case .format:
            guard !medium.readOnly else { return fail(st1: Bit.notWritable, wires) }
            if transfer.left == 0 { return finish(terminalCount: false, wires) }
            transfer.buffer = [UInt8](repeating: 0, count: 4)
            offer(wires)
        case .readTrack:
            // READ TRACK takes the sectors as they come after the index hole, whatever their ID (data sheet, "Read track").
            guard transfer.left > 0 else { return finish(terminalCount: false, wires) }
            moveToCylinder(geometry)
            let done = Int(transfer.eot) - transfer.left
            guard Int(transfer.c) < geometry.cylinders, done < geometry.sectors else { return fail(st1: Bit.missingMark, wires) }
            if transfer.r != UInt8(truncatingIfNeeded: done + 1) || transfer.h != transfer.head { transfer.st1 |= Bit.noData }
            let first = UInt64((Int(transfer.c) * geometry.heads + Int(transfer.head)) * geometry.sectors)
            load(first + UInt64(done), from: medium, wires)
        case .read, .readDeleted, .verify, .write:
            moveToCylinder(geometry)
            guard let at = position(transfer.c, transfer.h, transfer.r, transfer.n, geometry) else { return fail(st1: Bit.noData, wires) }
            stepSector(at, medium, wires)
        }
    }

    private mutating func stepSector(_ at: UInt64, _ medium: any Medium, _ wires: Wires) {
        switch transfer.kind {
        case .write:
            guard !medium.readOnly else { return fail(st1: Bit.notWritable, wires) }
            transfer.buffer = [UInt8](repeating: 0, count: 512)
            offer(wires)
        case .readDeleted:
            // The medium has normal marks only: SK passes over the sector, else it is the last one (data sheet, table 5-5).
            transfer.st2 |= Bit.controlMark
            if transfer.sk { nextSector(wires) } else { load(at, from: medium, wires) }
        case .verify:
            var scratch = [UInt8](repeating: 0, count: 512)
            guard scratch.withUnsafeMutableBytes({ medium.read(sector: at, into: $0) }) else {
                return fail(st1: Bit.dataError, st2: Bit.dataErrorInData, wires)
            }
            nextSector(wires)
        default: load(at, from: medium, wires)
        }
    }

    private mutating func stepReadID(_ geometry: FloppyGeometry, _ wires: Wires) {
        let cylinder = track[transfer.unit]
        guard Int(cylinder) < geometry.cylinders else { return fail(st1: Bit.missingMark, wires) }
        transfer.c = cylinder
        transfer.h = transfer.head
        transfer.n = 2
        // The disk turns: which sector comes first depends on the time.
        transfer.r = UInt8(wires.now / Time.nextSector % Nanoseconds(geometry.sectors)) + 1
        respond(st0: 0, wires)
    }

    private mutating func moveToCylinder(_ geometry: FloppyGeometry) {
        pcn[transfer.unit] = transfer.c
        track[transfer.unit] = min(transfer.c, UInt8(FDC.lastTrack))
    }

    private mutating func load(_ sector: UInt64, from medium: any Medium, _ wires: Wires) {
        var bytes = [UInt8](repeating: 0, count: 512)
        guard bytes.withUnsafeMutableBytes({ medium.read(sector: sector, into: $0) }) else {
            return fail(st1: Bit.dataError, st2: Bit.dataErrorInData, wires)
        }
        transfer.buffer = bytes
        offer(wires)
    }

    /// Lets the host move `buffer`.
    private mutating func offer(_ wires: Wires) {
        transfer.position = 0
        transfer.moving = true
        if nonDMA {
            interrupt = true
        } else {
            transfer.waitsForDMA = true
            transfer.overrunAt = wires.now &+ Time.overrun
            stepDeadline = wires.now &+ Time.renew
        }
    }

    // MARK: Host side of a transfer

    mutating func readTransferByte(_ wires: inout Wires) -> UInt8 {
        guard transfer.position < transfer.buffer.count else { return 0 }
        let value = transfer.buffer[transfer.position]
        transfer.position += 1
        if transfer.position == transfer.buffer.count { moved(terminalCount: false, wires) }
        return value
    }

    mutating func writeTransferByte(_ value: UInt8, _ wires: inout Wires) {
        guard transfer.position < transfer.buffer.count else { return }
        transfer.buffer[transfer.position] = value
        transfer.position += 1
        if transfer.position == transfer.buffer.count { moved(terminalCount: false, wires) }
    }

    public mutating func dmaTransfer(
        channel: Int, toMemory: Bool, _ buffer: UnsafeMutableRawBufferPointer, terminalCount: Bool, _ wires: inout Wires
    ) -> Int {
        guard channel == 2, phase == .execution, transfer.waitsForDMA, toMemory == transfer.kind.toHost else { return 0 }
        let count = min(buffer.count, transfer.buffer.count - transfer.position)
        guard count > 0 else { return 0 }
        if toMemory {
            transfer.buffer.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[transfer.position..<transfer.position + count]))
            }
        } else {
            for i in 0..<count { transfer.buffer[transfer.position + i] = buffer[i] }
        }
        transfer.position += count
        let tc = terminalCount && count == buffer.count
        if tc || transfer.position == transfer.buffer.count { moved(terminalCount: tc, wires) }
        drive(&wires)
        return count
    }

    /// The buffer is through, or TC came first. A write that TC cuts short is filled with zeros (data sheet, "Write data").
    private mutating func moved(terminalCount: Bool, _ wires: Wires) {
        transfer.moving = false
        transfer.waitsForDMA = false
        stepDeadline = nil
        if nonDMA { interrupt = false }
        if transfer.kind.fromHost {
            guard let (medium, geometry) = readable(wires) else { return fail(st1: Bit.missingMark, wires) }
            guard !medium.readOnly else { return fail(st1: Bit.notWritable, wires) }
            let whole = transfer.position == transfer.buffer.count
            if transfer.kind == .format {
                guard !whole || formatSector(medium, geometry) else { return fail(st1: Bit.dataError, wires) }
            } else {
                guard let at = position(transfer.c, transfer.h, transfer.r, transfer.n, geometry),
                    transfer.buffer.withUnsafeBytes({ medium.write(sector: at, from: $0) })
                else { return fail(st1: Bit.dataError, st2: Bit.dataErrorInData, wires) }
            }
        }
        if terminalCount { return finish(terminalCount: true, wires) }
        nextSector(wires)
    }

    /// Fills the sector that the ID in `buffer` names; IDs that the image cannot hold leave no trace.
    /// - Returns: false when the host's medium failed.
    private mutating func formatSector(_ medium: any Medium, _ geometry: FloppyGeometry) -> Bool {
        let id = transfer.buffer
        (transfer.c, transfer.h, transfer.r) = (id[0], id[1], id[2])
        // The ID's cylinder counts, not the heads': SeaBIOS formats without a seek.
        guard let at = position(id[0], id[1], id[2], id[3], geometry) else { return true }
        moveToCylinder(geometry)
        let fill = [UInt8](repeating: transfer.filler, count: 512)
        return fill.withUnsafeBytes { medium.write(sector: at, from: $0) }
    }

    // MARK: Between and after sectors

    private mutating func nextSector(_ wires: Wires) {
        switch transfer.kind {
        case .format:
            transfer.left -= 1
            if transfer.left <= 0 { return finish(terminalCount: true, wires) }
        case .readTrack:
            transfer.left -= 1
            if transfer.left <= 0 { return finish(terminalCount: false, wires) }
            transfer.r = transfer.r &+ 1
        default:
            if transfer.kind == .readDeleted && !transfer.sk { return finish(terminalCount: true, wires) }
            if transfer.counted {
                transfer.left -= 1
                if transfer.left <= 0 { return finish(terminalCount: true, wires) }
            }
            let last = transfer.r == transfer.eot
            if last && !(transfer.mt && transfer.head == 0) { return finish(terminalCount: transfer.kind == .verify, wires) }
            advanceID()
        }
        stepDeadline = wires.now &+ Time.nextSector
    }

    /// The ID after this one: table 5-6 of the data sheet.
    private mutating func advanceID() {
        guard transfer.r == transfer.eot else {
            transfer.r = transfer.r &+ 1
            return
        }
        transfer.r = 1
        if transfer.mt {
            if transfer.head == 1 { transfer.c = transfer.c &+ 1 }
            transfer.head ^= 1
            transfer.h ^= 1
        } else {
            transfer.c = transfer.c &+ 1
        }
    }

    /// The command ran to its end. Without TC, a read or write stops at EOT as "end of cylinder".
    private mutating func finish(terminalCount: Bool, _ wires: Wires) {
        var st0: UInt8 = 0
        switch transfer.kind {
        case .format, .readID: break
        case .readTrack: break
        default:
            if !terminalCount {
                transfer.st1 |= Bit.endOfCylinder
                st0 = Bit.abnormal
            }
            let head = transfer.head
            advanceID()
            transfer.head = head  // ST0 has the head of the last sector, not the next one's
        }
        respond(st0: st0, wires)
    }

    private mutating func fail(st1: UInt8, st2: UInt8 = 0, _ wires: Wires) {
        transfer.st1 |= st1
        transfer.st2 |= st2
        respond(st0: Bit.abnormal, wires)
    }

    private mutating func respond(st0: UInt8, _ wires: Wires) {
        let t = transfer
        transfer.moving = false
        transfer.waitsForDMA = false
        transfer.buffer = []
        stepDeadline = nil
        interrupt = true
        answer([st0 | t.head << 2 | UInt8(t.unit), t.st1, t.st2, t.c, t.h, t.r, t.n])
    }
}
