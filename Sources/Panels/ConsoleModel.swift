import Hardware
import Machine
import Terminal

/// The console around one running machine, as a value: events and time in, effects and a picture out. Knows no terminal.
///
/// Times are milliseconds of any clock that does not go back.
public struct ConsoleModel: Sendable {
    public enum Effect: Sendable {
        case post(MachineCommand)
        case beep
        /// To the clipboard.
        case copy(String)
        /// The display as a PNG file.
        case savePicture
        case suspend
        /// Everything again, from nothing.
        case redraw
        case loadTheme(String)
        case mouse(MouseMode)
        /// The user leaves a machine that another process runs.
        case detach
        /// The machine has ended, or was told to and does not answer.
        case finish(RunOutcome)
        /// What has scrolled off is wanted: `showScrollback`.
        case readScrollback
        /// As a file where vitrine was started.
        case saveText(String)
        /// The answer comes by `take`.
        case ask(MachineQuestion)
        /// For the manager around the console.
        case manager(ActionID)
    }

    public struct Settings: Sendable {
        public var theme: Theme
        public var keymap: Keymap
        public var layout: KeyLayout
        public var themeNames: [String]
        /// The guest has the keyboard from the start.
        public var capturesAtStart = true
        /// The mouse works the console.
        public var mouse = true
        /// The manager is around it: leaving does not end the machine.
        public var isManaged = false
        /// For screen readers: no frames, the cursor where the attention is.
        public var isLinear = false
        /// Another process runs the machine: leaving does not end it.
        public var attached = false
        /// Nothing that is done here changes the machine.
        public var readOnly = false
        public var listFolder: FolderLister = { _, _ in nil }
        public init(theme: Theme, keymap: Keymap, layout: KeyLayout, themeNames: [String] = []) {
            self.theme = theme
            self.keymap = keymap
            self.layout = layout
            self.themeNames = themeNames
        }
    }

    // MARK: State

    public var theme: Theme
    public internal(set) var keymap: Keymap
    let themeNames: [String]
    let uiMouse: Bool
    let isManaged: Bool
    let isLinear: Bool
    public let isAttached: Bool
    public let isReadOnly: Bool
    let listFolder: FolderLister
    /// Drive whose medium is being chosen from folders.
    var browsing: Bay?
    public internal(set) var view = MachineView()
    public var size = Size(width: 80, height: 25)
    public internal(set) var isCaptured: Bool
    public internal(set) var overlay: Overlay? {
        didSet {
            // Releases that come while something is open would never reach the guest.
            if oldValue == nil, overlay != nil, isCaptured { releaseKeys() }
        }
    }
    public internal(set) var keyboard: GuestKeyboard
    /// What has scrolled off, in the place of the guest's screen.
    public internal(set) var reading: TextPanel?
    /// The debugger, while it is open; and as it was when it was closed.
    public internal(set) var debug: DebugModel?
    var formerDebug: DebugModel?
    /// When the host key was pressed.
    var prefixSince: UInt64?
    /// The list of what may follow is up.
    var whichKey = false
    /// Arrows go on panning until then.
    var panUntil: UInt64 = 0
    /// Keys of an unfinished sequence.
    var sequence: [Chord] = []
    var sequenceUntil: UInt64 = 0
    var toast: (text: String, until: UInt64)?
    var origin: (column: Int, row: Int) = (0, 0)
    /// The user pans; the cursor is not followed.
    var isPanned = false
    var typing: TypingJob?
    var guestMouse = false
    var lastMouse: (column: Int, row: Int)?
    var mouseButtons: UInt8 = 0
    /// Keys waiting for the guest's 16-byte keyboard buffer, and when the last one sent has left it.
    var keysOut: [KeyChange] = []
    var keyClock: UInt64 = 0
    /// "All keys up" follows when those have left.
    var releaseIsDue = false
    /// The machine was told to end; we wait no longer than this.
    var finishAt: UInt64?
    var finished = false
    /// A medium on its way into a drive, and until when it should be there.
    var inserting: (bay: Bay, path: String, until: UInt64)?
    var effects: [Effect] = []
    /// Time of the call that runs.
    var now: UInt64 = 0

    public init(_ settings: Settings) {
        theme = settings.theme
        keymap = settings.keymap
        themeNames = settings.themeNames
        uiMouse = settings.mouse
        isManaged = settings.isManaged
        isLinear = settings.isLinear
        isAttached = settings.attached
        isReadOnly = settings.readOnly
        listFolder = settings.listFolder
        isCaptured = settings.capturesAtStart && !settings.readOnly
        keyboard = GuestKeyboard(layout: settings.layout)
    }

    /// What the mouse reports shall be.
    public var mouseMode: MouseMode { guestMouse ? .motion : uiMouse ? .clicks : .off }

    /// The guest's part of the terminal.
    public var guestArea: Rect { Rect(x: 0, y: 0, width: size.width, height: max(0, size.height - 1)) }

    /// The guest gets the keys that are pressed now.
    public var guestHasKeys: Bool { isCaptured && overlay == nil && prefixSince == nil && reading == nil }

    /// The theme with the machine's own wishes.
    public var shownTheme: Theme { theme.wished(view.palette) }

    var look: ScreenPanel.Look { ScreenPanel.Look(theme.guest) }

    /// The host key in force. A bare modifier is one only where the terminal reports it; elsewhere nobody could get out.
    public var host: Chord {
        guard case .named(let name) = keymap.host.key, name.modifier != nil, !keyboard.reportsReleases else { return keymap.host }
        return Keymap().host
    }

    // MARK: Inputs

    /// The machine's view has changed.
    public mutating func update(_ new: MachineView, at time: UInt64) -> [Effect] {
        now = time
        let wasStuck = view.state == .stuck
        view = new
        debug?.update(new, at: time)
        if new.state == .stuck, !wasStuck, new.outcome == nil { showGuru() }
        if new.state != .stuck, wasStuck { overlay = nil }
        keyboard.capsLockIsOn = new.keyboardLEDs & 4 != 0
        if let outcome = new.outcome { finish(outcome) }
        if !isPanned { followCursor() }
        stepTyping()
        return drain()
    }

    public mutating func handle(_ event: InputEvent, at time: UInt64) -> [Effect] {
        now = time
        switch event {
        case .key(let key): self.key(key)
        case .paste(let text): paste(text)
        case .mouse(let mouse): self.mouse(mouse)
        case .focus(false): releaseKeys()
        case .focus(true), .reply: break
        }
        return drain()
    }

    /// What has scrolled off the screen, the screen itself at the end.
    public mutating func showScrollback(_ lines: [String], at time: UInt64) {
        now = time
        reading?.update(lines)
    }

    /// A command from outside.
    mutating func perform(_ id: ActionID, at time: UInt64) -> [Effect] {
        now = time
        run(id)
        return drain()
    }

    /// A deadline has passed.
    public mutating func tick(at time: UInt64) -> [Effect] {
        now = time
        if let since = prefixSince, !whichKey, time >= since + UInt64(keymap.hostTimeoutMilliseconds) { whichKey = true }
        if let toast, time >= toast.until { self.toast = nil }
        if !sequence.isEmpty, time >= sequenceUntil { sequence = [] }
        if let inserting, time >= inserting.until { checkInserted() }
        debug?.tick(at: time)
        if let finishAt, time >= finishAt { finish(view.outcome ?? .poweredOffByUser) }
        stepTyping()
        return drain()
    }

    public mutating func resize(_ size: Size, at time: UInt64) {
        now = time
        self.size = size
        let area = guestArea
        debug?.resize(area)
        debug?.refresh(at: time)
        if isPanned { clampOrigin() } else { followCursor() }
    }

    /// The terminal reports releases from now on, or no longer.
    public mutating func setReportsReleases(_ flag: Bool, at time: UInt64) -> [Effect] {
        now = time
        if keyboard.reportsReleases != flag { releaseKeys() }
        keyboard.reportsReleases = flag
        return drain()
    }

    /// All keys of the guest up: before suspending, when the focus goes.
    public mutating func releaseAll(at time: UInt64) -> [Effect] {
        now = time
        releaseKeys(immediately: true)
        return drain()
    }

    public mutating func notify(_ text: String, at time: UInt64, milliseconds: UInt64 = 4000) {
        now = time
        say(text, milliseconds: milliseconds)
    }

    /// When `tick` wants to be called; nil when nothing is to come.
    public func nextDeadline(after time: UInt64) -> UInt64? {
        var next: UInt64?
        func at(_ t: UInt64) { next = min(next ?? t, t) }
        if let since = prefixSince, !whichKey { at(since + UInt64(keymap.hostTimeoutMilliseconds)) }
        if let toast { at(toast.until) }
        if !sequence.isEmpty { at(sequenceUntil) }
        if let finishAt { at(finishAt) }
        if let inserting { at(inserting.until) }
        if let deadline = debug?.deadline { at(deadline) }
        if typing != nil { at(time + 30) }
        if !keysOut.isEmpty { at(max(time + 1, keyClock &- min(keyClock, ConsoleModel.keyBurst))) }
        if ScreenPanel.blinks(view.frame, look), view.state != .paused { at((time / ConsoleModel.blink + 1) * ConsoleModel.blink) }
        return next
    }

    /// Half a period of blinking text: 16 frames of 60 Hz, as the VGA does it, in milliseconds.
    static let blink: UInt64 = 266

    func blinkIsOn(at time: UInt64) -> Bool { view.state == .paused || (time / ConsoleModel.blink) % 2 == 0 }

    // MARK: Helpers

    mutating func drain() -> [Effect] {
        flushKeys()
        flushDebugger()
        defer { effects = [] }
        return effects
    }

    mutating func finish(_ outcome: RunOutcome) {
        guard !finished else { return }
        finished = true
        finishAt = nil
        effects.append(.finish(outcome))
    }

    mutating func say(_ text: String, milliseconds: UInt64 = 4000) { toast = (text, now + milliseconds) }

    mutating func post(_ command: MachineCommand) {
        if !isReadOnly { effects.append(.post(command)) }
    }

    /// Milliseconds that a key change takes on the keyboard's wire, and how far ahead of the wire we may send: the keyboard
    /// buffers 16 bytes, a change is up to 3.
    static let keyCost: UInt64 = 3, keyBurst: UInt64 = 15

    mutating func send(_ changes: [KeyChange]) {
        keysOut += changes
        flushKeys()
    }

    private mutating func flushKeys() {
        var count = 0
        while count < keysOut.count, keyClock <= now + ConsoleModel.keyBurst {
            effects.append(.post(.key(keysOut[count].key, down: keysOut[count].down)))
            keyClock = max(keyClock, now) + ConsoleModel.keyCost
            count += 1
        }
        keysOut.removeFirst(count)
        if releaseIsDue, keysOut.isEmpty {
            releaseIsDue = false
            post(.releaseAllKeys)
        }
    }

    /// All keys of the guest go up, after those that wait for the wire; at once where there is no later.
    mutating func releaseKeys(immediately: Bool = false) {
        let ups = keyboard.releaseAll()
        if immediately { keysOut = [] }
        send(ups)
        if keysOut.isEmpty { post(.releaseAllKeys) } else { releaseIsDue = true }
        if immediately, releaseIsDue {
            keysOut = []
            releaseIsDue = false
            post(.releaseAllKeys)
        }
    }

    private var shown: Size {
        let scale = ScreenPanel.scale(view.frame, look)
        return Size(width: screenArea.width / scale, height: screenArea.height)
    }

    mutating func followCursor() {
        guard view.frame.mode == .text else { return }
        origin = ScreenPanel.follow(view.frame, from: origin, shown: shown)
    }

    mutating func clampOrigin() {
        origin.column = max(0, min(origin.column, view.frame.columns - shown.width))
        origin.row = max(0, min(origin.row, view.frame.rows - shown.height))
    }

    /// Rows and columns in view, when not all are.
    var viewNote: String? {
        guard view.frame.mode == .text else { return nil }
        let rows = view.frame.rows > shown.height, columns = view.frame.columns > shown.width
        if !rows && !columns { return nil }
        var parts: [String] = []
        if rows { parts.append("rows \(origin.row + 1)-\(origin.row + shown.height)/\(view.frame.rows)") }
        if columns { parts.append("cols \(origin.column + 1)-\(origin.column + shown.width)/\(view.frame.columns)") }
        return parts.joined(separator: " ")
    }
}
