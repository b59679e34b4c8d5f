import Glibc

/// Reads a log as it grows, and goes on with the next run's when it has been put away.
public final class LogReader {
    private let path: String
    private var descriptor: Int32
    private let watch: Int32
    private var lineBuffer = LineBuffer(limit: .max)

    /// nil: there is no such file.
    public init?(_ path: String) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        watch = inotify_init1(Int32(IN_CLOEXEC))
        guard descriptor >= 0 else {
            close(watch)
            return nil
        }
        _ = inotify_add_watch(watch, WholeFile.directory(of: path), UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_FROM))
    }

    deinit {
        close(descriptor)
        close(watch)
    }

    /// Whole lines that are there now and were not returned yet.
    public func lines() -> [String] {
        while let bytes = readAvailable(descriptor, atMost: 1 << 16), !bytes.isEmpty { lineBuffer.append(bytes[...]) }
        var lines: [String] = []
        while let line = lineBuffer.next() { lines.append(String(decoding: line, as: UTF8.self)) }
        return lines
    }

    /// Sleeps until something happens to the folder of the log.
    /// - Returns: false when that cannot be waited for.
    public func waitForMore() -> Bool {
        // At the end of a log that is no longer the newest: the next one, if there is something in it.
        var here = stat(), there = stat()
        if fstat(descriptor, &here) == 0, stat(path, &there) == 0, here.st_ino != there.st_ino {
            let next = open(path, O_RDONLY | O_CLOEXEC)
            guard next >= 0 else { return false }
            close(descriptor)
            descriptor = next
            lineBuffer = LineBuffer(limit: .max)
            return true
        }
        var events = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(watch, &events, events.count)
            if count > 0 { return true }
            if count < 0, errno == EINTR { continue }
            return false
        }
    }
}
