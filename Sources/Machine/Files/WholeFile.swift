import Foundation

/// Files of the host, read whole and written atomically, with errors in the user's words.
public enum WholeFile {
    /// What the last failed call complained about, in lower case: `no such file or directory`.
    static func reason(_ code: Int32 = errno) -> String { String(cString: strerror(code)).lowercased() }

    /// Reads a regular file (or a pipe) whole.
    /// - Parameter limit: more bytes than this are refused before they are read.
    /// - Throws: `.badInput` naming the option's word for the file (`what`), the path and the reason.
    public static func read(_ path: String, what: String, limit: Int = 1 << 30) throws(MachineError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw .badInput("The \(what) '\(path)' cannot be opened: \(reason()).") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .badInput("The \(what) '\(path)' cannot be read: \(reason()).") }
        if status.st_mode & S_IFMT == S_IFDIR { throw .badInput("The \(what) '\(path)' is a directory, not a file.") }
        guard status.st_size <= limit else {
            throw .badInput("The \(what) '\(path)' has \(status.st_size) bytes; at most \(limit) make sense.")
        }
        guard let bytes = readAll(descriptor, limit: limit) else {
            throw .badInput("The \(what) '\(path)' cannot be read: \(errno == 0 ? "it has more than \(limit) bytes" : reason()).")
        }
        return bytes
    }

    /// Everything until the end of a descriptor; nil on an error (`errno`) or when there is more than `limit` (`errno` 0).
    static func readAll(_ descriptor: Int32, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            bytes.append(contentsOf: chunk[0..<count])
            if bytes.count > limit {
                errno = 0
                return nil
            }
        }
    }

    /// Whether `write` to this path can succeed, asked before a long run whose result it will hold.
    /// - Throws: `.failed` with the option's word for the file, the path and the reason.
    public static func checkWritable(_ path: String, what: String) throws(MachineError) {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { throw .failed("The \(what) '\(path)' cannot be written: it is a directory.") }
            guard access(path, W_OK) == 0 else { throw .failed("The \(what) '\(path)' cannot be written: \(reason()).") }
            return
        }
        let directory = directory(of: path)
        guard access(directory, W_OK | X_OK) == 0 else {
            throw .failed("The \(what) '\(path)' cannot be written: \(directory): \(reason()).")
        }
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Replaces the file at `path` in one step: a temporary file beside it, fsync, rename. Pipes, terminals and other special
    /// files are written in place.
    /// - Throws: `.failed`; the old file is then untouched.
    public static func write(_ bytes: [UInt8], to path: String, what: String) throws(MachineError) {
        var status = stat()
        let special = stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
        let target = special ? path : path + ".\(getpid()).tmp"
        let descriptor = open(target, O_WRONLY | O_CLOEXEC | O_NOCTTY | (special ? 0 : O_CREAT | O_TRUNC | O_EXCL), 0o666)
        guard descriptor >= 0 else { throw .failed("The \(what) '\(path)' cannot be written: \(reason()).") }
        var failure: Int32 = 0
        if !writeAll(descriptor, bytes) { failure = errno }
        if failure == 0, !special, fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0, failure == 0 { failure = errno }
        if failure == 0, !special, rename(target, path) != 0 { failure = errno }
        if failure == 0, !special, let recorder = FileRecorder.current {
            recorder.note(.create(path: target))
            recorder.note(.write(path: target, offset: 0, bytes: bytes))
            recorder.note(.sync(path: target))
            recorder.note(.rename(from: target, to: path))
        }
        guard failure == 0 else {
            if !special { unlink(target) }
            throw .failed("The \(what) '\(path)' cannot be written: \(reason(failure)).")
        }
    }

    /// Writes everything to a blocking descriptor; false with `errno` on an error.
    static func writeAll(_ descriptor: Int32, _ bytes: some ContiguousBytes) -> Bool {
        var done = 0
        return bytes.withUnsafeBytes { buffer in
            while done < buffer.count {
                let count = Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
                if count < 0 {
                    if errno == EINTR { continue }
                    return false
                }
                done += count
            }
            return true
        }
    }
}
