import Glibc
import Synchronization

/// The host's end of one guest serial port.
///
/// `write` is called on the machine's thread, everything else on the thread of `SerialPump`.
protocol SerialBackend: AnyObject, Sendable {
    /// Bytes from the guest. Does not block for long: a peer that does not read loses bytes rather than stop the machine
    /// (except standard output, which waits).
    func write(_ bytes: [UInt8])
    /// What to poll, and for which events; nil when there is nothing to wait for.
    /// - Parameter wantsInput: the guest has room for more.
    func interest(wantsInput: Bool) -> (descriptor: Int32, events: Int16)?
    /// The descriptor is ready: bytes for the guest, or none.
    func ready(_ events: Int16) -> [UInt8]
    /// A line for the user when the run begins, such as the name of a pty.
    var note: String? { get }
    /// The run ended: flush and tidy up.
    func finish()
}

extension SerialBackend {
    func interest(wantsInput: Bool) -> (descriptor: Int32, events: Int16)? { nil }
    func ready(_ events: Int16) -> [UInt8] { [] }
    var note: String? { nil }
    func finish() {}
}

/// Output waiting for a descriptor that takes it without blocking.
struct PendingOutput: Sendable {
    private(set) var bytes: [UInt8] = []
    private var offset = 0
    /// When nobody reads, the oldest bytes go.
    static let limit = 1 << 18

    var isEmpty: Bool { offset == bytes.count }

    mutating func append(_ more: [UInt8]) {
        bytes += more
        if bytes.count - offset > PendingOutput.limit { offset = bytes.count - PendingOutput.limit }
        compact()
    }

    /// Writes as much as goes; false when the peer is gone.
    mutating func flush(to descriptor: Int32) -> Bool {
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN
            }
            offset += count
        }
        compact()
        return true
    }

    private mutating func compact() {
        guard offset > 1 << 16 || offset == bytes.count else { return }
        bytes.removeFirst(offset)
        offset = 0
    }
}

/// One read without blocking: nil at the end of the file or on an error, empty when there is nothing now.
func readAvailable(_ descriptor: Int32, atMost limit: Int = 4096) -> [UInt8]? {
    var chunk = [UInt8](repeating: 0, count: limit)
    let count = read(descriptor, &chunk, limit)
    if count > 0 { return Array(chunk[0..<count]) }
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? [] : nil
}
