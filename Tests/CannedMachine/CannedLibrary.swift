import Foundation
import Machine
import Panels
import Synchronization

/// Stored machines that are not there: takes the manager's requests, answers at once, keeps everything in memory. For tests.
public final class CannedLibrary: MachineLibrary {
    private struct Content {
        var rows: [MachineRow] = []
        var events: [LibraryEvent] = []
        var asked: [LibraryRequest] = []
        var machines: [String: CannedMachine] = [:]
        var snapshots: [String: SnapshotList] = ["debian": CannedLibrary.tree]
        /// Work on snapshots that waits for `finishSnapshots`.
        var waiting: [LibraryRequest] = []
        var holdsSnapshots = false
    }

    private let content = Mutex(Content())
    private let ends: (read: Int32, write: Int32)
    private let worksSlowly: Bool
    private let isCancelled = Atomic<Bool>(false)

    /// - Parameter worksSlowly: a clone takes for ever, until it is cancelled.
    public init(_ rows: [MachineRow] = [], worksSlowly: Bool = false) {
        self.worksSlowly = worksSlowly
        var pair: [Int32] = [-1, -1]
        _ = pipe(&pair)
        for end in pair { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        ends = (pair[0], pair[1])
        content.withLock { $0.rows = rows }
        wake()
    }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    /// A few machines in every state.
    public static let sample: [MachineRow] = [
        row("DOS games", "dos", .running, group: "retro", uptime: 754, load: 97, notes: "Keep the save games on drive C."),
        row("debian", "linux-64", .off, group: "servers", disk: 3_221_225_472, tags: ["web", "test"]),
        row("buildbox", "linux-64", .paused, group: "servers", uptime: 88_000, load: 0),
        row("nt4", "windows-nt4", .aborted, group: "retro", disk: 734_003_200),
        row("broken", "linux", .broken),
    ]

    public static func row(
        _ name: String, _ system: String, _ state: MachineRow.State = .off, group: String = "", disk: Int = 104_857_600, uptime: Int? = nil,
        load: Int? = nil, tags: [String] = [], notes: String = ""
    ) -> MachineRow {
        let type = OSType.named(system) ?? OSType.other
        var settings = type.settings
        settings.group = group
        settings.tags = tags
        settings.notes = notes
        settings.run.disks = ["disk.vdi"]
        var row = MachineRow(name: name, state: state)
        row.apply(state == .broken ? nil : settings)
        row.folder = "/machines/" + name
        row.diskBytes = disk
        row.uptimeSeconds = uptime
        row.load = load
        if state == .broken { row.problem = "/machines/broken/machine.toml:3:10 'memry' is not known (did you mean 'memory'?)" }
        return row
    }

    /// Three snapshots straight on, and a branch of two.
    public static let tree = SnapshotList(
        [
            SnapshotRow(id: "a", name: "installed", description: "Fresh from the CD.", taken: "2026-11-20 09:12", bytes: 734_003_200),
            SnapshotRow(
                id: "b", name: "experiment", description: "A kernel of our own.", parent: "a", taken: "2026-11-21 18:40", state: "running",
                hasMemory: true, bytes: 48_234_496),
            SnapshotRow(
                id: "c", name: "experiment, second try", parent: "b", taken: "2026-11-21 19:02", state: "paused", hasMemory: true,
                bytes: 51_380_224),
            SnapshotRow(id: "d", name: "updates", description: "All of November.", parent: "a", taken: "2026-11-24 07:30", bytes: 130_023_424),
            SnapshotRow(id: "e", name: "web server", parent: "d", taken: "2026-11-25 22:05", state: "saved", hasMemory: true, bytes: 60_817_408),
        ], current: "e", changedBytes: 12_582_912)

    /// Puts a tree in place of a machine's.
    public func setSnapshots(_ list: SnapshotList, of name: String) { content.withLock { $0.snapshots[name] = list } }

    /// Work on snapshots stays under way until `finishSnapshots`.
    public func holdSnapshots() { content.withLock { $0.holdsSnapshots = true } }

    public func tell(_ event: LibraryEvent) { content.withLock { $0.events.append(event) } }

    public func finishSnapshots() {
        content.withLock { content in
            content.holdsSnapshots = false
            let requests = content.waiting
            content.waiting = []
            for request in requests { content.events.append(answer(request, &content)) }
        }
        wake()
    }

    public var wakeDescriptor: Int32 { ends.read }
    public func rows() -> [MachineRow] { content.withLock { $0.rows } }
    public var asked: [LibraryRequest] { content.withLock { $0.asked } }
    public func events() -> [LibraryEvent] {
        content.withLock { content in
            defer { content.events = [] }
            return content.events
        }
    }

    private func wake() {
        var byte: UInt8 = 1
        _ = write(ends.write, &byte, 1)
    }

    public func fileProblem(_ path: String, machine: String?) -> String? { path.hasPrefix("/missing") ? "There is no file '\(path)'." : nil }

    /// A few files, the same for every machine.
    public func listFolder(_ folder: String, machine: String?) -> FolderListing? {
        let path = folder.hasPrefix("/") ? folder : "/machines/\(machine ?? "here")/\(folder)"
        let bare = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        switch bare {
        case "/": return FolderListing(path: "/", entries: [.init("images", isFolder: true), .init("machines", isFolder: true)])
        case "/images":
            return FolderListing(
                path: "/images",
                entries: [
                    .init("debian.iso", bytes: 678_428_672), .init("dos", isFolder: true), .init("dos-1.img", bytes: 1_474_560),
                    .init("dos-2.img", bytes: 1_474_560), .init("notes.txt", bytes: 1200),
                ])
        case "/images/dos": return FolderListing(path: "/images/dos", entries: [.init("boot.img", bytes: 1_474_560)])
        default: return bare.hasPrefix("/machines") ? FolderListing(path: bare, entries: [.init("disk.vdi", bytes: 104_857_600)]) : nil
        }
    }

    public func control(_ name: String) throws(MachineError) -> any MachineControl { machine(name) }

    public func release(_ control: any MachineControl) {}

    /// The canned machine behind a name.
    public func machine(_ name: String) -> CannedMachine {
        content.withLock { content in
            if let machine = content.machines[name] { return machine }
            let machine = CannedMachine(scene: .prompt, name: name)
            content.machines[name] = machine
            return machine
        }
    }

    /// Progress, a percent every 30 ms, up to 90 of them.
    private func workSlowly(_ request: LibraryRequest) {
        isCancelled.store(false, ordering: .relaxed)
        let thread = Thread { [self] in
            var percent = 0
            while !isCancelled.load(ordering: .relaxed) {
                percent = min(90, percent + 1)
                content.withLock { $0.events.append(.progress(done: percent << 20, total: 100 << 20)) }
                wake()
                usleep(30_000)
            }
            content.withLock { $0.events.append(.failed(request, "Stopped; nothing was left.")) }
            wake()
        }
        thread.start()
    }

    public func ask(_ request: LibraryRequest) {
        if worksSlowly {
            if case .clone = request { return workSlowly(request) }
            if case .cancel = request { return isCancelled.store(true, ordering: .relaxed) }
        }
        content.withLock { content in
            content.asked.append(request)
            switch request {
            case .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .linkedClone, .undoSnapshot, .commitSnapshots, .exportSnapshot, .importSnapshot:
                if content.holdsSnapshots { return content.waiting.append(request) }
            default: break
            }
            content.events.append(answer(request, &content))
        }
        wake()
    }

    private func answer(_ request: LibraryRequest, _ content: inout Content) -> LibraryEvent {
        func change(_ name: String, _ body: (inout MachineRow) -> Void) {
            for i in content.rows.indices where content.rows[i].name == name { body(&content.rows[i]) }
        }
        switch request {
        case .start(let names):
            for name in names { change(name) { ($0.state, $0.uptimeSeconds, $0.load) = (.running, 0, 12) } }
        case .command(let name, let command):
            let machine = content.machines[name]
            machine?.post(command.command)
            switch command {
            case .pause: change(name) { $0.state = .paused }
            case .resume: change(name) { $0.state = .running }
            case .reset: break
            case .acpiOff, .powerOff:
                change(name) { ($0.state, $0.uptimeSeconds, $0.load) = (.off, nil, nil) }
                content.machines[name] = nil
            }
        case .create(let draft, _):
            let (first, disk) = draft.result
            var settings = first
            if let disk { settings.run.disks.insert(disk.fileName, at: 0) }
            var row = MachineRow(name: draft.name)
            row.apply(settings)
            content.rows.append(row)
        case .clone(let name, let new):
            guard !content.rows.contains(where: { $0.name == new }) else { return .failed(request, "There is already a machine '\(new)'.") }
            guard var row = content.rows.first(where: { $0.name == name }) else { return .failed(request, "There is no machine '\(name)'.") }
            row.name = new
            content.rows.append(row)
        case .rename(let name, let new):
            guard !content.rows.contains(where: { $0.name == new }) else { return .failed(request, "There is already a machine '\(new)'.") }
            change(name) { $0.name = new }
        case .delete(let names): content.rows.removeAll { names.contains($0.name) }
        case .apply(let name, let settings, _): change(name) { $0.apply(settings) }
        case .group(let names, let group):
            for name in names {
                change(name) {
                    guard var settings = $0.settings else { return }
                    settings.group = group
                    $0.apply(settings)
                }
            }
        case .log(let name, let run): return .log(name, run: run, runs: 2, lines: CannedLibrary.log, isMore: false)
        case .saveState(let name):
            content.machines[name]?.post(.saveState)
            change(name) { ($0.state, $0.uptimeSeconds, $0.load) = (.saved, nil, nil) }
            content.machines[name] = nil
        case .discardState(let names): for name in names { change(name) { $0.state = .off } }
        case .snapshots(let name):
            guard let name else { break }
            return .snapshots(name, content.snapshots[name] ?? SnapshotList())
        case .snapshotScreen(let name, let id):
            return .snapshotScreen(name, id: id, id == "a" ? ["", ""] : ["Debian GNU/Linux 4.0 \(name) tty1", "", "\(name) login: root", "\(name):~#"])
        case .takeSnapshot, .restoreSnapshot, .deleteSnapshot, .linkedClone, .undoSnapshot, .commitSnapshots, .exportSnapshot, .importSnapshot:
            return answerSnapshot(request, &content)
        case .diffSnapshots(let name, let from, let to):
            content.events.append(.difference(name, ["'\(from)' -> '\(to ?? "present")'", "", "Settings (1)", "  Memory: 1 GiB -> 2 GiB"]))
        case .trace, .cancel, .stopSnapshot: break
        }
        return .done(request)
    }

    private func answerSnapshot(_ request: LibraryRequest, _ content: inout Content) -> LibraryEvent {
        switch request {
        case .takeSnapshot(let name, let snapshot, let description):
            var list = content.snapshots[name] ?? SnapshotList()
            guard !list.rows.contains(where: { $0.name == snapshot }) else { return .failed(request, "There is already a snapshot '\(snapshot)'.") }
            list.rows.append(
                SnapshotRow(id: "new \(list.rows.count)", name: snapshot, description: description, parent: list.current, taken: "2026-11-26 10:05"))
            (list.current, list.changedBytes) = (list.rows.last?.id, 0)
            content.snapshots[name] = list
            content.events.append(.snapshots(name, list))
        case .restoreSnapshot(let name, let snapshot, let kept):
            var list = content.snapshots[name] ?? SnapshotList()
            guard let row = list.rows.first(where: { $0.name == snapshot }) else { return .failed(request, "There is no snapshot '\(snapshot)'.") }
            if let kept { list.rows.append(SnapshotRow(id: kept, name: kept, parent: list.current, taken: "2026-11-26 10:06")) }
            (list.undoable, list.undoBytes) = kept == nil ? ("restore of '\(snapshot)'", list.changedBytes) : (nil, 0)
            (list.current, list.changedBytes) = (row.id, 0)
            content.snapshots[name] = list
            content.events.append(.snapshots(name, list))
        case .deleteSnapshot(let name, let snapshot, let canUndo):
            var list = content.snapshots[name] ?? SnapshotList()
            guard let row = list.rows.first(where: { $0.name == snapshot }) else { return .failed(request, "There is no snapshot '\(snapshot)'.") }
            list.rows.removeAll { $0.id == row.id }
            for i in list.rows.indices where list.rows[i].parent == row.id { list.rows[i].parent = row.parent }
            if list.current == row.id { list.current = row.parent }
            list.undoable = canUndo ? "deletion of '\(snapshot)'" : nil
            content.snapshots[name] = list
            content.events.append(.snapshots(name, list))
        case .undoSnapshot(let name), .commitSnapshots(let name):
            content.snapshots[name]?.undoable = nil
            if let list = content.snapshots[name] { content.events.append(.snapshots(name, list)) }
        case .linkedClone(let name, _, let new):
            guard var row = content.rows.first(where: { $0.name == name }) else { return .failed(request, "There is no machine '\(name)'.") }
            row.name = new
            content.rows.append(row)
        default: break
        }
        return .done(request)
    }

    public static let log: [String] = (0..<60).map { i in
        let level: LogLevel = i % 17 == 0 ? .error : i % 5 == 0 ? .warn : .info
        return LogLine(
            level, ["VM", "FDC", "IDE", "Guest Log"][i % 4], "Line \(i) of the sample", guestTime: UInt64(i) * 1_500_000_000,
            hostMicroseconds: 1_764_140_222_000_000 + Int64(i) * 1_500_000
        ).formatted
    }
}
