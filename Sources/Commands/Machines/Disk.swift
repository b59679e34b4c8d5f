import ArgumentParser
import Foundation
import Machine

/// `vitrine disk`: image files without a machine.
struct Disk: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make, look at and change disk images.",
        discussion: "The images may not be in use. Ctrl-C stops what takes long and leaves nothing half-written.",
        subcommands: Vitrine.diskVerbs)
}

/// What takes long: progress on standard error, and an end when somebody says so.
@MainActor
struct DiskWork {
    /// - Returns: the exit status: 0, or that of the signal.
    static func run(
        in host: Host, _ body: (@escaping DiskCopy.Progress) throws(MachineError) -> Int32
    ) throws(MachineError) -> Int32 {
        let signals = host.handlesSignals ? HeldSignals() : nil
        defer { signals?.release() }
        let line = CopyLine(isTerminal: host.handlesSignals && isatty(STDERR_FILENO) == 1)
        defer { line.end() }
        var signal: Int32?
        do throws(MachineError) {
            return try body { done, total in
                line.update(done, total)
                signal = signal ?? signals?.pending()
                return signal == nil
            }
        } catch {
            guard let signal else { throw error }
            line.end()
            host.standardError(error.description)
            return 128 + signal
        }
    }
}

/// `vitrine disk create FILE --size SIZE`.
struct DiskCreate: Verb {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Make an empty disk image, or one that stands on another.")

    @Argument(help: "The file; it must not be there yet.") var file: String
    @Option(help: ArgumentHelp("For example 512M, 8G, 1T.", valueName: "size")) var size: String?
    @Option(
        help: ArgumentHelp(
            "dynamic (VDI, grows as it is written), fixed (VDI, all room taken at once), raw, qcow2, qcow2-v2, vmdk, vmdk-flat, vmdk-split, vhd or "
                + "vhd-fixed; when not given, what the file's name says, and dynamic.",
            valueName: "format"))
    var format: NewDisk.Format?
    @Option(
        help: ArgumentHelp(
            "The image that the new one stands on: it shows that until it is written. The other one must not change any more.",
            valueName: "file", visibility: .default))
    var parent: String?
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        if let parent {
            guard size == nil else { throw .usage("--size and --parent exclude each other: the disk is as large as the parent.") }
            try NewImage.differencing(path: file, parent: parent, format: format?.imageFormat ?? NewDisk.Format(fileName: file)?.imageFormat)
        } else {
            guard let size else { throw .usage("--size is missing, for example --size 8G.") }
            let bytes = try ByteSize.parse(size, what: "--size", in: NewImage.sizes)
            try NewImage.make(file, bytes: bytes, format: format ?? NewDisk.Format(fileName: file) ?? .dynamic)
        }
        try host.say(DiskReport(try ImageFacts(path: file)), output)
        return 0
    }
}

/// `vitrine disk info FILE`.
struct DiskInfo: Verb {
    static let configuration = CommandConfiguration(commandName: "info", abstract: "Say what a disk image is, and what it stands on.")

    @Argument(help: "The image.") var file: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.say(DiskReport(try ImageFacts(path: file)), output)
        return 0
    }
}

/// `vitrine disk convert SOURCE TARGET`.
struct DiskConvert: Verb {
    static let configuration = CommandConfiguration(commandName: "convert", abstract: "Make an image of another format that shows the same.")

    @Argument(help: "The image; with what it stands on.") var source: String
    @Argument(help: "The new file; it must not be there yet.") var target: String
    @Option(help: ArgumentHelp("As for 'disk create'.", valueName: "format")) var format: NewDisk.Format?
    @Option(help: ArgumentHelp("The disk as it was at a snapshot inside a qcow2 image, by name or id.", valueName: "snap")) var snapshot: String?
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try DiskWork.run(in: host) { progress throws(MachineError) in
            try DiskCopy.convert(
                source, to: target, format: format ?? NewDisk.Format(fileName: target) ?? .dynamic, snapshot: snapshot, progress: progress)
            try host.say(DiskReport(try ImageFacts(path: target)), output)
            return 0
        }
    }
}

/// `vitrine disk resize FILE SIZE`.
struct DiskResizeVerb: Verb {
    static let configuration = CommandConfiguration(commandName: "resize", abstract: "Make a disk larger, or smaller with --shrink.")

    @Argument(help: "The image.") var file: String
    @Argument(help: "Of the disk then, for example 20G.") var size: String
    @Flag(help: "The disk may get smaller; what lies behind the new end is lost.") var shrink = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let bytes = try ByteSize.parse(size, what: "The size", in: NewImage.sizes)
        let old = try ImageFacts(path: file).bytes
        if shrink, bytes < old {
            host.standardError("vitrine: what lies behind \(ByteSize.text(bytes)) of '\(file)' is lost; partitions there have to be moved before.")
        }
        return try DiskWork.run(in: host) { progress throws(MachineError) in
            try DiskResize.run(file, bytes: bytes, shrink: shrink, progress: progress)
            try host.say(DiskReport(try ImageFacts(path: file)), output)
            return 0
        }
    }
}

/// `vitrine disk compact FILE`.
struct DiskCompact: Verb {
    static let configuration = CommandConfiguration(
        commandName: "compact", abstract: "Take no more room than the data needs.",
        discussion: "Blocks that hold only zeros are given back. The host needs room for the smaller file beside the old one.")

    @Argument(help: "The image.") var file: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try DiskWork.run(in: host) { progress throws(MachineError) in
            let (before, after) = try DiskCopy.compact(file, progress: progress)
            try host.say(CompactReport(path: file, hostBytesBefore: before, hostBytes: after), output)
            return 0
        }
    }

    private struct CompactReport: Report {
        var path: String
        var hostBytesBefore, hostBytes: UInt64
        var text: String { "'\(path)' takes \(ByteSize.text(hostBytes)) now, \(ByteSize.text(hostBytesBefore)) before." }
    }
}

/// `vitrine disk check FILE`.
struct DiskCheckVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Look for what is wrong in an image's tables.",
        discussion: "Ends with 1 when something is wrong, or was and could not be repaired.")

    @Argument(help: "The image.") var file: String
    @Flag(help: "Make right what can be.") var repair = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        var check = try DiskCheck.run(file, repair: repair)
        if repair, !check.isSound {
            // What is still wrong.
            let after = try DiskCheck.run(file)
            check.errors = after.isSound ? check.errors : after.errors
            try host.say(CheckReport(check: check, remaining: after.errorCount), output)
            return after.isSound ? 0 : 1
        }
        try host.say(CheckReport(check: check, remaining: check.errorCount), output)
        return check.isSound ? 0 : 1
    }

    private struct CheckReport: Report {
        var check: DiskCheck
        var remaining: Int

        func encode(to encoder: any Encoder) throws { try check.encode(to: encoder) }

        var text: String {
            var lines = check.errors.map { "'\(check.path)': \($0)." }
            if check.errorCount > check.errors.count { lines.append("... and \(check.errorCount - check.errors.count) more.") }
            if check.repaired > 0 { lines.append("Repaired \(check.repaired) of them.") }
            if check.leakedBytes > 0 { lines.append("\(ByteSize.text(check.leakedBytes)) of the file are used by nothing; 'disk compact' gives them back.") }
            if remaining > 0 {
                lines.append("\(remaining) faults are left.")
            } else if check.format == "raw" {
                lines.append("'\(check.path)' is a raw image: there is nothing that could be wrong.")
            } else {
                lines.append("'\(check.path)' (\(check.format)) is sound\(check.errorCount > 0 ? " again" : "").")
            }
            return lines.joined(separator: "\n")
        }
    }
}

/// `vitrine disk compare FIRST SECOND`.
struct DiskCompare: Verb {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Say whether two images show the same.", discussion: "Ends with 1 when they do not.")

    @Argument(help: "An image.") var first: String
    @Argument(help: "Another one.") var second: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try DiskWork.run(in: host) { progress throws(MachineError) in
            let (byte, sizes) = try DiskCopy.firstDifference(first, second, progress: progress)
            try host.say(CompareReport(first: first, second: second, same: byte == nil, firstDifference: byte, bytes: [sizes.0, sizes.1]), output)
            return byte == nil ? 0 : 1
        }
    }

    private struct CompareReport: Report {
        var first, second: String
        var same: Bool
        var firstDifference: UInt64?
        var bytes: [UInt64]
        var text: String {
            if let firstDifference { return "'\(first)' and '\(second)' differ from byte \(firstDifference) on, sector \(firstDifference / 512)." }
            let sizes = bytes[0] == bytes[1] ? "" : "; one of them goes on with zeros"
            return "'\(first)' and '\(second)' show the same\(sizes)."
        }
    }
}

/// `vitrine disk map FILE`.
struct DiskMap: Verb {
    static let configuration = CommandConfiguration(
        commandName: "map", abstract: "Say which parts of a disk have data, and in which file of the chain they are.")

    @Argument(help: "The image.") var file: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        var entries: [DiskMapEntry] = []
        try DiskMapEntry.all(file) {
            entries.append($0)
            return entries.count < 1 << 20
        }
        try host.say(MapReport(entries: entries), output)
        return 0
    }

    private struct MapReport: Report {
        var entries: [DiskMapEntry]
        func encode(to encoder: any Encoder) throws { try entries.encode(to: encoder) }
        var text: String {
            TextTable.text(
                [["Start", "Length", "", "In the file", "File"]]
                    + entries.map { entry in
                        [
                            String(entry.start), String(entry.length), entry.data ? "data" : "zeros", entry.offset.map(String.init) ?? "-",
                            entry.data ? entry.file : "",
                        ]
                    })
        }
    }
}

/// `vitrine disk merge FILE`.
struct DiskMergeVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "merge", abstract: "Make one image of an image and the one that it stands on.",
        discussion: """
            Into the parent (the default): the parent shows what the image has shown, and the image's file goes. Into the child: the image no \
            longer needs its parent. Nothing else may stand on the parent.
            """)

    @Argument(help: "The image.") var file: String
    @Option(help: ArgumentHelp("parent or child.", valueName: "which")) var into = Into.parent
    @Option(help: ArgumentHelp("An image that stands on this one; repeatable.", valueName: "file")) var child: [String] = []

    enum Into: String, ExpressibleByArgument, CaseIterable { case parent, child }

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard into == .parent || child.isEmpty else { throw .usage("--child is for merging into the parent; what stands on this image stays right.") }
        return try DiskWork.run(in: host) { progress throws(MachineError) in
            try DiskMerge.run(file, into == .parent ? .intoParent : .intoChild, grandchildren: child, progress: progress)
            return 0
        }
    }
}

extension NewDisk.Format {
    /// By the extension of a file's name; nil: it says nothing.
    init?(fileName: String) {
        switch fileName.lowercased().split(separator: ".").last {
        case "img", "raw", "dd": self = .raw
        case "vdi": self = .dynamic
        case "qcow2": self = .qcow2
        case "vmdk": self = .vmdk
        case "vhd", "vpc": self = .vhd
        default: return nil
        }
    }
}

private struct DiskReport: Report {
    var path, format: String
    var bytes, fileBytes, hostBytes: UInt64
    var blockBytes, blocks, allocatedBlocks: UInt64?
    var snapshots: [QCOW2Snapshot]
    /// What it stands on, the nearest first.
    var below: [DiskReport]

    init(_ facts: ImageFacts) {
        (path, format) = (facts.path, facts.format)
        (bytes, fileBytes, hostBytes) = (facts.bytes, facts.fileBytes, facts.hostBytes)
        (blockBytes, blocks, allocatedBlocks) = (facts.blockBytes, facts.blocks, facts.allocatedBlocks)
        snapshots = facts.snapshots
        below = facts.below.map(DiskReport.init)
    }

    var text: String {
        var rows = [
            ["File", path], ["Format", format], ["Disk", "\(ByteSize.text(bytes)) (\(bytes) bytes)"],
            ["On the host", ByteSize.text(hostBytes)],
        ]
        if let blocks, let allocatedBlocks, let blockBytes {
            rows.append(["Blocks", "\(allocatedBlocks) of \(blocks) in use, \(ByteSize.text(blockBytes)) each"])
        }
        for snapshot in snapshots {
            let state = snapshot.stateBytes > 0 ? ", with a machine's state" : ""
            let date = ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: Double(snapshot.seconds)))
            rows.append(["Snapshot inside", "\(snapshot.name) (\(snapshot.id)), \(date)\(state)"])
        }
        for layer in below { rows.append(["Stands on", "\(layer.path) (\(layer.format), \(ByteSize.text(layer.hostBytes)) on the host)"]) }
        return TextTable.text(rows)
    }
}
