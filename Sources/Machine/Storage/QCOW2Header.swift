/// The head of a qcow2 image, checked.
///
/// Source: QEMU's *qcow2 image file format* (docs/interop/qcow2), versions 2 and 3: big-endian fields, header extensions, and the name of the
/// image below.
///
/// Not implemented: encryption, an external data file, extended L2 entries; bitmaps are left to others and marked as stale.
struct QCOW2Header: Equatable {
    static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xFB]
    enum Offset {
        static let backing = 8, size = 24, l1Size = 36, l1 = 40, refcountTable = 48, incompatible = 72, autoclear = 88
    }
    enum Bit {
        static let dirty: UInt64 = 1, corrupt: UInt64 = 2, dataFile: UInt64 = 4, compression: UInt64 = 8, extendedL2: UInt64 = 16
    }
    private static let backingFormat: UInt64 = 0xE279_2ACA

    var version: UInt64
    var clusterBits: UInt64
    var diskBytes: UInt64
    var l1Size: UInt64
    var l1Offset: UInt64
    var refcountTableOffset: UInt64
    var refcountTableClusters: UInt64
    var refcountOrder: UInt64
    var snapshots: UInt64
    var snapshotsOffset: UInt64
    var incompatible: UInt64
    /// Clusters are packed by Zstandard, not zlib.
    var usesZstandard = false
    var backingPath: String?
    var backingFormatName: String?

    var clusterBytes: UInt64 { 1 << clusterBits }
    var isDirty: Bool { incompatible & Bit.dirty != 0 }
    var isCorrupt: Bool { incompatible & Bit.corrupt != 0 }

    /// - Throws: what is wrong with it.
    init(_ file: HostFile) throws(ImageProblem) {
        let head = file.peek(0, count: 112)
        guard head.count >= 72 else { throw .damaged("the file ends in its header") }
        version = head.big(4)
        guard version == 2 || version == 3 else { throw .notSupported("qcow\(version)") }
        guard version == 2 || head.count >= 104 else { throw .damaged("the file ends in its header") }
        clusterBits = head.big(20)
        guard (9...21).contains(clusterBits) else { throw .damaged("its clusters have 2^\(clusterBits) bytes, not 512 bytes to 2 MiB") }
        diskBytes = head.big(Offset.size, 8)
        guard head.big(32) == 0 else { throw .notSupported("encrypted qcow2") }
        l1Size = head.big(Offset.l1Size)
        l1Offset = head.big(Offset.l1, 8)
        refcountTableOffset = head.big(Offset.refcountTable, 8)
        refcountTableClusters = head.big(56)
        snapshots = head.big(60)
        snapshotsOffset = head.big(64, 8)
        incompatible = version == 3 ? head.big(Offset.incompatible, 8) : 0
        refcountOrder = version == 3 ? head.big(96) : 4
        let headerBytes = version == 3 ? head.big(100) : 72
        guard headerBytes >= (version == 3 ? 104 : 72), headerBytes <= clusterBytes, headerBytes % 8 == 0 else {
            throw .damaged("its header says that it has \(headerBytes) bytes")
        }
        guard incompatible & Bit.dataFile == 0 else { throw .notSupported("qcow2 with its data in another file") }
        guard incompatible & Bit.extendedL2 == 0 else { throw .notSupported("qcow2 with subclusters") }
        guard incompatible & ~0x1F == 0 else { throw .notSupported("qcow2 with unknown features (\(String(incompatible, radix: 16)))") }
        if incompatible & Bit.compression != 0 {
            guard headerBytes > 104, head[104] <= 1 else { throw .notSupported("qcow2 with unknown compression") }
            usesZstandard = head[104] == 1
        }
        try checkTables(file.bytes)
        try readBacking(file, head, headerBytes)
    }

    /// The disk as it was at a snapshot inside: its size and its first table.
    mutating func turn(to snapshot: QCOW2Snapshot, _ fileBytes: UInt64) throws(ImageProblem) {
        (diskBytes, l1Offset, l1Size) = (snapshot.diskBytes, snapshot.l1Offset, snapshot.l1Size)
        try checkTables(fileBytes)
    }

    private func checkTables(_ fileBytes: UInt64) throws(ImageProblem) {
        guard diskBytes >= 512 else { throw .damaged("its disk has \(diskBytes) bytes") }
        let perTable = clusterBits * 2 - 3
        let needed = perTable >= 63 ? 1 : (diskBytes - 1) >> perTable + 1
        guard l1Size >= needed, l1Size <= 4 << 20 else {
            throw .damaged("its first table has \(l1Size) entries, and a disk of \(diskBytes) bytes needs \(needed)")
        }
        guard l1Offset > 0, l1Offset % clusterBytes == 0, l1Offset <= fileBytes, l1Size * 8 <= fileBytes - l1Offset else {
            throw .damaged("its first table lies at \(l1Offset), where it has no room")
        }
        guard refcountOrder <= 6 else { throw .damaged("its reference counts have 2^\(refcountOrder) bits") }
        guard refcountTableOffset % clusterBytes == 0, refcountTableOffset <= fileBytes, refcountTableClusters << clusterBits <= 8 << 20
        else { throw .damaged("its table of reference counts lies at \(refcountTableOffset)") }
        guard snapshots <= 65536 else { throw .damaged("it has \(snapshots) snapshots") }
    }

    private mutating func readBacking(_ file: HostFile, _ head: [UInt8], _ headerBytes: UInt64) throws(ImageProblem) {
        let offset = head.big(Offset.backing, 8), length = head.big(16)
        let area = file.peek(0, count: Int(min(clusterBytes, 1 << 16)))
        var at = Int(headerBytes)
        // Extensions end with a zero type, or where the name begins.
        while at + 8 <= area.count, offset == 0 || at < Int(truncatingIfNeeded: min(offset, 1 << 32)) {
            let type = area.big(at), count = Int(area.big(at + 4))
            if type == 0 { break }
            guard count <= area.count - at - 8 else { throw .damaged("a part of its header does not end") }
            if type == QCOW2Header.backingFormat { backingFormatName = String(decoding: area.part(at + 8, count), as: UTF8.self) }
            at += 8 + (count + 7) & ~7
        }
        guard offset != 0 else { return }
        guard length > 0, length <= 1023, offset <= clusterBytes, length <= clusterBytes - offset else {
            throw .damaged("the name of the image below it lies at \(offset) with \(length) bytes")
        }
        let name = file.peek(offset, count: Int(length))
        guard name.count == Int(length) else { throw .damaged("the name of the image below it is not in the file") }
        backingPath = String(decoding: name, as: UTF8.self)
    }

    /// Of a new image: header, extensions and name, within the first cluster.
    static func encoded(
        version: UInt64, diskBytes: UInt64, clusterBits: UInt64, l1Size: UInt64, l1Offset: UInt64, refcountTableOffset: UInt64,
        backing: (path: String, format: String)?
    ) -> [UInt8] {
        var head = [UInt8].zeros(1 << Int(min(clusterBits, 16)))
        head.put(0, magic)
        head.putBig(4, version)
        head.putBig(20, clusterBits)
        head.putBig(Offset.size, diskBytes, 8)
        head.putBig(Offset.l1Size, l1Size)
        head.putBig(Offset.l1, l1Offset, 8)
        head.putBig(Offset.refcountTable, refcountTableOffset, 8)
        head.putBig(56, 1)
        var at = 72
        if version == 3 {
            head.putBig(96, 4)
            head.putBig(100, 104)
            at = 104
        }
        if let backing {
            head.put(at, extensions(backing.format))
            at += extensions(backing.format).count
            head.putBig(Offset.backing, UInt64(at), 8)
            head.putBig(16, UInt64(backing.path.utf8.count))
            head.put(at, Array(backing.path.utf8))
        }
        return head
    }

    /// The extension that names the format of the image below, and the end of extensions.
    static func extensions(_ format: String) -> [UInt8] {
        let name = Array(format.utf8)
        var bytes = [UInt8].zeros(8 + (name.count + 7) & ~7 + 8)
        bytes.putBig(0, backingFormat)
        bytes.putBig(4, UInt64(name.count))
        bytes.put(8, name)
        return bytes
    }
}
