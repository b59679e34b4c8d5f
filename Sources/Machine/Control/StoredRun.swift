import Foundation
import Synchronization

/// A stored machine run by this process: lock, record, log and control socket around a `RunSession`.
public final class StoredRun: Sendable {
    public let session: RunSession
    public let name: String
    private let folder: String
    private let log: MachineLog
    private let server: ControlServer
    private let lock: Mutex<MachineLock?>
    private let savedState: SavedState

    /// Takes the machine and sets it up; it runs after `start`.
    /// - Throws: `.wrongPlace` when there is none or somebody runs it; what `RunSession` throws. Nothing is left behind.
    public init(
        _ name: String, in store: MachineStore, headless: Bool = true, keepsStuck: Bool = false, diagnose: @escaping @Sendable (String) -> Void,
        adjust: (inout RunSettings) -> Void = { _ in }
    ) throws(MachineError) {
        self.name = name
        folder = try store.entry(name).folder
        let lock = try MachineLock.take(.run, of: folder, name: name)
        self.lock = Mutex(lock)
        let found = try StoredRun.recover(folder, name)
        // Read again: while nobody ran it, it may have been changed.
        var settings = try store.entry(name).runSettings()
        settings.headless = headless
        adjust(&settings)
        RunRecord.remove(from: folder)
        FolderWork.removeTemporaries(of: folder + "/" + SavedState.fileName)
        let savedState = SavedState(folder: folder, disks: SavedState.watched(settings))
        self.savedState = savedState
        let isSaved = SavedState.exists(in: folder)
        if isSaved { try savedState.check(name) }
        let log = try MachineLog(folder: folder)
        self.log = log
        do throws(MachineError) {
            session = try RunSession(settings, keptLog: log, served: true, savedState: savedState, keepsStuck: keepsStuck) { sentence in
                log.write(.warn, "VM", sentence)
                diagnose(sentence)
            }
            server = try ControlServer(
                path: try ControlPath.socket(folder: folder, name: name),
                subject: ControlSubject(machine: session.machine, cpus: settings.cpus, log: log))
            for note in found { log.write(.info, "Snapshots", note) }
            if isSaved { log.write(.info, "State", "The machine goes on from its saved state.") }
            for note in session.notes { log.write(.info, "Serial", note) }
            try RunRecord.current(socket: server.path).write(in: folder)
        } catch {
            log.write(.error, "VM", error.description)
            log.finish()
            throw error
        }
    }

    /// What was interrupted in its snapshots is finished or rolled back.
    private static func recover(_ folder: String, _ name: String) throws(MachineError) -> [String] {
        let writing = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime(writing) {} }
        return try SnapshotWork(folder, name: name).notes
    }

    public func start() {
        server.start()
        session.start()
    }

    /// Blocks until the machine has ended, and puts everything away.
    /// - Returns: the exit status.
    public func finish() -> Int32 {
        let status = session.finish()
        if session.outcome == .saved {
            // The disks are closed now.
            do throws(MachineError) { try savedState.note() } catch { log.write(.warn, "State", error.description) }
        } else {
            savedState.spend()
        }
        log.finish()
        server.finish { [self] in
            RunRecord.remove(from: folder)
            lock.withLock { $0 = nil }
        }
        return status
    }
}

/// Where the control socket of a stored machine is.
enum ControlPath {
    static let fileName = "control.sock"

    /// In the machine's folder, or where the path would be too long for the host in the user's run-time folder.
    /// - Throws: `.failed` when there is no safe place.
    static func socket(
        folder: String, name: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(MachineError) -> String {
        let near = folder + "/" + fileName
        if near.utf8.count <= UnixSocket.longestPath { return near }
        let base: String
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
            base = runtime + "/vitrine"
        } else {
            base = "/tmp/vitrine-\(geteuid())"
        }
        guard mkdir(base, 0o700) == 0 || errno == EEXIST else { throw .failed("The folder '\(base)' cannot be made: \(WholeFile.reason()).") }
        // Others may write beside it: it must be ours, and closed to them.
        var facts = stat()
        guard lstat(base, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR, facts.st_uid == geteuid(), facts.st_mode & 0o077 == 0 else {
            throw .failed("The folder '\(base)' is not this user's alone.")
        }
        // The folder's number tells machines of one name in two homes apart.
        guard stat(folder, &facts) == 0 else { throw .failed("The folder '\(folder)' cannot be read: \(WholeFile.reason()).") }
        return base + "/\(facts.st_dev)-\(facts.st_ino).sock"
    }
}
