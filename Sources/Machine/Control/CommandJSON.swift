import Hardware

// Commands to the machine as arguments of `x-vitrine-input`.
extension MachineCommand {
    var json: [String: JSONValue] {
        switch self {
        case .key(let key, let down): ["command": "key", "key": .string(key.rawValue), "down": .bool(down)]
        case .releaseAllKeys: ["command": "release-all-keys"]
        case .type(let text): ["command": "type", "text": .string(text)]
        case .mouse(let dx, let dy, let buttons, let wheel):
            [
                "command": "mouse", "dx": .integer(Int64(dx)), "dy": .integer(Int64(dy)), "buttons": .integer(Int64(buttons)),
                "wheel": .integer(Int64(wheel)),
            ]
        case .serialInput(let port, let bytes):
            ["command": "serial-input", "port": .integer(Int64(port)), "bytes": .array(bytes.map { .integer(Int64($0)) })]
        case .pause: ["command": "pause"]
        case .resume: ["command": "resume"]
        case .reset: ["command": "reset"]
        case .acpiPowerButton: ["command": "acpi-power-button"]
        case .balloon(let mib): ["command": "balloon", "mib": .integer(Int64(mib))]
        case .powerOff: ["command": "power-off"]
        case .saveState: ["command": "save-state"]
        case .eject(let bay): ["command": "eject", "bay": .string("\(bay)")]
        case .insert(let bay, let path): ["command": "insert", "bay": .string("\(bay)"), "path": .string(path)]
        }
    }

    /// - Throws: when it is no command, or one with a part missing or out of range.
    init(_ arguments: inout QMPArguments) throws(QMPError) {
        func bay(_ arguments: inout QMPArguments) throws(QMPError) -> Bay {
            let name = try arguments.string("bay")
            guard let bay = Bay.named(name) else { throw .generic("There is no drive '\(name)'") }
            return bay
        }
        func number(_ name: String, _ range: ClosedRange<Int64>, _ arguments: inout QMPArguments) throws(QMPError) -> Int {
            let value = try arguments.optionalInteger(name) ?? 0
            guard range.contains(value) else { throw .generic("Parameter '\(name)' is out of range") }
            return Int(value)
        }
        let name = try arguments.string("command")
        switch name {
        case "key":
            let key = try arguments.string("key"), down = try arguments.optionalBool("down") ?? true
            guard let key = PCKey(rawValue: key) else { throw .generic("There is no key '\(key)'") }
            self = .key(key, down: down)
        case "release-all-keys": self = .releaseAllKeys
        case "type": self = .type(try arguments.string("text"))
        case "mouse":
            let range: ClosedRange<Int64> = -100_000...100_000
            self = .mouse(
                dx: try number("dx", range, &arguments), dy: try number("dy", range, &arguments),
                buttons: UInt8(try number("buttons", 0...255, &arguments)), wheel: try number("wheel", range, &arguments))
        case "serial-input":
            let port = try number("port", 0...Int64(SerialPump.portCount - 1), &arguments)
            self = .serialInput(port, try arguments.array("bytes").compactMap { $0.integer.flatMap { UInt8(exactly: $0) } })
        case "pause": self = .pause
        case "resume": self = .resume
        case "reset": self = .reset
        case "acpi-power-button": self = .acpiPowerButton
        case "balloon": self = .balloon(mib: try number("mib", 0...Int64(RunSettings.memoryRangeMiB.upperBound), &arguments))
        case "power-off": self = .powerOff
        case "save-state": self = .saveState
        case "eject": self = .eject(try bay(&arguments))
        case "insert": self = .insert(try bay(&arguments), path: try arguments.string("path"))
        default: throw .generic("There is no input '\(name)'")
        }
    }
}
