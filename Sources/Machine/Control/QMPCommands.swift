import Foundation
import Hardware

/// One command of a client on its way.
struct QMPCall {
    let loop: ControlLoop
    let connection: ControlConnection
    let ticket: ControlTicket
    var arguments: QMPArguments

    var machine: any MachineControl { loop.subject.machine }
}

enum QMPReply {
    case now(JSONValue)
    /// `inOrder`: the client's next command waits for it.
    case later(inOrder: Bool)

    static let done = QMPReply.now([:])
}

/// A command of the control socket.
struct QMPCommand: Sendable {
    let name: String
    /// A read-only viewer may not.
    var changes = false
    let run: @Sendable (inout QMPCall) throws(QMPError) -> QMPReply

    init(_ name: String, changes: Bool = false, _ run: @escaping @Sendable (inout QMPCall) throws(QMPError) -> QMPReply) {
        (self.name, self.changes, self.run) = (name, changes, run)
    }
}

/// The commands that QEMU's clients know. What each takes and returns is as in the *QEMU QMP Reference Manual*, for what exists here.
enum QMPCommands {
    /// The version of QMP's schema that names and types follow.
    static let version: JSONValue = ["qemu": ["major": 7, "minor": 2, "micro": 0], "package": "Vitrine"]
    static let greeting: JSONValue = ["QMP": ["version": version, "capabilities": []]]

    static let all = qemu + vitrine
    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    static func carryOut(_ name: String, _ call: inout QMPCall) throws(QMPError) -> QMPReply {
        guard call.connection.isNegotiated || name == "qmp_capabilities" else {
            throw QMPError(kind: .commandNotFound, sentence: "Capabilities are negotiated first: 'qmp_capabilities'")
        }
        guard let command = byName[name] else { throw QMPError(kind: .commandNotFound, sentence: "The command \(name) has not been found") }
        guard !command.changes || !call.connection.isReadOnly else { throw .generic("This connection only looks: '\(name)' changes the machine") }
        return try command.run(&call)
    }

    private static let qemu: [QMPCommand] = [
        QMPCommand("qmp_capabilities") { call throws(QMPError) in
            _ = call.arguments.value("enable")
            try call.arguments.finish()
            guard !call.connection.isNegotiated else {
                throw QMPError(kind: .commandNotFound, sentence: "Capabilities have been negotiated already")
            }
            call.connection.isNegotiated = true
            return .done
        },
        QMPCommand("query-commands") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(.array(all.map { ["name": .string($0.name)] }))
        },
        QMPCommand("query-version") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(version)
        },
        QMPCommand("query-name") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(["name": .string(call.machine.view().name)])
        },
        QMPCommand("query-kvm") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(["enabled": false, "present": false])
        },
        QMPCommand("query-status") { call throws(QMPError) in
            try call.arguments.finish()
            let view = call.machine.view()
            return .now(["running": .bool(view.state == .running), "singlestep": false, "status": .string(view.state.qemuName)])
        },
        QMPCommand("query-cpus-fast") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(
                .array(
                    (0..<call.loop.subject.cpus).map {
                        [
                            "cpu-index": .integer(Int64($0)), "qom-path": .string("/machine/cpu[\($0)]"), "thread-id": .integer(Int64(getpid())),
                            "target": "x86_64",
                        ]
                    }))
        },
        QMPCommand("query-block") { call throws(QMPError) in
            try call.arguments.finish()
            return .now(.array(blocks(call.machine.view())))
        },
        QMPCommand("stop", changes: true) { call throws(QMPError) in try call.plain(.pause) },
        QMPCommand("cont", changes: true) { call throws(QMPError) in try call.plain(.resume) },
        QMPCommand("system_reset", changes: true) { call throws(QMPError) in try call.plain(.reset) },
        QMPCommand("system_powerdown", changes: true) { call throws(QMPError) in try call.plain(.acpiPowerButton) },
        QMPCommand("quit", changes: true) { call throws(QMPError) in
            try call.arguments.finish()
            // Answered before it ends.
            call.machine.post(.powerOff)
            return .done
        },
        QMPCommand("send-key", changes: true) { call throws(QMPError) in
            let values = try call.arguments.array("keys"), hold = try call.arguments.optionalInteger("hold-time") ?? 100
            try call.arguments.finish()
            var keys: [PCKey] = []
            for value in values { keys.append(try QMPKeys.key(value)) }
            try call.press(keys, milliseconds: hold)
            return .done
        },
        QMPCommand("input-send-event", changes: true) { call throws(QMPError) in
            (_, _) = (call.arguments.value("device"), call.arguments.value("head"))
            let events = try call.arguments.array("events")
            try call.arguments.finish()
            try call.input(events)
            return .done
        },
        QMPCommand("screendump") { call throws(QMPError) in
            (_, _) = (call.arguments.value("device"), call.arguments.value("head"))
            let path = try call.arguments.string("filename"), format = try call.arguments.optionalString("format") ?? "ppm"
            try call.arguments.finish()
            try call.screendump(path, format)
            return .done
        },
        QMPCommand("eject", changes: true) { call throws(QMPError) in
            let bay = try call.drive()
            _ = try call.arguments.optionalBool("force")
            try call.arguments.finish()
            return try call.plain(.eject(bay))
        },
        QMPCommand("blockdev-change-medium", changes: true) { call throws(QMPError) in
            let bay = try call.drive(), path = try call.arguments.string("filename")
            (_, _, _) = (call.arguments.value("format"), call.arguments.value("read-only-mode"), call.arguments.value("force"))
            return try call.plain(.insert(bay, path: path))
        },
        QMPCommand("human-monitor-command", changes: true) { call throws(QMPError) in
            let line = try call.arguments.string("command-line")
            _ = call.arguments.value("cpu-index")
            try call.arguments.finish()
            return HumanMonitor.carryOut(line, &call)
        },
    ]

    /// The drives as `query-block` has them: the removable ones always, the others where something is in them.
    static func blocks(_ view: MachineView) -> [JSONValue] {
        Bay.allCases.filter { view.media[$0] != nil || $0 == .floppyA || $0 == .ide1Master }.map { bay in
            var block: [String: JSONValue] = [
                "device": .string(bay.qemuName), "qdev": .string(bay.qemuName), "type": "unknown", "locked": false,
                "removable": .bool(bay.isRemovable),
            ]
            if bay.isRemovable { block["tray_open"] = false }
            if let path = view.media[bay] {
                block["inserted"] = [
                    "file": .string(path), "ro": .bool(bay == .ide1Master), "drv": "raw", "encrypted": false, "bps": 0, "bps_rd": 0, "bps_wr": 0,
                    "iops": 0, "iops_rd": 0, "iops_wr": 0, "detect_zeroes": "off", "write_threshold": 0,
                    "image": ["filename": .string(path), "format": "raw"],
                    "cache": ["writeback": true, "direct": false, "no-flush": false],
                ]
                block["io-status"] = "ok"
            }
            return .object(block)
        }
    }
}

extension MachineState {
    /// QEMU's word (RunState).
    var qemuName: String {
        switch self {
        case .starting: "prelaunch"
        case .running: "running"
        case .paused: "paused"
        case .off: "shutdown"
        case .stuck: "guest-panicked"
        }
    }
}

// What several commands do.
extension QMPCall {
    /// A command of the machine that takes no more arguments; the reply comes when it is carried out.
    mutating func plain(_ command: MachineCommand) throws(QMPError) -> QMPReply {
        try arguments.finish()
        loop.perform(command, ticket) { error in error.map { .failure(.generic($0.description)) } ?? .success([:]) }
        return .later(inOrder: true)
    }

    /// `device` or `id`.
    mutating func drive() throws(QMPError) -> Bay {
        let names = [try arguments.optionalString("device"), try arguments.optionalString("id")].compactMap { $0 }
        guard let name = names.first else { throw .generic("Parameter 'device' or 'id' is missing") }
        return try QMPCall.drive(name)
    }

    static func drive(_ name: String) throws(QMPError) -> Bay {
        guard let bay = Bay.named(name) else { throw QMPError(kind: .deviceNotFound, sentence: "Device '\(name)' not found") }
        guard bay.isRemovable else { throw .generic("Device '\(name)' is not removable") }
        return bay
    }

    /// Keys go down in order, and up in the opposite one when the time is over.
    func press(_ keys: [PCKey], milliseconds: Int64) throws(QMPError) {
        guard keys.count <= 16 else { throw .generic("At most 16 keys can be held at once") }
        guard (0...60_000).contains(milliseconds) else { throw .generic("Parameter 'hold-time' takes 0 to 60000 milliseconds") }
        for key in keys { machine.post(.key(key, down: true)) }
        for key in keys.reversed() { loop.schedule(.key(key, down: false), milliseconds: UInt64(milliseconds)) }
    }

    /// Events of `input-send-event`: all of them, or none.
    func input(_ events: [JSONValue]) throws(QMPError) {
        var commands: [MachineCommand] = []
        var move = (dx: 0, dy: 0, wheel: 0), buttons = loop.mouseButtons, hasMoved = false
        for event in events {
            guard let type = event["type"]?.string, let data = event["data"] else { throw .generic("An event needs 'type' and 'data'") }
            switch type {
            case "key":
                guard let down = data["down"]?.bool, let key = data["key"] else { throw .generic("A key event needs 'key' and 'down'") }
                commands.append(.key(try QMPKeys.key(key), down: down))
            case "btn":
                guard let down = data["down"]?.bool, let button = data["button"]?.string else {
                    throw .generic("A button event needs 'button' and 'down'")
                }
                hasMoved = true
                switch button {
                case "left", "right", "middle", "side", "extra":
                    let bit = UInt8(1) << UInt8(["left", "right", "middle", "side", "extra"].firstIndex(of: button) ?? 0)
                    buttons = down ? buttons | bit : buttons & ~bit
                case "wheel-up": if down { move.wheel -= 1 }
                case "wheel-down": if down { move.wheel += 1 }
                default: throw .generic("Invalid parameter '\(button)'")
                }
            case "rel":
                guard let axis = data["axis"]?.string, let value = data["value"]?.integer, (-100_000...100_000).contains(value) else {
                    throw .generic("A movement needs 'axis' and 'value'")
                }
                hasMoved = true
                switch axis {
                case "x": move.dx += Int(value)
                case "y": move.dy += Int(value)
                default: throw .generic("Invalid parameter '\(axis)'")
                }
            case "abs": throw .generic("The machine has no pointer with absolute positions")
            default: throw .generic("Invalid parameter '\(type)'")
            }
        }
        if hasMoved { commands.append(.mouse(dx: move.dx, dy: move.dy, buttons: buttons, wheel: move.wheel)) }
        loop.mouseButtons = buttons
        for command in commands { machine.post(command) }
    }

    /// The display as a file; a relative path begins where the machine was started.
    func screendump(_ path: String, _ format: String) throws(QMPError) {
        guard let frame = machine.pixels() else { throw .generic("The display is off") }
        let bytes: [UInt8]
        switch format {
        case "png": bytes = frame.png
        case "ppm": bytes = frame.ppm
        default: throw .generic("Invalid parameter '\(format)'")
        }
        guard !path.isEmpty, !path.utf8.contains(0) else { throw .generic("Parameter 'filename' is not the name of a file") }
        do throws(MachineError) {
            try WholeFile.write(bytes, to: path, what: "screenshot")
        } catch {
            throw .generic(error.description)
        }
    }
}

extension PixelFrame {
    /// Red, green and blue bytes, row by row.
    var rgb: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pixels.count * 3)
        for pixel in pixels {
            bytes.append(UInt8(truncatingIfNeeded: pixel >> 16))
            bytes.append(UInt8(truncatingIfNeeded: pixel >> 8))
            bytes.append(UInt8(truncatingIfNeeded: pixel))
        }
        return bytes
    }

    /// The picture as a portable pixmap (P6).
    var ppm: [UInt8] { Array("P6\n\(width) \(height)\n255\n".utf8) + rgb }
}
