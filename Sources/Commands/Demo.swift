import ArgumentParser
import Foundation
import Machine

/// `vitrine demo [NAME]`: real guests that packages of the host bring.
struct Demo: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Show a real guest.",
        discussion: """
            Without a name: a list to choose from. Nothing that the guest writes is kept. 'debian' is the usual one of the Debian disks, \
            which are made from Debian's packages when they are started for the first time.
            """)

    @Argument(help: "The guest to start; see --list.") var name: String?
    @Flag(help: "List the guests, and what is missing.") var list = false
    @Option(help: ArgumentHelp("The archive to make a Debian disk from, in place of Debian's own servers.", valueName: "uri"))
    var mirror: String?
    @OptionGroup(title: "Machine") var machine: MachineOptions
    @OptionGroup(title: "Ports") var ports: PortOptions
    @OptionGroup(title: "The run") var control: ControlOptions
    @OptionGroup(title: "Screen") var screen: ScreenOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        let catalog = GuestCatalog(environment: host.environment)
        let guests = catalog.guests
        if list {
            for guest in guests { host.standardOutput(line(guest)) }
            return 0
        }
        guard let name else {
            guard let chosen = try DemoChooser(guests: guests, host: host).choose() else { return 0 }
            return try start(chosen, catalog, host)
        }
        guard let guest = catalog.guest(name) else {
            throw .usage("There is no guest '\(name)'; there are \(guests.map(\.name).joined(separator: ", ")).")
        }
        return try start(guest, catalog, host)
    }

    private func line(_ guest: DemoGuest) -> String {
        let name = guest.name.padding(toLength: 12, withPad: " ", startingAt: 0)
        return "\(name) \(guest.title)\(guest.isReady ? "" : " (\(guest.needs))")\n"
    }

    @MainActor
    private func start(_ guest: DemoGuest, _ catalog: GuestCatalog, _ host: Host) throws(MachineError) -> Int32 {
        var settings = RunSettings()
        machine.apply(to: &settings)
        ports.apply(to: &settings)
        control.apply(to: &settings)
        if let build = catalog.build(for: guest, mirror: mirror), guest.isReady, let signal = try GuestBuilder(host: host).run(build) {
            return 128 + signal
        }
        settings = try catalog.prepared(guest).apply(to: settings, memoryWasGiven: machine.memory != nil, modelWasGiven: machine.cpuModel != nil)
        return try runMachine(settings, screen: screen.settings, in: host)
    }
}
