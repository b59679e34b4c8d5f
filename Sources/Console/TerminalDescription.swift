import Foundation
import Glibc

/// Which terminal description to open.
enum TerminalDescription {
    /// Terminals that understand what xterm-256color describes, though their own description may be missing here.
    static func isModern(_ name: String) -> Bool {
        [
            "xterm", "kitty", "foot", "alacritty", "ghostty", "wezterm", "contour", "rio", "tmux", "screen", "konsole", "gnome", "vte",
            "iterm",
        ].contains { name.hasPrefix($0) }
    }

    /// The terminal's own description with 24-bit colours put in, for `TERMINFO`, when the terminal says that it can.
    ///
    /// The descriptions `*-direct` do the same, but the plain Debian has none of them.
    static func direct(for name: String) -> String? {
        let environment = ProcessInfo.processInfo.environment
        guard ["truecolor", "24bit"].contains(environment["COLORTERM"] ?? "") else { return nil }
        guard let entry = find(name, environment) ?? (isModern(name) ? find("xterm-256color", environment) : nil) else { return nil }
        guard let changed = withDirectColour(entry, name: name) else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        return "hex:" + String(decoding: changed.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The compiled description, from where ncurses looks.
    private static func find(_ name: String, _ environment: [String: String]) -> [UInt8]? {
        guard let first = name.utf8.first, !name.contains("/"), !name.hasPrefix(".") else { return nil }
        var folders = [environment["TERMINFO"], environment["HOME"].map { $0 + "/.terminfo" }].compactMap { $0 }
        folders += (environment["TERMINFO_DIRS"] ?? "").split(separator: ":").map { String($0) }
        folders += ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"]
        for folder in folders {
            for part in [String(UnicodeScalar(first)), String(first, radix: 16)] {
                guard let data = FileManager.default.contents(atPath: "\(folder)/\(part)/\(name)"), data.count <= 32768 else { continue }
                return [UInt8](data)
            }
        }
        return nil
    }

    /// Numbers and strings of a description by their position.
    /// Source: `term.h` of ncurses 6 (max_colors, max_pairs, initialize_color, set_foreground, set_background, setaf, setab).
    private enum Index {
        static let maxColors = 13, maxPairs = 14
        static let initializeColor = 299, setForeground = 302, setBackground = 303, setAForeground = 359, setABackground = 360
    }

    /// 0–7 are the palette's, everything above is 0xRRGGBB.
    private static func selection(_ digit: Int) -> String {
        "\u{1B}[%?%p1%{8}%<%t\(digit)%p1%d%e\(digit)8;2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d%;m"
    }

    /// Rewrites a compiled description: 2^24 colours, setaf and setab for them, the flag RGB; extensions are left out.
    ///
    /// Source: `term(5)`: six shorts of header, names, flags, numbers (16 or 32 bits by the magic number), string offsets, strings,
    /// then the extended part in the same order. All counts come from a file and are checked.
    static func withDirectColour(_ entry: [UInt8], name: String) -> [UInt8]? {
        func short(_ at: Int) -> Int? { at >= 0 && at + 1 < entry.count ? Int(entry[at]) | Int(entry[at + 1]) << 8 : nil }
        guard let magic = short(0), magic == 0x11A || magic == 0x21E, let namesCount = short(2), let flagCount = short(4),
            let numberCount = short(6), let stringCount = short(8), let tableCount = short(10)
        else { return nil }
        let wide = magic == 0x21E
        var at = 12
        func take(_ count: Int) -> [UInt8]? {
            guard count >= 0, count <= 32768, at + count <= entry.count else { return nil }
            defer { at += count }
            return Array(entry[at..<at + count])
        }
        guard take(namesCount) != nil, let flags = take(flagCount) else { return nil }
        if at % 2 != 0 { at += 1 }
        var numbers: [UInt32] = []
        for _ in 0..<numberCount {
            guard let bytes = take(wide ? 4 : 2) else { return nil }
            let value = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            // Absent is -1, in both widths.
            numbers.append(!wide && value >= 0xFFFE ? value | 0xFFFF_0000 : value)
        }
        var offsets: [UInt16] = []
        for _ in 0..<stringCount {
            guard let bytes = take(2) else { return nil }
            offsets.append(UInt16(bytes[0]) | UInt16(bytes[1]) << 8)
        }
        guard var table = take(tableCount) else { return nil }
        while numbers.count <= Index.maxPairs { numbers.append(0xFFFF_FFFF) }
        while offsets.count <= Index.setABackground { offsets.append(0xFFFF) }
        numbers[Index.maxColors] = 0x100_0000
        numbers[Index.maxPairs] = 0x1_0000
        for index in [Index.initializeColor, Index.setForeground, Index.setBackground] { offsets[index] = 0xFFFF }
        for (index, digit) in [(Index.setAForeground, 3), (Index.setABackground, 4)] {
            guard table.count < 0x7000 else { return nil }
            offsets[index] = UInt16(table.count)
            table += Array(selection(digit).utf8) + [0]
        }
        let names = Array((name + "|with direct colour").utf8) + [0]
        var result: [UInt8] = []
        func put(_ value: Int) { result += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)] }
        for value in [0x21E, names.count, flags.count, numbers.count, offsets.count, table.count] { put(value) }
        result += names + flags
        if result.count % 2 != 0 { result.append(0) }
        for number in numbers {
            put(Int(number & 0xFFFF))
            put(Int(number >> 16))
        }
        for offset in offsets { put(Int(offset)) }
        result += table
        if result.count % 2 != 0 { result.append(0) }
        // Extended part: one flag, its name.
        for value in [1, 0, 0, 1, 4] { put(value) }
        result += [1, 0]
        put(0)
        result += Array("RGB".utf8) + [0]
        return result
    }
}
