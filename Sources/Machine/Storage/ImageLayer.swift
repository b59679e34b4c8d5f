import Hardware

/// Formats of disk images.
public enum ImageFormat: String, Sendable, CaseIterable, Codable {
    case raw, vdi, qcow2, vmdk, vhd

    /// As people write it.
    public var name: String {
        switch self {
        case .raw: "raw"
        case .vdi: "VDI"
        case .qcow2: "qcow2"
        case .vmdk: "VMDK"
        case .vhd: "VHD"
        }
    }
}

/// What is in a part of an image.
public struct ImageExtent: Equatable, Sendable {
    public enum Kind: String, Sendable, Codable {
        case data
        /// Reads as zeros and takes no room.
        case zero
        /// Nothing is here: what lies below shows, or zeros.
        case absent
    }
    public var kind: Kind
    public var sectors: UInt64
    /// Where the data lies in the file, when it lies there as the guest sees it.
    public var fileOffset: UInt64?
}

/// How an image is told from others, where its format has that.
public struct ImageIdentity: Equatable, Sendable {
    /// Of the image: 16 bytes, or a VMDK's 4.
    public var id: [UInt8]
    /// Changes with the contents; the same as `id` where the format has no other.
    public var modification: [UInt8]
}

/// The file of a disk image: a medium that may stand on another one.
///
/// The layer below is open for reading only. Dropping the last reference closes the files and makes them whole.
public protocol ImageLayer: Medium {
    var path: String { get }
    var format: ImageFormat { get }
    /// `dynamic`, `fixed`, `compressed`, ...; empty when there is but one.
    var variant: String { get }
    /// What shows where this image has nothing; nil: zeros.
    var parent: (any ImageLayer)? { get }
    var identity: ImageIdentity? { get }
    /// What this image itself has from `sector` on, and for how many sectors, at most `limit`.
    /// - Returns: nil when the host failed or the tables are damaged.
    func extent(_ sector: UInt64, limit: UInt64) -> ImageExtent?
    /// Bytes in a block of the format; 512 when it has none.
    var blockBytes: UInt64 { get }
}

extension ImageLayer {
    public var bytes: UInt64 { sectorCount * UInt64(sectorBytes) }
    public var format: ImageFormat { .raw }
    public var variant: String { "" }
    public var parent: (any ImageLayer)? { nil }
    public var identity: ImageIdentity? { nil }
    public var blockBytes: UInt64 { 512 }

    /// This image and all below it, the nearest first.
    public var chain: [any ImageLayer] {
        var layers: [any ImageLayer] = [self]
        while let next = layers[layers.count - 1].parent { layers.append(next) }
        return layers
    }

    /// What the guest sees from `sector` on: data of this or a lower image, or zeros.
    /// - Returns: and the number of images between the top and the one that has it.
    public func visibleExtent(_ sector: UInt64, limit: UInt64) -> (extent: ImageExtent, depth: Int)? {
        var layer: any ImageLayer = self
        var (most, depth) = (limit, 0)
        while true {
            guard sector < layer.sectorCount else { return (ImageExtent(kind: .zero, sectors: most), depth) }
            guard var extent = layer.extent(sector, limit: min(most, layer.sectorCount - sector)) else { return nil }
            if extent.kind != .absent { return (extent, depth) }
            guard let below = layer.parent else {
                extent.kind = .zero
                return (extent, depth)
            }
            most = extent.sectors
            (layer, depth) = (below, depth + 1)
        }
    }
}
