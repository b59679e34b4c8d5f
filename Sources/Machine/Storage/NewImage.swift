import Glibc

/// Disk images that are made.
public enum NewImage {
    public enum Format: String, Sendable, CaseIterable {
        /// VDI, grows as it is written.
        case dynamic
        /// VDI, all of its room taken from the host at once.
        case fixed
        /// Nothing but sectors; holes until they are written.
        case raw
    }

    public static let sizes: ClosedRange<UInt64> = (1 << 20)...(8 << 40)

    /// Makes an image under its name in one step; a file that is there is not touched.
    /// - Throws: `.usage` for a size out of range, `.failed` with the host's reason; nothing is left then.
    public static func make(_ path: String, bytes: UInt64, format: Format) throws(MachineError) {
        guard sizes.contains(bytes), bytes % 512 == 0 else {
            throw .usage(
                "A disk has \(ByteSize.text(sizes.lowerBound)) to \(ByteSize.text(sizes.upperBound)) in whole sectors, not \(bytes) bytes.")
        }
        func refused(_ code: Int32 = errno) -> MachineError { .failed("The disk '\(path)' cannot be made: \(WholeFile.reason(code)).") }
        let temporary = path + ".\(getpid()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw refused() }
        defer {
            close(descriptor)
            unlink(temporary)
        }
        let code = fill(descriptor, bytes, format)
        guard code == 0 else { throw refused(code) }
        guard fsync(descriptor) == 0 else { throw refused() }
        // link(2) never replaces; where the file system has no links, rename does it if nothing is there.
        if link(temporary, path) != 0 {
            let code = errno
            guard code == EPERM || code == ENOTSUP || code == EMLINK, access(path, F_OK) != 0 else { throw refused(code) }
            guard rename(temporary, path) == 0 else { throw refused() }
        }
        FolderWork.sync(WholeFile.directory(of: path))
    }

    /// - Returns: 0, or `errno`.
    private static func fill(_ descriptor: Int32, _ bytes: UInt64, _ format: Format) -> Int32 {
        if format == .raw { return ftruncate(descriptor, Int(bytes)) == 0 ? 0 : errno }
        let header = VDIHeader(diskBytes: bytes, isFixed: format == .fixed)
        let end = Int(header.dataOffset + header.allocated * header.stride)
        if format == .fixed {
            let code = posix_fallocate(descriptor, 0, end)
            if code != 0 { return code }
        } else if ftruncate(descriptor, end) != 0 {
            return errno
        }
        guard WholeFile.writeAll(descriptor, header.encoded()), lseek(descriptor, Int(header.mapOffset), SEEK_SET) >= 0 else {
            return errno
        }
        var map: [UInt8] = []
        map.reserveCapacity(Int(header.blocks) * 4)
        for block in 0..<UInt32(header.blocks) {
            let entry = format == .fixed ? block : VDIHeader.unallocated
            for shift in stride(from: 0, to: 32, by: 8) { map.append(UInt8(truncatingIfNeeded: entry >> UInt32(shift))) }
        }
        return WholeFile.writeAll(descriptor, map) ? 0 : errno
    }
}
