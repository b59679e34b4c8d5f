/// Why a file cannot be a medium. Each is one sentence with the path and, where there is something to do, what to do.
public enum MediaError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The host refused to open or read the file; `reason` in the host's words.
    case cannotOpen(path: String, reason: String)
    /// The file may be read but not written.
    case notWritable(path: String, reason: String)
    /// A directory, a pipe, a terminal.
    case notAFile(path: String)
    /// Shorter than one sector.
    case tooSmall(path: String, bytes: UInt64, sectorBytes: Int)
    /// Another run has the file open for writing, or this one wants to write what another run reads.
    case locked(path: String)
    /// A disk image format that is recognised but not read.
    case formatNotSupported(path: String, format: String)
    /// An image whose own description of itself cannot be true.
    case damaged(path: String, format: String, reason: String)
    /// A file cannot be made; `reason` in the host's words.
    case cannotMake(path: String, reason: String)
    /// An image that stands on others, and why they do not carry it: a clause that begins in lower case.
    case brokenChain(path: String, reason: String)
    /// An image that can be read but not written; `reason` is a clause.
    case onlyReadable(path: String, format: String, reason: String)
    /// No floppy has that size.
    case notAFloppySize(path: String, bytes: UInt64)
    /// No room for what the guest writes to a disposable medium.
    case noScratchFile(directory: String, reason: String)

    public var description: String {
        switch self {
        case .cannotOpen(let path, let reason): "\(path) cannot be opened: \(reason)."
        case .notWritable(let path, let reason):
            "\(path) cannot be written (\(reason)): change its permissions, or use --disposable to leave it as it is."
        case .notAFile(let path): "\(path) is not a disk image: it is neither a file nor a block device."
        case .tooSmall(let path, let bytes, let sectorBytes):
            bytes == 0
                ? "\(path) is empty: a disk image holds at least one sector of \(sectorBytes) bytes."
                : "\(path) has only \(bytes) bytes: a disk image holds at least one sector of \(sectorBytes) bytes."
        case .locked(let path): "\(path) is in use by another machine: stop that one first, or give this one a copy."
        case .formatNotSupported(let path, let format):
            "\(path) is a \(format) image, and that format is not supported yet: convert it to a raw image first."
        case .damaged(let path, let format, let reason): "\(path) is a damaged \(format) image: \(reason)."
        case .cannotMake(let path, let reason): "\(path) cannot be made: \(reason)."
        case .brokenChain(let path, let reason): "\(path) cannot be used: \(reason)."
        case .onlyReadable(let path, let format, let reason):
            "\(path) is a \(format) image that can be read but not written (\(reason)): convert it with 'vitrine disk convert', or use "
                + "--disposable."
        case .notAFloppySize(let path, let bytes):
            "\(path) has \(bytes) bytes, which is no floppy's size; those are 160K, 180K, 320K, 360K, 640K, 720K, 1.2M, 1.44M, 1.68M, "
                + "1.72M and 2.88M."
        case .noScratchFile(let directory, let reason):
            "No scratch file for --disposable could be made in \(directory) (\(reason)): set TMPDIR to a directory with room."
        }
    }
}

/// How a run uses a medium's file.
public enum MediaAccess: Equatable, Sendable {
    case readWrite
    case readOnly
    /// The file is opened read-only; what the guest writes goes to a scratch file and is gone with the run.
    case disposable
}
