import Primitives

/// Vitrine boot hook, the port that our boot ROM writes to. No real part.
///
/// Source: `BootROM.swift`.
///
///     port  R/W  register
///     5E8    W   1: start the kernel that the settings name
///
/// Not implemented: nothing else is there.
public struct BootHook: Device {
    public static let name = "boot-hook"
    public static let port: Port = 0x5E8

    public init() {}

    public var ports: [ClosedRange<Port>] { [BootHook.port...BootHook.port] }
    public mutating func reset() {}
    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) { wires.request(.bootHook(value)) }
}
