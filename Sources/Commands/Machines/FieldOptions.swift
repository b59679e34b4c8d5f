import ArgumentParser
import Machine

/// An option for every setting of a stored machine, made from `SettingField.all`: `--memory MIB`, `--acpi`, `--no-boot`.
///
/// The parser finds options by reflection; here the mirror lists what the registry has, and the decoder is asked for the same keys.
struct FieldOptions: ParsableArguments, CustomReflectable {
    /// Texts by the setting's key, as `SettingField.set` takes them; empty: take it away.
    private(set) var given: [String: String] = [:]
    /// Told by `validate`: what the decoder throws is an internal error to the parser.
    private var problem: String?

    init() {}

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ text: String) { stringValue = text }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { nil }
    }

    /// The option without its dashes; of one that says no (`--no-reboot`) what it says no to.
    private static func bare(_ field: SettingField) -> String { String(field.option.dropFirst(isNegative(field) ? 5 : 2)) }

    private static func isNegative(_ field: SettingField) -> Bool { field.option.hasPrefix("--no-") }

    /// The key of the option that takes a setting away.
    private static func absence(_ field: SettingField) -> String { "no-" + bare(field) }

    var customMirror: Mirror {
        var children: [(String, Any)] = []
        for field in SettingField.all {
            let name = FieldOptions.bare(field)
            let help = ArgumentHelp(stringLiteral: field.help)
            switch field.kind {
            case .flag:
                children.append((name, Flag<Bool?>(name: .customLong(name), inversion: .prefixedNo, help: help)))
                continue
            case .list:
                children.append(
                    (
                        name,
                        Option<[String]>(
                            wrappedValue: [], name: .customLong(name),
                            help: ArgumentHelp(field.help + " Repeatable.", valueName: field.valueName))
                    ))
            default:
                children.append(
                    (name, Option<String?>(name: .customLong(name), help: ArgumentHelp(field.help, valueName: field.valueName))))
            }
            if field.isOptional {
                children.append(
                    (
                        FieldOptions.absence(field),
                        Flag<Bool>(wrappedValue: false, name: .customLong(FieldOptions.absence(field)), help: .hidden)
                    ))
            }
        }
        return Mirror(self, children: children.map { (label: Optional($0.0), value: $0.1) })
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        for field in SettingField.all {
            let name = Name(FieldOptions.bare(field))
            switch field.kind {
            case .flag:
                if let value = try container.decode(Flag<Bool?>.self, forKey: name).wrappedValue {
                    given[field.key] = value != FieldOptions.isNegative(field) ? "on" : "off"
                }
                continue
            case .list:
                let values = try container.decode(Option<[String]>.self, forKey: name).wrappedValue
                guard !values.contains(where: { $0.isEmpty || $0.contains(where: \.isNewline) }) else {
                    problem = "\(field.option) takes a value on one line."
                    continue
                }
                if !values.isEmpty { given[field.key] = values.joined(separator: "\n") }
            default:
                if let value = try container.decode(Option<String?>.self, forKey: name).wrappedValue {
                    if value.isEmpty { problem = "\(field.option) has an empty value." }
                    given[field.key] = value
                }
            }
            guard field.isOptional else { continue }
            if try container.decode(Flag<Bool>.self, forKey: Name(FieldOptions.absence(field))).wrappedValue {
                if given[field.key] != nil { problem = "\(field.option) and \(field.offOption) exclude each other." }
                given[field.key] = ""
            }
        }
    }

    mutating func validate() throws {
        if let problem { throw ValidationError(problem) }
    }

    var isEmpty: Bool { given.isEmpty }

    /// Changes what was given, in the order of the registry; paths begin in the user's folder.
    /// - Throws: the first setting's sentence.
    func apply(to settings: inout MachineSettings, in host: Host) throws(MachineError) {
        // A default of the OS type waits while there is a kernel; an order that somebody asks for now contradicts it, as in `run`.
        if let order = given["system.boot"], !order.isEmpty, let kernel = given["kernel.image"] ?? settings.run.kernel, !kernel.isEmpty {
            let remedy = given["kernel.image"] == nil ? "; --no-kernel takes '\(kernel)' away" : ""
            throw .usage("--kernel and --boot contradict each other: the kernel is what is started\(remedy).")
        }
        for field in SettingField.all {
            guard let text = given[field.key] else { continue }
            let current = host.currentFolder
            try field.set(field.mappingPaths(text) { HostPath.absolute($0, from: current) }, in: &settings)
        }
    }
}

extension SettingField {
    /// What the help calls the option's value.
    fileprivate var valueName: String {
        func name(_ kind: Kind) -> String {
            switch kind {
            case .flag: "on|off"
            case .number(_, let unit): unit.isEmpty ? "n" : unit.lowercased()
            case .choice(let choices): choices.count <= 4 ? choices.map(\.value).joined(separator: "|") : "name"
            case .text, .lines: "text"
            case .file: "file"
            case .order: "order"
            case .date: "iso8601"
            case .serialEnd: "end"
            case .port: "port"
            case .list(let element, _): name(element)
            }
        }
        return name(kind)
    }
}
