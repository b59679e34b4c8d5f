/// What a machine may be called: its name is also its folder's.
public enum MachineName {
    public static let maximumBytes = 64

    /// nil: it is good; otherwise one sentence.
    public static func problem(_ name: String) -> String? {
        if name.isEmpty { return "A machine needs a name." }
        if name.utf8.count > maximumBytes { return "The name '\(name.prefix(20))…' is too long: at most \(maximumBytes) bytes." }
        if name.hasPrefix(".") || name.hasPrefix("-") || name.hasPrefix(" ") {
            return "The name '\(name)' must begin with a letter, a digit or _."
        }
        if name.hasSuffix(" ") || name.hasSuffix(".") { return "The name '\(name)' must not end in a blank or a dot." }
        for character in name where !(character.isLetter || character.isNumber || "-_. ".contains(character)) {
            let shown =
                character.isNewline || character.unicodeScalars.contains { $0.value < 0x20 } ? "a control character" : "'\(character)'"
            return "The name must not contain \(shown): letters, digits, blanks and - _ . are allowed."
        }
        return nil
    }

    static func isValid(_ name: String) -> Bool { problem(name) == nil }

    /// - Throws: `.usage` with the sentence.
    public static func check(_ name: String) throws(MachineError) {
        if let problem = problem(name) { throw .usage(problem) }
    }
}
