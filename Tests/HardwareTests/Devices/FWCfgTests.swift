import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("fw_cfg · firmware configuration") struct FWCfgTests {
    private func make(_ files: [String: [UInt8]] = ["b/two": [2, 2], "a/one": [1]]) -> FWCfg {
        FWCfg(.init(ramBytes: 128 << 20, processors: 1, e820: [(0, 128 << 20, 1)]), files: files)
    }
    private func read(_ device: inout FWCfg, _ key: UInt32, _ count: Int, _ wires: inout Wires) -> [UInt8] {
        device.writeWide(0x510, size: 2, key, &wires)
        return (0..<count).map { _ in device.read(0x511, &wires) }
    }
    private func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }

    @Test("items by port: signature, identity, sizes, and zeros past the end") func ports() throws {
        var device = make()
        var wires = try makeWires()
        #expect(read(&device, 0, 6, &wires) == Array("QEMU".utf8) + [0, 0])
        #expect(read(&device, 1, 4, &wires) == [3, 0, 0, 0])
        #expect(read(&device, 3, 8, &wires) == [0, 0, 0, 8, 0, 0, 0, 0])
        #expect(read(&device, 5, 2, &wires) == [1, 0])
        #expect(read(&device, 0x8002, 4, &wires) == [1, 0, 0, 0])
        #expect(read(&device, 0x7777, 2, &wires) == [0, 0])
        device.writeWide(0x510, size: 2, 0, &wires)
        device.write(0x510, 1, &wires)
        #expect(device.readWide(0x511, size: 1, &wires) == 0x51, "a byte does not select")
    }

    @Test("the directory is sorted by name and its selectors lead to the files") func directory() throws {
        var device = make()
        var wires = try makeWires()
        let bytes = read(&device, 0x19, 4 + 3 * 64, &wires)
        #expect(Array(bytes[0..<4]) == [0, 0, 0, 3])
        let names = (0..<3).map { n in String(decoding: bytes[(12 + 64 * n)..<(68 + 64 * n)].prefix { $0 != 0 }, as: UTF8.self) }
        #expect(names == ["a/one", "b/two", "etc/e820"])
        #expect(Array(bytes[4..<12]) == [0, 0, 0, 1, 0, 0x20, 0, 0])
        #expect(read(&device, 0x21, 2, &wires) == [2, 2])
        #expect(device.file("etc/e820")?.count == 20)
        #expect(device.file("nothing") == nil)
        #expect(make(["x": [], String(repeating: "y", count: 56): [1]]).items.count == make(["x": []]).items.count)
    }

    @Test("DMA selects and reads into guest memory; the descriptor's control word becomes 0") func dma() throws {
        var device = make()
        var wires = try makeWires()
        wires.memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        wires.memory.write(0x2000, [UInt8](repeating: 0xEE, count: 8))
        wires.memory.write(0x1000, big(0x0000_000A) + big(6) + big(0) + big(0x2000))
        #expect(device.readWide(0x514, size: 4, &wires) == 0x554D_4551)
        for (i, byte) in (big(0) + big(0x1000)).enumerated() { device.write(0x514 + Port(i), byte, &wires) }
        #expect(wires.memory.read(0x2000, count: 8) == Array("QEMU".utf8) + [0, 0, 0xEE, 0xEE])
        #expect(wires.memory.read(0x1000, count: 4) == [0, 0, 0, 0])

        wires.memory.write(0x1000, big(0x0021_000C) + big(1) + big(0) + big(0))  // select and skip
        device.writeWide(0x518, size: 4, UInt32(0x1000).byteSwapped, &wires)
        #expect(device.read(0x511, &wires) == 2)
        #expect(device.read(0x511, &wires) == 0)

        wires.memory.write(0x1000, big(0x10) + big(1) + big(0) + big(0x2000))
        device.writeWide(0x518, size: 4, UInt32(0x1000).byteSwapped, &wires)
        #expect(wires.memory.read(0x1000, count: 4) == [0, 0, 0, 1], "writes are refused")
    }

    @Test("the boot ROM is a whole option ROM with its expansion header") func bootROM() {
        let rom = BootROM.image
        #expect(rom.count == 512 && rom[2] == 1)
        #expect(rom.reduce(0, &+) == 0)
        let header = Int(rom[0x1A])
        #expect(Array(rom[header..<(header + 4)]) == Array("$PnP".utf8))
        #expect(rom[header..<(header + 32)].reduce(0, &+) == 0)
        #expect(rom[Int(rom[header + 0x1A])] == 0xBA)
    }
}
