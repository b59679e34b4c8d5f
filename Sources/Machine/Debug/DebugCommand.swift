import CPU

/// A command of the debugger's command line: one row of the one table that help, abbreviations, completion and README are made from.
struct DebugCommand: Sendable {
    enum Completion: Sendable { case nothing, symbol, breakpoint, register, file, command, table }
    enum Group: String, Sendable, CaseIterable {
        case control = "Going on", breakpoints = "Breakpoints", memory = "Memory", registers = "Registers", code = "Code and symbols"
        case machine = "Machine", trace = "Trace", session = "Session"
    }

    var name: String
    /// Other names, DOSBox's, Bochs's, WinDbg's; whole.
    var aliases: [String] = []
    /// Shortest abbreviation of `name`.
    var shortest: Int
    var group: Group
    var arguments: String
    var help: String
    var completion = Completion.nothing
    /// An empty line repeats it.
    var repeats = false
    /// Lines for people. - Throws: one sentence.
    var run: @Sendable (Debugger, DebugWords) throws(ExpressionError) -> [String]

    init(
        _ name: String, _ aliases: [String] = [], shortest: Int? = nil, _ group: Group, _ arguments: String = "", _ help: String,
        completion: Completion = .nothing, repeats: Bool = false,
        run: @escaping @Sendable (Debugger, DebugWords) throws(ExpressionError) -> [String]
    ) {
        (self.name, self.aliases, self.shortest) = (name, aliases, shortest ?? name.count)
        (self.group, self.arguments, self.help, self.completion, self.repeats, self.run) = (group, arguments, help, completion, repeats, run)
    }

    func isMeant(by word: String) -> Bool { name == word || aliases.contains(word) || (word.count >= shortest && name.hasPrefix(word)) }

    static let all: [DebugCommand] = control + travel

    static func find(_ word: String) -> DebugCommand? {
        let word = word.lowercased()
        return all.first { $0.name == word || $0.aliases.contains(word) } ?? all.first { $0.isMeant(by: word) }
    }
}

/// What was typed behind a command's name.
struct DebugWords: Sendable {
    /// The name as it was typed.
    var name: String
    /// Everything behind it.
    var rest: String
    var words: [String]

    init(_ line: String) {
        let parts = line.split(maxSplits: 1, omittingEmptySubsequences: true, whereSeparator: \.isWhitespace)
        name = parts.first.map(String.init) ?? ""
        rest = parts.count > 1 ? String(parts[1]).trimmingBlanks : ""
        words = rest.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    subscript(_ n: Int) -> String? { words.indices.contains(n) ? words[n] : nil }

    /// From word `n` on.
    func from(_ n: Int) -> String { words.dropFirst(n).joined(separator: " ") }
}

extension String {
    var trimmingBlanks: String {
        var part = self[...]
        while part.first?.isWhitespace == true { part.removeFirst() }
        while part.last?.isWhitespace == true { part.removeLast() }
        return String(part)
    }
}

extension Debugger {
    /// Lines longer than this are refused.
    static let lineLimit = 4096

    /// Carries a line of the command line out.
    /// - Parameter fromBreakpoint: it is a breakpoint's action: it must not make the machine go on.
    func carryOut(_ line: String, fromBreakpoint: Bool = false) -> [String] {
        guard line.utf8.count <= Debugger.lineLimit else { return ["The command is too long."] }
        let text = line.trimmingBlanks
        guard !text.isEmpty, !text.hasPrefix("#") else { return [] }
        let words = DebugWords(text)
        guard let command = DebugCommand.find(words.name) else { return ["There is no command '\(words.name)'; 'help' lists them."] }
        if fromBreakpoint, command.group == .control { return ["'\(words.name)' cannot be a breakpoint's action."] }
        do throws(ExpressionError) { return try command.run(self, words) } catch { return [error.sentence] }
    }

    func complete(_ line: String) -> [String] {
        guard !line.contains(" ") else { return [] }
        return DebugCommand.all.flatMap { [$0.name] + $0.aliases }.filter { $0.hasPrefix(line.lowercased()) }.sorted()
    }

    func value(_ text: String, radix: Int = 10) throws(ExpressionError) -> UInt64 {
        guard let processor = processor(nil) else { throw ExpressionError(sentence: "There is no processor.") }
        return try Expression(text, radix: radix).value(context(processor))
    }
}
