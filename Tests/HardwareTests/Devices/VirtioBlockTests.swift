import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("virtio · block device") struct VirtioBlockTests {
    private let rig: VirtioRig<VirtioBlock>
    private let disk = MemoryMedium(sectors: 3000)
    private let header: Physical = 0x8_0000, status: Physical = 0x8_1000, data: Physical = 0x10_0000

    init() throws {
        rig = try VirtioRig(VirtioBlock(slot: 8, bay: .virtio0, number: 3))
        rig.media[.virtio0] = disk
        rig.start()
    }

    /// Carries out one request; the status it ends with, 0xEE: none came.
    private func request(_ type: UInt32, sector: UInt64 = 0, _ pieces: [VirtioRig<VirtioBlock>.Piece] = []) -> UInt8 {
        rig.memory.store(header, UInt64(type))
        rig.memory.store(header + 8, sector)
        rig.memory.store(status, UInt8(0xEE))
        _ = rig.carryOut(0, [.init(header, 16)] + pieces + [.init(status, 1, writable: true)])
        return rig.memory.load(status, as: UInt8.self)
    }

    @Test("capacity, limits and geometry are in the configuration") func configuration() {
        #expect(rig.load(0x2000, 8) == 3000)
        #expect(rig.load(0x2008, 4) == 1 << 20)
        #expect(rig.load(0x200C, 4) == 254)
        #expect(rig.load(0x2010, 2) == 2)
        #expect(rig.load(0x2012, 1) == 16)
        #expect(rig.load(0x2013, 1) == 63)
        #expect(rig.load(0x2014, 4) == 512)
        #expect(rig.load(0x2024, 4) == 131_072)
        #expect(rig.load(0x2100, 8) == 0)
        rig.store(0x2000, 8, 5)
        #expect(rig.load(0x2000, 8) == 3000, "read-only")
    }

    @Test("reads and writes move sectors, however the buffer is cut") func transfers() {
        #expect(request(0, sector: 7, [.init(data, 512, writable: true)]) == 0)
        #expect(rig.memory.read(data, count: 512) == disk.sector(7))
        let pieces: [VirtioRig<VirtioBlock>.Piece] = [
            .init(data, 1, writable: true), .init(data + 0x1001, 1000, writable: true), .init(data + 0x2000, 23, writable: true),
        ]
        #expect(request(0, sector: 100, pieces) == 0)
        #expect(
            rig.memory.read(data, count: 1) + rig.memory.read(data + 0x1001, count: 1000) + rig.memory.read(data + 0x2000, count: 23)
                == disk.sector(100, count: 2))
        let bytes = (0..<1024).map { UInt8(truncatingIfNeeded: $0 * 7) }
        rig.memory.write(data, bytes)
        #expect(request(1, sector: 2998, [.init(data, 600), .init(data + 600, 424)]) == 0)
        #expect(disk.sector(2998, count: 2) == bytes)
        #expect(disk.flushes == 0)
    }

    @Test("header and data in one descriptor, data and status in one, as ANY_LAYOUT allows") func anyLayout() {
        rig.memory.store(header, UInt64(1))
        rig.memory.store(header + 8, UInt64(5))
        rig.memory.write(header + 16, [UInt8](repeating: 0xA5, count: 512))
        #expect(rig.carryOut(0, [.init(header, 10), .init(header + 10, 518), .init(status, 1, writable: true)]) == 1)
        #expect(disk.sector(5) == [UInt8](repeating: 0xA5, count: 512))
        rig.memory.store(header, UInt64(0))
        #expect(rig.carryOut(0, [.init(header, 16), .init(data, 513, writable: true)]) == 513)
        #expect(rig.memory.read(data, count: 513) == [UInt8](repeating: 0xA5, count: 512) + [0])
    }

    @Test("a transfer larger than a piece arrives whole") func large() throws {
        let disk = MemoryMedium(sectors: 6000)
        rig.media[.virtio0] = disk
        #expect(request(0, sector: 1, [.init(data, 1_500_160, writable: true), .init(0x30_0000, 1_000_448, writable: true)]) == 0)
        #expect(rig.memory.read(data, count: 1_500_160) == Array(disk.bytes[512..<1_500_672]))
        #expect(rig.memory.read(0x30_0000, count: 1_000_448) == Array(disk.bytes[1_500_672..<2_501_120]))
    }

    static let outside: [(UInt64, UInt32)] = [
        (3000, 512), (2999, 1024), (0xFFFF_FFFF_FFFF_FFFF, 512), (0x80_0000_0000_0000, 512), (0, 511), (0, 513), (0x8000_0000_0000_0000, 512),
    ]

    @Test("what does not lie on the disk fails and moves nothing", arguments: outside)
    func range(sector: UInt64, bytes: UInt32) {
        rig.memory.write(data, [UInt8](repeating: 0x11, count: 2048))
        let before = disk.bytes
        #expect(request(0, sector: sector, [.init(data, bytes, writable: true)]) == 1)
        #expect(rig.memory.read(data, count: 2048) == [UInt8](repeating: 0x11, count: 2048))
        #expect(request(1, sector: sector, [.init(data, bytes)]) == 1)
        #expect(disk.bytes == before)
        #expect(!disk.violated)
        #expect(!rig.needsReset)
    }

    @Test("an empty transfer is done, also at the disk's end") func empty() {
        #expect(request(0, sector: 3000) == 0)
        #expect(request(1, sector: 3000) == 0)
        #expect(request(1, sector: 3001) == 1)
    }

    @Test("a medium that fails gives an error; the used length counts what was written") func broken() {
        disk.broken = [10]
        #expect(request(0, sector: 9, [.init(data, 1024, writable: true)]) == 1)
        #expect(request(0, sector: 9, [.init(data, 512, writable: true)]) == 0)
        #expect(rig.carryOut(0, [.init(header, 16), .init(data, 1024, writable: true), .init(status, 1, writable: true)]) == 1)
    }

    @Test("flush reaches the medium; without the feature every write does") func flush() {
        #expect(request(4) == 0)
        #expect(disk.flushes == 1)
        rig.start(without: 1 << 9)
        #expect(request(1, sector: 1, [.init(data, 512)]) == 0)
        #expect(disk.flushes == 2)
        #expect(request(0, sector: 1, [.init(data, 512, writable: true)]) == 0)
        #expect(disk.flushes == 2)
    }

    @Test("the ID is 20 bytes padded with zeros, and cut to the room there is") func identity() {
        #expect(request(8, [.init(data, 20, writable: true)]) == 0)
        #expect(rig.memory.read(data, count: 20) == Array("vitrine-disk-3".utf8) + [UInt8](repeating: 0, count: 6))
        rig.memory.write(data, [UInt8](repeating: 9, count: 30))
        #expect(request(8, [.init(data, 4, writable: true)]) == 0)
        #expect(rig.memory.read(data, count: 5) == Array("vitr".utf8) + [9])
        #expect(request(8) == 0)
    }

    @Test("other types are not supported", arguments: [UInt32(2), 3, 5, 7, 10, 14, 16, 0x8000_0000, .max])
    func unsupported(type: UInt32) { #expect(request(type, [.init(data, 512, writable: true)]) == 2) }

    @Test("a read-only medium says so and takes no write, no zeros") func readOnly() {
        disk.readOnly = true
        rig.start()
        #expect(rig.chip.transport.driverFeatures & 1 << 5 != 0)
        #expect(rig.chip.transport.driverFeatures & (1 << 13 | 1 << 14) == 0)
        #expect(request(1, sector: 1, [.init(data, 512)]) == 1)
        #expect(request(13, [.init(data, 16)]) == 2)
        #expect(request(0, sector: 1, [.init(data, 512, writable: true)]) == 0)
    }

    @Test("without a medium everything fails, and nothing traps") func noMedium() {
        rig.media[.virtio0] = nil
        #expect(rig.load(0x2000, 8) == 0)
        for type in [UInt32(0), 1, 4, 8, 11, 13] { #expect(request(type, [.init(data, 512)]) == 1) }
        rig.media[.virtio0] = MemoryMedium(sectors: 10, sectorBytes: 2048)
        #expect(request(0, [.init(data, 512, writable: true)]) == 1)
    }

    // MARK: Discard and write zeroes

    private func ranges(_ list: [(UInt64, UInt32, UInt32)]) -> VirtioRig<VirtioBlock>.Piece {
        for (index, range) in list.enumerated() {
            rig.memory.store(data + Physical(16 * index), range.0)
            rig.memory.store(data + Physical(16 * index) + 8, range.1)
            rig.memory.store(data + Physical(16 * index) + 12, range.2)
        }
        return .init(data, UInt32(16 * list.count))
    }

    @Test("discard and write zeroes make their ranges zero and nothing else", arguments: [UInt32(11), 13])
    func zeroes(type: UInt32) {
        let (before, after) = (disk.sector(9), disk.sector(1511))
        #expect(request(type, [ranges([(10, 1501, type == 13 ? 1 : 0), (2000, 1, 0), (2999, 1, 0)])]) == 0)
        #expect(disk.sector(10, count: 1501).allSatisfy { $0 == 0 })
        #expect(disk.sector(2000).allSatisfy { $0 == 0 } && disk.sector(2999).allSatisfy { $0 == 0 })
        #expect(disk.sector(9) == before && disk.sector(1511) == after)
    }

    @Test("ranges that break a rule") func zeroesRules() {
        let before = disk.bytes
        #expect(request(11, [ranges([(0, 1, 1)])]) == 2, "unmap in a discard")
        #expect(request(13, [ranges([(0, 1, 2)])]) == 2, "an unknown flag")
        #expect(request(13, [ranges([(0, 1, 0), (1, 1, 0x8000_0000)])]) == 2)
        #expect(request(13, [ranges([(3000, 1, 0)])]) == 1)
        #expect(request(13, [ranges([(2999, 2, 0)])]) == 1)
        #expect(request(13, [ranges([(.max, 1, 0)])]) == 1)
        #expect(request(13, [ranges([(0, .max, 0)])]) == 1)
        #expect(request(13, [ranges([(0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0)])]) == 1, "too many")
        #expect(request(13, [.init(data, 15)]) == 1)
        #expect(request(13) == 1)
        #expect(disk.bytes == before)
        rig.start(without: 1 << 13)
        #expect(request(11, [ranges([(0, 1, 0)])]) == 2, "not negotiated")
    }

    // MARK: Queues

    @Test("requests without room for header or status break the device") func malformed() {
        for pieces in [
            [VirtioRig<VirtioBlock>.Piece(header, 15), .init(status, 1, writable: true)], [.init(header, 16)], [.init(header, 512, writable: true)],
            [.init(header, 16), .init(status, 0, writable: true)],
        ] {
            rig.start()
            #expect(rig.carryOut(0, pieces) == nil)
            #expect(rig.needsReset)
        }
    }

    @Test("many requests are done in one notice with one interrupt") func many() {
        rig.start(without: VirtioPCI.Feature.eventIndex)
        for index in 0..<64 {
            let at = header + Physical(index) * 64
            rig.memory.store(at, UInt64(0))
            rig.memory.store(at + 8, UInt64(index * 3))
            rig.chain(
                0, [.init(at, 16), .init(data + Physical(index) * 512, 512, writable: true), .init(at + 32, 1, writable: true)], head: index * 3)
            rig.offer(0, UInt16(index * 3))
        }
        rig.notify(0)
        for index in 0..<64 {
            let element = rig.used(0)
            #expect(element?.head == UInt32(index * 3))
            #expect(element?.bytes == 513)
            #expect(rig.memory.read(data + Physical(index) * 512, count: 512) == disk.sector(index * 3))
        }
        #expect(rig.takeISR() == 1)
    }

    @Test("a queue full of large requests is done in steps") func steps() throws {
        rig.media[.virtio0] = EndlessMedium(sectors: 1 << 30)
        rig.memory.store(header, UInt64(0))
        // The same 2 MiB of memory again and again: 64 MiB a request.
        for index in 0..<64 {
            rig.descriptor(0x8_2000, index, data, 1 << 20, flags: 2 | 1, next: UInt16(index + 1))
        }
        rig.descriptor(0x8_2000 + 16 * 64, 0, status, 1, flags: 2)
        for head in 0..<4 {
            rig.descriptor(rig.descriptors(0), head * 2, header, 16, flags: 1, next: UInt16(head * 2 + 1))
            rig.descriptor(rig.descriptors(0), head * 2 + 1, 0x8_2000, 65 * 16, flags: 4)
            rig.offer(0, UInt16(head * 2))
        }
        rig.notify(0)
        #expect(rig.used(0) != nil)
        #expect(rig.used(0) == nil, "one step, one large request")
        rig.notify(0)
        #expect(rig.used(0) == nil, "a notice does not hurry it")
        for _ in 0..<3 {
            let at = try #require(rig.chip.deadline)
            #expect(at > rig.now)
            rig.now = at
            rig.call { $0.fire(&$1) }
            #expect(rig.used(0) != nil)
        }
        #expect(rig.chip.deadline == nil)
    }

    @Test("data over the ring itself does not confuse the device") func overRing() {
        // The sector read lands on descriptor table and rings.
        _ = rig.carryOut(0, [.init(header, 16), .init(rig.descriptors(0), 0x6000, writable: true), .init(status, 1, writable: true)])
        #expect(rig.needsReset || rig.chip.deadline == nil)
        rig.start()
        #expect(request(4) == 0)
    }

    @Test("a snapshot in the middle of a step goes on") func snapshot() throws {
        try expectRoundTrip(rig.chip)
        rig.chip = try roundTrip(rig.chip)
        #expect(request(0, sector: 7, [.init(data, 512, writable: true)]) == 0)
    }
}
