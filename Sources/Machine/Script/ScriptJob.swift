import Synchronization

/// A script that somebody outside sent to a running machine: how it went is told once.
final class ScriptJob: Sendable {
    enum Result: Equatable, Sendable {
        case done
        /// Sentence and screen.
        case waitFailed(String)
        case failed(String)
    }

    /// Where relative paths of the script begin.
    private let folder: String
    private let told: Mutex<(@Sendable (Result) -> Void)?>

    init(folder: String, _ tell: @escaping @Sendable (Result) -> Void) {
        self.folder = folder
        told = Mutex(tell)
    }

    var isOver: Bool { told.withLock { $0 == nil } }

    func end(_ result: Result) {
        let tell = told.withLock { told in
            defer { told = nil }
            return told
        }
        tell?(result)
    }

    func place(_ path: String) -> String { path.hasPrefix("/") || folder.isEmpty ? path : folder + "/" + path }
}
