import CPU
import Primitives

/// Intel 82077AA, floppy disk controller with two drives, PC/AT wiring (IRQ6, DMA channel 2).
///
/// Source: Intel *82077AA CHMOS Single-Chip Floppy Disk Controller* data sheet (order number 290166).
///
///     port   R/W  register
///     0x3F2  R/W  DOR  digital output: bits 1–0 drive, 2 reset#, 3 IRQ and DMA gate, 7–4 motors
///     0x3F3  R/W  TDR  tape drive
///     0x3F4   R   MSR  main status
///     0x3F4   W   DSR  data rate select, bit 7 reset
///     0x3F5  R/W  FIFO commands, data, results
///     0x3F7   R   DIR  bit 7 disk change (bits 6–0 belong to the fixed disk adapter; 0)
///     0x3F7   W   CCR  bits 1–0 data rate
///
/// Deviations: the gate and the reset line are up at power-on (DOR 0x0C), as a PC's firmware expects to find them; every data command seeks
/// to its cylinder, CONFIGURE's EIS set or not (SeaBIOS never seeks); a drive with no turning disk ends a command with "missing address
/// mark" where the chip would wait for an index pulse for ever; step and rotation times are a few per cent of a real drive's.
///
/// Not implemented: FM media, SCAN commands (answered as invalid), deleted address marks on the medium (written as normal ones), sector
/// sizes other than 512 bytes, registers 0x3F0 and 0x3F1 (PS/2 only; they float).
public struct FDC: Device {
    public static let name = "fdc"
    public static let stateLimits: [String: ClosedRange<Int64>] = [
        "resetSenses": 0...4, "unit": 0...3, "head": 0...1, "left": 0...1 << 20, "position": 0...1 << 20,
    ]

    /// Digital output register.
    public internal(set) var dor: UInt8 = Bit.reset | Bit.gate
    var tdr: UInt8 = 0
    /// Data rate code of CCR or DSR, whichever was written last: 0 = 500, 1 = 300, 2 = 250, 3 = 1000 kbit/s.
    var rate: UInt8 = 2
    var phase = Phase.command
    /// Bytes of the command so far, opcode first; at most 9.
    var command: [UInt8] = []
    /// Bytes of the result phase still to be read.
    var result: [UInt8] = []
    /// INT pin before the gate in DOR.
    var interrupt = false
    /// Sense interrupt answers left after a reset, 0–4: one for each drive.
    var resetSenses = 0
    /// ST0 of finished seeks that nobody has sensed, by drive.
    var seekResult = [UInt8?](repeating: nil, count: 4)
    /// Guest time when the seek of each drive ends.
    var seekDeadline = [Nanoseconds?](repeating: nil, count: 4)
    /// ST0 that the running seek of each drive will give.
    var seekStatus = [UInt8](repeating: 0, count: 4)
    /// Present cylinder number, as the chip counts, by drive.
    var pcn = [UInt8](repeating: 0, count: 4)
    /// Where the heads are, by drive.
    var track = [UInt8](repeating: 0, count: 4)
    /// SPECIFY bytes: SRT/HUT, HLT/ND.
    var specify: [UInt8] = [0, 0]
    /// CONFIGURE bytes: EIS/EFIFO/POLL/FIFOTHR, PRETRK. Power-on: FIFO disabled.
    var configure: [UInt8] = [Bit.efifo, 0]
    var lock = false
    /// PERPENDICULAR MODE byte: D3–D0 in bits 5–2, GAP, WGATE.
    var perpendicular: UInt8 = 0
    /// SC of the last FORMAT or EOT of the last data command, for DUMPREG.
    var lastEOT: UInt8 = 0
    var transfer = Transfer()
    /// Next step of the command in execution.
    var stepDeadline: Nanoseconds?
    /// End of the reset pulse's aftermath.
    var resetDeadline: Nanoseconds?
    /// Disk change latch of drives A and B.
    var changed = [Bool](repeating: true, count: 2)
    /// `MediaBays.generation` when the latch was last looked at; nil before the first look.
    var seenGeneration = [UInt32?](repeating: nil, count: 2)

    enum Phase: String, Codable, Sendable { case command, execution, result }

    public init() {}

    public var ports: [ClosedRange<Port>] { [0x3F0...0x3F5, 0x3F7...0x3F7] }

    /// The hardware reset pin.
    public mutating func reset() {
        let (heads, latch, seen) = (track, changed, seenGeneration)
        self = FDC()
        (track, changed, seenGeneration) = (heads, latch, seen)
    }

    /// DOR bit 2 or DSR bit 7. CONFIGURE survives when locked; SPECIFY and D3–D0 always do (data sheet, "Reset").
    mutating func softReset() {
        phase = .command
        command.removeAll()
        result.removeAll()
        interrupt = false
        resetSenses = 0
        stepDeadline = nil
        resetDeadline = nil
        transfer = Transfer()
        for drive in 0..<4 {
            seekDeadline[drive] = nil
            seekResult[drive] = nil
        }
        perpendicular &= 0b0011_1100
        if !lock { configure = [Bit.efifo, 0] }
    }

    var held: Bool { dor & Bit.reset == 0 }
    var nonDMA: Bool { specify[1] & 1 != 0 }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        switch port {
        case 0x3F5:
            let value = readFIFO(&wires)
            drive(&wires)
            return value
        case 0x3F7:
            let unit = Int(dor & 3)
            guard unit < 2, motorOn(unit) else { return 0 }
            lookAtBay(unit, wires)
            return changed[unit] ? 0x80 : 0
        default: return peek(port)
        }
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x3F2: return dor
        case 0x3F3: return 0xFC | tdr
        case 0x3F4: return mainStatus
        case 0x3F5: return result.first ?? 0
        case 0x3F7:
            let unit = Int(dor & 3)
            return unit < 2 && motorOn(unit) && changed[unit] ? 0x80 : 0
        default: return 0xFF
        }
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port {
        case 0x3F2:
            let wasHeld = held
            dor = value
            if held {
                softReset()
            } else if wasHeld {
                resetDeadline = wires.now &+ Time.reset
            }
        case 0x3F3: tdr = value & 3
        case 0x3F4:
            rate = value & 3
            if value & 0x80 != 0, !held {
                softReset()
                resetDeadline = wires.now &+ Time.reset
            }
        case 0x3F5: writeFIFO(value, &wires)
        case 0x3F7: rate = value & 3
        default: break
        }
        drive(&wires)
    }

    /// Puts INT and DRQ on the wires; in AT mode DOR bit 3 gates both.
    func drive(_ wires: inout Wires) {
        let open = dor & Bit.gate != 0
        wires.set(irq: 6, interrupt && open)
        if transfer.waitsForDMA && open { wires.dreq |= 1 << 2 } else { wires.dreq &= ~(1 << 2) }
    }

    var mainStatus: UInt8 {
        guard !held, resetDeadline == nil else { return 0 }
        var status: UInt8 = 0
        for drive in 0..<4 where seekDeadline[drive] != nil || seekResult[drive] != nil { status |= 1 << UInt8(drive) }
        switch phase {
        case .command: return status | Bit.rqm | (command.isEmpty ? 0 : Bit.busy)
        case .result: return status | Bit.rqm | Bit.dio | Bit.busy
        case .execution:
            status |= Bit.busy
            guard nonDMA, transfer.moving else { return status }
            return status | Bit.rqm | Bit.nonDMA | (transfer.kind.toHost ? Bit.dio : 0)
        }
    }

    mutating func readFIFO(_ wires: inout Wires) -> UInt8 {
        guard mainStatus & (Bit.rqm | Bit.dio) == Bit.rqm | Bit.dio else { return 0 }
        if phase == .execution { return readTransferByte(&wires) }
        interrupt = false
        let value = result.removeFirst()
        if result.isEmpty { phase = .command }
        return value
    }

    mutating func writeFIFO(_ value: UInt8, _ wires: inout Wires) {
        guard mainStatus & (Bit.rqm | Bit.dio) == Bit.rqm else { return }
        if phase == .execution { return writeTransferByte(value, &wires) }
        command.append(value)
        guard command.count >= FDC.length(of: command[0]) else { return }
        wires.trace(.fdc, .floppyCommand, size: command.count > 1 ? UInt16(command[1] & 3) : 0, value: UInt64(command[0]))
        execute(&wires)
    }

    // MARK: Time

    public var deadline: Nanoseconds? {
        var first = stepDeadline
        if let at = resetDeadline { first = min(first ?? .max, at) }
        for case let at? in seekDeadline { first = min(first ?? .max, at) }
        return first
    }

    public mutating func fire(_ wires: inout Wires) {
        if let at = resetDeadline, wires.now >= at {
            resetDeadline = nil
            resetSenses = 4
            interrupt = true
        }
        for drive in 0..<4 {
            guard let at = seekDeadline[drive], wires.now >= at else { continue }
            seekDeadline[drive] = nil
            seekResult[drive] = seekStatus[drive]
            resetSenses = 0
            interrupt = true
            if drive < 2 {
                lookAtBay(drive, wires)
                if medium(drive, wires) != nil { changed[drive] = false }
            }
        }
        if let at = stepDeadline, wires.now >= at {
            stepDeadline = nil
            step(&wires)
        }
        drive(&wires)
    }

    // MARK: Drives

    func motorOn(_ drive: Int) -> Bool { drive < 2 && dor & (0x10 << UInt8(drive)) != 0 }

    func medium(_ drive: Int, _ wires: Wires) -> (any Medium)? {
        switch drive {
        case 0: wires.media[.floppyA]
        case 1: wires.media[.floppyB]
        default: nil
        }
    }

    /// Latches the disk change line when the bay's medium is another one, or gone.
    mutating func lookAtBay(_ drive: Int, _ wires: Wires) {
        let bay = drive == 0 ? Bay.floppyA : .floppyB
        let generation = wires.media.generation[bay.rawValue]
        if seenGeneration[drive] != generation || wires.media[bay] == nil { changed[drive] = true }
        seenGeneration[drive] = generation
    }

    enum Bit {
        // DOR
        static let reset: UInt8 = 0x04, gate: UInt8 = 0x08
        // MSR
        static let rqm: UInt8 = 0x80, dio: UInt8 = 0x40, nonDMA: UInt8 = 0x20, busy: UInt8 = 0x10
        // CONFIGURE
        static let efifo: UInt8 = 0x20
        // ST0
        static let abnormal: UInt8 = 0x40, invalid: UInt8 = 0x80, ready: UInt8 = 0xC0, seekEnd: UInt8 = 0x20, equipment: UInt8 = 0x10
        // ST1
        static let endOfCylinder: UInt8 = 0x80, dataError: UInt8 = 0x20, overrun: UInt8 = 0x10, noData: UInt8 = 0x04
        static let notWritable: UInt8 = 0x02, missingMark: UInt8 = 0x01
        // ST2
        static let controlMark: UInt8 = 0x40, dataErrorInData: UInt8 = 0x20
    }

    /// Nanoseconds.
    enum Time {
        static let reset: Nanoseconds = 100_000
        /// One step pulse and the settling of the heads.
        static let step: Nanoseconds = 20_000, settle: Nanoseconds = 100_000
        /// From a command to its first sector, and from sector to sector.
        static let firstSector: Nanoseconds = 150_000, nextSector: Nanoseconds = 50_000
        /// Stands for two revolutions without the address mark looked for.
        static let notFound: Nanoseconds = 2_000_000
        /// How long DRQ waits for its acknowledge before the FIFO overruns, and how often it is renewed.
        static let overrun: Nanoseconds = 100_000_000, renew: Nanoseconds = 200_000
    }
}
