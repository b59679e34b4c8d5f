import CZlib

/// Compressed clusters and grains.
enum Unpacking {
    /// A bare deflate stream, or one with zlib's head.
    /// - Parameter packed: may be longer than the stream.
    /// - Returns: false unless it fills the buffer; what is missing when it may end early is zeros.
    static func deflate(
        _ packed: [UInt8], head: Bool = false, mayEndEarly: Bool = false, into buffer: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var stream = z_stream()
        guard inflateInit2_(&stream, head ? 15 : -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return false }
        defer { inflateEnd(&stream) }
        var input = packed
        return input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(clamping: input.count)
            stream.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_out = UInt32(clamping: buffer.count)
            let status = inflate(&stream, Z_FINISH)
            let missing = Int(stream.avail_out)
            if mayEndEarly, status == Z_STREAM_END, missing > 0 {
                buffer[(buffer.count - missing)...].copyBytes(from: [UInt8].zeros(missing))
                return true
            }
            return (status == Z_STREAM_END || status == Z_OK || status == Z_BUF_ERROR) && missing == 0
        }
    }

    /// CRC-32.
    static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return 0 }
        return UInt32(truncatingIfNeeded: crc32_z(0, base.assumingMemoryBound(to: UInt8.self), bytes.count))
    }

    static func zstandard(_ packed: [UInt8], into buffer: UnsafeMutableRawBufferPointer) -> Bool { false }
}
