import DataFiles
import Foundation

/// Everything that is not the same in two states of a machine.
public struct SnapshotDifference: Encodable, Sendable {
    public struct Setting: Encodable, Equatable, Sendable {
        public var name: String
        public var before: String
        public var after: String
    }

    public var machine: String
    /// Names of the snapshots; nil: the present state.
    public var before: String?
    public var after: String?
    public var settings: [Setting] = []
    public var registers: [FieldDifference] = []
    public var devices: [FieldDifference] = []
    /// nil: one of them, or both, has no memory.
    public var memory: MemoryDifference?
    public var disks: [DiskDifference] = []
    /// Sentences.
    public var notes: [String] = []

    public var isEmpty: Bool {
        settings.isEmpty && registers.isEmpty && devices.isEmpty && (memory?.pagesDiffering ?? 0) == 0 && disks.allSatisfy(\.isEmpty) && notes.isEmpty
    }

    init(machine: String, before: String?, after: String?) { (self.machine, self.before, self.after) = (machine, before, after) }
}

/// One of the two states: where everything of it is.
struct ComparedState {
    var settings: MachineSettings
    /// From the machine's folder, or absolute.
    var disks: [String]
    /// A state file; nil: the machine was off.
    var memory: String?
    /// What is on the floppy.
    var floppy: [UInt8]?
    /// A machine that stands has its disks open: their locks are no obstacle.
    var isHeld = false
}

extension MachineStore {
    /// Compares two snapshots, or one with what the machine is now.
    /// - Parameters:
    ///   - after: nil: the present state. A machine that runs stands still while its disks are compared.
    ///   - pages: of how many pages of memory the bytes are wanted.
    /// - Throws: `.wrongPlace` when there is no such snapshot, `.badInput` for damaged ones, `.failed`.
    public func difference(
        _ name: String, from before: String, to after: String?, pages: Int = 0, progress: DiskCopy.Progress = { _, _ in true }
    ) throws(MachineError) -> SnapshotDifference {
        let folder = try existing(name)
        // No snapshot goes while it is looked at; the machine's own process takes and deletes them under the same lock.
        let lock = try MachineLock.take(.settings, of: folder, name: name, shared: true)
        defer { withExtendedLifetime(lock) {} }
        let tree = try SnapshotTree.read(folder), first = try tree.find(before, of: name)
        let second = try after.map { (after) throws(MachineError) in try tree.find(after, of: name) }
        var result = SnapshotDifference(machine: name, before: first.name, after: second?.name)
        let old = try compared(first, folder)
        if let second {
            try result.compare(old, try compared(second, folder), folder, pages, progress)
            return result
        }
        if let running = try MachineLock.attempt(.run, of: folder, name: name, shared: true) {
            defer { withExtendedLifetime(running) {} }
            let settings = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
            let memory = SavedState.exists(in: folder) ? folder + "/" + SavedState.fileName : nil
            let floppy = try? SnapshotFloppy.contents(settings, in: folder)
            let now = ComparedState(settings: settings, disks: settings.run.disks, memory: memory, floppy: floppy)
            try result.compare(old, now, folder, pages, progress)
            return result
        }
        let held = try HeldMachine(name, folder)
        let settings = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
        try result.compare(
            old, ComparedState(settings: settings, disks: settings.run.disks, memory: held.path, isHeld: true), folder, pages, progress)
        withExtendedLifetime(held) {}
        return result
    }

    private func compared(_ node: SnapshotTree.Node, _ folder: String) throws(MachineError) -> ComparedState {
        guard node.isComplete else { throw MachineError(.wrongPlace, "The snapshot '\(node.name)' is not whole yet.") }
        let details = try SnapshotTree.details(of: node.id, folder)
        return ComparedState(
            settings: try MachineFileText.parse(details.settings, folder).settings, disks: node.disks,
            memory: node.hasMemory ? folder + "/" + SnapshotTree.memoryPath(node.id) : nil,
            floppy: try node.floppy.flatMap { path throws(MachineError) in try SnapshotFloppy.contents(path, in: folder) })
    }
}

/// A machine that stands still, with its state in a file, until this goes.
private final class HeldMachine {
    let path: String
    /// The machine goes on when the connection ends, whatever ends it.
    private let client: ControlClient

    init(_ name: String, _ folder: String) throws(MachineError) {
        client = try ControlClient(path: RunRecord.read(folder)?.socket ?? "", name: name)
        let logs = folder + "/" + MachineLog.folderName
        path = logs + "/present-\(getpid()).state"
        // Of those who were killed while they compared.
        for name in FolderWork.names(logs) where name.hasPrefix("present-") && name.contains(".state") {
            guard let pid = Int32(name.dropFirst(8).prefix { $0 != "." }), kill(pid, 0) != 0, errno == ESRCH else { continue }
            unlink(logs + "/" + name)
        }
        try client.ask("x-vitrine-hold", ["file": .string(path)], within: nil)
    }

    deinit {
        unlink(path)
        _ = try? client.ask("x-vitrine-release")
    }
}

extension SnapshotDifference {
    fileprivate mutating func compare(
        _ old: ComparedState, _ new: ComparedState, _ folder: String, _ pages: Int, _ progress: DiskCopy.Progress
    ) throws(MachineError) {
        let a = old.settings
        var b = new.settings
        // The images of a snapshot have other names than those of the next one.
        if let one = old.floppy, let other = new.floppy, one != other {
            let sectors = stride(from: 0, to: max(one.count, other.count), by: 512).count { one.dropFirst($0).prefix(512) != other.dropFirst($0).prefix(512) }
            notes.append("What is on the floppy differs in \(sectors) sector\(sectors == 1 ? "" : "s").")
        }
        if a.run.disks.count == b.run.disks.count { b.run.disks = a.run.disks }
        settings = SettingChange.all(from: a, to: b).map {
            Setting(name: $0.field.title, before: $0.field.shown(text: $0.before), after: $0.field.shown(text: $0.after))
        }
        try compareMemory(old, new, pages, progress)
        for index in 0..<max(old.disks.count, new.disks.count) {
            let (x, y) = (old.disks.indices.contains(index) ? old.disks[index] : nil, new.disks.indices.contains(index) ? new.disks[index] : nil)
            var disk = DiskDifference(number: index + 1, before: x, after: y)
            if let x, let y {
                if x == y, !new.isHeld || b.run.access(ofDisk: index) != .writable, a.run.access(ofDisk: index) != .writable { continue }
                let (one, other) = (try SnapshotDifference.open(x, folder, held: false), try SnapshotDifference.open(y, folder, held: new.isHeld))
                try disk.compare(one, other, progress: progress)
            } else {
                disk.notes.append(x == nil ? "it was not there" : "it is not there any more")
            }
            disks.append(disk)
        }
    }

    private static func open(_ path: String, _ folder: String, held: Bool) throws(MachineError) -> any ImageLayer {
        do {
            return try DiskChain.reading(path.hasPrefix("/") ? path : folder + "/" + path, held: held)
        } catch {
            throw .badInput(error.description)
        }
    }

    private mutating func compareMemory(
        _ old: ComparedState, _ new: ComparedState, _ pages: Int, _ progress: DiskCopy.Progress
    ) throws(MachineError) {
        guard let before = old.memory, let after = new.memory else {
            if old.memory != nil || new.memory != nil { notes.append("Only \(old.memory != nil ? "the first" : "the second") has memory and devices.") }
            return
        }
        let (a, b) = (try SnapshotDifference.board(before), try SnapshotDifference.board(after))
        registers = FieldDifference.all(a["processors"] ?? .null, b["processors"] ?? .null, "cpu")
        devices = FieldDifference.all(a["chips"] ?? .null, b["chips"] ?? .null) + FieldDifference.all(a["wiring"] ?? .null, b["wiring"] ?? .null, "board")
        if registers.count >= FieldDifference.most || devices.count >= FieldDifference.most { notes.append("More fields differ than are listed.") }
        memory = try MemoryDifference.compare(before, after, wanted: pages, progress: progress)
        if memory?.ranges.count == MemoryDifference.mostRanges { notes.append("More pages differ than are listed.") }
    }

    private static func board(_ path: String) throws(MachineError) -> StateValue {
        let reader = try StateReader(path)
        while let (kind, bytes) = try reader.next() { if kind == "BORD" { return try reader.parsed(kind, bytes) } }
        throw reader.damaged("it has no board")
    }
}
