import ArgumentParser
import Machine

/// `vitrine man`: the manual page, made from the commands themselves.
struct Man: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Print the manual page.", discussion: "For example: vitrine man > ~/.local/share/man/man1/vitrine.1, or vitrine man | man -l -")

    func run(in host: Host) throws(MachineError) -> Int32 {
        host.standardOutput(ManualPage.text())
        return 0
    }
}

/// The manual page in the macros of *mdoc(7)*.
enum ManualPage {
    static func text() -> String {
        var lines = [
            ".Dd November 26, 2026", ".Dt VITRINE 1", ".Os", ".Sh NAME", ".Nm vitrine", ".Nd a PC in your terminal", ".Sh SYNOPSIS", ".Nm",
            ".Op Ar verb", ".Op Ar arguments ...", ".Sh DESCRIPTION",
            plain("Emulates a whole PC and shows its screen in the terminal. Without a verb it shows the manager of stored machines, where F1 lists the keys."),
            ".Sh VERBS",
        ]
        for verb in Vitrine.configuration.subcommands { lines += section(verb, []) }
        lines += [".Sh ENVIRONMENT", ".Bl -tag -width VITRINE_HOME"]
        for (name, meaning) in [
            ("VITRINE_HOME", "Where machines are kept; $XDG_DATA_HOME/vitrine when not set."), ("VITRINE_FIRMWARE", "Folder of SeaBIOS."),
            ("XDG_CONFIG_HOME", "Your themes, keymaps and choices are in its folder vitrine."), ("NO_COLOR", "No colours."),
        ] { lines += [".It Ev " + name, plain(meaning)] }
        lines += [".El", ".Sh EXIT STATUS", ".Bl -tag -width 124"]
        for (status, meaning) in [
            ("0", "The guest powered off, or the verb has done its work."), ("1", "A failure."), ("2", "No such machine, wrong state, no terminal."),
            ("3", "Guru Meditation: the guest's processor shut down."), ("4", "A wait failed."), ("64", "Wrong usage."),
            ("66", "An input cannot be used."), ("124", "The time limit."),
        ] { lines += [".It " + status, plain(meaning)] }
        return (lines + [".El"]).joined(separator: "\n") + "\n"
    }

    private static func section(_ command: any ParsableCommand.Type, _ parents: [String]) -> [String] {
        let configuration = command.configuration, names = parents + [command._commandName]
        guard configuration.shouldDisplay else { return [] }
        var lines = [".Ss " + names.joined(separator: " "), plain(configuration.abstract)]
        let inner = configuration.subcommands
        if inner.isEmpty {
            // The parser's own help in plain columns: usage and options as users see them.
            let message = Vitrine.helpMessage(for: command, columns: 78).split(separator: "\n", omittingEmptySubsequences: false)
            let help = message.drop { !$0.hasPrefix("USAGE:") }
            lines += [".Bd -literal"] + help.map { literal(String($0)) } + [".Ed"]
        }
        return lines + inner.flatMap { section($0, names) }
    }

    /// Text that begins no macro and has no escapes.
    private static func plain(_ text: String) -> String { literal(text.split(whereSeparator: \.isNewline).joined(separator: " ")) }

    private static func literal(_ line: String) -> String {
        let escaped = line.replacing("\\", with: "\\e").replacing("-", with: "\\-")
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }
}
