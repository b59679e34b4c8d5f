import Hardware

/// Floppy images: raw images whose size is that of a floppy.
///
/// Some boot floppies come without their unused end (Debian's grub-rescue-floppy.img has 2532 of 2880 sectors). A file of whole sectors,
/// at least 160K, whose first sector ends in 0x55 0xAA is taken for one: the sectors that it lacks, up to the next format's size, read as
/// zeros, and the file grows when they are written.
public enum FloppyImage {
    /// A file that may not be written is a write-protected floppy.
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public static func open(path: String, access: MediaAccess) throws(MediaError) -> any Medium {
        let file = try openFile(path, writable: access == .readWrite)
        if let format = DiskImage.foreignFormat(file) { throw .formatNotSupported(path: path, format: format) }
        guard file.bytes > 0 else { throw .tooSmall(path: path, bytes: 0, sectorBytes: 512) }
        guard let sectors = sectors(of: file) else { throw .notAFloppySize(path: path, bytes: file.bytes) }
        let image = try RawImage(file, sectors: sectors)
        return access == .disposable ? try DisposableLayer(over: image) : image
    }

    /// Sectors of the floppy that the file is, or is the beginning of.
    private static func sectors(of file: HostFile) -> UInt64? {
        guard file.bytes % 512 == 0 else { return nil }
        let held = file.bytes / 512
        if FloppyGeometry(sectorCount: held) != nil { return held }
        guard let smallest = FloppyGeometry.sizes.first, held >= smallest, file.peek(510, count: 2) == [0x55, 0xAA] else { return nil }
        return FloppyGeometry.sizes.first { $0 > held }
    }

    private static func openFile(_ path: String, writable: Bool) throws(MediaError) -> HostFile {
        do {
            return try HostFile(path: path, writable: writable)
        } catch .notWritable {
            return try HostFile(path: path, writable: false)
        }
    }
}
