import CPU
import Primitives

/// Intel 82371SB (PIIX3), one channel of the IDE function: a cable with two drives, the control register and the bus master.
///
/// Source: *ATA/ATAPI-6* (T13/1410D), chapters 7 "Interface register definitions" and 9.16 "Single device configurations": device 0 answers
/// for an absent device 1; a cable without drives floats. Bus master: see `BusMaster`.
///
/// Not implemented: native mode, cable select.
struct IDEChannel: Codable, Equatable, Sendable {
    /// 0 primary, 1 secondary.
    let number: Int
    var drives: [IDEDrive]
    /// Device bit of the last write to the device register.
    var selected = 0
    /// Control register: bit 7 HOB, 2 SRST, 1 nIEN.
    var control: UInt8 = 0
    var busMaster = BusMaster()
    /// INTRQ as the host sees it; its rising edge sets the bus master's interrupt bit.
    var line = false

    init(number: Int, master: IDEDrive, slave: IDEDrive) {
        self.number = number
        drives = [master, slave]
        powerOn()
    }

    mutating func powerOn() {
        for i in 0..<2 {
            let old = drives[i]
            drives[i] = IDEDrive(kind: old.kind, bay: old.bay, slave: i == 1)
            drives[i].alone = drives[1 - i].kind == .none
            drives[i].seenGeneration = old.seenGeneration
        }
        (selected, control, line) = (0, 0, false)
        busMaster = BusMaster()
        for i in 0..<2 where drives[i].kind != .none { busMaster.status |= 0x20 << UInt8(i) }
    }

    /// The drive that answers reads: the selected one, or device 0 for an absent device 1; nil: the cable floats.
    private var responder: Int? {
        if drives[selected].kind != .none { return selected }
        return selected == 1 && drives[0].kind != .none ? 0 : nil
    }

    func peek(_ register: Int) -> UInt8 {
        if register >= 16 { return busMaster.read(register - 16) }
        guard let index = responder else { return 0xFF }
        if index != selected {
            // Status reads 0; an ATAPI device 0 answers 0 for all but the device register, lest it be taken for two drives.
            if register == 7 || register == 8 { return 0 }
            if drives[index].kind == .cd && register != 6 { return 0 }
        }
        return drives[index].register(register, highOrder: control & 0x80 != 0)
    }

    mutating func read(_ register: Int, _ wires: inout Wires) -> UInt8 {
        if register == 0 { return UInt8(truncatingIfNeeded: readData(size: 1, &wires)) }
        let value = peek(register)
        if register == 7, drives[selected].interrupt {
            drives[selected].interrupt = false
            drive(&wires)
        }
        return value
    }

    mutating func write(_ register: Int, _ value: UInt8, _ wires: inout Wires) {
        switch register {
        case 0: writeData(UInt32(value), size: 1, &wires)
        case 1...6:
            control &= 0x7F
            for i in 0..<2 { drives[i].latch(register, value) }
            if register == 6 { selected = Int(value >> 4 & 1) }
        case 7:
            control &= 0x7F
            trace(value, wires)
            startCommand(value, &wires)
        case 8: writeControl(value, wires)
        default:
            busMaster.write(register - 16, value)
            if register == 16, busMaster.active { drives[selected].busMasterStarted(wires.now) }
        }
        drive(&wires)
    }

    private func trace(_ command: UInt8, _ wires: Wires) {
        let drive = drives[selected]
        let address = UInt32(drive.device & 15) << 24 | UInt32(drive.lbaHigh & 0xFF) << 16 | UInt32(drive.lbaMid & 0xFF) << 8
        wires.trace(
            .ide, .driveCommand, size: UInt16(number << 8 | selected), place: address | UInt32(drive.lbaLow & 0xFF), value: UInt64(command))
    }

    private mutating func startCommand(_ value: UInt8, _ wires: inout Wires) {
        if value == 0x90 {  // EXECUTE DEVICE DIAGNOSTIC goes to both, and device 0 answers for both
            guard responder != nil, !drives[selected].busy else { return }
            selected = 0
            for i in 0..<2 { drives[i].startReset(at: wires.now &+ IDEDrive.Time.reset, selfTest: i == 0 || drives[0].kind == .none) }
            return
        }
        guard drives[selected].kind != .none else { return }
        drives[selected].start(value, &wires)
    }

    private mutating func writeControl(_ value: UInt8, _ wires: Wires) {
        let wasInReset = control & 0x04 != 0
        control = value & 0x86
        if control & 0x04 != 0 {
            if !wasInReset { wires.trace(.ide, .driveReset, size: UInt16(number)) }
            selected = 0
            for i in 0..<2 { drives[i].startReset(at: nil, selfTest: false) }
        } else if wasInReset {
            for i in 0..<2 { drives[i].startReset(at: wires.now &+ IDEDrive.Time.reset, selfTest: false) }
        }
    }

    mutating func fire(_ wires: inout Wires) {
        for i in 0..<2 {
            guard let at = drives[i].deadline, wires.now >= at else { continue }
            drives[i].fire(&busMaster, &wires)
        }
        drive(&wires)
    }

    /// Puts INTRQ on the wire: the selected drive's request, unless nIEN.
    private mutating func drive(_ wires: inout Wires) {
        let level = drives[selected].interrupt && control & 0x02 == 0
        if level && !line { busMaster.status |= BusMaster.Bit.interrupt }
        line = level
        wires.set(irq: 14 + number, level)
    }

    // MARK: Data register

    mutating func readData(size: Int, _ wires: inout Wires) -> UInt32 {
        guard drives[selected].kind != .none else { return .max >> UInt32(32 - 8 * size) }
        let value = drives[selected].readData(size: size, wires.now)
        return value
    }

    mutating func writeData(_ value: UInt32, size: Int, _ wires: inout Wires) { drives[selected].writeData(value, size: size, wires.now) }

    mutating func readString(size: Int, into buffer: UnsafeMutableRawBufferPointer, _ wires: inout Wires) -> Int {
        drives[selected].readString(size: size, into: buffer, wires.now)
    }

    mutating func writeString(size: Int, from buffer: UnsafeRawBufferPointer, _ wires: inout Wires) -> Int {
        drives[selected].writeString(size: size, from: buffer, wires.now)
    }
}
