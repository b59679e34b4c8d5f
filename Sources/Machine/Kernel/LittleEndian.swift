/// Little-endian fields of a file image; a field beyond the end is nil, never a trap.
struct LittleEndian {
    let bytes: [UInt8]

    func u8(_ at: Int) -> UInt8? { at >= 0 && at < bytes.count ? bytes[at] : nil }
    func u16(_ at: Int) -> UInt16? { field(at, 2).map { UInt16(truncatingIfNeeded: $0) } }
    func u32(_ at: Int) -> UInt32? { field(at, 4).map { UInt32(truncatingIfNeeded: $0) } }
    func u64(_ at: Int) -> UInt64? { field(at, 8) }

    /// Up to 8 bytes at an offset that may come from a file.
    private func field(_ at: Int, _ count: Int) -> UInt64? {
        guard at >= 0, at <= bytes.count - count else { return nil }
        var value: UInt64 = 0
        for i in 0..<count { value |= UInt64(bytes[at + i]) << UInt64(8 * i) }
        return value
    }
}

extension Array where Element == UInt8 {
    /// Overwrites bytes with a little-endian value; the caller has made the room.
    mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        for i in 0..<T.bitWidth / 8 { self[offset + i] = UInt8(truncatingIfNeeded: value >> T(8 * i)) }
    }
    mutating func append<T: FixedWidthInteger>(little value: T) {
        for i in 0..<T.bitWidth / 8 { append(UInt8(truncatingIfNeeded: value >> T(8 * i))) }
    }
}
