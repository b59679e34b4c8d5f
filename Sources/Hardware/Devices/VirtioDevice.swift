import CPU
import Primitives

/// OASIS virtio 1.2, what all devices on the PCI transport share: access to the registers of `VirtioPCI`, and serving the queues.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), sections 2.1 "Device Status Field", 2.5 "Device Configuration Space",
/// 4.1.4 "Virtio Structure PCI Capabilities" and 4.1.5 "PCI-specific Initialization And Device Operation".
///
/// A device works while the driver's notification is being written: when that instruction ends, the buffers are used and the interrupt
/// is up. What would take long is cut into steps of `VirtioStep.pause` guest time.
///
/// Not implemented: see `VirtioPCI`.
public protocol VirtioDevice: Device {
    static var kind: VirtioPCI.Kind { get }
    var transport: VirtioPCI { get set }
    /// The device's own feature bits.
    func features(_ wires: Wires) -> UInt64
    /// The device's own configuration, as it reads now.
    func configuration(_ wires: Wires) -> [UInt8]
    /// A byte of it is written.
    mutating func configure(_ offset: Int, _ value: UInt8, _ wires: inout Wires)
    /// Uses the buffers of a queue: all of them, or as many as make a step.
    /// - Returns: true: there is more to do.
    /// - Throws: when the driver broke a rule of the queue or of the device.
    mutating func serve(_ queue: Int, _ wires: inout Wires) throws(VirtqueueFault) -> Bool
    /// Device reset: everything but what the host side set.
    mutating func restart()
}

enum VirtioStep {
    /// Guest time between two steps of a queue that has much to do, in nanoseconds.
    static let pause: Nanoseconds = 10_000
}

extension VirtioDevice {
    public mutating func configure(_ offset: Int, _ value: UInt8, _ wires: inout Wires) {}

    // MARK: Device

    public var ports: [ClosedRange<Port>] { transport.ports }
    public var windows: [ClosedRange<Physical>] { transport.windows }
    public var pciAddress: (device: Int, function: Int)? { (transport.slot, 0) }

    public mutating func reset() {
        transport.powerOn(Self.kind)
        restart()
    }

    public var deadline: Nanoseconds? { transport.resumeAt }

    public mutating func fire(_ wires: inout Wires) {
        resume(&wires)
        transport.drive(&wires)
    }

    /// Goes on with the queues that were left unfinished, when it is time.
    mutating func resume(_ wires: inout Wires) {
        guard let at = transport.resumeAt, wires.now >= at else { return }
        let queues = transport.resumed()
        for queue in transport.queues.indices where queues >> UInt32(queue) & 1 != 0 { step(queue, &wires) }
    }

    /// One step on a queue, if the device runs.
    mutating func step(_ queue: Int, _ wires: inout Wires) {
        guard transport.serves(queue) else { return }
        do {
            let more = try serve(queue, &wires)
            try transport.settle(queue, wires.memory)
            if more { transport.postpone(queue, until: wires.now &+ VirtioStep.pause) }
        } catch {
            transport.fail()
        }
    }

    // MARK: Legacy ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        UInt8(truncatingIfNeeded: readWide(port, size: 1, &wires))
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) { writeWide(port, size: 1, UInt32(value), &wires) }

    public mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32 {
        let offset = Int(port & (VirtioPCI.ioBytes - 1))
        var value = UInt32(truncatingIfNeeded: readRegisters(.legacy, offset, size, wires))
        if offset + size > 20 {
            let own = readConfiguration(offset - 20, size, wires)
            for i in 0..<size where offset + i >= 20 { value |= UInt32(truncatingIfNeeded: own) & 0xFF << UInt32(8 * i) }
        }
        if offset <= 19, offset + size > 19 {
            _ = transport.takeISR()
            transport.drive(&wires)
        }
        return value
    }

    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        let offset = Int(port & (VirtioPCI.ioBytes - 1))
        writeRegisters(.legacy, offset, size, UInt64(value), &wires)
        for i in 0..<size where offset + i >= 20 {
            configure(offset + i - 20, UInt8(truncatingIfNeeded: value >> UInt32(8 * i)), &wires)
        }
        transport.drive(&wires)
    }

    // MARK: Register window

    public mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64 {
        readWindow(Int(address & (VirtioPCI.windowBytes - 1)), size, &wires)
    }

    public mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires) {
        writeWindow(Int(address & (VirtioPCI.windowBytes - 1)), size, value, &wires)
    }

    private mutating func readWindow(_ offset: Int, _ size: Int, _ wires: inout Wires) -> UInt64 {
        switch offset >> 12 {
        case 0: return readRegisters(.common, offset, size, wires)
        case 1:
            guard offset == 0x1000 else { return 0 }
            let value = transport.takeISR()
            transport.drive(&wires)
            return UInt64(value)
        case 2: return readConfiguration(offset - 0x2000, size, wires)
        default: return 0
        }
    }

    private mutating func writeWindow(_ offset: Int, _ size: Int, _ value: UInt64, _ wires: inout Wires) {
        switch offset >> 12 {
        case 0: writeRegisters(.common, offset, size, value, &wires)
        case 2:
            for i in 0..<size { configure(offset - 0x2000 + i, UInt8(truncatingIfNeeded: value >> UInt64(8 * i)), &wires) }
        case 3: step((offset - 0x3000) / 4, &wires)
        default: break
        }
        transport.drive(&wires)
    }

    // MARK: Configuration space

    public func configRead(_ offset: Int) -> UInt8 { transport.configByte(offset) }

    public mutating func configReadWide(_ offset: Int, size: Int, _ wires: inout Wires) -> UInt32 {
        if VirtioPCI.dataBytes.overlaps(offset..<offset + size), let window = transport.configWindow {
            let value = readWindow(window.offset, window.size, &wires)
            for i in 0..<window.size { transport.config.bytes[0x94 + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
        }
        var value: UInt32 = 0
        for i in 0..<size { value |= UInt32(transport.configByte(offset + i)) << UInt32(8 * i) }
        return value
    }

    public mutating func configWrite(_ offset: Int, size: Int, _ value: UInt32, _ wires: inout Wires) {
        guard offset >= 0, size > 0, offset + size <= 256 else { return }
        for i in 0..<size { transport.config.write(offset + i, UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) }
        if VirtioPCI.dataBytes.overlaps(offset..<offset + size), let window = transport.configWindow {
            writeWindow(window.offset, window.size, UInt64(transport.config.get32(0x94)), &wires)
        }
        transport.drive(&wires)
    }

    // MARK: Registers by access

    private func offered(_ wires: Wires) -> UInt64 { features(wires) | VirtioPCI.Feature.transport }

    private func readRegisters(_ face: VirtioPCI.Face, _ offset: Int, _ size: Int, _ wires: Wires) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<size {
            guard let register = face.register(offset + i) else { continue }
            let word = transport.value(face, register.start, offered: offered(wires))
            value |= UInt64(word >> UInt32(8 * (offset + i - register.start)) & 0xFF) << UInt64(8 * i)
        }
        return value
    }

    /// A write that covers a register in part leaves the rest of it as it reads.
    private mutating func writeRegisters(_ face: VirtioPCI.Face, _ offset: Int, _ size: Int, _ value: UInt64, _ wires: inout Wires) {
        var at = offset
        while at < offset + size {
            guard let register = face.register(at) else {
                at += 1
                continue
            }
            let end = min(register.start + register.width, offset + size)
            var word = transport.value(face, register.start, offered: offered(wires))
            for i in at..<end {
                let shift = UInt32(8 * (i - register.start))
                word = word & ~(0xFF << shift) | UInt32(truncatingIfNeeded: value >> UInt64(8 * (i - offset)) & 0xFF) << shift
            }
            carryOut(transport.write(face, register.start, word, offered: offered(wires)), &wires)
            at = end
        }
    }

    private mutating func carryOut(_ effect: VirtioPCI.Effect, _ wires: inout Wires) {
        switch effect {
        case .nothing: break
        case .reset:
            transport.restart()
            restart()
        case .start: for queue in transport.queues.indices { step(queue, &wires) }
        case .notify(let queue): step(queue, &wires)
        }
    }

    private func readConfiguration(_ offset: Int, _ size: Int, _ wires: Wires) -> UInt64 {
        let bytes = configuration(wires)
        var value: UInt64 = 0
        for i in 0..<size where bytes.indices.contains(offset + i) { value |= UInt64(bytes[offset + i]) << UInt64(8 * i) }
        return value
    }
}

/// Little-endian fields of a configuration.
struct VirtioFields {
    var bytes: [UInt8]
    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }
    mutating func put<T: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ value: T) {
        for i in 0..<MemoryLayout<T>.size where bytes.indices.contains(offset + i) {
            bytes[offset + i] = UInt8(truncatingIfNeeded: value >> T(8 * i))
        }
    }
}
