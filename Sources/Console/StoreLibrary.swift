import Foundation
import Machine
import Panels
import Synchronization

/// The user's stored machines for the manager: a thread looks at their folders, another does what takes its time.
public final class StoreLibrary: MachineLibrary {
    struct State: Sendable {
        var rows: [MachineRow] = []
        var events: [LibraryEvent] = []
        var queue: [LibraryRequest] = []
        var cancelled = false
        /// Log that is shown, and how much of it has been told.
        var log: (name: String, run: Int)?
        /// The log is another one than before.
        var logIsNew = false
        /// Processor time of the processes that run machines, for their load: clock ticks and when they were read.
        var samples: [Int32: (ticks: UInt64, at: Double)] = [:]
        var isClosed = false
        /// The machine whose snapshots are shown, and what has been told of them.
        var tree: String?
        var toldTree: SnapshotList?
        var treeProblem = ""
        /// Snapshots whose screens are wanted.
        var screens: [(name: String, id: String)] = []
        var snapshotStops = false
    }

    let store: MachineStore
    let environment: [String: String]
    let state = Mutex(State())
    /// The machines as they were seen last; two threads look.
    private let glancing: Mutex<StoreGlance>
    private let ends: (read: Int32, write: Int32)
    private let work = DispatchSemaphore(value: 0)
    private let glance = DispatchSemaphore(value: 0)

    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        store = MachineStore(environment: environment)
        self.environment = environment
        glancing = Mutex(StoreGlance(store))
        var pair: [Int32] = [-1, -1]
        _ = pipe(&pair)
        for end in pair {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        ends = (pair[0], pair[1])
        start("machines") { library in
            library.look()
            library.readLog()
            library.readSnapshots()
            library.readScreens()
        }
        start("machine work") { library in library.carryOutNext() }
    }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    /// A thread that calls `step` again and again as long as the library is there.
    private func start(_ name: String, _ step: @escaping @Sendable (StoreLibrary) -> Void) {
        let (work, glance) = (work, glance)
        let thread = Thread { [weak self] in
            while true {
                if name == "machines" { _ = glance.wait(timeout: .now() + 1) } else { work.wait() }
                guard let self else { return }
                step(self)
            }
        }
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
        glance.signal()
    }

    private func wake() {
        var byte: UInt8 = 1
        _ = write(ends.write, &byte, 1)
    }

    func tell(_ event: LibraryEvent) {
        state.withLock { $0.events.append(event) }
        wake()
    }

    // MARK: MachineLibrary

    public var wakeDescriptor: Int32 { ends.read }
    public func rows() -> [MachineRow] { state.withLock { $0.rows } }
    public func events() -> [LibraryEvent] {
        state.withLock { state in
            defer { state.events = [] }
            return state.events
        }
    }

    public func ask(_ request: LibraryRequest) {
        switch request {
        case .cancel: state.withLock { $0.cancelled = true }
        case .log(let name, let run):
            state.withLock { ($0.log, $0.logIsNew) = ((name, run), true) }
            glance.signal()
        case .snapshots(let name):
            state.withLock { ($0.tree, $0.toldTree, $0.treeProblem, $0.screens) = (name, nil, "", []) }
            if name != nil { glance.signal() }
        case .snapshotScreen(let name, let id):
            state.withLock { $0.screens.append((name, id)) }
            glance.signal()
        case .stopSnapshot: state.withLock { $0.snapshotStops = true }
        case .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .linkedClone, .diffSnapshots, .exportSnapshot, .importSnapshot, .undoSnapshot,
            .commitSnapshots:
            // They may take minutes; other machines do not wait for them.
            state.withLock { $0.snapshotStops = false }
            let thread = Thread { [self] in finish(request) }
            thread.stackSize = 8 << 20
            thread.start()
        case .command, .trace, .saveState:
            // They wait for the machine's process, which may hang: nobody else waits with them.
            let thread = Thread { [self] in finish(request) }
            thread.stackSize = 8 << 20
            thread.start()
        default:
            state.withLock { $0.queue.append(request) }
            work.signal()
        }
    }

    public func control(_ name: String) throws(MachineError) -> any MachineControl {
        guard let run = RunRecord.read(store.folder(of: name)), !run.socket.isEmpty else {
            throw MachineError(.wrongPlace, "The machine '\(name)' has no control socket yet.")
        }
        return try RemoteMachine(path: run.socket, name: name, readOnly: false)
    }

    public func release(_ control: any MachineControl) { (control as? RemoteMachine)?.leave() }

    public func listFolder(_ folder: String, machine: String?) -> FolderListing? {
        var path = folder.hasPrefix("~/") || folder == "~" ? NSHomeDirectory() + folder.dropFirst() : folder
        if !path.hasPrefix("/") {
            path = (machine.map { store.folder(of: $0) } ?? FileManager.default.currentDirectoryPath) + "/" + path
        }
        return Folder.list(path)
    }

    public func fileProblem(_ path: String, machine: String?) -> String? {
        let full = path.hasPrefix("/") ? path : (machine.map { store.folder(of: $0) } ?? FileManager.default.currentDirectoryPath) + "/" + path
        return access(full, R_OK) == 0 ? nil : "There is no file '\(path)' that can be read."
    }

    // MARK: Looking

    private func look() {
        let rows: [MachineRow]
        do throws(MachineError) {
            let entries = try glancing.withLock { glance throws(MachineError) in try glance.list() }
            rows = entries.map { row($0) }
        } catch {
            let sentence = error.description
            let isNew = state.withLock { state in
                guard state.rows.first?.problem != sentence else { return false }
                state.rows = []
                return true
            }
            if isNew { tell(.failed(.cancel, sentence)) }
            return
        }
        let changed = state.withLock { state in
            defer { state.rows = rows }
            return state.rows != rows
        }
        // An empty home is worth a word too: then the list says so instead of looking on.
        if changed || !wasSeen.exchange(true, ordering: .relaxed) { wake() }
    }

    private let wasSeen = Atomic<Bool>(false)

    private func row(_ entry: MachineEntry) -> MachineRow {
        var row = MachineRow(name: entry.name, state: MachineRow.State(rawValue: entry.state.rawValue) ?? .off)
        row.folder = entry.folder
        row.diskBytes = Int(clamping: entry.diskBytes)
        switch entry.settings {
        case .success(let settings): row.apply(settings)
        case .failure(let error):
            row.problem = "\(error)"
            if !row.state.isAlive { row.state = .broken }
        }
        if let started = entry.started { row.uptimeSeconds = max(0, Int(Date().timeIntervalSince(started))) }
        if let pid = entry.pid { row.load = load(pid) }
        return row
    }

    /// Percent of one processor since the last look. Source: *proc(5)*, `/proc/PID/stat` fields 14 and 15.
    private func load(_ pid: Int32) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        let ticks = user + system, now = Date().timeIntervalSince1970
        return state.withLock { state in
            let last = state.samples[pid]
            // Shorter spans than a quarter of a second say nothing.
            if let last, now - last.at < 0.25 { return nil }
            state.samples[pid] = (ticks, now)
            guard let last, ticks >= last.ticks else { return nil }
            let perSecond = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
            return Int((Double(ticks - last.ticks) / perSecond / (now - last.at) * 100).rounded())
        }
    }

    /// The file of the log that is shown, read as it grows. Only the looking thread touches it.
    private final class LogFile: @unchecked Sendable {
        var reader: LogReader?
        func open(_ path: String) { reader = LogReader(path) }
        func lines() -> [String] { reader?.lines() ?? [] }
    }
    private let logFile = LogFile()

    private func readLog() {
        let (wanted, isNew) = state.withLock { state in
            defer { state.logIsNew = false }
            return (state.log, state.logIsNew)
        }
        guard let (name, run) = wanted else { return }
        let path = "\(store.folder(of: name))/\(MachineLog.folderName)/\(MachineLog.fileName)"
        if isNew { logFile.open(path + (run == 0 ? "" : ".\(run)")) }
        let lines = logFile.lines()
        guard isNew || !lines.isEmpty else { return }
        let older = (1...MachineLog.kept).filter { access("\(path).\($0)", F_OK) == 0 }.count
        tell(.log(name, run: run, runs: 1 + older, lines: lines, isMore: !isNew))
    }

    // MARK: Doing

    private func carryOutNext() {
        let next = state.withLock { state -> LibraryRequest? in
            state.cancelled = false
            return state.queue.isEmpty ? nil : state.queue.removeFirst()
        }
        if let request = next { finish(request) }
    }

    private func finish(_ request: LibraryRequest) {
        do throws(MachineError) {
            try carryOut(request)
            look()
            readSnapshots()
            tell(.done(request))
        } catch {
            look()
            readSnapshots()
            tell(.failed(request, error.description))
        }
    }

    private func carryOut(_ request: LibraryRequest) throws(MachineError) {
        switch request {
        case .start(let names): for name in names { try startMachine(name) }
        case .command(let name, let command): try tell(name, command.command)
        case .create(let draft, _): try draft.create(in: store, current: FileManager.default.currentDirectoryPath)
        case .clone(let name, let new):
            var told = Date.distantPast
            try store.clone(name, as: new) { done, total in
                if Date().timeIntervalSince(told) > 0.1 {
                    told = Date()
                    self.tell(.progress(done: Int(clamping: done), total: Int(clamping: total)))
                }
                return !self.state.withLock { $0.cancelled }
            }
        case .rename(let name, let new): try store.rename(name, to: new)
        case .delete(let names): for name in names { try store.delete(name) }
        case .apply(let name, let settings, let before):
            try store.edit(name) { current throws(MachineError) in
                guard current == before else {
                    throw MachineError(.wrongPlace, "The settings of '\(name)' have been changed elsewhere meanwhile; open them again.")
                }
                current = settings
            }
        case .group(let names, let group): for name in names { try store.edit(name) { (settings) throws(MachineError) in settings.group = group } }
        case .trace(let name, let categories):
            let client = try ControlClient(path: try store.entry(name).run?.socket ?? "", name: name)
            _ = try client.ask("x-vitrine-trace", ["categories": .array(categories.map { .string($0) })])
        case .saveState(let name): try saveState(name)
        case .discardState(let names): for name in names { try store.discardState(name) }
        case .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .linkedClone, .diffSnapshots, .exportSnapshot, .importSnapshot, .undoSnapshot,
            .commitSnapshots:
            try workOnSnapshots(request)
        case .log, .cancel, .snapshots, .snapshotScreen, .stopSnapshot: break
        }
    }

    func startMachine(_ name: String) throws(MachineError) {
        try DetachedStart.start(name, environment: environment)
    }

    /// Sends one command and waits until it has been carried out.
    private func tell(_ name: String, _ command: MachineCommand) throws(MachineError) {
        let machine = try RemoteMachine(path: try store.entry(name).run?.socket ?? "", name: name, readOnly: false)
        defer { machine.leave() }
        let done = DispatchSemaphore(value: 0), failure = Mutex<MachineError?>(nil)
        machine.perform(command) { error in
            failure.withLock { $0 = error }
            done.signal()
        }
        // A power-off may take the connection along before it answers.
        guard done.wait(timeout: .now() + 10) == .success else { throw .failed("The machine '\(name)' does not answer.") }
        if case .powerOff = command { return }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
