/// Deflate compression into a zlib stream: one block of fixed Huffman codes, matches found by a hash of three bytes.
///
/// Source: RFC 1950 (zlib), RFC 1951 (deflate), section 3.2.6 for the fixed codes.
public enum Deflate {
    /// A zlib stream that inflates to `bytes`.
    public static func zlib(_ bytes: [UInt8]) -> [UInt8] {
        var writer = BitWriter()
        writer.bytes = [0x78, 0x01]  // deflate, 32 KiB window; no dictionary, fastest
        writer.put(0b011, 3)  // last block, fixed codes
        compress(bytes, &writer)
        writer.putCode(0, 7)  // end of block: symbol 256
        writer.finish()
        let sum = adler32(bytes)
        for shift: UInt32 in [24, 16, 8, 0] { writer.bytes.append(UInt8(truncatingIfNeeded: sum >> shift)) }
        return writer.bytes
    }

    /// Adler-32 of RFC 1950.
    public static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var (a, b): (UInt32, UInt32) = (1, 0)
        var at = 0
        while at < bytes.count {
            let end = min(at + 5552, bytes.count)  // the most that cannot overflow 32 bits
            while at < end {
                a &+= UInt32(bytes[at])
                b &+= a
                at += 1
            }
            a %= 65521
            b %= 65521
        }
        return b << 16 | a
    }

    private static func compress(_ bytes: [UInt8], _ writer: inout BitWriter) {
        let window = 32768
        var head = [Int32](repeating: -1, count: 1 << 15)
        func hash(_ at: Int) -> Int {
            let three = UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16
            return Int((three &* 0x9E37_79B1) >> 17)
        }
        func matchLength(_ from: Int, _ at: Int) -> Int {
            let limit = min(258, bytes.count - at)
            var length = 0
            while length < limit && bytes[from + length] == bytes[at + length] { length += 1 }
            return length
        }
        var at = 0
        while at < bytes.count {
            var length = 0
            var distance = 0
            if at + 3 <= bytes.count {
                let slot = hash(at)
                let candidate = Int(head[slot])
                if candidate >= 0 && at - candidate <= window {
                    length = matchLength(candidate, at)
                    distance = at - candidate
                }
                head[slot] = Int32(truncatingIfNeeded: at)
            }
            guard length >= 3 else {
                writer.putLiteral(bytes[at])
                at += 1
                continue
            }
            writer.putMatch(length: length, distance: distance)
            // The inside of a match is entered too, but not all of a long run: it would only find itself.
            let end = min(at + min(length, 16), bytes.count - 2)
            var inside = at + 1
            while inside < end {
                head[hash(inside)] = Int32(truncatingIfNeeded: inside)
                inside += 1
            }
            at += length
        }
    }

    /// First length of each length code 257–285 and the extra bits of it; the same for distance codes 0–29.
    private static let lengthBase: [Int] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
    ]
    private static let lengthExtra: [Int] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
    private static let distanceBase: [Int] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289,
        16385, 24577,
    ]

    private struct BitWriter {
        var bytes: [UInt8] = []
        private var held: UInt64 = 0
        private var count = 0

        init() {}

        /// `width` bits, low bit first.
        mutating func put(_ bits: Int, _ width: Int) {
            held |= UInt64(bits) << UInt64(count)
            count += width
            while count >= 8 {
                bytes.append(UInt8(truncatingIfNeeded: held))
                held >>= 8
                count -= 8
            }
        }

        /// A Huffman code, high bit first.
        mutating func putCode(_ code: Int, _ width: Int) {
            var reversed = 0
            for i in 0..<width { reversed |= (code >> i & 1) << (width - 1 - i) }
            put(reversed, width)
        }

        mutating func putLiteral(_ byte: UInt8) {
            if byte < 144 { putCode(0x30 + Int(byte), 8) } else { putCode(0x190 + Int(byte) - 144, 9) }
        }

        mutating func putMatch(length: Int, distance: Int) {
            let l = Deflate.lengthBase.lastIndex { $0 <= length } ?? 0
            if l < 23 { putCode(l + 1, 7) } else { putCode(0xC0 + l - 23, 8) }
            put(length - Deflate.lengthBase[l], Deflate.lengthExtra[l])
            let d = Deflate.distanceBase.lastIndex { $0 <= distance } ?? 0
            putCode(d, 5)
            put(distance - Deflate.distanceBase[d], max(0, d / 2 - 1))
        }

        mutating func finish() {
            if count > 0 { put(0, 8 - count) }
        }
    }
}
