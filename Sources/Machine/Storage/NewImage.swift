import Glibc
import Hardware

/// Disk images that are made.
public enum NewImage {
    /// What `--disk-format` knows.
    public enum Format: String, Sendable, CaseIterable {
        /// VDI, grows as it is written.
        case dynamic
        /// VDI, all of its room taken from the host at once.
        case fixed
        /// Nothing but sectors; holes until they are written.
        case raw
        /// Version 3.
        case qcow2
        case qcow2v2 = "qcow2-v2"
        /// One file that grows.
        case vmdk
        /// A description and a file of sectors.
        case vmdkFlat = "vmdk-flat"
        /// The same in files of 2 GiB.
        case vmdkSplit = "vmdk-split"
        case vhd
        case vhdFixed = "vhd-fixed"

        public var fileExtension: String { imageFormat == .raw ? "img" : imageFormat.rawValue }

        public var imageFormat: ImageFormat {
            switch self {
            case .dynamic, .fixed: .vdi
            case .raw: .raw
            case .qcow2, .qcow2v2: .qcow2
            case .vmdk, .vmdkFlat, .vmdkSplit: .vmdk
            case .vhd, .vhdFixed: .vhd
            }
        }
    }

    public static let sizes: ClosedRange<UInt64> = (1 << 20)...(8 << 40)

    /// Makes an image under its name in one step; a file that is there is not touched.
    /// - Parameter name: what it will be called, when that is another path in the same folder.
    /// - Throws: `.usage` for a size out of range, `.failed` with the host's reason; nothing is left then.
    public static func make(_ path: String, bytes: UInt64, format: Format, name: String? = nil) throws(MachineError) {
        let name = name ?? path
        guard sizes.contains(bytes), bytes % 512 == 0 else {
            throw .usage(
                "A disk has \(ByteSize.text(sizes.lowerBound)) to \(ByteSize.text(sizes.upperBound)) in whole sectors, not \(bytes) bytes.")
        }
        guard format.imageFormat != .vhd || bytes <= VHDHeader.largest else {
            throw .usage("A VHD has at most \(ByteSize.text(VHDHeader.largest)); use another format.")
        }
        if format == .vmdkFlat || format == .vmdkSplit { return try makeFlat(path, bytes, name, split: format == .vmdkSplit) }
        try build(path) { file in fill(file, bytes, format, name: name.split(separator: "/").last.map(String.init) ?? "disk") }
    }

    /// The files of sectors, and then the description, which makes them an image.
    private static func makeFlat(_ path: String, _ bytes: UInt64, _ name: String, split: Bool) throws(MachineError) {
        let pieces = VMDKCreation.pieces(name, bytes, split: split)
        var made: [String] = []
        do throws(MachineError) {
            for piece in pieces {
                try build(piece.path) { $0.truncate(piece.sectors * 512) }
                made.append(piece.path)
            }
            try build(path) { $0.write(0, Array(VMDKCreation.text(pieces, bytes, split: split).utf8)) }
        } catch {
            for path in made { HostFile.unlink(path) }
            throw error
        }
    }

    /// Makes an image that shows its parent until it is written; the parent must stay as it is from then on.
    /// - Parameters:
    ///   - parent: not open for writing.
    ///   - format: nil: the parent's, and qcow2 on a raw one; VDI, VMDK and VHD stand on their own kind only.
    /// - Throws: `.badInput` when the parent is not usable, `.usage` for formats that do not go together, `.failed`; nothing is left then.
    public static func differencing(path: String, parent: String, format: ImageFormat? = nil) throws(MachineError) {
        let below: any ImageLayer
        do {
            below = try DiskImage.layer(path: parent, writable: false)
        } catch {
            throw .badInput(error.description)
        }
        let format = format ?? (below.format == .raw ? .qcow2 : below.format)
        guard format == .qcow2 || format == below.format, format != .raw else {
            throw .usage(
                "A \(format.name) image cannot stand on '\(parent)', which is \(below.format.name); only qcow2 stands on every format.")
        }
        guard below.chain.count < DiskChain.deepest else {
            throw .usage("'\(parent)' stands on \(below.chain.count - 1) other images, and more than \(DiskChain.deepest) in a row are too many.")
        }
        let relative = DiskChain.relative(parent, fromFolderOf: path)
        try build(path) { file in
            switch format {
            case .vdi:
                VDICreation.fill(
                    file, VDIHeader(diskBytes: below.bytes, kind: .differencing, parent: below.identity, parentPath: relative))
            case .qcow2:
                QCOW2Creation.fill(file, below.bytes, version: 3, backing: (relative, QCOW2Creation.name(below.format)))
            case .vhd: VHDCreation.fill(file, below.bytes, .differencing, parent: (below.identity?.id ?? .zeros(16), relative))
            case .vmdk:
                VMDKCreation.fill(
                    file, below.bytes, name: path.split(separator: "/").last.map(String.init) ?? "disk",
                    parent: (UInt32(truncatingIfNeeded: below.identity?.modification.little(0) ?? 0), relative))
            case .raw: false
            }
        }
    }

    private static func fill(_ file: HostFile, _ bytes: UInt64, _ format: Format, name: String) -> Bool {
        switch format {
        case .raw: file.truncate(bytes)
        case .dynamic, .fixed: VDICreation.fill(file, VDIHeader(diskBytes: bytes, kind: format == .fixed ? .fixed : .dynamic))
        case .qcow2, .qcow2v2: QCOW2Creation.fill(file, bytes, version: format == .qcow2 ? 3 : 2)
        case .vmdk: VMDKCreation.fill(file, bytes, name: name)
        case .vhd, .vhdFixed: VHDCreation.fill(file, bytes, format == .vhd ? .dynamic : .fixed)
        case .vmdkFlat, .vmdkSplit: false
        }
    }

    /// - Parameter fill: false with `errno` when the host refused.
    /// - Throws: `.failed`; nothing is left then.
    static func build(_ path: String, _ fill: (HostFile) -> Bool) throws(MachineError) {
        func refused(_ code: Int32) -> MachineError { .failed("The disk '\(path)' cannot be made: \(WholeFile.reason(code)).") }
        let temporary = path + ".\(getpid()).tmp"
        guard access(path, F_OK) != 0 else { throw refused(EEXIST) }
        let file: HostFile
        do {
            file = try HostFile(creating: temporary)
        } catch {
            throw refused(errno)
        }
        errno = EIO
        guard fill(file), file.flush(), HostFile.move(temporary, toFree: path) else {
            let code = errno
            HostFile.unlink(temporary)
            throw refused(code)
        }
        HostFile.syncFolder(of: path)
    }
}

/// New VDI images.
enum VDICreation {
    static func fill(_ file: HostFile, _ header: VDIHeader) -> Bool {
        let end = header.dataOffset + header.allocated * header.stride
        guard header.isFixed ? file.fill(end) : file.truncate(end), file.write(0, header.encoded()) else { return false }
        var map = [UInt8](repeating: 0xFF, count: Int(header.blocks) * 4)
        if header.isFixed { for block in 0..<Int(header.blocks) { map.putLittle(block * 4, UInt64(block)) } }
        return file.write(header.mapOffset, map)
    }
}

/// New qcow2 images.
enum QCOW2Creation {
    /// QEMU's word for a format.
    static func name(_ format: ImageFormat) -> String { format == .vhd ? "vpc" : format.rawValue }

    /// Header, table of counts, one block of counts, first table.
    static func fill(_ file: HostFile, _ bytes: UInt64, version: UInt64, backing: (path: String, format: String)? = nil) -> Bool {
        let bits: UInt64 = 16, cluster: UInt64 = 1 << bits
        let l1Size = (bytes - 1) >> (2 * bits - 3) + 1
        let l1Clusters = (l1Size * 8 - 1) >> bits + 1
        guard (backing?.path.utf8.count ?? 0) <= 1023 else {
            errno = ENAMETOOLONG
            return false
        }
        let head = QCOW2Header.encoded(
            version: version, diskBytes: bytes, clusterBits: bits, l1Size: l1Size, l1Offset: 3 * cluster, refcountTableOffset: cluster,
            backing: backing)
        var counts = [UInt8].zeros(Int(3 + l1Clusters) * 2)
        for i in 0..<Int(3 + l1Clusters) { counts.putBig(i * 2, 1, 2) }
        return file.truncate((3 + l1Clusters) * cluster) && file.write(cluster, QCOW2Table.bigEndian([2 * cluster]))
            && file.write(2 * cluster, counts) && file.write(0, head)
    }
}
