/// Portable Network Graphics, writing only: an RGB picture as a file.
///
/// Source: W3C *Portable Network Graphics (PNG) Specification*, second edition (2003); RFC 1950 (zlib), RFC 1951 (deflate).
public enum PNG {
    /// A whole file. Pixels are 0xRRGGBB, row by row; missing ones are black. Up to 256 colours make an indexed picture, which is
    /// small and exact; more make a true-colour one.
    public static func encode(width: Int, height: Int, rgb: [UInt32]) -> [UInt8] {
        precondition(width > 0 && height > 0 && width <= 1 << 16 && height <= 1 << 16, "a picture has 1 to 65536 pixels a side")
        var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        let indexed = palette(of: rgb)
        let depth = indexed.map { $0.count <= 2 ? 1 : $0.count <= 4 ? 2 : $0.count <= 16 ? 4 : 8 } ?? 8
        chunk("IHDR", big32(UInt32(width)) + big32(UInt32(height)) + [UInt8(depth), indexed == nil ? 2 : 3, 0, 0, 0], to: &file)
        let rows: [UInt8]
        if let indexed {
            let ordered = indexed.sorted { $0.value < $1.value }
            chunk("PLTE", ordered.flatMap { [UInt8($0.key >> 16 & 0xFF), UInt8($0.key >> 8 & 0xFF), UInt8($0.key & 0xFF)] }, to: &file)
            rows = indexedRows(width, height, rgb, indexed, depth)
        } else {
            rows = trueColourRows(width, height, rgb)
        }
        chunk("IDAT", Deflate.zlib(rows), to: &file)
        chunk("IEND", [], to: &file)
        return file
    }

    /// Colours numbered in order of appearance; nil when there are more than 256. Black is there for missing pixels.
    private static func palette(of rgb: [UInt32]) -> [UInt32: Int]? {
        var numbers: [UInt32: Int] = [:]
        var last: UInt32?
        for pixel in rgb where pixel != last {
            last = pixel
            let colour = pixel & 0xFF_FFFF
            if numbers[colour] == nil {
                guard numbers.count < 256 else { return nil }
                numbers[colour] = numbers.count
            }
        }
        if numbers[0] == nil {
            guard numbers.count < 256 else { return nil }
            numbers[0] = numbers.count
        }
        return numbers
    }

    /// Rows of `depth`-bit indices, each after filter type 0 (none).
    private static func indexedRows(_ width: Int, _ height: Int, _ rgb: [UInt32], _ numbers: [UInt32: Int], _ depth: Int) -> [UInt8] {
        let rowBytes = (width * depth + 7) / 8
        var rows = [UInt8](repeating: 0, count: (rowBytes + 1) * height)
        var (last, number) = (UInt32(0), UInt8(numbers[0] ?? 0))
        for y in 0..<height {
            let base = y * (rowBytes + 1) + 1
            for x in 0..<width {
                let at = y * width + x
                let pixel = at < rgb.count ? rgb[at] & 0xFF_FFFF : 0
                if pixel != last { (last, number) = (pixel, UInt8(numbers[pixel] ?? 0)) }
                let bit = x * depth
                rows[base + bit / 8] |= number << UInt8(8 - depth - bit % 8)
            }
        }
        return rows
    }

    /// Rows of RGB triples, each after filter type 2 (difference from the row above).
    private static func trueColourRows(_ width: Int, _ height: Int, _ rgb: [UInt32]) -> [UInt8] {
        var rows: [UInt8] = []
        rows.reserveCapacity((width * 3 + 1) * height)
        for y in 0..<height {
            rows.append(2)
            for x in 0..<width {
                let at = y * width + x
                let pixel = at < rgb.count ? rgb[at] : 0
                let above = y > 0 && at - width < rgb.count ? rgb[at - width] : 0
                for shift: UInt32 in [16, 8, 0] {
                    rows.append(UInt8(truncatingIfNeeded: pixel >> shift) &- UInt8(truncatingIfNeeded: above >> shift))
                }
            }
        }
        return rows
    }

    private static func chunk(_ type: String, _ data: [UInt8], to file: inout [UInt8]) {
        file += big32(UInt32(data.count))
        let body = Array(type.utf8) + data
        file += body
        file += big32(crc32(body))
    }

    private static func big32(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
    }

    /// CRC-32 of IEEE 802.3, reflected, as PNG and zip use it.
    public static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = .max
        for byte in bytes { crc = crc >> 8 ^ crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { (n: UInt32) in
        var c = n
        for _ in 0..<8 { c = c & 1 != 0 ? 0xEDB8_8320 ^ c >> 1 : c >> 1 }
        return c
    }
}
