/// A 64-bit digest of machine state, for comparing two runs. Not cryptographic.
///
/// The same bytes in the same order give the same value on every host (little-endian words, multiply and fold).
public struct Digest: Sendable {
    private var a: UInt64 = 0x9E37_79B9_7F4A_7C15
    private var b: UInt64 = 0xD1B5_4A32_D192_ED03
    private var length: UInt64 = 0

    public init() {}

    @inline(__always)
    public mutating func combine(_ word: UInt64) {
        let (high, low) = (a ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
        a = b &+ (high ^ low)
        b = (b &<< 23 | b &>> 41) ^ word
        length &+= 8
    }

    /// Takes a byte buffer of any length; a tail of fewer than 8 bytes is padded with zeros.
    public mutating func combine(_ bytes: UnsafeRawBufferPointer) {
        let words = bytes.count / 8
        for i in 0..<words { combine(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 8, as: UInt64.self))) }
        var tail: UInt64 = 0
        for i in (words * 8)..<bytes.count { tail |= UInt64(bytes[i]) << UInt64(8 * (i & 7)) }
        if bytes.count % 8 != 0 { combine(tail) }
        combine(UInt64(bytes.count))
    }

    public mutating func combine(_ bytes: [UInt8]) { bytes.withUnsafeBytes { combine($0) } }

    /// 16 hexadecimal digits.
    public var value: String {
        let (high, low) = (a ^ length).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return (high ^ low ^ b).hex
    }
}
