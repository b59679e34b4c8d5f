import Testing

@testable import Hardware

@Suite("small chips · A20, reset, debug ports, printer") struct SmallChipTests {
    @Test("port 0x92 gates A20 on every write and resets on a rising bit 0")
    func portA() throws {
        var bench = try ChipBench(A20Gate())
        #expect(bench.read(0x92) & 2 != 0)
        bench.write(0x92, 0x00)
        bench.write(0x92, 0x02)
        #expect(bench.requests == [.setA20(false), .setA20(true)])
        bench.write(0x92, 0x03)
        bench.write(0x92, 0x03)
        #expect(bench.requests.filter { $0 == .reset(cpuOnly: true) }.count == 1)
        bench.call { chip, _ in chip.a20Changed(false) }
        #expect(bench.read(0x92) & 2 == 0)
        try fuzz(A20Gate(), seed: 6)
    }

    @Test("port 0xCF9 resets when bit 2 rises, hard or soft by bit 1")
    func resetControl() throws {
        var bench = try ChipBench(ResetPort())
        bench.write(0xCF9, 0x02)
        #expect(bench.requests.isEmpty)
        bench.write(0xCF9, 0x06)
        bench.write(0xCF9, 0x06)
        #expect(bench.requests == [.reset(cpuOnly: false)])
        #expect(bench.read(0xCF9) == 0x06)
        bench.write(0xCF9, 0x00)
        bench.write(0xCF9, 0x04)
        #expect(bench.requests.last == .reset(cpuOnly: true))
        try fuzz(ResetPort(), seed: 7)
    }

    @Test("debug consoles answer E9 and pass bytes on in order")
    func debugConsole() throws {
        var bench = try ChipBench(DebugPort(consoles: [0x402, 0xE9, 0xE9]))
        #expect(bench.chip.ports == [0xE9...0xE9, 0x402...0x402])
        #expect(bench.read(0x402) == 0xE9)
        bench.write(0x402, 0x41)
        bench.write(0xE9, 0x42)
        #expect(bench.requests == [.emit(.debugConsole(0x402), [0x41]), .emit(.debugConsole(0xE9), [0x42])])
        try fuzz(bench.chip, seed: 8)
    }

    @Test("debug exit gives (V << 1) | 1 in eight bits, once for a wide write", arguments: [(0x00, 1), (0x10, 33), (0x80, 1), (0xFF, 255)])
    func debugExit(value: UInt32, status: UInt8) throws {
        var bench = try ChipBench(DebugExit(port: 0xF4))
        bench.call { $0.writeWide(0xF4, size: 4, value, &$1) }
        #expect(bench.requests == [.debugExit(status)])
        try fuzz(DebugExit(port: 0xF4), seed: 9)
    }

    @Test("a strobe prints the latch; the printer is busy and then interrupts once")
    func printer() throws {
        var bench = try ChipBench(Parallel())
        #expect(bench.read(0x379) & 0xF8 == 0xD8)
        bench.write(0x378, 0x41)
        #expect(bench.read(0x378) == 0x41)
        bench.write(0x37A, 0x1C)
        bench.write(0x37A, 0x1D)
        bench.write(0x37A, 0x1C)
        #expect(bench.requests == [.emit(.parallel, [0x41])])
        #expect(bench.read(0x379) & 0x80 == 0)
        #expect(!bench.line(7))
        bench.run(for: 10_000)
        #expect(bench.line(7))
        #expect(bench.read(0x379) & 0x84 == 0x80)
        #expect(!bench.line(7))
        #expect(bench.read(0x37A) == 0xDC)
        bench.write(0x37A, 0x0D)
        bench.run(for: 10_000)
        #expect(bench.rises[7] == 1, "interrupts are off")
        try fuzz(Parallel(), seed: 10)
    }
}
