import DataFiles
import Machine

/// The words behind a VBoxManage command: `--name x`, `--name=x`, `-name x`; and those that are no option's.
struct VBoxOptions {
    private(set) var plain: [String] = []
    private(set) var options: [(name: String, values: [String])] = []

    /// - Parameters:
    ///   - flags: options without a value.
    ///   - pairs: options that take a second word after some first ones: `--uartmode1 server PATH`.
    /// - Throws: `.usage` when a value is missing.
    init(_ words: [String], flags: Set<String> = [], pairs: (String, String) -> Bool = { _, _ in false }) throws(MachineError) {
        var index = 0
        while index < words.count {
            let word = words[index]
            index += 1
            guard word.hasPrefix("-"), word.count > 1 else {
                plain.append(word)
                continue
            }
            let bare = word.drop { $0 == "-" }
            let parts = bare.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            // Old and new spellings differ in dashes and the case of letters: --rtcuseutc, --rtc-use-utc, --uartMode1.
            let name = (parts.first ?? "").filter { $0 != "-" }.lowercased()
            if parts.count == 2 {
                options.append((name, [parts[1]]))
                continue
            }
            if flags.contains(name) {
                options.append((name, []))
                continue
            }
            guard index < words.count else { throw .usage("vbox: '\(word)' needs a value.") }
            var values = [words[index]]
            index += 1
            if pairs(name, values[0]), index < words.count {
                values.append(words[index])
                index += 1
            }
            options.append((name, values))
        }
    }

    func value(_ names: String...) -> String? { options.last { names.contains($0.name) }?.values.first }

    func has(_ name: String) -> Bool { options.contains { $0.name == name } }

    /// - Throws: `.usage` naming the first option that is none of these.
    func expect(_ verb: String, _ known: [String]) throws(MachineError) {
        guard let stranger = options.first(where: { !known.contains($0.name) }) else { return }
        throw VBoxOptions.missing("the option --\(stranger.name) of '\(verb)'\(Nearest.suggestion(stranger.name, in: known))")
    }

    /// The one word that is no option's.
    /// - Throws: `.usage` when there is none, or more.
    func only(_ verb: String, _ what: String) throws(MachineError) -> String {
        guard plain.count == 1 else { throw .usage("vbox: '\(verb)' needs one \(what)\(plain.isEmpty ? "" : ", not \(plain.count)").") }
        return plain[0]
    }

    static func missing(_ what: String) -> MachineError { .usage("Vitrine does not have \(what).") }
}
