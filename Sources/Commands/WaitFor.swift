import ArgumentParser
import Machine

/// `vitrine wait-for NAME REGEX [SECONDS]`: until the text screen matches.
struct WaitFor: Verb {
    static let configuration = CommandConfiguration(
        commandName: "wait-for", abstract: "Wait until a running machine's text screen matches.",
        discussion: """
            What scrolls off the screen meanwhile counts too. When it does not match in time, the screen is printed and the exit status is 4.
            """)

    @Argument(help: "The machine.") var name: String
    @Argument(help: "A regular expression; ^ and $ match at the ends of rows.") var regex: String
    @Argument(help: "How long to wait.") var seconds = Script.defaultSeconds

    func run(in host: Host) throws(MachineError) -> Int32 {
        guard (0...1e9).contains(seconds) else { throw .usage("The time to wait is a number of seconds from 0 on.") }
        _ = try Script.Pattern(regex)
        let reply = try host.client(name).ask("x-vitrine-wait-for", ["pattern": .string(regex), "seconds": .number(seconds)], within: nil)
        if reply["matched"] == true { return 0 }
        let what =
            reply["ended"] == true
            ? "the machine ended before the screen matched '\(regex)'" : "the screen did not match '\(regex)' within \(seconds.formatted()) seconds"
        host.standardError("vitrine: \(name): \(what).\n\(reply["screen"]?.string ?? "")")
        return 4
    }
}
