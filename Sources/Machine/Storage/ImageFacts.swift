import Glibc
import Hardware

/// What a disk image is, for people.
public struct ImageFacts: Sendable {
    public let path: String
    /// `raw`, `VDI, dynamic`, `qcow2, version 3`.
    public let format: String
    /// Of the disk that the guest sees.
    public let bytes: UInt64
    public let fileBytes: UInt64
    /// Taken on the host's disk.
    public let hostBytes: UInt64
    public let blockBytes: UInt64?
    /// Blocks of the disk, and how many of them the image itself has.
    public let blocks: UInt64?
    public let allocatedBlocks: UInt64?
    /// Snapshots inside a qcow2 image.
    public let snapshots: [QCOW2Snapshot]
    /// What it stands on, the nearest first.
    public private(set) var below: [ImageFacts] = []

    /// - Throws: `.badInput` with the medium's sentence.
    public init(path: String) throws(MachineError) {
        let image: any ImageLayer
        do {
            image = try DiskImage.layer(path: path, writable: false)
        } catch {
            throw .badInput(error.description)
        }
        try self.init(image)
        for layer in image.chain.dropFirst() { below.append(try ImageFacts(layer)) }
    }

    private init(_ image: any ImageLayer) throws(MachineError) {
        path = image.path
        bytes = image.bytes
        if let qcow2 = image as? QCOW2Image {
            do {
                snapshots = try QCOW2Snapshot.all(qcow2.file, qcow2.table.header)
            } catch {
                throw .badInput(error.error(image.path, .qcow2).description)
            }
        } else {
            snapshots = []
        }
        format = image.format.name + (image.variant.isEmpty ? "" : ", " + image.variant)
        var files = [image.path]
        if let vmdk = image as? VMDKImage { files += vmdk.parts.compactMap { $0.layer?.path }.filter { $0 != image.path } }
        var (length, taken): (UInt64, UInt64) = (0, 0)
        for file in files {
            var facts = stat()
            guard stat(file, &facts) == 0 else { throw .badInput("'\(file)' cannot be read: \(WholeFile.reason()).") }
            length += UInt64(max(facts.st_size, 0))
            taken += UInt64(max(facts.st_blocks, 0)) * 512
        }
        (fileBytes, hostBytes) = (length, taken)
        guard image.blockBytes > 512 else {
            (blockBytes, blocks, allocatedBlocks) = (nil, nil, nil)
            return
        }
        blockBytes = image.blockBytes
        blocks = (image.bytes + image.blockBytes - 1) / image.blockBytes
        if let vdi = image as? VDIImage {
            allocatedBlocks = vdi.allocatedBlocks
        } else {
            allocatedBlocks = ImageFacts.allocated(image)
        }
    }

    private static func allocated(_ image: any ImageLayer) -> UInt64? {
        let perBlock = image.blockBytes / 512
        var sector: UInt64 = 0, count: UInt64 = 0
        while sector < image.sectorCount {
            guard let extent = image.extent(sector, limit: image.sectorCount - sector), extent.sectors > 0 else { return nil }
            // Holes in a block belong to it.
            if extent.kind == .data || extent.fileOffset != nil {
                count += (sector + extent.sectors - 1) / perBlock - sector / perBlock + (sector % perBlock == 0 ? 1 : 0)
            }
            sector += extent.sectors
        }
        return count
    }
}

/// A part of a disk and which image of the chain has it.
public struct DiskMapEntry: Sendable, Encodable, Equatable {
    public var start: UInt64
    public var length: UInt64
    public var data: Bool
    /// 0 the image itself, 1 the one below it, ...
    public var depth: Int
    public var file: String
    /// In the file; nil: nowhere, or compressed.
    public var offset: UInt64?

    /// All of a disk.
    /// - Throws: `.badInput`, `.failed` when the tables are damaged or somebody says stop.
    public static func all(_ path: String, each: (DiskMapEntry) -> Bool) throws(MachineError) {
        let image = try DiskCopy.open(path)
        let chain = image.chain
        var sector: UInt64 = 0
        var last: DiskMapEntry?
        while sector < image.sectorCount {
            guard let (extent, depth) = image.visibleExtent(sector, limit: image.sectorCount - sector), extent.sectors > 0 else {
                throw .failed("'\(path)' cannot be read; 'vitrine disk check' says what is wrong with it.")
            }
            let entry = DiskMapEntry(
                start: sector * 512, length: extent.sectors * 512, data: extent.kind == .data, depth: depth, file: chain[depth].path,
                offset: extent.kind == .data ? extent.fileOffset : nil)
            if var joined = last, joined.data == entry.data, joined.depth == entry.depth,
                joined.offset.map({ $0 + joined.length }) == entry.offset
            {
                joined.length += entry.length
                last = joined
            } else {
                if let last { guard each(last) else { throw .failed("Cancelled.") } }
                last = entry
            }
            sector += extent.sectors
        }
        if let last { _ = each(last) }
    }
}
