import CPU
import Primitives
import Testing

import class Foundation.JSONDecoder
import class Foundation.JSONEncoder

@testable import Hardware

private func drive(_ cd: MemoryMedium? = MemoryMedium(sectors: 1000, sectorBytes: 2048, readOnly: true)) throws -> ATADriver {
    let rig = try DriveRig(IDE())
    rig.media[.ide1Master] = cd
    return ATADriver(rig, secondary: true)
}

private func be32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

private func read10(_ lba: Int, _ count: Int) -> [UInt8] { [0x28, 0] + be32(lba) + [0, UInt8(count >> 8), UInt8(count & 0xFF), 0] }

@Suite("ide · ATAPI CD") struct ATAPICDTests {
    @Test("identify packet device; identify device aborts and leaves the packet signature")
    func identify() throws {
        let driver = try drive()
        driver.command(0xEC)
        #expect(driver.waitInterrupt() == 0x51)
        #expect((2...5).map { driver.rig.input(0x170 + $0) } == [1, 1, 0x14, 0xEB])
        driver.command(0xA1)
        let data = try #require(driver.readPIO(sectors: 1))
        #expect(data[0...1] == [0xC0, 0x85])
        #expect(String(decoding: data[54..<68], as: UTF8.self) == "IVRTNI EDCR-MO")
    }

    @Test("DEVICE RESET frees a drive in the middle of a command")
    func deviceReset() throws {
        let driver = try drive()
        driver.packet(read10(0, 4))
        #expect(driver.status & 0x80 != 0)
        driver.rig.output(0x177, 0x08)
        #expect(driver.waitNotBusy() == 0)
        #expect((1...5).map { driver.rig.input(0x170 + $0) } == [1, 1, 1, 0x14, 0xEB])
        #expect(!driver.rig.line(15))
    }

    @Test("inquiry, capacity and sense have their lengths and contents")
    func identity() throws {
        let driver = try drive()
        let inquiry = driver.packetData([0x12, 0, 0, 0, 96])
        #expect(inquiry.data.count == 36 && inquiry.data[0...1] == [5, 0x80] && inquiry.status == 0x50)
        #expect(String(decoding: inquiry.data[8..<36], as: UTF8.self) == "VITRINE CD-ROM          1.0 ")
        #expect(driver.packetData([0x12, 0, 0, 0, 7]).data.count == 7)
        #expect(driver.packetData([0x25]).data == be32(999) + be32(2048))
        #expect(driver.sense() == [0, 0, 0])
        #expect(driver.packetData([0xFE]).status == 0x51)
        #expect(driver.rig.input(0x171) == 0x50)
        #expect(driver.sense() == [5, 0x20, 0])
        #expect(driver.sense() == [0, 0, 0])
    }

    @Test("reads sectors by PIO in blocks that the byte count limit allows", arguments: [2048, 0xFFFE, 0xFFFF, 0, 3000, 63 * 1024, 5, 1])
    func readPIO(limit: Int) throws {
        let medium = MemoryMedium(sectors: 100, sectorBytes: 2048, readOnly: true)
        let driver = try drive(medium)
        let sectors = limit < 2048 && limit > 0 ? 2 : 40
        let answer = driver.packetData(read10(30, sectors), limit: limit)
        #expect(answer.data == medium.sector(30, count: sectors))
        #expect(answer.status == 0x50 && driver.rig.input(0x172) & 3 == 3)
        let most = limit == 0 || limit == 0xFFFF ? 0xFFFE : max(2, limit & ~1)
        #expect(answer.blocks.allSatisfy { $0 > 0 && $0 <= most })
        if limit == 2048 { #expect(answer.blocks == [Int](repeating: 2048, count: 40)) }
    }

    @Test("reads by DMA, one interrupt at the end")
    func readDMA() throws {
        let medium = MemoryMedium(sectors: 200, sectorBytes: 2048, readOnly: true)
        let driver = try drive(medium)
        driver.table((0..<4).map { (UInt32(0x100000 + 0x10000 * $0), $0 == 3 ? 8192 : 0) })
        driver.packet([0xA8, 0] + be32(50) + be32(100) + [0, 0], dma: true)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x04, 0x50))
        #expect(driver.rig.memory.read(0x100000, count: 100 * 2048) == medium.sector(50, count: 100))
        #expect(driver.rig.interrupts[15] == 1)
        driver.table([(0x20000, 512)])
        driver.packet([0x12, 0, 0, 0, 36], dma: true)
        driver.startDMA(toMemory: true)
        #expect(driver.finishDMA() == (0x05, 0x50))
        #expect(driver.rig.memory.read(0x20000, count: 2) == [5, 0x80])
    }

    @Test("reading beyond the end, a scratch, and READ CD's modes")
    func readErrors() throws {
        let medium = MemoryMedium(sectors: 100, sectorBytes: 2048, readOnly: true)
        medium.broken = [40]
        let driver = try drive(medium)
        #expect(driver.packetData(read10(99, 2)).status == 0x51)
        #expect(driver.sense() == [5, 0x21, 0])
        #expect(driver.packetData(read10(0xFFFF_FFFF, 1)).status == 0x51)
        #expect(driver.packetData(read10(40, 1)).status == 0x51)
        #expect(driver.sense() == [3, 0x11, 0])
        #expect(driver.packetData(read10(100, 0)).status == 0x50)
        #expect(driver.packetData([0xBE, 0, 0, 0, 0, 7, 0, 0, 2, 0x10]).data == medium.sector(7, count: 2))
        #expect(driver.packetData([0xBE, 0, 0, 0, 0, 7, 0, 0, 2, 0xF8]).status == 0x51)
        #expect(!medium.violated)
    }

    @Test("without a disc, media commands say so, and the others work")
    func noMedium() throws {
        let driver = try drive(nil)
        for code: UInt8 in [0x00, 0x25, 0x28, 0xA8, 0xBE, 0x43, 0x51, 0x42, 0x2B] {
            #expect(driver.packetData([code]).status == 0x51)
            #expect(driver.rig.input(0x171) == 0x20)
            #expect(driver.sense() == [2, 0x3A, 0])
        }
        #expect(driver.packetData([0x12, 0, 0, 0, 36]).data.count == 36)
        #expect(driver.packetData([0x46, 0, 0, 0, 0, 0, 0, 0, 8]).data[6...7] == [0, 0])
        #expect(driver.packetData([0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 64]).data[2] == 0x70)
    }

    @Test("another disc is a unit attention once, and a media event once")
    func mediumChange() throws {
        let driver = try drive()
        #expect(driver.packetData([0x00]).status == 0x50)
        driver.rig.media[.ide1Master] = MemoryMedium(sectors: 5, sectorBytes: 2048, readOnly: true)
        #expect(driver.packetData([0x12, 0, 0, 0, 36]).status == 0x50)
        #expect(driver.packetData([0x00]).status == 0x51)
        #expect(driver.sense() == [6, 0x28, 0])
        #expect(driver.packetData([0x00]).status == 0x50)
        #expect(driver.packetData([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]).data == [0, 6, 4, 0x10, 2, 2, 0, 0])
        #expect(driver.packetData([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]).data == [0, 6, 4, 0x10, 0, 2, 0, 0])
        driver.rig.media[.ide1Master] = nil
        #expect(driver.packetData([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]).data == [0, 6, 4, 0x10, 3, 0, 0, 0])
        #expect(driver.packetData([0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8]).status == 0x51)
    }

    @Test("the tray opens unless it is locked, and a new disc closes it")
    func tray() throws {
        let driver = try drive()
        #expect(driver.packetData([0x1E, 0, 0, 0, 1]).status == 0x50)
        #expect(driver.packetData([0x1B, 0, 0, 0, 2]).status == 0x51)
        #expect(driver.sense() == [5, 0x53, 2])
        #expect(driver.packetData([0x1E, 0, 0, 0, 0]).status == 0x50)
        #expect(driver.packetData([0x1B, 0, 0, 0, 2]).status == 0x50)
        #expect(driver.packetData([0x00]).status == 0x51)
        #expect(driver.sense() == [2, 0x3A, 2])
        #expect(driver.packetData([0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8]).data[1] == 0x10)
        #expect(driver.packetData([0x1B, 0, 0, 0, 3]).status == 0x50)
        #expect(driver.packetData([0x00]).status == 0x50)
    }

    @Test("the table of contents in its three formats, as sectors and as minutes")
    func tableOfContents() throws {
        let driver = try drive()
        let plain = driver.packetData([0x43, 0, 0, 0, 0, 0, 0, 0, 100]).data
        #expect(plain == [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0] + be32(1000))
        let msf = driver.packetData([0x43, 2, 0, 0, 0, 0, 0, 0, 100]).data
        #expect(Array(msf[8..<12]) == [0, 0, 2, 0])
        #expect(Array(msf[16..<20]) == [0, 0, 15, 25])
        #expect(driver.packetData([0x43, 0, 0, 0, 0, 0, 0xAA, 0, 100]).data.count == 12)
        #expect(driver.packetData([0x43, 0, 0, 0, 0, 0, 2, 0, 100]).status == 0x51)
        #expect(driver.packetData([0x43, 0, 1, 0, 0, 0, 0, 0, 100]).data == [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0])
        #expect(driver.packetData([0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0x40]).data.count == 12)
        #expect(driver.packetData([0x43, 0, 2, 0, 0, 0, 0, 0, 100]).data.count == 48)
        #expect(driver.packetData([0x43, 0, 5, 0, 0, 0, 0, 0, 100]).status == 0x51)
    }

    @Test("mode pages, configuration, disc and track information carry their own lengths")
    func information() throws {
        let driver = try drive()
        let all = driver.packetData([0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 200]).data
        #expect(Int(all[0]) << 8 | Int(all[1]) == all.count - 2)
        let short = driver.packetData([0x1A, 0, 0x2A, 0, 200]).data
        #expect(Int(short[0]) == short.count - 1 && short[4] == 0x2A && Int(short[5]) == short.count - 6)
        #expect(driver.packetData([0x1A, 0, 0x05, 0, 200]).status == 0x51)
        #expect(driver.packetData([0x1A, 0, 0xEA, 0, 200]).status == 0x51)
        #expect(driver.sense() == [5, 0x39, 0])
        let features = driver.packetData([0x46, 0, 0, 0, 0, 0, 0, 1, 0]).data
        #expect(Int(features[2]) << 8 | Int(features[3]) == features.count - 4 && features[7] == 8)
        #expect(driver.packetData([0x46, 2, 0, 0x1E, 0, 0, 0, 1, 0]).data.count == 16)
        let disc = driver.packetData([0x51, 0, 0, 0, 0, 0, 0, 0, 100]).data
        #expect(disc.count == 34 && disc[1] == 32)
        let track = driver.packetData([0x52, 1, 0, 0, 0, 1, 0, 0, 100]).data
        #expect(track.count == 28 && track[1] == 26 && Array(track[24..<28]) == be32(1000))
        let position = driver.packetData([0x42, 0, 0x40, 1, 0, 0, 0, 0, 100]).data
        #expect(position.count == 16 && position[3] == 12)
        #expect(driver.packetData([0x2B] + [0] + be32(999)).status == 0x50)
        #expect(driver.packetData([0x2B] + [0] + be32(1000)).status == 0x51)
    }

    @Test("a snapshot between two blocks of a packet's data continues to the same end")
    func snapshot() throws {
        let medium = MemoryMedium(sectors: 100, sectorBytes: 2048, readOnly: true)
        let driver = try drive(medium)
        driver.packet(read10(10, 3), limit: 3000)
        #expect(driver.waitInterrupt() & 0x08 != 0)
        var data = driver.words(1000)
        let saved = try JSONDecoder().decode(IDE.self, from: JSONEncoder().encode(driver.rig.chip))
        #expect(saved == driver.rig.chip)
        driver.rig.chip = saved
        data += driver.words(1048)
        while driver.waitInterrupt() & 0x08 != 0 {
            data += driver.words(Int(driver.rig.input(0x174)) | Int(driver.rig.input(0x175)) << 8)
        }
        #expect(data == medium.sector(10, count: 3))
    }
}
