/// Numbers in the heads of image files. What lies beyond the end reads as 0 and is not written.
extension [UInt8] {
    func little(_ at: Int, _ count: Int = 4) -> UInt64 {
        guard at >= 0, at <= self.count - count else { return 0 }
        return (0..<count).reduce(0) { $0 | UInt64(self[at + $1]) << (8 * UInt64($1)) }
    }

    func big(_ at: Int, _ count: Int = 4) -> UInt64 {
        guard at >= 0, at <= self.count - count else { return 0 }
        return (0..<count).reduce(0) { $0 << 8 | UInt64(self[at + $1]) }
    }

    mutating func putLittle(_ at: Int, _ value: UInt64, _ count: Int = 4) {
        guard at >= 0, at <= self.count - count else { return }
        for i in 0..<count { self[at + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
    }

    mutating func putBig(_ at: Int, _ value: UInt64, _ count: Int = 4) {
        guard at >= 0, at <= self.count - count else { return }
        for i in 0..<count { self[at + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(count - 1 - i))) }
    }

    mutating func put(_ at: Int, _ bytes: [UInt8]) {
        guard at >= 0, at <= count - bytes.count else { return }
        replaceSubrange(at..<at + bytes.count, with: bytes)
    }

    /// `count` bytes; fewer at the end.
    func part(_ at: Int, _ count: Int) -> [UInt8] {
        guard at >= 0, at < self.count, count > 0 else { return [] }
        return Array(self[at..<(at + Swift.min(count, self.count - at))])
    }

    static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

    /// A random UUID as its 16 bytes.
    static func randomUUID() -> [UInt8] {
        var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[7] = bytes[7] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        return bytes
    }

    var isZero: Bool { withUnsafeBytes { $0.isZero } }
}

extension UnsafeRawBufferPointer {
    var isZero: Bool {
        let words = count / 32
        for i in 0..<words {
            let at = i * 32
            let any =
                loadUnaligned(fromByteOffset: at, as: UInt64.self) | loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)
                | loadUnaligned(fromByteOffset: at + 16, as: UInt64.self) | loadUnaligned(fromByteOffset: at + 24, as: UInt64.self)
            if any != 0 { return false }
        }
        return self[(words * 32)...].allSatisfy { $0 == 0 }
    }
}
