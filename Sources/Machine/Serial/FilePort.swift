import Glibc
import Synchronization

/// A file, pipe or device that takes what the guest sends; nothing comes back. Serial ports, debug consoles, standard error.
final class FilePort: SerialBackend {
    private let descriptor: Int32
    private let ownsDescriptor: Bool
    private let broken = Atomic<Bool>(false)

    /// Empties the file.
    /// - Throws: `.failed` when it cannot be written.
    init(path: String, what: String) throws(MachineError) {
        // Without O_NONBLOCK a FIFO that nobody reads would hang us here; afterwards writes may block.
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { throw .failed("The \(what) '\(path)' cannot be written: \(WholeFile.reason()).") }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        ownsDescriptor = true
    }

    /// Standard output or error; stays open.
    init(descriptor: Int32) {
        self.descriptor = descriptor
        ownsDescriptor = false
    }

    deinit { if ownsDescriptor { close(descriptor) } }

    func write(_ bytes: [UInt8]) {
        guard !broken.load(ordering: .relaxed) else { return }
        if !WholeFile.writeAll(descriptor, bytes) { broken.store(true, ordering: .relaxed) }
    }

    func finish() { if ownsDescriptor { fsync(descriptor) } }
}
