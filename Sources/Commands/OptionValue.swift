import ArgumentParser
import Machine

/// Values of options that are more than text and numbers. Each throws a `ValidationError` with a sentence.
enum OptionValue {
    static func bootOrder(_ text: String) throws -> [RunSettings.BootDevice] {
        let devices = text.map(RunSettings.BootDevice.init(rawValue:))
        guard !devices.isEmpty, !devices.contains(nil) else {
            throw ValidationError("a boot order consists of the letters a, c, d and n")
        }
        return devices.compactMap { $0 }
    }

    static func engine(_ text: String) throws -> RunSettings.Engine { try word(text) }
    static func clock(_ text: String) throws -> RunSettings.Clock { try word(text) }

    static func diskInterface(_ text: String) throws -> RunSettings.DiskInterface { try word(text) }

    private static func word<T: CaseIterable & RawRepresentable>(_ text: String) throws -> T where T.RawValue == String {
        guard let value = T(rawValue: text) else {
            throw ValidationError("use one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    static func serial(_ text: String) throws -> SerialTarget {
        do {
            return try SerialTarget(text)
        } catch {
            throw ValidationError(error.description)
        }
    }

    /// `0x402`, `402h` or decimal.
    static func port(_ text: String) throws -> UInt16 {
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
        guard let value else { throw ValidationError("an I/O port is a number from 0 to 0xFFFF") }
        return value
    }

    static func debugConsole(_ text: String) throws -> RunSettings.DebugConsole {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, parts[1].isEmpty { throw ValidationError("there is no file behind the =") }
        return RunSettings.DebugConsole(port: try port(String(parts.first ?? "")), path: parts.count == 2 ? String(parts[1]) : nil)
    }

    /// A date with or without a time of day, in UTC unless an offset follows; seconds since 1970.
    static func date(_ text: String) throws -> Int64 {
        let invalid = ValidationError("a date looks like 2001-02-03T04:05:06")
        // Fixed forms only: yyyy-mm-dd[(T| )hh:mm[:ss]][Z|±hh:mm]
        let pattern = /(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?(?:Z|([+-])(\d{2}):?(\d{2}))?/
        guard let match = text.wholeMatch(of: pattern), let year = Int64(match.1), let month = Int64(match.2), let day = Int64(match.3)
        else { throw invalid }
        func field(_ part: Substring?, _ limit: Int64) throws -> Int64 {
            let value = part.flatMap { Int64($0) } ?? 0
            guard value < limit else { throw invalid }
            return value
        }
        let seconds = try field(match.4, 24) * 3600 + field(match.5, 60) * 60 + field(match.6, 60)
        let offset = try (field(match.8, 24) * 3600 + field(match.9, 60) * 60) * (match.7 == "-" ? -1 : 1)
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), (1...lengths[Int(month) - 1]).contains(day) else { throw invalid }
        guard (1980...2099).contains(year) else { throw ValidationError("a PC's clock knows the years 1980 to 2099") }
        // Days since 1970: whole years before this one with their leap days, whole months, days.
        let before = year - 1
        let days = 365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400)
        return (days + lengths[..<Int(month - 1)].reduce(0, +) + day - 1) * 86400 + seconds - offset
    }
}
