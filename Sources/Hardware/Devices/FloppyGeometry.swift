/// ECMA and IBM floppy formats: the layout of a disk, known from the size of its image. Sectors are 512 bytes throughout.
///
/// Source: ECMA-66, -70, -100, -125 (track and sector counts of the common formats); drive types as in CMOS 0x10 of the PC/AT: a 360K drive
/// reads all formats of 40 tracks.
///
/// Not implemented: formats with other sector sizes or sectors that differ from track to track.
public struct FloppyGeometry: Codable, Equatable, Sendable {
    public let cylinders: Int
    public let heads: Int
    /// Per track.
    public let sectors: Int
    /// Bit n set: data rate code n (0 = 500, 1 = 300, 2 = 250, 3 = 1000 kbit/s) reads this medium.
    public let rates: UInt8
    /// Nibble for CMOS byte 0x10 of the drive that suits this medium.
    public let cmosType: UInt8
    public var sectorCount: UInt64 { UInt64(cylinders * heads * sectors) }

    /// nil: no floppy has that size.
    public init?(sectorCount: UInt64) {
        let width = 6
        for row in 0..<FloppyGeometry.table.count / width {
            let entry = FloppyGeometry.table[row * width..<(row + 1) * width].map(Int.init)
            guard UInt64(entry[0]) == sectorCount else { continue }
            (cylinders, heads, sectors) = (entry[1], entry[2], entry[3])
            (rates, cmosType) = (UInt8(entry[4]), UInt8(entry[5]))
            return
        }
        return nil
    }

    /// Sizes in sectors, smallest first.
    public static var sizes: [UInt64] { stride(from: 0, to: table.count, by: 6).map { UInt64(table[$0]) } }

    /// Rows: total sectors, cylinders, heads, sectors a track, rates, CMOS type.
    private static let table: [UInt16] = [
        320, 40, 1, 8, 0b0110, 1,  // 160K
        360, 40, 1, 9, 0b0110, 1,  // 180K
        640, 40, 2, 8, 0b0110, 1,  // 320K
        720, 40, 2, 9, 0b0110, 1,  // 360K
        1280, 80, 2, 8, 0b0110, 3,  // 640K
        1440, 80, 2, 9, 0b0110, 3,  // 720K
        2400, 80, 2, 15, 0b0001, 2,  // 1.2M
        2880, 80, 2, 18, 0b0001, 4,  // 1.44M
        3360, 80, 2, 21, 0b0001, 4,  // 1.68M
        3444, 82, 2, 21, 0b0001, 4,  // 1.72M
        5760, 80, 2, 36, 0b1000, 5,  // 2.88M
    ]
}
