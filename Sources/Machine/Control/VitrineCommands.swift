import Foundation
import Hardware

// Vitrine's own commands: what the console and the verbs of the command line use.
extension QMPCommands {
    static let vitrine: [QMPCommand] = [
        QMPCommand("x-vitrine-attach") { call throws(QMPError) in
            let readOnly = try call.arguments.optionalBool("read-only") ?? false
            try call.arguments.finish()
            var encoder = ViewEncoder()
            let view = call.machine.view()
            let whole = encoder.update(view) ?? [:]
            call.connection.viewer = encoder
            call.connection.isReadOnly = readOnly
            return .now(["name": .string(view.name), "view": whole])
        },
        QMPCommand("x-vitrine-detach") { call throws(QMPError) in
            try call.arguments.finish()
            call.connection.viewer = nil
            if call.connection.hasTouchedKeys { call.machine.post(.releaseAllKeys) }
            call.connection.hasTouchedKeys = false
            return .done
        },
        QMPCommand("x-vitrine-view") { call throws(QMPError) in
            let withText = try call.arguments.optionalBool("text") ?? false
            try call.arguments.finish()
            return .now(summary(call.machine.view(), withText: withText))
        },
        QMPCommand("x-vitrine-input", changes: true) { call throws(QMPError) in
            let command = try MachineCommand(&call.arguments)
            switch command {
            case .key, .releaseAllKeys, .mouse, .serialInput:
                // As they come: many, and nothing can be wrong with them any more.
                try call.arguments.finish()
                if case .key = command { call.connection.hasTouchedKeys = true }
                call.machine.post(command)
                return .done
            default: return try call.plain(command)
            }
        },
        QMPCommand("x-vitrine-comes-back", changes: true) { call throws(QMPError) in
            let comesBack = try call.arguments.optionalBool("comes-back") ?? true
            try call.arguments.finish()
            (call.machine as? RunningMachine)?.publish { $0.comesBack = comesBack }
            return .done
        },
        QMPCommand("x-vitrine-save-state", changes: true) { call throws(QMPError) in try call.plain(.saveState) },
        QMPCommand("x-vitrine-snapshot-take", changes: true) { call throws(QMPError) in
            let name = try call.arguments.string("name"), description = try call.arguments.optionalString("description") ?? ""
            return try call.snapshot(.take(name: name, description: description))
        },
        QMPCommand("x-vitrine-snapshot-delete", changes: true) { call throws(QMPError) in
            return try call.snapshot(.delete(name: try call.arguments.string("name")))
        },
        QMPCommand("x-vitrine-snapshot-commit", changes: true) { call throws(QMPError) in try call.snapshot(.commit) },
        QMPCommand("x-vitrine-hold", changes: true) { call throws(QMPError) in
            let path = try call.arguments.string("file")
            let reply = try call.snapshot(.hold(path))
            call.connection.holding = call.connection.snapshots.last
            return reply
        },
        QMPCommand("x-vitrine-release", changes: true) { call throws(QMPError) in
            try call.arguments.finish()
            if let job = call.connection.holding { call.loop.subject.running?.send(.release(job)) }
            call.connection.holding = nil
            return .done
        },
        QMPCommand("x-vitrine-snapshot-cancel", changes: true) { call throws(QMPError) in
            try call.arguments.finish()
            for job in call.connection.snapshots { job.cancel() }
            return .done
        },
        QMPCommand("x-vitrine-type", changes: true) { call throws(QMPError) in
            let text = try call.arguments.string("text")
            return try call.script { () throws(MachineError) in Script(steps: [Script.Step(line: 1, command: .type(text))]) }
        },
        QMPCommand("x-vitrine-keys", changes: true) { call throws(QMPError) in
            var names: [String] = []
            for value in try call.arguments.array("keys") {
                guard let name = value.string else { throw .generic("Parameter 'keys' takes names such as 'ctrl-alt-del'") }
                names.append(name)
            }
            return try call.script { () throws(MachineError) in
                var chords: [KeyChord] = []
                for name in names { chords.append(try KeyChord(name)) }
                return Script(steps: [Script.Step(line: 1, command: .keys(chords))])
            }
        },
        QMPCommand("x-vitrine-script", changes: true) { call throws(QMPError) in
            let text = try call.arguments.string("text"), name = try call.arguments.optionalString("name") ?? "script"
            return try call.script(name: name) { () throws(MachineError) in try Script(text, name: name) }
        },
        QMPCommand("x-vitrine-wait-for") { call throws(QMPError) in
            let source = try call.arguments.string("pattern"), seconds = try call.arguments.optionalDouble("seconds") ?? Script.defaultSeconds
            try call.arguments.finish()
            guard (0...1e9).contains(seconds) else { throw .generic("Parameter 'seconds' takes a number of seconds") }
            let pattern: Script.Pattern
            do throws(MachineError) {
                pattern = try Script.Pattern(source)
            } catch {
                throw .generic(error.description)
            }
            let view = call.machine.view()
            let deadline = ControlLoop.clock() + UInt64(seconds * 1000)
            var waiter = ScreenWaiter(ticket: call.ticket, pattern: pattern, deadline: deadline, view: view)
            if waiter.matches(view, call.machine) { return .now(["matched": true]) }
            call.loop.waiters.append(waiter)
            return .later(inOrder: false)
        },
        QMPCommand("x-vitrine-scrollback") { call throws(QMPError) in
            let first = try call.arguments.optionalInteger("from") ?? 0, count = try call.arguments.optionalInteger("count") ?? 1000
            let cells = try call.arguments.optionalBool("cells") ?? false
            try call.arguments.finish()
            let lines = call.machine.scrolledLines(from: UInt64(max(0, first)), count: Int(clamping: max(0, min(count, 10_000))))
            return .now([
                "first": .integer(Int64(lines.first)), "end": .integer(Int64(lines.end)),
                "lines": .array(lines.lines.map { .string(cells ? ViewEncoder.encode($0) : ScrolledLines.text($0, lines.codePage)) }),
            ])
        },
        QMPCommand("x-vitrine-search") { call throws(QMPError) in
            let source = try call.arguments.string("pattern"), limit = try call.arguments.optionalInteger("limit") ?? 1000
            try call.arguments.finish()
            guard let pattern = try? Script.Pattern(source) else { throw .generic("'\(source)' is not a regular expression") }
            let lines = call.machine.scrolledLines(from: 0, count: Scrollback.limit)
            var found: [JSONValue] = []
            for (index, text) in lines.texts.enumerated() where found.count < limit && pattern.matches(text) {
                found.append(["line": .integer(Int64(lines.first) + Int64(index)), "text": .string(text)])
            }
            return .now(["end": .integer(Int64(lines.end)), "found": .array(found)])
        },
        QMPCommand("x-vitrine-pixels") { call throws(QMPError) in
            let format = try call.arguments.optionalString("format") ?? "rgb"
            try call.arguments.finish()
            guard let frame = call.machine.pixels() else { throw .generic("The display is off") }
            let bytes = format == "png" ? frame.png : frame.rgb
            return .now([
                "width": .integer(Int64(frame.width)), "height": .integer(Int64(frame.height)), "data": .string(Data(bytes).base64EncodedString()),
            ])
        },
        QMPCommand("x-vitrine-facts") { call throws(QMPError) in
            try call.arguments.finish()
            let server = call.loop.server, ticket = call.ticket
            call.machine.facts { facts in
                let text = facts.flatMap { try? DebugWire.text($0) }
                server.deliver { loop in
                    loop.answer(ticket, text.map { .success(["facts": .string($0)]) } ?? .failure(.generic("Nothing is known of this machine")))
                }
            }
            return .later(inOrder: false)
        },
        QMPCommand("x-vitrine-report", changes: true) { call throws(QMPError) in
            let path = try call.arguments.string("path")
            try call.arguments.finish()
            guard path.hasPrefix("/") else { throw .generic("Parameter 'path' is the whole path of a file") }
            let server = call.loop.server, ticket = call.ticket
            call.machine.saveReport(to: path) { error in
                server.deliver { $0.answer(ticket, error.map { .failure(.generic($0.description)) } ?? .success([:])) }
            }
            return .later(inOrder: false)
        },
        QMPCommand("x-vitrine-debug") { call throws(QMPError) in
            let text = try call.arguments.string("request")
            try call.arguments.finish()
            guard let request: DebugRequest = try? DebugWire.value(text) else { throw .generic("Parameter 'request' is not a request to the debugger") }
            guard !call.connection.isReadOnly || request.onlyLooks else { throw .generic("This console only looks") }
            let server = call.loop.server, ticket = call.ticket
            call.machine.debug(request) { reply in
                server.deliver { loop in
                    guard let text = try? DebugWire.text(reply) else { return loop.answer(ticket, .failure(.generic("The answer cannot be written"))) }
                    loop.answer(ticket, .success(["reply": .string(text)]))
                }
            }
            return .later(inOrder: false)
        },
        QMPCommand("x-vitrine-trace", changes: true) { call throws(QMPError) in
            let words = try call.arguments.array("categories").compactMap(\.string)
            try call.arguments.finish()
            guard let machine = call.loop.subject.running, call.loop.subject.log != nil else { throw .generic("This machine keeps no log") }
            let categories: TraceCategories
            do throws(MachineError) {
                categories = try TraceCategories(words: words)
            } catch {
                throw .generic(error.description)
            }
            machine.send(.trace(categories))
            return .now(["categories": .array(categories.names.map { .string($0) })])
        },
    ]

    static func summary(_ view: MachineView, withText: Bool) -> JSONValue {
        var summary: [String: JSONValue] = [
            "name": .string(view.name), "state": .string(view.state.rawValue), "instructions": .integer(Int64(clamping: view.instructions)),
            "guest-seconds": .number(view.guestSeconds), "mips": .number(view.mips), "generation": .integer(Int64(clamping: view.generation)),
            "scrolled": .integer(Int64(clamping: view.scrolled)), "media": ViewEncoder.media(view.media), "pid": .integer(Int64(getpid())),
            "columns": .integer(Int64(view.frame.columns)), "rows": .integer(Int64(view.frame.rows)),
        ]
        switch view.frame.mode {
        case .text: summary["screen"] = "text"
        case .blank: summary["screen"] = "blank"
        case .graphics(_, _, let name): summary["screen"] = .string(name)
        }
        if withText { summary["text"] = .array(view.frame.textRows.map { .string($0) }) }
        if let outcome = view.outcome { summary["outcome"] = outcome.json }
        return .object(summary)
    }
}

extension QMPCall {
    /// Work on snapshots in the machine's own process; the reply comes when it is done, progress as events to everybody.
    mutating func snapshot(_ work: SnapshotJob.Work) throws(QMPError) -> QMPReply {
        try arguments.finish()
        guard let machine = loop.subject.running else { throw .generic("This machine has no snapshots") }
        let server = loop.server, ticket = ticket
        let job = SnapshotJob(work) { done, total in
            server.deliver { loop in
                loop.broadcast(["event": "X_VITRINE_PROGRESS", "data": ["done": .integer(Int64(clamping: done)), "total": .integer(Int64(clamping: total))]])
            }
        } tell: { result in
            server.deliver { loop in
                switch result {
                case .success(let facts):
                    loop.answer(
                        ticket,
                        .success([
                            "id": .string(facts.id), "pause-ms": .number(facts.pauseMilliseconds), "seconds": .number(facts.seconds),
                            "bytes": .integer(Int64(clamping: facts.bytes)),
                        ]))
                case .failure(let error): loop.answer(ticket, .failure(.generic(error.description)))
                }
            }
        }
        connection.snapshots.append(job)
        job.start(machine)
        return .later(inOrder: false)
    }

    /// Steps for the machine's thread; the reply comes when they are over.
    mutating func script(
        name: String = "The command", _ make: () throws(MachineError) -> Script
    ) throws(QMPError) -> QMPReply {
        let folder = try arguments.optionalString("folder") ?? ""
        try arguments.finish()
        guard let machine = loop.subject.running else { throw .generic("This machine takes no scripts") }
        let script: Script
        do throws(MachineError) {
            script = try make()
        } catch {
            throw .generic(error.description)
        }
        let server = loop.server, ticket = ticket
        let job = ScriptJob(folder: folder) { result in
            server.deliver { loop in
                switch result {
                case .done: loop.answer(ticket, .success(["done": true]))
                case .waitFailed(let text): loop.answer(ticket, .success(["done": false, "text": .string(text)]))
                case .failed(let sentence): loop.answer(ticket, .failure(.generic(sentence)))
                }
            }
        }
        connection.jobs.removeAll(where: \.isOver)
        connection.jobs.append(job)
        machine.run(ScriptRunner(script, name: name), job: job)
        return .later(inOrder: false)
    }
}
