import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("virtio · registers over PCI") struct VirtioPCITests {
    private func makeRig() throws -> VirtioRig<VirtioBlock> {
        let rig = try VirtioRig(VirtioBlock(slot: 8, bay: .virtio0, number: 1))
        rig.media[.virtio0] = MemoryMedium(sectors: 100)
        return rig
    }

    /// Features by the common configuration.
    private func offered(_ rig: VirtioRig<VirtioBlock>) -> UInt64 {
        rig.store(0, 4, 0)
        let low = rig.load(4, 4)
        rig.store(0, 4, 1)
        return low | rig.load(4, 4) << 32
    }

    // MARK: Configuration space

    static let kinds: [(String, UInt32, UInt32)] = [("blk", 0x1001, 2), ("console", 0x1003, 3), ("rng", 0x1005, 4), ("balloon", 0x1002, 5)]

    @Test("a transitional device: vendor, device, revision 0, subsystem is the virtio ID, INTA#", arguments: kinds)
    func identity(name: String, pci: UInt32, id: UInt32) throws {
        func check<Chip: VirtioDevice>(_ chip: Chip) throws {
            let rig = try VirtioRig(chip)
            #expect(rig.config(0x00, 4) == pci << 16 | 0x1AF4)
            #expect(rig.config(0x08, 1) == 0)
            #expect(rig.config(0x2C, 4) == id << 16 | 0x1AF4)
            #expect(rig.config(0x3D, 1) == 1)
            #expect(rig.chip.pciAddress?.device == 9)
        }
        switch name {
        case "blk": try check(VirtioBlock(slot: 9, bay: .virtio0, number: 1))
        case "console": try check(VirtioConsole(slot: 9))
        case "rng": try check(VirtioRNG(slot: 9, seed: 1))
        default: try check(VirtioBalloon(slot: 9))
        }
    }

    @Test("the capability list leads to all five structures and ends") func capabilities() throws {
        let rig = try makeRig()
        #expect(rig.config(0x06, 2) & 0x10 != 0)
        var at = Int(rig.config(0x34, 1)), types: [UInt32] = []
        while at != 0, types.count < 10 {
            #expect(rig.config(at, 1) == 9)
            let type = rig.config(at + 3, 1), bytes = rig.config(at + 2, 1)
            #expect(bytes == (type == 2 || type == 5 ? 20 : 16))
            if type != 5 {
                #expect(rig.config(at + 4, 1) == 4)
                #expect(rig.config(at + 8, 4) + rig.config(at + 12, 4) <= 0x4000)
            }
            types.append(type)
            at = Int(rig.config(at + 1, 1))
        }
        #expect(types.sorted() == [1, 2, 3, 4, 5])
    }

    @Test("base addresses show their size, and decode only where command register and address say so") func decoding() throws {
        let rig = try makeRig()
        #expect(rig.chip.ports == [0xC000...0xC07F])
        #expect(rig.chip.windows == [0xFEB0_0000...0xFEB0_3FFF])
        for offset in [0x10, 0x20, 0x14, 0x30] { rig.config(offset, 4, .max) }
        #expect(rig.config(0x10, 4) == 0xFFFF_FF81)
        #expect(rig.config(0x20, 4) == 0xFFFF_C000)
        #expect(rig.config(0x14, 4) == 0)
        #expect(rig.config(0x30, 4) == 0)
        #expect(rig.chip.ports.isEmpty, "an address above the port space")
        #expect(rig.chip.windows == [0xFFFF_C000...0xFFFF_FFFF])
        rig.config(0x04, 2, 0)
        #expect(rig.chip.windows.isEmpty)
        rig.config(0x04, 2, 7)
        rig.config(0x10, 4, 0)
        rig.config(0x20, 4, 0)
        #expect(rig.chip.ports.isEmpty && rig.chip.windows.isEmpty)
    }

    @Test("read-only configuration stays as it is") func readOnly() throws {
        let rig = try makeRig()
        let before = (0..<64).map { rig.config($0 * 4, 4) }
        for offset in stride(from: 0, to: 256, by: 4) where ![0x04, 0x10, 0x20, 0x3C, 0x88, 0x8C, 0x90, 0x94].contains(offset) {
            rig.config(offset, 4, .max)
            #expect(rig.config(offset, 4) == before[offset / 4])
        }
    }

    // MARK: Negotiation

    @Test("features come in two halves; further ones are zero") func features() throws {
        let rig = try makeRig()
        #expect(offered(rig) & VirtioPCI.Feature.transport == VirtioPCI.Feature.transport)
        for select in [UInt64(2), 3, 0xFFFF_FFFF] {
            rig.store(0, 4, select)
            #expect(rig.load(4, 4) == 0)
            rig.store(8, 4, select)
            rig.store(12, 4, 0xFFFF_FFFF)
            #expect(rig.load(12, 4) == 0)
        }
        #expect(rig.chip.transport.driverFeatures == 0)
    }

    @Test("FEATURES_OK needs VERSION_1 and nothing that was not offered; afterwards features are fixed") func featuresOK() throws {
        let rig = try makeRig()
        func accept(_ features: UInt64) -> UInt8 {
            rig.store(0x14, 1, 0)
            rig.store(0x14, 1, 3)
            for half in 0..<2 {
                rig.store(8, 4, UInt64(half))
                rig.store(12, 4, features >> UInt64(32 * half) & 0xFFFF_FFFF)
            }
            rig.store(0x14, 1, 11)
            return rig.status
        }
        #expect(accept(0) == 3)
        #expect(accept(offered(rig) & ~VirtioPCI.Feature.version1) == 3)
        #expect(accept(offered(rig) | 1 << 40) == 3)
        #expect(accept(offered(rig) | 1 << 11) == 3)
        #expect(accept(VirtioPCI.Feature.version1) == 11)
        rig.store(8, 4, 0)
        rig.store(12, 4, 0xFFFF_FFFF)
        #expect(rig.chip.transport.driverFeatures == VirtioPCI.Feature.version1)
    }

    @Test("writing 0 to the status resets the device but not configuration space") func reset() throws {
        let rig = try makeRig()
        rig.start()
        rig.offer(0)
        rig.store(0x14, 1, 0)
        #expect(rig.status == 0)
        #expect(rig.load(0x1C, 2) == 0)
        #expect(rig.load(0x20, 8) == 0)
        #expect(rig.chip.transport.driverFeatures == 0)
        #expect(rig.chip.ports == [0xC000...0xC07F])
        rig.chip.reset()
        #expect(rig.chip.ports.isEmpty)
    }

    // MARK: Queues

    @Test("queue registers show the selected queue; there is none beyond the last") func queueRegisters() throws {
        let rig = try makeRig()
        #expect(rig.load(0x12, 2) == 1)
        #expect(rig.load(0x18, 2) == 256)
        rig.store(0x18, 2, 32)
        rig.store(0x20, 4, 0x1234_5670)
        rig.store(0x24, 4, 0x9)
        rig.store(0x28, 8, 0x1_0000_0002)
        rig.store(0x30, 8, .max)
        #expect(rig.load(0x18, 2) == 32)
        #expect(rig.load(0x20, 8) == 0x9_1234_5670)
        #expect(rig.load(0x2C, 4) == 1)
        #expect(rig.load(0x30, 8) == .max)
        rig.store(0x16, 2, 1)
        for (offset, size) in [(0x18, 2), (0x1C, 2), (0x20, 8), (0x28, 8), (0x30, 8)] {
            rig.store(offset, size, .max)
            #expect(rig.load(offset, size) == 0)
        }
        rig.store(0x16, 2, 0xFFFF)
        #expect(rig.load(0x18, 2) == 0)
        rig.store(0x16, 2, 0)
        #expect(rig.load(0x18, 2) == 32)
    }

    @Test("byte writes to a register change only that byte; reads of any width agree") func widths() throws {
        let rig = try makeRig()
        rig.store(0x20, 4, 0x1122_3344)
        rig.store(0x22, 1, 0xAA)
        #expect(rig.load(0x20, 4) == 0x11AA_3344)
        #expect((0..<4).map { rig.load(0x20 + $0, 1) } == [0x44, 0x33, 0xAA, 0x11])
        #expect(rig.load(0x21, 2) == 0xAA33)
        rig.store(0x10, 8, 0)  // read-only fields and the status between them: a reset
        #expect(rig.status == 0)
        #expect(rig.load(0x10, 2) == 0xFFFF)
    }

    @Test("notices before DRIVER_OK, for queues that are not there, and after a fault do nothing") func notices() throws {
        let rig = try makeRig()
        rig.start()
        rig.store(0x14, 1, 11)
        rig.memory.store(0x10_0000, UInt64(4))
        rig.chain(0, [.init(0x10_0000, 16), .init(0x20_0000, 1, writable: true)])
        rig.offer(0)
        rig.notify(0)
        #expect(rig.used(0) == nil)
        for queue in [1, 2, 31, 1023] { rig.notify(queue) }
        rig.store(0x14, 1, 15)
        #expect(rig.used(0)?.bytes == 1, "buffers offered before DRIVER_OK are found at DRIVER_OK")
        rig.memory.store(rig.driver(0) + 2, UInt16(999))
        rig.notify(0)
        #expect(rig.needsReset)
        #expect(rig.takeISR() & 2 != 0, "a configuration interrupt tells the driver")
        rig.memory.store(rig.driver(0) + 2, UInt16(2))
        rig.notify(0)
        #expect(rig.used(0) == nil)
        rig.store(0x14, 1, 15)
        #expect(rig.needsReset, "only a reset helps")
        rig.start()
        #expect(!rig.needsReset)
        #expect(rig.carryOut(0, [.init(0x10_0000, 16), .init(0x20_0000, 1, writable: true)]) == 1)
    }

    // MARK: Interrupts

    @Test("a used buffer raises INTA# on the line of its slot, reading ISR lowers it", arguments: [4, 5, 6, 7, 8])
    func interrupt(slot: Int) throws {
        let rig = try VirtioRig(VirtioRNG(slot: slot, seed: 1))
        rig.start(without: VirtioPCI.Feature.eventIndex)
        #expect(rig.carryOut(0, [.init(0x10_0000, 8, writable: true)]) == 8)
        #expect(rig.lines == 1 << UInt32(16 + (slot - 1) % 4))
        #expect(rig.config(0x06, 2) & 8 != 0)
        #expect(rig.takeISR() == 1)
        #expect(rig.lines == 0)
        #expect(rig.takeISR() == 0)
        #expect(rig.config(0x06, 2) & 8 == 0)
    }

    @Test("interrupt disable in the command register masks the pin, not the state") func disable() throws {
        let rig = try VirtioRig(VirtioRNG(slot: 5, seed: 1))
        rig.start(without: VirtioPCI.Feature.eventIndex)
        rig.config(0x04, 2, 0x407)
        _ = rig.carryOut(0, [.init(0x10_0000, 8, writable: true)])
        #expect(!rig.interrupt)
        #expect(rig.config(0x06, 2) & 8 != 0)
        rig.config(0x04, 2, 7)
        #expect(rig.interrupt)
        #expect(rig.input(19, 1) == 1)
        #expect(!rig.interrupt)
    }

    // MARK: The window in configuration space

    @Test("pci_cfg_data reads and writes BAR4, side effects included") func window() throws {
        let rig = try makeRig()
        func aim(_ offset: UInt32, _ size: UInt32, bar: UInt32 = 4) {
            rig.config(0x88, 1, bar)
            rig.config(0x8C, 4, offset)
            rig.config(0x90, 4, size)
        }
        aim(0x18, 2)
        #expect(rig.config(0x94, 2) == 256)
        rig.config(0x94, 2, 16)
        #expect(rig.load(0x18, 2) == 16)
        aim(0x2000, 4)
        #expect(rig.config(0x94, 4) == 100, "capacity")
        rig.start()
        rig.memory.store(0x10_0000, UInt64(4))
        rig.chain(0, [.init(0x10_0000, 16), .init(0x20_0000, 1, writable: true)])
        rig.offer(0)
        aim(0x3000, 2)
        rig.config(0x94, 2, 0)
        #expect(rig.used(0)?.bytes == 1)
        aim(0x1000, 1)
        #expect(rig.interrupt)
        #expect(rig.config(0x94, 1) == 1)
        #expect(!rig.interrupt)
        // Nothing happens outside the window, for another BAR, for odd sizes and offsets.
        for (offset, size, bar) in [(0x4000, 4, 4), (0xFFFF_FFFC, 4, 4), (0x18, 3, 4), (0x18, 0, 4), (0x19, 2, 4), (0x18, 2, 0), (0x18, 2, 255)]
            as [(UInt32, UInt32, UInt32)]
        {
            aim(offset, size, bar: bar)
            rig.config(0x94, 4, 0x77)
            _ = rig.config(0x94, 4)
        }
        #expect(rig.load(0x18, 2) == 256)
    }

    // MARK: The legacy face

    @Test("a legacy driver finds features, queue and configuration at its ports, and gets its requests done") func legacy() throws {
        let rig = try makeRig()
        #expect(rig.input(0, 4) == UInt32(truncatingIfNeeded: offered(rig)))
        rig.output(18, 1, 3)
        rig.output(4, 4, rig.input(0, 4) | 1 << 31)
        #expect(rig.input(4, 4) == rig.input(0, 4), "bits that were not offered are dropped")
        rig.output(14, 2, 0)
        #expect(rig.input(12, 2) == 256)
        rig.output(8, 4, 0x100)
        #expect(rig.input(8, 4) == 0x100)
        rig.output(18, 1, 7)
        // 256 descriptors, the available ring behind them, the used ring at the next page.
        let (table, available, used) = (Physical(0x10_0000), Physical(0x10_1000), Physical(0x10_2000))
        rig.descriptor(table, 0, 0x20_0000, 16, flags: 1, next: 1)
        rig.descriptor(table, 1, 0x20_1000, 513, flags: 2)
        rig.memory.store(0x20_0000 + 8, UInt64(7))
        rig.memory.store(available + 2, UInt16(1))
        rig.output(16, 2, 0)
        #expect(rig.memory.load(used + 2, as: UInt16.self) == 1)
        #expect(rig.memory.load(used + 8, as: UInt32.self) == 513)
        let disk = try #require(rig.media[.virtio0] as? MemoryMedium)
        #expect(rig.memory.read(0x20_1000, count: 512) == disk.sector(7))
        #expect(rig.interrupt)
        #expect(rig.input(18, 2) == 0x0107, "status and ISR in one read")
        #expect(!rig.interrupt)
        #expect((0..<8).map { rig.input(20 + $0, 1) } == [100, 0, 0, 0, 0, 0, 0, 0])
        rig.output(18, 1, 0)
        #expect(rig.input(8, 4) == 0)
    }

    @Test("page 0 takes a legacy queue away") func legacyPageZero() throws {
        let rig = try makeRig()
        rig.output(8, 4, 0x100)
        #expect(rig.chip.transport.queues[0].enabled)
        rig.output(8, 4, 0)
        #expect(!rig.chip.transport.queues[0].enabled)
        rig.output(8, 4, .max)
        rig.output(18, 1, 7)
        rig.output(16, 2, 0)
        #expect(rig.input(18, 1) & 64 != 0, "rings outside memory")
    }

    // MARK: Anything at all

    @Test("random accesses never trap; a restored device goes on like the original", arguments: [1, 2, 3, 4])
    func random(seed: UInt64) throws {
        func run<Chip: VirtioDevice>(_ chip: Chip) throws {
            let rig = try VirtioRig(chip)
            rig.media[.virtio0] = MemoryMedium(sectors: 64)
            var random = ChipRandom(seed &* 0x1234_5679)
            for step in 0..<60_000 {
                let value = random.below(3) == 0 ? random.next() : UInt64(random.below(64))
                let size = [1, 2, 4, 8][random.below(4)]
                switch random.below(12) {
                case 0: rig.config(random.below(256 - 4), min(size, 4), UInt32(truncatingIfNeeded: value))
                case 1: _ = rig.config(random.below(256 - 4), min(size, 4))
                case 2: rig.output(random.below(124), min(size, 4), UInt32(truncatingIfNeeded: value))
                case 3: _ = rig.input(random.below(124), min(size, 4))
                case 4: _ = rig.load(random.below(0x3FF8), size)
                case 5: rig.store(random.below(0x3FF8), size, value)
                case 6...7: rig.store(random.below(0x3C), size, value)
                case 8: rig.notify(random.below(4))
                case 9:
                    // Half-sensible rings, so that some get through.
                    let queue = random.below(3)
                    rig.descriptor(
                        rig.descriptors(queue), random.below(8), random.below(4) == 0 ? value : UInt64(random.below(4 << 20)),
                        UInt32(truncatingIfNeeded: random.below(9) == 0 ? random.next() : UInt64(random.below(2048))),
                        flags: UInt16(random.below(8)), next: UInt16(random.below(9)))
                    rig.memory.store(rig.driver(queue) + 4 + Physical(2 * random.below(8)), UInt16(random.below(9)))
                    rig.memory.store(rig.driver(queue) + 2, rig.memory.load(rig.driver(queue) + 2, as: UInt16.self) &+ UInt16(random.below(3)))
                case 10:
                    rig.now += random.next() >> 40
                    if let at = rig.chip.deadline, at <= rig.now {
                        rig.call { $0.fire(&$1) }
                        if let next = rig.chip.deadline { #expect(next > at) }
                    }
                default: if rig.needsReset || random.below(50) == 0 { rig.start(without: random.below(2) == 0 ? 0 : 1 << 29, size: 8) }
                }
                rig.requests.removeAll(keepingCapacity: true)
                if step % 10_000 == 0 { rig.chip = try roundTrip(rig.chip) }
            }
            try expectRoundTrip(rig.chip)
        }
        switch seed {
        case 1: try run(VirtioBlock(slot: 8, bay: .virtio0, number: 1))
        case 2: try run(VirtioConsole(slot: 4))
        case 3: try run(VirtioRNG(slot: 5, seed: 7))
        default: try run(VirtioBalloon(slot: 6))
        }
    }
}
