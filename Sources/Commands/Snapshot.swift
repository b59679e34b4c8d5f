import ArgumentParser
import Foundation
import Machine

/// `vitrine snapshot …`: the tree of a machine's earlier states.
struct Snapshot: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take, list, restore and delete snapshots of a machine.",
        discussion: "A snapshot has the settings, the disks and, of a running machine, memory and devices. It may be taken at any time.",
        subcommands: Vitrine.snapshotVerbs)
}

/// `vitrine snapshot take NAME SNAP`
struct SnapshotTake: Verb {
    static let configuration = CommandConfiguration(
        commandName: "take", abstract: "Take a snapshot of a machine, whatever it is doing.",
        discussion: "A running machine goes on at once; its memory is written in the background. Ctrl-C cancels.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "What the snapshot is called.") var snapshot: String
    @Option(help: ArgumentHelp("What it is for.", valueName: "text")) var description = ""
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let entry = try host.store.entry(name)
        guard entry.state.isLive else {
            try host.store.takeSnapshot(name, snapshot, description: description)
            try host.say(SnapshotDone(name: snapshot, pauseMs: nil, seconds: nil, bytes: nil, sentence: "The snapshot '\(snapshot)' is taken."), output)
            return 0
        }
        let result = try host.client(name).ask(
            "x-vitrine-snapshot-take", ["name": .string(snapshot), "description": .string(description)], within: nil)
        let pause = result["pause-ms"]?.double ?? 0, seconds = result["seconds"]?.double ?? 0, bytes = UInt64(max(0, result["bytes"]?.integer ?? 0))
        try host.say(
            SnapshotDone(
                name: snapshot, pauseMs: pause, seconds: seconds, bytes: bytes,
                sentence: String(format: "The snapshot '%@' is taken: %@ of memory in %.1f s; the guest stood still for %.0f ms.", snapshot as NSString,
                    ByteSize.text(bytes) as NSString, seconds, pause)), output)
        return 0
    }
}

struct SnapshotDone: Report {
    var name: String
    var pauseMs: Double?
    var seconds: Double?
    var bytes: UInt64?
    var sentence: String
    var text: String { sentence }
    private enum CodingKeys: String, CodingKey { case name, pauseMs, seconds, bytes }
}

/// `vitrine snapshot list NAME`
struct SnapshotList: Verb {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Show the tree of a machine's snapshots.")

    @Argument(help: "The machine.") var name: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.say(SnapshotTreeReport(try host.store.snapshots(name)), output)
        return 0
    }
}

struct SnapshotTreeReport: Report {
    struct Item: Encodable {
        var id, name, description, state: String
        var parent: String?
        var taken: Date
        var hasMemory, isCurrent: Bool
        var bytes: UInt64
        /// Levels above it.
        var depth: Int
    }
    var items: [Item] = []

    init(_ tree: SnapshotTree) {
        let tree = tree.visible
        var byParent: [String?: [SnapshotTree.Node]] = [:]
        for node in tree.nodes where node.isComplete { byParent[node.parent, default: []].append(node) }
        var waiting = (byParent[nil] ?? []).reversed().map { ($0, 0) }
        while let (node, depth) = waiting.popLast() {
            items.append(
                Item(
                    id: node.id, name: node.name, description: node.description, state: node.state, parent: node.parent,
                    taken: Date(timeIntervalSince1970: node.taken), hasMemory: node.hasMemory, isCurrent: tree.current == node.id, bytes: node.bytes,
                    depth: depth))
            waiting += (byParent[node.id] ?? []).reversed().map { ($0, depth + 1) }
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(items)
    }

    var text: String {
        guard !items.isEmpty else { return "" }
        let formatter = ISO8601DateFormatter()
        let rows = items.map { item in
            [
                String(repeating: "  ", count: item.depth) + item.name + (item.isCurrent ? " *" : ""), item.state, formatter.string(from: item.taken),
                item.hasMemory ? ByteSize.text(item.bytes) : "-", item.description.split(whereSeparator: \.isNewline).first.map(String.init) ?? "",
            ]
        }
        return TextTable.text([["NAME", "TAKEN", "AT", "MEMORY", "DESCRIPTION"]] + rows)
    }
}

/// `vitrine snapshot show NAME SNAP`
struct SnapshotShow: Verb {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show what a snapshot has.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The snapshot.") var snapshot: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let node = try host.store.snapshots(name).find(snapshot, of: name)
        let details = try host.store.snapshotDetails(name, node.id)
        try host.say(SnapshotReport(node: node, settings: details.settings, screen: details.screen), output)
        return 0
    }
}

struct SnapshotReport: Report {
    var node: SnapshotTree.Node
    var settings: String
    var screen: [String]

    var text: String {
        var lines = ["Name         \(node.name)", "Taken        \(ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: node.taken)))"]
        lines.append("Machine was  \(node.state)")
        if !node.description.isEmpty { lines.append("Description  \(node.description)") }
        if node.hasMemory { lines.append("Memory       \(ByteSize.text(node.bytes))") }
        for (index, disk) in node.disks.enumerated() { lines.append("Disk \(index + 1)       \(disk)") }
        lines += ["", settings.trimmingCharacters(in: .newlines)]
        var rows = screen
        while rows.last?.isEmpty == true { rows.removeLast() }
        if !rows.isEmpty { lines += ["", "Screen:"] + rows.map { "  " + $0 } }
        return lines.joined(separator: "\n")
    }
}

/// `vitrine snapshot restore NAME SNAP`
struct SnapshotRestore: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Bring a machine back to a snapshot.",
        discussion: """
            --keep takes a snapshot of the present state in the same step. Without it, 'snapshot undo' brings the present state back until it is \
            committed: by 'snapshot commit', or by the next restore or deletion. A machine that runs is switched off and started again from the \
            snapshot, in the background.
            """)

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The snapshot.") var snapshot: String
    @Option(help: ArgumentHelp("Take a snapshot of the present state first.", valueName: "name")) var keep: String?

    func run(in host: Host) throws(MachineError) -> Int32 {
        let store = host.store
        _ = try store.snapshots(name).find(snapshot, of: name)
        try LiveSnapshots.whileOff(name, in: host) { () throws(MachineError) in
            try store.restoreSnapshot(name, snapshot, keepingAs: keep)
        }
        return 0
    }
}

/// Work for which a machine that runs has to be off.
enum LiveSnapshots {
    /// - Parameter keeps: the present state matters.
    static func whileOff(_ name: String, keeps: Bool = true, in host: Host, _ body: () throws(MachineError) -> Void) throws(MachineError) {
        let isLive = try host.store.entry(name).state.isLive
        try DetachedStart.whileOff(
            name, client: isLive ? try host.client(name) : nil, keeps: keeps, body,
            start: { () throws(MachineError) in try DetachedStart.start(name, environment: host.environment) })
    }
}

/// `vitrine snapshot delete NAME SNAP`
struct SnapshotDelete: Verb {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete a snapshot.",
        discussion: """
            What stands on its disks is merged with them; nothing changes for the other snapshots and the machine. Ctrl-C cancels. A machine that \
            runs goes on meanwhile. With --undoable it is only hidden: 'snapshot undo' brings it back, 'snapshot commit' merges.
            """)

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The snapshot.") var snapshot: String
    @Flag(name: .customLong("undoable"), help: "It can be undone until it is committed; no room is free before.") var canUndo = false

    func run(in host: Host) throws(MachineError) -> Int32 {
        if canUndo {
            try host.store.deleteSnapshot(name, snapshot, canUndo: true) { _, _ in true }
            return 0
        }
        if try host.store.entry(name).state.isLive {
            try host.client(name).ask("x-vitrine-snapshot-delete", ["name": .string(snapshot)], within: nil)
            return 0
        }
        let signals = host.handlesSignals ? HeldSignals() : nil
        defer { signals?.release() }
        let line = CopyLine(isTerminal: host.handlesSignals && isatty(STDERR_FILENO) == 1)
        defer { line.end() }
        var signal: Int32?
        do throws(MachineError) {
            try host.store.deleteSnapshot(name, snapshot) { done, total in
                line.update(done, total)
                signal = signal ?? signals?.pending()
                return signal == nil
            }
            return 0
        } catch {
            guard let signal else { throw error }
            line.end()
            host.standardError("Cancelled; the snapshot is still there.")
            return 128 + signal
        }
    }
}
