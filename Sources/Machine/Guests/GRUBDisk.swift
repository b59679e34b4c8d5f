/// The first sectors of a disk that GRUB boots from a BIOS: boot code and table of partitions in sector 0, GRUB's core behind it.
///
/// Source: IBM *PC/AT Technical Reference* (1984), "fixed disk boot record"; GRUB manual 2.06, "BIOS installation" and its `boot.S` and
/// `diskboot.S`, whose defaults are a core at sector 1 in one piece.
///
/// Not implemented: more than one partition, GPT.
enum GRUBDisk {
    enum Problem: Error { case noBootCode, coreTooBig }

    static let sectorBytes = 512
    /// Boot code before the disk's signature and the table of partitions.
    static let codeBytes = 440

    /// - Parameters:
    ///   - boot: GRUB's boot.img, one sector.
    ///   - core: GRUB's core.img.
    ///   - signature: tells this disk from others.
    ///   - start: first sector of the only partition (type 0x83, active); it ends with the disk.
    ///   - sectors: of the whole disk.
    /// - Returns: what belongs at the start of the disk.
    static func head(boot: [UInt8], core: [UInt8], signature: UInt32, start: UInt32, sectors: UInt64) throws(Problem) -> [UInt8] {
        guard boot.count == sectorBytes, boot[510] == 0x55, boot[511] == 0xAA, !core.isEmpty else { throw .noBootCode }
        guard UInt64(sectorBytes + core.count) <= UInt64(start) * UInt64(sectorBytes) else { throw .coreTooBig }
        var sector = Array(boot[..<codeBytes])
        sector += bytes(signature) + [0, 0]
        let length = UInt32(clamping: sectors - min(sectors, UInt64(start)))
        // Cylinders, heads and sectors as "beyond": every reader of today goes by the sector numbers behind them.
        sector += [0x80, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF] + bytes(start) + bytes(length)
        sector += [UInt8](repeating: 0, count: 48) + [0x55, 0xAA]
        return sector + core
    }

    private static func bytes(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
}
