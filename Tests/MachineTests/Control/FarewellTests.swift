import Foundation
import Testing

@testable import Machine

@Suite("control socket · the end") struct FarewellTests {
    @Test("a client that has heard everything holds the end up for no time") func prompt() throws {
        let served = try ServedMachine()
        let raw = try served.raw()
        raw.negotiate()
        let idle = try ControlClient(path: served.path, name: "served")
        let begun = ContinuousClock.now
        served.server.finish()
        // Two seconds are for those who do not read.
        #expect(ContinuousClock.now - begun < .milliseconds(1500))
        #expect(try idle.waitForEnd(within: 5))
    }
}
