import Primitives
import Testing

@testable import Hardware

@Suite("rtc · MC146818A") struct CMOSClockTests {
    static let second: Nanoseconds = 1_000_000_000

    static func get(_ bench: inout ChipBench<CMOSClock>, _ register: UInt8) -> UInt8 {
        bench.write(0x70, register)
        return bench.read(0x71)
    }
    static func set(_ bench: inout ChipBench<CMOSClock>, _ register: UInt8, _ value: UInt8) {
        bench.write(0x70, register)
        bench.write(0x71, value)
    }
    /// Century, year, month, day, hours, minutes, seconds, weekday as the registers show them.
    static func registers(_ bench: inout ChipBench<CMOSClock>) -> [UInt8] {
        [0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00, 0x06].map { get(&bench, $0) }
    }

    @Test("the start time reads as calendar date", arguments: [
        (0, [0x19, 0x70, 0x01, 0x01, 0x00, 0x00, 0x00, 5]),
        (951_782_399, [0x20, 0x00, 0x02, 0x28, 0x23, 0x59, 0x59, 2]),
        (951_782_400, [0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00, 3]),
        (1_767_225_599, [0x20, 0x25, 0x12, 0x31, 0x23, 0x59, 0x59, 4]),
    ] as [(Int64, [UInt8])])
    func startTime(epoch: Int64, expected: [UInt8]) throws {
        var bench = try ChipBench(CMOSClock(epochSeconds: epoch))
        #expect(Self.registers(&bench) == expected)
    }

    @Test("guest time carries through seconds, days, leap days, years and the century")
    func rollover() throws {
        var bench = try ChipBench(CMOSClock(epochSeconds: 951_782_399))
        bench.now = Self.second
        #expect(Self.registers(&bench) == [0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00, 3])
        bench.now += 366 * 86_400 * Self.second
        #expect(Self.registers(&bench) == [0x20, 0x01, 0x03, 0x01, 0x00, 0x00, 0x00, 5])
        bench = try ChipBench(CMOSClock(epochSeconds: 946_684_799))
        #expect(Self.registers(&bench).prefix(4) == [0x19, 0x99, 0x12, 0x31])
        bench.now = Self.second
        #expect(Self.registers(&bench).prefix(7) == [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00])
    }

    @Test("binary and 12-hour formats")
    func formats() throws {
        var bench = try ChipBench(CMOSClock(epochSeconds: 0))
        Self.set(&bench, 0x0B, 0x80)  // SET, BCD, 12 hours
        Self.set(&bench, 0x04, 0x92)  // 12 PM
        Self.set(&bench, 0x02, 0x59)
        Self.set(&bench, 0x00, 0x59)
        Self.set(&bench, 0x0B, 0x00)
        bench.now += Self.second
        #expect(Self.get(&bench, 0x04) == 0x81)
        bench.now += 11 * 3600 * Self.second
        #expect(Self.get(&bench, 0x04) == 0x12)
        #expect(Self.get(&bench, 0x07) == 0x02)
        Self.set(&bench, 0x0B, 0x86)  // SET, binary, 24 hours
        Self.set(&bench, 0x04, 22)
        Self.set(&bench, 0x02, 59)
        Self.set(&bench, 0x00, 59)
        Self.set(&bench, 0x0B, 0x06)
        bench.now += Self.second
        #expect(Self.get(&bench, 0x04) == 23)
        #expect(Self.get(&bench, 0x02) == 0)
    }

    @Test("SET stops the updates and clears the update interrupt's enable; the phase stays")
    func setBit() throws {
        var bench = try ChipBench(CMOSClock(epochSeconds: 0))
        Self.set(&bench, 0x0B, 0x12)
        bench.now = 300_000_000
        Self.set(&bench, 0x0B, 0x92)
        #expect(Self.get(&bench, 0x0B) == 0x82)
        bench.now += 10 * Self.second
        #expect(Self.get(&bench, 0x00) == 0x00)
        Self.set(&bench, 0x0B, 0x02)
        bench.now = 11 * Self.second - 1
        #expect(Self.get(&bench, 0x00) == 0x00)
        bench.now += 1
        #expect(Self.get(&bench, 0x00) == 0x01)
    }

    @Test("update in progress shows for 2.2 ms before the second, not while SET")
    func updateInProgress() throws {
        var bench = try ChipBench(CMOSClock())
        bench.now = Self.second - 2_228_001
        #expect(Self.get(&bench, 0x0A) == 0x26)
        bench.now += 1
        #expect(Self.get(&bench, 0x0A) == 0xA6)
        bench.now = Self.second
        #expect(Self.get(&bench, 0x0A) == 0x26)
        Self.set(&bench, 0x0B, 0x82)
        bench.now = 2 * Self.second - 1
        #expect(Self.get(&bench, 0x0A) == 0x26)
    }

    @Test("releasing the divider reset gives the first update after half a second")
    func dividerReset() throws {
        var bench = try ChipBench(CMOSClock())
        bench.now = 100_000_000
        Self.set(&bench, 0x0A, 0x76)
        bench.now += 10 * Self.second
        #expect(Self.get(&bench, 0x00) == 0)
        Self.set(&bench, 0x0A, 0x26)
        bench.now += Self.second / 2 - 1
        #expect(Self.get(&bench, 0x00) == 0)
        bench.now += 1
        #expect(Self.get(&bench, 0x00) == 1)
    }

    @Test("reading register C acknowledges the interrupt; peeking does not")
    func registerCIsReadToClear() throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x0B, 0x12)
        bench.run(to: Self.second)
        #expect(bench.line(8))
        bench.write(0x70, 0x0C)
        #expect(bench.chip.peek(0x71) & 0x90 == 0x90)
        #expect(bench.read(0x71) & 0x90 == 0x90)
        #expect(bench.read(0x71) == 0x00)
        #expect(!bench.line(8))
    }

    @Test("an interrupt that nobody acknowledges is one edge and no more deadlines")
    func unacknowledged() throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x0B, 0x42)
        bench.run(to: 5 * Self.second)
        #expect(bench.rises[8] == 1)
        #expect(bench.chip.deadline == nil)
    }

    @Test("periodic rates", arguments: [
        (1, 256), (2, 128), (3, 8192), (4, 4096), (5, 2048), (6, 1024), (7, 512), (8, 256), (9, 128), (10, 64), (11, 32), (12, 16),
        (13, 8), (14, 4), (15, 2),
    ] as [(UInt8, Int)])
    func periodic(rate: UInt8, hertz: Int) throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x0A, 0x20 | rate)
        Self.set(&bench, 0x0B, 0x42)
        bench.write(0x70, 0x0C)
        var interrupts = 0
        while let due = bench.chip.deadline, due <= 2 * Self.second {
            bench.run(to: due)
            #expect(bench.line(8))
            #expect(bench.read(0x71) & 0xC0 == 0xC0)
            interrupts += 1
        }
        #expect(interrupts == 2 * hertz)
    }

    @Test("rate 0 gives no periodic interrupt")
    func noRate() throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x0A, 0x20)
        Self.set(&bench, 0x0B, 0x42)
        #expect(bench.chip.deadline == nil)
    }

    @Test("the alarm matches hours, minutes and seconds; bytes of C0 and more match any", arguments: [
        [0x00, 0x00, 0x05, 5], [0xFF, 0xC0, 0xFF, 1], [0xFF, 0x02, 0x00, 120], [0x01, 0xFF, 0xFF, 3600],
    ] as [[UInt64]])
    func alarm(_ row: [UInt64]) throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x05, UInt8(row[0]))
        Self.set(&bench, 0x03, UInt8(row[1]))
        Self.set(&bench, 0x01, UInt8(row[2]))
        let expected = row[3]
        Self.set(&bench, 0x0B, 0x22)
        bench.run(to: expected * Self.second - 1)
        #expect(!bench.line(8))
        bench.run(to: expected * Self.second)
        #expect(bench.line(8))
        #expect(Self.get(&bench, 0x0C) & 0xA0 == 0xA0)
    }

    @Test("flags are set without their enable bits, and enabling one then interrupts")
    func flagsWithoutEnable() throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x01, 0x03)
        Self.set(&bench, 0x03, 0x00)
        Self.set(&bench, 0x05, 0x00)
        bench.now = 10 * Self.second
        bench.write(0x70, 0x0D)
        #expect(bench.read(0x71) == 0x80)
        #expect(!bench.line(8))
        Self.set(&bench, 0x0B, 0x22)
        #expect(bench.line(8))
        #expect(Self.get(&bench, 0x0C) == 0xF0)
    }

    @Test("RAM, the extended bank and the NMI mask")
    func memory() throws {
        var bench = try ChipBench(CMOSClock())
        Self.set(&bench, 0x40, 0x5A)
        bench.write(0x72, 0x40)
        bench.write(0x73, 0xA5)
        #expect(Self.get(&bench, 0x40) == 0x5A)
        #expect(bench.read(0x73) == 0xA5)
        #expect(!bench.chip.nmiMasked)
        bench.write(0x70, 0x8D)
        #expect(bench.chip.nmiMasked)
        #expect(bench.read(0x70) == 0xFF)
        #expect(Self.get(&bench, 0x0D) == 0x80)
        bench.call { chip, _ in chip.reset() }
        #expect(Self.get(&bench, 0x40) == 0x5A, "the battery keeps it")
    }

    @Test("the set-up bytes that firmware reads")
    func setup() throws {
        var setup = CMOSSetup()
        setup.ramBelow4G = 0xC000_0000
        setup.ramAbove4G = 0x1_4000_0000
        setup.floppyA = .k1440
        setup.floppyB = .k1200
        setup.bootOrder = "dca"
        setup.processors = 4
        setup.diskSectors = [0, 4_194_304, 100_000, 0]
        var clock = CMOSClock()
        clock.configure(setup)
        #expect(clock[0x10] == 0x42)
        #expect(clock[0x14] == 0b0100_0111)
        #expect([clock[0x15], clock[0x16]] == [0x80, 0x02])
        #expect([clock[0x30], clock[0x31]] == [0xFF, 0xFF])
        #expect([clock[0x34], clock[0x35]] == [0x00, 0xBF])
        #expect([clock[0x5B], clock[0x5C], clock[0x5D]] == [0x00, 0x40, 0x01])
        #expect(clock[0x3D] == 0x23)
        #expect(clock[0x38] == 0x11)
        #expect(clock[0x5F] == 3)
        #expect(clock[0x12] == 0x0F)
        #expect(clock[0x39] == 0b0000_0100)
        setup.ramBelow4G = 1 << 20
        clock.configure(setup)
        #expect([clock[0x30], clock[0x31], clock[0x34], clock[0x35]] == [0, 0, 0, 0])
        var sum = 0
        for offset in 0x10...0x2D { sum += Int(clock[offset]) }
        #expect(Int(clock[0x2E]) << 8 | Int(clock[0x2F]) == sum)
    }

    @Test("survives random accesses") func random() throws { try fuzz(CMOSClock(epochSeconds: 1_700_000_000), seed: 4) }
}
