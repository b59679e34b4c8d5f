import Hardware

/// Keys pressed together, by name: `ctrl-alt-del`, `F2`, `alt-F1`, `shift-a`.
///
/// Names are joined by `-` and compared without regard to case; a lone `-` (or a trailing one: `ctrl--`) is the minus key.
public struct KeyChord: Equatable, Sendable {
    /// Pressed in this order, released in the opposite one.
    public var keys: [PCKey]

    /// - Throws: `.usage` naming the part that is not a key, and the nearest known name.
    public init(_ text: String) throws(MachineError) {
        var parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        // "-" splits into two empty parts, "ctrl--" into "ctrl" and two empty ones: the minus key.
        if parts.count >= 2, parts.suffix(2) == ["", ""] { parts.replaceSubrange((parts.count - 2)..., with: ["minus"]) }
        guard !text.isEmpty, parts.count <= 8 else { throw .usage("'\(text)' is not a key chord such as ctrl-alt-del.") }
        keys = []
        for part in parts {
            guard let key = KeyChord.key(part) else {
                let hint = KeyChord.nearest(part).map { "; did you mean '\($0)'?" } ?? "."
                throw .usage("'\(part)' in '\(text)' is not a key name\(hint)")
            }
            guard !keys.contains(key) else { throw .usage("'\(text)' names the key '\(part)' twice.") }
            keys.append(key)
        }
    }

    /// The key with this name, whatever its case; nil when there is none.
    public static func key(_ name: String) -> PCKey? { names[name.lowercased()] }

    /// Every name: the cases of `PCKey`, what is printed on the caps, and the spellings of other machines' consoles.
    private static let names: [String: PCKey] = {
        var table: [String: PCKey] = [:]
        for key in PCKey.allCases { table[key.rawValue.lowercased()] = key }
        // Pairs "name:case", space-separated; `PCKey(rawValue:)` is checked by the tests.
        let aliases = """
            ctrl:leftCtrl control:leftCtrl lctrl:leftCtrl rctrl:rightCtrl ctrl_r:rightCtrl alt:leftAlt lalt:leftAlt ralt:rightAlt \
            alt_r:rightAlt altgr:rightAlt shift:leftShift lshift:leftShift rshift:rightShift shift_r:rightShift win:leftWin meta:leftWin super:leftWin \
            lwin:leftWin rwin:rightWin meta_l:leftWin meta_r:rightWin menu:menu compose:menu \
            escape:esc return:enter ret:enter spc:space bs:backspace bksp:backspace del:delete ins:insert pgup:pageUp pgdn:pageDown \
            pgdown:pageDown page_up:pageUp page_down:pageDown prtsc:printScreen print:printScreen sysrq:printScreen break:pause \
            caps:capsLock caps_lock:capsLock num:numLock num_lock:numLock scroll:scrollLock scroll_lock:scrollLock \
            0:digit0 1:digit1 2:digit2 3:digit3 4:digit4 5:digit5 6:digit6 7:digit7 8:digit8 9:digit9 \
            equals:equal =:equal `:grave backtick:grave [:leftBracket ]:rightBracket bracketleft:leftBracket bracketright:rightBracket \
            \\:backslash ;:semicolon ':quote apostrophe:quote ,:comma .:period dot:period /:slash less:iso102 <:iso102 \
            kp+:kpPlus kp*:kpMultiply kp/:kpDivide kp.:kpPeriod kp_add:kpPlus kp_subtract:kpMinus kp_multiply:kpMultiply \
            kp_divide:kpDivide kp_enter:kpEnter kp_decimal:kpPeriod
            """
        for pair in aliases.split(separator: " ") {
            guard let colon = pair.lastIndex(of: ":") else { continue }
            table[String(pair[..<colon])] = PCKey(rawValue: String(pair[pair.index(after: colon)...]))
        }
        return table
    }()

    /// The known name at the smallest edit distance, when it is at most 2.
    private static func nearest(_ word: String) -> String? {
        let word = Array(word.lowercased())
        guard word.count <= 24 else { return nil }
        let best = names.keys.sorted().map { ($0, distance(word, Array($0))) }.min { $0.1 < $1.1 }
        return best.flatMap { $0.1 <= 2 ? $0.0 : nil }
    }

    /// Levenshtein distance.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let above = row[j + 1]
                row[j + 1] = min(row[j] + 1, above + 1, diagonal + (a[i] == b[j] ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
