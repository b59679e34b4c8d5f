import CPU
import Primitives

/// QEMU firmware configuration device (fw_cfg), the way SeaBIOS learns about the machine.
///
/// Source: QEMU documentation, *QEMU Firmware Configuration (fw_cfg) Device* (docs/specs/fw_cfg); SeaBIOS documentation, *Runtime
/// config*; item numbers as both name them.
///
///     port       R/W  register
///     510 (16)    W   selector
///     511         R   next byte of the selected item, 0 past its end
///     514–51B    R/W  DMA address, big-endian; writing the last byte starts the transfer; reads "QEMU CFG"
///
///     DMA descriptor, big-endian: control (32; bit 0 error, 1 read, 2 skip, 3 select, 4 write, 31–16 item), length (32), address (64)
///
/// Not implemented: writable items (writes are refused with the error bit).
public struct FWCfg: Device {
    public static let name = "fw-cfg"

    /// One item: its number and contents. Sorted by number.
    public struct Item: Codable, Equatable, Sendable {
        public let selector: UInt16
        public let bytes: [UInt8]
    }

    public private(set) var items: [Item]
    public private(set) var selector: UInt16 = 0
    /// Next byte of the selected item.
    public private(set) var offset: Int = 0
    public static let stateLimits: [String: ClosedRange<Int64>] = ["offset": 0...1 << 40]
    /// The DMA address latch.
    public private(set) var dmaAddress: UInt64 = 0

    /// What firmware asks first.
    public struct Facts: Sendable {
        public var ramBytes: UInt64
        public var processors: Int
        /// Usable ranges of RAM and reserved ranges: base, length, type (1 RAM, 2 reserved).
        public var e820: [(base: UInt64, length: UInt64, type: UInt32)]
        /// 1: SeaBIOS shows its boot menu prompt.
        public var bootMenu: Bool
        /// Without one there must be no MP table, which names it.
        public var hasIOAPIC = true
        public init(ramBytes: UInt64, processors: Int, e820: [(base: UInt64, length: UInt64, type: UInt32)], bootMenu: Bool = false) {
            self.ramBytes = ramBytes
            self.processors = processors
            self.e820 = e820
            self.bootMenu = bootMenu
        }
    }

    /// - Parameter files: named files, for example `bootorder` or `genroms/boot.bin`. Names longer than 55 bytes are left out.
    public init(_ facts: Facts, files: [String: [UInt8]]) {
        var all: [UInt16: [UInt8]] = [:]
        let cpus = UInt16(clamping: facts.processors)
        all[Key.signature] = Array("QEMU".utf8)
        all[Key.id] = FWCfg.little(UInt32(0b11))  // selector interface and DMA
        all[Key.uuid] = [UInt8](repeating: 0, count: 16)
        all[Key.ramSize] = FWCfg.little(facts.ramBytes)
        all[Key.nographic] = FWCfg.little(UInt16(0))
        all[Key.processors] = FWCfg.little(cpus)
        all[Key.numa] = FWCfg.little(UInt64(0)) + [UInt8](repeating: 0, count: 8 * Int(cpus))
        all[Key.bootMenu] = FWCfg.little(UInt16(facts.bootMenu ? 1 : 0))
        // SeaBIOS makes PIRQ and MP tables only where no more than 255 processors are possible.
        all[Key.maxProcessors] = FWCfg.little(facts.hasIOAPIC ? cpus : 256)
        all[Key.acpiTables] = FWCfg.little(UInt16(0))
        all[Key.smbiosTables] = FWCfg.little(UInt16(0))
        all[Key.irq0Override] = FWCfg.little(UInt32(1))  // the timer is on I/O APIC pin 2
        var map: [UInt8] = []
        for range in facts.e820 { map += FWCfg.little(range.base) + FWCfg.little(range.length) + FWCfg.little(range.type) }
        let reserved = facts.e820.filter { $0.type != 1 }
        all[Key.e820] =
            FWCfg.little(UInt32(reserved.count))
            + reserved.flatMap { FWCfg.little($0.base) + FWCfg.little($0.length) + FWCfg.little($0.type) }

        var named = files.filter { !$0.key.isEmpty && $0.key.utf8.count <= 55 && !$0.key.utf8.contains(0) }
        if named["etc/e820"] == nil { named["etc/e820"] = map }
        // Firmware looks names up in the directory's order, which is sorted.
        let names = named.keys.sorted().prefix(Int(Key.lastFile - Key.firstFile) + 1)
        var directory = FWCfg.big(UInt32(names.count))
        for (position, name) in names.enumerated() {
            let contents = named[name] ?? []
            let selector = Key.firstFile + UInt16(position)
            all[selector] = contents
            directory += FWCfg.big(UInt32(clamping: contents.count)) + [UInt8(selector >> 8), UInt8(selector & 0xFF), 0, 0]
            let text = Array(name.utf8)
            directory += text + [UInt8](repeating: 0, count: 56 - text.count)
        }
        all[Key.directory] = directory
        items = all.keys.sorted().map { Item(selector: $0, bytes: all[$0] ?? []) }
    }

    public var ports: [ClosedRange<Port>] { [0x510...0x511, 0x514...0x51B] }

    public mutating func reset() {
        selector = 0
        offset = 0
        dmaAddress = 0
    }

    /// The contents of a named file; nil when there is none.
    public func file(_ name: String) -> [UInt8]? {
        guard let directory = item(Key.directory) else { return nil }
        let wanted = Array(name.utf8)
        for entry in stride(from: 4, to: directory.count - 63, by: 64) {
            guard Array(directory[(entry + 8)..<(entry + 64)].prefix { $0 != 0 }) == wanted else { continue }
            return item(UInt16(directory[entry + 4]) << 8 | UInt16(directory[entry + 5]))
        }
        return nil
    }

    private func item(_ selector: UInt16) -> [UInt8]? {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].selector == selector { return items[middle].bytes }
            if items[middle].selector < selector { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        if port >= 0x514 { return peek(port) }
        return nextByte()
    }

    public func peek(_ port: Port) -> UInt8 {
        if port >= 0x514, port <= 0x51B { return Array("QEMU CFG".utf8)[Int(port - 0x514)] }
        guard let bytes = item(selector & ~Key.write), offset < bytes.count else { return 0 }
        return bytes[offset]
    }

    private mutating func nextByte() -> UInt8 {
        guard let bytes = item(selector & ~Key.write), offset < bytes.count else { return 0 }
        defer { offset += 1 }
        return bytes[offset]
    }

    public mutating func readWide(_ port: Port, size: Int, _ wires: inout Wires) -> UInt32 {
        var value: UInt32 = 0
        // The data port is a byte stream at any width; the DMA register has eight bytes.
        for i in 0..<size { value |= UInt32(read(port < 0x514 ? 0x511 : port &+ Port(i), &wires)) << UInt32(8 * i) }
        return value
    }

    /// A byte at 510 is nothing: the selector is 16 bits wide.
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        guard port >= 0x514, port <= 0x51B else { return }
        let shift = UInt64(8 * (0x51B - port))
        dmaAddress = dmaAddress & ~(0xFF << shift) | UInt64(value) << shift
        if port == 0x51B { transfer(&wires) }
    }

    public mutating func writeWide(_ port: Port, size: Int, _ value: UInt32, _ wires: inout Wires) {
        if port == 0x510, size == 2 {
            select(UInt16(truncatingIfNeeded: value))
        } else {
            for i in 0..<size { write(port &+ Port(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)), &wires) }
        }
    }

    private mutating func select(_ key: UInt16) {
        selector = key
        offset = 0
    }

    // MARK: DMA

    private mutating func transfer(_ wires: inout Wires) {
        let descriptor = dmaAddress
        dmaAddress = 0
        let control = UInt32(bigEndian: wires.memory.load(descriptor, as: UInt32.self))
        let length = Int(UInt32(bigEndian: wires.memory.load(descriptor &+ 4, as: UInt32.self)))
        let address = UInt64(bigEndian: wires.memory.load(descriptor &+ 8, as: UInt64.self))
        if control & Control.select != 0 { select(UInt16(control >> 16)) }
        let bytes = item(selector & ~Key.write) ?? []
        let available = max(0, min(length, bytes.count - offset))
        var result: UInt32 = 0
        if control & Control.read != 0 {
            if available > 0 {
                let range = offset..<(offset + available)
                bytes.withUnsafeBytes { wires.memory.write(address, from: UnsafeRawBufferPointer(rebasing: $0[range])) }
            }
            fillZeros(address &+ UInt64(available), length - available, wires.memory)
            offset += available
        } else if control & Control.write != 0 {
            result = Control.error
        } else if control & Control.skip != 0 {
            offset += available
        }
        wires.memory.store(descriptor, result.bigEndian)
    }

    /// Past the end of an item the guest gets zeros.
    private func fillZeros(_ address: UInt64, _ count: Int, _ memory: GuestMemory) {
        let zeros = [UInt8](repeating: 0, count: min(max(count, 0), 1 << 16))
        var done = 0
        while done < count {
            let chunk = min(zeros.count, count - done)
            zeros.withUnsafeBytes { memory.write(address &+ UInt64(done), from: UnsafeRawBufferPointer(rebasing: $0[0..<chunk])) }
            done += chunk
        }
    }

    private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }
    private static func big(_ value: UInt32) -> [UInt8] { little(value).reversed() }

    /// Item numbers.
    public enum Key {
        public static let signature: UInt16 = 0x00, id: UInt16 = 0x01, uuid: UInt16 = 0x02, ramSize: UInt16 = 0x03
        public static let nographic: UInt16 = 0x04, processors: UInt16 = 0x05, numa: UInt16 = 0x0D, bootMenu: UInt16 = 0x0E
        public static let maxProcessors: UInt16 = 0x0F, directory: UInt16 = 0x19
        public static let firstFile: UInt16 = 0x20, lastFile: UInt16 = 0x3FFF
        public static let acpiTables: UInt16 = 0x8000, smbiosTables: UInt16 = 0x8001, irq0Override: UInt16 = 0x8002, e820: UInt16 = 0x8003
        /// Bit of a selector that asks to write.
        static let write: UInt16 = 0x4000
    }
    private enum Control {
        static let error: UInt32 = 1, read: UInt32 = 2, skip: UInt32 = 4, select: UInt32 = 8, write: UInt32 = 16
    }
}
