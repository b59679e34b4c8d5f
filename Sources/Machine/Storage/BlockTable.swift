/// Where a block of the disk is.
enum BlockPlace: Equatable {
    /// Nothing here: the image below shows, or zeros.
    case absent
    case zero
    /// In the file, as the guest sees it.
    case at(UInt64)
    /// Only some sectors are in the file from this place on; `BlockTable.present` says which.
    case mixed(UInt64)
    /// Compressed; `BlockTable.unpack` gets it.
    case packed
}

/// The tables of an image format whose disk is cut into blocks, with the file's room.
///
/// `MappedImage` does the rest. An entry may be written at once where what it hides reads as zeros; with a layer below, or where the format
/// needs order, it stays in memory until the data is on the host's medium.
protocol BlockTable {
    static var format: ImageFormat { get }
    var variant: String { get }
    var identity: ImageIdentity? { get }
    var diskBytes: UInt64 { get }
    /// The block's size as a power of two.
    var blockShift: UInt64 { get }
    /// An entry can say "zeros" without room.
    var hasZeroBlocks: Bool { get }
    /// Entries must wait for other tables.
    var needsOrder: Bool { get }
    /// Entries wait to be written.
    var isDirty: Bool { get }

    /// - Returns: nil when the host failed or the entry makes no sense.
    mutating func look(_ block: UInt64, _ file: HostFile) -> BlockPlace?
    /// How many blocks from an absent one on are absent for the same reason, at least 1.
    func gap(_ block: UInt64) -> UInt64
    /// What the file must say before anything in it changes.
    mutating func begin(_ file: HostFile) -> Bool
    /// A new modification identity, before the first change.
    mutating func renew(_ file: HostFile) -> Bool
    /// Room for a block's data that reads as zeros.
    mutating func reserve(_ block: UInt64, _ file: HostFile) -> UInt64?
    mutating func enter(_ block: UInt64, _ place: BlockPlace, deferred: Bool, _ file: HostFile) -> Bool
    /// What the data and the entries need: written before the data is waited for.
    mutating func writeGround(_ file: HostFile) -> Bool
    mutating func writeEntries(_ file: HostFile) -> Bool
    /// The file is left as others expect it. Entries have been written.
    mutating func close(_ file: HostFile)

    mutating func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ file: HostFile) -> Bool
    /// Bit for each sector of a mixed block.
    mutating func present(_ block: UInt64, _ file: HostFile) -> [Bool]?
}

extension BlockTable {
    var blockBytes: UInt64 { 1 << blockShift }
    var needsOrder: Bool { false }
    mutating func renew(_ file: HostFile) -> Bool { true }
    func gap(_ block: UInt64) -> UInt64 { 1 }
    mutating func writeGround(_ file: HostFile) -> Bool { true }
    mutating func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ file: HostFile) -> Bool { false }
    mutating func present(_ block: UInt64, _ file: HostFile) -> [Bool]? { nil }
}

/// The end of an image file that grows, by much at a time: a longer file has to be waited for.
struct GrowingEnd {
    /// Where the next block goes.
    var next: UInt64
    /// The file is so long, and from `fresh` on it reads as zeros.
    private(set) var length: UInt64
    private var fresh: UInt64
    static let step: UInt64 = 128 << 20

    init(next: UInt64, length: UInt64) {
        (self.next, self.length, fresh) = (next, length, length)
    }

    /// - Parameters:
    ///   - most: no growing in advance beyond this.
    ///   - tail: stands at the end of the file, whatever its length.
    /// - Returns: the offset of `count` bytes that read as zeros.
    mutating func take(_ count: UInt64, most: UInt64 = .max, tail: [UInt8] = [], _ file: HostFile) -> UInt64? {
        let start = next
        let room = UInt64(tail.count)
        guard start <= 1 << 56, count <= 1 << 40 else { return nil }
        if start + count + room > length {
            let target = max(start + count, min(most, max(start, length) + GrowingEnd.step)) + room
            guard file.truncate(target), tail.isEmpty || file.write(target - room, tail), file.flush() else { return nil }
            // The old tail is data's place now.
            if room > 0, length > start { fresh = max(fresh, length) }
            length = target
        }
        // What others, or a process that ended before an entry was written, have left here.
        if start < fresh, !file.zero(start, bytes: min(count, fresh - start), discard: true) { return nil }
        next = start + count
        return start
    }

    /// Gives back what was grown in advance.
    mutating func trim(to bytes: UInt64, _ file: HostFile) {
        guard length > bytes, file.truncate(bytes) else { return }
        length = bytes
        fresh = min(fresh, bytes)
    }
}
