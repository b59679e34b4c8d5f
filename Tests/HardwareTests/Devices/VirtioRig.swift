import CPU
import Primitives
import Testing

@testable import Hardware

/// A virtio device with wires and a small driver: PCI set-up, feature negotiation, queues in 4 MiB of memory.
final class VirtioRig<Chip: VirtioDevice> {
    static var ioBase: Port { 0xC000 }
    static var windowBase: Physical { 0xFEB0_0000 }

    var chip: Chip
    var now: Nanoseconds = 1_000
    var lines: UInt32 = 0
    var media = MediaBays()
    var requests: [BoardRequest] = []
    let memory: GuestMemory
    /// What the driver put into each available ring.
    var available = [UInt16](repeating: 0, count: 8)
    /// What the driver has seen of each used ring.
    var seen = [UInt16](repeating: 0, count: 8)

    init(_ chip: Chip) throws {
        self.chip = chip
        memory = try GuestMemory(ramBytes: 4 << 20, extraBytes: 1 << 20)
        memory.setMap([GuestMemory.Window(base: 0, bytes: 4 << 20, read: 0, write: 0)])
        config(0x10, 4, UInt32(Self.ioBase))
        config(0x20, 4, UInt32(Self.windowBase))
        config(0x04, 2, 7)
    }

    @discardableResult
    func call<R>(_ body: (inout Chip, inout Wires) -> R) -> R {
        var wires = Wires(now: now, lines: lines, memory: memory, media: media)
        let result = body(&chip, &wires)
        lines = wires.lines
        requests += wires.requests
        return result
    }

    var interrupt: Bool { lines & 0xF_0000 != 0 }

    // MARK: Registers

    func config(_ offset: Int, _ size: Int, _ value: UInt32) { call { $0.configWrite(offset, size: size, value, &$1) } }
    func config(_ offset: Int, _ size: Int) -> UInt32 { call { $0.configReadWide(offset, size: size, &$1) } }
    func output(_ offset: Int, _ size: Int, _ value: UInt32) {
        call { $0.writeWide(Self.ioBase + Port(offset), size: size, value, &$1) }
    }
    func input(_ offset: Int, _ size: Int) -> UInt32 { call { $0.readWide(Self.ioBase + Port(offset), size: size, &$1) } }
    func store(_ offset: Int, _ size: Int, _ value: UInt64) {
        call { $0.writeMemory(Self.windowBase + Physical(offset), size: size, value, &$1) }
    }
    func load(_ offset: Int, _ size: Int) -> UInt64 { call { $0.readMemory(Self.windowBase + Physical(offset), size: size, &$1) } }

    var status: UInt8 { UInt8(load(0x14, 1)) }
    func takeISR() -> UInt8 { UInt8(load(0x1000, 1)) }

    // MARK: A modern driver

    func descriptors(_ queue: Int) -> Physical { 0x1_0000 + Physical(queue) * 0x8000 }
    func driver(_ queue: Int) -> Physical { descriptors(queue) + 0x4000 }
    func device(_ queue: Int) -> Physical { descriptors(queue) + 0x6000 }

    /// All features that are offered, except those of `without`, and all queues at `size`.
    func start(without: UInt64 = 0, size: UInt16? = nil) {
        store(0x14, 1, 0)
        store(0x14, 1, 1)
        store(0x14, 1, 3)
        for half in 0..<2 {
            store(0x00, 4, UInt64(half))
            store(0x08, 4, UInt64(half))
            store(0x0C, 4, load(0x04, 4) & ~(without >> UInt64(32 * half) & 0xFFFF_FFFF))
        }
        store(0x14, 1, 11)
        #expect(status == 11, "FEATURES_OK")
        for queue in 0..<Int(load(0x12, 2)) {
            store(0x16, 2, UInt64(queue))
            if let size { store(0x18, 2, UInt64(size)) }
            store(0x20, 8, descriptors(queue))
            store(0x28, 8, driver(queue))
            store(0x30, 8, device(queue))
            store(0x1C, 2, 1)
            (available[queue], seen[queue]) = (0, 0)
            memory.write(descriptors(queue), [UInt8](repeating: 0, count: 0x8000))
        }
        store(0x14, 1, 15)
    }

    func size(_ queue: Int) -> UInt16 { chip.transport.queues[queue].size }

    struct Piece {
        var address: Physical
        var bytes: UInt32
        var writable: Bool
        init(_ address: Physical, _ bytes: UInt32, writable: Bool = false) {
            (self.address, self.bytes, self.writable) = (address, bytes, writable)
        }
    }

    func descriptor(_ table: Physical, _ index: Int, _ address: Physical, _ bytes: UInt32, flags: UInt16, next: UInt16 = 0) {
        let at = table + 16 * Physical(index)
        memory.store(at, address)
        memory.store(at + 8, bytes)
        memory.store(at + 12, flags)
        memory.store(at + 14, next)
    }

    /// A chain from descriptor `head` on.
    func chain(_ queue: Int, _ pieces: [Piece], head: Int = 0) {
        for (index, piece) in pieces.enumerated() {
            let more = index + 1 < pieces.count
            descriptor(
                descriptors(queue), head + index, piece.address, piece.bytes, flags: (piece.writable ? 2 : 0) | (more ? 1 : 0),
                next: more ? UInt16(head + index + 1) : 0)
        }
    }

    func offer(_ queue: Int, _ head: UInt16 = 0) {
        memory.store(driver(queue) + 4 + 2 * Physical(available[queue] % size(queue)), head)
        available[queue] &+= 1
        memory.store(driver(queue) + 2, available[queue])
    }

    func notify(_ queue: Int) { store(0x3000 + 4 * queue, 2, UInt64(queue)) }

    /// The next used element, if there is one.
    func used(_ queue: Int) -> (head: UInt32, bytes: UInt32)? {
        guard memory.load(device(queue) + 2, as: UInt16.self) != seen[queue] else { return nil }
        let at = device(queue) + 4 + 8 * Physical(seen[queue] % size(queue))
        seen[queue] &+= 1
        return (memory.load(at, as: UInt32.self), memory.load(at + 4, as: UInt32.self))
    }

    /// Offers one chain, notifies, lets time pass until it comes back; the bytes that the device says it wrote.
    func carryOut(_ queue: Int, _ pieces: [Piece]) -> UInt32? {
        chain(queue, pieces)
        offer(queue)
        notify(queue)
        for _ in 0..<100 {
            if let element = used(queue) { return element.bytes }
            guard let at = chip.deadline else { return nil }
            now = max(now, at)
            call { $0.fire(&$1) }
        }
        return nil
    }

    var needsReset: Bool { status & 64 != 0 }
}
