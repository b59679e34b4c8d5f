import ArgumentParser
import Machine

/// `vitrine snapshot diff NAME A [B]`
struct SnapshotDiff: Verb {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Show what differs between two snapshots, or one and the present state.",
        discussion: """
            Settings, registers and devices by field, pages of memory, sectors of disks, and the files in FAT, ext2, ext3 and ext4 file systems. \
            A machine that runs stands still while its present state is compared.
            """)

    @Argument(help: "The machine.") var name: String
    @Argument(help: "The snapshot that comes first.") var before: String
    @Argument(help: "The other snapshot; when not given, the present state.") var after: String?
    @Flag(help: "The bytes of pages that differ, too; of the first hundred.") var pages = false
    @Flag(help: "All of everything; when not given, lists end after twenty lines.") var all = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try DiskWork.run(in: host) { progress throws(MachineError) in
            let difference = try host.store.difference(name, from: before, to: after, pages: pages ? 100 : 0, progress: progress)
            try host.say(DifferenceReport(difference: difference, limit: all ? .max : DifferenceText.usualLimit), output)
            return 0
        }
    }
}

struct DifferenceReport: Report {
    var difference: SnapshotDifference
    var limit: Int

    func encode(to encoder: any Encoder) throws { try difference.encode(to: encoder) }
    var text: String { DifferenceText.lines(difference, limit: limit).joined(separator: "\n") }
}
