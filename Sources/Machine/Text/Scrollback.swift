import Hardware
import Primitives
import Synchronization

/// Some lines that scrolled off the text screen, oldest first.
public struct ScrolledLines: Equatable, Sendable {
    /// Number of the first line; the first one ever is 0.
    public var first: UInt64 = 0
    /// Character in bits 0–7, attribute in bits 8–15, as in `TextFrame.cells`; blanks at the end are cut.
    public var lines: [[UInt16]] = []
    /// How many lines have scrolled off so far: the number of the next one.
    public var end: UInt64 = 0
    /// What the characters are.
    public var codePage = CodePage.cp437
    public init() {}

    public var texts: [String] { lines.map { ScrolledLines.text($0, codePage) } }

    /// The characters of a line, blanks at the end cut.
    public static func text(_ cells: [UInt16], _ codePage: CodePage) -> String {
        let table = codePage.codePoints
        var line = String.UnicodeScalarView()
        for cell in cells { line.append(Unicode.Scalar(table[Int(cell & 0xFF)]) ?? " ") }
        while line.last == " " { line.removeLast() }
        return String(line)
    }
}

/// The last lines that scrolled off the top of a machine's text screen. Thread-safe.
public final class Scrollback: Sendable {
    /// How many are kept.
    public static let limit = 10_000

    private struct State: Sendable {
        /// A ring once it is full; `next % limit` is then the oldest.
        var lines: [[UInt16]] = []
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    public init() {}

    /// How many lines have scrolled off so far.
    public var end: UInt64 { state.withLock { $0.next } }

    func append(_ lines: [[UInt16]]) {
        state.withLock { state in
            for line in lines {
                if state.lines.count < Scrollback.limit {
                    state.lines.append(line)
                } else {
                    state.lines[Int(state.next % UInt64(Scrollback.limit))] = line
                }
                state.next += 1
            }
        }
    }

    /// At most `count` lines from number `first` on; from the oldest one that is left when that has gone.
    public func lines(from first: UInt64, count: Int) -> ScrolledLines {
        state.withLock { state in
            var result = ScrolledLines()
            result.end = state.next
            result.first = min(max(first, state.next - UInt64(state.lines.count)), state.next)
            let last = min(state.next, result.first + UInt64(max(count, 0)))
            for number in result.first..<last { result.lines.append(state.lines[Int(number % UInt64(Scrollback.limit))]) }
            return result
        }
    }
}
