import Primitives
import Testing

@testable import Hardware

@Suite("rtc · time that the guest did not live through") struct CMOSPassTests {
    @Test("date and time go on, and nothing is told") func pass() {
        // 2026-11-26 23:59:30 UTC.
        var clock = CMOSClock(epochSeconds: 1_795_737_570)
        clock.pass(seconds: 86_400 + 45)
        #expect([clock[0x32], clock[9], clock[8], clock[7], clock[4], clock[2], clock[0]] == [0x20, 0x26, 0x11, 0x28, 0x00, 0x00, 0x15])
        #expect(clock[0x0C] == 0 && clock.deadline == nil)
    }

    @Test("a clock that was stopped stays stopped") func stopped() throws {
        var clock = CMOSClock(epochSeconds: 1_795_737_570), wires = try makeWires()
        clock.write(0x70, 0x0B, &wires)
        clock.write(0x71, 0x82, &wires)
        let before = clock
        clock.pass(seconds: 1000)
        #expect(clock == before)
    }
}
