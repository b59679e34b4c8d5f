import Primitives

/// QEMU isa-debug-exit, a port that ends the run.
///
/// Source: QEMU system emulation documentation, device `isa-debug-exit`: status `(value << 1) | 1`.
///
/// A write of V in any size asks for exit status `((V << 1) | 1) & 0xFF`; reads give 0.
///
/// Not implemented: nothing.
public struct DebugExit: Device {
    public static let name = "debugExit"

    public let port: Port

    public init(port: Port) { self.port = port }

    public var ports: [ClosedRange<Port>] { [port...port] }

    public mutating func reset() {}

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { peek(port) }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard port == self.port else { return }
        wires.request(.debugExit(value << 1 | 1))
    }

    /// A wide write is one value, not several exits.
    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        write(port, UInt8(truncatingIfNeeded: value), &wires)
    }

    public func peek(_ port: Port) -> UInt8 { port == self.port ? 0 : 0xFF }
}
