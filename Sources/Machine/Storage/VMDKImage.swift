import Glibc
import Hardware

/// A VMDK image: extents one after the other, in one file or several.
final class VMDKImage: ImageLayer {
    let sectorBytes = 512
    let sectorCount: UInt64
    let readOnly: Bool
    let path: String
    let variant: String
    let parent: (any ImageLayer)?
    private(set) var identity: ImageIdentity?
    let parts: [Part]
    /// Whether the identity is the one of the contents.
    private var isRenewed: Bool
    private let description: HostFile
    private let place: (offset: UInt64, bytes: UInt64)

    struct Part {
        var first: UInt64
        var count: UInt64
        /// nil: zeros.
        var layer: (any ImageLayer)?
    }

    init(
        _ text: VMDKDescription, _ file: HostFile, place: (offset: UInt64, bytes: UInt64), parts: [Part], parent: (any ImageLayer)?,
        keepsIdentity: Bool
    ) {
        (description, self.place, self.parts, self.parent) = (file, place, parts, parent)
        path = file.path
        variant = text.kind
        sectorCount = parts.reduce(0) { $0 + $1.count }
        readOnly = !file.writable || parts.contains { $0.layer?.readOnly == true }
        isRenewed = keepsIdentity
        identity = VMDKImage.identity(text.id)
    }

    static func identity(_ id: UInt32) -> ImageIdentity {
        var bytes = [UInt8].zeros(4)
        bytes.putLittle(0, UInt64(id))
        return ImageIdentity(id: [], modification: bytes)
    }

    var format: ImageFormat { .vmdk }
    var blockBytes: UInt64 { parts.compactMap { $0.layer?.blockBytes }.max() ?? 512 }

    /// Calls `body` with part, sector in it, number of sectors and sectors done.
    private func pieces(_ sector: UInt64, _ count: UInt64, _ body: (Part, UInt64, UInt64, UInt64) -> Bool) -> Bool {
        var done: UInt64 = 0
        for part in parts where done < count {
            let at = sector + done
            guard at >= part.first, at - part.first < part.count else { continue }
            let length = min(count - done, part.count - (at - part.first))
            guard body(part, at - part.first, length, done) else { return false }
            done += length
        }
        return done == count
    }

    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        return pieces(sector, UInt64(buffer.count / 512)) { part, at, count, done in
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(done) * 512..<Int(done + count) * 512])
            guard let layer = part.layer else {
                piece.initializeMemory(as: UInt8.self, repeating: 0)
                return true
            }
            return layer.read(sector: at, into: piece)
        }
    }

    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard !readOnly, holds(sector, buffer.count), isRenewed || renew() else { return false }
        return pieces(sector, UInt64(buffer.count / 512)) { part, at, count, done in
            part.layer?.write(sector: at, from: UnsafeRawBufferPointer(rebasing: buffer[Int(done) * 512..<Int(done + count) * 512])) ?? false
        }
    }

    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard !readOnly, sector <= sectorCount, count <= sectorCount - sector, isRenewed || renew() else { return false }
        return pieces(sector, count) { part, at, count, _ in part.layer?.zero(sector: at, count: count, discard: discard) ?? true }
    }

    func settle() { for part in parts { part.layer?.settle() } }

    func flush() -> Bool { (readOnly || description.flush()) && parts.allSatisfy { $0.layer?.flush() ?? true } }

    func extent(_ sector: UInt64, limit: UInt64) -> ImageExtent? {
        guard let part = parts.first(where: { sector >= $0.first && sector - $0.first < $0.count }) else { return nil }
        let most = min(limit, part.count - (sector - part.first))
        guard let layer = part.layer else { return ImageExtent(kind: .zero, sectors: most) }
        return layer.extent(sector - part.first, limit: most)
    }

    private func renew() -> Bool {
        let id = UInt32.random(in: 1..<0xFFFF_FFFF)
        let text = VMDKDescription.text(description.peek(place.offset, count: Int(place.bytes)), id: id)
        guard VMDKImage.put(text, description, place) else { return false }
        identity = VMDKImage.identity(id)
        isRenewed = true
        return true
    }

    /// Writes a description over the old one, where there is room for it.
    static func put(_ text: String, _ file: HostFile, _ place: (offset: UInt64, bytes: UInt64)) -> Bool {
        var bytes = Array(text.utf8)
        // A file of its own may get longer; the rest of an embedded one is zeros.
        if place.offset == 0 { return file.write(0, bytes) && (bytes.count >= Int(place.bytes) || file.truncate(UInt64(bytes.count))) }
        guard bytes.count <= Int(place.bytes) else { return false }
        bytes += .zeros(Int(place.bytes) - bytes.count)
        return file.write(place.offset, bytes)
    }
}

/// New VMDK images.
enum VMDKCreation {
    private static let grain: UInt64 = 128, perTable: UInt64 = 512, descriptionSectors: UInt64 = 20
    static let pieceSectors: UInt64 = 2047 << 11

    /// One file that grows.
    static func fill(_ file: HostFile, _ bytes: UInt64, name: String, parent: (id: UInt32, path: String)? = nil) -> Bool {
        let sectors = bytes / 512
        let tables = (sectors - 1) / (grain * perTable) + 1
        let directorySectors = (tables * 4 + 511) / 512, tableSectors = perTable * 4 / 512
        let copy = 1 + descriptionSectors, main = copy + directorySectors + tables * tableSectors
        let overhead = (main + directorySectors + tables * tableSectors + grain - 1) / grain * grain
        guard overhead <= UInt64(UInt32.max) else {
            errno = EFBIG
            return false
        }
        var head = [UInt8].zeros(VMDKTable.headerBytes)
        head.put(0, VMDKTable.magic)
        head.putLittle(4, 1)
        head.putLittle(8, 3)
        head.putLittle(12, sectors, 8)
        head.putLittle(20, grain, 8)
        head.putLittle(28, 1, 8)
        head.putLittle(36, descriptionSectors, 8)
        head.putLittle(44, perTable)
        head.putLittle(48, copy, 8)
        head.putLittle(56, main, 8)
        head.putLittle(64, overhead, 8)
        head.put(73, [0x0A, 0x20, 0x0D, 0x0A])
        let text = VMDKDescription.text(
            id: .random(in: 1..<0xFFFF_FFFF), kind: "monolithicSparse", extents: ["RW \(sectors) SPARSE \"\(name)\""], diskBytes: bytes,
            parent: parent)
        guard text.utf8.count <= descriptionSectors * 512 else {
            errno = ENAMETOOLONG
            return false
        }
        guard file.truncate(overhead * 512), file.write(512, Array(text.utf8)) else { return false }
        for start in [copy, main] {
            var directory = [UInt8].zeros(Int(tables) * 4)
            for i in 0..<tables { directory.putLittle(Int(i) * 4, start + directorySectors + i * tableSectors) }
            guard file.write(start * 512, directory) else { return false }
        }
        return file.write(0, head)
    }

    /// The files of a flat image: name and sectors.
    static func pieces(_ path: String, _ bytes: UInt64, split: Bool) -> [(path: String, sectors: UInt64)] {
        let stem = path.lowercased().hasSuffix(".vmdk") ? String(path.dropLast(5)) : path
        let sectors = bytes / 512
        guard split else { return [(stem + "-flat.vmdk", sectors)] }
        return (0...(sectors - 1) / pieceSectors).map { i in
            let digits = String(i + 1)
            return (stem + "-f" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits + ".vmdk", min(pieceSectors, sectors - i * pieceSectors))
        }
    }

    static func text(_ pieces: [(path: String, sectors: UInt64)], _ bytes: UInt64, split: Bool) -> String {
        let lines = pieces.map { "RW \($0.sectors) FLAT \"\($0.path.split(separator: "/").last ?? "")\" 0" }
        return VMDKDescription.text(
            id: .random(in: 1..<0xFFFF_FFFF), kind: split ? "twoGbMaxExtentFlat" : "monolithicFlat", extents: lines, diskBytes: bytes)
    }
}
