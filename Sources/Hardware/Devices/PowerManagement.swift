import CPU
import Primitives

/// Intel 82371AB (PIIX4), function 3: power management and SMBus, beside a PIIX3 as SeaBIOS expects it.
///
/// Source: Intel *82371AB PCI-to-ISA/IDE Xcelerator (PIIX4)* data sheet, order number 290562-001, sections "Power Management
/// Register Description" and "SMBus Host Interface"; ACPI Specification 1.0b, section 4.7. The commands at port B2 and the
/// general-purpose event block at AFE0 are those that `ACPITables` and SeaBIOS's own tables name.
///
///     port        register
///     PMBA+00     PMSTS (16)    PMBA+02  PMEN (16)    PMBA+04  PMCNTRL (16)   PMBA+08  PMTMR (32)
///     PMBA+0C…    GPSTS, GPEN, PCNTRL, GLBSTS, DEVSTS, GLBEN, GLBCTL, DEVCTL, GPO: stored
///     SMBBA+0…D   SMBus host controller; no slave ever answers
///     AFE0–AFE3   GPE0 status (16), GPE0 enable (16)
///     B2, B3      APMC, APMS
///
/// DEVACTB bit 25 (APMC_EN) reads as 1 after reset, a deviation: firmware then takes SMM as already set up and leaves it alone.
///
/// Not implemented: SMI#, system management mode, throttling, device monitors, suspend to RAM, the SMBus slave.
public struct PowerManagement: PCIFunction {
    public static let name = "pm"
    public static let address = (device: 1, function: 3)
    /// PM timer input, Hz (ACPI 1.0b, 4.7.3.3).
    public static let timerHz: UInt64 = 3_579_545

    public var config = PowerManagement.powerOnConfig()

    /// PM1 status without the timer bit, which is derived from `timerOverflow`.
    public private(set) var pmsts: UInt16 = 0
    public private(set) var pmen: UInt16 = 0
    public private(set) var pmcntrl: UInt16 = 0
    /// When timer bit 23 changes next after the last clearing of TMROF_STS.
    public private(set) var timerOverflow: Nanoseconds = PowerManagement.nanoseconds(ofTick: 0x80_0000)
    /// The overflow has raised SCI since.
    public private(set) var timerRaised = false
    /// Registers PMBA+0C to PMBA+3F, as written.
    public private(set) var general = [UInt8](repeating: 0, count: 64)
    public private(set) var gpeStatus: UInt16 = 0
    public private(set) var gpeEnable: UInt16 = 0
    public private(set) var apmc: UInt8 = 0
    public private(set) var apms: UInt8 = 0
    /// SMBus host registers 0–15.
    public private(set) var smbus = [UInt8](repeating: 0, count: 16)

    public init() {}

    private static func powerOnConfig() -> PCIConfig {
        var config = PCIConfig(vendor: 0x8086, device: 0x7113, classCode: 0x06_80_00, revision: 3)
        config.mask16(0x04, 0x0001)
        config.set16(0x06, 0x0280)
        config.writeOneToClear[0x07] = 0xF8
        config.set16(0x2C, 0x1AF4)
        config.set16(0x2E, 0x1100)
        config.writable[0x3C] = 0xFF
        config.bytes[0x3D] = 1  // INTA#
        config.set32(0x40, 1)
        config.mask32(0x40, 0x0000_FFC0)
        for offset in 0x44...0x7F { config.writable[offset] = 0xFF }
        config.bytes[0x5B] = 0x02  // DEVACTB.APMC_EN
        config.writable[0x80] = 0x01  // PMREGMISC.PMIOSE
        config.set32(0x90, 1)
        config.mask32(0x90, 0x0000_FFF0)
        for offset in 0xD2...0xD6 { config.writable[offset] = 0xFF }
        return config
    }

    // MARK: Decoding

    private var pmBase: Port? {
        config.bytes[0x80] & 1 != 0 && config.get16(0x40) & 0xFFC0 != 0 ? config.get16(0x40) & 0xFFC0 : nil
    }
    private var smbusBase: Port? {
        config.bytes[0xD2] & 1 != 0 && config.get16(0x90) & 0xFFF0 != 0 ? config.get16(0x90) & 0xFFF0 : nil
    }

    public var ports: [ClosedRange<Port>] {
        var list: [ClosedRange<Port>] = [0xB2...0xB3, 0xAFE0...0xAFE3]
        if let base = pmBase { list.append(base...(base + 0x3F)) }
        if let base = smbusBase { list.append(base...(base + 0xF)) }
        return list
    }

    public mutating func reset() {
        config = PowerManagement.powerOnConfig()
        pmsts = 0
        pmen = 0
        pmcntrl = 0
        general = [UInt8](repeating: 0, count: 64)
        gpeStatus = 0
        gpeEnable = 0
        apmc = 0
        apms = 0
        smbus = [UInt8](repeating: 0, count: 16)
        timerRaised = false
    }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        noteOverflow(wires.now)
        return value(port, wires.now)
    }

    public func peek(_ port: Port) -> UInt8 { value(port, nil) }

    /// `now` nil: a debugger looks, the timer reads as 0.
    private func value(_ port: Port, _ now: Nanoseconds?) -> UInt8 {
        func byte(_ word: UInt32, _ n: Int) -> UInt8 { UInt8(truncatingIfNeeded: word >> UInt32(8 * (n & 3))) }
        switch port {
        case 0xB2: return apmc
        case 0xB3: return apms
        case 0xAFE0...0xAFE1: return byte(UInt32(gpeStatus), Int(port & 1))
        case 0xAFE2...0xAFE3: return byte(UInt32(gpeEnable), Int(port & 1))
        default: break
        }
        if let base = pmBase, port >= base, port - base < 0x40 {
            let offset = Int(port - base)
            switch offset {
            case 0x0...0x1: return byte(UInt32(pmsts), offset)
            case 0x2...0x3: return byte(UInt32(pmen), offset & 1)
            case 0x4...0x5: return byte(UInt32(pmcntrl), offset & 1)
            case 0x8...0xB: return byte(now.map(PowerManagement.timer) ?? 0, offset)
            default: return general[offset]
            }
        }
        if let base = smbusBase, port >= base, port - base < 0x10 { return smbus[Int(port - base)] }
        return 0xFF
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        noteOverflow(wires.now)
        writeRegister(port, value, &wires)
        update(&wires)
    }

    private mutating func writeRegister(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port {
        case 0xB2:
            apmc = value
            if value == Command.acpiEnable { pmcntrl |= Control.sciEnable }
            if value == Command.acpiDisable { pmcntrl &= ~Control.sciEnable }
            return
        case 0xB3: return apms = value
        case 0xAFE0...0xAFE1: return gpeStatus &= ~(UInt16(value) << (8 * (port & 1)))
        case 0xAFE2...0xAFE3: return PowerManagement.set(&gpeEnable, Int(port & 1), value)
        default: break
        }
        if let base = pmBase, port >= base, port - base < 0x40 {
            let offset = Int(port - base)
            switch offset {
            case 0x0...0x1:
                let cleared = UInt16(value) << UInt16(8 * offset)
                pmsts &= ~cleared
                if cleared & Event.timer != 0, wires.now >= timerOverflow {
                    timerOverflow = PowerManagement.overflow(after: wires.now)
                    timerRaised = false
                }
            case 0x2...0x3:
                PowerManagement.set(&pmen, offset & 1, value)
                pmen &= Event.all
            case 0x4...0x5: writeControl(offset & 1, value, &wires)
            case 0x8...0xB: break  // the timer is read-only
            default: general[offset] = value
            }
        } else if let base = smbusBase, port >= base, port - base < 0x10 {
            writeSMBus(Int(port - base), value)
        }
    }

    private mutating func writeControl(_ half: Int, _ value: UInt8, _ wires: inout Wires) {
        var new = pmcntrl
        PowerManagement.set(&new, half, value)
        pmcntrl = new & 0x1C03  // SLP_EN reads as 0; the rest is reserved
        guard new & Control.sleepEnable != 0 else { return }
        switch new >> 10 & 7 {
        // \_S5 is type 0; \_S4 would be type 2 in SeaBIOS's own DSDT: everything is saved, the power can be cut as well.
        case 0, 2: wires.request(.powerOff)
        default: break
        }
    }

    private mutating func writeSMBus(_ register: Int, _ value: UInt8) {
        switch register {
        case 0: smbus[0] &= ~(value & 0x1E)
        case 1: smbus[1] &= ~(value & 0x3C)
        case 2:
            smbus[2] = value & 0x1F  // START and KILL read as 0
            if value & 0x40 != 0 { smbus[0] |= 0x04 }  // DEV_ERR: no slave acknowledged the address
        default: smbus[register] = value
        }
    }

    private static func set(_ word: inout UInt16, _ half: Int, _ value: UInt8) {
        word = half == 0 ? word & 0xFF00 | UInt16(value) : word & 0x00FF | UInt16(value) << 8
    }

    public mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires) {
        config.bytes[0x40] |= 1
        config.bytes[0x90] |= 1
        config.bytes[0x5B] |= 0x02
        update(&wires)
    }

    // MARK: Events

    /// The front panel's power button.
    public mutating func pressPowerButton(_ wires: inout Wires) {
        noteOverflow(wires.now)
        pmsts |= Event.powerButton
        update(&wires)
    }

    /// The front panel's sleep button, a control method device: general-purpose event 1.
    public mutating func pressSleepButton(_ wires: inout Wires) {
        gpeStatus |= 1 << 1
        update(&wires)
    }

    /// TMROF_EN is set and the overflow has not been reported yet.
    public var deadline: Nanoseconds? { pmen & Event.timer != 0 && !timerRaised ? timerOverflow : nil }

    public mutating func fire(_ wires: inout Wires) {
        noteOverflow(wires.now)
        update(&wires)
    }

    private mutating func noteOverflow(_ now: Nanoseconds) {
        guard now >= timerOverflow else { return }
        pmsts |= Event.timer
        timerRaised = true
    }

    private func update(_ wires: inout Wires) {
        let pending = pmsts & pmen & Event.all != 0 || gpeStatus & gpeEnable != 0
        wires.set(irq: 9, pending && pmcntrl & Control.sciEnable != 0)
    }

    // MARK: Timer

    /// The 24-bit PM timer at a guest time.
    public static func timer(_ now: Nanoseconds) -> UInt32 { UInt32(truncatingIfNeeded: ticks(now)) & 0xFF_FFFF }

    private static func ticks(_ now: Nanoseconds) -> UInt64 {
        let (high, low) = now.multipliedFullWidth(by: timerHz)
        return UInt64(1_000_000_000).dividingFullWidth((high, low)).quotient
    }

    /// The first nanosecond at which the timer has counted `tick`.
    private static func nanoseconds(ofTick tick: UInt64) -> Nanoseconds {
        let (high, low) = tick.multipliedFullWidth(by: 1_000_000_000)
        guard high < timerHz else { return .max }
        let (quotient, remainder) = timerHz.dividingFullWidth((high, low))
        return quotient &+ (remainder == 0 ? 0 : 1)
    }

    /// When bit 23 changes next, strictly after `now`.
    private static func overflow(after now: Nanoseconds) -> Nanoseconds { nanoseconds(ofTick: (ticks(now) | 0x7F_FFFF) + 1) }

    private enum Event {
        static let timer: UInt16 = 1, powerButton: UInt16 = 1 << 8, all: UInt16 = 1 | 1 << 5 | 1 << 8 | 1 << 10
    }
    private enum Control {
        static let sciEnable: UInt16 = 1, sleepEnable: UInt16 = 1 << 13
    }
    private enum Command {
        static let acpiEnable: UInt8 = 0xF1, acpiDisable: UInt8 = 0xF0
    }
}
