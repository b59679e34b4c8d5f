import Hardware
import Primitives

// Commands and everything that goes into the guest.
extension RunLoop {
    func handle(_ message: RunningMachine.Message) {
        switch message {
        case .pixels(let reply): reply.answer(pc.pixels())
        case .command(let command, let done):
            do throws(MachineError) {
                try carryOut(command)
                done?(nil)
            } catch {
                // Who waits for an answer gets it; for the others it is a message.
                if let done { done(error) } else { parts.diagnose(error.description) }
            }
        case .script(let script, let job):
            if stuck == nil { jobs.append((job, script)) } else { job.end(.failed(RunLoop.isStuck.description)) }
        case .callOff(let job): jobs.removeAll { $0.job === job }
        case .registers(let answer): answer(pc.registers)
        case .census(let answer): answer(pc.census)
        case .facts(let answer): answer(facts)
        case .report(let path, let done): done(report(to: path))
        case .snapshot(let job): begin(job)
        case .release(let job): release(job)
        case .copied(let copies): take(copies)
        case .trace(let categories): setTrace(categories)
        case .debug(let request, let done): debug(request, done)
        }
    }

    private func carryOut(_ command: MachineCommand) throws(MachineError) {
        if let stuck {
            switch command {
            case .reset, .powerOff, .eject, .insert: break
            case .key, .releaseAllKeys, .mouse, .serialInput: return
            case .acpiPowerButton:
                // Nobody hears it, and there is nothing left to lose.
                log(.info, "VM", "Power off was asked for.")
                return outcome = outcome ?? .guru(stuck)
            case .type, .pause, .resume, .balloon, .saveState: throw RunLoop.isStuck
            }
        }
        switch command {
        case .key(let key, let down): press(key, down)
        case .releaseAllKeys:
            // The fingers are not those of the past.
            if travel?.isInPast == true { keysDown = [] }
            for key in keysDown.reversed() { press(key, false) }
        case .type(let text):
            travel?.forgetFuture()
            typing.append(text: text)
        case .mouse(let dx, let dy, let buttons, let wheel): give(.mouse(dx: dx, dy: dy, buttons: buttons, wheel: wheel))
        case .serialInput(let port, let bytes): if serialInput.indices.contains(port) { serialInput[port] += bytes }
        case .pause: setPaused(true)
        case .resume: setPaused(false)
        case .reset:
            resetMachine(byGuest: false)
            setPaused(false)
        case .acpiPowerButton:
            give(.powerButton)
            machine.note(.powerButton)
            log(.info, "VM", "The ACPI power button is pressed.")
        case .balloon(let mib):
            if !balloon(mib) { throw .failed("The machine has no balloon.") }
        case .powerOff:
            log(.info, "VM", "Power off was asked for.")
            outcome = outcome ?? stuck.map { .guru($0) } ?? .poweredOffByUser
        case .saveState:
            try saveState()
        case .eject(let bay): change(bay, nil, path: nil)
        case .insert(let bay, let path):
            guard let open = parts.openMedium else { throw .failed("Media cannot be changed here.") }
            if let known = travel?.medium(of: path) { return change(bay, known, path: path) }
            change(bay, try open(bay, path), path: path)
        }
    }

    /// False: there is none.
    func balloon(_ mib: Int) -> Bool {
        guard pc.setBalloon(mib: mib) else { return false }
        travel?.note(.balloon(mib: mib))
        return true
    }

    private func press(_ key: PCKey, _ down: Bool) {
        keysDown.removeAll { $0 == key }
        if down { keysDown.append(key) }
        give(.key(key, down: down))
    }

    func setPaused(_ pause: Bool) {
        // It stands for somebody; what is wanted comes true afterwards.
        if holder != nil { return wasPaused = pause }
        guard paused != pause else { return }
        paused = pause
        if pause { parts.pauseClock() } else { parts.resumeClock() }
        machine.publish { $0.state = pause ? .paused : .running }
        machine.note(pause ? .paused : .resumed)
        logState(pause ? .paused : .running)
        guard let debugger else { return }
        if !pause {
            debugger.resumed()
        } else if debugger.stop == nil {
            let stop = debugger.makeStop(.pause, "Paused.", vcpu: debugger.pc.runningProcessor)
            debugger.stopped(stop)
            recordFromStop(stop)
        }
        publishStop()
    }

    private func change(_ bay: Bay, _ medium: (any Medium)?, path: String?) {
        // A saved state does not know the other medium.
        parts.savedState?.spend()
        _ = pc.media[bay]?.flush()
        give(.medium(bay, medium.map { travel?.history.watched($0) ?? $0 }, path: path))
        machine.publish { $0.media[bay] = path }
        machine.note(.medium(bay, path: path))
        log(.info, "Storage", path.map { "'\($0)' is put into \(bay.label)." } ?? "\(bay.label) is emptied.")
    }

    /// Waiting serial input, as far as the receivers have room, and random bytes that the guest asked for.
    /// - Returns: whether the guest got anything.
    func feedSerial() -> Bool {
        var fed = false
        for port in serialInput.indices where !serialInput[port].isEmpty {
            let room = port == SerialPump.virtioConsole ? pc.consoleInput(serialInput[port]) : pc.serialInput(port, serialInput[port])
            let taken = min(serialInput[port].count, max(0, room))
            if taken > 0, let travel {
                let bytes = Array(serialInput[port][..<taken])
                travel.note(port == SerialPump.virtioConsole ? .console(bytes) : .serial(port, bytes))
            }
            serialInput[port].removeFirst(taken)
            parts.serial?.taken(port: port, taken)
            if taken > 0 { fed = true }
        }
        let wanted = pc.entropyWanted
        if wanted > 0 {
            give(.entropy(parts.entropy(wanted)))
            fed = true
        }
        return fed
    }

    // MARK: Typing

    /// The next key event of a running `type`, if the guest is ready for it.
    func typeNext() {
        guard !typing.isEmpty else { return }
        let now = guestTime
        guard pc.typingReady, hasKeyboardBuffer(now) else { return }
        let left = typing.left
        guard let event = typing.take(now: now, ready: true, capsLock: pc.keyboardLEDs & 0b100 != 0) else { return }
        give(.key(event.key, down: event.down))
        if typing.left != left {
            machine.publish { [typing] in
                $0.typingLeft = typing.left
                $0.typingTotal = typing.total
            }
        }
    }

    /// Whether the BIOS's type-ahead buffer has room, so that firmware, DOS and boot loaders lose nothing.
    ///
    /// The buffer is 16 words in the BIOS data area; head and tail are offsets into segment 40h. A system that does not use the
    /// BIOS leaves them as they are, so a full buffer holds keys back for a second at most.
    ///
    /// Source: IBM *PC/AT Technical Reference* (1984), "BIOS data area": 40:1A head, 40:1C tail, 40:80 start, 40:82 end.
    private func hasKeyboardBuffer(_ now: Nanoseconds) -> Bool {
        func word(_ address: Physical) -> UInt16 { pc.memory.load(address, as: UInt16.self) }
        let head = word(0x41A), tail = word(0x41C), start = word(0x480), end = word(0x482)
        guard start < end, (start..<end).contains(head), (start..<end).contains(tail) else { return true }
        let used = (Int(tail) - Int(head) + Int(end - start)) % Int(end - start) / 2
        guard used > Int(end - start) / 4 else {
            bufferFullSince = nil
            return true
        }
        let since = bufferFullSince ?? now
        bufferFullSince = since
        return now &- since > 1_000_000_000
    }
}
