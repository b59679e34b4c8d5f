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
                parts.script?.received(port: port, bytes)
            case .virtioConsole:
                parts.serial?.write(port: SerialPump.virtioConsole, bytes)
                parts.script?.received(port: SerialPump.virtioConsole, bytes)
            case .debugConsole(let port): parts.debugConsoles[port]?.write(bytes)
            case .parallel: break
            }
        }
    }

    /// Somebody wants to see what is on the screen now.
    var looksAtScreen: Bool { parts.hasViewer || parts.script?.watchesScreen == true }

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
        ranSinceFrame = false
        guard parts.hasViewer else { return }
        let sampled = elapsed &- (rateSample.time &- started)
        let leds = pc.keyboardLEDs, mouse = pc.mouseWanted
        let old = machine.view()
        let wake = changed || old.keyboardLEDs != leds || old.mouseWanted != mouse
        machine.publish(wake: wake) { view in
            if changed {
                view.frame = frame
                view.generation &+= 1
            }
            view.instructions = pc.retired
            view.guestSeconds = Double(pc.now()) / 1e9
            view.keyboardLEDs = leds
            view.mouseWanted = mouse
            if sampled >= 1_000_000_000 { view.mips = Double(pc.retired &- rateSample.retired) / Double(sampled) * 1e3 }
        }
        if sampled >= 1_000_000_000 { rateSample = (started &+ elapsed, pc.retired) }
    }

    /// True when the screen differs from what it was.
    private func fetchFrame() -> Bool {
        let new = pc.textFrame()
        guard new != frame || frameGeneration == 0 else { return false }
        frame = new
        frameGeneration &+= 1
        return true
    }

    // MARK: Script

    func stepScript() {
        guard var script = parts.script, !script.isFinished else { return }
        let scene = ScriptRunner.Scene(
            guestTime: guestTime, limitTime: isVirtual ? guestTime : hostElapsed, frame: frame, frameGeneration: frameGeneration,
            typingLeft: typing.left)
        parts.script = nil  // a single owner: the transcripts in it are not copied
        let actions = script.advance(scene)
        parts.script = script
        for action in actions where outcome == nil { perform(action) }
    }

    private func perform(_ action: ScriptRunner.Action) {
        do {
            switch action {
            case .type(let text): typing.append(text: text)
            case .typeSerial(let port, let bytes): serialInput[port] += bytes
            case .balloon(let mib):
                if !pc.setBalloon(mib: mib) { outcome = .failed("The script asks for memory with 'balloon', but the machine has no balloon.") }
            case .keys(let chords): for chord in chords { typing.append(chord: chord) }
            case .screen(let path): try WholeFile.write(Array(pc.textFrame().text.utf8), to: path, what: "screen text")
            case .screenshot(let path): try Screenshot.write(pc.pixels(), to: path)
            case .stop: outcome = .scriptStopped
            case .fail(let sentence):
                let screen = ScreenText.report(pc.textFrame())
                outcome = .scriptFailed(sentence + "\n" + screen)
            }
        } catch {
            outcome = .failed(error.description)
        }
    }
}
