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
        _ name: String, _ aliases: [String], shortest: Int? = nil, _ group: Group, _ arguments: String, _ help: String,
        completion: Completion = .nothing, repeats: Bool = false,
        run: @escaping @Sendable (Debugger, DebugWords) throws(ExpressionError) -> [String]
    ) {
        (self.name, self.aliases, self.shortest) = (name, aliases, shortest ?? name.count)
        (self.group, self.arguments, self.help, self.completion, self.repeats, self.run) = (group, arguments, help, completion, repeats, run)
    }

    func isMeant(by word: String) -> Bool { name == word || aliases.contains(word) || (word.count >= shortest && name.hasPrefix(word)) }

    static let all: [DebugCommand] = control + travel + breakpoints + memory + registers + code + machine + trace + session

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

    /// As `perform`; a mistake is a line too.
    func carryOut(_ line: String, fromBreakpoint: Bool = false) -> [String] {
        do throws(ExpressionError) { return try perform(line, fromBreakpoint: fromBreakpoint) } catch { return [error.sentence] }
    }

    /// Carries a line of the command line out.
    /// - Parameter fromBreakpoint: it is a breakpoint's action: it must not make the machine go on.
    func perform(_ line: String, fromBreakpoint: Bool = false) throws(ExpressionError) -> [String] {
        guard line.utf8.count <= Debugger.lineLimit else { throw ExpressionError(sentence: "The command is too long.") }
        let text = line.trimmingBlanks
        guard !text.isEmpty, !text.hasPrefix("#") else { return [] }
        depth += 1
        defer { depth -= 1 }
        guard depth < 16 else { throw ExpressionError(sentence: "The commands call each other without end.") }
        let words = DebugWords(text)
        guard let command = DebugCommand.find(words.name) else { throw ExpressionError(sentence: "There is no command '\(words.name)'; 'help' lists them.") }
        if fromBreakpoint, command.group == .control { throw ExpressionError(sentence: "'\(words.name)' cannot be a breakpoint's action.") }
        let lines = try command.run(self, words)
        // `out` and `log` are of two kinds.
        if fromBreakpoint { wanted = nil }
        return lines
    }

    func complete(_ line: String) -> [String] {
        guard line.utf8.count <= Debugger.lineLimit else { return [] }
        guard line.contains(" ") else {
            return DebugCommand.all.flatMap { [$0.name] + $0.aliases }.filter { $0.hasPrefix(line.lowercased()) }.sorted()
        }
        let words = DebugWords(line)
        guard let command = DebugCommand.find(words.name) else { return [] }
        let last = line.hasSuffix(" ") ? "" : words.words.last ?? ""
        switch command.completion {
        case .nothing, .file: return []
        case .symbol: return last.isEmpty ? [] : symbols.names(last, limit: 100)
        case .breakpoint: return breakpoints.map { String($0.number) }.filter { $0.hasPrefix(last) }
        case .register: return (RegisterNames.long + RegisterNames.segments + ["eip", "eflags", "cr0", "cr2", "cr3", "cr4"]).filter { $0.hasPrefix(last) }
        case .command: return DebugCommand.all.map(\.name).filter { $0.hasPrefix(last) }
        case .table: return command.arguments.split(whereSeparator: { "| []".contains($0) }).map(String.init).filter { $0.hasPrefix(last) }
        }
    }

    func value(_ text: String, radix: Int = 10) throws(ExpressionError) -> UInt64 {
        guard let processor = processor(nil) else { throw ExpressionError(sentence: "There is no processor.") }
        return try Expression(text, radix: radix).value(context(processor))
    }
}

/// The table of commands, for front ends.
public enum DebugCommandTable {
    /// An empty line carries the command out once more.
    public static func repeats(_ line: String) -> Bool { DebugCommand.find(DebugWords(line).name)?.repeats ?? false }

    /// Group, names, arguments and help of every command, in the order of the table.
    public static var rows: [(group: String, names: [String], arguments: String, help: String)] {
        DebugCommand.all.map { ($0.group.rawValue, [$0.name] + $0.aliases, $0.arguments, $0.help) }
    }
}
