import ArgumentParser
import Foundation
import Machine

/// `vitrine stop NAME`: asks the guest to power off, then pulls the plug.
struct Stop: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Stop a running machine.",
        discussion: """
            Presses the ACPI power button and waits until the guest has powered off. When it has not after --timeout seconds, the power is cut; \
            with --hard it is cut at once, and unsaved guest data is lost.
            """)

    @Argument(help: "The machine.") var name: String
    @Flag(help: "Cut the power at once.") var hard = false
    @Option(help: ArgumentHelp("How long the guest may take, in seconds.", valueName: "seconds")) var timeout = 30.0

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard (0...1e6).contains(timeout) else { throw .usage("--timeout takes a number of seconds from 0 on.") }
        let client = try host.client(name)
        if !hard {
            // A paused guest cannot hear the button.
            if try client.ask("query-status")["status"] == "paused" { try client.ask("cont") }
            try client.ask("system_powerdown")
            if try client.waitForEnd(within: timeout) { return 0 }
            host.standardError("vitrine: '\(name)' did not power off within \(timeout.formatted()) seconds; its power is cut.")
        }
        try client.ask("quit")
        guard try client.waitForEnd(within: 30) else {
            throw .failed("The machine '\(name)' does not end; its process is \(try host.live(name).entry.pid ?? 0).")
        }
        return 0
    }
}
