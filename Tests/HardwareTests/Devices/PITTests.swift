import Primitives
import Testing

@testable import Hardware

@Suite("pit · Intel 8254 and port 0x61") struct PITTests {
    /// First nanosecond of a tick of the 1.193 MHz clock.
    static func time(_ tick: UInt64) -> Nanoseconds { PIT.rate.time(of: tick) }

    /// Programs counter `n` (low then high byte) at tick `at`, so that the count is loaded at tick `at + 1`.
    static func programmed(_ n: UInt16, mode: UInt8, count: UInt16, bcd: Bool = false, at tick: UInt64 = 1000) throws -> ChipBench<PIT> {
        var bench = try ChipBench(PIT())
        bench.now = time(tick)
        bench.write(0x43, UInt8(n) << 6 | 0x30 | mode << 1 | (bcd ? 1 : 0))
        bench.write(0x40 + n, UInt8(count & 0xFF))
        bench.write(0x40 + n, UInt8(count >> 8))
        return bench
    }
    static func count(_ bench: inout ChipBench<PIT>, _ n: UInt16) -> UInt16 {
        bench.write(0x43, UInt8(n) << 6)
        return UInt16(bench.read(0x40 + n)) | UInt16(bench.read(0x40 + n)) << 8
    }
    static func status(_ bench: inout ChipBench<PIT>, _ n: UInt16) -> UInt8 {
        bench.write(0x43, 0b1110_0000 | 2 << UInt8(n))
        return bench.read(0x40 + n)
    }

    @Test("ticks and nanoseconds convert exactly for centuries")
    func exactRate() {
        #expect(PIT.rate.ticks(at: 1_000_000_000) == 1_193_182)
        #expect(PIT.rate.ticks(at: 1_000_000_000 * 86_400 * 365) == 1_193_182 * 86_400 * 365)
        #expect(PIT.rate.time(of: 1_193_182 * 86_400) == 86_400_000_000_000)
        #expect(PIT.rate.ticks(at: .max) > 0)
        #expect(PIT.rate.time(of: .max) == .max)
        for tick: UInt64 in [1, 2, 3, 65_535, 1_193_181, 123_456_789_012_345] {
            #expect(PIT.rate.ticks(at: PIT.rate.time(of: tick)) == tick)
            #expect(PIT.rate.ticks(at: PIT.rate.time(of: tick) - 1) == tick - 1)
        }
    }

    @Test("mode 2 at 65,536 gives 18.2 Hz: 1,193,182 / 65,536 interrupts a second, without drift")
    func systemTick() throws {
        var bench = try Self.programmed(0, mode: 2, count: 0, at: 0)
        bench.run(to: 3_600_000_000_000)
        let ticks = PIT.rate.ticks(at: 3_600_000_000_000)
        #expect(bench.rises[0] == Int((ticks - 1) / 65_536))
    }

    @Test(
        "IRQ0 rises N ticks after the count is loaded and every N ticks from there", arguments: [2, 3] as [UInt8],
        [2, 3, 100, 1193] as [UInt16])
    func periodicEdges(mode: UInt8, count: UInt16) throws {
        var bench = try Self.programmed(0, mode: mode, count: count)
        let before = bench.rises[0]
        bench.run(to: Self.time(1001 + UInt64(count)) - 1)
        #expect(bench.rises[0] == before)
        bench.run(to: Self.time(1001 + UInt64(count)) + 1)
        #expect(bench.rises[0] == before + 1)
        bench.run(to: Self.time(1001 + UInt64(count) * 50) + 1)
        #expect(bench.rises[0] == before + 50)
    }

    @Test("a count that is read back before the tick that loads it reads as loaded", arguments: [0, 2, 3] as [UInt8])
    func readBackAtOnce(mode: UInt8) throws {
        var bench = try Self.programmed(2, mode: mode, count: 0xFFFE)
        #expect(Self.status(&bench, 2) & 0x40 != 0)
        #expect(Self.count(&bench, 2) == 0xFFFE)
        bench.now = Self.time(1001)
        #expect(Self.status(&bench, 2) & 0x40 == 0)
        #expect(Self.count(&bench, 2) == 0xFFFE)
    }

    @Test("mode 0: OUT is low until N + 1 ticks after the write, then high; the count wraps on")
    func mode0() throws {
        var bench = try Self.programmed(0, mode: 0, count: 5)
        #expect(Self.status(&bench, 0) == 0b0111_0000, "low, null count, LSB/MSB, mode 0")
        bench.now = Self.time(1001)
        #expect(Self.status(&bench, 0) == 0b0011_0000)
        #expect(Self.count(&bench, 0) == 5)
        bench.now = Self.time(1005)
        #expect(Self.count(&bench, 0) == 1)
        #expect(bench.rises[0] == 0)
        bench.run(to: Self.time(1006))
        #expect(bench.rises[0] == 1)
        #expect(Self.status(&bench, 0) & 0x80 != 0)
        bench.now = Self.time(1007)
        #expect(Self.count(&bench, 0) == 0xFFFF)
        bench.run(to: Self.time(500_000))
        #expect(bench.rises[0] == 1, "one interrupt only")
        bench.write(0x40, 3)
        #expect(!bench.line(0), "the first byte of a new count takes OUT low")
        bench.write(0x40, 0)
        bench.run(to: Self.time(500_004))
        #expect(bench.rises[0] == 2)
    }

    @Test("mode 1 waits for the gate: N ticks low after each rising edge")
    func mode1() throws {
        var bench = try Self.programmed(2, mode: 1, count: 10)
        bench.now = Self.time(1100)
        #expect(bench.read(0x61) & 0x20 != 0)
        bench.write(0x61, 1)
        bench.now = Self.time(1101)
        #expect(bench.read(0x61) & 0x20 == 0)
        bench.now = Self.time(1110)
        #expect(bench.read(0x61) & 0x20 == 0)
        bench.write(0x61, 0)
        bench.write(0x61, 1)  // retrigger at tick 1111
        bench.now = Self.time(1120)
        #expect(bench.read(0x61) & 0x20 == 0)
        bench.now = Self.time(1121)
        #expect(bench.read(0x61) & 0x20 != 0)
    }

    @Test("mode 2: OUT is low for the one tick at which the count is 1; a new count waits for the cycle's end")
    func mode2() throws {
        var bench = try Self.programmed(2, mode: 2, count: 4)
        bench.write(0x61, 1)
        var pattern = "", counts: [UInt16] = []
        for tick in UInt64(1001)..<1009 {
            bench.now = Self.time(tick)
            pattern += bench.read(0x61) & 0x20 != 0 ? "H" : "L"
            counts.append(Self.count(&bench, 2))
        }
        #expect(pattern == "HHHLHHHL")
        #expect(counts == [4, 3, 2, 1, 4, 3, 2, 1])
        bench.now = Self.time(1010)
        bench.write(0x42, 7)
        bench.write(0x42, 0)
        #expect(Self.status(&bench, 2) & 0x40 != 0, "null count: not loaded yet")
        bench.now = Self.time(1012)
        #expect(Self.count(&bench, 2) == 1)
        bench.now = Self.time(1013)
        #expect(Self.count(&bench, 2) == 7)
        #expect(Self.status(&bench, 2) & 0x40 == 0)
    }

    @Test("mode 2: the gate holds the count with OUT high and reloads when it rises")
    func mode2Gate() throws {
        var bench = try Self.programmed(2, mode: 2, count: 100)
        bench.now = Self.time(1050)
        #expect(Self.count(&bench, 2) == 100, "counter 2's gate is low after power-on")
        bench.write(0x61, 1)
        bench.now = Self.time(1051 + 30)
        #expect(Self.count(&bench, 2) == 70)
        bench.write(0x61, 0)
        bench.now = Self.time(1200)
        #expect(Self.count(&bench, 2) == 70)
        bench.write(0x61, 1)
        bench.now = Self.time(1201)
        #expect(Self.count(&bench, 2) == 100)
    }

    @Test("mode 3: an even count is high and low for half of it, in steps of two")
    func mode3Even() throws {
        var bench = try Self.programmed(2, mode: 3, count: 6)
        bench.write(0x61, 1)
        var pattern = "", counts: [UInt16] = []
        for tick in UInt64(1001)..<1013 {
            bench.now = Self.time(tick)
            pattern += bench.read(0x61) & 0x20 != 0 ? "H" : "L"
            counts.append(Self.count(&bench, 2))
        }
        #expect(pattern == "HHHLLLHHHLLL")
        #expect(counts == [6, 4, 2, 6, 4, 2, 6, 4, 2, 6, 4, 2])
    }

    @Test("mode 3: an odd count is high one tick longer")
    func mode3Odd() throws {
        var bench = try Self.programmed(2, mode: 3, count: 5)
        bench.write(0x61, 1)
        var pattern = "", counts: [UInt16] = []
        for tick in UInt64(1001)..<1011 {
            bench.now = Self.time(tick)
            pattern += bench.read(0x61) & 0x20 != 0 ? "H" : "L"
            counts.append(Self.count(&bench, 2))
        }
        #expect(pattern == "HHHLLHHHLL")
        #expect(counts == [4, 2, 0, 4, 2, 4, 2, 0, 4, 2])
    }

    @Test("mode 4 strobes low for one tick, N + 1 ticks after the write, once")
    func mode4() throws {
        var bench = try Self.programmed(0, mode: 4, count: 8)
        let before = bench.rises[0]
        bench.now = Self.time(1008)
        #expect(Self.status(&bench, 0) & 0x80 != 0)
        bench.now = Self.time(1009)
        #expect(Self.status(&bench, 0) & 0x80 == 0)
        bench.run(to: Self.time(1010) + 1)
        #expect(Self.status(&bench, 0) & 0x80 != 0)
        #expect(bench.rises[0] == before + 1)
        bench.run(to: Self.time(300_000))
        #expect(bench.rises[0] == before + 1)
    }

    @Test("mode 5 strobes N + 1 ticks after the gate rises")
    func mode5() throws {
        var bench = try Self.programmed(2, mode: 5, count: 8)
        bench.now = Self.time(2000)
        bench.write(0x61, 1)
        var pattern = ""
        for tick in UInt64(2001)...2011 {
            bench.now = Self.time(tick)
            pattern += bench.read(0x61) & 0x20 != 0 ? "H" : "L"
        }
        #expect(pattern == "HHHHHHHHLHH")
    }

    @Test("BCD counts in decades; 0 stands for 10,000")
    func bcd() throws {
        var bench = try Self.programmed(2, mode: 2, count: 0x1000, bcd: true)
        bench.write(0x61, 1)
        bench.now = Self.time(1002)
        #expect(Self.count(&bench, 2) == 0x0999)
        bench = try Self.programmed(0, mode: 2, count: 0, bcd: true)
        let before = bench.rises[0]
        bench.run(to: Self.time(1001 + 30_000) + 1)
        #expect(bench.rises[0] == before + 3)
    }

    @Test("a latched count stands until both bytes are read; a second latch is ignored")
    func latch() throws {
        var bench = try Self.programmed(0, mode: 2, count: 0x1234)
        bench.now = Self.time(1001 + 0x34)
        bench.write(0x43, 0x00)
        bench.now = Self.time(1001 + 0x100)
        bench.write(0x43, 0x00)
        #expect(bench.read(0x40) == 0x00)
        #expect(bench.read(0x40) == 0x12)
        #expect(bench.read(0x40) == 0x34, "unlatched reads follow the element: 0x1134")
        #expect(bench.read(0x40) == 0x11)
    }

    @Test("read-back latches status and count of several counters; status is read first")
    func readBack() throws {
        var bench = try Self.programmed(0, mode: 3, count: 1000)
        bench.write(0x43, 0x94)  // counter 2, LSB only, mode 2
        bench.write(0x42, 50)
        bench.now = Self.time(1101)
        bench.write(0x43, 0b1100_1010)  // status and count of 0 and 2
        #expect(bench.read(0x40) == 0b1011_0110)
        #expect(UInt16(bench.read(0x40)) | UInt16(bench.read(0x40)) << 8 == 800)
        #expect(bench.read(0x42) == 0b1001_0100)
        #expect(bench.read(0x42) == 50)
    }

    @Test("LSB-only and MSB-only counts clear the other byte", arguments: [(UInt8(1), UInt32(0x0012)), (2, 0x1200)])
    func singleByte(access: UInt8, reload: UInt32) throws {
        var bench = try ChipBench(PIT())
        bench.write(0x43, access << 4 | 0x04)
        bench.write(0x40, 0x12)
        #expect(bench.chip.counters[0].reload == reload)
    }

    @Test("the 50 ms wait of firmware: counter 2 in mode 0 raises OUT 2 in port 0x61")
    func calibration() throws {
        var bench = try ChipBench(PIT())
        bench.write(0x61, 0)
        bench.write(0x61, 1)
        bench.write(0x43, 0xB0)
        bench.write(0x42, UInt8(59_659 & 0xFF))
        bench.write(0x42, UInt8(59_659 >> 8))
        bench.now = 49_990_000
        #expect(bench.read(0x61) & 0x20 == 0)
        bench.now = 50_010_000
        #expect(bench.read(0x61) & 0x20 != 0)
    }

    @Test("the refresh bit toggles every 15 µs")
    func refresh() throws {
        var bench = try ChipBench(PIT())
        var toggles = 0, last = bench.read(0x61) & 0x10
        for _ in 0..<1000 {
            bench.now += 1_000
            let bit = bench.read(0x61) & 0x10
            if bit != last { toggles += 1 }
            last = bit
        }
        #expect(toggles == 66)
    }

    @Test("the speaker plays counter 2's square wave while gate and data are on")
    func speaker() throws {
        var bench = try Self.programmed(2, mode: 3, count: 1193)
        #expect(!bench.chip.speaker.on)
        bench.write(0x61, 3)
        bench.now += 1_000_000
        bench.read(0x61)
        #expect(bench.chip.speaker.on)
        #expect(abs(bench.chip.speaker.frequency - 1000.15) < 0.01)
        bench.write(0x61, 1)
        #expect(!bench.chip.speaker.on)
    }

    @Test("system errors raise NMI until their enable bit is cycled")
    func nmi() throws {
        var bench = try ChipBench(PIT())
        bench.call { $0.reportSystemError(&$1) }
        #expect(bench.line(20))
        #expect(bench.read(0x61) & 0x80 != 0)
        bench.write(0x61, 0x04)
        #expect(!bench.line(20))
        bench.call { $0.reportSystemError(&$1) }
        #expect(!bench.line(20))
        bench.write(0x61, 0x00)
        bench.call { $0.reportChannelCheck(&$1) }
        #expect(bench.read(0x61) & 0xC0 == 0x40)
    }

    @Test("an edge that passed unseen is shown as low and high again")
    func lateFire() throws {
        var bench = try Self.programmed(0, mode: 2, count: 1000)
        bench.run(to: Self.time(2001) + 1)
        let before = bench.rises[0]
        bench.now = Self.time(12_500)  // ten periods late
        bench.call { $0.fire(&$1) }
        #expect(!bench.line(0))
        bench.run(for: 1)
        #expect(bench.rises[0] == before + 1)
        #expect(bench.chip.deadline == Self.time(13_001))
    }

    @Test("survives random accesses") func random() throws { try fuzz(PIT(), seed: 2) }
}
