import CPU
import Primitives

/// OASIS virtio 1.2, traditional memory balloon.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), section 5.5 "Traditional Memory Balloon Device".
///
///     queue 0   inflate: numbers of 4 KiB pages that the guest gives away
///     queue 1   deflate: numbers of pages that it takes back
///     queue 2   statistics: tag (16), value (64), ...; the device keeps the buffer and returns it to ask for new ones
///
/// A page that goes into the balloon is given back to the host at once and reads as zeros from then on; one that comes out is simply memory
/// again. Pages that are not RAM are ignored. Statistics are asked for every `statisticsPeriod`.
///
/// Not implemented: free page hints and reporting, page poisoning.
public struct VirtioBalloon: VirtioDevice {
    public static let name = "virtio-balloon"
    public static let kind = VirtioPCI.Kind(id: 5, pciID: 0x1002, classCode: 0x00_FF_00, queues: [128, 128, 128])
    /// Between two requests for statistics, in nanoseconds.
    public static let statisticsPeriod: Nanoseconds = 10_000_000_000
    /// Bytes of page numbers in one buffer at most: 64 MiB of memory. Linux sends 1 KiB.
    private static let listBytes = 64 << 10

    public var transport: VirtioPCI
    /// Pages of 4 KiB that the host wants (num_pages), and that the driver says it gave (actual).
    public private(set) var target: UInt32 = 0
    public private(set) var actual: UInt32 = 0
    /// Pages given back to the host since power-on.
    public private(set) var released: UInt64 = 0
    /// The latest statistics by tag 0–9; `.max`: not told.
    public private(set) var statistics = [UInt64](repeating: .max, count: 10)
    /// The buffer with which statistics are asked for, when the device has it.
    public private(set) var statisticsHead: UInt16?
    /// When they are asked for.
    public private(set) var statisticsAt: Nanoseconds?

    public init(slot: Int) { transport = VirtioPCI(VirtioBalloon.kind, slot: slot) }

    /// The host's wish survives; what the guest had given is memory again.
    public mutating func restart() {
        actual = 0
        statistics = [UInt64](repeating: .max, count: 10)
        (statisticsHead, statisticsAt) = (nil, nil)
    }

    public func features(_ wires: Wires) -> UInt64 { Feature.statistics | Feature.deflateOnOOM }

    public func configuration(_ wires: Wires) -> [UInt8] {
        var fields = VirtioFields(count: 8)
        fields.put(0, target)
        fields.put(4, actual)
        return fields.bytes
    }

    public mutating func configure(_ offset: Int, _ value: UInt8, _ wires: inout Wires) {
        guard (4..<8).contains(offset) else { return }
        let shift = UInt32(8 * (offset - 4))
        actual = actual & ~(0xFF << shift) | UInt32(value) << shift
    }

    /// How many pages of 4 KiB the guest should give away.
    public mutating func setTarget(pages: UInt32, _ wires: inout Wires) {
        guard pages != target else { return }
        target = pages
        transport.configurationChanged()
        transport.drive(&wires)
    }

    // MARK: Queues

    public mutating func serve(_ queue: Int, _ wires: inout Wires) throws(VirtqueueFault) -> Bool {
        if queue == 2 { return try takeStatistics(wires) }
        while let chain = try transport.take(queue, wires.memory, limit: VirtioBalloon.listBytes) {
            guard chain.writableBytes == 0, chain.readableBytes % 4 == 0 else { throw .malformed }
            if queue == 0 { inflate(chain.bytes(0, count: chain.readableBytes, wires.memory), wires.memory) }
            try transport.use(queue, chain.head, written: 0, wires.memory)
            // The host takes a microsecond or so for a page.
            if chain.readableBytes >= 1024 { return try transport.queues[queue].hasAvailable(wires.memory) }
        }
        return false
    }

    private mutating func inflate(_ list: [UInt8], _ memory: GuestMemory) {
        for at in stride(from: 0, to: list.count, by: 4) {
            let page = UInt64(list[at]) | UInt64(list[at + 1]) << 8 | UInt64(list[at + 2]) << 16 | UInt64(list[at + 3]) << 24
            if memory.release(page: page << 12) { released &+= 1 }
        }
    }

    private mutating func takeStatistics(_ wires: Wires) throws(VirtqueueFault) -> Bool {
        guard let chain = try transport.take(2, wires.memory, limit: VirtioBalloon.listBytes) else { return false }
        guard chain.writableBytes == 0 else { throw .malformed }
        // One buffer at a time is the rule; another one replaces it.
        if let old = statisticsHead { try transport.use(2, old, written: 0, wires.memory) }
        let list = chain.bytes(0, count: chain.readableBytes, wires.memory)
        for at in stride(from: 0, to: list.count - list.count % 10, by: 10) {
            let tag = Int(list[at]) | Int(list[at + 1]) << 8
            guard statistics.indices.contains(tag) else { continue }
            statistics[tag] = (0..<8).reduce(UInt64(0)) { $0 | UInt64(list[at + 2 + $1]) << UInt64(8 * $1) }
        }
        statisticsHead = chain.head
        statisticsAt = wires.now &+ VirtioBalloon.statisticsPeriod
        return false
    }

    // MARK: Time

    public var deadline: Nanoseconds? {
        guard let statisticsAt else { return transport.resumeAt }
        return min(statisticsAt, transport.resumeAt ?? .max)
    }

    public mutating func fire(_ wires: inout Wires) {
        resume(&wires)
        if let at = statisticsAt, wires.now >= at { askForStatistics(wires.memory) }
        transport.drive(&wires)
    }

    private mutating func askForStatistics(_ memory: GuestMemory) {
        statisticsAt = nil
        guard let head = statisticsHead, transport.isRunning else { return }
        statisticsHead = nil
        do {
            try transport.use(2, head, written: 0, memory)
            try transport.settle(2, memory)
        } catch {
            transport.fail()
        }
    }

    private enum Feature {
        static let statistics: UInt64 = 1 << 1, deflateOnOOM: UInt64 = 1 << 2
    }
}
