import Foundation
import Synchronization

/// What a run asks of the host's file system, in order: tests replay beginnings of it, as a power cut would leave them.
///
/// Files that are opened while `FileRecorder.current` is set write into it, and so do the names that `HostFile` makes, moves and removes.
public final class FileRecorder: Sendable {
    public enum Step: Equatable, Sendable {
        case create(path: String)
        case write(path: String, offset: UInt64, bytes: [UInt8])
        /// The range reads as zeros; the length stays.
        case zero(path: String, offset: UInt64, count: UInt64)
        case truncate(path: String, bytes: UInt64)
        /// Everything before, of this file, is on the medium.
        case sync(path: String)
        case rename(from: String, to: String)
        /// One more name for the file.
        case link(from: String, to: String)
        case unlink(path: String)
        /// Names made and removed before, in this folder, are on the medium.
        case syncFolder(path: String)
        /// Something a test wants to find again: "the guest was told that this is safe".
        case mark(String)
    }

    @TaskLocal public static var current: FileRecorder?

    /// A thread that goes on writing into the recorder of the one that starts it.
    static func thread(_ name: String, stackBytes: Int = 0, _ body: @escaping @Sendable () -> Void) {
        let recorder = current
        let thread = Thread { $current.withValue(recorder) { body() } }
        thread.name = name
        if stackBytes > 0 { thread.stackSize = stackBytes }
        thread.start()
    }

    private let list = Mutex<[Step]>([])
    public init() {}
    public var steps: [Step] { list.withLock { $0 } }
    public func note(_ step: Step) { list.withLock { $0.append(step) } }
}
