import Hardware

/// Floppy images: raw images whose size is that of a floppy, or boot images that end early.
public enum FloppyImage {
    /// A file that may not be written is a write-protected floppy.
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public static func open(path: String, access: MediaAccess) throws(MediaError) -> any Medium {
        let file = try openFile(path, writable: access == .readWrite)
        if let format = DiskImage.foreignFormat(file) { throw .formatNotSupported(path: path, format: format) }
        guard file.bytes > 0 else { throw .tooSmall(path: path, bytes: 0, sectorBytes: 512) }
        guard file.bytes % 512 == 0 else { throw .notAFloppySize(path: path, bytes: file.bytes) }
        let image = try RawImage(file)
        let medium: any Medium = access == .disposable ? try DisposableLayer(over: image) : image
        if FloppyGeometry(sectorCount: file.bytes / 512) != nil { return medium }
        guard let short = ShortFloppy(medium) else { throw .notAFloppySize(path: path, bytes: file.bytes) }
        return short
    }

    private static func openFile(_ path: String, writable: Bool) throws(MediaError) -> HostFile {
        do {
            return try HostFile(path: path, writable: writable)
        } catch .notWritable {
            return try HostFile(path: path, writable: false)
        }
    }
}
