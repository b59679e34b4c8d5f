import Hardware

/// A CD or DVD image of 2048-byte sectors, always read-only. A last sector that the file does not fill ends in zeros.
public final class ISOImage: Medium {
    public let sectorBytes = 2048
    public let sectorCount: UInt64
    public let readOnly = true
    private let file: HostFile

    /// - Throws: `MediaError`; nothing stays open.
    public init(path: String) throws(MediaError) {
        file = try HostFile(path: path, writable: false)
        if let format = DiskImage.foreignFormat(file) { throw .formatNotSupported(path: path, format: format) }
        guard file.bytes >= 2048 else { throw .tooSmall(path: path, bytes: file.bytes, sectorBytes: 2048) }
        sectorCount = file.bytes / 2048 + (file.bytes % 2048 == 0 ? 0 : 1)
    }

    public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        return file.read(sector * 2048, into: buffer, padded: true)
    }

    public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { false }
    public func flush() -> Bool { true }
}
