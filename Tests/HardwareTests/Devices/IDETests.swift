import CPU
import Primitives
import Testing

@testable import Hardware

/// A driver for one channel: what a BIOS or libata does, through ports.
final class ATADriver {
    let rig: DriveRig<IDE>
    let base: Port
    let control: Port
    let irq: Int
    let busMaster: Port

    init(_ rig: DriveRig<IDE>, secondary: Bool = false) {
        self.rig = rig
        (base, control, irq) = secondary ? (0x170, 0x376, 15) : (0x1F0, 0x3F6, 14)
        busMaster = secondary ? 0xC008 : 0xC000
        rig.call { ide, wires in
            ide.config.set32(0x20, 0xC001)
            ide.config.bytes[0x04] = 0x05
            ide.configWritten(0x20..<0x24, &wires)
        }
    }

    var status: UInt8 { rig.input(control) }

    func waitNotBusy() -> UInt8 {
        for _ in 0..<4000 {
            let now = rig.input(base + 7)
            if now & 0x80 == 0 { return now }
            if !rig.fireNext() { return now }
        }
        return 0x80
    }

    func select(slave: Bool, lba: Bool = true, high: UInt8 = 0) {
        rig.output(base + 6, 0xA0 | (lba ? 0x40 : 0) | (slave ? 0x10 : 0) | high)
    }

    /// Loads the registers for a 28-bit address, or for CHS, and writes the command.
    func command(_ code: UInt8, lba: UInt32 = 0, count: Int = 1, feature: UInt8 = 0, slave: Bool = false) {
        select(slave: slave, high: UInt8(lba >> 24 & 15))
        rig.output(base + 1, feature)
        rig.output(base + 2, UInt8(truncatingIfNeeded: count))
        for i in 0..<3 { rig.output(base + 3 + Port(i), UInt8(truncatingIfNeeded: lba >> UInt32(8 * i))) }
        rig.output(base + 7, code)
    }

    func commandExt(_ code: UInt8, lba: UInt64, count: Int, slave: Bool = false) {
        select(slave: slave)
        rig.output(base + 2, UInt8(truncatingIfNeeded: count >> 8))
        for i in 0..<3 { rig.output(base + 3 + Port(i), UInt8(truncatingIfNeeded: lba >> UInt64(24 + 8 * i))) }
        rig.output(base + 2, UInt8(truncatingIfNeeded: count))
        for i in 0..<3 { rig.output(base + 3 + Port(i), UInt8(truncatingIfNeeded: lba >> UInt64(8 * i))) }
        rig.output(base + 7, code)
    }

    /// Interrupt-driven: waits for INTRQ, then reads the status, which acknowledges it.
    func waitInterrupt() -> UInt8 {
        guard rig.await(irq: irq) else { return 0xFF }
        return rig.input(base + 7)
    }

    func words(_ bytes: Int, size: Int = 2) -> [UInt8] {
        var data: [UInt8] = []
        while data.count < bytes {
            let value = rig.inputWide(base, size)
            for i in 0..<size { data.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) }
        }
        return data
    }

    func send(_ bytes: [UInt8], size: Int = 2) {
        for at in stride(from: 0, to: bytes.count, by: size) {
            var value: UInt32 = 0
            for i in 0..<size { value |= UInt32(bytes[at + i]) << UInt32(8 * i) }
            rig.outputWide(base, size, value)
        }
    }

    /// Reads `sectors` by interrupt-driven PIO in blocks.
    func readPIO(sectors: Int, block: Int = 1, size: Int = 2) -> [UInt8]? {
        var data: [UInt8] = []
        var left = sectors
        while left > 0 {
            guard waitInterrupt() & 0x89 == 0x08 else { return nil }
            let now = min(block, left)
            data += words(now * 512, size: size)
            left -= now
        }
        return data
    }

    /// Polled, as SeaBIOS writes.
    func writePIO(_ bytes: [UInt8], block: Int = 1) -> UInt8 {
        var at = 0
        while at < bytes.count {
            guard waitNotBusy() & 0x89 == 0x08 else { return 0xFF }
            let end = min(bytes.count, at + block * 512)
            send(Array(bytes[at..<end]))
            at = end
        }
        return waitNotBusy()
    }

    /// A descriptor table at 0x1000: address, length field as it stands in memory.
    func table(_ entries: [(UInt32, UInt32)], at: UInt32 = 0x1000, end: Bool = true) {
        for (i, entry) in entries.enumerated() {
            let last: UInt32 = end && i == entries.count - 1 ? 1 << 31 : 0
            rig.memory.store(Physical(at) + Physical(8 * i), entry.0)
            rig.memory.store(Physical(at) + Physical(8 * i + 4), entry.1 | last)
        }
        rig.outputWide(busMaster + 4, 4, at)
    }

    func startDMA(toMemory: Bool) {
        rig.output(busMaster + 2, 0x06)
        rig.output(busMaster, toMemory ? 0x08 : 0)
        rig.output(busMaster, toMemory ? 0x09 : 1)
    }

    /// Status of the bus master and of the drive after the interrupt; stops the engine.
    func finishDMA() -> (engine: UInt8, drive: UInt8) {
        _ = rig.await(irq: irq)
        let engine = rig.input(busMaster + 2)
        rig.output(busMaster, 0)
        return (engine & 7, rig.input(base + 7))
    }

    /// A packet command; the drive has taken the packet when this returns.
    func packet(_ cdb: [UInt8], limit: Int = 0xFFFE, dma: Bool = false, slave: Bool = false) {
        rig.output(base + 6, slave ? 0xB0 : 0xA0)
        rig.output(base + 1, dma ? 1 : 0)
        rig.output(base + 4, UInt8(limit & 0xFF))
        rig.output(base + 5, UInt8(limit >> 8))
        rig.output(base + 7, 0xA0)
        #expect(waitNotBusy() & 0x89 == 0x08)
        #expect(rig.input(base + 2) & 3 == 1)
        send(cdb + [UInt8](repeating: 0, count: 12 - cdb.count))
    }

    /// The data of a PIO packet command and the final status.
    func packetData(_ cdb: [UInt8], limit: Int = 0xFFFE) -> (data: [UInt8], status: UInt8, blocks: [Int]) {
        packet(cdb, limit: limit)
        var data: [UInt8] = []
        var blocks: [Int] = []
        for _ in 0..<5000 {
            let now = waitInterrupt()
            guard now & 0x08 != 0 else { return (data, now, blocks) }
            let count = Int(rig.input(base + 4)) | Int(rig.input(base + 5)) << 8
            blocks.append(count)
            data += words(count + count % 2).prefix(count)
        }
        return (data, 0x80, blocks)
    }

    func sense() -> [UInt8] {
        let data = packetData([0x03, 0, 0, 0, 18]).data
        return data.count == 18 ? [data[2], data[12], data[13]] : data
    }
}

func ideRig(_ disk: (any Medium)? = MemoryMedium(sectors: 4096), slave: (any Medium)? = nil, cd: (any Medium)? = nil) throws -> DriveRig<
    IDE
> {
    var media = MediaBays()
    media[.ide0Master] = disk
    media[.ide0Slave] = slave
    media[.ide1Master] = cd
    let rig = try DriveRig(IDE(drives: IDE.drives(for: media)))
    rig.media = media
    return rig
}

func word(_ data: [UInt8], _ index: Int) -> UInt16 { UInt16(data[2 * index]) | UInt16(data[2 * index + 1]) << 8 }
func text(_ data: [UInt8], _ words: ClosedRange<Int>) -> String {
    var characters: [UInt8] = []
    for word in words { characters += [data[2 * word + 1], data[2 * word]] }
    while characters.last == 0x20 { characters.removeLast() }
    return String(decoding: characters, as: UTF8.self)
}

@Suite("ide · PIIX3 channels") struct IDEChannelTests {
    @Test("is 8086:7010 with 16 bus-master ports where BAR4 says")
    func configuration() throws {
        let rig = try ideRig()
        #expect(rig.chip.config.get32(0) == 0x7010_8086)
        #expect(rig.chip.ports.count == 4)
        let driver = ATADriver(rig)
        #expect(rig.chip.ports.last == 0xC000...0xC00F)
        #expect(rig.requests == [.remap])
        rig.output(driver.busMaster + 4, 0x37)
        #expect(rig.inputWide(driver.busMaster + 4, 4) == 0x34)
        rig.chip.config.bytes[4] = 0
        #expect(rig.chip.ports.count == 4)
        #expect(rig.input(0xC000) == 0xFF)
    }

    @Test("no legacy port is the floppy controller's")
    func noOverlap() throws {
        let rig = try ideRig()
        for mine in rig.chip.ports { for other in FDC().ports { #expect(!mine.overlaps(other)) } }
    }

    @Test("a cable without drives floats high")
    func floating() throws {
        let rig = try ideRig(nil)
        let driver = ATADriver(rig)
        driver.command(0xEC)
        for port: Port in 0x1F1...0x1F7 { #expect(rig.input(port) == 0xFF) }
        #expect(rig.inputWide(0x1F0, 2) == 0xFFFF)
        #expect(rig.input(0x3F6) == 0xFF)
        #expect(rig.chip.deadline == nil)
    }

    @Test("a disk answers for an absent slave with status 0 and takes no command for it")
    func absentSlave() throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        driver.select(slave: true, lba: false)
        rig.output(0x1F2, 0x55)
        rig.output(0x1F3, 0xAA)
        #expect([rig.input(0x1F2), rig.input(0x1F3), rig.input(0x1F6)] == [0x55, 0xAA, 0xB0])
        #expect(rig.input(0x1F7) == 0)
        rig.output(0x1F7, 0xEC)
        #expect(rig.input(0x1F7) == 0 && rig.chip.deadline == nil)
    }

    @Test("a CD drive is not taken for two")
    func absentSlaveOfCD() throws {
        let rig = try ideRig()
        let driver = ATADriver(rig, secondary: true)
        driver.select(slave: true)
        rig.output(0x172, 0x55)
        rig.output(0x173, 0xAA)
        #expect([rig.input(0x172), rig.input(0x173), rig.input(0x174), rig.input(0x177)] == [0, 0, 0, 0])
    }

    @Test("a slave without a master is found, and the master's place floats")
    func slaveOnly() throws {
        let rig = try ideRig(nil, slave: MemoryMedium(sectors: 64))
        let driver = ATADriver(rig)
        driver.select(slave: false)
        #expect(rig.input(0x1F7) == 0xFF)
        driver.command(0xEC, slave: true)
        #expect(driver.waitNotBusy() == 0x58)
    }

    @Test("software reset leaves the signature of each drive, and no interrupt")
    func softwareReset() throws {
        let rig = try ideRig(slave: MemoryMedium(sectors: 64))
        for (driver, signature) in [(ATADriver(rig), [1, 1, 0, 0]), (ATADriver(rig, secondary: true), [1, 1, 0x14, 0xEB])] {
            rig.output(driver.control, 0x04)
            #expect(rig.input(driver.base + 7) & 0x80 != 0)
            rig.output(driver.control, 0x00)
            #expect(rig.input(driver.base + 7) & 0x80 != 0)
            let status = driver.waitNotBusy()
            #expect(status == (driver.irq == 14 ? 0x50 : 0x00))
            #expect(rig.input(driver.base + 1) == 1)
            #expect((2...5).map { Int(rig.input(driver.base + $0)) } == signature)
            #expect(rig.interrupts[driver.irq] == nil)
        }
    }

    @Test("execute device diagnostic passes, selects the master and interrupts")
    func diagnostic() throws {
        let rig = try ideRig(slave: MemoryMedium(sectors: 64))
        let driver = ATADriver(rig)
        driver.command(0x90, slave: true)
        #expect(driver.waitInterrupt() == 0x50)
        #expect(rig.input(0x1F1) == 1)
        #expect(rig.input(0x1F6) & 0x10 == 0)
    }

    @Test("the status register acknowledges the interrupt, the alternate status does not; nIEN holds it back")
    func interrupts() throws {
        let rig = try ideRig()
        let driver = ATADriver(rig)
        rig.output(0x3F6, 0x02)
        driver.command(0xE7)
        while rig.fireNext() {}
        #expect(!rig.line(14))
        rig.output(0x3F6, 0x00)
        #expect(rig.line(14))
        #expect(rig.input(0x3F6) == 0x50 && rig.line(14))
        #expect(rig.input(0x1F7) == 0x50 && !rig.line(14))
    }
}
