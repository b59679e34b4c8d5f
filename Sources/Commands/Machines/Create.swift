import ArgumentParser
import Machine

/// `vitrine create NAME`: makes a stored machine.
struct Create: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Make a machine.",
        discussion:
            "It has the defaults of its OS type (see 'vitrine os-types'), then what the options say; --no-OPTION takes a default away.")

    @Argument(help: "What it is called: letters, digits, blanks and - _ .") var name: String
    @Option(help: ArgumentHelp("Make a disk of this size, for example 8G, in the machine's folder.", valueName: "size")) var diskSize:
        String?
    @Option(
        help: ArgumentHelp(
            "Of the new disk: dynamic (VDI, grows as it is written), fixed (VDI, all room taken at once), raw, qcow2, vmdk, vhd, ... as for 'disk "
                + "create'.", valueName: "format"))
    var diskFormat: NewDisk.Format?
    @OptionGroup(title: "Settings") var fields: FieldOptions
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        var settings = MachineSettings()
        if let given = fields.given["general.os-type"] {
            // Through the field, for its sentence on unknown types.
            try SettingField.named("general.os-type")?.set(given, in: &settings)
            settings = OSType.named(given)?.settings ?? settings
        }
        try fields.apply(to: &settings, in: host)
        guard diskSize != nil || diskFormat == nil else { throw .usage("--disk-format needs --disk-size.") }
        let disk = try diskSize.map { size throws(MachineError) in
            NewDisk(bytes: try ByteSize.parse(size, what: "--disk-size", in: MachineDraft.diskBytes), format: diskFormat ?? .dynamic)
        }
        let entry = try host.store.create(name, settings, disk: disk)
        if output.json {
            try host.say(MachineReport(entry, whole: true), output)
        } else {
            try host.say(DoneReport(name: name, folder: entry.folder, sentence: "The machine '\(name)' is in '\(entry.folder)'."), output)
        }
        return 0
    }
}

extension NewDisk.Format: ExpressibleByArgument {}
