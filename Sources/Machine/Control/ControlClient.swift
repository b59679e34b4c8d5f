import Foundation
import Synchronization

/// One command after another over a control socket, each with its answer: for the verbs of the command line. Not for several threads.
public final class ControlClient {
    private let descriptor: Int32
    private var input = LineBuffer(limit: ControlServer.outputLimit)
    private let name: String
    private var nextID: Int64 = 1

    /// - Parameters:
    ///   - name: the machine's, in messages.
    ///   - milliseconds: how long it may take to answer.
    /// - Throws: `.wrongPlace` when nobody answers.
    public init(path: String, name: String, within milliseconds: Int32 = 10_000) throws(MachineError) {
        self.name = name
        descriptor = UnixSocket.connect(path)
        guard descriptor >= 0 else {
            throw MachineError(.wrongPlace, "The machine '\(name)' does not answer: \(path): \(WholeFile.reason()).")
        }
        // The greeting, or why there is none.
        let greeting = try receive(within: milliseconds)
        if let error = greeting["error"]?["desc"]?.string { throw MachineError(.wrongPlace, error) }
        guard greeting["QMP"] != nil else { throw .failed("What answers at '\(path)' is not a machine.") }
        _ = try ask("qmp_capabilities", within: milliseconds)
    }

    deinit { close(descriptor) }

    /// - Parameter milliseconds: how long the answer may take; nil: for ever.
    /// - Returns: what the command returned.
    /// - Throws: `.wrongPlace` with the machine's sentence when it refuses, or when the connection ends.
    @discardableResult
    public func ask(_ command: String, _ arguments: [String: JSONValue] = [:], within milliseconds: Int32? = 30_000) throws(MachineError) -> JSONValue {
        let id = try send(command, arguments, milliseconds)
        while true {
            let message = try receive(within: milliseconds)
            guard message["id"] == .integer(id) else { continue }  // an event
            if let error = message["error"] { throw MachineError(.wrongPlace, error["desc"]?.string ?? "The machine refuses.") }
            return message["return"] ?? [:]
        }
    }

    /// Work on snapshots, which tells how far it is.
    /// - Parameter progress: called several times a second; false: the machine is asked to stop the work, and its answer waited for.
    /// - Throws: as `ask`.
    public func work(
        _ command: String, _ arguments: [String: JSONValue], progress: (_ done: UInt64, _ total: UInt64) -> Bool
    ) throws(MachineError) -> JSONValue {
        let id = try send(command, arguments, 30_000)
        var done: UInt64 = 0, total: UInt64 = 0, isStopped = false
        while true {
            while let line = input.next() {
                guard let message = try? JSONValue(parsing: line) else { throw .failed("The machine '\(name)' sent something that is not JSON.") }
                if message["id"] == .integer(id) {
                    if let error = message["error"] { throw MachineError(.wrongPlace, error["desc"]?.string ?? "The machine refuses.") }
                    return message["return"] ?? [:]
                }
                guard message["event"]?.string == "X_VITRINE_PROGRESS", let data = message["data"] else { continue }
                (done, total) = (UInt64(max(0, data["done"]?.integer ?? 0)), UInt64(max(0, data["total"]?.integer ?? 0)))
            }
            guard !input.isOverlong else { throw .failed("The machine '\(name)' sent a line without an end.") }
            if !progress(done, total), !isStopped {
                isStopped = true
                _ = try send("x-vitrine-snapshot-cancel", [:], 30_000)
            }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 100) > 0 else { continue }
            guard let bytes = readAvailable(descriptor, atMost: 1 << 16) else { throw gone }
            input.append(bytes[...])
        }
    }

    private func send(_ command: String, _ arguments: [String: JSONValue], _ milliseconds: Int32?) throws(MachineError) -> Int64 {
        let id = nextID
        nextID += 1
        var output = OutBuffer()
        output.append(["execute": .string(command), "arguments": .object(arguments), "id": .integer(id)])
        while !output.isEmpty {
            guard output.flush(to: descriptor) else { throw gone }
            if !output.isEmpty { try wait(Int16(POLLOUT), milliseconds) }
        }
        return id
    }

    /// Waits until the machine has ended and everything of it is put away: then it lets go of its clients.
    /// - Returns: false when it has not after so many seconds.
    public func waitForEnd(within seconds: Double) throws(MachineError) -> Bool {
        let until = MachineEvent.wallClock() + Int64(seconds * 1e6)
        while true {
            while input.next() != nil {}
            let left = until - MachineEvent.wallClock()
            guard left > 0 else { return false }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, Int32(clamping: left / 1000 + 1)) > 0 else { continue }
            guard let bytes = readAvailable(descriptor, atMost: 1 << 16) else { return true }
            input.append(bytes[...])
        }
    }

    private var gone: MachineError { MachineError(.wrongPlace, "The machine '\(name)' has gone.") }

    private func receive(within milliseconds: Int32?) throws(MachineError) -> JSONValue {
        while true {
            if let line = input.next() {
                guard let value = try? JSONValue(parsing: line) else { throw .failed("The machine '\(name)' sent something that is not JSON.") }
                return value
            }
            guard !input.isOverlong else { throw .failed("The machine '\(name)' sent a line without an end.") }
            try wait(Int16(POLLIN), milliseconds)
            guard let bytes = readAvailable(descriptor, atMost: 1 << 16) else { throw gone }
            input.append(bytes[...])
        }
    }

    private func wait(_ events: Int16, _ milliseconds: Int32?) throws(MachineError) {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        while true {
            let count = poll(&entry, 1, milliseconds ?? -1)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .failed("The machine '\(name)' does not answer in time.") }
            return
        }
    }
}
