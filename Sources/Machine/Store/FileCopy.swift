import Foundation

/// Copies files with their holes, with progress, until somebody says stop.
struct FileCopy {
    var total: UInt64 = 0
    var done: UInt64 = 0
    /// False cancels.
    let progress: MachineStore.Progress

    init(total: UInt64, progress: @escaping MachineStore.Progress) {
        self.total = total
        self.progress = progress
    }

    static let cancelled = MachineError.failed("Cancelled; nothing is left of the copy.")

    /// Bytes that a copy of the file has to move.
    static func cost(_ path: String) -> UInt64 {
        var facts = stat()
        guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else { return 0 }
        return min(UInt64(max(facts.st_size, 0)), UInt64(max(facts.st_blocks, 0)) * 512)
    }

    /// - Throws: `.failed` with the reason; the target is then incomplete.
    mutating func copy(_ source: String, to target: String) throws(MachineError) {
        let input = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard input >= 0 else { throw .failed("'\(source)' cannot be copied: \(WholeFile.reason()).") }
        defer { close(input) }
        var facts = stat()
        guard fstat(input, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw .failed("'\(source)' cannot be copied: it is not a file.")
        }
        let output = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, facts.st_mode & 0o777)
        guard output >= 0 else { throw .failed("'\(target)' cannot be made: \(WholeFile.reason()).") }
        defer { close(output) }
        func failed() -> MachineError { .failed("'\(target)' cannot be written: \(WholeFile.reason()).") }
        guard ftruncate(output, facts.st_size) == 0 else { throw failed() }

        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var position = 0
        while position < facts.st_size {
            // SEEK_DATA and SEEK_HOLE, lseek(2); visible in C only with _GNU_SOURCE. Where there are none, all is data.
            var start = lseek(input, position, 3)
            if start < 0 {
                if errno == ENXIO { break }
                start = position
            }
            var end = lseek(input, start, 4)
            if end <= start { end = facts.st_size }
            position = start
            while position < end {
                guard progress(done, total) else { throw FileCopy.cancelled }
                let count = pread(input, &buffer, min(buffer.count, end - position), position)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw .failed("'\(source)' cannot be read: \(WholeFile.reason()).")
                }
                // It has become shorter meanwhile.
                guard count > 0 else { throw .failed("'\(source)' has changed while it was copied.") }
                guard lseek(output, position, SEEK_SET) >= 0, WholeFile.writeAll(output, buffer[0..<count]) else { throw failed() }
                position += count
                done += UInt64(count)
            }
        }
        guard fsync(output) == 0 else { throw failed() }
        guard progress(done, total) else { throw FileCopy.cancelled }
    }
}
