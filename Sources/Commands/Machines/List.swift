import ArgumentParser
import Machine

/// `vitrine list`: all stored machines.
struct List: Verb {
    static let configuration = CommandConfiguration(abstract: "List the machines.")

    @Option(
        help: ArgumentHelp("Only those in this state: \(StoredState.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "state")
    )
    var state: StoredState?
    @Flag(help: "Only those that a process has: starting, running, paused, stuck.") var running = false
    @Option(help: ArgumentHelp("Only those of this group, or of groups in it.", valueName: "group")) var group: String?
    @Option(help: ArgumentHelp("Only those with this tag.", valueName: "tag")) var tag: String?
    @Flag(help: "Names only.") var quiet = false
    @Flag(help: "Names only, in quotation marks.") var quoted = false
    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let machines = try host.store.list().map { MachineReport($0, whole: false) }.filter(matches)
        guard !quiet && !quoted || output.json else {
            for machine in machines { host.standardOutput((quoted ? "\"\(machine.name)\"" : machine.name) + "\n") }
            return 0
        }
        try host.say(MachineList(machines: machines), output)
        return 0
    }

    private func matches(_ machine: MachineReport) -> Bool {
        if running, !machine.state.isLive { return false }
        if let state, machine.state != state { return false }
        if let group, machine.group != group, machine.group?.hasPrefix(group + "/") != true { return false }
        if let tag, machine.tags?.contains(tag) != true { return false }
        return true
    }
}

extension StoredState: ExpressibleByArgument {}
