import Foundation
import Hardware
import Primitives

/// Values of settings that are more than text and numbers, from text and back. Errors are sentences without a subject's name.
public enum SettingText {
    /// Letters `a`, `c`, `d`, `n`.
    public static func bootOrder(_ text: String) throws(MachineError) -> [RunSettings.BootDevice] {
        let devices = text.map(RunSettings.BootDevice.init(rawValue:))
        guard !devices.contains(nil) else { throw .usage("a boot order consists of the letters a, c, d and n") }
        return devices.compactMap { $0 }
    }

    /// `0x402`, `402h` or decimal.
    public static func port(_ text: String) throws(MachineError) -> UInt16 {
        let lower = text.lowercased()
        let value =
            if lower.hasPrefix("0x") {
                UInt16(lower.dropFirst(2), radix: 16)
            } else if lower.hasSuffix("h") {
                UInt16(lower.dropLast(), radix: 16)
            } else {
                // E9 without a prefix can only be hexadecimal.
                UInt16(lower) ?? UInt16(lower, radix: 16)
            }
        guard let value else { throw .usage("an I/O port is a number from 0 to 0xFFFF") }
        return value
    }

    /// `PORT` or `PORT=FILE`.
    public static func debugConsole(_ text: String) throws(MachineError) -> RunSettings.DebugConsole {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, parts[1].isEmpty { throw .usage("there is no file behind the =") }
        return RunSettings.DebugConsole(port: try port(String(parts.first ?? "")), path: parts.count == 2 ? String(parts[1]) : nil)
    }

    public static func text(_ console: RunSettings.DebugConsole) -> String {
        "0x" + console.port.hex + (console.path.map { "=" + $0 } ?? "")
    }

    /// A date with or without a time of day, in UTC unless an offset follows; seconds since 1970.
    public static func date(_ text: String) throws(MachineError) -> Int64 {
        let invalid = MachineError.usage("a date looks like 2001-02-03T04:05:06")
        // Fixed forms only: yyyy-mm-dd[(T| )hh:mm[:ss]][Z|±hh:mm]
        let pattern = /(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?(?:Z|([+-])(\d{2}):?(\d{2}))?/
        guard let match = text.wholeMatch(of: pattern), let year = Int64(match.1), let month = Int64(match.2), let day = Int64(match.3)
        else { throw invalid }
        func field(_ part: Substring?, _ limit: Int64) throws(MachineError) -> Int64 {
            let value = part.flatMap { Int64($0) } ?? 0
            guard value < limit else { throw invalid }
            return value
        }
        let seconds = try field(match.4, 24) * 3600 + field(match.5, 60) * 60 + field(match.6, 60)
        let offset = try (field(match.8, 24) * 3600 + field(match.9, 60) * 60) * (match.7 == "-" ? -1 : 1)
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), (1...lengths[Int(month) - 1]).contains(day) else { throw invalid }
        guard (1980...2099).contains(year) else { throw .usage("a PC's clock knows the years 1980 to 2099") }
        // Days since 1970: whole years before this one with their leap days, whole months, days.
        let before = year - 1
        let days = 365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400)
        return (days + lengths[..<Int(month - 1)].reduce(0, +) + day - 1) * 86400 + seconds - offset
    }

    /// `2001-02-03T04:05:06`, UTC.
    public static func text(date seconds: Int64) -> String {
        var moment = time_t(seconds), parts = tm()
        gmtime_r(&moment, &parts)
        return String(
            format: "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
            parts.tm_sec)
    }
}
