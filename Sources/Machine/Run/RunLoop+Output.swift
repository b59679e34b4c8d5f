import Hardware
import Primitives

// The screen, the ports and the script.
extension RunLoop {
    /// Bytes the guest sent, to where they belong.
    func serveOutput() {
        for (stream, bytes) in pc.drainOutput() {
            switch stream {
            case .serial(let port):
                parts.serial?.write(port: port, bytes)
                received(port: port, bytes)
            case .virtioConsole:
                parts.serial?.write(port: SerialPump.virtioConsole, bytes)
                received(port: SerialPump.virtioConsole, bytes)
            case .debugConsole(let port):
                parts.debugConsoles[port]?.write(bytes)
                if port == parts.guestLogPort { logGuest(bytes) }
            case .parallel: break
            }
        }
    }

    private func received(port: Int, _ bytes: [UInt8]) {
        parts.script?.received(port: port, bytes)
        for index in jobs.indices { jobs[index].script.received(port: port, bytes) }
    }

    /// Somebody wants to see what is on the screen now.
    var looksAtScreen: Bool { parts.hasViewer || parts.script?.watchesScreen == true || jobs.contains { $0.script.watchesScreen } }

    /// Fetches the screen when it is due, and tells the front end when it changed.
    ///
    /// The clock that says when is the host's for a front end, and the guest's for a script under the virtual clock.
    func refreshView(force: Bool) {
        guard force || looksAtScreen else { return }
        let elapsed = hostElapsed
        let time = isVirtual && !parts.hasViewer ? guestTime : elapsed
        if !force, let fetched = frameFetched, time < fetched &+ RunLoop.frameInterval { return }
        frameFetched = time
        let changed = ranSinceFrame && fetchFrame()
        if ranSinceFrame {
            pc.settleText(halted: isHalted)
            takeTap()
        }
        ranSinceFrame = false
        guard parts.hasViewer else { return }
        let sampled = elapsed &- (rateSample.time &- started)
        let leds = pc.keyboardLEDs, mouse = pc.mouseWanted
        let old = machine.view()
        let scrolled = machine.scrollback.end
        let wake = changed || old.scrolled != scrolled || old.keyboardLEDs != leds || old.mouseWanted != mouse
        machine.publish(wake: wake) { view in
            if changed {
                view.frame = frame
                view.generation &+= 1
            }
            view.instructions = pc.retired
            view.guestSeconds = Double(pc.now()) / 1e9
            view.keyboardLEDs = leds
            view.scrolled = scrolled
            view.mouseWanted = mouse
            if sampled >= 1_000_000_000 { view.mips = Double(pc.retired &- rateSample.retired) / Double(sampled) * 1e3 }
        }
        if sampled >= 1_000_000_000 { rateSample = (started &+ elapsed, pc.retired) }
    }

    /// What the display shows, its characters as the settings say.
    var screen: TextFrame {
        var frame = pc.textFrame()
        frame.codePage = parts.codePage
        return frame
    }

    /// True when the screen differs from what it was.
    private func fetchFrame() -> Bool {
        let new = screen
        guard new != frame || frameGeneration == 0 else { return false }
        frame = new
        frameGeneration &+= 1
        return true
    }

    // MARK: Script

    private var scene: ScriptRunner.Scene {
        ScriptRunner.Scene(
            guestTime: guestTime, limitTime: isVirtual ? guestTime : hostElapsed, frame: frame, frameGeneration: frameGeneration,
            typingLeft: typing.left, instructions: pc.retired)
    }

    func stepScript() {
        guard !scriptHolds, var script = parts.script, !script.isFinished else { return }
        parts.script = nil  // a single owner: the transcripts in it are not copied
        let actions = script.advance(scene)
        parts.script = script
        var isRestored = false
        for action in actions where outcome == nil {
            if case .restore = action { isRestored = true }
            if case .debug = action { isRestored = true }
            do {
                try perform(action)
            } catch {
                outcome = .failed(error.description)
            }
        }
        // What follows is about the restored machine, before it has run.
        if isRestored, outcome == nil { stepScript() }
    }

    /// Scripts that came from outside: what fails in them is an answer, not the end of the machine.
    func stepJobs() {
        guard !jobs.isEmpty, !scriptHolds else { return }
        for index in jobs.indices.reversed() where outcome == nil {
            var (job, script) = jobs.remove(at: index)
            let actions = script.advance(scene)
            var result: ScriptJob.Result?
            for action in actions where result == nil {
                switch action {
                case .fail(let sentence): result = .waitFailed(sentence + "\n" + ScreenText.report(screen))
                case .stop:
                    outcome = outcome ?? .scriptStopped
                    result = .done
                case .screen(let path):
                    result = attempt { () throws(MachineError) in
                        try WholeFile.write(Array(screen.text.utf8), to: job.place(path), what: "screen text")
                    }
                case .digest(let path): result = attempt { () throws(MachineError) in try noteDigest(job.place(path)) }
                case .debug(let command): result = attempt { () throws(MachineError) in try debug(scripted: command) }
                case .save(let path): result = attempt { () throws(MachineError) in try save(to: job.place(path)) }
                case .restore(let path): result = attempt { () throws(MachineError) in try restore(from: job.place(path)) }
                case .screenshot(let path):
                    result = attempt { () throws(MachineError) in try ScreenshotFile.write(pc.pixels(), to: job.place(path)) }
                default: result = attempt { () throws(MachineError) in try perform(action) }
                }
            }
            // What was typed last has reached the guest when the script is over.
            if result == nil, script.isFinished, typing.isEmpty { result = .done }
            if let result { job.end(result) } else { jobs.insert((job, script), at: index) }
        }
    }

    private func attempt(_ body: () throws(MachineError) -> Void) -> ScriptJob.Result? {
        do throws(MachineError) {
            try body()
            return nil
        } catch {
            return .failed(error.description)
        }
    }

    private func perform(_ action: ScriptRunner.Action) throws(MachineError) {
        switch action {
        case .type(let text): typing.append(text: text)
        case .typeSerial(let port, let bytes): serialInput[port] += bytes
        case .balloon(let mib):
            if !balloon(mib) { throw .failed("The script asks for memory with 'balloon', but the machine has no balloon.") }
        case .keys(let chords): for chord in chords { typing.append(chord: chord) }
        case .screen(let path): try WholeFile.write(Array(screen.text.utf8), to: path, what: "screen text")
        case .screenshot(let path): try ScreenshotFile.write(pc.pixels(), to: path)
        case .digest(let path): try noteDigest(path)
        case .save(let path): try save(to: path)
        case .debug(let command): try debug(scripted: command)
        case .restore(let path): try restore(from: path)
        case .goTo(let instruction): try goTo(instruction: instruction)
        case .stop: outcome = .scriptStopped
        case .fail(let sentence): outcome = .scriptFailed(sentence + "\n" + ScreenText.report(screen))
        }
    }
}
