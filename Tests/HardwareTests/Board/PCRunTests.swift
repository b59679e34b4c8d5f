import CPU
import Foundation
import Primitives
import Testing

@testable import Hardware

@Suite("board · time and interrupts") struct PCRunTests {
    @Test("run retires exactly what was asked, in slices of any size, with the same state at the end")
    func exact() throws {
        var digests: Set<String> = []
        for slice in [Int64(1), 7, 1_000, 1_000_000] {
            let bench = try Bench()
            bench.setUpPIC(unmasked: 1)
            bench.out(0x43, 0x34)  // counter 0, mode 2
            bench.out(0x40, 0xA9)
            bench.out(0x40, 0x04)  // 1193 ticks: a millisecond
            bench.engine.interruptsEnabled = true
            bench.engine.onInterrupt = { _, bus in bus.writePort(0x20, size: 1, 0x20) }
            var left: Int64 = 100_000
            while left > 0 {
                let before = bench.pc.retired
                #expect(bench.pc.run(instructions: min(slice, left)) == .sliceDone)
                #expect(Int64(bench.pc.retired - before) == min(slice, left))
                left -= min(slice, left)
            }
            digests.insert(bench.pc.digest())
        }
        #expect(digests.count == 1)
    }

    @Test("HLT skips to the next deadline with the virtual clock and retires nothing")
    func halt() throws {
        let bench = try Bench()
        bench.setUpPIC(unmasked: 1)
        bench.out(0x43, 0x34)
        bench.out(0x40, 0)
        bench.out(0x40, 0)  // 65536 ticks: 54.9 ms
        bench.engine.interruptsEnabled = true
        bench.engine.halted = true
        var stop = bench.pc.run(instructions: 10)
        while case .halted(let until?) = stop {
            #expect(until == bench.pc.now())
            stop = bench.pc.run(instructions: 10)
        }
        #expect(stop == .sliceDone)
        #expect(bench.engine.taken.first?.vector == 0x20)
        #expect(bench.pc.retired == 10)
        let at = bench.engine.taken.first?.at ?? 0
        #expect((54_900_000...54_950_000).contains(at), "\(at)")
    }

    @Test("HLT does not skip beyond the time at which somebody outside wants to act")
    func outsideDeadline() throws {
        let bench = try Bench()
        bench.setUpPIC(unmasked: 1)
        bench.out(0x43, 0x34)
        bench.out(0x40, 0)
        bench.out(0x40, 0)  // 65536 ticks: 54.9 ms
        bench.engine.interruptsEnabled = true
        bench.engine.halted = true
        bench.pc.outsideDeadline = 2_000_000
        #expect(bench.pc.run(instructions: 10) == .halted(until: 2_000_000))
        #expect(bench.pc.run(instructions: 10) == .halted(until: 2_000_000), "it has not moved: time stands")
        bench.pc.outsideDeadline = nil
        while case .halted = bench.pc.run(instructions: 10) {}
        #expect((54_900_000...54_950_000).contains(bench.engine.taken.first?.at ?? 0))
    }

    @Test("with the host clock HLT comes back with the time to wait for") func hostHalt() throws {
        final class Time: @unchecked Sendable { var value: Nanoseconds = 0 }
        let time = Time()
        let bench = try Bench { $0.clock = .host { time.value } }
        bench.setUpPIC(unmasked: 1)
        bench.out(0x43, 0x34)
        bench.out(0x40, 0xA9)
        bench.out(0x40, 0x04)
        bench.engine.interruptsEnabled = true
        bench.engine.halted = true
        guard case .halted(let until?) = bench.pc.run(instructions: 100) else {
            Issue.record("expected to wait")
            return
        }
        #expect((900_000...1_100_000).contains(until), "\(until)")
        #expect(bench.pc.now() == 0)
        time.value = until
        _ = bench.pc.run(instructions: 100)
        #expect(bench.engine.taken.first?.vector == 0x20)
        time.value = 5
        #expect(bench.pc.now() == until, "time never goes back")
    }

    @Test("an interrupt arrives at the instruction at which its deadline falls, also when it was set within the slice")
    func latency() throws {
        let bench = try Bench()
        bench.setUpAPIC()
        bench.pc.writeMMIO(0xFEE0_0320, size: 4, 0x55)
        bench.pc.writeMMIO(0xFEE0_03E0, size: 4, 0xB)  // divide by 1
        bench.engine.interruptsEnabled = true
        bench.engine.actions[1_000] = { $0.writeMMIO(0xFEE0_0380, size: 4, 500) }  // 500 ns from 2000 ns on
        #expect(bench.pc.run(instructions: 1_000_000) == .sliceDone)
        #expect(bench.engine.taken.map(\.vector) == [0x55])
        #expect(bench.engine.taken.first?.at == 2_500)
    }

    @Test("a PCI interrupt line goes where PIIX3 routes it, and to I/O APIC pin 16 on") func pirq() throws {
        let bench = try Bench()
        bench.setUpPIC(unmasked: 1 << 10 | 1 << 11)
        bench.out(0x4D1, 0x0C)  // IRQ10 and 11 level
        bench.setUpAPIC()
        bench.setIOAPIC(17, low: 0x1_8061)
        bench.setConfig(1, 0, 0x61, size: 1, 0x0A)
        bench.pc.raiseForTest(pirq: 1, true)
        #expect(bench.engine.intr)
        #expect(bench.pc.acknowledgeInterrupt() == 0x2A)
        bench.out(0xA0, 0x20)
        bench.out(0x20, 0x20)
        #expect(bench.engine.intr, "level: asks again until the line falls")
        bench.setConfig(1, 0, 0x61, size: 1, 0x8A)
        #expect(!bench.engine.intr, "routing off")
        bench.setConfig(1, 0, 0x61, size: 1, 0x0B)
        #expect(bench.pc.acknowledgeInterrupt() == 0x2B)
        bench.out(0xA0, 0x20)
        bench.out(0x20, 0x20)
        bench.setConfig(1, 0, 0x61, size: 1, 0x80)
        bench.setIOAPIC(17, low: 0x8061)
        #expect(bench.pc.acknowledgeInterrupt() == 0x61)
        #expect(PCIBus.pirq(device: 2, pin: 0) == 1)
        #expect(PCIBus.pirq(device: 1, pin: 0) == 0)
        #expect(PCIBus.pirq(device: 0, pin: 0) == 3)
    }

    @Test("a level-triggered I/O APIC pin is sent once until EOI, and again while it stays asserted") func ioapicLevel() throws {
        let bench = try Bench()
        bench.setUpAPIC()
        bench.setIOAPIC(16, low: 0x8070)
        bench.pc.raiseForTest(pirq: 0, true)
        #expect(bench.ioapicEntry(16) & 0x4000 != 0)
        #expect(bench.pc.acknowledgeInterrupt() == 0x70)
        #expect(!bench.engine.intr)
        bench.pc.writeMMIO(0xFEE0_00B0, size: 4, 0)
        #expect(bench.engine.intr, "still asserted")
        #expect(bench.pc.acknowledgeInterrupt() == 0x70)
        bench.pc.raiseForTest(pirq: 0, false)
        bench.pc.writeMMIO(0xFEE0_00B0, size: 4, 0)
        #expect(!bench.engine.intr)
        #expect(bench.ioapicEntry(16) & 0x4000 == 0)
    }

    @Test("IRQ0 reaches I/O APIC pin 2; the 8259 passes LINT0 only while it is ExtINT and unmasked") func pin2() throws {
        let bench = try Bench()
        bench.setUpPIC(unmasked: 1 << 4)
        bench.out(0x3FC, 0x08)
        bench.out(0x3F9, 0x02)  // COM1 transmitter empty: IRQ4
        #expect(bench.engine.intr)
        bench.setUpAPIC()
        bench.pc.writeMMIO(0xFEE0_0350, size: 4, 0x1_0700)
        #expect(!bench.engine.intr)
        bench.pc.writeMMIO(0xFEE0_0350, size: 4, 0x0700)
        #expect(bench.engine.intr)
        #expect(bench.pc.acknowledgeInterrupt() == 0x24)
        bench.pc.writeMMIO(0xFEE0_0350, size: 4, 0x1_0700)
        bench.setIOAPIC(2, low: 0x30)
        bench.out(0x43, 0x30)  // mode 0: output low, rises when the count is over
        bench.out(0x40, 10)
        bench.out(0x40, 0)
        bench.engine.interruptsEnabled = true
        _ = bench.pc.run(instructions: 100_000)
        #expect(bench.engine.taken.map(\.vector) == [0x30])
    }

    @Test("COM1 and COM3 share IRQ4: it stays up until both are served") func sharedLine() throws {
        let bench = try Bench()
        for base in [Port(0x3F8), 0x3E8] {
            bench.out(base + 4, 0x08)
            bench.out(base + 1, 0x02)
        }
        #expect(bench.pc.lines & 0x10 != 0)
        #expect(bench.input(0x3FA) == 0x02)
        #expect(bench.pc.lines & 0x10 != 0)
        #expect(bench.input(0x3EA) == 0x02)
        #expect(bench.pc.lines & 0x10 == 0)
    }

    @Test("chips whose deadlines have come fire in the order of the deadlines, equals in list order") func order() throws {
        let bench = try Bench()
        for (n, base) in [(0, Port(0x3F8)), (1, 0x2F8), (2, 0x3E8)] {
            bench.out(base + 3, 0x83)
            bench.out(base, n == 1 ? 1 : 2)
            bench.out(base + 1, 0)
            bench.out(base + 3, 0x03)
            bench.out(base + 2, 0x01)
        }
        bench.out(0x3FC, 0x08)
        #expect(bench.pc.serialInput(0, [1]) == 1)
        #expect(bench.pc.serialInput(1, [1]) == 1)
        #expect(bench.pc.serialInput(2, [1]) == 1)
        let uarts = bench.pc.place.serial
        let times = uarts.map { bench.pc.deadlines[$0] }
        #expect(times[1] < times[0] && times[0] == times[2])
        _ = bench.pc.run(instructions: Int64(times[1] / 2) + 2)  // one more: a slice ends before what falls on its end
        #expect(uarts.prefix(3).map { (bench.pc.devices[$0] as? UART)?.fifo.count } == [0, 1, 0])
        _ = bench.pc.run(instructions: 1_000_000)
        #expect(uarts.prefix(3).map { (bench.pc.devices[$0] as? UART)?.fifo.count } == [1, 1, 1])
    }

    @Test("what a guest asks for ends the run with its reason, at that instruction") func stops() throws {
        let bench = try Bench { $0.debugExitPort = 0x501; $0.bootHook = true }
        bench.setUpPowerManagement()
        bench.engine.actions[100] = { $0.writePort(0x501, size: 1, 0x21) }
        bench.engine.actions[200] = { $0.writePort(0x604, size: 2, 0x2000) }
        bench.engine.actions[300] = { $0.writePort(0x5E8, size: 1, 1) }
        bench.engine.actions[400] = { $0.writePort(0xCF9, size: 1, 6) }
        #expect(bench.pc.run(instructions: 1000) == .debugExit(0x43))
        #expect(bench.pc.retired == 101)
        #expect(bench.pc.run(instructions: 1000) == .powerOff)
        #expect(bench.pc.retired == 201)
        #expect(bench.pc.run(instructions: 1000) == .bootHook(1))
        #expect(bench.pc.run(instructions: 1000) == .sliceDone)
        #expect(bench.pc.resets == 1 && bench.engine.resets == 1)
        #expect(bench.pc.retired == 1301)
        bench.engine.nextExit = .shutdown("Triple fault.")
        #expect(bench.pc.run(instructions: 1) == .shutdown("Triple fault."))
    }

    @Test("a reset ends the run when the settings say so") func noReboot() throws {
        let bench = try Bench { $0.rebootEndsRun = true }
        bench.engine.actions[5] = { $0.writePort(0x64, size: 1, 0xFE) }
        #expect(bench.pc.run(instructions: 1000) == .reset)
        #expect(bench.pc.retired == 6)
    }

    @Test("a fault of ours ends the run, whatever a shutdown would do") func ours() throws {
        let bench = try Bench { $0.tripleFaultResets = true }
        bench.engine.nextExit = .failed("it does not fit")
        #expect(bench.pc.run(instructions: 1) == .failed("it does not fit"))
        #expect(bench.engine.resets == 0)
        // Found at the end of a slice.
        #expect(bench.pc.run(instructions: 1) == .sliceDone)
        bench.engine.inconsistency = "two counts differ"
        #expect(bench.pc.run(instructions: 1) == .failed("two counts differ"))
        bench.engine.inconsistency = nil
        // A processor that comes back without end and does nothing.
        bench.engine.constantExit = .attention
        #expect(bench.pc.run(instructions: 1) == .failed("processor 0 does not go on"))
        bench.engine.constantExit = nil
        #expect(bench.pc.run(instructions: 1) == .sliceDone)
    }

    @Test("with a shutdown code in CMOS the reset line reaches the processor alone") func initOnly() throws {
        let bench = try Bench { $0.rebootEndsRun = true }
        bench.out(0x70, 0x0F)
        bench.out(0x71, 0x0A)
        bench.out(0x3FF, 0x42)
        bench.engine.actions[5] = { $0.writePort(0x92, size: 1, 0x03) }
        #expect(bench.pc.run(instructions: 100) == .sliceDone)
        #expect(bench.engine.resets == 1 && bench.pc.resets == 0)
        bench.engine.nextExit = .shutdown("Triple fault.")
        #expect(bench.pc.run(instructions: 100) == .sliceDone)
        #expect(bench.engine.resets == 2)
    }

    @Test("the power button raises SCI once ACPI is on") func powerButton() throws {
        let bench = try Bench()
        bench.setUpPowerManagement()
        bench.pc.powerButton()
        #expect(bench.pc.lines & 1 << 9 == 0)
        bench.pc.writePort(0x602, size: 2, 0x0100)
        #expect(bench.pc.lines & 1 << 9 == 0)
        bench.out(0xB2, 0xF1)
        #expect(bench.pc.readPort(0x604, size: 2) & 1 == 1)
        #expect(bench.pc.lines & 1 << 9 != 0)
        bench.pc.writePort(0x600, size: 2, 0x0100)
        #expect(bench.pc.lines & 1 << 9 == 0)
        bench.out(0xB2, 0xF0)
        #expect(bench.pc.readPort(0x604, size: 2) & 1 == 0)
    }

    @Test("FERR# raises IRQ13 until port F0 is written") func ferr() throws {
        let bench = try Bench()
        bench.pc.setFERR(true)
        #expect(bench.pc.lines & 1 << 13 != 0)
        bench.out(0xF0, 0)
        #expect(bench.pc.lines & 1 << 13 == 0)
        bench.pc.setFERR(false)
        bench.pc.setFERR(true)
        #expect(bench.pc.lines & 1 << 13 != 0)
    }

    @Test("IA32_APIC_BASE moves the registers and switches them off; reserved bits are refused") func apicBase() throws {
        let bench = try Bench()
        #expect(bench.pc.readMSR(0x1B) == 0xFEE0_0900)
        #expect(bench.pc.readMSR(0x10) == nil)
        #expect(bench.pc.readMMIO(0xFEE0_0030, size: 4) == 0x0005_0014)
        #expect(!bench.pc.writeMSR(0x1B, 0xFEE0_0D00))
        #expect(bench.pc.writeMSR(0x1B, 0x0010_0900))
        #expect(bench.pc.readMMIO(0xFEE0_0030, size: 4) == 0xFFFF_FFFF)
        #expect(bench.pc.memory.page(0x10_0000).read == -1, "registers lie over RAM")
        #expect(bench.pc.readMMIO(0x10_0030, size: 4) == 0x0005_0014)
        #expect(bench.pc.writeMSR(0x1B, 0xFEE0_0100))
        #expect(bench.pc.readMMIO(0xFEE0_0030, size: 4) == 0xFFFF_FFFF)
        #expect(bench.pc.readMSR(0x1B) == 0xFEE0_0100)
    }

    @Test("what the guest prints is handed out in order, runs of one stream as one piece") func output() throws {
        let bench = try Bench { $0.debugConsolePorts = [0x402] }
        for byte in Array("ab".utf8) { bench.out(0x3F8, byte) }
        bench.out(0x402, 0x63)
        bench.out(0x3F8, 0x64)
        let pieces = bench.pc.drainOutput().map { ($0.0, String(decoding: $0.1, as: UTF8.self)) }
        #expect(pieces.map(\.0) == [.serial(0), .debugConsole(0x402), .serial(0)])
        // A COM1 fresh from reset has 5 data bits: only the low bits of a byte are sent.
        #expect(pieces.count == 3)
        #expect(bench.pc.drainOutput().isEmpty)
    }

    @Test("every chip survives being written down and read back", arguments: 0..<32) func codable(position: Int) throws {
        let bench = try Bench { $0.debugConsolePorts = [0x402]; $0.debugExitPort = 0x501; $0.bootHook = true }
        bench.setUpPowerManagement()
        _ = bench.pc.run(instructions: 1000)
        guard bench.pc.devices.indices.contains(position) else { return }
        try roundTrip(bench.pc.devices[position])
        #expect(Set(bench.pc.chipNames).count == bench.pc.devices.count)
    }

    private func roundTrip<D: Device>(_ device: D) throws {
        let data = try JSONEncoder().encode(device)
        #expect(try JSONDecoder().decode(D.self, from: data) == device)
    }
}

extension PC {
    /// Drives a PCI interrupt line as a function on the host bridge's slot would.
    func raiseForTest(pirq: Int, _ level: Bool) {
        begin(place.hostBridge)
        wires.set(pirq: pirq, level)
        finish(place.hostBridge)
    }
}
