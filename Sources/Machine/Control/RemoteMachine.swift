import Foundation
import Hardware
import Synchronization

/// A machine that another process runs, over its control socket.
///
/// A thread of its own reads what changes and writes what is posted. When the connection ends before the machine does, the view gets an
/// outcome that says so. A machine that says that it comes back is waited for.
public final class RemoteMachine: MachineControl {
    private typealias Answer = @Sendable (Result<JSONValue, MachineError>) -> Void
    private struct State: Sendable {
        var view = MachineView()
        var waiting: [JSONValue] = []
        var answers: [Int64: Answer] = [:]
        var nextID: Int64 = 100
        var isClosed = false
    }

    private let state: Mutex<State>
    private let descriptor: Mutex<Int32>
    private let path: String
    private let name: String
    /// For a machine that comes back, in milliseconds.
    private static let patience = 30_000
    private let viewPipe: WakePipe
    private let bell: WakePipe
    private let isLeaving = Atomic<Bool>(false)
    public let isReadOnly: Bool

    /// Connects and attaches; the view is whole when this returns.
    /// - Throws: `.wrongPlace` when nobody answers or the machine refuses.
    public init(path: String, name: String, readOnly: Bool) throws(MachineError) {
        isReadOnly = readOnly
        (self.path, self.name) = (path, name)
        viewPipe = try WakePipe()
        bell = try WakePipe()
        let opened = UnixSocket.connect(path)
        descriptor = Mutex(opened)
        guard opened >= 0 else {
            throw MachineError(.wrongPlace, "The machine '\(name)' does not answer: \(path): \(WholeFile.reason()).")
        }
        state = Mutex(State())
        var link = RemoteLink(descriptor: opened)
        let whole = try link.attach(name, readOnly: readOnly)
        state.withLock {
            $0.view.name = whole["name"]?.string ?? name
            $0.view.apply(whole["view"] ?? [:])
        }
        let thread = Thread { [link] in self.serve(link) }
        thread.name = "remote"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit { descriptor.withLock { _ = close($0) } }

    /// Detaches; the machine goes on.
    public func leave() {
        isLeaving.store(true, ordering: .releasing)
        bell.signal()
    }

    // MARK: MachineControl

    public func post(_ command: MachineCommand) { perform(command) { _ in } }

    public func perform(_ command: MachineCommand, _ done: @escaping @Sendable (MachineError?) -> Void) {
        guard !isReadOnly else { return done(MachineError(.wrongPlace, "This console only looks.")) }
        var command = command
        // The other process has a folder of its own.
        if case .insert(let bay, let path) = command, !path.hasPrefix("/") {
            command = .insert(bay, path: FileManager.default.currentDirectoryPath + "/" + path)
        }
        ask("x-vitrine-input", command.json) { result in
            if case .failure(let error) = result { done(error) } else { done(nil) }
        }
    }

    public func view() -> MachineView { state.withLock { $0.view } }

    public var wakeDescriptor: Int32 { viewPipe.readDescriptor }

    public func pixels() -> PixelFrame? {
        guard let reply = wait("x-vitrine-pixels", [:]), let width = reply["width"]?.integer, let height = reply["height"]?.integer,
            (1...8192).contains(width), (1...8192).contains(height), let text = reply["data"]?.string, let bytes = Data(base64Encoded: text),
            bytes.count == Int(width * height) * 3
        else { return nil }
        let pixels = stride(from: 0, to: bytes.count, by: 3).map { at -> UInt32 in
            let red = UInt32(bytes[at]), green = UInt32(bytes[at + 1]), blue = UInt32(bytes[at + 2])
            return red << 16 | green << 8 | blue
        }
        return PixelFrame(width: Int(width), height: Int(height), pixels: pixels)
    }

    public func scrolledLines(from first: UInt64, count: Int) -> ScrolledLines {
        var result = ScrolledLines()
        let arguments: [String: JSONValue] = [
            "from": .integer(Int64(clamping: first)), "count": .integer(Int64(count)), "cells": true,
        ]
        guard let reply = wait("x-vitrine-scrollback", arguments) else { return result }
        result.codePage = view().frame.codePage
        result.first = UInt64(max(0, reply["first"]?.integer ?? 0))
        result.end = UInt64(max(0, reply["end"]?.integer ?? 0))
        result.lines = (reply["lines"]?.array ?? []).map { $0.string.flatMap { ViewEncoder.decode($0, limit: 512) } ?? [] }
        return result
    }

    public func facts(_ answer: @escaping @Sendable (MachineFacts?) -> Void) {
        ask("x-vitrine-facts", [:]) { result in
            guard case .success(let value) = result, let text = value["facts"]?.string else { return answer(nil) }
            answer(try? DebugWire.value(text))
        }
    }

    public func saveReport(to path: String, _ done: @escaping @Sendable (MachineError?) -> Void) {
        // The other process has a folder of its own.
        let whole = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        ask("x-vitrine-report", ["path": .string(whole)]) { result in
            if case .failure(let error) = result { done(error) } else { done(nil) }
        }
    }

    public func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        guard !isReadOnly || request.onlyLooks else { return done(.refused(request, "This console only looks.")) }
        guard let text = try? DebugWire.text(request) else { return done(.refused(request, "The request cannot be written.")) }
        ask("x-vitrine-debug", ["request": .string(text)]) { result in
            switch result {
            case .failure(let error): done(.refused(request, error.description))
            case .success(let value):
                let reply: DebugReply? = value["reply"]?.string.flatMap { try? DebugWire.value($0) }
                done(reply ?? .refused(request, "The machine's answer is not understood."))
            }
        }
    }

    // MARK: Asking

    private func ask(_ command: String, _ arguments: [String: JSONValue], _ answer: @escaping Answer) {
        let accepted = state.withLock { state in
            guard !state.isClosed else { return false }
            state.waiting.append(["execute": .string(command), "arguments": .object(arguments), "id": .integer(state.nextID)])
            state.answers[state.nextID] = answer
            state.nextID += 1
            return true
        }
        if accepted { bell.signal() } else { answer(.failure(RemoteMachine.isGone)) }
    }

    private static let isGone = MachineError(.wrongPlace, "The connection to the machine has ended.")

    /// Waits for the answer, at most ten seconds.
    private func wait(_ command: String, _ arguments: [String: JSONValue]) -> JSONValue? {
        let done = DispatchSemaphore(value: 0)
        let reply = Reply()
        ask(command, arguments) { result in
            if case .success(let value) = result { reply.value.withLock { $0 = value } }
            done.signal()
        }
        guard done.wait(timeout: .now() + 10) == .success else { return nil }
        return reply.value.withLock { $0 }
    }

    private final class Reply: Sendable { let value = Mutex<JSONValue?>(nil) }

    // MARK: The thread

    private func serve(_ first: RemoteLink) {
        var link = first
        var end: String?
        while end == nil, !isLeaving.load(ordering: .acquiring) {
            for message in state.withLock({ state in
                defer { state.waiting = [] }
                return state.waiting
            }) { link.output.append(message) }
            end = link.step(bell) ?? takeLines(&link)
            if end != nil, let new = comeBack() { (link, end) = (new, nil) }
        }
        // What was posted before leaving, such as power off, still goes out.
        for message in state.withLock({ $0.waiting }) { link.output.append(message) }
        link.finish()
        let answers = state.withLock { state in
            state.isClosed = true
            if state.view.outcome == nil {
                state.view.outcome = .failed(end ?? "The console was left.")
                state.view.state = .off
            }
            defer { state.answers = [:] }
            return state.answers
        }
        for answer in answers.values { answer(.failure(RemoteMachine.isGone)) }
        viewPipe.signal()
    }

    /// The machine in its next process. What was asked of the old one is not asked again.
    /// - Returns: nil: it does not come back, or nobody waits for it any more.
    private func comeBack() -> RemoteLink? {
        guard state.withLock({ $0.view.comesBack }) else { return nil }
        let answers = state.withLock { state in
            (state.view.outcome, state.view.state) = (nil, .starting)
            defer { (state.answers, state.waiting) = ([:], []) }
            return state.answers
        }
        for answer in answers.values { answer(.failure(RemoteMachine.isGone)) }
        viewPipe.signal()
        for _ in 0..<RemoteMachine.patience / 20 {
            guard !isLeaving.load(ordering: .acquiring) else { return nil }
            usleep(20_000)
            let opened = UnixSocket.connect(path)
            guard opened >= 0 else { continue }
            var link = RemoteLink(descriptor: opened), new = MachineView()
            guard let whole = try? link.attach(name, readOnly: isReadOnly) else {
                close(opened)
                continue
            }
            new.name = whole["name"]?.string ?? name
            new.apply(whole["view"] ?? [:])
            // Still the old one, which is just ending.
            guard !new.comesBack else {
                close(opened)
                continue
            }
            state.withLock { $0.view = new }
            descriptor.withLock { descriptor in
                close(descriptor)
                descriptor = opened
            }
            viewPipe.signal()
            return link
        }
        return nil
    }

    /// - Returns: why there is no going on; nil: there is.
    private func takeLines(_ link: inout RemoteLink) -> String? {
        var changed = false
        defer { if changed { viewPipe.signal() } }
        while let line = link.input.next() {
            guard let message = try? JSONValue(parsing: line) else { return "The machine sent something that is not JSON." }
            if message["event"] == "X_VITRINE_VIEW" {
                let isBetween = state.withLock { state in
                    state.view.apply(message["data"] ?? [:])
                    return state.view.comesBack && state.view.outcome != nil
                }
                changed = true
                if isBetween { return "The machine has not come back." }
            } else if let id = message["id"]?.integer, let answer = state.withLock({ $0.answers.removeValue(forKey: id) }) {
                if let error = message["error"] {
                    answer(.failure(MachineError(.failed, error["desc"]?.string ?? "The machine refuses.")))
                } else {
                    answer(.success(message["return"] ?? [:]))
                }
            }
        }
        return nil
    }
}

/// The socket of a `RemoteMachine`: lines in, lines out.
private struct RemoteLink {
    let descriptor: Int32
    var input = LineBuffer(limit: ControlServer.outputLimit)
    var output = OutBuffer()

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// One poll with what came and went; returns why there is no going on.
    mutating func step(_ bell: WakePipe?, milliseconds: Int32 = -1) -> String? {
        var entries = [
            pollfd(fd: descriptor, events: Int16(POLLIN) | (output.isEmpty ? 0 : Int16(POLLOUT)), revents: 0),
            pollfd(fd: bell?.readDescriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&entries, 2, milliseconds) != 0 else { return "The machine does not answer." }
        if entries[1].revents != 0 { bell?.drain() }
        if entries[0].revents & Int16(POLLOUT) != 0, !output.flush(to: descriptor) { return "The process that runs the machine has gone." }
        if entries[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            guard let bytes = readAvailable(descriptor, atMost: 1 << 16) else { return "The process that runs the machine has gone." }
            input.append(bytes[...])
        }
        return input.isOverlong ? "The machine sent a line without an end." : nil
    }

    /// - Returns: the machine's name and view.
    mutating func attach(_ name: String, readOnly: Bool) throws(MachineError) -> JSONValue {
        try greet(name)
        output.append(["execute": "qmp_capabilities", "id": 1])
        output.append(["execute": "x-vitrine-attach", "arguments": ["read-only": .bool(readOnly)], "id": 2])
        return try answer(to: 2, name)
    }

    mutating func greet(_ name: String) throws(MachineError) {
        let greeting = try message(name)
        if let error = greeting["error"]?["desc"]?.string { throw MachineError(.wrongPlace, error) }
        guard greeting["QMP"] != nil else { throw .failed("What answers for '\(name)' is not a machine.") }
    }

    mutating func answer(to id: Int64, _ name: String) throws(MachineError) -> JSONValue {
        while true {
            let message = try message(name)
            guard message["id"] == .integer(id) else { continue }
            if let error = message["error"]?["desc"]?.string { throw MachineError(.wrongPlace, error) }
            return message["return"] ?? [:]
        }
    }

    private mutating func message(_ name: String) throws(MachineError) -> JSONValue {
        while true {
            if let line = input.next() {
                guard let value = try? JSONValue(parsing: line) else { throw .failed("The machine '\(name)' sent something that is not JSON.") }
                return value
            }
            if let problem = step(nil, milliseconds: 10_000) { throw MachineError(.wrongPlace, "'\(name)': \(problem)") }
        }
    }

    /// Sends what is left, for a second at most.
    mutating func finish() {
        while !output.isEmpty, output.flush(to: descriptor), !output.isEmpty {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, 1000) > 0 else { return }
        }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}
