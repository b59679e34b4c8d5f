import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("lapic · local APIC") struct LAPICTests {
    private func enabled() throws -> (LAPIC, Wires) {
        var lapic = LAPIC()
        var wires = try makeWires()
        lapic.writeMemory(0xFEE0_00F0, size: 4, 0x1FF, &wires)
        return (lapic, wires)
    }
    private func fixed(_ vector: UInt8, level: Bool = false) -> APICMessage {
        APICMessage(vector: vector, mode: .fixed, destination: 0, logical: false, level: level)
    }

    @Test("higher classes come first, and an EOI ends the highest in service") func priorities() throws {
        var (lapic, wires) = try enabled()
        lapic.accept(fixed(0x31))
        lapic.accept(fixed(0x35))
        lapic.accept(fixed(0x82))
        #expect(lapic.acknowledge() == 0x82)
        #expect(lapic.pending == nil, "lower classes wait")
        #expect(lapic.readMemory(0xFEE0_00A0, size: 4, &wires) == 0x80)
        lapic.accept(fixed(0x91))
        #expect(lapic.acknowledge() == 0x91)
        lapic.writeMemory(0xFEE0_00B0, size: 4, 0, &wires)
        lapic.writeMemory(0xFEE0_00B0, size: 4, 0, &wires)
        #expect(lapic.acknowledge() == 0x35)
        #expect(lapic.pending == nil, "same class waits")
        lapic.writeMemory(0xFEE0_00B0, size: 4, 0, &wires)
        lapic.writeMemory(0xFEE0_0080, size: 4, 0x30, &wires)
        #expect(lapic.pending == nil, "TPR holds class 3 back")
        lapic.writeMemory(0xFEE0_0080, size: 4, 0x20, &wires)
        #expect(lapic.acknowledge() == 0x31)
        #expect(lapic.readMemory(0xFEE0_0110, size: 4, &wires) == 1 << 17)
    }

    @Test("only level-triggered vectors are broadcast at EOI") func broadcast() throws {
        var (lapic, wires) = try enabled()
        lapic.accept(fixed(0x40, level: true))
        lapic.accept(fixed(0x50))
        _ = lapic.acknowledge()
        lapic.writeMemory(0xFEE0_00B0, size: 4, 0, &wires)
        #expect(lapic.takeEnded() == [])
        _ = lapic.acknowledge()
        lapic.writeMemory(0xFEE0_00B0, size: 4, 0, &wires)
        #expect(lapic.takeEnded() == [0x40])
    }

    @Test(
        "the timer counts down at the divided rate, once or periodically",
        arguments: [(0x3, 16), (0x0, 2), (0xB, 1), (0xA, 128)] as [(UInt64, UInt64)])
    func timer(divide: UInt64, factor: UInt64) throws {
        var (lapic, wires) = try enabled()
        lapic.writeMemory(0xFEE0_03E0, size: 4, divide, &wires)
        lapic.writeMemory(0xFEE0_0320, size: 4, 0x2_0060, &wires)
        lapic.writeMemory(0xFEE0_0380, size: 4, 1000, &wires)
        #expect(lapic.deadline == 1000 * factor)
        wires.now = 250 * factor
        #expect(lapic.readMemory(0xFEE0_0390, size: 4, &wires) == 750)
        wires.now = 1000 * factor
        lapic.fire(&wires)
        #expect(lapic.acknowledge() == 0x60)
        #expect(lapic.deadline == 2000 * factor)
        wires.now = 5500 * factor
        lapic.fire(&wires)
        #expect(lapic.deadline == 6000 * factor, "missed periods are one interrupt")
        lapic.writeMemory(0xFEE0_0320, size: 4, 0x0060, &wires)
        wires.now = 6000 * factor
        lapic.fire(&wires)
        #expect(lapic.deadline == nil)
        #expect(lapic.readMemory(0xFEE0_0390, size: 4, &wires) == 0)
        lapic.writeMemory(0xFEE0_0380, size: 4, 0, &wires)
        #expect(lapic.deadline == nil)
    }

    @Test("the ICR sends to itself and to all; illegal vectors are an error, seen after a write to ESR") func icr() throws {
        var (lapic, wires) = try enabled()
        lapic.writeMemory(0xFEE0_0300, size: 4, 0x0004_0070, &wires)
        let messages = lapic.takeOutgoing()
        #expect(messages.count == 1 && messages.allSatisfy { lapic.matches($0) })
        for message in messages { lapic.accept(message) }
        #expect(lapic.acknowledge() == 0x70)
        lapic.writeMemory(0xFEE0_0300, size: 4, 0x000C_4500, &wires)  // INIT to all but self
        #expect(lapic.takeOutgoing().allSatisfy { !lapic.matches($0) })
        lapic.writeMemory(0xFEE0_0300, size: 4, 0x0004_0005, &wires)
        #expect(lapic.takeOutgoing().isEmpty)
        #expect(lapic.readMemory(0xFEE0_0280, size: 4, &wires) == 0)
        lapic.writeMemory(0xFEE0_0280, size: 4, 0, &wires)
        #expect(lapic.readMemory(0xFEE0_0280, size: 4, &wires) == 0x20)
        lapic.writeMemory(0xFEE0_0280, size: 4, 0, &wires)
        #expect(lapic.readMemory(0xFEE0_0280, size: 4, &wires) == 0)
    }

    @Test("logical destinations: flat sets and clusters") func logical() throws {
        var (lapic, wires) = try enabled()
        lapic.writeMemory(0xFEE0_00D0, size: 4, 0x0200_0000, &wires)
        var message = fixed(0x40)
        message.logical = true
        message.destination = 0x03
        #expect(lapic.matches(message) == true)
        message.destination = 0x05
        #expect(lapic.matches(message) == false)
        lapic.writeMemory(0xFEE0_00E0, size: 4, 0, &wires)
        lapic.writeMemory(0xFEE0_00D0, size: 4, 0x2100_0000, &wires)
        message.destination = 0x23
        #expect(lapic.matches(message) == true)
        message.destination = 0x13
        #expect(lapic.matches(message) == false)
    }

    @Test("switched off by SVR it masks its table and takes no fixed interrupt") func softwareOff() throws {
        var (lapic, wires) = try enabled()
        lapic.writeMemory(0xFEE0_0350, size: 4, 0x0700, &wires)
        #expect(lapic.setLINT0(true) == true)
        lapic.writeMemory(0xFEE0_00F0, size: 4, 0x0FF, &wires)
        #expect(lapic.setLINT0(true) == false)
        lapic.writeMemory(0xFEE0_0350, size: 4, 0x0700, &wires)
        #expect(lapic.readMemory(0xFEE0_0350, size: 4, &wires) == 0x1_0700)
        #expect(lapic.accept(fixed(0x40)) == false)
    }

    @Test("before anybody programs it, LINT0 passes the 8259 through and LINT1 is masked") func powerOn() throws {
        var lapic = LAPIC()
        #expect(lapic.setLINT0(true) == true)
        lapic.setLINT1(true)
        #expect(lapic.takeNMI() == false)
        #expect(lapic.writeBase(0xFEE0_0100) == true)
        lapic.setLINT1(false)
        lapic.setLINT1(true)
        #expect(lapic.takeNMI() == true, "APIC off: the pin is NMI")
    }
}

@Suite("ioapic · 82093AA") struct IOAPICTests {
    private func write(_ apic: inout IOAPIC, _ index: UInt64, _ value: UInt64, _ wires: inout Wires) {
        apic.writeMemory(0xFEC0_0000, size: 4, index, &wires)
        apic.writeMemory(0xFEC0_0010, size: 4, value, &wires)
    }
    private func read(_ apic: inout IOAPIC, _ index: UInt64, _ wires: inout Wires) -> UInt64 {
        apic.writeMemory(0xFEC0_0000, size: 4, index, &wires)
        return apic.readMemory(0xFEC0_0010, size: 4, &wires)
    }

    @Test("ID, version and arbitration registers") func identity() throws {
        var apic = IOAPIC()
        var wires = try makeWires()
        #expect(read(&apic, 1, &wires) == 0x0017_0011)
        write(&apic, 0, 0xFF00_0000, &wires)
        #expect(read(&apic, 0, &wires) == 0x0F00_0000)
        #expect(read(&apic, 2, &wires) == 0x0F00_0000)
        #expect(read(&apic, 0x10, &wires) == 0x1_0000, "masked after reset")
        #expect(read(&apic, 0x40, &wires) == 0)
    }

    @Test("an edge is a message once; on a masked pin it is lost") func edge() throws {
        var apic = IOAPIC()
        var wires = try makeWires()
        apic.setPins(1 << 4)
        write(&apic, 0x18, 0x44, &wires)
        #expect(apic.takeOutgoing().isEmpty)
        apic.setPins(0)
        apic.setPins(1 << 4)
        apic.setPins(1 << 4)
        #expect(apic.takeOutgoing().map(\.vector) == [0x44])
    }

    @Test("writes leave the read-only bits; going to edge clears a stuck remote IRR") func remoteIRR() throws {
        var apic = IOAPIC()
        var wires = try makeWires()
        apic.setPins(1 << 9)
        write(&apic, 0x22, 0x8049, &wires)
        #expect(apic.takeOutgoing().count == 1)
        #expect(read(&apic, 0x22, &wires) == 0xC049)
        write(&apic, 0x22, 0x1_8049, &wires)
        #expect(read(&apic, 0x22, &wires) == 0x1_C049)
        write(&apic, 0x22, 0x1_0049, &wires)
        #expect(read(&apic, 0x22, &wires) == 0x1_0049)
        write(&apic, 0x22, 0x1_8049, &wires)
        write(&apic, 0x22, 0x8049, &wires)
        #expect(apic.takeOutgoing().count == 1)
    }
}
