import Machine

/// What the manager asks of the stored machines.
public enum LibraryRequest: Equatable, Sendable {
    case start([String])
    /// To a machine that runs, whoever runs it.
    case command(String, StoredCommand)
    case create(MachineDraft, starts: Bool)
    case clone(String, to: String)
    case rename(String, to: String)
    case delete([String])
    /// - Parameter before: what the form began with; another change since then is a failure.
    case apply(String, MachineSettings, before: MachineSettings)
    /// Several machines at once.
    case group([String], to: String)
    case log(String, run: Int)
    /// Only these events go into the log of a running machine.
    case trace(String, [String])
    /// The machine's state into its folder, and its end.
    case saveState(String)
    case discardState([String])
    /// The tree of this machine is told now and whenever it changes; nil: no longer.
    case snapshots(String?)
    case snapshotScreen(String, id: String)
    case takeSnapshot(String, name: String, description: String)
    /// - Parameter keepingAs: the present state becomes a snapshot of that name first; nil: it is lost.
    case restoreSnapshot(String, name: String, keepingAs: String?)
    /// - Parameter canUndo: it is only hidden, until it is committed.
    case deleteSnapshot(String, name: String, canUndo: Bool)
    case linkedClone(String, of: String, to: String)
    /// - Parameter to: nil: the present state.
    case diffSnapshots(String, from: String, to: String?)
    case exportSnapshot(String, name: String, path: String)
    case importSnapshot(String, path: String)
    case undoSnapshot(String)
    case commitSnapshots(String)
    /// Stops the work on snapshots.
    case stopSnapshot
    /// Stops what is under way.
    case cancel
}

/// What any running machine can be told from the list.
public enum StoredCommand: String, Equatable, Sendable, CaseIterable {
    case pause, resume, reset, acpiOff, powerOff

    public var command: MachineCommand {
        switch self {
        case .pause: .pause
        case .resume: .resume
        case .reset: .reset
        case .acpiOff: .acpiPowerButton
        case .powerOff: .powerOff
        }
    }
}

/// What became of a request.
public enum LibraryEvent: Sendable {
    case done(LibraryRequest)
    case failed(LibraryRequest, String)
    case progress(done: Int, total: Int)
    case snapshots(String, SnapshotList)
    /// Rows of a snapshot's text screen.
    case snapshotScreen(String, id: String, [String])
    /// What differs between two, in lines.
    case difference(String, [String])
    /// Of the work on snapshots; it has one answer later, beside other work.
    case snapshotProgress(done: Int, total: Int)
    /// The lines of a log, oldest first, and again when there are more: `isMore`.
    case log(String, run: Int, runs: Int, lines: [String], isMore: Bool)
}

/// The stored machines as the manager sees them: snapshots out, requests in, answers later. Tests put a canned one in its place.
public protocol MachineLibrary: AnyObject, Sendable {
    /// The latest look; thread-safe, returns at once.
    func rows() -> [MachineRow]
    /// Readable when rows or events have come.
    var wakeDescriptor: Int32 { get }
    /// Thread-safe; returns at once.
    func ask(_ request: LibraryRequest)
    /// What has come since the last call.
    func events() -> [LibraryEvent]
    /// The machine as its process shows it. May wait for that process: not for the screen's thread.
    /// - Throws: one sentence when it cannot be reached.
    func control(_ name: String) throws(MachineError) -> any MachineControl
    /// The control is no longer looked at.
    func release(_ control: any MachineControl)
    /// One sentence when a path for a setting names nothing usable; nil: it does.
    func fileProblem(_ path: String, machine: String?) -> String?
    /// What lies in a folder; see `FolderLister`.
    func listFolder(_ folder: String, machine: String?) -> FolderListing?
}
