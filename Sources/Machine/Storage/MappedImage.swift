import Glibc
import Hardware

/// An image whose disk is cut into blocks, in the file where tables say, perhaps over another image.
///
/// A block that is written first goes to the end of the file. Without a layer below, its entry is written with it: what the entry hides reads
/// as zeros, and so does the new place until its data is on the host's medium. Over another image the whole block is copied up, and the
/// entries wait in memory until the data has been waited for: at a flush, after a second, or when there are many. So whatever a power cut
/// leaves of the writes, the image opens, and what was flushed is there.
final class MappedImage<Table: BlockTable>: ImageLayer {
    let sectorBytes = 512
    let sectorCount: UInt64
    let readOnly: Bool
    let parent: (any ImageLayer)?
    let file: HostFile
    private(set) var table: Table
    private let shift: UInt64
    private let deferred: Bool
    /// The file says that it is being written.
    private var begun = false
    private var waiting = 0
    private var waitingSince: UInt64 = 0
    /// A new identity is not made at the first write: what stands on this image stays right.
    private let keepsIdentity: Bool

    init(_ file: HostFile, _ table: Table, parent: (any ImageLayer)?, keepsIdentity: Bool = false) {
        self.file = file
        self.table = table
        self.parent = parent
        self.keepsIdentity = keepsIdentity
        readOnly = !file.writable
        sectorCount = table.diskBytes / 512
        shift = table.blockShift
        deferred = parent != nil || table.needsOrder
    }

    deinit {
        guard begun else { return }
        if writeWaiting() { table.close(file) }
    }

    var path: String { file.path }
    var format: ImageFormat { Table.format }
    var variant: String { table.variant }
    var identity: ImageIdentity? { table.identity }
    var blockBytes: UInt64 { 1 << shift }

    // MARK: Looking

    /// The place of a byte and how many bytes go on in the same way, at most `limit`.
    private func run(_ offset: UInt64, _ limit: UInt64) -> (place: BlockPlace, bytes: UInt64)? {
        var block = offset >> shift
        let within = offset & (blockBytes - 1)
        guard let first = table.look(block, file) else { return nil }
        var bytes = min(limit, blockBytes - within)
        var expected = first
        if case .at(let start) = first { expected = .at(start + blockBytes) }
        switch first {
        case .packed, .mixed: return (first, bytes)
        case .at(let start):
            while bytes < limit {
                block += 1
                guard let next = table.look(block, file) else { break }
                guard next == expected, case .at(let place) = next else { break }
                expected = .at(place + blockBytes)
                bytes += min(blockBytes, limit - bytes)
            }
            return (.at(start + within), bytes)
        case .absent, .zero:
            if first == .absent { skip(&block, &bytes, limit) }
            while bytes < limit {
                block += 1
                guard table.look(block, file) == first else { break }
                bytes += min(blockBytes, limit - bytes)
                if first == .absent { skip(&block, &bytes, limit) }
            }
            return (first, bytes)
        }
    }

    /// Over what a table says at once.
    private func skip(_ block: inout UInt64, _ bytes: inout UInt64, _ limit: UInt64) {
        let more = min(table.gap(block) - 1, (limit - bytes + blockBytes - 1) >> shift)
        block += more
        bytes = min(limit, bytes + more << shift)
    }

    func extent(_ sector: UInt64, limit: UInt64) -> ImageExtent? {
        guard sector < sectorCount, limit > 0 else { return nil }
        let most = min(limit, sectorCount - sector, 1 << 40)
        guard let (place, bytes) = run(sector * 512, most * 512) else { return nil }
        let sectors = bytes / 512
        switch place {
        case .absent: return ImageExtent(kind: .absent, sectors: sectors)
        case .zero: return ImageExtent(kind: .zero, sectors: sectors)
        case .packed: return ImageExtent(kind: .data, sectors: sectors)
        case .at(let offset):
            let (isData, length) = file.extent(offset, limit: bytes)
            guard length >= 512 else { return ImageExtent(kind: .data, sectors: 1, fileOffset: offset) }
            return ImageExtent(kind: isData ? .data : .zero, sectors: length / 512, fileOffset: offset)
        case .mixed(let offset):
            let block = sector >> (shift - 9), first = Int(sector & (blockBytes / 512 - 1))
            guard let bits = table.present(block, file), first < bits.count else { return nil }
            let end = bits[first...].prefix { $0 == bits[first] }.count
            return ImageExtent(
                kind: bits[first] ? .data : .absent, sectors: min(sectors, UInt64(end)),
                fileOffset: bits[first] ? offset + UInt64(first) * 512 : nil)
        }
    }

    // MARK: Reading

    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        if deferred { settleWhenOld() }
        var done = 0
        while done < buffer.count {
            let offset = sector * 512 + UInt64(done)
            guard let (place, bytes) = run(offset, UInt64(buffer.count - done)) else { return false }
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + Int(bytes)])
            guard read(place, offset, part) else { return false }
            done += Int(bytes)
        }
        return true
    }

    private func read(_ place: BlockPlace, _ offset: UInt64, _ part: UnsafeMutableRawBufferPointer) -> Bool {
        switch place {
        case .zero:
            part.initializeMemory(as: UInt8.self, repeating: 0)
            return true
        case .absent: return readBelow(offset, part)
        // A file may end within its last block.
        case .at(let start): return file.read(start, into: part, padded: true)
        case .packed:
            let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(blockBytes), alignment: 16)
            defer { whole.deallocate() }
            guard table.unpack(offset >> shift, into: whole, file) else { return false }
            let within = Int(offset & (blockBytes - 1))
            part.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[within..<within + part.count]))
            return true
        case .mixed(let start):
            let within = offset & (blockBytes - 1)
            guard let bits = table.present(offset >> shift, file) else { return false }
            var done = 0
            while done < part.count {
                let at = Int(within) / 512 + done / 512
                let count = min(bits[at...].prefix { $0 == bits[at] }.count * 512, part.count - done)
                let piece = UnsafeMutableRawBufferPointer(rebasing: part[done..<done + count])
                let ok =
                    bits[at] ? file.read(start + within + UInt64(done), into: piece, padded: true) : readBelow(offset + UInt64(done), piece)
                guard ok else { return false }
                done += count
            }
            return true
        }
    }

    /// The image below, which may be smaller.
    private func readBelow(_ offset: UInt64, _ part: UnsafeMutableRawBufferPointer) -> Bool {
        guard let parent, offset / 512 < parent.sectorCount else {
            part.initializeMemory(as: UInt8.self, repeating: 0)
            return true
        }
        let there = Int(min(UInt64(part.count), (parent.sectorCount - offset / 512) * 512))
        if there < part.count { UnsafeMutableRawBufferPointer(rebasing: part[there...]).initializeMemory(as: UInt8.self, repeating: 0) }
        return parent.read(sector: offset / 512, into: UnsafeMutableRawBufferPointer(rebasing: part[0..<there]))
    }

    // MARK: Writing

    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard !readOnly, holds(sector, buffer.count) else { return false }
        if deferred { settleWhenOld() }
        var done = 0
        while done < buffer.count {
            let offset = sector * 512 + UInt64(done)
            guard let (place, bytes) = run(offset, UInt64(buffer.count - done)) else { return false }
            let part = UnsafeRawBufferPointer(rebasing: buffer[done..<done + Int(bytes)])
            switch place {
            case .at(let at): guard start(), file.write(at, from: part) else { return false }
            // Zeros where zeros are read need no room.
            case .zero where part.isZero: break
            case .absent where parent == nil && part.isZero: break
            case .absent where parent == nil: guard start(), fill(offset, part) else { return false }
            case .zero: guard start(), fill(offset, part) else { return false }
            default: guard start(), copyUp(offset, part) else { return false }
            }
            done += Int(bytes)
        }
        return true
    }

    /// Before the first change.
    private func start() -> Bool {
        if begun { return true }
        guard keepsIdentity || table.renew(file), table.begin(file) else { return false }
        begun = true
        return true
    }

    /// Room for blocks that read as zeros so far.
    private func fill(_ offset: UInt64, _ data: UnsafeRawBufferPointer) -> Bool {
        var (done, from, place) = (0, 0, UInt64(0))
        var entries: [(block: UInt64, place: UInt64)] = []
        while true {
            let at = offset + UInt64(done)
            let within = at & (blockBytes - 1)
            let room = done < data.count ? table.reserve(at >> shift, file) : nil
            // What lies in a row in the file is written at once.
            if done > from, room.map({ $0 != place + UInt64(done - from) }) ?? true {
                guard file.write(place, from: UnsafeRawBufferPointer(rebasing: data[from..<done])) else { return false }
                from = done
            }
            guard done < data.count else { break }
            guard let room else { return false }
            if from == done { place = room + within }
            entries.append((at >> shift, room))
            done += min(data.count - done, Int(blockBytes - within))
        }
        for entry in entries { guard enter(entry.block, .at(entry.place)) else { return false } }
        return true
    }

    /// Whole blocks with what was there before, block by block; nil as data: zeros.
    private func copyUp(_ offset: UInt64, _ data: UnsafeRawBufferPointer?, count: Int? = nil) -> Bool {
        let size = Int(blockBytes), total = count ?? data?.count ?? 0
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { whole.deallocate() }
        var done = 0
        while done < total {
            let at = offset + UInt64(done)
            let block = at >> shift, within = Int(at & (blockBytes - 1))
            let length = min(total - done, size - within)
            if length < size {
                guard let place = table.look(block, file), read(place, block << shift, whole) else { return false }
            }
            let target = UnsafeMutableRawBufferPointer(rebasing: whole[within..<within + length])
            if let data {
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: data[done..<done + length]))
            } else {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            }
            let content = UnsafeRawBufferPointer(whole)
            if table.hasZeroBlocks, content.isZero {
                guard enter(block, .zero) else { return false }
            } else {
                guard let room = table.reserve(block, file), writeSparse(room, content), enter(block, .at(room)) else { return false }
            }
            done += length
        }
        return true
    }

    /// Leaves out zeros in a place that reads as zeros.
    private func writeSparse(_ place: UInt64, _ content: UnsafeRawBufferPointer) -> Bool {
        let step = 64 << 10
        return stride(from: 0, to: content.count, by: step).allSatisfy { at in
            let piece = UnsafeRawBufferPointer(rebasing: content[at..<min(at + step, content.count)])
            return piece.isZero || file.write(place + UInt64(at), from: piece)
        }
    }

    private func enter(_ block: UInt64, _ place: BlockPlace) -> Bool {
        guard table.enter(block, place, deferred: deferred, file) else { return false }
        guard deferred else { return true }
        if waiting == 0 { waitingSince = MappedImage.now() }
        waiting += 1
        return waiting < 4096 || writeWaiting()
    }

    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard !readOnly, sector <= sectorCount, count <= sectorCount - sector else { return false }
        var done: UInt64 = 0
        while done < count * 512 {
            let offset = sector * 512 + done
            guard let (place, bytes) = run(offset, count * 512 - done) else { return false }
            switch place {
            // The place in the file is kept: moving other blocks into it could lose them in a crash. A hole takes no room.
            case .at(let at): guard start(), file.zero(at, bytes: bytes, discard: discard) else { return false }
            case .zero: break
            case .absent where parent == nil: break
            default: guard start(), hide(offset, bytes) else { return false }
            }
            done += bytes
        }
        return true
    }

    /// Zeros over what lies below.
    private func hide(_ offset: UInt64, _ count: UInt64) -> Bool {
        var done: UInt64 = 0
        while done < count {
            let at = offset + done
            let within = at & (blockBytes - 1)
            let length = min(count - done, blockBytes - within)
            if length == blockBytes || at + length == sectorCount * 512 && within == 0 {
                let block = at >> shift
                if table.hasZeroBlocks {
                    guard enter(block, .zero) else { return false }
                } else {
                    guard let room = table.reserve(block, file), enter(block, .at(room)) else { return false }
                }
            } else {
                guard copyUp(at, nil, count: Int(length)) else { return false }
            }
            done += length
        }
        return true
    }

    // MARK: Settling

    /// The entries that wait are in the file, after their data is on the host's medium.
    private func writeWaiting() -> Bool {
        guard table.isDirty else { return true }
        guard table.writeGround(file), file.flush(), table.writeEntries(file) else { return false }
        waiting = 0
        return true
    }

    private func settleWhenOld() {
        guard waiting > 0, MappedImage.now() &- waitingSince > 1_000_000_000 else { return }
        _ = writeWaiting()
    }

    func settle() { settleWhenOld() }

    func flush() -> Bool {
        guard !readOnly, begun else { return readOnly || file.flush() }
        return writeWaiting() && file.flush()
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(bitPattern: Int64(time.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(time.tv_nsec))
    }
}
