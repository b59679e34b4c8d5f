import Glibc

/// One client of a control socket, as the server's thread sees it.
final class ControlConnection {
    let number: Int
    let descriptor: Int32
    /// Host time at which it came, in milliseconds.
    let since: UInt64
    var input = MessageBuffer(limit: ControlServer.lineLimit)
    var output = OutBuffer()
    /// `qmp_capabilities` was given.
    var isNegotiated = false
    /// The reply to a command is still to come; the next line waits for it.
    var isBusy = false
    var isReadOnly = false
    /// Nothing more is read; closed when what waits is sent, or at the time given.
    var isClosing = false
    var closeBy: UInt64 = .max
    var isGone = false
    /// When it last took something, in milliseconds.
    var tookAt: UInt64
    /// A console is shown at the other end.
    var viewer: ViewEncoder?
    /// When the viewer last got something.
    var shownAt: UInt64 = 0
    var viewIsDue = false
    /// It has pressed keys of the guest.
    var hasTouchedKeys = false
    var jobs: [ScriptJob] = []
    /// Work on snapshots that it asked for.
    var snapshots: [SnapshotJob] = []
    /// The machine stands still for it.
    var holding: SnapshotJob?

    init(number: Int, descriptor: Int32, since: UInt64) {
        (self.number, self.descriptor, self.since, tookAt) = (number, descriptor, since, since)
    }

    deinit { close(descriptor) }

    var isBehind: Bool { output.count > ControlServer.outputMark }

    /// Sends what goes.
    func flush(at now: UInt64) {
        let before = output.count
        if !output.flush(to: descriptor) { isGone = true }
        if output.count < before || output.isEmpty { tookAt = now }
    }

    func send(_ message: JSONValue) {
        guard !isGone else { return }
        output.append(message)
        flush(at: ControlLoop.clock())
        // It does not read.
        if output.count > ControlServer.outputLimit { isGone = true }
    }
}

/// Whom a reply is for.
struct ControlTicket {
    var connection: Int
    var id: JSONValue?
}
