/// Something with sectors in a drive: a disk image, an ISO, a floppy. Owned by the host side, lent to the chips through `Wires`.
///
/// Calls are synchronous. A failed transfer returns false and the chip reports the architectural error.
public protocol Medium: AnyObject {
    /// 512 for floppies and disks, 2048 for CDs.
    var sectorBytes: Int { get }
    var sectorCount: UInt64 { get }
    var readOnly: Bool { get }
    /// `buffer.count` is a multiple of `sectorBytes`; out of range is false and leaves the buffer untouched.
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool
    /// Everything written so far is on the host's medium.
    func flush() -> Bool
}

/// Where a medium can sit.
public enum Bay: Int, CaseIterable, Codable, Sendable {
    case floppyA, floppyB
    case ide0Master, ide0Slave, ide1Master, ide1Slave
}

/// The media in the bays. A reference is shared, the table is a value.
public struct MediaBays {
    private var slots = [(any Medium)?](repeating: nil, count: Bay.allCases.count)
    /// Counts insertions and removals of each bay, for disk-change lines.
    public private(set) var generation = [UInt32](repeating: 0, count: Bay.allCases.count)
    public init() {}
    public subscript(_ bay: Bay) -> (any Medium)? {
        get { slots[bay.rawValue] }
        set {
            slots[bay.rawValue] = newValue
            generation[bay.rawValue] &+= 1
        }
    }
}
