/// The 256-byte configuration space of a PCI function with its write masks.
///
/// Source: PCI Local Bus Specification, revision 2.1, chapter 6.
public struct PCIConfig: Codable, Equatable, Sendable {
    /// 256 bytes.
    public var bytes = [UInt8](repeating: 0, count: 256)
    /// Bits that a configuration write may change; 256 bytes.
    public var writable = [UInt8](repeating: 0, count: 256)
    /// Bits that a write of 1 clears (status registers); 256 bytes.
    public var writeOneToClear = [UInt8](repeating: 0, count: 256)

    public init(vendor: UInt16, device: UInt16, classCode: UInt32, revision: UInt8 = 0, headerType: UInt8 = 0) {
        set16(0x00, vendor)
        set16(0x02, device)
        bytes[0x08] = revision
        bytes[0x09] = UInt8(truncatingIfNeeded: classCode)
        bytes[0x0A] = UInt8(truncatingIfNeeded: classCode >> 8)
        bytes[0x0B] = UInt8(truncatingIfNeeded: classCode >> 16)
        bytes[0x0E] = headerType
    }

    public func get16(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 }
    public func get32(_ offset: Int) -> UInt32 { UInt32(get16(offset)) | UInt32(get16(offset + 2)) << 16 }
    public mutating func set16(_ offset: Int, _ value: UInt16) {
        bytes[offset] = UInt8(truncatingIfNeeded: value)
        bytes[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }
    public mutating func set32(_ offset: Int, _ value: UInt32) {
        set16(offset, UInt16(truncatingIfNeeded: value))
        set16(offset + 2, UInt16(truncatingIfNeeded: value >> 16))
    }
    public mutating func mask16(_ offset: Int, _ value: UInt16) {
        writable[offset] = UInt8(truncatingIfNeeded: value)
        writable[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }
    public mutating func mask32(_ offset: Int, _ value: UInt32) {
        mask16(offset, UInt16(truncatingIfNeeded: value))
        mask16(offset + 2, UInt16(truncatingIfNeeded: value >> 16))
    }

    /// Declares base address register `index` (0–5; 6 = expansion ROM at 0x30). `size` is a power of two in bytes; `kind` its low bits.
    public mutating func declareBAR(_ index: Int, size: UInt32, kind: UInt32) {
        let offset = index == 6 ? 0x30 : 0x10 + 4 * index
        set32(offset, kind)
        mask32(offset, ~(size &- 1) | (index == 6 ? 1 : 0))
    }

    /// A configuration write of one byte, through the masks.
    public mutating func write(_ offset: Int, _ value: UInt8) {
        let mask = writable[offset]
        bytes[offset] = (bytes[offset] & ~mask) | (value & mask)
        bytes[offset] &= ~(value & writeOneToClear[offset])
    }

    public var ioEnabled: Bool { bytes[0x04] & 1 != 0 }
    public var memoryEnabled: Bool { bytes[0x04] & 2 != 0 }
    public var busMasterEnabled: Bool { bytes[0x04] & 4 != 0 }
}
