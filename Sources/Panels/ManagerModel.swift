import Hardware
import Machine
import Terminal

/// The manager of stored machines, as a value: events and time in, effects and a picture out. Holds the consoles of machines that run.
///
/// Times are milliseconds of any clock that does not go back.
public struct ManagerModel: Sendable {
    public enum Screen: Hashable, Sendable { case machines, console, form, wizard, log, snapshots }

    public enum Effect: Sendable {
        /// To a machine whose console or thumbnail is open.
        case post(String, MachineCommand)
        case library(LibraryRequest)
        case beep
        case copy(String)
        case savePicture(String)
        /// A text as a file under a name like `vitrine-NAME.txt`.
        case saveText(String, prefix: String)
        case suspend, redraw
        case loadTheme(String)
        case loadKeymap(String)
        /// The host key is kept in the user's folder.
        case keepHostKey(String)
        case mouse(MouseMode)
        /// What has scrolled off a machine's screen.
        case readScrollback(String)
        /// The answer comes by `take`.
        case ask(String, MachineQuestion)
        case finish
    }

    public struct Settings: Sendable {
        public var theme: Theme
        public var keymap: Keymap
        public var layout: KeyLayout
        public var themeNames: [String] = []
        public var keymapNames: [String] = []
        public var mouse = true
        /// For screen readers: no frames, one thing below the other, the cursor where the attention is.
        public var isLinear = false
        /// Nobody has chosen a host key yet.
        public var asksHostKey = false
        /// What is wrong with a path, one sentence.
        public var fileProblem: @Sendable (_ path: String, _ machine: String?) -> String? = { _, _ in nil }
        public var listFolder: FolderLister = { _, _ in nil }
        public init(theme: Theme, keymap: Keymap, layout: KeyLayout) {
            self.theme = theme
            self.keymap = keymap
            self.layout = layout
        }
    }

    /// A change that can be taken back.
    struct Undo: Sendable { var title: String, requests: [LibraryRequest] }

    // MARK: State

    var settings: Settings
    public internal(set) var size = Size(width: 80, height: 24)
    public internal(set) var screen = Screen.machines
    public internal(set) var list = MachinesPanel()
    /// Panel of the machines' screen that has the keyboard: 1 machines, 2 details, 3 screen.
    var focus = 1
    var detailsTop = 0
    /// Consoles that have been opened, by machine.
    public internal(set) var consoles: [String: ConsoleModel] = [:]
    /// The machine whose console is or was in view.
    public internal(set) var current: String?
    /// What the machines that we look at show.
    var views: [String: MachineView] = [:]
    /// Machines whose process does not answer.
    var silent: Set<String> = []
    public internal(set) var overlay: Overlay?
    /// A text over the screen that waits for its overlay: the form behind a question.
    public internal(set) var form: SettingsPanel?
    public internal(set) var wizard: WizardPanel?
    public internal(set) var logPanel: LogPanel?
    public internal(set) var snapshotsPanel: SnapshotsPanel?
    var job: SnapshotJob?
    /// A machine that goes for a moment, to come back as one of its snapshots: its console stays. `until`: no longer than that once the work is over.
    var returning: (name: String, until: UInt64?)?
    /// Field whose choices are on the list.
    var choosing: String?
    var isSplit = false
    var toast: (text: String, since: UInt64, until: UInt64)?
    /// Where the form or the log was opened from.
    var origin = Screen.machines
    var sequence: [Chord] = []
    var sequenceUntil: UInt64 = 0
    /// Work with a progress dialog, and since when.
    var work: (title: String, since: UInt64)?
    var undos: [Undo] = []
    /// Requests that take something back and have not been answered.
    var pendingUndo: [LibraryRequest] = []
    /// Machines to open once they run.
    var opening: String?
    /// The next key becomes the host key.
    var waitsForHostKey = false
    /// We are leaving and wait for machines to end.
    var leaving: (names: Set<String>, until: UInt64)?
    var lastClick: (time: UInt64, row: Int) = (0, -1)
    var reportsReleases = false
    var effects: [Effect] = []
    var now: UInt64 = 0
    var hasRows = false

    public init(_ settings: Settings) {
        self.settings = settings
        if settings.asksHostKey { askHostKey(first: true) }
    }

    public var theme: Theme {
        get { settings.theme }
        set {
            settings.theme = newValue
            for name in consoles.keys { consoles[name]?.theme = newValue }
        }
    }

    public var keymap: Keymap {
        get { settings.keymap }
        set {
            settings.keymap = newValue
            sequence = []
            for name in consoles.keys { consoles[name]?.keymap = newValue }
        }
    }

    var look: PanelLook { PanelLook(settings.theme, linear: settings.isLinear) }

    public var mouseMode: MouseMode {
        screen == .console ? consoles[current ?? ""]?.mouseMode ?? .clicks : settings.mouse ? .clicks : .off
    }

    /// Machines whose screen is wanted: open consoles, and the selected one for its thumbnail.
    public var watched: Set<String> {
        let alive = Set(list.rows.filter { $0.state.isAlive }.map(\.name))
        var names = Set(consoles.keys)
        if let name = list.selectedName { names.insert(name) }
        if let name = snapshotsPanel?.name { names.insert(name) }
        return names.intersection(alive)
    }

    private var viewInSight: MachineView? { (screen == .console || isBeside ? current : list.selectedName).flatMap { views[$0] } }

    /// The guest's colours of what is in view.
    public var guestPalette: [UInt32] { viewInSight?.frame.palette ?? TextFrame.defaultPalette }

    /// The theme with the wishes of the machine that is in view.
    public var shownTheme: Theme { settings.theme.wished(viewInSight?.palette ?? .theme) }

    // MARK: Inputs

    public mutating func update(_ rows: [MachineRow], at time: UInt64) -> [Effect] {
        now = time
        hasRows = true
        list.update(rows)
        let alive = Set(rows.filter { $0.state.isAlive }.map(\.name))
        for name in views.keys where !alive.contains(name) { views[name] = nil }
        let returns = comesBack(alive)
        for name in consoles.keys where !alive.contains(name) && opening != name && returns != name { close(name) }
        if let name = opening, let row = rows.first(where: { $0.name == name }) {
            if row.state == .running || row.state == .paused || row.state == .stuck {
                opening = nil
                show(name)
            }
        }
        checkLeaving()
        return drain()
    }

    /// What a watched machine shows.
    public mutating func update(_ view: MachineView, of name: String, at time: UInt64) -> [Effect] {
        now = time
        views[name] = view
        silent.remove(name)
        if consoles[name] != nil, let new = consoles[name]?.update(view, at: time) { take(new, from: name) }
        return drain()
    }

    public mutating func handle(_ event: InputEvent, at time: UInt64) -> [Effect] {
        now = time
        switch event {
        case .key(let key): self.key(key)
        case .paste(let text): paste(text)
        case .mouse(let mouse): self.mouse(mouse)
        case .focus: if screen == .console { console { $0.handle(event, at: $1) } }
        case .reply: break
        }
        return drain()
    }

    public mutating func handle(_ event: LibraryEvent, at time: UInt64) -> [Effect] {
        now = time
        switch event {
        case .done(let request): done(request)
        case .failed(let request, let sentence): failed(request, sentence)
        case .progress(let done, let total):
            guard let work, case .progress(var panel) = overlay else { break }
            (panel.done, panel.total, panel.elapsed) = (done, total, now - work.since)
            overlay = .progress(panel)
        case .snapshots(let name, let list): update(list, of: name)
        case .snapshotScreen(let name, let id, let rows): if snapshotsPanel?.name == name { snapshotsPanel?.show(rows, of: id) }
        case .difference(let name, let lines): showDifference(name, lines)
        case .snapshotProgress(let done, let total):
            job?.done = done
            job?.total = total
        case .log(let name, let run, let runs, let lines, let isMore):
            if logPanel?.name == name, logPanel?.heading == nil { logPanel?.update(run: run, runs: runs, lines: lines, isMore: isMore) }
        }
        return drain()
    }

    /// A watched machine does not answer.
    public mutating func noteSilence(of name: String) { silent.insert(name) }

    /// A work that others have begun gets its dialog.
    public mutating func begin(_ request: LibraryRequest, title: String, at time: UInt64) {
        now = time
        beginWork(title, isBytes: true)
    }

    public mutating func showScrollback(_ lines: [String], of name: String, at time: UInt64) {
        now = time
        consoles[name]?.showScrollback(lines, at: time)
    }

    /// A machine has answered its console.
    public mutating func take(_ answer: MachineAnswer, of name: String, at time: UInt64) -> [Effect] {
        now = time
        if let new = consoles[name]?.take(answer, at: time) { take(new, from: name) }
        return drain()
    }

    public mutating func tick(at time: UInt64) -> [Effect] {
        now = time
        if let toast, time >= toast.until { self.toast = nil }
        if !sequence.isEmpty, time >= sequenceUntil { sequence = [] }
        if let work, case .progress(var panel) = overlay {
            panel.elapsed = now - work.since
            overlay = .progress(panel)
        }
        for name in consoles.keys.sorted() {
            if let deadline = consoles[name]?.nextDeadline(after: max(1, time) - 1), deadline <= time, let new = consoles[name]?.tick(at: time) {
                take(new, from: name)
            }
        }
        checkLeaving()
        return drain()
    }

    public func nextDeadline(after time: UInt64) -> UInt64? {
        var next: UInt64?
        func at(_ t: UInt64) { next = min(next ?? t, t) }
        if let toast { at(toast.until) }
        if !sequence.isEmpty { at(sequenceUntil) }
        if work != nil { at(time + 250) }
        if let leaving { at(leaving.until) }
        for console in consoles.values { if let deadline = console.nextDeadline(after: time) { at(deadline) } }
        return next
    }

    public mutating func resize(_ size: Size, at time: UInt64) {
        now = time
        self.size = size
        layOut()
    }

    public mutating func setReportsReleases(_ flag: Bool, at time: UInt64) -> [Effect] {
        now = time
        reportsReleases = flag
        for name in consoles.keys.sorted() { if let new = consoles[name]?.setReportsReleases(flag, at: time) { take(new, from: name) } }
        return drain()
    }

    public mutating func releaseAll(at time: UInt64) -> [Effect] {
        now = time
        for name in consoles.keys.sorted() { if let new = consoles[name]?.releaseAll(at: time) { take(new, from: name) } }
        return drain()
    }

    public mutating func notify(_ text: String, at time: UInt64, milliseconds: UInt64 = 4000) {
        now = time
        say(text, milliseconds: milliseconds)
    }

    // MARK: Helpers

    mutating func drain() -> [Effect] {
        defer { effects = [] }
        return effects
    }

    mutating func say(_ text: String, milliseconds: UInt64 = 4000) {
        if screen == .console, let current, consoles[current] != nil {
            consoles[current]?.notify(text, at: now, milliseconds: milliseconds)
        } else {
            toast = (text, now, now + milliseconds)
        }
    }

    /// Runs something on the console in view and carries its effects up.
    mutating func console(_ body: (inout ConsoleModel, UInt64) -> [ConsoleModel.Effect]) {
        guard let current, var console = consoles[current] else { return }
        let new = body(&console, now)
        consoles[current] = console
        take(new, from: current)
    }

    mutating func take(_ new: [ConsoleModel.Effect], from name: String) {
        for effect in new {
            switch effect {
            case .post(let command): effects.append(.post(name, command))
            case .beep: effects.append(.beep)
            case .copy(let text): effects.append(.copy(text))
            case .savePicture: effects.append(.savePicture(name))
            case .suspend: effects.append(.suspend)
            case .redraw: effects.append(.redraw)
            case .loadTheme(let theme): effects.append(.loadTheme(theme))
            case .mouse(let mode): effects.append(.mouse(mode))
            case .finish(let outcome):
                close(name)
                say(ManagerModel.words(outcome, name), milliseconds: 6000)
            case .manager(let id): run(id)
            case .detach: leaveConsole()
            case .readScrollback: effects.append(.readScrollback(name))
            case .ask(let question): effects.append(.ask(name, question))
            case .saveText(let text): effects.append(.saveText(text, prefix: "vitrine-" + name))
            }
        }
    }

    /// How a run ended, for people.
    static func words(_ outcome: RunOutcome, _ name: String) -> String {
        switch outcome {
        case .poweredOff: "\(name) has switched itself off."
        case .poweredOffByUser: "\(name) is off."
        case .saved: "The state of \(name) is saved."
        case .guru(let sentence): "\(name) is stuck: \(sentence)"
        case .refused(let sentence), .failed(let sentence): "\(name): \(sentence)"
        case .timeout: "\(name) has reached its time limit."
        case .debugExit, .resetWithNoReboot, .scriptStopped, .scriptFailed, .instructionLimit: "\(name) has ended its run."
        }
    }

    // MARK: Consoles

    /// Consoles that can be switched between, in the order of the list.
    var running: [String] {
        list.rows.filter { $0.state.isAlive }.sorted { MachineOrder.byName($0, $1) }.map(\.name)
    }

    /// Brings a running machine's console into view.
    mutating func show(_ name: String) {
        if consoles[name] == nil {
            var own = ConsoleModel.Settings(
                theme: settings.theme, keymap: settings.keymap, layout: settings.layout, themeNames: settings.themeNames)
            own.isManaged = true
            own.isLinear = settings.isLinear
            own.mouse = settings.mouse
            own.listFolder = settings.listFolder
            var console = ConsoleModel(own)
            _ = console.setReportsReleases(reportsReleases, at: now)
            var view = MachineView()
            view.name = name
            if let row = list.rows.first(where: { $0.name == name }), row.state != .starting { view.state = .running }
            _ = console.update(views[name] ?? view, at: now)
            consoles[name] = console
        }
        let before = mouseMode
        if screen == .console, current != name { console { $0.releaseAll(at: $1) } }
        current = name
        list.select(name)
        screen = .console
        overlay = nil
        layOut()
        if mouseMode != before { effects.append(.mouse(mouseMode)) }
    }

    mutating func close(_ name: String) {
        consoles[name] = nil
        guard current == name else { return }
        current = nil
        if screen == .console { leaveConsole() }
    }

    mutating func leaveConsole() {
        console { $0.releaseAll(at: $1) }
        screen = .machines
        focus = 1
        effects.append(.mouse(mouseMode))
        layOut()
    }

    /// The list and the console share the terminal.
    var isBeside: Bool {
        isSplit && size.width >= 120 && current.map { consoles[$0] != nil } == true && (screen == .machines || screen == .console)
    }

    var consoleArea: Rect {
        guard isBeside else { return Rect(x: 0, y: 0, width: size.width, height: size.height) }
        let width = max(81, size.width * 3 / 5)
        return Rect(x: size.width - width, y: 0, width: width, height: size.height)
    }

    mutating func layOut() {
        let area = consoleArea
        for name in consoles.keys { consoles[name]?.resize(Size(width: area.width, height: area.height), at: now) }
    }
}
