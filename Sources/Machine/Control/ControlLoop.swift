import Foundation
import Hardware

/// The thread of a control socket: clients, their commands, and what the machine does, in one poll.
final class ControlLoop {
    /// Between two frames for a viewer, in milliseconds.
    static let frameInterval: UInt64 = 16

    let server: ControlServer
    let subject: ControlSubject
    private var connections: [ControlConnection] = []
    private var nextNumber = 0
    private var nextEvent: UInt64 = 0
    var waiters: [ScreenWaiter] = []
    /// Commands for later, such as a key's release.
    private var timers: [(at: UInt64, command: MachineCommand)] = []
    /// The host has no descriptors left; tried again then.
    private var acceptAfter: UInt64 = 0
    private var machineIsDirty = true
    /// A Guru Meditation has been told already.
    private var hasPanicked = false
    /// Mouse buttons that `input-send-event` holds down.
    var mouseButtons: UInt8 = 0

    init(_ server: ControlServer) {
        self.server = server
        subject = server.subject
    }

    static func clock() -> UInt64 { HostClock.monotonic() / 1_000_000 }

    func run() {
        while !server.stops { turn(limit: nil) }
        farewell()
    }

    /// The machine has ended: the last events go out, for so long as clients take them.
    private func farewell() {
        for errand in server.takeErrands() { errand(self) }
        followMachine()
        for waiter in waiters { answer(waiter.ticket, .success(waiter.failure(subject.machine.view(), ended: true))) }
        waiters = []
        server.tidyUp()
        let until = ControlLoop.clock() + 2000
        for connection in connections {
            connection.isClosing = true
            connection.closeBy = until
        }
        while !connections.isEmpty, ControlLoop.clock() < until { turn(limit: until) }
        connections = []
    }

    // MARK: One turn

    private func turn(limit: UInt64?) {
        let now = ControlLoop.clock()
        var entries = [
            pollfd(fd: server.bell.readDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: subject.machine.wakeDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: now >= acceptAfter && limit == nil ? server.listener : -1, events: Int16(POLLIN), revents: 0),
        ]
        for connection in connections {
            let reads = !connection.isBusy && !connection.isClosing && !connection.isBehind
            let events = (reads ? Int16(POLLIN) : 0) | (connection.output.isEmpty ? 0 : Int16(POLLOUT))
            entries.append(pollfd(fd: connection.descriptor, events: events, revents: 0))
        }
        poll(&entries, nfds_t(entries.count), timeout(now, limit))
        if entries[0].revents != 0 { server.bell.drain() }
        if entries[1].revents != 0 { drain(entries[1].fd) }
        for errand in server.takeErrands() { errand(self) }
        if machineIsDirty { followMachine() }
        for (entry, connection) in zip(entries[3...], connections) where entry.revents != 0 { serve(connection, entry.revents) }
        if entries[2].revents != 0 { acceptClients() }
        let after = ControlLoop.clock()
        fireTimers(after)
        expireWaiters(after)
        for connection in connections where connection.viewIsDue { show(connection, after) }
        sweep(after)
    }

    private func timeout(_ now: UInt64, _ limit: UInt64?) -> Int32 {
        var next = limit ?? .max
        for timer in timers { next = min(next, timer.at) }
        for waiter in waiters { next = min(next, waiter.deadline) }
        if acceptAfter > now { next = min(next, acceptAfter) }
        for connection in connections {
            // Nothing more comes: it need not wait for anything.
            if connection.isClosing, connection.output.isEmpty { return 0 }
            if connection.viewIsDue, connection.output.isEmpty { next = min(next, connection.shownAt + ControlLoop.frameInterval) }
            if !connection.isNegotiated { next = min(next, connection.since + server.silenceMilliseconds) }
            if connection.isBehind { next = min(next, connection.tookAt + ControlServer.stallMilliseconds) }
            next = min(next, connection.closeBy)
        }
        return next == .max ? -1 : next <= now ? 0 : Int32(clamping: next - now)
    }

    private func drain(_ descriptor: Int32) {
        var bytes = [UInt8](repeating: 0, count: 4096)
        _ = read(descriptor, &bytes, bytes.count)
        machineIsDirty = true
    }

    // MARK: Clients

    private func acceptClients() {
        for _ in 0..<ControlServer.connectionLimit {
            let descriptor = accept(server.listener, nil, nil)
            guard descriptor >= 0 else {
                if errno == EMFILE || errno == ENFILE || errno == ENOMEM { acceptAfter = ControlLoop.clock() + 100 }
                return
            }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let connection = ControlConnection(number: nextNumber, descriptor: descriptor, since: ControlLoop.clock())
            nextNumber += 1
            guard UnixSocket.peerUser(descriptor) == geteuid() else {
                subject.log?.write(.warn, "Control", "A client of another user was refused.")
                connection.send(["error": QMPError.generic("This machine belongs to another user.").json])
                continue
            }
            guard connections.count < ControlServer.connectionLimit else {
                connection.send(["error": QMPError.generic("There are too many connections.").json])
                continue
            }
            connection.send(QMPCommands.greeting)
            connections.append(connection)
        }
    }

    private func serve(_ connection: ControlConnection, _ events: Int16) {
        if events & Int16(POLLOUT) != 0 {
            connection.flush(at: ControlLoop.clock())
            // Lines that waited until it read on.
            readLines(connection)
        }
        guard events & Int16(POLLIN | POLLHUP | POLLERR) != 0, !connection.isClosing else {
            if events & Int16(POLLHUP | POLLERR) != 0 { connection.isGone = true }
            return
        }
        guard !connection.isBusy, !connection.isBehind else {
            // Gone while its command is carried out; what it sent before is no longer of interest.
            if events & Int16(POLLHUP | POLLERR) != 0 { connection.isGone = true }
            return
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(connection.descriptor, &chunk, chunk.count)
        guard count > 0 else {
            if count == 0 || errno != EAGAIN && errno != EINTR { connection.isGone = true }
            return
        }
        connection.input.append(chunk[..<count])
        readLines(connection)
    }

    private func readLines(_ connection: ControlConnection) {
        while !connection.isBusy, !connection.isBehind, !connection.isGone, !connection.isClosing, let message = connection.input.next() {
            carryOut(message, connection)
        }
        if connection.input.isOverlong {
            connection.send(["error": QMPError.generic("The command is too long: at most \(ControlServer.lineLimit) bytes.").json])
            close(connection)
        }
    }

    func close(_ connection: ControlConnection) {
        connection.isClosing = true
        connection.closeBy = ControlLoop.clock() + 1000
    }

    private func carryOut(_ line: [UInt8], _ connection: ControlConnection) {
        var ticket = ControlTicket(connection: connection.number, id: nil)
        do throws(QMPError) {
            let request = try QMPRequest(line)
            ticket.id = request.id
            var call = QMPCall(loop: self, connection: connection, ticket: ticket, arguments: request.arguments)
            switch try QMPCommands.carryOut(request.command, &call) {
            case .now(let value): reply(connection, ticket, .success(value))
            case .later(let inOrder): connection.isBusy = inOrder
            }
        } catch {
            reply(connection, ticket, .failure(error))
        }
    }

    private func reply(_ connection: ControlConnection, _ ticket: ControlTicket, _ result: Result<JSONValue, QMPError>) {
        var message: [String: JSONValue] = [:]
        switch result {
        case .success(let value): message["return"] = value
        case .failure(let error): message["error"] = error.json
        }
        if let id = ticket.id { message["id"] = id }
        connection.send(.object(message))
    }

    /// The answer to a command that was not answered at once. Events that it caused go first.
    func answer(_ ticket: ControlTicket, _ result: Result<JSONValue, QMPError>) {
        sendEvents()
        guard let connection = connections.first(where: { $0.number == ticket.connection }) else { return }
        reply(connection, ticket, result)
        guard connection.isBusy else { return }
        connection.isBusy = false
        readLines(connection)
    }

    private func sweep(_ now: UInt64) {
        for connection in connections {
            if !connection.isNegotiated, !connection.isClosing, now >= connection.since + server.silenceMilliseconds { connection.isGone = true }
            if connection.isBehind, now >= connection.tookAt + ControlServer.stallMilliseconds { connection.isGone = true }
            if connection.isClosing, connection.output.isEmpty || now >= connection.closeBy { connection.isGone = true }
        }
        guard connections.contains(where: \.isGone) else { return }
        for connection in connections where connection.isGone {
            // What a viewer held down must not stay down.
            if connection.hasTouchedKeys { subject.machine.post(.releaseAllKeys) }
            for job in connection.jobs { subject.running?.send(.callOff(job)) }
            if let job = connection.holding { subject.running?.send(.release(job)) }
            waiters.removeAll { $0.ticket.connection == connection.number }
        }
        connections.removeAll(where: \.isGone)
    }

    // MARK: The machine

    private func followMachine() {
        machineIsDirty = false
        sendEvents()
        let view = subject.machine.view()
        checkWaiters(view)
        let now = ControlLoop.clock()
        for connection in connections where connection.viewer != nil { show(connection, now, view) }
    }

    private func sendEvents() {
        let (events, next) = subject.machine.events(from: nextEvent)
        nextEvent = next
        for event in events {
            if case .panicked = event.kind { hasPanicked = true }
            if case .reset = event.kind { hasPanicked = false }
            if !hasPanicked, case .ended(.guru(let sentence)) = event.kind {
                broadcast(MachineEvent(.panicked(sentence), microseconds: event.microseconds).json)
            }
            broadcast(event.json)
        }
    }

    func broadcast(_ event: JSONValue?) {
        guard let event else { return }
        for connection in connections where connection.isNegotiated { connection.send(event) }
    }

    /// Sends what changed, unless the viewer still has to read what it got: then the frames between are left out.
    private func show(_ connection: ControlConnection, _ now: UInt64, _ view: MachineView? = nil) {
        connection.viewIsDue = true
        guard connection.output.isEmpty, !connection.isGone else { return }
        let current = view ?? subject.machine.view()
        guard now >= connection.shownAt + ControlLoop.frameInterval || current.outcome != nil else { return }
        connection.viewIsDue = false
        guard let change = connection.viewer?.update(current) else { return }
        connection.shownAt = now
        connection.send(MachineEvent.json("X_VITRINE_VIEW", change.object ?? [:], MachineEvent.wallClock()))
    }

    /// The machine's thread carries a command out; the reply follows.
    func perform(_ command: MachineCommand, _ ticket: ControlTicket, _ value: @escaping @Sendable (MachineError?) -> Result<JSONValue, QMPError>) {
        let server = server
        subject.machine.perform(command) { error in server.deliver { $0.answer(ticket, value(error)) } }
    }

    func schedule(_ command: MachineCommand, milliseconds: UInt64) { timers.append((ControlLoop.clock() + milliseconds, command)) }

    private func fireTimers(_ now: UInt64) {
        guard timers.contains(where: { $0.at <= now }) else { return }
        for timer in timers where timer.at <= now { subject.machine.post(timer.command) }
        timers.removeAll { $0.at <= now }
    }

    // MARK: Waiting for the screen

    private func checkWaiters(_ view: MachineView) {
        guard !waiters.isEmpty else { return }
        var matched: [ControlTicket] = []
        waiters = waiters.compactMap { waiter in
            var waiter = waiter
            guard waiter.matches(view, subject.machine) else { return waiter }
            matched.append(waiter.ticket)
            return nil
        }
        for ticket in matched { answer(ticket, .success(["matched": true])) }
    }

    private func expireWaiters(_ now: UInt64) {
        let late = waiters.filter { $0.deadline <= now }
        guard !late.isEmpty else { return }
        waiters.removeAll { $0.deadline <= now }
        let view = subject.machine.view()
        for waiter in late { answer(waiter.ticket, .success(waiter.failure(view, ended: false))) }
    }
}
