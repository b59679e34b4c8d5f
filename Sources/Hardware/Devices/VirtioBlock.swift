import CPU
import Primitives

/// OASIS virtio 1.2, block device.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), section 5.2 "Block Device".
///
///     request   type (32), reserved (32), sector (64), data, status (8)
///     type      0 read, 1 write, 4 flush, 8 get ID, 11 discard, 13 write zeroes
///     status    0 done, 1 failed, 2 not supported
///
/// One queue; a request may be cut into descriptors in any way. A request that does not lie wholly on the disk fails before anything moves.
/// Without VIRTIO_BLK_F_FLUSH every write is on the host's disk before it is answered. Discarded sectors read as zeros.
///
/// Not implemented: several queues, switching the write cache (CONFIG_WCE), topology, lifetime, secure erase, zones, the legacy SCSI
/// commands and barriers, media changes at run time.
public struct VirtioBlock: VirtioDevice {
    public static let name = "virtio-blk"
    public static let kind = VirtioPCI.Kind(id: 2, pciID: 0x1001, classCode: 0x01_00_00, queues: [256])

    public var transport: VirtioPCI
    /// Where its medium is.
    public let bay: Bay
    /// In the serial number, from 1.
    public let number: Int

    /// - Parameters:
    ///   - slot: PCI device number.
    ///   - number: counts the disks of the machine, from 1.
    public init(slot: Int, bay: Bay, number: Int) {
        transport = VirtioPCI(VirtioBlock.kind, slot: slot)
        self.bay = bay
        self.number = number
    }

    public mutating func restart() {}

    private func medium(_ wires: Wires) -> (any Medium)? {
        guard let medium = wires.media[bay], medium.sectorBytes == 512 else { return nil }
        return medium
    }

    // MARK: Features and configuration

    /// Bytes in a descriptor, descriptors of data in a request; their product is what one request may move.
    static let segmentBytes: UInt32 = 1 << 20
    static let segments: UInt32 = 254
    /// Sectors in one range of a discard or write zeroes, ranges in a request.
    static let rangeSectors: UInt32 = 1 << 17
    static let ranges: UInt32 = 4

    public func features(_ wires: Wires) -> UInt64 {
        let base = Feature.sizeMax | Feature.segMax | Feature.geometry | Feature.blockSize | Feature.flush
        return base | (medium(wires)?.readOnly == true ? Feature.readOnly : Feature.discard | Feature.writeZeroes)
    }

    public func configuration(_ wires: Wires) -> [UInt8] {
        let sectors = medium(wires)?.sectorCount ?? 0
        var fields = VirtioFields(count: 60)
        fields.put(0, sectors)
        fields.put(8, VirtioBlock.segmentBytes)
        fields.put(12, VirtioBlock.segments)
        // The geometry that IDE disks report.
        fields.put(16, UInt16(min(sectors / (16 * 63), 16383)))
        fields.put(18, UInt8(16))
        fields.put(19, UInt8(63))
        fields.put(20, UInt32(512))
        fields.put(36, VirtioBlock.rangeSectors)
        fields.put(40, VirtioBlock.ranges)
        fields.put(44, UInt32(1))  // discard alignment
        fields.put(48, VirtioBlock.rangeSectors)
        fields.put(52, VirtioBlock.ranges)
        fields.put(56, UInt8(1))  // write zeroes may unmap
        return fields.bytes
    }

    // MARK: Requests

    /// Bytes that one step moves before it lets the processor go on.
    static let stepBytes = 8 << 20
    /// Bytes that lie between medium and guest memory at once.
    private static let pieceBytes = 256 << 10
    private static let headerBytes = 16

    public mutating func serve(_ queue: Int, _ wires: inout Wires) throws(VirtqueueFault) -> Bool {
        let limit = Int(VirtioBlock.segmentBytes * VirtioBlock.segments) + 64
        var moved = 0
        while let chain = try transport.take(queue, wires.memory, limit: limit) {
            guard chain.readableBytes >= VirtioBlock.headerBytes, chain.writableBytes >= 1 else { throw .malformed }
            let (status, written) = perform(chain, wires)
            chain.write(chain.writableBytes - 1, [status], wires.memory)
            try transport.use(queue, chain.head, written: written + 1, wires.memory)
            // Even a request without data is some work.
            moved += 4096 + chain.readableBytes + chain.writableBytes
            if moved >= VirtioBlock.stepBytes { return try transport.queues[queue].hasAvailable(wires.memory) }
        }
        return false
    }

    /// - Returns: the status and how many bytes of data were written to the buffer.
    private func perform(_ chain: VirtioChain, _ wires: Wires) -> (status: UInt8, written: Int) {
        let header = chain.bytes(0, count: VirtioBlock.headerBytes, wires.memory)
        let type = VirtioBlock.word(header, 0), sector = UInt64(VirtioBlock.word(header, 8)) | UInt64(VirtioBlock.word(header, 12)) << 32
        guard let medium = medium(wires) else { return (Status.failed, 0) }
        switch type {
        case 0: return readSectors(chain, sector, medium, wires.memory)
        case 1: return (writeSectors(chain, sector, medium, wires.memory), 0)
        case 4: return (medium.flush() ? Status.done : Status.failed, 0)
        case 8:
            // 20 bytes, padded with zeros.
            var name = Array("vitrine-disk-\(number)".utf8.prefix(20))
            name += [UInt8](repeating: 0, count: 20 - name.count)
            let room = min(20, chain.writableBytes - 1)
            return (Status.done, chain.write(0, Array(name.prefix(room)), wires.memory))
        case 11, 13:
            let accepted = transport.accepted(type == 11 ? Feature.discard : Feature.writeZeroes)
            return (accepted ? zeroSectors(chain, discard: type == 11, medium, wires.memory) : Status.unsupported, 0)
        default: return (Status.unsupported, 0)
        }
    }

    private func readSectors(_ chain: VirtioChain, _ sector: UInt64, _ medium: any Medium, _ memory: GuestMemory) -> (UInt8, Int) {
        let bytes = chain.writableBytes - 1
        guard VirtioBlock.holds(medium, sector, bytes) else { return (Status.failed, 0) }
        let done = VirtioBlock.pieces(bytes) { at, piece in
            guard medium.read(sector: sector + UInt64(at / 512), into: piece) else { return false }
            chain.write(at, from: UnsafeRawBufferPointer(piece), memory)
            return true
        }
        return (done == bytes ? Status.done : Status.failed, done)
    }

    private func writeSectors(_ chain: VirtioChain, _ sector: UInt64, _ medium: any Medium, _ memory: GuestMemory) -> UInt8 {
        let bytes = chain.readableBytes - VirtioBlock.headerBytes
        guard !medium.readOnly, VirtioBlock.holds(medium, sector, bytes) else { return Status.failed }
        let done = VirtioBlock.pieces(bytes) { at, piece in
            chain.read(VirtioBlock.headerBytes + at, into: piece, memory)
            return medium.write(sector: sector + UInt64(at / 512), from: UnsafeRawBufferPointer(piece))
        }
        return done == bytes && writeThrough(medium) ? Status.done : Status.failed
    }

    private func zeroSectors(_ chain: VirtioChain, discard: Bool, _ medium: any Medium, _ memory: GuestMemory) -> UInt8 {
        let bytes = chain.readableBytes - VirtioBlock.headerBytes
        guard !medium.readOnly, bytes > 0, bytes % 16 == 0, bytes / 16 <= Int(VirtioBlock.ranges) else { return Status.failed }
        let list = chain.bytes(VirtioBlock.headerBytes, count: bytes, memory)
        let ranges = stride(from: 0, to: bytes, by: 16).map { at in
            let sector = UInt64(VirtioBlock.word(list, at)) | UInt64(VirtioBlock.word(list, at + 4)) << 32
            return (sector: sector, count: VirtioBlock.word(list, at + 8), flags: VirtioBlock.word(list, at + 12))
        }
        // Unknown flags, and `unmap` in a discard, are not supported (5.2.6.2).
        guard ranges.allSatisfy({ $0.flags & (discard ? .max : ~1) == 0 }) else { return Status.unsupported }
        for range in ranges {
            guard range.count <= VirtioBlock.rangeSectors, VirtioBlock.holds(medium, range.sector, Int(range.count) * 512) else {
                return Status.failed
            }
            let unmap = discard || range.flags & 1 != 0
            guard medium.zero(sector: range.sector, count: UInt64(range.count), discard: unmap) else { return Status.failed }
        }
        return writeThrough(medium) ? Status.done : Status.failed
    }

    /// A driver that cannot flush gets every write flushed (5.2.6.2, stable writes).
    private func writeThrough(_ medium: any Medium) -> Bool { transport.accepted(Feature.flush) || medium.flush() }

    /// Whole sectors, and all of them on the disk.
    private static func holds(_ medium: any Medium, _ sector: UInt64, _ bytes: Int) -> Bool {
        bytes % 512 == 0 && sector <= medium.sectorCount && UInt64(bytes / 512) <= medium.sectorCount - sector
    }

    /// Calls `body` for piece after piece until it returns false; returns the bytes done.
    private static func pieces(_ bytes: Int, _ body: (Int, UnsafeMutableRawBufferPointer) -> Bool) -> Int {
        guard bytes > 0 else { return 0 }
        return withUnsafeTemporaryAllocation(byteCount: min(bytes, pieceBytes), alignment: 16) { buffer in
            var done = 0
            while done < bytes {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(buffer.count, bytes - done)])
                guard body(done, piece) else { break }
                done += piece.count
            }
            return done
        }
    }

    private static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24
    }

    private enum Status {
        static let done: UInt8 = 0, failed: UInt8 = 1, unsupported: UInt8 = 2
    }
    enum Feature {
        static let sizeMax: UInt64 = 1 << 1, segMax: UInt64 = 1 << 2, geometry: UInt64 = 1 << 4, readOnly: UInt64 = 1 << 5
        static let blockSize: UInt64 = 1 << 6, flush: UInt64 = 1 << 9, discard: UInt64 = 1 << 13, writeZeroes: UInt64 = 1 << 14
    }
}
