import CNcursesW
import Glibc
import Machine
import Panels
import Terminal

/// The poll loop: keys, signals and the machine's wake in, pictures out. Sleeps when there is nothing.
@MainActor
final class ConsoleLoop {
    private let machine: any MachineControl
    private let folders: DataFolders
    private let options: ConsoleOptions
    private let screen: CursesScreen
    private var model: ConsoleModel
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
    private let settings: termios

    init(
        machine: any MachineControl, options: ConsoleOptions, folders: DataFolders, screen: CursesScreen, model: ConsoleModel,
        settings: termios
    ) {
        self.machine = machine
        self.options = options
        self.folders = folders
        self.screen = screen
        self.model = model
        self.settings = settings
        parser.escapeMilliseconds = model.keymap.escapeMilliseconds
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
        model.resize(screen.size, at: ConsoleLoop.clock())
        refreshView()
        if options.probe && screen.takesPrivateModes {
            screen.writeRaw(ControlSequences.probe)
            probeUntil = ConsoleLoop.clock() + 400
        } else {
            modesOn()
        }
        if let substitute = screen.substitute {
            model.notify("TERM unknown: \(substitute) used", at: ConsoleLoop.clock())
        } else if screen.lacksGlyphs {
            model.notify("Set LANG=C.UTF-8 for line graphics", at: ConsoleLoop.clock())
        }
        while result == nil { turn() }
        settle()
        leave()
        return result ?? .hangup
    }

    private func turn() {
        let now = ConsoleLoop.clock()
        var descriptors = [
            pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
            pollfd(fd: SignalPipe.shared.readDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: machine.wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        poll(&descriptors, nfds_t(descriptors.count), timeout(now))
        if descriptors[1].revents != 0 { signals() }
        if descriptors[0].revents != 0 { readKeys(hungUp: descriptors[0].revents & Int16(POLLIN) == 0) } else { expire(now) }
        if descriptors[2].revents != 0 {
            drain(descriptors[2].fd)
            refreshView()
        }
        let after = ConsoleLoop.clock()
        // What the machine complains about is worth a line at once; all of it is shown at the end.
        if let line = CrashGuard.shared.freshErrorLine("vitrine: ") {
            model.notify(line, at: after, milliseconds: 8000)
            dirty = true
        }
        if let deadline = model.nextDeadline(after: now), after >= deadline {
            carryOut(model.tick(at: after))
            dirty = true
        }
        if let probeUntil, after >= probeUntil { finishProbe() }
        if let resizeAt, after >= resizeAt { resize() }
        paint(after)
    }

    /// Milliseconds to sleep; -1 for ever.
    private func timeout(_ now: UInt64) -> Int32 {
        var next: UInt64 = .max
        if let deadline = model.nextDeadline(after: now) { next = min(next, deadline) }
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
        lastByte = ConsoleLoop.clock()
        take(parser.feed(buffer[0..<n]))
    }

    private func expire(_ now: UInt64) {
        guard let wait = parser.timeoutMilliseconds, ConsoleLoop.clock() >= lastByte + UInt64(wait) else { return }
        take(parser.expire())
    }

    private func take(_ events: [InputEvent]) {
        let now = ConsoleLoop.clock()
        for event in events {
            if case .reply(let reply) = event {
                answer(reply)
            } else {
                carryOut(model.handle(event, at: now))
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
            carryOut(model.setReportsReleases(flags & 2 != 0, at: ConsoleLoop.clock()))
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

    private func refreshView() {
        let view = machine.view()
        dirty = true
        carryOut(model.update(view, at: ConsoleLoop.clock()))
    }

    // MARK: Signals

    private func signals() {
        for number in SignalPipe.shared.drain() {
            switch number {
            case SIGWINCH: resizeAt = ConsoleLoop.clock() + 30
            case SIGTERM, SIGINT: result = result ?? .signalled(number)
            case SIGHUP: result = result ?? .hangup
            case SIGTSTP: suspend()
            case SIGCONT: continued()
            default: break
            }
        }
    }

    private func suspend() {
        carryOut(model.releaseAll(at: ConsoleLoop.clock()))
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
        model.resize(screen.size, at: ConsoleLoop.clock())
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
        if model.mouseMode != .off { modes += ControlSequences.mouse(model.mouseMode) }
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
        let until = ConsoleLoop.clock() + 150
        while fences > 0 || probeUntil != nil {
            let now = ConsoleLoop.clock()
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

    // MARK: Effects

    private func carryOut(_ effects: [ConsoleModel.Effect]) {
        for effect in effects {
            switch effect {
            case .post(let command): machine.post(command)
            case .beep: screen.writeRaw("\u{7}")
            case .copy(let text):
                if let sequence = Clipboard.sequence(text), screen.takesPrivateModes { screen.writeRaw(sequence) }
                Clipboard.giveToTmux(text)
            case .savePicture: savePicture()
            case .suspend: suspend()
            case .redraw: screen.invalidate()
            case .mouse(let mode): if screen.takesPrivateModes { screen.writeRaw(ControlSequences.mouse(mode)) }
            case .loadTheme(let name): loadTheme(name)
            case .detach: result = result ?? .detached
            case .finish(let outcome): result = result ?? .ended(outcome)
            }
            dirty = true
        }
    }

    /// Beside where the user is, under a name that no other picture has.
    private func savePicture() {
        let name = machine.view().name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" }
        do throws(MachineError) {
            let path = try Picture.save(machine.pixels(), in: ".", prefix: "vitrine-" + String(name))
            model.notify("Saved \(path)", at: ConsoleLoop.clock())
        } catch {
            model.notify(error.description, at: ConsoleLoop.clock(), milliseconds: 8000)
        }
    }

    private func loadTheme(_ name: String) {
        do {
            model.theme = try folders.theme(name)
            paintedPalette = nil
        } catch {
            model.notify(error.description, at: ConsoleLoop.clock(), milliseconds: 8000)
        }
    }

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
        let palette = model.view.frame.palette
        if palette != paintedPalette {
            screen.setColours(theme: model.theme, guestPalette: palette)
            paintedPalette = palette
        }
        let surface = model.draw(at: now)
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
