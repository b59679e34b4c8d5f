import Commands
import Foundation
import Panels
import Testing

/// Menus and command line do the same: both registries are walked.
@Suite("tidy · menus and verbs") struct VerbTests {
    /// Verbs without a command in the menus, and why.
    static let alone: [String: String] = [
        "run": "nothing is stored", "demo": "nothing is stored", "manager": "is the menus",
        "list": "the list of machines itself",
        "show": "the details beside the list", "path": "the details beside the list", "os-types": "the wizard's lists",
        "disk create": "the wizard's disk", "disk info": "for files without a machine",
        "disk convert": "for files", "disk resize": "for files", "disk compact": "for files",
        "disk check": "for files", "disk compare": "for files", "disk map": "for files", "disk merge": "for files; snapshots merge by themselves",
        "wait-for": "for scripts", "script": "for scripts",
        "vbox": "the words of another program", "resume": "the same command as pause",
        "theme list": "the list of themes", "theme check": "for authors of themes",
        "man": "help is in the program",
        "snapshot show": "the details beside the tree",
    ]

    @Test("what a menu does, a verb does") func menus() {
        let verbs = Set(Vitrine.verbNames.flatMap { [$0, $0.split(separator: " ").first.map(String.init) ?? $0] })
        for action in Action.all { if let verb = action.verb { #expect(verbs.contains(verb), "\(action.id.rawValue) names the verb \(verb)") } }
    }

    @Test("what a verb does, a menu does") func verbs() {
        let known = Set(Action.all.compactMap(\.verb))
        for verb in Vitrine.verbNames where Self.alone[verb] == nil { #expect(known.contains(verb), "no command of the menus does what '\(verb)' does") }
        for verb in Self.alone.keys { #expect(Vitrine.verbNames.contains(verb), "there is no verb '\(verb)'") }
    }

    @Test("a command that changes a machine has a verb") func changes() {
        let own: Set<ActionID> = [
            // About the screen, not the machine.
            .capture, .release, .guestMouse, .panUp, .panDown, .panLeft, .panRight, .panFollow, .scrollback,
        ]
        for action in Action.all where action.isCommand && action.id.rawValue.hasPrefix("machine.") && !own.contains(action.id) {
            #expect(action.verb != nil, "\(action.id.rawValue)")
        }
    }
}
