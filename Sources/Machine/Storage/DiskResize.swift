import Glibc
import Hardware

/// Makes a disk larger, or smaller.
public enum DiskResize {
    /// In place where the tables have room, otherwise by a new file that takes the place of the old one.
    /// - Throws: `.usage` for sizes that are not wanted or possible, `.badInput`, `.failed`; the image is as it was then.
    public static func run(
        _ path: String, bytes: UInt64, shrink: Bool, progress: DiskCopy.Progress = { _, _ in true }
    ) throws(MachineError) {
        guard NewImage.sizes.contains(bytes), bytes % 512 == 0 else {
            throw .usage("A disk has \(ByteSize.text(NewImage.sizes.lowerBound)) to \(ByteSize.text(NewImage.sizes.upperBound)) in whole sectors.")
        }
        let layer = try DiskCopy.open(path, writable: true, keepsIdentity: true)
        let (old, format, parent) = (layer.bytes, layer.format, layer.parent != nil)
        guard bytes != old else { return }
        guard bytes > old || shrink else {
            throw .usage(
                "'\(path)' is a disk of \(ByteSize.text(old)); a smaller one loses what lies behind \(ByteSize.text(bytes)). With --shrink it is done.")
        }
        guard !parent || format == .qcow2 else {
            throw .usage("'\(path)' stands on another image, and a \(format.name) has to be of its size; merge them first.")
        }
        guard !parent || bytes > old else { throw .usage("'\(path)' stands on another image and cannot get smaller; merge them first.") }
        guard format != .vhd || bytes <= VHDHeader.largest else { throw .usage("A VHD has at most \(ByteSize.text(VHDHeader.largest)).") }
        let done: Bool
        switch (layer, format) {
        case (let raw as RawImage, .raw): done = raw.file.truncate(bytes) && raw.file.flush()
        case (let raw as RawImage, .vhd): done = fixedVHD(raw.file, bytes, old)
        case (let vdi as VDIImage, _) where bytes > old && !vdi.isFixed && vdi.table.hasRoom(for: bytes):
            done = VDITable.grow(vdi.file, vdi.table.header, to: bytes)
        case (let qcow2 as QCOW2Image, _) where bytes > old: done = QCOW2Table.grow(qcow2.file, qcow2.table.header, to: bytes)
        default:
            guard !layer.variant.hasSuffix("Flat") else {
                throw .usage("'\(path)' is a VMDK in several files; convert it to another format and back.")
            }
            return try DiskCopy.rebuild(path, from: layer, bytes: bytes, progress)
        }
        guard done else { throw .failed("'\(path)' cannot be made \(ByteSize.text(bytes)) large: \(WholeFile.reason()).") }
    }

    /// The new footer first: an image that is cut before the length is right still ends with one.
    private static func fixedVHD(_ file: HostFile, _ bytes: UInt64, _ old: UInt64) -> Bool {
        guard let header = try? VHDHeader(file) else { return false }
        let footer = VHDHeader.footer(.fixed, diskBytes: bytes, id: header.id)
        if bytes > old {
            return file.truncate(bytes + 512) && file.write(bytes, footer) && file.flush() && file.zero(old, bytes: 512, discard: false) && file.flush()
        }
        return file.write(bytes, footer) && file.flush() && file.truncate(bytes + 512) && file.flush()
    }
}

extension VDITable {
    /// The map can get longer before the data begins.
    func hasRoom(for bytes: UInt64) -> Bool {
        let blocks = (bytes + header.blockBytes - 1) / header.blockBytes
        return blocks <= VDIHeader.maximumBlocks && header.mapOffset + blocks * 4 <= header.dataOffset
    }

    /// The longer map is there before the header says so; that is one sector.
    static func grow(_ file: HostFile, _ header: VDIHeader, to bytes: UInt64) -> Bool {
        let blocks = (bytes + header.blockBytes - 1) / header.blockBytes
        let new = [UInt8](repeating: 0xFF, count: Int(blocks - min(blocks, header.blocks)) * 4)
        guard new.isEmpty || file.write(header.mapOffset + header.blocks * 4, new), file.flush() else { return false }
        var head = file.peek(0, count: 512)
        head.putLittle(0x170, bytes, 8)
        head.putLittle(0x180, blocks)
        return file.write(0, head) && file.flush()
    }
}

extension QCOW2Table {
    /// A first table that is long enough, perhaps at the end of the file, and then the header, which is one sector.
    static func grow(_ file: HostFile, _ header: QCOW2Header, to bytes: UInt64) -> Bool {
        guard var table = try? QCOW2Table(file) else { return false }
        let needed = (bytes - 1) >> (header.clusterBits * 2 - 3) + 1
        guard needed <= 4 << 20 else {
            errno = EFBIG
            return false
        }
        var head = file.peek(0, count: 512)
        head.putBig(QCOW2Header.Offset.size, bytes, 8)
        guard needed > header.l1Size else { return file.write(0, head) && file.flush() }
        let cluster = header.clusterBytes
        let clusters = (needed * 8 - 1) / cluster + 1
        let oldClusters = (header.l1Size * 8 - 1) / cluster + 1
        guard let place = table.end.take(clusters * cluster, file), file.write(place, bigEndian(table.l1)) else { return false }
        for i in 0..<clusters { guard table.refcounts.add(place / cluster + i, 1, &table.end, file) else { return false } }
        guard table.refcounts.write(file), file.flush() else { return false }
        head = file.peek(0, count: 512)
        head.putBig(QCOW2Header.Offset.size, bytes, 8)
        head.putBig(QCOW2Header.Offset.l1Size, needed)
        head.putBig(QCOW2Header.Offset.l1, place, 8)
        guard file.write(0, head), file.flush() else { return false }
        for i in 0..<oldClusters { guard table.refcounts.add(header.l1Offset / cluster + i, -1, &table.end, file) else { return false } }
        guard table.refcounts.write(file) else { return false }
        table.end.trim(to: table.end.next, file)
        return file.flush()
    }
}
