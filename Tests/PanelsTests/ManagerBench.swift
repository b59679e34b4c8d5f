import CannedMachine
import Foundation
import Machine
import Panels
import Terminal
import Testing

/// The manager with canned machines behind it: keys by command name, never by letter, so that keymaps may change.
struct ManagerBench {
    var model: ManagerModel
    let library: CannedLibrary
    var now: UInt64 = 1000
    var beeps = 0
    var copied: String?
    var posted: [String] = []
    var saved: [String: String] = [:]
    var finished = false
    var hostKey: String?
    var theme: String?, keymapName: String?

    init(
        _ rows: [MachineRow] = CannedLibrary.sample, size: Size = Size(width: 80, height: 24), theme: String = "borland",
        linear: Bool = false, asksHostKey: Bool = false
    ) throws {
        let keymap = try Shipped.keymap("default")
        var settings = ManagerModel.Settings(
            theme: try Shipped.theme(theme), keymap: keymap, layout: try Shipped.layout(keymap.guestLayout))
        settings.themeNames = ["borland", "dark", "light", "mono"]
        settings.keymapNames = ["classic", "default", "dosbox", "vi"]
        settings.isLinear = linear
        settings.asksHostKey = asksHostKey
        library = CannedLibrary(rows)
        let library = library
        settings.listFolder = { library.listFolder($0, machine: $1) }
        settings.fileProblem = { library.fileProblem($0, machine: $1) }
        model = ManagerModel(settings)
        model.resize(size, at: 0)
        settle()
    }

    /// Requests and answers until nothing is left to say.
    mutating func settle() {
        for _ in 0..<4 {
            for event in library.events() { take(model.handle(event, at: now)) }
            take(model.update(library.rows(), at: now))
            for name in model.watched.sorted() { take(model.update(library.machine(name).view(), of: name, at: now)) }
        }
    }

    private mutating func take(_ effects: [ManagerModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(let name, let command):
                posted.append("\(name): \(CannedMachine.words(command))")
                library.machine(name).post(command)
            case .library(let request): library.ask(request)
            case .beep: beeps += 1
            case .copy(let text): copied = text
            case .saveText(let text, let prefix): saved[prefix] = text
            case .keepHostKey(let key): hostKey = key
            case .loadTheme(let name): theme = name
            case .loadKeymap(let name): keymapName = name
            case .finish: finished = true
            case .readScrollback(let name): model.showScrollback((1...200).map { "line \($0) of the past" }, of: name, at: now)
            case .ask(let name, let question): take(model.take(library.machine(name).answer(question), of: name, at: now))
            case .savePicture, .suspend, .redraw, .mouse: break
            }
        }
    }

    mutating func press(_ event: KeyEvent) {
        now += 100
        take(model.handle(.key(event), at: now))
        settle()
    }

    mutating func press(_ spellings: String...) throws {
        for spelling in spellings {
            let chord = try #require(Chord(spelling))
            press(KeyEvent(chord.key, chord.modifiers))
        }
    }

    mutating func type(_ text: String) { for scalar in text.unicodeScalars { press(KeyEvent(.character(scalar))) } }

    mutating func run(_ ids: ActionID...) {
        for id in ids {
            now += 100
            model.run(id)
            take(model.tick(at: now))
            settle()
        }
    }

    mutating func mouse(_ kind: MouseEvent.Kind, column: Int, row: Int, after milliseconds: UInt64 = 100) {
        now += milliseconds
        take(model.handle(.mouse(MouseEvent(kind, button: 0, column: column, row: row)), at: now))
        settle()
    }

    mutating func notify(_ text: String) { model.notify(text, at: now) }

    mutating func wait(_ milliseconds: UInt64) {
        now += milliseconds
        take(model.tick(at: now))
    }

    var screen: String { model.draw(at: now).text }
    var bar: String { screen.split(separator: "\n", omittingEmptySubsequences: false).last.map { String($0) } ?? "" }
}
