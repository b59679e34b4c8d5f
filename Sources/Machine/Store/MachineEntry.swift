import DataFiles
import Foundation

/// What a stored machine is doing.
public enum StoredState: String, Codable, Sendable, CaseIterable {
    case off, saved, starting, running, paused, stuck, aborted

    /// A process has it.
    public var isLive: Bool {
        switch self {
        case .starting, .running, .paused, .stuck: true
        case .off, .saved, .aborted: false
        }
    }
}

/// One stored machine as it was when it was looked at.
public struct MachineEntry: Sendable, Identifiable {
    public var name: String
    public var folder: String
    /// Or why `machine.toml` cannot be used.
    public var settings: Result<MachineSettings, DataError>
    public var state: StoredState
    /// Who runs it; after a crash: who did.
    public var run: RunRecord?
    /// What its files take on the host's disk.
    public var diskBytes: UInt64

    public init(
        name: String, folder: String, settings: Result<MachineSettings, DataError>, state: StoredState, run: RunRecord?, diskBytes: UInt64
    ) {
        self.name = name
        self.folder = folder
        self.settings = settings
        self.state = state
        self.run = run
        self.diskBytes = diskBytes
    }

    public var id: String { name }

    /// Of the process that runs it now.
    public var pid: Int32? { state.isLive ? run?.pid : nil }

    /// When the run that goes on now began.
    public var started: Date? { state.isLive ? run.map { Date(timeIntervalSince1970: $0.started) } : nil }

    /// The settings, or the file's error as one that ends a verb.
    /// - Throws: `.badInput` with file, line and column.
    public func checkedSettings() throws(MachineError) -> MachineSettings {
        switch settings {
        case .success(let settings): return settings
        case .failure(let error): throw .badInput("\(error).")
        }
    }

    /// Names of the files in its folder, for those who ask what will be lost.
    public var files: [String] { FolderWork.names(folder).filter { $0 != MachineLock.fileName }.sorted() }

    /// What the machine is run with, paths absolute.
    /// - Throws: `.badInput` when `machine.toml` cannot be used.
    public func runSettings() throws(MachineError) -> RunSettings { try checkedSettings().resolved(in: folder, name: name) }

    /// State from lock and record; the machine's own process is asked for the finer shades.
    static func state(of folder: String, _ record: RunRecord?) -> StoredState {
        guard MachineLock.isHeld(.run, of: folder) else { return SavedState.exists(in: folder) ? .saved : record == nil ? .off : .aborted }
        guard let record, record.bootID == RunRecord.hostBootID else { return .starting }
        return liveState(of: record)
    }

    /// The state of a machine whose process has the run lock and a record.
    static func liveState(of record: RunRecord) -> StoredState {
        // One that does not answer at once is there all the same.
        let patience: Int32 = 300
        guard !record.socket.isEmpty, let client = try? ControlClient(path: record.socket, name: "", within: patience),
            let state = try? client.ask("x-vitrine-view", within: patience)["state"]?.string
        else { return .running }
        switch MachineState(rawValue: state) {
        case .paused: return .paused
        case .stuck: return .stuck
        case .starting: return .starting
        case .running, .off, nil: return .running
        }
    }
}
