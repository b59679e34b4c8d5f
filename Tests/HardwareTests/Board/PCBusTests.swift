import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("board · buses") struct PCBusTests {
    @Test("a PCI scan finds the functions of an i440FX board and nothing else")
    func scan() throws {
        let bench = try Bench()
        var found: [String] = []
        for device in 0..<32 {
            for function in 0..<8 {
                let id = bench.config(device, function, 0)
                if id != 0xFFFF_FFFF { found.append("\(device).\(function) \(id.hex)") }
            }
        }
        #expect(found == ["0.0 12378086", "1.0 70008086", "1.1 70108086", "1.3 71138086", "2.0 11111234"])
        #expect(bench.config(0, 0, 0x2C) == 0x1100_1AF4)
        #expect(bench.config(1, 0, 0x0E, size: 1) == 0x80)
        #expect(bench.config(1, 3, 0x3D, size: 1) == 1)
    }

    @Test("virtio devices have slots of their own; their windows decode where the guest puts them, also over a reset")
    func virtio() throws {
        let bench = try Bench {
            $0.virtio.disks = 8
            $0.virtio.console = true
            $0.virtio.balloon = true
            $0.virtio.entropy = .seed(1)
        }
        let ids = (3..<17).map { bench.config($0, 0, 0) == 0xFFFF_FFFF ? 0 : bench.config($0, 0, 0) >> 16 }
        #expect(ids == [0, 0x1003, 0x1005, 0x1002, 0, 0x1001, 0x1001, 0x1001, 0x1001, 0x1001, 0x1001, 0x1001, 0x1001, 0])
        bench.setConfig(6, 0, 0x10, 0xD000)
        bench.setConfig(6, 0, 0x20, 0xFE00_0000)
        bench.setConfig(6, 0, 0x04, size: 2, 3)
        #expect(bench.pc.readPort(0xD00C, size: 2) == 128, "queue size by the legacy port")
        #expect(bench.pc.readMMIO(0xFE00_0012, size: 2) == 3, "three queues")
        // The window in configuration space has side effects: reading ISR clears it.
        bench.pc.setBalloon(mib: 1)
        #expect(bench.pc.readMMIO(0xFE00_2000, size: 4) == 256)
        bench.pc.writeMMIO(0xFE00_0014, size: 1, 4)
        bench.pc.setBalloon(mib: 2)
        #expect(bench.pc.lines == 1 << 17, "INTA# of slot 6 is PIRQB")
        bench.setConfig(6, 0, 0x88, size: 1, 4)
        bench.setConfig(6, 0, 0x8C, 0x1000)
        bench.setConfig(6, 0, 0x90, 1)
        #expect(bench.config(6, 0, 0x94, size: 1) == 2)
        #expect(bench.pc.lines == 0)
        #expect(bench.config(6, 0, 0x94, size: 1) == 0)
        bench.pc.reset()
        #expect(bench.pc.readPort(0xD00C, size: 2) == 0xFFFF)
        #expect(bench.pc.readMMIO(0xFE00_0012, size: 2) == 0xFFFF)
    }

    @Test("a guest that floods a console ends its slice") func flood() throws {
        let bench = try Bench { $0.virtio.console = true }
        bench.setConfig(4, 0, 0x10, 0xD000)
        bench.setConfig(4, 0, 0x04, size: 2, 3)
        for _ in 0..<PC.outputLimit { bench.pc.writePort(0xD01C, size: 1, 0x41) }
        #expect(bench.pc.run(instructions: 1000) == .sliceDone)
        #expect(bench.pc.retired == 0)
        #expect(bench.pc.drainOutput().map(\.1.count) == [PC.outputLimit])
        #expect(bench.pc.run(instructions: 1000) == .sliceDone)
        #expect(bench.pc.retired == 1000)
    }

    @Test("the configuration address latches doublewords only; CF9 belongs to the reset register")
    func latch() throws {
        let bench = try Bench()
        bench.selectConfig(1, 0, 0x60)
        bench.pc.writePort(0xCF8, size: 1, 0)
        bench.pc.writePort(0xCF8, size: 2, 0)
        #expect(bench.pc.readPort(0xCF8, size: 4) == 0x8000_0860)
        bench.out(0xCF9, 2)
        #expect(bench.input(0xCF9) == 2)
        #expect(bench.pc.readPort(0xCF8, size: 4) == 0x8000_0860)
        #expect(bench.pc.readPort(0xCFC, size: 4) == 0x8080_8080)
        #expect(bench.pc.readPort(0xCFD, size: 1) == 0x80)
        bench.pc.writePort(0xCF8, size: 4, 0x0000_0860)
        #expect(bench.pc.readPort(0xCFC, size: 4) == 0xFFFF_FFFF, "the enable bit is clear")
        bench.pc.writePort(0xCF8, size: 4, 0x8001_0860)
        #expect(bench.pc.readPort(0xCFC, size: 2) == 0xFFFF, "there is no bus 1")
    }

    @Test("ports that nobody decodes float high in every size") func floating() throws {
        let bench = try Bench()
        #expect(bench.pc.readPort(0x2E, size: 1) == 0xFF)
        #expect(bench.pc.readPort(0x279, size: 2) == 0xFFFF)
        #expect(bench.pc.readPort(0xFFFE, size: 4) & 0xFFFF == 0xFFFF)
        #expect(bench.pc.readMMIO(0xFED0_0000, size: 8) == .max)
        #expect(bench.pc.readMMIO(0xFED0_0000, size: 2) == 0xFFFF)
    }

    @Test("two chips on one port are refused at power-on, by name")
    func overlap() throws {
        #expect(throws: BoardError.portsOverlap(0x3F8, "uart", "debugConsole")) { try Bench { $0.debugConsolePorts = [0x3F8] } }
        let error = BoardError.portsOverlap(0x3F8, "uart", "debugConsole")
        #expect(error.sentence == "I/O port 0x03F8 is claimed twice, by uart and by debugConsole.")
    }

    @Test("settings that cannot be built are refused") func refused() {
        #expect(throws: BoardError.biosSize(3)) { try Bench { $0.bios = [1, 2, 3] } }
        #expect(throws: BoardError.memorySize(0)) { try Bench { $0.ramMiB = 0 } }
        #expect(throws: BoardError.processors(9)) { try Bench { $0.cpus = 9 } }
        #expect(throws: BoardError.vgaBIOS(700)) { try Bench { $0.vgaBIOS = [UInt8](repeating: 0, count: 700) } }
        #expect(throws: BoardError.bootOrder("cc")) { try Bench { $0.bootOrder = "cc" } }
        #expect(throws: BoardError.bootOrder("x")) { try Bench { $0.bootOrder = "x" } }
        #expect(throws: BoardError.floppyType(9)) { try Bench { $0.floppyTypes = (9, 0) } }
        #expect(throws: BoardError.fileName("")) { try Bench { $0.fwCfgFiles = ["": []] } }
    }

    @Test("a base address moves port windows at once; where the guest makes them collide the fixed chips stay")
    func remapPorts() throws {
        let bench = try Bench()
        #expect(bench.pc.readPort(0x608, size: 4) == 0xFFFF_FFFF)
        bench.setUpPowerManagement()
        #expect(bench.pc.readPort(0x608, size: 4) != 0xFFFF_FFFF)
        bench.setConfig(1, 3, 0x40, 0x4001)
        #expect(bench.pc.readPort(0x608, size: 4) == 0xFFFF_FFFF)
        #expect(bench.pc.readPort(0x4004, size: 2) == 0)
        bench.setConfig(1, 3, 0x40, 0x0041)  // over the PIT, the keyboard and the RTC
        bench.out(0x70, 0x0F)
        bench.out(0x71, 0x5A)
        #expect(bench.input(0x71) == 0x5A)
    }

    @Test("random accesses of a guest gone wild never trap") func fuzz() throws {
        var random = BoardRandom(seed: 1)
        for round in 0..<4 {
            let bench = try Bench { $0.debugConsolePorts = [0x402, 0xE9]; $0.debugExitPort = 0x501; $0.bootHook = true }
            if round > 0 { bench.setUpPowerManagement() }
            for step in 0..<40_000 {
                let value = UInt32(truncatingIfNeeded: random.next())
                let size = 1 << Int(random.next() % 3)
                let choice = random.next() % 8
                let hot: [Port] = [
                    0x20, 0x40, 0x60, 0x70, 0x80, 0x00, 0xC0, 0xCF8, 0x3C0, 0x3D0, 0x3F0, 0x1F0, 0x170, 0x3F8, 0x510, 0x600, 0x700, 0xAFE0,
                ]
                let near = hot[Int(random.next() % UInt64(hot.count))] &+ Port(random.next() % 16)
                let port = choice < 6 ? near : Port(truncatingIfNeeded: value >> 7)
                let windows: [Physical] = [0xFEE0_0000, 0xFEC0_0000, 0xA_0000, 0xFEE0_0FF8, 0xFEC0_0FFC, 0xB_FFFC]
                let address = windows[Int(random.next() % UInt64(windows.count))] &+ random.next() % 0x400
                switch random.next() % 8 {
                case 0, 1: _ = bench.pc.readPort(port, size: size)
                case 2, 3: bench.pc.writePort(port, size: size, value)
                case 4:
                    bench.selectConfig([0, 1, 1, 1, 2][Int(value % 5)], Int(value >> 3 & 3), Int(random.next() & 0xFF))
                    let data = UInt32(truncatingIfNeeded: random.next())
                    bench.pc.writePort(0xCFC + Port(value >> 8 & 3), size: 1 << Int(random.next() % 3), data)
                case 5: _ = bench.pc.readMMIO(address, size: 1 << Int(random.next() % 4))
                case 6: bench.pc.writeMMIO(address, size: 1 << Int(random.next() % 4), random.next())
                default: _ = bench.pc.writeMSR(0x1B, random.next() & 0xF_FEE0_0900)
                }
                if step % 64 == 0 { _ = bench.pc.run(instructions: Int64(random.next() % 5_000)) }
                if step % 4096 == 0 { bench.pc.key(.a, down: step & 4096 == 0) }
            }
            _ = bench.pc.drainOutput()
            #expect(bench.pc.digest().count == 16)
        }
    }
}

/// A small seeded generator, so that a failure comes back.
struct BoardRandom {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
