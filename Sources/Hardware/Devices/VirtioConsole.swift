import CPU
import Primitives

/// OASIS virtio 1.2, console device with one port.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), section 5.3 "Console Device".
///
///     queue 0   receive: what the host sends
///     queue 1   transmit: what the guest sends
///
/// The emergency write register sends a byte without queues.
///
/// Not implemented: several ports and their control queues, the console's size.
public struct VirtioConsole: VirtioDevice {
    public static let name = "virtio-console"
    public static let kind = VirtioPCI.Kind(id: 3, pciID: 0x1003, classCode: 0x07_80_00, queues: [128, 128])
    /// Bytes that the host may queue ahead of the guest.
    public static let queueBytes = 4096
    /// Bytes in one buffer, and about so many in one step.
    private static let bufferBytes = 64 << 10

    public var transport: VirtioPCI
    /// From the host, not yet in a buffer of the guest.
    public private(set) var input: [UInt8] = []

    public init(slot: Int) { transport = VirtioPCI(VirtioConsole.kind, slot: slot) }

    /// The bytes that wait are the host's: they survive.
    public mutating func restart() {}

    public func features(_ wires: Wires) -> UInt64 { Feature.emergencyWrite }

    public func configuration(_ wires: Wires) -> [UInt8] { [UInt8](repeating: 0, count: 12) }

    public mutating func configure(_ offset: Int, _ value: UInt8, _ wires: inout Wires) {
        if offset == 8 { wires.request(.emit(.virtioConsole, [value])) }
    }

    /// Bytes from the host. Returns how many were taken, fewer when the queue is full.
    public mutating func receive(_ bytes: [UInt8], _ wires: inout Wires) -> Int {
        let taken = min(bytes.count, VirtioConsole.queueBytes - input.count)
        guard taken > 0 else { return 0 }
        input += bytes.prefix(taken)
        step(0, &wires)
        transport.drive(&wires)
        return taken
    }

    public mutating func serve(_ queue: Int, _ wires: inout Wires) throws(VirtqueueFault) -> Bool {
        queue == 0 ? try deliver(wires.memory) : try send(&wires)
    }

    private mutating func deliver(_ memory: GuestMemory) throws(VirtqueueFault) -> Bool {
        while !input.isEmpty, let chain = try transport.take(0, memory, limit: VirtioConsole.bufferBytes) {
            guard chain.readableBytes == 0, chain.writableBytes > 0 else { throw .malformed }
            let count = chain.write(0, Array(input.prefix(chain.writableBytes)), memory)
            input.removeFirst(count)
            try transport.use(0, chain.head, written: count, memory)
        }
        return false
    }

    private mutating func send(_ wires: inout Wires) throws(VirtqueueFault) -> Bool {
        var sent = 0
        while let chain = try transport.take(1, wires.memory, limit: VirtioConsole.bufferBytes) {
            guard chain.writableBytes == 0 else { throw .malformed }
            let bytes = chain.bytes(0, count: chain.readableBytes, wires.memory)
            if !bytes.isEmpty { wires.request(.emit(.virtioConsole, bytes)) }
            try transport.use(1, chain.head, written: 0, wires.memory)
            sent += 64 + bytes.count
            if sent >= VirtioConsole.bufferBytes { return try transport.queues[1].hasAvailable(wires.memory) }
        }
        return false
    }

    private enum Feature {
        static let emergencyWrite: UInt64 = 1 << 2
    }
}
