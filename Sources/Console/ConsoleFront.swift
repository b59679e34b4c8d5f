import Glibc
import Hardware
import Machine
import Panels
import Terminal

/// One machine's console on the terminal.
@MainActor
final class ConsoleFront: TerminalClient {
    private let machine: any MachineControl
    private let folders: DataFolders
    private var model: ConsoleModel
    private let errands = Errands()
    /// Set before the loop runs.
    weak var loop: TerminalLoop?

    init(machine: any MachineControl, folders: DataFolders, model: ConsoleModel) {
        self.machine = machine
        self.folders = folders
        self.model = model
    }

    var mouseMode: MouseMode { model.mouseMode }
    var escapeMilliseconds: Int { model.keymap.escapeMilliseconds }
    var wakeDescriptors: [Int32] { [machine.wakeDescriptor, errands.wakeDescriptor] }
    var colours: (theme: Theme, palette: [UInt32]) { (model.shownTheme, model.view.frame.palette) }

    func woken(by descriptors: Set<Int32>, at time: UInt64) {
        if descriptors.contains(errands.wakeDescriptor) { errands.collect() }
        guard descriptors.contains(machine.wakeDescriptor) else { return }
        let view = machine.view()
        carryOut(model.update(view, at: time))
    }
    func handle(_ event: InputEvent, at time: UInt64) { carryOut(model.handle(event, at: time)) }
    func tick(at time: UInt64) { carryOut(model.tick(at: time)) }
    func nextDeadline(after time: UInt64) -> UInt64? { model.nextDeadline(after: time) }
    func resize(_ size: Size, at time: UInt64) { model.resize(size, at: time) }
    func setReportsReleases(_ flag: Bool, at time: UInt64) { carryOut(model.setReportsReleases(flag, at: time)) }
    func releaseAll(at time: UInt64) { carryOut(model.releaseAll(at: time)) }
    func notify(_ text: String, at time: UInt64, milliseconds: UInt64) { model.notify(text, at: time, milliseconds: milliseconds) }
    func draw(at time: UInt64) -> Surface { model.draw(at: time) }

    private func carryOut(_ effects: [ConsoleModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(.saveState):
                // It may fail, and the user waits for it.
                machine.perform(.saveState) { [weak self, errands] error in
                    guard let error else { return }
                    errands.deliver { self?.say(error.description) }
                }
            case .post(let command): machine.post(command)
            case .beep: loop?.beep()
            case .copy(let text): loop?.copy(text)
            case .savePicture:
                errands.run("picture") { [machine] in
                    let sentence = savedPicture(of: machine)
                    return { [weak self] in self?.say(sentence) }
                }
            case .suspend: loop?.suspend()
            case .redraw: loop?.invalidate()
            case .mouse(let mode): loop?.setMouse(mode)
            case .loadTheme(let name): loadTheme(name)
            case .finish(let outcome): loop?.finish(.ended(outcome))
            case .readScrollback:
                errands.run("scrollback") { [machine] in
                    let lines = scrollback(of: machine)
                    return { [weak self] in self?.model.showScrollback(lines, at: TerminalLoop.clock()) }
                }
            case .saveText(let text): say(savedText(text, "vitrine-" + model.view.name))
            case .detach: loop?.finish(.detached)
            case .ask(let question):
                ask(question, machine, errands) { [weak self] answer in
                    guard let self else { return }
                    carryOut(model.take(answer, at: TerminalLoop.clock()))
                }
            case .manager: break
            }
        }
    }

    private func say(_ text: String) { model.notify(text, at: TerminalLoop.clock(), milliseconds: 8000) }

    private func loadTheme(_ name: String) {
        do {
            model.theme = try folders.theme(name)
            loop?.coloursChanged()
        } catch {
            say(error.description)
        }
    }
}

/// Puts a console's question to its machine; the answer comes on the screen's thread.
@MainActor
func ask(
    _ question: MachineQuestion, _ machine: any MachineControl, _ errands: Errands, _ done: @escaping @MainActor @Sendable (MachineAnswer) -> Void
) {
    switch question {
    case .debug(let tag, let request): machine.debug(request) { reply in errands.deliver { done(.debug(tag, reply)) } }
    case .facts: machine.facts { facts in errands.deliver { done(.facts(facts)) } }
    case .report:
        let path = reportPath(machine.view().name)
        guard let path else { return done(.report("There are 999 reports of that name already.")) }
        machine.saveReport(to: path) { error in errands.deliver { done(.report(error?.description ?? "Saved \(path)")) } }
    }
}

/// A name that no other report has.
private func reportPath(_ name: String) -> String? {
    let plain = "vitrine-" + String(name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" }) + "-report"
    for n in 1...999 {
        let path = n == 1 ? plain + ".tar" : "\(plain)-\(n).tar"
        if access(path, F_OK) != 0 { return path }
    }
    return nil
}

/// Saves what a machine shows beside where the user is, under a name that no other picture has.
/// - Returns: what came of it.
func savedPicture(of machine: any MachineControl) -> String {
    let name = machine.view().name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" }
    do throws(MachineError) {
        return "Saved " + (try Picture.save(machine.pixels(), in: ".", prefix: "vitrine-" + String(name)))
    } catch {
        return error.description
    }
}

/// Saves lines beside where the user is, under a name that no other file has.
/// - Returns: what came of it.
func savedText(_ text: String, _ prefix: String) -> String {
    let plain = String(prefix.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" })
    for n in 1...999 {
        let path = n == 1 ? plain + ".txt" : "\(plain)-\(n).txt"
        guard access(path, F_OK) != 0 else { continue }
        do throws(MachineError) {
            try WholeFile.write(Array(text.utf8), to: path, what: "text file")
            return "Saved \(path)"
        } catch {
            return error.description
        }
    }
    return "There are 999 files of that name already."
}

/// What has scrolled off a machine's screen, then the screen.
func scrollback(of machine: any MachineControl) -> [String] {
    var lines: [String] = [], next: UInt64 = 0
    while lines.count < 20_000 {
        let part = machine.scrolledLines(from: next, count: 2000)
        lines += part.texts
        next = part.first + UInt64(part.lines.count)
        if part.lines.isEmpty || next >= part.end { break }
    }
    return lines + ScreenPanel.text(machine.view().frame).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
}
