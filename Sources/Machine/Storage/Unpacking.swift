import CZlib
import CZstd

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

    /// One Zstandard frame, or several; what follows the last one is padding of the sector.
    /// - Returns: false unless it fills the buffer.
    static func zstandard(_ packed: [UInt8], into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard let stream = ZSTD_createDStream() else { return false }
        defer { ZSTD_freeDStream(stream) }
        ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27)
        return packed.withUnsafeBytes { packed in
            var input = ZSTD_inBuffer(src: packed.baseAddress, size: packed.count, pos: 0)
            var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
            while output.pos < output.size {
                let before = (input.pos, output.pos)
                let left = ZSTD_decompressStream(stream, &output, &input)
                guard ZSTD_isError(left) == 0, (input.pos, output.pos) != before else { return false }
            }
            return true
        }
    }
}
