import CPU
import Primitives
import Testing

import class Foundation.JSONDecoder
import class Foundation.JSONEncoder

@testable import Hardware

@Suite("ide · ATA disk") struct ATADiskTests {
    @Test("identify tells name, size, translation and modes")
    func identify() throws {
        let rig = try ideRig(MemoryMedium(sectors: 16 * 63 * 4 + 5))
        let driver = ATADriver(rig)
        driver.command(0xEC)
        let data = try #require(driver.readPIO(sectors: 1))
        #expect(rig.input(0x1F7) == 0x50)
        #expect(text(data, 27...46) == "VITRINE HARDDISK")
        #expect([word(data, 1), word(data, 3), word(data, 6)] == [4, 16, 63])
        #expect(Int(word(data, 60)) | Int(word(data, 61)) << 16 == 4037)
        #expect(word(data, 100) == 4037 && word(data, 101) == 0)
        #expect(word(data, 83) & 0xC400 == 0x4400)
        #expect(word(data, 93) & 0xDF61 == 0x4041)
        #expect(word(data, 49) & 0x300 == 0x300)
    }

    @Test("the last sector of a 2 TiB disk is read and written by 48-bit address")
    func twoTiB() throws {
        let sectors: UInt64 = 1 << 32
        let medium = EndlessMedium(sectors: sectors)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0xEC)
        let data = try #require(driver.readPIO(sectors: 1))
        #expect([word(data, 60), word(data, 61)] == [0xFFFF, 0x0FFF])
        #expect((100...103).map { word(data, $0) } == [0, 0, 1, 0])
        let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        driver.commandExt(0x34, lba: sectors - 1, count: 1)
        #expect(driver.writePIO(pattern) == 0x50)
        #expect(medium.written[sectors - 1] == pattern)
        driver.commandExt(0x24, lba: sectors - 1, count: 1)
        _ = rig.input(0x1F7)
        #expect(driver.readPIO(sectors: 1) == pattern)
        driver.commandExt(0x24, lba: sectors - 1, count: 2)
        #expect(driver.waitInterrupt() == 0x51)
        #expect(rig.input(0x1F1) == 0x10)
        driver.commandExt(0x42, lba: sectors - 65536, count: 0)
        #expect(driver.waitInterrupt() == 0x50)
        driver.commandExt(0x27, lba: 0, count: 0)
        #expect(driver.waitInterrupt() == 0x50)
        #expect((3...5).map { rig.input(0x1F0 + $0) } == [0xFF, 0xFF, 0xFF])
        rig.output(0x3F6, 0x80)
        #expect((3...5).map { rig.input(0x1F0 + $0) } == [0xFF, 0, 0])
        driver.command(0xF8)
        #expect(driver.waitInterrupt() == 0x50)
        #expect((3...6).map { rig.input(0x1F0 + $0) & (($0 == 6) ? 0x0F : 0xFF) } == [0xFF, 0xFF, 0xFF, 0x0F])
    }

    @Test("reads by CHS, LBA28 and LBA48, in words and double words, one interrupt a sector", arguments: [2, 4])
    func reading(size: Int) throws {
        let medium = MemoryMedium(sectors: 4096)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0x20, lba: 100, count: 3)
        #expect(driver.readPIO(sectors: 3, size: size) == medium.sector(100, count: 3))
        #expect(rig.interrupts[14] == 3)
        #expect(rig.input(0x1F7) == 0x50)
        driver.command(0x21, lba: 0, count: 256)
        #expect(driver.readPIO(sectors: 256, size: size) == medium.sector(0, count: 256))
        driver.commandExt(0x24, lba: 3000, count: 300)
        #expect(driver.readPIO(sectors: 300, size: size) == medium.sector(3000, count: 300))
        // Cylinder 2, head 3, sector 7 of 16 × 63.
        driver.select(slave: false, lba: false, high: 3)
        rig.output(0x1F2, 1)
        rig.output(0x1F3, 7)
        rig.output(0x1F4, 2)
        rig.output(0x1F5, 0)
        rig.output(0x1F7, 0x20)
        #expect(driver.readPIO(sectors: 1, size: size) == medium.sector((2 * 16 + 3) * 63 + 6))
        #expect([rig.input(0x1F3), rig.input(0x1F4), rig.input(0x1F6) & 15] == [7, 2, 3])
    }

    @Test("INITIALIZE DEVICE PARAMETERS changes the translation; sector 0 and heads beyond are not found")
    func translation() throws {
        let medium = MemoryMedium(sectors: 4096)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.select(slave: false, lba: false, high: 3)
        rig.output(0x1F2, 17)
        rig.output(0x1F7, 0x91)
        #expect(driver.waitInterrupt() == 0x50)
        for (head, sector, good) in [(3, 17, true), (4, 1, false), (0, 0, false), (0, 18, false)] {
            driver.select(slave: false, lba: false, high: UInt8(head))
            for (i, value) in [1, sector, 1, 0].enumerated() { rig.output(0x1F2 + Port(i), UInt8(value)) }
            rig.output(0x1F7, 0x20)
            if good {
                #expect(driver.readPIO(sectors: 1) == medium.sector((1 * 4 + head) * 17 + sector - 1))
            } else {
                #expect(driver.waitInterrupt() == 0x51)
                #expect(rig.input(0x1F1) == 0x10)
            }
        }
    }

    @Test("READ and WRITE MULTIPLE move blocks; disabled by SET MULTIPLE they abort")
    func multiple() throws {
        let medium = MemoryMedium(sectors: 4096)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0xC6, count: 0)
        #expect(driver.waitInterrupt() == 0x50)
        driver.command(0xC4, lba: 1, count: 4)
        #expect(driver.waitInterrupt() == 0x51)
        driver.command(0xC6, count: 3)
        #expect(driver.waitInterrupt() == 0x51)
        driver.command(0xC6, count: 16)
        #expect(driver.waitInterrupt() == 0x50)
        rig.interrupts[14] = 0
        driver.command(0xC4, lba: 10, count: 40)
        #expect(driver.readPIO(sectors: 40, block: 16) == medium.sector(10, count: 40))
        #expect(rig.interrupts[14] == 3)
        let data = (0..<20 * 512).map { UInt8(truncatingIfNeeded: $0 / 3) }
        driver.command(0xC5, lba: 50, count: 20)
        #expect(driver.writePIO(data, block: 16) == 0x50)
        #expect(medium.sector(50, count: 20) == data)
        driver.commandExt(0x39, lba: 90, count: 20)
        #expect(driver.writePIO(data, block: 16) == 0x50)
        driver.commandExt(0x29, lba: 90, count: 20)
        _ = rig.input(0x1F7)
        #expect(driver.readPIO(sectors: 20, block: 16) == data)
    }

    @Test("writes sectors with an interrupt after each, none before the first")
    func writing() throws {
        let medium = MemoryMedium(sectors: 64)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0x30, lba: 62, count: 2)
        while rig.fireNext() {}
        #expect(!rig.line(14) && driver.status == 0x58)
        let data = (0..<1024).map { UInt8(truncatingIfNeeded: $0 * 5) }
        driver.send(Array(data[..<512]))
        #expect(driver.status & 0x80 != 0)
        #expect(driver.waitInterrupt() == 0x58)
        driver.send(Array(data[512...]))
        #expect(driver.waitInterrupt() == 0x50)
        #expect(medium.sector(62, count: 2) == data)
        driver.command(0x30, lba: 63, count: 2)
        #expect(driver.waitInterrupt() == 0x51)
        #expect(rig.input(0x1F1) == 0x10 && rig.input(0x1F3) == 64)
        #expect(!medium.violated)
    }

    @Test("strings move whole blocks at once and stop where the block does")
    func strings() throws {
        let medium = MemoryMedium(sectors: 64)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0x20, lba: 3, count: 2)
        _ = driver.waitInterrupt()
        var target = [UInt8](repeating: 0, count: 1024)
        let first = target.withUnsafeMutableBytes { bytes in rig.call { $0.readString(0x1F0, size: 2, into: bytes, &$1) } }
        #expect(first == 512 && driver.status & 0x80 != 0)
        #expect(target.withUnsafeMutableBytes { bytes in rig.call { $0.readString(0x1F0, size: 2, into: bytes, &$1) } } == 0)
        _ = driver.waitInterrupt()
        let second = target.withUnsafeMutableBytes { bytes in
            rig.call { $0.readString(0x1F0, size: 4, into: UnsafeMutableRawBufferPointer(rebasing: bytes[512...]), &$1) }
        }
        #expect(second == 512 && target == medium.sector(3, count: 2) && driver.status == 0x50)
        driver.command(0x30, lba: 9, count: 1)
        _ = driver.waitNotBusy()
        #expect(target.withUnsafeBytes { bytes in rig.call { $0.writeString(0x1F0, size: 2, from: bytes, &$1) } } == 512)
        #expect(driver.waitInterrupt() == 0x50)
        #expect(medium.sector(9) == Array(target[..<512]))
        #expect(target.withUnsafeBytes { bytes in rig.call { $0.writeString(0x1F1, size: 2, from: bytes, &$1) } } == 0)
    }

    @Test("commands without data end with an interrupt", arguments: [0x10, 0x70, 0xE7, 0xEA, 0xE0, 0xE1, 0xE2, 0xE3, 0xE5, 0xE6, 0x40])
    func nonData(code: Int) throws {
        let medium = MemoryMedium(sectors: 64)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(UInt8(code), lba: 5, count: 1)
        #expect(!rig.line(14) && driver.status & 0x80 != 0)
        #expect(driver.waitInterrupt() == 0x50)
        if code == 0xE5 { #expect(rig.input(0x1F2) == 0xFF) }
        if code == 0xE7 { #expect(medium.flushes == 1) }
    }

    @Test("what is not there aborts", arguments: [0x00, 0x08, 0xA0, 0xA1, 0x22, 0x50, 0xF1, 0xF9, 0x37, 0xC7, 0xFF])
    func aborts(code: Int) throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        driver.command(UInt8(code))
        #expect(driver.waitInterrupt() == 0x51)
        #expect(rig.input(0x1F1) == 0x04)
    }

    @Test("SET FEATURES takes transfer modes and refuses the rest; identify shows the mode")
    func features() throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        for (mode, good) in [(0x0C, true), (0x22, true), (0x45, true), (0x46, false), (0x13, false)] {
            driver.command(0xEF, count: mode, feature: 0x03)
            #expect(driver.waitInterrupt() == (good ? 0x50 : 0x51))
        }
        driver.command(0xEF, feature: 0x99)
        #expect(driver.waitInterrupt() == 0x51)
        driver.command(0xEF, feature: 0x82)
        #expect(driver.waitInterrupt() == 0x50)
        driver.command(0xEC)
        let data = try #require(driver.readPIO(sectors: 1))
        #expect(word(data, 88) == 0x203F && word(data, 85) & 0x20 == 0)
    }

    @Test("SMART says the disk is well; its data page adds up to 0")
    func smart() throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        driver.command(0xB0, lba: 0xC24F00, feature: 0xDA)
        #expect(driver.waitInterrupt() == 0x50)
        #expect([rig.input(0x1F4), rig.input(0x1F5)] == [0x4F, 0xC2])
        driver.command(0xB0, lba: 0xC24F00, feature: 0xD0)
        let page = try #require(driver.readPIO(sectors: 1))
        #expect(page.reduce(0, &+) == 0)
        driver.command(0xB0, lba: 0, feature: 0xDA)
        #expect(driver.waitInterrupt() == 0x51)
    }

    @Test("a bad sector is an uncorrectable error with its address, by PIO and by DMA")
    func mediumError() throws {
        let medium = MemoryMedium(sectors: 64)
        medium.broken = [21]
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0x20, lba: 20, count: 3)
        #expect(driver.readPIO(sectors: 1) == medium.sector(20))
        #expect(driver.waitInterrupt() == 0x51)
        #expect(rig.input(0x1F1) == 0x40 && rig.input(0x1F3) == 21)
        driver.table([(0x10000, 1536)])
        driver.command(0xC8, lba: 20, count: 3)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x05, 0x51))
        #expect(rig.input(0x1F1) == 0x40)
    }

    @Test("a read-only disk aborts writes")
    func readOnly() throws {
        let medium = MemoryMedium(sectors: 64, readOnly: true)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        for code: UInt8 in [0x30, 0xCA] {
            driver.command(code, lba: 1)
            #expect(driver.waitInterrupt() == 0x51)
            #expect(rig.input(0x1F1) == 0x04)
        }
    }

    // MARK: Bus master

    @Test("DMA scatters and gathers over the descriptors, in either order of starting")
    func dma() throws {
        let medium = MemoryMedium(sectors: 4096)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.table([(0x20000, 1000), (0x30000, 24), (0x40000, 0)])
        driver.command(0xC8, lba: 7, count: 130)
        driver.startDMA(toMemory: true)
        #expect(rig.input(driver.busMaster + 2) & 7 == 1)
        #expect(driver.finishDMA() == (0x04, 0x50))
        let expected = medium.sector(7, count: 130)
        #expect(rig.memory.read(0x20000, count: 1000) == Array(expected[..<1000]))
        #expect(rig.memory.read(0x30000, count: 24) == Array(expected[1000..<1024]))
        #expect(rig.memory.read(0x40000, count: 65536) == Array(expected[1024...]))
        // Back to another place, engine first.
        driver.table([(0x20000, 1000), (0x30000, 24), (0x40000, 0)])
        driver.startDMA(toMemory: false)
        driver.commandExt(0x35, lba: 2000, count: 130)
        #expect(driver.finishDMA() == (0x04, 0x50))
        #expect(medium.sector(2000, count: 130) == expected)
    }

    @Test("65,536 sectors go by one READ DMA EXT, in steps")
    func largeDMA() throws {
        let medium = EndlessMedium(sectors: 1 << 20)
        let pattern = [UInt8](repeating: 0xA5, count: 512)
        medium.written[65535] = pattern
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        // All regions overlap; the last one stands.
        driver.table((0..<512).map { _ in (0x100000, 0) }, at: 0x8000)
        driver.commandExt(0x25, lba: 0, count: 0)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x04, 0x50))
        #expect(rig.memory.read(0x10FE00, count: 512) == pattern)
    }

    @Test("a table longer than the transfer leaves the engine active; one that is too short stops it without interrupt")
    func tableLengths() throws {
        let medium = MemoryMedium(sectors: 64)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.table([(0x20000, 4096)])
        driver.command(0xC8, lba: 1, count: 1)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x05, 0x50))
        driver.table([(0x20000, 256)])
        driver.command(0xC8, lba: 1, count: 1)
        driver.startDMA(toMemory: true)
        while rig.fireNext() {}
        #expect(!rig.line(14) && rig.input(driver.busMaster + 2) & 7 == 0)
        #expect(driver.status & 0x80 != 0)
        rig.output(0x3F6, 4)
        rig.output(0x3F6, 0)
        #expect(driver.waitNotBusy() == 0x50)
    }

    @Test("a table without end mark wraps in its 64 KiB and the transfer still ends")
    func missingEnd() throws {
        let medium = MemoryMedium(sectors: 64)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        // The last descriptor of the 64 KiB, then the first.
        rig.memory.store(0x1FFF8, UInt32(0x30000))
        rig.memory.store(0x1FFFC, UInt32(512))
        rig.memory.store(0x10000, UInt32(0x31001))
        rig.memory.store(0x10004, UInt32(513))
        rig.outputWide(driver.busMaster + 4, 4, 0x1FFF8)
        driver.command(0xC8, lba: 4, count: 2)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x05, 0x50))
        #expect(rig.memory.read(0x30000, count: 512) == medium.sector(4))
        #expect(rig.memory.read(0x31000, count: 512) == medium.sector(5))
    }

    @Test(
        "descriptors and regions where no memory answers are an error, and nothing traps",
        arguments: [0x0050_0000, 0xFFFF_FFFC, 0x0040_0000])
    func noMemory(at: Int) throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        rig.outputWide(driver.busMaster + 4, 4, UInt32(at))
        driver.command(0xC8, lba: 4, count: 2)
        driver.startDMA(toMemory: true)
        while rig.fireNext() {}
        #expect(rig.input(driver.busMaster + 2) & 3 == 2)
        rig.output(driver.busMaster, 0)
        driver.rig.output(0x3F6, 4)
        driver.rig.output(0x3F6, 0)
        _ = driver.waitNotBusy()
        driver.table([(0xFFFF_FFFE, 0)])
        driver.command(0xCA, lba: 4, count: 2)
        driver.startDMA(toMemory: false)
        while rig.fireNext() {}
        #expect(rig.input(driver.busMaster + 2) & 3 == 2)
    }

    @Test("the wrong direction moves nothing")
    func direction() throws {
        let medium = MemoryMedium(sectors: 64)
        let before = medium.bytes
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.table([(0x20000, 512)])
        driver.command(0xCA, lba: 1, count: 1)
        driver.startDMA(toMemory: true)
        while rig.fireNext() {}
        #expect(medium.bytes == before && !rig.line(14))
    }

    @Test("snapshots in the middle of PIO and DMA continue to the same end")
    func snapshots() throws {
        let medium = MemoryMedium(sectors: 4096)
        let rig = try ideRig(medium)
        let driver = ATADriver(rig)
        driver.command(0x20, lba: 100, count: 2)
        _ = driver.waitInterrupt()
        let head = driver.words(200)
        var saved = try JSONDecoder().decode(IDE.self, from: JSONEncoder().encode(rig.chip))
        #expect(saved == rig.chip)
        rig.chip = saved
        let tail = driver.words(312)
        #expect(head + tail == medium.sector(100))
        #expect(driver.readPIO(sectors: 1) == medium.sector(101))

        driver.table((0..<8).map { (UInt32(0x100000 + 0x10000 * $0), 0) })
        driver.commandExt(0x25, lba: 10, count: 1024)
        driver.startDMA(toMemory: true)
        _ = rig.fireNext()
        _ = rig.fireNext()
        #expect(!rig.line(14))
        saved = try JSONDecoder().decode(IDE.self, from: JSONEncoder().encode(rig.chip))
        rig.chip = saved
        #expect(driver.finishDMA() == (0x04, 0x50))
        #expect(rig.memory.read(0x100000, count: 512 << 10) == medium.sector(10, count: 1024))
    }

    @Test("random port traffic never traps and never reaches beyond a medium", arguments: 0..<8)
    func fuzz(seed: Int) throws {
        var random = DriveRandom(seed: UInt64(seed) &+ 100)
        let disk = MemoryMedium(sectors: 300)
        let cd = MemoryMedium(sectors: 40, sectorBytes: 2048, readOnly: true)
        let slave = MemoryMedium(sectors: 1, readOnly: true)
        let rig = try ideRig(disk, slave: slave, cd: cd)
        _ = ATADriver(rig)
        let commands: [UInt8] = [
            0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xEC, 0xA0, 0xA0, 0xA0, 0xA1, 0xEF, 0x91, 0x90,
            0x08, 0xB0, 0xE4, 0xE8, 0x42, 0x27,
        ]
        let packets: [UInt8] = [
            0x00, 0x03, 0x12, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x2F, 0x42, 0x43, 0x46, 0x4A, 0x51, 0x52, 0x5A, 0xA8, 0xBD, 0xBE,
        ]
        var string = [UInt8](repeating: 0x5A, count: 700)
        func byte() -> UInt8 { UInt8(truncatingIfNeeded: random.next()) }
        for _ in 0..<40_000 {
            let base: Port = random.next() % 2 == 0 ? 0x1F0 : 0x170
            switch random.next() % 16 {
            case 0...2: rig.output(base + 1 + Port(random.next() % 6), random.next() % 2 == 0 ? byte() : byte() % 3)
            case 3, 4: rig.output(base + 7, commands[Int(random.next() % UInt64(commands.count))])
            case 5: rig.output(base + 7, UInt8(truncatingIfNeeded: random.next()))
            case 6, 7: _ = rig.fireNext()
            case 8: rig.output(0xC000 + Port(random.next() % 16), UInt8(truncatingIfNeeded: random.next()))
            case 9: rig.output(0xC000 + (base == 0x1F0 ? 0 : 8), random.next() % 2 == 0 ? 9 : 1)
            case 10:
                rig.outputWide(0xC004 + (base == 0x1F0 ? 0 : 8), 4, UInt32(truncatingIfNeeded: random.next() % (5 << 20)))
                rig.memory.store(random.next() % (4 << 20), UInt32(truncatingIfNeeded: random.next()))
            case 11: _ = rig.inputWide(base + Port(random.next() % 8), random.next() % 2 == 0 ? 2 : 4)
            case 12:
                let size = random.next() % 2 == 0 ? 2 : 4
                let count = Int(random.next() % 700)
                _ = string.withUnsafeMutableBytes { bytes in
                    rig.call { $0.readString(base, size: size, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), &$1) }
                }
            case 13:
                _ = string.withUnsafeBytes { bytes in rig.call { $0.writeString(base, size: 2, from: bytes, &$1) } }
            case 14:
                let opcode = packets[Int(random.next() % UInt64(packets.count))]
                rig.outputWide(base, 2, UInt32(opcode) | UInt32(truncatingIfNeeded: random.next()) & 0xFF00)
                for _ in 0..<5 { rig.outputWide(base, 2, UInt32(byte() % 4) | (random.next() % 3 == 0 ? UInt32(byte()) << 8 : 0)) }
            default:
                if random.next() % 40 == 0 { rig.media[.ide1Master] = random.next() % 2 == 0 ? cd : nil }
                if random.next() % 20 == 0 { rig.output(random.next() % 2 == 0 ? 0x3F6 : 0x376, UInt8(truncatingIfNeeded: random.next())) }
                _ = rig.input(base + 7)
            }
        }
        #expect(!disk.violated && !cd.violated && !slave.violated)
    }
}
