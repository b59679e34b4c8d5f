import Foundation
import Hardware
import Synchronization
import Testing

@testable import Machine

@Suite("run loop") struct RunLoopTests {
    @Test("a limit of N instructions ends the run after exactly N", arguments: [1, 49_999, 50_000, 50_001, 1_234_567] as [UInt64])
    func exactLimit(limit: UInt64) throws {
        let pc = try FakePC()
        let result = try run(pc) { $0.maxInstructions = limit }
        #expect(result.outcome == .instructionLimit)
        #expect(result.report.instructions == limit)
        #expect(result.outcome.exitStatus == 0)
    }

    @Test(
        "what the board says becomes the outcome and its exit status",
        arguments: [
            (GuestStop.powerOff, RunOutcome.poweredOff, 0), (.shutdown("Triple fault."), .guru("Triple fault."), 3),
            (.failed("it does not fit"), .guru("a fault of Vitrine, not of the guest: it does not fit"), 3), (.debugExit(0x41), .debugExit(0x41), 65),
        ] as [(GuestStop, RunOutcome, Int32)])
    func outcomes(stop: GuestStop, outcome: RunOutcome, status: Int32) throws {
        let pc = try FakePC()
        pc.onSlice = { _, _ in stop }
        let result = try run(pc)
        #expect(result.outcome == outcome)
        #expect(result.outcome.exitStatus == status)
        #expect(result.report.exitStatus == status)
    }

    @Test("where it is kept, a Guru Meditation stays to be looked at until it is reset or switched off")
    func stuck() throws {
        let pc = try FakePC()
        var stops = 0
        pc.onSlice = { pc, _ in
            pc.show("the last words")
            stops += 1
            return stops <= 2 ? .shutdown("triple fault at 0:7c00") : .sliceDone
        }
        var parts = RunParts()
        parts.keepsStuck = true
        parts.hasViewer = true
        parts.hostClock = HostClock()
        let machine = try RunningMachine(pc: pc, parts: parts)
        machine.start()
        func wait(_ condition: () -> Bool) -> Bool {
            for _ in 0..<2000 where !condition() { usleep(5000) }
            return condition()
        }
        #expect(wait { machine.view().state == .stuck })
        #expect(machine.view().problem == "triple fault at 0:7c00" && machine.view().outcome == nil)
        #expect(machine.view().frame.text.hasPrefix("the last words"))
        #expect(machine.events(from: 0).events.contains { $0.kind == .panicked("triple fault at 0:7c00") })
        // It cannot go on, and says so to whoever asks.
        let refused = Mutex<String?>(nil)
        machine.perform(.resume) { error in refused.withLock { $0 = error?.description } }
        #expect(wait { refused.withLock { $0 }?.contains("stuck") == true })
        // A reset lets it run into the same wall again; the power button ends it.
        machine.post(.reset)
        #expect(wait { pc.resets == 1 && machine.view().state == .stuck })
        machine.post(.acpiPowerButton)
        #expect(machine.waitForEnd().outcome == .guru("triple fault at 0:7c00"))
    }

    @Test("a guest reset goes on, or ends the run with 0 when the user said no reboot")
    func resets() throws {
        let going = try FakePC()
        var left = 3
        going.onSlice = { _, _ in
            left -= 1
            return left > 0 ? .reset : .powerOff
        }
        #expect(try run(going).outcome == .poweredOff)
        #expect(going.resets == 2)

        let ending = try FakePC()
        ending.onSlice = { _, _ in .reset }
        let result = try run(ending) { $0.noReboot = true }
        #expect(result.outcome == .resetWithNoReboot)
        #expect(result.outcome.exitStatus == 0)
        #expect(ending.resets == 0)
    }

    @Test("random bytes that the guest waits for come from outside, also to a guest that has halted")
    func entropy() throws {
        let pc = try FakePC()
        pc.entropyWanted = 7
        pc.onSlice = { pc, _ in pc.entropy.isEmpty ? .halted(until: nil) : .powerOff }
        let result = try run(pc) {
            $0.hostClock = HostClock()
            $0.entropy = { Array(0..<UInt8($0)) }
            $0.timeout = 20_000_000_000
        }
        #expect(result.outcome == .poweredOff)
        #expect(result.report.hostSeconds < 0.5, "it did not sleep first")
        #expect(pc.entropy == Array(0..<7))
    }

    @Test("the time limit ends a run whose guest sleeps, with 124")
    func timeout() throws {
        let pc = try FakePC()
        pc.onSlice = { _, _ in .halted(until: nil) }
        let result = try run(pc) {
            $0.timeout = 30_000_000
            $0.hostClock = HostClock()
        }
        #expect(result.outcome == .timeout)
        #expect(result.outcome.exitStatus == 124)
        #expect(result.report.hostSeconds >= 0.03)
    }

    @Test("an idle guest costs next to nothing with the host clock, and a command wakes it")
    func idle() throws {
        let pc = try FakePC()
        let slices = Mutex(0)
        pc.onSlice = { pc, _ in
            slices.withLock { $0 += 1 }
            return .halted(until: pc.time + 10_000_000_000)
        }
        var parts = RunParts()
        parts.hostClock = HostClock()
        let machine = try RunningMachine(pc: pc, parts: parts)
        machine.start()
        machine.post(.key(.a, down: true))
        machine.post(.releaseAllKeys)
        machine.post(.acpiPowerButton)
        machine.post(.powerOff)
        #expect(machine.waitForEnd().outcome == .poweredOffByUser)
        #expect(pc.keys.map(\.down) == [true, false])
        #expect(pc.powerButtons == 1)
        #expect(slices.withLock { $0 } < 20)
    }

    @Test("a paused machine retires nothing and its state is seen")
    func pauses() throws {
        let pc = try FakePC()
        var parts = RunParts()
        parts.hostClock = HostClock()
        parts.hasViewer = true
        let machine = try RunningMachine(pc: pc, parts: parts)
        machine.start()
        machine.post(.pause)
        wait(for: machine) { $0.state == .paused }
        // `pixels` is answered by the machine's thread: two answers mean a whole turn in between.
        _ = machine.pixels()
        let before = machine.pixels() == nil ? 0 : pc.retired
        _ = machine.pixels()
        #expect(pc.retired == before)
        machine.post(.resume)
        wait(for: machine) { $0.state == .running }
        machine.post(.powerOff)
        _ = machine.waitForEnd()
        #expect(machine.view().state == .off)
        #expect(machine.view().outcome == .poweredOffByUser)
    }

    @Test("the view changes generation when the screen changes, and only then")
    func generations() throws {
        let pc = try FakePC()
        let text = Mutex("")
        pc.onSlice = { pc, _ in
            pc.show(text.withLock { $0 })
            return .halted(until: nil)
        }
        var parts = RunParts()
        parts.hostClock = HostClock()
        parts.hasViewer = true
        let machine = try RunningMachine(pc: pc, parts: parts)
        machine.start()
        wait(for: machine) { $0.generation == 1 }
        text.withLock { $0 = "changed" }
        machine.post(.acpiPowerButton)
        wait(for: machine) { $0.frame.textRows.first == "changed" }
        #expect(machine.view().generation == 2)
        machine.post(.powerOff)
        _ = machine.waitForEnd()
    }

    @Test("pixels are to be had while it runs and after the end")
    func pixels() throws {
        let pc = try FakePC()
        var parts = RunParts()
        parts.hostClock = HostClock()
        let machine = try RunningMachine(pc: pc, parts: parts)
        machine.start()
        #expect(machine.pixels()?.pixels == [0x123456])
        machine.post(.powerOff)
        _ = machine.waitForEnd()
        #expect(machine.pixels()?.pixels == [0x123456])
    }

    @Test("keys wait while the BIOS's type-ahead buffer fills up")
    func biosBuffer() throws {
        let pc = try FakePC()
        // 40:1A head, 40:1C tail, 40:80 start, 40:82 end: nine of sixteen words used.
        pc.memory.store(0x480, UInt16(0x1E))
        pc.memory.store(0x482, UInt16(0x3E))
        pc.memory.store(0x41A, UInt16(0x1E))
        pc.memory.store(0x41C, UInt16(0x30))
        pc.onSlice = { pc, _ in
            if pc.retired == 500_000 { pc.memory.store(0x41A, UInt16(0x30)) }
            return nil
        }
        _ = try run(pc, script: "type a\nstop")
        #expect(pc.keys.first?.time == 500_000_000)
    }

    @Test("the report is one JSON object with the names that others rely on")
    func stats() throws {
        let pc = try FakePC()
        let result = try run(pc) {
            $0.maxInstructions = 100_000
            $0.engineName = "interpreter"
            $0.memoryMiB = 8
        }
        let object = try #require(JSONSerialization.jsonObject(with: Data(result.report.json())) as? [String: Any])
        #expect(object["instructions"] as? Int == 100_000)
        #expect(object["guest_seconds"] as? Double == 0.1)
        #expect(object["engine"] as? String == "interpreter")
        #expect(object["state_digest"] as? String == "FAKE")
        #expect(object["outcome"] as? String == "instruction-limit")
        #expect((object["host_seconds"] as? Double ?? 0) > 0)
        #expect((object["mips"] as? Double ?? 0) > 0)
    }

    /// Blocks until the view is as wanted; the machine's own pipe wakes it.
    private func wait(for machine: RunningMachine, until condition: (MachineView) -> Bool) {
        while !condition(machine.view()) {
            var entry = pollfd(fd: machine.wakeDescriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 10_000) > 0 else { return #expect(Bool(false), "the view did not change in 10 seconds") }
            var bytes = [UInt8](repeating: 0, count: 64)
            _ = read(machine.wakeDescriptor, &bytes, bytes.count)
        }
    }
}

@Suite("host clock") struct HostClockTests {
    private final class Hand: Sendable {
        private let time = Mutex<UInt64>(5_000_000_000)
        func advance(_ nanoseconds: UInt64) { time.withLock { $0 += nanoseconds } }
        var read: UInt64 { time.withLock { $0 } }
    }

    @Test("guest time follows host time without pauses")
    func pause() {
        let hand = Hand()
        let clock = HostClock(source: { hand.read })
        hand.advance(1_000_000)
        #expect(clock.guestTime() == 1_000_000)
        clock.pause()
        hand.advance(90_000_000_000)
        #expect(clock.guestTime() == 1_000_000)
        clock.resume()
        hand.advance(2_000_000)
        #expect(clock.guestTime() == 3_000_000)
        #expect(clock.elapsed == 90_003_000_000)
    }

    @Test("after a long stop of the host the clock slips; a sleep of the guest is no stop")
    func slip() {
        let hand = Hand()
        let clock = HostClock(source: { hand.read })
        hand.advance(10_000_000_000)
        #expect(clock.guestTime() == HostClock.slipLimit)
        hand.advance(3_000_000_000)
        clock.slept(until: HostClock.slipLimit + 3_000_000_000)
        #expect(clock.guestTime() == HostClock.slipLimit + 3_000_000_000)
    }
}
