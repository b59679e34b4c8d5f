import Primitives

/// IBM PC/AT CMOS RAM, what the firmware reads there of the machine's equipment.
///
/// Source: IBM *PC/AT Technical Reference* (1984), "CMOS RAM Addresses"; SeaBIOS, `src/hw/rtc.h` for 0x34–0x5F.
///
/// Not implemented: passwords, settings of set-up programs.
public struct CMOSSetup: Equatable, Sendable {
    /// Drive types as the AT's set-up program numbers them.
    public enum Floppy: UInt8, Codable, Sendable {
        case none = 0, k360 = 1, k1200 = 2, k720 = 3, k1440 = 4, k2880 = 5
    }

    /// RAM below and above 4 GiB, in bytes.
    public var ramBelow4G: UInt64 = 128 << 20
    public var ramAbove4G: UInt64 = 0
    public var floppyA = Floppy.none, floppyB = Floppy.none
    /// Up to three letters: a floppy, c disk, d CD, n network. Others are skipped.
    public var bootOrder = "cd"
    public var processors = 1
    /// Sectors of 512 bytes of the ATA disks in order of channel and drive; 0 = no disk.
    public var diskSectors: [UInt64] = [0, 0, 0, 0]
    /// Skip the 0x55AA check of floppy boot sectors.
    public var skipsFloppyCheck = true

    public init() {}
}

extension CMOSClock {
    /// Writes the configuration bytes that SeaBIOS and old systems read.
    public mutating func configure(_ setup: CMOSSetup) {
        func clamp(_ value: UInt64) -> UInt16 { UInt16(clamping: value) }
        func above(_ base: UInt64) -> UInt64 { setup.ramBelow4G > base ? setup.ramBelow4G - base : 0 }

        self[0x0E] = 0  // diagnostics: all well
        self[0x0F] = 0  // shutdown status: cold start
        self[0x10] = setup.floppyA.rawValue << 4 | setup.floppyB.rawValue
        let floppies = (setup.floppyA == .none ? 0 : 1) + (setup.floppyB == .none ? 0 : 1)
        // Equipment: bit 2 PS/2 mouse, bit 1 coprocessor, bit 0 floppies, 7…6 their number less one; display 00 = EGA or VGA.
        self[0x14] = 0b0000_0110 | (floppies > 0 ? 1 | UInt8(floppies - 1) << 6 : 0)
        set16(0x15, clamp(min(setup.ramBelow4G >> 10, 640)))
        let extended = clamp(above(1 << 20) >> 10)
        set16(0x17, extended)
        set16(0x30, extended)
        set16(0x34, clamp(above(16 << 20) >> 16))
        let high = setup.ramAbove4G >> 16
        self[0x5B] = UInt8(truncatingIfNeeded: high)
        self[0x5C] = UInt8(truncatingIfNeeded: high >> 8)
        self[0x5D] = UInt8(truncatingIfNeeded: high >> 16)
        self[0x5F] = UInt8(clamping: setup.processors - 1)

        var devices: [UInt8] = []
        for letter in setup.bootOrder.lowercased() {
            switch letter {
            case "a": devices.append(1)
            case "c": devices.append(2)
            case "d": devices.append(3)
            case "n": devices.append(4)
            default: break
            }
        }
        while devices.count < 3 { devices.append(0) }
        self[0x3D] = devices[0] | devices[1] << 4
        self[0x38] = devices[2] << 4 | (setup.skipsFloppyCheck ? 1 : 0)

        configureDisks(setup.diskSectors)

        var sum: UInt16 = 0
        for offset in 0x10...0x2D { sum &+= UInt16(self[offset]) }
        self[0x2E] = UInt8(sum >> 8)
        self[0x2F] = UInt8(truncatingIfNeeded: sum)
    }

    /// Drive types 47 with their geometry for the first two disks, and the BIOS translation of all four.
    private mutating func configureDisks(_ sectors: [UInt64]) {
        var types: UInt8 = 0, translation: UInt8 = 0
        for (drive, count) in sectors.prefix(4).enumerated() where count > 0 {
            let cylinders = UInt16(clamping: max(count / (16 * 63), 1))
            // 1 = LBA-assisted; at up to 1,024 cylinders the disk's own geometry serves.
            if cylinders > 1024 { translation |= 1 << UInt8(drive * 2) }
            guard drive < 2 else { continue }
            types |= drive == 0 ? 0xF0 : 0x0F
            self[0x19 + drive] = 47
            let base = 0x1B + 9 * drive
            set16(base, cylinders)
            self[base + 2] = 16
            set16(base + 3, 0xFFFF)  // no write precompensation
            self[base + 5] = 0xC8  // more than 8 heads, no retries
            set16(base + 6, cylinders)
            self[base + 8] = 63
        }
        self[0x12] = types
        self[0x39] = translation
        self[0x3A] = 0
    }

    private mutating func set16(_ offset: Int, _ value: UInt16) {
        self[offset] = UInt8(truncatingIfNeeded: value)
        self[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }
}
