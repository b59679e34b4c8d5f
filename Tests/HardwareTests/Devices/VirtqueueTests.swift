import CPU
import Primitives
import Testing

@testable import Hardware

/// Rings as a driver should make them, and as it should not.
@Suite("virtio · split virtqueue") struct VirtqueueTests {
    private let rig: VirtioRig<VirtioBlock>

    init() throws {
        rig = try VirtioRig(VirtioBlock(slot: 8, bay: .virtio0, number: 1))
        rig.start(size: 8)
    }

    private func take(indirect: Bool = true, limit: Int = 1 << 20) -> Result<VirtioChain?, VirtqueueFault> {
        var queue = rig.chip.transport.queues[0]
        do {
            let chain = try queue.take(rig.memory, indirect: indirect, limit: limit)
            if chain == nil { #expect(queue == rig.chip.transport.queues[0]) }
            rig.chip.transport.queues[0] = queue
            return .success(chain)
        } catch {
            #expect(queue == rig.chip.transport.queues[0], "a fault leaves the queue as it was")
            return .failure(error)
        }
    }

    private func fault(_ expected: VirtqueueFault, _ place: SourceLocation = #_sourceLocation, limit: Int = 1 << 20, indirect: Bool = true) {
        rig.offer(0)
        switch take(indirect: indirect, limit: limit) {
        case .success(let chain): Issue.record("taken: \(String(describing: chain))", sourceLocation: place)
        case .failure(let fault): #expect(fault == expected, sourceLocation: place)
        }
    }

    @Test("a chain comes out as its readable and its writable bytes; an empty ring as nothing") func chain() throws {
        #expect(try take().get() == nil)
        rig.chain(0, [.init(0x10_0000, 16), .init(0x20_0000, 7), .init(0x30_0000, 100, writable: true)], head: 3)
        rig.offer(0, 3)
        let chain = try #require(try take().get())
        #expect(chain.head == 3)
        #expect(chain.readable == [.init(address: 0x10_0000, count: 16), .init(address: 0x20_0000, count: 7)])
        #expect((chain.readableBytes, chain.writableBytes) == (23, 100))
        #expect(try take().get() == nil)
    }

    @Test("copies cross descriptors at any offset and stop at the end") func copies() throws {
        rig.memory.write(0x10_0000, [1, 2, 3])
        rig.memory.write(0x20_0000, [4, 5])
        rig.chain(
            0, [.init(0x10_0000, 3), .init(0x10_1000, 0), .init(0x20_0000, 2), .init(0x30_0000, 1, writable: true), .init(0x30_1000, 2, writable: true)])
        rig.offer(0)
        let chain = try #require(try take().get())
        #expect(chain.bytes(0, count: 100, rig.memory) == [1, 2, 3, 4, 5])
        #expect(chain.bytes(2, count: 2, rig.memory) == [3, 4])
        #expect(chain.bytes(5, count: 2, rig.memory) == [])
        #expect(chain.bytes(9, count: 2, rig.memory) == [])
        #expect(chain.write(1, [7, 8, 9], rig.memory) == 2)
        #expect(rig.memory.read(0x30_0000, count: 1) == [0])
        #expect(rig.memory.read(0x30_1000, count: 3) == [7, 8, 0])
    }

    @Test("the indices wrap at 65536, and the rings at their size") func wraps() throws {
        rig.chain(0, [.init(0x10_0000, 1)])
        for round in 0..<70_000 {
            rig.offer(0)
            guard try take().get() != nil else {
                Issue.record("nothing in round \(round)")
                return
            }
            try rig.chip.transport.queues[0].use(0, written: round, rig.memory)
        }
        #expect(rig.chip.transport.queues[0].nextAvailable == UInt16(70_000 - 65_536))
        #expect(rig.memory.load(rig.device(0) + 2, as: UInt16.self) == UInt16(70_000 - 65_536))
        #expect(rig.memory.load(rig.device(0) + 4 + 8 * 7 + 4, as: UInt32.self) == 69_999)
    }

    @Test("an indirect table may follow direct descriptors; its write flag means nothing") func indirect() throws {
        rig.descriptor(rig.descriptors(0), 0, 0x10_0000, 4, flags: 1, next: 5)
        rig.descriptor(rig.descriptors(0), 5, 0x20_0000, 32, flags: 4 | 2)
        rig.descriptor(0x20_0000, 0, 0x10_1000, 5, flags: 1, next: 1)
        rig.descriptor(0x20_0000, 1, 0x10_2000, 6, flags: 2)
        rig.offer(0)
        let chain = try #require(try take().get())
        #expect((chain.readableBytes, chain.writableBytes) == (9, 6))
    }

    @Test("a long indirect table is taken whole") func longIndirect() throws {
        for index in 0..<1024 {
            rig.descriptor(0x20_0000, index, 0x10_0000, 1, flags: index < 1023 ? 1 : 0, next: UInt16(index + 1))
        }
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, 1024 * 16, flags: 4)
        rig.offer(0)
        #expect(try take().get()?.readableBytes == 1024)
    }

    // MARK: Hostile

    @Test("an available index too far ahead") func index() {
        rig.memory.store(rig.driver(0) + 2, UInt16(9))
        if case .failure(let fault) = take() { #expect(fault == .availableIndex) } else { Issue.record("taken") }
        rig.memory.store(rig.driver(0) + 2, UInt16(0xFFFF))
        if case .failure(let fault) = take() { #expect(fault == .availableIndex) } else { Issue.record("taken") }
    }

    @Test("heads and links beyond the table") func links() {
        rig.memory.store(rig.driver(0) + 4, UInt16(8))
        rig.memory.store(rig.driver(0) + 2, UInt16(1))
        if case .failure(let fault) = take() { #expect(fault == .descriptorIndex) } else { Issue.record("taken") }
        rig.descriptor(rig.descriptors(0), 0, 0x10_0000, 1, flags: 1, next: 8)
        fault(.descriptorIndex)
        rig.descriptor(rig.descriptors(0), 0, 0x10_0000, 1, flags: 1, next: 0xFFFF)
        fault(.descriptorIndex)
        // Beyond the indirect table, though within the queue.
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, 32, flags: 4)
        rig.descriptor(0x20_0000, 0, 0x10_0000, 1, flags: 1, next: 2)
        fault(.descriptorIndex)
    }

    @Test("chains that end nowhere") func loops() {
        rig.descriptor(rig.descriptors(0), 0, 0x10_0000, 1, flags: 1, next: 0)
        fault(.loop)
        for index in 0..<8 { rig.descriptor(rig.descriptors(0), index, 0x10_0000, 0, flags: 1, next: UInt16((index + 1) % 8)) }
        fault(.loop)
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, 32, flags: 4)
        rig.descriptor(0x20_0000, 0, 0x10_0000, 1, flags: 1, next: 1)
        rig.descriptor(0x20_0000, 1, 0x10_0000, 1, flags: 1, next: 0)
        fault(.loop)
    }

    static let tables: [(UInt16, UInt32)] = [(5, 32), (4, 0), (4, 8), (4, 33), (4, 0xFFFF_FFFF)]

    @Test("indirect tables that break a rule", arguments: tables)
    func indirectRules(flags: UInt16, bytes: UInt32) {
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, bytes, flags: flags)
        fault(.indirectTable)
    }

    @Test("a table in a table, a table that was not negotiated, one that is too long, one outside memory") func indirectMore() {
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, 32, flags: 4)
        rig.descriptor(0x20_0000, 0, 0x20_0000, 32, flags: 4)
        fault(.indirectTable)
        rig.descriptor(0x20_0000, 0, 0x10_0000, 1, flags: 0)
        fault(.indirectTable, indirect: false)
        rig.descriptor(rig.descriptors(0), 0, 0x20_0000, 1025 * 16, flags: 4)
        fault(.tooLong)
        rig.descriptor(rig.descriptors(0), 0, 0xF000_0000, 32, flags: 4)
        fault(.outsideMemory)
        rig.descriptor(rig.descriptors(0), 0, 0xFFFF_FFFF_FFFF_FFF8, 32, flags: 4)
        fault(.outsideMemory)
    }

    @Test("something to read behind something to write") func order() {
        rig.chain(0, [.init(0x10_0000, 1, writable: true), .init(0x10_0000, 1)])
        fault(.order)
    }

    static let places: [(Physical, UInt32)] = [
        (0x40_0000, 1), (0x3F_FFFF, 2), (0x8000_0000, 16), (0xFFFF_FFFF_FFFF_FFFF, 1), (0xFFFF_FFFF_FFFF_F000, 4096),
        (0xFFFF_FFFF_FFFF_0000, 0xFFFF),
    ]

    @Test("buffers outside memory, at its end, and around the end of the address space", arguments: places)
    func outside(address: Physical, bytes: UInt32) {
        for writable in [false, true] {
            rig.chain(0, [.init(address, bytes, writable: writable)])
            fault(.outsideMemory)
        }
    }

    @Test("a ROM can be read but not written") func rom() throws {
        rig.memory.setMap([
            .init(base: 0, bytes: 4 << 20, read: 0, write: 0), .init(base: 0xF_0000, bytes: 0x1_0000, read: 0xF_0000, write: nil, dropWrites: true),
        ])
        rig.chain(0, [.init(0xF_0000, 16)])
        rig.offer(0)
        #expect(try take().get()?.readableBytes == 16)
        rig.chain(0, [.init(0xF_0000, 16, writable: true)])
        fault(.outsideMemory)
    }

    @Test("more bytes than the device takes, by one descriptor or by many") func tooLong() throws {
        rig.chain(0, [.init(0x10_0000, 1001)])
        fault(.tooLong, limit: 1000)
        rig.chain(0, [.init(0x10_0000, 500), .init(0x10_0000, 501, writable: true)])
        fault(.tooLong, limit: 1000)
        rig.chain(0, [.init(0, .max)])
        fault(.tooLong)
        rig.chain(0, [.init(0x10_0000, 500), .init(0x10_0000, 500, writable: true)])
        #expect(try take(limit: 1000).get() != nil)
    }

    @Test("rings outside memory", arguments: [Physical(4 << 20), 0xFFFF_FFFF_FFFF_FFF0, 0xE000_0000])
    func rings(address: Physical) {
        for area in [Virtqueue.Area.descriptors, .driver, .device] {
            var queue = Virtqueue(maximum: 8)
            queue.place(.descriptors, at: rig.descriptors(0))
            queue.place(.driver, at: rig.driver(0))
            queue.place(.device, at: rig.device(0))
            queue.place(area, at: address)
            queue.enable()
            rig.chain(0, [.init(0x10_0000, 1)])
            rig.memory.store(rig.driver(0) + 2, UInt16(1))
            do {
                _ = try queue.take(rig.memory, indirect: true, limit: 100)
                try queue.use(0, written: 0, rig.memory)
                Issue.record("\(area) at \(address) was used")
            } catch { #expect(error == .outsideMemory) }
        }
    }

    @Test("a queue that is not enabled has nothing, wherever its rings are") func disabled() throws {
        var queue = Virtqueue(maximum: 8)
        #expect(try queue.take(rig.memory, indirect: true, limit: 100) == nil)
        queue.place(.driver, at: .max)
        #expect(try queue.take(rig.memory, indirect: true, limit: 100) == nil)
    }

    @Test("sizes that are no power of two, zero, too large or too late are ignored") func sizes() {
        var queue = Virtqueue(maximum: 64)
        for size in [UInt16(0), 3, 48, 65, 128, 32768] { queue.resize(size) }
        #expect(queue.size == 64)
        queue.resize(16)
        #expect(queue.size == 16)
        queue.enable()
        queue.resize(32)
        queue.place(.driver, at: 5)
        #expect(queue.size == 16)
        #expect(queue.driver == 0)
    }

    // MARK: Notifications

    @Test("without event index the driver's flag decides whether there is an interrupt") func flag() throws {
        var queue = rig.chip.transport.queues[0]
        #expect(try !queue.announces(rig.memory, eventIndex: false))
        try queue.use(0, written: 0, rig.memory)
        #expect(try queue.announces(rig.memory, eventIndex: false))
        #expect(try !queue.announces(rig.memory, eventIndex: false))
        rig.memory.store(rig.driver(0), UInt16(1))
        try queue.use(0, written: 0, rig.memory)
        #expect(try !queue.announces(rig.memory, eventIndex: false))
    }

    @Test("with event index it comes when used_event is passed, also across the wrap") func eventIndex() throws {
        var queue = rig.chip.transport.queues[0]
        let event = rig.driver(0) + 4 + 2 * 8
        rig.memory.store(rig.driver(0), UInt16(1))  // the flag means nothing now
        for index in 0..<UInt32(66_000) {
            rig.memory.store(event, UInt16(truncatingIfNeeded: index / 100 * 100 + 99))
            try queue.use(0, written: 0, rig.memory)
            let expected = index % 100 == 99
            guard try queue.announces(rig.memory, eventIndex: true) == expected else {
                Issue.record("at \(index)")
                return
            }
        }
        // Several at once.
        let next = queue.nextUsed
        rig.memory.store(event, next &+ 1)
        for _ in 0..<3 { try queue.use(0, written: 0, rig.memory) }
        #expect(try queue.announces(rig.memory, eventIndex: true))
        try queue.askForNotice(rig.memory, eventIndex: true)
        #expect(rig.memory.load(rig.device(0) + 4 + 8 * 8, as: UInt16.self) == queue.nextAvailable)
    }
}
