import CannedMachine
import Machine
import Panels
import Synchronization
import Terminal
import Testing

extension CannedMachine {
    /// At once: it has nothing to wait for.
    func answer(_ question: MachineQuestion) -> MachineAnswer {
        switch question {
        case .debug(let tag, let request):
            let reply = Mutex(DebugReply(answers: []))
            debug(request) { new in reply.withLock { $0 = new } }
            return .debug(tag, reply.withLock { $0 })
        case .facts: return .facts(CannedMachine.facts)
        case .report: return .report("Saved vitrine-demo-report.tar")
        }
    }
}

/// A console with its debugger open over a canned machine that stands.
struct DebuggerBench {
    var model: ConsoleModel
    let machine: CannedMachine
    var now: UInt64 = 1000
    var beeps = 0
    var posted: [String] = []
    /// Requests since it was last looked at.
    var asked = 0

    init(
        _ size: Size = Size(width: 80, height: 24), theme: String = "dark", keymap name: String = "default", readOnly: Bool = false, opens: Bool = true
    ) throws {
        let keymap = try Shipped.keymap(name)
        var settings = ConsoleModel.Settings(theme: try Shipped.theme(theme), keymap: keymap, layout: try Shipped.layout(keymap.guestLayout))
        settings.readOnly = readOnly
        machine = CannedMachine()
        model = ConsoleModel(settings)
        model.resize(size, at: 0)
        settle()
        guard opens else { return }
        run(.debugger)
        if !readOnly { run(.debugRun) }
    }

    mutating func settle() {
        for _ in 0..<4 { take(model.update(machine.view(), at: now)) }
    }

    mutating func take(_ effects: [ConsoleModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(let command):
                posted.append(CannedMachine.words(command))
                machine.post(command)
            case .beep: beeps += 1
            case .ask(let question):
                asked += 1
                take(model.take(machine.answer(question), at: now))
            default: break
            }
        }
    }

    mutating func press(_ spellings: String...) throws {
        for spelling in spellings {
            let chord = try #require(Chord(spelling))
            now += 10
            take(model.handle(.key(KeyEvent(chord.key, chord.modifiers)), at: now))
            settle()
        }
    }

    mutating func type(_ text: String) {
        for scalar in text.unicodeScalars {
            now += 10
            take(model.handle(.key(KeyEvent(.character(scalar))), at: now))
        }
        settle()
    }

    mutating func run(_ ids: ActionID...) {
        for id in ids {
            now += 10
            model.run(id)
            take(model.tick(at: now))
            settle()
        }
    }

    mutating func wait(_ milliseconds: UInt64) {
        now += milliseconds
        take(model.tick(at: now))
        settle()
    }

    var screen: String { model.draw(at: now).text }
    var lines: [String] { screen.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) } }

    /// Inks of the first line that has a text.
    func inks(of text: String) -> String {
        let surface = model.draw(at: now)
        guard let row = lines.firstIndex(where: { $0.contains(text) }) else { return "" }
        return surface.inks.split(separator: "\n")[row].description
    }
}
