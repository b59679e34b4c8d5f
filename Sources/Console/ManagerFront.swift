import DataFiles
import Foundation
import Hardware
import Machine
import Panels
import Terminal

/// The manager on the terminal: its model, the stored machines behind it, and the consoles that are open.
@MainActor
final class ManagerFront: TerminalClient {
    private let library: any MachineLibrary
    private let folders: DataFolders
    private let options: ConsoleOptions
    private(set) var model: ManagerModel
    private var controls: [String: any MachineControl] = [:]
    private let errands = Errands()
    /// Machines that are being connected to.
    private(set) var connecting: Set<String> = []
    /// Machines that could not be reached, and when to try again.
    private var unreachable: [String: UInt64] = [:]
    /// Files of theme and keymap in use, for reading them again when they change.
    private var watch: FileWatch
    /// Set before the loop runs; nil: there is no terminal.
    weak var loop: TerminalLoop?
    private var palette: [UInt32] = []
    private(set) var isFinished = false

    init(library: any MachineLibrary, options: ConsoleOptions, folders: DataFolders, model: ManagerModel) {
        self.library = library
        self.options = options
        self.folders = folders
        self.model = model
        watch = FileWatch(folders: folders, theme: options.theme, keymap: options.keymap)
    }

    var mouseMode: MouseMode { model.mouseMode }
    var escapeMilliseconds: Int { model.keymap.escapeMilliseconds }
    var wakeDescriptors: [Int32] { [library.wakeDescriptor, errands.wakeDescriptor] + controls.values.map(\.wakeDescriptor) }
    var colours: (theme: Theme, palette: [UInt32]) { (model.shownTheme, model.guestPalette) }

    func woken(by descriptors: Set<Int32>, at time: UInt64) {
        if descriptors.contains(library.wakeDescriptor) {
            for event in library.events() { carryOut(model.handle(event, at: time)) }
            carryOut(model.update(library.rows(), at: time))
        }
        if descriptors.contains(errands.wakeDescriptor) { errands.collect() }
        for (name, control) in controls where descriptors.contains(control.wakeDescriptor) {
            let view = control.view()
            carryOut(model.update(view, of: name, at: time))
            // The connection has ended; the machine may be started anew behind it.
            if view.outcome != nil, controls[name] != nil {
                library.release(control)
                controls[name] = nil
                unreachable[name] = time + 1000
            }
        }
    }

    func handle(_ event: InputEvent, at time: UInt64) { carryOut(model.handle(event, at: time)) }

    func tick(at time: UInt64) {
        if watch.isDue(at: time) { reload(at: time) }
        carryOut(model.tick(at: time))
    }

    func nextDeadline(after time: UInt64) -> UInt64? {
        var next = model.nextDeadline(after: time) ?? .max
        next = min(next, watch.next)
        for again in unreachable.values { next = min(next, again) }
        return next == .max ? nil : next
    }

    func resize(_ size: Size, at time: UInt64) { model.resize(size, at: time) }
    func setReportsReleases(_ flag: Bool, at time: UInt64) { carryOut(model.setReportsReleases(flag, at: time)) }
    func releaseAll(at time: UInt64) { carryOut(model.releaseAll(at: time)) }
    func notify(_ text: String, at time: UInt64, milliseconds: UInt64) { model.notify(text, at: time, milliseconds: milliseconds) }
    func draw(at time: UInt64) -> Surface { model.draw(at: time) }

    // MARK: Effects

    private func carryOut(_ effects: [ManagerModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(let name, let command): controls[name]?.post(command)
            case .library(let request): library.ask(request)
            case .beep: loop?.beep()
            case .copy(let text): loop?.copy(text)
            case .savePicture(let name):
                guard let control = controls[name] else { break }
                errands.run("picture") {
                    let sentence = savedPicture(of: control)
                    return { [weak self] in self?.say(sentence) }
                }
            case .saveText(let text, let prefix): say(savedText(text, prefix))
            case .suspend: loop?.suspend()
            case .redraw: loop?.invalidate()
            case .loadTheme(let name): loadTheme(name)
            case .loadKeymap(let name): loadKeymap(name)
            case .keepHostKey(let key): keep(["host-key": key])
            case .mouse(let mode): loop?.setMouse(mode)
            case .readScrollback(let name):
                guard let control = controls[name] else { break }
                errands.run("scrollback") {
                    let lines = scrollback(of: control)
                    return { [weak self] in self?.model.showScrollback(lines, of: name, at: TerminalLoop.clock()) }
                }
            case .ask(let name, let question):
                guard let control = controls[name] else { break }
                ask(question, control, errands) { [weak self] answer in
                    guard let self else { return }
                    carryOut(model.take(answer, of: name, at: TerminalLoop.clock()))
                }
            case .finish:
                isFinished = true
                loop?.finish(.ended(.poweredOff))
            }
        }
        attach()
        let new = model.guestPalette
        if new != palette {
            palette = new
            loop?.coloursChanged()
        }
    }

    private func say(_ text: String) { model.notify(text, at: TerminalLoop.clock(), milliseconds: 8000) }

    /// Connects to the machines that are looked at, and lets go of the others.
    private func attach() {
        let wanted = model.watched, now = TerminalLoop.clock()
        for (name, control) in controls where !wanted.contains(name) {
            library.release(control)
            controls[name] = nil
        }
        for name in unreachable.keys where !wanted.contains(name) || unreachable[name] ?? 0 <= now { unreachable[name] = nil }
        for name in wanted.sorted() where controls[name] == nil && unreachable[name] == nil && connecting.insert(name).inserted {
            errands.run("connect") { [library] in
                let result: Result<any MachineControl, MachineError>
                do throws(MachineError) {
                    result = .success(try library.control(name))
                } catch {
                    result = .failure(error)
                }
                return { [weak self] in self?.connected(name, result) }
            }
        }
    }

    private func connected(_ name: String, _ result: Result<any MachineControl, MachineError>) {
        connecting.remove(name)
        let now = TerminalLoop.clock()
        switch result {
        case .success(let control):
            // It may not be wanted any more.
            guard model.watched.contains(name), controls[name] == nil else { return library.release(control) }
            controls[name] = control
            carryOut(model.update(control.view(), of: name, at: now))
        case .failure(let error):
            unreachable[name] = now + 1000
            model.noteSilence(of: name)
            if model.consoles[name] != nil { say(error.description) }
        }
    }

    // MARK: Themes and keymaps

    private func loadTheme(_ name: String) {
        do {
            model.theme = try folders.theme(name)
            watch.theme = name
            watch.look()
            keep(["theme": name])
            loop?.coloursChanged()
        } catch {
            say(error.description)
        }
    }

    private func loadKeymap(_ name: String) {
        do {
            let host = model.keymap.host
            var keymap = try folders.keymap(name, vocabulary: consoleVocabulary)
            // The host key was chosen by hand; a keymap does not take it away.
            if options.hostKey != nil || Preferences.read(folders).hostKey != nil { keymap.host = host }
            model.keymap = keymap
            watch.keymap = name
            watch.look()
            loop?.setEscape(keymap.escapeMilliseconds)
            keep(["keymap": name])
            say("Keys: \(keymap.name)")
        } catch {
            say(error.description)
        }
    }

    private func keep(_ values: [String: String]) {
        do { try Preferences.keep(values, folders) } catch { say(error.description) }
    }

    /// A file has changed: take it over, or keep the last good one and say why.
    private func reload(at time: UInt64) {
        let changed = watch.changes()
        if changed.theme {
            do {
                model.theme = try folders.theme(watch.theme)
                loop?.coloursChanged()
                model.notify("The theme was read again.", at: time)
            } catch {
                model.notify(error.description, at: time, milliseconds: 10_000)
            }
        }
        if changed.keymap {
            do {
                let host = model.keymap.host
                var keymap = try folders.keymap(watch.keymap, vocabulary: consoleVocabulary)
                if options.hostKey != nil || Preferences.read(folders).hostKey != nil { keymap.host = host }
                model.keymap = keymap
                loop?.setEscape(keymap.escapeMilliseconds)
                model.notify("The keymap was read again.", at: time)
            } catch {
                model.notify(error.description, at: time, milliseconds: 10_000)
            }
        }
    }
}

/// Says when the files of a theme and a keymap, or of one that they inherit, have changed.
struct FileWatch {
    let folders: DataFolders
    var theme: String, keymap: String
    /// When to look again, in the loop's milliseconds.
    private(set) var next: UInt64 = 0
    private var stamps: (theme: [String], keymap: [String]) = ([], [])

    init(folders: DataFolders, theme: String, keymap: String) {
        self.folders = folders
        self.theme = theme
        self.keymap = keymap
        stamps = current()
    }

    /// Once a second.
    mutating func isDue(at time: UInt64) -> Bool {
        guard time >= next else { return false }
        next = time + 1000
        return true
    }

    mutating func look() { stamps = current() }

    mutating func changes() -> (theme: Bool, keymap: Bool) {
        let new = current()
        defer { stamps = new }
        return (new.theme != stamps.theme, new.keymap != stamps.keymap)
    }

    private func current() -> (theme: [String], keymap: [String]) { (folders.stamps("Themes", theme), folders.stamps("Keymaps", keymap)) }
}
