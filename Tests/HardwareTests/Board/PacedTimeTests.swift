import Primitives
import Testing

import CPU
@testable import Hardware

@Suite("board · time with the host clock") struct PacedTimeTests {
    @Test("on time it is the host's; it never goes back and never ahead") func onTime() {
        var paced = PacedTime()
        #expect(paced.advance(host: 1_000, retired: 100, deadline: .max) == 1_000)
        #expect(paced.advance(host: 900, retired: 200, deadline: .max) == 1_000)
        #expect(paced.advance(host: 1_010, retired: 1_000_000, deadline: .max) == 1_010)
    }

    @Test("after the host had no time, it catches up by a bounded step for each instruction") func catchesUp() {
        var paced = PacedTime()
        _ = paced.advance(host: 0, retired: 0, deadline: .max)
        let late: Nanoseconds = 100_000_000
        let first = paced.advance(host: late, retired: 1_000, deadline: .max)
        #expect((16_000...40_000).contains(first), "\(first)")
        #expect(paced.advance(host: late, retired: 1_000, deadline: .max) == first, "no instruction, no time")
        var count: UInt64 = 1_000
        while paced.time < late, count < 100_000_000 {
            count += 1_000
            let before = paced.time
            #expect(paced.advance(host: late, retired: count, deadline: .max) - before <= 41_000)
        }
        #expect(paced.time == late && count < 7_000_000)
    }

    @Test("it stops at a deadline until that has been served; sleeping processors let it pass") func deadlines() {
        var paced = PacedTime()
        #expect(paced.advance(host: 10_000, retired: 1_000, deadline: 4_000) == 4_000)
        #expect(paced.advance(host: 20_000, retired: 2_000, deadline: 4_000) == 4_000)
        #expect(paced.advance(host: 20_000, retired: 3_000, deadline: 8_000) == 8_000)
        paced.pass(host: 30_000, deadline: 12_000)
        #expect(paced.time == 12_000)
        paced.pass(host: 30_000, deadline: .max)
        #expect(paced.time == 30_000)
    }

    @Test("sleeping processors are taken to a deadline that is near at once, to a far one with the host") func nearDeadline() {
        var paced = PacedTime()
        paced.pass(host: 1_000, deadline: 1_000 + PacedTime.lead)
        #expect(paced.time == 1_000 + PacedTime.lead)
        paced.pass(host: 2_000, deadline: 2_001 + 2 * PacedTime.lead)
        #expect(paced.time == 1_000 + PacedTime.lead, "it never goes back, and never further ahead")
    }

    @Test("a loop that waits is told estimates, up to the lead; others are not") func estimates() {
        var paced = PacedTime()
        _ = paced.advance(host: 100_000, retired: 10_000, deadline: .max)
        var (count, last, asked): (UInt64, Nanoseconds, Int) = (10_000, 100_000, 0)
        while true {
            count += 10
            guard let time = paced.ahead(retired: count) else { break }
            #expect(time > last && time < 100_000 + PacedTime.lead)
            (last, asked) = (time, asked + 1)
        }
        #expect(asked > 100)
        #expect(paced.advance(host: 100_100, retired: count, deadline: .max) == last, "the host is behind: time stands still, it does not go back")
        _ = paced.advance(host: 200_000, retired: 20_000, deadline: .max)
        #expect(paced.ahead(retired: 20_200) == nil, "long ago")
    }

    @Test("no estimate reaches a deadline, also one that came later; other processors' instructions count") func estimatesEnd() {
        var paced = PacedTime()
        _ = paced.advance(host: 100_000, retired: 10_000, deadline: 100_300)
        #expect(paced.ahead(retired: 10_010) == 100_160)
        #expect(paced.ahead(retired: 10_020) == nil)
        _ = paced.advance(host: 100_200, retired: 10_030, deadline: .max)
        #expect(paced.ahead(retired: 10_031) != nil)
        paced.deadlineMoved(to: paced.time + 100)
        #expect(paced.ahead(retired: 10_040) == nil)
        _ = paced.advance(host: 100_500, retired: 10_050, deadline: .max)
        paced.elsewhere = 50
        #expect(paced.ahead(retired: 10_001) != nil)
        #expect(paced.ahead(retired: 10_200) == nil)
    }

    @Test("a board that was held up for 40 ms gets all ten interrupts of a 4 ms timer, one after the other") func noLostTicks() throws {
        final class Time: @unchecked Sendable { var value: Nanoseconds = 0 }
        let time = Time()
        let bench = try Bench { $0.clock = .host { time.value } }
        bench.setUpAPIC()
        bench.engine.interruptsEnabled = true
        bench.engine.onInterrupt = { _, bus in bus.writeMMIO(0xFEE0_00B0, size: 4, 0) }
        bench.pc.writeMMIO(0xFEE0_0320, size: 4, 0x2_0055)
        bench.pc.writeMMIO(0xFEE0_03E0, size: 4, 0xB)
        bench.pc.writeMMIO(0xFEE0_0380, size: 4, 4_000_000)
        time.value = 41_000_000
        _ = bench.pc.run(instructions: 4_000_000)
        #expect(bench.engine.taken.count == 10)
        #expect(bench.engine.taken.map(\.at) == (1...10).map { $0 * 4_000_000 })
        #expect(bench.pc.now() == 41_000_000)
    }
}
