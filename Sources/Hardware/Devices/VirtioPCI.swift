import CPU
import Primitives

/// OASIS virtio 1.2 over PCI, the registers of a transitional device.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), sections 2.1 "Device Status Field", 2.2 "Feature Bits", 4.1 "Virtio Over
/// PCI Bus" and 6 "Reserved Feature Bits"; PCI Local Bus Specification 2.3, section 6.2 (interrupt disable and status).
///
///     BAR0 (I/O, 128 ports)      legacy: 0 features, 4 driver features, 8 queue page, 12 queue size, 14 queue select, 16 notify,
///                                18 status, 19 ISR, from 20 on the device's own configuration
///     BAR4 (memory, 16 KiB)      0000 common configuration, 1000 ISR, 2000 the device's own configuration, 3000 notify (4 bytes a queue)
///     configuration 40–97        five capabilities: where these four are, and a window (94–97) through which BAR4 can be reached
///
/// Both faces act on the same state. A driver that did not accept VERSION_1 is a legacy one. Interrupts: INTA#, level, while ISR is not 0.
///
/// Not implemented: MSI-X (the board delivers no messages from PCI), the effect of the bus master bit, shared memory regions, administration
/// queues, queue reset, notification data.
public struct VirtioPCI: Codable, Equatable, Sendable {
    /// What kind of device is behind the registers.
    public struct Kind: Sendable {
        /// Virtio device ID (section 5).
        let id: UInt16
        /// Transitional PCI device ID (4.1.2.1).
        let pciID: UInt16
        let classCode: UInt32
        /// Entries of each queue at most, powers of two.
        let queues: [UInt16]
    }

    /// PCI device number on bus 0.
    public let slot: Int
    public internal(set) var config: PCIConfig
    public internal(set) var queues: [Virtqueue]
    public private(set) var deviceFeatureSelect: UInt32 = 0
    public private(set) var driverFeatureSelect: UInt32 = 0
    /// What the driver accepted.
    public private(set) var driverFeatures: UInt64 = 0
    public private(set) var status: UInt8 = 0
    /// Bit 0 a queue, bit 1 the configuration.
    public private(set) var isr: UInt8 = 0
    /// Counts changes of the device's own configuration.
    public private(set) var generation: UInt8 = 0
    public private(set) var queueSelect: UInt16 = 0
    /// Queues with more to do than fits into one step: bit n is queue n.
    public private(set) var unfinished: UInt32 = 0
    /// When they go on.
    public private(set) var resumeAt: Nanoseconds?

    /// - Parameter slot: PCI device number, 0–31.
    init(_ kind: Kind, slot: Int) {
        self.slot = slot & 31
        config = VirtioPCI.powerOnConfig(kind)
        queues = kind.queues.map { Virtqueue(maximum: $0) }
    }

    /// PCI reset: configuration space too.
    mutating func powerOn(_ kind: Kind) { self = VirtioPCI(kind, slot: slot) }

    /// Device reset (2.4): a status of 0 was written.
    mutating func restart() {
        let fresh = queues.map { Virtqueue(maximum: $0.maximum) }
        queues = fresh
        (deviceFeatureSelect, driverFeatureSelect, driverFeatures) = (0, 0, 0)
        (status, isr, queueSelect, unfinished, resumeAt) = (0, 0, 0, 0, nil)
    }

    // MARK: Configuration space

    static let ioBytes: UInt16 = 128
    static let windowBytes: Physical = 0x4000

    private static func powerOnConfig(_ kind: Kind) -> PCIConfig {
        var config = PCIConfig(vendor: 0x1AF4, device: kind.pciID, classCode: kind.classCode)
        config.mask16(0x04, 0x0507)  // I/O, memory, bus master, SERR#, interrupt disable
        config.set16(0x06, 0x0010)  // capability list
        config.set16(0x2C, 0x1AF4)
        config.set16(0x2E, kind.id)
        config.bytes[0x34] = 0x40
        config.writable[0x3C] = 0xFF
        config.bytes[0x3D] = 1  // INTA#
        config.declareBAR(0, size: UInt32(ioBytes), kind: 1)
        config.declareBAR(4, size: UInt32(windowBytes), kind: 0)
        config.capability(at: 0x40, next: 0x50, bytes: 16, type: 1, offset: 0x0000, length: 0x38)
        config.capability(at: 0x50, next: 0x60, bytes: 16, type: 3, offset: 0x1000, length: 0x1)
        config.capability(at: 0x60, next: 0x70, bytes: 16, type: 4, offset: 0x2000, length: 0x1000)
        config.capability(at: 0x70, next: 0x84, bytes: 20, type: 2, offset: 0x3000, length: 0x1000)
        config.set32(0x80, 4)  // notify_off_multiplier
        config.capability(at: 0x84, next: 0, bytes: 20, type: 5, offset: 0, length: 0)
        config.bytes[0x88] = 0
        config.writable[0x88] = 0xFF  // bar
        config.mask32(0x8C, .max)  // offset
        config.mask32(0x90, .max)  // length
        config.mask32(0x94, .max)  // pci_cfg_data
        return config
    }

    /// pci_cfg_data: the window into BAR4.
    static let dataBytes = 0x94..<0x98

    /// What `pci_cfg_data` shows: offset in BAR4 and size; nil: nothing that is there.
    var configWindow: (offset: Int, size: Int)? {
        let (offset, size) = (Int(config.get32(0x8C)), Int(config.get32(0x90)))
        guard config.bytes[0x88] == 4, size == 1 || size == 2 || size == 4, offset % size == 0 else { return nil }
        return offset + size <= Int(VirtioPCI.windowBytes) ? (offset, size) : nil
    }

    /// One byte of configuration space; the interrupt status bit is derived.
    func configByte(_ offset: Int) -> UInt8 {
        guard config.bytes.indices.contains(offset) else { return 0xFF }
        return offset == 0x06 && isr != 0 ? config.bytes[offset] | 0x08 : config.bytes[offset]
    }

    var ports: [ClosedRange<Port>] {
        guard config.ioEnabled, let base = Port(exactly: config.get32(0x10) & 0xFFFF_FF80), base != 0 else { return [] }
        return [base...(base | (VirtioPCI.ioBytes - 1))]
    }

    var windows: [ClosedRange<Physical>] {
        let base = Physical(config.get32(0x20) & 0xFFFF_C000)
        guard config.memoryEnabled, base != 0 else { return [] }
        return [base...(base | (VirtioPCI.windowBytes - 1))]
    }

    /// Drives INTA#.
    func drive(_ wires: inout Wires) {
        let masked = config.bytes[0x05] & 0x04 != 0
        wires.set(pirq: PCIBus.pirq(device: slot, pin: 0), isr != 0 && !masked)
    }

    // MARK: Registers

    /// The two faces of the registers.
    enum Face {
        case common, legacy

        /// The register that a byte belongs to; nil: none, or the device's own configuration.
        func register(_ offset: Int) -> (start: Int, width: Int)? {
            switch (self, offset) {
            case (.common, 0x00..<0x10), (.common, 0x20..<0x38), (.legacy, 0..<12): (offset & ~3, 4)
            case (.common, 0x10..<0x14), (.common, 0x16..<0x20), (.legacy, 12..<18): (offset & ~1, 2)
            case (.common, 0x14...0x15), (.legacy, 18...19): (offset, 1)
            default: nil
            }
        }
    }

    /// What a write asks of the device behind the registers.
    enum Effect: Equatable {
        case nothing, reset
        /// DRIVER_OK.
        case start
        case notify(Int)
    }

    private var selected: Virtqueue? { queues.indices.contains(Int(queueSelect)) ? queues[Int(queueSelect)] : nil }

    /// The register that starts at `start`, without side effects.
    /// - Parameter offered: all feature bits of the device.
    func value(_ face: Face, _ start: Int, offered: UInt64) -> UInt32 {
        func half(_ word: UInt64, _ n: UInt32) -> UInt32 { n < 2 ? UInt32(truncatingIfNeeded: word >> UInt64(32 * n)) : 0 }
        switch (face, start) {
        case (.common, 0x00): return deviceFeatureSelect
        case (.common, 0x04): return half(offered, deviceFeatureSelect)
        case (.common, 0x08): return driverFeatureSelect
        case (.common, 0x0C): return half(driverFeatures, driverFeatureSelect)
        case (.common, 0x10), (.common, 0x1A): return 0xFFFF  // VIRTIO_MSI_NO_VECTOR
        case (.common, 0x12): return UInt32(queues.count)
        case (.common, 0x14), (.legacy, 18): return UInt32(status)
        case (.common, 0x15): return UInt32(generation)
        case (.common, 0x16), (.legacy, 14): return UInt32(queueSelect)
        case (.common, 0x18), (.legacy, 12): return UInt32(selected?.size ?? 0)
        case (.common, 0x1C): return selected?.enabled == true ? 1 : 0
        case (.common, 0x1E): return UInt32(queueSelect)
        case (.common, 0x20...0x37):
            let area: Virtqueue.Area = start < 0x28 ? .descriptors : start < 0x30 ? .driver : .device
            return half(selected?.address(area) ?? 0, UInt32(start >> 2 & 1))
        case (.legacy, 0): return half(offered, 0)
        case (.legacy, 4): return half(driverFeatures, 0)
        case (.legacy, 8): return UInt32(truncatingIfNeeded: (selected?.descriptors ?? 0) >> 12)
        case (.legacy, 19): return UInt32(isr)
        default: return 0
        }
    }

    mutating func write(_ face: Face, _ start: Int, _ value: UInt32, offered: UInt64) -> Effect {
        let queue = Int(queueSelect)
        switch (face, start) {
        case (.common, 0x00): deviceFeatureSelect = value
        case (.common, 0x08): driverFeatureSelect = value
        case (.common, 0x0C):
            guard driverFeatureSelect < 2, status & Status.featuresOK == 0 else { break }
            let shift = UInt64(32 * driverFeatureSelect)
            driverFeatures = driverFeatures & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
        case (.common, 0x14): return setStatus(UInt8(truncatingIfNeeded: value), legacy: false, offered)
        case (.legacy, 18): return setStatus(UInt8(truncatingIfNeeded: value), legacy: true, offered)
        case (.common, 0x16), (.legacy, 14): queueSelect = UInt16(truncatingIfNeeded: value)
        case (.common, 0x18): if queues.indices.contains(queue) { queues[queue].resize(UInt16(truncatingIfNeeded: value)) }
        case (.common, 0x1C): if queues.indices.contains(queue), value == 1 { queues[queue].enable() }
        case (.common, 0x20...0x37):
            guard queues.indices.contains(queue) else { break }
            let area: Virtqueue.Area = start < 0x28 ? .descriptors : start < 0x30 ? .driver : .device
            let shift = UInt64(start & 4) * 8
            queues[queue].place(area, at: queues[queue].address(area) & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift)
        case (.legacy, 4): driverFeatures = UInt64(value) & offered
        case (.legacy, 8): if queues.indices.contains(queue) { queues[queue].placeLegacy(page: value) }
        case (.legacy, 16): return .notify(Int(value))
        default: break
        }
        return .nothing
    }

    private mutating func setStatus(_ value: UInt8, legacy: Bool, _ offered: UInt64) -> Effect {
        guard value != 0 else { return .reset }
        var new = value & ~Status.needsReset | status & Status.needsReset
        if !legacy, new & Status.featuresOK != 0, status & Status.featuresOK == 0 {
            // Bits that were not offered, or a modern driver that will not be one (6.2): no FEATURES_OK.
            if driverFeatures & ~offered != 0 || driverFeatures & Feature.version1 == 0 { new &= ~Status.featuresOK }
        }
        let starts = new & ~status & Status.driverOK != 0
        status = new
        return starts ? .start : .nothing
    }

    /// Reading ISR clears it.
    mutating func takeISR() -> UInt8 {
        defer { isr = 0 }
        return isr
    }

    // MARK: For the device behind the registers

    func accepted(_ feature: UInt64) -> Bool { driverFeatures & feature != 0 }
    var isLegacy: Bool { !accepted(Feature.version1) }
    /// The driver has said DRIVER_OK, and nothing has broken since. Old drivers use queues before they say so (3.1.2).
    var isRunning: Bool { status & Status.needsReset == 0 && (status & Status.driverOK != 0 || isLegacy) }

    func serves(_ queue: Int) -> Bool { isRunning && queues.indices.contains(queue) && unfinished >> UInt32(queue) & 1 == 0 }

    mutating func take(_ queue: Int, _ memory: GuestMemory, limit: Int) throws(VirtqueueFault) -> VirtioChain? {
        try queues[queue].take(memory, indirect: accepted(Feature.indirect), limit: limit)
    }

    mutating func use(_ queue: Int, _ head: UInt16, written: Int, _ memory: GuestMemory) throws(VirtqueueFault) {
        try queues[queue].use(head, written: written, memory)
    }

    /// After a step of the device on a queue: interrupts when the driver wants to know, and listens for the next notice.
    mutating func settle(_ queue: Int, _ memory: GuestMemory) throws(VirtqueueFault) {
        let eventIndex = accepted(Feature.eventIndex)
        try queues[queue].askForNotice(memory, eventIndex: eventIndex)
        if try queues[queue].announces(memory, eventIndex: eventIndex) { isr |= Interrupt.queue }
    }

    mutating func postpone(_ queue: Int, until time: Nanoseconds) {
        unfinished |= 1 << UInt32(queue)
        resumeAt = min(resumeAt ?? .max, time)
    }

    /// The queues that go on now.
    mutating func resumed() -> UInt32 {
        defer { (unfinished, resumeAt) = (0, nil) }
        return unfinished
    }

    /// The device's own configuration changed (4.1.4.3, config_generation; 2.3).
    mutating func configurationChanged() {
        generation &+= 1
        if status & Status.driverOK != 0 { isr |= Interrupt.configuration }
    }

    /// The driver broke a rule: nothing more until it resets the device (2.1.2).
    mutating func fail() {
        status |= Status.needsReset
        (unfinished, resumeAt) = (0, nil)
        configurationChanged()
    }

    enum Status {
        static let driverOK: UInt8 = 4, featuresOK: UInt8 = 8, needsReset: UInt8 = 64
    }
    enum Interrupt {
        static let queue: UInt8 = 1, configuration: UInt8 = 2
    }
    enum Feature {
        static let anyLayout: UInt64 = 1 << 27, indirect: UInt64 = 1 << 28, eventIndex: UInt64 = 1 << 29, version1: UInt64 = 1 << 32
        static let transport = anyLayout | indirect | eventIndex | version1
    }
}

extension PCIConfig {
    /// A vendor-specific capability with a virtio structure (4.1.4); all are in BAR4.
    fileprivate mutating func capability(at place: Int, next: UInt8, bytes length: UInt8, type: UInt8, offset: UInt32, length size: UInt32) {
        bytes[place] = 0x09
        bytes[place + 1] = next
        bytes[place + 2] = length
        bytes[place + 3] = type
        bytes[place + 4] = 4
        set32(place + 8, offset)
        set32(place + 12, size)
    }
}
