import CNcursesW
import Glibc
import Machine
import Panels
import Terminal

/// What is shown by a `TerminalLoop`: a model, and what carries its effects out.
@MainActor
protocol TerminalClient: AnyObject {
    var mouseMode: MouseMode { get }
    var escapeMilliseconds: Int { get }
    /// Descriptors that say by becoming readable that something has changed.
    var wakeDescriptors: [Int32] { get }
    /// Theme and the guest's colours of what `draw` shows.
    var colours: (theme: Theme, palette: [UInt32]) { get }
    func woken(by descriptors: Set<Int32>, at time: UInt64)
    func handle(_ event: InputEvent, at time: UInt64)
    func tick(at time: UInt64)
    func nextDeadline(after time: UInt64) -> UInt64?
    func resize(_ size: Size, at time: UInt64)
    func setReportsReleases(_ flag: Bool, at time: UInt64)
    func releaseAll(at time: UInt64)
    func notify(_ text: String, at time: UInt64, milliseconds: UInt64)
    func draw(at time: UInt64) -> Surface
}

/// The poll loop: keys, signals and the machines' wakes in, pictures out. Sleeps when there is nothing.
@MainActor
final class TerminalLoop {
    private let client: any TerminalClient
    private let options: ConsoleOptions
    private let screen: CursesScreen
    private var parser = InputParser()
    private var result: ConsoleResult?

    /// Something may look different.
    private var dirty = true
    private var lastFrame: UInt64 = 0
    private var resizeAt: UInt64?
    /// The end of waiting for answers to the first questions; nil when done.
    private var probeUntil: UInt64?
    private var hasKitty = false, hasWin32 = false, hasSynchronised = false
    private var modesAreOn = false
    /// Pictures whose end the terminal has not confirmed, and since when.
    private var fences = 0, fenceSince: UInt64 = 0
    private var fenceWorks = true
    private var ownStop = false
    /// The guest's colours that the screen was set up for; nil: set up anew.
    private var paintedPalette: [UInt32]?
    private var paintedScheme: Theme.GuestPalette?
    private let settings: termios

    init(client: any TerminalClient, options: ConsoleOptions, screen: CursesScreen, settings: termios) {
        self.client = client
        self.options = options
        self.screen = screen
        self.settings = settings
        parser.escapeMilliseconds = client.escapeMilliseconds
        if let delay = getenv("ESCDELAY").flatMap({ Int(String(cString: $0)) }), (1...1000).contains(delay) {
            parser.escapeMilliseconds = delay
        }
        withUnsafeBytes(of: settings.c_cc) { parser.backspaceIsControlH = $0[Int(VERASE)] == 8 }
    }

    static func clock() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }

    func run() -> ConsoleResult {
        screen.enter()
        client.resize(screen.size, at: TerminalLoop.clock())
        client.woken(by: Set(client.wakeDescriptors), at: TerminalLoop.clock())
        if options.probe && screen.takesPrivateModes {
            screen.writeRaw(ControlSequences.probe)
            probeUntil = TerminalLoop.clock() + 400
        } else {
            modesOn()
        }
        if let substitute = screen.substitute {
            client.notify("TERM unknown: \(substitute) used", at: TerminalLoop.clock(), milliseconds: 4000)
        } else if screen.lacksGlyphs {
            client.notify("Set LANG=C.UTF-8 for line graphics", at: TerminalLoop.clock(), milliseconds: 4000)
        }
        while result == nil { turn() }
        settle()
        leave()
        return result ?? .hangup
    }

    private func turn() {
        let now = TerminalLoop.clock()
        var descriptors = [
            pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
            pollfd(fd: SignalPipe.shared.readDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        descriptors += client.wakeDescriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        poll(&descriptors, nfds_t(descriptors.count), timeout(now))
        if descriptors[1].revents != 0 { signals() }
        if descriptors[0].revents != 0 { readKeys(hungUp: descriptors[0].revents & Int16(POLLIN) == 0) } else { expire(now) }
        let woken = Set(descriptors.dropFirst(2).filter { $0.revents != 0 }.map(\.fd))
        if !woken.isEmpty {
            for descriptor in woken { drain(descriptor) }
            client.woken(by: woken, at: TerminalLoop.clock())
            dirty = true
        }
        let after = TerminalLoop.clock()
        // What the machine complains about is worth a line at once; all of it is shown at the end.
        if let line = CrashGuard.shared.freshErrorLine("vitrine: ") {
            client.notify(line, at: after, milliseconds: 8000)
            dirty = true
        }
        if let deadline = client.nextDeadline(after: now), after >= deadline {
            client.tick(at: after)
            dirty = true
        }
        if let probeUntil, after >= probeUntil { finishProbe() }
        if let resizeAt, after >= resizeAt { resize() }
        paint(after)
    }

    /// Milliseconds to sleep; -1 for ever.
    private func timeout(_ now: UInt64) -> Int32 {
        var next: UInt64 = .max
        if let deadline = client.nextDeadline(after: now) { next = min(next, deadline) }
        if let wait = parser.timeoutMilliseconds { next = min(next, lastByte + UInt64(wait)) }
        if let probeUntil { next = min(next, probeUntil) }
        if let resizeAt { next = min(next, resizeAt) }
        if dirty, probeUntil == nil { next = min(next, frameDue(now)) }
        return next == .max ? -1 : next <= now ? 0 : Int32(clamping: next - now)
    }

    // MARK: Input

    private var lastByte: UInt64 = 0
    private var buffer = [UInt8](repeating: 0, count: 16384)

    private func readKeys(hungUp: Bool) {
        let n = hungUp ? 0 : read(0, &buffer, buffer.count)
        if n < 0, errno == EINTR || errno == EAGAIN { return }
        guard n > 0 else {
            result = result ?? .hangup
            return
        }
        lastByte = TerminalLoop.clock()
        take(parser.feed(buffer[0..<n]))
    }

    private func expire(_ now: UInt64) {
        guard let wait = parser.timeoutMilliseconds, TerminalLoop.clock() >= lastByte + UInt64(wait) else { return }
        take(parser.expire())
    }

    private func take(_ events: [InputEvent]) {
        let now = TerminalLoop.clock()
        for event in events {
            if case .reply(let reply) = event {
                answer(reply)
            } else {
                client.handle(event, at: now)
                dirty = true
            }
        }
    }

    private func answer(_ reply: Reply) {
        switch reply {
        case .deviceAttributes: if probeUntil != nil { finishProbe() }
        case .keyboardFlags(let flags):
            if !hasKitty, modesAreOn { screen.writeRaw(ControlSequences.pushKittyKeys) }
            hasKitty = true
            client.setReportsReleases(flags & 2 != 0, at: TerminalLoop.clock())
        case .mode(2026, let state): hasSynchronised = state == 1 || state == 2
        case .mode(9001, let state): hasWin32 = state == 1 || state == 2
        case .ready:
            if fences > 0 { fences -= 1 }
            fenceWorks = true
        case .mode, .version, .other: break
        }
    }

    private func drain(_ descriptor: Int32) {
        // One read: the descriptor may block when it is empty.
        var bytes = [UInt8](repeating: 0, count: 4096)
        _ = read(descriptor, &bytes, bytes.count)
    }

    // MARK: Signals

    private func signals() {
        for number in SignalPipe.shared.drain() {
            switch number {
            case SIGWINCH: resizeAt = TerminalLoop.clock() + 30
            case SIGTERM, SIGINT: result = result ?? .signalled(number)
            case SIGHUP: result = result ?? .hangup
            case SIGTSTP: suspend()
            case SIGCONT: continued()
            default: break
            }
        }
    }

    func suspend() {
        client.releaseAll(at: TerminalLoop.clock())
        leave()
        ownStop = true
        kill(getpid(), SIGSTOP)
        reenter()
    }

    private func continued() {
        if ownStop {
            ownStop = false
            return
        }
        // Stopped from outside without a word: the shell has had the terminal in between.
        CrashGuard.shared.undivert()
        reenter()
    }

    private func reenter() {
        CrashGuard.shared.divert()
        CrashGuard.shared.arm(
            settings: settings, restore: screen.takesPrivateModes ? ControlSequences.restore : ControlSequences.restorePlain)
        reset_prog_mode()
        screen.reenter()
        modesAreOn = false
        modesOn()
        fences = 0
        resize()
        dirty = true
    }

    private func resize() {
        resizeAt = nil
        var window = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0 else { return }
        screen.resize(Size(width: Int(window.ws_col), height: Int(window.ws_row)))
        client.resize(screen.size, at: TerminalLoop.clock())
        dirty = true
    }

    // MARK: Modes of the terminal

    private func finishProbe() {
        probeUntil = nil
        // What a terminal printed of the questions goes.
        screen.invalidate()
        modesOn()
        dirty = true
    }

    private func modesOn() {
        guard screen.takesPrivateModes, !modesAreOn else { return }
        modesAreOn = true
        var modes = ControlSequences.bracketedPaste + ControlSequences.focusReports
        if client.mouseMode != .off { modes += ControlSequences.mouse(client.mouseMode) }
        if hasKitty {
            modes += ControlSequences.pushKittyKeys
        } else if hasWin32 {
            modes += ControlSequences.win32Keys
        } else {
            modes += ControlSequences.modifyOtherKeys
        }
        screen.writeRaw(modes)
    }

    /// Waits a little for answers under way, so that they do not end up in the shell's next line.
    private func settle() {
        guard fences > 0 || probeUntil != nil else { return }
        let until = TerminalLoop.clock() + 150
        while fences > 0 || probeUntil != nil {
            let now = TerminalLoop.clock()
            guard now < until else { return }
            var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            guard poll(&descriptor, 1, Int32(until - now)) > 0, descriptor.revents & Int16(POLLIN) != 0 else { return }
            let n = read(0, &buffer, buffer.count)
            guard n > 0 else { return }
            for case .reply(let reply) in parser.feed(buffer[0..<n]) {
                if case .ready = reply { fences = max(0, fences - 1) }
                if case .deviceAttributes = reply { probeUntil = nil }
            }
        }
    }

    private func leave() {
        if screen.takesPrivateModes {
            // All but the way back to the main screen, which is curses' to take; keys before it, they are kept per screen.
            var modes = "\u{1B}[?2026l\u{1B}[>4m\u{1B}[?2004l\u{1B}[?1004l\u{1B}[?9001l\u{1B}[0 q" + ControlSequences.mouse(.off)
            if hasKitty { modes = ControlSequences.popKittyKeys + modes }
            screen.writeRaw(modes)
        }
        modesAreOn = false
        screen.forgetCursor()
        screen.leave()
        CrashGuard.shared.disarm()
        var settings = settings
        tcsetattr(0, TCSADRAIN, &settings)
        CrashGuard.shared.undivert()
    }

    // MARK: For clients

    /// The loop ends with this; the first reason counts.
    func finish(_ new: ConsoleResult) { result = result ?? new }

    func beep() { screen.writeRaw("\u{7}") }

    func invalidate() {
        screen.invalidate()
        dirty = true
    }

    func copy(_ text: String) {
        if let sequence = Clipboard.sequence(text), screen.takesPrivateModes { screen.writeRaw(sequence) }
        Clipboard.giveToTmux(text)
    }

    func setMouse(_ mode: MouseMode) { if screen.takesPrivateModes { screen.writeRaw(ControlSequences.mouse(mode)) } }

    /// Another theme, or another machine with colours of its own.
    func coloursChanged() {
        paintedPalette = nil
        dirty = true
    }

    /// - Parameter milliseconds: after which a lone Esc is one.
    func setEscape(_ milliseconds: Int) { parser.escapeMilliseconds = milliseconds }

    // MARK: Output

    /// 60 pictures a second at most; 15 when the terminal confirms none.
    private func frameDue(_ now: UInt64) -> UInt64 {
        let due = lastFrame + (fenceWorks ? 16 : 66)
        return fences >= 2 && fenceWorks ? max(due, fenceSince + 1000) : due
    }

    private func paint(_ now: UInt64) {
        guard dirty, probeUntil == nil, result == nil || lastFrame == 0, now >= frameDue(now), CrashGuard.shared.isArmed else { return }
        if fences >= 2 {
            // A second without an answer: this terminal gives none.
            fenceWorks = false
            fences = 0
        }
        dirty = false
        let (theme, palette) = client.colours
        if palette != paintedPalette || theme.guest.palette != paintedScheme {
            screen.setColours(theme: theme, guestPalette: palette)
            (paintedPalette, paintedScheme) = (palette, theme.guest.palette)
        }
        let surface = client.draw(at: now)
        guard screen.differs(surface) else { return }
        var before = "", after = ""
        if screen.takesPrivateModes, options.probe {
            if fenceWorks {
                after = ControlSequences.fence
                if fences == 0 { fenceSince = now }
                fences += 1
            }
            if hasSynchronised { (before, after) = (ControlSequences.beginSynchronised, ControlSequences.endSynchronised + after) }
        }
        screen.present(surface, before: before, after: after)
        lastFrame = now
    }
}
