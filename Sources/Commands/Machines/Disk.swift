import ArgumentParser
import Machine

/// `vitrine disk`: image files without a machine.
struct Disk: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Make and look at disk images.", subcommands: Vitrine.diskVerbs)
}

/// `vitrine disk create FILE --size SIZE`.
struct DiskCreate: Verb {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Make an empty disk image.")

    @Argument(help: "The file; it must not be there yet.") var file: String
    @Option(help: ArgumentHelp("For example 512M, 8G, 1T.", valueName: "size")) var size: String
    @Option(
        help: ArgumentHelp(
            "dynamic (VDI, grows as it is written), fixed (VDI, all room taken at once) or raw; when not given: raw for names in .img and .raw.",
            valueName: "format"))
    var format: NewDisk.Format?
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let bytes = try ByteSize.parse(size, what: "--size", in: NewImage.sizes)
        let isRaw = [".img", ".raw", ".dd"].contains { file.lowercased().hasSuffix($0) }
        try NewImage.make(file, bytes: bytes, format: format ?? (isRaw ? .raw : .dynamic))
        try host.say(DiskReport(try ImageFacts(path: file)), output)
        return 0
    }
}

/// `vitrine disk info FILE`.
struct DiskInfo: Verb {
    static let configuration = CommandConfiguration(commandName: "info", abstract: "Say what a disk image is.")

    @Argument(help: "The image.") var file: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.say(DiskReport(try ImageFacts(path: file)), output)
        return 0
    }
}

private struct DiskReport: Report {
    var path, format: String
    var bytes, fileBytes, hostBytes: UInt64
    var blocks, allocatedBlocks: UInt64?

    init(_ facts: ImageFacts) {
        (path, format) = (facts.path, facts.format)
        (bytes, fileBytes, hostBytes) = (facts.bytes, facts.fileBytes, facts.hostBytes)
        (blocks, allocatedBlocks) = (facts.blocks, facts.allocatedBlocks)
    }

    var text: String {
        var rows = [
            ["File", path], ["Format", format], ["Disk", "\(ByteSize.text(bytes)) (\(bytes) bytes)"],
            ["On the host", ByteSize.text(hostBytes)],
        ]
        if let blocks, let allocatedBlocks { rows.append(["Blocks", "\(allocatedBlocks) of \(blocks) in use"]) }
        return TextTable.text(rows)
    }
}
