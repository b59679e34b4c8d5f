import Foundation
import Hardware
import Primitives

/// A parsed script: one command a line, `#` comments (contract: Scripts).
///
/// A regular expression or a file name may stand in single or double quotes, which are taken away; without quotes the last
/// word of a `wait-for` that is a number is the time limit. `type` and `type-serial` take the rest of the line as it is.
public struct Script: Sendable {
    public struct Step: Sendable {
        /// Line in the file, from 1.
        public var line: Int
        public var command: Command
    }
    public enum Command: Sendable {
        case waitFor(Pattern, seconds: Double)
        /// `port` 0 is COM1, `SerialPump.virtioConsole` the virtio console.
        case waitForSerial(port: Int, Pattern, seconds: Double)
        case type(String)
        case typeSerial(port: Int, [UInt8])
        case keys([KeyChord])
        case screen(path: String)
        case screenshot(path: String)
        /// Guest time.
        case wait(seconds: Double)
        /// What the guest should give back.
        case balloon(mib: Int)
        /// Saved state to a file, and from one.
        case save(path: String)
        case restore(path: String)
        /// A line with instructions and digest of the state, at the end of a file.
        case digest(path: String)
        /// Until so many instructions have retired since power-on, exactly.
        case waitInstructions(UInt64)
        /// A recording machine goes to the moment at which so many instructions have retired.
        case goTo(UInt64)
        /// A command of the debugger; one that lets the machine go ends when it stands again.
        case debug(String)
        case stop

        /// Adds to what is being typed or sent, and so need not wait for it.
        var isInput: Bool {
            switch self {
            case .type, .typeSerial, .keys: true
            default: false
            }
        }
    }

    /// A compiled regular expression; `^` and `$` match at line ends, `.` does not cross them.
    public struct Pattern: Sendable {
        public let source: String
        let expression: NSRegularExpression

        /// - Throws: `.usage` when it is not a regular expression.
        public init(_ source: String) throws(MachineError) {
            self.source = source
            do {
                expression = try NSRegularExpression(pattern: source, options: [.anchorsMatchLines])
            } catch {
                throw .usage("'\(source)' is not a regular expression.")
            }
        }

        public func matches(_ text: String) -> Bool {
            expression.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
        }

        /// What follows the first match; nil without one.
        func afterMatch(in text: String) -> String? {
            guard let match = expression.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) else { return nil }
            return (text as NSString).substring(from: match.range.location + match.range.length)
        }
    }

    public static let defaultSeconds = 30.0
    public var steps: [Step] = []

    init(steps: [Step]) { self.steps = steps }

    /// - Parameter name: what messages call the script: its path, or `standard input`.
    /// - Throws: `.usage` with name and line of the first mistake.
    public init(_ text: String, name: String) throws(MachineError) {
        var number = 0
        // Split on scalars: a carriage return and a newline are one Character.
        for raw in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            var line = String(raw)
            if line.last == "\r" { line.removeLast() }
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            guard let first = trimmed.first, first != "#" else { continue }
            do {
                steps.append(Step(line: number, command: try Script.parse(trimmed)))
            } catch {
                throw .usage("\(name), line \(number): \(error.description)")
            }
        }
    }

    /// The text of a script file; `-` is standard input.
    /// - Parameter limit: in bytes; what goes over a control socket must fit in one of its commands.
    /// - Throws: `.badInput` when it cannot be read, `.usage` when it is not text.
    public static func read(_ path: String, limit: Int = 1 << 19) throws(MachineError) -> String {
        let bytes: [UInt8]
        if path == "-" {
            guard let all = WholeFile.readAll(STDIN_FILENO, limit: limit) else {
                throw .badInput("The script on standard input cannot be read: \(WholeFile.reason()).")
            }
            bytes = all
        } else {
            bytes = try WholeFile.read(path, what: "script", limit: limit)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .usage("\(path == "-" ? "standard input" : path) is not a script: it is not UTF-8 text.")
        }
        return text
    }

    /// Text of a command line with its escapes, as `type` takes it.
    public static func typed(_ text: String) -> String { String(decoding: unescape(text), as: UTF8.self) }

    // MARK: One line

    private static func parse(_ line: Substring) throws(MachineError) -> Command {
        let name = line.prefix { $0 != " " && $0 != "\t" }
        let rest = line.dropFirst(name.count)
        /// Everything behind the one blank that follows the command.
        let verbatim = String(rest.dropFirst())
        let argument = trim(rest)
        switch name {
        case "wait-for":
            let (pattern, seconds) = try patternAndSeconds(argument, command: "wait-for REGEX [SECONDS]")
            return .waitFor(pattern, seconds: seconds)
        case "wait-for-serial":
            let (port, remainder) = portAndRest(argument)
            let (pattern, seconds) = try patternAndSeconds(remainder, command: "wait-for-serial [N] REGEX [SECONDS]")
            return .waitForSerial(port: port, pattern, seconds: seconds)
        case "type":
            guard !verbatim.isEmpty else { throw .usage("'type' needs the text to type.") }
            return .type(String(decoding: unescape(verbatim), as: UTF8.self))
        case "type-serial":
            guard !verbatim.isEmpty else { throw .usage("'type-serial' needs the text to send.") }
            return .typeSerial(port: 0, unescape(verbatim))
        case "debug":
            guard !argument.isEmpty else { throw .usage("'debug' needs a command of the debugger.") }
            return .debug(argument)
        case "wait-for-console":
            let (pattern, seconds) = try patternAndSeconds(argument, command: "wait-for-console REGEX [SECONDS]")
            return .waitForSerial(port: SerialPump.virtioConsole, pattern, seconds: seconds)
        case "type-console":
            guard !verbatim.isEmpty else { throw .usage("'type-console' needs the text to send.") }
            return .typeSerial(port: SerialPump.virtioConsole, unescape(verbatim))
        case "balloon":
            guard let mib = Int(argument), (0...BoardSettings.maximumRAMMiB).contains(mib) else {
                throw .usage("'balloon' needs a number of MiB, not '\(argument)'.")
            }
            return .balloon(mib: mib)
        case "keys":
            guard !argument.isEmpty else { throw .usage("'keys' needs at least one chord such as ctrl-alt-del.") }
            var chords: [KeyChord] = []
            for word in argument.split(whereSeparator: { $0 == " " || $0 == "\t" }) { chords.append(try KeyChord(String(word))) }
            return .keys(chords)
        case "screen": return .screen(path: try file(argument, command: "screen"))
        case "screenshot": return .screenshot(path: try file(argument, command: "screenshot"))
        case "wait":
            guard let seconds = time(argument) else { throw .usage("'wait' needs a number of seconds, not '\(argument)'.") }
            return .wait(seconds: seconds)
        case "save": return .save(path: try file(argument, command: "save"))
        case "restore": return .restore(path: try file(argument, command: "restore"))
        case "digest": return .digest(path: try file(argument, command: "digest"))
        case "wait-instructions":
            guard let count = UInt64(argument) else { throw .usage("'wait-instructions' needs a number of instructions, not '\(argument)'.") }
            return .waitInstructions(count)
        case "goto-instruction":
            guard let count = UInt64(argument) else { throw .usage("'goto-instruction' needs a number of instructions, not '\(argument)'.") }
            return .goTo(count)
        case "stop":
            guard argument.isEmpty else { throw .usage("'stop' takes nothing, but '\(argument)' follows.") }
            return .stop
        default:
            throw .usage(
                "'\(name)' is not a command; there are wait-for, wait-for-serial, wait-for-console, type, type-serial, type-console, "
                    + "keys, screen, screenshot, balloon, save, restore, digest, debug, wait, wait-instructions, goto-instruction and stop."
            )
        }
    }

    private static func trim(_ text: Substring) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    /// A time in seconds, 0 to about 31 years.
    private static func time(_ text: String) -> Double? {
        guard let first = text.first, first.isASCII, first.isNumber || first == ".", let value = Double(text), value.isFinite, value >= 0,
            value <= 1e9
        else { return nil }
        return value
    }

    private static func file(_ argument: String, command: String) throws(MachineError) -> String {
        let path = unquote(argument) ?? argument
        guard !path.isEmpty, !path.utf8.contains(0) else { throw .usage("'\(command)' needs the name of a file.") }
        return path
    }

    /// `2 REGEX…` is COM2; without a leading 1–4, or with nothing behind it, COM1.
    private static func portAndRest(_ argument: String) -> (port: Int, rest: String) {
        let word = argument.prefix { $0 != " " && $0 != "\t" }
        let rest = trim(argument.dropFirst(word.count))
        guard let port = Int(word), word.count == 1, (1...4).contains(port), !rest.isEmpty else { return (0, argument) }
        return (port - 1, rest)
    }

    private static func patternAndSeconds(_ argument: String, command: String) throws(MachineError) -> (Pattern, Double) {
        var source = argument
        var seconds = defaultSeconds
        if unquote(argument) == nil, let blank = argument.lastIndex(where: { $0 == " " || $0 == "\t" }),
            let limit = time(String(argument[argument.index(after: blank)...]))
        {
            seconds = limit
            source = trim(argument[..<blank])
        }
        source = unquote(source) ?? source
        guard !source.isEmpty else { throw .usage("'\(command)' needs a regular expression.") }
        return (try Pattern(source), seconds)
    }

    /// The text inside one pair of quotes around the whole; nil without them.
    private static func unquote(_ text: String) -> String? {
        guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote else { return nil }
        return String(text.dropFirst().dropLast())
    }

    /// `\n`, `\t`, `\e`, `\r`, `\b`, `\\` and `\xHH`; any other backslash is itself.
    static func unescape(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            guard byte == UInt8(ascii: "\\"), at < bytes.count else {
                result.append(byte)
                continue
            }
            let escape = bytes[at]
            at += 1
            switch escape {
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "e"): result.append(0x1B)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "\\"): result.append(byte)
            case UInt8(ascii: "x")
            where at + 1 < bytes.count && UInt8(String(decoding: bytes[at...at + 1], as: UTF8.self), radix: 16) != nil:
                result.append(UInt8(String(decoding: bytes[at...at + 1], as: UTF8.self), radix: 16) ?? 0)
                at += 2
            default: result += [byte, escape]
            }
        }
        return result
    }
}
