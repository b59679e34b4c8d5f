import Hardware

/// A disk or floppy image that is nothing but its sectors of 512 bytes, in a file or a part of one.
///
/// Bytes at the end that do not fill a sector are not part of the disk: the guest does not see them and they are never touched.
public final class RawImage: ImageLayer {
    public let sectorBytes = 512
    public let sectorCount: UInt64
    public let readOnly: Bool
    public let format: ImageFormat
    public let variant: String
    public let identity: ImageIdentity?
    let file: HostFile
    /// The file may end before the medium does; what is missing reads as zeros.
    private let padded: Bool
    /// Where the disk begins in the file, in bytes.
    private let start: UInt64

    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public convenience init(path: String, readOnly: Bool) throws(MediaError) {
        try self.init(HostFile(path: path, writable: !readOnly))
    }

    /// - Parameter sectors: of the medium, when the file may hold fewer.
    init(_ file: HostFile, sectors: UInt64? = nil) throws(MediaError) {
        guard file.bytes >= 512 else { throw .tooSmall(path: file.path, bytes: file.bytes, sectorBytes: 512) }
        self.file = file
        readOnly = !file.writable
        sectorCount = sectors ?? file.bytes / 512
        padded = sectorCount > file.bytes / 512
        (format, variant, identity, start) = (.raw, "", nil, 0)
    }

    /// A part of a file that another format describes.
    init(_ file: HostFile, start: UInt64, sectors: UInt64, format: ImageFormat, variant: String, identity: ImageIdentity? = nil) {
        (self.file, self.start, sectorCount) = (file, start, sectors)
        (self.format, self.variant, self.identity) = (format, variant, identity)
        readOnly = !file.writable
        padded = true
    }

    public var path: String { file.path }

    public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        return file.read(start + sector * 512, into: buffer, padded: padded)
    }

    public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard !readOnly, holds(sector, buffer.count) else { return false }
        return file.write(start + sector * 512, from: buffer)
    }

    public func flush() -> Bool { readOnly || file.flush() }

    public func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        guard !readOnly, sector <= sectorCount, count <= sectorCount - sector else { return false }
        return file.zero(start + sector * 512, bytes: count * 512, discard: discard)
    }

    public func extent(_ sector: UInt64, limit: UInt64) -> ImageExtent? {
        guard sector < sectorCount, limit > 0 else { return nil }
        let most = min(limit, sectorCount - sector)
        let (isData, bytes) = file.extent(start + sector * 512, limit: most * 512)
        // A hole may begin within a sector.
        guard bytes >= 512 else { return ImageExtent(kind: .data, sectors: 1, fileOffset: start + sector * 512) }
        return ImageExtent(kind: isData ? .data : .zero, sectors: bytes / 512, fileOffset: start + sector * 512)
    }
}

extension Medium {
    /// Whether `bytes` from `sector` on are whole sectors of the medium.
    func holds(_ sector: UInt64, _ bytes: Int) -> Bool {
        let (sectors, rest) = bytes.quotientAndRemainder(dividingBy: sectorBytes)
        return rest == 0 && sector <= sectorCount && UInt64(sectors) <= sectorCount - sector
    }
}
