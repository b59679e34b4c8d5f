import Terminal

/// A machine's log: lines of one run, filtered by level and component.
public struct LogPanel: Equatable, Sendable {
    public enum Level: Int, CaseIterable, Sendable {
        case error, warning, info, debug, trace
        var word: String { "\(self)" }
        var role: Role { self == .error ? .logError : self == .warning ? .logWarn : .list }
    }

    /// One line as the file has it.
    struct Line: Equatable, Sendable {
        var text: String, level: Level, component: String

        /// Level and component are words near the beginning: whatever else stands there is time.
        init(_ text: String) {
            self.text = text
            var level: Level?, component = ""
            for word in text.prefix(80).split(separator: " ").prefix(8) {
                let plain = word.filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }.lowercased()
                if level == nil, let found = Line.levels[plain] {
                    level = found
                } else if component.isEmpty, level != nil, plain.first?.isLetter == true {
                    component = plain
                    break
                }
            }
            (self.level, self.component) = (level ?? .info, component)
        }

        private static let levels: [String: Level] = [
            "error": .error, "err": .error, "warning": .warning, "warn": .warning, "info": .info, "notice": .info, "debug": .debug,
            "trace": .trace,
        ]
    }

    public let name: String
    public private(set) var run = 0
    public private(set) var runs = 1
    private var all: [Line] = []
    public private(set) var level = Level.trace
    public private(set) var component: String?
    public var text = TextPanel()

    public init(name: String) { self.name = name }

    public mutating func update(run: Int, runs: Int, lines: [String]) {
        (self.run, self.runs) = (run, runs)
        all = lines.map { Line($0) }
        filter()
    }

    var components: [String] { Set(all.map(\.component)).filter { !$0.isEmpty }.sorted() }

    mutating func cycleLevel() {
        // From everything to the worst, and round again.
        level = Level(rawValue: level.rawValue - 1) ?? .trace
        filter()
    }

    mutating func show(component: String?) {
        self.component = component
        filter()
    }

    private mutating func filter() {
        let shown = all.filter { $0.level.rawValue <= level.rawValue && (component == nil || $0.component == component) }
        text.update(shown.map(\.text), roles: shown.map(\.level.role))
    }

    var title: String {
        var title = "Log: \(name)"
        if runs > 1 { title += run == 0 ? ", this run" : ", run -\(run)" }
        if level != .trace { title += ", \(level.word) and worse" }
        if let component { title += ", \(component)" }
        return title
    }
}
