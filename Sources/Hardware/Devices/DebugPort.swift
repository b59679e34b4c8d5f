import Primitives

/// Bochs and QEMU debug console, a port that takes text.
///
/// Source: the Bochs user manual, "port_e9_hack"; SeaBIOS documentation, "Debugging" (port 0x402).
///
///     port       R/W
///     any given   W   a byte of text for the host
///                 R   0xE9: somebody listens
///
/// Not implemented: nothing.
public struct DebugPort: Device {
    public static let name = "debugConsole"

    /// The ports that listen, in ascending order, each once.
    public let consoles: [Port]

    public init(consoles: [Port]) { self.consoles = Set(consoles).sorted() }

    public var ports: [ClosedRange<Port>] { consoles.map { $0...$0 } }

    public mutating func reset() {}

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { peek(port) }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard consoles.contains(port) else { return }
        wires.request(.emit(.debugConsole(port), [value]))
    }

    public func peek(_ port: Port) -> UInt8 { consoles.contains(port) ? 0xE9 : 0xFF }
}
