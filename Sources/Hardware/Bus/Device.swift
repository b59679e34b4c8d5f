import CPU
import Primitives

/// A chip on the board. The value *is* the snapshot: everything stored here is saved, nothing else is.
///
/// The board calls a chip only between instructions or for the access that an instruction makes. A chip reads the time
/// from `wires.now`, never from the host.
public protocol Device: Codable, Equatable, Sendable {
    /// Key in snapshots, traces and the debugger.
    static var name: String { get }
    /// What numbers in its state may be, by field name wherever it stands: saved state with others is refused.
    static var stateLimits: [String: ClosedRange<Int64>] { get }
    /// Ports that the chip decodes; the bus rejects overlaps at power-on.
    var ports: [ClosedRange<Port>] { get }
    /// Guest-physical windows of registers (MMIO) that the chip decodes now. RAM-like windows are the board's business.
    var windows: [ClosedRange<Physical>] { get }

    mutating func reset()
    mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8
    mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires)
    /// 16- and 32-bit port accesses; the default splits them into bytes, low address first.
    mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32
    mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires)
    /// INS/OUTS in bulk: moves whole elements of `size` bytes between a data port and the buffer and returns how many bytes moved, at
    /// most up to the next point where the chip changes state. 0, the default: the caller goes on element by element.
    mutating func readString(_ port: Port, size: Int, into buffer: UnsafeMutableRawBufferPointer, _ wires: inout Wires) -> Int
    mutating func writeString(_ port: Port, size: Int, from buffer: UnsafeRawBufferPointer, _ wires: inout Wires) -> Int
    /// No side effects: debugger, panels.
    func peek(_ port: Port) -> UInt8

    /// `size` is 1, 2, 4 or 8.
    mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64
    mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires)

    /// Guest time of the next thing it does by itself; the scheduler runs the vCPU up to it.
    var deadline: Nanoseconds? { get }
    /// Called once at or after `deadline` (`wires.now >= deadline`); must move `deadline` on.
    mutating func fire(_ wires: inout Wires)

    /// DACK for a channel whose DREQ the chip raised. The 8237 has programmed `count` bytes at most.
    /// `toMemory`: the chip fills `buffer`; else it consumes it. Returns how many bytes moved; fewer than `count` ends the burst.
    /// `terminalCount` is true when the buffer reaches the end of the 8237's count.
    mutating func dmaTransfer(
        channel: Int, toMemory: Bool, _ buffer: UnsafeMutableRawBufferPointer, terminalCount: Bool, _ wires: inout Wires
    ) -> Int

    /// Device and function number on PCI bus 0; nil for chips without a configuration space. `PCIFunction` fills these three in.
    var pciAddress: (device: Int, function: Int)? { get }
    /// One byte of configuration space, 0–255.
    func configRead(_ offset: Int) -> UInt8
    /// A configuration read of 1, 2 or 4 bytes; the default reads bytes. Unlike `configRead` it may have side effects.
    mutating func configReadWide(_ offset: Int, size: Int, _ wires: inout Wires) -> UInt32
    /// A configuration write of 1, 2 or 4 bytes, low byte first; `offset + size` ≤ 256.
    mutating func configWrite(_ offset: Int, size: Int, _ value: UInt32, _ wires: inout Wires)
}

extension Device {
    public static var stateLimits: [String: ClosedRange<Int64>] { [:] }
    public var windows: [ClosedRange<Physical>] { [] }
    public mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32 {
        var value: UInt32 = 0
        for i in 0..<size { value |= UInt32(read(port &+ Port(i), &wires)) << UInt32(8 * i) }
        return value
    }
    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        for i in 0..<size { write(port &+ Port(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)), &wires) }
    }
    public mutating func readString(_ port: Port, size: Int, into buffer: UnsafeMutableRawBufferPointer, _ wires: inout Wires) -> Int { 0 }
    public mutating func writeString(_ port: Port, size: Int, from buffer: UnsafeRawBufferPointer, _ wires: inout Wires) -> Int { 0 }
    public func peek(_ port: Port) -> UInt8 { 0xFF }
    public mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64 { .max }
    public mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires) {}
    public var deadline: Nanoseconds? { nil }
    public mutating func fire(_ wires: inout Wires) {}
    public mutating func dmaTransfer(
        channel: Int, toMemory: Bool, _ buffer: UnsafeMutableRawBufferPointer, terminalCount: Bool, _ wires: inout Wires
    ) -> Int { 0 }
    public var pciAddress: (device: Int, function: Int)? { nil }
    public func configRead(_ offset: Int) -> UInt8 { 0xFF }
    public mutating func configReadWide(_ offset: Int, size: Int, _ wires: inout Wires) -> UInt32 {
        var value: UInt32 = 0
        for i in 0..<size { value |= UInt32(configRead(offset + i)) << UInt32(8 * i) }
        return value
    }
    public mutating func configWrite(_ offset: Int, size: Int, _ value: UInt32, _ wires: inout Wires) {}
}

/// A PCI function: a chip with a configuration space. The board's PCI bus finds functions by `address` and routes
/// configuration cycles to them.
public protocol PCIFunction: Device {
    /// Device number 0–31 and function 0–7 on bus 0.
    static var address: (device: Int, function: Int) { get }
    /// Configuration header and capabilities, with write masks. See `PCIConfig`.
    var config: PCIConfig { get set }
    /// Called after configuration bytes were written (already masked into `config`); `offsets` are the bytes touched.
    mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires)
}

extension PCIFunction {
    public var pciAddress: (device: Int, function: Int)? { Self.address }
    public func configRead(_ offset: Int) -> UInt8 { config.bytes.indices.contains(offset) ? config.bytes[offset] : 0xFF }
    public mutating func configWrite(_ offset: Int, size: Int, _ value: UInt32, _ wires: inout Wires) {
        guard offset >= 0, size > 0, offset + size <= 256 else { return }
        for i in 0..<size { config.write(offset + i, UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) }
        configWritten(offset..<(offset + size), &wires)
    }
    public mutating func configWritten(_ offsets: Range<Int>, _ wires: inout Wires) {}
}
