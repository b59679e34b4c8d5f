import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("virtio · console") struct VirtioConsoleTests {
    private let rig: VirtioRig<VirtioConsole>

    init() throws {
        rig = try VirtioRig(VirtioConsole(slot: 4))
        rig.start(without: VirtioPCI.Feature.eventIndex)
    }

    private var sent: [UInt8] {
        rig.requests.flatMap { request -> [UInt8] in
            if case .emit(.virtioConsole, let bytes) = request { return bytes }
            return []
        }
    }

    @Test("what the guest transmits goes to the host in order") func transmit() {
        rig.memory.write(0x10_0000, Array("hello".utf8))
        rig.memory.write(0x20_0000, Array(" world".utf8))
        #expect(rig.carryOut(1, [.init(0x10_0000, 5), .init(0x20_0000, 6)]) == 0)
        #expect(rig.carryOut(1, [.init(0x10_0000, 0)]) == 0)
        #expect(sent == Array("hello world".utf8))
        #expect(rig.interrupt)
    }

    @Test("input waits for buffers and fills them in order") func receive() {
        let taken = rig.call { $0.receive(Array("abcdef".utf8), &$1) }
        #expect(taken == 6)
        #expect(rig.carryOut(0, [.init(0x10_0000, 4, writable: true)]) == 4)
        #expect(rig.memory.read(0x10_0000, count: 4) == Array("abcd".utf8))
        #expect(rig.carryOut(0, [.init(0x10_0000, 1, writable: true), .init(0x20_0000, 9, writable: true)]) == 2)
        #expect(rig.memory.read(0x10_0000, count: 1) + rig.memory.read(0x20_0000, count: 1) == Array("ef".utf8))
        // A buffer that waits gets the next input, with an interrupt.
        _ = rig.takeISR()
        #expect(rig.carryOut(0, [.init(0x10_0000, 16, writable: true)]) == nil)
        #expect(!rig.interrupt)
        _ = rig.call { $0.receive([0x78], &$1) }
        #expect(rig.used(0)?.bytes == 1)
        #expect(rig.interrupt)
    }

    @Test("the host cannot send without end") func full() {
        #expect(rig.call { $0.receive([UInt8](repeating: 1, count: 5000), &$1) } == 4096)
        #expect(rig.call { $0.receive([1], &$1) } == 0)
        #expect(rig.carryOut(0, [.init(0x10_0000, 10, writable: true)]) == 10)
        #expect(rig.call { $0.receive([UInt8](repeating: 1, count: 5000), &$1) } == 10)
    }

    @Test("emergency writes need no queue") func emergency() {
        rig.store(0x14, 1, 0)
        rig.store(0x2008, 4, 0x1234_5641)
        rig.output(28, 4, 0x42)
        #expect(sent == [0x41, 0x42])
    }

    static let wrongBuffers: [(Int, [UInt32], Bool)] = [
        (0, [4], false), (0, [0], true), (1, [4], true), (1, [65_537], false), (1, [40_000, 40_000], false),
    ]

    @Test("buffers of the wrong kind, empty or too large, break the device", arguments: wrongBuffers)
    func wrong(queue: Int, sizes: [UInt32], writable: Bool) {
        _ = rig.call { $0.receive([1], &$1) }
        #expect(rig.carryOut(queue, sizes.map { .init(0x10_0000, $0, writable: writable) }) == nil)
        #expect(rig.needsReset)
        #expect(sent.isEmpty)
    }

    @Test("much output goes out in steps") func steps() {
        for index in 0..<100 {
            rig.chain(1, [.init(0x10_0000, 60_000)], head: index)
            rig.offer(1, UInt16(index))
        }
        rig.notify(1)
        rig.notify(1)
        #expect(sent.count == 120_000)
        while let at = rig.chip.deadline {
            rig.now = at
            rig.call { $0.fire(&$1) }
        }
        #expect(sent.count == 6_000_000)
    }

    @Test("a snapshot keeps the waiting input") func snapshot() throws {
        _ = rig.call { $0.receive([5, 6, 7], &$1) }
        try expectRoundTrip(rig.chip)
        rig.chip = try roundTrip(rig.chip)
        #expect(rig.carryOut(0, [.init(0x10_0000, 4, writable: true)]) == 3)
    }
}

@Suite("virtio · entropy") struct VirtioRNGTests {
    private func bytes(_ rig: VirtioRig<VirtioRNG>, _ count: UInt32) -> [UInt8] {
        let written = rig.carryOut(0, [.init(0x10_0000, count, writable: true)])
        return rig.memory.read(0x10_0000, count: Int(written ?? 0))
    }

    @Test("a seed gives the same bytes every time, another seed others; a reset of the guest does not repeat them") func seeded() throws {
        func make(_ seed: UInt64) throws -> VirtioRig<VirtioRNG> {
            let rig = try VirtioRig(VirtioRNG(slot: 5, seed: seed))
            rig.start()
            return rig
        }
        let (one, same, other) = (try make(1), try make(1), try make(2))
        let first = bytes(one, 64)
        #expect(first.count == 64)
        #expect(first == bytes(same, 64))
        #expect(first != bytes(other, 64))
        #expect(Set(first).count > 20)
        one.start()
        #expect(bytes(one, 64) != first)
        #expect(one.chip.wanted == 0)
        one.chip = try roundTrip(one.chip)
        _ = bytes(same, 64)
        #expect(bytes(one, 33) == bytes(same, 33))
    }

    @Test("the generator is xoshiro256** filled by SplitMix64") func generator() throws {
        // Values computed from the published reference code with seed 0.
        let rig = try VirtioRig(VirtioRNG(slot: 5, seed: 0))
        #expect(rig.chip.generator == [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F, 0xF88B_B8A8_724C_81EC])
        rig.start()
        _ = bytes(rig, 8)
        #expect(rig.memory.load(0x10_0000, as: UInt64.self) == 0x99EC_5F36_CB75_F2B4)
    }

    @Test("large buffers are filled in part, huge ones refused") func sizes() throws {
        let rig = try VirtioRig(VirtioRNG(slot: 5, seed: 0))
        rig.start()
        #expect(bytes(rig, 100_000).count == 4096)
        #expect(bytes(rig, 1).count == 1)
        #expect(rig.carryOut(0, [.init(0, 0x20_0000, writable: true)]) == nil)
        #expect(rig.needsReset)
    }

    @Test("with the host as source a request waits for bytes and takes no others") func host() throws {
        let rig = try VirtioRig(VirtioRNG(slot: 5, seed: nil))
        rig.start()
        #expect(rig.chip.wanted == 0)
        #expect(rig.carryOut(0, [.init(0x10_0000, 16, writable: true)]) == nil)
        #expect(rig.chip.wanted == 4096)
        rig.call { $0.supply([], &$1) }
        #expect(rig.chip.wanted == 4096)
        rig.call { $0.supply(Array(1...10), &$1) }
        #expect(rig.used(0)?.bytes == 10)
        #expect(rig.memory.read(0x10_0000, count: 10) == Array(1...10))
        #expect(rig.chip.wanted == 0)
        rig.call { $0.supply([UInt8](repeating: 3, count: 10_000), &$1) }
        #expect(rig.chip.pool.count == 4096)
        #expect(bytes(rig, 16) == [UInt8](repeating: 3, count: 16))
        #expect(rig.chip.pool.count == 4080)
    }

    @Test("a buffer to read breaks the device") func wrong() throws {
        let rig = try VirtioRig(VirtioRNG(slot: 5, seed: 0))
        rig.start()
        #expect(rig.carryOut(0, [.init(0x10_0000, 16)]) == nil)
        #expect(rig.needsReset)
    }
}

@Suite("virtio · balloon") struct VirtioBalloonTests {
    private let rig: VirtioRig<VirtioBalloon>

    init() throws {
        rig = try VirtioRig(VirtioBalloon(slot: 6))
        rig.start(without: VirtioPCI.Feature.eventIndex)
    }

    private func pages(_ numbers: [UInt32]) -> VirtioRig<VirtioBalloon>.Piece {
        for (index, number) in numbers.enumerated() { rig.memory.store(0x8_0000 + Physical(4 * index), number) }
        return .init(0x8_0000, UInt32(4 * numbers.count))
    }

    @Test("the host's wish is a configuration change; what the guest gave is what it says") func target() {
        rig.call { $0.setTarget(pages: 512, &$1) }
        #expect(rig.load(0x2000, 4) == 512)
        #expect(rig.load(0x15, 1) == 1)
        #expect(rig.interrupt)
        #expect(rig.takeISR() == 2)
        rig.call { $0.setTarget(pages: 512, &$1) }
        #expect(!rig.interrupt, "no change, no interrupt")
        rig.store(0x2004, 4, 300)
        rig.store(0x2000, 4, 9)
        #expect((rig.chip.target, rig.chip.actual) == (512, 300))
        #expect(rig.load(0x2004, 4) == 300)
        // Legacy drivers write bytes.
        for (index, byte) in [UInt32(1), 2, 3, 4].enumerated() { rig.output(24 + index, 1, byte) }
        #expect(rig.chip.actual == 0x0403_0201)
    }

    @Test("inflated pages go back to the host and read as zeros; their neighbours stay") func inflate() {
        rig.memory.write(0x20_0000, [UInt8](repeating: 0xAB, count: 4 * 4096))
        #expect(rig.carryOut(0, [pages([0x201, 0x203])]) == 0)
        #expect(rig.memory.read(0x20_0000, count: 4096).allSatisfy { $0 == 0xAB })
        #expect(rig.memory.read(0x20_1000, count: 4096).allSatisfy { $0 == 0 })
        #expect(rig.memory.read(0x20_2000, count: 4096).allSatisfy { $0 == 0xAB })
        #expect(rig.memory.read(0x20_3000, count: 4096).allSatisfy { $0 == 0 })
        #expect(rig.chip.released == 2)
        rig.memory.store(0x20_1000, UInt32(5))
        #expect(rig.memory.load(0x20_1000, as: UInt32.self) == 5, "memory again")
        #expect(rig.carryOut(1, [pages([0x201])]) == 0)
        #expect(rig.memory.load(0x20_1000, as: UInt32.self) == 5)
    }

    @Test("pages that are not RAM are left alone") func strange() {
        #expect(rig.carryOut(0, [pages([0x400, 0xE0000, 0xFEC00, .max])]) == 0)
        #expect(rig.chip.released == 0)
        #expect(!rig.needsReset)
    }

    @Test("ROM and its shadow are not given away") func rom() {
        rig.memory.setMap([
            .init(base: 0, bytes: 4 << 20, read: 0, write: 0), .init(base: 0xF_0000, bytes: 0x1_0000, read: 0xF_0000, write: nil, dropWrites: true),
        ])
        #expect(rig.carryOut(0, [pages([0xF0, 0xFF])]) == 0)
        #expect(rig.chip.released == 0)
    }

    @Test("the page that holds the ring may go too") func ring() {
        _ = rig.carryOut(0, [pages((0..<1024).map { UInt32($0) })])
        #expect(rig.chip.released == 1024)
        #expect(rig.memory.read(0, count: 0x1_0000).allSatisfy { $0 == 0 })
        rig.start()
        #expect(rig.carryOut(0, [pages([0x300])]) == 0)
    }

    @Test("lists that are no lists break the device", arguments: [UInt32(3), 65_540])
    func malformed(bytes: UInt32) {
        #expect(rig.carryOut(0, [.init(0x10_0000, bytes)]) == nil)
        #expect(rig.needsReset)
    }

    @Test("statistics are kept by tag, and asked for again after a while") func statistics() throws {
        func entry(_ index: Int, _ tag: UInt16, _ value: UInt64) {
            rig.memory.store(0x10_0000 + Physical(10 * index), tag)
            rig.memory.store(0x10_0002 + Physical(10 * index), value)
        }
        entry(0, 4, 1234)
        entry(1, 5, 0x1_0000_0000)
        entry(2, 4711, 1)
        rig.chain(2, [.init(0x10_0000, 35)])
        rig.offer(2)
        rig.notify(2)
        #expect(rig.used(2) == nil, "the device keeps the buffer")
        #expect(rig.chip.statistics[4] == 1234)
        #expect(rig.chip.statistics[5] == 0x1_0000_0000)
        #expect(rig.chip.statistics[6] == .max)
        let at = try #require(rig.chip.deadline)
        #expect(at == rig.now + VirtioBalloon.statisticsPeriod)
        rig.chip = try roundTrip(rig.chip)
        rig.now = at
        rig.call { $0.fire(&$1) }
        #expect(rig.used(2)?.head == 0)
        #expect(rig.interrupt)
        #expect(rig.chip.deadline == nil)
        entry(0, 4, 99)
        rig.offer(2)
        rig.notify(2)
        #expect(rig.chip.statistics[4] == 99)
        rig.store(0x14, 1, 0)
        #expect(rig.chip.deadline == nil)
        #expect(rig.chip.statistics[4] == .max)
    }

    @Test("two statistics buffers at once: the first goes back") func twoStatistics() {
        for head in [0, 1] {
            rig.chain(2, [.init(0x10_0000, 10)], head: head)
            rig.offer(2, UInt16(head))
            rig.notify(2)
        }
        #expect(rig.used(2)?.head == 0)
        #expect(rig.chip.statisticsHead == 1)
    }
}
