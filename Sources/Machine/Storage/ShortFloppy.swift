import Hardware

/// A boot floppy whose image ends where its contents end, as GRUB's and many boot images do: the rest of the disk reads as zeros and
/// cannot be written.
final class ShortFloppy: Medium {
    let sectorBytes = 512
    let sectorCount: UInt64
    var readOnly: Bool { image.readOnly }
    private let image: any Medium

    /// nil: no floppy is that large, or nothing says that it is a boot floppy (55 AA at the end of its first sector).
    init?(_ image: any Medium) {
        guard image.sectorCount >= 320, let size = FloppyGeometry.sizes.first(where: { $0 >= image.sectorCount }) else { return nil }
        var boot = [UInt8](repeating: 0, count: 512)
        guard boot.withUnsafeMutableBytes({ image.read(sector: 0, into: $0) }), boot[510] == 0x55, boot[511] == 0xAA else { return nil }
        self.image = image
        sectorCount = size
    }

    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count), let start = buffer.baseAddress else { return false }
        let there = Int(min(UInt64(buffer.count / 512), image.sectorCount - min(sector, image.sectorCount)))
        if there > 0, !image.read(sector: sector, into: UnsafeMutableRawBufferPointer(start: start, count: there * 512)) { return false }
        for i in (there * 512)..<buffer.count { buffer[i] = 0 }
        return true
    }

    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { image.write(sector: sector, from: buffer) }
    func flush() -> Bool { image.flush() }
}
