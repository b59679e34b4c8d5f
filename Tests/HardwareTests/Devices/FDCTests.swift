import CPU
import Primitives
import Testing

import class Foundation.JSONDecoder
import class Foundation.JSONEncoder

@testable import Hardware

/// A driver for the controller: what a BIOS does, through ports.
private final class Floppy {
    let rig: DriveRig<FDC>

    init(_ medium: MemoryMedium? = MemoryMedium(sectors: 2880), rate: UInt8 = 0) throws {
        rig = try DriveRig(FDC())
        rig.media[.floppyA] = medium
        rig.output(0x3F2, 0x1C)
        rig.output(0x3F7, rate)
    }

    func send(_ bytes: [UInt8]) {
        for byte in bytes {
            #expect(rig.input(0x3F4) & 0xC0 == 0x80, "the controller does not want a byte")
            rig.output(0x3F5, byte)
        }
    }

    func results() -> [UInt8] {
        var bytes: [UInt8] = []
        while rig.input(0x3F4) & 0xC0 == 0xC0, bytes.count < 16 { bytes.append(rig.input(0x3F5)) }
        return bytes
    }

    /// A command that ends with an interrupt and results.
    func run(_ bytes: [UInt8]) -> [UInt8] {
        send(bytes)
        #expect(rig.await(irq: 6), "no interrupt")
        return results()
    }

    /// A command that answers at once.
    func ask(_ bytes: [UInt8]) -> [UInt8] {
        send(bytes)
        return results()
    }

    /// A seek or recalibrate with its sense interrupt.
    func seek(_ bytes: [UInt8]) -> [UInt8] {
        send(bytes)
        #expect(rig.await(irq: 6), "no interrupt")
        return ask([0x08])
    }

    func dma(read count: Int) {
        (rig.dmaBytes, rig.dmaPosition, rig.dmaToMemory) = ([UInt8](repeating: 0xEE, count: count), 0, true)
    }
    func dma(write bytes: [UInt8]) { (rig.dmaBytes, rig.dmaPosition, rig.dmaToMemory) = (bytes, 0, false) }
}

@Suite("fdc · 82077AA") struct FDCTests {
    @Test("a reset is followed by one interrupt and four sense interrupts, one for each drive")
    func resetPolls() throws {
        let floppy = try Floppy()
        floppy.rig.output(0x3F2, 0x18)
        #expect(floppy.rig.input(0x3F4) == 0)
        floppy.rig.output(0x3F2, 0x1C)
        #expect(!floppy.rig.line(6))
        #expect(floppy.rig.await(irq: 6))
        for drive in 0..<4 { #expect(floppy.ask([0x08]) == [0xC0 | UInt8(drive), 0]) }
        #expect(!floppy.rig.line(6))
        #expect(floppy.ask([0x08]) == [0x80])
    }

    @Test("the data rate register resets too, and the bit clears itself")
    func resetThroughDSR() throws {
        let floppy = try Floppy()
        floppy.rig.output(0x3F4, 0x80)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x08]) == [0xC0, 0])
        #expect(floppy.rig.input(0x3F4) == 0x80)
    }

    @Test("DOR bit 3 keeps the interrupt from the wire")
    func gate() throws {
        let floppy = try Floppy()
        floppy.rig.output(0x3F2, 0x14)
        floppy.send([0x07, 0x00])
        while floppy.rig.fireNext() {}
        #expect(!floppy.rig.line(6))
        floppy.rig.output(0x3F2, 0x1C)
        #expect(floppy.rig.line(6))
    }

    @Test("version, dump, configure, lock and perpendicular answer as an 82077AA; part ID and scan are invalid")
    func identity() throws {
        let floppy = try Floppy()
        #expect(floppy.ask([0x10]) == [0x90])
        #expect(floppy.ask([0x18]) == [0x80])
        for scan: UInt8 in [0x11, 0x19, 0x1D, 0x51, 0xF1] { #expect(floppy.ask([scan]) == [0x80]) }
        floppy.send([0x03, 0xAF, 0x02])
        floppy.send([0x13, 0x00, 0x57, 0x2A])
        floppy.send([0x12, 0x80 | 0x04 | 0x01])
        #expect(floppy.ask([0x94]) == [0x10])
        #expect(floppy.ask([0x0E]) == [0, 0, 0, 0, 0xAF, 0x02, 0, 0x85, 0x57, 0x2A])
        floppy.rig.output(0x3F4, 0x80)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x0E]) == [0, 0, 0, 0, 0xAF, 0x02, 0, 0x84, 0x57, 0x2A])
        #expect(floppy.ask([0x14]) == [0x00])
        floppy.rig.output(0x3F4, 0x80)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x0E])[8...9] == [0x20, 0])
    }

    @Test("seek, relative seek and recalibrate move the heads and say so; track 0 shows in ST3")
    func seeking() throws {
        let floppy = try Floppy()
        #expect(floppy.seek([0x0F, 0x00, 40]) == [0x20, 40])
        #expect(floppy.ask([0x04, 0x00]) == [0x28])
        #expect(floppy.seek([0xCF, 0x00, 5]) == [0x20, 45])
        #expect(floppy.seek([0x8F, 0x00, 15]) == [0x20, 30])
        floppy.send([0x07, 0x00])
        #expect(floppy.rig.input(0x3F4) == 0x81)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x08]) == [0x20, 0])
        #expect(floppy.rig.input(0x3F4) == 0x80)
        #expect(floppy.ask([0x04, 0x04]) == [0x3C])
        // From the innermost track, 79 pulses are not enough.
        _ = floppy.seek([0x0F, 0x00, 85])
        #expect(floppy.seek([0x07, 0x00]) == [0x70, 0])
        #expect(floppy.seek([0x07, 0x00]) == [0x20, 0])
        #expect(floppy.seek([0x07, 0x03]) == [0x73, 0])
    }

    @Test("two drives seek at once")
    func overlappedSeek() throws {
        let floppy = try Floppy()
        floppy.send([0x0F, 0x00, 70])
        floppy.send([0x0F, 0x01, 3])
        #expect(floppy.rig.input(0x3F4) == 0x83)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x08]) == [0x21, 3])
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.ask([0x08]) == [0x20, 70])
    }

    @Test(
        "every floppy size reads its first and last sector by DMA",
        arguments: [(320, 2), (360, 1), (640, 2), (720, 1), (1280, 2), (1440, 2), (2400, 0), (2880, 0), (3360, 0), (3444, 0), (5760, 3)])
    func sizes(sectors: Int, rate: Int) throws {
        let medium = MemoryMedium(sectors: sectors)
        let geometry = try #require(FloppyGeometry(sectorCount: UInt64(sectors)))
        #expect(geometry.sectorCount == UInt64(sectors))
        let floppy = try Floppy(medium, rate: UInt8(rate))
        floppy.dma(read: 512)
        #expect(floppy.run([0xE6, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF])[0] == 0)
        #expect(floppy.rig.dmaBytes == medium.sector(0))
        let (c, h, r) = (UInt8(geometry.cylinders - 1), UInt8(geometry.heads - 1), UInt8(geometry.sectors))
        floppy.dma(read: 512)
        #expect(floppy.run([0xE6, h << 2, c, h, r, 2, r, 0x1B, 0xFF])[0..<3] == [h << 2, 0, 0])
        #expect(floppy.rig.dmaBytes == medium.sector(sectors - 1))
        floppy.dma(read: 512)
        #expect(floppy.run([0xE6, h << 2, c, h, r + 1, 2, r + 1, 0x1B, 0xFF])[0..<3] == [0x40 | h << 2, 0x04, 0])
        #expect(!medium.violated)
    }

    @Test("the wrong data rate finds no address mark, as media sensing needs")
    func wrongRate() throws {
        let floppy = try Floppy(MemoryMedium(sectors: 2880), rate: 2)
        #expect(floppy.run([0x4A, 0])[0..<3] == [0x40, 0x01, 0])
        floppy.rig.output(0x3F7, 0)
        let id = floppy.run([0x4A, 4])
        #expect(id[0..<5] == [0x04, 0, 0, 0, 1])
        #expect((1...18).contains(id[5]) && id[6] == 2)
        #expect(floppy.run([0x0A, 0])[1] == 0x01)  // FM
    }

    @Test("reads a whole cylinder with MT, and the result names the next one")
    func multiTrack() throws {
        let medium = MemoryMedium(sectors: 2880)
        let floppy = try Floppy(medium)
        floppy.rig.dmaBurst = 100
        floppy.dma(read: 36 * 512)
        #expect(floppy.run([0xE6, 0, 5, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x04, 0, 0, 6, 0, 1, 2])
        #expect(floppy.rig.dmaBytes == medium.sector(5 * 36, count: 36))
        #expect(floppy.rig.interrupts[6] == 1)
    }

    @Test("terminal count in the middle ends the command there")
    func terminalCount() throws {
        let medium = MemoryMedium(sectors: 2880)
        let floppy = try Floppy(medium)
        floppy.dma(read: 700)
        #expect(floppy.run([0x66, 4, 1, 1, 3, 2, 18, 0x1B, 0xFF]) == [0x04, 0, 0, 1, 1, 5, 2])
        #expect(floppy.rig.dmaBytes == Array(medium.bytes[(36 + 18 + 2) * 512..<(36 + 18 + 2) * 512 + 700]))
    }

    @Test("without terminal count the command runs into the end of the cylinder")
    func endOfCylinder() throws {
        let floppy = try Floppy()
        floppy.dma(read: 2048)
        #expect(floppy.run([0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF]) == [0x40, 0x80, 0, 1, 0, 1, 2])
        #expect(floppy.rig.dmaPosition == 1024)
    }

    @Test("writes by DMA; a short write is filled with zeros")
    func writing() throws {
        let medium = MemoryMedium(sectors: 2880)
        let before = medium.sector(38)
        let floppy = try Floppy(medium)
        let data = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        floppy.dma(write: data)
        #expect(floppy.run([0xC5, 0, 1, 0, 1, 2, 18, 0x1B, 0xFF]) == [0, 0, 0, 1, 0, 3, 2])
        #expect(medium.sector(36, count: 2) == data + [UInt8](repeating: 0, count: 24))
        #expect(medium.sector(38) == before)
    }

    @Test("a write-protected disk says so and stays as it is")
    func writeProtect() throws {
        let medium = MemoryMedium(sectors: 2880, readOnly: true)
        let before = medium.bytes
        let floppy = try Floppy(medium)
        floppy.dma(write: [UInt8](repeating: 1, count: 512))
        #expect(floppy.run([0xC5, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF])[0..<2] == [0x40, 0x02])
        #expect(floppy.run([0x4D, 0, 2, 18, 0x6C, 0xF6])[0..<2] == [0x40, 0x02])
        #expect(floppy.ask([0x04, 0]) == [0x78])
        #expect(medium.bytes == before)
    }

    @Test("an empty drive, a drive that is not there and a resting motor fail instead of hanging")
    func nothingThere() throws {
        let floppy = try Floppy(nil)
        #expect(floppy.run([0x4A, 0])[0..<2] == [0x40, 0x01])
        #expect(floppy.run([0xE6, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF])[0..<2] == [0x40, 0x01])
        #expect(floppy.run([0x4A, 3])[0..<2] == [0x43, 0x01])
        floppy.rig.media[.floppyA] = MemoryMedium(sectors: 2880)
        #expect(floppy.run([0x4A, 0])[0] == 0)
        floppy.rig.output(0x3F2, 0x0C)
        #expect(floppy.run([0x4A, 0])[0] == 0x40)
    }

    @Test("drive B is another drive")
    func driveB() throws {
        let medium = MemoryMedium(sectors: 1440)
        let floppy = try Floppy(nil, rate: 2)
        floppy.rig.media[.floppyB] = medium
        floppy.rig.output(0x3F2, 0x2D)
        floppy.dma(read: 512)
        #expect(floppy.run([0xE6, 1, 2, 0, 4, 2, 9, 0x1B, 0xFF])[0] == 1)
        #expect(floppy.rig.dmaBytes == medium.sector(2 * 18 + 3))
    }

    @Test("the change line is up until the heads step over a disk, and again after another disk")
    func diskChange() throws {
        let floppy = try Floppy()
        #expect(floppy.rig.input(0x3F7) == 0x80)
        _ = floppy.seek([0x07, 0])
        #expect(floppy.rig.input(0x3F7) == 0)
        floppy.rig.media[.floppyA] = nil
        #expect(floppy.rig.input(0x3F7) == 0x80)
        _ = floppy.seek([0x07, 0])
        #expect(floppy.rig.input(0x3F7) == 0x80)
        floppy.rig.media[.floppyA] = MemoryMedium(sectors: 2880)
        #expect(floppy.rig.input(0x3F7) == 0x80)
        _ = floppy.seek([0x0F, 0, 1])
        #expect(floppy.rig.input(0x3F7) == 0)
    }

    @Test("a bad spot is a data error with its address")
    func dataError() throws {
        let medium = MemoryMedium(sectors: 2880)
        medium.broken = [4]
        let floppy = try Floppy(medium)
        floppy.dma(read: 18 * 512)
        #expect(floppy.run([0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x40, 0x20, 0x20, 0, 0, 5, 2])
    }

    @Test("without DMA the bytes go through the FIFO, and end of track ends the command")
    func programmedIO() throws {
        let medium = MemoryMedium(sectors: 2880)
        let floppy = try Floppy(medium)
        floppy.send([0x03, 0xAF, 0x03])
        floppy.send([0x66, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF])
        var data: [UInt8] = []
        for _ in 0..<2 {
            #expect(floppy.rig.await(irq: 6))
            while floppy.rig.input(0x3F4) == 0xF0 { data.append(floppy.rig.input(0x3F5)) }
        }
        #expect(data == medium.sector(16, count: 2))
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.results()[0..<2] == [0x40, 0x80])

        floppy.send([0x45, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF])
        #expect(floppy.rig.await(irq: 6))
        var sent = 0
        while floppy.rig.input(0x3F4) == 0xB0 {
            floppy.rig.output(0x3F5, UInt8(truncatingIfNeeded: sent))
            sent += 1
        }
        #expect(sent == 512)
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.results()[1] == 0x80)
        #expect(medium.sector(17) == (0..<512).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test("format fills the sectors that the IDs name, and no others")
    func format() throws {
        let medium = MemoryMedium(sectors: 2880)
        let before = medium.bytes
        let floppy = try Floppy(medium)
        var ids: [UInt8] = []
        for r in 1...18 { ids += [7, 1, UInt8(r), 2] }
        ids[4..<8] = [200, 1, 2, 2]  // an ID that an image cannot hold
        floppy.dma(write: ids)
        #expect(floppy.run([0x4D, 4, 2, 18, 0x6C, 0xF6])[0..<3] == [0x04, 0, 0])
        let track = (7 * 2 + 1) * 18
        #expect(medium.sector(track) == [UInt8](repeating: 0xF6, count: 512))
        #expect(medium.sector(track + 1) == Array(before[(track + 1) * 512..<(track + 2) * 512]))
        #expect(medium.sector(track + 17) == [UInt8](repeating: 0xF6, count: 512))
        #expect(Array(medium.bytes[..<(track * 512)]) == Array(before[..<(track * 512)]))
        #expect(Array(medium.bytes[((track + 18) * 512)...]) == Array(before[((track + 18) * 512)...]))
    }

    @Test("verify moves no bytes; read track takes the sectors as they come; deleted data are not there")
    func otherReads() throws {
        let medium = MemoryMedium(sectors: 2880)
        let floppy = try Floppy(medium)
        #expect(floppy.run([0x56, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])[0..<3] == [0, 0, 0])
        #expect(floppy.run([0x56, 0x80, 0, 0, 1, 2, 18, 0x1B, 4]) == [0, 0, 0, 0, 0, 5, 2])
        #expect(floppy.run([0x56, 0, 0, 0, 1, 2, 19, 0x1B, 0xFF])[0..<2] == [0x40, 0x04])
        floppy.dma(read: 18 * 512)
        #expect(floppy.run([0x42, 0, 3, 0, 1, 2, 18, 0x1B, 0xFF])[0..<3] == [0, 0, 0])
        #expect(floppy.rig.dmaBytes == medium.sector(3 * 36, count: 18))
        floppy.dma(read: 512)
        #expect(floppy.run([0x4C, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF])[0..<3] == [0, 0, 0x40])
        #expect(floppy.rig.dmaBytes == medium.sector(1))
        #expect(floppy.run([0x6C, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF])[2] == 0x40)
    }

    @Test("a DMA request that nobody serves overruns in the end")
    func overrun() throws {
        let floppy = try Floppy()
        #expect(floppy.run([0xE6, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF])[0..<2] == [0x40, 0x10])
    }

    @Test("a snapshot in the middle of a transfer continues to the same end")
    func snapshot() throws {
        let medium = MemoryMedium(sectors: 2880)
        let floppy = try Floppy(medium)
        floppy.rig.dmaBurst = 100
        floppy.dma(read: 4 * 512)
        floppy.send([0xE6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF])
        _ = floppy.rig.fireNext()
        _ = floppy.rig.fireNext()
        #expect(floppy.rig.dmaPosition > 0 && floppy.rig.dmaPosition < 2048)
        let saved = try JSONDecoder().decode(FDC.self, from: JSONEncoder().encode(floppy.rig.chip))
        #expect(saved == floppy.rig.chip)
        floppy.rig.chip = saved
        #expect(floppy.rig.await(irq: 6))
        #expect(floppy.results() == [0, 0, 0, 9, 0, 5, 2])
        #expect(floppy.rig.dmaBytes == medium.sector(9 * 36, count: 4))
    }

    @Test("random port traffic never traps and never reaches beyond the medium", arguments: 0..<8)
    func fuzz(seed: Int) throws {
        var random = DriveRandom(seed: UInt64(seed))
        let sizes = [320, 720, 2400, 2880, 5760, 17]
        let medium = MemoryMedium(sectors: sizes[seed % sizes.count])
        let rig = try DriveRig(FDC())
        rig.media[.floppyA] = medium
        rig.media[.floppyB] = MemoryMedium(sectors: 1440, readOnly: true)
        let opcodes: [UInt8] = [0xE6, 0xC5, 0x4D, 0x46, 0x42, 0x4C, 0x49, 0x56, 0x4A, 0x07, 0x0F, 0x8F, 0xCF, 0x08, 0x03, 0x13, 0x12]
        for _ in 0..<30_000 {
            switch random.next() % 10 {
            case 0: rig.output(0x3F0 + Port(random.next() % 8), UInt8(truncatingIfNeeded: random.next()))
            case 1: rig.output(0x3F2, [0x1C, 0x3D, 0x1C, 0x18][Int(random.next() % 4)])
            case 2: _ = rig.fireNext()
            case 3:
                (rig.dmaBytes, rig.dmaPosition) = ([UInt8](repeating: 5, count: Int(random.next() % 3000)), 0)
                rig.dmaToMemory.toggle()
            case 4: _ = rig.input(0x3F5)
            case 5: rig.output(0x3F5, opcodes[Int(random.next() % UInt64(opcodes.count))])
            case 6: rig.output(0x3F5, UInt8(truncatingIfNeeded: random.next() % 20))
            case 7: _ = rig.inputWide(0x3F4, 4)
            default: rig.output(0x3F5, UInt8(truncatingIfNeeded: random.next() % 4))
            }
        }
        #expect(!medium.violated)
        #expect(rig.chip.command.count <= 9 && rig.chip.result.count <= 10)
    }
}
