import CZstd

/// Zstandard frames with a checksum of what they hold (RFC 8878). One thread.
final class Zstd {
    private let compressor: OpaquePointer
    private let decompressor: OpaquePointer

    /// - Parameter level: 1 is fastest.
    init(level: Int32) {
        guard let compressor = ZSTD_createCCtx(), let decompressor = ZSTD_createDCtx() else {
            preconditionFailure("the host has no memory for a compressor")
        }
        (self.compressor, self.decompressor) = (compressor, decompressor)
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, level)
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 1)
        // Nothing of ours needs more; a frame that claims more is refused.
        ZSTD_DCtx_setParameter(decompressor, ZSTD_d_windowLogMax, 27)
    }

    deinit {
        ZSTD_freeCCtx(compressor)
        ZSTD_freeDCtx(decompressor)
    }

    /// nil: the library refuses.
    func compress(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        let bound = ZSTD_compressBound(bytes.count)
        var result = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            let size = ZSTD_compress2(compressor, buffer.baseAddress, bound, bytes.baseAddress, bytes.count)
            count = ZSTD_isError(size) != 0 ? 0 : size
        }
        guard !result.isEmpty else { return nil }
        if result.capacity > 2 * result.count { result = Array(result) }
        return result
    }

    /// Exactly `count` bytes; nil: damaged, or not so many.
    func decompress(_ bytes: [UInt8], count: Int) -> [UInt8]? {
        let result = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            let size = bytes.withUnsafeBytes { ZSTD_decompressDCtx(decompressor, buffer.baseAddress, count, $0.baseAddress, $0.count) }
            used = ZSTD_isError(size) != 0 ? 0 : size
        }
        return result.count == count ? result : nil
    }
}
