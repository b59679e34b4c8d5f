import CPU
import Primitives

/// Which chip answers at a port or a register address: positions in the board's list of chips. Knows no chip by name.
public struct IOBus: Sendable {
    /// Nobody decodes the port; reads float high.
    public static let nobody: UInt8 = 0xFF

    /// 65,536 positions by port.
    private var owners = [UInt8](repeating: IOBus.nobody, count: 1 << 16)
    /// Register windows with their positions, in list order: the first that contains an address answers.
    private var windows: [(range: ClosedRange<Physical>, position: Int)] = []

    public init() {}

    /// Decodes the list at power-on.
    /// - Throws: `BoardError.portsOverlap` or `.tooManyChips`; the bus is then unchanged.
    public mutating func connect(_ devices: [any Device]) throws(BoardError) {
        guard devices.count < Int(IOBus.nobody) else { throw .tooManyChips(devices.count) }
        var fresh = [UInt8](repeating: IOBus.nobody, count: 1 << 16)
        for (position, device) in devices.enumerated() {
            for range in device.ports {
                for port in range {
                    if fresh[Int(port)] != IOBus.nobody {
                        throw .portsOverlap(port, type(of: devices[Int(fresh[Int(port)])]).name, type(of: device).name)
                    }
                    fresh[Int(port)] = UInt8(position)
                }
            }
        }
        owners = fresh
        decodeWindows(devices)
    }

    /// Decodes again after the guest moved a base address. Where the guest made windows overlap, the fixed chips keep their ports
    /// and among the others the first of the list answers; real boards have a bus fight here.
    public mutating func reconnect(_ devices: [any Device]) {
        for port in owners.indices { owners[port] = IOBus.nobody }
        for pass in 0...1 {
            for (position, device) in devices.enumerated() where (device.pciAddress != nil) == (pass == 1) {
                for range in device.ports {
                    for port in range where owners[Int(port)] == IOBus.nobody { owners[Int(port)] = UInt8(position) }
                }
            }
        }
        decodeWindows(devices)
    }

    private mutating func decodeWindows(_ devices: [any Device]) {
        windows = []
        for (position, device) in devices.enumerated() { for range in device.windows { windows.append((range, position)) } }
    }

    /// The chip that decodes `port`; nil: nobody.
    @inline(__always)
    public func owner(of port: Port) -> Int? {
        let position = owners[Int(port)]
        return position == IOBus.nobody ? nil : Int(position)
    }

    /// The chip that decodes all of `size` ports from `port` on; nil when they differ.
    @inline(__always)
    func owner(of port: Port, size: Int) -> Int? {
        let position = owners[Int(port)]
        for i in 1..<max(size, 1) where owners[Int(port &+ Port(truncatingIfNeeded: i))] != position { return nil }
        return position == IOBus.nobody ? nil : Int(position)
    }

    /// The chip whose register window contains `address`.
    public func owner(at address: Physical) -> Int? {
        for window in windows where window.range.contains(address) { return window.position }
        return nil
    }
}
