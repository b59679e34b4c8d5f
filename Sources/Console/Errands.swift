import Foundation
import Synchronization

/// What may have to wait for another process, done on threads of its own: the screen goes on. What came of it is taken on the screen's thread.
final class Errands: Sendable {
    typealias Result = @MainActor @Sendable () -> Void

    private let results = Mutex<[Result]>([])
    private let ends: (read: Int32, write: Int32)

    init() {
        var pair: [Int32] = [-1, -1]
        _ = pipe(&pair)
        for end in pair {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        ends = (pair[0], pair[1])
    }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    /// Readable when results wait; the reader drains it.
    var wakeDescriptor: Int32 { ends.read }

    /// - Parameter work: returns what is to be done with its result.
    func run(_ name: String, _ work: @escaping @Sendable () -> Result) {
        let thread = Thread { [self] in
            deliver(work())
        }
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// What came of something that was done elsewhere.
    func deliver(_ result: @escaping Result) {
        results.withLock { $0.append(result) }
        var byte: UInt8 = 1
        _ = write(ends.write, &byte, 1)
    }

    @MainActor
    func collect() {
        let waiting = results.withLock { results in
            defer { results = [] }
            return results
        }
        for result in waiting { result() }
    }
}
