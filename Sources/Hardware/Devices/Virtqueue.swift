import CPU
import Primitives

/// OASIS virtio 1.2, split virtqueue from the device's side.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), section 2.7 "Split Virtqueues".
///
///     area              at        holds
///     descriptor table  16 n      address (64 bits), length (32), flags (16), next (16)
///     driver            0, 2, 4   flags, idx, ring of 16-bit heads; behind the ring used_event
///     device            0, 2, 4   flags, idx, ring of head and length (32 each); behind the ring avail_event
///
/// Nothing that the guest wrote is believed. Every ring entry and descriptor must lie in memory, every index in its table, every buffer in
/// memory of the right kind; a chain ends within its table, its writable part comes last and it is no longer than the device takes.
/// What breaks a rule is a `VirtqueueFault`: the device then stops and asks for a reset, as section 2.1.2 has it.
///
/// Not implemented: packed virtqueues, in-order use, reset of a single queue.
public struct Virtqueue: Codable, Equatable, Sendable {
    /// Entries at most, a power of two.
    public let maximum: UInt16
    /// Entries, a power of two.
    public private(set) var size: UInt16
    public private(set) var enabled = false
    /// Guest-physical addresses of the three areas.
    public private(set) var descriptors: Physical = 0
    public private(set) var driver: Physical = 0
    public private(set) var device: Physical = 0
    /// The available ring's next entry to look at; counts through 65535.
    public private(set) var nextAvailable: UInt16 = 0
    /// The used ring's idx.
    public private(set) var nextUsed: UInt16 = 0
    /// `nextUsed` when it was last decided whether to interrupt.
    public private(set) var announced: UInt16 = 0

    init(maximum: UInt16) {
        self.maximum = maximum
        size = maximum
    }

    // MARK: Set up by the transport

    enum Area { case descriptors, driver, device }

    /// Ignored when it is not a power of two, too large, or too late.
    mutating func resize(_ entries: UInt16) {
        guard !enabled, entries > 0, entries <= maximum, entries & (entries - 1) == 0 else { return }
        size = entries
    }

    func address(_ area: Area) -> Physical {
        switch area {
        case .descriptors: descriptors
        case .driver: driver
        case .device: device
        }
    }

    /// Ignored once the queue is enabled.
    mutating func place(_ area: Area, at address: Physical) {
        guard !enabled else { return }
        switch area {
        case .descriptors: descriptors = address
        case .driver: driver = address
        case .device: device = address
        }
    }

    mutating func enable() { enabled = true }

    /// The legacy layout (2.7.2): all three areas behind each other from a page on, the used ring at a page; 0 takes the queue away.
    mutating func placeLegacy(page: UInt32) {
        let old = self
        self = Virtqueue(maximum: old.maximum)
        guard page != 0 else { return }
        descriptors = Physical(page) << 12
        driver = descriptors &+ 16 &* Physical(size)
        device = (driver &+ 6 &+ 2 &* Physical(size) &+ 4095) & ~4095
        enabled = true
    }

    // MARK: Available buffers

    /// The next buffer; nil: the driver has none ready.
    /// - Parameters:
    ///   - indirect: VIRTIO_F_INDIRECT_DESC was negotiated.
    ///   - limit: bytes that the device takes in one buffer.
    /// - Throws: when ring or chain break the rules; the queue is unchanged.
    mutating func take(_ memory: GuestMemory, indirect: Bool, limit: Int) throws(VirtqueueFault) -> VirtioChain? {
        guard try hasAvailable(memory) else { return nil }
        let head = try Virtqueue.load(memory, driver &+ 4 &+ 2 &* slot(nextAvailable), as: UInt16.self)
        let chain = try walk(head, memory, indirect, limit)
        nextAvailable &+= 1
        return chain
    }

    /// Whether the driver has made a buffer available.
    /// - Throws: when the ring is not in memory or its index runs ahead of the queue.
    func hasAvailable(_ memory: GuestMemory) throws(VirtqueueFault) -> Bool {
        guard enabled else { return false }
        let waiting = try Virtqueue.load(memory, driver &+ 2, as: UInt16.self) &- nextAvailable
        guard waiting <= size else { throw .availableIndex }
        return waiting != 0
    }

    private func slot(_ index: UInt16) -> Physical { Physical(index & (size &- 1)) }

    private func walk(_ head: UInt16, _ memory: GuestMemory, _ indirect: Bool, _ limit: Int) throws(VirtqueueFault) -> VirtioChain {
        var chain = VirtioChain(head: head)
        var (table, entries, index) = (descriptors, Int(size), Int(head))
        var left = entries
        var inIndirect = false
        while true {
            guard index < entries else { throw .descriptorIndex }
            guard left > 0 else { throw .loop }
            left -= 1
            let at = table &+ 16 &* Physical(index)
            let address = try Virtqueue.load(memory, at, as: UInt64.self)
            let rest = try Virtqueue.load(memory, at &+ 8, as: UInt64.self)
            let (length, flags) = (Int(rest & 0xFFFF_FFFF), rest >> 32 & 0xFFFF)
            if flags & Flag.indirect != 0 {
                guard indirect, !inIndirect, flags & Flag.next == 0, length > 0, length % 16 == 0 else { throw .indirectTable }
                guard length / 16 <= VirtioChain.longest else { throw .tooLong }
                inIndirect = true
                (table, entries, index, left) = (address, length / 16, 0, length / 16)
                continue
            }
            let isWritable = flags & Flag.write != 0
            guard isWritable || chain.writable.isEmpty else { throw .order }
            guard length <= limit - chain.readableBytes - chain.writableBytes else { throw .tooLong }
            guard Virtqueue.holds(memory, address, length, writing: isWritable) else { throw .outsideMemory }
            chain.append(.init(address: address, count: length), writable: isWritable)
            guard flags & Flag.next != 0 else { return chain }
            index = Int(rest >> 48)
        }
    }

    // MARK: Used buffers

    /// Gives a buffer back.
    /// - Throws: when the used ring is not in memory.
    mutating func use(_ head: UInt16, written: Int, _ memory: GuestMemory) throws(VirtqueueFault) {
        try Virtqueue.store(memory, device &+ 4 &+ 8 &* slot(nextUsed), UInt64(head) | UInt64(UInt32(clamping: written)) << 32)
        nextUsed &+= 1
        try Virtqueue.store(memory, device &+ 2, nextUsed)
    }

    /// Whether the driver wants an interrupt for the buffers used since the last question (2.7.7).
    /// - Throws: when the available ring is not in memory.
    mutating func announces(_ memory: GuestMemory, eventIndex: Bool) throws(VirtqueueFault) -> Bool {
        let old = announced
        guard enabled, nextUsed != old else { return false }
        announced = nextUsed
        guard eventIndex else { return try Virtqueue.load(memory, driver, as: UInt16.self) & Flag.noInterrupt == 0 }
        let event = try Virtqueue.load(memory, driver &+ 4 &+ 2 &* Physical(size), as: UInt16.self)
        // used_event lies among the indices passed since; the counters wrap.
        return nextUsed &- event &- 1 < nextUsed &- old
    }

    /// Asks the driver to notify for the next buffer (2.7.10); with flags that is the state that never changes.
    /// - Throws: when the used ring is not in memory.
    func askForNotice(_ memory: GuestMemory, eventIndex: Bool) throws(VirtqueueFault) {
        guard enabled, eventIndex else { return }
        try Virtqueue.store(memory, device &+ 4 &+ 8 &* Physical(size), nextAvailable)
    }

    // MARK: Memory

    /// Whether `count` bytes are memory, page by page.
    static func holds(_ memory: GuestMemory, _ address: Physical, _ count: Int, writing: Bool) -> Bool {
        let (end, overflow) = address.addingReportingOverflow(Physical(count))
        guard !overflow else { return false }
        var at = address
        while at < end {
            let page = memory.page(at)
            guard writing ? page.write >= 0 : page.read >= 0 else { return false }
            at = (at | 0xFFF) &+ 1
            if at == 0 { return true }
        }
        return true
    }

    private static func load<T: FixedWidthInteger & UnsignedInteger>(_ memory: GuestMemory, _ address: Physical, as type: T.Type)
        throws(VirtqueueFault) -> T
    {
        guard holds(memory, address, MemoryLayout<T>.size, writing: false) else { throw .outsideMemory }
        return memory.load(address, as: type)
    }

    private static func store<T: FixedWidthInteger & UnsignedInteger>(_ memory: GuestMemory, _ address: Physical, _ value: T)
        throws(VirtqueueFault)
    {
        guard holds(memory, address, MemoryLayout<T>.size, writing: true) else { throw .outsideMemory }
        memory.store(address, value)
    }

    private enum Flag {
        static let next: UInt64 = 1, write: UInt64 = 2, indirect: UInt64 = 4
        static let noInterrupt: UInt16 = 1
    }
}

/// How a driver broke the rules of a queue.
public enum VirtqueueFault: Error, Equatable {
    /// The available ring's idx is further ahead than the queue is long.
    case availableIndex
    /// A head or `next` beyond its table.
    case descriptorIndex
    case loop
    /// A table within a table, with a chain behind it, of a broken length, or not negotiated.
    case indirectTable
    /// A buffer to read behind one to write.
    case order
    /// More descriptors or bytes than the device takes.
    case tooLong
    /// A ring, table or buffer where no memory of the right kind is.
    case outsideMemory
    /// The buffer is not what the device's queue carries.
    case malformed
}
