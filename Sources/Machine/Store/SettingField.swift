/// One setting of a stored machine: what it is called everywhere, what it takes, and how it is read and changed.
///
/// `SettingField.all` is the only list of settings: `machine.toml`, the settings form, `show`, differences and command lines go through it.
public struct SettingField: Sendable, Identifiable {
    public enum Section: String, CaseIterable, Sendable {
        case general, system, display, storage, kernel, serial, virtio, debug

        public var title: String {
            switch self {
            case .general: "General"
            case .system: "System"
            case .display: "Display"
            case .storage: "Storage"
            case .kernel: "Kernel"
            case .serial: "Serial ports"
            case .virtio: "Virtio devices"
            case .debug: "Debugging"
            }
        }
    }

    /// One of the values that a choice has.
    public struct Choice: Equatable, Sendable {
        /// As files and options spell it.
        public var value: String
        /// For people.
        public var title: String

        public init(_ value: String, _ title: String) {
            self.value = value
            self.title = title
        }
    }

    /// What a file is for: says what a file browser should offer.
    public enum FileRole: Sendable { case disk, floppy, cdrom, kernel, initrd, firmware, output }

    public indirect enum Kind: Sendable {
        /// `on` or `off`.
        case flag
        case number(ClosedRange<Int>, unit: String)
        case choice([Choice])
        /// One line.
        case text
        /// Text of several lines.
        case lines
        /// A path, absolute or relative to the machine's folder.
        case file(FileRole)
        /// Some of the choices, each at most once, in an order; the values are one letter each and stand side by side.
        case order([Choice])
        /// A date and time, `2001-02-03T04:05:06`.
        case date
        /// Other end of a serial port.
        case serialEnd
        /// An I/O port, with or without `=FILE` behind it.
        case port
        /// One element a line; `places` says what each position is called, and how many there may be.
        case list(Kind, places: [String])
    }

    /// `system.memory`: table and key in `machine.toml`.
    public let key: String
    public let section: Section
    public let title: String
    /// One sentence.
    public let help: String
    public let kind: Kind
    /// On the command line, with its dashes: `--memory`.
    public let option: String
    /// The running machine takes the new value at once.
    public let changesWhileRunning: Bool
    /// A saved state does not depend on it: neither on the board nor on what is in its drives.
    public var changesWhileSaved: Bool { changesWhileRunning && !key.hasPrefix("storage.") }
    /// May be empty, which means that there is none.
    public let isOptional: Bool
    private let read: @Sendable (MachineSettings) -> String
    private let write: @Sendable (String, inout MachineSettings) throws(MachineError) -> Void

    public var id: String { key }

    init(
        _ key: String, _ title: String, _ kind: Kind, option: String, running: Bool = false, optional: Bool = false, help: String,
        get: @escaping @Sendable (MachineSettings) -> String,
        set: @escaping @Sendable (String, inout MachineSettings) throws(MachineError) -> Void
    ) {
        self.key = key
        section = key.split(separator: ".").first.flatMap { Section(rawValue: String($0)) } ?? .general
        self.title = title
        self.help = help
        self.kind = kind
        self.option = option
        changesWhileRunning = running
        isOptional = optional
        read = get
        write = set
    }

    public static func named(_ key: String) -> SettingField? { all.first { $0.key == key } }

    /// Takes the setting away, or switches it off: `--no-boot`, `--no-acpi`, `--reboot`.
    public var offOption: String { option.hasPrefix("--no-") ? "--" + option.dropFirst(5) : "--no-" + option.dropFirst(2) }

    // MARK: Values

    /// The value as text: `on`/`off`, a number, a word, a path, lines of a list; empty: none.
    public func get(_ settings: MachineSettings) -> String { read(settings) }

    /// Changes the value in place.
    /// - Throws: `.usage` with one sentence that begins with the title; nothing is changed then.
    public func set(_ text: String, in settings: inout MachineSettings) throws(MachineError) {
        guard !text.utf8.contains(0) else { throw .usage("\(title) must not contain a zero byte.") }
        try check(text, kind)
        do throws(MachineError) {
            try write(text, &settings)
        } catch {
            // Parsers speak of their value alone.
            let sentence = error.description
            throw MachineError(error.kind, sentence.hasPrefix(title) || sentence.hasPrefix("'") ? sentence : "\(title): \(sentence).")
        }
    }

    /// A copy with another value.
    /// - Throws: as `set(_:in:)`.
    public func setting(_ text: String, in settings: MachineSettings) throws(MachineError) -> MachineSettings {
        var copy = settings
        try set(text, in: &copy)
        return copy
    }

    /// Elements of a list kind's text; of another kind's the text itself, nothing when it is empty.
    public func elements(_ text: String) -> [String] {
        guard !text.isEmpty else { return [] }
        guard case .list = kind else { return [text] }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The value for people: `128 MiB`, `on`, `floppy, disk`, `none`.
    public func shown(_ settings: MachineSettings) -> String { shown(text: get(settings)) }

    public func shown(text: String) -> String {
        if text.isEmpty { return "none" }
        switch kind {
        case .number(_, let unit): return unit.isEmpty ? text : "\(text) \(unit)"
        case .choice(let choices): return choices.first { $0.value == text }?.title ?? text
        case .order(let choices):
            return text.map { letter in choices.first { $0.value == String(letter) }?.title ?? String(letter) }.joined(separator: ", ")
        case .list: return elements(text).joined(separator: ", ")
        case .lines: return text.split(separator: "\n").joined(separator: " / ")
        case .flag, .text, .file, .date, .serialEnd, .port: return text
        }
    }

    /// The text with every path in it changed.
    public func mappingPaths(_ text: String, _ change: (String) -> String) -> String {
        guard !text.isEmpty else { return text }
        func map(_ text: String, _ kind: Kind) -> String {
            switch kind {
            case .file: return change(text)
            case .serialEnd: return (try? SerialTarget(text))?.mappingPath(change).text ?? text
            case .port:
                guard let sign = text.firstIndex(of: "="), text.index(after: sign) < text.endIndex else { return text }
                return text[...sign] + change(String(text[text.index(after: sign)...]))
            case .list(let element, _): return elements(text).map { map($0, element) }.joined(separator: "\n")
            case .flag, .number, .choice, .text, .lines, .order, .date: return text
            }
        }
        return map(text, kind)
    }

    // MARK: Checks by kind

    private func check(_ text: String, _ kind: Kind) throws(MachineError) {
        if text.isEmpty, isOptional { return }
        switch kind {
        case .flag:
            guard text == "on" || text == "off" else { throw .usage("\(title) is on or off, not '\(text)'.") }
        case .number(let range, let unit):
            let unit = unit.isEmpty ? "" : " " + unit
            guard let value = Int(text), range.contains(value) else {
                throw .usage("\(title) takes \(range.lowerBound) to \(range.upperBound)\(unit), not '\(text)'.")
            }
        case .choice(let choices):
            guard choices.contains(where: { $0.value == text }) else {
                throw .usage(
                    "\(title) '\(text)' is not known\(SettingField.suggestion(text, choices)); use one of "
                        + "\(choices.map(\.value).joined(separator: ", ")).")
            }
        case .order(let choices):
            let letters = text.map(String.init)
            guard letters.allSatisfy({ letter in choices.contains { $0.value == letter } }) else {
                throw .usage(
                    "\(title) consists of the letters \(choices.map { "\($0.value) (\($0.title))" }.joined(separator: ", ")), not '\(text)'."
                )
            }
            guard Set(letters).count == letters.count else { throw .usage("\(title) names the same device twice.") }
        case .text, .file, .date, .serialEnd, .port:
            guard !text.contains(where: \.isNewline) else { throw .usage("\(title) must stand on one line.") }
            if text.isEmpty { throw .usage("\(title) must not be empty.") }
        case .lines: break
        case .list(let element, let places):
            let elements = elements(text)
            guard elements.count <= places.count else {
                throw .usage("\(title): there are \(elements.count), and there is room for \(places.count).")
            }
            for text in elements {
                guard !text.isEmpty else { throw .usage("\(title): one of them is empty.") }
                try check(text, element)
            }
        }
    }
}
