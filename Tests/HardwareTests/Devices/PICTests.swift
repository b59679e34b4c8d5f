import Testing

@testable import Hardware

@Suite("pic · Intel 8259A pair") struct PICTests {
    /// Initialised as firmware does: vectors 0x08 and 0x70, all lines open.
    static func ready(icw4: UInt8 = 0x01) throws -> ChipBench<PIC> {
        var bench = try ChipBench(PIC())
        for (port, value) in [
            (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, Int(icw4)), (0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01),
        ] { bench.write(UInt16(port), UInt8(value)) }
        return bench
    }
    static func bit(_ irq: Int) -> UInt16 { 1 << UInt16(irq) }

    @Test("every line gives its vector and is in service until its EOI", arguments: [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    func vectors(irq: Int) throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(irq))
        #expect(bench.chip.intr)
        #expect(bench.chip.acknowledge() == UInt8(irq < 8 ? 0x08 + irq : 0x70 + irq - 8))
        #expect(!bench.chip.intr)
        bench.write(irq < 8 ? 0x20 : 0xA0, 0x0B)
        #expect(bench.read(irq < 8 ? 0x20 : 0xA0) == 1 << UInt8(irq & 7))
        if irq >= 8 { bench.write(0xA0, 0x20) }
        bench.write(0x20, 0x20)
        #expect(bench.chip.master.isr == 0)
        #expect(bench.chip.slave.isr == 0)
        #expect(!bench.chip.intr, "an edge counts once")
        bench.chip.setLines(0)
        bench.chip.setLines(Self.bit(irq))
        #expect(bench.chip.intr)
    }

    @Test("nothing interrupts before initialisation")
    func uninitialised() throws {
        var bench = try ChipBench(PIC())
        bench.write(0x21, 0)
        bench.chip.setLines(0xFFFF)
        #expect(!bench.chip.intr)
    }

    @Test("a masked line waits in the IRR and comes when unmasked")
    func mask() throws {
        var bench = try Self.ready()
        bench.write(0x21, 0x10)
        bench.chip.setLines(Self.bit(4))
        #expect(!bench.chip.intr)
        bench.write(0x20, 0x0A)
        #expect(bench.read(0x20) == 0x10)
        #expect(bench.read(0x21) == 0x10)
        bench.write(0x21, 0x00)
        #expect(bench.chip.acknowledge() == 0x0C)
    }

    @Test("the lower number wins and interrupts the higher one in service")
    func priority() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(5) | Self.bit(3))
        #expect(bench.chip.acknowledge() == 0x0B)
        #expect(!bench.chip.intr)
        bench.chip.setLines(Self.bit(5) | Self.bit(3) | Self.bit(1))
        #expect(bench.chip.acknowledge() == 0x09)
        bench.write(0x20, 0x20)  // ends IRQ1
        #expect(bench.chip.master.isr == 0x08)
        bench.write(0x20, 0x20)
        #expect(bench.chip.acknowledge() == 0x0D)
    }

    @Test("a line that goes away before INTA gives IRQ7 without an in-service bit")
    func spuriousMaster() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(3))
        bench.chip.setLines(0)
        #expect(!bench.chip.intr)
        #expect(bench.chip.acknowledge() == 0x0F)
        #expect(bench.chip.master.isr == 0)
    }

    @Test("a slave's request that goes away before INTA gives IRQ7: the master's IR2 went low with it")
    func spuriousSlave() throws {
        var bench = try Self.ready()
        bench.write(0x4D1, 0x02)  // IRQ9 level
        bench.chip.setLines(Self.bit(9))
        #expect(bench.chip.intr)
        // The guest polls it away at the slave.
        bench.write(0xA0, 0x0C)
        #expect(bench.read(0xA0) == 0x81)
        #expect(!bench.chip.intr)
        #expect(bench.chip.acknowledge() == 0x0F)
    }

    @Test("a level line interrupts again after EOI while it is high; an edge line does not")
    func levelTriggered() throws {
        var bench = try Self.ready()
        bench.write(0x4D1, 0x0C)
        #expect(bench.read(0x4D1) == 0x0C)
        bench.chip.setLines(Self.bit(10))
        #expect(bench.chip.acknowledge() == 0x72)
        bench.write(0xA0, 0x20)
        bench.write(0x20, 0x20)
        #expect(bench.chip.acknowledge() == 0x72)
        bench.write(0xA0, 0x20)
        bench.chip.setLines(0)
        bench.write(0x20, 0x20)
        #expect(!bench.chip.intr)
    }

    @Test("ELCR bits of IRQ0, 1, 2, 8 and 13 stay 0")
    func elcrReserved() throws {
        var bench = try Self.ready()
        bench.write(0x4D0, 0xFF)
        bench.write(0x4D1, 0xFF)
        #expect(bench.chip.elcr == 0xDEF8)
    }

    @Test("two lines of the slave come one after the other through one IR2")
    func slaveTwice() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(14) | Self.bit(12))
        #expect(bench.chip.acknowledge() == 0x74)
        bench.write(0xA0, 0x20)
        #expect(!bench.chip.intr, "IR2 is still in service at the master")
        bench.write(0x20, 0x20)
        #expect(bench.chip.acknowledge() == 0x76)
    }

    @Test("the master's IR2 blocks the slave's higher request unless fully nested specially", arguments: [false, true])
    func specialFullyNested(special: Bool) throws {
        var bench = try Self.ready(icw4: special ? 0x11 : 0x01)
        bench.chip.setLines(Self.bit(12))
        #expect(bench.chip.acknowledge() == 0x74)
        bench.chip.setLines(Self.bit(12) | Self.bit(9))
        #expect(bench.chip.intr == special)
        if special { #expect(bench.chip.acknowledge() == 0x71) }
    }

    @Test("specific EOI ends the level it names")
    func specificEOI() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(5))
        _ = bench.chip.acknowledge()
        bench.chip.setLines(Self.bit(5) | Self.bit(1))
        _ = bench.chip.acknowledge()
        bench.write(0x20, 0x65)
        #expect(bench.chip.master.isr == 0x02)
    }

    @Test("rotation makes the ended level the lowest")
    func rotate() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(3))
        _ = bench.chip.acknowledge()
        bench.write(0x20, 0xA0)
        #expect(bench.chip.master.lowest == 3)
        bench.chip.setLines(0)
        bench.chip.setLines(Self.bit(3) | Self.bit(4))
        #expect(bench.chip.acknowledge() == 0x0C)
        bench.write(0x20, 0xE4)  // specific EOI of 4 and rotate
        #expect(bench.chip.master.lowest == 4)
        #expect(bench.chip.acknowledge() == 0x0B)
        bench.write(0x20, 0xC7)  // set priority back
        #expect(bench.chip.master.lowest == 7)
        #expect(bench.chip.master.isr == 0x08)
    }

    @Test("automatic EOI leaves nothing in service, and rotates when asked")
    func automaticEOI() throws {
        var bench = try Self.ready(icw4: 0x03)
        bench.chip.setLines(Self.bit(6))
        #expect(bench.chip.acknowledge() == 0x0E)
        #expect(bench.chip.master.isr == 0)
        bench.write(0x20, 0x80)
        bench.chip.setLines(0)
        bench.chip.setLines(Self.bit(1))
        #expect(bench.chip.acknowledge() == 0x09)
        #expect(bench.chip.master.lowest == 1)
        bench.write(0x20, 0x00)
        bench.chip.setLines(Self.bit(4))
        _ = bench.chip.acknowledge()
        #expect(bench.chip.master.lowest == 1)
    }

    @Test("special mask mode lets lower levels in past a masked one in service")
    func specialMask() throws {
        var bench = try Self.ready()
        bench.chip.setLines(Self.bit(1))
        _ = bench.chip.acknowledge()
        bench.chip.setLines(Self.bit(1) | Self.bit(6))
        #expect(!bench.chip.intr)
        bench.write(0x21, 0x02)
        #expect(!bench.chip.intr)
        bench.write(0x20, 0x68)
        #expect(bench.chip.intr)
        #expect(bench.chip.acknowledge() == 0x0E)
        bench.write(0x20, 0x20)  // skips the masked IR1
        #expect(bench.chip.master.isr == 0x02)
        bench.write(0x20, 0x48)
        #expect(!bench.chip.intr)
    }

    @Test("a poll read takes the interrupt like INTA and says which")
    func poll() throws {
        var bench = try Self.ready()
        bench.write(0x20, 0x0C)
        #expect(bench.read(0x20) & 0x80 == 0)
        bench.chip.setLines(Self.bit(4))
        bench.write(0x20, 0x0C)
        #expect(bench.read(0x20) == 0x84)
        #expect(bench.chip.master.isr == 0x10)
        #expect(bench.read(0x20) == 0x00, "the next read is the IRR again")
    }

    @Test("ICW1 forgets edges, mask and service")
    func icw1() throws {
        var bench = try Self.ready()
        bench.write(0x21, 0xFF)
        bench.chip.setLines(Self.bit(4))
        bench.write(0x20, 0x11)
        bench.write(0x21, 0x20)
        bench.write(0x21, 0x04)
        bench.write(0x21, 0x01)
        #expect(bench.read(0x21) == 0)
        #expect(!bench.chip.intr, "a line that was high before needs a new edge")
        bench.chip.setLines(0)
        bench.chip.setLines(Self.bit(4))
        #expect(bench.chip.acknowledge() == 0x24)
    }

    @Test("a single chip without ICW4 takes two initialisation words")
    func shortInitialisation() throws {
        var bench = try ChipBench(PIC())
        bench.write(0x20, 0x12)
        bench.write(0x21, 0x40)
        bench.write(0x21, 0xFE)
        #expect(bench.read(0x21) == 0xFE)
    }

    @Test("survives random accesses and lines") func random() throws {
        try fuzz(PIC(), seed: 1) { bench, random in
            bench.chip.setLines(UInt16(truncatingIfNeeded: random.next()))
            if random.below(4) == 0 { _ = bench.chip.acknowledge() }
            let master = bench.chip.master
            #expect((0...7).contains(master.lowest))
        }
    }
}
