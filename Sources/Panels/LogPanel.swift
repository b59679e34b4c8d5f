import Machine
import Terminal

/// A machine's log: lines of one run, filtered by level and component.
public struct LogPanel: Equatable, Sendable {
    /// One line: as the file has it, or as much of it as there is room for.
    struct Line: Equatable, Sendable {
        var text: String, level: LogLevel, component: String

        init(_ line: String) {
            guard let parsed = LogLine(line[...]) else {
                (text, level, component) = (line, .info, "")
                return
            }
            let time = line.dropFirst(11).prefix(8)
            let seconds = line.dropFirst(25).prefix(11).trimmed
            let guest = String(repeating: " ", count: max(0, 9 - seconds.count)) + seconds
            let level = parsed.level.rawValue + String(repeating: " ", count: max(0, 5 - parsed.level.rawValue.count))
            let component = parsed.component + String(repeating: " ", count: max(0, 9 - parsed.component.count))
            text = "\(time) \(guest) \(level) \(component) \(parsed.text)"
            (self.level, self.component) = (parsed.level, parsed.component)
        }
    }

    public let name: String
    /// Of a text that is no log; nil: it is one.
    var heading: String?
    public private(set) var run = 0
    public private(set) var runs = 1
    private var all: [Line] = []
    public private(set) var level = LogLevel.trace
    public private(set) var component: String?
    public var text = TextPanel()
    /// Events that were switched on from here.
    var traced: [String] = []

    public init(name: String) { self.name = name }

    /// Lines kept; the oldest go first.
    static let limit = 50_000

    /// - Parameter isMore: the lines follow those that are there.
    public mutating func update(run: Int, runs: Int, lines: [String], isMore: Bool) {
        (self.run, self.runs) = (run, runs)
        if !isMore { all = [] }
        all += lines.map { Line($0) }
        if all.count > LogPanel.limit { all.removeFirst(all.count - LogPanel.limit) }
        filter()
    }

    /// A text that is no log, from its beginning.
    mutating func show(_ lines: [String]) {
        text.follows = false
        text.update(lines)
    }

    var components: [String] { Set(all.map(\.component)).filter { !$0.isEmpty }.sorted() }

    mutating func cycleLevel() {
        // From everything to the worst, and round again.
        let levels = LogLevel.allCases, i = levels.firstIndex(of: level) ?? 0
        level = i == 0 ? .trace : levels[i - 1]
        filter()
    }

    mutating func show(component: String?) {
        self.component = component
        filter()
    }

    private mutating func filter() {
        let shown = all.filter { $0.level <= level && (component == nil || $0.component == component) }
        text.update(shown.map(\.text), roles: shown.map { $0.level == .error ? .logError : $0.level == .warn ? .logWarn : .list })
    }

    var title: String {
        if let heading { return heading }
        var title = "Log: \(name)"
        if runs > 1 { title += run == 0 ? ", this run" : ", run -\(run)" }
        if level != .trace { title += ", \(level.rawValue) and worse" }
        if let component { title += ", \(component)" }
        return title
    }
}

extension Substring {
    /// Without blanks at both ends.
    fileprivate var trimmed: Substring {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return text
    }
}
