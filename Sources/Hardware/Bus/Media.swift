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
    /// Called now and then: what has waited in memory for long is written.
    func settle()
    /// `count` sectors read as zeros from now on. `discard`: nobody needs them any more; the host may take the room back.
    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool
}

extension Medium {
    public func settle() {}

    /// Writes zeros.
    public func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard sector <= sectorCount, count <= sectorCount - sector else { return false }
        let zeros = [UInt8](repeating: 0, count: Int(min(max(count, 1), 128)) * sectorBytes)
        var done: UInt64 = 0
        while done < count {
            let piece = min(count - done, 128)
            let written = zeros.withUnsafeBytes {
                write(sector: sector + done, from: UnsafeRawBufferPointer(rebasing: $0[0..<Int(piece) * sectorBytes]))
            }
            guard written else { return false }
            done += piece
        }
        return true
    }
}

/// Where a medium can sit.
public enum Bay: Int, CaseIterable, Codable, Sendable {
    case floppyA, floppyB
    case ide0Master, ide0Slave, ide1Master, ide1Slave
    case virtio0, virtio1, virtio2, virtio3, virtio4, virtio5, virtio6, virtio7

    /// The disks on virtio, in order.
    public static let virtioDisks: [Bay] = [.virtio0, .virtio1, .virtio2, .virtio3, .virtio4, .virtio5, .virtio6, .virtio7]
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

    /// Another way to the same contents: the guest does not notice.
    public mutating func replace(_ bay: Bay, with medium: (any Medium)?) { slots[bay.rawValue] = medium }

    /// The counts of a saved machine whose media are in again.
    mutating func restore(generation saved: [UInt32]) { for (bay, count) in zip(generation.indices, saved) { generation[bay] = count } }
}
