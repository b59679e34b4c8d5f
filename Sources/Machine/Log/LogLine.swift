import Foundation
import Hardware

/// How much a log line matters, the most first.
public enum LogLevel: String, CaseIterable, Sendable, Comparable {
    case error, warn, info, debug, trace

    private var rank: Int { LogLevel.allCases.firstIndex(of: self) ?? 0 }
    /// The less it matters, the greater.
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rank < b.rank }
}

extension TraceCategories {
    /// - Parameter words: categories' names, or `all`.
    /// - Throws: `.usage` for a word that is none.
    public init(words: [String]) throws(MachineError) {
        self = []
        for word in words where !word.isEmpty {
            if word == "all" {
                self = .all
            } else if let category = TraceCategory(name: word) {
                insert(TraceCategories(category))
            } else {
                throw .usage("'\(word)' is not a trace category; there are \(TraceCategory.allCases.map(\.name).joined(separator: ", ")) and all.")
            }
        }
    }
}

/// One line of `Logs/vitrine.log`:
///
///     2026-11-26T06:57:02.123Z      12.345678 info  VM         Changing the VM state from 'starting' to 'running'
///     host's time, UTC         guest seconds  level component  text
public struct LogLine: Equatable, Sendable {
    /// Of the host, microseconds since 1970.
    public var hostMicroseconds: Int64
    /// In nanoseconds; nil: there is none yet.
    public var guestTime: UInt64?
    public var level: LogLevel
    /// One word, or `Guest Log` for what the guest's firmware says.
    public var component: String
    public var text: String

    public init(_ level: LogLevel, _ component: String, _ text: String, guestTime: UInt64?, hostMicroseconds: Int64 = MachineEvent.wallClock()) {
        (self.level, self.component, self.text) = (level, component, text)
        (self.guestTime, self.hostMicroseconds) = (guestTime, hostMicroseconds)
    }

    /// Without the newline; control characters of the text are replaced.
    public var formatted: String {
        var moment = time_t(hostMicroseconds / 1_000_000), parts = tm()
        gmtime_r(&moment, &parts)
        let host = String(
            format: "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
            parts.tm_sec, Int(hostMicroseconds % 1_000_000 / 1000))
        let guest = guestTime.map { String(format: "%14.6f", Double($0) / 1e9) } ?? "             -"
        func pad(_ word: String, _ width: Int) -> String { word + String(repeating: " ", count: max(0, width - word.count)) }
        var clean = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { clean.append(scalar.value < 0x20 || scalar.value == 0x7F ? "\u{FFFD}" : scalar) }
        return "\(host) \(guest) \(pad(level.rawValue, 5)) \(pad(component, 10)) \(String(clean))"
    }

    /// A line of the file as a JSON object; what is not one of ours has the text only.
    public static func json(_ line: String) -> String {
        guard let parsed = LogLine(line[...]) else { return (["text": .string(line)] as JSONValue).text }
        var object: [String: JSONValue] = [
            "time": .string(String(line.prefix(24))), "level": .string(parsed.level.rawValue), "component": .string(parsed.component),
            "text": .string(parsed.text),
        ]
        if let guest = parsed.guestTime { object["guest_seconds"] = .number(Double(guest) / 1e9) }
        return JSONValue.object(object).text
    }

    /// A line of the file; nil: it is not one of ours.
    public init?(_ line: Substring) {
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true)
        guard words.count == 4, words[0].utf8.count == 24, let level = LogLevel(rawValue: String(words[2])),
            let host = LogLine.microseconds(words[0])
        else { return nil }
        // The component is in a column of ten, one blank, then the text.
        let rest = words[3].drop { $0 == " " }
        let place = rest.index(rest.startIndex, offsetBy: 10, limitedBy: rest.endIndex) ?? rest.endIndex
        let end = rest[place...].firstIndex(of: " ") ?? rest.endIndex
        var component = rest[..<end]
        while component.last == " " { component.removeLast() }
        self.init(
            level, String(component), String(rest[end...].dropFirst()), guestTime: Double(words[1]).map { UInt64(max(0, $0) * 1e9) },
            hostMicroseconds: host)
    }

    /// `2026-11-26T06:57:02.123Z`.
    private static func microseconds(_ text: Substring) -> Int64? {
        guard let match = text.wholeMatch(of: /(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})\.(\d{3})Z/) else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = ((Int32(match.1) ?? 1970) - 1900, (Int32(match.2) ?? 1) - 1, Int32(match.3) ?? 1)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (Int32(match.4) ?? 0, Int32(match.5) ?? 0, Int32(match.6) ?? 0)
        return Int64(timegm(&parts)) * 1_000_000 + (Int64(match.7) ?? 0) * 1000
    }
}
