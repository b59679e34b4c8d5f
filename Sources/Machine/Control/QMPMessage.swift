/// An error in a reply: a class of QMP and one sentence.
struct QMPError: Error, Equatable {
    enum Kind: String { case generic = "GenericError", commandNotFound = "CommandNotFound", deviceNotFound = "DeviceNotFound" }
    var kind: Kind
    var sentence: String

    static func generic(_ sentence: String) -> QMPError { QMPError(kind: .generic, sentence: sentence) }

    var json: JSONValue { ["class": .string(kind.rawValue), "desc": .string(sentence)] }
}

/// One command line of a client.
struct QMPRequest {
    var command: String
    var arguments: QMPArguments
    var id: JSONValue?

    /// - Throws: what is wrong with the line; `id` of the error's reply is lost then, as nobody knows what it belongs to.
    init(_ line: [UInt8]) throws(QMPError) {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: line)
        } catch {
            throw .generic("This is not JSON.")
        }
        guard case .object(let members) = value else { throw .generic("A command must be a JSON object.") }
        for key in members.keys.sorted() where !["execute", "arguments", "id"].contains(key) {
            throw .generic("The member '\(key)' of a command is not known.")
        }
        guard let name = members["execute"] else { throw .generic("A command needs the member 'execute'.") }
        guard let command = name.string else { throw .generic("The member 'execute' must be a string.") }
        var arguments: [String: JSONValue] = [:]
        if let given = members["arguments"] {
            guard let object = given.object else { throw .generic("The member 'arguments' must be an object.") }
            arguments = object
        }
        self.command = command
        self.arguments = QMPArguments(arguments)
        id = members["id"]
    }
}

/// The arguments of a command; each is asked for once, and what nobody asked for is an error.
struct QMPArguments {
    private var left: [String: JSONValue]

    init(_ values: [String: JSONValue]) { left = values }

    mutating func value(_ name: String) -> JSONValue? {
        let value = left.removeValue(forKey: name)
        return value == .null ? nil : value
    }

    mutating func string(_ name: String) throws(QMPError) -> String {
        guard let value = try optionalString(name) else { throw .generic("Parameter '\(name)' is missing") }
        return value
    }
    mutating func optionalString(_ name: String) throws(QMPError) -> String? { try typed(name, "string") { $0.string } }
    mutating func optionalBool(_ name: String) throws(QMPError) -> Bool? { try typed(name, "boolean") { $0.bool } }
    mutating func optionalInteger(_ name: String) throws(QMPError) -> Int64? { try typed(name, "integer") { $0.integer } }
    mutating func optionalDouble(_ name: String) throws(QMPError) -> Double? { try typed(name, "number") { $0.double } }
    mutating func array(_ name: String) throws(QMPError) -> [JSONValue] {
        guard let value = try typed(name, "array", { $0.array }) else { throw .generic("Parameter '\(name)' is missing") }
        return value
    }

    private mutating func typed<T>(_ name: String, _ type: String, _ get: (JSONValue) -> T?) throws(QMPError) -> T? {
        guard let value = value(name) else { return nil }
        guard let typed = get(value) else { throw .generic("Invalid parameter type for '\(name)', expected: \(type)") }
        return typed
    }

    /// - Throws: when something was given that the command does not take.
    func finish() throws(QMPError) {
        if let name = left.keys.min() { throw .generic("Parameter '\(name)' is unexpected") }
    }
}

extension MachineEvent {
    /// As QMP sends it; nil: QMP has no such event.
    var json: JSONValue? {
        let name: String
        var data: [String: JSONValue] = [:]
        switch kind {
        case .paused: name = "STOP"
        case .resumed: name = "RESUME"
        case .reset(let guest):
            name = "RESET"
            data = ["guest": .bool(guest), "reason": .string(guest ? "guest-reset" : "host-qmp-system-reset")]
        case .powerButton: name = "POWERDOWN"
        case .medium(let bay, let path):
            name = "DEVICE_TRAY_MOVED"
            data = ["device": .string(bay.qemuName), "id": .string(bay.qemuName), "tray-open": .bool(path == nil)]
        case .panicked(let sentence):
            name = "GUEST_PANICKED"
            data = ["action": "poweroff", "info": ["type": "x-vitrine", "text": .string(sentence)]]
        case .ended(let outcome):
            name = "SHUTDOWN"
            data = ["guest": .bool(outcome.isByGuest), "reason": .string(outcome.shutdownReason)]
        }
        return MachineEvent.json(name, data, microseconds)
    }

    /// An event of QMP's form.
    static func json(_ name: String, _ data: [String: JSONValue], _ microseconds: Int64) -> JSONValue {
        var event: [String: JSONValue] = [
            "event": .string(name),
            "timestamp": ["seconds": .integer(microseconds / 1_000_000), "microseconds": .integer(microseconds % 1_000_000)],
        ]
        if !data.isEmpty { event["data"] = .object(data) }
        return .object(event)
    }
}

extension RunOutcome {
    /// The guest ended the run itself.
    var isByGuest: Bool {
        switch self {
        case .poweredOff, .debugExit, .resetWithNoReboot, .guru: true
        default: false
        }
    }

    var shutdownReason: String {
        switch self {
        case .poweredOff, .debugExit: "guest-shutdown"
        case .resetWithNoReboot: "guest-reset"
        case .guru: "guest-panic"
        case .poweredOffByUser, .scriptStopped, .scriptFailed, .saved: "host-qmp-quit"
        case .timeout, .instructionLimit: "host-signal"
        case .refused, .failed: "host-error"
        }
    }
}
