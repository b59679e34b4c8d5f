import Glibc
import Hardware

/// What a disk image is, for people.
public struct ImageFacts: Sendable {
    public let path: String
    /// `raw`, `VDI, dynamic`, `VDI, fixed`.
    public let format: String
    /// Of the disk that the guest sees.
    public let bytes: UInt64
    public let fileBytes: UInt64
    /// Taken on the host's disk.
    public let hostBytes: UInt64
    /// Of a VDI.
    public let blocks: UInt64?
    public let allocatedBlocks: UInt64?

    /// - Throws: `.badInput` with the medium's sentence.
    public init(path: String) throws(MachineError) {
        let image: any ImageLayer
        do {
            image = try DiskImage.layer(path: path, writable: false)
        } catch {
            throw .badInput(error.description)
        }
        self.path = path
        bytes = image.sectorCount * UInt64(image.sectorBytes)
        let vdi = image as? VDIImage
        format = image.format.name + (image.variant.isEmpty ? "" : ", " + image.variant)
        blocks = vdi?.blocks
        allocatedBlocks = vdi?.allocatedBlocks
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw .badInput("'\(path)' cannot be read: \(WholeFile.reason()).") }
        fileBytes = UInt64(max(facts.st_size, 0))
        hostBytes = UInt64(max(facts.st_blocks, 0)) * 512
    }
}
