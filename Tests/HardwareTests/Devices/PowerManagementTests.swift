import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("pm · PIIX4 power management") struct PowerManagementTests {
    private func ready() throws -> (PowerManagement, Wires) {
        var pm = PowerManagement()
        var wires = try makeWires()
        pm.configWrite(0x40, size: 4, 0x601, &wires)
        pm.configWrite(0x80, size: 1, 1, &wires)
        pm.configWrite(0x90, size: 4, 0x701, &wires)
        pm.configWrite(0xD2, size: 1, 9, &wires)
        return (pm, wires)
    }

    @Test(
        "the timer is 3.579545 MHz to the tick over days, and 24 bits wide",
        arguments: [0, 1, 999_999_999, 1_000_000_000, 86_400_000_000_000] as [UInt64])
    func timer(now: Nanoseconds) throws {
        var (pm, wires) = try ready()
        wires.now = now
        let ticks = now / 1_000_000_000 * 3_579_545 + now % 1_000_000_000 * 3_579_545 / 1_000_000_000
        let expected = UInt32(truncatingIfNeeded: ticks) & 0xFF_FFFF
        #expect(pm.readWide(0x608, size: 4, &wires) == expected)
        #expect(PowerManagement.timer(.max) <= 0xFF_FFFF)
    }

    @Test("decoding follows PMBA and its enable bit; firmware finds SMM already taken care of") func decode() throws {
        var pm = PowerManagement()
        var wires = try makeWires()
        #expect(pm.ports.count == 2)
        pm.configWrite(0x40, size: 4, 0x601, &wires)
        #expect(pm.ports.count == 2)
        pm.configWrite(0x80, size: 1, 1, &wires)
        #expect(pm.ports.contains(0x600...0x63F))
        pm.configWrite(0x58, size: 4, 0, &wires)
        #expect(pm.config.get32(0x58) & 1 << 25 != 0)
        #expect(pm.config.get32(0x40) == 0x601)
    }

    @Test("bit 23's change sets TMROF_STS and, when enabled, SCI at that moment") func overflow() throws {
        var (pm, wires) = try ready()
        pm.write(0xB2, 0xF1, &wires)
        pm.write(0x602, 1, &wires)
        let at = try #require(pm.deadline)
        #expect(PowerManagement.timer(at) == 0x80_0000 && PowerManagement.timer(at - 1) == 0x7F_FFFF)
        wires.now = at
        pm.fire(&wires)
        #expect(wires.lines == 1 << 9 && pm.deadline == nil)
        pm.write(0x600, 1, &wires)
        #expect(wires.lines == 0)
        #expect(PowerManagement.timer(pm.deadline ?? 0) == 0)
        #expect(pm.read(0x600, &wires) & 1 == 0)
    }

    @Test(
        "SLP_EN with the type of S5 asks for power-off; other types do nothing",
        arguments: [(0, true), (2, true), (1, false), (5, false)])
    func sleep(type: Int, off: Bool) throws {
        var (pm, wires) = try ready()
        pm.writeWide(0x604, size: 2, UInt32(type << 10 | 1 << 13), &wires)
        #expect((wires.requests == [.powerOff]) == off)
        #expect(pm.readWide(0x604, size: 2, &wires) & 1 << 13 == 0)
    }

    @Test("an SMBus transfer ends at once: nobody acknowledged") func smbus() throws {
        var (pm, wires) = try ready()
        pm.write(0x704, 0xA1, &wires)
        pm.write(0x702, 0x48, &wires)
        #expect(pm.read(0x700, &wires) == 0x04)
        #expect(pm.read(0x702, &wires) == 0x08)
        pm.write(0x700, 0xFF, &wires)
        #expect(pm.read(0x700, &wires) == 0)
    }

    @Test("general-purpose events are clear and write-one-to-clear") func gpe() throws {
        var (pm, wires) = try ready()
        #expect(pm.readWide(0xAFE0, size: 4, &wires) == 0)
        pm.writeWide(0xAFE2, size: 2, 0xABCD, &wires)
        #expect(pm.readWide(0xAFE0, size: 4, &wires) == 0xABCD_0000)
    }

    @Test("the sleep button is general-purpose event 1") func sleepButton() throws {
        var (pm, wires) = try ready()
        pm.write(0xB2, 0xF1, &wires)
        pm.pressSleepButton(&wires)
        #expect(pm.read(0xAFE0, &wires) == 0b10 && wires.lines == 0)
        pm.write(0xAFE2, 0b10, &wires)
        #expect(wires.lines == 1 << 9)
        pm.write(0xAFE0, 0b10, &wires)
        #expect(wires.lines == 0 && pm.read(0xAFE0, &wires) == 0)
    }
}
