import ArgumentParser
import Machine

/// `vitrine rename NAME NEW`.
struct Rename: Verb {
    static let configuration = CommandConfiguration(abstract: "Give a machine another name.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "What it is called from now on.") var new: String
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.store.rename(name, to: new)
        let folder = host.store.folder(of: new)
        try host.say(DoneReport(name: new, folder: folder, sentence: "The machine '\(name)' is called '\(new)' now."), output)
        return 0
    }
}
