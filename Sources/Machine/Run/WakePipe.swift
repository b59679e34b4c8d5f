import Glibc
import Primitives

/// A pipe that wakes a sleeper: any thread signals, one thread waits for it by poll, alone or beside other descriptors.
public final class WakePipe: Sendable {
    /// Readable while a signal is pending.
    public let readDescriptor: Int32
    private let writeDescriptor: Int32

    /// - Throws: `.failed` when the host has no descriptors left.
    public init() throws(MachineError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .failed("The host has no descriptors left: \(WholeFile.reason()).") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        readDescriptor = ends[0]
        writeDescriptor = ends[1]
    }

    deinit {
        close(readDescriptor)
        close(writeDescriptor)
    }

    /// Any thread; a full pipe is signal enough.
    public func signal() {
        var byte: UInt8 = 1
        _ = write(writeDescriptor, &byte, 1)
    }

    /// Takes all pending signals back.
    public func drain() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(readDescriptor, &bytes, bytes.count) > 0 {}
    }

    private typealias PPoll = @convention(c) (UnsafeMutablePointer<pollfd>, UInt, UnsafePointer<timespec>, UnsafeRawPointer?) -> Int32
    /// Poll with a time limit finer than a millisecond; not visible through the Glibc module (it wants _GNU_SOURCE).
    private static let ppoll: PPoll = {
        guard let symbol = dlsym(nil, "ppoll") else { preconditionFailure("every glibc since 2.4 has ppoll") }
        return unsafeBitCast(symbol, to: PPoll.self)
    }()

    /// Sleeps until signalled, at most so long; nil: without limit. Takes the signals back.
    public func wait(nanoseconds: Nanoseconds?) {
        var entry = pollfd(fd: readDescriptor, events: Int16(POLLIN), revents: 0)
        if let nanoseconds {
            var limit = timespec(tv_sec: Int(clamping: nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
            if WakePipe.ppoll(&entry, 1, &limit, nil) <= 0 { return }
        } else if poll(&entry, 1, -1) <= 0 {
            return
        }
        drain()
    }
}
