import Testing

@testable import Hardware

@Suite("dma · Intel 8237A pair") struct DMATests {
    /// The cascade open, channel 2 set for a floppy read of 512 bytes to 0x012345.
    static func floppy(mode: UInt8 = 0x46, address: UInt16 = 0x2345, count: UInt16 = 511) throws -> ChipBench<DMA> {
        var bench = try ChipBench(DMA())
        bench.write(0xD6, 0xC0)
        bench.write(0xD4, 0x00)
        bench.write(0x0A, 0x06)
        bench.write(0x0C, 0)
        bench.write(0x04, UInt8(address & 0xFF))
        bench.write(0x04, UInt8(address >> 8))
        bench.write(0x05, UInt8(count & 0xFF))
        bench.write(0x05, UInt8(count >> 8))
        bench.write(0x81, 0x01)
        bench.write(0x0B, mode)
        bench.write(0x0A, 0x02)
        return bench
    }

    @Test("a programmed channel gives address, count and direction")
    func begin() throws {
        let bench = try Self.floppy()
        #expect(
            bench.chip.begin(channel: 2)
                == DMA.Transfer(address: 0x12345, count: 512, toMemory: true, verify: false, decrement: false, unit: 1, terminal: true))
        #expect(try Self.floppy(mode: 0x4A).chip.begin(channel: 2)?.toMemory == false)
        #expect(try Self.floppy(mode: 0x42).chip.begin(channel: 2)?.verify == true)
        #expect(try Self.floppy(mode: 0xC6).chip.begin(channel: 2) == nil, "cascade")
        #expect(try Self.floppy(mode: 0x4E).chip.begin(channel: 2) == nil, "illegal")
    }

    @Test("counting on, and at terminal count the channel masks itself and says so once")
    func terminalCount() throws {
        var bench = try Self.floppy()
        bench.chip.finish(channel: 2, moved: 500)
        #expect(bench.chip.begin(channel: 2)?.address == 0x12345 + 500)
        #expect(bench.chip.begin(channel: 2)?.count == 12)
        #expect(bench.read(0x08) & 0x0F == 0)
        bench.chip.finish(channel: 2, moved: 12)
        #expect(bench.chip.begin(channel: 2) == nil)
        #expect(bench.read(0x08) & 0x0F == 0x04)
        #expect(bench.read(0x08) & 0x0F == 0)
        bench.write(0x0C, 0)
        #expect(bench.read(0x05) == 0xFF)
        #expect(bench.read(0x05) == 0xFF)
        #expect(bench.read(0x04) == 0x45)
        #expect(bench.read(0x04) == 0x25)
    }

    @Test("autoinitialise starts again from the base")
    func autoinitialise() throws {
        var bench = try Self.floppy(mode: 0x56)
        bench.chip.finish(channel: 2, moved: 512)
        #expect(bench.chip.begin(channel: 2)?.address == 0x12345)
        #expect(bench.chip.begin(channel: 2)?.count == 512)
        #expect(bench.read(0x08) & 0x04 != 0)
    }

    @Test("decrement counts the address down")
    func decrement() throws {
        var bench = try Self.floppy(mode: 0x66)
        #expect(bench.chip.begin(channel: 2)?.decrement == true)
        bench.chip.finish(channel: 2, moved: 5)
        #expect(bench.chip.begin(channel: 2)?.address == 0x12340)
    }

    @Test("a run ends at the 64 KiB page and goes on at its start")
    func pageWrap() throws {
        var bench = try Self.floppy(address: 0xFFF0, count: 0x1F)
        #expect(bench.chip.begin(channel: 2)?.count == 16)
        #expect(bench.chip.begin(channel: 2)?.terminal == false)
        bench.chip.finish(channel: 2, moved: 16)
        #expect(bench.chip.begin(channel: 2)?.address == 0x10000)
        #expect(bench.chip.begin(channel: 2)?.terminal == true)
    }

    @Test("masked, disabled or without its cascade, a channel stands still")
    func masks() throws {
        var bench = try Self.floppy()
        bench.write(0x0A, 0x06)
        #expect(bench.chip.begin(channel: 2) == nil)
        bench.write(0x0E, 0)
        #expect(bench.chip.begin(channel: 2) != nil)
        bench.write(0x08, 0x04)
        #expect(bench.chip.begin(channel: 2) == nil)
        bench.write(0x08, 0x00)
        bench.write(0xD4, 0x04)
        #expect(bench.chip.begin(channel: 2) == nil)
        bench.write(0xD4, 0x00)
        bench.write(0x0F, 0x0B)
        #expect(bench.chip.begin(channel: 2) != nil)
        #expect(bench.read(0x0F) == 0xFB)
        bench.write(0x0D, 0)
        #expect(bench.chip.begin(channel: 2) == nil, "master clear masks all")
    }

    @Test("16-bit channels count words within 128 KiB")
    func words() throws {
        var bench = try ChipBench(DMA())
        bench.write(0xD8, 0)
        bench.write(0xC4, 0x00)  // channel 5
        bench.write(0xC4, 0x80)
        bench.write(0xC6, 0x0F)
        bench.write(0xC6, 0x00)
        bench.write(0x8B, 0x13)
        bench.write(0xD6, 0x45)
        bench.write(0xD4, 0x01)
        #expect(
            bench.chip.begin(channel: 5)
                == DMA.Transfer(address: 0x130000, count: 32, toMemory: true, verify: false, decrement: false, unit: 2, terminal: true))
        bench.chip.finish(channel: 5, moved: 32)
        #expect(bench.read(0xD0) & 0x0F == 0x02)
    }

    @Test("requests show in the status register")
    func requests() throws {
        var bench = try ChipBench(DMA())
        bench.chip.setRequests(0b0100_0100)
        bench.write(0x09, 0x05)
        #expect(bench.read(0x08) == 0b0110_0000)
        #expect(bench.read(0xD0) == 0b0100_0000)
    }

    @Test("page registers read back; port 0x80 holds the POST code")
    func pages() throws {
        var bench = try ChipBench(DMA())
        for port in UInt16(0x80)...0x8F { bench.write(port, UInt8(port)) }
        for port in UInt16(0x80)...0x8F { #expect(bench.read(port) == UInt8(port)) }
        #expect(bench.chip.postCode == 0x80)
    }

    @Test("survives random accesses and transfers") func random() throws {
        try fuzz(DMA(), seed: 3) { bench, random in
            let channel = random.below(12) - 2
            guard let transfer = bench.chip.begin(channel: channel) else { return }
            #expect(transfer.count > 0 && transfer.address < 1 << 24)
            // The whole run lies in its page, in whichever direction.
            let last = transfer.decrement
                ? Int64(transfer.address) - Int64(transfer.count - transfer.unit) : Int64(transfer.address) + Int64(transfer.count - 1)
            #expect(last >= 0 && last < 1 << 24)
            bench.chip.finish(channel: channel, moved: random.below(transfer.count * 2 + 2) - 1)
        }
    }
}
