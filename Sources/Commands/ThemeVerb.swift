import ArgumentParser
import Foundation
import Machine

/// `vitrine theme`: themes that there are, and what is wrong with one.
struct Theme: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List themes, check a theme file.",
        discussion: "Your own themes go to ~/.config/vitrine/themes; the running manager reads them again when they change.",
        subcommands: Vitrine.themeVerbs)
}

/// `vitrine theme list`.
struct ThemeList: Verb {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the themes.")

    func run(in host: Host) throws(MachineError) -> Int32 {
        host.standardOutput(try host.screenHook().themes().get())
        return 0
    }
}

/// `vitrine theme check FILE`.
struct ThemeCheck: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say what is wrong with a theme file.",
        discussion: """
            Errors name file, line and column and end with 66. Text that is hard to read and selections that are invisible without colours are \
            warnings.
            """)

    @Argument(help: "The file.") var file: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        host.standardOutput(try host.screenHook().checkTheme(file).get())
        return 0
    }
}

extension Host {
    /// - Throws: `.wrongPlace` in a build without a screen.
    func screenHook() throws(MachineError) -> ScreenHook {
        guard let screens else { throw MachineError(.wrongPlace, "This build has no screen.") }
        return screens
    }
}

extension ConsoleEnd {
    /// The exit status of a verb that shows nothing but itself.
    func status() throws(MachineError) -> Int32 {
        switch self {
        case .ended, .detached: return 0
        case .signalled(let number): return 128 + number
        case .hangup: return 128 + SIGHUP
        case .unusable(let sentence): throw MachineError(.wrongPlace, sentence)
        case .badData(let sentence): throw .badInput(sentence)
        }
    }
}
